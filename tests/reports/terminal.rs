//! What a terminal is shown, and what shells and `man` are given.

use std::path::Path;

use serde_json::Value;

use super::{Campaign, ok, program};
use tempfile::TempDir;

/// The program on a terminal of so many columns.
fn in_columns(columns: u32, args: &[&str], folder: &Path) -> std::process::Output {
    let mut program = assert_cmd::Command::cargo_bin("greenformers").unwrap();
    program.args(args).env("COLUMNS", columns.to_string()).current_dir(folder).output().unwrap()
}

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
    insta::assert_snapshot!(ok(&["compare", "out"], folder.path()), @r"
    LRT r=256 is the fastest at 128 and 512 tokens, in 0.65 [0.65, 0.65] and 0.72 [0.71, 0.72] times the time of dense.

    seq_len  batch  architecture     us/token               time / dense     energy / dense  FLOP
        128     64  LRT r=256            20.7  ███▏    0.65 [0.65, 0.65]  0.66 [0.64, 0.67]  0.53  first
        128     64  dense                31.8  ████▉                   -                  -     -
        128     64  Linformer k=128      39.2  ██████  1.23 [1.22, 1.24]  1.23 [1.21, 1.25]  1.01
        512     16  LRT r=256            28.2  ████▎   0.72 [0.71, 0.72]  0.72 [0.70, 0.73]  0.57  first
        512     16  Linformer k=128      39.2  ██████  1.00 [0.99, 1.00]  0.99 [0.98, 1.01]  0.83
        512     16  dense                39.4  ██████                  -                  -     -
    first: its lead is larger than the uncertainty; tie: the first two cannot be told apart
    LRT r=256 takes less time than Linformer k=128 up to 512 tokens, by ever less
    LRT r=256 takes less energy than Linformer k=128 up to 512 tokens, by ever less
    by the model, on NVIDIA A100 SXM4 80 GB: LRT r=256 takes less time than dense up to 16384 tokens, by ever less; Linformer k=128 takes less time than dense at all lengths from 256 to 16384 tokens; LRT r=256 takes less time up to about 520 tokens [170, 1300], Linformer k=128 above
    by the model, on NVIDIA H100 SXM5 80 GB: LRT r=256 takes less time than dense up to 16384 tokens, by ever less; Linformer k=128 takes less time than dense at all lengths from 256 to 16384 tokens; LRT r=256 takes less time up to about 310 tokens [shorter, 1000], Linformer k=128 above

    next:    greenformers report out
    ");
}

#[test]
fn a_comparison_fits_a_narrow_terminal_and_says_what_comes_next() {
    let folder = recorded(&Campaign::small());
    for width in [60, 80] {
        let text = String::from_utf8(in_columns(width, &["compare", "out"], folder.path()).stdout).unwrap();
        assert!(text.starts_with("LRT r=256 is the fastest at 128 and 512 tokens"), "{text}");
        assert!(text.ends_with("\nnext:    greenformers report out\n"), "{text}");
        // A row is a line: no name is cut.
        assert!(text.lines().any(|line| line.contains("Linformer k=128")), "{text}");
        let table = text.lines().skip_while(|line| !line.starts_with("seq_len")).take(7);
        assert!(table.clone().all(|line| line.chars().count() <= width as usize), "{width}: {text}");
    }
}

#[test]
fn the_estimate_of_a_campaign() {
    let folder = recorded(&Campaign::small());
    let text = ok(&["estimate", "out", "--grid", "fra", "--pue", "1.2"], folder.path());
    let tables: String = text.lines().take(13).map(|l| l.to_owned() + "\n").collect();
    insta::assert_snapshot!(tables, @r"
    bert-base (dense) on 1 x a100-sxm4-80gb, France (fra): 16.9 [16.2, 17.7] days, 1180 [1090, 2040] USD, 257 [228, 293] kWh and 13.7 [10.9, 16.2] kgCO2e (life-cycle); by steps that were measured.

    architecture             time days             kWh             kgCO2e                USD       time / dense
    dense            16.9 [16.2, 17.7]  257 [228, 293]  13.7 [10.9, 16.2]  1180 [1090, 2040]                  -
    LRT r=256        11.4 [11.0, 11.9]  174 [154, 198]  9.29 [7.40, 10.9]    794 [737, 1370]  0.67 [0.66, 0.69]
    Linformer k=128  16.8 [16.2, 17.7]  256 [227, 292]  13.7 [10.9, 16.1]  1170 [1090, 2030]  1.00 [0.99, 1.01]

    assumed: price of a device: 2.79 [2.79, 5.12] USD/h (`--cloud NAME` or `--usd-per-hour X`)
             grid intensity: 56.0 [44.2, 56.0] gCO2e/kWh (`--grid NAME` or `--grid-intensity G`)
    next:    greenformers estimate out --grid fra --pue 1.2 --assumptions
    ");
}

#[test]
fn a_sweep_says_once_what_all_scenarios_share() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["estimate", "--sweep", "hardware=a100-sxm4-80gb,h100-sxm5,grid=fra,pol,dtype=bf16,devices=8"];
    let text = ok(&args, folder.path());
    assert!(
        text.contains("\nAll: devices: 8, dtype: bf16, software: unknown, architecture: dense, fits: yes\n"),
        "{text}"
    );
    let header: Vec<&str> = text.lines().find(|l| l.starts_with("hardware")).unwrap().split_whitespace().collect();
    assert_eq!(header, ["hardware", "grid", "time", "h", "kWh", "kgCO2e", "USD"]);
}

#[test]
fn tables_fit_a_hundred_columns_however_many_there_are() {
    let folder = recorded(&Campaign::large());
    for args in [
        vec!["compare", "out"],
        vec!["estimate", "out"],
        vec!["estimate", "--hardware", "a100-sxm4-80gb", "--devices", "64", "--explain", "--assumptions"],
        vec!["estimate", "--sweep", "hardware=all,grid=fra,pol,dtype=bf16,f16,devices=1,8,arch=dense,lrt:rank=256"],
        vec!["catalog", "list", "hardware"],
        vec!["catalog", "list", "grid"],
        vec!["catalog", "list", "workload"],
        vec!["devices"],
    ] {
        let output = in_columns(100, &args, folder.path());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !text.is_empty(), "{args:?}");
        // Rows have gaps of at least two spaces; sentences have not.
        let rows = text.lines().filter(|l| l.trim().contains("  ") && !l.starts_with("next:"));
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

/// What `compare` prints on a terminal, with this value of `NO_COLOR`; `None` where no terminal can be made.
fn on_a_terminal(folder: &Path, no_color: &str) -> Option<String> {
    let program = assert_cmd::cargo::cargo_bin("greenformers");
    let command = format!("{} compare out", program.display());
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(folder).env("NO_COLOR", no_color).env("TERM", "xterm");
    let output = script.output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn a_terminal_is_painted_on_unless_no_color_is_set() {
    let folder = recorded(&Campaign::small());
    let Some(painted) = on_a_terminal(folder.path(), "") else {
        eprintln!("skipped: `script` makes no terminal on this machine");
        return;
    };
    assert!(painted.contains("\u{1b}[1mseq_len") && painted.contains("\u{1b}[32mfirst\u{1b}[0m"), "{painted}");
    let plain = on_a_terminal(folder.path(), "1").unwrap();
    assert!(plain.contains("first") && !plain.contains('\u{1b}'), "{plain}");
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
    assert!(scenarios["recommendation"].as_str().unwrap().starts_with("Choose "));
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
        "validate",
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
