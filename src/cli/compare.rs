//! `compare`: architectures side by side.

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenformers::estimate::{
    Comparison, Crossover, Estimate, ModelledCrossovers, PerToken, compare, modelled_crossovers,
};
use greenformers::files::JSON_SCHEMA;
use greenformers::record::Record;
use greenformers::report::{
    Side, comparison_frame, comparison_sentence, comparison_text, side_by_side, to_csv, wrapped,
};
use serde::Serialize;

use super::Context;
use super::common::{ConditionsArgs, Format, paint, print, print_json, record_name, width};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers compare reports/mine
  greenformers compare reports/a100 reports/h100              machines side by side
  greenformers compare reports/mine/record.json --format json")]
pub(super) struct Args {
    /// A record.json, or the folder that holds one; several are put side by side [default: the newest below reports/]
    records: Vec<PathBuf>,
    #[command(flatten)]
    conditions: ConditionsArgs,
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
    if args.records.len() > 1 {
        return side_by_side_of(args, context);
    }
    let path = if let Some(path) = args.records.first() {
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
            let width = width();
            let mut text = comparison_sentence(&comparison)
                .map_or_else(String::new, |said| paint().strong(wrapped(&said, width, "").trim_end()) + "\n\n");
            text.push_str(&comparison_text(&comparison, paint(), width));
            for device in &modelled {
                let time = device.crossovers.iter().filter(|c| c.of == PerToken::Time);
                let said: Vec<String> = time.map(Crossover::sentence).collect();
                if !said.is_empty() {
                    let line = format!("by the model, on {}: {}", device.hardware, said.join("; "));
                    text.push_str(&wrapped(&line, width, "    "));
                }
            }
            print(&format!("{text}\nnext:    greenformers report {}\n", path.display()))
        }
    }
}

#[derive(Serialize)]
struct Machine<'a> {
    name: &'a str,
    estimates: Option<&'a [Estimate]>,
    /// Why there are none.
    no_estimates: Option<&'a str>,
}

#[derive(Serialize)]
struct Beside<'a> {
    schema: u32,
    answer: &'a str,
    machines: Vec<Machine<'a>>,
}

/// Several records, as `report` compares them.
fn side_by_side_of(args: &Args, context: &Context) -> Result<()> {
    let spec = args.conditions.spec()?;
    let side =
        |path: &PathBuf| Ok(Side::of(record_name(path), Record::load(path)?, &spec, &context.catalog, args.seed));
    let sides = side_by_side(args.records.iter().map(side).collect::<Result<_>>()?)?;
    let answer = sides.answer();
    match args.format {
        Format::Csv => print(&sides.csv()?),
        Format::Json => {
            let machine = |side| {
                let Side { name, estimates, .. }: &Side = side;
                let (estimates, no_estimates) = match estimates {
                    Ok(estimates) => (Some(estimates.as_slice()), None),
                    Err(reason) => (None, Some(reason.as_str())),
                };
                Machine { name, estimates, no_estimates }
            };
            let machines = sides.records().iter().map(machine).collect();
            print_json(&Beside { schema: JSON_SCHEMA, answer: &answer, machines })
        }
        Format::Text => {
            let width = width();
            let answer = paint().strong(wrapped(&answer, width, "").trim_end());
            let table = paint().table(&sides.whole_runs().render(width), &[]);
            let names: Vec<String> = args.records.iter().map(|path| path.display().to_string()).collect();
            let next = format!("next:    greenformers report {} -o DIR", names.join(" "));
            let caveats: String = sides.caveats().iter().map(|caveat| wrapped(caveat, width, "    ")).collect();
            print(&format!("{answer}\n\n{table}\n{caveats}{next}\n"))
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
