//! The plan of a campaign, as it is written: YAML, which may include other plans.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CampaignError;
use crate::catalog::parse_yaml;
use crate::estimate::ConditionsSpec;
use crate::files::read_text;
use crate::model::{Arch, Ops};
use crate::record::Pass;
use crate::units::DType;

/// No plan is larger.
const MAX_BYTES: u64 = 1 << 18;

/// A plan as its files say it. What is not said is `None`, so that a file that includes another can leave it out.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// Plans that this one goes on from, relative to its own folder: what this one says comes before what they say, and of two
    /// of them the later one comes before the earlier.
    #[serde(default)]
    include: Vec<PathBuf>,
    /// What the campaign is called.
    pub name: Option<String>,
    /// What is trained: a name of the catalog, a YAML file or a `config.json`.
    pub workload: Option<String>,
    /// Architectures, as `--arch` names them.
    pub archs: Option<Vec<Arch>>,
    /// Tokens of a sequence.
    pub seq_lens: Option<Vec<usize>>,
    /// Number formats.
    pub dtypes: Option<Vec<DType>>,
    /// Layers to build: a number, several, or `auto`.
    pub layers: Option<Layers>,
    /// Sequences of a step; as many as `profile` takes if not given.
    pub batch_size: Option<usize>,
    /// Train steps or forward passes.
    pub pass: Option<Pass>,
    /// Probability of dropout.
    pub dropout: Option<f64>,
    /// Which make of the operations computes.
    pub ops: Option<Ops>,
    /// Relative half width of the step time at which a cell is done.
    pub precision: Option<f64>,
    /// Least seconds a cell.
    pub min_time: Option<f64>,
    /// Most seconds a cell.
    pub max_time: Option<f64>,
    /// Exactly so many steps a cell instead.
    pub steps: Option<u64>,
    /// Seed of weights, tokens, dropout and draws.
    pub seed: Option<u64>,
    /// Cells of a task; those of one length and number format stay together.
    pub cells_per_task: Option<usize>,
    /// Under which conditions the whole run is estimated.
    #[serde(default)]
    pub conditions: Conditions,
    /// What the cells are measured on.
    #[serde(default)]
    pub machines: Vec<MachineFile>,
}

/// How deep the models are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Layers {
    /// So many.
    One(usize),
    /// Several depths.
    Several(Vec<usize>),
    /// `auto`: two depths, from which that of all layers follows.
    Named(String),
}

/// A kind of machine, as a plan says it. What it does not say is the plan's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFile {
    /// What it is called: its tasks and its record go by it.
    pub name: String,
    /// The entry of the catalog that describes its device.
    pub hardware: Option<String>,
    /// What computes, as `--device` names it.
    pub device: Option<String>,
    /// What meters, as `--meter` names it.
    pub meter: Option<String>,
    /// Layers to build there.
    pub layers: Option<Layers>,
    /// Its lengths.
    pub seq_lens: Option<Vec<usize>>,
    /// Its number formats.
    pub dtypes: Option<Vec<DType>>,
    /// Sequences of a step there.
    pub batch_size: Option<usize>,
    /// Most seconds a cell there.
    pub max_time: Option<f64>,
    /// What its tasks ask Slurm for.
    #[serde(default)]
    pub slurm: SlurmOptions,
}

/// What a task asks Slurm for, by the names of `sbatch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmOptions {
    /// `--partition`.
    pub partition: Option<String>,
    /// `--constraint`.
    pub constraint: Option<String>,
    /// `--gres`.
    pub gres: Option<String>,
    /// `--cpus-per-task`.
    pub cpus_per_task: Option<u32>,
    /// `--mem`.
    pub mem: Option<String>,
    /// `--account`.
    pub account: Option<String>,
    /// `--qos`.
    pub qos: Option<String>,
    /// `--nodelist`.
    pub nodelist: Option<String>,
    /// `--exclude`.
    pub exclude: Option<String>,
    /// `--reservation`.
    pub reservation: Option<String>,
    /// Whether a task has its node for itself.
    pub exclusive: bool,
    /// No more tasks of the machine than these run at a time.
    pub at_once: Option<u32>,
    /// Lines of shell before the program begins, such as `module load cuda`.
    pub setup: Vec<String>,
    /// The program on the nodes; the one that submits if not given.
    pub program: Option<String>,
}

