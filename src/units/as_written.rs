//! Quantities as people write them: `350W`, `11h40m`, `50k`, `10B`, `0.30 EUR/kWh`, `0.4 kg/kWh`.
//!
//! A number without a unit is in the unit that the option names. What could mean two things is not guessed.

use super::{GramsCo2ePerKwh, Seconds, Watts};

/// Grams of a pound (exact).
const G_PER_LB: f64 = 453.592_37;
/// No electricity costs so many dollars a kilowatt-hour.
const MOST_PER_KWH: f64 = 5.0;

/// A number and what comes after it, in lower case without blanks.
pub(super) fn number_and_unit(text: &str) -> Option<(f64, String)> {
    let text: String = text.trim().chars().filter(|c| !c.is_whitespace() && *c != '_').collect();
    let lower = text.to_lowercase();
    // `1e6` is a number, and `1eur` is not: the longest beginning that is one counts.
    let mut ends = lower.char_indices().map(|(i, c)| i + c.len_utf8()).rev();
    let longest = ends.find(|end| lower[..*end].parse::<f64>().is_ok_and(f64::is_finite))?;
    let number = lower[..longest].parse().ok()?;
    // The end of the same number of characters in what was typed: `M` and `m` differ.
    Some((number, text.get(longest..)?.to_owned()))
}

/// A count: `1000`, `50k`, `2.5M`, `10B`, `1.5T`, `1e6`.
///
/// # Errors
/// If it is no number of at least 0, or its ending is none of these, in words for people.
pub fn parse_count(text: &str) -> Result<f64, String> {
    let wrong = || format!("expected a number such as `1000`, `50k`, `2.5M`, `10B` or `1e6`, got `{text}`");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor = match unit.as_str() {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" | "m" => 1e6,
        "B" | "b" | "G" | "g" => 1e9,
        "T" | "t" => 1e12,
        _ => return Err(wrong()),
    };
    let count = number * factor;
    // A product like 2.3 x 1e6 is the whole number that was meant.
    let whole = count.round();
    let count = if (count - whole).abs() < 1e-6 * count.abs() && whole > 0.0 { whole } else { count };
    if (0.0..=1e18).contains(&count) { Ok(count) } else { Err(wrong()) }
}

/// A whole count of at least 1.
///
/// # Errors
/// As [`parse_count`], and if it is no whole number.
pub fn parse_whole_count(text: &str) -> Result<u64, String> {
    match parse_count(text)? {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e18")]
        count if count >= 1.0 && count.fract() == 0.0 => Ok(count as u64),
        _ => Err(format!("expected a whole number of at least 1, such as `1000` or `50k`, got `{text}`")),
    }
}

/// A power: `350`, `350W`, `1.2 kW`.
///
/// # Errors
/// If it is none, in words for people.
pub fn parse_power(text: &str) -> Result<Watts, String> {
    let wrong = || format!("expected a power such as `350`, `350W` or `1.2kW`, got `{text}`");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let factor = match unit.to_lowercase().as_str() {
        "" | "w" | "watt" | "watts" => 1.0,
        "kw" => 1e3,
        _ => return Err(wrong()),
    };
    let watts = number * factor;
    if (0.0..=1e12).contains(&watts) { Ok(Watts(watts)) } else { Err(wrong()) }
}

/// A time: `79.2` in the unit `plain_s` of seconds, or `11h40m`, `2d`, `90min`, `0.42s`, `420ms`, `2d 6h`.
///
/// # Errors
/// If it is none, in words for people.
pub fn parse_time(text: &str, plain_s: f64) -> Result<Seconds, String> {
    let wrong = || format!("expected a time such as `0.42s`, `90min`, `11h40m` or `2d`, got `{text}`");
    let compact: String = text.trim().chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect();
    if let Ok(number) = compact.parse::<f64>() {
        let seconds = number * plain_s;
        return if number.is_finite() && (0.0..=1e12).contains(&seconds) { Ok(Seconds(seconds)) } else { Err(wrong()) };
    }
    let mut rest = compact.as_str();
    let (mut seconds, mut last) = (0.0, f64::INFINITY);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = &rest[digits..];
        let letters = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let of_unit = match &unit[..letters] {
            "ms" => 1e-3,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(wrong()),
        };
        // `40m11h` is a slip of the pen.
        if of_unit >= last {
            return Err(wrong());
        }
        (seconds, last) = (seconds + number * of_unit, of_unit);
        rest = &unit[letters..];
    }
    if last.is_finite() && seconds <= 1e12 { Ok(Seconds(seconds)) } else { Err(wrong()) }
}

