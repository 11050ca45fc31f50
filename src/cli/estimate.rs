//! `estimate`: the whole run.

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenformers::catalog::{Device, DeviceKind, Level};
use greenformers::estimate::{Conditions, Estimate, Hardware, Request, estimate, recommend_architecture};
use greenformers::files::JSON_SCHEMA;
use greenformers::meter::Coverage;
use greenformers::model::Arch;
use greenformers::record::{Record, Warning, Workload};
use greenformers::report::{
    assumptions_table, estimates_frame, estimates_table, explanation_table, schedule_text, side_table, to_csv,
    variance_table,
};
use greenformers::units::DType;
use serde::Serialize;

use super::Context;
use super::common::{
    ConditionsArgs, Format, default_archs, paint, parse_seconds, print, print_json, warnings_text, workload,
};
use super::sweep::{self, SweepArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers estimate reports/mine                         the machine that was measured
  greenformers estimate --hardware a100-sxm4-80gb --devices 8 --grid aws-eu-north-1
  greenformers estimate --hardware rtx-4090-24gb --workload my-model.yaml --arch dense --arch lrt:rank=128
  greenformers estimate --sweep hardware=all,grid=all,devices=1,8 --pareto time,cost,co2e --max-hours 48 --recommend
  greenformers estimate --hardware h100-sxm5 --grid hours.csv --start-within 48h --explain
  greenformers estimate --step-time 0.42 --power 350 --usd-per-hour 1.10")]
pub(super) struct Args {
    /// A record.json, or the folder that holds one
    pub(super) record: Option<PathBuf>,
    /// What is trained: a name or a YAML file [default: the record's, or bert-base]
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) workload: Option<String>,
    /// What it runs on: a name of the catalog or a YAML file [default: the record's machine]
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) hardware: Option<String>,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) devices: u32,
    /// Number format [default: the record's, or the fastest 16-bit format of the device]
    #[arg(long, value_name = "DTYPE")]
    pub(super) dtype: Option<DType>,
    /// Architecture, repeatable [default: the record's, or dense, lrt:rank=256 and linformer:k=128]
    #[arg(long = "arch", value_name = "SPEC")]
    pub(super) archs: Vec<Arch>,
    /// Sequences on a device at a time [default: the largest that fits and divides the batch evenly]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) micro_batch: Option<u32>,
    /// How well software uses hardware that was not measured
    #[arg(long, value_name = "typical|tuned", default_value_t = Level::Typical)]
    pub(super) efficiency: Level,
    /// Seconds of an optimizer step that you measured, of the whole batch on all devices
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, conflicts_with = "record")]
    pub(super) step_time: Option<f64>,
    /// Watts of a device at the wall, with `--step-time`
    #[arg(long, value_name = "WATTS", requires = "step_time")]
    power: Option<f64>,
    #[command(flatten)]
    pub(super) conditions: ConditionsArgs,
    #[command(flatten)]
    pub(super) sweep: SweepArgs,
    /// Print the arithmetic of each number
    #[arg(long)]
    explain: bool,
    /// Seed of the draws: the same seed gives the same output
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    estimates: &'a [Estimate],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    if let Some(axes) = args.sweep.axes() {
        return sweep::run(args, axes, context);
    }
    let record = args.record.as_deref().map(Record::load).transpose()?;
    let device: Option<Device> = args.hardware.as_deref().map(|name| context.catalog.load(name)).transpose()?;
    let estimates = match (record, device) {
        (Some(record), device) if measured_there(&record, device.as_ref()) => {
            of_record(args, &record, Hardware::Measured(&record), context)?
        }
        (Some(record), Some(device)) if same_kind(&record, &device) => {
            of_record(args, &record, Hardware::Transferred(&record, device), context)?
        }
        (record, device) => {
            let mut estimates = elsewhere(args, device, context)?;
            if let Some(record) = record {
                for estimate in &mut estimates {
                    estimate.warnings.push(not_used(&record));
                }
            }
            estimates
        }
    };
    match args.format {
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, estimates: &estimates }),
        Format::Csv => print(&to_csv(&mut estimates_frame(&estimates)?)?),
        Format::Text => print(&text(&estimates, args)),
    }
}

/// Whether the record was made on the hardware that is asked for.
fn measured_there(record: &Record, device: Option<&Device>) -> bool {
    let measured = record.environment.compute.hardware.as_ref();
    device.is_none_or(|d| measured.is_some_and(|m| m.id == d.id))
}

/// Whether what software reaches on the machine of the record says something of `device`.
fn same_kind(record: &Record, device: &Device) -> bool {
    let gpu = record.environment.compute.device != "cpu";
    gpu && device.kind == DeviceKind::Gpu && record.environment.compute.hardware.is_some()
}

fn not_used(record: &Record) -> Warning {
    Warning::new(
        format!("the record is of `{}`", record.environment.compute.name),
        "it is not used: this estimate models the hardware that was asked for",
        "leave out `--hardware` for the machine of the record",
    )
}

fn of_record(args: &Args, record: &Record, hardware: Hardware<'_>, context: &Context) -> Result<Vec<Estimate>> {
    let workload = match &args.workload {
        Some(name) => workload(&context.catalog, name)?,
        None => record.settings.workload.clone(),
    };
    let archs = if args.archs.is_empty() { archs_of(record) } else { args.archs.clone() };
    let conditions = match &hardware {
        Hardware::Transferred(_, device) => {
            args.conditions.resolve(&context.catalog, Some(device.clone()), Some(Coverage::Gpu), 1.0, false)?
        }
        _ => conditions_of(record, &args.conditions, context)?,
    };
    Ok(estimate(&Request {
        workload: &workload,
        archs: &archs,
        hardware,
        devices: args.devices,
        dtype: args.dtype.unwrap_or(record.settings.dtype()),
        level: args.efficiency,
        micro_batch: args.micro_batch.map(|n| n as usize),
        conditions: &conditions,
        seed: args.seed,
    })?)
}

