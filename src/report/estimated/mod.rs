//! The report of estimates that no record is behind.

mod document;
mod layout;

use std::path::{Path, PathBuf};

use super::files::{Estimates, document as files_of, estimates_frame, json, to_csv, write};
use crate::estimate::Estimate;
use crate::files::JSON_SCHEMA;
use crate::report::error::ReportError;

/// Writes page, Markdown, charts, `estimates.json` and `summary.csv` of estimates into `folder`. `elsewhere` are estimates of the first of
/// them on other numbers of devices, for the frontier of cost against time. Gives the paths, that of the page first.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_estimates(
    estimates: &[Estimate],
    (verdict, elsewhere): (&str, &[Estimate]),
    folder: &Path,
    with_png: bool,
) -> Result<Vec<PathBuf>, ReportError> {
    let charts = document::charts(estimates, elsewhere);
    let mut made = files_of(&document::document(estimates, verdict, &charts), with_png)?;
    made.extend([
        ("summary.csv".to_owned(), to_csv(&mut estimates_frame(estimates)?)?.into_bytes()),
        ("estimates.json".to_owned(), json(&Estimates { schema: JSON_SCHEMA, estimates })?),
    ]);
    write(folder, made)
}
