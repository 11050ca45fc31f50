//! What can be metered: one trait, its meters (NVML, RAPL, models), and a thread that samples them.
//!
//! A meter returns what it read, in joules or watts, and never a zero for a reading that failed. Energy is
//! worked out later, from the raw samples.

mod advance;
mod cgroup;
mod cpu_clock;
mod error;
mod fake;
mod load_model;
mod nvml;
mod proc_stat;
mod ram_model;
mod rapl;
mod sampler;
mod slot;
mod watch;

use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use cgroup::{CgroupLimits, cgroup_limits};
pub use cpu_clock::CpuClock;
pub use error::SensorError;
pub use fake::FakeMeter;
pub use load_model::LoadModel;
#[cfg(test)]
pub(crate) use nvml::FakeNvml;
pub use nvml::{
    CudaIdentity, Driver, GpuInfo, GpuState, GpuWatch, MigInstance, NoAnswer, NvmlDevice, NvmlLibrary, NvmlMeter,
    Query, Selected, Visible, find_gpu, list_gpus, visible_gpus,
};
pub use proc_stat::TICKS_PER_SECOND;
pub use ram_model::RamModel;
pub use rapl::{DEFAULT_POWERCAP_ROOT, Rapl, RaplMeter, open_rapl};
pub use sampler::{MeterFacts, MeterWatch, Reader, Sampler};
pub use slot::{Doubt, Latest, MeterLog, Sample};
pub use watch::{Timing, Watch};

use crate::units::{Joules, Seconds, Watts};

/// One reading, and which kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Energy since some fixed moment; only differences mean anything.
    Cumulative(Joules),
    /// Power now, or averaged over the sensor's window.
    Instant(Watts),
    /// Both, of a meter that has a counter and a power sensor.
    Both(Joules, Watts),
}

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

/// Something that can be read.
pub trait Meter: Send {
    /// What it is.
    fn info(&self) -> &MeterInfo;

    /// One poll: no history, nothing filled in.
    ///
    /// # Errors
    /// If the hardware gives no reading.
    fn read(&mut self) -> Result<Reading, SensorError>;

    /// The same, at a moment that a model takes for now: so its joules and the time beside them are of one moment.
    ///
    /// # Errors
    /// If the hardware gives no reading.
    fn read_at(&mut self, _now: Instant) -> Result<Reading, SensorError> {
        self.read()
    }

    /// How often it is worth reading.
    fn period(&self) -> Seconds;

    /// How often its value changes, as far as is known before it has been measured: energy of a shorter time cannot
    /// be told.
    fn resolution(&self) -> Seconds;

    /// Whether its power is the mean of a longer time than passes between two values.
    fn averages(&self) -> bool {
        false
    }

    /// More than it can draw: readings beyond are not believed. `None`: all are, or it sorts them out by itself.
    fn most_power(&self) -> Option<Watts> {
        None
    }

    /// Seconds that its energy so far leaves out, because what was read in them cannot be.
    fn unread(&self) -> Seconds {
        Seconds(0.0)
    }

    /// What its energy lacks by now, if a part of what it covers is not counted.
    fn lacks(&self) -> Option<String> {
        None
    }

    /// What a model says of the idle machine; measured by no meter by itself.
    fn idle_power(&self) -> Option<Watts> {
        None
    }
}
