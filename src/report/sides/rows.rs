//! Cell by cell: each record against the first.

use polars::prelude::{DataFrame, IntoColumn, NamedFrom, Series};

use super::marks::{energies_compare, is_contaminated};
use super::{ReportError, Side};
use crate::model::Arch;
use crate::record::{Cell, CellSummary, Status};
use crate::report::files::{count, text, with_ends};
use crate::stats::Interval;

/// A cell of a record.
#[derive(Debug, Clone)]
pub(in crate::report) struct Row {
    /// Which record, by its place.
    pub(super) side: usize,
    /// The name of the record.
    pub(super) name: String,
    /// The architecture.
    pub(super) arch: Arch,
    /// Its figures.
    pub(super) cell: CellSummary,
    /// Whether other processes used the GPU.
    pub(super) contaminated: bool,
    /// Time of a token over that of the first record.
    pub(super) time: Option<Interval>,
    /// Energy of a token over that of the first record.
    pub(super) energy: Option<Interval>,
    /// Why there is no ratio, or what must be known of it.
    pub(super) note: String,
}

/// Every cell, those of one point after each other, in the order of the records.
pub(super) fn rows(sides: &[Side]) -> Vec<Row> {
    let summary = |side: &Side, cell: &Cell| cell.summary(&side.record.environment);
    let mut rows: Vec<Row> = Vec::new();
    for (i, side) in sides.iter().enumerate() {
        for cell in &side.record.cells {
            let own = summary(side, cell);
            let reference = sides.first().filter(|_| i > 0).and_then(|first| Some((first, reference(first, cell)?)));
            let (time, energy, note) = match &reference {
                _ if is_contaminated(cell) => (None, None, "not compared: other processes used the GPU".to_owned()),
                _ if cell.status != Status::Ok => (None, None, "not measured".to_owned()),
                None if i == 0 => (None, None, String::new()),
                None => (None, None, "the first record has no such cell to compare with".to_owned()),
                Some((first, other)) => compared(first, other, side, cell, &own),
            };
            rows.push(Row {
                side: i,
                name: side.name.clone(),
                arch: cell.arch,
                cell: own,
                contaminated: is_contaminated(cell),
                time,
                energy,
                note,
            });
        }
    }
    rows.sort_by_key(|r| (r.cell.pass, r.cell.seq_len, r.arch, r.side, r.cell.dtype, r.cell.batch_size));
    rows
}

/// The cell of the first record that `cell` is compared with: the same architecture, length, depth and pass; of several the
/// one of the same format and the nearest batch.
fn reference<'a>(first: &'a Side, cell: &Cell) -> Option<&'a Cell> {
    let alike = |c: &&Cell| {
        (c.arch, c.shape.seq_len, c.n_layers, c.pass) == (cell.arch, cell.shape.seq_len, cell.n_layers, cell.pass)
            && c.status == Status::Ok
    };
    first
        .record
        .cells
        .iter()
        .filter(alike)
        .min_by_key(|c| (c.dtype != cell.dtype, c.shape.batch_size.abs_diff(cell.shape.batch_size)))
}

fn compared(
    first: &Side,
    reference: &Cell,
    side: &Side,
    cell: &Cell,
    own: &CellSummary,
) -> (Option<Interval>, Option<Interval>, String) {
    if is_contaminated(reference) {
        return (None, None, format!("not compared: other processes used the GPU of {}", first.name));
    }
    let other = reference.summary(&first.record.environment);
    let tokens = |c: &CellSummary| (c.batch_size * c.seq_len) as f64;
    let per_token = |value: Option<Interval>, c: &CellSummary| value.map(|v| v.scaled(1.0 / tokens(c)));
    let ratio_of =
        |of: fn(&CellSummary) -> Option<Interval>| ratio(per_token(of(own), own)?, per_token(of(&other), &other)?);
    let mut notes = Vec::new();
    if own.dtype != other.dtype {
        notes.push(format!("{} against {}", own.dtype, other.dtype));
    }
    if own.batch_size != other.batch_size {
        notes.push(format!("batch {} against {}", cell.shape.batch_size, reference.shape.batch_size));
    }
    let alike = energies_compare(&first.record, &side.record);
    (ratio_of(|c| c.step_s), ratio_of(|c| c.energy_j_per_step).filter(|_| alike), notes.join(", "))
}

/// The ratio of two independent positive quantities: variances of logarithms add up (JCGM 100, §5.1.6).
fn ratio(a: Interval, b: Interval) -> Option<Interval> {
    let factor = (1.96 * a.ln_sd().hypot(b.ln_sd())).exp();
    let mid = a.mid / b.mid;
    Some(Interval { mid, low: mid / factor, high: mid * factor }).filter(|r| r.is_valid())
}

/// A row a cell, for other programs.
///
/// # Errors
/// If the columns do not make a table.
pub(super) fn frame(rows: &[Row]) -> Result<DataFrame, ReportError> {
    let mut columns = vec![
        text("record", rows, |r| Some(r.name.clone())),
        text("spec", rows, |r| Some(r.cell.arch.to_string())),
        count("seq_len", rows, |r| Some(r.cell.seq_len as u64)),
        count("batch_size", rows, |r| Some(r.cell.batch_size as u64)),
        text("dtype", rows, |r| Some(r.cell.dtype.name().to_owned())),
        text("pass", rows, |r| Some(r.cell.pass.to_string())),
        text("energy_source", rows, |r| Some(r.cell.energy_source?.name().to_owned())),
    ];
    columns.extend(with_ends("tokens_per_s", rows, |r| r.cell.tokens_per_s.filter(|_| !r.contaminated)));
    columns.extend(with_ends("energy_j_per_step", rows, |r| r.cell.energy_j_per_step.filter(|_| !r.contaminated)));
    columns.extend(with_ends("time_per_token_vs_first", rows, |r| r.time));
    columns.extend(with_ends("energy_per_token_vs_first", rows, |r| r.energy));
    let contaminated: Vec<bool> = rows.iter().map(|r| r.contaminated).collect();
    columns.push(Series::new("contaminated".into(), contaminated).into_column());
    columns.push(text("note", rows, |r| Some(r.note.clone())));
    Ok(DataFrame::new_infer_height(columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_fast_by_a_tenth_and_a_tenth_is_known_to_a_seventh() {
        let within = |mid: f64, factor: f64| Interval { mid, low: mid / factor, high: mid * factor };
        let found = ratio(within(3.0, 1.1), within(6.0, 1.1)).expect("valid");
        // exp(ln 1.1 times the root of 2) is 1.1443.
        assert!((found.mid - 0.5).abs() < 1e-12 && (found.high - 0.572_16).abs() < 1e-4, "{found:?}");
    }
}
