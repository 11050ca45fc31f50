//! `campaign task`: one task of a campaign, by the function that `profile` measures with.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use greenformers::campaign::{
    Attempt, Failure, Here, State, Store, device_of_plan, go_on_from_earlier, leave_failure, status,
};
use greenformers::files::LockError;
use greenformers::machine::{self, MachineFacts};
use greenformers::measure::{self, ComputeDevice};
use greenformers::record::{Record, Status};
use greenformers::sensor::DEFAULT_POWERCAP_ROOT;

use super::profile::{Into, On, carry_out};
use super::{Context, say, with_causes};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the campaign
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Which task, from 0
    #[arg(long, value_name = "N")]
    index: usize,
    /// The submission that it belongs to, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    round: u32,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let store = Store::open(&args.folder)?;
    let restart = std::env::var("SLURM_RESTART_COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let attempt = Attempt { round: args.round, restart };
    if status(&store)?.get(args.index).is_some_and(|task| task.state == State::Finished) {
        context.note(format_args!("every cell of `{}` is measured", store.task(args.index)?.name));
        return Ok(());
    }
    measure_task(&store, args.index, attempt, None, context)
}

/// Measures what is missing of a task. Why it could not is left in the folder of the attempt too, where `campaign status` finds it.
/// `goes_on_in` is the folder that the command which was typed is given to go on, if it can.
pub(super) fn measure_task(
    store: &Store,
    index: usize,
    attempt: Attempt,
    goes_on_in: Option<&Path>,
    context: &Context,
) -> Result<()> {
    let folder = store.attempt_folder(store.task(index)?, attempt);
    let facts = machine::machine_facts();
    let result = measure_cells(store, index, (&folder, goes_on_in), &facts, context);
    if result.as_ref().is_err_and(|error| matches!(error.downcast_ref(), Some(LockError::Held { .. }))) {
        // The folder is another process's, which writes there alone.
        return result;
    }
    let failure = result.as_ref().err().map(|error| Failure {
        error: with_causes(error),
        host: facts.host.clone(),
        at: chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, false),
    });
    if let Err(error) = leave_failure(&folder, failure.as_ref()) {
        say(format_args!("warning: {}", with_causes(&error.into())));
    }
    result
}

fn measure_cells(
    store: &Store,
    index: usize,
    (folder, goes_on_in): (&Path, Option<&Path>),
    facts: &MachineFacts,
    context: &Context,
) -> Result<()> {
    let (campaign, task) = (&store.campaign, store.task(index)?);
    let machine = campaign.machine(&task.machine)?;
    let device = ComputeDevice::open(machine.device.parse()?, &machine.dtypes)?;
    if let Some(reason) = &device.fallback {
        context.note(format_args!("warning: the CPU computes: {reason}"));
    }
    let recognised = measure::describe_compute(&device, facts, &context.catalog, None)?.hardware;
    let given = device_of_plan(machine, (device.is_cpu(), recognised.as_ref()), &context.catalog)?;
    let plan = campaign.plan_of_task(task, device.is_cpu())?;
    let compute = measure::describe_compute(&device, facts, &context.catalog, given.clone())?;
    let here = Here { compute: &compute, host: &facts.host, threads: measure::compute_threads() };
    go_on_from_earlier(store, task, folder, here, |refused| {
        say(format_args!("warning: `{}` is not gone on from: {}", refused.path.display(), refused.reason));
    })?;
    let on =
        On { device: &device, given, meter: machine.meter.parse()?, powercap_root: Path::new(DEFAULT_POWERCAP_ROOT) };
    let into = Into { folder, resume: Some(true), goes_on_in };
    let (record, _lock) = carry_out(&plan, on, into, facts, context)?;
    none_failed(&record)
}

/// A cell that does not fit is an answer; one that failed for another reason is measured again, and has to be seen.
fn none_failed(record: &Record) -> Result<()> {
    let failed: Vec<_> = record.cells.iter().filter(|cell| cell.status == Status::Failed).collect();
    let Some(first) = failed.first() else { return Ok(()) };
    let why = first.error.as_deref().unwrap_or("no reason is known");
    bail!("{} of {} cells failed: {}: {why}", failed.len(), record.cells.len(), first.label())
}
