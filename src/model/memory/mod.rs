//! How much memory training takes on a device.

mod compiled;
mod estimate;
mod layer;
mod saving;
mod stock;

pub use compiled::embedding_bytes;
pub use estimate::{MemoryEstimate, training_memory, training_memory_with};
pub(super) use layer::bytes;
pub use saving::{Kernels, Saving};
