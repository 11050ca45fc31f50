//! Scenarios for people.

use crate::estimate::{Axes, Quantity, Scenario};
use crate::report::numbers::significant;
use crate::report::table::TextTable;
use crate::stats::Interval;

/// The first `rows` scenarios for people, below what they have in common. Their intervals are as wide upwards as downwards
/// by a factor: the largest of those of time, energy and emissions stands behind them, that of the cost behind it.
#[must_use]
pub fn sweep_table(scenarios: &[Scenario], axes: &Axes, rows: usize) -> (Vec<String>, TextTable) {
    let mut table = TextTable::new(&[
        "hardware",
        "devices",
        "dtype",
        "software",
        "architecture",
        "grid",
        "fits",
        "time h",
        "kWh",
        "kgCO2e",
        "×/÷",
        "USD",
        "×/÷",
    ]);
    let fits = |f: Option<bool>| f.map_or("-", |f| if f { "yes" } else { "no" });
    let factor = |i: Interval| i.high / i.mid;
    for s in scenarios.iter().take(rows) {
        let widest =
            [s.wall_h(), s.facility_energy_kwh(), s.operational_kgco2e()].map(factor).into_iter().fold(1.0, f64::max);
        let (usd, of_usd) = s.footprint.of(Quantity::Cost).map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |usd| (significant(usd.mid), format!("{:.2}", factor(usd))),
        );
        table.row(vec![
            axes.hardware[s.hardware].0.id.clone(),
            s.devices.to_string(),
            s.dtype.to_string(),
            s.software.to_string(),
            s.arch.label(),
            axes.grids[s.grid].0.id.clone(),
            fits(s.fits).to_owned(),
            significant(s.wall_h().mid),
            significant(s.facility_energy_kwh().mid),
            significant(s.operational_kgco2e().mid),
            format!("{widest:.2}"),
            usd,
            of_usd,
        ]);
    }
    let common = table.take_constant(&["hardware", "time h", "kWh", "kgCO2e", "×/÷", "USD"]);
    (common, table)
}
