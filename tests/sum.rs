//! `sum` as a person uses it, and ranks of a job that agree on one meter a node.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_greenformers"));
    for name in ["CUDA_VISIBLE_DEVICES", "LOCAL_RANK", "RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"] {
        program.env_remove(name);
    }
    program
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn sum(folder: &Path, args: &[&str]) -> Output {
    program().arg("sum").args(args).current_dir(folder).output().unwrap()
}

fn sum_json(folder: &Path, args: &[&str]) -> Value {
    let output = sum(folder, &[args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The kernel's counter of a node, as files.
fn counter(root: &Path) {
    let zone = root.join("intel-rapl:0");
    fs::create_dir_all(&zone).unwrap();
    for (file, content) in [("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "1000000")] {
        fs::write(zone.join(file), content).unwrap();
    }
}

/// An account of one made-up CPU: from when to when since its host's start, and joules.
fn account(host: &str, from_s: f64, to_s: f64, joules: f64) -> Value {
    let started = format!("2026-11-26T10:00:{from_s:06.3}+00:00");
    json!({
        "schema": 1, "command": ["./train"], "project": "bert", "started": started, "duration_s": to_s - from_s,
        "machine": {"host": host, "boot_id": format!("boot-of-{host}"), "since_boot_s": from_s},
        "job": {"scheduler": "slurm", "cluster": null, "id": "7", "step": "0", "name": null, "array_job": null, "array_task": null},
        "tracking": "machine",
        "lines": [{"device": "cpu", "kind": "cpu", "id": "intel-rapl:0 package-0", "source": "rapl",
                   "energy_j": {"mid": joules, "low": 0.9 * joules, "high": 1.1 * joules}}],
        "it_energy_kwh": {"mid": joules / 3.6e6, "low": joules / 3.6e6, "high": joules / 3.6e6}
    })
}

fn folder_with(accounts: &[(&str, Value)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, account) in accounts {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, account.to_string()).unwrap();
    }
    folder
}

/// Two records that overlap, a time that nobody metered, a copy, and a file that is none.
pub(crate) fn with_a_gap() -> Value {
    let mut unmetered = account("a", 10.0, 20.0, 0.0);
    unmetered["lines"][0]["energy_j"] = Value::Null;
    let folder = folder_with(&[
        ("a.json", account("a", 0.0, 6.0, 600.0)),
        ("b.json", account("a", 4.0, 8.0, 400.0)),
        ("copy.json", account("a", 0.0, 6.0, 600.0)),
        ("unmetered.json", unmetered),
        ("other.json", json!({"what": 1})),
    ]);
    let sum = sum_json(folder.path(), &["."]);
    for name in ["gaps", "copies", "not_read", "devices"] {
        assert_eq!(sum[name].as_array().map(Vec::len), Some(1), "{name}: {sum}");
    }
    sum
}

#[test]
fn four_ranks_on_two_nodes_write_four_records_that_come_to_each_node_s_joules_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ranks: Vec<_> = (0..4)
        .map(|rank: u32| {
            let (node, local) = (format!("node{}", rank / 2), rank % 2);
            counter(&path.join(&node));
            let output = format!("rank{rank}.json");
            let mut track = program();
            track.current_dir(path).env("TMPDIR", path).stdin(Stdio::null());
            track.env("SLURM_JOB_ID", "4712").env("SLURM_STEP_ID", "0").env("SLURM_JOB_NAME", "bert");
            track.env("SLURM_PROCID", rank.to_string()).env("SLURM_LOCALID", local.to_string()).env("SLURM_NTASKS", "4");
            track.args(["--quiet", "track", "--node", &node, "--powercap-root", &node, "--interval", "0.1", "-o", &output]);
            // Each rank waits until all are there, so that no lock is given up before all have asked for it.
            let script = format!(
                "touch there{rank}; while ! test -e there0 -a -e there1 -a -e there2 -a -e there3; do sleep 0.05; done; \
                 sleep 0.3; echo 51000000 > {node}/intel-rapl:0/energy_uj; sleep 0.4"
            );
            track.args(["--", "sh", "-c", &script]).spawn().unwrap()
        })
        .collect();
    for mut rank in ranks {
        assert!(rank.wait().unwrap().success());
    }
    let records: Vec<Value> = (0..4).map(|rank| read(&path.join(format!("rank{rank}.json")))).collect();
    let cpu =
        |record: &Value| record["lines"].as_array().unwrap().iter().find(|l| l["device"] == "cpu").unwrap().clone();
    let mut of_meters = 0.0;
    for node in 0..2 {
        let (metering, waiting): (Vec<&Value>, Vec<&Value>) =
            records[2 * node..2 * node + 2].iter().partition(|record| cpu(record)["measured_by"].is_null());
        assert_eq!((metering.len(), waiting.len()), (1, 1), "{records:#?}");
        let by = &cpu(waiting[0])["measured_by"];
        assert_eq!(by["rank"], metering[0]["job"]["rank"]);
        assert_eq!(by["process"], metering[0]["machine"]["process"]);
        assert!(cpu(waiting[0])["energy_j"].is_null());
        assert!(cpu(waiting[0])["reason"].as_str().unwrap().contains("of this job meters it for all on this node"));
        assert_eq!(waiting[0]["partial"], false);
        of_meters += cpu(metering[0])["energy_j"]["mid"].as_f64().unwrap();
        assert_eq!(metering[0]["machine"]["host"], format!("node{node}"));
    }
    assert_eq!((&records[3]["job"]["id"], &records[3]["job"]["local_rank"]), (&json!("4712"), &json!(1)));
    assert!(
        (of_meters / 100.0 - 1.0).abs() < 0.15,
        "50 J of each node, less what is outside the commands: {of_meters}"
    );
    let result = sum_json(path, &["rank0.json", "rank1.json", "rank2.json", "rank3.json"]);
    let cpus: Vec<&Value> = result["devices"].as_array().unwrap().iter().filter(|d| d["device"] == "cpu").collect();
    assert_eq!(cpus.len(), 2);
    let summed: f64 = cpus.iter().map(|d| d["energy_j"]["mid"].as_f64().unwrap()).sum();
    assert!((summed / of_meters - 1.0).abs() < 1e-9, "{summed} against {of_meters}");
    assert_eq!((&result["jobs"][0]["name"], &result["jobs"][0]["records"]), (&json!("4712"), &json!(4)));
    assert_eq!(result["projects"][0]["name"], "bert", "where no project is given, the job's name");
    let left: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("greenformers-")), "{left:?}");
}

