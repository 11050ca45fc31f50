//! The report of estimates, in order.

use super::layout;
use crate::estimate::Estimate;
use crate::report::charts::{Chart, Palette};
use crate::report::document::{Block, Document, Section};
use crate::report::figures::{NAME, variance, whole_run};
use crate::report::markup::clean;
use crate::report::terminal::{answer_table, assumptions_table, explanation_table, side_table};

/// Columns of a page: the table of the answer has all of its own.
const WIDE: usize = 200;

/// The charts, that of the answer first.
pub(super) fn charts(estimates: &[Estimate], elsewhere: &[Estimate]) -> Vec<Chart> {
    let palette = Palette::of(estimates.iter().filter_map(|e| e.arch).collect());
    let mut charts: Vec<Chart> = whole_run(estimates, false, &palette).into_iter().collect();
    charts.extend(layout::charts(estimates, elsewhere));
    charts.extend(variance(estimates));
    charts
}

pub(super) fn document<'a>(estimates: &[Estimate], verdict: &str, charts: &'a [Chart]) -> Document<'a> {
    let first = estimates.first();
    let workload = first.and_then(|e| e.workload.as_deref()).unwrap_or("a run");
    let mut decisive: Vec<String> = Vec::new();
    for warning in estimates.iter().flat_map(|e| &e.warnings) {
        let said = format!("{}: {}.", warning.fact, warning.consequence);
        if !decisive.contains(&said) {
            decisive.push(said);
        }
    }
    let mut sections: Vec<Section> = layout::section(estimates).into_iter().collect();
    sections.push(Section {
        id: "memory",
        title: "Memory, embodied emissions and water",
        blocks: vec![Block::Table(side_table(estimates))],
    });
    if let Some(first) = first {
        sections.push(Section {
            id: "assumptions",
            title: "What is taken for granted",
            blocks: vec![Block::Table(assumptions_table(first))],
        });
    }
    let arithmetic = estimates.iter().flat_map(|e| {
        let of = e.hardware.as_ref().map_or_else(|| e.label(), |hardware| format!("{}, {hardware}", e.label()));
        [Block::Words(format!("{of}:")), Block::Table(explanation_table(e))]
    });
    sections.push(Section { id: "arithmetic", title: "How each number is worked out", blocks: arithmetic.collect() });
    Document {
        title: format!("{}, estimated", clean(workload, NAME)),
        answer: verdict.trim().to_owned(),
        headline: Some(answer_table(estimates, WIDE)),
        decisive,
        found: "Estimated before training; intervals are 95 %.".to_owned(),
        charts,
        sections,
    }
}
