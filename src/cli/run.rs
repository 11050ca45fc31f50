//! `run`: the main job.

use std::path::PathBuf;

use anyhow::Result;
use greenformers::measure;
use greenformers::report::{claims_text, comparison_text, estimates_table, figures, profile_table, write_report};

use super::Context;
use super::common::{ConditionsArgs, new_campaign_folder, parse_seconds, print};
use super::estimate::estimate_on_machine;
use super::profile::{WhatArgs, measure_into};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers run
  greenformers run --grid fra --usd-per-kwh 0.25
  greenformers run --arch dense --arch lrt:rank=128 --max-time 60 -o reports/mine")]
pub(super) struct Args {
    #[command(flatten)]
    what: WhatArgs,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Most time spent measuring a cell
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = parse_seconds)]
    max_time: f64,
    /// Folder for the record and the report [default: reports/HOST-DATE]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with the campaign in the folder given with `-o`
    #[arg(long, requires = "output")]
    resume: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let facts = measure::machine_facts();
    let folder = args.output.clone().unwrap_or_else(|| new_campaign_folder(&facts.host));
    let (record, _lock) = measure_into(&args.what, args.max_time, &folder, Some(args.resume), &facts, context)?;
    let estimates = estimate_on_machine(&record, &args.conditions, context, args.what.seed);
    let report = figures(&record, estimates.map_err(|e| format!("{e:#}")), args.what.seed);
    let page = write_report(&report, &folder)?;

    let mut text = profile_table(&report.cells).render();
    text.push('\n');
    text.push_str(&comparison_text(&report.comparison));
    text.push('\n');
    if let Some(reason) = &report.no_estimates {
        text.push_str(&format!("the whole run is not estimated: {reason}\n"));
    } else {
        text.push_str(&format!("{}, the whole run on this machine:\n", report.record.settings.workload.name));
        text.push_str(&estimates_table(&report.estimates).render());
    }
    for (name, reason) in report.estimates.first().into_iter().flat_map(|e| &e.missing) {
        text.push_str(&format!("{name}: {reason}\n"));
    }
    text.push('\n');
    text.push_str(&claims_text(&report.claims));
    text.push_str(&format!("\nreport: {}\n", page.display()));
    print(&text)
}
