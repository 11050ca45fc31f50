//! Groups of steps that start in step with a sensor.
//!
//! A sensor that looks at 25 ms of each 100 ms sees always the same part of a step whose length is a multiple or a
//! simple fraction of its period, however long one measures (Yang, Adamek and Armour, SC24, arXiv 2312.02741). So the
//! steps are run in groups: each waits for a tick of the sensor, and then for its own share of the period. The tick is
//! seen, not reckoned from the clock: a period that is wrong by 0.3 % is out of phase after a few seconds.

use crate::meter::Timing;
use crate::sensor::Watch;
use crate::stats::{Period, period_of_ticks};
use crate::units::Seconds;

/// Groups that tile the period of a sensor.
pub(super) const GROUPS: usize = 8;
/// How often a sensor is looked at while its tick is awaited.
pub(super) const POLL: Seconds = Seconds(0.005);
/// A tick that has not come after so many periods will not come.
const PATIENCE: f64 = 4.0;
/// The order in which groups take their phases, in eighths: any few of them are spread over the period.
const ORDER: [u8; GROUPS] = [0, 4, 2, 6, 1, 5, 3, 7];

/// Waits for the next value of the sensor and gives the time at which it was first seen; `None` if it did not change
/// within `timeout`, or cannot be read.
pub(super) fn next_tick(watch: &mut dyn Watch, poll: Seconds, timeout: Seconds) -> Option<Seconds> {
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
pub(super) fn measure_period(watch: &mut dyn Watch, poll: Seconds, ticks: usize, timeout: Seconds) -> Option<Period> {
    let end = watch.now() + timeout;
    let mut times = Vec::with_capacity(ticks);
    while times.len() < ticks && watch.now() < end {
        let left = end - watch.now();
        let Some(tick) = next_tick(watch, poll, left) else { break };
        times.push(tick.0);
    }
    (times.len() >= 10).then(|| period_of_ticks(&times)).flatten()
}

/// Waits until group `group` may start: a tick, and then its share of the period. Whether a tick was seen.
pub(super) fn await_phase(watch: &mut dyn Watch, timing: Timing, group: usize) -> bool {
    let tick = next_tick(watch, POLL, Seconds(PATIENCE * timing.update_s));
    watch.wait(Seconds(timing.update_s) * (f64::from(ORDER[group % GROUPS]) / GROUPS as f64));
    tick.is_some()
}
