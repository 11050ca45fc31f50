//! A plan as it was resolved when the campaign began: what every task goes by, whatever becomes of the files that it came from.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::plan::{Conditions, Layers, MachineFile, PlanFile, SlurmOptions};
use super::{CampaignError, SCHEMA};
use crate::catalog::{Catalog, Device};
use crate::measure::{BatchSize, DeviceChoice, MeterChoice, Plan, Point};
use crate::model::{Arch, MAX_LAYERS, Ops};
use crate::record::{Cell, Pass, Settings, Workload};
use crate::units::DType;

/// No campaign has more tasks: by its default Slurm takes array indices up to 1000.
pub const MAX_TASKS: usize = 1000;
/// Nor a machine more cells.
const MAX_CELLS: usize = 10_000;
/// Seconds of a cell: thirty years are no measurement.
const MOST_S: f64 = 1e9;
/// Names that other files of a collected campaign have.
const TAKEN: [&str; 1] = ["charts"];

/// A campaign: what is measured on which machines, in which tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Version of this schema.
    pub schema: u32,
    /// What it is called.
    pub name: String,
    /// What is trained.
    pub workload: Workload,
    /// Its architectures.
    pub archs: Vec<Arch>,
    /// Train steps or forward passes.
    pub pass: Pass,
    /// Probability of dropout.
    pub dropout: f64,
    /// Which make of the operations computes.
    pub ops: Ops,
    /// Relative half width of the step time at which a cell is done.
    pub precision: f64,
    /// Least seconds a cell.
    pub min_time_s: f64,
    /// Exactly so many steps a cell instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Seed of weights, tokens, dropout and draws.
    pub seed: u64,
    /// Under which conditions the whole run is estimated.
    pub conditions: Conditions,
    /// What the cells are measured on.
    pub machines: Vec<Machine>,
    /// What is done in one go on one machine, by its index.
    pub tasks: Vec<Task>,
}

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What it is called.
    pub name: String,
    /// The entry of the catalog that describes its device.
    pub hardware: Option<String>,
    /// What computes.
    pub device: String,
    /// What meters.
    pub meter: String,
    /// Depths of its models.
    pub layers: Vec<usize>,
    /// Its lengths.
    pub seq_lens: Vec<usize>,
    /// Its number formats.
    pub dtypes: Vec<DType>,
    /// Sequences of a step; as many as `profile` takes if `None`.
    pub batch_size: Option<usize>,
    /// Most seconds a cell.
    pub max_time_s: f64,
    /// What its tasks ask Slurm for.
    pub slurm: SlurmOptions,
}

/// Cells that one call measures, on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name, and that of its folder.
    pub name: String,
    /// Its machine.
    pub machine: String,
    /// Lengths and number formats that it measures all architectures at.
    pub groups: Vec<Group>,
    /// How many cells that are.
    pub cells: usize,
}

/// Cells whose architectures take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Number format.
    pub dtype: DType,
}

fn value(key: &str, message: impl Into<String>) -> CampaignError {
    CampaignError::Value { key: key.to_owned(), message: message.into() }
}

/// The values in their order, each once.
fn once<T: PartialEq + Copy>(values: &[T]) -> Vec<T> {
    let mut kept = Vec::new();
    for value in values {
        if !kept.contains(value) {
            kept.push(*value);
        }
    }
    kept
}

