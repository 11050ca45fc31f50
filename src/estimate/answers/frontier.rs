//! Choosing among scenarios: limits, the frontier, a recommendation.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::output::Estimate;
use super::sweep::{Axes, Scenario, draw_scenarios};
use crate::estimate::error::EstimateError;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::steps::model::Efficiency;
use crate::stats::Interval;

/// What is to be small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Hours from start to end.
    Time,
    /// Money.
    Cost,
    /// Emissions of the electricity.
    Co2e,
    /// Energy of machines and building.
    Energy,
}

impl Goal {
    /// What it counts.
    #[must_use]
    pub fn quantity(self) -> Quantity {
        match self {
            Self::Time => Quantity::Wall,
            Self::Cost => Quantity::Cost,
            Self::Co2e => Quantity::Operational,
            Self::Energy => Quantity::FacilityEnergy,
        }
    }

    /// Its value; `None` where it is not known.
    #[must_use]
    pub fn of(self, scenario: &Scenario) -> Option<f64> {
        scenario.footprint.get(self.quantity()).map(|i| i.mid)
    }
}

/// The text is no goal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown goal `{0}`: expected `time`, `cost`, `co2e` or `energy`")]
pub struct UnknownGoal(String);

impl FromStr for Goal {
    type Err = UnknownGoal;

    fn from_str(text: &str) -> Result<Self, UnknownGoal> {
        match text {
            "time" => Ok(Self::Time),
            "cost" => Ok(Self::Cost),
            "co2e" => Ok(Self::Co2e),
            "energy" => Ok(Self::Energy),
            other => Err(UnknownGoal(other.to_owned())),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time => "time",
            Self::Cost => "cost",
            Self::Co2e => "CO2e",
            Self::Energy => "energy",
        })
    }
}

/// The most that a scenario may take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// USD.
    pub cost_usd: Option<f64>,
    /// Hours.
    pub hours: Option<f64>,
    /// kgCO2e of the electricity.
    pub co2e_kg: Option<f64>,
}

impl Limits {
    /// Whether the middle of every limited number is known and within its limit.
    #[must_use]
    pub fn allow(&self, scenario: &Scenario) -> bool {
        let within =
            |limit: Option<f64>, goal: Goal| limit.is_none_or(|limit| goal.of(scenario).is_some_and(|x| x <= limit));
        within(self.cost_usd, Goal::Cost) && within(self.hours, Goal::Time) && within(self.co2e_kg, Goal::Co2e)
    }
}

/// Whether a scenario can be chosen at all.
fn is_candidate(scenario: &Scenario) -> bool {
    scenario.fits != Some(false)
}

/// The scenarios that no other beats in every goal: in each at most as much, and less in one. Those that do not fit, or
/// of which a goal is not known, are no candidates. Ordered by the first goal.
#[must_use]
pub fn frontier(scenarios: Vec<Scenario>, goals: &[Goal]) -> Vec<Scenario> {
    let candidates = scenarios.into_iter().filter(is_candidate);
    let valued = candidates.filter_map(|s| Some((goals.iter().map(|g| g.of(&s)).collect::<Option<Vec<f64>>>()?, s)));
    unbeaten(valued.collect())
}

