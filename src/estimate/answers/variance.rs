//! Which input makes an estimate uncertain: the run is drawn again with one input at a time held at its centre.

use serde::Serialize;

use super::draws::{MACHINE, draw};
use crate::estimate::ledger::monte_carlo::{MonteCarlo, group_of};
use crate::estimate::ledger::quantity::{Compared, Quantity};
use crate::estimate::request::training::Request;
use crate::estimate::steps::model::exchange_inputs;
use crate::estimate::steps::step::StepSource;
use crate::model::Arch;
use crate::stats::Distribution;

/// Draws of each input: enough for shares to a few per cent.
const TRIALS: usize = 2_000;

/// The part of an output's variance that goes when an input is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VarianceShare {
    /// The input.
    pub input: String,
    /// Of the logarithm of each quantity.
    #[serde(flatten)]
    pub shares: Compared<f64>,
}

impl VarianceShare {
    /// The largest of its shares.
    #[must_use]
    pub fn largest(&self) -> f64 {
        Quantity::COMPARED.into_iter().filter_map(|q| self.shares.of(q)).fold(0.0, f64::max)
    }
}

/// The share of each input, the largest first; those below 1 % of everything are left out.
pub(super) fn variance_shares(request: &Request<'_>, arch: Arch, source: &StepSource, seed: u64) -> Vec<VarianceShare> {
    let monte_carlo = MonteCarlo::new(seed, TRIALS);
    let all = draw(request, arch, source, &monte_carlo);
    let mut shares: Vec<VarianceShare> = groups(request, source)
        .into_iter()
        .map(|group| {
            let frozen = draw(request, arch, source, &monte_carlo.freezing(&group));
            let shares = Compared::of_each(|q| share(all.footprint.get(q)?, frozen.footprint.get(q)?));
            VarianceShare { input: group, shares }
        })
        .filter(|s| s.largest() >= 0.01)
        .collect();
    shares.sort_by(|a, b| b.largest().total_cmp(&a.largest()).then_with(|| a.input.cmp(&b.input)));
    shares
}

/// `1 - Var(ln frozen) / Var(ln all)`, between 0 and 1; nothing of a quantity that is certain or 0.
fn share(all: &[f64], frozen: &[f64]) -> Option<f64> {
    let variance = |draws: &[f64]| {
        let n = draws.len() as f64;
        let mean = draws.iter().map(|x| x.ln()).sum::<f64>() / n;
        draws.iter().map(|x| (x.ln() - mean).powi(2)).sum::<f64>() / n
    };
    let all = variance(all);
    let share = 1.0 - variance(frozen) / all;
    (all > 1e-18 && share.is_finite()).then(|| share.clamp(0.0, 1.0))
}

/// Names of everything that varies.
fn groups(request: &Request<'_>, source: &StepSource) -> Vec<String> {
    let varies = |d: Distribution| !matches!(d, Distribution::Point(_));
    let mut groups: Vec<String> =
        request.conditions.inputs().filter(|i| varies(i.distribution)).map(|i| i.name.to_owned()).collect();
    groups.extend(source.phases.iter().flat_map(|p| &p.loadings).map(|(name, _)| group_of(name).to_owned()));
    groups.push("measured step times".to_owned());
    groups.push("model of the architecture".to_owned());
    if source.phases.iter().any(|p| !p.exchange.is_none()) {
        groups.extend(exchange_inputs().map(|input| input.name.to_owned()));
    }
    if source.machine_uncertainty > 0.0 {
        groups.push(MACHINE.to_owned());
    }
    groups.push("gain of the meter".to_owned());
    groups.push("power of the device".to_owned());
    groups.sort();
    groups.dedup();
    groups
}
