//! `forecast` as a person uses it: a program's output passes through, and the whole run is known from a part.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_greenformers"));
    program.env("COLUMNS", "100");
    program
}

/// `forecast` of a script of the shell, written into `folder`.
fn forecast(folder: &Path, options: &[&str], script: &str) -> Output {
    fs::write(folder.join("train.sh"), script).unwrap();
    let mut forecast = program();
    forecast.arg("forecast").args(options).args(["--", "sh", "train.sh"]).current_dir(folder);
    forecast.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What `forecast -o` writes of 1000 steps on so many GPUs of this name, each step of `step_s` seconds and 65 536 tokens.
pub(crate) fn on_a_gpu(name: &str, gpus: usize, step_s: f64) -> String {
    let line = |i: usize| {
        serde_json::json!({"device": format!("gpu {i}"), "kind": "gpu", "name": name, "id": null, "source": "nvml-counter",
            "energy_j": {"mid": 9e3, "low": 8.9e3, "high": 9.1e3}, "power_w": {"mid": 300.0, "low": 297.0, "high": 303.0}})
    };
    let around = |mid: f64| serde_json::json!({"mid": mid, "low": 0.97 * mid, "high": 1.04 * mid});
    let whole_s = 1000.0 * step_s;
    let account = serde_json::json!({
        "started": "2026-11-26T10:00:00+01:00", "duration_s": 0.3 * whole_s,
        "machine": {"host": "node", "cpu": "a CPU"}, "lines": (0..gpus).map(line).collect::<Vec<_>>(),
        "forecast": {
            "recognised_as": "a bar of steps", "unit": "step", "start_step": 0, "steps_done": 300, "steps_total": 1000,
            "tokens_per_step": 65536.0, "warm_up_steps": 3, "warm_up_s": 12.5,
            "pauses": [{"after_step": 100, "every_steps": 100.0, "seconds": 4.0, "seen": 3}],
            "whole_s": around(whole_s), "whole": {"it_energy_kwh": around(0.4e-3 * whole_s)},
            "said": [{"at_s": 0.1 * whole_s, "steps_done": 100, "whole_s": around(1.1 * whole_s)},
                     {"at_s": 0.25 * whole_s, "steps_done": 250, "whole_s": around(1.02 * whole_s)}],
            "stopped": true
        }
    });
    // The schema and the command come first, as in what is written.
    let rest = serde_json::to_string_pretty(&account).unwrap();
    format!("{{\"schema\": 1, \"command\": [\"python\", \"train.py\"], {}", rest.strip_prefix('{').unwrap())
}

/// So many steps of 20 ms, and a line for each.
fn steps(n: u32, total: u32) -> String {
    format!("i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo \"step $i/{total} loss 2.5\"; sleep 0.02; done\n")
}

/// The account of a run that pauses once, in JSON.
pub(crate) fn one_with_a_pause() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let script = steps(60, 100) + "sleep 1\n" + &steps(100, 100).replace("i=0", "i=60");
    let output = forecast(folder.path(), &["-o", "run.json", "--tokens-per-step", "512"], &script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = json(&folder.path().join("run.json"));
    assert_eq!(run["forecast"]["pauses"][0]["after_step"], 60, "{run}");
    run
}

#[test]
fn the_whole_run_is_forecast_from_a_part_and_goes_on_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--stop-after", "60steps", "-o", "run.json", "--grid", "fra", "--usd-per-hour", "2"];
    let output = forecast(folder.path(), &options, &steps(4000, 4000));
    let stderr = text(&output.stderr);
    // A run that was ended because enough was seen has not failed.
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(text(&output.stdout).starts_with("step 1/4000 loss 2.5\nstep 2/4000 loss 2.5\n"));
    assert!(stderr.contains("of 4000 steps") && stderr.contains("read: steps, read from"), "{stderr}");
    let run = json(&folder.path().join("run.json"));
    let found = &run["forecast"];
    assert_eq!((found["steps_total"].as_u64(), found["stopped"].as_bool()), (Some(4000), Some(true)), "{found}");
    assert!((60..1000).contains(&found["steps_done"].as_u64().unwrap()), "{found}");
    let step = found["step_s"]["mid"].as_f64().unwrap();
    assert!((0.02..0.2).contains(&step), "{found}");
    let whole = found["whole_s"]["mid"].as_f64().unwrap();
    assert!((whole / (4000.0 * step) - 1.0).abs() < 0.3, "{found}");
    // Two dollars an hour.
    let usd = found["whole"]["cost_usd"]["mid"].as_f64().unwrap();
    assert!((usd / (2.0 * whole / 3600.0) - 1.0).abs() < 0.01, "{found}");
    let elsewhere = |options: &[&str]| {
        let mut estimate = program();
        estimate.args(["estimate", "run.json", "--format", "json"]).args(options).current_dir(folder.path());
        let output = estimate.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["estimates"][0].clone()
    };
    let (sweden, poland) = (elsewhere(&["--grid", "swe", "--pue", "1"]), elsewhere(&["--grid", "pol", "--pue", "1"]));
    assert_eq!(sweden["basis"], "forecast");
    let hours = |e: &Value| e["wall_h"]["mid"].as_f64().unwrap();
    assert!((hours(&sweden) * 3600.0 / whole - 1.0).abs() < 0.05 && hours(&sweden) == hours(&poland));
    let kg = |e: &Value| e["operational_kgco2e"]["mid"].as_f64().unwrap();
    assert!((10.0..25.0).contains(&(kg(&poland) / kg(&sweden))), "{} and {}", kg(&poland), kg(&sweden));
}

