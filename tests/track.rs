//! `track` and `devices` as a person uses them, and energy counters that are files.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const CPU: &str = "id: my-cpu
name: A test CPU
kind: cpu
vendor: nobody
threads: 64
tdp: {value: 200, unit: W, year: 2024, source: made up for a test}
idle_power: {value: 20, unit: W, year: 2024, source: made up for a test}
";

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_greenformers"))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("my-cpu.yaml"), CPU).unwrap();
    fs::create_dir(folder.path().join("no-counters")).unwrap();
    folder
}

/// `track` with a CPU that is known and no counters but those in `powercap`.
fn track(folder: &Path, options: &[&str], command: &[&str]) -> Output {
    let mut program = program();
    program.current_dir(folder).env_remove("CUDA_VISIBLE_DEVICES").args(["track", "--hardware", "my-cpu.yaml"]);
    if !options.contains(&"--powercap-root") {
        program.args(["--powercap-root", "no-counters"]);
    }
    program.args(options).arg("--").args(command).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn line<'a>(result: &'a Value, device: &str) -> &'a Value {
    result["lines"].as_array().unwrap().iter().find(|l| l["device"] == device).unwrap()
}

fn is_interval(value: &Value) -> bool {
    let end = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    end("low") > 0.0 && end("low") <= end("mid") && end("mid") <= end("high")
}

/// A tree of files like the kernel's, with one package and its memory.
fn counters(root: &Path, package: &str, memory: &str) {
    for (zone, name, energy) in [("intel-rapl:0", "package-0", package), ("intel-rapl:0:0", "dram", memory)] {
        let folder = root.join(zone);
        fs::create_dir_all(&folder).unwrap();
        for (file, content) in [("name", name), ("max_energy_range_uj", "262143328850"), ("energy_uj", energy)] {
            fs::write(folder.join(file), format!("{content}\n")).unwrap();
        }
    }
}

