//! Numbers of a table.

/// A number, with a comma for its point where no comma parts the columns.
pub(super) fn number(text: &str, comma_is_decimal: bool) -> Result<f64, String> {
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
