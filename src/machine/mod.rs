//! This machine: what it is, the parts of it that draw power with the best meter of each, and the signals that it sends.
//! Campaigns, tracked commands and the list of devices choose their meters here.

mod facts;
mod job;
mod parts;
#[cfg(unix)]
mod signals;
mod stop;

pub use facts::{MachineFacts, boot_id, hardware_share, machine_facts};
pub use job::{Job, job_of};
#[cfg(test)]
pub(crate) use parts::gpus_of;
pub use parts::{Part, PartKind, cpu_model, gpu_parts, host_parts};
#[cfg(unix)]
pub(crate) use signals::caught;
#[cfg(unix)]
pub use signals::survive_file_limits;
pub use stop::{Stop, exit_code, signal_name};
