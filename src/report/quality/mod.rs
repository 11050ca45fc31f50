//! Architectures that were trained to an equal loss: the answer, its table, its charts, and the files.

mod charts;
mod document;
mod words;

use std::path::{Path, PathBuf};

use super::files::{document as files_of, write};
use crate::report::error::ReportError;
use crate::train::quality::{Place, Quality, RECORD_FILE};

pub use words::{table as quality_table, text as quality_text};

/// Writes `quality.json`, page, Markdown and charts into `folder`. Gives the paths, that of the page first.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_quality(of: &Quality, folder: &Path, with_png: bool) -> Result<Vec<PathBuf>, ReportError> {
    let charts = charts::charts(of);
    let mut made = files_of(&document::document(of, &charts), with_png)?;
    let mut json = serde_json::to_vec_pretty(of)?;
    json.push(b'\n');
    made.push((RECORD_FILE.to_owned(), json));
    write(folder, made)
}

/// Which training it is, how long all has taken and how long it will: `run 2 of 6, dense, seed 0, 1.20 min gone, 5.10 min left`.
#[must_use]
pub fn quality_place(place: Place) -> String {
    let left = place.left_s.map_or_else(String::new, |left| format!(", {} left", words::time(left)));
    format!(
        "run {} of {}, {}, seed {}, {} gone{left}",
        place.number,
        place.of,
        place.arch,
        place.seed,
        words::time(place.elapsed_s)
    )
}
