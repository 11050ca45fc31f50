//! The records of many attempts as one of each machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::resolved::is_of;
use super::store::{Store, record_path};
use super::{Campaign, CampaignError, Machine, Task};
use crate::measure::Point;
use crate::record::{Cell, Compute, Record, Settings, Status, Warning};

/// A record that is not added, and why. It stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// What several records come to.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// Their cells in one record; `None` if none was added.
    pub record: Option<Record>,
    /// Records that are not in it.
    pub refused: Vec<Refused>,
}

/// What has been measured on a machine.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The machine.
    pub machine: String,
    /// Its cells, in the order of the plan.
    pub merged: Merged,
    /// How many cells of the plan are measured or do not fit.
    pub done: usize,
    /// Cells that are not, by their names.
    pub missing: Vec<String>,
}

impl Collected {
    /// All cells of the machine.
    #[must_use]
    pub fn all(&self) -> usize {
        self.done + self.missing.len()
    }
}

/// Whether a cell needs not be measured again.
pub(super) fn is_done(cell: &Cell) -> bool {
    cell.status != Status::Failed
}

/// What has been measured on each machine, by tasks that ended, that were killed and that run.
///
/// # Errors
/// If a folder cannot be read, or the plan is not one that can be measured.
pub fn collect(store: &Store) -> Result<Vec<Collected>, CampaignError> {
    store.campaign.machines.iter().map(|machine| of_machine(store, machine)).collect()
}

fn of_machine(store: &Store, machine: &Machine) -> Result<Collected, CampaignError> {
    let mut paths = Vec::new();
    for task in store.campaign.tasks.iter().filter(|t| t.machine == machine.name) {
        paths.extend(store.attempts(task)?.into_iter().map(|(attempt, folder)| (attempt, record_path(&folder))));
    }
    // What was measured last comes last, of whichever task.
    paths.sort();
    let paths: Vec<PathBuf> = paths.into_iter().map(|(_, path)| path).collect();
    let points = store.campaign.plan_of(machine, machine.is_cpu())?.points;
    let mut merged = merge(&paths, &store.campaign.settings(machine), &points);
    let missing = missing(&points, merged.record.as_ref());
    if let Some(record) = &mut merged.record {
        let place = |cell: &Cell| points.iter().position(|p| is_of(cell, p)).unwrap_or(points.len());
        record.cells.sort_by_key(place);
    }
    Ok(Collected { machine: machine.name.clone(), merged, done: points.len() - missing.len(), missing })
}

/// What all attempts at a task have measured.
///
/// # Errors
/// As [`collect`].
pub fn of_task(store: &Store, task: &Task) -> Result<Merged, CampaignError> {
    let paths: Vec<PathBuf> = store.attempts(task)?.iter().map(|(_, folder)| record_path(folder)).collect();
    let points = store.campaign.plan_of_task(task, is_cpu(&store.campaign, task)?)?.points;
    Ok(merge(&paths, &store.campaign.settings(store.campaign.machine(&task.machine)?), &points))
}

pub(super) fn is_cpu(campaign: &Campaign, task: &Task) -> Result<bool, CampaignError> {
    Ok(campaign.machine(&task.machine)?.is_cpu())
}

/// Names of the points of which `record` holds no measurement.
pub(super) fn missing(points: &[Point], record: Option<&Record>) -> Vec<String> {
    let cells = record.map(|r| r.cells.as_slice()).unwrap_or_default();
    let is_missing = |p: &&Point| !cells.iter().any(|c| is_of(c, p) && is_done(c));
    let layers = points.iter().any(|p| p.n_layers != points[0].n_layers);
    let name = |p: &Point| {
        let depth = if layers { format!(", {} layers", p.n_layers) } else { String::new() };
        format!("{}, {} tokens, {}{depth}", p.arch.label(), p.seq_len, p.dtype)
    };
    points.iter().filter(is_missing).map(name).collect()
}

