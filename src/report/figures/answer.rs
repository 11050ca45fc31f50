//! The question answered in a sentence: what does a variant save, and how sure is that?

use super::inputs::Market;
use crate::estimate::{Basis, Comparison, Estimate, Quantity, Scenario};
use crate::meter::EnergySource;
use crate::model::Arch;
use crate::record::{Record, Status};
use crate::report::markup::clean;
use crate::report::numbers::{interval, less_or_more, significant, time_unit};
use crate::stats::Interval;

/// Hours of a run from which on nobody waits for it: sixty days.
const TREES_H: f64 = 60.0 * 24.0;

/// The longest name that a sentence or a heading holds.
pub(in crate::report) const NAME: usize = 80;

/// The answer that a report gives first.
#[must_use]
pub(in crate::report) fn answer(
    record: &Record,
    all: &[Estimate],
    comparison: &Comparison,
    market: Option<&Market>,
) -> String {
    // Of several number formats the first is the one that was asked about.
    let in_first: Vec<Estimate> = all.iter().filter(|e| e.dtype == all[0].dtype).cloned().collect();
    let estimates = in_first.as_slice();
    let dense = estimates.iter().find(|e| e.arch == Some(Arch::Dense));
    let variants = || estimates.iter().filter_map(|e| Some((e, e.ratio(Quantity::Wall)?)));
    let best = variants().min_by(|a, b| a.1.mid.total_cmp(&b.1.mid));
    let text = match (dense, best) {
        (Some(dense), Some((best, ratio))) if ratio.high < 1.0 => {
            let mut text = match dense.footprint.of(Quantity::Wall) {
                Some(time) if time.mid > TREES_H => wins_slowly(record, dense, best, market),
                _ => wins(record, dense, best),
            };
            let others = variants().filter(|(e, _)| e.arch.is_some_and(|a| a.rank().is_some()) && best.arch != e.arch);
            if let Some((lrt, ratio)) = others.min_by(|a, b| a.1.mid.total_cmp(&b.1.mid)) {
                text.push_str(&format!(" {} takes {} time than dense.", name(lrt), less_or_more(ratio)));
            }
            text
        }
        (Some(dense), Some(_)) => {
            let took =
                dense.footprint.of(Quantity::Wall).map(|h| format!(" ({})", hours(h, h.mid))).unwrap_or_default();
            let each: Vec<String> =
                variants().map(|(e, r)| format!("{} takes {} time", name(e), less_or_more(r))).collect();
            format!("No variant is seen to train {} in less time than dense{took}: {}.", place(record), each.join(", "))
        }
        _ => without_ratios(record, estimates, comparison),
    };
    let modelled = record.environment.meters.iter().any(|m| m.source == EnergySource::Model);
    let modelled = modelled && estimates.iter().any(|e| e.footprint.of(Quantity::FacilityEnergy).is_some());
    text + &how_known(estimates.first().map(|e| e.basis), modelled)
}

/// What of the answer was not measured, in a sentence; nothing where all was.
fn how_known(basis: Option<Basis>, modelled_energy: bool) -> String {
    let time = match basis {
        Some(Basis::Sliced) => "Time follows from steps of fewer layers",
        Some(Basis::Scaled) => "Time follows from steps of another shape",
        _ if modelled_energy => "Time is measured",
        _ => return String::new(),
    };
    let energy = if modelled_energy { "; energy and CO2e are modelled" } else { "" };
    format!(" {time}{energy}.")
}

/// `bert-base on AMD EPYC`
fn place(record: &Record) -> String {
    let (workload, machine) = (&record.settings.workload.name, &record.environment.compute.name);
    format!("{} on {}", clean(workload, NAME), clean(machine, NAME))
}

fn name(estimate: &Estimate) -> String {
    estimate.label()
}

/// A time in the unit that suits `like`.
fn hours(time: Interval, like: f64) -> String {
    let (unit, per_hour) = time_unit(like);
    format!("{} {unit}", interval(time.scaled(per_hour)))
}

fn wins(record: &Record, dense: &Estimate, best: &Estimate) -> String {
    let mut text = format!("{} trains {}", name(best), place(record));
    let mut instead = Vec::new();
    let mut takes = Vec::new();
    if let Some((usd, of_dense)) = best.footprint.of(Quantity::Cost).zip(dense.footprint.of(Quantity::Cost)) {
        takes.push(format!("for {} USD", interval(usd)));
        instead.push(format!("{} USD", interval(Interval::point(of_dense.mid))));
    }
    if let Some((time, of_dense)) = best.footprint.of(Quantity::Wall).zip(dense.footprint.of(Quantity::Wall)) {
        takes.push(format!("in {}", hours(time, of_dense.mid)));
        instead.push(hours(Interval::point(of_dense.mid), of_dense.mid));
    }
    if !takes.is_empty() {
        text.push_str(&format!(" {} instead of {}", takes.join(" and "), instead.join(" and ")));
    }
    text + &format!(": {}.", saved(best))
}

