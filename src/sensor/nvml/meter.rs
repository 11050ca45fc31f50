//! The energy counter and the power of a GPU, read together.

use super::{NvmlDevice, NvmlLibrary, Query};
use crate::meter::{Coverage, EnergySource, MeterInfo};
use crate::sensor::advance::{MOST_OF_A_GPU, most_power};
use crate::sensor::{Meter, Reading, SensorError};
use crate::units::{Joules, Seconds, Watts};

/// Relative standard uncertainty of an uncalibrated GPU power sensor: gain errors of nine cards scatter by
/// 5.3 % (Yang, Adamek and Armour, SC24, artifact of arXiv 2312.02741).
const GPU_GAIN_UNCERTAINTY: f64 = 0.053;
/// How often it is read: five times in the 100 ms in which most cards renew their values.
const SAMPLED_EACH: Seconds = Seconds(0.02);

/// Which call reads the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PowerCall {
    Instant,
    Usage,
    Module,
}

/// The energy counter of a GPU, and its power beside it as a cross-check or in its place.
pub struct NvmlMeter {
    info: MeterInfo,
    device: Box<dyn NvmlDevice>,
    counter: bool,
    power: Option<PowerCall>,
    most: Watts,
}

impl NvmlMeter {
    /// Opens the meter of the GPU with this number in PCI order, which the driver calls `gpu`. A card that is part of
    /// a module with a CPU and has no sensor of its own is read with the module, and labelled so.
    ///
    /// # Errors
    /// If there is no such GPU, or none of its readings can be had.
    pub fn open(library: &dyn NvmlLibrary, index: u32) -> Result<Self, SensorError> {
        let device = library.device(index).map_err(|e| SensorError::Nvml(e.to_string()))?;
        let uuid = device.uuid().unwrap_or_else(|_| format!("GPU {index}"));
        let (energy, instant, usage) = (device.energy(), device.power_instant(), device.power_usage());
        let own = energy.is_ok() || instant.is_ok() || usage.is_ok();
        let (counter, power, coverage) = if own {
            let call = match (&instant, &usage) {
                (Ok(_), _) => Some(PowerCall::Instant),
                (Err(_), Ok(_)) => Some(PowerCall::Usage),
                (Err(_), Err(_)) => None,
            };
            (energy.is_ok(), call, Coverage::Gpu)
        } else {
            let call = device.module_power().is_ok().then_some(PowerCall::Module);
            (device.module_energy().is_ok(), call, Coverage::Module)
        };
        if !counter && power.is_none() {
            let reasons = [energy.err(), instant.err(), usage.err()];
            let reasons: Vec<String> = reasons.iter().flatten().map(ToString::to_string).collect();
            return Err(SensorError::NoGpuPower { gpu: uuid, reason: reasons.join("; ") });
        }
        let name = device.name().unwrap_or_else(|_| "GPU".to_owned());
        let cut = device.mig_enabled().unwrap_or(false);
        let info = MeterInfo {
            source: if counter { EnergySource::NvmlCounter } else { EnergySource::NvmlPower },
            domain: format!("{name} {uuid}"),
            coverage,
            gain_uncertainty: GPU_GAIN_UNCERTAINTY,
            note: note(coverage, power, cut),
        };
        // The limit of a module's GPU is not that of the module.
        let limit = device.power_limit().ok().filter(|_| coverage == Coverage::Gpu);
        let most = most_power(limit, MOST_OF_A_GPU);
        Ok(Self { info, device, counter, power, most })
    }

    fn energy(&self) -> Option<Result<Joules, super::NoAnswer>> {
        let module = self.info.coverage == Coverage::Module;
        self.counter.then(|| if module { self.device.module_energy() } else { self.device.energy() })
    }

    fn power(&self) -> Option<Result<Watts, super::NoAnswer>> {
        self.power.map(|call| match call {
            PowerCall::Instant => self.device.power_instant(),
            PowerCall::Usage => self.device.power_usage(),
            PowerCall::Module => self.device.module_power(),
        })
    }
}

fn note(coverage: Coverage, power: Option<PowerCall>, cut: bool) -> String {
    let mut note = "measured by the GPU's own sensor, standard uncertainty 5 %".to_owned();
    if coverage == Coverage::Module {
        note.push_str("; covers the whole module of CPU, GPU and memory");
    }
    if power == Some(PowerCall::Usage) {
        note.push_str("; its power may be the mean of the last second, as no instantaneous reading is given");
    }
    if cut {
        note.push_str("; covers the whole board, which is cut into MIG instances that have no sensor");
    }
    note
}

