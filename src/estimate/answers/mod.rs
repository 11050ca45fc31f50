//! What people ask for: an estimate, the footprint of known hours, a comparison, a sweep, a start, a check, what a budget buys.

pub(super) mod account;
pub(super) mod compare;
pub(super) mod crossover;
mod describe;
mod draws;
pub(super) mod elsewhere;
pub(super) mod equal_loss;
mod explain;
pub(super) mod footprint;
pub(super) mod frontier;
pub(super) mod laid_out;
mod moments;
pub(super) mod output;
pub(super) mod plan;
pub(super) mod prediction;
pub(super) mod published;
pub(super) mod schedule;
pub(super) mod sweep;
pub(super) mod thesis;
pub(super) mod training;
pub(super) mod variance;
pub(super) mod whole_run;
