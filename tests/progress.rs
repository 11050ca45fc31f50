//! Output of training programs is read as its index says.

use std::{fmt::Write as _, fs, path::PathBuf};

use greenformers::progress::{Hints, Progress, Reader};

#[expect(clippy::print_stderr, reason = "Whoever runs the tests is told what was left out.")]
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/progress"));
    let here = folder.join("index.csv").is_file();
    if !here {
        eprintln!("skipped: ../shared/data/progress is not here");
    }
    here.then_some(folder)
}

/// Fields of a line of CSV, in which quotes hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    for sign in line.chars() {
        match sign {
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(String::new()),
            _ => all.last_mut().unwrap().push(sign),
        }
    }
    all
}

/// Reads a file as it arrived, in pieces of so many bytes at most.
fn replay(folder: &std::path::Path, name: &str, arrivals: &[(usize, f64)], piece: usize) -> Option<Progress> {
    let bytes = fs::read(folder.join(name)).unwrap();
    let mut reader = Reader::new(Hints::default());
    let mut from = 0;
    for &(to, at_s) in arrivals {
        let to = to.min(bytes.len());
        for part in bytes[from..to].chunks(piece) {
            reader.push(part, at_s);
        }
        from = to;
    }
    let last = arrivals.last().map_or(0.0, |(_, at_s)| *at_s);
    reader.push(&bytes[from..], last);
    reader.finish();
    reader.progress()
}

struct Case {
    name: String,
    row: Vec<String>,
    arrivals: Vec<(usize, f64)>,
}

fn cases(folder: &std::path::Path) -> Vec<Case> {
    let arrivals = fs::read_to_string(folder.join("arrivals.csv")).unwrap();
    let arrivals: Vec<Vec<String>> = arrivals.lines().skip(1).map(fields).collect();
    let of = |name: &str| {
        let rows = arrivals.iter().filter(|row| row[0] == name);
        rows.map(|row| (row[1].parse().unwrap(), row[2].parse().unwrap())).collect()
    };
    let index = fs::read_to_string(folder.join("index.csv")).unwrap();
    let rows = index.lines().skip(1).map(fields);
    rows.map(|row| Case { arrivals: of(&row[0]), name: row[0].clone(), row }).collect()
}

/// What is not as the index says.
fn misses(case: &Case, got: Option<&Progress>) -> String {
    let row = &case.row;
    let number = |at: usize| row[at].parse::<f64>().unwrap_or(f64::NAN);
    let mut miss = String::new();
    let Some(got) = got else {
        return if row[4] == "none" { miss } else { "nothing was read".to_owned() };
    };
    if row[4] == "none" {
        return format!("{} of {:?} steps were read, by {}", got.steps_done, got.steps_total, got.recognised_as);
    }
    let off = |what: &str, got: f64, right: f64, by: f64, miss: &mut String| {
        if (got - right).abs() > by {
            write!(miss, "{what} {got} instead of {right}; ").unwrap();
        }
    };
    off("start", got.start_step as f64, number(5), number(7), &mut miss);
    off("done", got.steps_done as f64, number(6), number(7), &mut miss);
    match (got.steps_total, row[8].as_str()) {
        (None, "unknown") => {}
        (Some(total), "unknown") => write!(miss, "total {total} instead of none; ").unwrap(),
        (None, right) if number(11) == 0.0 => write!(miss, "no total instead of {right}; ").unwrap(),
        (None, _) => {}
        (Some(total), _) => off("total", total as f64, number(8), number(11) * number(8), &mut miss),
    }
    match got.step_s {
        Some(step_s) => off("pace", step_s, number(9), number(10) * number(9), &mut miss),
        None => miss.push_str("no pace; "),
    }
    if !miss.is_empty() {
        write!(miss, "[{}; {:?}]", got.recognised_as, got.clock).unwrap();
    }
    miss
}

#[test]
fn every_output_is_read_as_its_index_says() {
    let Some(folder) = folder() else { return };
    let mut table = String::new();
    for case in cases(&folder) {
        let got = replay(&folder, &case.name, &case.arrivals, usize::MAX);
        let miss = misses(&case, got.as_ref());
        if !miss.is_empty() {
            writeln!(table, "{:<44} {miss}", case.name).unwrap();
        }
    }
    assert!(table.is_empty(), "\n{table}");
}

#[test]
fn how_the_bytes_are_split_changes_nothing() {
    let Some(folder) = folder() else { return };
    for case in cases(&folder) {
        let whole = replay(&folder, &case.name, &case.arrivals, usize::MAX);
        for piece in [1, 7] {
            assert_eq!(replay(&folder, &case.name, &case.arrivals, piece), whole, "{} by {piece}", case.name);
        }
    }
}
