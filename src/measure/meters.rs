//! Choosing the meters of a campaign.

use std::path::Path;
use std::str::FromStr;

use super::environment::gpu_of;
use super::{ComputeDevice, MachineFacts, MeasureError};
use crate::catalog::Per;
use crate::record::{Compute, Unmetered};
use crate::sensor::{Coverage, LoadModel, Meter, NvmlMeter, open_rapl};

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
    let mut missing = |what: &str, reason: String| {
        found.unmetered.push(Unmetered { what: what.to_owned(), reason });
    };
    match (choice, device.is_cpu()) {
        (MeterChoice::None, _) => missing("energy", "`--meter none` was given".to_owned()),
        (MeterChoice::Nvml, true) => return Err(MeasureError::NvmlOnCpu),
        (MeterChoice::Nvml, false) => found.meters.push(nvml(device)?),
        (MeterChoice::Rapl, _) => found.meters = rapl(powercap)?,
        (MeterChoice::Model, _) => found.meters.push(model(compute, facts)?),
        (MeterChoice::Auto, false) => match nvml(device) {
            Ok(meter) => found.meters.push(meter),
            Err(error) => missing("GPU", error.to_string()),
        },
        (MeterChoice::Auto, true) => match rapl(powercap) {
            Ok(zones) => found.meters = zones,
            Err(no_rapl) => {
                missing("CPU package", no_rapl.to_string());
                match model(compute, facts) {
                    Ok(meter) => found.meters.push(meter),
                    Err(no_model) => {
                        found.unmetered.push(Unmetered { what: "energy".to_owned(), reason: no_model.to_string() });
                    }
                }
            }
        },
    }
    Ok(found)
}

fn nvml(device: &ComputeDevice) -> Result<Box<dyn Meter>, MeasureError> {
    Ok(Box::new(NvmlMeter::open(&gpu_of(device)?.uuid)?))
}

fn rapl(powercap: &Path) -> Result<Vec<Box<dyn Meter>>, MeasureError> {
    let zones = open_rapl(powercap)?;
    Ok(zones.into_iter().map(|zone| Box::new(zone) as Box<dyn Meter>).collect())
}

fn model(compute: &Compute, facts: &MachineFacts) -> Result<Box<dyn Meter>, MeasureError> {
    let no_model = || MeasureError::NoModel(facts.cpu.clone());
    let device = compute.hardware.as_ref().ok_or_else(no_model)?;
    let share = compute.hardware_share;
    let full = device.tdp.as_ref().ok_or_else(no_model)?.value * share;
    let idle = device.idle_power.as_ref().map(|p| p.value * share);
    let coverage = match device.per {
        Per::Vcpu => Coverage::NodeShare,
        Per::Device => Coverage::CpuPackage,
    };
    let domain = format!("{:.3} x {}", share, device.name);
    Ok(Box::new(LoadModel::new(domain, coverage, idle, full)))
}
