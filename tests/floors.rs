//! The floors of the house: a module imports from lower floors only, and an outside crate is named only where
//! it belongs. Reads the sources as text.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module and its floor; neighbours on a floor do not see each other.
const FLOORS: [(&str, u32); 16] = [
    ("machine", 2),
    ("track", 3),
    ("meter", 0),
    ("alloc", 0),
    ("units", 0),
    ("files", 0),
    ("ffi", 0),
    ("stats", 1),
    ("model", 1),
    ("catalog", 1),
    ("sensor", 1),
    ("nn", 2),
    ("record", 2),
    ("measure", 3),
    ("estimate", 3),
    ("report", 4),
];

/// Outside crates and the modules that may name them.
const CONFINED: [(&str, &[&str]); 13] = [
    ("candle_core::", &["nn", "measure", "ffi"]),
    ("libloading::", &["nn"]),
    ("libc::", &["ffi"]),
    ("nvml_wrapper::", &["sensor", "ffi"]),
    ("nvml_wrapper_sys::", &["ffi"]),
    ("signal_hook::", &["machine", "measure", "track"]),
    ("serde_yaml::", &["catalog"]),
    ("polars::", &["report"]),
    ("plotters::", &["report"]),
    ("clap::", &["cli"]),
    ("anyhow::", &["cli"]),
    ("indicatif::", &["cli"]),
    ("chrono::", &["cli"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// Every source file, the module it belongs to, and its text without comments.
fn modules() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let code = |text: String| {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    };
    sources(&root).into_iter().map(|p| (p.clone(), module(&p), code(fs::read_to_string(p).unwrap()))).collect()
}

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// What `text` of `module` names that it may not.
fn violations(module: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // Tests may use what they need.
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (other, other_floor) in FLOORS {
        let named = text.contains(&format!("crate::{other}::")) || text.contains(&format!("crate::{{{other}"));
        if named && other != module && floor(module).is_some_and(|own| own <= other_floor) {
            found.push(format!("{module} must not import {other}"));
        }
    }
    for (name, allowed) in CONFINED {
        if text.contains(name) && !allowed.contains(&module) {
            found.push(format!("{module} must not name {name}"));
        }
    }
    if text.contains("super::super::super") {
        found.push(format!("{module} climbs out of itself"));
    }
    found
}

#[test]
fn modules_import_downwards_only_and_outside_crates_stay_in_their_rooms() {
    let found: Vec<String> = modules()
        .iter()
        .flat_map(|(path, module, text)| {
            violations(module, text).into_iter().map(move |v| format!("{}: {v}", path.display()))
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    for (path, module, _) in modules() {
        let placed = floor(&module).is_some() || ["lib", "main", "cli"].contains(&module.as_str());
        assert!(placed, "{} is on no floor", path.display());
    }
}

#[test]
fn a_violation_would_be_seen() {
    assert_eq!(violations("sensor", "use crate::estimate::Estimate;"), ["sensor must not import estimate"]);
    assert_eq!(violations("model", "use crate::stats::median;"), ["model must not import stats"]);
    assert_eq!(violations("estimate", "let x = candle_core::Device::Cpu;"), ["estimate must not name candle_core::"]);
    assert!(violations("estimate", "use crate::record::Record;").is_empty());
}

#[test]
fn no_file_is_too_large_to_hold_in_the_head() {
    for (path, _, text) in modules() {
        let lines = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(lines <= 450, "{} has {lines} lines of code", path.display());
    }
}