/// Grid, site and prices of the whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// Whose electricity.
    pub grid: Option<String>,
    /// Whose cloud.
    pub cloud: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// gCO2e of a kilowatt-hour, instead of the grid's.
    pub grid_intensity: Option<f64>,
    /// Where the machines stand.
    pub site: Option<String>,
    /// Facility energy over IT energy.
    pub pue: Option<f64>,
    /// USD of a device-hour.
    pub usd_per_hour: Option<f64>,
    /// USD of a kilowatt-hour.
    pub usd_per_kwh: Option<f64>,
}

impl Conditions {
    /// The same for an estimate.
    #[must_use]
    pub fn spec(&self, asked_in: Option<(i32, u32)>) -> ConditionsSpec {
        ConditionsSpec {
            grid: self.grid.clone(),
            cloud: self.cloud.clone(),
            region: self.region.clone(),
            intensity: self.grid_intensity,
            site: self.site.clone(),
            pue: self.pue,
            usd_per_hour: self.usd_per_hour,
            usd_per_kwh: self.usd_per_kwh,
            asked_in,
            ..ConditionsSpec::default()
        }
    }
}

/// Takes what `own` does not say from `base`.
macro_rules! or_else_of {
    ($own:expr, $base:expr, $($field:ident),+) => { $( $own.$field = $own.$field.take().or($base.$field); )+ };
}

impl PlanFile {
    /// Reads a plan and what it includes. A name of a file within it is relative to the file that it stands in.
    ///
    /// # Errors
    /// If a file cannot be read or is not valid, or includes itself.
    pub fn read(path: &Path) -> Result<Self, CampaignError> {
        read(path, &mut Vec::new())
    }

    /// The same with what `base` says where this says nothing. A machine of the same name is the own one.
    fn over(mut self, base: Self) -> Self {
        or_else_of!(
            self,
            base,
            name,
            workload,
            archs,
            seq_lens,
            dtypes,
            layers,
            batch_size,
            pass,
            dropout,
            ops,
            precision,
            min_time,
            max_time,
            steps,
            seed,
            cells_per_task
        );
        or_else_of!(
            self.conditions,
            base.conditions,
            grid,
            cloud,
            region,
            grid_intensity,
            site,
            pue,
            usd_per_hour,
            usd_per_kwh
        );
        let mut machines = base.machines;
        for own in self.machines {
            match machines.iter_mut().find(|m| m.name == own.name) {
                Some(machine) => *machine = own,
                None => machines.push(own),
            }
        }
        self.machines = machines;
        self
    }

    /// The same, in which names of files that lie below `folder` begin with it.
    fn relative_to(mut self, folder: &Path) -> Self {
        let mut names = vec![&mut self.workload, &mut self.conditions.grid, &mut self.conditions.site];
        for machine in &mut self.machines {
            names.push(&mut machine.hardware);
            names.push(&mut machine.slurm.program);
        }
        for name in names.into_iter().flatten() {
            let path = folder.join(&*name);
            let is_path = Path::new(name).components().count() > 1 || Path::new(name).extension().is_some();
            if is_path && path.exists() {
                *name = std::path::absolute(&path).unwrap_or(path).display().to_string();
            }
        }
        self
    }
}

/// Reads `path`, which the files of `way` led to.
fn read(path: &Path, way: &mut Vec<PathBuf>) -> Result<PlanFile, CampaignError> {
    let text = read_text(path, MAX_BYTES)?;
    // Two names of one file are one.
    let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(from) = way.iter().position(|before| *before == canonical) {
        let mut circle = way.split_off(from);
        circle.push(canonical);
        return Err(CampaignError::Circle(circle));
    }
    way.push(canonical);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut plan = parse_yaml::<PlanFile>(&path.display().to_string(), &text)?.relative_to(folder);
    if let Some(twice) = repeated(plan.machines.iter().map(|m| m.name.as_str())) {
        let message = format!("`{twice}` is there twice in `{}`: expected one machine of a name", path.display());
        return Err(CampaignError::Value { key: "machines".to_owned(), message });
    }
    for base in std::mem::take(&mut plan.include).into_iter().rev() {
        plan = plan.over(read(&folder.join(base), way)?);
    }
    way.pop();
    Ok(plan)
}

