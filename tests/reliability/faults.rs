//! Disks, descriptors, memory and meters that give out.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use greenformers::files::FolderLock;
use greenformers::machine::Stop;
use greenformers::measure::{
    self, BatchSize, Beginning, ComputeDevice, DeviceChoice, Meters, Observer, Plan, Progress,
};
use greenformers::record::{Environment, Record, Settings, Status};
use greenformers::sensor::FakeMeter;
use greenformers::units::{DType, Watts};

use super::{Tmpfs, campaign, cannot, failed_properly, folder, limited, program, text, tried};

fn cells(folder: &Path) -> usize {
    Record::load(&folder.join("out")).unwrap().cells.len()
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_finished_cells_are_kept() {
    let place = folder();
    let Some(disk) = Tmpfs::mount(&place.path().join("out"), "size=260k") else {
        return cannot("a full disk", "this user may not mount a file system");
    };
    // A cell of so many steps takes about 60 kB, and the record is written beside the one before it.
    let steps = ["--steps", "300"];
    let output = campaign(place.path(), &steps).output().unwrap();
    let message = failed_properly(&output);
    assert!(message.contains("No space left on device") && message.contains("cannot write"), "{message}");
    let kept = cells(place.path());
    assert!((1..4).contains(&kept), "{kept} cells were kept");
    disk.remount("size=50m");
    let output = campaign(place.path(), &[&steps[..], &["--resume"]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(cells(place.path()), 4);
    tried(
        "a full disk (tmpfs of 260 kB)",
        1,
        format!("an error that says so; {kept} finished cells kept; resumed to 4"),
    );
}

#[test]
fn a_limit_of_file_size_is_an_error_and_the_old_file_stays() {
    let place = folder();
    assert!(campaign(place.path(), &["--seq-len", "4"]).output().unwrap().status.success());
    let before = fs::read(place.path().join("out/record.json")).unwrap();
    let limit = format!("--fsize={}", before.len() + 1000);
    let message = failed_properly(&limited(&[&limit], &campaign(place.path(), &["--resume"])));
    assert!(message.contains("File too large"), "{message}");
    assert_eq!(fs::read(place.path().join("out/record.json")).unwrap(), before);
    tried("a file-size limit met while a cell is written", 1, "an error that says so; the old record untouched");
}

#[test]
fn a_read_only_folder_is_refused_before_anything_runs() {
    let place = folder();
    let Some(_disk) = Tmpfs::mount(&place.path().join("out"), "ro,size=1m") else {
        return cannot("a read-only folder", "this user may not mount a file system");
    };
    let output = campaign(place.path(), &[]).output().unwrap();
    let message = failed_properly(&output);
    assert!(message.contains("Read-only file system") && !message.contains("preparing"), "{message}");
    tried("a read-only folder", 1, "refused before the first cell, with the reason");
}

#[test]
fn too_few_file_descriptors_are_an_error_or_enough() {
    let place = folder();
    let (mut refused, mut done) = (0, 0);
    for limit in [4, 5, 6, 8, 10, 12, 16, 32] {
        let _ = fs::remove_dir_all(place.path().join("out"));
        let output = limited(&[&format!("--nofile={limit}")], &campaign(place.path(), &["--seq-len", "4"]));
        let said = text(&output.stderr);
        assert!(!said.contains("panicked"), "{limit}: {said}");
        if output.status.success() {
            assert_eq!(cells(place.path()), 1);
            done += 1;
        } else {
            // Below the first few the loader itself fails.
            assert!(said.contains("error"), "{limit}: {said}");
            refused += 1;
        }
    }
    assert!(done > 0);
    tried("4 to 32 file descriptors", 8, format!("{refused} ended with an error, {done} ran; no panic"));
}

#[test]
fn a_cell_that_does_not_fit_is_a_row_before_it_starts_and_the_others_are_measured() {
    let place = folder();
    // 100 million parameters take 1.6 GB with their gradients and moments, and a little more is asked for; the address space has 1.2.
    let large = super::TINY.replace("name: tiny", "name: large").replace("vocab_size: 101", "vocab_size: 4000000");
    fs::write(place.path().join("large.yaml"), large).unwrap();
    let large = campaign(place.path(), &["--seq-len", "4", "--workload", "large.yaml"]);
    let output = limited(&["--as=1200000000"], &large);
    // Nothing else was to be measured.
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("no cell was measured: not started: needs about"),
        "{}",
        text(&output.stderr)
    );
    let record = Record::load(&place.path().join("out")).unwrap();
    assert_eq!(record.cells[0].status, Status::OutOfMemory);
    let error = record.cells[0].error.clone().unwrap();
    assert!(error.contains("not started: needs about 1.7") && error.contains("address space has room for"), "{error}");
    assert!(record.cells[0].steps.is_empty() && record.cells[0].peak_memory_bytes.is_none());
    tried("a cell larger than the address space", 1, "a row `out_of_memory` that says so, not started");
}

/// A control group that is gone when it is dropped.
struct Group(std::path::PathBuf);

impl Group {
    /// A group of version 1 or 2 with `limits`, each a controller and a file of it with what it holds.
    fn new(name: &str, controller: &str, limits: &[(&str, &str)]) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let root = if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join(controller) };
        let group = root.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let made = Self(group);
        limits.iter().all(|(file, text)| fs::write(made.0.join(file), text).is_ok()).then_some(made)
    }

    /// Runs a program in it.
    fn run(&self, program: &Command) -> std::process::Output {
        let mut inside = Command::new("sh");
        inside.args(["-c", "echo $$ > \"$0/cgroup.procs\"; exec \"$@\""]).arg(&self.0);
        inside.arg(program.get_program()).args(program.get_args());
        if let Some(folder) = program.get_current_dir() {
            inside.current_dir(folder);
        }
        inside.output().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_cell_that_does_not_fit_its_control_group_is_not_started() {
    let place = folder();
    let large = super::TINY.replace("name: tiny", "name: large").replace("vocab_size: 101", "vocab_size: 1000000");
    fs::write(place.path().join("large.yaml"), large).unwrap();
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let limit = if v2 { ("memory.max", "250000000") } else { ("memory.limit_in_bytes", "250000000") };
    let Some(group) = Group::new("greenformers-memory", "memory", &[limit]) else {
        return cannot("a cell larger than its control group", "this user may not make a control group");
    };
    let large = campaign(place.path(), &["--seq-len", "4", "--workload", "large.yaml"]);
    let output = group.run(&large);
    // Nothing else was to be measured.
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("no cell was measured: not started: needs about"),
        "{}",
        text(&output.stderr)
    );
    let record = Record::load(&place.path().join("out")).unwrap();
    let error = record.cells[0].error.clone().unwrap_or_default();
    assert_eq!(record.cells[0].status, Status::OutOfMemory, "{error}");
    assert!(error.contains("its control group leaves 0.2"), "{error}");
    tried("a cell larger than its control group", 1, "a row `out_of_memory` that says so, not started");
}

#[test]
fn half_a_core_is_enough_and_a_warning_says_what_it_does() {
    let place = folder();
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let limit = if v2 { ("cpu.max", "50000 100000") } else { ("cpu.cfs_quota_us", "50000") };
    let Some(group) = Group::new("greenformers-cpu", "cpu", &[limit]) else {
        return cannot("a control group of half a core", "this user may not make a control group");
    };
    let output = group.run(&campaign(place.path(), &["--seq-len", "4"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let record = Record::load(&place.path().join("out")).unwrap();
    assert_eq!(record.cells[0].status, Status::Ok);
    let facts: Vec<&str> = record.cells[0].warnings.iter().map(|w| w.fact.as_str()).collect();
    // On a machine that is busy anyway it may not even get its half.
    let why = ["limit of 0.5 CPUs held the program back", "other processes kept"];
    assert!(facts.iter().any(|f| why.iter().any(|w| f.contains(w))), "{facts:?}");
    let summary = record.cells[0].summary(&record.environment);
    let width = summary.step_s.map_or(f64::NAN, |s| 100.0 * s.relative_half_width());
    tried("a control group of half a core", 1, format!("completes; step time ±{width:.1} %; a warning says why"));
}

struct Silent;

impl Observer for Silent {
    fn progress(&mut self, _: &Progress) {}
}

/// A campaign of one cell with this meter, without the command line.
fn measured_with(meter: FakeMeter) -> Record {
    let folder = tempfile::tempdir().unwrap();
    let settings: Settings = serde_json::from_value(serde_json::json!({
        "workload": {"name": "tiny", "source": "made up", "optimizer": "adamw",
            "model": {"n_layers": 1, "d_model": 8, "n_heads": 2, "d_ff": 8, "vocab_size": 11, "max_seq_len": 8},
            "phases": [{"steps": 1, "batch_size": 1, "seq_len": 8, "masked_per_seq": null}]},
        "n_layers": 1, "pass": "train", "dropout": 0.0, "dtypes": ["f32"], "ops": "fused", "precision": 0.01,
        "min_time_s": 0.1, "max_time_s": 0.1, "seed": 0
    }))
    .unwrap();
    let plan = Plan::new(settings, &["dense".parse().unwrap()], &[8], BatchSize::Given(1), true).unwrap();
    let device = ComputeDevice::open(DeviceChoice::Cpu, &[DType::F32]).unwrap();
    let environment: Environment = serde_json::from_value(serde_json::json!({
        "host": "x", "os": "x", "cpu": "x", "logical_cpus": 1, "threads": 1, "memory_bytes": 1, "meters": [],
        "unmetered": [], "compute": {"device": "cpu", "name": "x", "hardware": null, "hardware_share": 1.0,
            "peak_flop_per_s": null, "memory_bytes": null}
    }))
    .unwrap();
    let meters = Meters { meters: vec![Box::new(meter)], ..Meters::default() };
    let _lock = FolderLock::take(folder.path(), "record.json").unwrap();
    let (created, mut silent, never) = ("now".to_owned(), Silent, Stop::never());
    let beginning = Beginning { environment, meters, created, epoch_unix_s: 0.0, previous: None };
    measure::run(&plan, &device, beginning, folder.path(), &mut silent, &never).unwrap()
}

#[test]
fn when_a_meter_dies_the_time_stands_and_the_energy_is_null_with_the_reason() {
    let energy = |record: &Record| {
        let cell = record.cells[0].summary(&record.environment);
        assert!(cell.step_s.is_some(), "the time stands");
        (cell.energy_j_per_step, cell.warnings.into_iter().map(|w| w.to_string()).collect::<Vec<_>>().join("; "))
    };
    let whole = energy(&measured_with(FakeMeter::new(|_| Watts(5.0))));
    assert!(whole.0.is_some(), "{}", whole.1);
    let refused = energy(&measured_with(FakeMeter::new(|_| Watts(5.0)).failing_after(30)));
    assert!(refused.0.is_none() && refused.1.contains("fails as it was told"), "{}", refused.1);
    let broken = energy(&measured_with(FakeMeter::new(|t| {
        assert!(t.0 < 0.4, "a bug in a meter, for a test");
        Watts(5.0)
    })));
    assert!(broken.0.is_none() && broken.1.contains("its reading panicked"), "{}", broken.1);
    tried(
        "a meter that fails, and one whose reading panics, within a cell",
        2,
        "time kept, energy null with the reason",
    );
}

/// A command whose wall clock is off by what stands in the file `clock`; `None` without the library that does it.
fn with_a_clock(clock: &Path, command: &Command) -> Option<Command> {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let library = folders.iter().map(|f| format!("{f}/faketime/libfaketimeMT.so.1")).find(|l| Path::new(l).exists())?;
    let mut faked = Command::new(command.get_program());
    faked.args(command.get_args()).env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", clock);
    faked.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    if let Some(folder) = command.get_current_dir() {
        faked.current_dir(folder);
    }
    Some(faked)
}

#[test]
fn a_clock_that_jumps_changes_no_time() {
    let place = folder();
    let clock = place.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let Some(mut faked) = with_a_clock(&clock, &campaign(place.path(), &[])) else {
        return cannot("a wall clock that jumps", "`faketime` is not installed");
    };
    let mut child = faked.spawn().unwrap();
    for jump in ["-400d", "+900d", "-3600", "+0"] {
        std::thread::sleep(Duration::from_millis(700));
        fs::write(&clock, jump).unwrap();
    }
    assert!(child.wait().unwrap().success());
    let record = Record::load(&place.path().join("out")).unwrap();
    assert_eq!(record.cells.len(), 4);
    for cell in &record.cells {
        let (first, last) = (cell.steps.first().unwrap(), cell.steps.last().unwrap());
        assert!(last.end_s() - first.start_s < 60.0 && cell.steps.iter().all(|s| s.total_s() < 30.0));
    }
    // That the clock was really off: a date is read off it.
    fs::write(&clock, "-4000d").unwrap();
    let year = with_a_clock(&clock, Command::new("date").arg("+%Y")).unwrap().output().unwrap();
    let now = Command::new("date").arg("+%Y").output().unwrap();
    assert_ne!(year.stdout, now.stdout);
    tried("a wall clock that jumps by -400 to +900 days", 4, "every time is off the monotonic clock; none changed");
}

#[test]
fn a_row_that_finds_no_room_is_taken_back() {
    let place = folder();
    let track = |folder: &Path| {
        let mut program = program();
        program.current_dir(folder).args(["track", "--quiet", "--hardware", "my-cpu.yaml"]);
        program.args(["--powercap-root", "none", "-o", "runs.csv", "--", "true"]);
        program
    };
    assert!(track(place.path()).output().unwrap().status.success());
    let before = fs::read(place.path().join("runs.csv")).unwrap();
    let output = limited(&[&format!("--fsize={}", before.len() + 20)], &track(place.path()));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("File too large"), "{}", text(&output.stderr));
    assert_eq!(fs::read(place.path().join("runs.csv")).unwrap(), before, "half a row was left");
    tried("a row of `track` that finds no room", 1, "an error; the file as it was");
}
