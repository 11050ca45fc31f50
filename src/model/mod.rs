//! What is computed: model shapes, and exact counts of parameters, FLOPs and bytes. No tensors.

mod arch;
mod check;
mod computed;
mod config;
mod extra;
mod hugging_face;
mod items;
mod memory;
mod operators;
mod ops;
mod params;
mod peak;
mod read;
mod rotary;
mod rotary_scaling;
mod said;
mod shape;

pub use arch::{Arch, ArchError, LoraBase, LoraTargets, Order, Share};
pub use check::ConfigError;
pub use computed::{Computed, NotComputed};
pub use config::{Config, Family, MAX_LAYERS, MAX_ROWS, masked_per_seq};
pub use extra::{Extra, ExtraKind, Place};
pub use hugging_face::{HuggingFaceError, Note, NoteKind, known_types, read_hugging_face};
pub use items::{Form, Item, parameters};
pub use memory::{Kernels, MemoryEstimate, Saving, embedding_bytes, training_memory, training_memory_with};
pub use operators::{
    AttentionKernel, Execution, Formats, Operator, OperatorKind, StepShape, forward_operators, operators,
    train_step_flop,
};
pub use ops::{Ops, UnknownOps};
pub use params::{NoValueLinear, active_params, count_params, embedding_params, lora_params, trainable_params};
pub use peak::{HeadTiles, peak_of_forward_pass, peak_of_train_step};
pub use rotary::{Rotary, Theta, ThetaError};
pub use rotary_scaling::{Scaling, ScalingError};
pub use shape::{Bias, Details, Experts, Heads, Latent, Norm, NormPlace, PositionScores, Positions, QkNorm, Window};
