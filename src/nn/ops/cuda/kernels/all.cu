// Every kernel, as one module.

#include "adamw.cu"
#include "attention.cu"
#include "cross_entropy.cu"
#include "elementwise.cu"
#include "gather.cu"
#include "layer_norm.cu"
#include "reduce.cu"
#include "rms_norm.cu"
#include "softmax.cu"
