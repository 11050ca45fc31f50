//! `report`: the report of a record.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use greenformers::estimate::{Hardware, Request, estimate, workload_of_forecast};
use greenformers::files::JSON_SCHEMA;
use greenformers::record::{ForecastRecord, Record};
use greenformers::report::{Inputs, Side, figures, side_by_side, write_forecast, write_report, write_sides};
use serde::Serialize;

use super::Context;
use super::common::{
    ConditionsArgs, DEFAULT_WORKLOAD, Format, is_account, print, print_json, record_name, warnings_text,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers report reports/mine
  greenformers report reports/mine/record.json --grid swe --usd-per-kwh 0.12 -o out
  greenformers report reports/mine --png
  greenformers report forecast.json --grid swe -o forecast       a run of your own program that was forecast
  greenformers report reports/a100 reports/h100 reports/workstation -o side-by-side")]
pub(super) struct Args {
    /// A record.json, the folder that holds one, or a file of `forecast -o`; several records are laid side by side
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Folder for the report [default: the folder of the record; needed with several]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write every chart as PNG as well
    #[arg(long)]
    png: bool,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How the list of files is printed; text is the page alone
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    answer: &'a str,
    files: &'a [PathBuf],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let [path] = args.records.as_slice() else { return several(args, context) };
    if is_account(path) {
        return of_forecast(args, path, context);
    }
    let record = Record::load(path)?;
    let folder = match &args.output {
        Some(folder) => folder.clone(),
        None if path.is_dir() => path.clone(),
        None => path.parent().map_or_else(PathBuf::new, Path::to_owned),
    };
    let report = figures(&record, Inputs::of(&record, &args.conditions.spec()?, &context.catalog, args.seed)?);
    let said = warnings_text(report.estimates.iter().flat_map(|e| &e.warnings));
    if !said.is_empty() {
        // What is printed is where the report is, and nothing else.
        context.note(said.trim());
    }
    let files = write_report(&report, &folder, args.png)?;
    print_files(args.format, &report.answer, &files)
}

/// A run that was forecast, on the machine where it ran.
fn of_forecast(args: &Args, path: &Path, context: &Context) -> Result<()> {
    let forecast = ForecastRecord::load(path)?;
    let Some(folder) = &args.output else {
        bail!("the report of a forecast needs a folder\nhint: give it with `-o DIR`");
    };
    let hardware = Hardware::of_forecast(&forecast);
    let conditions = args.conditions.spec()?.on(&hardware, 1, &context.catalog)?;
    context.note_hours(&conditions);
    let workload = workload_of_forecast(&forecast, context.catalog.load(DEFAULT_WORKLOAD)?)?;
    let estimates = estimate(&Request::of_forecast(&forecast, &workload, &conditions, args.seed))?;
    let (answer, files) = write_forecast(&forecast, &estimates[0], folder, args.png)?;
    print_files(args.format, &answer, &files)
}

/// Several records, side by side.
fn several(args: &Args, context: &Context) -> Result<()> {
    let Some(folder) = &args.output else {
        bail!("several records make a report of their own\nhint: give its folder with `-o DIR`");
    };
    let spec = args.conditions.spec()?;
    let side =
        |path: &PathBuf| Ok(Side::of(record_name(path), Record::load(path)?, &spec, &context.catalog, args.seed));
    let sides = side_by_side(args.records.iter().map(side).collect::<Result<_>>()?)?;
    let files = write_sides(&sides, folder, args.png)?;
    print_files(args.format, &sides.answer(), &files)
}

fn print_files(format: Format, answer: &str, files: &[PathBuf]) -> Result<()> {
    match format {
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, answer, files }),
        Format::Csv => {
            let lines: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
            print(&format!("file\n{}\n", lines.join("\n")))
        }
        Format::Text => print(&format!("{}\n", files[0].display())),
    }
}
