//! Scenarios as a polars frame.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use serde::{Serialize, Serializer};

use super::with_ends;
use crate::catalog::IntensityBasis;
use crate::estimate::{Axes, Footprint, Input, Quantity, Scenario};
use crate::report::error::ReportError;
use crate::stats::Interval;
use crate::units::DType;

/// A scenario by names, for JSON.
#[derive(Debug, Clone, Serialize)]
pub struct NamedScenario<'a> {
    workload: &'a str,
    hardware: &'a str,
    grid: &'a str,
    dtype: DType,
    devices: u32,
    software: String,
    spec: String,
    layout: Option<String>,
    micro_batch: usize,
    fits: Option<bool>,
    intensity_gco2e_per_kwh: f64,
    intensity_basis: Option<IntensityBasis>,
    intensity_date: &'a str,
    usd_per_device_hour: Option<f64>,
    price_source: Option<String>,
    #[serde(flatten, serialize_with = "shown")]
    footprint: Footprint<Interval>,
}

/// What is written of a scenario.
const SHOWN: [Quantity; 5] =
    [Quantity::Wall, Quantity::FacilityEnergy, Quantity::Operational, Quantity::Embodied, Quantity::Cost];

fn shown<S: Serializer>(footprint: &Footprint<Interval>, serializer: S) -> Result<S::Ok, S::Error> {
    footprint.write(&SHOWN, serializer)
}

/// Scenarios with the names of what they are made of.
#[must_use]
pub fn named_scenarios<'a>(scenarios: &[Scenario], axes: &'a Axes) -> Vec<NamedScenario<'a>> {
    let mut prices = Prices::new(axes);
    let named = |s: &Scenario| NamedScenario {
        workload: &axes.workloads[s.workload].name,
        hardware: &axes.hardware[s.hardware].0.id,
        grid: &axes.grids[s.grid].0.id,
        dtype: s.dtype,
        devices: s.devices,
        software: s.software.to_string(),
        spec: s.arch.to_string(),
        layout: s.layout.map(|layout| layout.to_string()),
        micro_batch: s.micro_batch,
        fits: s.fits,
        intensity_gco2e_per_kwh: axes.intensity_at(s.grid).0,
        intensity_basis: axes.intensity_at(s.grid).1,
        intensity_date: &axes.grids[s.grid].0.intensity.date,
        usd_per_device_hour: prices.of(s).map(|p| p.distribution.centre()),
        price_source: prices.of(s).map(|p| p.source.clone()),
        footprint: s.footprint,
    };
    scenarios.iter().map(named).collect()
}

/// The rents of each device in each grid, looked up once.
struct Prices<'a> {
    axes: &'a Axes,
    known: BTreeMap<(usize, usize), Option<Input>>,
}

impl<'a> Prices<'a> {
    fn new(axes: &'a Axes) -> Self {
        Self { axes, known: BTreeMap::new() }
    }

    fn of(&mut self, s: &Scenario) -> Option<&Input> {
        let place = (s.hardware, s.grid);
        self.known.entry(place).or_insert_with(|| self.axes.rent_at(place.0, place.1)).as_ref()
    }
}

/// A row a scenario.
///
/// # Errors
/// If the columns do not make a table.
pub fn sweep_frame(scenarios: &[Scenario], axes: &Axes) -> Result<DataFrame, ReportError> {
    let archs: Vec<String> = axes.archs.iter().map(ToString::to_string).collect();
    let arch = |s: &Scenario| axes.archs.iter().position(|a| *a == s.arch).map_or("", |i| archs[i].as_str());
    let layout = |s: &Scenario| s.layout.map(|layout| layout.to_string());
    let text = |name: &str, values: Vec<&str>| Series::new(name.into(), values).into_column();
    let mut prices = Prices::new(axes);
    let (usd, source): (Vec<Option<f64>>, Vec<Option<String>>) =
        scenarios.iter().map(|s| prices.of(s).map(|p| (p.distribution.centre(), p.source.clone())).unzip()).unzip();
    let basis = |s: &Scenario| axes.intensity_at(s.grid).1.map(IntensityBasis::name);
    let mut columns = vec![
        text("workload", scenarios.iter().map(|s| axes.workloads[s.workload].name.as_str()).collect()),
        text("hardware", scenarios.iter().map(|s| axes.hardware[s.hardware].0.id.as_str()).collect()),
        text("grid", scenarios.iter().map(|s| axes.grids[s.grid].0.id.as_str()).collect()),
        text("dtype", scenarios.iter().map(|s| s.dtype.name()).collect()),
        Series::new("devices".into(), scenarios.iter().map(|s| s.devices).collect::<Vec<u32>>()).into_column(),
        Series::new("software".into(), scenarios.iter().map(|s| s.software.to_string()).collect::<Vec<String>>())
            .into_column(),
        text("spec", scenarios.iter().map(arch).collect()),
        Series::new("layout".into(), scenarios.iter().map(layout).collect::<Vec<Option<String>>>()).into_column(),
        Series::new("micro_batch".into(), scenarios.iter().map(|s| s.micro_batch as u64).collect::<Vec<u64>>())
            .into_column(),
        Series::new("fits".into(), scenarios.iter().map(|s| s.fits).collect::<Vec<Option<bool>>>()).into_column(),
        Series::new(
            "intensity_gco2e_per_kwh".into(),
            scenarios.iter().map(|s| axes.intensity_at(s.grid).0).collect::<Vec<f64>>(),
        )
        .into_column(),
        Series::new("intensity_basis".into(), scenarios.iter().map(basis).collect::<Vec<Option<&str>>>()).into_column(),
        text("intensity_date", scenarios.iter().map(|s| axes.grids[s.grid].0.intensity.date.as_str()).collect()),
        Series::new("usd_per_device_hour".into(), usd).into_column(),
        Series::new("price_source".into(), source).into_column(),
    ];
    for quantity in SHOWN {
        columns.extend(with_ends(quantity.key(), scenarios, |s| s.footprint.of(quantity)));
    }
    Ok(DataFrame::new_infer_height(columns)?)
}
