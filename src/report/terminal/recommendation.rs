//! What to choose of many scenarios, in a few sentences.

use crate::estimate::{Axes, Goal, Quantity, Recommendation, Scenario};
use crate::report::numbers::{human_hours, significant};
use crate::stats::Interval;

/// What to choose, why, and what speaks for others.
#[must_use]
pub fn recommendation(of: &Recommendation<'_>, axes: &Axes) -> String {
    let choice = of.choice;
    let goals = |goals: &[Goal], before_last: &str| {
        listed(&goals.iter().map(ToString::to_string).collect::<Vec<_>>(), before_last)
    };
    let mut said = vec![
        format!("Choose {}: {}, {}.", name(choice, axes), human_hours(choice.wall_h()), numbers(choice)),
        format!("Of {} scenarios that fit, it has the smallest product of {}.", of.candidates, goals(of.goals, "and")),
    ];
    let better = |(best, its): &(&Scenario, Vec<Goal>)| {
        let does = listed(&its.iter().map(|goal| least(*goal).to_owned()).collect::<Vec<_>>(), "and");
        let hours = human_hours(Interval::point(best.wall_h().mid));
        format!("{} {does} ({hours}, {})", beside(best, choice, axes), numbers(best))
    };
    if !of.better.is_empty() {
        said.push(format!("{}.", listed(&of.better.iter().map(better).collect::<Vec<_>>(), "and")));
    }
    if !of.unbeaten.is_empty() {
        said.push(format!("None takes less {}.", goals(&of.unbeaten, "or")));
    }
    said.push(match of.rivals {
        0 => "No other can be expected to be as fast.".to_owned(),
        1 => "Another may be as fast: a measured step of each would tell.".to_owned(),
        count => format!("{count} others may be as fast: a measured step of each would tell."),
    });
    if !of.design_is_known {
        said.push(format!(
            "No published run behind the model is of a design like the {}: others that were published rank on firmer ground.",
            axes.hardware[choice.hardware].0.name
        ));
    }
    said.join(" ")
}

/// What a scenario does that has the least of a goal.
fn least(goal: Goal) -> &'static str {
    match goal {
        Goal::Time => "takes the least time",
        Goal::Cost => "costs the least",
        Goal::Co2e => "emits the least",
        Goal::Energy => "takes the least energy",
    }
}

/// `a, b and c`
pub(super) fn listed(words: &[String], before_last: &str) -> String {
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {before_last} {last}", others.join(", ")),
        None => String::new(),
    }
}

fn name(s: &Scenario, axes: &Axes) -> String {
    let (hardware, grid) = (&axes.hardware[s.hardware].0.name, &axes.grids[s.grid].0.name);
    let model = match axes.workloads.as_slice() {
        [] | [_] => String::new(),
        several => format!("{}, ", several[s.workload].name),
    };
    let software = if axes.software.len() > 1 { format!(", {} software", s.software) } else { String::new() };
    let layout = s.layout.map_or_else(String::new, |layout| format!(" laid out as `{layout}`"));
    format!("{model}{} in {} on {} x {hardware}{layout}, {grid}{software}", s.arch.label(), s.dtype, s.devices)
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
    if s.layout != choice.layout {
        parts.push(s.layout.map_or_else(|| "the whole model on each".to_owned(), |layout| format!("`{layout}`")));
    }
    let other = if parts.is_empty() { String::new() } else { format!(" with {}", parts.join(", ")) };
    let place = if s.grid == choice.grid { String::new() } else { format!(" in {}", axes.grids[s.grid].0.name) };
    format!("{} x {}{other}{place}", s.devices, axes.hardware[s.hardware].0.name)
}

/// What a scenario costs and emits.
fn numbers(s: &Scenario) -> String {
    let of = |quantity, unit: &str| Some(format!("{} {unit}", significant(s.footprint.of(quantity)?.mid)));
    let cost = of(Quantity::Cost, "USD").unwrap_or_else(|| "cost not known".to_owned());
    format!("{cost}, {}", of(Quantity::Operational, "kgCO2e").unwrap_or_else(|| "CO2e not known".to_owned()))
}
