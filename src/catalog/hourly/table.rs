//! A table with a row each hour.

use super::number::number;
use super::rows::{Row, Table};
use super::{HourlyError, MAX_HOURS, columns, generation, short};

/// Rows of five minutes are the shortest.
const MAX_ROWS: usize = MAX_HOURS * 12;

/// No publisher has as many columns.
const MOST_COLUMNS: usize = 1000;

/// Reads the rows. Where the header has no comma, semicolons or tabs part the columns, and commas the decimals: so
/// spreadsheets write in most of Europe.
pub(super) fn read(file: &str, text: &str) -> Result<Table, HourlyError> {
    let first = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t'].into_iter().find(|s| first.as_bytes().contains(s)).unwrap_or(b',');
    let csv = |e: csv::Error| HourlyError::Csv {
        file: file.to_owned(),
        what: "a CSV table",
        message: if matches!(e.kind(), csv::ErrorKind::UnequalLengths { .. }) && separator == b',' {
            format!("{e}\nhint: is a comma a decimal sign somewhere? Write `300.5`, or part the columns by `;`")
        } else {
            e.to_string()
        },
    };
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(csv)?.len();
    if columns > MOST_COLUMNS {
        let message = format!("it has {columns} columns: expected at most {MOST_COLUMNS}");
        return Err(HourlyError::Csv { file: file.to_owned(), what: "a table of hours", message });
    }
    let header = reader.headers().map_err(csv)?.clone();
    let header: Vec<&str> = header.iter().collect();
    if let Some(kind) = generation::find(file, &header)? {
        let mut mix = generation::Mix::default();
        for row in reader.records() {
            let row = row.map_err(csv)?;
            let line = row.position().map_or(0, csv::Position::line);
            mix.add(&kind, &row, separator != b',').map_err(|message| HourlyError::Value {
                file: file.to_owned(),
                line,
                message,
            })?;
        }
        return mix.table(file);
    }
    let columns = columns::find(file, &header)?;
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(csv)?;
        let field = |column: usize| short(row.get(column).unwrap_or_default()).to_owned();
        let line = row.position().map_or(0, csv::Position::line);
        let value = field(columns.intensity);
        let g = number(&value, separator != b',').map_err(|message| HourlyError::Value {
            file: file.to_owned(),
            line,
            message,
        })?;
        rows.push(Row { line, time: field(columns.time), g: g * columns.g_per_kwh });
        if rows.len() > MAX_ROWS {
            break;
        }
    }
    Ok(Table { rows, read_as: columns.read_as, is_utc: columns.is_utc })
}