impl Campaign {
    /// The plan in `path` with every default filled in and every name looked up; `workload` is what it names.
    ///
    /// # Errors
    /// If a value is out of its range, a name is not known, or the workload cannot be measured so.
    pub fn resolve(plan: &PlanFile, path: &Path, workload: Workload, catalog: &Catalog) -> Result<Self, CampaignError> {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = plan.name.clone().or(stem).unwrap_or_default();
        check_name("name", &name)?;
        if plan.machines.is_empty() {
            let hint = "`machines: [{name: here, device: auto}]`";
            return Err(CampaignError::Missing { plan: path.to_owned(), key: "machines", hint });
        }
        let archs = plan.archs.clone().filter(|a| !a.is_empty()).unwrap_or_else(|| Arch::usual(&workload.model));
        let number = |key: &str, x: f64, least: f64, most: f64| {
            let fits = x.is_finite() && x >= least && x <= most;
            if fits { Ok(x) } else { Err(value(key, format!("{x}: expected a number from {least} to {most}"))) }
        };
        let steps = match plan.steps {
            Some(steps) if !(2..=1_000_000_000).contains(&steps) => {
                return Err(value("steps", format!("{steps}: expected 2 to 1000000000")));
            }
            steps => steps,
        };
        let mut campaign = Self {
            schema: SCHEMA,
            name,
            archs: once(&archs),
            pass: plan.pass.unwrap_or(Pass::Train),
            dropout: number("dropout", plan.dropout.unwrap_or(0.1), 0.0, 0.999)?,
            ops: plan.ops.unwrap_or_default(),
            precision: number("precision", plan.precision.unwrap_or(0.01), 1e-6, 0.999)?,
            min_time_s: number("min_time", plan.min_time.unwrap_or(5.0), 1e-3, MOST_S)?,
            steps,
            seed: plan.seed.unwrap_or(0),
            conditions: plan.conditions.clone(),
            machines: Vec::new(),
            tasks: Vec::new(),
            workload,
        };
        for machine in &plan.machines {
            let machine = campaign.machine_of(machine, plan, path)?;
            if let Some(name) = &machine.hardware {
                // A node type that nobody knows is known now, and not when a task has waited for its node.
                catalog.load::<Device>(name)?;
            }
            campaign.machines.push(machine);
        }
        let most_cells = plan.cells_per_task.unwrap_or(1);
        if most_cells == 0 {
            return Err(value("cells_per_task", "0: expected at least 1"));
        }
        for machine in campaign.machines.clone() {
            let tasks = campaign.split(&machine, most_cells)?;
            campaign.tasks.extend(tasks);
        }
        if campaign.tasks.len() > MAX_TASKS {
            return Err(CampaignError::TooManyTasks { found: campaign.tasks.len(), most: MAX_TASKS });
        }
        Ok(campaign)
    }

    fn machine_of(&self, own: &MachineFile, plan: &PlanFile, path: &Path) -> Result<Machine, CampaignError> {
        check_name("machines.name", &own.name)?;
        if own.name.contains('.') || TAKEN.contains(&own.name.as_str()) {
            return Err(value("machines.name", format!("`{}`: expected another name, without dots", own.name)));
        }
        let key = |key: &str| format!("{key}` of machine `{}", own.name);
        let recipe: Vec<usize> = {
            let mut lens: Vec<usize> = self.workload.phases.iter().map(|p| p.seq_len).collect();
            lens.sort_unstable();
            lens
        };
        let seq_lens = own.seq_lens.clone().or_else(|| plan.seq_lens.clone()).unwrap_or(recipe);
        if seq_lens.is_empty() {
            let hint = "`seq_lens: [128, 512]`, since the recipe of this model is not known";
            return Err(CampaignError::Missing { plan: path.to_owned(), key: "seq_lens", hint });
        }
        let dtypes = own.dtypes.clone().or_else(|| plan.dtypes.clone()).unwrap_or_else(|| vec![DType::F32]);
        if dtypes.is_empty() {
            return Err(value(&key("dtypes"), "expected at least one, such as `[f32]`"));
        }
        let max_time_s = own.max_time.or(plan.max_time).unwrap_or(60.0);
        if !(max_time_s > 0.0 && max_time_s <= MOST_S) {
            return Err(value(&key("max_time"), format!("{max_time_s}: expected seconds above 0, up to {MOST_S:e}")));
        }
        let batch_size = own.batch_size.or(plan.batch_size);
        if batch_size.is_some_and(|n| !(1..=1_000_000).contains(&n)) {
            return Err(value(&key("batch_size"), "expected 1 to 1000000"));
        }
        let device = own.device.clone().unwrap_or_else(|| "auto".to_owned());
        device.parse::<DeviceChoice>()?;
        let meter = own.meter.clone().unwrap_or_else(|| "auto".to_owned());
        meter.parse::<MeterChoice>()?;
        own.slurm.check(&own.name)?;
        Ok(Machine {
            name: own.name.clone(),
            hardware: own.hardware.clone(),
            device,
            meter,
            layers: self.depths(own.layers.as_ref().or(plan.layers.as_ref()), &key("layers"))?,
            seq_lens: once(&seq_lens),
            dtypes: once(&dtypes),
            batch_size,
            max_time_s,
            slurm: own.slurm.clone(),
        })
    }

