//! `validate`: a prediction, held against the run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use greenformers::estimate::{Prediction, PublishedCheck, against_published};
use greenformers::files::JSON_SCHEMA;
use greenformers::machine;
use greenformers::measure;
use greenformers::model::Arch;
use greenformers::record::{Cell, Record, Status, Workload, write_whole};
use greenformers::report::{
    Validation, published_frame, published_text, to_csv, validation_frame, validation_markdown, validation_text,
};
use serde::Serialize;

use super::Context;
use super::common::{Format, new_campaign_folder, paint, parse_minutes, parse_seconds, print, print_json, width};
use super::profile::{Beside, WhatArgs, measure_into};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers validate                       30 s of profile predict 10 minutes of dense training, which are then run
  greenformers validate --minutes 2 --arch lrt:rank=256 --seq-len 512
  greenformers validate --device cuda --dtype bf16 --format json
  greenformers validate --published reports/mine   hold the record of a GPU against runs that others published

What it writes into DIR: validation.json, validation.md, and the records of the profile and of each run.")]
pub(super) struct Args {
    /// How long the run shall be
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = parse_minutes)]
    minutes: f64,
    /// How long a cell is profiled before
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = parse_seconds)]
    profile: f64,
    #[command(flatten)]
    what: WhatArgs,
    /// Run nothing: predict what others published of other GPUs from this record of a GPU
    #[arg(long, value_name = "RECORD")]
    published: Option<PathBuf>,
    /// Folder for the validation and its records [default: reports/HOST-DATE-validation]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    runs: &'a [Validation],
}

#[derive(Serialize)]
struct PublishedOutput<'a> {
    schema: u32,
    published: &'a [PublishedCheck],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    if let Some(record) = &args.published {
        return published(args, record, context);
    }
    if args.what.steps.is_some() {
        bail!("`--steps` is what this command works out\nhint: `--minutes` says how long the run shall be");
    }
    let facts = machine::machine_facts();
    let folder = args.output.clone().unwrap_or_else(|| new_campaign_folder(&format!("{}-validation", facts.host)));
    let mut what = args.what.clone();
    if what.archs.is_empty() {
        what.archs = vec![Arch::Dense];
    }
    if what.seq_lens.is_empty() {
        // The length that most of the recipe trains at.
        let workload: Workload = context.catalog.load(&what.workload)?;
        let phases = workload.phases;
        what.seq_lens = phases.iter().max_by_key(|p| p.steps).map(|p| p.seq_len).into_iter().collect();
    }
    // All of the time: an interval that happens to be narrow early says less.
    let profiling = WhatArgs { min_time: args.profile, precision: f64::MIN_POSITIVE, ..what.clone() };
    let (profile, _lock) =
        measure_into(&profiling, Beside::Nothing, args.profile, &folder.join("profile"), None, &facts, context)?;

    let mut runs = Vec::new();
    for cell in &profile.cells {
        runs.push(validated(args, &what, (&profile, cell), &folder, context)?);
    }
    let page = validation_markdown(&runs, &profile.environment, &profile.created);
    write_whole(&folder.join("validation.md"), page.as_bytes())?;
    let json = serde_json::to_string_pretty(&Output { schema: JSON_SCHEMA, runs: &runs })? + "\n";
    write_whole(&folder.join("validation.json"), json.as_bytes())?;
    match args.format {
        Format::Text => print(&shown(validation_text(&runs, &folder.join("profile").display().to_string(), width())))?,
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, runs: &runs })?,
        Format::Csv => print(&to_csv(&mut validation_frame(&runs)?)?)?,
    }
    context.note(format_args!("validation: {}", folder.join("validation.md").display()));
    Ok(())
}

/// A sentence, a table and what follows, for a terminal.
fn shown([said, table, below]: [String; 3]) -> String {
    format!("{}\n\n{}\n{below}", paint().strong(said.trim_end()), paint().table(&table, &[]))
}

/// What others published, against a record.
fn published(args: &Args, record: &Path, context: &Context) -> Result<()> {
    let checks = against_published(&Record::load(record)?, &context.catalog, args.what.seed)?;
    match args.format {
        Format::Text => print(&shown(published_text(&checks, &record.display().to_string(), width()))),
        Format::Json => print_json(&PublishedOutput { schema: JSON_SCHEMA, published: &checks }),
        Format::Csv => print(&to_csv(&mut published_frame(&checks)?)?),
    }
}

/// Predicts a run like `cell`, runs it, and holds them against each other.
fn validated(
    args: &Args,
    what: &WhatArgs,
    (profile, cell): (&Record, &Cell),
    folder: &Path,
    context: &Context,
) -> Result<Validation> {
    let label = cell.label();
    if cell.status != Status::Ok {
        bail!("{label} could not be profiled: {}", cell.error.as_deref().unwrap_or("it failed"));
    }
    let few = || format!("{label} was profiled for less than two steps\nhint: give more time with `--profile`");
    let seconds = 60.0 * args.minutes;
    let steps = Prediction::steps_in(cell, seconds).with_context(few)?;
    let prediction = Prediction::of(profile, cell, steps, what.seed).with_context(few)?;
    context.note(format_args!(
        "{label}: {steps} steps are predicted to take {:.1} s [{:.1} to {:.1}]{}; they are run now",
        prediction.time_s.mid,
        prediction.time_s.low,
        prediction.time_s.high,
        prediction.energy_j.map_or(String::new(), |j| format!(
            " and {:.2} kJ [{:.2} to {:.2}]",
            j.mid / 1e3,
            j.low / 1e3,
            j.high / 1e3
        )),
    ));
    let one = WhatArgs {
        archs: vec![cell.arch],
        seq_lens: vec![cell.shape.seq_len],
        dtypes: vec![cell.dtype],
        batch_size: measure::BatchSize::Given(cell.shape.batch_size),
        steps: Some(steps),
        ..what.clone()
    };
    let name =
        format!("run-{}-{}-{}", cell.arch.to_string().replace([':', '=', ','], "-"), cell.shape.seq_len, cell.dtype);
    let facts = machine::machine_facts();
    let (run, _lock) = measure_into(&one, Beside::Nothing, seconds, &folder.join(name), None, &facts, context)?;
    let ran = run.cells.first().filter(|c| c.status == Status::Ok);
    let ran = ran.with_context(|| format!("the run of {label} failed"))?;
    let profile_s = cell.steps.iter().map(greenformers::record::Step::total_s).sum();
    Ok(Validation::new((&cell.summary(&profile.environment), profile_s), prediction, prediction.outcome(ran)))
}
