//! What a terminal is shown: tables with units in the header.

mod answer;
mod estimates;
mod paint;
mod plan;
mod recommendation;
mod sweep;

use std::fmt::Write;

use crate::estimate::{Comparison, Crossover, Estimate, ModelledCrossovers, ThesisClaim, Value};
use crate::model::Arch;
use crate::record::{CellSummary, Status};
use crate::report::numbers::{significant, times_dense};
use crate::report::table::TextTable;

pub use answer::{answer_table, assumed_and_next, equal_loss_text, sentence, short_answer, verdict_of_machines};
pub use estimates::{explanation_table, layout_text, schedule_text, side_table, variance_table};
pub use paint::Paint;
pub use plan::{frontier_table, plan_sentence, plan_table};
pub use recommendation::recommendation;
pub use sweep::sweep_table;

fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// The cells of a campaign.
#[must_use]
pub fn profile_table(cells: &[CellSummary]) -> TextTable {
    // A column for number format and depth only where they differ: there is no room to spare.
    let formats = cells.iter().any(|c| c.dtype != cells[0].dtype);
    let depths = cells.iter().any(|c| c.n_layers != cells[0].n_layers);
    let mut header = vec!["seq_len", "batch"];
    header.extend(formats.then_some("dtype"));
    header.extend(depths.then_some("layers"));
    header.extend(["architecture", "step s", "fwd s", "bwd s", "opt s", "tokens/s", "J/step", "GB", "source"]);
    let mut table = TextTable::new(&header);
    for cell in cells {
        let mid = |i: Option<crate::stats::Interval>| or_dash(i, |i| significant(i.mid));
        let step = match (cell.status, cell.step_s) {
            (Status::Ok, Some(s)) => format!("{} ±{:.1} %", significant(s.mid), 100.0 * s.relative_half_width()),
            (Status::Ok, None) => "too few steps".to_owned(),
            (Status::OutOfMemory, _) => "out of memory".to_owned(),
            (Status::Failed, _) => "failed".to_owned(),
        };
        let mut row = vec![cell.seq_len.to_string(), cell.batch_size.to_string()];
        row.extend(formats.then(|| cell.dtype.to_string()));
        row.extend(depths.then(|| cell.n_layers.to_string()));
        row.extend([
            cell.arch.label(),
            step,
            mid(cell.forward_s),
            mid(cell.backward_s),
            mid(cell.optimizer_s),
            mid(cell.tokens_per_s),
            mid(cell.energy_j_per_step),
            or_dash(cell.peak_memory_bytes, |b| significant(b as f64 / 1e9)),
            or_dash(cell.energy_source, |s| s.name().to_owned()),
        ]);
        table.row(row);
    }
    table
}

/// How well the steps used the device; empty where nothing of that is known.
#[must_use]
pub(super) fn use_table(cells: &[CellSummary]) -> TextTable {
    let mut table = TextTable::new(&[
        "seq_len",
        "batch",
        "architecture",
        "dtype",
        "MFU %",
        "% of a large product",
        "queueing over computing",
    ]);
    let percent = |i: Option<crate::stats::Interval>| or_dash(i, |i| significant(100.0 * i.mid));
    let known = |c: &&CellSummary| c.mfu.is_some() || c.matmul_fraction.is_some() || c.launch_bound.is_some();
    for cell in cells.iter().filter(known) {
        table.row(vec![
            cell.seq_len.to_string(),
            cell.batch_size.to_string(),
            cell.arch.label(),
            cell.dtype.to_string(),
            percent(cell.mfu),
            percent(cell.matmul_fraction),
            or_dash(cell.launch_bound, significant),
        ]);
    }
    table
}

