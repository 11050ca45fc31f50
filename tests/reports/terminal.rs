//! What a terminal is shown, and what shells and `man` are given.

use std::path::Path;

use serde_json::Value;

use super::{Campaign, ok, program};
use tempfile::TempDir;

/// A folder with the record of a made-up campaign in `out`.
fn recorded(campaign: &Campaign) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    campaign.record().save(&folder.path().join("out")).unwrap();
    folder
}

fn json(args: &[&str], folder: &Path) -> Value {
    serde_json::from_str(&ok(args, folder)).unwrap()
}

#[test]
fn the_comparison_of_a_campaign() {
    let folder = recorded(&Campaign::small());
    insta::assert_snapshot!(ok(&["compare", "out"], folder.path()), @"");
}

#[test]
fn the_estimate_of_a_campaign() {
    let folder = recorded(&Campaign::small());
    let text = ok(&["estimate", "out", "--grid", "fra", "--pue", "1.2"], folder.path());
    let tables: String = text.lines().take(13).map(|l| l.to_owned() + "\n").collect();
    insta::assert_snapshot!(tables, @"");
}

#[test]
fn a_sweep_says_once_what_all_scenarios_share() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["estimate", "--sweep", "hardware=a100-sxm4-80gb,h100-sxm5,grid=fra,pol,dtype=bf16,devices=8"];
    insta::assert_snapshot!(ok(&args, folder.path()), @"");
}

#[test]
fn tables_fit_a_hundred_columns_however_many_there_are() {
    let folder = recorded(&Campaign::large());
    for args in [
        vec!["compare", "out"],
        vec!["estimate", "out"],
        vec!["estimate", "--hardware", "a100-sxm4-80gb", "--devices", "64", "--explain"],
        vec!["estimate", "--sweep", "hardware=all,grid=fra,pol,dtype=bf16,f16,devices=1,8,arch=dense,lrt:rank=256"],
        vec!["catalog", "list", "hardware"],
        vec!["catalog", "list", "grid"],
        vec!["catalog", "list", "workload"],
        vec!["devices"],
    ] {
        let text = ok(&args, folder.path());
        // Rows have gaps of at least two spaces; sentences have not.
        let rows = text.lines().filter(|l| l.trim().contains("  "));
        let wide: Vec<&str> = rows.filter(|l| l.chars().count() > 100).collect();
        assert!(wide.is_empty(), "{args:?}: {wide:#?}");
    }
}

#[test]
fn colour_is_for_terminals_alone() {
    let folder = recorded(&Campaign::small());
    for args in [["compare", "out"], ["estimate", "out"]] {
        assert!(!ok(&args, folder.path()).contains('\u{1b}'), "{args:?} paints into a pipe");
    }
}

#[test]
fn every_command_that_prints_results_prints_json_and_csv() {
    let folder = recorded(&Campaign::small());
    let sweep = "hardware=a100-sxm4-80gb,grid=fra,devices=1,8";
    for args in [
        vec!["compare", "out"],
        vec!["estimate", "out"],
        vec!["estimate", "--sweep", sweep, "--recommend"],
        vec!["footprint", "--hours", "2", "--power", "300"],
        vec!["report", "out"],
        vec!["devices"],
        vec!["catalog"],
        vec!["catalog", "list", "site"],
        vec!["catalog", "show", "grid", "fra"],
    ] {
        let value = json(&[&args[..], &["--format", "json"]].concat(), folder.path());
        assert!(value.is_object() || value.is_array(), "{args:?}");
        let text = ok(&[&args[..], &["--format", "csv"]].concat(), folder.path());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert!(reader.records().all(|r| r.is_ok()), "{args:?}: {text}");
        assert!(reader.headers().unwrap().iter().all(|h| !h.contains(' ') || h.len() < 30), "{args:?}: {text}");
    }
    let scenarios = json(&["estimate", "--sweep", sweep, "--recommend", "--format", "json"], folder.path());
    assert_eq!(scenarios["total"], scenarios["scenarios"].as_array().unwrap().len());
    assert!(scenarios["scenarios"][0]["wall_h"]["low"].is_f64());
    assert!(scenarios["recommendation"].as_str().unwrap().starts_with("choose "));
}

#[test]
fn every_command_shows_an_example_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "run",
        "devices",
        "profile",
        "estimate",
        "compare",
        "footprint",
        "track",
        "report",
        "catalog",
        "completions",
        "man",
    ] {
        let help = ok(&[command, "--help"], folder.path());
        let example = help.split_once("Example").map_or("", |(_, rest)| rest);
        assert!(example.contains(&format!("greenformers {command}")), "{command}: {help}");
    }
    assert!(ok(&["--help"], folder.path()).contains("greenformers run"));
}

#[test]
fn there_is_a_page_for_man_of_the_program_and_of_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let page = ok(&["man"], folder.path());
    assert!(
        page.contains(".TH greenformers 1") && page.contains(".SH NAME") && page.contains("greenformers\\-estimate")
    );
    ok(&["man", "-o", "pages"], folder.path());
    for command in ["", "-run", "-estimate", "-report", "-track"] {
        assert!(folder.path().join(format!("pages/greenformers{command}.1")).exists(), "{command}");
    }
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = program(&["man", "-o", "file/pages"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write pages into `file/pages`"));
}
