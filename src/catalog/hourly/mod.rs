//! The intensity of a grid hour by hour, from the files that publishers give: tables, generation by source, answers of interfaces.

mod columns;
mod error;
mod generation;
mod json;
mod number;
mod rows;
mod table;
mod time;

use std::path::Path;

pub use self::error::HourlyError;
use super::date::day_number;
use super::intensity_basis::IntensityBasis;
use crate::files::read_text;

/// Ten years of hours: no file is longer.
const MAX_HOURS: usize = 87_672;
/// Nor larger.
const MAX_BYTES: u64 = 16 << 20;

/// Consecutive hours and their intensity.
#[derive(Debug, Clone, PartialEq)]
pub struct Hourly {
    name: String,
    read_as: ReadAs,
    first: String,
    /// Minutes from 1970 to the beginning of the first hour, UTC.
    first_minute: i64,
    /// Hours in which a row has 0 g, and the first of them as it is written.
    zeros: Option<(usize, String)>,
    g_per_kwh: Vec<f64>,
    /// Sums of the hours before each, so that the mean of any run is two of them.
    sums: Vec<f64>,
}

/// What a file was taken for.
#[derive(Debug, Clone, PartialEq)]
struct ReadAs {
    /// Whose form it has.
    form: &'static str,
    /// Where the intensity stands in it, and in which unit, if that is not g/kWh.
    column: String,
    basis: Option<IntensityBasis>,
    /// Whether it is that of the plants that would serve one more kilowatt-hour.
    is_marginal: bool,
}

impl Hourly {
    /// Reads `file`: rows in order, without gaps, an hour apart or an even part of one, which are averaged. Hours that are not
    /// whole at its beginning and its end are left out.
    ///
    /// # Errors
    /// If it cannot be read, has no column of time or of intensity, or an hour is missing, doubled, negative or no
    /// number.
    pub fn read(path: &Path) -> Result<Self, HourlyError> {
        let file = path.display().to_string();
        Self::parse(&file, &read_text(path, MAX_BYTES)?)
    }

    /// Reads the text of `file`: JSON if its name says so, CSV otherwise.
    ///
    /// # Errors
    /// As [`Hourly::read`].
    pub fn parse(file: &str, text: &str) -> Result<Self, HourlyError> {
        let is_json = Path::new(file).extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let table = if is_json { json::read(file, text)? } else { table::read(file, text)? };
        rows::hours(file, table)
    }

    fn new(name: &str, read_as: ReadAs, first: (String, i64), g_per_kwh: Vec<f64>) -> Self {
        let mut sums = vec![0.0];
        sums.extend(g_per_kwh.iter().scan(0.0, |sum, g| {
            *sum += g;
            Some(*sum)
        }));
        Self { name: name.to_owned(), read_as, first: first.0, first_minute: first.1, zeros: None, g_per_kwh, sums }
    }

    /// The file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file was taken for: whose form it has, such as `an answer of Electricity Maps`.
    #[must_use]
    pub fn form(&self) -> &'static str {
        self.read_as.form
    }

    /// What the intensity was read from: a column, with its unit if that is not g/kWh.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.read_as.column
    }

    /// What the file was taken for, in words.
    #[must_use]
    pub fn described(&self) -> String {
        let hours = if self.hours() == 1 { "hour" } else { "hours" };
        let basis = self.basis().map_or_else(String::new, |basis| format!(", {basis}"));
        format!("{} {hours} from {}, read as {}: {}{basis}", self.hours(), self.first(), self.form(), self.column())
    }

    /// What it counts.
    #[must_use]
    pub fn basis(&self) -> Option<IntensityBasis> {
        self.read_as.basis
    }

    /// Whether it is that of the plants that would serve one more kilowatt-hour, and not the mean of all.
    #[must_use]
    pub fn is_marginal(&self) -> bool {
        self.read_as.is_marginal
    }

    /// How many rows have 0 g, and the time of the first, if one has.
    #[must_use]
    pub fn zeros(&self) -> Option<(usize, &str)> {
        self.zeros.as_ref().map(|(n, first)| (*n, first.as_str()))
    }

    /// The first hour, as it is written.
    #[must_use]
    pub fn first(&self) -> &str {
        &self.first
    }

    /// How many hours.
    #[must_use]
    pub fn hours(&self) -> usize {
        self.g_per_kwh.len()
    }

    /// Mean of all hours.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.sums[self.hours()] / self.hours() as f64
    }

    /// Lowest and highest hour.
    #[must_use]
    pub fn range(&self) -> [f64; 2] {
        let fold = |start, f: fn(f64, f64) -> f64| self.g_per_kwh.iter().copied().fold(start, f);
        [fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max)]
    }

    /// Mean over a run of `hours` that starts at hour `start`, the last hour counted as far as it is used; `None` if the
    /// file ends before the run does.
    #[must_use]
    pub fn mean_over(&self, start: usize, hours: f64) -> Option<f64> {
        if !(hours.is_finite() && hours > 0.0) || start as f64 + hours > self.hours() as f64 {
            return None;
        }
        Some((self.sum_to(start as f64 + hours) - self.sums[start]) / hours)
    }

    /// Mean over the time between two moments, in seconds since 1970, each hour by how much of it lies between them;
    /// `None` if the file does not have all of it.
    #[must_use]
    pub fn mean_between(&self, start_s: f64, end_s: f64) -> Option<f64> {
        let first_s = self.first_minute as f64 * 60.0;
        let (from, to) = ((start_s - first_s) / 3600.0, (end_s - first_s) / 3600.0);
        if !(0.0 <= from && from <= to && to <= self.hours() as f64) {
            return None;
        }
        let (first, last) = (whole(from).0, whole(to).0);
        if first == last || from == to {
            return self.g_per_kwh.get(first).copied();
        }
        let of = |hour: usize| to.min(hour as f64 + 1.0) - from.max(hour as f64);
        let sum: f64 = self.g_per_kwh.iter().enumerate().take(last + 1).skip(first).map(|(h, g)| of(h) * g).sum();
        Some(sum / (to - from))
    }

    /// Whether the file has an hour of the calendar year (of UTC) of a moment, in seconds since 1970.
    #[must_use]
    pub fn has_year_of(&self, moment_s: f64) -> bool {
        let day = |year| day_number(year, 1, 1).map_or(f64::NAN, |d| d as f64 * 24.0);
        let first = self.first_minute as f64 / 60.0;
        let year = (1900..=2199).find(|&y| moment_s / 3600.0 < day(y + 1)).unwrap_or(2199);
        first < day(year + 1) && first + self.hours() as f64 > day(year)
    }

    /// Sum of the first `hours`, the last as far as it is used.
    fn sum_to(&self, hours: f64) -> f64 {
        let (whole, rest) = whole(hours);
        let last = if rest > 0.0 { rest * self.g_per_kwh[whole] } else { 0.0 };
        self.sums[whole] + last
    }
}

/// Whole hours within a file, and the rest.
fn whole(hours: f64) -> (usize, f64) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the file")]
    let whole = hours.floor() as usize;
    (whole, hours - whole as f64)
}

/// What a message shows of a field.
fn short(field: &str) -> &str {
    field.char_indices().nth(60).map_or(field, |(end, _)| &field[..end])
}

#[cfg(test)]
mod tests;
