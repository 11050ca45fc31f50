//! An estimate of a whole training run for each architecture.

use super::analytic::{Target, analytic_step};
use super::describe::describe;
use super::draws::{Draws, draw};
use super::measured::measured_step;
use super::model::{Efficiency, exchange, straggler};
use super::sampler::Sampler;
use super::scaled::{LEVEL, LocalModel, device_of};
use super::step::PhaseStep;
use super::variance::variance_shares;
use super::{Basis, Conditions, Estimate, EstimateError, StepSource};
use crate::catalog::{Device, Level};
use crate::model::{Arch, count_params};
use crate::record::{Record, Workload};
use crate::stats::Distribution;
use crate::units::DType;

/// Draws of each input.
const TRIALS: usize = 10_000;

/// What the run is to run on.
#[derive(Debug, Clone)]
pub enum Hardware<'a> {
    /// The machine of a record.
    Measured(&'a Record),
    /// A device of the catalog, by a record of another device of its kind.
    Transferred(&'a Record, Device),
    /// A device of the catalog that was not measured.
    Catalog(Device),
    /// A step time, and a power, that the user measured.
    Given {
        /// Seconds of an optimizer step on all devices.
        step_s: f64,
        /// Watts of a device.
        power_w: Option<f64>,
        /// The device, if it was named.
        device: Option<Device>,
    },
}

/// What is to be estimated.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The run.
    pub workload: &'a Workload,
    /// The architectures; ratios need `dense` among them.
    pub archs: &'a [Arch],
    /// What the run is to run on.
    pub hardware: Hardware<'a>,
    /// How many devices.
    pub devices: u32,
    /// Number format.
    pub dtype: DType,
    /// How well the software uses hardware that was not measured.
    pub level: Level,
    /// Sequences on a device at a time; the largest that fits if not given.
    pub micro_batch: Option<usize>,
    /// Grid, site and prices.
    pub conditions: &'a Conditions,
    /// Seed of the draws.
    pub seed: u64,
}

impl Request<'_> {
    /// The device, where one is known.
    pub(super) fn device(&self) -> Option<Device> {
        match &self.hardware {
            Hardware::Measured(record) => Some(device_of(record)),
            Hardware::Transferred(_, device) | Hardware::Catalog(device) => Some(device.clone()),
            Hardware::Given { device, .. } => device.clone(),
        }
    }
}

/// Whether a run can be at all.
///
/// # Errors
/// If there are no devices, or more than sequences.
pub(super) fn check(workload: &Workload, devices: u32, micro_batch: Option<usize>) -> Result<(), EstimateError> {
    if devices == 0 {
        return Err(EstimateError::NoDevices);
    }
    for phase in &workload.phases {
        if (phase.batch_size as u64) < u64::from(devices) {
            return Err(EstimateError::BatchTooSmall { batch_size: phase.batch_size, devices });
        }
    }
    if micro_batch == Some(0) {
        return Err(EstimateError::Number { name: "--micro-batch", value: 0.0, allowed: "at least 1" });
    }
    Ok(())
}

/// An estimate for each architecture, in the order of the request.
///
/// # Errors
/// If an architecture does not fit the workload, a batch cannot be spread over the devices, or the hardware
/// lacks a figure.
pub fn estimate(request: &Request<'_>) -> Result<Vec<Estimate>, EstimateError> {
    estimates(request, true)
}

/// The same without the shares of the variance, which take most of the time.
///
/// # Errors
/// As [`estimate`].
pub fn estimate_without_shares(request: &Request<'_>) -> Result<Vec<Estimate>, EstimateError> {
    estimates(request, false)
}

fn estimates(request: &Request<'_>, with_shares: bool) -> Result<Vec<Estimate>, EstimateError> {
    check(request.workload, request.devices, request.micro_batch)?;
    let sampler = Sampler::new(request.seed, TRIALS);
    let mut runs: Vec<(Arch, StepSource, Draws)> = Vec::new();
    for &arch in request.archs {
        arch.check(&request.workload.model)?;
        let source = step_source(request, arch)?;
        let draws = draw(request, arch, &source, &sampler);
        if !draws.wall_h().iter().all(|h| h.is_finite() && *h > 0.0) {
            return Err(EstimateError::OutOfRange { arch: arch.to_string() });
        }
        runs.push((arch, source, draws));
    }
    let dense = runs.iter().position(|(arch, ..)| *arch == Arch::Dense);
    Ok(runs
        .iter()
        .map(|(arch, source, draws)| {
            let reference = dense.map(|i| &runs[i].2).filter(|_| *arch != Arch::Dense);
            let shares = if with_shares { variance_shares(request, *arch, source, request.seed) } else { Vec::new() };
            describe(request, *arch, source, draws, reference, shares)
        })
        .collect())
}

