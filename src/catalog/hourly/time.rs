//! Times of rows.

use crate::catalog::date::{date_of_day, day_number, digits, is_sunday};

/// When a row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowTime {
    /// Minutes since 1970, UTC.
    pub(super) utc: i64,
    /// The same on the clock that it was read from.
    pub(super) local: i64,
    /// Whether the text says which clock that is.
    pub(super) has_zone: bool,
}

/// `2026-01-31T13:00`, with or without seconds and a zone; the day also as `31.01.2026`. `None` unless it is a full minute.
pub(super) fn moment(text: &str) -> Option<RowTime> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut parts = date.splitn(3, ['-', '.']).map(digits);
    let (a, b, c) = (parts.next()??, parts.next()??, parts.next()??);
    let day = if date.contains('.') { day_number(c, b, a) } else { day_number(a, b, c) }?;
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], Some(&time[at..])),
        None => time.strip_suffix(" UTC").map_or((time, None), |clock| (clock, Some("Z"))),
    };
    let mut parts = clock.trim().splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?)?, digits(parts.next().unwrap_or("00"))?);
    let second = parts.next().unwrap_or("0");
    if hour > 23 || minute > 59 || !second.bytes().all(|b| b == b'0' || b == b'.') {
        return None;
    }
    let local = (day * 24 + hour) * 60 + minute;
    Some(RowTime { utc: local - zone.map_or(Some(0), zone_minutes)?, local, has_zone: zone.is_some() })
}

/// The clock that times without a zone are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Utc,
    /// That of Brussels, Paris, Berlin and Warsaw, with summer time.
    CentralEuropean,
}

impl Clock {
    /// The one that a header names, else UTC.
    pub(super) fn named_in(header: &str) -> Self {
        if header.contains("CET") || header.contains("CEST") { Self::CentralEuropean } else { Self::Utc }
    }
}

/// When a period begins, such as `31.01.2026 13:00 - 31.01.2026 14:00 (UTC)`, `31/01/2026 13:00:00 - ...` or `2026-01-31 13:00:00`:
/// minutes of UTC, and how far its clock is ahead of it. Of an hour that the end of summer time repeats, the second is the one
/// that does not rise otherwise.
pub(super) fn start_of(text: &str, clock: Clock, last_utc: Option<i64>) -> Option<(i64, i64)> {
    let (period, zone) = match text.split_once('(') {
        Some((period, zone)) => (period.trim(), Some(zone.trim_end_matches(')').trim())),
        None => (text.trim(), None),
    };
    let start = period.split(" - ").next()?.trim();
    // Days come first where slashes part them: that is how Europe writes.
    let local = moment(&start.replace('/', "."))?;
    if local.has_zone {
        return Some((local.utc, local.local - local.utc));
    }
    let ahead = match (zone, clock) {
        (Some("CET"), _) => 60,
        (Some("CEST"), _) => 120,
        (Some("UTC"), _) | (_, Clock::Utc) => 0,
        (_, Clock::CentralEuropean) => {
            let is_summer = is_european_summer(local.local - 120)?;
            let is_second =
                last_utc.is_some_and(|last| local.local - 120 <= last) && !is_european_summer(local.local - 60)?;
            if is_summer && !is_second { 120 } else { 60 }
        }
    };
    Some((local.local - ahead, ahead))
}

/// Whether summer time is kept in Europe at this minute of UTC: from the last Sunday of March, 01:00, to that of October (Directive
/// 2000/84/EC).
fn is_european_summer(utc: i64) -> Option<bool> {
    let (year, ..) = date_of_day(utc.div_euclid(24 * 60))?;
    let change = |month| {
        let last = day_number(year, month, 31)?;
        (last - 6..=last).find(|day| is_sunday(*day)).map(|day| day * 24 * 60 + 60)
    };
    Some((change(3)?..change(10)?).contains(&utc))
}

/// A minute of UTC as a clock shows it that is ahead of it: `2026-01-31T13:00+01:00`.
pub(super) fn iso(utc: i64, ahead: i64) -> String {
    let local = utc + ahead;
    let (year, month, day) = date_of_day(local.div_euclid(24 * 60)).unwrap_or_default();
    let minute = local.rem_euclid(24 * 60);
    let zone = if ahead == 0 { "Z".to_owned() } else { format!("+{:02}:{:02}", ahead / 60, ahead % 60) };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}{zone}", minute / 60, minute % 60)
}

