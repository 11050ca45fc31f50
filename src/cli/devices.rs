//! `devices`: what can compute and be metered here.

use std::path::PathBuf;

use anyhow::Result;
use greenformers::catalog::DeviceKind;
use greenformers::files::JSON_SCHEMA;
use greenformers::machine::{self, Part, PartKind, gpu_parts, host_parts};
use greenformers::measure::{cuda_problem, update_period};
use greenformers::report::{TextTable, significant};
use greenformers::sensor::{DEFAULT_POWERCAP_ROOT, GpuInfo, visible_gpus};
use serde::Serialize;

use super::Context;
use super::common::{Format, paint, print, print_json, print_table, width};

/// A sensor is watched for at most so long, which is time for a dozen of its values.
const WATCH_S: f64 = 2.0;

/// Why a GPU does not compute that otherwise could.
const HIDDEN: &str = "`CUDA_VISIBLE_DEVICES` hides it";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers devices
  greenformers devices --format json")]
pub(super) struct Args {
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Folder of the kernel's energy counters
    #[arg(long, value_name = "DIR", default_value = DEFAULT_POWERCAP_ROOT, hide = true)]
    powercap_root: PathBuf,
}

/// A line of the table.
#[derive(Debug, Serialize)]
struct Row {
    device: String,
    name: String,
    id: Option<String>,
    hardware: Option<String>,
    memory_gb: Option<f64>,
    computes: bool,
    /// `rapl`, `nvml-counter`, `nvml-power` or `model`.
    meter: Option<&'static str>,
    /// How often its value changes, as measured just now.
    update_s: Option<f64>,
    /// What its number is for.
    covers: Option<String>,
    /// Version of the driver of a GPU.
    driver: Option<String>,
    /// Why there is no better meter.
    reason: Option<String>,
    /// The command that mends it.
    hint: Option<String>,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    devices: &'a [Row],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let rows = rows(args, context)?;
    if args.format == Format::Json {
        return print_json(&Output { schema: JSON_SCHEMA, devices: &rows });
    }
    let dash = || "-".to_owned();
    let header = ["device", "name", "id", "catalog", "memory GB", "computes", "meter", "update ms", "covers"];
    let mut table = TextTable::new(&header);
    for row in &rows {
        table.row(vec![
            row.device.clone(),
            row.name.clone(),
            row.id.clone().unwrap_or_else(dash),
            row.hardware.clone().unwrap_or_else(|| "unknown".to_owned()),
            row.memory_gb.map_or_else(dash, significant),
            if row.computes { "yes" } else { "no" }.to_owned(),
            row.meter.unwrap_or("none").to_owned(),
            row.update_s.map_or_else(dash, |s| significant(1000.0 * s)),
            row.covers.clone().unwrap_or_else(dash),
        ]);
    }
    if args.format == Format::Csv {
        return print_table(&table, args.format, "");
    }
    let mut text = paint().table(&table.render(width()), &[]);
    for row in &rows {
        if let Some(reason) = &row.reason {
            text.push_str(&format!("\n{}: {reason}\n", row.device));
        }
        if let Some(hint) = &row.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
    }
    print(&text)
}

fn rows(args: &Args, context: &Context) -> Result<Vec<Row>> {
    let facts = machine::machine_facts();
    let cpu = context.catalog.identify(DeviceKind::Cpu, &facts.cpu)?;
    let mut rows: Vec<Row> = Vec::new();
    for part in host_parts(&args.powercap_root, &facts, cpu.as_ref()) {
        let hardware = cpu.as_ref().filter(|_| part.kind == PartKind::Cpu).map(|d| d.id.clone());
        let computes = part.kind == PartKind::Cpu;
        rows.push(row(part, hardware, computes));
    }
    match gpu_parts() {
        Ok(mut parts) => {
            hide(&mut parts);
            for part in parts {
                let hardware = context.catalog.identify(DeviceKind::Gpu, &part.name)?.map(|d| d.id);
                let instances = instances(&part);
                let hidden = part.reason.as_deref().is_some_and(|r| r.contains(HIDDEN));
                rows.push(row(part, hardware, cuda_problem().is_none() && !hidden));
                rows.extend(instances);
            }
        }
        Err(error) => {
            let (reason, hint) = split(Some(error.to_string()));
            rows.push(Row { reason, hint, ..nothing("gpu", "none found") });
        }
    }
    Ok(rows)
}

/// Notes at each GPU whether `CUDA_VISIBLE_DEVICES` hides it, and what is wrong with that list.
fn hide(parts: &mut [Part]) {
    let list = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let order = std::env::var("CUDA_DEVICE_ORDER").ok();
    let gpus: Vec<GpuInfo> = parts.iter().filter_map(|p| p.gpu.clone()).collect();
    let visible = visible_gpus(list.as_deref(), order.as_deref(), &gpus);
    let problem = visible.problems.first().map(|p| format!(": {p}")).unwrap_or_default();
    for part in parts {
        let index = part.gpu.as_ref().map(|g| g.index);
        if !visible.devices.iter().any(|s| Some(s.gpu.index) == index) {
            part.reason = Some(format!("{HIDDEN}{problem}"));
        }
    }
}

fn row(part: Part, hardware: Option<String>, computes: bool) -> Row {
    let (source, covers) = match &part.meter {
        Some(meter) => (Some(meter.info().source.name()), Some(meter.info().coverage.words().to_owned())),
        None => (None, part.covered_by.map(|by| format!("in `{by}`"))),
    };
    let no_cuda = (part.kind == PartKind::Gpu).then(cuda_problem).flatten();
    let (reason, hint) = split(part.reason.or(no_cuda));
    Row {
        device: part.device,
        name: part.name,
        id: part.id,
        hardware,
        memory_gb: part.memory.map(|m| m.0 / 1e9),
        computes,
        meter: source,
        update_s: part.meter.and_then(|m| update_period(m, WATCH_S)).map(|p| p.mean),
        covers,
        driver: part.gpu.and_then(|g| g.driver),
        reason,
        hint,
    }
}

/// The instances of a card that is cut: what computes, and has no sensor.
fn instances(part: &Part) -> Vec<Row> {
    let gpu = part.gpu.as_ref();
    let rows = gpu.and_then(|g| g.instances.as_ref()).into_iter().flatten().map(|instance| Row {
        id: Some(instance.uuid.clone()),
        memory_gb: instance.memory.map(|m| m.0 / 1e9),
        computes: cuda_problem().is_none(),
        reason: Some("an instance has no sensor: the board's covers all of them, and is given to none".to_owned()),
        hint: gpu.map(|g| format!("`sudo nvidia-smi -i {} -mig 0` makes the card whole", g.id())),
        ..nothing(&format!("{} MIG", part.device), "MIG instance")
    });
    rows.collect()
}

fn nothing(device: &str, name: &str) -> Row {
    Row {
        device: device.to_owned(),
        name: name.to_owned(),
        id: None,
        hardware: None,
        memory_gb: None,
        computes: false,
        meter: None,
        update_s: None,
        covers: None,
        driver: None,
        reason: None,
        hint: None,
    }
}

/// A reason, and the `hint:` that was in it.
fn split(reason: Option<String>) -> (Option<String>, Option<String>) {
    let Some(reason) = reason else { return (None, None) };
    let (mut facts, mut hints) = (Vec::new(), Vec::new());
    for line in reason.lines() {
        match line.strip_prefix("hint: ") {
            Some(hint) => hints.push(hint),
            None => facts.push(line),
        }
    }
    (Some(facts.join("; ")), (!hints.is_empty()).then(|| hints.join("; ")))
}
