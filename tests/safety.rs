//! What is promised of the sources themselves: where code may be unsafe, that each block says why it is sound, which
//! compiler is enough, which clocks are read.

use std::fs;
use std::path::{Path, PathBuf};

/// The only places where code may be unsafe.
const UNSAFE: [&str; 3] = ["src/nn/ops/", "src/alloc.rs", "src/ffi.rs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder, by their path in the project, with their lines.
fn sources(folder: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect()));
            }
        }
    }
    found
}

/// A line without its comment and its texts.
fn code(line: &str) -> String {
    let mut parts = line.split('"');
    let mut code = String::new();
    while let Some(outside) = parts.next() {
        code.push_str(outside);
        let _ = parts.next();
    }
    code.split("//").next().unwrap_or_default().to_owned()
}

fn is_unsafe(line: &str) -> bool {
    code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
}

/// Whether an unsafe block or implementation bears its proof: in the comment above it, with nothing but attributes and the
/// beginning of the same statement between.
fn is_proved(lines: &[String], at: usize) -> bool {
    let mut above = lines[..at].iter().rev().map(|l| l.trim());
    let mut skipped = 0;
    loop {
        let Some(line) = above.next() else { return false };
        if line.starts_with("//") {
            let rest = std::iter::once(line).chain(above.take_while(|l| l.starts_with("//")));
            return rest.into_iter().any(|l| l.contains("SAFETY:") || l.contains("# Safety"));
        }
        if line.starts_with("#[") {
            continue;
        }
        skipped += 1;
        if skipped > 2 || line.ends_with(';') || line.ends_with('}') || line.is_empty() {
            return false;
        }
    }
}

#[test]
fn code_is_unsafe_in_the_operations_the_allocator_and_calls_into_c_alone() {
    for folder in ["src", "tests", "benches", "fuzz/fuzz_targets"] {
        for (file, lines) in sources(folder) {
            // This file shows what it would find.
            if UNSAFE.iter().any(|place| file.starts_with(place)) || file == "tests/safety.rs" {
                continue;
            }
            for (i, line) in lines.iter().enumerate() {
                assert!(!is_unsafe(line), "{file}:{}: {line}", i + 1);
                assert!(!code(line).contains("allow(unsafe_code"), "{file}:{}: {line}", i + 1);
            }
        }
    }
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut blocks = 0;
    for (file, lines) in sources("src") {
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            // What a trait declares as unsafe is proved where it is implemented.
            if code(line).trim_start().starts_with("unsafe fn ") && file == "src/alloc.rs" {
                continue;
            }
            assert!(is_proved(&lines, i), "{file}:{}: no SAFETY comment: {line}", i + 1);
            blocks += 1;
        }
    }
    assert!(blocks > 20, "{blocks}: they were not found");
}

#[test]
fn a_block_without_a_proof_would_be_seen() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(is_proved(&lines("// SAFETY: it is.\n#[expect(x)]\nunsafe { f() }"), 2));
    assert!(is_proved(&lines("// SAFETY: it is,\n// and so on.\nlet x =\n    unsafe { f() };"), 3));
    assert!(!is_proved(&lines("// it is\nunsafe { f() }"), 1));
    assert!(!is_proved(&lines("// SAFETY: of another.\nlet a = 1;\nunsafe { f() }"), 2));
    assert!(
        is_unsafe("let x = unsafe { f() };") && !is_unsafe("// unsafe") && !is_unsafe("f(\"unsafe\"); unsafe_code")
    );
}

#[test]
fn files_of_others_are_read_in_one_place_alone() {
    for (file, lines) in sources("src") {
        // The kernel's own files are read where they are understood.
        if ["src/files/", "src/sensor/", "src/machine/", "src/measure/", "src/track/"]
            .iter()
            .any(|room| file.starts_with(room))
        {
            continue;
        }
        for (i, line) in lines.iter().enumerate() {
            for call in ["fs::read(", "read_to_string(", "read_to_end(", "File::open("] {
                assert!(!code(line).contains(call), "{file}:{}: {line}", i + 1);
            }
        }
    }
}

#[test]
fn times_are_read_off_the_monotonic_clock_and_dates_alone_off_the_wall() {
    // Files that are new are told by their dates, which are of this type.
    let by_dates = ["src/files/objects/s3.rs", "src/track/trainer_state.rs"];
    for (file, lines) in sources("src") {
        for (i, line) in lines.iter().enumerate() {
            let is_date = by_dates.contains(&file.as_str()) && !line.contains("SystemTime::now");
            assert!(is_date || !code(line).contains("SystemTime"), "{file}:{}: {line}", i + 1);
            let wall = code(line).contains("Local::now") || code(line).contains("Utc::now");
            assert!(!wall || file.starts_with("src/cli/"), "{file}:{}: {line}", i + 1);
        }
    }
}

#[test]
fn the_compiler_that_is_asked_for_is_the_one_that_dependencies_need() {
    // Lower is not true: sysinfo asks for as much. What is declared is built with by `.ci/run`.
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("rust-version = \"1.95\""), "the README and this test say 1.95");
    assert!(fs::read_to_string(root().join("README.md")).unwrap().contains("With Rust 1.95"));
}
