//! Counters that do what a device cannot have done, and shares of a machine: by the program, from files like the kernel's.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const RANGE: u64 = 262_143_328_850;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let cpu = "id: my-cpu\nname: A test CPU\nkind: cpu\nvendor: nobody\nthreads: 64\n\
               tdp: {value: 200, unit: W, year: 2024, source: made up for a test}\n\
               idle_power: {value: 20, unit: W, year: 2024, source: made up for a test}\n";
    fs::write(folder.path().join("my-cpu.yaml"), cpu).unwrap();
    fs::create_dir(folder.path().join("no-counters")).unwrap();
    folder
}

fn program(folder: &Path, args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_greenformers"));
    program.current_dir(folder).env_remove("CUDA_VISIBLE_DEVICES").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(folder: &Path, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

fn put(folder: &Path, file: &str, content: &str) {
    // Whoever reads meanwhile sees the old content or the new one.
    fs::write(folder.join("new"), content).unwrap();
    fs::rename(folder.join("new"), folder.join(file)).unwrap();
}

/// Microjoules by seconds.
type At = fn(f64) -> f64;
/// A counter: its zone, its name, and what it shows.
type Zone = (&'static str, &'static str, At);

/// What `work` gives while the counters below `folder/rapl` advance.
fn with_counters<T>(folder: &Path, zones: &[Zone], work: impl FnOnce() -> T) -> T {
    let root = folder.join("rapl");
    for (zone, name, at) in zones {
        fs::create_dir_all(root.join(zone)).unwrap();
        for (file, content) in [
            ("name", (*name).to_owned()),
            ("max_energy_range_uj", RANGE.to_string()),
            ("energy_uj", format!("{:.0}", at(0.0))),
        ] {
            put(&root.join(zone), file, &content);
        }
    }
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (zone, _, at) in zones {
                    put(&root.join(zone), "energy_uj", &format!("{:.0}", at(began.elapsed().as_secs_f64())));
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Three tries for what is told by the clock: a busy machine reads counters late. A mistake fails in all of them.
fn in_three_tries(check: impl Fn()) {
    let fails = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(&check)).is_err();
    if fails() && fails() {
        check();
    }
}

/// 1 kJ and 50 W from there on.
fn steady(t: f64) -> f64 {
    1e9 + 50e6 * t
}

const TRACK: [&str; 9] =
    ["track", "--interval", "0.1", "--hardware", "my-cpu.yaml", "--powercap-root", "rapl", "-o", "run.json"];

/// The processor's line, all that was printed, and whether the total is partial, of a run of 3 s.
fn tracked(zones: &[Zone]) -> (Value, String, bool) {
    let folder = folder();
    let args = [&TRACK[..], &["--", "sleep", "3"]].concat();
    let output = with_counters(folder.path(), zones, || program(folder.path(), &args));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = json(folder.path(), "run.json");
    (result["lines"][0].clone(), text(&output.stderr), result["partial"] == true)
}

#[test]
fn no_counter_is_believed_to_have_gone_where_its_package_cannot_have_taken_it() {
    /// What is wrong, from when on; what is right is 150 J.
    const WRONG: [(&str, At); 5] = [
        ("begins anew", |t| if t < 1.5 { steady(t) } else { 50e6 * (t - 1.5) }),
        ("shows 0 for a while", |t| if (1.5..1.7).contains(&t) { 0.0 } else { steady(t) }),
        ("steps back", |t| steady(t) - if t < 1.5 { 0.0 } else { 3e8 }),
        ("jumps ahead", |t| steady(t) + if t < 1.5 { 0.0 } else { 5e9 }),
        ("wraps", |t| (RANGE as f64 - 60e6 + 50e6 * t) % RANGE as f64),
    ];
    std::thread::scope(|scope| {
        for (what, at) in WRONG {
            scope.spawn(move || {
                in_three_tries(|| {
                    let (line, said, _) = tracked(&[("intel-rapl:0", "package-0", at)]);
                    // On a busy machine a reading may come so late that its gap is more than 5 % of the run.
                    match line["energy_j"]["mid"].as_f64() {
                        Some(joules) => assert!((joules / 150.0 - 1.0).abs() < 0.1, "{what}: {joules} J\n{said}"),
                        None => assert!(line["reason"].as_str().unwrap().contains("left out"), "{what}: {line}"),
                    }
                    let gap = ["begins anew", "steps back", "jumps ahead"].contains(&what);
                    assert_eq!(said.contains("where its device cannot have taken it"), gap, "{what}\n{said}");
                });
            });
        }
    });
}

#[test]
fn counters_are_told_apart_and_a_part_that_is_missing_is_said() {
    const APART: [(&str, &[Zone], f64, bool); 6] = [
        (
            "mirrored",
            &[("intel-rapl:0", "package-0-die-0", steady), ("intel-rapl:1", "package-0-die-1", steady)],
            150.0,
            false,
        ),
        (
            "mirrored, with a late look",
            &[
                ("intel-rapl:0", "package-0-die-0", steady),
                ("intel-rapl:1", "package-0-die-1", |t| steady(t) + if (1.4..1.65).contains(&t) { 4e5 } else { 0.0 }),
            ],
            150.0,
            false,
        ),
        ("alike", &[("intel-rapl:0", "package-0", steady), ("intel-rapl:1", "package-1", steady)], 300.0, false),
        ("stuck", &[("intel-rapl:0", "package-0", steady), ("intel-rapl:1", "package-1", |_| 2e9)], 150.0, true),
        ("stops midway", &[("intel-rapl:0", "package-0", |t| steady(t.min(1.7)))], 70.0, true),
        ("alone", &[("intel-rapl-mmio:0", "package-0", steady)], 150.0, false),
    ];
    std::thread::scope(|scope| {
        for (what, zones, expected, is_partial) in APART {
            scope.spawn(move || {
                in_three_tries(|| {
                    let (line, said, partial) = tracked(zones);
                    let joules = line["energy_j"]["mid"].as_f64().unwrap_or_else(|| panic!("{what}: {line}"));
                    // When a counter stops, the command has run for a little less than its file.
                    let off = if what == "stops midway" { 0.3 } else { 0.1 };
                    assert!((joules / expected - 1.0).abs() < off, "{what}: {joules} J\n{said}");
                    assert_eq!((partial, line["partial"] == true), (is_partial, is_partial), "{what}\n{said}");
                    assert_eq!(said.contains("partial"), is_partial, "{what}\n{said}");
                });
            });
        }
    });
}

#[test]
fn the_platform_s_counter_holds_the_memory_where_there_is_no_other() {
    let folder = folder();
    let args = [&TRACK[..], &["--", "sleep", "1"]].concat();
    let zones: [Zone; 1] = [("intel-rapl:0", "psys", steady)];
    with_counters(folder.path(), &zones, || program(folder.path(), &args));
    let result = json(folder.path(), "run.json");
    assert!(result["lines"][0]["energy_j"]["mid"].as_f64().is_some_and(|j| (40.0..60.0).contains(&j)), "{result}");
    assert_eq!((&result["lines"][0]["covers"], &result["lines"][1]["covered_by"]), (&"module".into(), &"cpu".into()));
    assert_eq!(result["partial"], false);
}

#[test]
fn a_record_holds_no_joules_that_its_meter_cannot_have_counted() {
    let folder = folder();
    let anew: Zone = ("intel-rapl:0", "package-0", |t| if t < 3.0 { steady(t) } else { 50e6 * (t - 3.0) });
    let args =
        ["profile", "--device", "cpu", "--meter", "rapl", "--powercap-root", "rapl", "--hardware", "my-cpu.yaml"];
    let workload =
        ["--workload", "tiny.yaml", "--arch", "dense", "--batch-size", "1", "--min-time", "5", "--max-time", "6"];
    let model = "name: tiny\nsource: made up for a test\nmodel: {family: encoder, n_layers: 1, d_model: 8, n_heads: 2, d_ff: 16, \
                 vocab_size: 32, max_seq_len: 8}\noptimizer: adamw\nphases:\n  - {steps: 1, batch_size: 1, seq_len: 8}\n";
    fs::write(folder.path().join("tiny.yaml"), model).unwrap();
    let args = [&args[..], &workload, &["--seq-len", "8", "--format", "json", "-o", "out"]].concat();
    let output = with_counters(folder.path(), &[anew], || program(folder.path(), &args));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cell = &result["cells"][0];
    match cell["power_w"]["mid"].as_f64() {
        Some(watts) => assert!((watts / 50.0 - 1.0).abs() < 0.1, "{watts} W"),
        None => assert!(!cell["warnings"].as_array().unwrap().is_empty(), "{cell}"),
    }
}

#[test]
fn the_processor_of_a_machine_is_no_gpu_and_no_gpu_needs_no_driver() {
    let folder = folder();
    let root = ["track", "--powercap-root", "no-counters"];
    for gpu in ["a100-sxm4-80gb", "t4-16gb"] {
        let output = program(folder.path(), &[&root[..], &["--hardware", gpu, "--", "touch", "ran"]].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("`--hardware {gpu}`: it is a GPU")) && said.contains("hint: "), "{said}");
        assert!(!folder.path().join("ran").exists());
    }
    for list in ["", "-1"] {
        let gpus = format!("--gpus={list}");
        let output =
            program(folder.path(), &[&root[..], &["--hardware", "my-cpu.yaml", &gpus, "--", "echo", "ran"]].concat());
        assert_eq!(
            (output.status.code(), text(&output.stdout).as_str()),
            (Some(0), "ran\n"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[cfg(unix)]
#[test]
fn scripts_run_as_from_a_shell_and_what_they_lack_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    for (content, code, parts) in [
        (&b"echo ran \"$1\"\n"[..], 0, &["ran it\n"][..]),
        (b"#!/no/such/python\n", 127, &["its first line names `/no/such/python`, which is not there", "hint: "]),
        (b"#!/bin/sh\r\necho\r\n", 127, &["`/bin/sh\\r`", "lines end as on Windows"]),
        (b"\x00\x01\x02", 126, &["neither a program for this machine nor a script"]),
    ] {
        let script = folder.path().join("train.sh");
        fs::write(&script, content).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let track = ["track", "--hardware", "my-cpu.yaml", "--powercap-root", "no-counters", "--", "./train.sh", "it"];
        let output = program(folder.path(), &track);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for part in parts {
            assert!(said.contains(part), "`{part}` in {said}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn work_that_goes_on_in_orphans_is_the_command_s() {
    let folder = folder();
    let busy = "timeout 1 sh -c 'while :; do :; done'";
    for script in [
        format!("({busy} &); sleep 1.3"),
        format!("({busy} & exec true) & sleep 1.3"),
        format!("(({busy} &) &); sleep 1.3"),
    ] {
        let track =
            ["track", "--process", "--hardware", "my-cpu.yaml", "--powercap-root", "no-counters", "-o", "run.json"];
        let output = program(folder.path(), &[&track[..], &["--", "sh", "-c", &script]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let cpu_s = json(folder.path(), "run.json")["cpu_s"].as_f64().unwrap();
        // All of a second on a quiet machine; a busy one gives it less, and nothing is counted twice.
        assert!(cpu_s > 0.1 && cpu_s < 1.25, "{script}: {cpu_s} CPU-seconds");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_may_run_on_one_cpu_has_the_share_of_one() {
    let folder = folder();
    let track =
        ["track", "--hardware", "my-cpu.yaml", "--powercap-root", "no-counters", "-o", "run.json", "--", "true"];
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first: String = allowed.chars().take_while(char::is_ascii_digit).collect();
    let program = env!("CARGO_BIN_EXE_greenformers");
    let bound = Command::new("taskset").current_dir(folder.path()).args(["-c", &first, program]).args(track).output();
    // A machine of one CPU, or without `taskset`, has nothing to show here.
    if allowed == first || bound.is_err() {
        return;
    }
    let name = json(folder.path(), "run.json")["lines"][0]["name"].as_str().unwrap().to_owned();
    assert!(name.ends_with(", 1 CPU") || name.contains(", 0."), "{name}");
}

#[test]
fn memory_that_is_modelled_to_draw_the_same_at_rest_has_nothing_above_it() {
    let folder = folder();
    for time in ["0", "0.03", "0.1", "0.25", "0.3"] {
        let args = [
            "track",
            "--hardware",
            "my-cpu.yaml",
            "--powercap-root",
            "no-counters",
            "-o",
            "run.json",
            "--",
            "sleep",
            time,
        ];
        assert!(program(folder.path(), &args).status.success());
        let result = json(folder.path(), "run.json");
        assert!(result["lines"][1]["energy_above_idle_j"].is_null(), "{time} s: {result}");
        let above = result["lines"][0]["energy_above_idle_j"]["mid"].as_f64();
        assert!(above.is_none_or(|j| j > 1e-3), "{time} s: {above:?} J are differences of rounding");
    }
}
