//! `report`: the report of a record.

use std::path::PathBuf;

use anyhow::Result;
use greenformers::record::Record;
use greenformers::report::{figures, write_report};

use super::Context;
use super::common::{ConditionsArgs, print};
use super::estimate::estimate_on_machine;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers report reports/mine
  greenformers report reports/mine/record.json --grid swe --usd-per-kwh 0.12 -o out")]
pub(super) struct Args {
    /// A record.json, or the folder that holds one
    record: PathBuf,
    /// Folder for the report [default: the folder of the record]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let record = Record::load(&args.record)?;
    let folder = match &args.output {
        Some(folder) => folder.clone(),
        None if args.record.is_dir() => args.record.clone(),
        None => args.record.parent().map_or_else(PathBuf::new, std::path::Path::to_owned),
    };
    let estimates = estimate_on_machine(&record, &args.conditions, context, args.seed);
    let report = figures(&record, estimates.map_err(|e| format!("{e:#}")), args.seed);
    let page = write_report(&report, &folder)?;
    print(&format!("{}\n", page.display()))
}
