//! Reading and writing `record.json`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Cell, Environment, RecordError, Settings, Warning, write_whole};

/// Version of the schema. 2 adds what is known of meters, idle power and the state of a GPU; 3 adds several dtypes,
/// how fast the device is at its fastest, and what a GPU waits for.
pub const SCHEMA: u32 = 3;
/// The oldest version that is read.
pub const OLDEST_SCHEMA: u32 = 1;
/// Name of the file in a campaign's folder.
pub const RECORD_FILE: &str = "record.json";
/// No larger record is read: 500 MB hold ten million samples.
const MAX_BYTES: u64 = 500_000_000;

/// A campaign.
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
    /// Reads a record from a file, or from `record.json` in a folder.
    ///
    /// # Errors
    /// If it cannot be read, is of another schema, or holds what cannot have been measured.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let path = if path.is_dir() { path.join(RECORD_FILE) } else { path.to_owned() };
        let text = read_bounded(&path)?;
        let invalid = |error: serde_json::Error| RecordError::Invalid {
            path: path.clone(),
            line: error.line(),
            column: error.column(),
            text: text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default().chars().take(160).collect(),
            message: without_place(&error.to_string()),
        };
        let SchemaOnly { schema } = serde_json::from_str(&text).map_err(invalid)?;
        if !(u64::from(OLDEST_SCHEMA)..=u64::from(SCHEMA)).contains(&schema) {
            return Err(RecordError::Schema { path, found: schema, oldest: OLDEST_SCHEMA, newest: SCHEMA });
        }
        let record: Self = serde_json::from_str(&text).map_err(invalid)?;
        match record.impossible_number() {
            None => Ok(record),
            Some((what, value)) => Err(RecordError::Impossible { path, what, value }),
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
        text.push(b'\n');
        write_whole(&path, &text).map_err(failed)?;
        Ok(path)
    }

    /// The first number that no measurement gives.
    fn impossible_number(&self) -> Option<(String, f64)> {
        let settings = [
            ("`dropout`", self.settings.dropout),
            ("`precision`", self.settings.precision),
            ("`hardware_share`", self.environment.compute.hardware_share),
        ];
        let cells = self.cells.iter().flat_map(|cell| {
            let steps = cell.steps.iter().flat_map(|s| [s.start_s, s.forward_s, s.backward_s, s.optimizer_s]);
            let samples = cell.meters.iter().flat_map(|m| &m.samples);
            let readings = samples.flat_map(|s| [s.time_s, s.energy_j.unwrap_or(0.0), s.power_w.unwrap_or(0.0)]);
            let meters = cell.meters.iter().flat_map(|m| {
                let timing = m.timing.map_or([0.0; 2], |t| [t.update_s, t.window_s]);
                timing.into_iter().chain(m.idle_w)
            });
            steps.chain(readings).chain(meters).chain([cell.flop_per_step]).map(move |x| (cell, x))
        });
        let bad = |x: f64| !x.is_finite() || x < 0.0;
        settings.iter().find(|(_, x)| bad(*x)).map(|(what, x)| ((*what).to_owned(), *x)).or_else(|| {
            cells.into_iter().find(|(_, x)| bad(*x)).map(|(c, x)| (format!("a number of cell `{}`", c.label()), x))
        })
    }
}

fn read_bounded(path: &Path) -> Result<String, RecordError> {
    let failed = |source| RecordError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(RecordError::TooLarge { path: path.to_owned(), size, limit: MAX_BYTES });
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn without_place(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::sensor::Sample;

    #[test]
    fn a_reading_that_is_written_and_read_again_is_the_same_to_the_last_bit() {
        // Steps of the golden ratio: digits without a pattern.
        for i in 1..20_000 {
            let x = f64::from(i) * 0.618_033_988_749_894_9;
            let sample = Sample { time_s: x, energy_j: Some(x * 1e5), power_w: Some(1.0 / x) };
            let text = serde_json::to_string(&sample).expect("numbers");
            assert_eq!(serde_json::from_str::<Sample>(&text).expect("what was written"), sample, "{text}");
        }
    }
}
