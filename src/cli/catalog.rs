//! `catalog`: what is known, with sources.

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use greenformers::catalog::{Device, EntryKind, Grid, GridEntry, Quantity, Site, Sourced};
use greenformers::record::Workload;
use greenformers::report::{TextTable, significant};

use super::Context;
use super::common::{print, print_json};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers catalog list grid
  greenformers catalog show hardware a100-sxm4-80gb
  greenformers catalog check workload my-model.yaml")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Action>,
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
    List {
        /// Which kind
        #[arg(value_enum)]
        kind: Option<Kind>,
    },
    /// Show an entry as JSON, each number with its source
    Show {
        /// Which kind
        #[arg(value_enum)]
        kind: Kind,
        /// A name, or the beginning of one
        name: String,
    },
    /// Check a YAML file of yours
    Check {
        /// What the file describes
        #[arg(value_enum)]
        kind: Kind,
        /// The file
        file: String,
    },
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    match &args.command {
        None | Some(Action::List { kind: None }) => list_all(context),
        Some(Action::List { kind: Some(kind) }) => print(&table(*kind, context)?.render()),
        Some(Action::Show { kind, name }) => show(*kind, name, context),
        Some(Action::Check { kind, file }) => {
            let path = if file.contains('/') { file.clone() } else { format!("./{file}") };
            match kind {
                Kind::Hardware => drop(context.catalog.load::<Device>(&path)?),
                Kind::Grid => drop(context.catalog.grid(&path)?),
                Kind::Site => drop(context.catalog.load::<Site>(&path)?),
                Kind::Workload => drop(context.catalog.load::<Workload>(&path)?),
            }
            print(&format!("{file}: valid\n"))
        }
    }
}

fn list_all(context: &Context) -> Result<()> {
    let mut summary = TextTable::new(&["kind", "entries"]);
    for kind in EntryKind::ALL {
        summary.row(vec![kind.name().to_owned(), context.catalog.ids(kind)?.len().to_string()]);
    }
    print(&(summary.render() + "\n`greenformers catalog list KIND` shows them\n"))
}

fn show(kind: Kind, name: &str, context: &Context) -> Result<()> {
    match kind {
        Kind::Hardware => print_json(&context.catalog.load::<Device>(name)?),
        Kind::Grid => print_json(&context.catalog.grid(name)?),
        Kind::Site => print_json(&context.catalog.load::<Site>(name)?),
        Kind::Workload => print_json(&context.catalog.load::<Workload>(name)?),
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
                    shown(d.usual_price(), 1.0),
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

fn shown<Q: Quantity>(number: Option<&Sourced<Q>>, unit: f64) -> String {
    number.map_or_else(dash, |n| significant(n.base() / unit))
}
