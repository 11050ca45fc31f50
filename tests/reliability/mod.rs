//! Nothing lost, nothing let in: campaigns that are killed, disks that are full, files that are hostile, machines that are
//! busy. `tests/reliability.sh` runs these with more tries and writes what came out into `reports/reliability.md`.

mod faults;
mod hostile;
mod kills;
mod load;
mod seeds;
mod serving;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) const TINY: &str = "name: tiny
source: made up for a test
model: {n_layers: 1, d_model: 24, n_heads: 3, d_ff: 40, vocab_size: 101, max_seq_len: 32}
optimizer: adamw
phases:
  - {steps: 1000, batch_size: 16, seq_len: 8}
";

const CPU: &str = "id: my-cpu
name: A test CPU
kind: cpu
vendor: nobody
threads: 64
tdp: {value: 200, unit: W, year: 2024, source: made up for a test}
";

/// A campaign of one cell a length, each a second long: options and their values.
const CAMPAIGN: [(&str, &str); 9] = [
    ("--workload", "tiny.yaml"),
    ("--hardware", "my-cpu.yaml"),
    ("--device", "cpu"),
    ("--meter", "none"),
    ("--max-time", "0.2"),
    ("--arch", "dense"),
    ("--batch-size", "1"),
    ("-o", "out"),
    ("--seq-len", "4,8,16,32"),
];

pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_greenformers"))
}

/// A folder with the tiny workload and the test CPU.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    fs::write(folder.path().join("my-cpu.yaml"), CPU).unwrap();
    folder
}

/// The campaign, to be started in `folder`; an option in `own` takes the place of the usual one.
pub(crate) fn campaign(folder: &Path, own: &[&str]) -> Command {
    let mut program = program();
    program.current_dir(folder).arg("profile").stdin(Stdio::null());
    for (option, value) in CAMPAIGN.iter().filter(|(option, _)| !own.contains(option)) {
        program.args([option, value]);
    }
    program.args(own);
    program
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the program under limits of `prlimit`.
pub(crate) fn limited(limits: &[&str], program: &Command) -> Output {
    let mut limited = Command::new("prlimit");
    limited.args(limits).arg("--").arg(program.get_program()).args(program.get_args());
    if let Some(folder) = program.get_current_dir() {
        limited.current_dir(folder);
    }
    limited.stdin(Stdio::null()).output().unwrap()
}

/// A failure is a message of the program's own.
pub(crate) fn failed_properly(output: &Output) -> String {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{:?}: {message}", output.status);
    assert!(message.contains("error: ") && !message.contains("panicked"), "{message}");
    message
}

/// A line of the report: what was tried, how often, and what came out.
pub(crate) fn tried(fault: &str, count: impl std::fmt::Display, outcome: impl std::fmt::Display) {
    if let Some(path) = std::env::var_os("GREENFORMERS_RELIABILITY") {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("| {fault} | {count} | {outcome} |\n").as_bytes()).unwrap();
    }
}

/// Whether a part of a test cannot run here, which is said.
pub(crate) fn cannot(what: &str, reason: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "not tried: {what}: {reason}");
    tried(what, "not tried", reason);
}

/// A mount that is gone when it is dropped.
pub(crate) struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    /// Mounts a file system of `size` in memory; `None` where that is not allowed.
    pub(crate) fn mount(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|o| o.status.success()).then(|| Self(at.to_owned()))
    }

    pub(crate) fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
