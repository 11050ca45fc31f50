//! `report`: the report of a record.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use greenformers::catalog::Device;
use greenformers::estimate::{Axes, Estimate, estimate_without_shares, sweep as combine};
use greenformers::files::JSON_SCHEMA;
use greenformers::model::Arch;
use greenformers::record::Record;
use greenformers::report::{Inputs, Market, Place, Report, Side, figures, side_by_side, write_report, write_sides};
use greenformers::units::DType;
use serde::Serialize;

use super::Context;
use super::common::{ConditionsArgs, Format, print, print_json, warnings_text};
use super::estimate::{conditions_of, estimate_on_machine, fastest_dtype, on_machine};
use super::sweep::{of_device, of_grid};

/// Zones from the cleanest to the dirtiest, and large countries between.
const ZONES: [&str; 14] =
    ["nor", "swe", "fra", "bra", "can", "gbr", "deu", "usa", "jpn", "chn", "aus", "pol", "zaf", "ind"];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers report reports/mine
  greenformers report reports/mine/record.json --grid swe --usd-per-kwh 0.12 -o out
  greenformers report reports/mine --png
  greenformers report reports/a100 reports/h100 reports/workstation -o side-by-side")]
pub(super) struct Args {
    /// A record.json, or the folder that holds one; several are laid side by side
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
    let record = Record::load(path)?;
    let folder = match &args.output {
        Some(folder) => folder.clone(),
        None if path.is_dir() => path.clone(),
        None => path.parent().map_or_else(PathBuf::new, Path::to_owned),
    };
    let report = report_of(&record, &args.conditions, context, args.seed)?;
    let said = warnings_text(report.estimates.iter().flat_map(|e| &e.warnings));
    if !said.is_empty() {
        // What is printed is where the report is, and nothing else.
        context.note(said.trim());
    }
    let files = write_report(&report, &folder, args.png)?;
    print_files(args.format, &report.answer, &files)
}

/// Several records, side by side.
fn several(args: &Args, context: &Context) -> Result<()> {
    let Some(folder) = &args.output else {
        bail!("several records make a report of their own\nhint: give its folder with `-o DIR`");
    };
    let side = |path: &PathBuf| {
        let record = Record::load(path)?;
        let estimates = estimate_on_machine(&record, &args.conditions, context, args.seed);
        Ok(Side { name: name_of(path), estimates: estimates.map_err(|e| format!("{e:#}")), record })
    };
    let sides = side_by_side(args.records.iter().map(side).collect::<Result<_>>()?)?;
    let files = write_sides(&sides, folder, args.png)?;
    print_files(args.format, &sides.answer(), &files)
}

/// A record goes by its folder; a file of another name than records have by its own.
fn name_of(path: &Path) -> String {
    let is_record = path.file_name().is_some_and(|n| n == greenformers::record::RECORD_FILE);
    let named = if is_record { path.parent().filter(|p| p.file_name().is_some()).unwrap_or(path) } else { path };
    let name = named.file_stem().filter(|_| !named.is_dir()).or(named.file_name());
    name.map_or_else(|| "record".to_owned(), |n| n.to_string_lossy().chars().take(40).collect())
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

/// What a report of `record` shows under these conditions.
pub(super) fn report_of(record: &Record, args: &ConditionsArgs, context: &Context, seed: u64) -> Result<Report> {
    let estimates = estimate_on_machine(record, args, context, seed).map_err(|e| format!("{e:#}"));
    let shown = estimates.as_ref().map_or_else(|_| Vec::new(), |e| dense_and_best(e, record.settings.dtype()));
    let places = if args.intensity_is_given() { Vec::new() } else { places(record, &shown, args, context, seed) };
    let inputs = Inputs {
        conditions: conditions_of(record, args, context).ok(),
        grid: args.grid_if_named(&context.catalog)?,
        grid_is_assumed: args.grid_is_assumed(),
        market: market(record, &shown, args, context),
        estimates,
        places,
        seed,
    };
    Ok(figures(record, inputs))
}

/// Dense and the variant that saves most time in `dtype`, as far as they are there.
fn dense_and_best(estimates: &[Estimate], dtype: DType) -> Vec<Arch> {
    let estimates: Vec<&Estimate> = estimates.iter().filter(|e| e.dtype == Some(dtype)).collect();
    let variants = estimates.iter().filter_map(|e| Some((e.arch?, e.vs_dense?.wall_h.mid)));
    let best = variants.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(arch, _)| arch);
    let dense = estimates.iter().filter_map(|e| e.arch).find(|a| *a == Arch::Dense);
    dense.into_iter().chain(best).collect()
}

/// The same run in other grids; none where it cannot be estimated.
fn places(record: &Record, archs: &[Arch], args: &ConditionsArgs, context: &Context, seed: u64) -> Vec<Place> {
    let place = |zone: &&str| {
        let name = context.catalog.grid(zone).ok()?.name;
        let conditions = conditions_of(record, &args.in_grid(Some(zone)), context).ok()?;
        let estimates = estimate_without_shares(&on_machine(record, archs, &conditions, seed)).ok()?;
        Some(Place { name, estimates })
    };
    if archs.is_empty() { Vec::new() } else { ZONES.iter().filter_map(place).collect() }
}

/// The same run on one and on eight of each GPU of the catalog, modelled.
fn market(record: &Record, archs: &[Arch], args: &ConditionsArgs, context: &Context) -> Option<Market> {
    let args = if args.is_hourly() { args.in_grid(Some("world")) } else { args.without_price() };
    let gpus: Vec<Device> = context.catalog.all::<Device>().ok()?;
    let hardware = gpus.into_iter().filter(|d| d.kind == greenformers::catalog::DeviceKind::Gpu);
    let mut axes = Axes {
        hardware: hardware.map(|d| of_device(&args, d, context)).collect::<Result<_>>().ok()?,
        grids: vec![of_grid(&args, None, context).ok()?],
        dtypes: Vec::new(),
        devices: vec![1, 8],
        levels: vec![greenformers::catalog::Level::Typical],
        archs: archs.to_vec(),
        owned: false,
    };
    axes.dtypes = axes.hardware.iter().map(|(d, _)| fastest_dtype(d)).collect();
    axes.dtypes.sort_unstable();
    axes.dtypes.dedup();
    let mut scenarios = combine(&record.settings.workload, &axes, None).ok()?.scenarios;
    // Each device in its fastest format alone.
    scenarios.retain(|s| s.dtype == fastest_dtype(&axes.hardware[s.hardware].0));
    Some(Market { axes, scenarios })
}
