//! How long one optimizer step takes, at what power and in how much memory: as it was measured, carried over from what was
//! measured, modelled, or given.

pub(super) mod analytic;
pub(super) mod carried;
pub(super) mod given;
pub(super) mod measured;
pub(super) mod micro_batch;
pub mod model;
pub(super) mod scaled;
pub(super) mod sliced;
pub(super) mod source;
pub(super) mod step;
