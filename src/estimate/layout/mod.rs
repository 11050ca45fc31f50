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
pub use memory::{DeviceParams, Held, Sizes, StageMemory, layer_activations, layers_in_flight, stages};
pub use search::{Batch, Candidate, Found, Search};
pub use shard::{Parts, expert_parameters, layers_of, operators_of, parameters_of, shard};
pub(super) use source::{CLASS_OF_LAYOUTS, steps_of};
pub use source::{Considered, needs_layout};
pub use time::{LayoutStep, MicroBatch, Setting, step};
pub use traffic::{
    Collective, Links, all_reduces_of_a_layer, all_to_alls_of_a_layer, bytes_of_keys_and_values, hops_of_a_layer,
};

#[cfg(test)]
mod tests;
