//! What was measured: the schema of `record.json`, and the figures that follow from it alone.
//!
//! A record holds raw steps and raw power readings. Everything shown elsewhere is a function of it.

mod cell;
mod check;
mod doubt;
mod energy;
mod environment;
mod error;
mod file;
mod forecast;
mod group;
mod readings;
mod settings;
mod summary;
mod warning;
mod workload;

pub use crate::files::write_whole;
#[cfg(test)]
pub(crate) use cell::tests::cell as blank_cell;
pub use cell::{Cell, Launch, Pass, Status, Step};
pub use energy::EnergyCheck;
pub use environment::{Baseline, Ceilings, Compute, Environment, MatmulCeiling, Unmetered};
pub use error::RecordError;
pub use file::{MAX_RECORD_BYTES, OLDEST_SCHEMA, RECORD_FILE, Record, SCHEMA};
pub use forecast::{ForecastPart, ForecastRecord, MAX_ACCOUNT_BYTES, Pause, SaidBefore, reaches_the_end};
pub use group::{counter_j, integral_j};
pub use readings::{ENERGY_TOLERANCE, Readings};
pub use settings::Settings;
pub use summary::{CellSummary, StepMean};
pub use warning::Warning;
pub use workload::{Workload, phase_shape};
