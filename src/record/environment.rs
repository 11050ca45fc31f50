//! The machine that was measured.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::catalog::Device;
use crate::meter::MeterInfo;
use crate::units::DType;

/// What computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compute {
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Brand string of the CPU, or the driver's name of the GPU.
    pub name: String,
    /// What the catalog says of it, if the catalog knows it: kept here so that every number can be worked
    /// out again from the record alone.
    pub hardware: Option<Device>,
    /// How many units of that catalog entry this machine has of it: 1 for a GPU, the visible share of a
    /// CPU, the number of virtual CPUs.
    pub hardware_share: f64,
    /// Memory of the device in bytes: the machine's for a CPU.
    pub memory_bytes: Option<u64>,
    /// Schemas before the third kept the peak of their one dtype here. It follows from `hardware`.
    #[serde(default, rename = "peak_flop_per_s", skip_serializing)]
    pub old_peak: IgnoredAny,
}

impl Compute {
    /// Peak rate of the share of the hardware that this machine has, as its maker states it, in FLOP/s.
    #[must_use]
    pub fn peak_flop_per_s(&self, dtype: DType) -> Option<f64> {
        Some(self.hardware.as_ref()?.peak.get(&dtype)?.base() * self.hardware_share)
    }
}

/// The fastest that the device was seen to be in this campaign, with the libraries that its steps use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// Large matrix products, by dtype.
    pub matmul: Vec<MatmulCeiling>,
    /// Bytes a second that a large copy within the device's memory reads and writes, both counted.
    pub copy_bytes_per_s: f64,
}

/// The rate of a large matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatmulCeiling {
    /// Number format.
    pub dtype: DType,
    /// Rows and columns of its square matrices.
    pub size: usize,
    /// FLOP/s of the fastest of several runs.
    pub flop_per_s: f64,
}

impl Ceilings {
    /// FLOP/s of a large matrix product in `dtype`.
    #[must_use]
    pub fn matmul_flop_per_s(&self, dtype: DType) -> Option<f64> {
        self.matmul.iter().find(|m| m.dtype == dtype).map(|m| m.flop_per_s)
    }
}

/// Something that could not be metered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmetered {
    /// What.
    pub what: String,
    /// Why, and what would help.
    pub reason: String,
}

/// The machine and the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Name of the machine.
    pub host: String,
    /// Operating system and its version.
    pub os: String,
    /// Brand string of the CPU.
    pub cpu: String,
    /// CPUs that the system shows.
    pub logical_cpus: usize,
    /// Threads that computed.
    pub threads: usize,
    /// Memory of the machine in bytes.
    pub memory_bytes: u64,
    /// What computed.
    pub compute: Compute,
    /// Meters that were read.
    pub meters: Vec<MeterInfo>,
    /// What was not metered, and why.
    pub unmetered: Vec<Unmetered>,
    /// What the meters read while nothing ran, and how often they change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<Baseline>,
    /// How fast the device is at its fastest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceilings: Option<Ceilings>,
}

/// A meter before the campaign: its idle reading and its update period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Which meter.
    pub domain: String,
    /// Power of the idle device in watts; of a model, what it says.
    pub idle_w: Option<f64>,
    /// Seconds over which it was measured; 0 if it is modelled.
    pub idle_s: f64,
    /// Time between two values of the sensor, as measured.
    pub update_s: Option<f64>,
    /// Standard deviation of that time.
    pub update_jitter_s: Option<f64>,
    /// Why something is not known.
    pub reason: Option<String>,
}
