//! A sensor that is watched for its ticks.

use crate::units::Seconds;

/// A sensor that is watched, and the clock it is watched by.
pub trait Watch {
    /// The time.
    fn now(&self) -> Seconds;
    /// Lets `time` pass.
    fn wait(&mut self, time: Seconds);
    /// What the sensor shows: joules or watts. `None` if it cannot be read.
    fn show(&mut self) -> Option<f64>;
}
