//! Runs any command and accounts for its energy: its output, its signals and its exit code pass through.

mod exporter;
mod forecast;
mod forward;
mod gpus;
mod live;
mod part;
#[cfg(unix)]
mod printed;
#[cfg(not(unix))]
#[path = "printed_nowhere.rs"]
mod printed;
mod process;
mod start;
mod stop;
mod trainer_state;
mod turns;
mod watcher;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use forecast::{Forecaster, RunForecast, Said, StopAfter, UnknownStop};
pub use live::LIVE_PATH;
pub use part::{Measurer, TrackedPart};
pub use trainer_state::{TrainerState, TrainerStates};
pub use turns::NodeMeter;
pub use watcher::{Look, Watcher};

use self::exporter::Exporter;
use self::gpus::Watched;
use self::live::Live;
use self::part::{PartReadings, Seen};
use self::printed::{Screen, Streams, pass_on};
use self::process::{Tree, waited_for_cpu_s};
use self::stop::Stopping;
use crate::catalog::Device;
use crate::ffi::{adopt_orphans, since_boot_s};
use crate::machine::{MachineFacts, Part, host_parts};
use crate::record::Warning;
use crate::sensor::{CpuClock, Meter, Sampler, SensorError};
use crate::units::Seconds;

/// All processes are gone through at each look at the command, which costs more than a reading of its meters.
const LEAST_BETWEEN_LOOKS_S: f64 = 1.0;

/// The environment variable that names the descriptor to which a command may tell its steps, a line of text for each.
pub const STEPS_FD: &str = "GREENFORMERS_STEPS_FD";
/// The one that names the same pipe by a path, for a process whose launcher has closed the descriptor. Linux has such paths.
pub const STEPS_PATH: &str = "GREENFORMERS_STEPS_PATH";

/// How often whoever watches is asked.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(250);

/// Whose energy is accounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tracking {
    /// All that the machine draws while the command runs.
    Machine,
    /// The command's share: of the processors by CPU time, of the memory by resident memory.
    Process,
}

/// What to run, and how to watch it.
#[derive(Debug, Clone)]
pub struct TrackPlan {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Time between two readings.
    pub interval: Seconds,
    /// Whose energy is accounted for.
    pub tracking: Tracking,
    /// Which GPUs, as `CUDA_VISIBLE_DEVICES` names them; `None`: those of the environment.
    pub gpus: Option<String>,
    /// Seconds for which the idle machine is measured first.
    pub idle: Option<Seconds>,
    /// Folder of the kernel's energy counters.
    pub powercap: PathBuf,
    /// Whether a command that is watched sees a terminal where this program has none.
    pub as_terminal: bool,
    /// Where to serve what is sampled.
    pub serve: Option<SocketAddr>,
    /// What the ranks of a job on this node agree by on who meters what; `None`: this process meters all.
    pub node_meter: Option<NodeMeter>,
}

/// Why a command could not be tracked.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// There is no such command.
    #[error("there is no command `{command}`\nhint: {hint}")]
    NoCommand {
        /// The command.
        command: String,
        /// What may be wrong.
        hint: String,
    },
    /// It is there, and what should run it is not.
    #[error("cannot run `{command}`: {needs}, which is not there\nhint: {hint}")]
    NoInterpreter {
        /// The command.
        command: String,
        /// What it needs.
        needs: String,
        /// What helps.
        hint: String,
    },
    /// It is neither a program of this machine nor a script.
    #[error(
        "cannot run `{0}`: it is neither a program for this machine nor a script\nhint: `file {0}` says what it is"
    )]
    NoProgram(String),
    /// It may not be run.
    #[error("cannot run `{command}`")]
    Spawn {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// It could not be waited for.
    #[error("lost the command `{command}`")]
    Wait {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address cannot be served.
    #[error("cannot serve `{address}`\nhint: is it in use? Port 0 takes any that is free")]
    Serve {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A share needs the CPU time of processes.
    #[error(
        "`--process` needs `/proc`, which this system has not\nhint: without it the whole machine is accounted for"
    )]
    NoProc,
    /// The GPUs that were named.
    #[error("`--gpus`: {0}")]
    Gpus(String),
    /// GPUs were named and there is no driver.
    #[error(transparent)]
    Sensor(#[from] SensorError),
}

impl TrackError {
    /// The exit code of a shell, if the command is what could not be run: 127 where something is not there, else 126.
    #[must_use]
    pub fn shell_code(&self) -> Option<u8> {
        match self {
            Self::NoCommand { .. } | Self::NoInterpreter { .. } => Some(127),
            Self::Spawn { .. } | Self::NoProgram(_) => Some(126),
            _ => None,
        }
    }
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exit {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        #[cfg(not(unix))]
        let signal = None;
        Self { code: status.code(), signal }
    }

    /// The code that a shell gives it: 128 and the number of the signal, for a command that was killed.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        let code = self.code.or(self.signal.map(|s| 128 + s)).unwrap_or(1);
        u8::try_from(code & 0xff).unwrap_or(1)
    }
}