/// An intensity: `400`, `400g`, `0.4 kg/kWh`, `900 lb/MWh`.
///
/// # Errors
/// If it is none, in words for people.
pub fn parse_intensity(text: &str) -> Result<GramsCo2ePerKwh, String> {
    let wrong =
        || format!("expected the emissions of a kilowatt-hour such as `400`, `0.4kg` or `900 lb/MWh`, got `{text}`");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let unit = unit.to_lowercase().replace("co2eq", "").replace("co2e", "").replace("co2", "");
    let grams = match unit.as_str() {
        "" | "g" | "g/kwh" | "kg/mwh" => number,
        "kg" | "kg/kwh" | "t/mwh" => number * 1e3,
        "lb" | "lb/kwh" | "lbs/kwh" => number * G_PER_LB,
        "lb/mwh" | "lbs/mwh" => number * G_PER_LB / 1e3,
        _ => return Err(wrong()),
    };
    if (0.0..=1e9).contains(&grams) { Ok(GramsCo2ePerKwh(grams)) } else { Err(wrong()) }
}

/// Money of a currency that may have to be changed into dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Money {
    /// How much.
    pub amount: f64,
    /// Whether it is euros, and not US dollars.
    pub is_eur: bool,
}

impl Money {
    /// In US dollars, at so many of them for a euro.
    ///
    /// # Errors
    /// If it is euros and no rate is known, in words for people.
    pub fn usd(self, usd_per_eur: Option<f64>) -> Result<f64, String> {
        match (self.is_eur, usd_per_eur) {
            (false, _) => Ok(self.amount),
            (true, Some(rate)) => Ok(self.amount * rate),
            (true, None) => Err(format!(
                "{} EUR have to be changed into dollars\nhint: give the rate, such as `--eur-usd 1.08`, its mean of 2024",
                self.amount
            )),
        }
    }
}

/// Money for something: `2.48`, `$2.48`, `2.48 USD/h`, `0.30 EUR/kWh`, of what `per` names (`h`, `kWh`).
fn parse_money(text: &str, per: &[&str]) -> Option<Money> {
    let trimmed = text.trim();
    let (sign, rest) = match trimmed.chars().next() {
        Some('$') => (Some(false), &trimmed[1..]),
        Some('€') => (Some(true), &trimmed['€'.len_utf8()..]),
        _ => (None, trimmed),
    };
    let (amount, unit) = number_and_unit(rest)?;
    let unit = unit.to_lowercase();
    let unit = per.iter().find_map(|per| unit.strip_suffix(&format!("/{per}"))).unwrap_or(&unit);
    let named = match unit {
        "" => None,
        "usd" | "$" => Some(false),
        "eur" | "€" => Some(true),
        _ => return None,
    };
    let is_eur = match (sign, named) {
        (Some(_), Some(_)) => return None,
        (Some(is_eur), None) | (None, Some(is_eur)) => is_eur,
        (None, None) => false,
    };
    (0.0..=1e9).contains(&amount).then_some(Money { amount, is_eur })
}

/// The rent of a device for an hour.
///
/// # Errors
/// If it is none, in words for people.
pub fn parse_rent(text: &str) -> Result<Money, String> {
    parse_money(text, &["h", "hour", "hr"]).ok_or_else(|| {
        format!("expected a price of an hour such as `2.48`, `2.48 USD/h` or `2.10 EUR/h`, got `{text}`")
    })
}

