//! `track`: runs any command and accounts for its energy.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use greenformers::catalog::{Device, DeviceKind};
use greenformers::estimate::{Account, MeteredPart, account};
use greenformers::machine::{self, Job, MachineFacts, PartKind, hardware_share};
use greenformers::report::TrackedRun;
use greenformers::sensor::DEFAULT_POWERCAP_ROOT;
use greenformers::track::{NodeMeter, TrackPlan, Tracked, Tracking, Watcher, track};
use greenformers::units::Seconds;

use super::Context;
use super::common::{ConditionsArgs, parse_seconds, width};
use super::forecasting::Forecasting;
use super::track_output::Destination;

/// Readings further apart than a minute could miss that a counter has wrapped, or what a GPU did in between.
const INTERVALS: (f64, f64) = (0.1, 60.0);

#[derive(Debug, clap::Args)]
#[group(id = "tracking")]
#[command(after_help = "The command's output, signals and exit code pass through; what it took is printed on stderr.
What it leaves running in the background is not waited for.

Examples:
  greenformers track -- python train.py --epochs 3
  greenformers track --grid fra -o run.json -- python train.py
  greenformers track -o emissions.csv --process -- ./train.sh      a row in CodeCarbon's columns
  greenformers track --prometheus 9400 -- python train.py          http://127.0.0.1:9400/metrics")]
pub(super) struct Args {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
    /// Time between two readings, 0.1 to 60
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_interval)]
    interval: f64,
    /// Write FILE.json, or add a row to FILE.csv in the columns of CodeCarbon 3 (kWh and kg of what is metered, times PUE)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over FILE.json whatever is in it
    #[arg(long, requires = "output")]
    force: bool,
    /// Account for the command alone: CPU energy by its share of CPU time, memory by what it keeps resident
    #[arg(long)]
    process: bool,
    /// GPUs to account for, as in CUDA_VISIBLE_DEVICES: numbers, `GPU-...`, `MIG-...` [default: those it may see]
    #[arg(long, value_name = "LIST")]
    gpus: Option<String>,
    /// Measure the idle machine for so long first, so that energy above idle is known
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    idle: Option<f64>,
    /// Serve the readings to Prometheus: a port of this machine alone, or ADDRESS:PORT
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    prometheus: Option<SocketAddr>,
    /// What the run is called: its project in `sum`, its name in FILE.csv [default: the command]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The catalog entry, or a YAML file, of this machine's CPU [default: recognised by its name]
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Folder of the kernel's energy counters
    #[arg(long, value_name = "DIR", default_value = DEFAULT_POWERCAP_ROOT, hide = true)]
    powercap_root: PathBuf,
    /// Another name for this machine and for its start, so that one machine can be several
    #[arg(long, value_name = "NAME", hide = true)]
    node: Option<String>,
}

fn parse_interval(text: &str) -> Result<f64, String> {
    let seconds = parse_seconds(text)?;
    let (least, most) = INTERVALS;
    if (least..=most).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("expected {least} to {most} seconds, got `{text}`"))
    }
}

/// `9400` and `:9400` are ports of the loopback address.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::new(local, port));
    }
    let named = text.replacen("localhost:", "127.0.0.1:", 1);
    named.parse().map_err(|_| format!("expected a port or ADDRESS:PORT such as `9400` or `0.0.0.0:9400`, got `{text}`"))
}

/// Runs the command; the code to exit with is the command's.
pub(super) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    run_watched(args, context, None)
}