fn step_source(request: &Request<'_>, arch: Arch) -> Result<StepSource, EstimateError> {
    let Request { workload, dtype, devices, level, micro_batch, .. } = *request;
    let target = |device| Target { workload, device, dtype, devices, level, micro_batch };
    match &request.hardware {
        Hardware::Measured(record) => {
            let measured = measured_step(record, workload, arch, dtype, devices)?;
            if let Some(source) =
                measured.filter(|s| micro_batch.is_none_or(|n| s.phases.iter().all(|p| p.micro_batch == n)))
            {
                return Ok(on_several(source, request, arch, &device_of(record)));
            }
            let local = LocalModel::of(record, dtype).ok_or(EstimateError::NothingMeasured)?;
            let device = device_of(record);
            local.steps(&Target { level: LEVEL, ..target(&device) }, arch, (record, false))
        }
        Hardware::Transferred(record, device) => {
            let local = LocalModel::of(record, dtype).ok_or(EstimateError::NothingMeasured)?;
            local.steps(&Target { level: LEVEL, ..target(device) }, arch, (record, true))
        }
        Hardware::Catalog(device) => analytic_step(&target(device), arch),
        Hardware::Given { step_s, power_w, device } => {
            for (name, value) in [("--step-time", Some(*step_s)), ("--power", *power_w)] {
                if let Some(value) = value.filter(|x| !(1e-12..=1e9).contains(x)) {
                    return Err(EstimateError::Number { name, value, allowed: "1e-12 to 1e9" });
                }
            }
            Ok(given_step(workload, *step_s, *power_w, device.as_ref(), dtype))
        }
    }
}

/// A step that was measured on one device, on several: their exchange is modelled.
fn on_several(source: StepSource, request: &Request<'_>, arch: Arch, device: &Device) -> StepSource {
    if request.devices == 1 {
        return source;
    }
    let n_params = count_params(&request.workload.model, arch) as f64;
    let exposed = |phase: &PhaseStep| {
        let backward_s = phase.pass_s.centre() * 2.0 / 3.0;
        let link = device.interconnect.as_ref()?;
        Some(exchange(&request.workload.model, n_params, backward_s, request.devices, link).exposed_s)
    };
    let phases = source.phases.iter().map(|p| PhaseStep { exchange_s: exposed(p).unwrap_or(0.0), ..p.clone() });
    StepSource {
        phases: phases.collect(),
        basis: Basis::Scaled,
        straggler: straggler(Efficiency::embedded().straggler_sd(), request.devices),
        description: format!("{}; several devices and their exchange are modelled", source.description),
        ..source
    }
}

fn given_step(
    workload: &Workload,
    step_s: f64,
    power_w: Option<f64>,
    device: Option<&Device>,
    _dtype: DType,
) -> StepSource {
    let phase = PhaseStep {
        micro_batch: 1,
        micro_steps: 1.0,
        pass_s: Distribution::Point(step_s),
        optimizer_s: Distribution::Point(0.0),
        exchange_s: 0.0,
        scale: Distribution::Point(1.0),
        loadings: Vec::new(),
        power_w: power_w.map(Distribution::Point),
        parts: None,
    };
    StepSource {
        phases: vec![phase; workload.phases.len()],
        basis: Basis::Given,
        own_scale: Distribution::Point(1.0),
        straggler: 1.0,
        coverage: power_w.map(|_| crate::meter::Coverage::NodeShare),
        idle_w: device.and_then(Device::idle).map(|idle| idle.0),
        gain_uncertainty: 0.0,
        machine_uncertainty: 0.0,
        power_uncertainty: 0.0,
        description: "step time given with `--step-time`, the same in every phase".to_owned(),
        peak_memory_bytes: None,
    }
}
