//! What budgets buy, for people.

use std::fmt::Write as _;

use super::or_dash;
use crate::estimate::{Basis, Budget, Plan, PlannedRun, Quantity};
use crate::report::numbers::{counted, counted_interval, human_hours, interval, significant};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// What the budgets buy at most, in a sentence with its interval, and which of them is used up.
#[must_use]
pub fn plan_sentence(plan: &Plan, budgets: &[Budget], confidence: Option<f64>, basis: Option<Basis>) -> String {
    let run = &plan.best;
    let mut text = String::new();
    if let Some(confidence) = confidence {
        let _ = write!(text, "With a probability of {} %, ", significant(100.0 * confidence).trim_end_matches(".0"));
    }
    let named: Vec<String> = budgets.iter().map(Budget::to_string).collect();
    text.push_str(&named.join(" and "));
    let tokens =
        counted_interval(Interval { mid: run.tokens, low: run.tokens_bought.low, high: run.tokens_bought.high });
    let verb = |one: &'static str, many: &'static str| if named.len() == 1 { one } else { many };
    let _ = match &run.shape {
        Some(shape) => write!(
            text,
            " {} at most a decoder of {} parameters ({} layers of width {}) on {tokens} tokens, {:.1} a parameter,",
            verb("trains", "train"),
            counted(run.n_params as f64),
            shape.layers,
            shape.width,
            run.tokens_per_param
        ),
        None => write!(text, " {} {tokens} tokens of {}", verb("buys", "buy"), run.workload),
    };
    let _ = write!(text, " on {} x {}: {} steps", run.devices, run.hardware, run.steps);
    if let Some(epochs) = run.epochs {
        let _ = write!(text, ", {} epochs", significant(epochs));
    }
    if let Some(hours) = run.footprint.of(Quantity::Wall) {
        let _ = write!(text, " in {}", human_hours(hours));
    }
    if let ([_, _, ..], Some(binding)) = (budgets, budgets.get(run.budget)) {
        let _ = write!(text, "; {binding} is used up first");
    }
    text.push_str(if basis == Some(Basis::Analytic) { "; modelled, not measured." } else { "." });
    text
}

/// What the largest run comes to beside each budget.
#[must_use]
pub fn plan_table(run: &PlannedRun, budgets: &[Budget]) -> TextTable {
    let mut table = TextTable::new(&["", "planned", "budget"]);
    let mut shown = vec![Quantity::Wall, Quantity::Cost, Quantity::FacilityEnergy, Quantity::Operational];
    shown.extend(budgets.iter().map(|budget| budget.quantity).filter(|quantity| *quantity == Quantity::DeviceHours));
    shown.dedup();
    for quantity in shown {
        let Some(value) = run.footprint.of(quantity) else { continue };
        let of = budgets.iter().filter(|budget| budget.quantity == quantity);
        let least = of.map(|budget| budget.amount).min_by(f64::total_cmp);
        let used_up = if budgets.len() > 1 && run.binds == quantity { ", binds" } else { "" };
        table.row(vec![
            format!("{} {}", quantity.word(), quantity.unit()),
            interval(value),
            or_dash(least, |amount| significant(amount) + used_up),
        ]);
    }
    table
}

/// The runs that no other beats, below what they have in common, with as much as a terminal of `width` columns has room for.
#[must_use]
pub fn frontier_table(plan: &Plan, rows: usize, width: usize) -> (Vec<String>, TextTable) {
    let runs = &plan.frontier[..rows.min(plan.frontier.len())];
    let all = [(true, true), (true, false), (false, false)].map(|(layout, energy)| table(runs, layout, energy));
    let mut all: Vec<_> = all.into_iter().collect();
    let narrow = all.len() - 1;
    let fitting = all.iter().position(|(_, table)| table.least_width() <= width).unwrap_or(narrow);
    all.swap_remove(fitting)
}

fn table(runs: &[PlannedRun], layout: bool, energy: bool) -> (Vec<String>, TextTable) {
    let largest = runs.iter().any(|run| run.shape.is_some());
    let mut header = vec!["hardware", "devices"];
    header.extend(layout.then_some("layout"));
    header.extend(largest.then_some("params"));
    header.extend(["tokens", "time h"]);
    header.extend(energy.then_some(["kWh", "kgCO2e"]).into_iter().flatten());
    header.push("USD");
    let mut table = TextTable::new(&header);
    for run in runs {
        let of = |quantity| or_dash(run.footprint.of(quantity), |value: Interval| significant(value.mid));
        let mut row = vec![run.hardware.clone(), run.devices.to_string()];
        row.extend(layout.then(|| or_dash(run.layout.as_deref(), axes)));
        row.extend(largest.then(|| counted(run.n_params as f64)));
        row.extend([counted(run.tokens), of(Quantity::Wall)]);
        if energy {
            row.extend([of(Quantity::FacilityEnergy), of(Quantity::Operational)]);
        }
        row.push(of(Quantity::Cost));
        table.row(row);
    }
    let common = table.take_constant(&["devices", "tokens", "time h", "kWh", "kgCO2e", "USD"]);
    (common, table)
}

/// The first three parts of a layout: its axes.
fn axes(layout: &str) -> String {
    layout.split(',').take(3).collect::<Vec<_>>().join(",")
}
