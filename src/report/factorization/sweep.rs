//! Several shares of a checkpoint: a table, and what it says.

use super::tried::{break_even, shown, speed, unmetered};
use crate::report::numbers::{counted, interval, significant};
use crate::report::table::TextTable;
use crate::stats::Interval;
use crate::train::factorize::{Sweep, SweepPoint};

/// Bytes of a weight as f32, in decimal megabytes.
const MB_A_WEIGHT: f64 = 4e-6;

/// A share for people: `50 %`.
pub(super) fn share(keep: f64) -> String {
    format!("{} %", significant(100.0 * keep))
}

/// Decimal megabytes of so many weights as f32.
pub(super) fn megabytes(weights: u64) -> f64 {
    weights as f64 * MB_A_WEIGHT
}

/// The dense model and a row for each share: medians, with the intervals of what is compared. What was measured at several lengths is
/// shown for the longest.
#[must_use]
pub fn sweep_table(of: &Sweep) -> TextTable {
    let longest = of.points.iter().filter_map(|p| p.tried.passes.last()).map(|pass| pass.seq_len).max();
    let reads = of.points.iter().any(|p| p.tried.reading.is_some());
    let has_loss = of.points.iter().any(|p| p.tried.reading.as_ref().is_some_and(|r| r.loss.is_some()));
    let is_weighted = of.points.iter().any(|p| p.factorized.weighted_error.is_some());
    let joules = if of.points.iter().any(|p| p.tried.joules_are_modelled()) { "J (modelled)" } else { "J" };
    let mut heads = vec!["keeps".to_owned(), "weights".to_owned(), "MB (f32)".to_owned(), "error".to_owned()];
    heads.extend(is_weighted.then(|| "weighted error".to_owned()));
    let of_pass =
        |len: &usize| [format!("ms at {len}"), "times dense".to_owned(), joules.to_owned(), "times dense".to_owned()];
    heads.extend(longest.iter().flat_map(of_pass));
    heads.extend(has_loss.then(|| ["loss".to_owned(), "added loss".to_owned()]).into_iter().flatten());
    heads.extend(reads.then(|| "drift".to_owned()));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = TextTable::new(&heads);
    let dash = || "-".to_owned();
    if let Some(first) = of.points.first() {
        let mut row = vec!["dense".to_owned(), counted(of.weights as f64), significant(megabytes(of.weights)), dash()];
        row.extend(is_weighted.then(dash));
        if longest.is_some() {
            let pass = first.tried.passes.last();
            row.push(pass.map_or_else(dash, |pass| significant(1e3 * pass.dense_seconds.mid)));
            row.push("1".to_owned());
            row.push(pass.and_then(|pass| pass.dense_joules).map_or_else(dash, |joules| significant(joules.mid)));
            row.push("1".to_owned());
        }
        row.extend(has_loss.then(|| [dense_loss(of).map_or_else(dash, middle), "0".to_owned()]).into_iter().flatten());
        row.extend(reads.then(|| "0".to_owned()));
        table.row(row);
    }
    for point in &of.points {
        let weights = point.factorized.weights;
        let mut row = vec![
            share(point.keep),
            counted(weights as f64),
            significant(megabytes(weights)),
            point.factorized.error.map_or_else(dash, significant),
        ];
        row.extend(is_weighted.then(|| point.factorized.weighted_error.map_or_else(dash, significant)));
        if longest.is_some() {
            let pass = point.tried.passes.last();
            row.push(pass.map_or_else(dash, |pass| significant(1e3 * pass.seconds.mid)));
            row.push(pass.map_or_else(dash, |pass| interval(pass.vs_dense)));
            row.push(pass.and_then(|pass| pass.joules).map_or_else(dash, |joules| significant(joules.mid)));
            row.push(pass.and_then(|pass| pass.joules_vs_dense).map_or_else(dash, interval));
        }
        let reading = point.tried.reading.as_ref();
        let losses = || {
            let of = |value: Option<Interval>, shown: fn(Interval) -> String| value.map_or_else(dash, shown);
            [of(reading.and_then(|r| r.loss), middle), of(reading.and_then(|r| r.added_loss), shown)]
        };
        row.extend(has_loss.then(losses).into_iter().flatten());
        row.extend(reads.then(|| reading.map_or_else(dash, |r| significant(r.drift.mid))));
        table.row(row);
    }
    table
}

/// The middle of a loss.
fn middle(loss: Interval) -> String {
    format!("{:.3}", loss.mid)
}

/// The loss of the dense model, where it was read.
pub(super) fn dense_loss(of: &Sweep) -> Option<Interval> {
    of.points.iter().find_map(|point| point.tried.reading.as_ref()?.dense_loss)
}

/// What it says: the answer first, then one sentence a share, then what must be known beside it.
#[must_use]
pub fn sweep_sentences(of: &Sweep) -> Vec<String> {
    let mut said = vec![answer(of)];
    for point in &of.points {
        let Some(pass) = point.tried.passes.last().filter(|pass| pass.vs_dense.high >= 1.0) else { continue };
        let widths = point.tried.widths.as_ref().map_or_else(String::new, |widths| format!(" {}", break_even(widths)));
        said.push(format!(
            "With {} of the weights of its linears, at {} tokens, it {}.{widths}",
            share(point.keep),
            pass.seq_len,
            speed(pass)
        ));
    }
    if of.points.iter().any(|point| point.tried.joules_are_modelled()) {
        said.push("Joules are modelled, not measured by a counter: they follow seconds and load.".to_owned());
    }
    said.extend(of.points.first().and_then(|point| unmetered(&point.tried)));
    let reason = of.points.iter().find_map(|point| point.tried.reading.as_ref()?.reason.as_ref());
    said.extend(reason.map(|reason| format!("There is no loss: {reason}.")));
    said
}

/// The largest share from which on every smaller one is faster beyond doubt, and what it costs.
fn answer(of: &Sweep) -> String {
    let is_faster = |point: &&SweepPoint| point.tried.passes.last().is_some_and(|pass| pass.vs_dense.high < 1.0);
    let size = |point: &SweepPoint| {
        format!("{:.1} MB instead of {:.1} MB", megabytes(point.factorized.weights), megabytes(of.weights))
    };
    let cost = |point: &SweepPoint| {
        let reading = point.tried.reading.as_ref()?;
        match (reading.loss, reading.dense_loss) {
            (Some(loss), Some(dense)) => Some(format!(" and a loss of {:.3} instead of {:.3}", loss.mid, dense.mid)),
            _ => Some(format!(" and embeddings that drift by {}", significant(reading.drift.mid))),
        }
    };
    let first = of.points.iter().rev().take_while(is_faster).last();
    match (first, of.points.last()) {
        (Some(point), _) => {
            let times = point.tried.passes.last().map_or_else(String::new, |pass| {
                format!(" takes {} times as long as dense at {} tokens", interval(pass.vs_dense), pass.seq_len)
            });
            format!(
                "{} with {} of the weights of its linears{times}, with {}{}.",
                of.checkpoint,
                share(point.keep),
                size(point),
                cost(point).unwrap_or_default()
            )
        }
        (None, Some(point)) => format!(
            "{} becomes smaller and not faster: with {} of the weights of its linears it has {}{}.",
            of.checkpoint,
            share(point.keep),
            size(point),
            cost(point).unwrap_or_default()
        ),
        (None, None) => format!("{}: nothing was tried.", of.checkpoint),
    }
}