/// The price of a kilowatt-hour. One of more than 5 is asked about: it may be cents.
///
/// # Errors
/// If it is none or could be two, in words for people.
pub fn parse_electricity_price(text: &str) -> Result<Money, String> {
    let money = parse_money(text, &["kwh"]).ok_or_else(|| {
        format!("expected a price of a kilowatt-hour such as `0.12`, `0.12 USD/kWh` or `0.30 EUR/kWh`, got `{text}`")
    })?;
    if money.amount > MOST_PER_KWH {
        return Err(format!(
            "`{text}` a kilowatt-hour is more than any costs: cents? write `{}`",
            money.amount / 100.0
        ));
    }
    Ok(money)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_millions_and_billions() {
        for (text, count) in [
            ("1000", 1000.0),
            ("50k", 50e3),
            ("2.3M", 2.3e6),
            ("10B", 10e9),
            ("300e9", 300e9),
            ("1.5T", 1.5e12),
            ("1_000_000", 1e6),
            (" 7 ", 7.0),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
        for text in ["", "k", "-5", "nan", "inf", "5kk", "ten", "1,000", "1e30"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
        assert_eq!(parse_whole_count("0.5M"), Ok(500_000));
        assert!(parse_whole_count("0.5").is_err() && parse_whole_count("0").is_err());
    }

    #[test]
    fn powers_and_times_have_units() {
        for (text, watts) in [("350", 350.0), ("350W", 350.0), ("300 W", 300.0), ("1.2kW", 1200.0)] {
            assert_eq!(parse_power(text), Ok(Watts(watts)), "{text}");
        }
        assert!(parse_power("350V").is_err() && parse_power("-1W").is_err());
        for (text, seconds) in [
            ("2", 7200.0),
            ("11h40m", 42_000.0),
            ("2d", 172_800.0),
            ("2d 6h", 194_400.0),
            ("90min", 5400.0),
            ("0.42s", 0.42),
            ("420ms", 0.42),
            ("1.5h", 5400.0),
        ] {
            let read = parse_time(text, 3600.0).map(|s| s.0);
            assert!(read.as_ref().is_ok_and(|s| (s - seconds).abs() < 1e-9), "{text}: {read:?}");
        }
        for text in ["", "h", "40m11h", "2x", "1h1h", "-2h", "nan", "1..2h"] {
            assert!(parse_time(text, 3600.0).is_err(), "{text}");
        }
    }

    #[test]
    fn intensities_are_in_grams_kilograms_and_pounds() {
        for (text, grams) in [
            ("400", 400.0),
            ("400g", 400.0),
            ("0.4kg", 400.0),
            ("0.4 kg/kWh", 400.0),
            ("400 gCO2e/kWh", 400.0),
            ("350 kg/MWh", 350.0),
            ("0", 0.0),
            ("0.4g", 0.4),
        ] {
            assert_eq!(parse_intensity(text).map(|g| g.0), Ok(grams), "{text}");
        }
        let pounds = parse_intensity("900 lb/MWh").expect("pounds").0;
        assert!((pounds - 408.233).abs() < 1e-3, "{pounds}");
        assert!(parse_intensity("400 stone").is_err() && parse_intensity("-1").is_err());
    }

    #[test]
    fn prices_are_in_dollars_or_euros_that_are_changed_at_a_given_rate() {
        for text in ["2.48", "$2.48", "2.48 USD", "2.48 USD/h", "2.48$/h"] {
            assert_eq!(parse_rent(text), Ok(Money { amount: 2.48, is_eur: false }), "{text}");
        }
        for text in ["0.30 EUR/kWh", "€0.30", "0.3 eur"] {
            let price = parse_electricity_price(text).expect(text);
            assert!(price.is_eur && price.usd(None).is_err(), "{text}");
            assert!((price.usd(Some(1.1)).expect("a rate") - 0.33).abs() < 1e-12, "{text}");
        }
        assert!(parse_rent("2.48 GBP").is_err() && parse_rent("$2 USD").is_err() && parse_rent("-1").is_err());
        let error = parse_electricity_price("30").expect_err("cents");
        assert_eq!(error, "`30` a kilowatt-hour is more than any costs: cents? write `0.3`");
    }
}
