//! What can be wrong with a record file.

use std::path::PathBuf;

use crate::files::FileError;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be written.
    #[error("cannot write `{}`\nhint: give another folder with `-o DIR`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The campaign has read more than a record holds.
    #[error("the record `{}` would have {size} bytes: at most {limit} are written\nhint: `--resume` with a shorter `--max-time`", path.display())]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What it would take.
        size: usize,
        /// The most that is written, and read.
        limit: usize,
    },
    /// The file is not a record, or only a part of one.
    #[error("`{}` is not a valid record: line {line} column {column}: {message}\n{line:5} | {text}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
        /// That line.
        text: String,
        /// What is wrong.
        message: String,
    },
    /// The file was written by another version.
    #[error("the record `{}` has schema {found}: this version reads schema {oldest} to {newest}\nhint: profile again, or use the version that wrote it", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: u64,
        /// The oldest schema that is read.
        oldest: u32,
        /// The schema of this version.
        newest: u32,
    },
    /// The account of a command says nothing of a whole run.
    #[error("`{}` {why}", path.display())]
    NoForecast {
        /// The file.
        path: PathBuf,
        /// What it is instead, or what it lacks, and what helps.
        why: String,
    },
    /// A number that cannot have been measured.
    #[error("the record `{}` is not valid: {what}: {message}", path.display())]
    Impossible {
        /// The file.
        path: PathBuf,
        /// Which number.
        what: String,
        /// What is wrong with it, and what is allowed.
        message: String,
    },
}
