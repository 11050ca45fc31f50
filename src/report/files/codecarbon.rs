//! A row in the columns of CodeCarbon's `emissions.csv`, for those who already read that file.
//!
//! The columns mean what they mean in CodeCarbon 3.2.9 and 3.3.0: energies are of the parts that are metered, times PUE;
//! emissions = `energy_consumed` x intensity; powers are without PUE. (Before 3.0 there was no PUE in that file.) What is
//! not known is empty, and never 0.

use std::path::Path;

use crate::catalog::Location;
use crate::estimate::Quantity;
use crate::machine::PartKind;
use crate::report::tracked::TrackedRun;
use crate::stats::Interval;
use crate::track::{TrackedPart, Tracking};
use crate::units::Joules;

/// The header, byte for byte: CodeCarbon starts another file where it differs.
pub const CODECARBON_HEADER: &str = "timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,cpu_power,gpu_power,ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,water_consumed,country_name,country_iso_code,region,cloud_provider,cloud_region,os,python_version,codecarbon_version,cpu_count,cpu_model,gpu_count,gpu_model,longitude,latitude,ram_total_size,tracking_mode,cpu_utilization_percent,gpu_utilization_percent,ram_utilization_percent,ram_used_gb,on_cloud,pue,wue";

/// What a row says; `None` is an empty field.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CodecarbonRow {
    /// Local time, `2026-11-24T21:15:00`.
    pub timestamp: String,
    /// What the run is called.
    pub project_name: String,
    /// A UUID.
    pub run_id: String,
    /// Seconds.
    pub duration_s: f64,
    /// Mean watts of the processors.
    pub cpu_power_w: Option<f64>,
    /// Mean watts of the GPUs.
    pub gpu_power_w: Option<f64>,
    /// Mean watts of the memory.
    pub ram_power_w: Option<f64>,
    /// Energy of the processors, without PUE.
    pub cpu_energy_kwh: Option<f64>,
    /// Energy of the GPUs, without PUE.
    pub gpu_energy_kwh: Option<f64>,
    /// Energy of the memory, without PUE.
    pub ram_energy_kwh: Option<f64>,
    /// Whether a part of the machine is missing, so that no total can be given.
    pub partial: bool,
    /// Litres.
    pub water_l: Option<f64>,
    /// gCO2e of a kilowatt-hour, if it is known whose electricity it was.
    pub intensity_g_per_kwh: Option<f64>,
    /// Energy of the building over that of the machines.
    pub pue: f64,
    /// Where the grid is.
    pub location: Location,
    /// Operating system.
    pub os: String,
    /// CPUs that may be used.
    pub cpu_count: f64,
    /// The processor.
    pub cpu_model: String,
    /// How many GPUs.
    pub gpu_count: Option<usize>,
    /// Their names.
    pub gpu_model: Option<String>,
    /// Gigabytes of memory.
    pub ram_total_gb: f64,
    /// `machine` or `process`.
    pub tracking_mode: &'static str,
    /// Busy share of the CPUs, 0 to 1.
    pub cpu_load: Option<f64>,
    /// Most gigabytes that the command had in use.
    pub ram_used_gb: Option<f64>,
}

impl CodecarbonRow {
    /// The row of a command that was tracked.
    #[must_use]
    pub fn of(run: &TrackedRun<'_>) -> Self {
        let TrackedRun { tracked, facts, grid, .. } = run;
        let of = |kind: PartKind| tracked.lines.iter().filter(move |l| l.kind == kind);
        let sum = |kind: PartKind, value: fn(&TrackedPart) -> Option<Interval>| {
            let values: Vec<f64> = of(kind).filter_map(value).map(|i| i.mid).collect();
            (!values.is_empty() && of(kind).all(|l| !l.is_missing())).then(|| values.iter().sum::<f64>())
        };
        let energy = |kind| sum(kind, |l| l.energy_j).map(|j| Joules(j).kwh());
        let power = |kind| sum(kind, |l| l.power_w);
        let gpus: Vec<&str> = of(PartKind::Gpu).map(|l| l.name.as_str()).collect();
        let command = run.command.first().map(|c| Path::new(c).file_name().unwrap_or(c).to_string_lossy().into_owned());
        Self {
            // Local time to the second, without its zone.
            timestamp: run.started.chars().take(19).collect(),
            project_name: run.project.map_or_else(|| command.unwrap_or_default(), str::to_owned),
            run_id: run_id(),
            duration_s: tracked.duration_s,
            cpu_power_w: power(PartKind::Cpu),
            gpu_power_w: power(PartKind::Gpu),
            ram_power_w: power(PartKind::Memory),
            cpu_energy_kwh: energy(PartKind::Cpu),
            gpu_energy_kwh: energy(PartKind::Gpu),
            ram_energy_kwh: energy(PartKind::Memory),
            partial: run.is_partial(),
            water_l: run.account.footprint.of(Quantity::Water).map(|w| w.mid),
            intensity_g_per_kwh: Some(run.conditions.intensity.distribution.centre()),
            pue: run.conditions.pue.distribution.centre(),
            location: grid.map(|g| g.location.clone()).unwrap_or_default(),
            os: facts.os.clone(),
            cpu_count: facts.usable_cpus(),
            cpu_model: facts.cpu.clone(),
            gpu_count: (!gpus.is_empty()).then_some(gpus.len()),
            gpu_model: (!gpus.is_empty()).then(|| gpus.join(", ")),
            ram_total_gb: facts.memory_bytes as f64 / 1e9,
            tracking_mode: match run.tracking {
                Tracking::Machine => "machine",
                Tracking::Process => "process",
            },
            cpu_load: tracked.cpu_load,
            ram_used_gb: tracked.resident_bytes.map(|b| b as f64 / 1e9),
        }
    }

