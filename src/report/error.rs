//! Why a report cannot be written.

use std::path::PathBuf;

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error("cannot write `{}`\nhint: give another folder with `-o DIR`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A table cannot be made.
    #[error("cannot make a table")]
    Table(#[from] polars::error::PolarsError),
    /// Records of different models.
    #[error(
        "cannot lay {first} and {other} side by side: their models differ\nhint: `greenformers report` makes a report of each"
    )]
    Workloads {
        /// The model of the first record, and its name.
        first: String,
        /// That of another.
        other: String,
    },
    /// A number has no form in JSON.
    #[error("cannot write JSON")]
    Json(#[from] serde_json::Error),
    /// A chart cannot be drawn.
    #[error("cannot draw the chart `{chart}`: {reason}")]
    Chart {
        /// Which chart.
        chart: String,
        /// Why.
        reason: String,
    },
}
