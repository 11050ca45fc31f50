//! A table with a row each hour.

use super::rows::{Row, Table};
use super::{HourlyError, MAX_HOURS, columns, short};

/// Rows of five minutes are the shortest.
const MAX_ROWS: usize = MAX_HOURS * 12;

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
    let header = reader.headers().map_err(csv)?.clone();
    let columns = columns::find(file, &header.iter().collect::<Vec<_>>())?;
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
        rows.push(Row { line, time: field(columns.time), g });
        if rows.len() > MAX_ROWS {
            break;
        }
    }
    Ok(Table { rows, column: columns.name, basis: columns.basis, is_utc: columns.is_utc })
}

fn number(text: &str, comma_is_decimal: bool) -> Result<f64, String> {
    let with_point = text.replacen(',', ".", 1);
    match text.parse() {
        Ok(g) => Ok(g),
        Err(_) if text.is_empty() => {
            Err("the intensity is missing: expected gCO2e/kWh\nhint: fill the gap, or end the file before it"
                .to_owned())
        }
        Err(_) if with_point.parse::<f64>().is_ok() && comma_is_decimal => Ok(with_point.parse().unwrap_or(f64::NAN)),
        Err(_) if with_point.parse::<f64>().is_ok() => {
            Err(format!("the intensity `{text}` has a decimal comma: expected `{with_point}`"))
        }
        Err(_) => Err(format!("the intensity `{text}` is no number: expected gCO2e/kWh")),
    }
}
