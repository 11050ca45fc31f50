//! Days of the Gregorian calendar.

/// Days since 1970-01-01 of a date (Hinnant, chrono-compatible low-level date algorithms); `None` if there is no such day,
/// or it is none of 1900 to 2200.
#[must_use]
pub(super) fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1900..=2200).contains(&year) || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a number of days since 1970-01-01; `None` outside 1900 to 2200.
#[must_use]
pub(super) fn date_of_day(number: i64) -> Option<(i64, i64, i64)> {
    let within = |year: i64| Some(number - day_number(year, 1, 1)?);
    let guess = 1970 + number.div_euclid(366);
    let year = (guess..=guess + 2).rev().find(|year| within(*year).is_some_and(|days| days >= 0))?;
    let mut left = within(year)?;
    for month in 1..=12 {
        let days = days_of(year, month);
        if left < days {
            return Some((year, month, left + 1));
        }
        left -= days;
    }
    None
}

/// Whether it is a Sunday.
#[must_use]
pub(super) fn is_sunday(day_number: i64) -> bool {
    // 1970-01-01 was a Thursday.
    (day_number + 4).rem_euclid(7) == 0
}

/// A number of one to four digits.
#[must_use]
pub(super) fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_and_what_is_no_day_is_none() {
        assert_eq!(day_number(1970, 1, 1), Some(0));
        assert_eq!(day_number(2000, 3, 1), Some(11_017));
        assert_eq!(day_number(2024, 2, 29), Some(19_782));
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 2, 31), (2024, 13, 1), (2024, 0, 1), (2024, 4, 31), (2024, 1, 0)]
        {
            assert_eq!(day_number(year, month, day), None, "{year}-{month}-{day}");
        }
        for (year, month, day) in
            [(1970, 1, 1), (2000, 2, 29), (2024, 12, 31), (2025, 1, 1), (1900, 3, 1), (2200, 12, 31)]
        {
            assert_eq!(day_number(year, month, day).and_then(date_of_day), Some((year, month, day)));
        }
        // 30 March 2025, when summer time began in Europe.
        assert!(day_number(2025, 3, 30).is_some_and(is_sunday));
        assert!(!day_number(2025, 3, 31).is_some_and(is_sunday));
    }
}
