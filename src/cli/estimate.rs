//! `estimate`: the whole run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use greenformers::catalog::{AttentionUse, Device, SoftwareSpec};
use greenformers::estimate::{
    Cluster, Estimate, Hardware, Network, OwnSoftware, Request, estimate, parse_devices_per_node,
    recommend_architecture, unused_record,
};
use greenformers::files::{JSON_SCHEMA, read_text};
use greenformers::model::Arch;
use greenformers::record::{Record, Workload};
use greenformers::report::{
    assumptions_table, estimates_frame, estimates_table, explanation_table, schedule_text, side_table, to_csv,
    variance_table,
};
use greenformers::units::DType;
use serde::Serialize;

use super::Context;
use super::common::{ConditionsArgs, DEFAULT_WORKLOAD, Format, paint, parse_seconds, print, print_json, warnings_text};
use super::sweep::{self, SweepArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers estimate reports/mine                         the machine that was measured
  greenformers estimate --hardware a100-sxm4-80gb --devices 8 --grid aws-eu-north-1
  greenformers estimate --hardware h100-sxm5 --devices 64 --network 8xinfiniband-ndr
  greenformers estimate --hardware rtx-4090-24gb --workload my-model.yaml --arch dense --arch lrt:rank=128
  greenformers estimate --sweep hardware=all,grid=all,devices=1,8 --pareto time,cost,co2e --max-hours 48 --recommend
  greenformers estimate --hardware h100-sxm5 --grid hours.csv --start-within 48h --explain
  greenformers estimate --step-time 0.42 --power 350 --usd-per-hour 1.10")]
pub(super) struct Args {
    /// A record.json, or the folder that holds one
    record: Option<PathBuf>,
    /// What is trained: a name or a YAML file [default: the record's, or bert-base]
    #[arg(long, value_name = "NAME|FILE")]
    workload: Option<String>,
    /// What it runs on: a name of the catalog or a YAML file [default: the record's machine]
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1)]
    devices: u32,
    /// Network between machines: Gbit/s of a machine, which its devices share, or ethernet-10, -25, -100, infiniband-hdr or -ndr
    /// (one adapter; `8xinfiniband-ndr` for eight) [default: the catalog's]
    #[arg(long, value_name = "NAME|GBIT", allow_hyphen_values = true)]
    network: Option<Network>,
    /// Devices in a machine [default: the catalog's]
    #[arg(long, value_name = "N", value_parser = parse_devices_per_node, allow_hyphen_values = true)]
    devices_per_node: Option<u32>,
    /// Number format [default: the record's, or the fastest 16-bit format of the device]
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<DType>,
    /// Architecture, repeatable [default: the record's, or dense, lrt:rank=256 and linformer:k=128]
    #[arg(long = "arch", value_name = "SPEC")]
    archs: Vec<Arch>,
    /// Sequences on a device at a time [default: the largest that fits and divides the batch evenly]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    micro_batch: Option<u32>,
    /// What trains, where it was not measured: eager (stock Hugging Face or PyTorch), compiled (torch.compile, XLA), optimised
    /// (Megatron, LLM Foundry, a maker's containers) or unknown (a mixture of all)
    #[arg(long, value_name = "CLASS", default_value = "unknown")]
    software: SoftwareSpec,
    /// How attention is computed: fused or composed [default: by the age of the device, as a mixture]
    #[arg(long, value_name = "HOW")]
    attention: Option<AttentionUse>,
    /// Your own program, by runs of it: a file that `greenformers catalog calibrate` wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["software", "attention", "efficiency", "sweep"])]
    calibration: Option<PathBuf>,
    /// The old name of `--software`: typical is `optimised/composed`, tuned is `optimised/fused`
    #[arg(long, value_name = "typical|tuned", hide = true, conflicts_with_all = ["software", "attention"])]
    efficiency: Option<SoftwareSpec>,
    /// Seconds of an optimizer step that you measured, of the whole batch on all devices
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, conflicts_with = "record")]
    step_time: Option<f64>,
    /// Watts of a device at the wall, with `--step-time`
    #[arg(long, value_name = "WATTS", requires = "step_time")]
    power: Option<f64>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    /// Print the arithmetic of each number
    #[arg(long)]
    explain: bool,
    /// Seed of the draws: the same seed gives the same output
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Args {
    fn software(&self) -> SoftwareSpec {
        let said = self.efficiency.unwrap_or(self.software);
        SoftwareSpec { attention: self.attention.or(said.attention), ..said }
    }
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    estimates: &'a [Estimate],
}

impl Args {
    fn cluster(&self) -> Cluster {
        Cluster { network: self.network, devices_per_node: self.devices_per_node }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    if let Some(axes) = args.sweep.axes() {
        let base = sweep::Base {
            workload: args.workload.as_deref(),
            hardware: args.hardware.as_deref(),
            devices: args.devices,
            cluster: args.cluster(),
            dtype: args.dtype,
            archs: &args.archs,
            micro_batch: args.micro_batch.map(|n| n as usize),
            software: args.software(),
            conditions: &args.conditions,
            is_measured: args.record.is_some() || args.step_time.is_some(),
        };
        return sweep::run(&args.sweep, axes, &base, args.format, context);
    }
    let record = args.record.as_deref().map(Record::load).transpose()?;
    let estimates = estimates(args, record.as_ref(), context)?;
    match args.format {
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, estimates: &estimates }),
        Format::Csv => print(&to_csv(&mut estimates_frame(&estimates)?)?),
        Format::Text => print(&text(&estimates, args)),
    }
}

fn estimates(args: &Args, record: Option<&Record>, context: &Context) -> Result<Vec<Estimate>> {
    let device: Option<Device> = args.hardware.as_deref().map(|name| context.catalog.load(name)).transpose()?;
    let hardware = match args.step_time {
        Some(step_s) => Hardware::Given { step_s, power_w: args.power, device },
        None => Hardware::choose(record, device)?,
    };
    let used = hardware.record();
    let workload: Workload = match (&args.workload, used) {
        (None, Some(record)) => record.settings.workload.clone(),
        (name, _) => context.catalog.load(name.as_deref().unwrap_or(DEFAULT_WORKLOAD))?,
    };
    let archs = if args.archs.is_empty() { hardware.usual_archs(&workload) } else { args.archs.clone() };
    let conditions = args.conditions.spec().on(&hardware, &context.catalog)?;
    let own = args.calibration.as_deref().map(calibration).transpose()?;
    let mut estimates = estimate(&Request {
        workload: &workload,
        archs: &archs,
        dtype: args.dtype.unwrap_or_else(|| hardware.usual_dtype()),
        hardware,
        devices: args.devices,
        cluster: args.cluster(),
        software: args.software(),
        own: own.as_ref(),
        micro_batch: args.micro_batch.map(|n| n as usize),
        conditions: &conditions,
        seed: args.seed,
    })?;
    if let (Some(record), None) = (record, used) {
        estimates.iter_mut().for_each(|e| e.warnings.push(unused_record(record)));
    }
    Ok(estimates)
}

/// A program of the user's, as `catalog calibrate` wrote it.
fn calibration(path: &Path) -> Result<OwnSoftware> {
    let text = read_text(path, 1 << 16)?;
    let own: OwnSoftware = serde_json::from_str(&text).with_context(|| {
        format!("`{}` is no calibration\nhint: `greenformers catalog calibrate RUNS.csv` makes one", path.display())
    })?;
    own.check()?;
    Ok(own)
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
        match &first.software {
            Some(software) => format!("{}, software: {software}", first.basis.name()),
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
