//! What can be wrong with a campaign of many machines.

use std::path::PathBuf;

use crate::catalog::CatalogError;
use crate::files::{FileError, LockError};
use crate::measure::MeasureError;
use crate::record::RecordError;

/// Why a campaign cannot be planned, submitted, run or collected.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// A plan includes itself.
    #[error("plans include each other in a circle: {}\nhint: take one `include` out", arrows(.0))]
    Circle(
        /// The files, the first again at the end.
        Vec<PathBuf>,
    ),
    /// A key of the plan that is needed is in none of its files.
    #[error("`{}` has no `{key}`\nhint: {hint}", plan.display())]
    Missing {
        /// The plan.
        plan: PathBuf,
        /// What is missing.
        key: &'static str,
        /// What it may look like.
        hint: &'static str,
    },
    /// A value of the plan is out of its range.
    #[error("`{key}` of the plan: {message}")]
    Value {
        /// Which key.
        key: String,
        /// What is wrong, and what is allowed.
        message: String,
    },
    /// The plan has no machine of this name.
    #[error("unknown machine `{name}`: the plan has {}", list(known))]
    UnknownMachine {
        /// What was asked for.
        name: String,
        /// Those of the plan.
        known: Vec<String>,
    },
    /// The node is not of the type that the plan says.
    #[error(
        "this node has {found}, and machine `{machine}` of the plan has `{expected}`\nhint: correct its `hardware`, or its `slurm` options, so that its tasks run on such nodes alone"
    )]
    NodeType {
        /// The machine of the plan.
        machine: String,
        /// The entry of the catalog that it names.
        expected: String,
        /// What was recognised.
        found: String,
    },
    /// A task was begun on another device.
    #[error(
        "task `{task}` was begun on {earlier}, and this node has {here}: cells of both would not be of one kind of machine\nhint: narrow the `slurm` options of its machine, so that its tasks run on such nodes alone"
    )]
    OtherNode {
        /// The task.
        task: String,
        /// Where it was begun.
        earlier: String,
        /// What is here.
        here: String,
    },
    /// There is a campaign already.
    #[error("`{}` already holds a campaign\nhint: `--resume` goes on with it; `-o DIR` begins another", .0.display())]
    Exists(PathBuf),
    /// There is none.
    #[error("`{}` holds no campaign: there is no `{}` in it\nhint: `greenformers campaign PLAN.yaml -o DIR` begins one", .0.display(), super::CAMPAIGN_FILE)]
    None(PathBuf),
    /// The plan is another one than the folder's.
    #[error(
        "the plan differs from the one in `{}` ({what})\nhint: give another folder with `-o DIR`, or the plan as it was",
        folder.display()
    )]
    Changed {
        /// The folder of the campaign.
        folder: PathBuf,
        /// What differs.
        what: String,
    },
    /// A file of the campaign cannot be understood.
    #[error("`{}` is not valid: {message}{}", path.display(), hint.map(|h| format!("\nhint: {h}")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// What can be done.
        hint: Option<&'static str>,
    },
    /// No task has this number.
    #[error("task {index} is not in `{}`: it has {all} tasks, counted from 0", folder.display())]
    NoTask {
        /// The folder.
        folder: PathBuf,
        /// What was asked for.
        index: usize,
        /// How many there are.
        all: usize,
    },
    /// More tasks than a job array takes.
    #[error(
        "the plan makes {found} tasks: at most {most} are one campaign\nhint: a larger `cells_per_task` makes fewer"
    )]
    TooManyTasks {
        /// How many.
        found: usize,
        /// The most.
        most: usize,
    },
    /// Slurm's program cannot be run.
    #[error("cannot run `{program}`\nhint: `--dry-run` prints the scripts, and `--local` runs the campaign here")]
    NoSlurm {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// Slurm does not take a script.
    #[error(
        "Slurm does not take the tasks of machine `{machine}`: {message}\nhint: correct its `slurm` options; what was submitted before is kept, and `--resume` submits the rest"
    )]
    Refused {
        /// The machine of the plan.
        machine: String,
        /// What `sbatch` said.
        message: String,
    },
    /// A folder cannot be read.
    #[error("cannot read `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder is another process's.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A name is not in the catalog, or a plan is not valid YAML.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What the plan asks for cannot be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn list(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn arrows(files: &[PathBuf]) -> String {
    files.iter().map(|f| format!("`{}`", f.display())).collect::<Vec<_>>().join(" -> ")
}
