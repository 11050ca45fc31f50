//! An estimate of a whole training run for each architecture.

use super::describe::describe;
use super::draws::{Draws, TRIALS, draw};
use super::laid_out::laid_out;
use super::output::Estimate;
use super::variance::variance_shares;
use crate::estimate::error::EstimateError;
use crate::estimate::layout::{CLASS_OF_LAYOUTS, Considered, steps_of};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::layout::LayoutSpec;
use crate::estimate::request::training::Request;
use crate::estimate::steps::step::StepSource;
use crate::model::Arch;
use crate::record::{Record, Warning};
use crate::units::Weights;

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
    if request.workload.weights == Weights::Half && request.dtype.bytes() != 2 {
        return Err(EstimateError::WeightsOfOtherFormat(request.dtype));
    }
    let monte_carlo = MonteCarlo::new(request.seed, TRIALS);
    let mut runs: Vec<(Arch, StepSource, Option<Considered>, Draws)> = Vec::new();
    for &arch in request.archs {
        arch.check(&request.workload.model)?;
        let (source, layouts) = steps_of(request, arch)?;
        let draws = draw(request, arch, &source, &monte_carlo);
        if !draws.wall_h().iter().all(|h| h.is_finite() && *h > 0.0) {
            return Err(EstimateError::OutOfRange { arch: arch.to_string() });
        }
        runs.push((arch, source, layouts, draws));
    }
    let was_not_said = request.layout.is_none();
    let dense = runs.iter().position(|(arch, ..)| *arch == Arch::Dense);
    Ok(runs
        .iter()
        .map(|(arch, source, layouts, draws)| {
            let reference = dense.map(|i| &runs[i].3).filter(|_| *arch != Arch::Dense);
            let chosen = layouts.as_ref().and_then(Considered::chosen).map(|candidate| candidate.layout);
            let mut request = request.clone();
            if let Some(chosen) = chosen {
                request.layout = Some(LayoutSpec::Of(chosen));
                request.software.class.get_or_insert(CLASS_OF_LAYOUTS);
            }
            let request = &request;
            let shares = if with_shares { variance_shares(request, *arch, source, request.seed) } else { Vec::new() };
            let mut estimate = describe(request, *arch, source, draws, reference, shares);
            estimate.layout = layouts.as_ref().and_then(laid_out);
            if was_not_said && estimate.layout.is_some() {
                estimate.warnings.push(laid_out_unasked());
            }
            estimate
        })
        .collect())
}

/// What to say of a layout that nobody asked for.
fn laid_out_unasked() -> Warning {
    Warning::new(
        "a device has no room for the whole model",
        "the run is laid out over them by the fastest layout that fits, as a model fitted to Megatron on A100 tells",
        "`--layout dp=N,zero=3` or the like for another",
    )
}
