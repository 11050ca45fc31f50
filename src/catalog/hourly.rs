//! The intensity of a grid hour by hour, from a CSV file.

use std::path::Path;

use crate::files::{FileError, read_text};

/// Ten years of hours: no file is longer.
const MAX_HOURS: usize = 87_672;
/// Nor larger.
const MAX_BYTES: u64 = 16 << 20;
/// No grid emits more: pure lignite is below 1500.
const MAX_G_PER_KWH: f64 = 1e5;

/// Why hours cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HourlyError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no table.
    #[error("`{file}` is not a CSV table: {message}")]
    Csv {
        /// The file.
        file: String,
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

/// Consecutive hours and their intensity.
#[derive(Debug, Clone, PartialEq)]
pub struct Hourly {
    name: String,
    first: String,
    g_per_kwh: Vec<f64>,
    /// Sums of the hours before each, so that the mean of any run is two of them.
    sums: Vec<f64>,
}

impl Hourly {
    /// Reads `file`: a row an hour, in order, without gaps.
    ///
    /// # Errors
    /// If it cannot be read, has no column of time or of intensity, or an hour is missing, doubled, negative or no
    /// number.
    pub fn read(path: &Path) -> Result<Self, HourlyError> {
        let file = path.display().to_string();
        Self::parse(&file, &read_text(path, MAX_BYTES)?)
    }

    /// Reads the text of `file`.
    ///
    /// # Errors
    /// As [`Hourly::read`].
    pub fn parse(file: &str, text: &str) -> Result<Self, HourlyError> {
        const TIMES: &[&str] = &["time", "timestamp", "datetime", "datetime (utc)", "hour"];
        const INTENSITIES: &[&str] = &["gco2e_per_kwh", "intensity_gco2e_per_kwh", "intensity", "carbon_intensity"];
        let csv = |e: csv::Error| HourlyError::Csv { file: file.to_owned(), message: e.to_string() };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().map_err(csv)?.clone();
        let find = |names: &[&str], what, allowed| {
            header.iter().position(|h| names.contains(&h.to_ascii_lowercase().as_str())).ok_or_else(|| {
                let got: Vec<_> = header.iter().take(20).map(|h| format!("`{}`", short(h))).collect();
                let got = got.join(", ");
                HourlyError::Column { file: file.to_owned(), what, allowed, got }
            })
        };
        let time_column = find(TIMES, "the time", "`time`, `timestamp` or `datetime`")?;
        let intensity_column = find(INTENSITIES, "the intensity", "`gco2e_per_kwh` or `intensity`")?;
        let (mut first, mut previous) = (None, None);
        let mut g_per_kwh = Vec::new();
        for row in reader.records() {
            let row = row.map_err(csv)?;
            let line = row.position().map_or(0, csv::Position::line);
            let wrong = |message: String| HourlyError::Value { file: file.to_owned(), line, message };
            let time = short(row.get(time_column).unwrap_or_default());
            let hour = hour_of(time).ok_or_else(|| {
                wrong(format!("`{time}` is no full hour: expected `2026-01-31T13:00Z` or `2026-01-31 13:00`"))
            })?;
            match previous.map(|p: i64| hour - p) {
                None | Some(1) => {}
                Some(0) => return Err(wrong(format!("the hour `{time}` is there twice: expected every hour once"))),
                Some(n) if n > 1 => {
                    return Err(wrong(format!("{} hours are missing before `{time}`: expected every hour", n - 1)));
                }
                Some(_) => {
                    return Err(wrong(format!("`{time}` is earlier than the line before: expected rising hours")));
                }
            }
            let value = short(row.get(intensity_column).unwrap_or_default());
            match value.parse::<f64>() {
                Ok(g) if (0.0..=MAX_G_PER_KWH).contains(&g) => g_per_kwh.push(g),
                Ok(g) => return Err(wrong(format!("the intensity is {g}: expected 0 to {MAX_G_PER_KWH} gCO2e/kWh"))),
                Err(_) => return Err(wrong(format!("the intensity `{value}` is no number: expected gCO2e/kWh"))),
            }
            first.get_or_insert_with(|| time.to_owned());
            previous = Some(hour);
            if g_per_kwh.len() > MAX_HOURS {
                break;
            }
        }
        let hours = g_per_kwh.len();
        match first {
            Some(first) if hours <= MAX_HOURS => {
                let mut sums = vec![0.0];
                sums.extend(g_per_kwh.iter().scan(0.0, |sum, g| {
                    *sum += g;
                    Some(*sum)
                }));
                Ok(Self { name: file.to_owned(), first, g_per_kwh, sums })
            }
            _ => Err(HourlyError::Length { file: file.to_owned(), hours }),
        }
    }

    /// The file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the file")]
        let whole = hours.floor() as usize;
        let rest = hours - whole as f64;
        let full = self.sums[start + whole] - self.sums[start];
        let last = if rest > 0.0 { rest * self.g_per_kwh[start + whole] } else { 0.0 };
        Some((full + last) / hours)
    }
}

