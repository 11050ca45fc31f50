//! What a report shows beside the record: the whole run, the same in other grids and on other hardware.

use std::error::Error;

use crate::catalog::{Catalog, Device, DeviceKind, Grid, SoftwareSpec};
use crate::estimate::{
    Axes, Cluster, Conditions, ConditionsSpec, Estimate, EstimateError, ModelledCrossovers, Quantity, Rent, Request,
    Scenario, draw_scenarios, estimate_without_shares, estimates_of_record, modelled_crossovers, sweep,
};
use crate::model::Arch;
use crate::record::Record;
use crate::units::DType;

/// Zones from the cleanest to the dirtiest, and large countries between.
const ZONES: [&str; 14] =
    ["nor", "swe", "fra", "bra", "can", "gbr", "deu", "usa", "jpn", "chn", "aus", "pol", "zaf", "ind"];
/// Hours of a week.
const WEEK_H: f64 = 7.0 * 24.0;
/// The hardware that everybody knows, and how many.
const KNOWN: (&str, u32) = ("a100-sxm4-80gb", 8);
/// Numbers of devices that are modelled.
const DEVICES: [u32; 2] = [1, 8];

/// The same run in another grid.
#[derive(Debug, Clone)]
pub struct ZoneRun {
    /// Name of the zone.
    pub name: String,
    /// The run there, by architecture.
    pub estimates: Vec<Estimate>,
}

/// The same run on hardware of the catalog: modelled.
#[derive(Debug, Clone)]
pub struct Market {
    /// What the scenarios are made of.
    pub axes: Axes,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

impl Market {
    /// What the answer names: the place among scenarios of `arch` on the hardware that everybody knows, and on the cheapest whose
    /// median is within a week.
    pub(super) fn named(&self, arch: Arch) -> [Option<usize>; 2] {
        let of_arch = || self.scenarios.iter().enumerate().filter(|(_, s)| s.arch == arch && s.fits != Some(false));
        let hardware = |s: &Scenario| self.axes.hardware[s.hardware].0.id.as_str();
        let known = of_arch().find(|(_, s)| (hardware(s), s.devices) == KNOWN);
        let within = of_arch().filter(|(_, s)| s.wall_h().mid <= WEEK_H);
        let priced = within.filter_map(|(i, s)| Some((i, s.footprint.of(Quantity::Cost)?.mid)));
        [known.map(|(i, _)| i), priced.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)]
    }
}

/// What a report is made of, beside the record.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The whole run on the machine of the record, or why it is not estimated.
    pub estimates: Result<Vec<Estimate>, String>,
    /// What those estimates share.
    pub conditions: Option<Conditions>,
    /// The grid, if it was named.
    pub grid: Option<Grid>,
    /// Whether nobody said whose electricity it is.
    pub grid_is_assumed: bool,
    /// The same run in other grids.
    pub zones: Vec<ZoneRun>,
    /// The same run on other hardware.
    pub market: Option<Market>,
    /// Where architectures change places on GPUs that were not measured.
    pub modelled: Vec<ModelledCrossovers>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Inputs {
    /// Works out what a report of `record` shows under these conditions. A run that cannot be estimated is no error: the report
    /// says why.
    ///
    /// # Errors
    /// If the catalog cannot be read, or has no such grid.
    pub fn of(record: &Record, spec: &ConditionsSpec, catalog: &Catalog, seed: u64) -> Result<Self, EstimateError> {
        let estimates = run_of(record, spec, catalog, seed);
        let archs = estimates.as_ref().map_or_else(|_| Vec::new(), |e| dense_and_best(e, record.settings.dtype()));
        // There is nothing to lay beside a run that is not estimated.
        let (zones, market) = if archs.is_empty() {
            (Vec::new(), None)
        } else {
            (zones(record, &archs, spec, catalog, seed)?, Some(market(record, &archs, spec, catalog, seed)?))
        };
        Ok(Self {
            // Why there are none is why there are no estimates.
            conditions: spec.of_record(record, catalog).ok(),
            estimates,
            grid: spec.grid_if_named(catalog)?,
            grid_is_assumed: spec.grid_is_assumed(),
            zones,
            market,
            modelled: modelled_crossovers(&record.settings.workload.model, &record.archs(), catalog, seed)?,
            seed,
        })
    }
}

