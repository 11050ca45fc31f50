//! From a measured step, or from a model of one, to a whole training run: time, energy, money, CO2e.
//!
//! Pure arithmetic on a record and on catalog entries: no clock, no file, no device. Any number can be
//! worked out again from a `record.json`.

mod account;
mod analytic;
mod compare;
mod conditions;
mod error;
mod footprint;
mod input;
mod output;
mod step;
mod training;

pub use account::{Account, Metered, account};
pub use analytic::{Calibration, calibrate};
pub use compare::{ArchRow, Comparison, Crossover, LengthComparison, ThesisClaim, compare, thesis_claims};
pub use conditions::{Conditions, ConditionsBuilder};
pub use error::EstimateError;
pub use footprint::{FootprintRequest, footprint};
pub use input::{Assumption, Input, Value};
pub use output::{Basis, Estimate, VsDense};
pub use step::{StepSource, measured_step};
pub use training::{Hardware, Request, estimate};