#[test]
fn a_command_in_no_job_has_none_in_its_record_and_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    counter(&folder.path().join("rapl"));
    let mut track = program();
    track.current_dir(folder.path()).env_remove("SLURM_JOB_ID").env_remove("SLURM_JOBID");
    let output =
        track.args(["track", "--powercap-root", "rapl", "-o", "run.json", "--", "sleep", "0.1"]).output().unwrap();
    assert!(output.status.success());
    let record = read(&folder.path().join("run.json"));
    assert_eq!((&record["job"], &record["project"]), (&Value::Null, &Value::Null));
    assert!(record["machine"]["cpus"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_sum_for_people_says_what_was_in_several_records_and_what_nobody_metered() {
    let mut waiting = account("b", 0.0, 20.0, 0.0);
    waiting["lines"][0]["energy_j"] = Value::Null;
    waiting["it_energy_kwh"] = Value::Null;
    let folder = folder_with(&[
        ("a/0.json", account("a", 0.0, 10.0, 100.0)),
        ("a/1.json", account("a", 5.0, 15.0, 100.0)),
        ("b/0.json", account("b", 0.0, 10.0, 30.0)),
        ("b/1.json", waiting),
    ]);
    let output = sum(folder.path(), &["."]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    insta::assert_snapshot!(text(&output.stdout), @r"
    4 records: 180 [165, 195] J metered, 5.00e-5 kWh at the wall, - kgCO2e, - USD
    50.0 J were in several records, and count once

    host  device  records           energy J  metered s  gaps s  between s
    a     cpu           2     150 [135, 165]       15.0       0          0
    b     cpu           2  30.0 [27.0, 33.0]       10.0    10.0          0

    host  records           energy J  kWh at the wall  kgCO2e  USD
    a           2     150 [135, 165]          4.17e-5       -    -
    b           2  30.0 [27.0, 33.0]          8.33e-6       -    -

    job  records        energy J  kWh at the wall  kgCO2e  USD
      7        4  180 [165, 195]          5.00e-5       -    -

    project  records        energy J  kWh at the wall  kgCO2e  USD
    bert           4  180 [165, 195]          5.00e-5       -    -

    warning: b: nobody metered cpu for 10.0 s in which a command ran: the totals lack it (add the record of the process that metered it, if there is one)
    ");
}

#[test]
fn bad_files_are_listed_with_their_reasons_and_the_rest_is_added() {
    let whole = account("a", 0.0, 10.0, 100.0);
    let mut later = whole.clone();
    later["schema"] = json!(2);
    let folder = folder_with(&[("0.json", whole.clone()), ("copy.json", whole.clone()), ("later.json", later)]);
    let path = folder.path();
    let half = whole.to_string();
    fs::write(path.join("half.json"), &half[..half.len() / 2]).unwrap();
    fs::write(path.join("empty.json"), "").unwrap();
    fs::write(path.join("cells.json"), r#"{"schema": 3, "cells": []}"#).unwrap();
    fs::write(path.join("latin.json"), b"{\"schema\": \"\xe9\"}").unwrap();
    fs::write(path.join("notes.txt"), "no record").unwrap();
    let result = sum_json(path, &[".", "0.json", "gone.json"]);
    assert_eq!(result["total"]["energy_j"]["mid"], 100.0);
    assert_eq!((&result["total"]["records"], result["copies"].as_array().unwrap().len()), (&json!(1), 1));
    let reasons: Vec<(String, String)> = result["not_read"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| (u["file"].as_str().unwrap().to_owned(), u["reason"].as_str().unwrap().to_owned()))
        .collect();
    for (file, reason) in [
        ("half.json", "it ends in its middle"),
        ("empty.json", "it ends in its middle, at byte 0"),
        ("cells.json", "it is no account of `track` or `forecast`: it has no `command`"),
        ("latin.json", "is no text: byte 13 is not UTF-8"),
        ("later.json", "its schema is 2, and this program reads 1"),
        ("gone.json", "cannot read `gone.json`"),
    ] {
        assert!(reasons.iter().any(|(f, r)| f.ends_with(file) && r.contains(reason)), "{file}: {reasons:?}");
    }
    assert_eq!(reasons.len(), 6);
    let strict = sum(path, &[".", "--strict"]);
    assert_eq!((strict.status.code(), text(&strict.stdout).as_str()), (Some(1), ""));
    assert!(text(&strict.stderr).contains("half.json` is not added"), "{}", text(&strict.stderr));
    let nothing = sum(path, &["half.json"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("nothing can be added"), "{}", text(&nothing.stderr));
}

#[test]
fn the_formats_for_programs_have_the_same_joules() {
    let folder = folder_with(&[("0.json", account("a", 0.0, 10.0, 100.0)), ("1.json", account("b", 0.0, 10.0, 50.0))]);
    let path = folder.path();
    let csv = text(&sum(path, &["0.json", "1.json", "--format", "csv"]).stdout);
    assert!(csv.starts_with("level,name,host,device,id,records,energy_j,"), "{csv}");
    assert!(csv.contains("\njob,7,,,,2,150,"), "{csv}");
    let written = sum(path, &["0.json", "1.json", "--format", "prometheus", "-o", "node.prom"]);
    assert!(written.status.success() && written.stdout.is_empty());
    let metrics = fs::read_to_string(path.join("node.prom")).unwrap();
    assert!(metrics.contains("greenformers_project_energy_joules{project=\"bert\",end=\"mid\"} 150\n"), "{metrics}");
}

#[cfg(not(feature = "s3"))]
#[test]
fn object_storage_is_refused_by_a_program_that_is_built_without_it() {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_greenformers"));
    let output = program.args(["sum", "s3://lab/runs"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains("hint: `cargo install greenformers --features s3`"),
        "{stderr}"
    );
}

#[test]
fn a_mirror_of_no_bucket_is_refused() {
    let folder = folder_with(&[("a.json", account("a", 0.0, 6.0, 600.0))]);
    let stderr = text(&sum(folder.path(), &["a.json", "--mirror", "kept"]).stderr);
    assert!(stderr.contains("`--mirror` keeps what comes from `s3://BUCKET/PREFIX`"), "{stderr}");
}
