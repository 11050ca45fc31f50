//! Predictions that were held against the run.

use std::fmt::Write;

use polars::prelude::DataFrame;
use serde::Serialize;

use super::files::{count, number, text, with_ends};
use super::markup::markdown_line as line;
use super::numbers::{human_hours, interval, significant};
use super::page::markdown_table;
use super::table::{TextTable, wrapped};
use crate::estimate::{Outcome, Prediction, PublishedCheck};
use crate::meter::EnergySource;
use crate::record::{CellSummary, Environment};
use crate::report::error::ReportError;
use crate::stats::{Interval, median};
use crate::units::{DType, Seconds};

/// No more kinds of device are in a table for people.
const SHOWN: usize = 5;

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
fn validation_table(runs: &[Validation]) -> TextTable {
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

/// A validation in a sentence and a table for people, what it rests on, and the next command, in lines of at most `width`.
#[must_use]
pub fn validation_text(runs: &[Validation], profile: &str, width: usize) -> [String; 3] {
    let Some(first) = runs.first() else { return Default::default() };
    let all = || runs.iter().flat_map(|r| [r.time_s, r.energy_j]).flatten();
    let said = if let ([run], Some(time)) = (runs, first.time_s) {
        let s = |x: f64| human_hours(Interval::point(Seconds(x).hours()));
        let mut said = format!(
            "{} steps of {} took {}, and {} had been predicted: the prediction is off by {:+.1} %, and the run is {}",
            run.prediction.steps,
            run.spec,
            s(time.measured),
            human_hours(time.predicted.scaled(Seconds(1.0).hours())),
            100.0 * time.error,
            place(time.inside)
        );
        if let Some(joules) = run.energy_j {
            said.push_str(&format!("; energy is off by {:+.1} %, {}", 100.0 * joules.error, place(joules.inside)));
        }
        said + "."
    } else {
        let inside = all().filter(|o| o.inside).count();
        let worst = all().map(|o| o.error).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(f64::NAN);
        format!(
            "{inside} of {} measurements of {} runs are inside the 95 % intervals that were predicted; the largest error \
                 is {:+.1} %.",
            all().count(),
            runs.len(),
            100.0 * worst
        )
    };
    let mut table = validation_table(runs);
    let common = table.take_constant(&["what", "predicted", "measured", "error", "inside 95 %"]);
    let mut shown = String::new();
    if !common.is_empty() {
        shown = wrapped(&format!("All: {}", common.join("; ")), width, "  ");
    }
    shown.push_str(&table.render(width));
    let rests = [
        format!("{:.0} s of profile are typical of the run (`--profile SECONDS`)", first.profile_s),
        format!(
            "{} sequences of {} tokens, as most of the recipe has or as was asked (`--batch-size N`, `--seq-len N`)",
            first.batch_size, first.seq_len
        ),
        format!("energy by {}, the same meter in both (`--meter NAME`)", first.energy_source.unwrap_or("no meter")),
    ];
    let below = rests.iter().enumerate().map(|(i, rest)| {
        let start = if i == 0 { "assumed: " } else { "         " };
        wrapped(&format!("{start}{rest}"), width, "         ")
    });
    let next = format!("next:    greenformers estimate {profile}\n");
    [wrapped(&said, width, ""), shown, below.collect::<String>() + &next]
}

fn place(inside: bool) -> &'static str {
    if inside { "inside the 95 % interval" } else { "outside the 95 % interval" }
}

