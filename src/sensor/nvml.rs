//! GPU energy through NVML, which is opened at run time: no library is needed to build or to start.

use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::{Coverage, EnergySource, Meter, MeterInfo, Reading, SensorError};
use crate::units::{Bytes, Joules, Seconds, Watts};

/// Relative standard uncertainty of an uncalibrated GPU power sensor: gain errors of nine cards scatter by
/// 5.3 % (Yang, Adamek and Armour, SC24, artifact of arXiv 2312.02741).
const GPU_GAIN_UNCERTAINTY: f64 = 0.053;

/// What the driver says of a GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuInfo {
    /// Position in PCI order.
    pub index: u32,
    /// The driver's name of the card.
    pub name: String,
    /// Identity that survives reordering.
    pub uuid: String,
    /// Memory on the card.
    pub memory: Option<Bytes>,
    /// Whether it has a total-energy counter.
    pub energy_counter: bool,
    /// Whether it reads power.
    pub power: bool,
    /// Version of the driver.
    pub driver: Option<String>,
}

/// Every GPU that the NVIDIA driver knows.
///
/// # Errors
/// If there is no driver.
pub fn list_gpus() -> Result<Vec<GpuInfo>, SensorError> {
    let nvml = open()?;
    let driver = nvml.sys_driver_version().ok();
    let count = nvml.device_count().map_err(|e| unavailable(&e))?;
    (0..count)
        .map(|index| {
            let device = nvml.device_by_index(index).map_err(|e| unavailable(&e))?;
            Ok(GpuInfo {
                index,
                name: device.name().unwrap_or_else(|_| "unnamed GPU".to_owned()),
                uuid: device.uuid().unwrap_or_default(),
                memory: device.memory_info().ok().map(|m| Bytes(m.total as f64)),
                energy_counter: device.total_energy_consumption().is_ok(),
                power: device.power_usage().is_ok(),
                driver: driver.clone(),
            })
        })
        .collect()
}

/// The energy counter of a GPU, or its power where it has none.
pub struct NvmlMeter {
    info: MeterInfo,
    nvml: Arc<Nvml>,
    uuid: String,
}

impl NvmlMeter {
    /// Opens the meter of the GPU with this UUID (`GPU-...`).
    ///
    /// # Errors
    /// If there is no driver, no such GPU, or no reading.
    pub fn open(uuid: &str) -> Result<Self, SensorError> {
        let nvml = open()?;
        let device = nvml.device_by_uuid(uuid).map_err(|e| unavailable(&e))?;
        let source = match (device.total_energy_consumption(), device.power_usage()) {
            (Ok(_), _) => EnergySource::NvmlCounter,
            (Err(_), Ok(_)) => EnergySource::NvmlPower,
            (Err(_), Err(error)) => {
                return Err(SensorError::NoGpuPower { gpu: uuid.to_owned(), reason: error.to_string() });
            }
        };
        let name = device.name().unwrap_or_else(|_| "GPU".to_owned());
        let info = MeterInfo {
            source,
            domain: format!("{name} {uuid}"),
            coverage: Coverage::Gpu,
            gain_uncertainty: GPU_GAIN_UNCERTAINTY,
            note: "measured by the GPU's own sensor, standard uncertainty 5 %".to_owned(),
        };
        Ok(Self { info, nvml: Arc::new(nvml), uuid: uuid.to_owned() })
    }
}

impl Meter for NvmlMeter {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    fn read(&mut self) -> Result<Reading, SensorError> {
        let device = self.nvml.device_by_uuid(self.uuid.as_str()).map_err(|e| unavailable(&e))?;
        let reading = if self.info.source == EnergySource::NvmlCounter {
            device.total_energy_consumption().map(|millijoules| Reading::Cumulative(Joules(millijoules as f64 / 1e3)))
        } else {
            device.power_usage().map(|milliwatts| Reading::Instant(Watts(f64::from(milliwatts) / 1e3)))
        };
        reading.map_err(|e| SensorError::NoGpuPower { gpu: self.uuid.clone(), reason: e.to_string() })
    }

    fn period(&self) -> Seconds {
        Seconds(0.05)
    }
}

fn open() -> Result<Nvml, SensorError> {
    Nvml::init().map_err(|e| unavailable(&e))
}

fn unavailable(error: &NvmlError) -> SensorError {
    SensorError::Nvml(error.to_string())
}
