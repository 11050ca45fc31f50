//! Predictions that were held against the run.

use std::fmt::Write;

use polars::prelude::DataFrame;
use serde::Serialize;

use super::files::{count, number, text, with_ends};
use super::markup::markdown_line as line;
use super::numbers::{interval, significant};
use super::page::markdown_table;
use super::table::TextTable;
use crate::estimate::{Outcome, Prediction, PublishedCheck};
use crate::meter::EnergySource;
use crate::record::{CellSummary, Environment};
use crate::report::error::ReportError;
use crate::stats::median;
use crate::units::DType;

/// A cell that was profiled, predicted and run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Validation {
    /// The whole specification of the architecture, as on the command line.
    pub spec: String,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a step.
    pub batch_size: usize,
    /// Number format.
    pub dtype: DType,
    /// Steps that the prediction rests on.
    pub profile_steps: usize,
    /// Seconds that they took.
    pub profile_s: f64,
    /// What was predicted, before the run.
    pub prediction: Prediction,
    /// Seconds of the run, against the prediction.
    pub time_s: Option<Outcome>,
    /// Joules of the run, against the prediction, by one and the same meter.
    pub energy_j: Option<Outcome>,
    /// Where the joules come from.
    pub energy_source: Option<&'static str>,
}

impl Validation {
    /// The validation of a cell.
    #[must_use]
    pub fn new(
        (profile, profile_s): (&CellSummary, f64),
        prediction: Prediction,
        (time_s, energy_j): (Option<Outcome>, Option<Outcome>),
    ) -> Self {
        Self {
            spec: profile.arch.to_string(),
            seq_len: profile.seq_len,
            batch_size: profile.batch_size,
            dtype: profile.dtype,
            profile_steps: profile.n_steps,
            profile_s,
            prediction,
            time_s,
            energy_j,
            energy_source: profile.energy_source.map(EnergySource::name),
        }
    }
}

/// A row for the time and one for the energy of each run.
#[must_use]
pub fn validation_table(runs: &[Validation]) -> TextTable {
    let mut table = TextTable::new(&["cell", "steps", "what", "predicted", "measured", "error", "inside 95 %"]);
    for run in runs {
        let cell = format!("{}, {} x {}, {}", run.spec, run.batch_size, run.seq_len, run.dtype);
        let energy = format!("kJ ({})", run.energy_source.unwrap_or("not metered"));
        for (what, outcome, scale) in [("s", run.time_s, 1.0), (energy.as_str(), run.energy_j, 1e-3)] {
            let Some(outcome) = outcome else { continue };
            table.row(vec![
                cell.clone(),
                run.prediction.steps.to_string(),
                what.to_owned(),
                interval(outcome.predicted.scaled(scale)),
                significant(outcome.measured * scale),
                format!("{:+.1} %", 100.0 * outcome.error),
                if outcome.inside { "yes" } else { "no" }.to_owned(),
            ]);
        }
    }
    table
}

/// The page of a validation, for a folder of reports.
#[must_use]
pub fn validation_markdown(runs: &[Validation], environment: &Environment, created: &str) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "# A run that was predicted, on {}\n", line(&environment.compute.name));
    let _ = writeln!(
        page,
        "Each cell was profiled, its run was predicted from that by the arithmetic of `greenformers estimate`, and then it \
         was run. Error: the prediction over the measurement. Time is that of the machine's clock. Energy is that of the \
         same meter in both, so an error of the meter does not show in it.\n"
    );
    markdown_table(&mut page, &validation_table(runs));
    for run in runs {
        let _ = writeln!(
            page,
            "- {}: predicted from {} steps in {:.0} s",
            line(&run.spec),
            run.profile_steps,
            run.profile_s
        );
    }
    let _ = writeln!(page, "\nBegun {created} on `{}`, {} threads.", line(&environment.os), environment.threads);
    for meter in &environment.meters {
        let _ = writeln!(page, "\nMeter: {}: {}.", line(&meter.domain), line(&meter.note));
    }
    page
}

/// A row for each device and dtype that others published runs of.
#[must_use]
pub fn published_table(checks: &[PublishedCheck]) -> TextTable {
    let mut table = TextTable::new(&["device", "dtype", "runs", "median error", "median size of it", "inside 95 %"]);
    let mut sorted: Vec<&PublishedCheck> = checks.iter().collect();
    sorted.sort_by(|a, b| (&a.device, a.dtype).cmp(&(&b.device, b.dtype)));
    for group in sorted.chunk_by(|a, b| (&a.device, a.dtype) == (&b.device, b.dtype)) {
        let middle = |of: fn(f64) -> f64| {
            let errors: Vec<f64> = group.iter().map(|c| of(c.error)).collect();
            100.0 * median(&errors).unwrap_or(f64::NAN)
        };
        let inside = group.iter().filter(|c| c.inside).count();
        table.row(vec![
            group[0].device.clone(),
            group[0].dtype.to_string(),
            group.len().to_string(),
            format!("{:+.1} %", middle(|e| e)),
            format!("{:.1} %", middle(f64::abs)),
            format!("{inside} of {}", group.len()),
        ]);
    }
    table
}

/// A row a published run.
///
/// # Errors
/// If the columns do not make a table.
pub fn published_frame(checks: &[PublishedCheck]) -> Result<DataFrame, ReportError> {
    let mut columns = vec![
        text("id", checks, |c| Some(c.id.clone())),
        text("device", checks, |c| Some(c.device.clone())),
        text("dtype", checks, |c| Some(c.dtype.name().to_owned())),
        count("seq_len", checks, |c| Some(c.seq_len as u64)),
        number("published_s", checks, |c| Some(c.published_s)),
    ];
    columns.extend(with_ends("predicted_s", checks, |c| Some(c.predicted_s)));
    columns.push(number("error", checks, |c| Some(c.error)));
    Ok(DataFrame::new_infer_height(columns)?)
}

/// A row a run.
///
/// # Errors
/// If the columns do not make a table.
pub fn validation_frame(runs: &[Validation]) -> Result<DataFrame, ReportError> {
    let mut columns = vec![
        text("spec", runs, |r| Some(r.spec.clone())),
        count("seq_len", runs, |r| Some(r.seq_len as u64)),
        count("batch_size", runs, |r| Some(r.batch_size as u64)),
        text("dtype", runs, |r| Some(r.dtype.name().to_owned())),
        count("steps", runs, |r| Some(r.prediction.steps)),
        number("profile_s", runs, |r| Some(r.profile_s)),
    ];
    columns.extend(with_ends("predicted_s", runs, |r| Some(r.prediction.time_s)));
    columns.push(number("measured_s", runs, |r| r.time_s.map(|o| o.measured)));
    columns.push(number("error_s", runs, |r| r.time_s.map(|o| o.error)));
    columns.extend(with_ends("predicted_j", runs, |r| r.prediction.energy_j));
    columns.push(number("measured_j", runs, |r| r.energy_j.map(|o| o.measured)));
    columns.push(number("error_j", runs, |r| r.energy_j.map(|o| o.error)));
    columns.push(text("energy_source", runs, |r| r.energy_source.map(str::to_owned)));
    Ok(DataFrame::new_infer_height(columns)?)
}
