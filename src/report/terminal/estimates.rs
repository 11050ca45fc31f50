//! What stands beside the table of estimates: memory, emissions of making, water, starts, uncertainty, arithmetic.

use std::fmt::Write as _;

use crate::estimate::{Estimate, Quantity};
use crate::report::names::name_of;
use crate::report::numbers::{interval, significant};
use crate::report::table::{TextTable, wrapped};

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

/// The layout of the first estimate, the next best, and why the fastest others cannot be; nothing without a layout.
#[must_use]
pub fn layout_text(estimates: &[Estimate], width: usize) -> String {
    let Some(layout) = estimates.first().and_then(|e| e.layout.as_ref()) else { return String::new() };
    let gb = |bytes: u64| significant(bytes as f64 / 1e9);
    let mut text = wrapped(&format!("layout: {}", layout.layout), width, "        ");
    let bytes: Vec<String> = layout
        .memory_bytes
        .iter()
        .filter(|(_, bytes)| **bytes >= 50_000_000)
        .map(|(name, bytes)| format!("{name} {}", gb(*bytes)))
        .collect();
    let stage = format!("memory of a device of stage {}, GB: {}", layout.fullest_stage, bytes.join(", "));
    text.push_str(&wrapped(&stage, width, "        "));
    let whole = layout.parts_s.get("passes").copied().unwrap_or(0.0);
    let parts: Vec<String> = layout
        .parts_s
        .iter()
        .filter(|(name, s)| **name != "passes" && **name != "update" && **s > 0.0)
        .map(|(name, s)| format!("{name} {:.0} %", 100.0 * s / whole))
        .collect();
    let micro = layout.micro_batches;
    text.push_str(&wrapped(&format!("{micro} micro-batches; of their time: {}", parts.join(", ")), width, "        "));
    for other in &layout.others {
        let step = format!("{}, {} s a step", other.layout, significant(other.step_s));
        let said = other.why_not.as_ref().map_or_else(
            || format!("next:   {step}, {} GB", gb(other.memory_bytes)),
            |why| format!("not:    {step}: {why}"),
        );
        text.push_str(&wrapped(&said, width, "        "));
    }
    text + "\n"
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
