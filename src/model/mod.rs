//! What is computed: model shapes, and exact counts of parameters, FLOPs and bytes. No tensors.

mod arch;
mod config;
mod memory;
mod operators;
mod ops;
mod params;
mod read;

pub use arch::{Arch, ArchError, Order, Share};
pub use config::{Config, ConfigError, Family, MAX_LAYERS, MAX_ROWS, masked_per_seq};
pub use memory::{
    MemoryEstimate, Saving, peak_of_forward_pass, peak_of_train_step, training_memory, training_memory_with,
};
pub use operators::{
    AttentionKernel, Operator, OperatorKind, StepShape, forward_operators, operators, train_step_flop,
};
pub use ops::{Ops, UnknownOps};
pub use params::count_params;
