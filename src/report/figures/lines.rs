//! What depends on the length of a sequence, as lines: time of a token, memory, latency.

use crate::estimate::{Comparison, Crossover, PerToken};
use crate::model::Arch;
use crate::record::{CellSummary, Pass, Status};
use crate::report::charts::{Axis, Chart, Ink, Key, Look, Mark, Marker, Palette, Scale, Swatch};
use crate::report::numbers::interval;
use crate::report::table::TextTable;
use crate::stats::Interval;

/// With more crossings than this, their names would hide the lines.
const LABELLED: usize = 3;

/// A quantity of a cell that is drawn by length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum CellQuantity {
    /// Microseconds of a token in training.
    TimePerToken,
    /// Peak memory.
    Memory,
    /// Milliseconds of a forward pass.
    Latency,
}

impl CellQuantity {
    /// What is drawn of cells of this kind.
    pub(in crate::report) fn of(pass: Pass) -> &'static [Self] {
        match pass {
            Pass::Train => &[Self::TimePerToken, Self::Memory],
            Pass::Infer => &[Self::Latency],
        }
    }

    /// Its value.
    pub(in crate::report) fn value(self, cell: &CellSummary) -> Option<Interval> {
        match self {
            Self::TimePerToken => cell.step_s.map(|s| s.scaled(1e6 / (cell.batch_size * cell.seq_len) as f64)),
            Self::Memory => cell.peak_memory_bytes.map(|bytes| Interval::point(bytes as f64 / 1e9)),
            Self::Latency => cell.step_s.map(|s| s.scaled(1e3)),
        }
    }

    /// In what the lines cross where two architectures change places.
    fn crosses_in(self, pass: Pass) -> Option<PerToken> {
        match (self, pass) {
            (Self::TimePerToken, Pass::Train) => Some(PerToken::Time),
            (Self::Memory, Pass::Train) => Some(PerToken::Memory),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TimePerToken => "time_per_token",
            Self::Memory => "memory_by_length",
            Self::Latency => "latency",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::TimePerToken => "Time of a token in training, by sequence length",
            Self::Memory => "Peak memory of a train step, by sequence length",
            Self::Latency => "Latency of a forward pass by sequence length",
        }
    }

    pub(in crate::report) fn unit(self) -> &'static str {
        match self {
            Self::TimePerToken => "microseconds a token",
            Self::Memory => "GB",
            Self::Latency => "milliseconds a pass",
        }
    }
}

