//! The files of a report.

mod bills;
mod campaign;
mod cards;
mod codecarbon;
mod emissions;
mod frames;
mod sweep;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::charts::{fallback_style, png, svg};
use super::document::Document;
use super::page::{html_of, markdown_of};
use crate::estimate::Estimate;
use crate::files::JSON_SCHEMA;
use crate::record::write_whole;
use crate::report::error::ReportError;
use crate::report::figures::Report;

pub use codecarbon::{CODECARBON_HEADER, CodecarbonRow};
pub use frames::{cells_frame, comparison_frame, estimates_frame, to_csv, to_parquet};
pub(super) use frames::{count, number, text, with_ends};
pub use sweep::{NamedScenario, named_scenarios, sweep_frame};

/// Files that were made and not yet written: a name below the folder, and the bytes.
pub(super) type Made = Vec<(String, Vec<u8>)>;

/// Writes the report into `folder`; each file appears whole or not at all. `with_png` adds every chart as PNG. Gives the
/// paths, that of the page first.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_report(report: &Report, folder: &Path, with_png: bool) -> Result<Vec<PathBuf>, ReportError> {
    // Everything is made before anything is written.
    let mut cells = cells_frame(&report.cells)?;
    let mut estimates = estimates_frame(&report.estimates)?;
    let mut made = document(&report.document(), with_png)?;
    made.extend([
        ("summary.csv".to_owned(), to_csv(&mut estimates)?.into_bytes()),
        ("summary.parquet".to_owned(), to_parquet(&mut estimates)?),
        ("measurements.csv".to_owned(), to_csv(&mut cells)?.into_bytes()),
        ("estimates.json".to_owned(), json(&Estimates { schema: JSON_SCHEMA, estimates: &report.estimates })?),
        ("emissions.csv".to_owned(), emissions::emissions_csv(report).into_bytes()),
        ("statement.txt".to_owned(), (report.statements.join("\n\n") + "\n").into_bytes()),
    ]);
    made.extend(cards::model_card(report).map(|card| ("model_card.yaml".to_owned(), card.into_bytes())));
    if let Some(form) = cards::boamps(report) {
        made.push(("boamps.json".to_owned(), json(&form)?));
    }
    for (name, bill) in [("bom.cdx.json", bills::cyclonedx(report)), ("spdx.json", bills::spdx(report))] {
        if let Some(bill) = bill {
            made.push((name.to_owned(), json(&bill)?));
        }
    }
    write(folder, made)
}

/// What `estimate --format json` prints.
#[derive(Serialize)]
pub(super) struct Estimates<'a> {
    pub(super) schema: u32,
    pub(super) estimates: &'a [Estimate],
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Page, Markdown and charts of a document, the page first.
pub(super) fn document(document: &Document<'_>, with_png: bool) -> Result<Made, ReportError> {
    let mut made = vec![
        ("report.html".to_owned(), html_of(document)?.into_bytes()),
        ("report.md".to_owned(), markdown_of(document).into_bytes()),
    ];
    for chart in document.charts {
        made.push((format!("charts/{}.svg", chart.name), fallback_style(&svg(chart)?).into_bytes()));
        if with_png {
            made.push((format!("charts/{}.png", chart.name), png(chart)?));
        }
    }
    Ok(made)
}

/// Writes what was made into `folder`; gives the paths.
pub(super) fn write(folder: &Path, made: Made) -> Result<Vec<PathBuf>, ReportError> {
    let mut paths = Vec::new();
    for (name, bytes) in made {
        let path = folder.join(name);
        write_whole(&path, &bytes).map_err(|source| ReportError::Write { path: path.clone(), source })?;
        paths.push(path);
    }
    Ok(paths)
}
