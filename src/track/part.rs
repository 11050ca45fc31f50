//! What each part of the machine used while the command ran.

use serde::Serialize;

use super::{Snapshot, Tracking, TrackingLog};
use crate::machine::{MachineFacts, Part, PartKind};
use crate::meter::MeterTrace;
use crate::meter::{Coverage, EnergySource};
use crate::record::{ENERGY_TOLERANCE, Readings, Warning};
use crate::sensor::MeterFacts;
use crate::stats::{Interval, with_gain};

/// A process that meters for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Measurer {
    /// Its number on the node.
    pub process: Option<u32>,
    /// Its rank in the job.
    pub rank: Option<u64>,
}

/// A part of the machine and its energy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrackedPart {
    /// `cpu`, `memory`, `gpu 0`.
    pub device: String,
    /// What kind of part.
    pub kind: PartKind,
    /// Its name for people.
    pub name: String,
    /// What identifies it.
    pub id: Option<String>,
    /// Joules while the command ran; of the command, if its share was asked for. `None` if not known: see `reason`.
    pub energy_j: Option<Interval>,
    /// The same above what the idle part draws, where that is known.
    pub energy_above_idle_j: Option<Interval>,
    /// Mean watts.
    pub power_w: Option<Interval>,
    /// The command's share of what the part used.
    pub share: Option<f64>,
    /// Where the joules come from.
    pub source: Option<EnergySource>,
    /// What they are for.
    pub covers: Option<Coverage>,
    /// The part whose line holds this one's energy.
    pub covered_by: Option<&'static str>,
    /// The process of the same job and node that meters this part for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_by: Option<Measurer>,
    /// Joules of the whole device by its counter, and by integrating its power, where there are both.
    pub counter_and_integral_j: Option<(f64, f64)>,
    /// Whether others used the device meanwhile; `None` if not known, or no GPU.
    pub shared: Option<bool>,
    /// Readings taken.
    pub samples: usize,
    /// Whether its energy lacks a part of what it covers.
    pub partial: bool,
    /// Why a number is not known, lacks a part, or is only modelled.
    pub reason: Option<String>,
    /// What has to be said of its readings.
    #[serde(skip)]
    pub doubts: Vec<Warning>,
}

/// What differences of joules are off by, relative to them.
const ROUNDING: f64 = 1e-9;

impl TrackedPart {
    /// Whether its energy, or a part of it, is missing from a total.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.covered_by.is_none() && self.measured_by.is_none() && (self.energy_j.is_none() || self.partial)
    }
}

/// Mean power over all readings of a meter.
pub(super) fn mean_power(trace: &MeterTrace) -> Option<f64> {
    let (first, last) = (trace.samples.first()?.time_s, trace.samples.last()?.time_s);
    Some(trace.energy_between(first, last)? / (last - first))
}

/// What was read of a part that has a meter.
pub(super) struct PartReadings {
    pub(super) trace: MeterTrace,
    pub(super) meter: MeterFacts,
    /// Watts at rest.
    pub(super) idle_w: Option<f64>,
}

/// What was seen beside the meters, and whose energy is asked for.
pub(super) struct Seen<'a> {
    pub(super) run: &'a TrackingLog,
    pub(super) tracking: Tracking,
    pub(super) machine: &'a MachineFacts,
}

/// A line for each part, with what was read of it.
pub(super) fn lines(parts: &[(Part, Option<PartReadings>)], seen: &Seen) -> Vec<TrackedPart> {
    let shared = |part: &Part| seen.run.shared.iter().find(|(device, _)| *device == part.device)?.1;
    let line = |(part, metered): &(Part, Option<PartReadings>)| {
        let mut line = blank(part);
        line.shared = shared(part);
        if let Some(metered) = metered {
            line.fill(metered, seen);
        }
        line
    };
    parts.iter().map(line).collect()
}

