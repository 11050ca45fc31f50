//! The program as a person uses it: what it prints, what it writes, how it fails.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const TINY: &str = "name: tiny
source: made up for a test
model: {n_layers: 2, d_model: 24, n_heads: 3, d_ff: 40, vocab_size: 101, max_seq_len: 32}
optimizer: adamw
phases:
  - {steps: 1000, batch_size: 16, seq_len: 8}
  - {steps: 100, batch_size: 16, seq_len: 32}
";

const DEVICE: &str = "id: my-cpu
name: A test CPU
kind: cpu
vendor: nobody
threads: 64
tdp: {value: 200, unit: W, year: 2024, source: made up for a test}
peak:
  f32: {value: 2, unit: TFLOP/s, year: 2024, source: made up for a test}
";

fn run(args: &[&str], folder: &Path) -> Output {
    Command::cargo_bin("greenformers").unwrap().args(args).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn ok(args: &[&str], folder: &Path) -> String {
    let output = run(args, folder);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(args: &[&str], folder: &Path) -> Value {
    serde_json::from_str(&ok(args, folder)).unwrap()
}

/// Runs what must fail and gives its message.
fn fails(args: &[&str], folder: &Path, code: i32) -> String {
    let output = run(args, folder);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", stdout(&output), stderr(&output));
    assert!(output.stdout.is_empty(), "{args:?} printed {}", stdout(&output));
    stderr(&output)
}

/// A folder with the tiny workload and the test CPU.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    fs::write(folder.path().join("my-cpu.yaml"), DEVICE).unwrap();
    folder
}

const QUICK: [&str; 8] =
    ["--workload", "tiny.yaml", "--hardware", "my-cpu.yaml", "--max-time", "1.5", "--device", "cpu"];

/// A folder that holds the record of a quick campaign in `out`.
fn profiled() -> TempDir {
    let folder = folder();
    let args = [&["profile", "--meter", "model", "-o", "out"][..], &QUICK].concat();
    ok(&args, folder.path());
    folder
}

fn is_interval(value: &Value) -> bool {
    let end = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    end("low") > 0.0 && end("low") <= end("mid") && end("mid") <= end("high")
}

#[test]
fn the_version_says_commit_and_features_and_its_short_form_neither() {
    let folder = TempDir::new().unwrap();
    let number = format!("greenformers {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&run(&["-V"], folder.path())), format!("{number}\n"));
    let long = stdout(&run(&["--version"], folder.path()));
    let lines: Vec<&str> = long.lines().collect();
    let [first, commit, features] = lines[..] else { panic!("{long}") };
    assert_eq!(first, number);
    // A build for tests is not told its commit: it would have to be made again after each.
    let known = option_env!("GREENFORMERS_REVISION").unwrap_or("not known: this build was not told it");
    assert_eq!(commit.strip_prefix("commit: "), Some(known));
    assert_eq!(features, if cfg!(feature = "cuda") { "features: cuda" } else { "features: none" });
}

#[test]
fn the_published_bert_base_footprint_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "footprint",
        "--hours",
        "79.2",
        "--devices",
        "64",
        "--power-total",
        "12041.51",
        "--pue",
        "1.58",
        "--grid-intensity",
        "432.727",
        "--usd-per-hour",
        "2.48",
        "--format",
        "json",
    ];
    let result = json(&args, folder.path());
    let mid = |name: &str| result[name]["mid"].as_f64().unwrap();
    assert!((mid("facility_energy_kwh") - 1506.83).abs() < 0.005);
    assert!((mid("operational_kgco2e") - 652.0).abs() < 0.05);
    assert!((mid("cost_usd") - 12570.6).abs() < 0.05);
    assert!(result["embodied_kgco2e"].is_null());
    assert!(result["missing"]["embodied_kgco2e"].as_str().unwrap().contains("no sourced figure"));
}

