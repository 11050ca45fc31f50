//! Choosing among scenarios: limits, the frontier, a recommendation.

use std::fmt;
use std::str::FromStr;

use super::output::Estimate;
use super::sweep::{Axes, Scenario};
use crate::estimate::ledger::quantity::Quantity;
use crate::estimate::steps::model::Efficiency;

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

    /// What a scenario does that has the least of it.
    fn least(self) -> &'static str {
        match self {
            Self::Time => "takes the least time",
            Self::Cost => "costs the least",
            Self::Co2e => "emits the least",
            Self::Energy => "takes the least energy",
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

/// The scenarios that no other beats in every goal: in each at most as much, and less in one. Those that do not fit, or
/// of which a goal is not known, are no candidates. Ordered by the first goal.
#[must_use]
pub fn frontier(scenarios: Vec<Scenario>, goals: &[Goal]) -> Vec<Scenario> {
    let candidates = scenarios.into_iter().filter(|s| s.fits != Some(false));
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

/// What to choose, in a few sentences, and why; `None` if nothing fits.
///
/// The choice has the smallest product of the goals: it is beaten in one by a smaller factor than it gains in the others. A goal
/// of which all have nothing does not tell them apart; where some have nothing, that counts as a tenth of the least of the others.
#[must_use]
pub fn recommend(scenarios: &[Scenario], axes: &Axes, goals: &[Goal]) -> Option<String> {
    let known: Vec<(&Scenario, Vec<f64>)> = scenarios
        .iter()
        .filter(|s| s.fits != Some(false))
        .filter_map(|s| Some((s, goals.iter().map(|g| g.of(s)).collect::<Option<Vec<f64>>>()?)))
        .collect();
    let least: Vec<f64> = (0..goals.len()).map(|i| least_positive(known.iter().map(|(_, values)| values[i]))).collect();
    let product = |values: &[f64]| values.iter().zip(&least).map(|(x, least)| x.max(0.1 * least).ln()).sum::<f64>();
    let (choice, values) = known.iter().min_by(|a, b| product(&a.1).total_cmp(&product(&b.1)))?;
    let time = choice.wall_h();
    let mut said = vec![
        format!(
            "Choose {}: {} [{}, {}] h, {}.",
            name(choice, axes),
            three_digits(time.mid),
            three_digits(time.low),
            three_digits(time.high),
            numbers(choice)
        ),
        format!(
            "Of {} scenarios that fit, it has the smallest product of {}.",
            known.len(),
            listed(&goals.iter().map(ToString::to_string).collect::<Vec<_>>(), "and")
        ),
    ];
    let (mut others, mut unbeaten) = (Vec::new(), Vec::new());
    for (i, goal) in goals.iter().enumerate() {
        let (best, best_values) = known.iter().min_by(|a, b| a.1[i].total_cmp(&b.1[i]))?;
        if values[i].max(0.1 * least[i]) / best_values[i].max(0.1 * least[i]) > 1.005 {
            let of_best = format!("{} h, {}", three_digits(best.wall_h().mid), numbers(best));
            others.push(format!("{} {} ({of_best})", beside(best, choice, axes), goal.least()));
        } else {
            unbeaten.push(goal.to_string());
        }
    }
    if !others.is_empty() {
        said.push(format!("{}.", listed(&others, "and")));
    }
    if !unbeaten.is_empty() {
        said.push(format!("None takes less {}.", listed(&unbeaten, "or")));
    }
    let rivals = known.iter().filter(|(s, _)| !std::ptr::eq(*s, *choice) && s.wall_h().low <= time.high).count();
    said.push(match rivals {
        0 => "No other can be expected to be as fast.".to_owned(),
        1 => "Another may be as fast: a measured step of each would tell.".to_owned(),
        count => format!("{count} others may be as fast: a measured step of each would tell."),
    });
    let device = &axes.hardware[choice.hardware].0;
    if !Efficiency::embedded().knows_design(device.architecture.as_deref()) {
        said.push(format!(
            "No published run behind the model is of a design like the {}: others that were published rank on firmer ground.",
            device.name
        ));
    }
    Some(said.join(" "))
}

/// `a, b and c`
fn listed(words: &[String], before_last: &str) -> String {
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {before_last} {last}", others.join(", ")),
        None => String::new(),
    }
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

fn name(s: &Scenario, axes: &Axes) -> String {
    let (hardware, grid) = (&axes.hardware[s.hardware].0.name, &axes.grids[s.grid].0.name);
    let model = match axes.workloads.as_slice() {
        [] | [_] => String::new(),
        several => format!("{}, ", several[s.workload].name),
    };
    let software = if axes.software.len() > 1 { format!(", {} software", s.software) } else { String::new() };
    format!("{model}{} in {} on {} x {hardware}, {grid}{software}", s.arch.label(), s.dtype, s.devices)
}

/// A scenario beside the choice: its hardware, and what else differs.
fn beside(s: &Scenario, choice: &Scenario, axes: &Axes) -> String {
    let mut parts = Vec::new();
    if s.workload != choice.workload {
        parts.push(axes.workloads[s.workload].name.clone());
    }
    if s.arch != choice.arch {
        parts.push(s.arch.label());
    }
    if s.dtype != choice.dtype {
        parts.push(s.dtype.to_string());
    }
    if s.software != choice.software {
        parts.push(format!("{} software", s.software));
    }
    if s.grid != choice.grid {
        parts.push(axes.grids[s.grid].0.name.clone());
    }
    let other = if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) };
    format!("{} x {}{other}", s.devices, axes.hardware[s.hardware].0.name)
}

/// A number above 0 to three digits.
fn three_digits(x: f64) -> String {
    let behind = [100.0, 10.0, 1.0, 0.1].into_iter().take_while(|least| x < *least).count();
    format!("{x:.behind$}")
}

/// What a scenario costs and emits.
fn numbers(s: &Scenario) -> String {
    let cost = Goal::Cost.of(s).map_or_else(|| "cost not known".to_owned(), |usd| format!("{} USD", three_digits(usd)));
    format!("{cost}, {} kgCO2e", three_digits(s.operational_kgco2e().mid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SoftwareSpec;
    use crate::estimate::ledger::quantity::Footprint;
    use crate::model::Arch;
    use crate::stats::Interval;
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
            rent: crate::estimate::request::rent::Rent::default(),
            owned: false,
        };
        let grid = crate::catalog::Catalog::default().grid("fra").expect("known");
        let conditions = crate::estimate::request::conditions::ConditionsBuilder::default().build().expect("valid");
        let axes = Axes { grids: vec![(grid, [conditions.clone(), conditions])], ..axes };
        let all = [scenario(1487.0, Some(10.0), 0.0), scenario(9.4, Some(11.0), 0.0)];
        let sentence = recommend(&all, &axes, &[Goal::Time, Goal::Cost, Goal::Co2e]).expect("something fits");
        assert!(sentence.contains(": 9.40 [9.40, 9.40] h, 11.0 USD"), "{sentence}");
    }

    #[test]
    fn a_limit_on_what_is_not_known_is_not_met() {
        let limits = Limits { cost_usd: Some(5.5), ..Limits::default() };
        assert!(limits.allow(&scenario(9.0, Some(5.0), 9.0)));
        assert!(!limits.allow(&scenario(1.0, Some(6.0), 1.0)));
        assert!(!limits.allow(&scenario(1.0, None, 1.0)));
    }
}
