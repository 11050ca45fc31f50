//! `campaign status` and `campaign collect`: how far the tasks are, and what they have measured.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use greenformers::campaign::{Collected, Refused, State, Store, TaskStatus, collect, status};
use greenformers::files::JSON_SCHEMA;
use greenformers::record::{RECORD_FILE, Record, Status};
use greenformers::report::{Inputs, Side, TextTable, figures, side_by_side, wrapped, write_report, write_sides};
use serde::Serialize;

use super::common::{Format, paint, print_json, print_table, quoted, this_month, width};
use super::{Context, say};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "States: not begun, submitted (Slurm was given it), running (a process holds its folder), begun (the file system has no \
                        locks to tell), stopped (it was killed or its time was over), failed, finished.

Examples:
  greenformers campaign status campaigns/mine
  greenformers campaign status /shared/lengths --format json"
)]
pub(super) struct StatusArgs {
    /// Folder of the campaign
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How the tasks are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Records of other settings, another schema or another device, and files that are half a copy, are named and left out; they \
                        stay where they are.

Examples:
  greenformers campaign collect campaigns/mine
  greenformers campaign collect /shared/lengths -o reports/lengths
  greenformers campaign collect /shared/lengths --strict      fails if a cell is missing"
)]
pub(super) struct CollectArgs {
    /// Folder of the campaign
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Folder for a record of each machine and the report [default: DIR/collected]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write every chart as PNG as well
    #[arg(long)]
    png: bool,
    /// Fail if a cell is missing or a record is left out
    #[arg(long)]
    strict: bool,
    /// How the machines are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct StatusOutput<'a> {
    schema: u32,
    name: &'a str,
    folder: &'a Path,
    /// Cells that are measured or do not fit.
    done: usize,
    /// All of them.
    cells: usize,
    tasks: &'a [TaskStatus],
    /// Folders of no task.
    strangers: &'a [PathBuf],
}

pub(super) fn status_of(args: &StatusArgs) -> Result<()> {
    print_status(&Store::open(&args.folder)?, args.format)
}

/// The tasks of a campaign, and what comes next.
pub(super) fn print_status(store: &Store, format: Format) -> Result<()> {
    let (tasks, strangers) = (status(store)?, store.strangers()?);
    let (done, cells) = tasks.iter().fold((0, 0), |(done, cells), t| (done + t.done, cells + t.cells));
    if format == Format::Json {
        let (name, folder) = (&store.campaign.name, &store.folder);
        let (tasks, strangers) = (&tasks, &strangers);
        return print_json(&StatusOutput { schema: JSON_SCHEMA, name, folder, done, cells, tasks, strangers });
    }
    let mut table = TextTable::new(&["index", "task", "machine", "done", "cells", "state", "job", "error"]);
    for task in &tasks {
        let error = task.error.as_deref().and_then(|e| e.lines().next()).unwrap_or_default();
        table.row(vec![
            task.index.to_string(),
            task.task.clone(),
            task.machine.clone(),
            task.done.to_string(),
            task.cells.to_string(),
            task.state.name().to_owned(),
            task.job.map(|job| job.to_string()).unwrap_or_default(),
            error.to_owned(),
        ]);
    }
    for stranger in &strangers {
        say(format_args!("warning: `{}` is the folder of no task, and is not counted", stranger.display()));
    }
    let finished = tasks.iter().filter(|t| t.state == State::Finished).count();
    let next = quoted(&store.folder.display().to_string());
    let below = format!(
        "\n{done} of {cells} cells are measured, {finished} of {} tasks are finished.\nnext:    greenformers campaign collect {next}\n",
        tasks.len()
    );
    print_table(&table, format, &below)
}

#[derive(Serialize)]
struct LeftOut {
    file: PathBuf,
    reason: String,
}

impl From<&Refused> for LeftOut {
    fn from(refused: &Refused) -> Self {
        Self { file: refused.path.clone(), reason: refused.reason.clone() }
    }
}

#[derive(Serialize)]
struct MachineOutput {
    name: String,
    done: usize,
    cells: usize,
    /// Cells that are not measured.
    missing: Vec<String>,
    /// Where its record is; `None` if it has none.
    record: Option<PathBuf>,
    left_out: Vec<LeftOut>,
}

#[derive(Serialize)]
struct CollectOutput<'a> {
    schema: u32,
    answer: &'a str,
    machines: Vec<MachineOutput>,
    files: &'a [PathBuf],
}

