//! In which state a GPU was while it was measured.

use serde::{Deserialize, Serialize};

use super::gpu::known;
use super::{NvmlDevice, NvmlLibrary};
use crate::sensor::SensorError;

/// Bits of `nvmlClocksThrottleReasons` (nvml.h) and what they mean.
const REASONS: [(u64, &str); 9] = [
    (0x1, "idle"),
    (0x2, "application clocks"),
    (0x4, "software power cap"),
    (0x8, "hardware slowdown"),
    (0x10, "sync boost"),
    (0x20, "software thermal slowdown"),
    (0x40, "hardware thermal slowdown"),
    (0x80, "hardware power brake"),
    (0x100, "display clocks"),
];
/// What does not spoil a measurement: an idle card lowers its clocks, a large product runs into the power limit, and
/// clocks that someone has set are part of the conditions.
const HARMLESS: u64 = 0x1 | 0x2 | 0x4 | 0x100;

/// A GPU at one moment. What the driver does not say is `None`, and its reason stands in `unanswered`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuState {
    /// The power limit that is enforced, in watts.
    pub power_limit_w: Option<f64>,
    /// Clock of the multiprocessors in MHz.
    pub sm_clock_mhz: Option<u32>,
    /// Clock of the memory in MHz.
    pub memory_clock_mhz: Option<u32>,
    /// Temperature of the chip in degrees Celsius.
    pub temperature_c: Option<u32>,
    /// What holds the clocks down.
    pub throttle_reasons: Option<Vec<String>>,
    /// Processes that use the card, numbered as the driver sees them.
    pub processes: Option<Vec<u32>>,
    /// Version of the driver.
    pub driver: Option<String>,
    /// Why the rest is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<String>,
}

impl GpuState {
    /// Reasons for low clocks that make a measurement one of something else: heat, a brake, a faulty supply.
    #[must_use]
    pub fn harmful_throttling(&self) -> Vec<&str> {
        let harmful = |reason: &&str| REASONS.iter().any(|(bit, name)| name == reason && bit & HARMLESS == 0);
        self.throttle_reasons.iter().flatten().map(String::as_str).filter(harmful).collect()
    }

    /// How many processes but `own`, which has work on the card, use it. A process in a container has another number
    /// for itself than the driver has for it: where none of the numbers is `own`, one of them is taken to be.
    #[must_use]
    pub fn others_beside(&self, own: u32) -> Option<usize> {
        let processes = self.processes.as_ref()?;
        let others = processes.iter().filter(|p| **p != own).count();
        Some(if others == processes.len() { others.saturating_sub(1) } else { others })
    }
}

/// A GPU whose state is asked for.
pub struct GpuWatch {
    device: Box<dyn NvmlDevice>,
    driver: Result<String, String>,
}

impl GpuWatch {
    /// Watches the GPU with this number in PCI order.
    ///
    /// # Errors
    /// If there is none, or it may not be used.
    pub fn open(library: &dyn NvmlLibrary, index: u32) -> Result<Self, SensorError> {
        let device = library.device(index).map_err(|e| SensorError::Nvml(e.to_string()))?;
        Ok(Self { device, driver: library.driver().map_err(|e| e.to_string()) })
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> GpuState {
        let mut unanswered: Vec<String> = self.driver.as_ref().err().into_iter().cloned().collect();
        let named = |bits: u64| {
            let mut names: Vec<String> =
                REASONS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
            let unknown = bits & !REASONS.iter().fold(0, |all, (bit, _)| all | bit);
            if unknown != 0 {
                names.push(format!("unknown reason {unknown:#x}"));
            }
            names
        };
        GpuState {
            power_limit_w: known(self.device.power_limit(), &mut unanswered).map(|w| w.0),
            sm_clock_mhz: known(self.device.sm_clock_mhz(), &mut unanswered),
            memory_clock_mhz: known(self.device.memory_clock_mhz(), &mut unanswered),
            temperature_c: known(self.device.temperature_c(), &mut unanswered),
            throttle_reasons: known(self.device.throttle_bits(), &mut unanswered).map(named),
            processes: known(self.device.processes(), &mut unanswered),
            driver: self.driver.as_ref().ok().cloned(),
            unanswered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::super::fake::FakeNvml;
    use super::*;

    fn state(library: &FakeNvml) -> GpuState {
        GpuWatch::open(library, 0).expect("there is a card").state()
    }

    #[test]
    fn each_part_of_the_state_is_missing_by_itself() {
        for query in Query::ALL {
            if matches!(query, Query::Device) {
                continue;
            }
            let s = state(&FakeNvml::two_cards().failing(query));
            let parts = [
                (Query::PowerLimit, s.power_limit_w.is_some()),
                (Query::SmClock, s.sm_clock_mhz.is_some()),
                (Query::MemoryClock, s.memory_clock_mhz.is_some()),
                (Query::Temperature, s.temperature_c.is_some()),
                (Query::ThrottleReasons, s.throttle_reasons.is_some()),
                (Query::Processes, s.processes.is_some()),
                (Query::Driver, s.driver.is_some()),
            ];
            for (part, known) in parts {
                assert_eq!(known, part != query, "{part} when {query} fails");
            }
            assert_eq!(s.unanswered.len(), usize::from(parts.iter().any(|(part, _)| *part == query)), "{query}");
        }
        assert!(GpuWatch::open(&FakeNvml::two_cards().failing(Query::Device), 0).is_err());
    }

    #[test]
    fn a_power_cap_is_noted_and_heat_is_held_against_the_measurement() {
        let capped = state(&FakeNvml::two_cards().throttled(0x4));
        assert_eq!(capped.throttle_reasons.as_deref(), Some(&["software power cap".to_owned()][..]));
        assert!(capped.harmful_throttling().is_empty());
        let hot = state(&FakeNvml::two_cards().throttled(0x4 | 0x40 | 0x1000));
        assert_eq!(hot.harmful_throttling(), ["hardware thermal slowdown"]);
        assert!(hot.throttle_reasons.expect("known").contains(&"unknown reason 0x1000".to_owned()));
    }

    #[test]
    fn other_processes_are_counted_also_from_within_a_container() {
        let with = |pids: &[u32]| state(&FakeNvml::two_cards().used_by(pids)).others_beside(7);
        assert_eq!(with(&[7]), Some(0));
        assert_eq!(with(&[7, 8]), Some(1));
        assert_eq!(with(&[4711]), Some(0), "this process under the host's number");
        assert_eq!(with(&[4711, 4712]), Some(1));
        assert_eq!(with(&[]), Some(0));
        assert_eq!(state(&FakeNvml::two_cards().failing(Query::Processes)).others_beside(7), None);
    }
}
