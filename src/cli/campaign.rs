//! `campaign`: a plan on several kinds of machine, here or as jobs of Slurm.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use greenformers::campaign::slurm::{self, Job, Place};
use greenformers::campaign::{
    Attempt, CAMPAIGN_FILE, Campaign, Limit, PlanFile, State, Store, Submission, TaskStatus, status,
};
use greenformers::files::{FolderLock, JSON_SCHEMA};
use greenformers::report::TextTable;
use serde::Serialize;

use super::common::{DEFAULT_WORKLOAD, Format, print, print_json, print_table, quoted};
use super::workload::named_workload;
use super::{Context, campaign_results, campaign_task};

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "options are on or off")]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Without `--local` and `--slurm`, the tasks of the plan are listed, and nothing is run.

Examples:
  greenformers campaign plan.yaml                             the tasks, with their time limits
  greenformers campaign plan.yaml --local -o campaigns/mine
  greenformers campaign plan.yaml --slurm --dry-run           prints the scripts
  greenformers campaign plan.yaml --slurm -o /shared/lengths
  greenformers campaign plan.yaml --slurm -o /shared/lengths --resume
  greenformers campaign status /shared/lengths
  greenformers campaign collect /shared/lengths -o reports/lengths"
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// The plan, as YAML: cells, conditions, machines
    #[arg(required = true, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Run the tasks here, one after the other
    #[arg(long, conflicts_with = "slurm")]
    local: bool,
    /// Write scripts of Slurm and submit them: job arrays, one task an index
    #[arg(long)]
    slurm: bool,
    /// Print the scripts, and write and submit nothing
    #[arg(long, requires = "slurm")]
    dry_run: bool,
    /// Go on with the campaign in its folder: run or submit the tasks that are not finished
    #[arg(long)]
    resume: bool,
    /// The tasks of this machine alone, repeatable
    #[arg(long = "machine", value_name = "NAME")]
    machines: Vec<String>,
    /// Folder of the campaign, which all nodes share [default: campaigns/NAME]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How the tasks are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show how far each task is, from the files of the campaign alone
    Status(campaign_results::StatusArgs),
    /// Merge what the tasks measured, finished or not, and write a report that compares the machines
    Collect(campaign_results::CollectArgs),
    /// Run one task: what the scripts call
    #[command(hide = true)]
    Task(campaign_task::Args),
}

#[derive(Serialize)]
struct PlannedTask {
    index: usize,
    task: String,
    machine: String,
    cells: usize,
    seq_lens: Vec<usize>,
    dtypes: Vec<String>,
    limit_s: u64,
    limit_from: String,
}

#[derive(Serialize)]
struct Planned<'a> {
    schema: u32,
    name: &'a str,
    cells: usize,
    tasks: &'a [PlannedTask],
}

#[derive(Serialize)]
struct Submitted<'a> {
    schema: u32,
    name: &'a str,
    folder: &'a Path,
    submissions: &'a [Submission],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    match &args.what {
        Some(What::Status(args)) => return campaign_results::status_of(args),
        Some(What::Collect(args)) => return campaign_results::collect_from(args, context),
        Some(What::Task(args)) => return campaign_task::run(args, context),
        None => {}
    }
    // clap has seen to it that there is one.
    let Some(path) = &args.plan else { bail!("no plan is given") };
    let plan = PlanFile::read(path)?;
    let workload = named_workload(plan.workload.as_deref().unwrap_or(DEFAULT_WORKLOAD), context)?;
    let campaign = Campaign::resolve(&plan, path, workload, &context.catalog)?;
    for name in &args.machines {
        campaign.machine(name)?;
    }
    let folder = args.output.clone().unwrap_or_else(|| Path::new("campaigns").join(&campaign.name));
    match (args.local, args.slurm) {
        (false, false) => list(args, &campaign, context),
        (true, _) => local(args, campaign, &folder, context),
        (_, true) if args.dry_run => dry_run(args, &campaign, &folder, context),
        (_, true) => submit(args, campaign, &folder, context),
    }
}

impl Args {
    /// Whether the tasks of this machine are asked for.
    fn wants(&self, machine: &str) -> bool {
        self.machines.is_empty() || self.machines.iter().any(|name| name == machine)
    }
}