/// The chart of `quantity` for cells of one pass and one number format.
pub(in crate::report) fn lines(
    quantity: CellQuantity,
    cells: &[CellSummary],
    comparison: &Comparison,
    palette: &Palette,
    suffix: &str,
) -> Option<Chart> {
    // One length is no curve: its numbers stand in the table of steps, and its memory in bars.
    if cells.iter().all(|c| c.seq_len == cells[0].seq_len) {
        return None;
    }
    let known: Vec<(&CellSummary, Interval)> =
        cells.iter().filter_map(|c| Some((c, quantity.value(c).filter(|v| v.is_valid() && v.mid > 0.0)?))).collect();
    let first = known.first()?.0;
    let mut archs: Vec<Arch> = known.iter().map(|(c, _)| c.arch).collect();
    archs.sort_unstable();
    archs.dedup();
    let mut marks = Vec::new();
    for &one in &archs {
        let look = palette.look(one);
        let own: Vec<_> = known.iter().filter(|(c, _)| c.arch == one).collect();
        // The line goes through the largest batch of each length.
        let largest = own.chunk_by(|a, b| a.0.seq_len == b.0.seq_len).filter_map(|group| group.last());
        let points = largest.map(|(c, v)| (c.seq_len as f64, v.mid)).collect();
        marks.push(Mark::Line { points, ink: look.ink, dash: look.dash });
        marks.extend(own.iter().map(|(c, v)| Mark::Point {
            at: (c.seq_len as f64, v.mid),
            x: None,
            y: Some(*v),
            look,
            label: None,
            tip: format!(
                "{}, {} x {} tokens: {} {}",
                one.label(),
                c.batch_size,
                c.seq_len,
                interval(*v),
                quantity.unit()
            ),
        }));
    }
    let drawn = |c: &&Crossover| c.dtype == first.dtype && Some(c.of) == quantity.crosses_in(first.pass);
    let crossings: Vec<(&Crossover, f64)> =
        comparison.crossovers.iter().filter(drawn).filter_map(|c| Some((c, c.seq_len()?))).collect();
    marks.extend(crossings.iter().filter_map(|(c, at)| crossing(c, *at, &known)));
    if crossings.len() <= LABELLED {
        let name = |c: &Crossover| format!("{} | {}", c.below.label(), c.above.label());
        marks.extend(crossings.iter().map(|(c, at)| Mark::Rule { at: *at, label: name(c) }));
    }
    let ends = known.iter().flat_map(|(_, v)| [v.low, v.high]).filter(|x| *x > 0.0);
    let (low, high) = ends.clone().fold((f64::INFINITY, 0.0f64), |(a, b), x| (a.min(x), b.max(x)));
    let scale = if high > 4.0 * low { Scale::log_over(ends) } else { Scale::linear_over(ends.map(|x| x * 1.05)) };
    let mut about = batches(cells);
    if !crossings.is_empty() {
        let said: Vec<String> = crossings.iter().map(|(c, _)| c.sentence()).collect();
        about.push_str(&format!(" Diamonds are where two change places: {}.", said.join("; ")));
    }
    let mut table = TextTable::new(&["tokens", "sequences", "architecture", quantity.unit()]);
    for cell in cells {
        let value = match (cell.status, quantity.value(cell)) {
            (Status::Ok, Some(value)) => interval(value),
            (status, _) => no_number(status).to_owned(),
        };
        table.row(vec![cell.seq_len.to_string(), cell.batch_size.to_string(), cell.arch.label(), value]);
    }
    Some(Chart {
        name: format!("{}{suffix}", quantity.name()),
        narrow: false,
        title: format!("{}, {}", quantity.title(), first.dtype),
        about,
        x: Axis::new("tokens of a sequence", Scale::LogAt(known.iter().map(|(c, _)| c.seq_len as f64).collect())),
        y: Axis::new(quantity.unit(), scale),
        marks,
        legend: archs.iter().map(|a| Key { label: a.label(), swatch: Swatch::Line(palette.look(*a)) }).collect(),
        table,
    })
}

/// Where two architectures change places, on the line of the one that is faster below: log-linear in time and length, as
/// the crossover itself.
fn crossing(c: &Crossover, seq_len: f64, known: &[(&CellSummary, Interval)]) -> Option<Mark> {
    let own = || known.iter().filter(|(cell, _)| cell.arch == c.below).map(|(cell, v)| (cell.seq_len as f64, v.mid));
    let before = own().filter(|p| p.0 <= seq_len).max_by(|a, b| a.0.total_cmp(&b.0))?;
    let after = own().filter(|p| p.0 >= seq_len).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let way = if after.0 > before.0 { (seq_len / before.0).ln() / (after.0 / before.0).ln() } else { 0.0 };
    let y = before.1 * (after.1 / before.1).powf(way);
    Some(Mark::Point {
        at: (seq_len, y),
        x: None,
        y: None,
        look: Look { ink: Ink::Text, marker: Marker::Diamond, hollow: true, dash: &[] },
        label: None,
        tip: c.sentence(),
    })
}

/// Why a cell has no number.
pub(super) fn no_number(status: Status) -> &'static str {
    match status {
        Status::Ok => "not known",
        Status::OutOfMemory => "out of memory",
        Status::Failed => "failed",
    }
}

/// Which batch belongs to which length, and what did not fit.
fn batches(cells: &[CellSummary]) -> String {
    let mut shapes: Vec<(usize, usize)> = cells.iter().map(|c| (c.seq_len, c.batch_size)).collect();
    shapes.sort_unstable();
    shapes.dedup();
    let said: Vec<String> = shapes.iter().map(|(len, batch)| format!("{batch} x {len}")).collect();
    let mut text = format!(
        "Sequences x tokens of a step: {}. Bars are 95 % intervals of the mean, by batch means.",
        said.join(", ")
    );
    let lost: Vec<String> = cells
        .iter()
        .filter(|c| c.status != Status::Ok)
        .map(|c| format!("{} at {} x {} {}", c.arch.label(), c.batch_size, c.seq_len, no_number(c.status)))
        .collect();
    if !lost.is_empty() {
        text.push_str(&format!(" Without a number: {}.", lost.join("; ")));
    }
    text
}