/// What can be said of the whole run on the machine of a record, or why nothing can.
///
/// # Errors
/// The reason, in words.
pub(in crate::report) fn run_of(
    record: &Record,
    spec: &ConditionsSpec,
    catalog: &Catalog,
    seed: u64,
) -> Result<Vec<Estimate>, String> {
    let conditions = spec.of_record(record, catalog).map_err(|e| reason(&e))?;
    estimates_of_record(record, &conditions, seed).map_err(|e| reason(&e))
}

/// An error with its causes.
fn reason(error: &EstimateError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Dense and the variant that saves most time in `dtype`, as far as they are there.
fn dense_and_best(estimates: &[Estimate], dtype: DType) -> Vec<Arch> {
    let estimates: Vec<&Estimate> = estimates.iter().filter(|e| e.dtype == Some(dtype)).collect();
    let variants = estimates.iter().filter_map(|e| Some((e.arch?, e.ratio(Quantity::Wall)?.mid)));
    let best = variants.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(arch, _)| arch);
    let dense = estimates.iter().filter_map(|e| e.arch).find(|a| *a == Arch::Dense);
    dense.into_iter().chain(best).collect()
}

/// The same run in other grids; none where the emissions of a kilowatt-hour were given as a number.
fn zones(
    record: &Record,
    archs: &[Arch],
    spec: &ConditionsSpec,
    catalog: &Catalog,
    seed: u64,
) -> Result<Vec<ZoneRun>, EstimateError> {
    if spec.intensity.is_some() {
        return Ok(Vec::new());
    }
    let zone = |zone: &str| {
        let conditions = spec.in_grid(zone).of_record(record, catalog)?;
        let estimates = estimate_without_shares(&Request::on_machine(record, archs, &conditions, seed))?;
        Ok(ZoneRun { name: catalog.grid(zone)?.name, estimates })
    };
    ZONES.into_iter().map(zone).collect()
}

/// The same run on one and on eight of each GPU of the catalog, each in its fastest format, modelled.
fn market(
    record: &Record,
    archs: &[Arch],
    spec: &ConditionsSpec,
    catalog: &Catalog,
    seed: u64,
) -> Result<Market, EstimateError> {
    // The hours of a grid are those of one place and time, and a basis of prices is one that not every device has.
    let spec = if spec.is_hourly() { spec.in_grid("world") } else { spec.without_price_basis() };
    let gpus = catalog.all::<Device>()?.into_iter().filter(|d| d.kind == DeviceKind::Gpu);
    let hardware = gpus.map(|device| Ok((device.clone(), spec.of_device(&device, catalog)?)));
    let hardware: Vec<(Device, Conditions)> = hardware.collect::<Result<_, EstimateError>>()?;
    let mut dtypes: Vec<DType> = hardware.iter().map(|(device, _)| device.fastest_dtype()).collect();
    dtypes.sort_unstable();
    dtypes.dedup();
    let axes = Axes {
        workloads: vec![record.settings.workload.clone()],
        hardware,
        grids: vec![spec.of_grid(catalog)?],
        dtypes,
        devices: DEVICES.to_vec(),
        cluster: Cluster::default(),
        software: vec![SoftwareSpec::default()],
        archs: archs.to_vec(),
        layouts: vec![None],
        rent: Rent::default(),
        owned: false,
    };
    let mut scenarios = sweep(&axes, None)?.scenarios;
    scenarios.retain(|s| s.dtype == axes.hardware[s.hardware].0.fastest_dtype());
    let mut market = Market { axes, scenarios };
    // Those that the answer names have the numbers that `estimate` gives. With them, another may be the cheapest.
    let mut drawn: Vec<usize> = Vec::new();
    let best = archs.last().copied().unwrap_or(Arch::Dense);
    while let Some(next) = market.named(best).into_iter().flatten().find(|i| !drawn.contains(i)) {
        draw_scenarios(&market.axes, None, seed, [&mut market.scenarios[next]])?;
        drawn.push(next);
    }
    Ok(market)
}
