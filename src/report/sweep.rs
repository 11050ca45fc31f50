//! Scenarios as a polars frame.

use polars::prelude::{Column, DataFrame, IntoColumn, NamedFrom, Series};

use super::ReportError;
use super::numbers::{human_hours, interval};
use super::text::TextTable;
use crate::estimate::{Axes, Scenario};
use crate::stats::Interval;

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
        text("efficiency", scenarios.iter().map(|s| level_name(s.level)).collect()),
        text("spec", scenarios.iter().map(arch).collect()),
        Series::new("micro_batch".into(), scenarios.iter().map(|s| s.micro_batch as u64).collect::<Vec<u64>>())
            .into_column(),
        Series::new("fits".into(), scenarios.iter().map(|s| s.fits).collect::<Vec<Option<bool>>>()).into_column(),
    ];
    columns.extend(with_ends("wall_h", scenarios, |s| Some(s.wall_h)));
    columns.extend(with_ends("facility_energy_kwh", scenarios, |s| Some(s.facility_energy_kwh)));
    columns.extend(with_ends("operational_kgco2e", scenarios, |s| Some(s.operational_kgco2e)));
    columns.extend(with_ends("embodied_kgco2e", scenarios, |s| s.embodied_kgco2e));
    columns.extend(with_ends("cost_usd", scenarios, |s| s.cost_usd));
    Ok(DataFrame::new_infer_height(columns)?)
}

fn level_name(level: crate::catalog::Level) -> &'static str {
    match level {
        crate::catalog::Level::Typical => "typical",
        crate::catalog::Level::Tuned => "tuned",
    }
}

/// Three columns: the middle under the name itself, and both ends.
fn with_ends(name: &str, scenarios: &[Scenario], of: impl Fn(&Scenario) -> Option<Interval>) -> [Column; 3] {
    let column = |name: String, end: fn(Interval) -> f64| {
        let values: Vec<Option<f64>> = scenarios.iter().map(|s| of(s).map(end)).collect();
        Series::new(name.into(), values).into_column()
    };
    [
        column(name.to_owned(), |i| i.mid),
        column(format!("{name}_low"), |i| i.low),
        column(format!("{name}_high"), |i| i.high),
    ]
}

/// The first `rows` scenarios for people.
#[must_use]
pub fn sweep_table(scenarios: &[Scenario], axes: &Axes, rows: usize) -> TextTable {
    let mut table = TextTable::new(&[
        "hardware",
        "devices",
        "dtype",
        "software",
        "architecture",
        "grid",
        "fits",
        "wall time",
        "energy kWh",
        "CO2e kg",
        "cost USD",
    ]);
    let fits = |f: Option<bool>| f.map_or("-", |f| if f { "yes" } else { "no" });
    for s in scenarios.iter().take(rows) {
        table.row(vec![
            axes.hardware[s.hardware].0.id.clone(),
            s.devices.to_string(),
            s.dtype.to_string(),
            level_name(s.level).to_owned(),
            s.arch.label(),
            axes.grids[s.grid].0.id.clone(),
            fits(s.fits).to_owned(),
            human_hours(s.wall_h),
            interval(s.facility_energy_kwh),
            interval(s.operational_kgco2e),
            s.cost_usd.map_or_else(|| "-".to_owned(), interval),
        ]);
    }
    table
}
