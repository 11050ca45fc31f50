//! Which column of a table is the time and which the intensity.

use super::{HourlyError, short};
use crate::catalog::intensity_basis::IntensityBasis;

/// Names of the column of time, the best first.
const TIMES: [&str; 10] =
    ["datetime (utc)", "datetime_utc", "utc", "datetime", "timestamp", "time", "hour", "date_time", "from", "start"];
/// What may stand around the words for the intensity, without spaces and signs. Others are another unit or another thing.
const UNITS: [&str; 9] =
    ["", "gkwh", "gperkwh", "gco2kwh", "gco2perkwh", "gco2ekwh", "gco2eperkwh", "gco2eqkwh", "gco2eqperkwh"];
const LIFE_CYCLE: [&str; 3] = ["lifecycle", "lca", "lifecycleassessment"];
const DIRECT: &str = "direct";

/// The columns of a table, by number.
pub(super) struct Columns {
    pub(super) time: usize,
    /// Whether it says of itself that it is UTC.
    pub(super) is_utc: bool,
    pub(super) intensity: usize,
    pub(super) name: String,
    pub(super) basis: Option<IntensityBasis>,
}

/// Finds them in the header.
pub(super) fn find(file: &str, header: &[&str]) -> Result<Columns, HourlyError> {
    let missing = |what, allowed| {
        let got: Vec<_> = header.iter().take(20).map(|h| format!("`{}`", short(h))).collect();
        HourlyError::Column { file: file.to_owned(), what, allowed, got: got.join(", ") }
    };
    let at = |name: &str| header.iter().position(|h| h.to_ascii_lowercase() == name);
    let time = TIMES.iter().find_map(|name| at(name));
    let time = time.ok_or_else(|| missing("the time", "`time`, `timestamp` or `datetime`"))?;
    let mut found: Vec<(usize, Option<IntensityBasis>)> =
        header.iter().enumerate().filter(|(_, h)| is_intensity(h)).map(|(i, h)| (i, basis(h))).collect();
    if found.is_empty() {
        return Err(missing("the intensity", "`gco2e_per_kwh` or `intensity`"));
    }
    // Of several, the one on the basis of the catalog.
    if found.len() > 1 && found.iter().filter(|(_, basis)| *basis == Some(IntensityBasis::LifeCycle)).count() == 1 {
        found.retain(|(_, basis)| *basis == Some(IntensityBasis::LifeCycle));
    }
    let [(intensity, basis)] = found[..] else {
        let columns = found.iter().take(20).map(|(i, _)| short(header[*i]).to_owned()).collect();
        return Err(HourlyError::SeveralColumns { file: file.to_owned(), columns });
    };
    let is_utc = header[time].to_ascii_lowercase().contains("utc");
    Ok(Columns { time, is_utc, intensity, name: short(header[intensity]).to_owned(), basis })
}

/// Whether a column is an intensity in gCO2e/kWh.
fn is_intensity(name: &str) -> bool {
    let plain = plain(name);
    let plain = plain.strip_prefix("actual").unwrap_or(&plain);
    let endings = LIFE_CYCLE.iter().copied().chain([DIRECT]);
    let rest = endings.fold(plain, |rest, word| rest.strip_suffix(word).unwrap_or(rest));
    let unit = match ["carbonintensity", "intensity"].iter().find_map(|word| rest.strip_prefix(word)) {
        Some(after) => ["avg", "average", "actual"].iter().find_map(|word| after.strip_prefix(word)).unwrap_or(after),
        // A unit alone names the quantity as well.
        None if rest.starts_with("gco2") => rest,
        None => return false,
    };
    UNITS.contains(&unit)
}

/// The basis that its name ends in.
fn basis(name: &str) -> Option<IntensityBasis> {
    let plain = plain(name);
    if LIFE_CYCLE.iter().any(|word| plain.ends_with(word)) {
        Some(IntensityBasis::LifeCycle)
    } else {
        plain.ends_with(DIRECT).then_some(IntensityBasis::Direct)
    }
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace('₂', "2").chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_publishers_use_are_known_with_their_basis() {
        use IntensityBasis::{Direct, LifeCycle};
        for (name, basis) in [
            ("gco2e_per_kwh", Some(None)),
            ("intensity_gco2e_per_kwh", Some(None)),
            ("intensity", Some(None)),
            ("carbon_intensity", Some(None)),
            ("CARBON_INTENSITY", Some(None)),
            ("carbonIntensity", Some(None)),
            ("carbon_intensity_avg", Some(None)),
            ("Actual Carbon Intensity (gCO2/kWh)", Some(None)),
            ("Carbon intensity gCO₂eq/kWh (Life cycle)", Some(Some(LifeCycle))),
            ("Carbon Intensity gCO₂eq/kWh (LCA)", Some(Some(LifeCycle))),
            ("Carbon intensity gCO₂eq/kWh (direct)", Some(Some(Direct))),
            ("carbon_intensity_lb_per_mwh", None),
            ("carbon intensity kgCO2/kWh", None),
            ("intensity index", None),
            ("Carbon-free energy percentage (CFE%)", None),
            ("price", None),
            ("", None),
        ] {
            assert_eq!(is_intensity(name).then(|| super::basis(name)), basis, "{name}");
        }
    }

    #[test]
    fn of_several_the_life_cycle_is_taken_and_otherwise_all_are_named() {
        let both =
            ["Datetime (UTC)", "Carbon intensity gCO₂eq/kWh (direct)", "Carbon intensity gCO₂eq/kWh (Life cycle)"];
        let columns = find("hours.csv", &both).map_err(|e| e.to_string()).expect("one of them is life-cycle");
        assert_eq!((columns.time, columns.is_utc, columns.intensity), (0, true, 2));
        assert_eq!(columns.basis, Some(IntensityBasis::LifeCycle));
        let error = find("hours.csv", &["time", "intensity", "carbon_intensity"]).err().expect("two").to_string();
        assert!(error.contains("several columns for the intensity: `intensity`, `carbon_intensity`"), "{error}");
    }
}
