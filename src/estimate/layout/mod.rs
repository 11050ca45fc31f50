//! Many devices: how a model is shared out over them, what each holds and sends, and how long a step then takes.

mod constants;
mod fit;
mod memory;
mod search;
mod shard;
mod source;
mod time;
mod traffic;

pub use constants::{CONSTANTS, Constants, LayoutConstant, LayoutTable};
pub use fit::{Iterations, MeasuredIteration};
pub(super) use memory::whole_bytes;
pub use memory::{Held, Sizes, StageMemory, layer_activations, layers_in_flight, stages};
pub use search::{Batch, Candidate, Found, Search};
pub use shard::{Parts, layers_of, operators_of, parameters_of, shard};
pub use source::Considered;
pub(super) use source::layout_source;
pub use time::{LayoutStep, MicroBatch, Setting, step};
pub use traffic::{Collective, Links, all_reduces_of_a_layer};

#[cfg(test)]
mod tests;
