//! The Python package: its own tests, its page, and `Steps` under the program. Skipped where there is no Python 3.10.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::docs::{code, desk};

const PROGRAM: &str = env!("CARGO_BIN_EXE_greenformers");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with the package, where there is one that is new enough.
#[expect(clippy::print_stderr, reason = "Whoever runs the tests is told what was left out.")]
fn python() -> Option<Command> {
    let new_enough = ["-c", "import sys; sys.exit(sys.version_info < (3, 10))"];
    if !Command::new("python3").args(new_enough).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no Python 3.10 or newer on this machine");
        return None;
    }
    let mut python = Command::new("python3");
    with_package(&mut python);
    Some(python)
}

fn with_package(command: &mut Command) {
    command
        .env("PYTHONPATH", root().join("python"))
        .env("GREENFORMERS_BINARY", PROGRAM)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for name in ["RANK", "LOCAL_RANK", "GREENFORMERS_STEPS_FD", "GREENFORMERS_STEPS_PATH"] {
        command.env_remove(name);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `forecast` of a script in Python, and what it says of the steps.
fn forecast(folder: &Path, options: &[&str], script: &str) -> (Output, Value) {
    fs::write(folder.join("train.py"), script).unwrap();
    let mut forecast = Command::new(PROGRAM);
    with_package(&mut forecast);
    forecast.args(["forecast", "-o", "run.json", "--force"]).args(options);
    let output = forecast.args(["--", "python3", "train.py"]).current_dir(folder).output().unwrap();
    let run: Value = serde_json::from_str(&fs::read_to_string(folder.join("run.json")).unwrap()).unwrap();
    (output, run["forecast"].clone())
}

#[test]
fn the_package_s_own_tests_and_the_examples_of_its_docstrings_pass() {
    let Some(mut python) = python() else { return };
    python.args(["-W", "error", "-m", "unittest", "discover", "python/tests"]).current_dir(root());
    let output = python.output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let ran: u32 = said.split("Ran ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap();
    assert!(ran >= 20, "{said}");
}

#[test]
fn a_loop_around_a_loader_is_forecast_without_a_line_of_output() {
    if python().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "import time\nfrom greenformers import Steps\nfor batch in Steps(range(500), epochs=2, tokens=512):\n    time.sleep(0.02)\n";
    let (output, found) = forecast(folder.path(), &["--stop-after", "40steps"], script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("of 1000 steps") && stderr.contains("read: steps, told by the program itself: 'step "),
        "{stderr}"
    );
    assert!((40..400).contains(&found["steps_done"].as_u64().unwrap()), "{found}");
    let step = found["step_s"]["mid"].as_f64().unwrap();
    assert!((0.02..0.2).contains(&step), "{found}");
    assert!((found["tokens_per_s"]["mid"].as_f64().unwrap() * step - 512.0).abs() < 1e-6, "{found}");
}

#[test]
fn of_several_processes_behind_a_launcher_that_closes_descriptors_the_first_rank_tells() {
    if python().is_none() || !cfg!(target_os = "linux") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // As launchers do: a process for each rank, with the environment and without open descriptors.
    let script = "import os, subprocess, sys\n\
        code = 'import os, time, greenformers\\nsteps = greenformers.Steps(total=40)\\nfor _ in range(40 - 10 * int(os.environ[\"RANK\"])):\\n    \
        time.sleep(0.01)\\n    steps.step(tokens=7)'\n\
        ranks = [subprocess.Popen([sys.executable, '-c', code], env={**os.environ, 'RANK': str(r)}, close_fds=True) for r in (1, 0)]\n\
        sys.exit(sum(rank.wait() for rank in ranks))\n";
    let (output, found) = forecast(folder.path(), &[], script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!((found["steps_done"].as_u64(), found["steps_total"].as_u64()), (Some(40), Some(40)), "{found}");
    assert!(!text(&output.stderr).contains("not understood"), "{}", text(&output.stderr));
}

#[test]
fn a_worker_that_outlives_its_program_does_not_hold_up_the_end() {
    if python().is_none() || !cfg!(unix) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "import os, sys, time\nfrom greenformers import Steps\nsteps = Steps(total=5)\nfor _ in range(5):\n    steps.step()\n\
        if os.fork() == 0:\n    for end in (0, 1, 2):\n        os.close(end)\n    time.sleep(30)\n    os._exit(0)\n";
    let began = std::time::Instant::now();
    let (output, found) = forecast(folder.path(), &[], script);
    assert!(output.status.success() && began.elapsed().as_secs_f64() < 20.0, "{:?}", began.elapsed());
    assert_eq!(found["steps_done"], 5, "{found}");
}

#[test]
fn every_example_of_the_page_on_python_runs_or_is_at_least_python() {
    let Some(mut python) = python() else { return };
    let page = fs::read_to_string(root().join("docs/python.md")).unwrap();
    let mut blocks: Vec<String> = vec![String::new()];
    for line in page.lines() {
        let last = blocks.len() - 1;
        match line {
            "```python" => blocks.push(String::new()),
            _ if code(&page).contains(&(Some("python"), line)) => blocks[last].push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    assert!(blocks.len() >= 5, "{blocks:?}");
    let room = desk(&[]);
    // What a reader has.
    fs::write(room.path().join("mine.py"), "loader = [1, 2, 3]\n\ndef train_on(batch): pass\n").unwrap();
    let (mut ran, mut path) = (0, vec![PathBuf::from(room.path()), root().join("python")]);
    path.rotate_left(1);
    python.env("PYTHONPATH", std::env::join_paths(path).unwrap()).current_dir(room.path());
    for block in blocks {
        let other = ["greenformers.integrations"].iter().any(|library| block.contains(library));
        let (way, script) = if other {
            ("compile(__import__('sys').argv[1], 'page', 'exec')", block.clone())
        } else {
            ran += 1;
            ("exec(__import__('sys').argv[1], {})", format!("from mine import *\n{block}"))
        };
        let output = python_again(&python).args(["-c", way, &script]).output().unwrap();
        assert!(output.status.success(), "{block}\n{}", text(&output.stderr));
    }
    assert!(ran >= 4, "{ran} ran");
}

/// The same command once more: one with arguments is used up.
fn python_again(python: &Command) -> Command {
    let mut again = Command::new(python.get_program());
    for (name, value) in python.get_envs() {
        match value {
            Some(value) => again.env(name, value),
            None => again.env_remove(name),
        };
    }
    if let Some(folder) = python.get_current_dir() {
        again.current_dir(folder);
    }
    again
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let source = fs::read_to_string(root().join("python/greenformers/_binary.py")).unwrap();
    let expected = format!("__version__ = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert!(source.contains(&expected), "{expected}");
    for name in ["py.typed", "__init__.py"] {
        assert!(root().join("python/greenformers").join(name).exists(), "{name}");
    }
}