/// The tasks of a plan.
fn list(args: &Args, campaign: &Campaign, context: &Context) -> Result<()> {
    let mut tasks = Vec::new();
    for (index, task) in campaign.tasks.iter().enumerate().filter(|(_, task)| args.wants(&task.machine)) {
        let limit = Limit::of(campaign, task, &context.catalog)?;
        let (mut seq_lens, mut dtypes) = (Vec::new(), Vec::new());
        for group in &task.groups {
            if !seq_lens.contains(&group.seq_len) {
                seq_lens.push(group.seq_len);
            }
            let dtype = group.dtype.to_string();
            if !dtypes.contains(&dtype) {
                dtypes.push(dtype);
            }
        }
        tasks.push(PlannedTask {
            index,
            task: task.name.clone(),
            machine: task.machine.clone(),
            cells: task.cells,
            seq_lens,
            dtypes,
            limit_s: limit.seconds,
            limit_from: limit.explained(),
        });
    }
    let cells = tasks.iter().map(|t| t.cells).sum();
    if args.format == Format::Json {
        return print_json(&Planned { schema: JSON_SCHEMA, name: &campaign.name, cells, tasks: &tasks });
    }
    let mut table = TextTable::new(&["index", "task", "machine", "cells", "tokens", "dtypes", "limit (min)"]);
    for task in &tasks {
        let lens: Vec<String> = task.seq_lens.iter().map(usize::to_string).collect();
        table.row(vec![
            task.index.to_string(),
            task.task.clone(),
            task.machine.clone(),
            task.cells.to_string(),
            lens.join(" "),
            task.dtypes.join(" "),
            (task.limit_s / 60).to_string(),
        ]);
    }
    let below = format!(
        "\ncells: {cells}, tasks: {}; nothing was run\nnext:    greenformers campaign {} --local, or --slurm\n",
        tasks.len(),
        quoted(&args.plan.as_deref().unwrap_or(Path::new("")).display().to_string())
    );
    print_table(&table, args.format, &below)
}

/// Begins the campaign, or goes on with it. Nobody else begins it meanwhile.
fn begin(args: &Args, campaign: Campaign, folder: &Path) -> Result<(Store, FolderLock)> {
    let lock = FolderLock::take(folder, CAMPAIGN_FILE)?;
    let store = Store::begin(folder, campaign, args.resume)?;
    Ok((store, lock))
}

/// The tasks that are asked for and not finished, with how far they are; what runs is left alone.
fn open_tasks(args: &Args, store: &Store, context: &Context) -> Result<Vec<TaskStatus>> {
    let mut tasks = status(store)?;
    tasks.retain(|t| args.wants(&t.machine) && t.state != State::Finished);
    let running: Vec<&str> = tasks.iter().filter(|t| t.state == State::Running).map(|t| t.task.as_str()).collect();
    if !running.is_empty() {
        context.note(format_args!("left alone, since a process measures them: {}", running.join(", ")));
    }
    tasks.retain(|t| t.state != State::Running);
    Ok(tasks)
}

fn local(args: &Args, campaign: Campaign, folder: &Path, context: &Context) -> Result<()> {
    let (store, lock) = begin(args, campaign, folder)?;
    drop(lock);
    let open = open_tasks(args, &store, context)?;
    let round = store.next_round()?.saturating_sub(1);
    let mut failed = 0;
    for (done, row) in open.iter().enumerate() {
        let task = store.task(row.index)?;
        context.note(format_args!("task {} of {}: {}, {} cells", done + 1, open.len(), task.name, task.cells));
        // Where there was an attempt, its lock keeps a second one out.
        let last = store.attempts(task)?.last().map(|(attempt, _)| *attempt);
        let attempt = last.unwrap_or(Attempt { round, restart: 0 });
        if FolderLock::is_held(&store.attempt_folder(task, attempt)) == Some(true) {
            context.note("left alone, since another process has begun it meanwhile");
            continue;
        }
        if let Err(error) = campaign_task::measure_task(&store, row.index, attempt, Some(folder), context) {
            failed += 1;
            super::say(format_args!("task {} failed: {}", task.name, super::with_causes(&error)));
        }
    }
    campaign_results::print_status(&store, args.format)?;
    if failed > 0 {
        bail!("{failed} of {} tasks failed\nhint: the same command with `--resume` runs them again", open.len());
    }
    Ok(())
}

/// Where the scripts say that the campaign is, and what runs it.
struct Whereabouts {
    folder: PathBuf,
    program: PathBuf,
    catalog: Option<PathBuf>,
}

impl Whereabouts {
    fn of(folder: &Path, context: &Context) -> Result<Self> {
        let absolute =
            |path: &Path| std::path::absolute(path).with_context(|| format!("cannot find `{}`", path.display()));
        let folder = absolute(folder)?;
        if folder.to_string_lossy().contains(|c: char| c.is_control() || c == '"') {
            bail!(
                "`{}` has a character that a script of Slurm cannot name\nhint: give another folder with `-o DIR`",
                folder.display()
            );
        }
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let catalog = context.catalog.folder().map(absolute).transpose()?;
        Ok(Self { folder, program, catalog })
    }

