//! Choosing the meters of a campaign.

use std::path::Path;
use std::str::FromStr;

use super::environment::gpu_of;
use super::{ComputeDevice, MeasureError};
use crate::machine::{MachineFacts, PartKind, cpu_model, gpu_parts, host_parts};
use crate::meter::EnergySource;
use crate::record::{Compute, Unmetered};
use crate::sensor::{Driver, GpuWatch, Meter, SensorError};

/// Which meter was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterChoice {
    /// The best there is; a model if nothing measures.
    Auto,
    /// The GPU's own.
    Nvml,
    /// The CPU's counters.
    Rapl,
    /// The load model of the CPU.
    Model,
    /// Nothing: times only.
    None,
}

impl FromStr for MeterChoice {
    type Err = MeasureError;

    fn from_str(text: &str) -> Result<Self, MeasureError> {
        match text {
            "auto" => Ok(Self::Auto),
            "nvml" => Ok(Self::Nvml),
            "rapl" => Ok(Self::Rapl),
            "model" => Ok(Self::Model),
            "none" => Ok(Self::None),
            _ => Err(MeasureError::UnknownMeter(text.to_owned())),
        }
    }
}

/// The meters of a campaign, and what has none.
#[derive(Default)]
pub struct Meters {
    /// Meters whose joules add up to those of the compute device.
    pub meters: Vec<Box<dyn Meter>>,
    /// What is not metered, and why.
    pub unmetered: Vec<Unmetered>,
    /// The GPU whose state is recorded before and after each cell.
    pub gpu: Option<GpuWatch>,
}

/// Opens the meters of the device that computes.
///
/// # Errors
/// If an explicit choice cannot be had. `auto` records instead what it had to do without.
pub fn open_meters(
    choice: MeterChoice,
    device: &ComputeDevice,
    compute: &Compute,
    facts: &MachineFacts,
    powercap: &Path,
) -> Result<Meters, MeasureError> {
    let mut found = Meters::default();
    if !device.is_cpu()
        && let Ok((gpu, _)) = gpu_of(device)
    {
        found.gpu = Driver::open().and_then(|driver| GpuWatch::open(&driver, gpu.index)).ok();
    }
    let hardware = compute.hardware.as_ref();
    match (choice, device.is_cpu()) {
        (MeterChoice::None, _) => found.without("energy", &"`--meter none` was given"),
        (MeterChoice::Nvml, true) => return Err(MeasureError::NvmlOnCpu),
        (MeterChoice::Nvml, false) => found.meters.push(nvml(device)?),
        (MeterChoice::Model, _) => found.meters.push(model(compute, facts)?),
        (MeterChoice::Auto, false) => match nvml(device) {
            Ok(meter) => found.meters.push(meter),
            Err(error) => found.without("GPU", &error),
        },
        (MeterChoice::Rapl, _) | (MeterChoice::Auto, true) => {
            for part in host_parts(powercap, facts, hardware) {
                match (part.unread, part.kind) {
                    (Some(no_rapl), PartKind::Cpu) if choice == MeterChoice::Rapl => return Err(no_rapl.into()),
                    (Some(no_rapl), PartKind::Cpu) => found.without("CPU package", &no_rapl),
                    (Some(unreadable), _) => found.without("memory", &unreadable),
                    (None, _) => {}
                }
                match part.meter {
                    // Memory that no counter reads is not of the device that computes.
                    Some(meter) if part.kind == PartKind::Cpu || meter.info().source != EnergySource::Model => {
                        found.meters.push(meter);
                    }
                    None if part.kind == PartKind::Cpu => {
                        found.without("energy", &MeasureError::NoModel(facts.cpu.clone()));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(found)
}

impl Meters {
    fn without(&mut self, what: &str, reason: &dyn std::fmt::Display) {
        self.unmetered.push(Unmetered { what: what.to_owned(), reason: reason.to_string() });
    }
}

/// The meter of the card that computes. The energy of a card that is cut into instances is that of all of them: it is
/// not given to one.
fn nvml(device: &ComputeDevice) -> Result<Box<dyn Meter>, MeasureError> {
    let (gpu, is_instance) = gpu_of(device)?;
    if is_instance {
        return Err(MeasureError::MigInstance(gpu.id()));
    }
    let part = gpu_parts()?.into_iter().find(|p| p.gpu.as_ref().is_some_and(|g| g.index == gpu.index));
    let Some(part) = part else { return Err(SensorError::Nvml(format!("`{}` is gone", gpu.id())).into()) };
    part.meter.ok_or_else(|| part.unread.unwrap_or_else(|| SensorError::Nvml("no meter".to_owned())).into())
}

fn model(compute: &Compute, facts: &MachineFacts) -> Result<Box<dyn Meter>, MeasureError> {
    let no_model = || MeasureError::NoModel(facts.cpu.clone());
    let device = compute.hardware.as_ref().ok_or_else(no_model)?;
    Ok(Box::new(cpu_model(device, facts).ok_or_else(no_model)?))
}
