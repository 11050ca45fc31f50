//! `gate`: two versions of a program, and whether the new one is dearer beyond doubt.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A folder of accounts with these energies, in kWh.
fn accounts(folder: &Path, name: &str, kwh: &[f64]) {
    fs::create_dir(folder.join(name)).unwrap();
    for (i, kwh) in kwh.iter().enumerate() {
        let account = format!(
            r#"{{"schema": 1, "command": ["./train"], "duration_s": {}, "it_energy_kwh": {{"mid": {kwh}, "low": 0, "high": 9}}}}"#,
            100.0 * kwh
        );
        fs::write(folder.join(name).join(format!("{i}.json")), account).unwrap();
    }
}

fn gate(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_greenformers")).arg("gate").args(args).current_dir(folder).output().unwrap()
}

#[test]
fn an_increase_is_stopped_only_where_it_is_sure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    accounts(path, "base", &[1.00, 1.01, 0.99, 1.00, 1.01]);
    accounts(path, "same", &[1.01, 0.99, 1.00, 1.01, 0.99]);
    accounts(path, "dearer", &[1.10, 1.11, 1.09, 1.10, 1.12]);
    accounts(path, "noisy", &[0.80, 1.40, 1.10, 1.30, 0.90]);
    for (new, code, part) in [
        ("same", 0, "not dearer: an increase above 5.0 % is ruled out"),
        ("dearer", 1, "**dearer**: an increase above 5.0 % is sure"),
        ("noisy", 0, "not sure"),
    ] {
        let output = gate(path, &["base", new]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(
            text.starts_with("| | base (runs) | new (runs) | change [95 %] |\n|---|---|---|---|\n")
                && text.contains(part)
        );
    }
    assert_eq!(gate(path, &["base", "dearer", "--max-increase", "15%"]).status.code(), Some(0));
    let time = gate(path, &["base/0.json", "dearer/0.json", "--of", "time", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&time.stdout).unwrap();
    assert_eq!((json["unit"].as_str(), json["base"][0].as_f64()), (Some("s"), Some(100.0)));
    // Of single runs an increase of a tenth is not sure.
    assert_eq!((time.status.code(), json["dearer"].as_bool()), (Some(0), Some(false)));
}

#[test]
fn what_cannot_be_compared_is_told_from_what_is_dearer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    accounts(path, "base", &[1.0]);
    fs::create_dir(path.join("empty")).unwrap();
    fs::write(path.join("other.json"), "{}").unwrap();
    fs::write(path.join("broken.json"), "{").unwrap();
    for (new, part) in [
        ("nowhere.json", "cannot read"),
        ("empty", "0 JSON files"),
        ("other.json", "no account of a command"),
        ("broken.json", "no account of a command"),
    ] {
        let output = gate(path, &["base", new]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{new}: {message}");
        assert!(output.stdout.is_empty() && message.contains(part), "{new}: {message}");
    }
    let cost = gate(path, &["base", "base", "--of", "cost"]);
    assert!(cost.status.code() == Some(2) && String::from_utf8_lossy(&cost.stderr).contains("has no cost"));
}
