//! Reading and writing `record.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::check::check;
use super::{Cell, Environment, RecordError, Settings, Status, Warning};
use crate::files::{read_text, write_whole};
use crate::model::Arch;

/// Version of the schema. 2 adds what is known of meters, idle power and the state of a GPU; 3 adds several dtypes,
/// how fast the device is at its fastest, and what a GPU waits for.
pub const SCHEMA: u32 = 3;
/// The oldest version that is read.
pub const OLDEST_SCHEMA: u32 = 1;
/// Name of the file in a campaign's folder.
pub const RECORD_FILE: &str = "record.json";
/// No larger record is read or written: two million readings, half a day of a sensor that is read each 20 ms. A file that
/// packs more into it stays below a gigabyte in memory.
pub const MAX_RECORD_BYTES: usize = 100_000_000;

/// A campaign.
///
/// ```
/// use std::path::Path;
/// use greenformers::record::Record;
///
/// let record = Record::load(Path::new("reports/h200-bert-base"))?;
/// assert_eq!(record.environment.compute.name, "NVIDIA H200");
/// assert_eq!(record.settings.workload.name, "bert-base");
/// assert!(Record::parse(Path::new("record.json"), r#"{"schema": 99}"#).is_err());
/// # Ok::<(), greenformers::record::RecordError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of the schema.
    pub schema: u32,
    /// Program and version that wrote it.
    pub tool: String,
    /// When the campaign began, RFC 3339 with zone.
    pub created: String,
    /// How it was asked for.
    pub settings: Settings,
    /// Where it ran.
    pub environment: Environment,
    /// What was measured.
    pub cells: Vec<Cell>,
    /// Caveats of the whole campaign.
    pub warnings: Vec<Warning>,
}

/// The one field that is looked at before the rest.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u64,
}

impl Record {
    /// Its architectures, dense first.
    #[must_use]
    pub fn archs(&self) -> Vec<Arch> {
        let mut archs: Vec<Arch> = self.cells.iter().map(|c| c.arch).collect();
        archs.sort_unstable();
        archs.dedup();
        archs
    }

    /// The most layers of a cell that was measured: where a model was measured at several depths, architectures are compared at this
    /// one.
    #[must_use]
    pub fn deepest(&self) -> usize {
        let depth =
            |is_counted: fn(&Cell) -> bool| self.cells.iter().filter(|c| is_counted(c)).map(|c| c.n_layers).max();
        depth(|c| c.status == Status::Ok).or_else(|| depth(|_| true)).unwrap_or(self.settings.n_layers)
    }

    /// Reads a record from a file, or from `record.json` in a folder.
    ///
    /// # Errors
    /// If it cannot be read, is of another schema, or holds what cannot have been measured.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let path = if path.is_dir() { path.join(RECORD_FILE) } else { path.to_owned() };
        Self::parse(&path, &read_text(&path, MAX_RECORD_BYTES as u64)?)
    }

    /// Reads a record from the text of `path`.
    ///
    /// # Errors
    /// If it is of another schema, or holds what cannot have been measured.
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecordError> {
        let invalid = |error: serde_json::Error| invalid_json(path, text, &error);
        let SchemaOnly { schema } = serde_json::from_str(text).map_err(invalid)?;
        if !(u64::from(OLDEST_SCHEMA)..=u64::from(SCHEMA)).contains(&schema) {
            let path = path.to_owned();
            return Err(RecordError::Schema { path, found: schema, oldest: OLDEST_SCHEMA, newest: SCHEMA });
        }
        let record: Self = serde_json::from_str(text).map_err(invalid)?;
        match check(&record) {
            Ok(()) => Ok(record),
            Err((what, message)) => Err(RecordError::Impossible { path: path.to_owned(), what, message }),
        }
    }

    /// Writes the record into `folder` so that the file is always whole: a new file is written beside the
    /// old one, flushed, and put in its place.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, RecordError> {
        let path = folder.join(RECORD_FILE);
        let failed = |source| RecordError::Write { path: path.clone(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| failed(e.into()))?;
        if text.len() >= MAX_RECORD_BYTES {
            // Half of it is space.
            text = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        }
        if text.len() >= MAX_RECORD_BYTES {
            return Err(RecordError::TooMuch { path, size: text.len(), limit: MAX_RECORD_BYTES });
        }
        text.push(b'\n');
        write_whole(&path, &text).map_err(failed)?;
        Ok(path)
    }
}

/// What is wrong with the text of `path`, and where.
pub(super) fn invalid_json(path: &Path, text: &str, error: &serde_json::Error) -> RecordError {
    RecordError::Invalid {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
        text: text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default().chars().take(160).collect(),
        message: without_place(&error.to_string()).chars().take(500).collect(),
    }
}

fn without_place(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::meter::Sample;

    #[test]
    fn a_reading_that_is_written_and_read_again_is_the_same_to_the_last_bit() {
        // Steps of the golden ratio: digits without a pattern.
        for i in 1..20_000 {
            let x = f64::from(i) * 0.618_033_988_749_894_9;
            let sample = Sample { time_s: x, energy_j: Some(x * 1e5), power_w: Some(1.0 / x), doubt: None };
            let text = serde_json::to_string(&sample).expect("numbers");
            assert_eq!(serde_json::from_str::<Sample>(&text).expect("what was written"), sample, "{text}");
        }
    }
}