/// A command that has run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// Seconds from start to end.
    pub duration_s: f64,
    /// Seconds from the start of the machine to the start of the command, by the clock that nobody sets.
    pub since_boot_s: Option<f64>,
    /// How it ended.
    pub exit: Exit,
    /// A line for each part of the machine.
    pub lines: Vec<TrackedPart>,
    /// CPU-seconds of the command and all that it started, where the system tells.
    pub cpu_s: Option<f64>,
    /// Busy share of the CPUs that may be used, 0 to 1.
    pub cpu_load: Option<f64>,
    /// Most bytes of memory that the command and all that it started had in use when it was looked at.
    pub resident_bytes: Option<u64>,
    /// Caveats.
    pub warnings: Vec<Warning>,
}

/// What was seen of the command at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Snapshot {
    time_s: f64,
    /// CPU-seconds of the command and all that it started.
    tree_cpu_s: Option<f64>,
    resident_bytes: Option<u64>,
    /// Busy CPU-seconds of what this container may use, and of the whole machine.
    busy_cpu_s: f64,
    host_cpu_s: f64,
}

/// Runs the command of `plan` to its end. `ready` is told the address that is served; `watcher` sees what the command prints,
/// which is passed on as it is, and may end it.
///
/// # Errors
/// If it cannot be run, or what was asked for cannot be had. Nothing has run then.
pub fn track(
    plan: &TrackPlan,
    facts: &MachineFacts,
    cpu: Option<&Device>,
    ready: impl FnOnce(SocketAddr),
    watcher: Option<&mut dyn Watcher>,
) -> Result<Tracked, TrackError> {
    let mut warnings = Vec::new();
    let mut parts = host_parts(&plan.powercap, facts, cpu);
    let on_gpus = gpus::add(&mut parts, plan.gpus.as_deref(), &mut warnings)?;
    if plan.tracking == Tracking::Process && Tree::of(std::process::id(), None).snapshot().is_none() {
        return Err(TrackError::NoProc);
    }
    // Each rank has a share of its own, which no other has metered.
    let agreed = plan.node_meter.as_ref().filter(|_| plan.tracking == Tracking::Machine);
    let turns = agreed.map(|node| turns::agree(&mut parts, node, &mut warnings)).unwrap_or_default();
    let mut meters: Vec<Box<dyn Meter>> = Vec::new();
    // The place of each part's meter among those that are read.
    let places: Vec<Option<usize>> = parts
        .iter_mut()
        .map(|part| {
            meters.push(part.meter.take()?);
            Some(meters.len() - 1)
        })
        .collect();
    let (epoch, epoch_since_boot_s) = (Instant::now(), since_boot_s());
    let sampler = Sampler::start_every(plan.interval, epoch, meters);
    let idle = plan.idle.map(|idle| idle_powers(&sampler, idle));
    let (_exporter, address) = match plan.serve {
        Some(address) => {
            let serve = |source| TrackError::Serve { address, source };
            let exporter = Exporter::start(address, sampler.reader()).map_err(serve)?;
            let address = exporter.address();
            (Some(exporter), Some(address))
        }
        None => (None, None),
    };
    if let Some(address) = address {
        ready(address);
    }
    let run = run(plan, &sampler, epoch, on_gpus, watcher)?;
    let (traces, facts_of) = (sampler.take(), sampler.meters());
    let metered = |place: usize| {
        let (trace, meter) = (traces[place].clone(), facts_of[place].clone());
        let idle_w = trace.idle_w.or_else(|| *idle.as_ref()?.get(place)?);
        PartReadings { trace, meter, idle_w }
    };
    let parts: Vec<(Part, Option<PartReadings>)> =
        parts.into_iter().zip(places).map(|(part, place)| (part, place.map(metered))).collect();
    let mut lines = part::lines(&parts, &Seen { run: &run, tracking: plan.tracking, machine: facts });
    turns.say(&mut lines);
    warnings.extend(part::warnings(&lines, facts, plan.tracking));
    let (first, last) = (run.snapshots[0], run.snapshots[run.snapshots.len() - 1]);
    let duration_s = run.end_s - run.start_s;
    let clock = CpuClock::of_machine();
    let busy = (last.busy_cpu_s - first.busy_cpu_s) / ((last.time_s - first.time_s) * clock.cpus());
    Ok(Tracked {
        duration_s,
        since_boot_s: epoch_since_boot_s.map(|epoch_s| epoch_s + run.start_s),
        exit: run.exit,
        lines,
        cpu_s: last.tree_cpu_s,
        cpu_load: (duration_s > clock.resolution().0 && busy.is_finite()).then(|| busy.clamp(0.0, 1.0)),
        resident_bytes: run.snapshots.iter().filter_map(|l| l.resident_bytes).max(),
        warnings,
    })
}

