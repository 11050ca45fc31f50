//! A sensor that is watched for its ticks, and how it shows what it measures.

use serde::{Deserialize, Serialize};

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

/// How a sensor shows what it measures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Time between two values, as measured.
    pub update_s: f64,
    /// Time that one value is the mean of; shorter than `update_s`: part of the time goes unseen.
    pub window_s: f64,
}

impl Timing {
    /// How long after a moment the sensor is at the middle of showing the value of that moment: half the window that
    /// lies before a value, and half the time for which it stands.
    #[must_use]
    pub fn delay(self) -> Seconds {
        Seconds(f64::midpoint(self.window_s, self.update_s))
    }

    /// What a value of a long average carries over an edge of a group; 0 for a sensor that looks at short windows.
    #[must_use]
    pub fn smear(self) -> Seconds {
        if self.window_s > 1.5 * self.update_s { Seconds(self.window_s / 2.0) } else { Seconds(0.0) }
    }

    /// How long the device has to rest after a group until all of it has been shown.
    #[must_use]
    pub fn settling(self) -> Seconds {
        self.smear() + self.smear() + self.delay() + Seconds(self.update_s)
    }
}
