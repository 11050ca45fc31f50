//! From a measured step, or from a model of one, to a whole training run: time, energy, money, CO2e.
//!
//! Pure arithmetic on a record and on catalog entries: no clock, no file, no device. Any number can be
//! worked out again from a `record.json`.

mod account;
mod analytic;
mod compare;
mod conditions;
mod describe;
mod draws;
mod error;
mod explain;
mod footprint;
mod frontier;
mod input;
mod ledger;
mod lost_time;
mod measured;
mod micro_batch;
pub mod model;
mod output;
mod prediction;
mod published;
mod sampler;
mod scaled;
mod schedule;
mod step;
mod sweep;
mod training;
mod variance;

pub use account::{Account, Metered, account};
pub use compare::{ArchRow, Comparison, Crossover, LengthComparison, ThesisClaim, compare, thesis_claims};
pub use conditions::{Conditions, ConditionsBuilder};
pub use error::EstimateError;
pub use footprint::{FootprintRequest, footprint};
pub use frontier::{Goal, Limits, UnknownGoal, frontier, recommend, recommend_architecture};
pub use input::{Assumption, Input, Value};
pub use ledger::{Footprint, Line, Quantity};
pub use lost_time::{Failures, LostTime};
pub use measured::measured_step;
pub use output::{Basis, Estimate, VsDense};
pub use prediction::{Outcome, Prediction};
pub use published::{PublishedCheck, against_published};
pub use scaled::{CellCheck, TransferCheck, transfer_check};
pub use schedule::Schedule;
pub use step::{PhaseStep, StepSource};
pub use sweep::{Axes, Scenario, Sweep, sweep};
pub use training::{Hardware, Request, estimate, estimate_without_shares};
pub use variance::VarianceShare;
