//! An estimate of a whole training run for each architecture.

use super::describe::describe;
use super::draws::{Draws, TRIALS, draw};
use super::laid_out::laid_out;
use super::output::Estimate;
use super::variance::variance_shares;
use crate::estimate::error::EstimateError;
use crate::estimate::layout::{Considered, layout_source};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::training::{Request, check, check_devices};
use crate::estimate::steps::source::step_source;
use crate::estimate::steps::step::StepSource;
use crate::model::Arch;
use crate::record::Record;

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

/// The workload of a record on its own machine, in each number format that was measured.
///
/// # Errors
/// As [`estimate`].
pub fn estimates_of_record(
    record: &Record,
    conditions: &Conditions,
    seed: u64,
) -> Result<Vec<Estimate>, EstimateError> {
    let archs = record.archs();
    let mut all = Vec::new();
    for &dtype in &record.settings.dtypes {
        all.extend(estimate(&Request { dtype, ..Request::on_machine(record, &archs, conditions, seed) })?);
    }
    Ok(all)
}

fn estimates(request: &Request<'_>, with_shares: bool) -> Result<Vec<Estimate>, EstimateError> {
    match request.layout {
        // Replicas share the batch then, and not all devices.
        Some(_) => check_devices(request.devices, request.cluster, request.micro_batch)?,
        None => check(request.workload, request.devices, request.cluster, request.micro_batch)?,
    }
    let monte_carlo = MonteCarlo::new(request.seed, TRIALS);
    let mut runs: Vec<(Arch, StepSource, Option<Considered>, Draws)> = Vec::new();
    for &arch in request.archs {
        arch.check(&request.workload.model)?;
        let (source, layouts) = match request.layout {
            Some(spec) => layout_source(request, spec, arch).map(|(source, layouts)| (source, Some(layouts)))?,
            None => (step_source(request, arch)?, None),
        };
        let draws = draw(request, arch, &source, &monte_carlo);
        if !draws.wall_h().iter().all(|h| h.is_finite() && *h > 0.0) {
            return Err(EstimateError::OutOfRange { arch: arch.to_string() });
        }
        runs.push((arch, source, layouts, draws));
    }
    let dense = runs.iter().position(|(arch, ..)| *arch == Arch::Dense);
    Ok(runs
        .iter()
        .map(|(arch, source, layouts, draws)| {
            let reference = dense.map(|i| &runs[i].3).filter(|_| *arch != Arch::Dense);
            let shares = if with_shares { variance_shares(request, *arch, source, request.seed) } else { Vec::new() };
            Estimate {
                layout: layouts.as_ref().and_then(laid_out),
                ..describe(request, *arch, source, draws, reference, shares)
            }
        })
        .collect())
}
