//! The question answered in a sentence: what does a variant save, and how sure is that?

use crate::estimate::{Comparison, Estimate, VsDense};
use crate::meter::EnergySource;
use crate::model::Arch;
use crate::record::{Record, Status};
use crate::report::markup::clean;
use crate::report::numbers::{interval, less_or_more, time_unit};
use crate::stats::Interval;

/// The longest name that a sentence or a heading holds.
pub(in crate::report) const NAME: usize = 80;

/// The answer that a report gives first.
#[must_use]
pub(in crate::report) fn answer(record: &Record, all: &[Estimate], comparison: &Comparison) -> String {
    // Of several number formats the first is the one that was asked about.
    let in_first: Vec<Estimate> = all.iter().filter(|e| e.dtype == all[0].dtype).cloned().collect();
    let estimates = in_first.as_slice();
    let dense = estimates.iter().find(|e| e.arch == Some(Arch::Dense));
    let variants = || estimates.iter().filter_map(|e| Some((e, e.vs_dense?)));
    let best = variants().min_by(|a, b| a.1.wall_h.mid.total_cmp(&b.1.wall_h.mid));
    let mut text = match (dense, best) {
        (Some(dense), Some((best, ratio))) if ratio.wall_h.high < 1.0 => {
            let mut text = wins(record, dense, best, &ratio);
            let others = variants().filter(|(e, _)| e.arch.is_some_and(|a| a.rank().is_some()) && best.arch != e.arch);
            if let Some((lrt, ratio)) = others.min_by(|a, b| a.1.wall_h.mid.total_cmp(&b.1.wall_h.mid)) {
                text.push_str(&format!(" {} takes {} time than dense.", name(lrt), less_or_more(ratio.wall_h)));
            }
            text
        }
        (Some(dense), Some(_)) => {
            let took = dense.wall_h.map(|h| format!(" ({})", hours(h, h.mid))).unwrap_or_default();
            let each: Vec<String> =
                variants().map(|(e, r)| format!("{} takes {} time", name(e), less_or_more(r.wall_h))).collect();
            format!("No variant is seen to train {} in less time than dense{took}: {}.", place(record), each.join(", "))
        }
        _ => without_ratios(record, estimates, comparison),
    };
    let modelled = record.environment.meters.iter().any(|m| m.source == EnergySource::Model);
    if modelled && estimates.iter().any(|e| e.facility_energy_kwh.is_some()) {
        text.push_str(" Time is measured; energy and CO2e are modelled.");
    }
    text
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

fn wins(record: &Record, dense: &Estimate, best: &Estimate, ratio: &VsDense) -> String {
    let mut text = format!("{} trains {}", name(best), place(record));
    let mut instead = Vec::new();
    let mut takes = Vec::new();
    if let Some((usd, of_dense)) = best.cost_usd.zip(dense.cost_usd) {
        takes.push(format!("for {} USD", interval(usd)));
        instead.push(format!("{} USD", interval(Interval::point(of_dense.mid))));
    }
    if let Some((time, of_dense)) = best.wall_h.zip(dense.wall_h) {
        takes.push(format!("in {}", hours(time, of_dense.mid)));
        instead.push(hours(Interval::point(of_dense.mid), of_dense.mid));
    }
    if !takes.is_empty() {
        text.push_str(&format!(" {} instead of {}", takes.join(" and "), instead.join(" and ")));
    }
    // What is saved of several things alike is said once.
    let parts = [
        ("time", Some(ratio.wall_h)),
        ("cost", ratio.cost_usd),
        ("energy", ratio.facility_energy_kwh),
        ("CO2e", ratio.operational_kgco2e),
    ];
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for (what, ratio) in parts {
        let Some(ratio) = ratio else { continue };
        let words = less_or_more(ratio);
        match said.iter_mut().find(|(w, _)| *w == words) {
            Some((_, whats)) => whats.push(what),
            None => said.push((words, vec![what])),
        }
    }
    let said: Vec<String> = said.iter().map(|(words, whats)| format!("{words} {}", list(whats))).collect();
    text + &format!(": {}.", said.join(", "))
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
    if let Some((estimate, time)) = estimates.iter().find_map(|e| Some((e, e.wall_h?))) {
        return format!(
            "{} trains {} in {}. Nothing can be said of what a variant saves: dense and a variant are needed.",
            name(estimate),
            place(record),
            hours(time, time.mid)
        );
    }
    let winners = comparison.lengths.iter().filter_map(|l| Some((l, l.winner.as_ref()?)));
    let said: Vec<String> = winners
        .filter_map(|(l, spec)| {
            let row = l.rows.iter().find(|r| r.spec == *spec)?;
            Some(match row.time_vs_dense {
                Some(ratio) => {
                    format!("{} tokens {} ({} time than dense)", l.seq_len, row.label, less_or_more(ratio))
                }
                None => format!("{} tokens {}", l.seq_len, row.label),
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
