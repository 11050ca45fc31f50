//! Runs a campaign: real steps on this machine, sampled by its meters, into a record.
//!
//! Before anything runs, the meters are watched: how often they change, and what the idle machine draws. A sensor that
//! is slow against a step is met by visits that begin on its tick, each at another phase.
//!
//! The architectures of one sequence length take turns (A B C, C B A, ...), so that drift of clocks and
//! temperature favours none of them.

mod baseline;
mod campaign;
mod ceilings;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod environment;
mod error;
mod gpu_facts;
mod load;
mod longest;
mod memory;
mod meters;
mod phase;
mod plan;
mod runner;
#[cfg(test)]
mod simulated;

pub use crate::alloc::CountingAllocator;
pub use baseline::update_period;
pub use campaign::{Beginning, Observer, Progress, run};
pub use device::{ComputeDevice, DeviceChoice, cuda_problem};
pub use environment::{compute_threads, describe_compute};
pub use error::MeasureError;
use error::go_on;
pub use longest::{Longest, longest};
pub use meters::{MeterChoice, Meters, open_meters};
pub use plan::{Aim, BatchSize, Plan, Point};
