//! The floors of the house: a module imports from lower floors only, an outside crate is named only where it belongs, and
//! files form no circles. Reads the sources as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and its floor; neighbours on a floor do not see each other.
const FLOORS: [(&str, u32); 20] = [
    ("alloc", 0),
    ("ffi", 0),
    ("files", 0),
    ("meter", 0),
    ("progress", 0),
    ("units", 0),
    ("stats", 1),
    ("model", 1),
    ("catalog", 1),
    ("sensor", 1),
    ("nn", 2),
    ("record", 2),
    ("machine", 2),
    ("measure", 3),
    ("total", 3),
    ("track", 3),
    ("train", 3),
    ("estimate", 3),
    ("report", 4),
    ("campaign", 5),
];

/// The floors inside `report`.
const REPORT: [(&str, u32); 22] = [
    ("error", 0),
    ("markup", 0),
    ("names", 0),
    ("numbers", 0),
    ("table", 0),
    ("charts", 1),
    ("terminal", 1),
    ("document", 2),
    ("forecasted", 1),
    ("summed", 1),
    ("tracked", 2),
    ("trained", 1),
    ("figures", 3),
    ("page", 4),
    ("files", 5),
    ("quality", 6),
    ("estimated", 6),
    ("factorization", 6),
    ("forecast", 6),
    ("sides", 6),
    ("validation", 6),
    ("mod", 7),
];

/// The floors inside `estimate`: what is asked, how long a step takes, what a run comes to, what people want to know.
const ESTIMATE: [(&str, u32); 8] = [
    ("layout_error", 0),
    ("error", 1),
    ("request", 2),
    ("steps", 3),
    ("layout", 4),
    ("ledger", 5),
    ("answers", 6),
    ("mod", 7),
];

/// The floors inside `progress`: bytes and numbers, what a frame tells, a counter over time, the choice among counters.
const PROGRESS: [(&str, u32); 18] = [
    ("hints", 0),
    ("lines", 0),
    ("pace", 0),
    ("tokens", 0),
    ("words", 0),
    ("frame", 1),
    ("epochs", 2),
    ("numbers", 2),
    ("series", 2),
    ("counters", 3),
    ("run", 3),
    ("clocks", 4),
    ("scan", 4),
    ("choice", 5),
    ("reader", 6),
    ("told", 6),
    ("mod", 7),
    ("tests", 8),
];

/// The rooms that have floors of their own.
const INNER: [(&str, &[(&str, u32)]); 3] = [("estimate", &ESTIMATE), ("progress", &PROGRESS), ("report", &REPORT)];

/// Outside crates and the modules that may name them.
const CONFINED: [(&str, &[&str]); 17] = [
    ("candle_core::", &["nn", "measure", "train", "ffi"]),
    ("faer::", &["train"]),
    ("libloading::", &["nn"]),
    ("libc::", &["ffi"]),
    ("nvml_wrapper::", &["sensor", "ffi"]),
    ("nvml_wrapper_sys::", &["ffi"]),
    ("signal_hook::", &["machine", "measure", "track"]),
    ("serde_yaml::", &["catalog"]),
    ("polars::", &["report"]),
    ("plotters::", &["report"]),
    ("object_store::", &["files"]),
    ("regex::", &["progress", "train"]),
    ("tokenizers::", &["train"]),
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

/// A source file: where it stands in the tree of modules (`report::charts::plot`, `report::mod`), and what of it is neither
/// comment, text nor test.
struct Source {
    module: Vec<String>,
    code: String,
}

impl Source {
    fn new(module: &str, text: &str) -> Self {
        Self { module: module.split("::").map(str::to_owned).collect(), code: without_tests(&bare(text)) }
    }

    /// The module at the top, or the file there.
    fn top(&self) -> &str {
        &self.module[0]
    }

    /// Every path from `crate` that the file names, as such or by way of `super`.
    fn names(&self) -> BTreeSet<Vec<String>> {
        let own: Vec<String> = self.module.iter().filter(|part| *part != "mod").cloned().collect();
        let mut found = BTreeSet::new();
        for start in ["crate::", "super::"] {
            for (at, _) in self.code.match_indices(start) {
                // The middle of another path, or of a longer name.
                let before = self.code[..at].chars().next_back();
                if before.is_some_and(|c| c == ':' || c == '_' || c.is_alphanumeric()) {
                    continue;
                }
                for path in expanded(&self.code[at..]) {
                    let up = path.iter().take_while(|part| *part == "super").count();
                    let (base, rest) = match path[0].as_str() {
                        "crate" => (&[][..], &path[1..]),
                        _ => (&own[..own.len().saturating_sub(up)], &path[up..]),
                    };
                    found.insert(base.iter().chain(rest).cloned().collect());
                }
            }
        }
        found
    }
}

/// The paths that the tree at the beginning of `text` stands for: `crate::{a, b::c}` is two.
fn expanded(text: &str) -> Vec<Vec<String>> {
    fn tree(rest: &mut &str, before: &[String], found: &mut Vec<Vec<String>>) {
        let mut path = before.to_vec();
        loop {
            *rest = rest.trim_start();
            if let Some(inside) = rest.strip_prefix('{') {
                *rest = inside.trim_start();
                while !rest.is_empty() && !rest.starts_with('}') {
                    tree(rest, &path, found);
                    // ` as b`, a comma, and what is no path.
                    let end = rest.find([',', '}']).unwrap_or(rest.len());
                    *rest = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]).trim_start();
                }
                *rest = rest.strip_prefix('}').unwrap_or(rest);
                return;
            }
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            if end > 0 {
                path.push(rest[..end].to_owned());
            }
            *rest = &rest[end..];
            match rest.strip_prefix("::") {
                Some(after) => *rest = after,
                None => break,
            }
        }
        found.push(path);
    }
    let (mut found, mut rest) = (Vec::new(), text);
    tree(&mut rest, &[], &mut found);
    found
}