impl Meter for NvmlMeter {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    /// Both readings. One that fails now and then leaves a gap; both failing is an error.
    fn read(&mut self) -> Result<Reading, SensorError> {
        let (energy, power) = (self.energy(), self.power());
        match (energy.as_ref().and_then(|e| e.as_ref().ok()), power.as_ref().and_then(|p| p.as_ref().ok())) {
            (Some(energy), Some(power)) => Ok(Reading::Both(*energy, *power)),
            (Some(energy), None) => Ok(Reading::Cumulative(*energy)),
            (None, Some(power)) => Ok(Reading::Instant(*power)),
            (None, None) => {
                let failed = energy.and_then(Result::err).or(power.and_then(Result::err));
                let failed = failed.unwrap_or_else(|| Query::Energy.unanswered("not opened"));
                Err(SensorError::NoGpuPower { gpu: self.info.domain.clone(), reason: failed.to_string() })
            }
        }
    }

    fn most_power(&self) -> Option<Watts> {
        Some(self.most)
    }

    fn period(&self) -> Seconds {
        SAMPLED_EACH
    }

    fn resolution(&self) -> Seconds {
        // Turing to Hopper; 20 ms before (Yang, Adamek and Armour, SC24).
        Seconds(0.1)
    }

    fn averages(&self) -> bool {
        self.power == Some(PowerCall::Usage)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeNvml;
    use super::*;

    #[test]
    fn whichever_single_query_fails_energy_is_still_read_in_the_best_way_that_is_left() {
        for query in Query::ALL {
            let opened = NvmlMeter::open(&FakeNvml::two_cards().failing(query), 0);
            if query == Query::Device {
                assert!(opened.is_err());
                continue;
            }
            let mut meter = opened.unwrap_or_else(|e| panic!("{query}: {e}"));
            let reading = meter.read().expect("it reads");
            let (expected, source) = match query {
                Query::Energy => (Reading::Instant(Watts(250.0)), EnergySource::NvmlPower),
                // The usual reading takes the place of the instantaneous one, and the note says what it is.
                Query::PowerInstant => (Reading::Both(Joules(1000.0), Watts(240.0)), EnergySource::NvmlCounter),
                _ => (Reading::Both(Joules(1000.0), Watts(250.0)), EnergySource::NvmlCounter),
            };
            assert_eq!(reading, expected, "{query}");
            assert_eq!(meter.info().source, source, "{query}");
            assert_eq!(meter.info().coverage, Coverage::Gpu, "{query}");
            assert_eq!(meter.info().note.contains("last second"), query == Query::PowerInstant, "{query}");
        }
    }

    #[test]
    fn a_card_without_any_reading_says_why_for_each() {
        let library = FakeNvml::two_cards()
            .failing(Query::Energy)
            .failing(Query::PowerInstant)
            .failing(Query::PowerUsage)
            .failing(Query::ModuleEnergy)
            .failing(Query::ModulePower);
        let Err(error) = NvmlMeter::open(&library, 0) else { panic!("there is nothing to read") };
        let text = error.to_string();
        for part in ["GPU-aaaa", "energy counter: made to fail", "instantaneous power: made to fail"] {
            assert!(text.contains(part), "`{part}` in {text}");
        }
    }

    #[test]
    fn a_grace_module_is_read_as_a_module_and_labelled_so() {
        let library =
            FakeNvml::two_cards().failing(Query::Energy).failing(Query::PowerInstant).failing(Query::PowerUsage);
        let mut meter = NvmlMeter::open(&library, 0).expect("the module is metered");
        assert_eq!(meter.info().coverage, Coverage::Module);
        assert!(meter.info().note.contains("whole module"));
        assert_eq!(meter.read().expect("it reads"), Reading::Both(Joules(5000.0), Watts(600.0)));
    }

    #[test]
    fn a_reading_that_fails_later_leaves_a_gap_and_both_failing_is_an_error() {
        let library = FakeNvml::two_cards();
        let mut meter = NvmlMeter::open(&library, 0).expect("it opens");
        library.fail_from_now(Query::Energy);
        assert_eq!(meter.read().expect("power is left"), Reading::Instant(Watts(250.0)));
        library.fail_from_now(Query::PowerInstant);
        assert!(meter.read().expect_err("nothing is left").to_string().contains("energy counter: made to fail"));
    }

    #[test]
    fn the_power_of_a_card_in_instances_is_said_to_be_the_board_s() {
        let meter = NvmlMeter::open(&FakeNvml::cut_card(), 0).expect("the board is metered");
        assert!(meter.info().note.contains("whole board, which is cut into MIG instances"));
    }
}