/// What a message shows of a field.
fn short(field: &str) -> &str {
    field.char_indices().nth(60).map_or(field, |(end, _)| &field[..end])
}

/// Hours since 1970 of `2026-01-31T13:00`, with or without seconds and zone; `None` unless it is a full hour.
fn hour_of(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, '-').map(digits);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1900..=2200).contains(&year) {
        return None;
    }
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], &time[at..]),
        None => (time, "Z"),
    };
    let mut parts = clock.trim().splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?)?, digits(parts.next().unwrap_or("00"))?);
    let second = parts.next().unwrap_or("0");
    if hour > 23 || minute != 0 || !second.bytes().all(|b| b == b'0' || b == b'.') {
        return None;
    }
    Some(days_from_civil(year, month, day) * 24 + hour - zone_hours(zone)?)
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Hours of `Z`, `+01:00`, `-0500`.
fn zone_hours(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let hours = digits(rest.get(..2)?)?;
    let minutes = rest.get(2..).unwrap_or_default().trim_start_matches(':');
    if hours > 14 || !minutes.bytes().all(|b| b == b'0') {
        return None;
    }
    Some(if sign == "-" { -hours } else { hours })
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant, chrono-compatible low-level date algorithms).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "time,gco2e_per_kwh\n2026-03-01T00:00Z,100\n2026-03-01T01:00Z,200\n2026-03-01T02:00Z,60\n";

    fn parse(text: &str) -> Result<Hourly, String> {
        Hourly::parse("hours.csv", text).map_err(|e| e.to_string())
    }

    #[test]
    fn hours_are_read_and_averaged_over_a_run() {
        let hours = parse(DAY).expect("valid");
        assert_eq!((hours.hours(), hours.mean(), hours.range()), (3, 120.0, [60.0, 200.0]));
        // From hour 1: 200 and half of 60, over 1.5 h.
        assert_eq!(hours.mean_over(1, 1.5), Some(230.0 / 1.5));
        assert_eq!(hours.mean_over(1, 2.5), None, "the file ends before the run does");
    }

    #[test]
    fn times_with_zones_and_without_are_the_same_hours() {
        assert_eq!(hour_of("1970-01-02T00:00Z"), Some(24));
        assert_eq!(hour_of("2000-03-01 00:00:00"), Some(11_017 * 24));
        assert_eq!(hour_of("2026-03-01T02:00:00+02:00"), hour_of("2026-03-01T00:00Z"));
        assert_eq!(hour_of("2026-02-28T23:00-0100"), hour_of("2026-03-01T00:00Z"));
        for bad in ["", "2026-03-01", "2026-03-01T00:30Z", "2026-13-01T00:00Z", "soon", "2026-03-01T25:00Z"] {
            assert_eq!(hour_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_hour_is_said_with_its_line() {
        for (text, part) in [
            (DAY.replace("01:00Z", "00:00Z"), "line 3: the hour `2026-03-01T00:00Z` is there twice"),
            (DAY.replace("02:00Z", "05:00Z"), "line 4: 3 hours are missing before `2026-03-01T05:00Z`"),
            (DAY.replace("2026-03-01T02", "2026-02-01T02"), "line 4: `2026-02-01T02:00Z` is earlier"),
            (DAY.replace(",60", ",-60"), "line 4: the intensity is -60"),
            (DAY.replace(",60", ",nan"), "line 4: the intensity is NaN"),
            (DAY.replace(",60", ",low"), "line 4: the intensity `low` is no number"),
            (DAY.replace(",60", ","), "line 4: the intensity `` is no number"),
            (DAY.replace("2026-03-01T02:00Z", "noon"), "line 4: `noon` is no full hour"),
            (DAY.replace("gco2e_per_kwh", "price"), "no column for the intensity"),
            ("time,intensity\n".to_owned(), "has 0 hours"),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