/// What others published, against a record, in a sentence and a table, and the next command.
#[must_use]
pub fn published_text(checks: &[PublishedCheck], record: &str, width: usize) -> [String; 3] {
    let inside = checks.iter().filter(|c| c.inside).count();
    let sizes: Vec<f64> = checks.iter().map(|c| c.error.abs()).collect();
    let said = format!(
        "{inside} of {} published runs take what this record predicts with 95 % probability; half of the predictions are off by \
         less than {:.0} %.",
        checks.len(),
        100.0 * median(&sizes).unwrap_or(f64::NAN)
    );
    let rest = "assumed: what others ran differs from this program as published programs differ from each other; the worst \
                predicted kinds of device are shown, and `--format csv` prints every run";
    let next = format!("next:    greenformers estimate {record} --hardware a100-sxm4-80gb\n");
    [wrapped(&said, width, ""), published_table(checks).render(width), wrapped(rest, width, "         ") + &next]
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

/// A row for each device and dtype that others published runs of, the worst predicted first and no more than [`SHOWN`], and one for
/// all of them.
fn published_table(checks: &[PublishedCheck]) -> TextTable {
    let mut table = TextTable::new(&["device", "dtype", "runs", "median error", "median size of it", "inside 95 %"]);
    let middle = |group: &[&PublishedCheck], of: fn(f64) -> f64| {
        let errors: Vec<f64> = group.iter().map(|c| of(c.error)).collect();
        100.0 * median(&errors).unwrap_or(f64::NAN)
    };
    let mut row = |device: String, dtype: String, group: &[&PublishedCheck]| {
        let inside = group.iter().filter(|c| c.inside).count();
        table.row(vec![
            device,
            dtype,
            group.len().to_string(),
            format!("{:+.1} %", middle(group, |e| e)),
            format!("{:.1} %", middle(group, f64::abs)),
            format!("{inside} of {}", group.len()),
        ]);
    };
    let mut sorted: Vec<&PublishedCheck> = checks.iter().collect();
    sorted.sort_by(|a, b| (&a.device, a.dtype).cmp(&(&b.device, b.dtype)));
    let mut kinds: Vec<&[&PublishedCheck]> =
        sorted.chunk_by(|a, b| (&a.device, a.dtype) == (&b.device, b.dtype)).collect();
    let all = if kinds.len() > SHOWN { format!("all {} kinds", kinds.len()) } else { "all".to_owned() };
    kinds.sort_by(|a, b| middle(b, f64::abs).total_cmp(&middle(a, f64::abs)));
    for kind in kinds.iter().take(SHOWN) {
        row(kind[0].device.clone(), kind[0].dtype.to_string(), kind);
    }
    row(all, "-".to_owned(), &sorted);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn validation(seq_len: usize, measured_s: f64) -> Validation {
        let time_s = Interval { mid: 600.0, low: 570.0, high: 630.0 };
        let energy_j = Interval { mid: 24_000.0, low: 22_000.0, high: 26_000.0 };
        let outcome = |predicted: Interval, measured: f64| Outcome {
            predicted,
            measured,
            error: predicted.mid / measured - 1.0,
            inside: (predicted.low..=predicted.high).contains(&measured),
        };
        Validation {
            spec: "lrt:rank=256".to_owned(),
            seq_len,
            batch_size: 4,
            dtype: DType::F32,
            profile_steps: 30,
            profile_s: 30.2,
            prediction: Prediction { steps: 1200, time_s, energy_j: Some(energy_j) },
            time_s: Some(outcome(time_s, measured_s)),
            energy_j: Some(outcome(energy_j, 24_000.0)),
            energy_source: Some("rapl"),
        }
    }

    #[test]
    fn a_validation_ends_in_a_sentence_a_table_three_assumptions_and_the_next_command() {
        let [said, table, below] = validation_text(&[validation(512, 582.0)], "out/profile", 60);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(&said),
            "1200 steps of lrt:rank=256 took 9.70 min, and 10.0 [9.50, 10.5] min had been predicted: the prediction is off by \
             +3.1 %, and the run is inside the 95 % interval; energy is off by +0.0 %, inside the 95 % interval."
        );
        assert!(
            words(&table).starts_with("All: cell: lrt:rank=256, 4 x 512, f32; steps: 1200 what predicted"),
            "{table}"
        );
        assert!(
            words(&below).starts_with("assumed: 30 s of profile are typical of the run (`--profile SECONDS`) 4"),
            "{below}"
        );
        assert!(words(&below).contains("4 sequences of 512 tokens") && below.contains("rapl"), "{below}");
        assert!(below.ends_with("\nnext:    greenformers estimate out/profile\n"), "{below}");
        let two = [validation(512, 582.0), validation(128, 500.0)];
        assert_eq!(
            words(&validation_text(&two, "out/profile", 60)[0]),
            "3 of 4 measurements of 2 runs are inside the 95 % intervals that were predicted; the largest error is +20.0 %."
        );
        for width in 60..130 {
            for runs in [&two[..1], &two[..]] {
                let text = validation_text(runs, "out/profile", width).concat();
                let wide: Vec<&str> = text.lines().filter(|l| l.chars().count() > width).collect();
                assert!(wide.is_empty(), "{width}: {wide:#?}");
            }
        }
    }
}
