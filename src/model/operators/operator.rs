//! One operator of a step: what it multiplies, and what it reads and writes.

use serde::{Deserialize, Serialize};

use crate::units::{DType, States};

/// What an operator does, and so what bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKind {
    /// A matrix product with a weight.
    Gemm,
    /// One of the two skinny products of a low-rank linear: one of its sides is the rank.
    LowRankGemm,
    /// The shortening of a sequence by a Linformer.
    Projection,
    /// Products of activations with activations, one for each head.
    Attention,
    /// Scores, softmax and values in one kernel, which keeps the scores on the chip.
    FusedAttention,
    /// Softmax over scores, with its mask and dropout.
    Softmax,
    /// Layer normalisation.
    LayerNorm,
    /// The activation function of the feed-forward block.
    Gelu,
    /// Dropout and the residual sum.
    Residual,
    /// What queries, keys and values go through between their linears and attention: norms, rotary positions, the order of heads.
    BeforeAttention,
    /// Copies in another number format, and sums of gradients.
    Cast,
    /// Gathering rows of the embeddings.
    Embedding,
    /// Softmax and loss over the vocabulary.
    CrossEntropy,
}

impl OperatorKind {
    /// Whether it multiplies matrices; everything else is bounded by memory traffic.
    #[must_use]
    pub fn multiplies(self) -> bool {
        use OperatorKind::{Attention, FusedAttention, Gemm, LowRankGemm, Projection};
        matches!(self, Gemm | LowRankGemm | Projection | Attention | FusedAttention)
    }
}

/// How attention is computed, which decides what is multiplied and what goes through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionKernel {
    /// Only what the mathematics needs: a causal model multiplies half of its scores.
    Counted,
    /// Separate kernels: scores go through memory, and a causal mask saves nothing.
    Composed,
    /// One kernel (Dao et al. 2022): scores stay on the chip, and a causal mask halves the work.
    Fused,
}

/// The number formats of stock `PyTorch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Formats {
    /// That of products.
    pub dtype: DType,
    /// Those of weights and moments.
    pub states: States,
}

impl From<DType> for Formats {
    /// Weights and moments in f32.
    fn from(dtype: DType) -> Self {
        Self { dtype, states: States::default() }
    }
}

/// How a step is cut into kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// How attention is computed.
    pub attention: AttentionKernel,
    /// Whether what lies between products is computed as stock `PyTorch` does, one operation after the other, and in which formats.
    /// Otherwise each norm, activation and residual sum is a kernel.
    pub one_by_one: Option<Formats>,
}

/// The input of one step on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepShape {
    /// Sequences in the step.
    pub batch_size: usize,
    /// Tokens in a sequence.
    pub seq_len: usize,
    /// Positions of a sequence that have a loss.
    pub masked_per_seq: usize,
}

/// One operator of a forward pass, or of its gradient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What it is, for people.
    pub name: &'static str,
    /// What it does.
    pub kind: OperatorKind,
    /// How many independent products (1 for a plain matrix product).
    pub products: u64,
    /// Rows of the result.
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// Inner length; 0 for element-wise work.
    pub k: u64,
    /// How often it runs in a step.
    pub count: u64,
    /// Elements read and written in one run forward; of stock `PyTorch` between products, in numbers of f32.
    pub elements: u64,
    /// The same of the backward pass.
    pub gradient_elements: u64,
    /// Kernels of one run forward and backward.
    pub kernels: u64,
    /// Whether its weight is not trained, so that only the gradient of its input is computed.
    pub frozen: bool,
}

impl Operator {
    /// FLOPs of all its runs in a forward pass.
    #[must_use]
    pub fn flop(&self) -> u128 {
        [self.products, self.m, self.n, self.k, self.count]
            .iter()
            .fold(2, |flop: u128, x| flop.saturating_mul(u128::from(*x)))
    }

    /// Elements that one run reads and writes in forward and backward.
    #[must_use]
    pub fn train_elements(&self) -> u64 {
        self.elements.saturating_add(self.gradient_elements)
    }

    /// The two products of the gradient of `C = A B`: `dA = dC B'` and `dB = A' dC`; of a frozen `B` the first alone.
    #[must_use]
    pub fn gradients(&self) -> Vec<Self> {
        let of_input = Self { n: self.k, k: self.n, ..self.clone() };
        let of_weight = Self { m: self.k, k: self.m, ..self.clone() };
        if self.frozen { vec![of_input] } else { vec![of_input, of_weight] }
    }

    /// FLOPs of all its runs in forward and backward.
    #[must_use]
    pub fn train_flop(&self) -> u128 {
        self.flop().saturating_mul(if self.frozen { 2 } else { 3 })
    }

    /// One product of `m x k` with `k x n`, run `count` times.
    #[must_use]
    pub fn gemm(name: &'static str, count: u64, m: usize, n: usize, k: usize) -> Self {
        Self::batched(name, OperatorKind::Gemm, count, 1, (m, n, k))
    }

    pub(super) fn batched(
        name: &'static str,
        kind: OperatorKind,
        count: u64,
        products: usize,
        (m, n, k): (usize, usize, usize),
    ) -> Self {
        let (products, m, n, k) = (products as u64, m as u64, n as u64, k as u64);
        let elements =
            products.saturating_mul(m.saturating_mul(k).saturating_add(k * n).saturating_add(m.saturating_mul(n)));
        Self { products, k, ..Self::of_elements(kind, name, count, (m, n), elements) }
    }

    /// An operator whose gradient reads two tensors where it reads one.
    fn of_elements(kind: OperatorKind, name: &'static str, count: u64, (m, n): (u64, u64), elements: u64) -> Self {
        Self {
            name,
            kind,
            products: 1,
            m,
            n,
            k: 0,
            count,
            elements,
            gradient_elements: elements.saturating_mul(2),
            kernels: 3,
            frozen: false,
        }
    }

    /// An operator that reads and writes so many numbers for each of `size` forward and backward.
    pub(super) fn element_wise(
        kind: OperatorKind,
        name: &'static str,
        count: u64,
        size: (usize, usize),
        (forward, backward): (u64, u64),
    ) -> Self {
        let (m, n) = (size.0 as u64, size.1 as u64);
        let numbers = |passes: u64| m.saturating_mul(n).saturating_mul(passes);
        let operator = Self::of_elements(kind, name, count, (m, n), numbers(forward));
        Self { gradient_elements: numbers(backward), ..operator }
    }
}
