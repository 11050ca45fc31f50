//! From a measured step, or from a model of one, to a whole training run: time, energy, money, CO2e.
//!
//! Pure arithmetic on a record and on catalog entries: no clock, no file, no device. Any number can be
//! worked out again from a `record.json`.

mod answers;
mod error;
pub mod layout;
mod layout_error;
mod ledger;
mod request;
mod steps;

pub use answers::account::{Account, MeteredPart, account};
pub use answers::compare::{ArchRow, Comparison, InferenceRow, LengthComparison, compare};
pub use answers::crossover::{Change, Crossover, PerToken};
pub use answers::elsewhere::{ModelledCrossovers, modelled_crossovers};
pub use answers::equal_loss::to_equal_loss;
pub use answers::footprint::{FootprintRequest, footprint};
pub use answers::frontier::{
    Goal, Limits, Recommendation, UnknownGoal, draw_unbeaten, frontier, recommend, recommend_architecture,
};
pub use answers::laid_out::{LaidOut, OtherLayout, Traffic};
pub use answers::output::{EqualLoss, Estimate};
pub use answers::plan::{
    Budget, LeftOut, Machine, Plan, PlanError, PlanRequest, PlannedRun, SEQ_LEN, Scaling, Shape, Trained, plan, shapes,
    usual_batch,
};
pub use answers::prediction::{Outcome, Prediction};
pub use answers::published::{PublishedCheck, against_published};
pub use answers::schedule::Schedule;
pub use answers::sweep::{Axes, Scenario, Sweep, draw_scenarios, sweep};
pub use answers::thesis::{ThesisClaim, thesis_claims};
pub use answers::training::{estimate, estimate_without_shares, estimates_of_record};
pub use answers::variance::VarianceShare;
pub use answers::whole_run::whole_run;
pub use error::EstimateError;
pub use layout_error::LayoutError;
pub use ledger::quantity::{Compared, Footprint, Quantity};
pub use ledger::traced::Derivation;
pub use request::cluster::{Cluster, Network, NetworkError, parse_devices_per_node};
pub use request::conditions::{Conditions, ConditionsBuilder};
pub use request::forecast::{common_dtype, ran_on, workload_of_forecast};
pub use request::input::{Assumption, Input, Value};
pub use request::layout::{Layout, LayoutSpec, Recompute};
pub use request::lost_time::{Failures, LostTime};
pub use request::own_software::OwnSoftware;
pub use request::recipe::Recipe;
pub use request::rent::Rent;
pub use request::spec::{ConditionsSpec, UsualSite};
pub use request::steps_to_loss::{StepsFactor, StepsToLoss};
pub use request::training::{Hardware, Request, unused_record};
pub use steps::carried::Watched;
pub use steps::given::modelled_power;
pub use steps::measured::measured_step;
pub use steps::model;
pub use steps::scaled::{CellCheck, TransferCheck, transfer_check};
pub use steps::step::{Basis, PhaseStep, StepSource};
