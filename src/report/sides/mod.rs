//! Several records side by side: machines, number formats, dates. What cannot be compared is not, and what can be compared
//! only with care is marked.

mod charts;
mod document;
mod marks;
mod rows;

use std::path::{Path, PathBuf};

use super::charts::Chart;
use super::files::{document as files_of, to_csv, write};
use crate::catalog::Catalog;
use crate::estimate::{ConditionsSpec, Estimate};
use crate::record::Record;
use crate::report::charts::Palette;
use crate::report::error::ReportError;
use crate::report::figures::run_of;
use crate::report::table::TextTable;

pub(super) use marks::Caveat;
pub(super) use rows::Row;

/// A record and what is said of it.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is called.
    pub name: String,
    /// What was measured.
    pub record: Record,
    /// The whole run on its machine, or why it is not estimated.
    pub estimates: Result<Vec<Estimate>, String>,
}

impl Side {
    /// A record called `name`, and the whole run under these conditions.
    #[must_use]
    pub fn of(name: String, record: Record, spec: &ConditionsSpec, catalog: &Catalog, seed: u64) -> Self {
        Self { name, estimates: run_of(&record, spec, catalog, seed), record }
    }
}

/// Records side by side.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The records; the others are compared with the first.
    pub(super) records: Vec<Side>,
    /// What a reader must know before comparing.
    pub(super) marks: Vec<Caveat>,
    /// Cell by cell.
    pub(super) rows: Vec<Row>,
    /// The pictures.
    pub(super) charts: Vec<Chart>,
}

/// Lays records side by side.
///
/// # Errors
/// If they are of different models: nothing could be compared.
pub fn side_by_side(mut sides: Vec<Side>) -> Result<Sides, ReportError> {
    for i in 1..sides.len() {
        let (first, other) = (&sides[0].record.settings, &sides[i].record.settings);
        if first.workload.model != other.workload.model {
            return Err(ReportError::Workloads {
                first: format!("{} of `{}`", first.workload.name, sides[0].name),
                other: format!("{} of `{}`", other.workload.name, sides[i].name),
            });
        }
    }
    // Two records of one name would be one in every table.
    for i in 1..sides.len() {
        let same = sides[..i].iter().filter(|s| s.name == sides[i].name).count();
        if same > 0 {
            sides[i].name = format!("{} ({})", sides[i].name, same + 1);
        }
    }
    let marks = marks::marks(&sides);
    let rows = rows::rows(&sides);
    let archs = sides.iter().flat_map(|s| s.record.cells.iter().map(|c| c.arch)).collect();
    let charts = charts::charts(&sides, &rows, &marks, &Palette::of(archs));
    Ok(Sides { records: sides, marks, rows, charts })
}

/// Writes page, Markdown, charts and `comparison.csv` into `folder`. Gives the paths, that of the page first.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_sides(sides: &Sides, folder: &Path, with_png: bool) -> Result<Vec<PathBuf>, ReportError> {
    let mut made = files_of(&sides.document(), with_png)?;
    made.push(("comparison.csv".to_owned(), sides.csv()?.into_bytes()));
    write(folder, made)
}

impl Sides {
    /// Cell by cell, as CSV.
    ///
    /// # Errors
    /// If the columns do not make a table.
    pub fn csv(&self) -> Result<String, ReportError> {
        to_csv(&mut rows::frame(&self.rows)?)
    }

    /// What stands between them, each with the sign that its records bear.
    #[must_use]
    pub fn caveats(&self) -> Vec<String> {
        self.marks.iter().map(|mark| format!("[{}] {}", mark.sign, mark.warning)).collect()
    }

    /// The whole run on each machine.
    #[must_use]
    pub fn whole_runs(&self) -> TextTable {
        self.runs_table()
    }

    /// The records with their estimates.
    #[must_use]
    pub fn records(&self) -> &[Side] {
        &self.records
    }

    /// What they show, in a sentence.
    #[must_use]
    pub fn answer(&self) -> String {
        document::answer(&self.records)
    }
}