#[test]
fn a_program_that_was_watched_on_a_gpu_is_carried_to_another_and_has_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| program().args(args).current_dir(folder.path()).output().unwrap();
    let estimate = |step_s: f64, options: &[&str]| {
        fs::write(folder.path().join("run.json"), on_a_gpu("NVIDIA A100-SXM4-80GB", 1, step_s)).unwrap();
        let output = run(&[&["estimate", "run.json", "--format", "json"], options].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["estimates"][0].clone()
    };
    let model = ["--workload", "gpt2", "--seq-len", "1024", "--software", "eager/fused"];
    let to = |hardware| [&model[..], &["--hardware", hardware]].concat();
    let step = |e: &Value| e["step_s"][0]["mid"].as_f64().unwrap();
    // On the GPU that it was watched on, the step is about as it was: the class of software says what little is moved.
    let own = estimate(0.9, &to("a100-sxm4-80gb"));
    assert_eq!((own["basis"].as_str(), own["flop_total"].is_number()), (Some("scaled"), true), "{own}");
    let modelled = {
        let output = run(&[
            "estimate",
            "gpt2",
            "--seq-len",
            "1024",
            "--batch-tokens",
            "65536",
            "--steps",
            "1000",
            "--arch",
            "dense",
            "--software",
            "eager/fused",
            "--hardware",
            "a100-sxm4-80gb",
            "--format",
            "json",
        ]);
        step(&serde_json::from_slice::<Value>(&output.stdout).unwrap()["estimates"][0])
    };
    assert!((own["step_s"][0]["mid"].as_f64().unwrap() / 0.9).ln().abs() < 0.3 * (0.9 / modelled).ln().abs(), "{own}");
    // An H100 is faster, by the same factor whatever the program takes of it.
    let (h100, slower) = (estimate(0.9, &to("h100-sxm5")), estimate(1.0, &to("h100-sxm5")));
    assert!((1.3..3.5).contains(&(step(&own) / step(&h100))), "{} and {}", step(&own), step(&h100));
    assert!((1.05..1.12).contains(&(step(&slower) / step(&h100))), "{} and {}", step(&slower), step(&h100));
    let width = |e: &Value| e["step_s"][0]["high"].as_f64().unwrap() / e["step_s"][0]["low"].as_f64().unwrap();
    assert!(width(&h100) < 2.2, "{h100}");
    // Without the model, or from a CPU, or a GPU that nobody knows, the error says what is missing.
    for (gpu, n, options, part) in [
        ("NVIDIA A100-SXM4-80GB", 1, &["--hardware", "h100-sxm5"][..], "does not say which model its program trains"),
        ("NVIDIA A100-SXM4-80GB", 0, &to("h100-sxm5"), "it ran on the CPU of `node`"),
        ("NVIDIA A100-SXM4-80GB", 1, &to("tpu-v4"), "`tpu-v4` is no GPU"),
        ("Voodoo 2", 1, &to("h100-sxm5"), "does not know the `Voodoo 2`"),
    ] {
        fs::write(folder.path().join("run.json"), on_a_gpu(gpu, n, 0.9)).unwrap();
        let output = run(&[&["estimate", "run.json"], options].concat());
        assert!(!output.status.success() && text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
    // Its report has the numbers of its estimate, and the forecasts on the way.
    fs::write(folder.path().join("run.json"), on_a_gpu("NVIDIA A100-SXM4-80GB", 1, 9.0)).unwrap();
    let report = run(&["report", "run.json", "--grid", "swe", "-o", "page"]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let page = fs::read_to_string(folder.path().join("page/report.md")).unwrap().replace('\\', "");
    let said = text(&run(&["estimate", "run.json", "--grid", "swe"]).stdout);
    let sentence = said.split("\n\n").next().unwrap().replace('\n', " ");
    assert!(page.contains(&sentence), "{sentence}\n{page}");
    for part in [
        "300 of 1000 steps were done",
        "after 0.250 h and 100 of 1000 steps",
        "Pause: 4.00 s every 100 steps",
        "nvml-counter",
    ] {
        let chart = fs::read_to_string(folder.path().join("page/charts/forecast_by_time.svg")).unwrap();
        assert!(page.contains(part) || chart.contains(part), "{part}: {page}");
    }
    let nowhere = run(&["report", "run.json"]);
    assert!(text(&nowhere.stderr).contains("give it with `-o DIR`"), "{}", text(&nowhere.stderr));
}

#[test]
fn a_run_that_goes_to_its_end_is_held_against_what_was_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let output = forecast(folder.path(), &["-o", "run.json"], &(steps(200, 200) + "exit 7\n"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{stderr}");
    assert!(stderr.contains("the forecast was") && stderr.contains("it took"), "{stderr}");
    let run = json(&folder.path().join("run.json"));
    let said = run["forecast"]["said"].as_array().unwrap();
    assert!(!said.is_empty() && run["forecast"]["steps_done"] == 200, "{run}");
    assert_eq!(run["exit"]["code"], 7);
}

#[test]
fn a_run_that_ends_before_its_last_step_is_not_held_against_what_was_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let output = forecast(folder.path(), &["-o", "run.json"], &steps(150, 250));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("it ended after 150 of 250 steps: no forecast is held against that"), "{stderr}");
    assert!(!stderr.contains("the forecast was"), "{stderr}");
}

/// So many steps of 20 ms that are told, and other numbers that are printed.
fn told(n: u32, total: u32) -> String {
    format!(
        "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo \"step $i of {total} tokens 64\" > /dev/fd/$GREENFORMERS_STEPS_FD; \
         echo \"step $((i * 3))/9000 loss 2.5\"; sleep 0.02; done\n"
    )
}

#[test]
fn steps_that_a_program_tells_go_before_those_that_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    let output = forecast(folder.path(), &["--stop-after", "40steps", "-o", "run.json"], &told(500, 500));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("of 500 steps") && stderr.contains("read: steps, told by the program itself: 'step "),
        "{stderr}"
    );
    assert!(!stderr.contains("not understood"), "{stderr}");
    let run = json(&folder.path().join("run.json"));
    let found = &run["forecast"];
    assert_eq!((found["start_step"].as_u64(), found["steps_total"].as_u64()), (Some(0), Some(500)), "{found}");
    assert!((40..200).contains(&found["steps_done"].as_u64().unwrap()), "{found}");
    let rate = found["tokens_per_s"]["mid"].as_f64().unwrap() * found["step_s"]["mid"].as_f64().unwrap();
    assert!((rate - 64.0).abs() < 1e-6, "{found}");
    // What the user says goes before both.
    let options = ["--total-steps", "77", "--tokens-per-step", "9", "-o", "other.json"];
    assert!(forecast(folder.path(), &options, &told(30, 500)).status.success());
    let found = &json(&folder.path().join("other.json"))["forecast"];
    assert_eq!((found["steps_done"].as_u64(), found["steps_total"].as_u64()), (Some(30), Some(77)), "{found}");
    let rate = found["tokens_per_s"]["mid"].as_f64().unwrap() * found["step_s"]["mid"].as_f64().unwrap();
    assert!((rate - 9.0).abs() < 1e-6, "{found}");
}