/// Adds records to each other: only cells are added, and of two of one point the one that was measured, or else the later one, is
/// taken. A record of other settings, another schema or another device is left out.
fn merge(paths: &[PathBuf], settings: &Settings, points: &[Point]) -> Merged {
    let mut merged = Merged::default();
    let mut read: Vec<(&PathBuf, Record)> = Vec::new();
    for path in paths.iter().filter(|path| path.exists()) {
        match Record::load(path) {
            Ok(record) => read.push((path, record)),
            Err(error) => merged.refused.push(Refused { path: path.clone(), reason: first_line(&error.to_string()) }),
        }
    }
    let newest = read.iter().map(|(_, record)| record.schema).max();
    let (mut hosts, mut tools) = (BTreeSet::new(), BTreeSet::new());
    for (path, record) in read {
        let reason = if newest.is_some_and(|newest| record.schema != newest) {
            Some(format!(
                "it has schema {}, and other records of this machine have schema {}: another version of the program wrote it",
                record.schema,
                newest.unwrap_or_default()
            ))
        } else {
            other_settings(&record.settings, settings)
                .or_else(|| merged.record.as_ref().and_then(|first| other_device(&record, first)))
                .or_else(|| stranger(&record, points))
        };
        if let Some(reason) = reason {
            merged.refused.push(Refused { path: path.clone(), reason });
            continue;
        }
        hosts.insert(record.environment.host.clone());
        tools.insert(record.tool.clone());
        match &mut merged.record {
            None => merged.record = Some(record),
            Some(all) => add(all, record),
        }
    }
    if let Some(record) = &mut merged.record {
        let names = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
        if hosts.len() > 1 {
            record.warnings.push(Warning::new(
                format!("its cells were measured on {} hosts: {}", hosts.len(), names(&hosts)),
                "machines of one kind differ by a few percent, and so do cells of different lengths",
                "measure all cells on one host, where small differences between lengths matter",
            ));
        }
        if tools.len() > 1 {
            record.warnings.push(Warning::new(
                format!("its cells were measured by several versions of the program: {}", names(&tools)),
                "a newer version may compute faster",
                "measure all cells by one version",
            ));
        }
    }
    merged
}

fn add(all: &mut Record, more: Record) {
    // Everything else is the first one's.
    for cell in more.cells {
        let same = |c: &Cell| {
            (c.arch, c.shape.seq_len, c.n_layers, c.dtype, c.pass)
                == (cell.arch, cell.shape.seq_len, cell.n_layers, cell.dtype, cell.pass)
        };
        match all.cells.iter_mut().find(|c| same(c)) {
            Some(before) if is_done(before) && !is_done(&cell) => {}
            Some(before) => *before = cell,
            None => all.cells.push(cell),
        }
    }
    for warning in more.warnings {
        if !all.warnings.contains(&warning) {
            all.warnings.push(warning);
        }
    }
}

fn other_settings(found: &Settings, planned: &Settings) -> Option<String> {
    let differs = [
        ("workload", found.workload != planned.workload),
        ("layers", found.n_layers != planned.n_layers),
        ("pass", found.pass != planned.pass),
        ("dropout", found.dropout != planned.dropout),
        ("dtypes", found.dtypes != planned.dtypes),
        ("ops", found.ops != planned.ops),
        ("precision", found.precision != planned.precision),
        ("min_time", found.min_time_s != planned.min_time_s),
        ("max_time", found.max_time_s != planned.max_time_s),
        ("steps", found.steps != planned.steps),
        ("seed", found.seed != planned.seed),
    ];
    let (key, _) = differs.into_iter().find(|(_, differs)| *differs)?;
    Some(format!("it was measured with another `{key}` than the plan's"))
}

fn other_device(found: &Record, first: &Record) -> Option<String> {
    let of = |record: &Record| device(&record.environment.compute, record.environment.threads);
    let (found, first) = (of(found), of(first));
    (found != first).then(|| {
        format!("it was measured on {found}, and the records before it on {first}: they are not of one kind of machine")
    })
}

/// What tells kinds of machine apart: the device, and of a CPU how much of it computes.
fn device(compute: &Compute, threads: usize) -> String {
    if compute.device == "cpu" { format!("{}, {threads} threads", compute.name) } else { compute.name.clone() }
}

fn stranger(record: &Record, points: &[Point]) -> Option<String> {
    let cell = record.cells.iter().find(|cell| !points.iter().any(|p| is_of(cell, p)))?;
    Some(format!("its cell `{}` is not in the plan", cell.label()))
}

/// An error without the lines and hints below it.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The node that a task runs on.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    /// Its device.
    pub compute: &'a Compute,
    /// Its name.
    pub host: &'a str,
    /// Threads that compute on it.
    pub threads: usize,
}

