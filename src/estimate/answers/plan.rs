//! The inverse of an estimate: what a budget buys, of a run that is known, or as the largest model that it trains.

mod budget;
mod shapes;
mod spend;

use serde::{Serialize, Serializer};

pub use budget::{Budget, PlanError};
pub use shapes::{SEQ_LEN, Scaling, Shape, shapes, usual_batch};

use self::spend::Bought;
use super::draws::TRIALS;
use super::frontier::unbeaten;
use super::output::Estimate;
use super::training::estimate;
use crate::catalog::{Device, SoftwareSpec};
use crate::estimate::error::EstimateError;
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::request::cluster::Cluster;
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::layout::{Layout, LayoutSpec};
use crate::estimate::request::recipe::Recipe;
use crate::estimate::request::training::{Hardware, Request};
use crate::model::{Arch, count_params};
use crate::record::Workload;
use crate::stats::Interval;
use crate::units::DType;

/// Draws of each input while the list of shapes is halved.
const FEW_TRIALS: usize = 1000;

/// What is to be trained.
#[derive(Debug, Clone)]
pub enum Trained {
    /// This model by its recipe, whose steps are what is looked for. Phases keep their parts of them.
    Workload(Box<Workload>),
    /// The largest decoder that sees so many tokens a parameter.
    Largest(Scaling),
}

/// So many devices of a kind, and where they are.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The kind.
    pub device: Device,
    /// How many.
    pub devices: u32,
    /// How the model is laid out over them; if not given, each has the whole of it.
    pub layout: Option<LayoutSpec>,
    /// Grid, site and prices.
    pub conditions: Conditions,
}

/// What is to be planned.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// What may be spent; all of them hold.
    pub budgets: Vec<Budget>,
    /// The probability with which the budgets hold, all together; if not given, each is met at the middle.
    pub confidence: Option<f64>,
    /// What is trained.
    pub trained: Trained,
    /// On what it could be trained.
    pub machines: Vec<Machine>,
    /// The architecture.
    pub arch: Arch,
    /// Number format; the fastest 16-bit format of each device if not given.
    pub dtype: Option<DType>,
    /// Network and devices of a machine, where they are not the catalog's.
    pub cluster: Cluster,
    /// What is known of the software.
    pub software: SoftwareSpec,
    /// Sequences on a device at a time.
    pub micro_batch: Option<usize>,
    /// Tokens of the data set, to count epochs.
    pub dataset_tokens: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
}

/// What the budgets buy on one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedRun {
    /// The hardware.
    pub hardware: String,
    /// How many devices.
    pub devices: u32,
    /// The layout as on the command line, where it is modelled.
    pub layout: Option<String>,
    /// The name of what is trained.
    pub workload: String,
    /// Its sizes, where they were looked for.
    pub shape: Option<Shape>,
    /// Its parameters.
    pub n_params: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens of those steps.
    pub tokens: f64,
    /// Tokens that the budgets turn out to buy, by the draws of what a token costs.
    pub tokens_bought: Interval,
    /// Tokens over parameters.
    pub tokens_per_param: f64,
    /// Times that the data set is gone through, where its size is known.
    pub epochs: Option<f64>,
    /// Tokens of a step, in the first phase.
    pub batch_tokens: f64,
    /// Tokens of a sequence, in the first phase.
    pub seq_len: usize,
    /// The quantity whose budget is used up first.
    #[serde(serialize_with = "by_key")]
    pub binds: Quantity,
    /// What the run comes to.
    #[serde(flatten)]
    pub footprint: Footprint<Interval>,
    /// The place of its machine in the request.
    #[serde(skip)]
    pub machine: usize,
    /// The place of the budget that is used up first.
    #[serde(skip)]
    pub budget: usize,
    /// The run itself.
    #[serde(skip)]
    pub run: Workload,
    #[serde(skip)]
    laid_out: Option<Layout>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form in which serde hands over a field")]
fn by_key<S: Serializer>(quantity: &Quantity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(quantity.key())
}

impl PlannedRun {
    /// What counts for more: parameters where they were looked for, and tokens.
    fn size(&self) -> f64 {
        self.shape.map_or(self.tokens, |_| self.n_params as f64)
    }
}

/// What budgets buy.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The largest: most tokens, or most parameters.
    pub best: PlannedRun,
    /// Those that no other beats in size, time and cost, the fastest first.
    pub frontier: Vec<PlannedRun>,
    /// Why other machines are not among them.
    pub left_out: Vec<LeftOut>,
}

/// A machine on which the budgets buy nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The hardware.
    pub hardware: String,
    /// How many devices.
    pub devices: u32,
    /// Why.
    pub reason: String,
}