    fn depths(&self, layers: Option<&Layers>, key: &str) -> Result<Vec<usize>, CampaignError> {
        let own = vec![self.workload.model.n_layers];
        let mut depths = match layers {
            None => own,
            Some(Layers::One(n)) => vec![*n],
            Some(Layers::Several(depths)) => depths.clone(),
            Some(Layers::Named(name)) if name == "auto" => {
                self.workload.model.usual_depths().map_or(own, |depths| depths.to_vec())
            }
            Some(Layers::Named(name)) => {
                return Err(value(key, format!("`{name}`: expected `auto`, a number, or a list of numbers")));
            }
        };
        depths.sort_unstable();
        depths.dedup();
        if depths.is_empty() || depths.iter().any(|n| !(1..=MAX_LAYERS).contains(n)) {
            return Err(value(key, format!("{depths:?}: expected numbers from 1 to {MAX_LAYERS}")));
        }
        Ok(depths)
    }

    /// What every cell of a machine shares.
    #[must_use]
    pub fn settings(&self, machine: &Machine) -> Settings {
        // Of several depths the cells say which they have.
        let n_layers = if let [depth] = machine.layers[..] { depth } else { self.workload.model.n_layers };
        Settings {
            workload: self.workload.clone(),
            n_layers,
            pass: self.pass,
            dropout: self.dropout,
            dtypes: machine.dtypes.clone(),
            ops: self.ops,
            precision: self.precision,
            min_time_s: self.min_time_s.min(machine.max_time_s),
            max_time_s: machine.max_time_s,
            steps: self.steps,
            seed: self.seed,
        }
    }

    /// All cells of a machine.
    ///
    /// # Errors
    /// If an architecture or a length does not fit the workload.
    pub fn plan_of(&self, machine: &Machine, on_cpu: bool) -> Result<Plan, CampaignError> {
        let cells = self.archs.len() * machine.seq_lens.len() * machine.dtypes.len() * machine.layers.len();
        if cells > MAX_CELLS {
            return Err(value(
                "machines",
                format!("`{}` has {cells} cells: at most {MAX_CELLS} are measured", machine.name),
            ));
        }
        let batch_size = machine.batch_size.map_or(BatchSize::Auto, BatchSize::Given);
        let plan = Plan::new(self.settings(machine), &self.archs, &machine.seq_lens, batch_size, on_cpu)?;
        Ok(if machine.layers.len() > 1 { plan.at_depths(&machine.layers) } else { plan })
    }

    /// The cells of a task, with the batches that they have among all of their machine.
    ///
    /// # Errors
    /// As [`Self::plan_of`].
    pub fn plan_of_task(&self, task: &Task, on_cpu: bool) -> Result<Plan, CampaignError> {
        let mut plan = self.plan_of(self.machine(&task.machine)?, on_cpu)?;
        plan.points.retain(|p| task.groups.contains(&Group::of(p)));
        Ok(plan)
    }