    /// The sum of the parts in kWh, times PUE, unless one is missing.
    #[must_use]
    pub fn energy_consumed_kwh(&self) -> Option<f64> {
        let parts = [self.cpu_energy_kwh, self.gpu_energy_kwh, self.ram_energy_kwh];
        let known = parts.iter().any(Option::is_some);
        (known && !self.partial).then(|| self.pue * parts.iter().flatten().sum::<f64>())
    }

    /// kgCO2e.
    #[must_use]
    pub fn emissions_kg(&self) -> Option<f64> {
        Some(self.energy_consumed_kwh()? * self.intensity_g_per_kwh? / 1000.0)
    }

    /// The fields in the order of the header.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
        let text = |x: &Option<String>| x.clone().unwrap_or_default();
        let of_facility = |kwh: Option<f64>| number(kwh.map(|kwh| self.pue * kwh));
        let emissions = self.emissions_kg();
        let Location { country_name, country_iso_code, region, cloud_provider, cloud_region } = &self.location;
        vec![
            self.timestamp.clone(),
            self.project_name.clone(),
            self.run_id.clone(),
            String::new(),
            self.duration_s.to_string(),
            number(emissions),
            number(emissions.map(|kg| kg / self.duration_s)),
            number(self.cpu_power_w),
            number(self.gpu_power_w),
            number(self.ram_power_w),
            of_facility(self.cpu_energy_kwh),
            of_facility(self.gpu_energy_kwh),
            of_facility(self.ram_energy_kwh),
            number(self.energy_consumed_kwh()),
            number(self.water_l.filter(|_| !self.partial)),
            text(country_name),
            text(country_iso_code),
            text(region),
            text(cloud_provider),
            text(cloud_region),
            self.os.clone(),
            String::new(),
            format!("compat/{}", crate::report::TOOL),
            self.cpu_count.to_string(),
            self.cpu_model.clone(),
            self.gpu_count.map_or_else(String::new, |n| n.to_string()),
            text(&self.gpu_model),
            String::new(),
            String::new(),
            self.ram_total_gb.to_string(),
            self.tracking_mode.to_owned(),
            number(self.cpu_load.map(|l| 100.0 * l)),
            String::new(),
            String::new(),
            number(self.ram_used_gb),
            // Who names a country may still be on a cloud.
            cloud_provider.as_ref().map_or_else(String::new, |_| "Y".to_owned()),
            self.pue.to_string(),
            String::new(),
        ]
    }
}

/// A random UUID (version 4).
fn run_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_a_uuid_of_version_4_and_never_twice_the_same() {
        let id = run_id();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        assert_ne!(id, run_id());
    }

    fn row() -> CodecarbonRow {
        CodecarbonRow {
            duration_s: 3600.0,
            cpu_energy_kwh: Some(0.1),
            ram_energy_kwh: Some(0.02),
            gpu_energy_kwh: Some(0.28),
            pue: 1.5,
            intensity_g_per_kwh: Some(500.0),
            ..CodecarbonRow::default()
        }
    }

    #[test]
    fn four_tenths_of_a_kilowatt_hour_at_pue_1_and_a_half_are_six_tenths_and_300_grams() {
        let row = row();
        assert!((row.energy_consumed_kwh().expect("all known") - 0.6).abs() < 1e-12);
        assert!((row.emissions_kg().expect("all known") - 0.3).abs() < 1e-12);
        assert_eq!(row.fields().len(), CODECARBON_HEADER.split(',').count());
    }

    #[test]
    fn a_missing_part_leaves_the_totals_empty_and_not_too_small() {
        let row = CodecarbonRow { partial: true, gpu_energy_kwh: None, ..row() };
        let fields = row.fields();
        let field = |name| &fields[CODECARBON_HEADER.split(',').position(|c| c == name).expect("a column")];
        assert_eq!([field("emissions"), field("energy_consumed"), field("gpu_energy")], ["", "", ""]);
        assert!((field("cpu_energy").parse::<f64>().expect("a number") - 0.15).abs() < 1e-12);
    }
}