/// The workload of a record on the machine of the record, in each dtype that was measured.
pub(super) fn estimate_on_machine(
    record: &Record,
    conditions: &ConditionsArgs,
    context: &Context,
    seed: u64,
) -> Result<Vec<Estimate>> {
    let conditions = conditions_of(record, conditions, context)?;
    let mut estimates = Vec::new();
    for &dtype in &record.settings.dtypes {
        let archs = archs_of(record);
        estimates.extend(estimate(&Request { dtype, ..on_machine(record, &archs, &conditions, seed) })?);
    }
    Ok(estimates)
}

/// A run of the workload of a record on its machine, in the format that estimates are in.
pub(super) fn on_machine<'a>(
    record: &'a Record,
    archs: &'a [Arch],
    conditions: &'a Conditions,
    seed: u64,
) -> Request<'a> {
    Request {
        workload: &record.settings.workload,
        archs,
        hardware: Hardware::Measured(record),
        devices: 1,
        dtype: record.settings.dtype(),
        level: Level::default(),
        micro_batch: None,
        conditions,
        seed,
    }
}

fn elsewhere(args: &Args, device: Option<Device>, context: &Context) -> Result<Vec<Estimate>> {
    let workload: Workload = workload(&context.catalog, args.workload.as_deref().unwrap_or("bert-base"))?;
    let archs = match (args.archs.is_empty(), args.step_time) {
        (false, _) => args.archs.clone(),
        // A step time of the user's is of one architecture.
        (true, Some(_)) => vec![Arch::Dense],
        (true, None) => default_archs(&workload.model),
    };
    let dtype = args.dtype.unwrap_or_else(|| device.as_ref().map_or(DType::F32, fastest_dtype));
    let coverage = match (args.step_time, &device) {
        (Some(_), _) => Some(Coverage::NodeShare),
        (None, Some(device)) if device.kind == DeviceKind::Cpu => Some(Coverage::CpuPackage),
        _ => Some(Coverage::Gpu),
    };
    let conditions = args.conditions.resolve(&context.catalog, device.clone(), coverage, 1.0, false)?;
    let hardware = match (args.step_time, device) {
        (Some(step_s), device) => Hardware::Given { step_s, power_w: args.power, device },
        (None, Some(device)) => Hardware::Catalog(device),
        (None, None) => bail!(greenformers::estimate::EstimateError::NoSource),
    };
    Ok(estimate(&Request {
        workload: &workload,
        archs: &archs,
        hardware,
        devices: args.devices,
        dtype,
        level: args.efficiency,
        micro_batch: args.micro_batch.map(|n| n as usize),
        conditions: &conditions,
        seed: args.seed,
    })?)
}

pub(super) fn fastest_dtype(device: &Device) -> DType {
    [DType::Bf16, DType::F16, DType::F32].into_iter().find(|d| device.peak.contains_key(d)).unwrap_or(DType::F32)
}

/// The architectures of a record, dense first.
pub(super) fn archs_of(record: &Record) -> Vec<Arch> {
    let mut archs: Vec<Arch> = record.cells.iter().map(|c| c.arch).collect();
    archs.sort_unstable();
    archs.dedup();
    archs
}

/// Grid, site and prices for the machine of a record.
pub(super) fn conditions_of(record: &Record, args: &ConditionsArgs, context: &Context) -> Result<Conditions> {
    let compute = &record.environment.compute;
    let coverage = record.environment.meters.first().map(|m| m.coverage);
    // A virtual machine uses a part of its host.
    args.resolve(&context.catalog, compute.hardware.clone(), coverage, compute.hardware_share.min(1.0), false)
}

fn text(estimates: &[Estimate], args: &Args) -> String {
    let mut text = String::new();
    let Some(first) = estimates.first() else { return text };
    text.push_str(&format!(
        "{} on {} x {}, {}, {}\n\n",
        first.workload.as_deref().unwrap_or("run"),
        first.devices,
        first.hardware.as_deref().unwrap_or("a machine of which the step time was given"),
        first.dtype.map_or("", DType::name),
        match first.efficiency {
            Some(level) => format!("{}, {level} efficiency", first.basis.name()),
            None => first.basis.name().to_owned(),
        },
    ));
    text.push_str(&paint().table(&estimates_table(estimates).render(), &[]));
    text.push('\n');
    text.push_str(&side_table(estimates).render());
    text.push('\n');
    for (name, reason) in &first.missing {
        text.push_str(&format!("{name}: {reason}\n"));
    }
    text.push_str(&schedule_text(estimates));
    text.push_str(&variance_table(first).render());
    text.push('\n');
    if args.explain {
        for estimate in estimates {
            text.push_str(&format!("{}:\n", estimate.label()));
            text.push_str(&explanation_table(estimate).render());
            text.push('\n');
        }
    }
    if args.sweep.recommend {
        text.push_str(&format!("{}\n\n", recommend_architecture(estimates)));
    }
    text.push_str(&assumptions_table(first).render());
    text.push_str(&warnings_text(estimates.iter().flat_map(|e| &e.warnings)));
    text
}
