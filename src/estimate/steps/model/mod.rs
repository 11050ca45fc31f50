//! Hardware that was not measured: operators, efficiencies fitted to published runs, networks, power.

mod efficiency;
mod figures;
mod fit;
mod network;
mod own_software;
mod parameters;
mod power;
mod shard_time;
mod step_time;

pub(in crate::estimate) use efficiency::SOFTWARE;
pub use efficiency::{Constant, Efficiency, EfficiencyTable, Loadings};
pub use figures::DeviceFigures;
pub(in crate::estimate) use fit::UNSTATED_ACCUMULATION;
pub use fit::{Calibration, HeldOut, Observation, observations, source_weights};
pub use network::{
    BETWEEN_MACHINES, Exchange, Factors, Stragglers, WAITING_SHARE, all_reduce, all_to_all, exchange,
    inputs as exchange_inputs, straggler, waiting_w,
};
pub use own_software::OwnRun;
pub use parameters::{SHARED, SoftwareSpread};
pub use power::{OTHER_DESIGN_SD, PowerCheck, busy_w, power_checks};
pub use shard_time::{ShardTime, Tuning};
pub(in crate::estimate) use step_time::execution;
pub use step_time::{Class, StepTime, Work};
