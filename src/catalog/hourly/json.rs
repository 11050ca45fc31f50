//! What Electricity Maps' interface answers: `{"zone": "FR", "history": [{"datetime": .., "carbonIntensity": ..}, ..]}`.

use serde::Deserialize;

use super::rows::{Row, Table};
use super::{HourlyError, short};
use crate::catalog::intensity_basis::IntensityBasis;

/// An answer, or its list alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Hour>),
    Named {
        #[serde(alias = "history", alias = "forecast")]
        data: Vec<Hour>,
        #[serde(rename = "emissionFactorType")]
        factors: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hour {
    datetime: String,
    carbon_intensity: Option<f64>,
    emission_factor_type: Option<String>,
}

/// Reads the rows, which are counted from 1.
pub(super) fn read(file: &str, text: &str) -> Result<Table, HourlyError> {
    const EXPECTED: &str = "expected `history`, `data` or `forecast` with `datetime` and `carbonIntensity` each, as \
                            Electricity Maps answers";
    let failed = |message: String| HourlyError::Csv { file: file.to_owned(), what: "a list of hours", message };
    // Whether it is JSON at all is said by its line; what an answer lacks has none.
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| failed(format!("{e}; {EXPECTED}")))?;
    let answer = serde_json::from_str(text).map_err(|_| failed(EXPECTED.to_owned()))?;
    let (hours, factors) = match answer {
        Answer::List(hours) => (hours, None),
        Answer::Named { data, factors } => (data, factors),
    };
    let factors = factors.or(hours.first().and_then(|h| h.emission_factor_type.clone()));
    let basis = match factors.as_deref() {
        Some("lifecycle") => Some(IntensityBasis::LifeCycle),
        Some("direct") => Some(IntensityBasis::Direct),
        _ => None,
    };
    let row = |(hour, line): (Hour, u64)| match hour.carbon_intensity {
        Some(g) => Ok(Row { line, time: short(&hour.datetime).to_owned(), g }),
        None => Err(HourlyError::Value {
            file: file.to_owned(),
            line,
            message: format!("`carbonIntensity` of `{}` is missing: expected gCO2e/kWh", short(&hour.datetime)),
        }),
    };
    let rows = hours.into_iter().zip(1..).map(row).collect::<Result<_, _>>()?;
    Ok(Table { rows, column: "carbonIntensity".to_owned(), basis, is_utc: false })
}