/// How long the comment, the string or the character at the beginning of `text` is; `None` if there is none.
fn skipped(text: &str) -> Option<usize> {
    let until = |from: usize, close: &str| text[from..].find(close).map_or(text.len(), |end| from + end + close.len());
    let hashes = text.strip_prefix('r').map_or(0, |rest| rest.chars().take_while(|c| *c == '#').count());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with('r') && text[1 + hashes..].starts_with('"') {
        return Some(until(2 + hashes, &format!("\"{}", "#".repeat(hashes))));
    }
    if let Some(inside) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = inside.find(|c: char| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        return Some(end.map_or(text.len(), |end| end + 2));
    }
    // A character, and no lifetime.
    let mut inside = text.strip_prefix('\'')?.chars();
    let first = inside.next()?;
    match first {
        '\\' => Some(until(3, "'")),
        _ => (inside.next() == Some('\'')).then(|| first.len_utf8() + 2),
    }
}

/// The text without comments and without what stands between quotes.
fn bare(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        // The `r` at the end of a name begins no string.
        let in_a_name = c == 'r' && kept.chars().next_back().is_some_and(|c| c == '_' || c.is_alphanumeric());
        if let Some(length) = skipped(rest).filter(|_| !in_a_name) {
            rest = &rest[length..];
        } else {
            kept.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    kept
}

/// Bare code without what is compiled for tests alone, which may use what it needs.
fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(at) = rest.find(TEST) {
        kept.push_str(&rest[..at]);
        rest = &rest[at + TEST.len()..];
        let mut depth = 0u32;
        let end = rest.find(|c: char| {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
        // `use a::{b};` ends after its brace.
        rest = rest.strip_prefix(';').unwrap_or(rest);
    }
    kept + rest
}

fn modules() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&root).unwrap().with_extension("");
        let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        Source::new(&parts.join("::"), &fs::read_to_string(&path).unwrap())
    };
    sources(&root).into_iter().map(read).collect()
}

fn floor(floors: &[(&str, u32)], module: &str) -> Option<u32> {
    floors.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// What `source` names that it may not.
fn violations(source: &Source) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut check = |floors: &[(&str, u32)], own: &str, other: &str| {
        let floors = floor(floors, own).zip(floor(floors, other));
        if own != other && floors.is_some_and(|(own, other)| own <= other) {
            found.insert(format!("{own} must not import {other}"));
        }
    };
    for path in source.names() {
        let Some(other) = path.first() else { continue };
        check(&FLOORS, source.top(), other);
        for (room, floors) in INNER {
            if source.top() == room
                && other == room
                && let (Some(own), Some(other)) = (source.module.get(1), path.get(1))
            {
                check(floors, own, other);
            }
        }
    }
    for (name, allowed) in CONFINED {
        if source.code.contains(name) && !allowed.contains(&source.top()) {
            found.insert(format!("{} must not name {name}", source.top()));
        }
    }
    found
}

