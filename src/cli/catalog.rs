//! `catalog`: what is known, with sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use greenformers::catalog::{CatalogQuantity, Device, EntryKind, Grid, GridEntry, Site, Sourced, own_runs};
use greenformers::estimate::OwnSoftware;
use greenformers::estimate::model::OwnRun;
use greenformers::files::JSON_SCHEMA;
use greenformers::record::{Workload, write_whole};
use greenformers::report::{TextTable, significant};
use serde::Serialize;

use super::Context;
use super::common::{Format, print, print_json, print_table};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers catalog list grid
  greenformers catalog list hardware --format csv
  greenformers catalog show hardware a100-sxm4-80gb
  greenformers catalog check workload my-model.yaml
  greenformers catalog calibrate runs.csv                  your own program, for `estimate --calibration`")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Action>,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text", global = true)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Hardware,
    Grid,
    Site,
    Workload,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the entries of one kind, or of all
    #[command(after_help = "Example:
  greenformers catalog list grid --format csv")]
    List {
        /// Which kind
        #[arg(value_enum)]
        kind: Option<Kind>,
    },
    /// Show an entry as JSON, each number with its source; as CSV a row a number
    #[command(after_help = "Example:
  greenformers catalog show hardware a100-sxm4-80gb")]
    Show {
        /// Which kind
        #[arg(value_enum)]
        kind: Kind,
        /// A name, or the beginning of one
        name: String,
    },
    /// Check a YAML file of yours
    #[command(after_help = "Example:
  greenformers catalog check workload my-model.yaml")]
    Check {
        /// What the file describes
        #[arg(value_enum)]
        kind: Kind,
        /// The file
        file: String,
    },
    /// Fit your own measured runs on top of the published ones, for `estimate --calibration`
    #[command(after_help = "RUNS.csv has a row a run of one program, and these columns:
  device, family (encoder|decoder), n_layers, d_model, n_heads, vocab_size, seq_len, micro_batch, dtype, tokens_per_s (of all
  devices), software (eager|compiled|optimised), attention (fused|composed)
and, where they are not as usual:
  id, devices (1), n_kv_heads, d_ff (4 x d_model), gated_mlp (false), losses_per_seq, grad_checkpointing (false), grad_accumulation (1)

Examples:
  greenformers catalog calibrate runs.csv
  greenformers estimate --hardware h100-sxm5 --calibration calibration.json")]
    Calibrate {
        /// The table of runs
        #[arg(value_name = "RUNS.csv")]
        runs: PathBuf,
        /// The file to write
        #[arg(short, long, value_name = "FILE", default_value = "calibration.json")]
        output: PathBuf,
    },
}

#[derive(Serialize)]
struct Calibrated<'a> {
    schema: u32,
    calibration: &'a OwnSoftware,
    runs: &'a [OwnRun],
}

/// Fits what a user measured and shows what that changes.
fn calibrate(runs: &Path, output: &Path, format: Format, context: &Context) -> Result<()> {
    if output.exists() {
        bail!("`{}` is there already\nhint: `-o FILE` writes another", output.display());
    }
    let (own, shown) = OwnSoftware::fit(&own_runs(runs)?, &context.catalog)?;
    let text = serde_json::to_string_pretty(&own)? + "\n";
    write_whole(output, text.as_bytes())?;
    if format == Format::Json {
        return print_json(&Calibrated { schema: JSON_SCHEMA, calibration: &own, runs: &shown });
    }
    let mut table = TextTable::new(&["run", "measured tokens/s", "by its class", "calibrated"]);
    for run in &shown {
        let speeds = [run.measured_tokens_per_s, run.before_tokens_per_s, run.after_tokens_per_s];
        table.row(std::iter::once(run.id.clone()).chain(speeds.map(significant)).collect());
    }
    let factor = |sds: f64| significant((own.ln_factor + sds * own.ln_sd).exp());
    let below = format!(
        "\na pass takes {} [{}, {}] times as long as with {} software in the middle of its class\n{}: \
         `greenformers estimate --calibration {}`\n",
        factor(0.0),
        factor(-1.96),
        factor(1.96),
        own.software.name(),
        output.display(),
        output.display()
    );
    print_table(&table, format, &below)
}

#[derive(Serialize)]
struct Checked<'a> {
    schema: u32,
    file: &'a str,
    valid: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let format = args.format;
    match &args.command {
        None | Some(Action::List { kind: None }) => list_all(format, context),
        Some(Action::List { kind: Some(kind) }) => match format {
            Format::Json => entries(*kind, context),
            _ => print_table(&table(*kind, context)?, format, ""),
        },
        Some(Action::Calibrate { runs, output }) => calibrate(runs, output, format, context),
        Some(Action::Show { kind, name }) => show(*kind, name, format, context),
        Some(Action::Check { kind, file }) => {
            let path = if file.contains('/') { file.clone() } else { format!("./{file}") };
            match kind {
                Kind::Hardware => drop(context.catalog.load::<Device>(&path)?),
                Kind::Grid => drop(context.catalog.grid(&path)?),
                Kind::Site => drop(context.catalog.load::<Site>(&path)?),
                Kind::Workload => drop(context.catalog.load::<Workload>(&path)?),
            }
            match format {
                Format::Json => print_json(&Checked { schema: JSON_SCHEMA, file, valid: true }),
                Format::Csv => {
                    let mut valid = TextTable::new(&["file", "valid"]);
                    valid.row(vec![file.clone(), "true".to_owned()]);
                    print_table(&valid, format, "")
                }
                Format::Text => print(&format!("{file}: valid\n")),
            }
        }
    }
}

