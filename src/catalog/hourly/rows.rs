//! From rows to hours.

use super::time::{RowTime, clock_change, moment};
use super::{Hourly, HourlyError, MAX_HOURS, ReadAs};

/// No grid emits more: pure lignite is below 1500.
const MAX_G_PER_KWH: f64 = 1e5;
/// Minutes between rows: an hour, and the parts of it that grids publish.
const STEPS: [i64; 6] = [5, 10, 15, 20, 30, 60];

/// A row of a file.
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) time: String,
    pub(super) g: f64,
}

/// The rows of a file, and what they are.
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) read_as: ReadAs,
    /// Whether times without a zone are UTC, and are no local hours.
    pub(super) is_utc: bool,
}

/// The hours of a table: consecutive, and each the mean of its rows.
pub(super) fn hours(file: &str, table: Table) -> Result<Hourly, HourlyError> {
    let wrong = |line, message| HourlyError::Value { file: file.to_owned(), line, message };
    let mut moments = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        if !(0.0..=MAX_G_PER_KWH).contains(&row.g) {
            let message = format!("the intensity is {}: expected 0 to {MAX_G_PER_KWH} gCO2e/kWh", row.g);
            return Err(wrong(row.line, message));
        }
        let read = moment(&row.time).ok_or_else(|| {
            let message = format!("`{}` is no time: expected `2026-01-31T13:00Z` or `2026-01-31 13:00`", row.time);
            wrong(row.line, message)
        })?;
        moments.push(RowTime { has_zone: read.has_zone || table.is_utc, ..read });
    }
    let step = check_steps(&table.rows, &moments).map_err(|(i, message)| wrong(table.rows[i].line, message))?;
    // Hours begin when the clock of the file says so.
    let starts = |m: &RowTime| m.local % 60 == 0;
    let Some(first) = moments.iter().position(starts) else {
        return match table.rows.first() {
            Some(row) => Err(wrong(row.line, no_full_hour(&row.time))),
            None => Err(HourlyError::Length { file: file.to_owned(), hours: 0 }),
        };
    };
    let rows_an_hour = usize::try_from(60 / step).unwrap_or(1);
    let rows = &table.rows[first..];
    let g_per_kwh: Vec<f64> =
        rows.chunks_exact(rows_an_hour).map(|hour| hour.iter().map(|r| r.g).sum::<f64>() / hour.len() as f64).collect();
    if !(1..=MAX_HOURS).contains(&g_per_kwh.len()) {
        return Err(HourlyError::Length { file: file.to_owned(), hours: g_per_kwh.len() });
    }
    let mut zeros = rows.iter().filter(|r| r.g == 0.0);
    let zeros = zeros.next().map(|first| (1 + zeros.count(), first.time.clone()));
    let start = (rows[0].time.clone(), moments[first].utc);
    Ok(Hourly { zeros, ..Hourly::new(file, table.read_as, start, g_per_kwh) })
}

fn no_full_hour(time: &str) -> String {
    format!("`{time}` is no full hour: expected `2026-01-31T13:00Z` or `2026-01-31 13:00`")
}

/// Minutes between rows, if they are the same throughout; the row at fault otherwise, and what is wrong with it.
fn check_steps(rows: &[Row], moments: &[RowTime]) -> Result<i64, (usize, String)> {
    let rising = moments.windows(2).map(|pair| pair[1].utc - pair[0].utc).filter(|apart| *apart > 0);
    // The step is the smallest there is; the others are gaps, unless all are alike.
    let smallest = rising.clone().min();
    let all_alike = rising.clone().count() > 1 && rising.clone().max() == smallest;
    let step = smallest.filter(|s| *s < 60).unwrap_or(60);
    let unit = if step == 60 { "hour" } else { "row" };
    for (i, pair) in moments.windows(2).enumerate() {
        let (time, apart) = (&rows[i + 1].time, pair[1].utc - pair[0].utc);
        let local = !pair[1].has_zone;
        let fault = match apart {
            _ if apart == step => continue,
            0 => format!("the {unit} `{time}` is there twice: expected every {unit} once"),
            ..0 => format!("`{time}` is earlier than the line before: expected rising hours"),
            _ if apart % step == 0 && apart > 60 && all_alike => {
                format!("the rows are {} h apart: expected a row an hour, or an even part of one", apart / 60)
            }
            _ if apart % step == 0 => match apart / step - 1 {
                1 => format!("1 {unit} is missing before `{time}`: expected every {unit}"),
                n => format!("{n} {unit}s are missing before `{time}`: expected every {unit}"),
            },
            _ if step == 60 => no_full_hour(time),
            _ => format!(
                "`{time}` is {apart} min after the line before, and others are {step} min apart: expected the same"
            ),
        };
        // Half an hour back at the end of an hour is an hour that begins again.
        let summer = match apart {
            _ if apart > 0 && apart - step == 60 => Some(true),
            -60..=0 => Some(false),
            _ => None,
        };
        let hint = summer.filter(|_| local).map(|begins| summer_time(pair[1], begins)).unwrap_or_default();
        return Err((i + 1, fault + &hint));
    }
    if !STEPS.contains(&step) {
        let message = format!("the rows are {step} min apart: expected an hour, or 5, 10, 15, 20 or 30 min");
        return Err((1, message));
    }
    match moments.iter().position(|m| m.local % step != 0) {
        Some(i) if step == 60 => Err((i, no_full_hour(&rows[i].time))),
        Some(i) => Err((i, format!("`{}` is no full {step} min: expected the first row at a full hour", rows[i].time))),
        None => Ok(step),
    }
}

/// A clock without a zone has skipped an hour, or had one twice.
fn summer_time(at: RowTime, begins: bool) -> String {
    let what = if begins { "skips" } else { "has twice" };
    let why = match clock_change(at.local, begins) {
        Some(place) if begins => {
            format!("summer time began in {place} that night and {what} this hour: these are local hours")
        }
        Some(place) => format!("summer time ended in {place} that night and {what} this hour: these are local hours"),
        None => format!("are these local hours, of which summer time {what} one?"),
    };
    let ask = if why.ends_with('?') { " Give" } else { "; give" };
    format!("\nhint: {why}{ask} UTC, or the zone with each (`2025-03-30T03:00+02:00`)")
}
