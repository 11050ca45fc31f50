//! The report of a run that was forecast.

mod chart;
mod document;

use std::path::{Path, PathBuf};

use super::files::{document as files_of, write};
use crate::estimate::Estimate;
use crate::record::ForecastRecord;
use crate::report::error::ReportError;

/// Writes page, Markdown and chart of a run that was forecast into `folder`; `estimate` is what the whole of it comes to. Gives the
/// sentence that answers, and the paths, that of the page first.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_forecast(
    of: &ForecastRecord,
    estimate: &Estimate,
    folder: &Path,
    with_png: bool,
) -> Result<(String, Vec<PathBuf>), ReportError> {
    let charts: Vec<_> = chart::by_time(of).into_iter().collect();
    let document = document::document(of, estimate, &charts);
    let answer = document.answer.clone();
    Ok((answer, write(folder, files_of(&document, with_png)?)?))
}