/// The same with what watches the command.
pub(super) fn run_watched(args: &Args, context: &Context, watching: Option<Forecasting>) -> Result<ExitCode> {
    // All that can be wrong with the options is found before the command runs.
    let destination = args.output.as_deref().map(|path| Destination::open(path, args.force)).transpose()?;
    let mut facts = machine::machine_facts();
    let mut boot_id = machine::boot_id();
    if let Some(node) = &args.node {
        facts.host.clone_from(node);
        boot_id = Some(node.clone());
    }
    let facts = facts;
    let job = machine::job_of(|name| std::env::var(name).ok());
    let cpu: Option<Device> = match &args.hardware {
        Some(name) => Some(processor(name, context.catalog.load(name)?)?),
        None => context.catalog.identify(DeviceKind::Cpu, &facts.cpu)?,
    };
    let share = cpu.as_ref().map_or(1.0, |d| hardware_share(d, &facts)).min(1.0);
    let spec = args.conditions.spec()?;
    let conditions = spec.of_known_hours(cpu.as_ref(), (1, share), false, &context.catalog)?;
    context.note_hours(&conditions);
    let grid = spec.grid_if_named(&context.catalog)?;
    let seconds = |time: chrono::DateTime<chrono::Local>| time.timestamp_millis() as f64 / 1000.0;
    // Hours of another year say nothing of now, and that is better found out before days of work.
    if let Some(hourly) = conditions.hourly.as_ref().filter(|h| !h.has_year_of(seconds(chrono::Local::now()))) {
        anyhow::bail!(
            "`{}` has no hour of this year: expected the hours in which the command runs, got {} from {}\nhint: \
             `--grid NAME` takes the mean of a year",
            hourly.name(),
            hourly.hours(),
            hourly.first()
        );
    }
    let plan = TrackPlan {
        command: args.command.clone(),
        interval: Seconds(args.interval),
        tracking: if args.process { Tracking::Process } else { Tracking::Machine },
        gpus: args.gpus.clone(),
        as_terminal: watching.as_ref().is_some_and(Forecasting::as_terminal),
        idle: args.idle.map(Seconds),
        powercap: args.powercap_root.clone(),
        serve: args.prometheus,
        node_meter: job.as_ref().map(|job| node_meter(job, &facts)),
    };
    let started = chrono::Local::now();
    let serving = |address: SocketAddr| {
        context.note(format_args!("serving http://{address}/metrics"));
        if !address.ip().is_loopback() {
            context.note(
                "warning: anyone who reaches this address can read it (`--prometheus PORT` serves this machine alone)",
            );
        }
    };
    let mut watching = watching.map(|watching| watching.under(&conditions, share, args.seed));
    let watcher = watching.as_mut().map(|w| w as &mut dyn Watcher);
    let mut tracked = match track(&plan, &facts, cpu.as_ref(), serving, watcher) {
        Ok(tracked) => tracked,
        Err(error) => {
            let Some(code) = error.shell_code() else { return Err(error.into()) };
            super::say(format_args!("error: {}", super::with_causes(&error.into())));
            return Ok(ExitCode::from(code));
        }
    };
    let began = seconds(started);
    let conditions = conditions.during(began, began + tracked.duration_s);
    tracked.warnings.extend(conditions.warnings.iter().cloned());
    tracked.warnings.extend(watching.as_ref().and_then(Forecasting::warning));
    let account = account_for(&tracked, share, &conditions, args, &facts);
    let started = started.to_rfc3339_opts(chrono::SecondsFormat::Millis, false);
    let forecast = watching.as_mut().and_then(|w| w.finish(&tracked, &account));
    let run = TrackedRun {
        command: &args.command,
        project: args.project.as_deref(),
        job: job.as_ref(),
        boot_id: boot_id.as_deref(),
        started: &started,
        tracking: plan.tracking,
        tracked: &tracked,
        account: &account,
        conditions: &conditions,
        grid: grid.as_ref(),
        facts: &facts,
        forecast: forecast.as_ref(),
    };
    context.note(run.text(width()).trim_end());
    match (&watching, &forecast) {
        (Some(_), Some(forecast)) => context.note(format_args!("\n{}", forecast.text(width()).trim_end())),
        (Some(watching), None) => super::say(format_args!("\n{}", watching.nothing())),
        (None, _) => {}
    }
    if let Some(destination) = destination
        && let Err(error) = destination.write(&run)
    {
        // The command has run: its own failure is worth more to its caller than this one.
        super::say(format_args!("error: {}", super::with_causes(&error)));
        if tracked.exit.shell_code() == 0 {
            return Ok(ExitCode::FAILURE);
        }
    }
    // A command that was ended because enough was seen has not failed.
    if watching.is_some_and(|w| w.has_stopped()) && forecast.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(tracked.exit.shell_code()))
}

/// How this process and the other ranks of its step on this node find each other. The folder may be shared with other nodes,
/// so the name of this one is in the key.
fn node_meter(job: &Job, facts: &MachineFacts) -> NodeMeter {
    NodeMeter { folder: std::env::temp_dir(), key: format!("{}-{}", facts.host, job.step_key()), rank: job.rank }
}

/// The device, if it is what can be the processor of a machine: GPUs are metered by themselves.
pub(super) fn processor(name: &str, device: Device) -> Result<Device> {
    let kind = match device.kind {
        DeviceKind::Cpu => return Ok(device),
        DeviceKind::Gpu => "a GPU",
        DeviceKind::Tpu => "a TPU",
    };
    bail!(
        "`--hardware {name}`: it is {kind}, and here it has to be the processor of this machine: expected a CPU\n\
         hint: GPUs are metered without being named (`--gpus` chooses some); `greenformers catalog list` shows CPUs"
    )
}

fn account_for(
    tracked: &Tracked,
    share: f64,
    conditions: &greenformers::estimate::Conditions,
    args: &Args,
    facts: &MachineFacts,
) -> Account {
    let metered =
        tracked.lines.iter().filter_map(|line| Some(MeteredPart { energy_j: line.energy_j?, coverage: line.covers? }));
    let parts: Vec<MeteredPart> = metered.collect();
    // Board and fans: of the command alone, as much as its CPU time is of the machine's.
    let own = match (args.process, tracked.cpu_s) {
        (true, Some(cpu_s)) => (cpu_s / (tracked.duration_s * facts.usable_cpus())).min(1.0),
        _ => 1.0,
    };
    // Board, fans and rent of a node are in the record of the rank that meters its processors.
    let elsewhere = tracked.lines.iter().any(|line| line.kind != PartKind::Gpu && line.measured_by.is_some());
    let own = if elsewhere { 0.0 } else { own };
    account(&parts, Seconds(tracked.duration_s), share * own, conditions, args.seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine_alone() {
        for text in ["9400", ":9400", "127.0.0.1:9400", "localhost:9400"] {
            assert_eq!(parse_address(text).expect(text).to_string(), "127.0.0.1:9400");
        }
        assert_eq!(parse_address("0.0.0.0:1").expect("given").to_string(), "0.0.0.0:1");
        assert_eq!(parse_address("[::1]:1").expect("given").to_string(), "[::1]:1");
        for text in ["", "70000", "host", "1.2.3.4", "-1"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
