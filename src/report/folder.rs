//! All files of a report.

use std::path::{Path, PathBuf};

use super::{Report, ReportError, cells_frame, estimates_frame, html, markdown, to_csv, to_parquet};
use crate::record::write_whole;

/// Writes the report into `folder`; each file appears whole or not at all. Gives the path of the page.
///
/// # Errors
/// If a file cannot be written.
pub fn write_report(report: &Report, folder: &Path) -> Result<PathBuf, ReportError> {
    // Everything is made before anything is written.
    let mut cells = cells_frame(&report.cells)?;
    let mut estimates = estimates_frame(&report.estimates)?;
    let page = folder.join("report.html");
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![
        (folder.join("summary.csv"), to_csv(&mut estimates)?.into_bytes()),
        (folder.join("summary.parquet"), to_parquet(&mut estimates)?),
        (folder.join("measurements.csv"), to_csv(&mut cells)?.into_bytes()),
        (folder.join("report.md"), markdown(report).into_bytes()),
    ];
    for chart in report.charts.iter().filter(|c| c.has_values()) {
        files.push((folder.join("charts").join(format!("{}.svg", chart.name)), chart.svg()?.into_bytes()));
    }
    files.push((page.clone(), html(report)?.into_bytes()));
    for (path, bytes) in files {
        write_whole(&path, &bytes).map_err(|source| ReportError::Write { path, source })?;
    }
    Ok(page)
}
