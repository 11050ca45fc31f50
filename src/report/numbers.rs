//! Numbers as people read them: three significant digits, with their interval.

use crate::stats::Interval;

/// A number with three significant digits and no exponent below a million: `0.0123`, `4.57`, `1 230`.
#[must_use]
pub fn significant(x: f64) -> String {
    if !x.is_finite() {
        return "not known".to_owned();
    }
    if x == 0.0 {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "a decimal exponent")]
    let mut exponent = x.abs().log10().floor() as i32;
    // 9.996 has three digits as 10.0, not as 10.00.
    if (x.abs() / 10f64.powi(exponent) * 100.0).round() >= 1000.0 {
        exponent += 1;
    }
    if !(-4..9).contains(&exponent) {
        return format!("{x:.2e}");
    }
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    if decimals > 0 {
        return format!("{x:.decimals$}");
    }
    let unit = 10f64.powi(exponent - 2);
    group_thousands(&format!("{:.0}", (x / unit).round() * unit))
}

/// `1234567` as `1 234 567`.
fn group_thousands(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |d| ("-", d));
    let mut grouped = String::from(sign);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// `4.57 [4.50, 4.63]`; a bare number if the interval is a point.
#[must_use]
pub fn interval(interval: Interval) -> String {
    if interval.low == interval.high {
        return significant(interval.mid);
    }
    format!("{} [{}, {}]", significant(interval.mid), significant(interval.low), significant(interval.high))
}

/// A count with three significant digits and the letter of its thousands, as options take it: `184k`, `2.96B`, `1.40T`.
#[must_use]
pub fn counted(x: f64) -> String {
    let thousands = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")];
    // What is shown as 1000 of one is 1.00 of the next.
    let (unit, letter) = thousands.into_iter().find(|(unit, _)| x >= 0.9995 * unit).unwrap_or((1.0, ""));
    significant(x / unit) + letter
}

/// The same with its interval: `2.96B [2.11B, 4.02B]`.
#[must_use]
pub(super) fn counted_interval(interval: Interval) -> String {
    format!("{} [{}, {}]", counted(interval.mid), counted(interval.low), counted(interval.high))
}