fn blank(part: &Part) -> TrackedPart {
    TrackedPart {
        device: part.device.clone(),
        kind: part.kind,
        name: part.name.clone(),
        id: part.id.clone(),
        energy_j: None,
        energy_above_idle_j: None,
        power_w: None,
        share: None,
        source: None,
        covers: None,
        covered_by: part.covered_by,
        measured_by: None,
        counter_and_integral_j: None,
        shared: None,
        samples: 0,
        partial: false,
        reason: part.reason.clone(),
        doubts: Vec::new(),
    }
}

impl TrackedPart {
    fn fill(&mut self, PartReadings { trace, meter, idle_w }: &PartReadings, seen: &Seen) {
        let (run, tracking) = (seen.run, seen.tracking);
        let duration = run.end_s - run.start_s;
        let window = [(run.start_s, run.end_s)];
        let readings = trace.over(&window);
        let counter = readings.counter_between(run.start_s, run.end_s);
        let integral = readings.integral_between(run.start_s, run.end_s);
        self.counter_and_integral_j = counter.zip(integral);
        self.samples = trace.samples.len();
        self.covers = Some(trace.meter.coverage);
        self.source = Some(match (trace.meter.source, counter) {
            (EnergySource::NvmlCounter, None) => EnergySource::NvmlPower,
            (source, _) => source,
        });
        self.doubts = readings.doubts();
        let Some(whole_j) = counter.or(integral) else {
            self.source = None;
            let doubted = self.doubts.first().map(|d| format!("{}: {}", d.fact, d.consequence));
            self.reason = Some(trace.failure.clone().or(doubted).unwrap_or_else(|| {
                format!(
                    "its meter did not advance in {duration:.3} s: it changes about each {:.0} ms, so a run this short \
                     cannot be told from nothing",
                    1000.0 * meter.resolution.0
                )
            }));
            return;
        };
        // A window that begins and ends anywhere between two ticks: sd of the tick over sqrt(6) (Sheppard).
        let mut spread = meter.resolution.0 / (6f64.sqrt() * duration);
        let share = match (tracking, self.kind) {
            (Tracking::Machine, _) => Ok((1.0, 0.0)),
            (Tracking::Process, PartKind::Cpu) => cpu_share(&readings, trace.meter.source, run),
            (Tracking::Process, PartKind::Memory) => memory_share(run, seen.machine),
            (Tracking::Process, PartKind::Gpu) => self.gpu_share(whole_j),
        };
        let (share, unsure) = match share {
            Ok(share) => share,
            Err(reason) => {
                self.reason = Some(reason);
                return;
            }
        };
        // What is left out may have drawn nothing, or as much again as the rest.
        spread = spread.hypot(unsure).hypot(readings.unread());
        self.partial = readings.is_partial();
        if self.partial {
            let stopped =
                || "partial: its counter stood still for more than a second, and no device draws nothing".to_owned();
            self.reason = Some(meter.lacks.clone().unwrap_or_else(stopped));
        }
        let gain = trace.meter.gain_uncertainty;
        self.share = (tracking == Tracking::Process).then_some(share);
        let energy = with_gain(whole_j * share, spread, gain);
        self.energy_j = Some(energy);
        self.power_w = Some(energy.scaled(1.0 / duration));
        // A part that is modelled to draw the same at rest has nothing above idle but rounding.
        let above = idle_w.map(|idle| (whole_j - idle * duration) * share).filter(|j| *j > ROUNDING * whole_j);
        self.energy_above_idle_j = above.map(|j| with_gain(j, spread * whole_j * share / j, gain));
        if self.shared == Some(true) {
            self.reason =
                Some("others used it meanwhile: its energy is that of all of them, an upper bound".to_owned());
        }
    }