#[test]
fn run_does_the_main_job_and_writes_every_file() {
    let folder = folder();
    let args = [
        &["run", "--meter", "model", "-o", "out", "--arch", "dense", "--arch", "lrt:rank=4", "--arch", "linformer:k=6"]
            [..],
        &QUICK,
    ]
    .concat();
    let text = ok(&args, folder.path());
    for part in
        ["dense", "LRT r=4", "Linformer k=6", "the whole run on this machine", "thesis:", "report: out/report.html"]
    {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    let out = folder.path().join("out");
    for file in ["record.json", "measurements.csv", "summary.csv", "summary.parquet", "report.html", "report.md"] {
        assert!(out.join(file).metadata().unwrap().len() > 100, "{file}");
    }
    for chart in ["saving", "time_per_token", "energy", "memory_by_length", "latency", "run"] {
        let svg = fs::read_to_string(out.join(format!("charts/{chart}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{chart}");
    }
    let record: Value = serde_json::from_str(&fs::read_to_string(out.join("record.json")).unwrap()).unwrap();
    let cells = record["cells"].as_array().unwrap();
    // The recipe's 8 and 16 tokens and four lengths beside them, each in three architectures, and passes of two lengths.
    assert_eq!(cells.iter().filter(|c| c["pass"] == "train").count(), 6 * 3);
    assert_eq!(cells.iter().filter(|c| c["pass"] == "infer" && c["shape"]["batch_size"] == 1).count(), 2 * 3);
    assert_eq!(&fs::read(out.join("summary.parquet")).unwrap()[..4], b"PAR1");
}

#[test]
fn profile_prints_the_promised_json() {
    let folder = folder();
    let args = [
        &["profile", "--meter", "model", "-o", "out", "--arch", "lrt:rank=4", "--seq-len", "8", "--format", "json"][..],
        &QUICK,
    ]
    .concat();
    let result = json(&args, folder.path());
    assert_eq!(result["schema"], 1);
    let cell = &result["cells"][0];
    for (name, expected) in [
        ("arch", Value::from("lrt")),
        ("rank", Value::from(4)),
        ("k", Value::Null),
        ("seq_len", Value::from(8)),
        ("dtype", Value::from("f32")),
        ("pass", Value::from("train")),
        ("device", Value::from("cpu")),
        ("status", Value::from("ok")),
        ("energy_source", Value::from("model")),
    ] {
        assert_eq!(cell[name], expected, "{name}");
    }
    for name in
        ["step_s", "forward_s", "backward_s", "optimizer_s", "tokens_per_s", "energy_j_per_step", "power_w", "mfu"]
    {
        assert!(is_interval(&cell[name]), "{name}: {}", cell[name]);
    }
    assert!(cell["peak_memory_bytes"].as_u64().unwrap() > 100_000);
}

#[test]
fn a_machine_without_a_meter_has_null_energies_with_a_reason_and_never_zero() {
    let folder = folder();
    let args = [&["run", "--meter", "none", "-o", "out", "--arch", "dense"][..], &QUICK].concat();
    let text = ok(&args, folder.path());
    assert!(text.contains("facility_energy_kwh: `--meter none` was given"), "{text}");
    let estimates = json(&["estimate", "out", "--format", "json"], folder.path());
    let dense = &estimates["estimates"][0];
    for name in ["it_energy_kwh", "facility_energy_kwh", "operational_kgco2e"] {
        assert!(dense[name].is_null(), "{name}");
        assert!(!dense["missing"][name].as_str().unwrap().is_empty(), "{name}");
    }
    assert!(is_interval(&dense["wall_h"]));
}

#[test]
fn an_estimate_of_a_record_is_the_steps_times_the_measured_step() {
    let folder = folder();
    // Micro-batches that the workload's batch of 16 is made of: a larger one would be another shape.
    let profile = [&["profile", "--meter", "model", "-o", "out", "--batch-size", "8"][..], &QUICK].concat();
    ok(&profile, folder.path());
    let args = ["estimate", "out", "--grid", "fra", "--pue", "1.2", "--usd-per-kwh", "0.2", "--format", "json"];
    let result = json(&args, folder.path());
    let estimates = result["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 3);
    let record: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("out/record.json")).unwrap()).unwrap();
    let dense = &estimates[0];
    assert_eq!(dense["arch"], "dense");
    assert_eq!(dense["basis"], "measured");
    let mean_of = |seq_len: u64| {
        let is_it = |c: &&Value| c["arch"] == "dense" && c["shape"]["seq_len"] == seq_len;
        let cell = record["cells"].as_array().unwrap().iter().find(is_it).unwrap();
        let steps = cell["steps"].as_array().unwrap();
        let mean = |name: &str| steps.iter().map(|s| s[name].as_f64().unwrap()).sum::<f64>() / steps.len() as f64;
        let micro = 16.0 / cell["shape"]["batch_size"].as_f64().unwrap();
        micro * (mean("forward_s") + mean("backward_s")) + mean("optimizer_s")
    };
    let hours = (1000.0 * mean_of(8) + 100.0 * mean_of(32)) / 3600.0;
    let wall = &dense["wall_h"];
    // Goodput lies between 0.9 and 1, most likely 0.97.
    let ratio = wall["mid"].as_f64().unwrap() / hours;
    assert!((1.0..1.11).contains(&ratio), "{ratio}");
    for e in estimates {
        for name in ["wall_h", "facility_energy_kwh", "operational_kgco2e", "cost_usd", "tokens_per_s", "mfu"] {
            assert!(is_interval(&e[name]), "{name}: {}", e[name]);
        }
        let (it, facility) =
            (e["it_energy_kwh"]["mid"].as_f64().unwrap(), e["facility_energy_kwh"]["mid"].as_f64().unwrap());
        assert!((facility / it - 1.2).abs() < 1e-9);
        assert!(e["assumptions"].as_array().unwrap().iter().all(|a| !a["source"].as_str().unwrap().is_empty()));
    }
    assert!(dense["vs_dense"].is_null());
    for name in ["wall_h", "facility_energy_kwh", "cost_usd", "operational_kgco2e"] {
        assert!(is_interval(&estimates[1]["vs_dense"][name]), "{name}");
    }
    assert_eq!(result, json(&args, folder.path()), "the same seed gives the same output");
}

#[test]
fn shared_inputs_cancel_in_ratios() {
    let folder = profiled();
    let ratio = |grid: &str| {
        let result = json(&["estimate", "out", "--grid", grid, "--format", "json"], folder.path());
        result["estimates"][1]["vs_dense"]["operational_kgco2e"].clone()
    };
    // The world's intensity is known to a factor of ten; the ratio must not be.
    let (world, france) = (ratio("world"), ratio("fra"));
    for end in ["low", "mid", "high"] {
        let (a, b) = (world[end].as_f64().unwrap(), france[end].as_f64().unwrap());
        assert!((a / b - 1.0).abs() < 1e-12, "{end}: {a} and {b}"); // equal but for rounding
    }
}

#[test]
fn an_estimate_for_hardware_that_was_not_measured_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let args =
        ["estimate", "--hardware", "a100-sxm4-80gb", "--devices", "8", "--grid", "aws-eu-north-1", "--format", "json"];
    let result = json(&args, folder.path());
    let dense = &result["estimates"][0];
    assert_eq!(dense["basis"], "analytic");
    assert_eq!(dense["n_params"], 110_106_428);
    assert!((dense["flop_total"].as_f64().unwrap() / 2.38e19 - 1.0).abs() < 0.005);
    // 2.38e19 FLOP at 312 TFLOP/s are 21 device-hours at least; stock frameworks reach a quarter of it.
    let hours = dense["device_h"]["mid"].as_f64().unwrap();
    assert!((40.0..200.0).contains(&hours), "{hours}");
    assert_eq!(dense["fits"], true);
    let mfu = dense["mfu"]["mid"].as_f64().unwrap();
    assert!((0.1..0.6).contains(&mfu), "{mfu}");
}

#[test]
fn a_model_fitted_on_gpus_warns_when_it_is_asked_about_a_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let warned = |hardware: &str| {
        let result = json(&["estimate", "--hardware", hardware, "--format", "json"], folder.path());
        let warnings = result["estimates"][0]["warnings"].as_array().unwrap().clone();
        warnings.iter().any(|w| w["fact"].as_str().unwrap().contains("is no GPU"))
    };
    assert!(warned("amd-epyc-7763"));
    assert!(!warned("a100-sxm4-80gb"));
}