    /// The machine of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn machine(&self, name: &str) -> Result<&Machine, CampaignError> {
        self.machines.iter().find(|m| m.name == name).ok_or_else(|| CampaignError::UnknownMachine {
            name: name.to_owned(),
            known: self.machines.iter().map(|m| m.name.clone()).collect(),
        })
    }

    /// The cells of a machine as tasks of at most `most_cells`. Those of one length and number format stay together, since their
    /// architectures take turns, so that what the device does in the meantime favours none.
    fn split(&self, machine: &Machine, most_cells: usize) -> Result<Vec<Task>, CampaignError> {
        let plan = self.plan_of(machine, machine.is_cpu())?;
        let mut tasks: Vec<Task> = Vec::new();
        for points in plan.points.chunk_by(|a, b| Group::of(a) == Group::of(b)) {
            let group = Group::of(&points[0]);
            match tasks.last_mut() {
                Some(task) if task.cells + points.len() <= most_cells => {
                    task.groups.push(group);
                    task.cells += points.len();
                }
                _ => tasks.push(Task {
                    name: format!("{}-{:03}", machine.name, tasks.len()),
                    machine: machine.name.clone(),
                    groups: vec![group],
                    cells: points.len(),
                }),
            }
        }
        Ok(tasks)
    }

    /// How this differs from `other`, if it does: the first key that does.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> Option<&'static str> {
        let same = [
            ("name", self.name == other.name),
            ("workload", self.workload == other.workload),
            ("archs", self.archs == other.archs),
            ("pass", self.pass == other.pass),
            ("dropout", self.dropout == other.dropout),
            ("ops", self.ops == other.ops),
            ("precision", self.precision == other.precision),
            ("min_time", self.min_time_s == other.min_time_s),
            ("steps", self.steps == other.steps),
            ("seed", self.seed == other.seed),
            ("machines", self.machines_but_slurm() == other.machines_but_slurm()),
            ("cells_per_task", self.tasks == other.tasks),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(key, _)| key)
    }

    /// Where tasks run changes nothing of what they measure, and may have to be corrected.
    fn machines_but_slurm(&self) -> Vec<Machine> {
        let bare = |m: &Machine| Machine { slurm: SlurmOptions::default(), ..m.clone() };
        self.machines.iter().map(bare).collect()
    }
}

impl Machine {
    /// Whether the plan says that its CPU computes.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.device == "cpu"
    }
}

impl Group {
    /// That of a point.
    #[must_use]
    pub fn of(point: &Point) -> Self {
        Self { seq_len: point.seq_len, dtype: point.dtype }
    }
}

/// Whether `cell` is a measurement of `point`; on a GPU the batch is found when it is measured.
#[must_use]
pub(super) fn is_of(cell: &Cell, point: &Point) -> bool {
    (cell.arch, cell.shape.seq_len, cell.n_layers, cell.dtype, cell.pass)
        == (point.arch, point.seq_len, point.n_layers, point.dtype, point.pass)
}

