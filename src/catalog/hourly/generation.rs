//! Generation by source, as ENTSO-E's transparency platform gives it: a column for each source, or a row for each. The intensity is
//! that of what was generated in the area; what came over its borders is not in the file.
//!
//! gCO2e/kWh over the life cycle are the medians of IPCC AR5, Annex III, table A.III.2. It has none for oil and none for lignite:
//! these are the median of oil and the upper quartile of coal of IPCC SRREN, table A.II.4 (lignite, peat and oil shale burn worst of
//! what is called coal). Gas of coal counts as coal; waste and what has no name as natural gas, which lies between the fuels and
//! the others.

use std::collections::BTreeMap;

use self::Emits::{Elsewhere, Grams};
use super::columns::plain;
use super::number::number;
use super::rows::{Row, Table};
use super::time::{Clock, iso, start_of};
use super::{HourlyError, MAX_HOURS, ReadAs, short};
use crate::catalog::intensity_basis::IntensityBasis;

const HARD_COAL: f64 = 820.0;
const LIGNITE: f64 = 1130.0;
const OIL: f64 = 840.0;
const GAS: f64 = 490.0;
const BIOMASS: f64 = 230.0;
const SOLAR: f64 = 48.0;
const GEOTHERMAL: f64 = 38.0;
const HYDRO: f64 = 24.0;
const OCEAN: f64 = 17.0;
const NUCLEAR: f64 = 12.0;
const WIND_OFFSHORE: f64 = 12.0;
const WIND_ONSHORE: f64 = 11.0;

/// What a source emits.
#[derive(Clone, Copy, PartialEq)]
enum Emits {
    /// So many gCO2e/kWh.
    Grams(f64),
    /// What a storage gives was generated before, and is counted there.
    Elsewhere,
}

/// What the names of sources begin with, without spaces and signs.
const SOURCES: [(&str, Emits); 20] = [
    ("biomass", Grams(BIOMASS)),
    ("fossilbrowncoal", Grams(LIGNITE)),
    ("fossilpeat", Grams(LIGNITE)),
    ("fossiloilshale", Grams(LIGNITE)),
    ("fossilcoalderivedgas", Grams(HARD_COAL)),
    ("fossilhardcoal", Grams(HARD_COAL)),
    ("fossilgas", Grams(GAS)),
    ("fossiloil", Grams(OIL)),
    ("geothermal", Grams(GEOTHERMAL)),
    ("hydropumpedstorage", Elsewhere),
    ("hydro", Grams(HYDRO)),
    ("energystorage", Elsewhere),
    ("marine", Grams(OCEAN)),
    ("nuclear", Grams(NUCLEAR)),
    ("otherrenewable", Grams(GEOTHERMAL)),
    ("other", Grams(GAS)),
    ("solar", Grams(SOLAR)),
    ("waste", Grams(GAS)),
    ("windoffshore", Grams(WIND_OFFSHORE)),
    ("windonshore", Grams(WIND_ONSHORE)),
];

/// What stands for a number that there is none of.
const NOTHING: [&str; 5] = ["", "-", "n/e", "n/a", "na"];

/// Where the parts of a row stand.
pub(super) struct Kind {
    time: usize,
    clock: Clock,
    area: Option<usize>,
    sources: Sources,
}

enum Sources {
    /// A column for each, with its gCO2e/kWh.
    Columns(Vec<(usize, f64)>),
    /// Two columns: the name of the source, and its power.
    Rows(usize, usize),
}

/// Finds them in a header, if it is of generation by source.
pub(super) fn find(file: &str, header: &[&str]) -> Result<Option<Kind>, HourlyError> {
    let names: Vec<String> = header.iter().map(|h| plain(h)).collect();
    let Some(time) = names.iter().position(|name| name.starts_with("mtu") || name.starts_with("datetime")) else {
        return Ok(None);
    };
    let column = |begins: &str| names.iter().position(|name| name.starts_with(begins));
    let by_column: Vec<(usize, f64)> = names
        .iter()
        .enumerate()
        .filter(|(_, name)| name.contains("actualaggregated"))
        .filter_map(|(i, name)| match emits(name)? {
            Grams(g) => Some((i, g)),
            Elsewhere => None,
        })
        .collect();
    let sources = match (by_column.is_empty(), column("productiontype")) {
        (false, _) => Sources::Columns(by_column),
        (true, Some(source)) => {
            let power = column("actualgenerationoutput").or_else(|| column("generation"));
            let Some(power) = power else { return Ok(None) };
            Sources::Rows(source, power)
        }
        (true, None) if names.iter().any(|name| name.contains("price")) => {
            return Err(HourlyError::Csv {
                file: file.to_owned(),
                what: "a table of intensities",
                message:
                    "it is one of prices\nhint: `--usd-per-kwh` takes a price of electricity; a file of ENTSO-E's \
                          generation by production type gives the intensity"
                        .to_owned(),
            });
        }
        (true, None) => return Ok(None),
    };
    let area = column("areacode").or_else(|| column("area"));
    Ok(Some(Kind { time, clock: Clock::named_in(header[time]), area, sources }))
}