#[test]
fn a_step_time_of_the_users_own_is_taken_at_its_word() {
    let folder = folder();
    let args = [
        "estimate",
        "--workload",
        "tiny.yaml",
        "--step-time",
        "3.6",
        "--power",
        "500",
        "--pue",
        "1",
        "--grid-intensity",
        "100",
        "--format",
        "json",
    ];
    let result = json(&args, folder.path());
    let e = &result["estimates"][0];
    assert_eq!(e["basis"], "given");
    // 1100 steps of 3.6 s are 1.1 h, 0.55 kWh, 55 g; goodput 0.9 to 1.
    let wall = e["wall_h"]["mid"].as_f64().unwrap();
    assert!((1.1..1.23).contains(&wall), "{wall}");
    let kg = e["operational_kgco2e"]["mid"].as_f64().unwrap();
    assert!((kg / wall - 0.05).abs() < 1e-3, "{kg}");
}

#[test]
fn compare_names_a_winner_or_says_that_it_sees_none() {
    let folder = profiled();
    let result = json(&["compare", "out", "--format", "json"], folder.path());
    let lengths = result["lengths"].as_array().unwrap();
    assert_eq!(lengths.len(), 2);
    for length in lengths {
        let rows = length["rows"].as_array().unwrap();
        // At 8 tokens the Linformer, whose k is 8, is dense, and one model is not measured twice.
        assert_eq!(rows.len(), if length["seq_len"] == 8 { 2 } else { 3 });
        let times: Vec<f64> = rows.iter().map(|r| r["us_per_token"]["mid"].as_f64().unwrap()).collect();
        assert!(times.is_sorted());
        for row in rows {
            assert_eq!(row["time_vs_dense"].is_null(), row["spec"] == "dense");
        }
    }
    assert!(ok(&["compare", "out"], folder.path()).contains("seq_len"));
}