/// A number at an axis: three significant digits without zeros that say nothing: `0.5`, `1`, `20 000`.
#[must_use]
pub(super) fn tick(x: f64) -> String {
    let text = significant(x);
    match text.split_once('e') {
        None if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        Some((digits, exponent)) if digits.contains('.') => {
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// The unit that suits a time of so many hours, and how many of it an hour is.
#[must_use]
pub(super) fn time_unit(hours: f64) -> (&'static str, f64) {
    match hours {
        h if h < 1.0 => ("min", 60.0),
        h if h < 96.0 => ("h", 1.0),
        h if h < 2.0 * 8766.0 => ("days", 1.0 / 24.0),
        _ => ("years", 1.0 / 8766.0),
    }
}

/// Hours in the unit that suits them: `5.21 min`, `79.2 h`, `12.3 days`, `4.56 years`.
#[must_use]
pub fn human_hours(hours: Interval) -> String {
    let (unit, per_hour) = time_unit(hours.mid);
    format!("{} {unit}", interval(hours.scaled(per_hour)))
}

/// A ratio to dense as what it saves: `32 % [28, 36]`, or costs: `-5 % [-9, -1]`.
#[must_use]
pub fn percent_saved(ratio: Interval) -> String {
    let percent = |x| whole_percent(1.0 - x);
    format!("{} % [{}, {}]", percent(ratio.mid), percent(ratio.high), percent(ratio.low))
}

/// A ratio in words: `32 % [28, 36] less`, and from as long on, how many times it takes: `3.80 [3.61, 4.02] x slower`, `x more`.
#[must_use]
pub(super) fn less_or_times(ratio: Interval, more: &str) -> String {
    if ratio.mid < 1.0 { format!("{} less", percent_saved(ratio)) } else { format!("{} x {more}", interval(ratio)) }
}

/// A ratio to dense as it is: `0.68 [0.64, 0.72]`; what takes several times as long is no saving of a negative part.
#[must_use]
pub(super) fn times_dense(ratio: Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", ratio.mid, ratio.low, ratio.high)
}

/// A dash where there is nothing to show.
pub(super) fn or_dash<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// `x` in whole per cent, without a sign before 0.
fn whole_percent(x: f64) -> String {
    let rounded = (100.0 * x).round();
    format!("{:.0}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// A ratio to dense in words: `32 % [28, 36] less`, `5 % [1, 9] more`, or what is possible where neither is sure.
#[must_use]
pub(super) fn less_or_more(ratio: Interval) -> String {
    let percent = whole_percent;
    let Interval { mid, low, high } = ratio;
    if high < 1.0 {
        format!("{} % [{}, {}] less", percent(1.0 - mid), percent(1.0 - high), percent(1.0 - low))
    } else if low > 1.0 {
        format!("{} % [{}, {}] more", percent(mid - 1.0), percent(low - 1.0), percent(high - 1.0))
    } else {
        format!("anything from {} % less to {} % more", percent(1.0 - low), percent(high - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_significant_digits_at_every_magnitude() {
        let pairs = [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (4.567, "4.57"),
            (9.996, "10.0"),
            (45.67, "45.7"),
            (456.7, "457"),
            (4567.0, "4570"),
            (1_234_567.0, "1 230 000"),
            (2.38e19, "2.38e19"),
            (0.000_001_2, "1.20e-6"),
            (f64::NAN, "not known"),
        ];
        for (x, expected) in pairs {
            assert_eq!(significant(x), expected);
        }
    }

    #[test]
    fn counts_have_the_letter_of_their_thousands() {
        let shown = [7.0, 184_320.0, 999_900.0, 2.96e9, 1.4e12, 2.5e15].map(counted);
        assert_eq!(shown, ["7.00", "184k", "1.00M", "2.96B", "1.40T", "2500T"]);
        assert_eq!(counted_interval(Interval { mid: 2e9, low: 9e8, high: 3e9 }), "2.00B [900M, 3.00B]");
    }

    #[test]
    fn a_saving_of_a_third() {
        assert_eq!(percent_saved(Interval { mid: 0.68, low: 0.64, high: 0.72 }), "32 % [28, 36]");
        assert_eq!(percent_saved(Interval { mid: 1.001, low: 0.95, high: 1.05 }), "0 % [-5, 5]");
    }

    #[test]
    fn what_is_slower_is_so_many_times_slower_and_saves_no_negative_part() {
        let shown = |mid, low, high| less_or_times(Interval { mid, low, high }, "slower");
        assert_eq!(shown(0.68, 0.64, 0.72), "32 % [28, 36] less");
        assert_eq!(shown(3.8, 3.61, 4.02), "3.80 [3.61, 4.02] x slower");
    }

    #[test]
    fn more_less_and_not_sure_are_told_apart() {
        assert_eq!(less_or_more(Interval { mid: 0.68, low: 0.64, high: 0.72 }), "32 % [28, 36] less");
        assert_eq!(less_or_more(Interval { mid: 1.05, low: 1.01, high: 1.09 }), "5 % [1, 9] more");
        assert_eq!(less_or_more(Interval { mid: 1.0, low: 0.97, high: 1.04 }), "anything from 3 % less to 4 % more");
    }

    #[test]
    fn ticks_have_no_zeros_that_say_nothing() {
        for (x, expected) in
            [(0.5, "0.5"), (1.0, "1"), (0.0, "0"), (20_000.0, "20 000"), (1e10, "1e10"), (-20.0, "-20")]
        {
            assert_eq!(tick(x), expected);
        }
    }

    #[test]
    fn hours_become_years() {
        assert_eq!(human_hours(Interval::point(79.2)), "79.2 h");
        assert_eq!(human_hours(Interval::point(240.0)), "10.0 days");
        assert_eq!(human_hours(Interval::point(40_000.0)), "4.56 years");
    }
}