/// The same of a run that this machine is too slow for: what a thousand million tokens take, and where it would be done.
fn wins_slowly(record: &Record, dense: &Estimate, best: &Estimate, market: Option<&Market>) -> String {
    let workload = &record.settings.workload;
    let times = best.footprint.of(Quantity::Wall).zip(dense.footprint.of(Quantity::Wall));
    let Some((time, of_dense)) = times else { return String::new() };
    let per_billion = |h: f64| significant(h * 1e9 / workload.tokens());
    let mut text = format!(
        "{} takes {} than dense to train {}: {} h for 1e9 tokens instead of {}. The whole run would take {} on this machine \
         alone instead of {}",
        name(best),
        saved(best),
        place(record),
        per_billion(time.mid),
        per_billion(of_dense.mid),
        hours(time, of_dense.mid),
        hours(Interval::point(of_dense.mid), of_dense.mid)
    );
    if let (Some(market), Some(arch)) = (market, best.arch) {
        let name = |s: &Scenario| format!("{} x {}", s.devices, market.axes.hardware[s.hardware].0.name);
        let takes = |s: &Scenario| format!("about {}", hours(s.wall_h(), s.wall_h().mid));
        let [known, cheapest] = market.named(arch).map(|place| place.map(|i| &market.scenarios[i]));
        if let Some(known) = known {
            text.push_str(&format!("; on {} {}", name(known), takes(known)));
        }
        if let Some((s, usd)) = cheapest.and_then(|s| Some((s, s.footprint.of(Quantity::Cost)?))) {
            text.push_str(&format!(
                ". The cheapest of the catalog with a median within a week is {}: {}, {} USD (modelled)",
                name(s),
                takes(s),
                interval(usd)
            ));
        }
    }
    text + "."
}

/// `37 % [35 to 38] less time, energy and CO2e`: what is saved of several things alike is said once.
fn saved(best: &Estimate) -> String {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for quantity in Quantity::COMPARED {
        let Some(ratio) = best.ratio(quantity) else { continue };
        let words = less_or_more(ratio);
        match said.iter_mut().find(|(w, _)| *w == words) {
            Some((_, whats)) => whats.push(quantity.word()),
            None => said.push((words, vec![quantity.word()])),
        }
    }
    let said: Vec<String> = said.iter().map(|(words, whats)| format!("{words} {}", list(whats))).collect();
    said.join(", ")
}

/// `a`, `a and b`, `a, b and c`
fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What can be said where there is nothing to compare a whole run with.
fn without_ratios(record: &Record, estimates: &[Estimate], comparison: &Comparison) -> String {
    if let Some((estimate, time)) = estimates.iter().find_map(|e| Some((e, e.footprint.of(Quantity::Wall)?))) {
        return format!(
            "{} trains {} in {}. Nothing can be said of what a variant saves: dense and a variant are needed.",
            name(estimate),
            place(record),
            hours(time, time.mid)
        );
    }
    let winners = comparison.lengths.iter().filter_map(|l| Some((l, l.winner?)));
    let said: Vec<String> = winners
        .filter_map(|(l, winner)| {
            let row = l.rows.iter().find(|r| r.arch == winner)?;
            Some(match row.time_vs_dense {
                Some(ratio) => {
                    format!("{} tokens {} ({} time than dense)", l.seq_len, row.arch.label(), less_or_more(ratio))
                }
                None => format!("{} tokens {}", l.seq_len, row.arch.label()),
            })
        })
        .collect();
    if !said.is_empty() {
        return format!("Fastest train step of {}: at {}.", place(record), said.join(", at "));
    }
    let cells = record.cells.len();
    let of = |status: Status| record.cells.iter().filter(|c| c.status == status).count();
    match of(Status::Ok) {
        0 => format!(
            "Nothing was measured of {}: of {cells} cells, {} ran out of memory and {} failed.",
            place(record),
            of(Status::OutOfMemory),
            of(Status::Failed)
        ),
        _ => format!("Steps of {}: nothing to compare them with.", place(record)),
    }
}
