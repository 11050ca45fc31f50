//! Which column of a table is the time and which the intensity.

use super::{HourlyError, ReadAs, short};
use crate::catalog::intensity_basis::IntensityBasis;

/// Names of the column of time, the best first.
const TIMES: [&str; 11] = [
    "datetime (utc)",
    "datetime_utc",
    "utc",
    "datetime",
    "timestamp",
    "time",
    "hour",
    "date_time",
    "point_time",
    "from",
    "start",
];
const LIFE_CYCLE: [&str; 3] = ["lifecycle", "lca", "lifecycleassessment"];
const DIRECT: &str = "direct";
/// Grams of a pound, and kilowatt-hours of a megawatt-hour.
const POUND_G: f64 = 453.592_37;
const MWH_KWH: f64 = 1000.0;
/// Grams a kilowatt-hour of a pound a megawatt-hour.
pub(super) const POUNDS_PER_MWH: f64 = POUND_G / MWH_KWH;

/// The columns of a table, by number.
pub(super) struct Columns {
    pub(super) time: usize,
    /// Whether it says of itself that it is UTC.
    pub(super) is_utc: bool,
    pub(super) intensity: usize,
    /// Grams a kilowatt-hour of one of its unit.
    pub(super) g_per_kwh: f64,
    pub(super) read_as: ReadAs,
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
    let is_utc = header[time].to_ascii_lowercase().contains("utc");
    if let Some(columns) = of_watt_time(header, time) {
        return Ok(columns);
    }
    let mut found: Vec<(usize, f64, Option<IntensityBasis>)> =
        header.iter().enumerate().filter_map(|(i, h)| Some((i, unit(h)?, basis(h)))).collect();
    if found.is_empty() {
        return Err(missing("the intensity", "`gco2e_per_kwh` or `intensity`"));
    }
    // Of several, the one on the basis of the catalog.
    let is_life_cycle = |found: &(usize, f64, Option<IntensityBasis>)| found.2 == Some(IntensityBasis::LifeCycle);
    if found.len() > 1 && found.iter().filter(|found| is_life_cycle(found)).count() == 1 {
        found.retain(is_life_cycle);
    }
    let [(intensity, g_per_kwh, basis)] = found[..] else {
        let columns = found.iter().take(20).map(|(i, ..)| short(header[*i]).to_owned()).collect();
        return Err(HourlyError::SeveralColumns { file: file.to_owned(), columns });
    };
    let (form, of_form) = form(header);
    let column = column_in(header[intensity], g_per_kwh);
    let read_as = ReadAs { form, column, basis: basis.or(of_form), is_marginal: false };
    Ok(Columns { time, is_utc, intensity, g_per_kwh, read_as })
}

/// The column, with its unit if that is not g/kWh.
fn column_in(name: &str, g_per_kwh: f64) -> String {
    let name = short(name);
    if (g_per_kwh - 1.0).abs() < 1e-9 { name.to_owned() } else { format!("{name}, times {g_per_kwh:.4} for g/kWh") }
}

/// What `WattTime` gives by this name: rates of the marginal plants, or of all.
pub(super) fn watt_time(column: &str, is_marginal: bool) -> ReadAs {
    let form = if is_marginal { "WattTime's marginal rates" } else { "WattTime's average rates" };
    let basis = Some(IntensityBasis::Direct);
    ReadAs { form, column: column_in(column, POUNDS_PER_MWH), basis, is_marginal }
}

/// Those of `WattTime`, whose columns name no unit: pounds a megawatt-hour, as its documentation says (docs.watttime.org, signal
/// `co2_moer`).
fn of_watt_time(header: &[&str], time: usize) -> Option<Columns> {
    let lower: Vec<String> = header.iter().map(|h| h.to_ascii_lowercase()).collect();
    let intensity = lower.iter().position(|h| h == "moer").or_else(|| {
        let value = lower.iter().position(|h| h == "value")?;
        (lower[time] == "point_time").then_some(value)
    })?;
    let read_as = watt_time(header[intensity], true);
    Some(Columns { time, is_utc: false, intensity, g_per_kwh: POUNDS_PER_MWH, read_as })
}

