//! `campaign --slurm`, and the recipe for administrators, on a real Slurm: a cluster of two nodes on this machine, by
//! `tests/slurm/start.sh`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
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

/// How many were started: tests of one process run at the same time, and each has ports of its own.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A cluster that is gone when it is dropped.
struct Cluster(TempDir);

impl Cluster {
    /// Starts it with `more` lines in its configuration, which may name the folder of the cluster as `FOLDER`, once `prepare` has put there
    /// what they need; `None` where Slurm is not installed or may not be started.
    fn start(more: &str, prepare: impl FnOnce(&Path)) -> Option<Self> {
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
        let port = 20_000 + (std::process::id() + 5000 * STARTED.fetch_add(1, Ordering::Relaxed)) % 10_000 * 3;
        let (folder, lines) = (cluster.0.path(), cluster.0.path().join("more.conf"));
        prepare(folder);
        fs::write(&lines, more.replace("FOLDER", &folder.display().to_string())).unwrap();
        let output = script("start.sh").arg(folder).arg(port.to_string()).arg(lines).output().unwrap();
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
    let Some(cluster) = Cluster::start("", |_| ()) else { return };
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

/// The programs of the recipe, as the page has them, with the folders of the test.
fn recipe(folder: &Path) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clusters.md")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_greenformers")).parent().unwrap();
    let programs: Vec<&str> = page.split("```text\n").filter_map(|part| part.split("```").next()).collect();
    for name in ["task_prolog.sh", "task_epilog.sh", "epilog_slurmctld.sh"] {
        let program = programs.iter().find(|text| text.contains(&format!("# /etc/slurm/{name}"))).unwrap();
        let program = program
            .replace("/shared/greenformers", &folder.join("shared").display().to_string())
            .replace("/usr/local/bin", &bin.display().to_string());
        fs::write(folder.join(name), program).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir_all(folder.join("shared/records")).unwrap();
    fs::set_permissions(folder.join("shared/records"), fs::Permissions::from_mode(0o1777)).unwrap();
}

#[test]
fn on_a_real_slurm_every_task_gets_a_record_and_no_job_is_changed() {
    let more = "TaskProlog=FOLDER/task_prolog.sh\nTaskEpilog=FOLDER/task_epilog.sh\nEpilogSlurmctld=FOLDER/epilog_slurmctld.sh\n";
    // Slurm looks for the programs when it starts.
    let Some(cluster) = Cluster::start(more, recipe) else { return };
    let folder = cluster.0.path();
    let records = || {
        let all = fs::read_dir(folder.join("shared/records")).unwrap();
        let mut names: Vec<String> = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    };
    // Four tasks on two nodes, as a user types them.
    cluster.slurm("srun --overcommit -N2 -n4 -J four sleep 2");
    wait_for("the job has ended", || cluster.slurm("squeue --noheader").is_empty());
    assert_eq!(records(), ["1.0.0.json", "1.0.1.json", "1.0.2.json", "1.0.3.json"]);
    let record = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder.join("shared/records").join(name)).unwrap()).unwrap()
    };
    let mut metered = 0;
    for (i, name) in records().iter().enumerate() {
        let record = record(name);
        assert_eq!(record["job"]["id"], "1", "{name}: {record}");
        assert_eq!(record["job"]["rank"], i, "{name}: {record}");
        assert_eq!(record["project"], "four");
        // The task took two seconds.
        let seconds = record["duration_s"].as_f64().unwrap();
        assert!((1.5..20.0).contains(&seconds), "{name}: {seconds}");
        metered += usize::from(record["lines"][0]["energy_j"].is_object());
    }
    assert_eq!(metered, 1, "both nodes are this machine, which one task meters");
    wait_for("the totals are written", || folder.join("shared/greenformers.prom").exists());
    let totals = fs::read_to_string(folder.join("shared/greenformers.prom")).unwrap();
    assert!(totals.contains("four"), "{totals}");
}
