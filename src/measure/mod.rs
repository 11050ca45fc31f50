//! Runs a campaign: real steps on this machine, sampled by its meters, into a record.
//!
//! Before anything runs, the meters are watched: how often they change, and what the idle machine draws. A sensor that
//! is slow against a step is met by the protocol of [`crate::sensor`]: visits that begin on its tick, each at another phase.
//!
//! The architectures of one sequence length take turns (A B C, C B A, ...), so that drift of clocks and
//! temperature favours none of them.

mod allocator;
mod baseline;
mod campaign;
mod device;
mod environment;
mod error;
mod memory;
mod meters;
mod runner;
mod steady;

pub use allocator::CountingAllocator;
pub use campaign::{Observer, Plan, Point, Progress, auto_batch_size, run};
pub use device::{ComputeDevice, DeviceChoice, cuda_available};
pub use environment::{MachineFacts, compute_threads, describe_compute, hardware_share, machine_facts};
pub use error::MeasureError;
pub use meters::{MeterChoice, Meters, cpu_model, open_meters};