#[test]
fn a_program_that_closes_the_descriptor_is_read_by_what_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    for begin in ["eval \"exec $GREENFORMERS_STEPS_FD>&-\"\n", "echo 'start 0 of 7' > /dev/fd/$GREENFORMERS_STEPS_FD\n"]
    {
        let output = forecast(folder.path(), &["-o", "run.json", "--force"], &(begin.to_owned() + &steps(30, 30)));
        let stderr = text(&output.stderr);
        assert!(output.status.success() && stderr.contains("read: steps, read from 'step 30/30'"), "{begin}: {stderr}");
        assert_eq!(json(&folder.path().join("run.json"))["forecast"]["steps_total"], 30, "{begin}");
    }
}

#[test]
fn a_trainer_that_prints_nothing_is_read_by_the_states_of_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    // What another run has left there, and 20 steps of 50 ms a checkpoint, in the form of `trainer_state.json`.
    let earlier = folder.path().join("out/checkpoint-180");
    fs::create_dir_all(&earlier).unwrap();
    fs::write(earlier.join("trainer_state.json"), "{\"global_step\": 180, \"max_steps\": 200}").unwrap();
    let script = r#"
write() { mkdir -p out/checkpoint-$1; printf '{\n  "global_step": %d,\n  "log_history": [{"loss": NaN}],\n  "max_steps": 200\n}' $1 > out/checkpoint-$1/trainer_state.json; }
i=0; while [ $i -lt 100 ]; do i=$((i+20)); sleep 1; write $i; done
"#;
    fs::write(folder.path().join("train.sh"), script).unwrap();
    for (options, arguments) in [(&["--trainer-state", "out"][..], &[][..]), (&[], &["--output_dir=out"])] {
        let mut forecast = program();
        forecast.args(["forecast", "-o", "run.json", "--force"]).args(options).args(["--", "sh", "train.sh"]);
        let output = forecast.args(arguments).current_dir(folder.path()).output().unwrap();
        let stderr = text(&output.stderr);
        assert!(stderr.contains("read: the `trainer_state.json` of each checkpoint"), "{stderr}");
        let found = &json(&folder.path().join("run.json"))["forecast"];
        let counts = ["start_step", "steps_done", "steps_total"].map(|name| found[name].as_u64());
        assert_eq!(counts, [Some(0), Some(100), Some(200)], "{found}");
        assert!((0.03..0.08).contains(&found["step_s"]["mid"].as_f64().unwrap()), "{found}");
    }
    let output = forecast(folder.path(), &["--trainer-state", "nowhere"], "echo no training\n");
    let stderr = text(&output.stderr);
    assert!(stderr.contains("no `trainer_state.json` was written below `nowhere`"), "{stderr}");
}