/// The first name that is there twice.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if seen.contains(&name) {
            return Some(name);
        }
        seen.push(name);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        folder
    }

    fn fault(files: &[(&str, &str)]) -> String {
        let folder = written(files);
        let error = PlanFile::read(&folder.path().join(files[0].0)).expect_err("it is not valid");
        error
            .to_string()
            .replace(&folder.path().canonicalize().expect("it is there").display().to_string(), "")
            .replace(&folder.path().display().to_string(), "")
    }

    #[test]
    fn a_plan_says_more_than_what_it_includes_and_a_later_include_more_than_an_earlier() {
        let folder = written(&[
            ("plan.yaml", "include: [base/one.yaml, base/two.yaml]\nname: mine\nmachines: [{name: b, device: cpu}]\n"),
            (
                "base/one.yaml",
                "name: one\nseq_lens: [8]\nmax_time: 1\nmachines: [{name: a}, {name: b, device: cuda}]\n",
            ),
            ("base/two.yaml", "seq_lens: [16, 32]\nworkload: ./tiny.yaml\nconditions: {grid: fra}\n"),
            ("base/tiny.yaml", ""),
        ]);
        let plan = PlanFile::read(&folder.path().join("plan.yaml")).expect("valid");
        assert_eq!(plan.name.as_deref(), Some("mine"));
        assert_eq!((plan.seq_lens, plan.max_time), (Some(vec![16, 32]), Some(1.0)));
        assert_eq!(plan.conditions.grid.as_deref(), Some("fra"));
        let machines: Vec<_> = plan.machines.iter().map(|m| (m.name.as_str(), m.device.as_deref())).collect();
        assert_eq!(machines, [("a", None), ("b", Some("cpu"))]);
        let workload = plan.workload.expect("it is named");
        assert!(
            Path::new(&workload).is_absolute() && workload.ends_with("base/./tiny.yaml")
                || workload.ends_with("base/tiny.yaml"),
            "{workload}"
        );
    }

    #[test]
    fn a_circle_of_includes_is_named_and_the_same_file_twice_is_none() {
        let circle = fault(&[("a.yaml", "include: [b.yaml]\n"), ("b.yaml", "include: [./a.yaml]\n")]);
        assert_eq!(
            circle,
            "plans include each other in a circle: `/a.yaml` -> `/b.yaml` -> `/a.yaml`\nhint: take one `include` out"
        );
        let own = fault(&[("a.yaml", "include: [a.yaml]\n")]);
        assert!(own.contains("`/a.yaml` -> `/a.yaml`"), "{own}");
        let folder = written(&[
            ("a.yaml", "include: [b.yaml, c.yaml]\n"),
            ("b.yaml", "include: [d.yaml]\n"),
            ("c.yaml", "include: [d.yaml]\n"),
            ("d.yaml", "name: d\n"),
        ]);
        assert_eq!(PlanFile::read(&folder.path().join("a.yaml")).expect("no circle").name.as_deref(), Some("d"));
    }

    #[test]
    fn a_fault_is_shown_with_its_place() {
        let unknown = fault(&[("a.yaml", "name: x\nsequence: 8\n")]);
        assert!(
            unknown.contains("`/a.yaml` is not valid: line 2 column 1") && unknown.contains("sequence"),
            "{unknown}"
        );
        let arch = fault(&[("a.yaml", "archs: [dense, sparse]\n")]);
        assert!(arch.contains("sparse"), "{arch}");
        let twice = fault(&[("a.yaml", "machines: [{name: x}, {name: x}]\n")]);
        assert!(twice.contains("`x` is there twice"), "{twice}");
        let missing = fault(&[("a.yaml", "include: [nowhere.yaml]\n")]);
        assert!(missing.contains("cannot read `/nowhere.yaml`"), "{missing}");
    }
}