    fn place(&self, round: u32) -> Place<'_> {
        Place { folder: &self.folder, program: &self.program, catalog: self.catalog.as_deref(), round }
    }
}

/// The scripts of the tasks that would be submitted.
fn dry_run(args: &Args, campaign: &Campaign, folder: &Path, context: &Context) -> Result<()> {
    let (tasks, round) = if args.resume && Store::is_in(folder) {
        let store = Store::open(folder)?;
        (not_with_slurm(open_tasks(args, &store, context)?, &store, context)?, store.next_round()?)
    } else {
        let wanted = campaign.tasks.iter().enumerate().filter(|(_, t)| args.wants(&t.machine));
        (wanted.map(|(index, _)| index).collect(), 0)
    };
    let whereabouts = Whereabouts::of(folder, context)?;
    let jobs = slurm::jobs(campaign, &tasks, &context.catalog)?;
    let scripts: Vec<String> = jobs
        .iter()
        .map(|job| slurm::script(campaign, job, whereabouts.place(round)))
        .collect::<std::result::Result<_, _>>()?;
    if scripts.is_empty() {
        context.note("every task is finished, runs or waits: nothing would be submitted");
    }
    print(&scripts.join("\n"))
}

/// Indices of the tasks that Slurm has not already, as far as it says.
fn not_with_slurm(mut tasks: Vec<TaskStatus>, store: &Store, context: &Context) -> Result<Vec<usize>> {
    let jobs: Vec<u64> = store.submissions()?.iter().map(|s| s.job).collect();
    match slurm::still_there(&jobs) {
        Some(there) => {
            let before = tasks.len();
            tasks.retain(|t| !there.iter().any(|(_, index)| *index == t.index));
            if tasks.len() < before {
                context.note(format_args!("{} tasks wait or run already: they are not submitted again", before - tasks.len()));
            }
        }
        None => context.note(
            "Slurm does not say which tasks wait: one may be submitted twice, and goes on then from what the other has measured",
        ),
    }
    Ok(tasks.iter().map(|t| t.index).collect())
}

fn submit(args: &Args, campaign: Campaign, folder: &Path, context: &Context) -> Result<()> {
    let whereabouts = Whereabouts::of(folder, context)?;
    // Held until everything is submitted.
    let (store, lock) = begin(args, campaign, &whereabouts.folder)?;
    if !lock.is_exclusive() {
        context.note("this file system has no locks: see to it that nobody else submits this campaign meanwhile");
    }
    let tasks = not_with_slurm(open_tasks(args, &store, context)?, &store, context)?;
    let jobs = slurm::jobs(&store.campaign, &tasks, &context.catalog)?;
    let round = store.next_round()?;
    let mut submitted = Vec::new();
    for (part, job) in jobs.iter().enumerate() {
        submitted.push(submit_job(&store, job, part, whereabouts.place(round))?);
    }
    if submitted.is_empty() {
        context.note("every task is finished, runs or waits: nothing was submitted");
    }
    match args.format {
        Format::Json => print_json(&Submitted {
            schema: JSON_SCHEMA,
            name: &store.campaign.name,
            folder: &store.folder,
            submissions: &submitted,
        }),
        format => {
            let mut table = TextTable::new(&["job", "machine", "tasks", "limit (min)"]);
            for job in &submitted {
                table.row(vec![
                    job.job.to_string(),
                    job.machine.clone(),
                    job.tasks.len().to_string(),
                    (job.limit_s / 60).to_string(),
                ]);
            }
            let next = quoted(&store.folder.display().to_string());
            print_table(&table, format, &format!("\nnext:    greenformers campaign status {next}\n"))
        }
    }
}

fn submit_job(store: &Store, job: &Job, part: usize, place: Place<'_>) -> Result<Submission> {
    let text = slurm::script(&store.campaign, job, place)?;
    let script = store.write_script(place.round, &job.machine, part, &text)?;
    let number = slurm::submit(&script, &job.machine)?;
    let submission = Submission {
        round: place.round,
        machine: job.machine.clone(),
        job: number,
        tasks: job.tasks.clone(),
        limit_s: job.limit.seconds,
    };
    store
        .write_submission(&script, &submission)
        .with_context(|| format!("job {number} was submitted, and that cannot be written down"))?;
    Ok(submission)
}
