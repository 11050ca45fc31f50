//! What stands beside the table of estimates: memory, emissions of making, water, starts, uncertainty, arithmetic.

use std::fmt::Write as _;

use crate::estimate::{Estimate, Quantity};
use crate::report::names::name_of;
use crate::report::numbers::{interval, significant};
use crate::report::table::TextTable;

/// What the main table has no room for.
#[must_use]
pub fn side_table(estimates: &[Estimate]) -> TextTable {
    let mut table =
        TextTable::new(&["architecture", "MFU %", "micro-batch", "memory GB", "fits", "embodied kgCO2e", "water L"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for e in estimates {
        let micro: Vec<String> = e.micro_batch.iter().map(ToString::to_string).collect();
        table.row(vec![
            name_of(e, estimates),
            or_dash(e.mfu.map(|m| format!("{:.1}", 100.0 * m.mid))),
            if micro.is_empty() { "-".to_owned() } else { micro.join(", ") },
            or_dash(e.memory_per_device_bytes.map(|b| significant(b as f64 / 1e9))),
            or_dash(e.fits.map(|f| if f { "yes" } else { "no" }.to_owned())),
            or_dash(e.footprint.of(Quantity::Embodied).map(interval)),
            or_dash(e.footprint.of(Quantity::Water).map(interval)),
        ]);
    }
    table
}

/// The best start of each architecture, where hours are known; nothing otherwise.
#[must_use]
pub fn schedule_text(estimates: &[Estimate]) -> String {
    let mut text = String::new();
    for e in estimates {
        let Some(when) = &e.schedule else { continue };
        let _ = writeln!(
            text,
            "{}: start {} h after {}: {} gCO2e/kWh over the run, {} % less than at once ({}), of {} starts",
            e.label(),
            when.start_after_h,
            when.first_hour,
            significant(when.intensity_gco2e_per_kwh),
            significant(100.0 * when.saves),
            significant(when.intensity_at_once_gco2e_per_kwh),
            when.starts,
        );
    }
    if let Some(when) = estimates.iter().find_map(|e| e.schedule.as_ref()) {
        let _ = writeln!(text, "{}\n", when.limits);
    }
    text
}

/// What to find out first.
#[must_use]
pub fn variance_table(estimate: &Estimate) -> TextTable {
    let words = Quantity::COMPARED.map(Quantity::word);
    let mut table = TextTable::new(&[&["% of the variance is of"], words.as_slice()].concat());
    let percent = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{:.0}", 100.0 * x));
    for v in &estimate.variance {
        let shares = Quantity::COMPARED.into_iter().map(|q| percent(v.shares.of(q)));
        table.row(std::iter::once(v.input.clone()).chain(shares).collect());
    }
    table
}

/// The arithmetic of each number.
#[must_use]
pub fn explanation_table(estimate: &Estimate) -> TextTable {
    let mut table = TextTable::new(&["number", "value", "arithmetic"]);
    for line in &estimate.explanation {
        table.row(vec![line.name.clone(), significant(line.value), line.arithmetic.clone()]);
    }
    table
}