/// Minutes of `Z`, `+01:00`, `-0330`, `+05`.
fn zone_minutes(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, rest) = zone.split_at_checked(1)?;
    let hours = digits(rest.get(..2)?)?;
    let minutes = match rest.get(2..).unwrap_or_default().trim_start_matches(':') {
        "" => 0,
        text if text.len() == 2 => digits(text)?,
        _ => return None,
    };
    // The clocks that there are: of quarters of an hour, from -12:00 to +14:00.
    if hours > 14 || minutes % 15 != 0 || minutes > 45 {
        return None;
    }
    let minutes = hours * 60 + minutes;
    Some(if sign == "-" { -minutes } else { minutes })
}

/// Where summer time begins or ends at about this time of a clock without a zone, if it does.
pub(super) fn clock_change(local: i64, begins: bool) -> Option<&'static str> {
    let day = local.div_euclid(24 * 60);
    let within = |from: (i64, i64), to: (i64, i64)| {
        (1970..=2200).any(|year| {
            let at = |(month, day)| day_number(year, month, day);
            at(from).zip(at(to)).is_some_and(|(from, to)| (from..=to).contains(&day))
        })
    };
    let (europe, america) =
        if begins { (((3, 25), (3, 31)), ((3, 8), (3, 14))) } else { (((10, 25), (10, 31)), ((11, 1), (11, 7))) };
    if !is_sunday(day) {
        None
    } else if within(europe.0, europe.1) {
        Some("Europe")
    } else if within(america.0, america.1) {
        Some("North America")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_zones_and_without_are_the_same_moments() {
        let utc = |text: &str| moment(text).map(|m| m.utc);
        assert_eq!(utc("1970-01-02T00:00Z"), Some(24 * 60));
        assert_eq!(utc("2000-03-01 00:00:00"), Some(11_017 * 24 * 60));
        for same in [
            "2026-03-01T02:00:00+02:00",
            "2026-02-28T23:00-0100",
            "2026-03-01T05:30+05:30",
            "2026-03-01T05:45+0545",
            "2026-02-28T20:30-03:30",
            "2026-03-01T01:00+01",
            "2026-03-01 00:00:00 UTC",
            "2026-03-01T00:00:00.000Z",
            "01.03.2026 00:00",
        ] {
            assert_eq!(utc(same), utc("2026-03-01T00:00Z"), "{same}");
        }
        for bad in [
            "",
            "2026-03-01",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "soon",
            "2026-03-01T25:00Z",
            "2026-03-01T00:60Z",
            "2026-03-01T00:00:30Z",
            "2026-03-01T00:00+05:20",
            "2026-03-01T00:00+15:00",
        ] {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn periods_begin_by_the_clock_that_they_or_their_header_name() {
        let utc = |text: &str, clock, last| start_of(text, clock, last).map(|(utc, ahead)| iso(utc, ahead));
        let brussels = Clock::named_in("MTU (CET/CEST)");
        for (text, clock, shown) in [
            ("31.01.2026 13:00 - 31.01.2026 14:00 (UTC)", brussels, "2026-01-31T13:00Z"),
            ("31.01.2026 13:00 - 31.01.2026 14:00", Clock::named_in("MTU"), "2026-01-31T13:00Z"),
            ("31/01/2026 13:00:00 - 31/01/2026 14:00:00", brussels, "2026-01-31T13:00+01:00"),
            ("01/07/2026 00:30 - 01/07/2026 00:45", brussels, "2026-07-01T00:30+02:00"),
            ("26/10/2025 02:00 (CET)", brussels, "2025-10-26T02:00+01:00"),
            ("2026-02-01 00:00:00", Clock::named_in("DateTime(UTC)"), "2026-02-01T00:00Z"),
        ] {
            assert_eq!(utc(text, clock, None).as_deref(), Some(shown), "{text}");
        }
        // Of the hour that is there twice, the first is of summer.
        let night = ["25/10/2026 01:00", "25/10/2026 02:00", "25/10/2026 02:00", "25/10/2026 03:00"];
        let mut last = None;
        let starts: Vec<i64> = night
            .iter()
            .map(|text| {
                last = start_of(text, brussels, last).map(|(utc, _)| utc);
                last.expect("a time")
            })
            .collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 60), "{starts:?}");
        assert_eq!(start_of("soon", brussels, None), None);
    }

    #[test]
    fn the_days_on_which_clocks_change_are_known() {
        let of = |text: &str, begins| clock_change(moment(text).expect("a time").local, begins);
        assert_eq!(of("2025-03-30 03:00", true), Some("Europe"));
        assert_eq!(of("2025-03-09 03:00", true), Some("North America"));
        assert_eq!(of("2025-10-26 02:00", false), Some("Europe"));
        assert_eq!(of("2025-11-02 01:00", false), Some("North America"));
        assert_eq!(of("2025-03-29 03:00", true), None);
        assert_eq!(of("2025-10-26 02:00", true), None);
    }
}
