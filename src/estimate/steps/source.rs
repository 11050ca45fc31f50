//! Where the steps of a request come from: the record, a model fitted to it, the model of the catalog, or the user.

use super::analytic::{Target, analytic_step};
use super::given::given_step;
use super::measured::measured_step;
use super::model::{Efficiency, Stragglers};
use super::scaled::{LocalModel, own_software};
use super::sliced::sliced_step;
use super::step::{Basis, PhaseStep, StepSource};
use crate::catalog::Device;
use crate::estimate::error::EstimateError;
use crate::estimate::request::training::{Hardware, Request, device_of};
use crate::model::Arch;

/// The steps of `arch`.
///
/// # Errors
/// If the record has nothing to go by, the catalog lacks a figure, or a number that was given makes no sense.
pub(in crate::estimate) fn step_source(request: &Request<'_>, arch: Arch) -> Result<StepSource, EstimateError> {
    let Request { workload, dtype, devices, micro_batch, .. } = *request;
    let target = |device| target_of(request, device);
    match &request.hardware {
        Hardware::Measured(record) => {
            let measured = measured_step(record, workload, arch, dtype, devices)?
                .or_else(|| sliced_step(record, workload, arch, dtype, devices));
            if let Some(source) =
                measured.filter(|s| micro_batch.is_none_or(|n| s.phases.iter().all(|p| p.micro_batch == n)))
            {
                return Ok(on_several(source, arch, &target(&device_of(record))));
            }
            let local = LocalModel::of(record, dtype).ok_or(EstimateError::NothingMeasured)?;
            let device = device_of(record);
            let own = Target { software: own_software(record, dtype).into(), is_own: true, ..target(&device) };
            local.steps(&own, arch, (record, false))
        }
        Hardware::Transferred(record, device) => {
            let local = LocalModel::of(record, dtype).ok_or(EstimateError::NothingMeasured)?;
            let own = Target { software: own_software(record, dtype).into(), is_own: true, ..target(device) };
            local.steps(&own, arch, (record, true))
        }
        Hardware::Catalog(device) => analytic_step(&target(device), arch),
        Hardware::Given { step_s, power_w, device, is_forecast, .. } => {
            for (name, value) in [("--step-time", Some(step_s.mid)), ("--power", power_w.map(|w| w.mid))] {
                if let Some(value) = value.filter(|x| !(1e-12..=1e9).contains(x)) {
                    return Err(EstimateError::Number { name, value, allowed: "1e-12 to 1e9" });
                }
            }
            let link = device.as_ref().and_then(|device| request.cluster.link(device));
            let straggler = Stragglers::known(devices, link.as_ref());
            Ok(StepSource { straggler, ..given_step(workload, *step_s, *power_w, device.as_ref(), *is_forecast) })
        }
    }
}

/// What the steps of a request are modelled by, on a device of which each has the whole model.
pub(in crate::estimate) fn target_of<'a>(request: &Request<'a>, device: &'a Device) -> Target<'a> {
    let Request { workload, dtype, devices, cluster, software, own, micro_batch, .. } = *request;
    Target { workload, device, dtype, devices, cluster, software, own, micro_batch, is_own: false }
}

/// A step that was measured on one device, on several: their exchange is modelled.
fn on_several(source: StepSource, arch: Arch, target: &Target<'_>) -> StepSource {
    if target.devices == 1 {
        return source;
    }
    let with_exchange =
        |phase: &PhaseStep| PhaseStep { exchange: target.exchange(arch, phase.pass_s.centre()), ..phase.clone() };
    StepSource {
        phases: source.phases.iter().map(with_exchange).collect(),
        basis: Basis::Scaled,
        straggler: target.stragglers(Efficiency::embedded()),
        description: format!("{}; several devices and their exchange are modelled", source.description),
        ..source
    }
}