/// What `request` buys.
///
/// # Errors
/// If it buys nothing on any of the machines, and why.
pub fn plan(request: &PlanRequest) -> Result<Plan, PlanError> {
    if request.budgets.is_empty() {
        return Err(PlanError::NoBudget);
    }
    let monte_carlo = MonteCarlo::new(request.seed, TRIALS);
    let all = match &request.trained {
        Trained::Workload(_) => Vec::new(),
        Trained::Largest(scaling) => shapes(scaling.vocab, scaling.seq_len),
    };
    let mut runs = Vec::new();
    let mut left_out = Vec::new();
    let mut errors = Vec::new();
    for (i, machine) in request.machines.iter().enumerate() {
        let found = match &request.trained {
            Trained::Workload(workload) => request.most_steps(i, workload, &monte_carlo),
            Trained::Largest(scaling) => request.largest(i, (scaling, &all), &monte_carlo),
        };
        match found {
            Ok(run) => runs.push(run),
            Err(error) => {
                let (hardware, devices) = (machine.device.id.clone(), machine.devices);
                left_out.push(LeftOut { hardware, devices, reason: error.to_string() });
                errors.push(error);
            }
        }
    }
    // Of several that are as large, the fastest.
    let by_size = |a: &&PlannedRun, b: &&PlannedRun| {
        let hours = |run: &PlannedRun| run.footprint.of(Quantity::Wall).map_or(0.0, |h| h.mid);
        a.size().total_cmp(&b.size()).then(hours(b).total_cmp(&hours(a)))
    };
    let Some(best) = runs.iter().max_by(by_size).cloned() else { return Err(nothing(&left_out, errors)) };
    let is_priced = runs.iter().all(|run| run.footprint.of(Quantity::Cost).is_some());
    let values = |run: &PlannedRun| {
        let of = |quantity| run.footprint.of(quantity).map(|i| i.mid);
        let mut values = vec![of(Quantity::Wall)?];
        values.extend(of(Quantity::Cost).filter(|_| is_priced));
        values.push(-run.size());
        Some(values)
    };
    let frontier = unbeaten(runs.into_iter().filter_map(|run| Some((values(&run)?, run))).collect());
    Ok(Plan { best, frontier, left_out })
}

/// The error where all have the same; otherwise each reason once, with the machines that it is about.
fn nothing(left_out: &[LeftOut], errors: Vec<PlanError>) -> PlanError {
    if left_out.windows(2).all(|pair| pair[0].reason == pair[1].reason)
        && let Some(first) = errors.into_iter().next()
    {
        return first;
    }
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for out in left_out {
        let reason = out.reason.split("\nhint: ").next().unwrap_or_default();
        let machine = format!("{} x {}", out.devices, out.hardware);
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, machines)) => machines.push(machine),
            None => reasons.push((reason, vec![machine])),
        }
    }
    let line = |(reason, machines): &(&str, Vec<String>)| format!("{}: {reason}\n", machines.join(", "));
    PlanError::Nothing { machines: left_out.len(), why: reasons.iter().map(line).collect() }
}