pub(super) fn collect_from(args: &CollectArgs, context: &Context) -> Result<()> {
    let store = Store::open(&args.folder)?;
    let collected = collect(&store)?;
    let output = args.output.clone().unwrap_or_else(|| args.folder.join("collected"));
    let refused: Vec<&Refused> = collected.iter().flat_map(|m| &m.merged.refused).collect();
    for Refused { path, reason } in &refused {
        say(format_args!("warning: `{}` is not added: {reason}", path.display()));
    }
    let strangers = store.strangers()?;
    for stranger in &strangers {
        say(format_args!("warning: `{}` is the folder of no task, and is not added", stranger.display()));
    }
    let missing: usize = collected.iter().map(|m| m.missing.len()).sum();
    if args.strict && (missing > 0 || !refused.is_empty()) {
        bail!(
            "{missing} cells are missing, and {} records are left out\nhint: without `--strict` the rest is collected",
            refused.len()
        );
    }
    let records: Vec<(&str, &Record)> =
        collected.iter().filter_map(|m| Some((m.machine.as_str(), record_of(m)?))).collect();
    if records.is_empty() {
        bail!(
            "no cell of this campaign has been measured\nhint: `greenformers campaign status {}` says how far it is",
            args.folder.display()
        );
    }
    for (machine, record) in &records {
        refuse_another(&output.join(machine), record)?;
    }
    for (machine, record) in &records {
        record.save(&output.join(machine))?;
    }
    let (answer, files) = report(&store, &records, &output, args.png, context)?;
    let place = |machine: &Collected| record_of(machine).map(|_| output.join(&machine.machine).join(RECORD_FILE));
    if args.format == Format::Json {
        let machine = |m: &'_ Collected| MachineOutput {
            name: m.machine.clone(),
            done: m.done,
            cells: m.all(),
            missing: m.missing.clone(),
            record: place(m),
            left_out: m.merged.refused.iter().map(LeftOut::from).collect(),
        };
        let machines = collected.iter().map(machine).collect();
        return print_json(&CollectOutput { schema: JSON_SCHEMA, answer: &answer, machines, files: &files });
    }
    let mut table = TextTable::new(&["machine", "done", "cells", "missing", "record"]);
    for machine in &collected {
        table.row(vec![
            machine.machine.clone(),
            machine.done.to_string(),
            machine.all().to_string(),
            machine.missing.len().to_string(),
            place(machine).map(|path| path.display().to_string()).unwrap_or_default(),
        ]);
    }
    let mut below = format!("\n{}", paint().strong(wrapped(&answer, width(), "").trim_end()));
    if missing > 0 {
        below.push_str(&format!(
            "\n\n{missing} cells are missing: `greenformers campaign status {}`",
            args.folder.display()
        ));
    }
    below.push_str(&format!("\n\nreport: {}\n", files[0].display()));
    print_table(&table, args.format, &below)
}

/// A record of something else is not written over.
fn refuse_another(folder: &Path, record: &Record) -> Result<()> {
    let is_ours = |old: Record| old.settings == record.settings;
    if !folder.join(RECORD_FILE).exists() || Record::load(folder).is_ok_and(is_ours) {
        return Ok(());
    }
    bail!("`{}` already holds another record\nhint: give another folder with `-o DIR`", folder.display())
}

/// The record of a machine of which a cell was measured.
fn record_of(machine: &Collected) -> Option<&Record> {
    machine.merged.record.as_ref().filter(|r| r.cells.iter().any(|c| c.status == Status::Ok))
}

/// The answer, and the files of the report, that of the page first: one machine's, or several side by side.
fn report(
    store: &Store,
    records: &[(&str, &Record)],
    output: &Path,
    png: bool,
    context: &Context,
) -> Result<(String, Vec<PathBuf>)> {
    let campaign = &store.campaign;
    let spec = campaign.conditions.spec(Some(this_month()));
    if let [(machine, record)] = records {
        let report = figures(record, Inputs::of(record, &spec, &context.catalog, campaign.seed)?);
        let files = write_report(&report, &output.join(machine), png)?;
        return Ok((report.answer, files));
    }
    let side = |(name, record): &(&str, &Record)| {
        Side::of((*name).to_owned(), (*record).clone(), &spec, &context.catalog, campaign.seed)
    };
    let sides = side_by_side(records.iter().map(side).collect())?;
    let files = write_sides(&sides, output, png)?;
    Ok((sides.answer(), files))
}