#[test]
fn lines_that_are_not_understood_are_one_warning_and_the_program_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "fd=/dev/fd/$GREENFORMERS_STEPS_FD; echo 'steps: 5' > $fd; head -c 3000000 /dev/zero > $fd; echo > $fd; printf 'a\\377\\n' > $fd\n";
    let output = forecast(folder.path(), &["-o", "run.json"], &(wrong.to_owned() + &told(20, 20) + "exit 5\n"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert_eq!(stderr.matches("not understood").count(), 1, "{stderr}");
    let run = json(&folder.path().join("run.json"));
    assert_eq!(run["forecast"]["steps_done"], 20, "{run}");
    let fact =
        run["warnings"].as_array().unwrap().iter().find_map(|w| w["fact"].as_str().filter(|f| f.contains("STEPS_FD")));
    let expected = "3 lines that the program told by `GREENFORMERS_STEPS_FD` were not understood, first `steps: 5`";
    assert_eq!(fact, Some(expected), "{run}");
}

#[test]
fn what_a_program_leaves_running_does_not_hold_up_its_end() {
    let folder = tempfile::tempdir().unwrap();
    // One that holds the pipe, and one that goes on telling.
    let left = "sleep 30 > /dev/null 2>&1 &\n(while true; do echo step 9 of 20; sleep 0.01; done > /dev/fd/$GREENFORMERS_STEPS_FD 2> /dev/null) > /dev/null &\necho $! > pid\n";
    let began = std::time::Instant::now();
    let output = forecast(folder.path(), &[], &(told(10, 20) + left));
    let took = began.elapsed().as_secs_f64();
    assert!(output.status.success() && took < 15.0, "{took} s: {}", text(&output.stderr));
    assert!(text(&output.stderr).contains("forecast: 10 of 20 steps"), "{}", text(&output.stderr));
    // Whoever tells on finds the pipe closed.
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let is_there = || Path::new("/proc").join(pid.trim()).join("cmdline").exists();
    for _ in 0..100 {
        if !is_there() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{pid} goes on");
}

#[test]
fn what_is_no_training_is_said_to_be_none_and_nothing_of_the_output_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    for (options, script, code, part) in [
        (&[][..], "echo hello; exit 3", 3, "nothing of the output was recognised"),
        (&[], "true", 0, "nothing of the output was recognised"),
        (&["--step-pattern", "update (\\d+)"], "echo step 1; echo step 2", 0, "matched no line of the output"),
    ] {
        let output = forecast(folder.path(), options, script);
        assert_eq!(output.status.code(), Some(code), "{script}");
        assert!(text(&output.stderr).contains(part), "{script}: {}", text(&output.stderr));
    }
    let bad = forecast(folder.path(), &["--step-pattern", "step"], "touch ran");
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("no group in parentheses") && !folder.path().join("ran").exists());
    // Bytes that are no text, and a line without an end.
    let bytes =
        forecast(folder.path(), &["--quiet"], "printf 'a\\377\\000b\\r'; head -c 3000000 /dev/zero; echo >&2 err");
    assert_eq!((bytes.stdout.len(), &bytes.stdout[..5]), (3_000_005, &b"a\xff\0b\r"[..]));
    assert!(text(&bytes.stderr).starts_with("err\n"), "{}", text(&bytes.stderr));
}

