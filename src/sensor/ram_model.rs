//! A model of the power of memory that has no meter.

use std::time::Instant;

use super::{Meter, Reading, SensorError};
use crate::meter::{Coverage, EnergySource, MeterInfo};
use crate::units::{Bytes, Seconds, Watts};

/// Watts of a gigabyte: 0.3725 (Green Algorithms, Lannelongue et al. 2021). Others give 0.284 (Boavizta), 0.392 (Cloud
/// Carbon Footprint) and 0.54 (Boavizta for another generation).
const WATTS_PER_GB: f64 = 0.3725;
/// Relative standard uncertainty that spans those figures.
const UNCERTAINTY: f64 = 0.30;
/// The same where the figure for the processors may hold a part of the memory: a virtual CPU's is its share of a whole
/// server, with a few gigabytes for each (SPECpower servers). That part is not known; judgement.
const UNCERTAINTY_BESIDE_VCPUS: f64 = 0.50;

/// Power in proportion to the memory that is there, whether it is used or not: it has to be refreshed.
pub struct RamModel {
    info: MeterInfo,
    power: Watts,
    opened: Instant,
}

impl RamModel {
    /// A model of `memory`: the machine's, or what the container may use. `beside_vcpus`: the processors are modelled
    /// by figures for virtual CPUs.
    #[must_use]
    pub fn new(memory: Bytes, beside_vcpus: bool) -> Self {
        let gigabytes = memory.0 / 1e9;
        let gain_uncertainty = if beside_vcpus { UNCERTAINTY_BESIDE_VCPUS } else { UNCERTAINTY };
        let info = MeterInfo {
            source: EnergySource::Model,
            domain: format!("{gigabytes:.1} GB memory"),
            coverage: Coverage::Dram,
            gain_uncertainty,
            note: format!(
                "modelled, not measured: {WATTS_PER_GB} W for each GB, standard uncertainty {:.0} %",
                100.0 * gain_uncertainty
            ),
        };
        Self { info, power: Watts(WATTS_PER_GB * gigabytes), opened: Instant::now() }
    }
}

impl Meter for RamModel {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    fn read(&mut self) -> Result<Reading, SensorError> {
        self.read_at(Instant::now())
    }

    fn read_at(&mut self, now: Instant) -> Result<Reading, SensorError> {
        Ok(Reading::Cumulative(self.power * Seconds((now - self.opened).as_secs_f64())))
    }

    fn period(&self) -> Seconds {
        Seconds(1.0)
    }

    fn resolution(&self) -> Seconds {
        Seconds(0.0)
    }

    fn idle_power(&self) -> Option<Watts> {
        Some(self.power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_gigabytes_take_six_watts_at_all_times() {
        let model = RamModel::new(Bytes(16e9), false);
        assert_eq!(model.idle_power(), Some(Watts(5.96)));
        assert_eq!(model.info().coverage, Coverage::Dram);
        assert!(RamModel::new(Bytes(16e9), true).info().gain_uncertainty > model.info().gain_uncertainty);
        assert!(model.info().note.contains("modelled, not measured"));
    }
}