#[test]
fn output_errors_and_exit_code_pass_through() {
    let folder = folder();
    let output = track(folder.path(), &[], &["sh", "-c", "cat; echo out; echo err >&2; exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "out\n", "stdout is the command's alone");
    let said = text(&output.stderr);
    assert!(said.starts_with("err\n") && said.contains("exit code 3") && said.contains("model"), "{said}");
    let quiet = track(folder.path(), &["--quiet"], &["sh", "-c", "echo err >&2"]);
    assert_eq!(text(&quiet.stderr), "err\n");
}

#[test]
fn input_passes_through() {
    let folder = folder();
    let mut program = program();
    program.current_dir(folder.path()).args(["track", "--quiet", "--powercap-root", "no-counters", "--", "cat"]);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "hello");
}

#[test]
fn the_json_has_a_line_for_each_part_with_its_interval_source_and_coverage() {
    let folder = folder();
    let options = ["-o", "run.json", "--grid", "fra", "--usd-per-kwh", "0.2"];
    let output = track(folder.path(), &options, &["sleep", "0.4"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = json(&folder.path().join("run.json"));
    assert_eq!(result["schema"], 1);
    assert_eq!(result["command"], serde_json::json!(["sleep", "0.4"]));
    assert_eq!(result["exit"], serde_json::json!({"code": 0, "signal": null}));
    assert_eq!((&result["tracking"], &result["partial"]), (&Value::from("machine"), &Value::from(false)));
    assert!(result["duration_s"].as_f64().unwrap() >= 0.4);
    for (device, covers) in [("cpu", "cpu-package"), ("memory", "dram")] {
        let line = line(&result, device);
        assert!(is_interval(&line["energy_j"]), "{device}: {line}");
        assert_eq!((&line["source"], &line["covers"]), (&Value::from("model"), &Value::from(covers)), "{device}");
        assert!(!line["reason"].as_str().unwrap().is_empty(), "a model says why it is one");
    }
    let total = |name: &str| result[name]["mid"].as_f64().unwrap();
    for name in ["component_energy_kwh", "it_energy_kwh", "facility_energy_kwh", "operational_kgco2e", "cost_usd"] {
        assert!(is_interval(&result[name]), "{name}: {}", result[name]);
    }
    assert!(total("component_energy_kwh") < total("it_energy_kwh"), "the wall is around the parts");
    assert!(!result["assumptions"].as_array().unwrap().is_empty());
}

#[test]
fn a_short_run_has_a_wide_interval_and_no_zero() {
    let folder = folder();
    let width = |command: &[&str], file: &str| {
        track(folder.path(), &["-o", file], command);
        let energy = line(&json(&folder.path().join(file)), "cpu")["energy_j"].clone();
        assert!(is_interval(&energy), "{command:?}: {energy}");
        energy["high"].as_f64().unwrap() / energy["low"].as_f64().unwrap()
    };
    let (short, long) = (width(&["true"], "short.json"), width(&["sleep", "1"], "long.json"));
    assert!(short > long, "{short} against {long}");
}

#[test]
fn counters_are_read_and_what_they_advance_by_is_the_energy() {
    let folder = folder();
    counters(&folder.path().join("rapl"), "1000000", "500000");
    // 12 J of the package, across the wrap of its counter, and 3 J of the memory.
    counters(&folder.path().join("wrapping"), "262142328850", "500000");
    for (root, package) in [("rapl", "13000000"), ("wrapping", "11000000")] {
        let script = format!(
            "sleep 0.2; echo {package} > {root}/intel-rapl:0/energy_uj; echo 3500000 > {root}/intel-rapl:0:0/energy_uj; sleep 0.1"
        );
        let options = ["--powercap-root", root, "-o", "run.json"];
        let output = track(folder.path(), &options, &["sh", "-c", &script]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let result = json(&folder.path().join("run.json"));
        for (device, joules) in [("cpu", 12.0), ("memory", 3.0)] {
            let line = line(&result, device);
            // The readings are a little outside the run, and what they show is shared out by time.
            let measured = line["energy_j"]["mid"].as_f64().unwrap();
            assert!((measured / joules - 1.0).abs() < 0.15, "{root} {device}: {line}");
            assert_eq!(line["source"], "rapl");
        }
    }
}

#[test]
fn a_counter_that_stands_still_breaks_or_vanishes_is_null_with_a_reason() {
    for (script, reason) in [
        ("sleep 0.1", "did not advance"),
        ("echo busy > rapl/intel-rapl:0/energy_uj; sleep 0.3", "expected a number of microjoules, got `busy`"),
        ("rm rapl/intel-rapl:0/energy_uj; sleep 0.3", "cannot read"),
    ] {
        let folder = folder();
        counters(&folder.path().join("rapl"), "1000000", "500000");
        let options = ["--powercap-root", "rapl", "--interval", "0.1", "-o", "run.json"];
        let output = track(folder.path(), &options, &["sh", "-c", script]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let result = json(&folder.path().join("run.json"));
        let cpu = line(&result, "cpu");
        assert!(cpu["energy_j"].is_null(), "{script}: {cpu}");
        assert!(cpu["reason"].as_str().unwrap().contains(reason), "{script}: {cpu}");
        assert_eq!(result["partial"], true, "{script}");
        assert!(text(&output.stderr).contains("not known"), "{script}");
    }
}

#[test]
fn a_counter_that_cannot_be_read_gives_way_to_the_model_which_says_so() {
    let folder = folder();
    counters(&folder.path().join("rapl"), "no number", "500000");
    let output = track(folder.path(), &["--powercap-root", "rapl", "-o", "run.json"], &["sleep", "0.1"]);
    assert!(output.status.success());
    let result = json(&folder.path().join("run.json"));
    let cpu = line(&result, "cpu");
    assert_eq!(cpu["source"], "model");
    let reason = cpu["reason"].as_str().unwrap();
    assert!(reason.contains("got `no number`") && reason.contains("modelled instead"), "{reason}");
}

#[test]
fn the_csv_is_one_that_codecarbon_s_readers_know() {
    let folder = folder();
    let columns = "timestamp,project_name,run_id,experiment_id,duration,emissions,emissions_rate,cpu_power,gpu_power,\
                   ram_power,cpu_energy,gpu_energy,ram_energy,energy_consumed,water_consumed,country_name,\
                   country_iso_code,region,cloud_provider,cloud_region,os,python_version,codecarbon_version,cpu_count,\
                   cpu_model,gpu_count,gpu_model,longitude,latitude,ram_total_size,tracking_mode,\
                   cpu_utilization_percent,gpu_utilization_percent,ram_utilization_percent,ram_used_gb,on_cloud,pue,wue";
    for turn in 0..2 {
        if turn == 1 {
            // Another program has left out the end of the last line.
            let content = fs::read_to_string(folder.path().join("emissions.csv")).unwrap();
            fs::write(folder.path().join("emissions.csv"), content.trim_end()).unwrap();
        }
        let options = ["-o", "emissions.csv", "--grid", "fra", "--pue", "1.2", "--project", "a, \"b\""];
        assert!(track(folder.path(), &options, &["sleep", "0.3"]).status.success());
    }
    let content = fs::read_to_string(folder.path().join("emissions.csv")).unwrap();
    assert_eq!(content.lines().next(), Some(columns));
    let mut reader = csv::Reader::from_reader(content.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2, "a row is added");
    let field = |name: &str| &rows[1][columns.split(',').position(|c| c == name).unwrap()];
    let number = |name: &str| field(name).parse::<f64>().unwrap_or_else(|_| panic!("{name}: {}", field(name)));
    assert!(field("codecarbon_version").contains("greenformers"));
    assert_eq!(
        [field("project_name"), field("tracking_mode"), field("country_iso_code")],
        ["a, \"b\"", "machine", "FRA"]
    );
    for unknown in ["experiment_id", "python_version", "longitude", "gpu_energy", "gpu_utilization_percent", "on_cloud"]
    {
        assert_eq!(field(unknown), "", "{unknown}");
    }
    assert!((number("cpu_energy") + number("ram_energy") - number("energy_consumed")).abs() < 1e-12);
    // kWh of the facility x 56 g: kilograms
    assert!((number("emissions") / number("energy_consumed") - 0.056).abs() < 1e-9);
    assert!((number("emissions") / number("duration") / number("emissions_rate") - 1.0).abs() < 1e-9);
    assert!((number("cpu_energy") * 3.6e6 / number("duration") / number("cpu_power") - 1.2).abs() < 1e-9);
}

#[test]
fn what_is_wrong_with_the_options_is_said_before_the_command_runs() {
    let folder = folder();
    fs::write(folder.path().join("other.csv"), "a,b\n1,2\n").unwrap();
    fs::write(folder.path().join("old.csv"), "time,intensity\n2001-03-01T00:00Z,100\n").unwrap();
    for (options, code, parts) in [
        (&["-o", "nowhere/run.json"][..], 1, &["there is no folder `nowhere`", "hint: `mkdir -p nowhere`"][..]),
        (&["-o", "run.txt"], 1, &["`run.txt` is neither `.json` nor `.csv`"]),
        (&["-o", "other.csv"], 1, &["`other.csv` has other columns than CodeCarbon's"]),
        (&["-o", "no-counters"], 1, &["it is a folder"]),
        (&["--interval", "0"], 2, &["above 0"]),
        (&["--interval", "0.01"], 2, &["expected 0.1 to 60 seconds, got `0.01`"]),
        (&["--interval", "soon"], 2, &["got `soon`"]),
        (&["--prometheus", "nowhere"], 2, &["such as `9400`"]),
        (
            &["--grid", "old.csv"],
            1,
            &["`old.csv` has no hour of this year", "from 2001-03-01T00:00Z", "hint: `--grid NAME`"],
        ),
        (&["--pue", "158"], 1, &["158 per cent are 1.58"]),
        (&["--grid", "frx"], 1, &["unknown grid `frx`"]),
    ] {
        let output = track(folder.path(), options, &["touch", "ran"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{options:?}: `{part}` in {said}");
        }
        assert!(!folder.path().join("ran").exists(), "{options:?} ran the command");
    }
    assert_eq!(fs::read_to_string(folder.path().join("other.csv")).unwrap(), "a,b\n1,2\n");
    let nothing = program().arg("track").output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn a_command_that_does_not_exist_is_127_and_one_that_may_not_run_is_126() {
    let folder = folder();
    let output = track(folder.path(), &["-o", "run.json"], &["no-such-command-here"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(text(&output.stderr).contains("there is no command `no-such-command-here`"));
    let output = track(folder.path(), &["-o", "run.json"], &["./my-cpu.yaml"]);
    assert_eq!(output.status.code(), Some(126));
    assert!(!folder.path().join("run.json").exists(), "nothing ran, so there is no account");
}

#[test]
fn a_gpu_that_does_not_exist_is_an_error_and_says_what_there_is() {
    let folder = folder();
    let output = track(folder.path(), &["--gpus", "17"], &["touch", "ran"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("NVML is not available") || said.contains("there is no GPU `17`"), "{said}");
    assert!(!folder.path().join("ran").exists());
}

#[cfg(unix)]
#[test]
fn a_command_that_is_killed_gets_a_row_and_the_code_of_a_shell() {
    let folder = folder();
    let output = track(folder.path(), &["-o", "run.json"], &["sh", "-c", "sleep 0.1; kill -9 $$"]);
    assert_eq!(output.status.code(), Some(128 + 9));
    let result = json(&folder.path().join("run.json"));
    assert_eq!(result["exit"], serde_json::json!({"code": null, "signal": 9}));
    assert!(is_interval(&line(&result, "cpu")["energy_j"]));
}

#[cfg(unix)]
#[test]
fn a_signal_reaches_the_command_which_ends_as_it_wants_and_is_accounted_for() {
    let folder = folder();
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut program = program();
    program.current_dir(folder.path()).args(["track", "--hardware", "my-cpu.yaml", "--powercap-root", "no-counters"]);
    program.args(["-o", "run.json", "--", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = program.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut said = [0; 6];
    stdout.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"ready\n");
    let killed = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "caught\n");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(json(&folder.path().join("run.json"))["exit"]["code"], 5);
}

#[cfg(target_os = "linux")]
#[test]
fn cpu_time_of_children_counts_and_a_process_gets_no_more_than_the_machine() {
    let folder = folder();
    let busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
    // The work is done by a grandchild.
    let script = format!("sh -c 'sh -c \"{}\"; true'; true", busy.replace('$', "\\$"));
    let output = track(folder.path(), &["--process", "-o", "run.json"], &["sh", "-c", &script]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = json(&folder.path().join("run.json"));
    assert_eq!(result["tracking"], "process");
    let cpu_s = result["cpu_s"].as_f64().unwrap();
    assert!(cpu_s > 0.0 && cpu_s <= result["duration_s"].as_f64().unwrap() + 0.05, "{cpu_s} CPU-seconds");
    let cpu = line(&result, "cpu");
    let share = cpu["share"].as_f64().unwrap();
    assert!(share > 0.0 && share <= 1.0, "{share}");
    assert!(is_interval(&cpu["energy_j"]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_without_cpu_time_has_no_energy_and_a_reason() {
    let folder = folder();
    let output = track(folder.path(), &["--process", "-o", "run.json"], &["sleep", "0.1"]);
    assert!(output.status.success());
    let result = json(&folder.path().join("run.json"));
    let cpu = line(&result, "cpu");
    if cpu["energy_j"].is_null() {
        assert!(cpu["reason"].as_str().unwrap().contains("less CPU time"), "{cpu}");
    } else {
        // A tick of the clock may have fallen into it; then it is known to a tick.
        assert!(cpu["energy_j"]["high"].as_f64().unwrap() > 1.5 * cpu["energy_j"]["mid"].as_f64().unwrap(), "{cpu}");
    }
}

#[test]
fn idle_power_that_was_measured_first_gives_energy_above_idle() {
    let folder = folder();
    let root = folder.path().join("rapl");
    counters(&root, "1000000", "500000");
    // Another process draws: 2 J each tenth of a second.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut energy = 1_000_000u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(10));
                energy += 200_000;
                let new = root.join("new");
                fs::write(&new, energy.to_string()).unwrap();
                fs::rename(new, root.join("intel-rapl:0/energy_uj")).unwrap();
            }
        });
        let options = ["--powercap-root", "rapl", "--idle", "0.5", "-o", "run.json"];
        let output = track(folder.path(), &options, &["sleep", "0.5"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(output.status.success(), "{}", text(&output.stderr));
    });
    let result = json(&folder.path().join("run.json"));
    let cpu = line(&result, "cpu");
    let (total, above) = (cpu["energy_j"]["mid"].as_f64().unwrap(), cpu["energy_above_idle_j"]["mid"].as_f64());
    assert!(total > 1.0, "{cpu}");
    // Idle as before: nothing is above it but what scatters.
    assert!(above.is_none_or(|above| above < 0.7 * total), "{cpu}");
}

#[test]
fn prometheus_is_served_on_the_loopback_address_while_the_command_runs() {
    let folder = folder();
    let mut program = program();
    program.current_dir(folder.path()).args(["track", "--hardware", "my-cpu.yaml", "--powercap-root", "no-counters"]);
    program.args(["--interval", "0.1", "--prometheus", "0", "--", "cat"]);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut first).unwrap();
    let address = first.trim().strip_prefix("serving http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    std::thread::sleep(Duration::from_millis(400));
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    for part in
        ["200 OK", "greenformers_energy_joules_total{device=", "greenformers_power_watts{device=", "source=\"model\""]
    {
        assert!(answer.contains(part), "`{part}` in {answer}");
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(TcpStream::connect(&address).is_err(), "nothing is served after the end");
}

#[test]
fn an_address_in_use_is_an_error_before_the_command_runs() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = track(folder.path(), &["--prometheus", &address], &["touch", "ran"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot serve `{address}`")), "{}", text(&output.stderr));
    assert!(!folder.path().join("ran").exists());
}

#[test]
fn devices_lists_counters_with_what_they_cover() {
    let folder = folder();
    counters(&folder.path().join("rapl"), "1000000", "500000");
    let args = ["devices", "--powercap-root", "rapl"];
    let output = program().current_dir(folder.path()).args(args).args(["--format", "json"]).output().unwrap();
    assert!(output.status.success());
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let devices = result["devices"].as_array().unwrap();
    for (device, id, covers) in
        [("cpu", "intel-rapl:0 package-0", "CPU package"), ("memory", "intel-rapl:0:0 dram", "memory")]
    {
        let row = devices.iter().find(|d| d["device"] == device).unwrap();
        assert_eq!((&row["meter"], &row["id"]), (&Value::from("rapl"), &Value::from(id)), "{device}");
        assert_eq!(row["covers"], covers);
        assert!(row["update_s"].is_null(), "files that nobody writes have no period");
    }
    let table = program().current_dir(folder.path()).args(args).output().unwrap();
    let table = text(&table.stdout);
    assert!(table.contains("update ms") && table.contains("intel-rapl:0") && table.contains("package-0"), "{table}");
}

#[test]
fn devices_measures_how_often_a_counter_changes() {
    let folder = folder();
    let root = folder.path().join("rapl");
    counters(&root, "1000000", "500000");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut energy = 1_000_000u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
                energy += 1_000_000;
                let new = root.join("new");
                fs::write(&new, energy.to_string()).unwrap();
                fs::rename(new, root.join("intel-rapl:0/energy_uj")).unwrap();
            }
        });
        let args = ["devices", "--powercap-root", "rapl", "--format", "json"];
        let output = program().current_dir(folder.path()).args(args).output().unwrap();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        output
    });
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let update = result["devices"][0]["update_s"].as_f64().unwrap();
    assert!(update >= 0.005, "{update} s is less than passes between two changes");
}
