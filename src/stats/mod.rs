//! Statistics on slices of numbers; knows nothing of transformers or hardware.

mod batch_means;
mod integrate;
mod interval;
mod least_squares;
mod line;
mod loop_forecast;
mod mixture;
mod period;
mod quantile;
mod ratio;
mod reach;
mod steady;
mod uncertain;

pub use batch_means::{Mean, batch_means};
pub use integrate::{counter_total, never_falls, staircase, ticks, trapezoid};
pub use interval::{Interval, with_gain};
pub use least_squares::{Cholesky, Fit, Prior, fit_robust};
pub use line::on_the_line;
pub use loop_forecast::{LoopForecast, LoopPause, loop_forecast};
pub use mixture::{Component, mixture_quantile, weighted_quantile};
pub use period::{Period, period_of_ticks};
pub use quantile::{median, quantile_sorted};
pub use ratio::{ratio_of_means, ratio_of_pairs};
pub use reach::first_reached;
pub use steady::{Drift, drift};
pub use uncertain::{Distribution, Stream};
