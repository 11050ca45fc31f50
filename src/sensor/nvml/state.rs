//! In which state a GPU was while it was measured.

use super::gpu::known;
use super::{NvmlDevice, NvmlLibrary};
use crate::meter::{GpuState, THROTTLE_REASONS};
use crate::sensor::SensorError;

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
            let mut names: Vec<String> = THROTTLE_REASONS
                .iter()
                .filter(|(bit, _)| bits & bit != 0)
                .map(|(_, name)| (*name).to_owned())
                .collect();
            let unknown = bits & !THROTTLE_REASONS.iter().fold(0, |all, (bit, _)| all | bit);
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
