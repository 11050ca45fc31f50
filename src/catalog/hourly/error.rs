//! Why hours cannot be used.

use super::MAX_HOURS;
use crate::files::FileError;

/// Why hours cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HourlyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no table.
    #[error("`{file}` is not {what}: {message}")]
    Csv {
        /// The file.
        file: String,
        /// What it should be.
        what: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A column is missing.
    #[error("`{file}` has no column for {what}: expected one called {allowed}, got {got}")]
    Column {
        /// The file.
        file: String,
        /// What for.
        what: &'static str,
        /// Its names.
        allowed: &'static str,
        /// The header.
        got: String,
    },
    /// Several columns could be meant.
    #[error(
        "`{file}` has several columns for the intensity: {}: expected one, or one that is called life-cycle\nhint: keep \
         the one that is meant, and name it `gco2e_per_kwh`",
        columns.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
    )]
    SeveralColumns {
        /// The file.
        file: String,
        /// The columns.
        columns: Vec<String>,
    },
    /// A value cannot be.
    #[error("`{file}` line {line}: {message}")]
    Value {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// Too few or too many hours.
    #[error("`{file}` has {hours} hours: expected 1 to {MAX_HOURS}")]
    Length {
        /// The file.
        file: String,
        /// How many.
        hours: usize,
    },
}
