//! Choosing the meters of a campaign.

use std::path::Path;
use std::str::FromStr;

use super::environment::gpu_of;
use super::{ComputeDevice, MachineFacts, MeasureError, hardware_share};
use crate::catalog::{Device, DeviceKind, Per};
use crate::meter::Coverage;
use crate::record::{Compute, Unmetered};
use crate::sensor::{CpuClock, Driver, GpuWatch, LoadModel, Meter, NvmlMeter, Rapl, open_rapl};
use crate::units::Watts;

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
    match (choice, device.is_cpu()) {
        (MeterChoice::None, _) => found.without("energy", &"`--meter none` was given"),
        (MeterChoice::Nvml, true) => return Err(MeasureError::NvmlOnCpu),
        (MeterChoice::Nvml, false) => found.meters.push(nvml(device)?),
        (MeterChoice::Rapl, _) => found.take(open_rapl(powercap, tdp(compute.hardware.as_ref()))?),
        (MeterChoice::Model, _) => found.meters.push(model(compute, facts)?),
        (MeterChoice::Auto, false) => match nvml(device) {
            Ok(meter) => found.meters.push(meter),
            Err(error) => found.without("GPU", &error),
        },
        (MeterChoice::Auto, true) => match open_rapl(powercap, tdp(compute.hardware.as_ref())) {
            Ok(rapl) => found.take(rapl),
            Err(no_rapl) => {
                found.without("CPU package", &no_rapl);
                match model(compute, facts) {
                    Ok(meter) => found.meters.push(meter),
                    Err(no_model) => found.without("energy", &no_model),
                }
            }
        },
    }
    Ok(found)
}

impl Meters {
    fn without(&mut self, what: &str, reason: &dyn std::fmt::Display) {
        self.unmetered.push(Unmetered { what: what.to_owned(), reason: reason.to_string() });
    }

    fn take(&mut self, rapl: Rapl) {
        self.meters.extend(rapl.meters.into_iter().map(|m| Box::new(m) as Box<dyn Meter>));
        if let Some(error) = rapl.unreadable {
            self.without("memory", &error);
        }
    }
}

/// The meter of the card that computes. The energy of a card that is cut into instances is that of all of them: it is
/// not given to one.
fn nvml(device: &ComputeDevice) -> Result<Box<dyn Meter>, MeasureError> {
    let (gpu, is_instance) = gpu_of(device)?;
    if is_instance {
        return Err(MeasureError::MigInstance(gpu.id()));
    }
    Ok(Box::new(NvmlMeter::open(&Driver::open()?, gpu.index)?))
}

fn model(compute: &Compute, facts: &MachineFacts) -> Result<Box<dyn Meter>, MeasureError> {
    let no_model = || MeasureError::NoModel(facts.cpu.clone());
    let device = compute.hardware.as_ref().ok_or_else(no_model)?;
    Ok(Box::new(cpu_model(device, facts).ok_or_else(no_model)?))
}

/// The TDP of a processor; a virtual CPU's is not that of a package.
pub(super) fn tdp(device: Option<&Device>) -> Option<Watts> {
    let whole = device.filter(|d| d.kind == DeviceKind::Cpu && d.per == Per::Device)?;
    Some(whole.tdp.as_ref()?.value)
}

/// The load model of the part of `device` that this machine may use; `None` if its TDP is not known.
#[must_use]
pub fn cpu_model(device: &Device, facts: &MachineFacts) -> Option<LoadModel> {
    let share = hardware_share(device, facts);
    let full = device.tdp.as_ref()?.value * share;
    let idle = device.idle_power.as_ref().map(|p| p.value * share);
    let coverage = match device.per {
        Per::Vcpu => Coverage::NodeShare,
        Per::Device => Coverage::CpuPackage,
    };
    let domain = format!("{share:.3} x {}", device.name);
    Some(LoadModel::new(domain, coverage, idle, full, CpuClock::of_machine()))
}
