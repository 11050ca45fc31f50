use super::*;
use crate::catalog::intensity_basis::IntensityBasis;

const DAY: &str = "time,gco2e_per_kwh\n2026-03-01T00:00Z,100\n2026-03-01T01:00Z,200\n2026-03-01T02:00Z,60\n";

fn parse(text: &str) -> Result<Hourly, String> {
    Hourly::parse("hours.csv", text).map_err(|e| e.to_string())
}

/// Rows at these times, of 100, 200, 300... g.
fn at(times: &[&str]) -> Result<Hourly, String> {
    let rows: Vec<String> = times.iter().zip(1..).map(|(time, i)| format!("{time},{}", i * 100)).collect();
    parse(&format!("time,intensity\n{}\n", rows.join("\n")))
}

#[test]
fn hours_are_read_and_averaged_over_a_run() {
    let hours = parse(DAY).expect("valid");
    assert_eq!((hours.hours(), hours.mean(), hours.range()), (3, 120.0, [60.0, 200.0]));
    // From hour 1: 200 and half of 60, over 1.5 h.
    assert_eq!(hours.mean_over(1, 1.5), Some(230.0 / 1.5));
    assert_eq!(hours.mean_over(1, 2.5), None, "the file ends before the run does");
    assert_eq!(hours.zeros(), None);
}

#[test]
fn the_hours_between_two_moments_count_by_how_long_each_was() {
    let hours = parse(DAY).expect("valid");
    // 2026-03-01T00:00Z is day 20 513.
    let start = 20_513.0 * 86_400.0;
    let between = |from: f64, to: f64| hours.mean_between(start + from, start + to);
    assert_eq!(between(0.0, 60.0), Some(100.0));
    assert_eq!(between(3600.0, 3600.5), Some(200.0));
    // A quarter of an hour at 100, a full one at 200, a quarter at 60.
    assert_eq!(between(2700.0, 8100.0), Some((25.0 + 200.0 + 15.0) / 1.5));
    assert_eq!(between(0.0, 10_800.0), Some(120.0));
    for outside in [(-1.0, 60.0), (10_000.0, 10_801.0), (60.0, 0.0), (f64::NAN, 1.0), (10_800.0, 10_800.0)] {
        assert_eq!(between(outside.0, outside.1), None, "{outside:?}");
    }
    assert!(hours.has_year_of(start) && hours.has_year_of(start + 200.0 * 86_400.0));
    assert!(!hours.has_year_of(start - 100.0 * 86_400.0) && !hours.has_year_of(start + 366.0 * 86_400.0));
}

#[test]
fn clocks_of_half_and_quarter_hours_and_rows_of_parts_of_an_hour_are_read() {
    for (times, hours, mean) in [
        (&["2025-03-01T00:00+05:30", "2025-03-01T01:00+05:30"][..], 2, 150.0),
        (&["2025-03-01T00:00+05:45", "2025-03-01T01:00+05:45"], 2, 150.0),
        (&["2025-03-01T00:00-03:30", "2025-03-01T01:00-03:30"], 2, 150.0),
        // Summer time begins, and says so.
        (&["2025-03-30T01:00+01:00", "2025-03-30T03:00+02:00"], 2, 150.0),
        (&["2025-03-01T00:00Z", "2025-03-01T00:30Z", "2025-03-01T01:00Z", "2025-03-01T01:30Z"], 2, 250.0),
        (&["2025-03-01T00:00Z", "2025-03-01T00:15Z", "2025-03-01T00:30Z", "2025-03-01T00:45Z"], 1, 250.0),
        // Half an hour before the first whole one, and half of one after it.
        (&["2025-03-01T00:30Z", "2025-03-01T01:00Z", "2025-03-01T01:30Z", "2025-03-01T02:00Z"], 1, 250.0),
        (&["2025-03-01T00:30+05:30", "2025-03-01T01:00+05:30", "2025-03-01T01:30+05:30"], 1, 250.0),
        (&["2025-03-01T00:00Z"], 1, 100.0),
    ] {
        let read = at(times).expect("valid");
        assert_eq!((read.hours(), read.mean()), (hours, mean), "{times:?}");
    }
}