/// A name that is a file's and a job's too.
fn check_name(key: &str, name: &str) -> Result<(), CampaignError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.len() <= 40 && name.chars().all(plain) && !name.starts_with(['-', '.']) {
        return Ok(());
    }
    Err(value(key, format!("`{name}`: expected up to 40 letters, digits, `-`, `_` and `.`")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::catalog::parse_yaml;

    pub(crate) const PLAN: &str = "name: lengths
archs: [dense, 'lrt:rank=256', 'linformer:k=128']
seq_lens: [128, 512, 1024]
dtypes: [f32, bf16]
max_time: 20
cells_per_task: 6
machines:
  - {name: a100, hardware: a100-sxm4-40gb, device: cuda, slurm: {partition: gpu, gres: 'gpu:1'}}
  - {name: cpu, device: cpu, layers: 2, dtypes: [f32]}
";

    pub(crate) fn resolved(text: &str) -> Result<Campaign, CampaignError> {
        let plan: PlanFile = parse_yaml("plan.yaml", text)?;
        let catalog = Catalog::default();
        let workload = catalog.load(plan.workload.as_deref().unwrap_or("bert-base"))?;
        Campaign::resolve(&plan, Path::new("plan.yaml"), workload, &catalog)
    }

    fn fault(text: &str) -> String {
        resolved(text).expect_err("it is not valid").to_string()
    }

    #[test]
    fn tasks_hold_whole_lengths_of_one_machine() {
        let campaign = resolved(PLAN).expect("valid");
        let tasks: Vec<(&str, usize, Vec<usize>)> = campaign
            .tasks
            .iter()
            .map(|t| (t.name.as_str(), t.cells, t.groups.iter().map(|g| g.seq_len).collect()))
            .collect();
        assert_eq!(
            tasks,
            [
                // The linformer of k 128 is dense at 128, and one model is not measured twice.
                ("a100-000", 5, vec![128, 512]),
                ("a100-001", 5, vec![1024, 128]),
                ("a100-002", 6, vec![512, 1024]),
                ("cpu-000", 5, vec![128, 512]),
                ("cpu-001", 3, vec![1024]),
            ]
        );
        let cpu = campaign.machine("cpu").expect("it is there");
        assert_eq!((cpu.layers.clone(), cpu.dtypes.clone(), cpu.max_time_s), (vec![2], vec![DType::F32], 20.0));
    }

    #[test]
    fn a_task_has_the_batches_of_the_whole_machine() {
        let campaign = resolved(PLAN).expect("valid");
        // 1024 tokens a step at every length, those of the longest.
        let plan = campaign.plan_of_task(&campaign.tasks[3], true).expect("valid");
        let batches: Vec<_> = plan.points.iter().map(|p| (p.seq_len, p.batch_size, p.n_layers)).collect();
        assert_eq!(batches, [(128, 8, 2), (128, 8, 2), (512, 2, 2), (512, 2, 2), (512, 2, 2)]);
        assert_eq!(plan.settings, campaign.settings(campaign.machine("cpu").expect("it is there")));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_is_allowed() {
        let with = |machines: &str| format!("seq_lens: [128]\nmachines: [{machines}]\n");
        for (text, said) in [
            (
                with("{name: x, hardware: a100-sxm4-41gb}"),
                "unknown hardware `a100-sxm4-41gb`: did you mean `a100-sxm4-40gb`",
            ),
            (with("{name: x, device: tpu}"), "unknown device `tpu`"),
            (with("{name: x, meter: thumb}"), "unknown meter `thumb`"),
            (with("{name: 'a b'}"), "`machines.name` of the plan: `a b`: expected up to 40 letters"),
            (with("{name: charts}"), "expected another name"),
            (with("{name: x, layers: 0}"), "`layers` of machine `x` of the plan: [0]: expected numbers from 1"),
            (with("{name: x, layers: deep}"), "`deep`: expected `auto`"),
            (with("{name: x, max_time: -1}"), "`max_time` of machine `x` of the plan: -1"),
            (with("{name: x, seq_lens: [0]}"), "`--seq-len 0`"),
            (with("{name: x, slurm: {partition: 'a b'}}"), "`slurm.partition` of machine `x` of the plan"),
            ("seq_lens: [8]\n".to_owned(), "has no `machines`"),
            ("cells_per_task: 0\nmachines: [{name: x}]\n".to_owned(), "`cells_per_task` of the plan: 0"),
            ("steps: 1\nmachines: [{name: x}]\n".to_owned(), "`steps` of the plan: 1"),
        ] {
            let found = fault(&text);
            assert!(found.contains(said), "{text}\n{found}");
        }
        let lens: Vec<String> = (1..=1001).map(|n| n.to_string()).collect();
        let many = fault(&format!("archs: [dense]\nseq_lens: [{}]\nmachines: [{{name: x}}]\n", lens.join(", ")));
        assert!(many.contains("makes 1001 tasks: at most 1000"), "{many}");
    }

    #[test]
    fn another_plan_is_told_by_its_first_difference_and_slurm_options_are_none() {
        let campaign = resolved(PLAN).expect("valid");
        let other = |from: &str, to: &str| resolved(&PLAN.replace(from, to)).expect("valid").differs_from(&campaign);
        assert_eq!(other("partition: gpu", "partition: big"), None);
        assert_eq!(other("max_time: 20", "max_time: 21"), Some("machines"));
        assert_eq!(other("cells_per_task: 6", "cells_per_task: 3"), Some("cells_per_task"));
        assert_eq!(other("rank=256", "rank=128"), Some("archs"));
    }
}
