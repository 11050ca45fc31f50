//! Runs a campaign: real steps on this machine, sampled by its meters, into a record.
//!
//! The architectures of one sequence length take turns (A B C, C B A, ...), so that drift of clocks and
//! temperature favours none of them.

mod allocator;
mod campaign;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod environment;
mod error;
mod memory;
mod meters;
mod runner;

pub use allocator::CountingAllocator;
pub use campaign::{Observer, Plan, Point, Progress, auto_batch_size, run};
pub use device::{ComputeDevice, DeviceChoice, cuda_available};
pub use environment::{MachineFacts, compute_threads, describe_compute, machine_facts};
pub use error::MeasureError;
pub use meters::{MeterChoice, Meters, open_meters};
