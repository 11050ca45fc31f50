//! How often a budget buys a run: each quantity of it grows with its steps, so that no search is needed.

use super::budget::{Budget, PlanError};
use crate::estimate::answers::describe::memory_per_device;
use crate::estimate::answers::draws::draw;
use crate::estimate::error::EstimateError;
use crate::estimate::layout::{Considered, steps_of};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::request::layout::Layout;
use crate::estimate::request::training::Request;
use crate::model::Arch;
use crate::stats::{Interval, quantile_sorted};

/// A run, and how often the budgets buy it.
pub(super) struct Bought {
    /// How often: at the middle of what it comes to, or with the probability that was asked for.
    pub(super) runs: f64,
    /// How often it turns out to be bought, all budgets together.
    pub(super) drawn: Interval,
    /// The place of the budget that is used up first.
    pub(super) binds: usize,
    /// How the run is laid out, where that is modelled.
    pub(super) layout: Option<Layout>,
    /// What it comes to once.
    pub(super) once: Footprint<Interval>,
}

impl Bought {
    /// The run of `request` with `arch`.
    pub(super) fn of(
        request: &Request<'_>,
        arch: Arch,
        budgets: &[Budget],
        confidence: Option<f64>,
        monte_carlo: &MonteCarlo,
    ) -> Result<Self, PlanError> {
        let (layout, draws) = drawn(request, arch, monte_carlo)?;
        let mut spent: Vec<&[f64]> = Vec::new();
        for budget in budgets {
            let draws = draws.get(budget.quantity).filter(|draws| draws.iter().all(|x| x.is_finite() && *x >= 0.0));
            spent.push(draws.ok_or_else(|| not_known(request, budget))?);
        }
        // Of each budget: how often it buys the run where the run comes to its middle, or to what it exceeds seldom enough.
        let level = confidence.unwrap_or(0.5);
        let alone: Vec<f64> = spent
            .iter()
            .zip(budgets)
            .map(|(draws, budget)| {
                let mut sorted = draws.to_vec();
                sorted.sort_by(f64::total_cmp);
                budget.amount / quantile_sorted(&sorted, level)
            })
            .collect();
        let least = alone.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        let (binds, at_level) = least.ok_or(PlanError::NoBudget)?;
        let all_of = |t: usize| {
            let each = spent.iter().zip(budgets).map(|(draws, budget)| budget.amount / draws[t]);
            each.fold(f64::INFINITY, f64::min)
        };
        let mut together: Vec<f64> = (0..monte_carlo.trials()).map(all_of).collect();
        together.sort_by(f64::total_cmp);
        let runs = match confidence {
            // All budgets hold in so many of the draws.
            Some(level) if budgets.len() > 1 => quantile_sorted(&together, 1.0 - level),
            _ => at_level,
        };
        // What emits nothing is bought without end.
        if !runs.is_finite() {
            return Err(not_known(request, &budgets[binds]));
        }
        let once = draws.map(|draws| Interval::of_draws(draws.clone()));
        Ok(Self { runs, drawn: Interval::of_draws(together), binds, layout, once })
    }

    /// Whole steps that are bought of a run of so many.
    pub(super) fn steps(&self, of_run: u64) -> u64 {
        // What is whole but for rounding is whole.
        let steps = (self.runs * of_run as f64 * (1.0 + 1e-9)).floor().clamp(0.0, 1e12);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1e12")]
        let steps = steps as u64;
        steps
    }
}

/// What the run comes to in each draw, and its layout.
fn drawn(
    request: &Request<'_>,
    arch: Arch,
    monte_carlo: &MonteCarlo,
) -> Result<(Option<Layout>, Footprint<Vec<f64>>), PlanError> {
    arch.check(&request.workload.model).map_err(EstimateError::from)?;
    let (source, considered) = steps_of(request, arch)?;
    let layout = considered.as_ref().and_then(Considered::chosen).map(|candidate| candidate.layout);
    let (bytes, fits) = memory_per_device(request, arch, &source);
    if fits == Some(false) {
        let needed_gb = bytes as f64 / 1e9;
        return Err(PlanError::DoesNotFit { device: device(request), devices: request.devices, needed_gb });
    }
    Ok((layout, draw(request, arch, &source, monte_carlo).footprint))
}

fn device(request: &Request<'_>) -> String {
    request.device().map_or_else(|| "the device".to_owned(), |device| device.id)
}

fn not_known(request: &Request<'_>, budget: &Budget) -> PlanError {
    let said = request.conditions.missing.iter().find(|(name, _)| *name == budget.quantity.key());
    let why = match (said, budget.quantity) {
        (Some((_, why)), _) => why.clone(),
        (None, Quantity::Cost) => "no rental price of it is known".to_owned(),
        (None, quantity) if quantity.needs_energy() => {
            "the catalog gives this hardware no TDP, or it uses nothing".to_owned()
        }
        (None, _) => "it comes to no finite number".to_owned(),
    };
    PlanError::NotKnown { budget: budget.to_string(), quantity: budget.quantity, device: device(request), why }
}