#[test]
fn semicolons_and_tabs_part_columns_and_commas_decimals() {
    for text in ["time;intensity\n2025-03-01T00:00Z;300,5\n", "time\tintensity\n01.03.2025 00:00\t300,5\n"] {
        assert_eq!(parse(text).expect("valid").mean(), 300.5, "{text}");
    }
    for (text, part) in [
        (
            "time,intensity\n2025-03-01T00:00Z,\"300,5\"\n",
            "line 2: the intensity `300,5` has a decimal comma: expected `300.5`",
        ),
        ("time,intensity\n2025-03-01T00:00Z,300,5\n", "hint: is a comma a decimal sign somewhere?"),
        ("time;intensity\n2025-03-01T00:00Z;1.300,5\n", "the intensity `1.300,5` is no number"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_electricity_maps_answers_is_read_in_each_of_its_forms() {
    let hour =
        |h: u32, g: &str| format!(r#"{{"zone":"FR","carbonIntensity":{g},"datetime":"2025-03-01T0{h}:00:00.000Z"}}"#);
    let list = format!("[{},{}]", hour(0, "30"), hour(1, "50.5"));
    for text in [
        list.clone(),
        format!(r#"{{"zone":"FR","history":{list}}}"#),
        format!(r#"{{"zone":"FR","data":{list}}}"#),
        format!(r#"{{"zone":"FR","forecast":{list},"updatedAt":"2025-03-01T00:00:00Z"}}"#),
    ] {
        let hours = Hourly::parse("hours.json", &text).expect(&text);
        assert_eq!((hours.hours(), hours.mean(), hours.column()), (2, 40.25, "carbonIntensity"), "{text}");
    }
    for (text, part) in [
        (format!("[{}]", hour(0, "null")), "line 1: `carbonIntensity` of `2025-03-01T00:00:00.000Z` is missing"),
        (r#"{"zone":"FR"}"#.to_owned(), "expected `history`, `data` or `forecast`"),
        ("{".to_owned(), "line 1 column 1"),
        ("[]".to_owned(), "has 0 hours"),
    ] {
        let error = Hourly::parse("hours.json", &text).expect_err(&text).to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_other_interfaces_answer_is_read_in_its_own_unit() {
    let watt_time = |meta: &str| {
        format!(
            r#"{{"data": [{{"point_time": "2025-03-01T00:00:00+00:00", "value": 870.0}},
                          {{"point_time": "2025-03-01T00:05:00+00:00", "value": 872.0}}], "meta": {meta}}}"#
        )
    };
    let marginal = r#"{"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh"}"#;
    let answer = Hourly::parse("hours.json", &watt_time(marginal)).expect_err("no whole hour").to_string();
    assert!(answer.contains("has 0 hours"), "{answer}");
    let hours = |first: &str| {
        let rows: Vec<String> = (0..12).map(|i| first.replace("MINUTE", &format!("{:02}", 5 * i))).collect();
        rows.join(",")
    };
    let row = r#"{"point_time": "2025-03-01T00:MINUTE:00+00:00", "value": 1000.0}"#;
    let whole = format!(r#"{{"data": [{}], "meta": {marginal}}}"#, hours(row));
    let read = Hourly::parse("hours.json", &whole).expect("an hour");
    assert!((read.mean() - 453.592_37).abs() < 1e-9 && read.is_marginal(), "{read:?}");
    assert_eq!((read.form(), read.basis()), ("WattTime's marginal rates", Some(IntensityBasis::Direct)));
    for (meta, part) in [
        (r#"{"signal_type": "health_damage", "units": "usd_per_mwh"}"#, "its signal is `health_damage`"),
        (r#"{"signal_type": "co2_aoer", "units": "g"}"#, "its unit is `g`: expected `lbs_co2_per_mwh`"),
    ] {
        let error = Hourly::parse("hours.json", &watt_time(meta)).expect_err(meta).to_string();
        assert!(error.contains(part), "{error}");
    }
    // As a table as well.
    let table = "point_time,value\n2025-03-01 00:00:00+00:00,1000\n2025-03-01 01:00:00+00:00,2000\n";
    let read = parse(table).expect("two hours");
    assert!((read.mean() - 1.5 * 453.592_37).abs() < 1e-9 && read.is_marginal(), "{read:?}");

    let half = |from: &str, actual: &str| {
        format!(
            r#"{{"from": "{from}", "to": "later", "intensity": {{"forecast": 90, "actual": {actual}, "index": "low"}}}}"#
        )
    };
    let halves = [half("2025-03-01T00:00Z", "100"), half("2025-03-01T00:30Z", "null")].join(",");
    for text in [
        format!(r#"{{"data": [{halves}]}}"#),
        format!(r#"{{"data": {{"regionid": 13, "shortname": "London", "data": [{halves}]}}}}"#),
    ] {
        let read = Hourly::parse("hours.json", &text).expect(&text);
        assert_eq!((read.hours(), read.mean(), read.basis()), (1, 95.0, Some(IntensityBasis::Direct)), "{text}");
    }
}

#[test]
fn generation_by_source_gives_the_intensity_in_each_form_of_the_platform() {
    let wide = "\"Area\",\"MTU\",\"Fossil Gas  - Actual Aggregated [MW]\",\"Nuclear  - Actual Aggregated [MW]\",\
                \"Hydro Pumped Storage  - Actual Aggregated [MW]\",\"Hydro Pumped Storage  - Actual Consumption [MW]\",\
                \"Wind Offshore  - Actual Aggregated [MW]\"\n\
                \"CTA|FR\",\"01.03.2025 00:00 - 01.03.2025 01:00 (UTC)\",\"100\",\"300\",\"5000\",\"0\",\"n/e\"\n\
                \"CTA|FR\",\"01.03.2025 01:00 - 01.03.2025 02:00 (UTC)\",\"0\",\"300\",\"0\",\"700\",\"n/e\"\n\
                \"CTA|FR\",\"01.03.2025 02:00 - 01.03.2025 03:00 (UTC)\",\"-\",\"-\",\"-\",\"-\",\"n/e\"\n";
    let long = "DateTime(UTC)\tResolutionCode\tAreaCode\tAreaDisplayName\tProductionType\tActualGenerationOutput[MW]\t\
                ActualConsumption[MW]\n\
                2025-03-01 00:00:00\tPT60M\t10YFR-RTE------C\tFrance (FR)\tFossil Gas\t100.0\t0\n\
                2025-03-01 00:00:00\tPT60M\t10YFR-RTE------C\tFrance (FR)\tNuclear\t300.0\t0\n\
                2025-03-01 01:00:00\tPT60M\t10YFR-RTE------C\tFrance (FR)\tNuclear\t300.0\t0\n\
                2025-03-01 01:00:00\tPT60M\t10YFR-RTE------C\tFrance (FR)\tHydro Pumped Storage\t0\t700\n";
    // (100 x 490 + 300 x 12) / 400 = 131.5, and nuclear power alone.
    for text in [wide, long] {
        let read = parse(text).expect(text);
        assert_eq!((read.hours(), read.range()), (2, [12.0, 131.5]), "{text}");
        assert_eq!((read.first(), read.basis()), ("2025-03-01T00:00Z", Some(IntensityBasis::LifeCycle)), "{text}");
        assert!(read.form().contains("ENTSO-E"), "{text}");
    }
    for (text, part) in [
        (
            long.replace("10YFR-RTE------C\tFrance (FR)\tHydro", "10YBE----------2\tBelgium\tHydro"),
            "keep the rows of one area",
        ),
        (long.replace("Fossil Gas", "Fusion"), "line 2: `Fusion` is no source of electricity that is known"),
        (
            wide.replace("02:00 (UTC)\",\"0\",\"300\"", "02:00 (UTC)\",\"0\",\"much\""),
            "line 3: `much` is no power in MW",
        ),
        ("\"MTU (CET/CEST)\",\"Area\",\"Day-ahead Price (EUR/MWh)\"\n".to_owned(), "it is one of prices"),
        (
            wide.replace("01.03.2025 01:00 - 01.03.2025 02:00", "01.03.2025 02:00 - 01.03.2025 03:00"),
            "is missing before",
        ),
    ] {
        let error = parse(&text).expect_err(part);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn summer_time_is_named_where_a_clock_without_a_zone_skips_or_repeats_an_hour() {
    for (times, parts) in [
        (
            &["2025-03-30 01:00", "2025-03-30 03:00", "2025-03-30 04:00"][..],
            &["1 hour is missing before `2025-03-30 03:00`", "summer time began in Europe", "`2025-03-30T03:00+02:00`"]
                [..],
        ),
        (&["2025-03-09 01:00", "2025-03-09 03:00", "2025-03-09 04:00"], &["summer time began in North America"]),
        (&["2025-10-05 01:00", "2025-10-05 03:00", "2025-10-05 04:00"], &["are these local hours"]),
        (
            &["2025-10-26 01:00", "2025-10-26 02:00", "2025-10-26 02:00"],
            &["is there twice", "summer time ended in Europe"],
        ),
        (
            &["2025-10-26 02:00", "2025-10-26 02:30", "2025-10-26 02:00", "2025-10-26 02:30"],
            &["is earlier", "summer time ended in Europe"],
        ),
        (
            &["2025-03-30 01:00", "2025-03-30 01:30", "2025-03-30 03:00"],
            &["2 rows are missing before `2025-03-30 03:00`", "summer time began in Europe"],
        ),
    ] {
        let error = at(times).expect_err("local hours");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let error = at(&["2025-03-30T01:00Z", "2025-03-30T03:00Z", "2025-03-30T04:00Z"]).expect_err("a gap");
    assert!(!error.contains("summer"), "{error}");
}

#[test]
fn hours_of_nothing_are_counted() {
    let text = DAY.replace(",200", ",0").replace(",60", ",0.0");
    assert_eq!(parse(&text).expect("valid").zeros(), Some((2, "2026-03-01T01:00Z")));
}

#[test]
fn what_is_wrong_with_an_hour_is_said_with_its_line() {
    for (text, part) in [
        (DAY.replace("01:00Z", "00:00Z"), "line 3: the hour `2026-03-01T00:00Z` is there twice"),
        (DAY.replace("02:00Z", "05:00Z"), "line 4: 3 hours are missing before `2026-03-01T05:00Z`"),
        (DAY.replace("01:00Z", "03:00Z").replace("02:00Z", "06:00Z"), "line 3: the rows are 3 h apart"),
        (DAY.replace("2026-03-01T02", "2026-02-01T02"), "line 4: `2026-02-01T02:00Z` is earlier"),
        (DAY.replace(":00Z", ":30Z"), "line 2: `2026-03-01T00:30Z` is no full hour"),
        (DAY.replace(",60", ",-60"), "line 4: the intensity is -60"),
        (DAY.replace(",60", ",nan"), "line 4: the intensity is NaN"),
        (DAY.replace(",60", ",low"), "line 4: the intensity `low` is no number"),
        (DAY.replace(",60", ","), "line 4: the intensity is missing"),
        (DAY.replace("2026-03-01T02:00Z", "noon"), "line 4: `noon` is no time"),
        (DAY.replace("2026-03-01T02:00Z", "2026-02-30T02:00Z"), "line 4: `2026-02-30T02:00Z` is no time"),
        (DAY.replace("gco2e_per_kwh", "price"), "no column for the intensity"),
        ("time,intensity\n".to_owned(), "has 0 hours"),
    ] {
        let error = parse(&text).expect_err(&text);
        assert!(error.contains(part), "{part}: {error}");
    }
}
