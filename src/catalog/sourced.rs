//! A number with its unit, its source and its date.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::date::{day_number, digits};
use crate::units::{
    Bytes, BytesPerSecond, FlopPerSecond, GramsCo2ePerKwh, KgCo2e, LitresPerKwh, Nanometres, Ratio, Seconds,
    UsdPerHour, UsdPerKwh, Watts,
};

/// A quantity that a catalog file can give.
pub trait CatalogQuantity: Copy {
    /// What it is called in messages.
    const WHAT: &'static str;
    /// The units it may be given in, and how much of the base unit each is. The base unit comes first.
    const UNITS: &'static [(&'static str, f64)];
    /// The quantity of so many base units.
    fn from_base(value: f64) -> Self;
    /// How many base units it is.
    fn base(self) -> f64;
}

macro_rules! given_in {
    ($type:ident, $what:literal, $units:expr) => {
        impl CatalogQuantity for $type {
            const WHAT: &'static str = $what;
            const UNITS: &'static [(&'static str, f64)] = $units;
            fn from_base(value: f64) -> Self {
                Self(value)
            }
            fn base(self) -> f64 {
                self.0
            }
        }
    };
}

given_in!(Watts, "a power", &[("W", 1.0), ("kW", 1e3)]);
given_in!(Bytes, "an amount of memory", &[("B", 1.0), ("MB", 1e6), ("GB", 1e9), ("GiB", 1_073_741_824.0)]);
given_in!(BytesPerSecond, "a bandwidth", &[("B/s", 1.0), ("GB/s", 1e9), ("TB/s", 1e12)]);
given_in!(FlopPerSecond, "a rate", &[("FLOP/s", 1.0), ("GFLOP/s", 1e9), ("TFLOP/s", 1e12), ("PFLOP/s", 1e15)]);
given_in!(GramsCo2ePerKwh, "a carbon intensity", &[("gCO2e/kWh", 1.0), ("kgCO2e/kWh", 1e3), ("kgCO2e/MWh", 1.0)]);
given_in!(KgCo2e, "a mass of emissions", &[("kgCO2e", 1.0), ("tCO2e", 1e3)]);
given_in!(UsdPerHour, "a price", &[("USD/h", 1.0)]);
given_in!(UsdPerKwh, "a price", &[("USD/kWh", 1.0), ("USD/MWh", 1e-3)]);
given_in!(LitresPerKwh, "a water use", &[("L/kWh", 1.0)]);
given_in!(Seconds, "a time", &[("s", 1.0), ("ms", 1e-3)]);
given_in!(Nanometres, "a length", &[("nm", 1.0)]);
given_in!(Ratio, "a ratio", &[("1", 1.0)]);

/// A number that says where it comes from and when it held.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<Q> {
    /// The number.
    pub value: Q,
    /// The lowest and the highest that sources give, where they differ.
    pub range: Option<(Q, Q)>,
    /// Year (`2024`) or month (`2026-05`) that it holds for.
    pub date: String,
    /// Where it was read.
    pub source: String,
    /// What it counts, where that differs between sources (`life-cycle`, `spot`).
    pub basis: Option<String>,
    /// What exactly it is the price of.
    pub what: Option<String>,
    /// A caveat.
    pub note: Option<String>,
}

impl<Q: CatalogQuantity> Sourced<Q> {
    /// The value in the base unit.
    pub fn base(&self) -> f64 {
        self.value.base()
    }

    /// Lowest, best and highest value in the base unit; all the same if there is no range.
    pub fn low_mid_high(&self) -> (f64, f64, f64) {
        let mid = self.base();
        self.range.map_or((mid, mid, mid), |(low, high)| (low.base(), mid, high.base()))
    }

    /// Its entries in a map, in the base unit.
    pub(super) fn each_entry<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("value", &self.base())?;
        map.serialize_entry("unit", Q::UNITS[0].0)?;
        if let Some((low, high)) = self.range {
            map.serialize_entry("low", &low.base())?;
            map.serialize_entry("high", &high.base())?;
        }
        map.serialize_entry("date", &self.date)?;
        map.serialize_entry("source", &self.source)?;
        for (name, text) in [("basis", &self.basis), ("what", &self.what), ("note", &self.note)] {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        Ok(())
    }