    /// A GPU has no meter for a process: all of it if nobody else used it, else nothing can be said but a bound.
    fn gpu_share(&self, whole_j: f64) -> Result<(f64, f64), String> {
        match self.shared {
            Some(false) => Ok((1.0, 0.0)),
            Some(true) => Err(format!(
                "others used it meanwhile, and no sensor tells them apart: this command's energy is between 0 and \
                 {whole_j:.3} J"
            )),
            None => Err(format!(
                "the driver does not say who uses it: this command's energy is between 0 and {whole_j:.3} J"
            )),
        }
    }
}

/// The energy that goes to the command when each stretch of time is divided by CPU time, over the whole, and what the
/// kernel's clock leaves unsure of it.
fn cpu_share(readings: &Readings, source: EnergySource, run: &TrackingLog) -> Result<(f64, f64), String> {
    let host = source == EnergySource::Rapl;
    let busy = |look: &Snapshot| if host { look.host_cpu_s } else { look.busy_cpu_s };
    let (mut own, mut all) = (0.0, 0.0);
    let known: Vec<&Snapshot> = run.snapshots.iter().filter(|l| l.tree_cpu_s.is_some()).collect();
    for pair in known.windows(2) {
        let (from, to) = (pair[0].time_s.max(run.start_s), pair[1].time_s.min(run.end_s));
        let joules = readings.energy_between(from, to).unwrap_or(0.0);
        let used = pair[1].tree_cpu_s.zip(pair[0].tree_cpu_s).map_or(0.0, |(b, a)| b - a);
        let busy = (busy(pair[1]) - busy(pair[0])).max(used);
        own += if busy > 0.0 { joules * (used / busy).clamp(0.0, 1.0) } else { 0.0 };
        all += joules;
    }
    let used = run.snapshots.last().and_then(|l| l.tree_cpu_s).unwrap_or(0.0);
    let tick = 1.0 / crate::sensor::TICKS_PER_SECOND;
    if own > 0.0 && all > 0.0 && used >= tick {
        Ok((own / all, tick / (6f64.sqrt() * used)))
    } else {
        Err(format!(
            "the command used less CPU time than the kernel's clock of {:.0} ms can tell: its share is not known",
            1000.0 * tick
        ))
    }
}

/// Mean resident memory of the command over the machine's.
fn memory_share(run: &TrackingLog, facts: &MachineFacts) -> Result<(f64, f64), String> {
    let seen: Vec<f64> = run.snapshots.iter().filter_map(|l| l.resident_bytes).map(|b| b as f64).collect();
    let mean = seen.iter().sum::<f64>() / seen.len() as f64;
    if seen.is_empty() || mean <= 0.0 {
        return Err("the command ended before its memory could be looked at: its share is not known".to_owned());
    }
    Ok(((mean / facts.memory_bytes as f64).min(1.0), 0.0))
}

