//! What a package of the program holds: what builds it and what its readers need, and nothing that only the tests read.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The manifest, as text.
const MANIFEST: &str = include_str!("../Cargo.toml");

/// What `cargo package` would pack, by path.
fn packed() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let args = ["package", "--list", "--allow-dirty", "--offline"];
    let output = Command::new(env!("CARGO")).args(args).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.replace('\\', "/")).collect()
}

/// The files below a folder of the project, by path from its root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The strings of a list of the manifest that stands in one line.
fn list(key: &str) -> Vec<&'static str> {
    let line = MANIFEST.lines().find(|line| line.starts_with(&format!("{key} = ["))).unwrap();
    line.split('"').skip(1).step_by(2).collect()
}

#[test]
fn a_package_holds_no_campaign_seed_golden_or_test() {
    let packed = packed();
    for folder in ["reports/", "fuzz/", "tests/", "benches/", "target/", ".ci/", ".github/"] {
        let found: Vec<&String> = packed.iter().filter(|path| path.starts_with(folder)).collect();
        assert!(found.is_empty(), "{folder} is packed: {found:?}");
    }
    let large = |path: &&String| {
        std::fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).is_ok_and(|m| m.len() > 500_000)
    };
    assert_eq!(packed.iter().filter(large).collect::<Vec<_>>(), Vec::<&String>::new(), "large files");
}

#[test]
fn a_package_holds_all_that_builds_the_program_and_all_that_its_readers_need() {
    let packed = packed();
    let single = ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md", "build.rs"];
    let needed = single.map(str::to_owned).into_iter();
    let folders = ["src", "hardware", "profiles", "docs", "examples"];
    for path in needed.chain(folders.iter().flat_map(|folder| files(folder))) {
        assert!(packed.contains(&path), "{path} is not packed");
    }
}

#[test]
fn the_manifest_says_what_registries_ask_for() {
    let keywords = list("keywords");
    // The registry takes five, of 20 letters each.
    assert!((1..=5).contains(&keywords.len()), "{keywords:?}");
    assert!(keywords.iter().all(|word| word.len() <= 20 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    assert!((1..=5).contains(&list("categories").len()));
    for key in ["description", "license", "readme", "rust-version"] {
        assert!(MANIFEST.lines().any(|line| line.starts_with(&format!("{key} = \""))), "{key} is missing");
    }
}