    /// Source and date in one line.
    pub fn provenance(&self) -> String {
        let basis = self.basis.as_deref().map(|b| format!(", {b}")).unwrap_or_default();
        format!("{} ({}{basis})", self.source, self.date)
    }
}

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    value: f64,
    unit: String,
    low: Option<f64>,
    high: Option<f64>,
    year: Option<i32>,
    date: Option<String>,
    source: String,
    basis: Option<String>,
    what: Option<String>,
    note: Option<String>,
    /// Of a price alone.
    provider: Option<String>,
    instance: Option<String>,
    devices: Option<u32>,
    regions: Option<BTreeMap<String, f64>>,
}

/// What only a price has.
pub(super) struct OfOffer {
    pub(super) provider: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) devices: Option<u32>,
    pub(super) regions: Option<BTreeMap<String, f64>>,
}

impl Written {
    /// Takes out what only a price has.
    pub(super) fn take_offer(&mut self) -> OfOffer {
        OfOffer {
            provider: self.provider.take(),
            instance: self.instance.take(),
            devices: self.devices.take(),
            regions: self.regions.take(),
        }
    }

    /// The first key that only a price has.
    fn of_offer(&self) -> Option<&'static str> {
        [
            ("provider", self.provider.is_some()),
            ("instance", self.instance.is_some()),
            ("devices", self.devices.is_some()),
            ("regions", self.regions.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_there)| is_there.then_some(name))
    }
}

impl<'de, Q: CatalogQuantity> Deserialize<'de> for Sourced<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SourcedVisitor(PhantomData))
    }
}

/// Checks while the parser is still inside the number, so that an error bears its line.
struct SourcedVisitor<Q>(PhantomData<Q>);

impl<'de, Q: CatalogQuantity> de::Visitor<'de> for SourcedVisitor<Q> {
    type Value = Sourced<Q>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as `{{value: .., unit: {}, year: .., source: ..}}`", Q::WHAT, Q::UNITS[0].0)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Sourced<Q>, A::Error> {
        let written = Written::deserialize(de::value::MapAccessDeserializer::new(map))?;
        check(written).map_err(de::Error::custom)
    }
}

/// No quantity that is not 0 is smaller or larger in its base unit: with room on both sides of what there is, and so that
/// no product of some of them leaves the range of numbers.
const SMALLEST: f64 = 1e-12;
const LARGEST: f64 = 1e21;

pub(super) fn check<Q: CatalogQuantity>(written: Written) -> Result<Sourced<Q>, String> {
    if let Some(key) = written.of_offer() {
        return Err(format!("unknown field `{key}`: only one of the `prices` of a device has it"));
    }
    let Some((_, factor)) = Q::UNITS.iter().find(|(unit, _)| *unit == written.unit) else {
        let allowed: Vec<_> = Q::UNITS.iter().map(|(unit, _)| format!("`{unit}`")).collect();
        return Err(format!("expected {} in {}, got `{}`", Q::WHAT, allowed.join(" or "), written.unit));
    };
    let quantity = |name: &str, value: f64| checked(name, value, *factor).map(Q::from_base);
    let value = quantity("value", written.value)?;
    let range = match (written.low, written.high) {
        (None, None) => None,
        (Some(low), Some(high)) if low <= written.value && written.value <= high => {
            Some((quantity("low", low)?, quantity("high", high)?))
        }
        (Some(low), Some(high)) => {
            return Err(format!("expected `low` <= `value` <= `high`, got {low}, {}, {high}", written.value));
        }
        _ => return Err("expected both `low` and `high`, or neither".to_owned()),
    };
    if written.source.trim().is_empty() {
        return Err("`source` is empty: every number needs one".to_owned());
    }
    let date = match (written.year, written.date) {
        (Some(year), None) if (1990..=2100).contains(&year) => year.to_string(),
        (None, Some(date)) if is_date(&date) => date,
        (None, Some(date)) => {
            let date: String = date.chars().take(40).collect();
            return Err(format!(
                "`date` is `{date}`: expected a day, month or year that there is, such as `date: \"2026-05\"`"
            ));
        }
        (None, None) => return Err("missing field `year` (or `date: \"2026-05\"`): every number needs one".to_owned()),
        (Some(year), None) => return Err(format!("`year` is {year}: expected 1990 to 2100")),
        (Some(_), Some(_)) => return Err("expected one of `year: 2026` and `date: \"2026-05\"`, not both".to_owned()),
    };
    let Written { source, basis, what, note, .. } = written;
    Ok(Sourced { value, range, date, source, basis, what, note })
}

