//! Statistics on slices of numbers; knows nothing of transformers or hardware.

mod batch_means;
mod integrate;
mod interval;
mod least_squares;
mod quantile;
mod uncertain;

pub use batch_means::{Mean, batch_means};
pub use integrate::{counter_total, trapezoid};
pub use interval::Interval;
pub use least_squares::{Cholesky, Fit, Prior, fit_robust};
pub use quantile::{median, quantile_sorted};
pub use uncertain::{Distribution, Stream};