/// Whose table it is, and what its intensities count where their column does not say. The British operator's are of generation alone:
/// NESO, Carbon Intensity Forecast Methodology.
fn form(header: &[&str]) -> (&'static str, Option<IntensityBasis>) {
    let has = |name: &str| header.iter().any(|h| plain(h) == name);
    if has("zoneid") {
        ("an export of Electricity Maps", None)
    } else if has("generation") && has("carbonintensity") {
        ("the generation mix of Great Britain's operator", Some(IntensityBasis::Direct))
    } else {
        ("a table of intensities", None)
    }
}

/// Grams a kilowatt-hour of one of a column's unit, if it is an intensity: `Carbon intensity gCO2eq/kWh (direct)`,
/// `carbon_intensity_lb_per_mwh`.
fn unit(name: &str) -> Option<f64> {
    let plain = plain(name);
    let plain = plain.strip_prefix("actual").unwrap_or(&plain);
    let endings = LIFE_CYCLE.iter().copied().chain([DIRECT]);
    let rest = endings.fold(plain, |rest, word| rest.strip_suffix(word).unwrap_or(rest));
    let unit = match ["carbonintensity", "intensity"].iter().find_map(|word| rest.strip_prefix(word)) {
        Some(after) => ["avg", "average", "actual"].iter().find_map(|word| after.strip_prefix(word)).unwrap_or(after),
        // A unit alone names the quantity as well.
        None if rest.contains("co2") => rest,
        None => return None,
    };
    if unit.is_empty() {
        return Some(1.0);
    }
    let masses = [("lbs", POUND_G), ("lb", POUND_G), ("kg", 1000.0), ("g", 1.0), ("t", 1e6)];
    let (grams, rest) = masses.iter().find_map(|(word, grams)| Some((grams, unit.strip_prefix(word)?)))?;
    let rest = ["co2eq", "co2e", "co2"].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
    let rest = rest.strip_prefix("per").unwrap_or(rest);
    match rest {
        "kwh" => Some(*grams),
        "mwh" => Some(grams / MWH_KWH),
        _ => None,
    }
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

/// A name of a column without spaces, signs and capitals.
pub(super) fn plain(name: &str) -> String {
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
            ("intensity index", None),
            ("carbon_intensity_miles", None),
            ("co2", None),
            ("Carbon-free energy percentage (CFE%)", None),
            ("price", None),
            ("", None),
        ] {
            assert_eq!(unit(name).map(|_| super::basis(name)), basis, "{name}");
        }
    }

    #[test]
    fn each_unit_is_brought_to_grams_a_kilowatt_hour() {
        for (name, g_per_kwh) in [
            ("intensity", 1.0),
            ("gCO₂eq/kWh", 1.0),
            ("carbon_intensity_lb_per_mwh", 0.453_592_37),
            ("lbs_co2_per_mwh", 0.453_592_37),
            ("carbon intensity kgCO2/kWh", 1000.0),
            ("kgCO2e/MWh", 1.0),
            ("Carbon intensity (tCO2/MWh)", 1000.0),
        ] {
            let found = unit(name).expect(name);
            assert!((found / g_per_kwh - 1.0).abs() < 1e-12, "{name}: {found}");
        }
    }

    #[test]
    fn of_several_the_life_cycle_is_taken_and_otherwise_all_are_named() {
        let both =
            ["Datetime (UTC)", "Carbon intensity gCO₂eq/kWh (direct)", "Carbon intensity gCO₂eq/kWh (Life cycle)"];
        let columns = find("hours.csv", &both).map_err(|e| e.to_string()).expect("one of them is life-cycle");
        assert_eq!((columns.time, columns.is_utc, columns.intensity), (0, true, 2));
        assert_eq!(columns.read_as.basis, Some(IntensityBasis::LifeCycle));
        let error = find("hours.csv", &["time", "intensity", "carbon_intensity"]).err().expect("two").to_string();
        assert!(error.contains("several columns for the intensity: `intensity`, `carbon_intensity`"), "{error}");
    }
}
