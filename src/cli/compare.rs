//! `compare`: architectures side by side.

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenformers::estimate::{Comparison, Crossover, ModelledCrossovers, PerToken, compare, modelled_crossovers};
use greenformers::record::Record;
use greenformers::report::{comparison_frame, comparison_text, to_csv};
use serde::Serialize;

use super::Context;
use super::common::{Format, paint, print, print_json, width};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers compare reports/mine
  greenformers compare reports/mine/record.json --format json")]
pub(super) struct Args {
    /// A record.json, or the folder that holds one [default: the newest below reports/]
    record: Option<PathBuf>,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// On GPUs that were not measured.
    modelled: &'a [ModelledCrossovers],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let path = if let Some(path) = &args.record {
        path.clone()
    } else {
        let newest = newest_record()?;
        context.note(format_args!("record: {}", newest.display()));
        newest
    };
    let record = Record::load(&path)?;
    let comparison = compare(&record, args.seed);
    let modelled = modelled_crossovers(&record.settings.workload.model, &record.archs(), &context.catalog, args.seed)?;
    match args.format {
        Format::Json => print_json(&Output { comparison: &comparison, modelled: &modelled }),
        Format::Csv => print(&to_csv(&mut comparison_frame(&comparison)?)?),
        Format::Text => {
            let mut text = comparison_text(&comparison, paint(), width());
            for device in &modelled {
                let time = device.crossovers.iter().filter(|c| c.of == PerToken::Time);
                let said: Vec<String> = time.map(Crossover::sentence).collect();
                if !said.is_empty() {
                    text.push_str(&format!("by the model, on {}: {}\n", device.hardware, said.join("; ")));
                }
            }
            print(&text)
        }
    }
}

/// The record below `reports/` that was written last.
fn newest_record() -> Result<PathBuf> {
    let folders = std::fs::read_dir("reports").into_iter().flatten().filter_map(Result::ok);
    let records = folders.map(|f| f.path().join(greenformers::record::RECORD_FILE));
    let dated = records.filter_map(|p| Some((std::fs::metadata(&p).ok()?.modified().ok()?, p)));
    match dated.max() {
        Some((_, path)) => Ok(path),
        None => bail!("there is no record below `reports/`\nhint: `greenformers profile` makes one, or give its path"),
    }
}