/// What was seen from before the start to after the end.
struct TrackingLog {
    start_s: f64,
    end_s: f64,
    exit: Exit,
    snapshots: Vec<Snapshot>,
    /// GPUs, by UUID or name, that other processes used meanwhile, and whether that is known.
    shared: Vec<(String, Option<bool>)>,
}

fn run(
    plan: &TrackPlan,
    sampler: &Sampler,
    epoch: Instant,
    mut on_gpus: Vec<Watched>,
    watcher: Option<&mut dyn Watcher>,
) -> Result<TrackingLog, TrackError> {
    let name = plan.command[0].to_string_lossy().into_owned();
    let now = || epoch.elapsed().as_secs_f64();
    for gpu in &mut on_gpus {
        gpu.before();
    }
    let mut clocks = (CpuClock::of_machine(), CpuClock::of_host());
    let waited_before = waited_for_cpu_s();
    let _ = sampler.take();
    sampler.read_now();
    let mut snapshots = vec![snapshot(now(), &mut clocks, Some(0.0), None)];
    #[cfg(unix)]
    let signals = forward::Caught::from_now();
    let start_s = now();
    // A command may end before what it started: those processes stay below this one, where they are found.
    let adopter = (plan.tracking == Tracking::Process && adopt_orphans()).then(std::process::id);
    let failed = |source| TrackError::Spawn { command: name.clone(), source };
    let (streams, sources) = match &watcher {
        Some(_) => Streams::open(plan.as_terminal).map_err(failed)?,
        None => Default::default(),
    };
    let live = watcher.is_some().then(Live::new).transpose().map_err(failed)?;
    let mut child = start::start(&plan.command, &streams, live.as_ref().map(Live::path))?;
    // Only the command keeps its ends.
    drop(streams);
    let (pid, started, has_ended) = (child.id(), Instant::now(), AtomicBool::new(false));
    let watcher = watcher.map(Mutex::new);
    let screen = Mutex::new(Screen::new());
    #[cfg(unix)]
    let forwarding = signals.map(|s| s.forward_to(child.id()));
    let mut tree = Tree::of(child.id(), adopter);
    let (ended, end) = channel::<()>();
    let (tree_seen, gpus, ticking, seen) = (&mut tree, &mut on_gpus, &mut clocks, &mut snapshots);
    let status = std::thread::scope(|scope| {
        // A system that gives no more threads leaves the command running, looked at only before and after.
        let look = move || watch(&end, plan.interval, tree_seen, gpus, ticking, seen, epoch);
        let looking = std::thread::Builder::new().name("look".to_owned()).spawn_scoped(scope, look);
        if let Some(watcher) = &watcher {
            let (screen, has_ended, reader) = (&screen, &has_ended, sampler.reader());
            for source in sources {
                scope.spawn(move || pass_on(source, (screen, watcher), started, has_ended));
            }
            let live = live.as_ref();
            scope.spawn(move || ask(watcher, (screen, live), &reader, (pid, started), has_ended));
        }
        let status = child.wait();
        let end_s = now();
        has_ended.store(true, Ordering::Release);
        drop(ended);
        // A thread that panicked has already shown its message.
        let _ = looking.map(std::thread::ScopedJoinHandle::join);
        status.map(|s| (s, end_s))
    });
    #[cfg(unix)]
    drop(forwarding);
    let (status, end_s) = status.map_err(|source| TrackError::Wait { command: name, source })?;
    sampler.read_now();
    let waited = waited_for_cpu_s().zip(waited_before).map(|(after, before)| tree.total_s(after - before));
    snapshots.push(snapshot(now(), &mut clocks, waited, None));
    let shared = on_gpus.into_iter().map(Watched::verdict).collect();
    Ok(TrackingLog { start_s, end_s, exit: Exit::of(status), snapshots, shared })
}

