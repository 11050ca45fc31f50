//! Whole numbers as people write them.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// Above it not every whole number is a floating-point one.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number: `1000000`, and as well `1e6`, `1_000_000`, `1000.0` or `'1000'`.
///
/// # Errors
/// If it is none, is below 0, or is too large.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Whole(PhantomData))
}

/// The same where there may be none.
///
/// # Errors
/// As [`whole`].
pub fn whole_or_none<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct OrNone<T>(PhantomData<T>);

    impl<'de, T: TryFrom<u64>> Visitor<'de> for OrNone<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number such as `1000`, or nothing")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            whole(deserializer).map(Some)
        }
    }

    deserializer.deserialize_option(OrNone(PhantomData))
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Whole<T> {
    fn of<E: Error>(number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| wrong(number))
    }
}

fn wrong<E: Error>(got: impl fmt::Display) -> E {
    let got: String = got.to_string().chars().take(60).collect();
    E::custom(format_args!("expected a whole number such as `1000000`, got `{got}`"))
}

impl<T: TryFrom<u64>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number such as `1000000`")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Self::of(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        u64::try_from(number).map_err(|_| wrong(number)).and_then(Self::of)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        if !(0.0..=EXACT).contains(&number) || number.fract() != 0.0 {
            return Err(wrong(number));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in this range")]
        Self::of(number as u64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let plain = text.trim().replace('_', "");
        let is_number = plain.starts_with(|c: char| c.is_ascii_digit()) && !text.ends_with('_');
        match (plain.parse::<u64>(), plain.parse::<f64>()) {
            (Ok(number), _) if is_number => Self::of(number),
            (_, Ok(number)) if is_number => self.visit_f64(number).map_err(|_: E| wrong(text)),
            _ => Err(wrong(text)),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        Err(wrong(value))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Other("nothing"), &self))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Steps {
        #[serde(deserialize_with = "whole")]
        steps: u64,
        #[serde(default, deserialize_with = "whole_or_none")]
        few: Option<u32>,
    }

    fn read(number: &str) -> Result<Steps, String> {
        serde_yaml::from_str(&format!("{{steps: {number}}}")).map_err(|e| e.to_string())
    }

    #[test]
    fn whole_numbers_are_read_as_people_write_them() {
        for (text, number) in [
            ("1000000", 1_000_000),
            ("1e6", 1_000_000),
            ("1E6", 1_000_000),
            ("1.5e3", 1500),
            ("1_000_000", 1_000_000),
            ("'1000'", 1000),
            ("'1e6'", 1_000_000),
            ("1000.0", 1000),
            ("0", 0),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(read(text).expect(text).steps, number, "{text}");
        }
        let both = |text: &str| serde_yaml::from_str::<Steps>(text).expect(text).few;
        assert_eq!(
            [both("{steps: 1}"), both("{steps: 1, few: ~}"), both("{steps: 1, few: 1e2}")],
            [None, None, Some(100)]
        );
    }

    #[test]
    fn what_is_no_whole_number_is_refused_in_plain_words() {
        for (text, got) in [
            ("1.5", "got `1.5`"),
            ("-1", "got `-1`"),
            ("1e30", "got `1000000"),
            ("many", "got `many`"),
            ("true", "got `true`"),
            ("'1 000'", "got `1 000`"),
            (".nan", "got `NaN`"),
            (".inf", "got `inf`"),
            ("'_'", "got `_`"),
            ("''", "got ``"),
        ] {
            let error = read(text).expect_err(text);
            assert!(
                error.contains("expected a whole number such as `1000000`, ") && error.contains(got),
                "{text}: {error}"
            );
        }
        for text in ["", "[1]", "{a: 1}"] {
            let error = read(text).expect_err(text);
            assert!(error.contains("a whole number") && !error.contains("u64"), "{text}: {error}");
        }
        assert!(serde_yaml::from_str::<Steps>("{steps: 1, few: 5e9}").is_err(), "more than fits");
    }
}