#[test]
fn modules_import_downwards_only_and_outside_crates_stay_in_their_rooms() {
    let mut found = Vec::new();
    for source in modules() {
        found.extend(violations(&source).into_iter().map(|v| format!("{}: {v}", source.module.join("::"))));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    for source in modules() {
        let placed = floor(&FLOORS, source.top()).is_some() || ["lib", "main", "cli"].contains(&source.top());
        assert!(placed, "{} is on no floor", source.module.join("::"));
        for (room, floors) in INNER {
            let inside = source.top() != room || floor(floors, &source.module[1]).is_some();
            assert!(inside, "{} is on no floor of {room}", source.module.join("::"));
        }
    }
}

type Imports = BTreeMap<String, BTreeSet<String>>;

/// Which file imports which.
fn imports(sources: &[Source]) -> Imports {
    let files: BTreeSet<String> = sources.iter().map(|s| s.module.join("::")).collect();
    let file_of = |path: &Vec<String>| (1..=path.len()).rev().map(|n| path[..n].join("::")).find(|f| files.contains(f));
    let of = |source: &Source| {
        let own = source.module.join("::");
        let others = source.names().iter().filter_map(file_of).filter(|file| *file != own).collect();
        (own, others)
    };
    sources.iter().map(of).collect()
}

/// A circle of files that import each other, if there is one; what a folder's `mod.rs` passes on is not followed.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn walk<'a>(
        at: &'a str,
        imports: &'a Imports,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> Option<Vec<String>> {
        if let Some(from) = way.iter().position(|file| *file == at) {
            return Some(way[from..].iter().map(|file| (*file).to_owned()).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = imports.get(at).into_iter().flatten().find_map(|next| walk(next, imports, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|file| walk(file, imports, &mut Vec::new(), &mut done))
}

#[test]
fn files_import_each_other_in_no_circle() {
    assert_eq!(circle(&imports(&modules())), None);
}

#[test]
fn a_violation_would_be_seen() {
    let stats = "model must not import stats";
    let table = [
        ("sensor::x", "use crate::estimate::Estimate;", "sensor must not import estimate"),
        ("model::x", "use crate::stats::median;", stats),
        ("model::x", "use crate::{units::Watts, stats::{median, Mean}};", stats),
        ("model::x", "use crate::{\n    units::{Joules as J, Watts},\n    stats,\n};", stats),
        ("model::x", "use crate::stats;", stats),
        ("model::x", "fn f() { crate::stats::median(&[]); }", stats),
        ("model::x::y", "use super::super::super::stats::median;", stats),
        ("model::x", "#[cfg(test)]\nuse a::{b};\nuse crate::stats::median;", stats),
        ("model::x", "#[cfg(test)]\nmod tests { fn f() { \"}\"; '}'; } }\nuse crate::stats::median;", stats),
        ("estimate::x", "let x = candle_core::Device::Cpu;", "estimate must not name candle_core::"),
        ("report::charts::plot", "use crate::report::figures::Report;", "charts must not import figures"),
        ("report::charts::plot", "use super::super::terminal::Paint;", "charts must not import terminal"),
        ("report::names", "use super::table::TextTable;", "names must not import table"),
        ("estimate::steps::x", "use crate::estimate::ledger::chain::Run;", "steps must not import ledger"),
        ("estimate::request::x", "use super::super::answers::sweep;", "request must not import answers"),
    ];
    for (module, text, expected) in table {
        let found: Vec<String> = violations(&Source::new(module, text)).into_iter().collect();
        assert_eq!(found, [expected], "{text}");
    }
    for (module, text) in [
        ("estimate::x", "use crate::record::Record;"),
        ("model::x", "// use crate::stats::median;\nlet x = \"crate::stats::median\";"),
        ("model::x", "let x = r#\"a \" crate::stats::median\"#; let a: &'a str = var;"),
        ("model::x", "#[cfg(test)]\nmod tests { use crate::stats::median; fn f() { \"}\" } }"),
        ("report::figures::rows", "use crate::report::charts::{Axis, Chart};"),
        ("report::charts::plot", "use super::pen::Pen;"),
        ("report::charts::mod", "use super::numbers::tick;"),
    ] {
        assert_eq!(violations(&Source::new(module, text)), BTreeSet::new(), "{text}");
    }
}

#[test]
fn a_circle_would_be_seen() {
    let circle_of = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(module, text)| Source::new(module, text)).collect();
        circle(&imports(&sources)).map(|files| files.join(" "))
    };
    let (a, b) = (("m::a", "use super::b::B;"), ("m::b", "use crate::m::c::{C, D};"));
    assert_eq!(circle_of(&[a, b, ("m::c", "use super::a::A;")]).as_deref(), Some("m::a m::b m::c"));
    assert_eq!(circle_of(&[a, b, ("m::c", "use super::E;"), ("m::mod", "pub use a::A;")]), None);
    assert_eq!(circle_of(&[a, ("m::b", "#[cfg(test)]\nmod tests { use super::super::a::A; }")]), None);
}

#[test]
fn no_file_is_too_large_to_hold_in_the_head() {
    for source in modules() {
        let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 450, "{} has {lines} lines of code", source.module.join("::"));
    }
}