/// Asks the watcher some times a second until the command has ended, says what it says, and ends the command when it wants.
fn ask(
    watcher: &Mutex<&mut dyn Watcher>,
    (screen, live): (&Mutex<Screen>, Option<&Live>),
    reader: &crate::sensor::Reader,
    (pid, started): (u32, Instant),
    has_ended: &AtomicBool,
) {
    let mut stopping = Stopping::default();
    while !has_ended.load(Ordering::Acquire) {
        std::thread::sleep(BETWEEN_QUESTIONS);
        let at_s = started.elapsed().as_secs_f64();
        let meters = reader.meters();
        // One that has panicked has shown its message.
        let Ok(look) = watcher.lock().map(|mut watcher| watcher.look(at_s, &meters)) else { return };
        if let (Some(live), Some(text)) = (live, look.live) {
            // A full disk is no reason to disturb the command, which goes on with what was said last.
            let _ = live.say(&text);
        }
        let said = if look.stop { stopping.go_on(pid, at_s) } else { None };
        if let Ok(mut screen) = screen.lock() {
            if let Some(line) = look.line {
                screen.say(&line, at_s);
            }
            if let Some(line) = said {
                screen.insist(line);
            }
        }
    }
    if let Ok(mut screen) = screen.lock() {
        screen.end();
    }
}

/// Looks at the command each `interval`, or each second if that is longer, until it has ended.
fn watch(
    end: &Receiver<()>,
    interval: Seconds,
    tree: &mut Tree,
    watched: &mut [Watched],
    clocks: &mut (CpuClock, CpuClock),
    snapshots: &mut Vec<Snapshot>,
    epoch: Instant,
) {
    // Once soon after the start, so that a short command is seen as well.
    let mut pause = Duration::from_secs_f64(interval.0.min(0.02));
    let interval = interval.0.max(LEAST_BETWEEN_LOOKS_S);
    while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(pause) {
        pause = Duration::from_secs_f64(interval);
        if let Some(used) = tree.snapshot() {
            let time_s = epoch.elapsed().as_secs_f64();
            snapshots.push(snapshot(time_s, clocks, Some(used.cpu_s), Some(used.resident_bytes)));
            let members = tree.members();
            for gpu in watched.iter_mut() {
                gpu.during(&members);
            }
        }
    }
}

fn snapshot(
    time_s: f64,
    clocks: &mut (CpuClock, CpuClock),
    tree_cpu_s: Option<f64>,
    resident_bytes: Option<u64>,
) -> Snapshot {
    let (busy_cpu_s, host_cpu_s) = (clocks.0.busy_cpu_seconds(), clocks.1.busy_cpu_seconds());
    Snapshot { time_s, tree_cpu_s, resident_bytes, busy_cpu_s, host_cpu_s }
}

/// Watts of each meter while nothing runs.
fn idle_powers(sampler: &Sampler, idle: Seconds) -> Vec<Option<f64>> {
    let _ = sampler.take();
    sampler.read_now();
    std::thread::sleep(Duration::from_secs_f64(idle.0));
    sampler.read_now();
    sampler.take().iter().map(part::mean_power).collect()
}
