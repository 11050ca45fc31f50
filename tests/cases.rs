//! Inputs that the program once got wrong, each a folder of `tests/cases`, run by a shell as people run them.

use std::path::Path;
use std::process::{Command, Output};

fn run_all(runner: &Path, names: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_greenformers");
    Command::new("sh").arg(runner).args(names).env("GREENFORMERS", program).output().unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_case_comes_out_right() {
    let output = run_all(&root().join("tests/run-all.sh"), &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let folders = std::fs::read_dir(root().join("tests/cases")).unwrap().count();
    assert!(said.contains(&format!("{folders} right, 0 wrong")), "{said}");
}

#[test]
fn the_runner_tells_right_from_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let runner = folder.path().join("run-all.sh");
    std::fs::copy(root().join("tests/run-all.sh"), &runner).unwrap();
    for (name, script, expected) in [
        ("right", "echo one; echo two", "# a comment\none\ntwo\n!three\n"),
        ("missing", "echo one", "one\ntwo\n"),
        ("order", "echo two; echo one", "one\ntwo\n"),
        ("forbidden", "echo one; echo three", "one\n!three\n"),
        ("code", "echo one; exit 3", "one\n"),
        ("coded", "echo one >&2; exit 3", "exit: 3\none\n"),
    ] {
        let case = folder.path().join("cases").join(name);
        std::fs::create_dir_all(&case).unwrap();
        std::fs::write(case.join("run.sh"), script).unwrap();
        std::fs::write(case.join("expected"), expected).unwrap();
    }
    let output = run_all(&runner, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    for line in [
        "right  right",
        "right  coded",
        "WRONG  missing: not there: two",
        "WRONG  order: not there: two",
        "WRONG  forbidden: must not be there: three",
        "WRONG  code: exit code 3, expected 0",
        "2 right, 4 wrong",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(run_all(&runner, &["right", "coded"]).status.success());
}