fn list_all(format: Format, context: &Context) -> Result<()> {
    let mut counts = BTreeMap::new();
    let mut summary = TextTable::new(&["kind", "entries"]);
    for kind in EntryKind::ALL {
        let count = context.catalog.ids(kind)?.len();
        summary.row(vec![kind.name().to_owned(), count.to_string()]);
        counts.insert(kind.name(), count);
    }
    match format {
        Format::Json => print_json(&counts),
        _ => print_table(&summary, format, "\n`greenformers catalog list KIND` shows them\n"),
    }
}

/// Every entry of a kind, whole.
fn entries(kind: Kind, context: &Context) -> Result<()> {
    let catalog = &context.catalog;
    match kind {
        Kind::Hardware => print_json(&catalog.all::<Device>()?),
        Kind::Grid => {
            let grids = catalog.all::<GridEntry>()?.into_iter().map(|entry| catalog.grid(&entry.id));
            print_json(&grids.collect::<Result<Vec<Grid>, _>>()?)
        }
        Kind::Site => print_json(&catalog.all::<Site>()?),
        Kind::Workload => print_json(&catalog.all::<Workload>()?),
    }
}

fn show(kind: Kind, name: &str, format: Format, context: &Context) -> Result<()> {
    let catalog = &context.catalog;
    let entry = match kind {
        Kind::Hardware => serde_json::to_value(catalog.load::<Device>(name)?)?,
        Kind::Grid => serde_json::to_value(catalog.grid(name)?)?,
        Kind::Site => serde_json::to_value(catalog.load::<Site>(name)?)?,
        Kind::Workload => serde_json::to_value(catalog.load::<Workload>(name)?)?,
    };
    if format != Format::Csv {
        return match kind {
            Kind::Hardware => print_json(&catalog.load::<Device>(name)?),
            Kind::Grid => print_json(&catalog.grid(name)?),
            Kind::Site => print_json(&catalog.load::<Site>(name)?),
            Kind::Workload => print_json(&catalog.load::<Workload>(name)?),
        };
    }
    let mut table = TextTable::new(&["field", "value"]);
    flatten("", &entry, &mut table);
    print_table(&table, format, "")
}

/// A row a number or word of a tree, by its path.
fn flatten(path: &str, value: &serde_json::Value, table: &mut TextTable) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, v)| flatten(&below(name), v, table)),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| flatten(&below(&i.to_string()), v, table));
        }
        serde_json::Value::Null => {}
        serde_json::Value::String(text) => table.row(vec![path.to_owned(), text.clone()]),
        other => table.row(vec![path.to_owned(), other.to_string()]),
    }
}

fn table(kind: Kind, context: &Context) -> Result<TextTable> {
    let mut table;
    match kind {
        Kind::Hardware => {
            table = TextTable::new(&["id", "name", "TDP W", "memory GB", "peak f32", "bf16 TFLOP/s", "USD/h"]);
            for d in context.catalog.all::<Device>()? {
                let tera = |dtype| d.peak.get(&dtype).map_or_else(dash, |p| significant(p.base() / 1e12));
                table.row(vec![
                    d.id.clone(),
                    d.name.clone(),
                    shown(d.tdp.as_ref(), 1.0),
                    shown(d.memory.as_ref(), 1e9),
                    tera(greenformers::units::DType::F32),
                    tera(greenformers::units::DType::Bf16),
                    shown(d.usual_price().map(|offer| &offer.price), 1.0),
                ]);
            }
        }
        Kind::Grid => {
            table = TextTable::new(&["id", "name", "gCO2e/kWh", "range", "year", "PUE", "basis"]);
            for entry in context.catalog.all::<GridEntry>()? {
                let Grid { id, name, intensity, pue, .. } = context.catalog.grid(&entry.id)?;
                let (low, _, high) = intensity.low_mid_high();
                let range = if low < high { format!("{} to {}", significant(low), significant(high)) } else { dash() };
                let basis = intensity.basis.clone().unwrap_or_default();
                table.row(vec![
                    id,
                    name,
                    significant(intensity.base()),
                    range,
                    intensity.date.clone(),
                    shown(pue.as_ref(), 1.0),
                    basis,
                ]);
            }
        }
        Kind::Site => {
            table = TextTable::new(&["id", "name", "PUE", "range", "year"]);
            for s in context.catalog.all::<Site>()? {
                let (low, _, high) = s.pue.low_mid_high();
                let range = if low < high { format!("{} to {}", significant(low), significant(high)) } else { dash() };
                table.row(vec![s.id, s.name, significant(s.pue.base()), range, s.pue.date]);
            }
        }
        Kind::Workload => {
            table = TextTable::new(&["name", "layers", "width", "tokens", "source"]);
            for w in context.catalog.all::<Workload>()? {
                table.row(vec![
                    w.name.clone(),
                    w.model.n_layers.to_string(),
                    w.model.d_model.to_string(),
                    significant(w.tokens()),
                    w.source.clone(),
                ]);
            }
        }
    }
    Ok(table)
}

fn dash() -> String {
    "-".to_owned()
}

fn shown<Q: CatalogQuantity>(number: Option<&Sourced<Q>>, unit: f64) -> String {
    number.map_or_else(dash, |n| significant(n.base() / unit))
}
