//! A model of the power of a CPU that has no meter. It is not a measurement and says so.

use std::time::Instant;

use sysinfo::System;

use super::{Coverage, EnergySource, Meter, MeterInfo, Reading, SensorError};
use crate::units::{Joules, Seconds, Watts};

/// Relative standard uncertainty of the model: a load model that is linear between idle power and TDP is
/// off by 38 % in the mean over the 106 calibration points of CodeCarbon (RAPL, 2026); rounded up.
const MODEL_UNCERTAINTY: f64 = 0.40;
/// Idle power as a share of TDP where the catalog gives none (CodeCarbon's load model).
const IDLE_SHARE_OF_TDP: f64 = 0.1;

/// Power that is linear in the load of the whole CPU: `idle + load x (tdp - idle)`.
pub struct LoadModel {
    info: MeterInfo,
    idle: Watts,
    full: Watts,
    system: System,
    last: Instant,
    load: f64,
    energy: Joules,
}

impl LoadModel {
    /// A model between `idle` (a tenth of the TDP if unknown) and `tdp`, both already for the part of the
    /// CPU that this machine may use.
    #[must_use]
    pub fn new(domain: String, coverage: Coverage, idle: Option<Watts>, tdp: Watts) -> Self {
        let idle = idle.unwrap_or(tdp * IDLE_SHARE_OF_TDP);
        let mut system = System::new();
        system.refresh_cpu_usage();
        let note = format!(
            "modelled, not measured: linear in CPU load between {idle:.1} and {tdp:.1}, standard uncertainty 40 %"
        );
        Self {
            info: MeterInfo {
                source: EnergySource::Model,
                domain,
                coverage,
                gain_uncertainty: MODEL_UNCERTAINTY,
                note,
            },
            idle,
            full: tdp,
            system,
            last: Instant::now(),
            load: 0.0,
            energy: Joules(0.0),
        }
    }

    fn power(&self) -> Watts {
        self.idle + (self.full - self.idle) * self.load
    }
}

impl Meter for LoadModel {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    /// Energy since the model was opened. The load is that of the time since the last reading; readings
    /// closer together than the system's counters can tell keep the load of the reading before.
    fn read(&mut self) -> Result<Reading, SensorError> {
        let elapsed = self.last.elapsed();
        if elapsed >= sysinfo::MINIMUM_CPU_UPDATE_INTERVAL {
            self.system.refresh_cpu_usage();
            self.load = (f64::from(self.system.global_cpu_usage()) / 100.0).clamp(0.0, 1.0);
        }
        self.energy += self.power() * Seconds(elapsed.as_secs_f64());
        self.last = Instant::now();
        Ok(Reading::Cumulative(self.energy))
    }

    fn period(&self) -> Seconds {
        Seconds(0.25)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_lies_between_idle_and_full_power_and_calls_itself_a_model() {
        let mut model = LoadModel::new("cpu".to_owned(), Coverage::CpuPackage, None, Watts(100.0));
        assert_eq!(model.info().source, EnergySource::Model);
        assert!(model.info().note.contains("modelled, not measured"));
        let opened = Instant::now();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let Ok(Reading::Cumulative(energy)) = model.read() else { panic!("a counter") };
        let power = energy / Seconds(opened.elapsed().as_secs_f64());
        assert!(power.0 >= 9.9 && power.0 <= 101.0, "{power}");
    }
}
