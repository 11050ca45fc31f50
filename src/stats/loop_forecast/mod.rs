//! How long a loop takes as a whole, from the times at which its first steps were reached.

mod forecast;
mod level;
mod pauses;
mod scenarios;
mod spans;
#[cfg(test)]
mod tests;
mod warm_up;

pub use forecast::{LoopForecast, loop_forecast};
pub use pauses::LoopPause;
