//! Tables for a terminal: aligned, at most 100 columns where the content allows.

use std::fmt::Write;

use super::numbers::{human_hours, interval, percent_saved, significant};
use crate::estimate::{Comparison, Estimate, ThesisClaim, Value};
use crate::record::{CellSummary, Status};

/// A table of text; numbers stand to the right.
#[derive(Debug, Clone, Default)]
pub struct TextTable {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these columns.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The header and rows, for other formats.
    #[must_use]
    pub fn parts(&self) -> (&[String], &[Vec<String>]) {
        (&self.header, &self.rows)
    }

    /// The table as aligned text, a line a row.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.header.len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column)).chain(self.header.get(column));
            cells.map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let left: Vec<bool> = (0..columns).map(|c| self.rows.iter().any(|r| !is_number(r.get(c)))).collect();
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let (width, gap) = (widths[column], if column == 0 { "" } else { "  " });
                let _ = if left[column] {
                    write!(line, "{gap}{cell:<width$}")
                } else {
                    write!(line, "{gap}{cell:>width$}")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn is_number(cell: Option<&String>) -> bool {
    cell.is_none_or(|c| c == "-" || c.chars().next().is_some_and(|first| first.is_ascii_digit() || first == '-'))
}

fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// The cells of a campaign.
#[must_use]
pub fn profile_table(cells: &[CellSummary]) -> TextTable {
    let mut table = TextTable::new(&[
        "seq_len",
        "batch",
        "architecture",
        "step s",
        "forward",
        "backward",
        "optim.",
        "tokens/s",
        "J/step",
        "memory GB",
        "source",
    ]);
    for cell in cells {
        let mid = |i: Option<crate::stats::Interval>| or_dash(i, |i| significant(i.mid));
        let step = match (cell.status, cell.step_s) {
            (Status::Ok, Some(s)) => format!("{} ±{:.1} %", significant(s.mid), 100.0 * s.relative_half_width()),
            (Status::Ok, None) => "too few steps".to_owned(),
            (Status::OutOfMemory, _) => "out of memory".to_owned(),
            (Status::Failed, _) => "failed".to_owned(),
        };
        table.row(vec![
            cell.seq_len.to_string(),
            cell.batch_size.to_string(),
            label(&cell.spec),
            step,
            mid(cell.forward_s),
            mid(cell.backward_s),
            mid(cell.optimizer_s),
            mid(cell.tokens_per_s),
            mid(cell.energy_j_per_step),
            or_dash(cell.peak_memory_bytes, |b| significant(b as f64 / 1e9)),
            or_dash(cell.energy_source, |s| s.name().to_owned()),
        ]);
    }
    table
}

fn label(spec: &str) -> String {
    spec.parse::<crate::model::Arch>().map_or_else(|_| spec.to_owned(), crate::model::Arch::label)
}

/// Estimates of whole runs.
#[must_use]
pub fn estimates_table(estimates: &[Estimate]) -> TextTable {
    let mut table =
        TextTable::new(&["architecture", "wall time", "energy kWh", "CO2e kg", "cost USD", "time saved", "basis"]);
    for e in estimates {
        table.row(vec![
            e.label.clone().unwrap_or_else(|| "run".to_owned()),
            or_dash(e.wall_h, human_hours),
            or_dash(e.facility_energy_kwh, interval),
            or_dash(e.operational_kgco2e, interval),
            or_dash(e.cost_usd, interval),
            or_dash(e.vs_dense, |v| percent_saved(v.wall_h)),
            e.basis.name().to_owned(),
        ]);
    }
    table
}

/// What an estimate takes for granted.
#[must_use]
pub fn assumptions_table(estimate: &Estimate) -> TextTable {
    let mut table = TextTable::new(&["assumption", "value", "unit", "source"]);
    for a in &estimate.assumptions {
        let value = match (&a.value, a.range) {
            (Value::Text(text), _) => text.clone(),
            (Value::Number(x), None) => significant(*x),
            (Value::Number(x), Some((low, high))) => {
                format!("{} [{} to {}]", significant(*x), significant(low), significant(high))
            }
        };
        table.row(vec![a.name.clone(), value, a.unit.clone(), a.source.clone()]);
    }
    table
}

/// Architectures by sequence length, with winners and crossovers.
#[must_use]
pub fn comparison_text(comparison: &Comparison) -> String {
    let mut table = TextTable::new(&[
        "seq_len",
        "batch",
        "architecture",
        "us/token",
        "time saved",
        "energy saved",
        "FLOP saved",
        "fastest",
    ]);
    for length in &comparison.lengths {
        for (i, row) in length.rows.iter().enumerate() {
            let fastest = match (&length.winner, i) {
                (Some(winner), _) if *winner == row.spec => "fastest",
                (None, 0) => "no difference seen",
                _ => "",
            };
            table.row(vec![
                length.seq_len.to_string(),
                length.batch_size.to_string(),
                row.label.clone(),
                significant(row.us_per_token.mid),
                or_dash(row.time_vs_dense, percent_saved),
                or_dash(row.energy_vs_dense, percent_saved),
                or_dash(row.flop_vs_dense, |f| format!("{:.0} %", 100.0 * (1.0 - f))),
                fastest.to_owned(),
            ]);
        }
    }
    let mut text = table.render();
    for c in &comparison.crossovers {
        let _ = writeln!(text, "{} is faster below about {:.0} tokens, {} above", c.below, c.seq_len, c.above);
    }
    text
}

/// The claims of the thesis, one a line.
#[must_use]
pub fn claims_text(claims: &[ThesisClaim]) -> String {
    let mut text = String::new();
    for c in claims {
        let verdict = match c.agrees {
            Some(true) => "agrees",
            Some(false) => "does not agree",
            None => "open",
        };
        let _ = writeln!(text, "thesis: {}\n  here: {} ({verdict})", c.claim, c.found);
    }
    text
}
