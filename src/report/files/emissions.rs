//! A campaign as a row of CodeCarbon's `emissions.csv`: what was measured, and nothing else.

use super::campaign::{drawn, seconds, uuid};
use super::{CODECARBON_HEADER, CodecarbonRow};
use crate::meter::Coverage;
use crate::report::figures::Report;
use crate::report::markup::clean;
use crate::units::Joules;

/// Header and row. Modelled energies are left empty, as are totals that lack a part, and emissions where nobody said whose
/// electricity it was.
pub(super) fn emissions_csv(report: &Report) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Writing into memory does not fail.
    let row = writer.write_record(row(report).fields()).ok().and_then(|()| writer.into_inner().ok());
    format!("{CODECARBON_HEADER}\n{}", String::from_utf8_lossy(&row.unwrap_or_default()))
}

fn row(report: &Report) -> CodecarbonRow {
    let record = &report.record;
    let environment = &record.environment;
    let parts = drawn(record);
    let time = seconds(record);
    let measured = |coverages: &[Coverage]| {
        let own: Vec<f64> =
            parts.iter().filter(|p| p.is_measured() && coverages.contains(&p.coverage)).map(|p| p.joules.mid).collect();
        (!own.is_empty()).then(|| own.iter().sum::<f64>())
    };
    let cpu = measured(&[Coverage::CpuPackage, Coverage::NodeShare]);
    let gpu = measured(&[Coverage::Gpu, Coverage::Module]);
    let ram = measured(&[Coverage::Dram]);
    let power = |joules: Option<f64>| joules.filter(|_| time > 0.0).map(|j| j / time);
    let energy = |joules: Option<f64>| joules.map(|j| Joules(j).kwh());
    let all_measured = parts.len() == environment.meters.len() && parts.iter().all(super::campaign::Drawn::is_measured);
    let grid = report.grid.as_ref();
    let conditions = report.conditions.as_ref();
    let computes_on_gpu = environment.compute.device != "cpu";
    CodecarbonRow {
        timestamp: record.created.chars().take(19).collect(),
        project_name: clean(&record.settings.workload.name, 200),
        run_id: uuid(record),
        duration_s: time,
        cpu_power_w: power(cpu),
        gpu_power_w: power(gpu),
        ram_power_w: power(ram),
        cpu_energy_kwh: energy(cpu),
        gpu_energy_kwh: energy(gpu),
        ram_energy_kwh: energy(ram),
        partial: !all_measured || !environment.unmetered.is_empty(),
        water_l: None,
        intensity_g_per_kwh: conditions.filter(|_| !report.grid_is_assumed).map(|c| c.intensity.distribution.centre()),
        pue: conditions.map_or(1.0, |c| c.pue.distribution.centre()),
        location: grid.map(|g| g.location.clone()).unwrap_or_default(),
        os: clean(&environment.os, 200),
        cpu_count: environment.logical_cpus as f64,
        cpu_model: clean(&environment.cpu, 200),
        gpu_count: computes_on_gpu.then_some(1),
        gpu_model: computes_on_gpu.then(|| clean(&environment.compute.name, 200)),
        ram_total_gb: environment.memory_bytes as f64 / 1e9,
        tracking_mode: "machine",
        cpu_load: None,
        ram_used_gb: None,
    }
}
