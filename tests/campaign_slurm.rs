//! `campaign --slurm` on a real Slurm: a cluster of two nodes on this machine, by `tests/slurm/start.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use greenformers::record::Record;
use serde_json::Value;
use tempfile::TempDir;

use crate::reliability::{TINY, cannot, program, text};

/// Four tasks of two cells, each of which takes some seconds.
const PLAN: &str = "name: real
workload: tiny.yaml
archs: [dense, 'lrt:rank=4']
seq_lens: [8, 16]
min_time: 3
max_time: 3
machines:
  - {name: any, device: cpu, meter: none, batch_size: 1}
  - {name: second, device: cpu, meter: none, layers: 2, batch_size: 1, slurm: {partition: cpu, nodelist: node2}}
";

/// A cluster that is gone when it is dropped.
struct Cluster(TempDir);

impl Cluster {
    /// Starts it; `None` where Slurm is not installed or may not be started.
    fn start() -> Option<Self> {
        // Without a configuration, `sbatch -V` fails.
        let has = |name: &str| Command::new(name).arg("-V").output().is_ok();
        if !["slurmctld", "slurmd", "sbatch", "munged"].into_iter().all(has) {
            cannot("a campaign on Slurm", "slurm-wlm and munge are not installed");
            return None;
        }
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
        if !is_root {
            cannot("a campaign on Slurm", "its daemons have to be started by root");
            return None;
        }
        let cluster = Self(tempfile::tempdir().unwrap());
        let port = 20_000 + std::process::id() % 10_000 * 3;
        let output = script("start.sh").arg(cluster.0.path()).arg(port.to_string()).output().unwrap();
        if !output.status.success() {
            let log = fs::read_to_string(cluster.0.path().join("daemons.log")).unwrap_or_default();
            panic!("the cluster does not start: {}{log}", text(&output.stderr));
        }
        Some(cluster)
    }

    fn slurm(&self, command: &str) -> String {
        let mut words = command.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let output = command.args(words).env("SLURM_CONF", self.0.path().join("slurm.conf")).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn campaign(&self, folder: &Path, args: &[&str]) -> Output {
        let mut program = program();
        program.arg("campaign").args(args).current_dir(folder).stdin(Stdio::null());
        program.env("SLURM_CONF", self.0.path().join("slurm.conf")).output().unwrap()
    }

    fn ok(&self, folder: &Path, args: &[&str]) -> String {
        let output = self.campaign(folder, args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn tasks(&self, folder: &Path) -> Vec<Value> {
        let told = self.ok(folder, &["status", "out", "--format", "json"]);
        serde_json::from_str::<Value>(&told).unwrap()["tasks"].as_array().unwrap().clone()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = script("stop.sh").arg(self.0.path()).status();
    }
}

fn script(name: &str) -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/slurm").join(name));
    command.stdin(Stdio::null());
    command
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(2), "it takes too long until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn on_a_real_slurm_a_node_that_dies_and_a_job_that_is_cancelled_cost_their_unfinished_cells_alone() {
    let Some(cluster) = Cluster::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("tiny.yaml"), TINY).unwrap();
    fs::write(path.join("plan.yaml"), PLAN).unwrap();
    fs::write(path.join("nowhere.yaml"), PLAN.replace("partition: cpu", "partition: nowhere")).unwrap();
    // Slurm refuses a partition that it has not.
    let output = cluster.campaign(path, &["nowhere.yaml", "--slurm", "-o", "nowhere", "--machine", "second"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("does not take the tasks of machine `second`") && said.contains("partition"), "{said}");
    let printed = cluster.ok(path, &["plan.yaml", "--slurm", "-o", "out"]);
    assert!(printed.contains("any") && printed.contains("second"), "{printed}");
    // The node of a task dies: Slurm starts the task again, where it can.
    let node =
        || cluster.slurm("squeue --noheader --array --states=running --format=%N").lines().next().map(str::to_owned);
    wait_for("a task has begun", || path.join("out/tasks/any-000/record.json").exists());
    // What waits or runs is not submitted again.
    let again = cluster.campaign(path, &["plan.yaml", "--slurm", "-o", "out", "--resume"]);
    assert!(text(&again.stderr).contains("nothing was submitted"), "{}", text(&again.stderr));
    let node = node().unwrap();
    cluster.slurm(&format!("scontrol update nodename={node} state=down reason=died"));
    // The jobs of the second machine are cancelled.
    let second = cluster.tasks(path)[2]["job"].as_u64().unwrap();
    cluster.slurm(&format!("scancel {second}"));
    wait_for("Slurm has no job left", || cluster.slurm("squeue --noheader --array").is_empty());
    let states: Vec<String> = cluster.tasks(path).iter().map(|t| t["state"].to_string()).collect();
    let log = || fs::read_to_string(cluster.0.path().join("slurmctld.log")).unwrap_or_default();
    assert_eq!(states[..2], ["\"finished\"", "\"finished\""], "{}", log());
    assert!(states[2..].iter().any(|state| state != "\"finished\""), "{states:?}");
    let attempts: Vec<String> = fs::read_dir(path.join("out/tasks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(attempts.iter().any(|name| name.ends_with(".r0.1")), "no task was started again: {attempts:?}");
    wait_for("both nodes are there", || {
        cluster.slurm("sinfo --noheader --Node --states=idle --format=%N").lines().count() == 2
    });
    cluster.ok(path, &["plan.yaml", "--slurm", "-o", "out", "--resume"]);
    wait_for("Slurm has no job left", || cluster.slurm("squeue --noheader --array").is_empty());
    assert!(cluster.tasks(path).iter().all(|task| task["state"] == "finished"), "{:?}", cluster.tasks(path));
    cluster.ok(path, &["collect", "out", "-o", "merged", "--strict"]);
    for machine in ["any", "second"] {
        assert_eq!(Record::load(&path.join("merged").join(machine)).unwrap().cells.len(), 4, "{machine}");
    }
    assert!(path.join("merged/report.html").exists());
}
