//! What can be wrong with a record file.

use std::path::PathBuf;

/// Why a record cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error("cannot read the record `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`\nhint: give another folder with `-o DIR`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large to be read.
    #[error("the record `{}` has {size} bytes: at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: u64,
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
    /// A number that cannot have been measured.
    #[error("the record `{}` is not valid: {what} is {value}: expected a finite number of at least 0", path.display())]
    Impossible {
        /// The file.
        path: PathBuf,
        /// Which number.
        what: String,
        /// What it is.
        value: f64,
    },
}