/// A number in its base unit, of which the unit is `factor`.
pub(super) fn checked(name: &str, value: f64, factor: f64) -> Result<f64, String> {
    let base = value * factor;
    if base == 0.0 || (SMALLEST..=LARGEST).contains(&base) {
        Ok(base)
    } else {
        Err(format!("`{name}` is {value}: expected a finite number of at least 0, of a size that can be"))
    }
}

/// `2026`, `2026-05` or `2026-05-17`, of the years that numbers may be of.
fn is_date(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    let number = |i: usize, len| match parts.get(i) {
        Some(part) if part.len() == len => digits(part),
        Some(_) => None,
        None => Some(1),
    };
    let day = number(0, 4).zip(number(1, 2)).zip(number(2, 2));
    parts.len() <= 3 && day.is_some_and(|((y, m), d)| (1990..=2100).contains(&y) && day_number(y, m, d).is_some())
}

/// In the base unit, and so that it can be read again.
impl<Q: CatalogQuantity> Serialize for Sourced<Q> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.each_entry(&mut map)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sourced<Watts>, String> {
        serde_yaml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_number_is_converted_to_the_base_unit() {
        let tdp = read("{value: 0.7, low: 0.6, high: 0.8, unit: kW, year: 2023, source: datasheet}").expect("valid");
        assert_eq!(tdp.low_mid_high(), (600.0, 700.0, 800.0));
        assert_eq!(tdp.provenance(), "datasheet (2023)");
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (yaml, part) in [
            ("{value: 1, unit: W, year: 2023}", "missing field `source`"),
            ("{value: 1, unit: W, source: ' ', year: 2023}", "`source` is empty"),
            ("{value: 1, unit: W, source: x}", "missing field `year`"),
            ("{value: 1, unit: J, year: 2023, source: x}", "expected a power in `W` or `kW`, got `J`"),
            ("{value: -1, unit: W, year: 2023, source: x}", "`value` is -1"),
            ("{value: .nan, unit: W, year: 2023, source: x}", "`value` is NaN"),
            ("{value: .inf, unit: W, year: 2023, source: x}", "`value` is inf"),
            ("{value: 1, low: 2, high: 3, unit: W, year: 2023, source: x}", "`low` <= `value` <= `high`"),
            ("{value: 1, low: 0, unit: W, year: 2023, source: x}", "both `low` and `high`"),
            ("{value: 1, unit: W, date: soon, source: x}", "`date: \"2026-05\"`"),
            ("{value: 1, unit: W, date: 2024-13, source: x}", "`date` is `2024-13`"),
            ("{value: 1, unit: W, date: 2024-00, source: x}", "`date` is `2024-00`"),
            ("{value: 1, unit: W, date: 2024-02-31, source: x}", "`date` is `2024-02-31`"),
            ("{value: 1, unit: W, date: 2023-02-29, source: x}", "`date` is `2023-02-29`"),
            ("{value: 1, unit: W, date: 2024-2, source: x}", "`date` is `2024-2`"),
            ("{value: 1, unit: W, date: '3024', source: x}", "`date` is `3024`"),
            ("{value: 1, unit: W, date: 2024-01-01-01, source: x}", "`date` is `2024-01-01-01`"),
            ("{value: 1, unit: W, year: 20233, source: x}", "`year` is 20233: expected 1990 to 2100"),
            ("{value: 1, unit: W, year: 2023, source: x, colour: red}", "unknown field `colour`"),
            ("{value: 1, unit: W, year: 2023, source: x, provider: aws}", "unknown field `provider`"),
        ] {
            let error = read(yaml).expect_err(yaml);
            assert!(error.contains(part), "{yaml}: {error}");
        }
    }
}
