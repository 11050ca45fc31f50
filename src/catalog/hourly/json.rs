//! What interfaces answer: Electricity Maps, `WattTime`, and that of Great Britain's operator.

use serde::Deserialize;

use super::columns::{POUNDS_PER_MWH, watt_time};
use super::rows::{Row, Table};
use super::{HourlyError, ReadAs, short};
use crate::catalog::intensity_basis::IntensityBasis;

/// An answer, its list alone, or the list of one region within it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Hour>),
    Named {
        #[serde(alias = "history", alias = "forecast")]
        data: Vec<Hour>,
        #[serde(rename = "emissionFactorType")]
        factors: Option<String>,
        meta: Option<Meta>,
    },
    OfRegion {
        data: Region,
    },
}

#[derive(Deserialize)]
struct Region {
    data: Vec<Hour>,
}

/// What `WattTime` says of its numbers.
#[derive(Deserialize)]
struct Meta {
    units: Option<String>,
    signal_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hour {
    #[serde(alias = "point_time", alias = "from")]
    datetime: String,
    /// Electricity Maps.
    carbon_intensity: Option<f64>,
    emission_factor_type: Option<String>,
    /// `WattTime`.
    value: Option<f64>,
    /// Great Britain.
    intensity: Option<Intensity>,
}

#[derive(Deserialize)]
struct Intensity {
    actual: Option<f64>,
    forecast: Option<f64>,
}

/// Reads the rows, which are counted from 1.
pub(super) fn read(file: &str, text: &str) -> Result<Table, HourlyError> {
    const EXPECTED: &str = "expected `history`, `data` or `forecast` with `datetime` and `carbonIntensity` each, as \
                            Electricity Maps answers, with `point_time` and `value`, as WattTime does, or with `from` and \
                            `intensity`, as Great Britain's Carbon Intensity API does";
    let failed = |message: String| HourlyError::Csv { file: file.to_owned(), what: "a list of hours", message };
    // Whether it is JSON at all is said by its line; what an answer lacks has none.
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|e| failed(format!("{e}; {EXPECTED}")))?;
    let answer = serde_json::from_str(text).map_err(|_| failed(EXPECTED.to_owned()))?;
    let (hours, factors, meta) = match answer {
        Answer::List(hours) => (hours, None, None),
        Answer::Named { data, factors, meta } => (data, factors, meta),
        Answer::OfRegion { data } => (data.data, None, None),
    };
    let first = hours.first();
    let has = |part: fn(&Hour) -> bool| first.is_some_and(part);
    let (read_as, g_per_kwh) = if has(|h| h.intensity.is_some()) {
        (of_great_britain(), 1.0)
    } else if meta.is_some() || has(|h| h.value.is_some()) {
        of_watt_time(meta.as_ref()).map_err(failed)?
    } else {
        (of_electricity_maps(factors.or(first.and_then(|h| h.emission_factor_type.clone())).as_deref()), 1.0)
    };
    let row = |(hour, line): (Hour, u64)| {
        let of_intensity = hour.intensity.as_ref().and_then(|i| i.actual.or(i.forecast));
        match of_intensity.or(hour.value).or(hour.carbon_intensity) {
            Some(x) => Ok(Row { line, time: short(&hour.datetime).to_owned(), g: x * g_per_kwh }),
            None => Err(HourlyError::Value {
                file: file.to_owned(),
                line,
                message: format!("`{}` of `{}` is missing: expected a number", read_as.column, short(&hour.datetime)),
            }),
        }
    };
    let rows = hours.into_iter().zip(1..).map(row).collect::<Result<_, _>>()?;
    Ok(Table { rows, read_as, is_utc: false })
}

fn of_electricity_maps(factors: Option<&str>) -> ReadAs {
    let basis = match factors {
        Some("lifecycle") => Some(IntensityBasis::LifeCycle),
        Some("direct") => Some(IntensityBasis::Direct),
        _ => None,
    };
    let form = "an answer of Electricity Maps";
    ReadAs { form, column: "carbonIntensity".to_owned(), basis, is_marginal: false }
}

/// The emissions of generation alone: NESO, Carbon Intensity Forecast Methodology.
fn of_great_britain() -> ReadAs {
    ReadAs {
        form: "an answer of Great Britain's Carbon Intensity API",
        column: "intensity, actual or else forecast".to_owned(),
        basis: Some(IntensityBasis::Direct),
        is_marginal: false,
    }
}

/// What the numbers are, and the g/kWh of one: an answer without `meta` is of the signal that `WattTime` gives by itself.
fn of_watt_time(meta: Option<&Meta>) -> Result<(ReadAs, f64), String> {
    let units = meta.and_then(|m| m.units.as_deref()).unwrap_or("lbs_co2_per_mwh");
    let signal = meta.and_then(|m| m.signal_type.as_deref()).unwrap_or("co2_moer");
    let is_marginal = match signal {
        "co2_moer" => true,
        "co2_aoer" => false,
        other => return Err(format!("its signal is `{}`: expected `co2_moer` or `co2_aoer`", short(other))),
    };
    if units != "lbs_co2_per_mwh" {
        return Err(format!("its unit is `{}`: expected `lbs_co2_per_mwh`", short(units)));
    }
    Ok((watt_time("value", is_marginal), POUNDS_PER_MWH))
}
