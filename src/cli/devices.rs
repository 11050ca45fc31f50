//! `devices`: what can compute and be metered here.

use std::path::{Path, PathBuf};

use anyhow::Result;
use greenformers::catalog::DeviceKind;
use greenformers::measure::{self, cuda_available};
use greenformers::report::{TextTable, significant};
use greenformers::sensor::{self, DEFAULT_POWERCAP_ROOT, Meter};
use serde::Serialize;

use super::Context;
use super::common::{Format, print, print_json};

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
    hardware: Option<String>,
    memory_gb: Option<f64>,
    computes: bool,
    meter: Option<&'static str>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    devices: &'a [Row],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let rows = rows(&args.powercap_root, context)?;
    if args.format == Format::Json {
        return print_json(&Output { schema: 1, devices: &rows });
    }
    let mut table = TextTable::new(&["device", "name", "catalog", "memory GB", "computes", "meter"]);
    for row in &rows {
        table.row(vec![
            row.device.clone(),
            row.name.clone(),
            row.hardware.clone().unwrap_or_else(|| "unknown".to_owned()),
            row.memory_gb.map_or_else(|| "-".to_owned(), significant),
            if row.computes { "yes" } else { "no" }.to_owned(),
            row.meter.unwrap_or("none").to_owned(),
        ]);
    }
    if args.format == Format::Csv {
        let (header, lines) = table.parts();
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(header)?;
        for line in lines {
            writer.write_record(line)?;
        }
        return print(&String::from_utf8_lossy(&writer.into_inner()?));
    }
    let mut text = table.render();
    for row in &rows {
        if let Some(reason) = &row.reason {
            text.push_str(&format!("\n{}: {reason}\n", row.device));
        }
    }
    print(&text)
}

fn rows(powercap: &Path, context: &Context) -> Result<Vec<Row>> {
    let facts = measure::machine_facts();
    let cpu = context.catalog.identify(DeviceKind::Cpu, &facts.cpu)?;
    let has_tdp = cpu.as_ref().is_some_and(|d| d.tdp.is_some());
    let (meter, reason) = match (sensor::open_rapl(powercap), has_tdp) {
        (Ok(zones), _) => {
            let domains: Vec<_> = zones.iter().map(|z| z.info().domain.clone()).collect();
            (Some("rapl"), Some(format!("RAPL reads {}", domains.join(", "))))
        }
        (Err(error), true) => {
            (Some("model"), Some(format!("{error}\nits energy is modelled from its load instead, to about 40 %")))
        }
        (Err(error), false) => (
            None,
            Some(format!(
                "{error}\nthe catalog does not know `{}`, so its energy cannot be modelled either\nhint: `--hardware FILE` with its TDP",
                facts.cpu
            )),
        ),
    };
    let mut rows = vec![Row {
        device: "cpu".to_owned(),
        name: format!("{}, {} logical CPUs", facts.cpu, facts.logical_cpus),
        hardware: cpu.map(|d| d.id),
        memory_gb: Some(facts.memory_bytes as f64 / 1e9),
        computes: true,
        meter,
        reason,
    }];
    match sensor::list_gpus() {
        Ok(gpus) => {
            for gpu in gpus {
                let meter = if gpu.energy_counter { Some("nvml-counter") } else { gpu.power.then_some("nvml-power") };
                let reason = (!cuda_available())
                    .then(|| "this build has no CUDA: `cargo build --release --features cuda`".to_owned());
                rows.push(Row {
                    device: format!("gpu {}", gpu.index),
                    hardware: context.catalog.identify(DeviceKind::Gpu, &gpu.name)?.map(|d| d.id),
                    name: format!("{} {}", gpu.name, gpu.uuid),
                    memory_gb: gpu.memory.map(|m| m.0 / 1e9),
                    computes: cuda_available(),
                    meter,
                    reason,
                });
            }
        }
        Err(error) => rows.push(Row {
            device: "gpu".to_owned(),
            name: "none found".to_owned(),
            hardware: None,
            memory_gb: None,
            computes: false,
            meter: None,
            reason: Some(error.to_string()),
        }),
    }
    Ok(rows)
}
