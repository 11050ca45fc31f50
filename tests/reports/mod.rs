//! Reports: what they say, what they look like to a parser and to a browser, what other programs read.

mod bills;
mod browser;
mod charts;
mod committed;
mod files;
mod hostile;
mod page;
mod scale;
mod sides;
mod synthetic;
mod terminal;

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use greenformers::record::Record;
use tempfile::TempDir;

pub(crate) use synthetic::Campaign;

/// The program, in `folder`.
fn program(args: &[&str], folder: &Path) -> Output {
    Command::cargo_bin("greenformers").unwrap().args(args).current_dir(folder).output().unwrap()
}

/// What it prints, if it does what it is asked.
fn ok(args: &[&str], folder: &Path) -> String {
    let output = program(args, folder);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with the record and the report of it in `out`.
fn reported(record: &Record) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    record.save(&folder.path().join("out")).unwrap();
    ok(&["report", "out"], folder.path());
    folder
}

/// A file of a report.
fn file(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join("out").join(name)).unwrap()
}
