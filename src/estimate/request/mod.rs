//! What is asked: the run, the architectures, the hardware, the grid and the prices.

pub(super) mod cluster;
pub(super) mod conditions;
pub(super) mod forecast;
pub(super) mod input;
pub(super) mod layout;
pub(super) mod lost_time;
pub(super) mod own_software;
pub(super) mod recipe;
pub(super) mod rent;
pub(super) mod spec;
pub(super) mod steps_to_loss;
pub(super) mod training;