/// Puts what earlier attempts at a task have measured into the folder of a new one, so that it goes on with it. Nothing is done where
/// the new attempt has a record, or no earlier one has. `refused` is told of records that are left out.
///
/// # Errors
/// If it cannot be read or written, or this node has another device than the one that the task was begun on.
pub fn go_on_from_earlier(
    store: &Store,
    task: &Task,
    attempt: &Path,
    here: Here<'_>,
    mut refused: impl FnMut(&Refused),
) -> Result<(), CampaignError> {
    if record_path(attempt).exists() {
        return Ok(());
    }
    let merged = of_task(store, task)?;
    merged.refused.iter().for_each(&mut refused);
    let Some(mut record) = merged.record else { return Ok(()) };
    let environment = &mut record.environment;
    let (earlier, now) = (device(&environment.compute, environment.threads), device(here.compute, here.threads));
    if earlier != now {
        return Err(CampaignError::OtherNode { task: task.name.clone(), earlier, here: now });
    }
    // Nodes of one kind differ in bytes of memory and in their names.
    environment.compute = here.compute.clone();
    here.host.clone_into(&mut environment.host);
    record.save(attempt)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::resolved::tests::resolved;
    use super::super::store::Attempt;
    use super::*;
    use crate::files::read_text;
    use crate::record::blank_cell;
    use serde_json::json;
    use std::fs;

    const PLAN: &str = "archs: [dense, 'lrt:rank=64']
seq_lens: [128, 512]
layers: 2
machines: [{name: cpu, device: cpu}]
";

    struct Made {
        folder: tempfile::TempDir,
        store: Store,
    }

    impl Made {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let store = Store::begin(folder.path(), resolved(PLAN).expect("valid"), false).expect("writable");
            Self { folder, store }
        }

        /// The record of a task with these cells: architecture, status, loss.
        fn record(&self, task: usize, cells: &[(&str, Status, f64)]) -> Record {
            let path = Path::new("reports/h200-bert-base/record.json");
            let mut record = Record::load(path).expect("it is committed");
            record.settings = self.store.campaign.settings(&self.store.campaign.machines[0]);
            record.environment.compute.device = "cpu".to_owned();
            record.warnings.clear();
            let seq_len = self.store.campaign.tasks[task].groups[0].seq_len;
            let cell = |(arch, status, loss): &(&str, Status, f64)| {
                let mut cell =
                    Cell { arch: arch.parse().expect("valid"), n_layers: 2, status: *status, ..blank_cell() };
                (cell.shape.seq_len, cell.last_loss) = (seq_len, Some(*loss));
                cell
            };
            record.cells = cells.iter().map(cell).collect();
            record
        }

        fn save(&self, task: usize, round: u32, record: &Record) -> PathBuf {
            let task = &self.store.campaign.tasks[task];
            let folder = self.store.attempt_folder(task, Attempt { round, restart: 0 });
            record.save(&folder).expect("writable")
        }

        fn collected(&self) -> Collected {
            collect(&self.store).expect("readable").remove(0)
        }
    }

    const OK: Status = Status::Ok;

    #[test]
    fn cells_of_all_tasks_are_one_record_in_the_order_of_the_plan() {
        let made = Made::new();
        made.save(1, 0, &made.record(1, &[("lrt:rank=64", OK, 4.0), ("dense", OK, 3.0)]));
        made.save(0, 0, &made.record(0, &[("dense", OK, 1.0)]));
        let found = made.collected();
        assert_eq!((found.done, found.all()), (3, 4));
        assert_eq!(found.missing, ["LRT r=64, 128 tokens, f32"]);
        assert!(found.merged.refused.is_empty());
        let losses: Vec<_> = found.merged.record.expect("some").cells.iter().map(|c| c.last_loss).collect();
        assert_eq!(losses, [Some(1.0), Some(3.0), Some(4.0)]);
    }

    #[test]
    fn the_later_cell_wins_unless_it_failed() {
        let made = Made::new();
        made.save(0, 0, &made.record(0, &[("dense", OK, 1.0), ("lrt:rank=64", Status::Failed, 2.0)]));
        assert_eq!(made.collected().done, 1);
        made.save(0, 1, &made.record(0, &[("dense", Status::Failed, 3.0), ("lrt:rank=64", OK, 4.0)]));
        let found = made.collected();
        assert_eq!(found.done, 2);
        let losses: Vec<_> = found.merged.record.expect("some").cells.iter().map(|c| c.last_loss).collect();
        assert_eq!(losses, [Some(1.0), Some(4.0)]);
        made.save(0, 2, &made.record(0, &[("dense", OK, 5.0)]));
        assert_eq!(made.collected().merged.record.expect("some").cells[0].last_loss, Some(5.0));
        made.save(0, 10, &made.record(0, &[("dense", OK, 6.0)]));
        assert_eq!(made.collected().merged.record.expect("some").cells[0].last_loss, Some(6.0), "10 is after 2");
    }

    #[test]
    fn what_does_not_belong_together_is_left_out_with_its_reason_and_stays() {
        let made = Made::new();
        made.save(0, 0, &made.record(0, &[("dense", OK, 1.0)]));
        let good = made.record(1, &[("dense", OK, 2.0)]);
        let refused = |round: u32, record: &Record| {
            let path = made.save(1, round, record);
            let found = made.collected();
            assert_eq!((found.done, found.merged.refused.len()), (1, 1), "{:?}", found.merged.refused);
            assert_eq!(found.merged.refused[0].path, path);
            assert!(path.exists());
            fs::remove_file(path).expect("it stays");
            found.merged.refused[0].reason.clone()
        };
        let mut other = good.clone();
        other.settings.seed = 9;
        assert_eq!(refused(0, &other), "it was measured with another `seed` than the plan's");
        let mut other = good.clone();
        other.environment.compute.name = "another CPU".to_owned();
        assert!(refused(0, &other).starts_with("it was measured on another CPU, "));
        let mut other = good.clone();
        other.cells[0].arch = "lrt:rank=8".parse().expect("valid");
        assert_eq!(refused(0, &other), "its cell `LRT r=8, 1 x 512, f32` is not in the plan");
        // Half a copy, and a file that another version wrote.
        let path = made.save(1, 0, &good);
        let text = read_text(&path, 1 << 30).expect("there");
        fs::write(&path, &text[..text.len() / 2]).expect("writable");
        let reason = &made.collected().merged.refused[0].reason;
        assert!(reason.contains("is not a valid record"), "{reason}");
        let mut older: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        older["schema"] = json!(2);
        fs::write(&path, older.to_string()).expect("writable");
        let reason = &made.collected().merged.refused[0].reason;
        assert!(reason.starts_with("it has schema 2, and other records of this machine have schema 3"), "{reason}");
        older["schema"] = json!(99);
        fs::write(&path, older.to_string()).expect("writable");
        let reason = &made.collected().merged.refused[0].reason;
        assert!(reason.contains("has schema 99: this version reads"), "{reason}");
    }

    #[test]
    fn several_hosts_and_versions_are_said() {
        let made = Made::new();
        made.save(0, 0, &made.record(0, &[("dense", OK, 1.0)]));
        let mut other = made.record(1, &[("dense", OK, 2.0)]);
        other.environment.host = "node2".to_owned();
        other.tool = "greenformers 9".to_owned();
        made.save(1, 0, &other);
        let record = made.collected().merged.record.expect("some");
        let said: Vec<String> = record.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("on 2 hosts") && said[0].contains("node2"), "{said:?}");
        assert!(said[1].contains("greenformers 9"), "{said:?}");
    }

    #[test]
    fn a_new_attempt_goes_on_from_what_all_earlier_ones_measured() {
        let made = Made::new();
        let task = &made.store.campaign.tasks[0];
        let third = made.store.attempt_folder(task, Attempt { round: 2, restart: 0 });
        let mut compute = made.record(0, &[]).environment.compute;
        compute.memory_bytes = Some(1);
        let threads = made.record(0, &[]).environment.threads;
        let here = Here { compute: &compute, host: "node7", threads };
        go_on_from_earlier(&made.store, task, &third, here, |_| ()).expect("nothing is there");
        assert!(!third.exists());
        made.save(0, 0, &made.record(0, &[("dense", OK, 1.0)]));
        made.save(0, 1, &made.record(0, &[("lrt:rank=64", OK, 2.0)]));
        let other = Here { threads: threads + 1, ..here };
        let error = go_on_from_earlier(&made.store, task, &third, other, |_| ()).expect_err("another node").to_string();
        assert!(
            error.contains("task `cpu-000` was begun on ") && error.contains(" threads, and this node has "),
            "{error}"
        );
        assert!(!third.exists());
        go_on_from_earlier(&made.store, task, &third, here, |_| ()).expect("readable");
        let record = Record::load(&third).expect("it is there");
        assert_eq!((record.cells.len(), record.environment.host.as_str()), (2, "node7"));
        assert_eq!(record.environment.compute, compute, "as resuming compares it");
        assert_eq!(made.folder.path().join("tasks").read_dir().expect("there").count(), 3);
    }
}
