//! `campaign`: plans on several kinds of machine, run here, killed and resumed, given to Slurm, collected.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use greenformers::record::{Record, Status};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::reliability::{TINY, program, text};

/// Two kinds of machine, both of which are this one: four tasks of two cells each.
const PLAN: &str = "name: tiny
workload: tiny.yaml
archs: [dense, 'lrt:rank=4']
seq_lens: [8, 16]
steps: 2
max_time: 0.2
machines:
  - {name: here, device: cpu, meter: none, batch_size: 1}
  - name: deep
    device: cpu
    meter: none
    layers: 2
    batch_size: 1
    slurm: {partition: gpu, constraint: a100, gres: 'gpu:1', cpus_per_task: 2, mem: 4G, at_once: 1, setup: [module load cuda]}
";

fn folder(plan: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    fs::write(folder.path().join("plan.yaml"), plan).unwrap();
    folder
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut program = program();
    program.arg("campaign").args(args).current_dir(folder).stdin(Stdio::null()).env_remove("SLURM_RESTART_COUNT");
    // Whatever of Slurm is installed here.
    program.env("PATH", "/nowhere").output().unwrap()
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn fails(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

fn status(folder: &Path) -> Value {
    serde_json::from_str(&ok(folder, &["status", "out", "--format", "json"])).unwrap()
}

/// State and cells done of each task.
fn states(folder: &Path) -> Vec<(String, u64)> {
    let status = status(folder);
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().map(|t| (t["state"].as_str().unwrap().to_owned(), t["done"].as_u64().unwrap())).collect()
}

fn all(state: &str, done: u64) -> Vec<(String, u64)> {
    vec![(state.to_owned(), done); 4]
}

/// What the commands print as JSON, and what they keep, by the tables of `docs/fields.md`.
pub(crate) fn printed() -> [(&'static str, Value); 5] {
    let folder = folder(&PLAN.replace("{name: here,", "{name: here, hardware: a100-sxm4-80gb,"));
    let path = folder.path();
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    let planned = read(ok(path, &["plan.yaml", "--format", "json"]).as_bytes());
    fake_slurm(path);
    let output = with_slurm(path, &["plan.yaml", "--slurm", "-o", "out", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let submitted = read(&output.stdout);
    fs::write(path.join("out/tasks/deep-001/record.json"), "{").unwrap();
    fs::create_dir(path.join("out/tasks/stranger")).unwrap();
    let told = status(path);
    let collected = read(ok(path, &["collect", "out", "--format", "json"]).as_bytes());
    let kept = read(&fs::read(path.join("out/campaign.json")).unwrap());
    [
        ("campaign", planned),
        ("campaign --slurm", submitted),
        ("campaign status", told),
        ("campaign collect", collected),
        ("campaign.json", kept),
    ]
}

#[test]
fn a_plan_without_a_place_to_run_lists_its_tasks_and_runs_nothing() {
    let folder = folder(PLAN);
    let printed = ok(folder.path(), &["plan.yaml"]);
    insta::assert_snapshot!(printed, @r"
    index  task      machine  cells  tokens  dtypes  limit (min)
        0  here-000  here         2       8  f32               5
        1  here-001  here         2      16  f32               5
        2  deep-000  deep         2       8  f32               5
        3  deep-001  deep         2      16  f32               5

    cells: 8, tasks: 4; nothing was run
    next:    greenformers campaign plan.yaml --local, or --slurm
    ");
    assert!(!folder.path().join("campaigns").exists());
    let json: Value = serde_json::from_str(&ok(folder.path(), &["plan.yaml", "--format", "json"])).unwrap();
    assert_eq!(json["cells"], 8);
    assert_eq!(json["tasks"][3]["task"], "deep-001");
    assert_eq!(json["tasks"][3]["seq_lens"], json!([16]));
    let csv = ok(folder.path(), &["plan.yaml", "--machine", "deep", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 3, "{csv}");
}

#[test]
fn the_plan_of_the_page_is_one_that_the_program_takes() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clusters.md")).unwrap();
    let lines: Vec<&str> =
        crate::docs::code(&page).into_iter().filter(|(l, _)| *l == Some("yaml")).map(|(_, line)| line).collect();
    let folder = folder(&lines.join("\n"));
    let scripts = ok(folder.path(), &["plan.yaml", "--slurm", "--dry-run"]);
    // A job for each kind of machine and time limit: two kinds, whose lengths need several limits.
    let of = |key: &str| -> Vec<&str> { scripts.lines().filter(|line| line.starts_with(key)).collect() };
    let jobs: Vec<_> = of("#SBATCH --job-name").into_iter().zip(of("#SBATCH --time")).collect();
    let kinds: std::collections::BTreeSet<_> = jobs.iter().collect();
    assert!(jobs.len() >= 3 && kinds.len() == jobs.len(), "{scripts}");
    assert!(scripts.contains("step times are modelled for NVIDIA A100"), "{scripts}");
}

#[test]
fn a_campaign_is_run_here_and_collected_into_a_record_of_each_machine_and_one_report() {
    let folder = folder(PLAN);
    let path = folder.path();
    ok(path, &["plan.yaml", "--local", "-o", "out"]);
    assert_eq!(states(path), all("finished", 2));
    let collected = ok(path, &["collect", "out", "-o", "merged"]);
    assert!(collected.contains("report: merged/report.html"), "{collected}");
    for (machine, layers) in [("here", 1), ("deep", 2)] {
        let record = Record::load(&path.join("merged").join(machine)).unwrap();
        let cells: Vec<(String, usize)> = record.cells.iter().map(|c| (c.arch.to_string(), c.shape.seq_len)).collect();
        let expected = [("dense", 8), ("lrt:rank=4", 8), ("dense", 16), ("lrt:rank=4", 16)];
        assert_eq!(cells, expected.map(|(arch, len)| (arch.to_owned(), len)));
        assert!(record.cells.iter().all(|c| c.status == Status::Ok && c.n_layers == layers));
    }
    for file in ["report.html", "comparison.csv"] {
        assert!(path.join("merged").join(file).exists(), "{file}");
    }
    // It may be collected again, and another record is not written over.
    ok(path, &["collect", "out", "-o", "merged", "--strict"]);
    fs::copy(path.join("merged/deep/record.json"), path.join("merged/here/record.json")).unwrap();
    let error = fails(path, &["collect", "out", "-o", "merged"]);
    assert!(error.contains("`merged/here` already holds another record"), "{error}");
    // One machine alone has a report of its own.
    fs::remove_dir_all(path.join("out/tasks/deep-000")).unwrap();
    fs::remove_dir_all(path.join("out/tasks/deep-001")).unwrap();
    let one: Value = serde_json::from_str(&ok(path, &["collect", "out", "--format", "json"])).unwrap();
    assert_eq!(one["machines"][1]["missing"].as_array().unwrap().len(), 4);
    assert!(one["machines"][1]["record"].is_null());
    assert_eq!(one["files"][0], "out/collected/here/report.html");
}

#[test]
fn a_campaign_that_was_killed_goes_on_with_what_is_missing() {
    let folder = folder(&PLAN.replace("steps: 2\nmax_time: 0.2", "max_time: 0.5\nmin_time: 0.5"));
    let path = folder.path();
    let mut child = program();
    child.args(["campaign", "plan.yaml", "--local", "-o", "out", "--quiet"]).current_dir(path).stdin(Stdio::null());
    let mut child = child.spawn().unwrap();
    let first = path.join("out/tasks/here-000/record.json");
    let second = path.join("out/tasks/here-001/record.json");
    while !second.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its second task");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(states(path)[1], ("running".to_owned(), 0));
    let error = fails(path, &["plan.yaml", "--local", "-o", "out"]);
    assert!(error.contains("`out` already holds a campaign\nhint: `--resume` goes on with it"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    let before = fs::read(&first).unwrap();
    let states_then: Vec<String> = states(path).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states_then, ["finished", "stopped", "not_begun", "not_begun"]);
    // What is there is collected, and what is missing is said.
    let collected: Value = serde_json::from_str(&ok(path, &["collect", "out", "--format", "json"])).unwrap();
    assert_eq!(collected["machines"][0]["done"], 2);
    let error = fails(path, &["collect", "out", "--strict"]);
    assert!(error.contains("6 cells are missing, and 0 records are left out"), "{error}");
    ok(path, &["plan.yaml", "--local", "-o", "out", "--resume"]);
    assert_eq!(states(path), all("finished", 2));
    assert_eq!(fs::read(&first).unwrap(), before, "what was finished is not touched");
}

#[test]
fn a_signal_ends_a_campaign_with_the_command_that_goes_on() {
    let folder = folder(&PLAN.replace("steps: 2\nmax_time: 0.2", "max_time: 30\nmin_time: 30"));
    let mut child = program();
    child.args(["campaign", "plan.yaml", "--local", "-o", "out"]).current_dir(folder.path());
    let child = child.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let record = folder.path().join("out/tasks/here-000/record.json");
    while !record.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(said.contains("campaign plan.yaml --local -o out --resume"), "{said}");
}

#[test]
fn a_dry_run_prints_the_scripts_and_writes_nothing() {
    let folder = folder(PLAN);
    let printed = ok(folder.path(), &["plan.yaml", "--slurm", "--dry-run", "-o", "out", "--machine", "deep"]);
    let place = folder.path().display().to_string();
    let bare = printed.replace(env!("CARGO_BIN_EXE_greenformers"), "PROGRAM").replace(&place, "/shared");
    insta::assert_snapshot!(bare, @r#"
    #!/bin/sh
    # Campaign `tiny`, machine `deep`, submission 0. An index is that of a task in
    # /shared/out/campaign.json. What a task has measured stays when its job ends early.
    # Time limit: at most 0 s of steps, 20 s beside them and 50 s before the first, times 1.5, and 120 s to end in, in steps of 5 min; `deep` names no `hardware`, and every cell counts with its `max_time`.
    #SBATCH --job-name=tiny-deep
    #SBATCH --array=2-3%1
    #SBATCH --time=00:05:00
    #SBATCH --nodes=1
    #SBATCH --ntasks=1
    #SBATCH --partition=gpu
    #SBATCH --constraint=a100
    #SBATCH --gres=gpu:1
    #SBATCH --mem=4G
    #SBATCH --cpus-per-task=2
    #SBATCH --output=/shared/out/logs/deep-%A-%a.txt
    #SBATCH --open-mode=append
    #SBATCH --signal=B:TERM@60
    module load cuda
    exec PROGRAM campaign task /shared/out --index "$SLURM_ARRAY_TASK_ID" --round 0
    "#);
    assert!(!folder.path().join("out").exists());
}

/// Programs that stand for Slurm's: `sbatch` runs the tasks of a script one after the other, and `squeue` knows of none.
fn fake_slurm(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let sbatch = "#!/bin/sh
[ \"$1\" = --parsable ] || exit 2
if grep -q 'machine `deep`' \"$2\" && [ -e refuse ]; then
    echo 'sbatch: error: Batch job submission failed: Requested node configuration is not available' >&2
    exit 1
fi
job=$(($(cat last 2>/dev/null || echo 40) + 1)); echo $job >last
array=$(sed -n 's/^#SBATCH --array=\\([0-9,-]*\\).*/\\1/p' \"$2\" | tr , '\\n')
for part in $array; do
    [ -e queue ] && break
    for index in $(seq \"${part%-*}\" \"${part#*-}\"); do
        sed 's/^module load.*//' \"$2\" | SLURM_ARRAY_TASK_ID=$index sh >>log 2>&1
    done
done
echo \"$job;cluster\"
";
    for (name, script) in [("sbatch", sbatch), ("squeue", "#!/bin/sh\n[ -e queue ] && cat queue\nexit 0\n")] {
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

fn with_slurm(folder: &Path, args: &[&str]) -> Output {
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let mut program = program();
    program.arg("campaign").args(args).current_dir(folder).stdin(Stdio::null()).env("PATH", path);
    program.output().unwrap()
}

#[test]
fn tasks_that_slurm_has_run_are_finished_and_the_missing_ones_are_submitted_again() {
    let folder = folder(PLAN);
    let path = folder.path();
    fake_slurm(path);
    // The second machine is refused: what was submitted before stays.
    fs::write(path.join("refuse"), "").unwrap();
    let output = with_slurm(path, &["plan.yaml", "--slurm", "-o", "out"]);
    let said = text(&output.stderr);
    assert!(said.contains("Slurm does not take the tasks of machine `deep`: sbatch: error: Batch job"), "{said}");
    let expected = [("finished", 2), ("finished", 2), ("not_begun", 0), ("not_begun", 0)];
    assert_eq!(states(path), expected.map(|(state, done)| (state.to_owned(), done)));
    fs::remove_file(path.join("refuse")).unwrap();
    // What waits is not submitted again.
    fs::write(path.join("queue"), "41 0\n42 2\n42 3\n").unwrap();
    let resume = ["plan.yaml", "--slurm", "-o", "out", "--resume"];
    let output = with_slurm(path, &resume);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(states(path)[2], ("submitted".to_owned(), 0));
    assert_eq!(status(path)["tasks"][2]["job"], 42);
    let said = text(&with_slurm(path, &resume).stderr);
    assert!(said.contains("2 tasks wait or run already") && said.contains("nothing was submitted"), "{said}");
    // The job was cancelled.
    fs::remove_file(path.join("queue")).unwrap();
    let output = with_slurm(path, &resume);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(states(path), all("finished", 2), "{}", fs::read_to_string(path.join("log")).unwrap());
    assert!(text(&with_slurm(path, &resume).stderr).contains("nothing was submitted"));
    // No two attempts wrote one folder.
    let mut names: Vec<_> = fs::read_dir(path.join("out/tasks")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["deep-000.r2", "deep-001.r2", "here-000", "here-001"]);
    let output = with_slurm(path, &["collect", "out", "--strict"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_task_whose_node_died_costs_its_unfinished_cells_alone() {
    let folder = folder(PLAN);
    let path = folder.path();
    ok(path, &["plan.yaml", "--local", "-o", "out"]);
    // The first attempt at a task got to one of its cells, and its file is never touched again.
    let first = path.join("out/tasks/here-000");
    let mut record = Record::load(&first).unwrap();
    record.cells.truncate(1);
    record.save(&first).unwrap();
    let before = fs::read(first.join("record.json")).unwrap();
    assert_eq!(states(path)[0], ("stopped".to_owned(), 1));
    let mut again = program();
    again.args(["campaign", "task", "out", "--index", "0", "--round", "0"]).current_dir(path);
    let output = again.env("SLURM_RESTART_COUNT", "1").output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("preparing LRT") && !said.contains("preparing dense"), "{said}");
    assert_eq!(states(path), all("finished", 2));
    assert_eq!(fs::read(first.join("record.json")).unwrap(), before);
    let second = Record::load(&path.join("out/tasks/here-000.r0.1")).unwrap();
    assert_eq!(second.cells[0], record.cells[0]);
    // A task that is finished is not measured again, whoever submits it.
    let said = text(&run(path, &["task", "out", "--index", "0", "--round", "7"]).stderr);
    assert!(said.contains("every cell of `here-000` is measured"), "{said}");
}

#[test]
fn a_task_that_cannot_go_on_says_why_and_the_others_run() {
    let plan = PLAN.replace("{name: here, device: cpu, meter: none,", "{name: here, device: cpu, meter: nvml,");
    let folder = folder(&plan);
    let error = fails(folder.path(), &["plan.yaml", "--local", "-o", "out"]);
    assert!(error.contains("2 of 4 tasks failed\nhint: the same command with `--resume`"), "{error}");
    let status = status(folder.path());
    assert_eq!(status["tasks"][0]["state"], "failed");
    let why = status["tasks"][0]["error"].as_str().unwrap();
    assert!(why.starts_with("`--meter nvml` measures GPUs"), "{why}");
    assert_eq!(states(folder.path())[2..], all("finished", 2)[2..]);
}

#[test]
fn bad_plans_and_bad_folders_are_refused_and_nothing_is_lost() {
    let folder = folder(PLAN);
    let path = folder.path();
    fs::write(path.join("a.yaml"), "include: [b.yaml]\n").unwrap();
    fs::write(path.join("b.yaml"), "include: [a.yaml]\n").unwrap();
    fs::write(path.join("other.yaml"), PLAN.replace("steps: 2", "steps: 3")).unwrap();
    fs::write(path.join("type.yaml"), PLAN.replace("name: here,", "name: here, hardware: a100-sxm4-41gb,")).unwrap();
    for (args, said) in [
        (&["a.yaml"][..], "plans include each other in a circle: "),
        (&["type.yaml"], "unknown hardware `a100-sxm4-41gb`: did you mean `a100-sxm4-40gb`"),
        (&["plan.yaml", "--machine", "gpu", "--local"], "unknown machine `gpu`: the plan has `here`, `deep`"),
        (&["status", "nowhere"], "`nowhere` holds no campaign"),
        (&["plan.yaml", "--slurm", "-o", "unslurmed"], "cannot run `sbatch`"),
    ] {
        let error = fails(path, args);
        assert!(error.contains(said), "{args:?}: {error}");
    }
    ok(path, &["plan.yaml", "--local", "--machine", "here", "-o", "out"]);
    let error = fails(path, &["other.yaml", "--local", "-o", "out", "--resume"]);
    assert!(error.contains("the plan differs from the one in `out` (`steps`)"), "{error}");
    // This node has not the device of the plan.
    fs::write(
        path.join("gpu.yaml"),
        PLAN.replace("name: here, device: cpu,", "name: here, hardware: t4-16gb, device: cpu,"),
    )
    .unwrap();
    let error = fails(path, &["gpu.yaml", "--local", "--machine", "here", "-o", "gpu"]);
    assert!(error.contains("and machine `here` of the plan has `t4-16gb`"), "{error}");
    let error = fails(path, &["task", "out", "--index", "9"]);
    assert!(error.contains("task 9 is not in `out`: it has 4 tasks"), "{error}");
    // A folder that is half a copy, one of no task, and a record of another version.
    let half = path.join("out/tasks/here-000/record.json");
    let whole = fs::read(&half).unwrap();
    fs::write(&half, &whole[..whole.len() / 3]).unwrap();
    fs::create_dir(path.join("out/tasks/here-000 (copy)")).unwrap();
    let output = run(path, &["collect", "out"]);
    let warnings = text(&output.stderr);
    assert!(output.status.success(), "{warnings}");
    assert!(
        warnings.contains("here-000/record.json` is not added: `out/tasks/here-000/record.json` is not a valid"),
        "{warnings}"
    );
    assert!(warnings.contains("`out/tasks/here-000 (copy)` is the folder of no task"), "{warnings}");
    assert_eq!(states(path)[0], ("failed".to_owned(), 0));
    let mut record: Value = serde_json::from_slice(&whole).unwrap();
    record["schema"] = json!(2);
    fs::write(&half, record.to_string()).unwrap();
    let warnings = text(&run(path, &["collect", "out"]).stderr);
    assert!(warnings.contains("it has schema 2, and other records of this machine have schema 3"), "{warnings}");
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&half).unwrap()).unwrap(), record, "it stays");
    fs::write(path.join("out/campaign.json"), "{\"schema\": 1,").unwrap();
    let error = fails(path, &["status", "out"]);
    assert!(error.contains("`out/campaign.json` is not valid") && error.contains("half a copy"), "{error}");
}
