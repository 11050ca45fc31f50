//! Adds the accounts of many commands: of many hosts, processes and times. What several of them say of one device and one
//! time is counted once. Pure arithmetic: no clock, no file.

mod overlap;
mod parts;
mod read;
mod sums;

pub use parts::{DeviceTotal, Gap};
pub use read::{Summand, Unreadable, read};
pub use sums::{Sum, Total, sum};
