//! Scenarios for people.

use crate::estimate::{Axes, Quantity, Scenario};
use crate::report::numbers::{interval, significant};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// Columns of numbers: they stay where all scenarios have the same.
const NUMBERS: [&str; 5] = ["hardware", "time h", "kWh", "kgCO2e", "USD"];

/// The first `rows` rows of scenarios, below what they have in common, with as much as a terminal of `width` columns has room for:
/// intervals go first, then energy, then what tells scenarios apart shares one column. Scenarios that follow each other and
/// differ in their number format alone share a row. Also says how many scenarios the rows hold.
#[must_use]
pub fn sweep_table(scenarios: &[Scenario], axes: &Axes, rows: usize, width: usize) -> (Vec<String>, TextTable, usize) {
    let same = |a: &Scenario, b: &Scenario| Scenario { dtype: b.dtype, ..a.clone() } == *b;
    let shown: Vec<&[Scenario]> = scenarios.chunk_by(same).take(rows).collect();
    let held = shown.iter().map(|row| row.len()).sum();
    let candidates =
        [(true, true), (false, true), (false, false)].map(|(all, energy)| table(&shown, axes, all, energy));
    let fitting = candidates.into_iter().find(|(_, table)| table.least_width() <= width);
    let (common, table) = fitting.unwrap_or_else(|| narrow_table(&shown, axes));
    (common, table, held)
}

fn table(rows: &[&[Scenario]], axes: &Axes, intervals: bool, energy: bool) -> (Vec<String>, TextTable) {
    // Of one model the sentence above says which.
    let several = axes.workloads.len() > 1;
    let mut header = if several { vec!["model"] } else { Vec::new() };
    header.extend(["hardware", "devices", "dtype", "software", "architecture", "grid"]);
    let laid_out = axes.layouts.iter().any(Option::is_some);
    header.extend(laid_out.then_some("layout"));
    header.extend(["fits", "time h"]);
    header.extend(energy.then_some("kWh"));
    header.extend(["kgCO2e", "USD"]);
    let mut table = TextTable::new(&header);
    let number = |value: Interval| if intervals { interval(value) } else { significant(value.mid) };
    for alike in rows {
        let s = &alike[0];
        let dtypes: Vec<&str> = alike.iter().map(|s| s.dtype.name()).collect();
        let mut row: Vec<String> = several.then(|| axes.workloads[s.workload].name.clone()).into_iter().collect();
        row.extend([
            axes.hardware[s.hardware].0.id.clone(),
            s.devices.to_string(),
            dtypes.join(", "),
            s.software.to_string(),
            s.arch.label(),
            axes.grids[s.grid].0.id.clone(),
        ]);
        row.extend(laid_out.then(|| s.layout.map_or_else(|| "-".to_owned(), |layout| layout.to_string())));
        row.extend([fits(s).to_owned(), number(s.wall_h())]);
        row.extend(energy.then(|| number(s.facility_energy_kwh())));
        row.push(number(s.operational_kgco2e()));
        row.push(s.footprint.of(Quantity::Cost).map_or_else(|| "-".to_owned(), number));
        table.row(row);
    }
    let common = table.take_constant(&NUMBERS);
    (common, table)
}

/// A column says which scenario it is: what all have in common is left out of it.
fn narrow_table(rows: &[&[Scenario]], axes: &Axes) -> (Vec<String>, TextTable) {
    let (common, whole) = table(rows, axes, false, false);
    let (header, rows) = whole.parts();
    let named = header.iter().take_while(|name| *name != "time h").count();
    let mut narrow = TextTable::new(&["scenario", "time h", "kgCO2e", "USD"]);
    for row in rows {
        let words = row.iter().zip(header).take(named).map(|(cell, name)| match name.as_str() {
            "devices" if cell == "1" => "1 device".to_owned(),
            "devices" => format!("{cell} devices"),
            "software" => format!("{cell} software"),
            "fits" if cell == "no" => "does not fit".to_owned(),
            "fits" => String::new(),
            _ => cell.clone(),
        });
        let words: Vec<String> = words.filter(|w| !w.is_empty()).collect();
        narrow.row(std::iter::once(words.join(", ")).chain(row[named..].iter().cloned()).collect());
    }
    (common, narrow)
}

fn fits(s: &Scenario) -> &'static str {
    s.fits.map_or("-", |fits| if fits { "yes" } else { "no" })
}