#[test]
fn a_killed_campaign_is_resumed_and_no_cell_is_measured_twice() {
    let folder = profiled();
    let path = folder.path().join("out/record.json");
    let mut record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let cells = record["cells"].as_array_mut().unwrap();
    cells.truncate(2);
    let kept = cells.clone();
    fs::write(&path, record.to_string()).unwrap();
    let args = [&["profile", "--meter", "model", "-o", "out"][..], &QUICK].concat();
    let message = fails(&args, folder.path(), 1);
    assert!(message.contains("already holds a record") && message.contains("--resume"), "{message}");
    ok(&[&args[..], &["--resume"]].concat(), folder.path());
    let record: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let cells = record["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 5);
    assert_eq!(cells[..2], kept);
    let changed = [&args[..], &["--resume", "--dropout", "0.2"]].concat();
    assert!(fails(&changed, folder.path(), 1).contains("other settings (`--dropout`)"));
}

#[test]
fn a_report_is_written_again_from_the_record_alone() {
    let folder = profiled();
    assert_eq!(ok(&["report", "out", "-o", "again"], folder.path()), "again/report.html\n");
    let page = |name: &str| fs::read_to_string(folder.path().join(name).join("report.html")).unwrap();
    let first = page("again");
    ok(&["report", "out/record.json", "-o", "third"], folder.path());
    assert_eq!(first, page("third"));
    for part in ["<!DOCTYPE html>", "role=\"img\"", "modelled, not measured", "Cahyawijaya 2021"] {
        assert!(first.contains(part), "{part}");
    }
}

#[test]
fn names_from_files_are_escaped_in_the_page() {
    let folder = folder();
    let evil = TINY.replace("name: tiny", "name: evil").replace("made up for a test", "\"<script>alert(1)</script>\"");
    fs::write(folder.path().join("evil.yaml"), evil).unwrap();
    let args = [
        "run",
        "--workload",
        "evil.yaml",
        "--meter",
        "none",
        "--max-time",
        "1",
        "--arch",
        "dense",
        "-o",
        "out",
        "--device",
        "cpu",
    ];
    ok(&args, folder.path());
    for file in ["report.html", "report.md"] {
        let text = fs::read_to_string(folder.path().join("out").join(file)).unwrap();
        assert!(!text.contains("<script>alert"), "{file}");
        assert!(text.contains("&lt;script"), "{file}");
    }
}

#[test]
fn devices_exits_with_zero_on_any_machine_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let text = ok(&["devices", "--powercap-root", empty], folder.path());
    assert!(text.contains("cpu") && text.contains("RAPL is not available"), "{text}");
    let result = json(&["devices", "--powercap-root", empty, "--format", "json"], folder.path());
    assert_eq!(result["devices"][0]["device"], "cpu");
    assert_eq!(result["devices"][0]["computes"], true);
}

