//! A checkpoint that was factorised: its linears, what was tried of it, and the report of several shares.

mod charts;
mod document;
mod factorized;
mod sweep;
mod tried;

use std::path::{Path, PathBuf};

use super::files::{document as files_of, write};
use crate::report::error::ReportError;
use crate::train::factorize::Sweep;

pub use factorized::{factorized_table, factorized_text};
pub use sweep::{sweep_sentences, sweep_table as factorization_table};
pub use tried::{tried_table, tried_text};

/// Writes `sweep.json`, page, Markdown and charts into `folder`. Gives the paths, that of the page first.
///
/// # Errors
/// If a file cannot be made or written.
pub fn write_factorization(of: &Sweep, folder: &Path, with_png: bool) -> Result<Vec<PathBuf>, ReportError> {
    let charts = charts::charts(of);
    let mut made = files_of(&document::document(of, &charts), with_png)?;
    let mut json = serde_json::to_vec_pretty(of)?;
    json.push(b'\n');
    made.push(("sweep.json".to_owned(), json));
    write(folder, made)
}
