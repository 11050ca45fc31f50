//! Quantities as types: adding joules to watts does not compile.
//!
//! Each quantity is a newtype over `f64` in the unit that its name spells out. Only products that
//! exist in physics are implemented; like divided by like is a plain ratio. Serialised, a quantity is
//! a bare number, so the field that holds it ends in the unit (`energy_j`, `price_usd_per_hour`).

mod amount;
mod as_written;
mod dtype;
mod states;
mod whole;

pub use amount::{Amount, parse_amount};
pub use as_written::{
    Money, parse_count, parse_electricity_price, parse_intensity, parse_power, parse_rent, parse_time,
    parse_whole_count,
};
pub use dtype::{DType, UnknownDType};
pub use states::{Optimizer, States, UnknownStates, Weights};
pub use whole::{whole, whole_or_none};

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

/// Joules in a kilowatt-hour (exact: 1 kW x 3600 s).
pub const JOULES_PER_KWH: f64 = 3.6e6;
/// Seconds in an hour (exact).
pub const SECONDS_PER_HOUR: f64 = 3600.0;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $symbol:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)?;
                f.write_str(concat!(" ", $symbol))
            }
        }
        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self { Self(self.0 + other.0) }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) { self.0 += other.0; }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self { Self(self.0 - other.0) }
        }
        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self { Self(self.0 * factor) }
        }
        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self { Self(self.0 / divisor) }
        }
        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 { self.0 / other.0 }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self { Self(items.map(|q| q.0).sum()) }
        }
    };
}

quantity!(
    /// Time in seconds.
    Seconds, "s"
);
quantity!(
    /// Energy in joules.
    ///
    /// ```
    /// use greenformers::units::{GramsCo2ePerKwh, Joules, Seconds, Watts};
    ///
    /// let energy: Joules = Watts(700.0) * Seconds(3600.0);
    /// assert_eq!((energy, energy.kwh()), (Joules(2_520_000.0), 0.7));
    /// assert_eq!((energy * GramsCo2ePerKwh(500.0)).0, 0.35); // kgCO2e
    /// ```
    ///
    /// Joules and watts do not add up:
    ///
    /// ```compile_fail,E0308
    /// # use greenformers::units::{Joules, Watts};
    /// let sum = Joules(1.0) + Watts(1.0);
    /// ```
    Joules, "J"
);
quantity!(
    /// Power in watts.
    Watts, "W"
);
quantity!(
    /// A count of floating-point operations; one multiply-add is two.
    Flop, "FLOP"
);
quantity!(
    /// A rate of floating-point operations.
    FlopPerSecond, "FLOP/s"
);
quantity!(
    /// An amount of memory or traffic in bytes.
    Bytes, "B"
);
quantity!(
    /// A memory bandwidth in bytes per second.
    BytesPerSecond, "B/s"
);
quantity!(
    /// Greenhouse-gas emissions in kilograms of CO2 equivalent (never kilograms of anything else).
    KgCo2e, "kgCO2e"
);
quantity!(
    /// Grid carbon intensity in grams of CO2 equivalent per kilowatt-hour.
    GramsCo2ePerKwh, "gCO2e/kWh"
);
quantity!(
    /// Money in US dollars.
    Usd, "USD"
);
quantity!(
    /// A rental price in US dollars per device-hour.
    UsdPerHour, "USD/h"
);
quantity!(
    /// An electricity price in US dollars per kilowatt-hour.
    UsdPerKwh, "USD/kWh"
);
quantity!(
    /// Water in litres.
    Litres, "L"
);
quantity!(
    /// Water use in litres per kilowatt-hour.
    LitresPerKwh, "L/kWh"
);
quantity!(
    /// A length in nanometres: the feature size of a chip.
    Nanometres, "nm"
);
quantity!(
    /// A number without a dimension, such as a PUE.
    Ratio, "(1)"
);

impl Seconds {
    /// The same time in hours.
    #[must_use]
    pub fn hours(self) -> f64 {
        self.0 / SECONDS_PER_HOUR
    }

    /// `hours` hours.
    #[must_use]
    pub fn from_hours(hours: f64) -> Self {
        Self(hours * SECONDS_PER_HOUR)
    }
}

impl Joules {
    /// The same energy in kilowatt-hours.
    #[must_use]
    pub fn kwh(self) -> f64 {
        self.0 / JOULES_PER_KWH
    }