impl PlanRequest {
    fn on<'a>(&self, machine: &'a Machine, workload: &'a Workload, archs: &'a [Arch]) -> Request<'a> {
        let hardware = Hardware::Catalog(machine.device.clone());
        Request {
            workload,
            archs,
            dtype: self.dtype.unwrap_or_else(|| hardware.usual_dtype()),
            hardware,
            devices: machine.devices,
            cluster: self.cluster,
            software: self.software,
            own: None,
            micro_batch: self.micro_batch,
            layout: machine.layout,
            conditions: &machine.conditions,
            seed: self.seed,
        }
    }

    /// The whole estimate of a run that was planned: by the same draws.
    ///
    /// # Errors
    /// As [`estimate`].
    pub fn estimate_of(&self, run: &PlannedRun) -> Result<Option<Estimate>, EstimateError> {
        let archs = [self.arch];
        let of = self.on(&self.machines[run.machine], &run.run, &archs);
        let layout = run.laid_out.map(LayoutSpec::Of).or(of.layout);
        Ok(estimate(&Request { layout, ..of })?.into_iter().next())
    }

    fn bought(&self, machine: usize, workload: &Workload, monte_carlo: &MonteCarlo) -> Result<Bought, PlanError> {
        let archs = [self.arch];
        let request = self.on(&self.machines[machine], workload, &archs);
        Bought::of(&request, self.arch, &self.budgets, self.confidence, monte_carlo)
    }

    /// The most steps of a workload.
    fn most_steps(
        &self,
        machine: usize,
        workload: &Workload,
        monte_carlo: &MonteCarlo,
    ) -> Result<PlannedRun, PlanError> {
        let bought = self.bought(machine, workload, monte_carlo)?;
        let of_run = steps_of(workload);
        let mut steps = bought.steps(of_run);
        // The steps of each phase are rounded up, which can be one too many.
        for _ in 0..=workload.phases.len() {
            if steps == 0 {
                break;
            }
            let run = Recipe { steps: Some(steps as f64), ..Recipe::default() }.over(workload.clone())?;
            let once = if run.phases.len() == 1 { None } else { Some(self.bought(machine, &run, monte_carlo)?) };
            if once.is_none_or(|once| once.runs >= 1.0 - 1e-9) {
                return Ok(self.planned(machine, run, None, (&bought, workload)));
            }
            steps -= 1;
        }
        Err(self.no_step(machine, workload, &bought))
    }

    /// The largest shape of `all` whose tokens are bought, and as many tokens as the budgets then buy: the list is halved by a few
    /// draws, and by all of them it is gone up or down from there.
    fn largest(
        &self,
        machine: usize,
        (scaling, all): (&Scaling, &[Shape]),
        monte_carlo: &MonteCarlo,
    ) -> Result<PlannedRun, PlanError> {
        let of = |i: usize, monte_carlo: &MonteCarlo| {
            let workload = all[i].workload(scaling);
            let bought = self.bought(machine, &workload, monte_carlo)?;
            if bought.steps(steps_of(&workload)) < steps_of(&workload) {
                return Err(self.no_model(machine, &workload, &bought));
            }
            Ok((i, workload, bought))
        };
        let few = MonteCarlo::new(self.seed, FEW_TRIALS);
        let (mut below, mut above) = (0, all.len());
        while above - below > 1 {
            let middle = below.midpoint(above);
            if of(middle, &few).is_ok() { below = middle } else { above = middle }
        }
        let mut found = of(below, monte_carlo);
        if found.is_ok() {
            for larger in below + 1..all.len() {
                let Ok(next) = of(larger, monte_carlo) else { break };
                found = Ok(next);
            }
        } else {
            for smaller in (0..below).rev() {
                found = of(smaller, monte_carlo);
                if found.is_ok() {
                    break;
                }
            }
        }
        let (i, workload, bought) = found?;
        let steps = bought.steps(steps_of(&workload));
        let run = Recipe { steps: Some(steps as f64), ..Recipe::default() }.over(workload.clone())?;
        Ok(self.planned(machine, run, Some(all[i]), (&bought, &workload)))
    }

    fn planned(
        &self,
        machine: usize,
        run: Workload,
        shape: Option<Shape>,
        (bought, once): (&Bought, &Workload),
    ) -> PlannedRun {
        let of = &self.machines[machine];
        let (tokens, n_params) = (run.tokens(), count_params(&run.model, self.arch));
        let factor = tokens / once.tokens();
        let first = run.phases.first();
        PlannedRun {
            hardware: of.device.id.clone(),
            devices: of.devices,
            layout: bought.layout.map(|layout| layout.to_string()),
            workload: run.name.clone(),
            shape,
            n_params,
            steps: steps_of(&run),
            tokens,
            tokens_bought: bought.drawn.scaled(once.tokens()),
            tokens_per_param: tokens / n_params as f64,
            epochs: self.dataset_tokens.map(|whole| tokens / whole),
            batch_tokens: first.map_or(0.0, |p| p.batch_size as f64 * p.seq_len as f64),
            seq_len: first.map_or(0, |p| p.seq_len),
            binds: self.budgets[bought.binds].quantity,
            footprint: bought.once.map(|once| once.scaled(factor)),
            machine,
            budget: bought.binds,
            run,
            laid_out: bought.layout,
        }
    }

    fn no_step(&self, machine: usize, workload: &Workload, bought: &Bought) -> PlanError {
        let (budget, of) = (&self.budgets[bought.binds], &self.machines[machine]);
        PlanError::NoStep {
            budget: budget.to_string(),
            workload: workload.name.clone(),
            device: of.device.id.clone(),
            devices: of.devices,
            step: comes_to(bought, budget.quantity, 1.0 / steps_of(workload) as f64),
        }
    }

    fn no_model(&self, machine: usize, workload: &Workload, bought: &Bought) -> PlanError {
        let (budget, of) = (&self.budgets[bought.binds], &self.machines[machine]);
        PlanError::NoModel {
            budget: budget.to_string(),
            workload: workload.name.clone(),
            device: of.device.id.clone(),
            devices: of.devices,
            run: comes_to(bought, budget.quantity, 1.0),
        }
    }
}

/// `0.12 [0.08, 0.2] USD`.
fn comes_to(bought: &Bought, quantity: Quantity, factor: f64) -> String {
    let once = bought.once.of(quantity).map_or(Interval::point(f64::NAN), |once| once.scaled(factor));
    format!("{:.3e} [{:.3e}, {:.3e}] {}", once.mid, once.low, once.high, quantity.unit())
}

fn steps_of(workload: &Workload) -> u64 {
    workload.phases.iter().map(|phase| phase.steps).sum()
}
