//! The report of a run that was forecast, in order.

use crate::estimate::Estimate;
use crate::meter::EnergySource;
use crate::record::ForecastRecord;
use crate::report::charts::Chart;
use crate::report::document::{Block, CELL, Document, Section};
use crate::report::figures::NAME;
use crate::report::markup::clean;
use crate::report::numbers::{human_hours, interval, significant};
use crate::report::table::TextTable;
use crate::report::terminal::{answer_table, assumptions_table, explanation_table, sentence};
use crate::stats::Interval;

/// Columns of a page: the table of the answer has all of its own.
const WIDE: usize = 200;

pub(super) fn document<'a>(of: &ForecastRecord, estimate: &Estimate, charts: &'a [Chart]) -> Document<'a> {
    let command = clean(&of.command, NAME);
    let assumptions = Section {
        id: "assumptions",
        title: "What is taken for granted",
        blocks: vec![Block::Table(assumptions_table(estimate))],
    };
    let arithmetic = Section {
        id: "arithmetic",
        title: "How each number is worked out",
        blocks: vec![Block::Table(explanation_table(estimate))],
    };
    Document {
        title: format!("Forecast of {command}"),
        answer: sentence(&Estimate { workload: Some(command), ..estimate.clone() }),
        headline: Some(answer_table(std::slice::from_ref(estimate), WIDE)),
        decisive: decisive(of, estimate),
        found: format!(
            "Watched for {} on {} ({}), begun {}.",
            time(of.duration_s),
            clean(&of.host, NAME),
            clean(&of.cpu, NAME),
            clean(&of.started, NAME)
        ),
        charts,
        sections: vec![progress(of), parts(of), assumptions, arithmetic],
    }
}

fn time(seconds: f64) -> String {
    human_hours(Interval::point(seconds / 3600.0))
}

/// What changes how the answer is read.
fn decisive(of: &ForecastRecord, estimate: &Estimate) -> Vec<String> {
    let mut said = Vec::new();
    let is_modelled = |source: &Option<String>| source.as_deref() == Some(EnergySource::Model.name());
    let modelled: Vec<&str> =
        of.parts.iter().filter(|part| is_modelled(&part.source)).map(|part| part.device.as_str()).collect();
    if !modelled.is_empty() {
        said.push(format!("The energy of {} is modelled, not measured.", modelled.join(" and ")));
    }
    if of.has_finished() {
        let inside = of.said.iter().filter(|s| s.whole_s.contains(of.duration_s)).count();
        said.push(format!(
            "The run has ended: it took {}, which lay inside {inside} of {} forecasts on the way.",
            time(of.duration_s),
            of.said.len()
        ));
    }
    said.extend(estimate.warnings.iter().map(|warning| format!("{}: {}.", warning.fact, warning.consequence)));
    said
}

/// How far it was, and what its loop is like.
fn progress(of: &ForecastRecord) -> Section {
    let unit = clean(&of.unit, NAME);
    let mut list = vec![
        format!("{} of {} {unit}s were done, from {}", of.steps_done, of.steps_total, of.start_step),
        format!("A {unit} takes {} s, with pauses and warm-up shared out", interval(of.step_s())),
        format!("Read by: {}", clean(&of.recognised_as, CELL)),
    ];
    list.extend(of.tokens_per_step.map(|tokens| format!("{tokens:.0} tokens in a {unit}")));
    list.extend(of.warm_up.map(|(steps, seconds)| {
        format!("Warm-up: the first {steps} took {} s longer, and count in the total alone", significant(seconds))
    }));
    list.extend(of.pauses.iter().map(|pause| {
        let rhythm = match pause.every_steps {
            Some(every) => format!("every {} {unit}s", significant(every)),
            None => format!("after {unit} {}, once so far", pause.after_step),
        };
        format!("Pause: {} s {rhythm}", significant(pause.seconds))
    }));
    Section { id: "progress", title: "How far it was", blocks: vec![Block::List(list)] }
}

fn parts(of: &ForecastRecord) -> Section {
    let mut table = TextTable::new(&["part", "name", "energy J", "power W", "source"]);
    let known = |value: Option<Interval>| value.map_or_else(|| "-".to_owned(), interval);
    for part in &of.parts {
        table.row(vec![
            clean(&part.device, NAME),
            clean(&part.name, CELL),
            known(part.energy_j),
            known(part.power_w),
            part.source.as_deref().map_or_else(|| "-".to_owned(), |source| clean(source, NAME)),
        ]);
    }
    Section { id: "parts", title: "What each part of the machine used meanwhile", blocks: vec![Block::Table(table)] }
}