    /// `kwh` kilowatt-hours.
    #[must_use]
    pub fn from_kwh(kwh: f64) -> Self {
        Self(kwh * JOULES_PER_KWH)
    }
}

/// Implements `$a * $b = $c` in both orders, and the two divisions that follow from it.
macro_rules! product {
    ($a:ident * $b:ident = $c:ident) => {
        impl Mul<$b> for $a {
            type Output = $c;
            fn mul(self, other: $b) -> $c {
                $c(self.0 * other.0)
            }
        }
        impl Mul<$a> for $b {
            type Output = $c;
            fn mul(self, other: $a) -> $c {
                $c(self.0 * other.0)
            }
        }
        impl Div<$a> for $c {
            type Output = $b;
            fn div(self, other: $a) -> $b {
                $b(self.0 / other.0)
            }
        }
        impl Div<$b> for $c {
            type Output = $a;
            fn div(self, other: $b) -> $a {
                $a(self.0 / other.0)
            }
        }
    };
}

product!(Watts * Seconds = Joules);
product!(FlopPerSecond * Seconds = Flop);
product!(BytesPerSecond * Seconds = Bytes);

impl Mul<GramsCo2ePerKwh> for Joules {
    type Output = KgCo2e;
    fn mul(self, intensity: GramsCo2ePerKwh) -> KgCo2e {
        KgCo2e(self.kwh() * intensity.0 / 1000.0)
    }
}

impl Mul<UsdPerKwh> for Joules {
    type Output = Usd;
    fn mul(self, price: UsdPerKwh) -> Usd {
        Usd(self.kwh() * price.0)
    }
}

impl Mul<UsdPerHour> for Seconds {
    type Output = Usd;
    fn mul(self, price: UsdPerHour) -> Usd {
        Usd(self.hours() * price.0)
    }
}

impl Mul<LitresPerKwh> for Joules {
    type Output = Litres;
    fn mul(self, use_per_kwh: LitresPerKwh) -> Litres {
        Litres(self.kwh() * use_per_kwh.0)
    }
}

/// A judgement: the averages of surveys went from 2.5 in 2007 to 1.56 in 2024 (Uptime Institute, Global Data Center Survey).
const MOST_PUE: f64 = 3.0;

/// What is wrong with a power usage effectiveness, if something is.
#[must_use]
pub fn pue_fault(pue: f64) -> Option<String> {
    if (1.0..=MOST_PUE).contains(&pue) {
        return None;
    }
    let as_percent = pue / 100.0;
    let percent = if (1.0..=MOST_PUE).contains(&as_percent) {
        format!("\nhint: {pue} per cent are {as_percent}")
    } else {
        String::new()
    };
    Some(format!(
        "the PUE is {pue}: expected facility energy over IT energy, a finite number of at least 1, and at most {MOST_PUE}{percent}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_hundred_watts_for_an_hour_is_0_7_kwh_and_332_5_grams() {
        let energy = Watts(700.0) * Seconds(3600.0);
        assert_eq!(energy, Joules(2.52e6));
        assert!((energy.kwh() - 0.7).abs() < 1e-12);
        assert!((energy * GramsCo2ePerKwh(475.0)).0 - 0.3325 < 1e-12);
    }

    #[test]
    fn an_hour_at_two_dollars_forty_eight() {
        assert!(((Seconds::from_hours(79.2) * UsdPerHour(2.48)).0 - 196.416).abs() < 1e-9);
    }

    #[test]
    fn a_printed_quantity_has_its_unit_and_honours_the_precision() {
        assert_eq!(format!("{:.1}", Watts(12.34)), "12.3 W");
    }

    #[test]
    fn a_pue_is_at_least_1_and_at_most_3_and_per_cent_are_named() {
        for fine in [1.0, 1.58, 3.0] {
            assert_eq!(pue_fault(fine), None, "{fine}");
        }
        for (pue, part) in [
            (0.9, "the PUE is 0.9: expected"),
            (158.0, "hint: 158 per cent are 1.58"),
            (3.1, "at most 3"),
            (f64::NAN, "the PUE is NaN"),
            (f64::INFINITY, "the PUE is inf"),
            (-1.0, "the PUE is -1"),
        ] {
            assert!(pue_fault(pue).is_some_and(|fault| fault.contains(part)), "{pue}");
        }
        assert!(!pue_fault(3.1).is_some_and(|fault| fault.contains("hint")));
    }
}
