//! What a terminal is shown: tables with units in the header.

mod answer;
mod comparison;
mod estimates;
mod paint;
mod plan;
mod recommendation;
mod sweep;

use std::fmt::Write;

use crate::estimate::{Comparison, Crossover, Estimate, ModelledCrossovers, ThesisClaim, Value};
use crate::record::{CellSummary, Status};
use crate::report::numbers::{or_dash, significant};
use crate::report::table::TextTable;

pub use answer::{answer_table, assumed_and_next, equal_loss_text, sentence, short_answer, verdict_of_machines};
pub use comparison::{comparison_sentence, comparison_text};
pub use estimates::{explanation_table, layout_text, schedule_text, side_table, variance_table};
pub use paint::Paint;
pub use plan::{frontier_table, plan_sentence, plan_table};
pub use recommendation::recommendation;
pub use sweep::sweep_table;

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
