//! A model of the power of a CPU that has no meter. It is not a measurement and says so.

use std::time::Instant;

use super::{CpuClock, Meter, Reading, SensorError};
use crate::meter::{Coverage, EnergySource, MeterInfo};
use crate::units::{Joules, Seconds, Watts};

/// Relative standard uncertainty of the model: a load model that is linear between idle power and TDP is
/// off by 38 % in the mean over the 106 calibration points of CodeCarbon (RAPL, 2026); rounded up.
const MODEL_UNCERTAINTY: f64 = 0.40;

/// Power that is linear in the load of what this machine, or this container, may use of the CPU:
/// `idle + load x (tdp - idle)`.
pub struct LoadModel {
    info: MeterInfo,
    idle: Watts,
    full: Watts,
    clock: CpuClock,
    last: (Instant, f64),
    load: f64,
    energy: Joules,
}

impl LoadModel {
    /// A model between `idle` and `tdp`, both already for the part of the
    /// CPU that this machine may use, which is as busy as `clock` tells.
    #[must_use]
    pub fn new(domain: String, coverage: Coverage, idle: Watts, tdp: Watts, mut clock: CpuClock) -> Self {
        let note = format!(
            "modelled, not measured: linear in CPU load between {idle:.1} and {tdp:.1}, standard uncertainty 40 %"
        );
        let info =
            MeterInfo { source: EnergySource::Model, domain, coverage, gain_uncertainty: MODEL_UNCERTAINTY, note };
        let last = (Instant::now(), clock.busy_cpu_seconds());
        Self { info, idle, full: tdp, clock, last, load: 0.0, energy: Joules(0.0) }
    }

    /// What the model says of an idle machine.
    #[must_use]
    pub fn idle(&self) -> Watts {
        self.idle
    }

    /// Counts `elapsed` in which the CPUs were busy for `busy` CPU-seconds.
    fn advance(&mut self, elapsed: Seconds, busy: f64) {
        if elapsed >= self.clock.resolution() {
            self.load = (busy / (elapsed.0 * self.clock.cpus())).clamp(0.0, 1.0);
        }
        self.energy += (self.idle + (self.full - self.idle) * self.load) * elapsed;
    }
}

impl Meter for LoadModel {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    /// Energy since the model was opened. The load is that of the time since the last reading; readings
    /// closer together than the system's clock can tell keep the load of the reading before.
    fn read(&mut self) -> Result<Reading, SensorError> {
        self.read_at(Instant::now())
    }

    fn read_at(&mut self, now: Instant) -> Result<Reading, SensorError> {
        let now = (now, self.clock.busy_cpu_seconds());
        let elapsed = Seconds((now.0 - self.last.0).as_secs_f64());
        self.advance(elapsed, now.1 - self.last.1);
        self.last = now;
        Ok(Reading::Cumulative(self.energy))
    }

    fn period(&self) -> Seconds {
        Seconds(0.25)
    }

    fn resolution(&self) -> Seconds {
        self.clock.resolution()
    }

    fn idle_power(&self) -> Option<Watts> {
        Some(self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(cpus: f64) -> LoadModel {
        let clock = CpuClock::fixed(cpus);
        LoadModel::new("cpu".to_owned(), Coverage::CpuPackage, Watts(20.0), Watts(100.0), clock)
    }

    #[test]
    fn half_the_load_is_half_way_from_idle_to_full_power() {
        let mut model = model(4.0);
        model.advance(Seconds(10.0), 20.0); // 2 of 4 CPUs: 60 W
        assert!((model.energy.0 - 600.0).abs() < 1e-9);
        model.advance(Seconds(1.0), 0.0); // idle: 20 W
        model.advance(Seconds(1.0), 99.0); // more than there is: 100 W
        assert!((model.energy.0 - 720.0).abs() < 1e-9);
    }

    #[test]
    fn the_model_calls_itself_a_model() {
        let model = model(4.0);
        assert_eq!(model.info().source, EnergySource::Model);
        assert!(model.info().note.contains("modelled, not measured"));
        assert!(model.info().note.contains("between 20.0 W and 100.0 W"), "{}", model.info().note);
    }

    #[test]
    fn a_busy_thread_shows_in_the_clock_of_the_machine() {
        let mut clock = CpuClock::of_machine();
        let (began, before) = (Instant::now(), clock.busy_cpu_seconds());
        let mut x = 0u64;
        while began.elapsed().as_millis() < 300 {
            x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(1));
        }
        let busy = clock.busy_cpu_seconds() - before;
        // Other tests run beside it, and the machine may give this one little; but some.
        assert!(busy > 0.02 && busy <= 0.4 * clock.cpus().max(1.0) + 1.0, "{busy} of {} CPUs", clock.cpus());
    }
}