#[test]
fn the_catalog_shows_numbers_with_their_sources() {
    let folder = folder();
    assert!(ok(&["catalog"], folder.path()).contains("workload"));
    assert!(ok(&["catalog", "list", "hardware"], folder.path()).contains("rtx-4090-24gb"));
    assert!(ok(&["catalog", "list", "grid"], folder.path()).contains("us-egrid-camx"));
    let device = json(&["catalog", "show", "hardware", "a100-sxm4-80gb"], folder.path());
    assert_eq!(device["tdp"]["value"], 400.0);
    assert!(!device["tdp"]["source"].as_str().unwrap().is_empty());
    assert_eq!(ok(&["catalog", "check", "hardware", "my-cpu.yaml"], folder.path()), "my-cpu.yaml: valid\n");
}

#[test]
fn a_folder_of_the_users_is_laid_over_the_catalog() {
    let folder = folder();
    let site = "id: aws\nname: My AWS\npue: {value: 1.5, unit: \"1\", year: 2026, source: mine}\n";
    fs::create_dir_all(folder.path().join("mine/profiles/site")).unwrap();
    fs::write(folder.path().join("mine/profiles/site/aws.yaml"), site).unwrap();
    let shown = json(&["catalog", "show", "site", "aws", "--catalog", "mine"], folder.path());
    assert_eq!(shown["name"], "My AWS");
    assert!(fails(&["catalog", "--catalog", "nowhere"], folder.path(), 1).contains("cannot read `nowhere`"));
}

#[test]
fn completions_are_printed_for_each_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(ok(&["completions", shell], folder.path()).contains("greenformers"), "{shell}");
    }
}

#[test]
fn a_bad_yaml_is_named_with_its_line_and_what_is_allowed() {
    let folder = folder();
    for (file, kind, text, parts) in [
        (
            "source.yaml",
            "hardware",
            DEVICE.replace(", source: made up for a test}", "}"),
            vec!["line 6", "missing field `source`"],
        ),
        (
            "unit.yaml",
            "hardware",
            DEVICE.replace("unit: W", "unit: J"),
            vec!["line 6", "expected a power in `W` or `kW`, got `J`", "6 | tdp:"],
        ),
        ("field.yaml", "hardware", format!("{DEVICE}colour: red\n"), vec!["line 9", "unknown field `colour`"]),
        ("negative.yaml", "hardware", DEVICE.replace("value: 200", "value: -200"), vec!["line 6", "`value` is -200"]),
        ("nan.yaml", "hardware", DEVICE.replace("value: 200", "value: .nan"), vec!["line 6", "`value` is NaN"]),
        (
            "pue.yaml",
            "site",
            "id: pue\nname: x\npue: {value: 0.9, unit: \"1\", year: 2024, source: x}\n".to_owned(),
            vec!["line 3", "the PUE is 0.9: expected facility energy over IT energy"],
        ),
        (
            "heads.yaml",
            "workload",
            TINY.replace("n_heads: 3", "n_heads: 5"),
            vec!["line 3", "`n_heads` is 5 and does not divide `d_model`, 24"],
        ),
        (
            "long.yaml",
            "workload",
            TINY.replace("16, seq_len: 32}", "16, seq_len: 64}"),
            vec!["`seq_len` is 64: expected 1 to `max_seq_len`, 32"],
        ),
        ("empty.yaml", "workload", String::new(), vec!["`./empty.yaml` is not valid"]),
        ("tabs.yaml", "grid", "id: \t{".to_owned(), vec!["is not valid", "line 1"]),
        ("nothing.yaml", "grid", "id: nothing\nname: x\n".to_owned(), vec!["expected an `intensity`, or the `zone`"]),
    ] {
        fs::write(folder.path().join(file), text).unwrap();
        let message = fails(&["catalog", "check", kind, file], folder.path(), 1);
        for part in parts {
            assert!(message.contains(part), "{file}: `{part}` in {message}");
        }
    }
}