/// What an estimate takes for granted.
#[must_use]
pub fn assumptions_table(estimate: &Estimate) -> TextTable {
    let mut table = TextTable::new(&["assumption", "value", "unit", "source"]);
    for a in &estimate.assumptions {
        let value = match (&a.value, a.range) {
            (Value::Text(text), _) => text.clone(),
            (Value::Number(x), None) => significant(*x),
            (Value::Number(x), Some((low, high))) => {
                format!("{} [{}, {}]", significant(*x), significant(low), significant(high))
            }
        };
        table.row(vec![a.name.clone(), value, a.unit.clone(), a.source.clone()]);
    }
    table
}

/// Architectures by sequence length, with winners and crossovers.
#[must_use]
pub fn comparison_text(comparison: &Comparison, colour: Paint, width: usize) -> String {
    let mut header = vec!["seq_len", "batch"];
    let dtypes = comparison.lengths.iter().map(|l| l.dtype).collect::<std::collections::BTreeSet<_>>();
    if dtypes.len() > 1 {
        header.push("dtype");
    }
    header.extend(["architecture", "us/token", "", "time / dense", "energy / dense", "FLOP", ""]);
    let mut table = TextTable::new(&header);
    let slowest = comparison.lengths.iter().flat_map(|l| &l.rows).map(|r| r.us_per_token.mid).fold(0.0, f64::max);
    for length in &comparison.lengths {
        for (i, row) in length.rows.iter().enumerate() {
            let fastest = match (&length.winner, i) {
                (Some(winner), _) if *winner == row.arch => "first",
                (None, 0) => "tie",
                _ => "",
            };
            let mut cells = vec![length.seq_len.to_string(), length.batch_size.to_string()];
            if dtypes.len() > 1 {
                cells.push(length.dtype.to_string());
            }
            cells.extend([
                row.arch.label(),
                significant(row.us_per_token.mid),
                paint::bar(row.us_per_token.mid, slowest, 6),
                or_dash(row.time_vs_dense, times_dense),
                or_dash(row.energy_vs_dense, times_dense),
                or_dash(row.flop_vs_dense, |f| format!("{f:.2}")),
                fastest.to_owned(),
            ]);
            table.row(cells);
        }
    }
    let mut text = colour.table(&table.render(width), &["first"]);
    text.push_str("first: its lead is larger than the uncertainty; tie: the first two cannot be told apart\n");
    // What dense has to do with it is in the table already, unless it is where something takes over.
    let said = |c: &&Crossover| c.seq_len().is_some() || ![c.below, c.above].contains(&Arch::Dense);
    for c in comparison.crossovers.iter().filter(said) {
        let _ = writeln!(text, "{}", c.sentence());
    }
    text
}

/// Where architectures change places: as measured, and by the model on GPUs that were not.
#[must_use]
pub fn crossovers_table(comparison: &Comparison, modelled: &[ModelledCrossovers]) -> TextTable {
    let mut table = TextTable::new(&["where", "what"]);
    let mut row = |place: &str, c: &Crossover| table.row(vec![place.to_owned(), c.sentence()]);
    comparison.crossovers.iter().for_each(|c| row("measured here", c));
    for device in modelled {
        let place = format!("{}, modelled", device.hardware);
        device.crossovers.iter().for_each(|c| row(&place, c));
    }
    table
}

/// The claims of the thesis, one a line.
#[must_use]
pub fn claims_text(claims: &[ThesisClaim]) -> String {
    let mut text = String::new();
    for c in claims {
        let _ = writeln!(text, "thesis: {}\n  here: {} ({})", c.claim, c.found, verdict(c));
    }
    text
}

/// The same as a table.
#[must_use]
pub(super) fn claims(claims: &[ThesisClaim]) -> TextTable {
    let mut table = TextTable::new(&["the thesis", "here", "verdict"]);
    for c in claims {
        table.row(vec![c.claim.to_owned(), c.found.clone(), verdict(c).to_owned()]);
    }
    table
}

fn verdict(claim: &ThesisClaim) -> &'static str {
    match claim.agrees {
        Some(true) => "agrees",
        Some(false) => "does not agree",
        None => "open",
    }
}
