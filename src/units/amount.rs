//! How much of something may be spent: `500USD`, `72h`, `50kg`, `120kWh`, `1000 GPUh`.

use super::as_written::number_and_unit;
use super::{Money, Seconds, parse_time};

/// An amount with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Money.
    Money(Money),
    /// Time from start to end.
    Time(Seconds),
    /// Hours times devices.
    DeviceHours(f64),
    /// Kilograms of CO2e.
    Co2eKg(f64),
    /// Kilowatt-hours.
    EnergyKwh(f64),
}

/// An amount above 0.
///
/// # Errors
/// If it has no unit, one that is not known, or is not above 0, in words for people.
pub fn parse_amount(text: &str) -> Result<Amount, String> {
    const ALLOWED: &str = "money (`500USD`, `450EUR`), a time (`72h`, `3d`), CO2e (`50kg`, `1.2t`), an energy (`120kWh`, \
                           `1.5MWh`) or device hours (`1000GPUh`)";
    const MOST: f64 = 1e15;
    let text = text.trim();
    let sign = text.chars().next().filter(|c| ['$', '€'].contains(c));
    let rest = sign.map_or(text, |sign| &text[sign.len_utf8()..]);
    let Some((number, typed)) = number_and_unit(rest) else {
        return Err(format!("`{text}` is no amount: expected {ALLOWED}"));
    };
    let in_range = |amount: f64| {
        let words = if number <= 0.0 { "more than 0" } else { "at most 1e15 of its unit" };
        if amount > 0.0 && amount <= MOST { Ok(amount) } else { Err(format!("`{text}`: expected {words}")) }
    };
    let typed = match sign {
        Some('$') => typed + "usd",
        Some(_) => typed + "eur",
        None => typed,
    };
    let unit = typed.to_lowercase();
    if let Some((thousands, is_eur)) = currency(&unit) {
        let factor = match thousands {
            "" => 1.0,
            "k" => 1e3,
            "m" => 1e6,
            _ => return Err(unknown(text, &typed, ALLOWED)),
        };
        return Ok(Amount::Money(Money { amount: in_range(number * factor)?, is_eur }));
    }
    let mass = unit.strip_suffix("co2eq").or(unit.strip_suffix("co2e")).or(unit.strip_suffix("co2")).unwrap_or(&unit);
    let kg = match mass {
        "g" => Some(1e-3),
        "kg" => Some(1.0),
        "t" | "tonne" | "tonnes" => Some(1e3),
        _ => None,
    };
    let kwh = match unit.as_str() {
        "wh" => Some(1e-3),
        "kwh" => Some(1.0),
        "mwh" => Some(1e3),
        "gwh" => Some(1e6),
        _ => None,
    };
    let of_devices = ["gpuh", "gpu-h", "gpu-hours", "gpuhours", "deviceh", "device-h", "device-hours"];
    if let Some(kg) = kg {
        return Ok(Amount::Co2eKg(in_range(number * kg)?));
    }
    if let Some(kwh) = kwh {
        return Ok(Amount::EnergyKwh(in_range(number * kwh)?));
    }
    if of_devices.contains(&unit.as_str()) {
        return Ok(Amount::DeviceHours(in_range(number)?));
    }
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: expected {ALLOWED}"));
    }
    match parse_time(text.trim_start_matches(['-', '+']), 0.0) {
        // A sign before it, which no time has.
        Ok(_) if number <= 0.0 || text.starts_with('-') => in_range(-1.0).map(|_| Amount::DeviceHours(0.0)),
        Ok(time) => Ok(Amount::Time(Seconds(in_range(time.0)?))),
        Err(_) => Err(unknown(text, &typed, ALLOWED)),
    }
}

fn unknown(text: &str, unit: &str, allowed: &str) -> String {
    format!("`{unit}` in `{text}` is no unit that is known: expected {allowed}")
}

/// What stands before a currency, and whether that is euros.
fn currency(unit: &str) -> Option<(&str, bool)> {
    let of = |name: &'static str, is_eur| unit.strip_suffix(name).map(|thousands| (thousands, is_eur));
    of("usd", false).or(of("$", false)).or(of("eur", true)).or(of("€", true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_known_by_its_unit() {
        let usd = |amount| Amount::Money(Money { amount, is_eur: false });
        for (text, amount) in [
            ("500USD", usd(500.0)),
            ("$500", usd(500.0)),
            (" 2.5 kUSD", usd(2500.0)),
            ("$1M", usd(1e6)),
            ("450 EUR", Amount::Money(Money { amount: 450.0, is_eur: true })),
            ("€450", Amount::Money(Money { amount: 450.0, is_eur: true })),
            ("72h", Amount::Time(Seconds(259_200.0))),
            ("1d 12h", Amount::Time(Seconds(129_600.0))),
            ("90min", Amount::Time(Seconds(5400.0))),
            ("50kg", Amount::Co2eKg(50.0)),
            ("1.2t", Amount::Co2eKg(1200.0)),
            ("500 gCO2e", Amount::Co2eKg(0.5)),
            ("120kWh", Amount::EnergyKwh(120.0)),
            ("1.5 MWh", Amount::EnergyKwh(1500.0)),
            ("184320GPUh", Amount::DeviceHours(184_320.0)),
            ("10 device-hours", Amount::DeviceHours(10.0)),
        ] {
            assert_eq!(parse_amount(text), Ok(amount), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_what_may_be() {
        for (text, said) in [
            ("500", "has no unit"),
            ("USD", "is no amount"),
            ("", "is no amount"),
            ("5 apples", "`apples` in `5 apples` is no unit"),
            ("5 GBP", "is no unit"),
            ("5 xUSD", "is no unit"),
            ("0USD", "expected more than 0"),
            ("-5kg", "expected more than 0"),
            ("-72h", "expected more than 0"),
            ("0h", "expected more than 0"),
            ("1e20kWh", "at most 1e15"),
        ] {
            let message = parse_amount(text).expect_err(text);
            assert!(message.contains(said), "{text}: {message}");
        }
        assert!(parse_amount("500").expect_err("no unit").contains("`500USD`"));
    }
}