/// What a source emits by its name, which may have more behind it, if it is known.
fn emits(name: &str) -> Option<Emits> {
    SOURCES.iter().find(|(begins, _)| name.starts_with(begins)).map(|(_, emits)| *emits)
}

/// Power and emissions by the time at which they began.
#[derive(Default)]
pub(super) struct Mix {
    /// By minutes of UTC: the time as it is shown, the first line, megawatts, and these times gCO2e/kWh.
    at: BTreeMap<i64, (String, u64, f64, f64)>,
    area: Option<String>,
    last_utc: Option<i64>,
}

impl Mix {
    /// Adds a row.
    pub(super) fn add(&mut self, kind: &Kind, row: &csv::StringRecord, comma_is_decimal: bool) -> Result<(), String> {
        let field = |i: usize| row.get(i).unwrap_or_default().trim();
        if let Some(area) = kind.area.map(field) {
            let first = self.area.get_or_insert_with(|| short(area).to_owned());
            if first != short(area) {
                return Err(format!(
                    "the area is `{}`, and `{first}` before: expected one\nhint: keep the rows of one area",
                    short(area)
                ));
            }
        }
        let text = field(kind.time);
        let (utc, offset) = start_of(text, kind.clock, self.last_utc)
            .ok_or_else(|| format!("`{}` is no time: expected `31.01.2026 13:00 - 31.01.2026 14:00`", short(text)))?;
        self.last_utc = Some(utc);
        let power = |text: &str| {
            if NOTHING.contains(&&*text.to_ascii_lowercase()) {
                return Ok(None);
            }
            let mw = number(text, comma_is_decimal).map_err(|_| format!("`{}` is no power in MW", short(text)))?;
            // Own use may be more than what is generated.
            Ok::<_, String>(Some(mw.max(0.0)))
        };
        let line = row.position().map_or(0, csv::Position::line);
        let sum = self.at.entry(utc).or_insert_with(|| (iso(utc, offset), line, 0.0, 0.0));
        let mut add = |mw: Option<f64>, g: f64| {
            let mw = mw.unwrap_or_default();
            (sum.2, sum.3) = (sum.2 + mw, sum.3 + mw * g);
        };
        match &kind.sources {
            Sources::Columns(columns) => {
                for (i, g) in columns {
                    add(power(field(*i))?, *g);
                }
            }
            Sources::Rows(source, of) => {
                let name = field(*source);
                match emits(&plain(name)) {
                    Some(Grams(g)) => add(power(field(*of))?, g),
                    Some(Elsewhere) => {}
                    None => return Err(format!("`{}` is no source of electricity that is known", short(name))),
                }
            }
        }
        if self.at.len() > MAX_HOURS * 12 {
            return Err("there are more rows than ten years have".to_owned());
        }
        Ok(())
    }

    /// The intensities; hours without any power at the end are still to come.
    pub(super) fn table(mut self, file: &str) -> Result<Table, HourlyError> {
        while self.at.last_key_value().is_some_and(|(_, sum)| sum.2 <= 0.0) {
            self.at.pop_last();
        }
        let row = |(time, line, mw, grams): (String, u64, f64, f64)| {
            if mw > 0.0 {
                return Ok(Row { line, time, g: grams / mw });
            }
            let message =
                format!("nothing was generated at `{time}`: expected megawatts\nhint: end the file before it");
            Err(HourlyError::Value { file: file.to_owned(), line, message })
        };
        let rows = self.at.into_values().map(row).collect::<Result<_, _>>()?;
        let read_as = ReadAs {
            form: "ENTSO-E's generation by source, at IPCC's medians, without what crosses borders",
            column: "the power of each source".to_owned(),
            basis: Some(IntensityBasis::LifeCycle),
            is_marginal: false,
        };
        Ok(Table { rows, read_as, is_utc: true })
    }
}