#[test]
fn bad_names_and_numbers_are_refused_before_anything_is_written() {
    let folder = folder();
    let profile = |extra: &[&'static str]| -> Vec<&'static str> {
        [&["profile", "--workload", "tiny.yaml", "-o", "out"][..], extra].concat()
    };
    for (args, code, part) in [
        (profile(&["--arch", "lrt:rank=25"]), 1, "`rank` of `lrt:rank=25` is larger than it can be: at most 24"),
        (profile(&["--arch", "linformer:k=33"]), 1, "`k` of `linformer:k=33` is larger than it can be: at most 32"),
        (profile(&["--arch", "sparse"]), 2, "unknown architecture `sparse`"),
        (profile(&["--seq-len", "200000"]), 1, "`--seq-len 200000`: expected 1 to 131072"),
        (profile(&["--seq-len", "0"]), 1, "1 to 131072"),
        (profile(&["--batch-size", "0"]), 2, "expected `auto` or a number from 1"),
        (profile(&["--dropout", "1"]), 2, "expected a probability"),
        (profile(&["--precision", "200%"]), 2, "expected a ratio between 0 and 1"),
        (profile(&["--max-time", "0"]), 2, "expected a time in seconds above 0"),
        (profile(&["--dtype", "f8"]), 2, "unknown dtype `f8`"),
        (profile(&["--device", "cpu", "--dtype", "tf32"]), 1, "`cpu` does not compute in `tf32`"),
        (profile(&["--device", "tpu"]), 2, "unknown device `tpu`"),
        (profile(&["--meter", "guess"]), 2, "unknown meter `guess`"),
        (profile(&["--device", "cpu", "--meter", "nvml"]), 1, "`--meter nvml` measures GPUs"),
        (profile(&["--hardware", "rtx-4900"]), 1, "did you mean `rtx-4090-24gb`"),
        (
            vec!["profile", "--workload", "brt-base", "-o", "out"],
            1,
            "unknown workload `brt-base`: did you mean `bert-base`",
        ),
        (
            vec!["estimate", "--hardware", "a100-sxm4-80gb", "--grid", "frx"],
            1,
            "unknown grid `frx`: did you mean `fra`",
        ),
        (vec!["estimate", "--hardware", "a100-sxm4-80gb", "--devices", "0"], 1, "expected at least 1"),
        (vec!["estimate", "--hardware", "a100-sxm4-80gb", "--devices", "300"], 1, "at most 256 devices"),
        (
            vec!["estimate", "--hardware", "v100-sxm2-16gb", "--dtype", "bf16"],
            1,
            "no peak for `bf16`: expected one of `f32`, `f16`",
        ),
        (
            vec!["estimate", "--hardware", "intel-core-i9-13900k"],
            1,
            "no peak for `f32`: expected another device, it has none",
        ),
        (vec!["estimate", "--hardware", "a100-sxm4-80gb", "--pue", "0.5"], 1, "`--pue`: the PUE is 0.5"),
        (vec!["estimate"], 1, "nothing to estimate from"),
        (vec!["footprint", "--hours", "NaN", "--power", "3"], 2, "expected a time such as"),
        (vec!["estimate", "nowhere.json"], 1, "cannot read `nowhere.json`"),
        (vec!["compare"], 1, "there is no record below `reports/`"),
        (vec!["frobnicate"], 2, "unrecognized subcommand"),
    ] {
        let message = fails(&args, folder.path(), code);
        assert!(message.contains(part), "{args:?}: `{part}` in {message}");
        assert!(!folder.path().join("out").exists(), "{args:?} left something behind");
    }
}

#[test]
fn a_damaged_record_is_refused_with_its_line() {
    let folder = profiled();
    let path = folder.path().join("out/record.json");
    let good = fs::read_to_string(&path).unwrap();
    let first_forward = good.find("\"forward_s\": ").unwrap() + "\"forward_s\": ".len();
    let number_end = first_forward + good[first_forward..].find(',').unwrap();
    let with_forward = |text: &str| format!("{}{text}{}", &good[..first_forward], &good[number_end..]);
    for (text, parts) in [
        (good.replace("\"schema\": 3", "\"schema\": 7"), vec!["schema 7", "reads schema 1 to 3"]),
        (good[..good.len() / 2].to_owned(), vec!["is not a valid record: line", "column"]),
        (with_forward("NaN"), vec!["is not a valid record: line", "\"forward_s\": NaN"]),
        (with_forward("1e999"), vec!["is not a valid record: line", "number out of range"]),
        (with_forward("-1.0"), vec!["is -1: expected a finite number of at least 0"]),
        (String::new(), vec!["is not a valid record"]),
        ("[]".to_owned(), vec!["is not a valid record"]),
    ] {
        fs::write(&path, text).unwrap();
        for command in ["estimate", "compare", "report"] {
            let message = fails(&[command, "out"], folder.path(), 1);
            for part in &parts {
                assert!(message.contains(part), "{command}: `{part}` in {message}");
            }
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_that_names_it() {
    let folder = folder();
    fs::write(folder.path().join("file"), "in the way").unwrap();
    let args = [&["profile", "--meter", "none", "-o", "file/out"][..], &QUICK].concat();
    let message = fails(&args, folder.path(), 1);
    assert!(message.contains("cannot write into `file/out`") && message.contains("hint: "), "{message}");
    assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "in the way");
}

#[test]
fn a_validation_predicts_as_many_steps_as_it_runs_and_says_how_far_it_was_off() {
    let folder = folder();
    let args = [
        "validate",
        "--workload",
        "tiny.yaml",
        "--hardware",
        "my-cpu.yaml",
        "--meter",
        "model",
        "--device",
        "cpu",
        "--minutes",
        "0.01",
        "--profile",
        "0.4",
        "-o",
        "out",
        "--format",
        "json",
    ];
    let result = json(&args, folder.path());
    let run = &result["runs"][0];
    assert_eq!((&run["spec"], &run["seq_len"]), (&Value::from("dense"), &Value::from(8)), "most steps are at 8 tokens");
    let steps = run["prediction"]["steps"].as_u64().unwrap();
    let record = fs::read_to_string(folder.path().join("out/run-dense-8-f32/record.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["settings"]["steps"].as_u64(), Some(steps));
    assert_eq!(record["cells"][0]["steps"].as_array().unwrap().len() as u64, steps);
    for what in ["time_s", "energy_j"] {
        let outcome = &run[what];
        let (predicted, measured) =
            (outcome["predicted"]["mid"].as_f64().unwrap(), outcome["measured"].as_f64().unwrap());
        assert!(predicted > 0.0 && measured > 0.0, "{outcome}");
        assert!((outcome["error"].as_f64().unwrap() - (predicted / measured - 1.0)).abs() < 1e-9);
    }
    let page = fs::read_to_string(folder.path().join("out/validation.md")).unwrap();
    assert!(page.contains("| dense, 64 x 8, f32 |") && page.contains("kJ (model)"), "{page}");
    assert!(fails(&args, folder.path(), 1).contains("already holds a record"));
    let wrong = fails(&["validate", "--minutes", "0"], folder.path(), 2);
    assert!(wrong.contains("minutes above 0"), "{wrong}");
}
