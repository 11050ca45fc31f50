//! Groups of steps that start in step with a sensor.
//!
//! A sensor that looks at 25 ms of each 100 ms sees always the same part of a step whose length is a multiple or a
//! simple fraction of its period, however long one measures (Yang, Adamek and Armour, SC24, arXiv 2312.02741). So the
//! steps are run in groups: each waits for a tick of the sensor, and then for its own share of the period. The tick is
//! seen, not reckoned from the clock: a period that is wrong by 0.3 % is out of phase after a few seconds.

use crate::stats::{Period, period_of_ticks};
use crate::units::Seconds;

/// Groups that tile the period of a sensor.
pub const GROUPS: usize = 8;
/// How often a sensor is looked at while its tick is awaited.
pub const POLL: Seconds = Seconds(0.005);
/// A tick that has not come after so many periods will not come.
const PATIENCE: f64 = 4.0;
/// The order in which groups take their phases, in eighths: any few of them are spread over the period.
const ORDER: [u8; GROUPS] = [0, 4, 2, 6, 1, 5, 3, 7];

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
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Time between two values, as measured.
    pub update_s: f64,
    /// Time that one value is the mean of; shorter than `update_s`: part of the time goes unseen.
    pub window_s: f64,
}

/// Waits for the next value of the sensor and gives the time at which it was first seen; `None` if it did not change
/// within `timeout`, or cannot be read.
pub fn next_tick(watch: &mut dyn Watch, poll: Seconds, timeout: Seconds) -> Option<Seconds> {
    let (began, before) = (watch.now(), watch.show()?);
    while watch.now() - began < timeout {
        watch.wait(poll);
        if watch.show()? != before {
            return Some(watch.now());
        }
    }
    None
}

/// The period of a sensor from `ticks` of them, or from as many as came before `timeout`; `None` below ten.
pub fn measure_period(watch: &mut dyn Watch, poll: Seconds, ticks: usize, timeout: Seconds) -> Option<Period> {
    let end = watch.now() + timeout;
    let mut times = Vec::with_capacity(ticks);
    while times.len() < ticks && watch.now() < end {
        let left = end - watch.now();
        times.push(next_tick(watch, poll, left)?.0);
    }
    (times.len() >= 10).then(|| period_of_ticks(&times)).flatten()
}

/// Waits until group `group` may start: a tick, and then its share of the period. Whether a tick was seen.
pub fn await_phase(watch: &mut dyn Watch, timing: Timing, group: usize) -> bool {
    let tick = next_tick(watch, POLL, Seconds(PATIENCE * timing.update_s));
    watch.wait(Seconds(timing.update_s) * (f64::from(ORDER[group % GROUPS]) / GROUPS as f64));
    tick.is_some()
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