/// What the reader of the lines must know.
pub(super) fn warnings(lines: &[TrackedPart], facts: &MachineFacts, tracking: Tracking) -> Vec<Warning> {
    let mut found = Vec::new();
    for line in lines {
        found.extend(line.doubts.iter().map(|doubt| doubt.clone().of(&line.device)));
        if let Some((counter, integral)) = line.counter_and_integral_j
            && (integral / counter - 1.0).abs() > ENERGY_TOLERANCE
        {
            found.push(Warning::new(
                format!("{}: the integral of power is {:+.1} % off its counter", line.device, 100.0 * (integral / counter - 1.0)),
                "one of the two readings is wrong, or the interval is too long to follow the power; the counter's is shown",
                "give a shorter `--interval`",
            ));
        }
        if line.shared == Some(true) {
            found.push(Warning::new(
                format!("{}: other processes used it meanwhile", line.device),
                "no sensor tells them apart: its energy is an upper bound for this command",
                "run on a GPU that nobody else uses",
            ));
        }
        let host = line.source == Some(EnergySource::Rapl) && tracking == Tracking::Machine;
        if let Some(limit) = facts.cpu_limit.filter(|_| host) {
            found.push(Warning::new(
                format!(
                    "{}: its counter is of the whole host, of which this program may use {limit} CPUs",
                    line.device
                ),
                "its energy is an upper bound for this program",
                "`--process` gives this command's share",
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::Exit;
    use super::*;
    use crate::meter::{MeterInfo, Sample};
    use crate::units::Seconds;

    fn log(source: EnergySource, samples: &[(f64, Option<f64>, Option<f64>)]) -> MeterTrace {
        let coverage = if source == EnergySource::NvmlCounter { Coverage::Gpu } else { Coverage::CpuPackage };
        let info =
            MeterInfo { source, domain: "GPU-x".to_owned(), coverage, gain_uncertainty: 0.05, note: String::new() };
        let sample = |(time_s, energy_j, power_w): &(f64, Option<f64>, Option<f64>)| Sample {
            time_s: *time_s,
            energy_j: *energy_j,
            power_w: *power_w,
            doubt: None,
        };
        let samples = samples.iter().map(sample).collect();
        MeterTrace { meter: info, samples, failure: None, timing: None, idle_w: None }
    }

    fn run(snapshots: &[(f64, f64, f64)], shared: Option<bool>) -> TrackingLog {
        let look = |(time_s, tree, host): &(f64, f64, f64)| Snapshot {
            time_s: *time_s,
            tree_cpu_s: Some(*tree),
            resident_bytes: Some(2_000_000_000),
            busy_cpu_s: *host,
            host_cpu_s: *host,
        };
        TrackingLog {
            start_s: 0.0,
            end_s: 10.0,
            exit: Exit { code: Some(0), signal: None },
            snapshots: snapshots.iter().map(look).collect(),
            shared: vec![("gpu 0".to_owned(), shared)],
        }
    }

    fn facts() -> MachineFacts {
        MachineFacts {
            host: String::new(),
            os: String::new(),
            cpu: String::new(),
            logical_cpus: 8,
            cpu_limit: None,
            one_thread_a_core: false,
            memory_bytes: 16_000_000_000,
        }
    }

    fn filled(
        kind: PartKind,
        log: &MeterTrace,
        tracking: Tracking,
        run: &TrackingLog,
        idle_w: Option<f64>,
    ) -> TrackedPart {
        let part = Part::new(kind, "gpu 0", String::new());
        let meter = MeterFacts {
            info: log.meter.clone(),
            resolution: Seconds(0.1),
            idle_power: None,
            averages: false,
            lacks: None,
            energy_j: None,
            power_w: None,
        };
        let metered = PartReadings { trace: log.clone(), meter, idle_w };
        lines(&[(part, Some(metered))], &Seen { run, tracking, machine: &facts() }).remove(0)
    }

    const BUSY: [(f64, f64, f64); 2] = [(0.0, 0.0, 100.0), (10.0, 15.0, 120.0)];

    #[test]
    fn the_machine_s_energy_is_the_counter_s_and_above_idle_is_beside_it() {
        let log = log(EnergySource::Rapl, &[(0.0, Some(5.0), None), (10.0, Some(805.0), None)]);
        let line = filled(PartKind::Cpu, &log, Tracking::Machine, &run(&BUSY, None), Some(30.0));
        assert!((line.energy_j.expect("known").mid - 800.0).abs() < 1e-9);
        assert!((line.energy_above_idle_j.expect("known").mid - 500.0).abs() < 1e-9);
        assert!((line.power_w.expect("known").mid - 80.0).abs() < 1e-9);
        assert_eq!((line.source, line.share), (Some(EnergySource::Rapl), None));
    }

    #[test]
    fn a_part_that_draws_as_much_at_rest_has_nothing_above_idle() {
        let log = log(EnergySource::Model, &[(0.0, Some(0.1), None), (10.0, Some(0.1 + 94.2), None)]);
        let line = filled(PartKind::Memory, &log, Tracking::Machine, &run(&BUSY, None), Some(9.42));
        assert!((line.energy_j.expect("known").mid - 94.2).abs() < 1e-9);
        assert_eq!(line.energy_above_idle_j, None);
    }

    #[test]
    fn a_process_gets_the_part_of_the_cpu_s_energy_that_its_cpu_time_is_of_all_busy_time() {
        let log = log(EnergySource::Rapl, &[(0.0, Some(0.0), None), (10.0, Some(800.0), None)]);
        // 15 of 20 busy CPU-seconds
        let line = filled(PartKind::Cpu, &log, Tracking::Process, &run(&BUSY, None), None);
        assert!((line.energy_j.expect("known").mid - 600.0).abs() < 1e-9);
        assert_eq!(line.share, Some(0.75));
        assert_eq!(line.energy_above_idle_j, None, "no idle power is known");
    }

    #[test]
    fn a_command_without_cpu_time_has_no_share_and_a_reason() {
        let log = log(EnergySource::Rapl, &[(0.0, Some(0.0), None), (10.0, Some(800.0), None)]);
        let line =
            filled(PartKind::Cpu, &log, Tracking::Process, &run(&[(0.0, 0.0, 1.0), (10.0, 0.0, 2.0)], None), None);
        assert_eq!(line.energy_j, None);
        assert!(line.reason.expect("a reason").contains("less CPU time than the kernel's clock of 10 ms"));
    }

    #[test]
    fn memory_goes_by_what_is_resident() {
        let log = log(EnergySource::Model, &[(0.0, Some(0.0), None), (10.0, Some(80.0), None)]);
        let line = filled(PartKind::Memory, &log, Tracking::Process, &run(&BUSY, None), None);
        assert!((line.energy_j.expect("known").mid - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_counter_that_stands_still_gives_way_to_power_and_neither_is_null_with_a_reason() {
        let still = log(EnergySource::NvmlCounter, &[(0.0, Some(7.0), Some(50.0)), (10.0, Some(7.0), Some(70.0))]);
        let line = filled(PartKind::Gpu, &still, Tracking::Machine, &run(&BUSY, Some(false)), None);
        assert!((line.energy_j.expect("known").mid - 600.0).abs() < 1e-9);
        assert_eq!(line.source, Some(EnergySource::NvmlPower));
        let nothing = log(EnergySource::NvmlCounter, &[(0.0, Some(7.0), None), (10.0, Some(7.0), None)]);
        let line = filled(PartKind::Gpu, &nothing, Tracking::Machine, &run(&BUSY, Some(false)), None);
        assert_eq!((line.energy_j, line.source), (None, None));
        assert!(line.reason.expect("a reason").contains("did not advance in 10.000 s"));
    }

    #[test]
    fn counter_and_integral_more_than_5_percent_apart_are_a_warning() {
        for (power, warned) in [(83.9, 0), (85.0, 1), (75.0, 1)] {
            let log =
                log(EnergySource::NvmlCounter, &[(0.0, Some(0.0), Some(power)), (10.0, Some(800.0), Some(power))]);
            let line = filled(PartKind::Gpu, &log, Tracking::Machine, &run(&BUSY, Some(false)), None);
            assert_eq!(warnings(&[line], &facts(), Tracking::Machine).len(), warned, "{power} W");
        }
    }

    #[test]
    fn the_energy_of_a_shared_gpu_is_bounded_and_given_to_nobody() {
        let log = log(EnergySource::NvmlCounter, &[(0.0, Some(0.0), None), (10.0, Some(800.0), None)]);
        let line = filled(PartKind::Gpu, &log, Tracking::Process, &run(&BUSY, Some(true)), None);
        assert_eq!(line.energy_j, None);
        assert!(line.reason.as_deref().expect("a reason").contains("between 0 and 800.000 J"));
        assert_eq!(warnings(&[line], &facts(), Tracking::Process).len(), 1);
        let alone = filled(PartKind::Gpu, &log, Tracking::Process, &run(&BUSY, Some(false)), None);
        assert!((alone.energy_j.expect("known").mid - 800.0).abs() < 1e-9);
    }
}