#[test]
fn a_program_can_read_what_it_has_taken_and_what_the_whole_will_take() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        steps(150, 1000) + "cat \"$GREENFORMERS_LIVE_PATH\" > live.json; echo \"$GREENFORMERS_LIVE_PATH\" > where\n";
    let output = forecast(folder.path(), &["-q", "--usd-per-kwh", "0.3", "-o", "out.json"], &script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let live = json(&folder.path().join("live.json"));
    let of = |name: &str| live[name].as_f64().unwrap_or_else(|| panic!("{name}: {live}"));
    let whole = json(&folder.path().join("out.json"))["forecast"]["whole_s"]["mid"].as_f64().unwrap();
    assert!((0.5..2.0).contains(&(of("forecast_s") / whole)), "{live}, {whole}");
    // So far is a part of the whole, by energy as by time; a joule is a 3.6 millionth of a kWh.
    let part = of("energy_j") / 3.6e6 / of("forecast_kwh");
    assert!((0.01..0.5).contains(&part), "{part}: {live}");
    assert!(of("co2e_g") > 0.0 && of("forecast_kgco2e") > 1e-3 * of("co2e_g"), "{live}");
    assert!(of("cost_usd") < of("forecast_usd"), "{live}");
    // It goes with the run.
    let path = fs::read_to_string(folder.path().join("where")).unwrap();
    assert!(!Path::new(path.trim()).exists(), "{path}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_draws_on_terminals_alone_is_given_one_where_it_is_asked_for() {
    let script = "if [ -t 1 ]; then ".to_owned() + &steps(30, 100).replace('\n', "; fi\n");
    let folder = tempfile::tempdir().unwrap();
    let silent = forecast(folder.path(), &["-o", "none.json"], &script);
    assert!(silent.stdout.is_empty(), "{}", text(&silent.stdout));
    assert!(text(&silent.stderr).contains("`--as-terminal` gives them one"), "{}", text(&silent.stderr));
    let seen = forecast(folder.path(), &["--as-terminal", "-o", "out.json"], &script);
    assert!(seen.status.success(), "{}", text(&seen.stderr));
    assert!(text(&seen.stdout).contains("step 30/100 loss 2.5"), "{}", text(&seen.stdout));
    assert_eq!(json(&folder.path().join("out.json"))["forecast"]["steps_done"], 30);
}

#[test]
fn a_pattern_and_a_total_fill_in_what_a_program_does_not_print() {
    let folder = tempfile::tempdir().unwrap();
    let script = "i=0; while [ $i -lt 80 ]; do i=$((i+1)); echo \"<$i> fine\"; sleep 0.02; done\n";
    let options = ["--step-pattern", "<(\\d+)>", "--total-steps", "1000", "--tokens-per-step", "4k", "-o", "run.json"];
    let output = forecast(folder.path(), &options, script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = json(&folder.path().join("run.json"));
    let found = &run["forecast"];
    assert_eq!((found["steps_done"].as_u64(), found["steps_total"].as_u64()), (Some(80), Some(1000)), "{found}");
    let rate = found["tokens_per_s"]["mid"].as_f64().unwrap() * found["step_s"]["mid"].as_f64().unwrap();
    assert!((rate - 4000.0).abs() < 1.0, "{found}");
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn a_program_sees_a_terminal_where_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("look.sh"),
        "test -t 1 && echo terminal out; test -t 2 && echo terminal err; test \"$(stty size <&2 | cut -d' ' -f2)\" -gt 0 && echo wide; printf 'a\\nb\\n'",
    )
    .unwrap();
    let command = format!("{} forecast --quiet -- sh look.sh", env!("CARGO_BIN_EXE_greenformers"));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(folder.path());
    let Some(output) = script.output().ok().filter(|o| o.status.success()) else {
        eprintln!("skipped: `script` makes no terminal on this machine");
        return;
    };
    let shown = text(&output.stdout);
    assert!(shown.contains("terminal out\r\nterminal err\r\nwide\r\na\r\nb\r\n"), "{shown:?}");
}