/// Of candidates with their values, all of which are to be small, those that no other beats: in each at most as much, and less in
/// one. Ordered by the first value.
pub(super) fn unbeaten<T>(mut candidates: Vec<(Vec<f64>, T)>) -> Vec<T> {
    // A candidate is only ever beaten by one that sorts before it.
    candidates.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
    let mut kept: Vec<(Vec<f64>, T)> = Vec::new();
    for (values, candidate) in candidates {
        let beaten = |other: &Vec<f64>| other.iter().zip(&values).all(|(a, b)| a <= b) && *other != values;
        if !kept.iter().any(|(other, _)| beaten(other)) {
            kept.push((values, candidate));
        }
    }
    kept.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Gives those that no other beats in `goals` the numbers of a single estimate, and then those that none beats by the new numbers:
/// whoever is shown the best of many is shown what an estimate of each of them says. The same runs in other grids are moved by as much
/// as those that are drawn, so that a run is not taken for a faster one where it was not drawn. No more than `most` are drawn.
///
/// # Errors
/// If a scenario cannot be, which `sweep` leaves out.
pub fn draw_unbeaten(
    axes: &Axes,
    micro_batch: Option<usize>,
    seed: u64,
    (scenarios, goals): (&mut [Scenario], &[Goal]),
    most: usize,
) -> Result<(), EstimateError> {
    // A run's scenarios follow each other.
    let mut first_of_run: Vec<usize> = Vec::with_capacity(scenarios.len());
    for (i, s) in scenarios.iter().enumerate() {
        let before = first_of_run.last().filter(|first| scenarios[**first].is_same_run(s));
        first_of_run.push(before.copied().unwrap_or(i));
    }
    let (mut drawn, mut moved): (BTreeSet<usize>, BTreeSet<usize>) = Default::default();
    loop {
        let valued = scenarios.iter().enumerate().filter(|(_, s)| is_candidate(s));
        let valued = valued.filter_map(|(i, s)| Some((goals.iter().map(|g| g.of(s)).collect::<Option<_>>()?, i)));
        let best = unbeaten(valued.collect());
        let next = best.into_iter().filter(|i| !drawn.contains(i)).take(most - drawn.len());
        let next: BTreeSet<usize> = next.collect();
        if next.is_empty() {
            return Ok(());
        }
        let before: Vec<Footprint<Interval>> = next.iter().map(|&i| scenarios[i].footprint).collect();
        let of_next = scenarios.iter_mut().enumerate().filter(|(i, _)| next.contains(i)).map(|(_, s)| s);
        draw_scenarios(axes, micro_batch, seed, of_next)?;
        drawn.extend(&next);
        for (&i, before) in next.iter().zip(&before) {
            let run = first_of_run[i];
            if !moved.insert(run) {
                continue;
            }
            let after = scenarios[i].footprint;
            let others = (run..scenarios.len()).take_while(|&j| first_of_run[j] == run);
            for j in others.filter(|j| !drawn.contains(j)) {
                scenarios[j].footprint = scenarios[j].footprint.moved(before, &after);
            }
        }
    }
}

/// What to choose, and what speaks for others.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation<'a> {
    /// What to choose.
    pub choice: &'a Scenario,
    /// What is to be small.
    pub goals: &'a [Goal],
    /// How many there were to choose from: those that fit, and of which all goals are known.
    pub candidates: usize,
    /// Those that have the least of a goal, where the choice has not, with these goals.
    pub better: Vec<(&'a Scenario, Vec<Goal>)>,
    /// Goals of which nothing else has less.
    pub unbeaten: Vec<Goal>,
    /// How many others may be as fast, as far as the intervals tell.
    pub rivals: usize,
    /// Whether a published run behind the model is of a design like that of the choice.
    pub design_is_known: bool,
}

/// What to choose; `None` if nothing fits.
///
/// The choice has the smallest product of the goals: it is beaten in one by a smaller factor than it gains in the others. A goal
/// of which all have nothing does not tell them apart; where some have nothing, that counts as a tenth of the least of the others.
#[must_use]
pub fn recommend<'a>(scenarios: &'a [Scenario], axes: &Axes, goals: &'a [Goal]) -> Option<Recommendation<'a>> {
    let known: Vec<(&Scenario, Vec<f64>)> = scenarios
        .iter()
        .filter(|s| is_candidate(s))
        .filter_map(|s| Some((s, goals.iter().map(|g| g.of(s)).collect::<Option<Vec<f64>>>()?)))
        .collect();
    let least: Vec<f64> = (0..goals.len()).map(|i| least_positive(known.iter().map(|(_, values)| values[i]))).collect();
    let product = |values: &[f64]| values.iter().zip(&least).map(|(x, least)| x.max(0.1 * least).ln()).sum::<f64>();
    let (choice, values) = known.iter().min_by(|a, b| product(&a.1).total_cmp(&product(&b.1)))?;
    let choice: &'a Scenario = choice;
    let mut better: Vec<(&'a Scenario, Vec<Goal>)> = Vec::new();
    let mut unbeaten = Vec::new();
    for (i, &goal) in goals.iter().enumerate() {
        // Of several with the least of this goal, the one that does best in the others too.
        let by_product = |a: &[f64], b: &[f64]| product(a).total_cmp(&product(b));
        let (best, of_best) =
            known.iter().min_by(|a, b| a.1[i].total_cmp(&b.1[i]).then_with(|| by_product(&a.1, &b.1)))?;
        if values[i].max(0.1 * least[i]) / of_best[i].max(0.1 * least[i]) <= 1.005 {
            unbeaten.push(goal);
        } else if let Some((_, its)) = better.iter_mut().find(|(other, _)| std::ptr::eq(*other, *best)) {
            its.push(goal);
        } else {
            better.push((best, vec![goal]));
        }
    }
    let may_be_as_fast = |s: &Scenario| !std::ptr::eq(s, choice) && s.wall_h().low <= choice.wall_h().high;
    let design = axes.hardware[choice.hardware].0.architecture.as_deref();
    Some(Recommendation {
        choice,
        goals,
        candidates: known.len(),
        better,
        unbeaten,
        rivals: known.iter().filter(|(s, _)| may_be_as_fast(s)).count(),
        design_is_known: Efficiency::embedded().knows_design(design),
    })
}

/// The least number above 0, or 1 if there is none.
fn least_positive(values: impl Iterator<Item = f64>) -> f64 {
    let least = values.filter(|x| *x > 0.0).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 1.0 }
}

/// Which architecture of an estimate to choose, in a sentence, and why.
#[must_use]
pub fn recommend_architecture(estimates: &[Estimate]) -> String {
    let label = Estimate::label;
    let saving = |e: &&Estimate| e.ratio(Quantity::Wall);
    let percent = |ratio: f64| 100.0 * (1.0 - ratio);
    let fitting = estimates.iter().filter(|e| e.fits != Some(false));
    let best = fitting.filter_map(|e| Some((e, saving(&e)?))).min_by(|a, b| a.1.mid.total_cmp(&b.1.mid));
    match best {
        Some((e, ratio)) if ratio.high < 1.0 => format!(
            "Choose {} if it reaches the quality that you need: it saves {:.0} % of dense's time, {:.0} % to {:.0} %, which \
             the 95 % interval keeps above nothing; how many steps it needs for the same loss is not measured.",
            label(e),
            percent(ratio.mid),
            percent(ratio.high),
            percent(ratio.low)
        ),
        Some((e, ratio)) => format!(
            "Choose dense: the best of the others, {}, saves {:.0} % of its time, but anything from {:.0} % to {:.0} % is \
             possible.",
            label(e),
            percent(ratio.mid),
            percent(ratio.high),
            percent(ratio.low)
        ),
        None => "Nothing to choose from: give `dense` and another architecture, and memory that one of them fits."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SoftwareSpec;
    use crate::model::Arch;
    use crate::units::DType;

    fn scenario(hours: f64, usd: Option<f64>, kg: f64) -> Scenario {
        let mut footprint = Footprint::default();
        footprint.set(Quantity::Wall, Interval::point(hours));
        footprint.set(Quantity::FacilityEnergy, Interval::point(1.0));
        footprint.set(Quantity::Operational, Interval::point(kg));
        if let Some(usd) = usd {
            footprint.set(Quantity::Cost, Interval::point(usd));
        }
        Scenario {
            workload: 0,
            hardware: 0,
            grid: 0,
            dtype: DType::Bf16,
            devices: 1,
            software: SoftwareSpec::default(),
            arch: Arch::Dense,
            layout: None,
            micro_batch: 1,
            fits: Some(true),
            footprint,
        }
    }

    #[test]
    fn the_frontier_holds_what_nothing_beats() {
        let all = vec![
            scenario(1.0, Some(9.0), 3.0),
            scenario(2.0, Some(5.0), 3.0),
            scenario(2.0, Some(6.0), 4.0), // beaten by the one before in cost and emissions
            scenario(3.0, None, 0.1),      // its cost is not known
            scenario(4.0, Some(5.0), 2.0),
        ];
        let kept = frontier(all, &[Goal::Time, Goal::Cost, Goal::Co2e]);
        assert_eq!(kept.iter().filter_map(|s| Goal::Time.of(s)).collect::<Vec<_>>(), [1.0, 2.0, 4.0]);
    }

    #[test]
    fn a_goal_of_which_all_have_nothing_does_not_choose() {
        let axes = Axes {
            workloads: Vec::new(),
            hardware: vec![(
                crate::catalog::Device::unknown("gpu", true),
                crate::estimate::request::conditions::ConditionsBuilder::default().build().expect("valid"),
            )],
            grids: Vec::new(),
            dtypes: Vec::new(),
            devices: Vec::new(),
            cluster: crate::estimate::request::cluster::Cluster::default(),
            software: Vec::new(),
            archs: Vec::new(),
            layouts: vec![None],
            rent: crate::estimate::request::rent::Rent::default(),
            owned: false,
        };
        let grid = crate::catalog::Catalog::default().grid("fra").expect("known");
        let conditions = crate::estimate::request::conditions::ConditionsBuilder::default().build().expect("valid");
        let axes = Axes { grids: vec![(grid, [conditions.clone(), conditions])], ..axes };
        let all = [scenario(1487.0, Some(10.0), 0.0), scenario(9.4, Some(11.0), 0.0)];
        let found = recommend(&all, &axes, &[Goal::Time, Goal::Cost, Goal::Co2e]).expect("something fits");
        assert_eq!(found.choice.wall_h().mid, 9.4);
        assert_eq!((found.better.len(), &found.better[0].1, found.rivals), (1, &vec![Goal::Cost], 0));
        assert_eq!(found.unbeaten, [Goal::Time, Goal::Co2e]);
    }

    #[test]
    fn a_limit_on_what_is_not_known_is_not_met() {
        let limits = Limits { cost_usd: Some(5.5), ..Limits::default() };
        assert!(limits.allow(&scenario(9.0, Some(5.0), 9.0)));
        assert!(!limits.allow(&scenario(1.0, Some(6.0), 1.0)));
        assert!(!limits.allow(&scenario(1.0, None, 1.0)));
    }
}
