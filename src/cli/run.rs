//! `run`: the main job.

use std::path::{Path, PathBuf};

use anyhow::Result;
use greenformers::estimate::{Comparison, Estimate, ThesisClaim};
use greenformers::files::JSON_SCHEMA;
use greenformers::machine;
use greenformers::record::CellSummary;
use greenformers::report::{
    Inputs, Report, answer_table, claims_text, comparison_text, estimates_frame, figures, profile_table, to_csv,
    write_report,
};
use serde::Serialize;

use super::Context;
use super::common::{
    ConditionsArgs, Format, new_campaign_folder, paint, parse_seconds, print, print_json, warnings_text, width,
};
use super::profile::{Beside, WhatArgs, measure_into, something_fitted};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers run
  greenformers run bert-large --grid fra --usd-per-kwh 0.25
  greenformers run --quick                         the recipe's lengths alone
  greenformers run --long -o reports/mine          from 128 to 8192 tokens
  greenformers run --arch dense --arch lrt:rank=128 --max-time 60 -o reports/mine")]
pub(super) struct Args {
    /// What is trained, as `--workload` names it
    #[arg(value_name = "WORKLOAD", conflicts_with = "workload")]
    named: Option<String>,
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// The recipe's lengths alone: the cost of the run, and nothing of other lengths
    #[arg(long)]
    quick: bool,
    /// Measure 4096 and 8192 tokens too
    #[arg(long, conflicts_with = "quick")]
    long: bool,
    /// Most time spent measuring a cell [default: 20, with --quick 10]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    max_time: Option<f64>,
    /// Folder for the record and the report [default: reports/HOST-DATE]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with the campaign in the folder given with `-o`
    #[arg(long, requires = "output")]
    resume: bool,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    answer: &'a str,
    cells: &'a [CellSummary],
    comparison: &'a Comparison,
    estimates: &'a [Estimate],
    /// Why there are none.
    no_estimates: Option<&'a str>,
    claims: &'a [ThesisClaim],
    files: &'a [PathBuf],
}

/// Lengths beside the recipe's: on both sides of 512, where the thesis says that Linformer takes over from LRT.
const LENGTHS: [usize; 4] = [128, 512, 1024, 2048];
const LONG_LENGTHS: [usize; 6] = [128, 512, 1024, 2048, 4096, 8192];
/// Lengths of what a device is asked.
const ON_A_DEVICE: [usize; 2] = [128, 512];
/// Relative half width of a step time at which a cell of the recipe is done.
const PRECISION: f64 = 0.02;
/// Most seconds that a cell is measured.
const CELL_S: f64 = 20.0;
const QUICK_S: f64 = 10.0;

impl Args {
    fn beside(&self) -> Beside {
        match (self.quick, self.long) {
            (true, _) => Beside::Nothing,
            (false, false) => Beside::Curve { lengths: &LENGTHS, inference: &ON_A_DEVICE },
            (false, true) => Beside::Curve { lengths: &LONG_LENGTHS, inference: &ON_A_DEVICE },
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let facts = machine::machine_facts();
    let folder = args.output.clone().unwrap_or_else(|| new_campaign_folder(&facts.host));
    // What was not asked for otherwise: how precisely the recipe's lengths are known is how precisely the run is.
    let workload = args.named.clone().unwrap_or_else(|| args.what.workload.clone());
    let what = WhatArgs { precision: args.what.precision.max(PRECISION), workload, ..args.what.clone() };
    let max_time = args.max_time.unwrap_or(if args.quick { QUICK_S } else { CELL_S });
    let (record, _lock) = measure_into(&what, args.beside(), max_time, &folder, Some(args.resume), &facts, context)?;
    let inputs = Inputs::of(&record, &args.conditions.spec()?, &context.catalog, args.what.seed)?;
    let report = figures(&record, inputs);
    let files = write_report(&report, &folder, false)?;
    match args.format {
        Format::Json => print_json(&Output {
            schema: JSON_SCHEMA,
            answer: &report.answer,
            cells: &report.cells,
            comparison: &report.comparison,
            estimates: &report.estimates,
            no_estimates: report.no_estimates.as_deref(),
            claims: &report.claims,
            files: &files,
        }),
        Format::Csv => print(&to_csv(&mut estimates_frame(&report.estimates)?)?),
        Format::Text => print(&text(&report, &files[0])),
    }?;
    something_fitted(&report.cells)
}

fn text(report: &Report, page: &Path) -> String {
    let colour = paint();
    let mut text = colour.table(&profile_table(&report.cells).render(width()), &[]);
    text.push('\n');
    text.push_str(&comparison_text(&report.comparison, colour, width()));
    text.push('\n');
    if let Some(reason) = &report.no_estimates {
        text.push_str(&format!("the whole run is not estimated: {reason}\n"));
    } else {
        let basis = report.estimates.first().map_or("", |e| e.basis.name());
        let workload = &report.record.settings.workload.name;
        text.push_str(&format!("{workload}, the whole run on this machine, estimated (basis: {basis}):\n"));
        text.push_str(&colour.table(&answer_table(&report.estimates, width()).render(width()), &[]));
    }
    for (name, reason) in report.estimates.first().into_iter().flat_map(|e| &e.missing) {
        text.push_str(&format!("{name}: {reason}\n"));
    }
    text.push('\n');
    text.push_str(&claims_text(&report.claims));
    text.push_str(&warnings_text(report.estimates.iter().flat_map(|e| &e.warnings)));
    text.push_str(&format!("\n{}\n\nreport: {}\n", colour.strong(&report.answer), page.display()));
    text
}
