//! The vocabulary of what a meter says: what it is, what it read, and the state of the GPU that it is on. Meters speak
//! it, records keep it, and everything above reads it.

use serde::{Deserialize, Serialize};

/// Where an energy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergySource {
    /// NVML's total-energy counter.
    NvmlCounter,
    /// NVML power readings, integrated.
    NvmlPower,
    /// RAPL counters through the kernel's powercap files.
    Rapl,
    /// Not measured: modelled from the load of the CPU.
    Model,
    /// Made up, for tests.
    Fake,
}

impl EnergySource {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NvmlCounter => "nvml-counter",
            Self::NvmlPower => "nvml-power",
            Self::Rapl => "rapl",
            Self::Model => "model",
            Self::Fake => "fake",
        }
    }
}

/// Which part of the machine a meter's joules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// A GPU board.
    Gpu,
    /// The CPU package.
    CpuPackage,
    /// The memory of the CPU.
    Dram,
    /// A share of a whole server.
    NodeShare,
    /// A module of CPU, GPU and memory (Grace).
    Module,
}

impl Coverage {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Gpu => "GPU board",
            Self::CpuPackage => "CPU package",
            Self::Dram => "memory",
            Self::NodeShare => "share of a server",
            Self::Module => "module of CPU, GPU and memory",
        }
    }
}

/// What a meter is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterInfo {
    /// Where its joules come from.
    pub source: EnergySource,
    /// Which device or zone it is (`package-0`).
    pub domain: String,
    /// What its joules are for.
    pub coverage: Coverage,
    /// Relative standard uncertainty of its gain: all its readings are too high or too low together.
    pub gain_uncertainty: f64,
    /// How that uncertainty is known, and how the reading is made.
    pub note: String,
}

/// One raw reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Seconds since the campaign began.
    pub time_s: f64,
    /// Energy since a fixed moment, of a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_j: Option<f64>,
    /// Power, of a power sensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_w: Option<f64>,
    /// What is not believed, or not counted, of the meter's readings. Elsewhere: a record has millions of readings, and
    /// hardly one of them has a doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Box<Doubt>>,
}

/// What is to be known beside a reading.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubt {
    /// Seconds so far that the energy leaves out: the counter showed in them what its device cannot have drawn.
    #[serde(default)]
    pub unread_s: f64,
    /// Power that was read now and is not believed, because the device cannot draw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_w: Option<f64>,
    /// Whether one of several counters stands still, so that the energy lacks its part.
    #[serde(default)]
    pub partial: bool,
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
    /// Seconds after a moment at which the sensor is at the middle of showing the value of that moment: half the window that
    /// lies before a value, and half the time for which it stands.
    #[must_use]
    pub fn delay_s(self) -> f64 {
        f64::midpoint(self.window_s, self.update_s)
    }

    /// Seconds that a value of a long average carries over an edge of a group; 0 for a sensor that looks at short windows.
    #[must_use]
    pub fn smear_s(self) -> f64 {
        if self.window_s > 1.5 * self.update_s { self.window_s / 2.0 } else { 0.0 }
    }

    /// Seconds for which the device has to rest after a group until all of it has been shown.
    #[must_use]
    pub fn settling_s(self) -> f64 {
        2.0 * self.smear_s() + self.delay_s() + self.update_s
    }
}

/// What one meter read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeterTrace {
    /// Which meter.
    pub meter: MeterInfo,
    /// Raw readings, in order.
    pub samples: Vec<Sample>,
    /// Why it stopped, if it did.
    pub failure: Option<String>,
    /// How its sensor shows what it measures, where that was found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// What it reads, or its model says, when the device is idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_w: Option<f64>,
}

/// Bits of `nvmlClocksThrottleReasons` (nvml.h) and what they mean.
pub(crate) const THROTTLE_REASONS: [(u64, &str); 9] = [
    (0x1, "idle"),
    (0x2, "application clocks"),
    (POWER_CAP, "software power cap"),
    (0x8, "hardware slowdown"),
    (0x10, "sync boost"),
    (0x20, "software thermal slowdown"),
    (0x40, "hardware thermal slowdown"),
    (0x80, "hardware power brake"),
    (0x100, "display clocks"),
];
/// What does not spoil a measurement: an idle card lowers its clocks, a large product runs into the power limit, and
/// clocks that someone has set are part of the conditions.
const HARMLESS: u64 = 0x1 | 0x2 | POWER_CAP | 0x100;
const POWER_CAP: u64 = 0x4;

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
        let harmful = |reason: &&str| THROTTLE_REASONS.iter().any(|(bit, name)| name == reason && bit & HARMLESS == 0);
        self.throttle_reasons.iter().flatten().map(String::as_str).filter(harmful).collect()
    }

    /// Whether the power limit holds the clocks down.
    #[must_use]
    pub fn is_at_power_limit(&self) -> bool {
        let at_limit = |reason: &String| THROTTLE_REASONS.iter().any(|(bit, name)| name == reason && *bit == POWER_CAP);
        self.throttle_reasons.iter().flatten().any(at_limit)
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
