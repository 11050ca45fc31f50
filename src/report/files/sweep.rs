//! Scenarios as a polars frame.

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};
use serde::{Serialize, Serializer};

use super::with_ends;
use crate::estimate::{Axes, Footprint, Quantity, Scenario};
use crate::report::error::ReportError;
use crate::stats::Interval;
use crate::units::DType;

/// A scenario by names, for JSON.
#[derive(Debug, Clone, Serialize)]
pub struct NamedScenario<'a> {
    hardware: &'a str,
    grid: &'a str,
    dtype: DType,
    devices: u32,
    software: String,
    spec: String,
    micro_batch: usize,
    fits: Option<bool>,
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
    let named = |s: &Scenario| NamedScenario {
        hardware: &axes.hardware[s.hardware].0.id,
        grid: &axes.grids[s.grid].0.id,
        dtype: s.dtype,
        devices: s.devices,
        software: s.software.to_string(),
        spec: s.arch.to_string(),
        micro_batch: s.micro_batch,
        fits: s.fits,
        footprint: s.footprint,
    };
    scenarios.iter().map(named).collect()
}

/// A row a scenario.
///
/// # Errors
/// If the columns do not make a table.
pub fn sweep_frame(scenarios: &[Scenario], axes: &Axes) -> Result<DataFrame, ReportError> {
    let archs: Vec<String> = axes.archs.iter().map(ToString::to_string).collect();
    let arch = |s: &Scenario| axes.archs.iter().position(|a| *a == s.arch).map_or("", |i| archs[i].as_str());
    let text = |name: &str, values: Vec<&str>| Series::new(name.into(), values).into_column();
    let mut columns = vec![
        text("hardware", scenarios.iter().map(|s| axes.hardware[s.hardware].0.id.as_str()).collect()),
        text("grid", scenarios.iter().map(|s| axes.grids[s.grid].0.id.as_str()).collect()),
        text("dtype", scenarios.iter().map(|s| s.dtype.name()).collect()),
        Series::new("devices".into(), scenarios.iter().map(|s| s.devices).collect::<Vec<u32>>()).into_column(),
        Series::new("software".into(), scenarios.iter().map(|s| s.software.to_string()).collect::<Vec<String>>())
            .into_column(),
        text("spec", scenarios.iter().map(arch).collect()),
        Series::new("micro_batch".into(), scenarios.iter().map(|s| s.micro_batch as u64).collect::<Vec<u64>>())
            .into_column(),
        Series::new("fits".into(), scenarios.iter().map(|s| s.fits).collect::<Vec<Option<bool>>>()).into_column(),
    ];
    for quantity in SHOWN {
        columns.extend(with_ends(quantity.key(), scenarios, |s| s.footprint.of(quantity)));
    }
    Ok(DataFrame::new_infer_height(columns)?)
}
