//! What kept the steps of a cell from running undisturbed: it is why their times scatter.

use std::fs;
use std::time::Instant;

use crate::record::Warning;
use crate::sensor::{CgroupLimits, CpuClock, TICKS_PER_SECOND, cgroup_limits};

/// Others that use more than this part of the CPUs are a warning.
const BUSY: f64 = 0.1;
/// So is a limit that held the program back for more than this part of the time.
const THROTTLED: f64 = 0.02;

/// What the machine and this program have used so far.
pub(super) struct LoadWatch {
    host: CpuClock,
    limits: CgroupLimits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LoadReading {
    at: Instant,
    host_cpu_s: f64,
    own_cpu_s: Option<f64>,
    throttled_s: Option<f64>,
}

/// What happened beside the visits of one cell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(clippy::struct_field_names, reason = "each is in seconds")]
pub(super) struct Disturbance {
    wall_s: f64,
    /// CPU-seconds of other processes.
    others_cpu_s: f64,
    /// Seconds for which the control group was not let run.
    throttled_s: f64,
}

impl LoadWatch {
    pub(super) fn new() -> Self {
        Self { host: CpuClock::of_host(), limits: cgroup_limits() }
    }

    pub(super) fn now(&mut self) -> LoadReading {
        LoadReading {
            at: Instant::now(),
            host_cpu_s: self.host.busy_cpu_seconds(),
            own_cpu_s: fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)),
            throttled_s: self.limits.throttled_s(),
        }
    }

    /// CPUs that may be used: those of the machine, or what its control group allows.
    fn usable_cpus(&self) -> f64 {
        self.limits.cpus.unwrap_or(f64::INFINITY).min(self.host.cpus())
    }

    /// What is to be said of a cell that `threads` threads computed.
    pub(super) fn warnings(&self, seen: Disturbance, threads: usize) -> Vec<Warning> {
        warnings(seen, threads, self.host.cpus(), self.usable_cpus())
    }
}

impl Disturbance {
    /// Adds what happened between two moments.
    pub(super) fn add(&mut self, from: LoadReading, to: LoadReading) {
        self.wall_s += (to.at - from.at).as_secs_f64();
        if let Some((after, before)) = to.own_cpu_s.zip(from.own_cpu_s) {
            self.others_cpu_s += ((to.host_cpu_s - from.host_cpu_s) - (after - before)).max(0.0);
        }
        if let Some((after, before)) = to.throttled_s.zip(from.throttled_s) {
            self.throttled_s += (after - before).max(0.0);
        }
    }
}

fn warnings(seen: Disturbance, threads: usize, cpus: f64, usable: f64) -> Vec<Warning> {
    const WIDER: &str = "steps were slower than on a quiet machine and scatter more: the interval is wider for it";
    let mut found = Vec::new();
    let others = seen.others_cpu_s / seen.wall_s;
    if others > BUSY * cpus {
        found.push(Warning::new(
            format!("other processes kept {others:.1} of {cpus:.0} CPUs busy"),
            WIDER,
            "measure while nothing else runs",
        ));
    }
    let held = seen.throttled_s / seen.wall_s;
    if held > THROTTLED {
        found.push(Warning::new(
            format!("the control group's limit of {usable} CPUs held the program back for {:.0} % of the time", {
                100.0 * held.min(1.0)
            }),
            WIDER,
            "give the container more CPUs, or as many threads as it has CPUs with `RAYON_NUM_THREADS`",
        ));
    }
    if threads as f64 > usable.ceil() {
        found.push(Warning::new(
            format!("{threads} threads compute on {usable} CPUs"),
            WIDER,
            "unset `RAYON_NUM_THREADS`, or set it to the number of CPUs",
        ));
    }
    found
}

/// CPU-seconds of a process, user and system, from the text of its `stat` (proc(5): fields 14 and 15).
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name may hold spaces and parentheses; the state, field 3, follows it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(seen: Disturbance, threads: usize, usable: f64) -> Vec<String> {
        warnings(seen, threads, 2.0, usable).into_iter().map(|w| w.fact).collect()
    }

    #[test]
    fn a_quiet_machine_is_nothing_to_warn_of() {
        let quiet = Disturbance { wall_s: 10.0, others_cpu_s: 1.9, throttled_s: 0.1 };
        assert!(facts(quiet, 2, 2.0).is_empty());
        assert!(facts(Disturbance::default(), 1, 2.0).is_empty(), "nothing ran");
    }

    #[test]
    fn a_hog_a_limit_and_too_many_threads_are_named() {
        let hog = Disturbance { wall_s: 10.0, others_cpu_s: 11.0, throttled_s: 0.0 };
        assert_eq!(facts(hog, 2, 2.0), ["other processes kept 1.1 of 2 CPUs busy"]);
        let held = Disturbance { wall_s: 10.0, others_cpu_s: 0.0, throttled_s: 4.5 };
        assert_eq!(
            facts(held, 1, 0.5),
            ["the control group's limit of 0.5 CPUs held the program back for 45 % of the time"]
        );
        assert_eq!(facts(Disturbance::default(), 64, 2.0), ["64 threads compute on 2 CPUs"]);
    }

    #[test]
    fn time_of_a_process_whose_name_is_odd_is_fields_14_and_15() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 0 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a"), None);
    }

    #[test]
    fn what_others_used_is_what_the_machine_did_less_what_this_program_did() {
        let at = Instant::now();
        let from = LoadReading { at, host_cpu_s: 100.0, own_cpu_s: Some(10.0), throttled_s: Some(1.0) };
        let to = LoadReading {
            at: at + std::time::Duration::from_secs(2),
            host_cpu_s: 104.0,
            own_cpu_s: Some(12.5),
            throttled_s: Some(1.25),
        };
        let mut seen = Disturbance::default();
        seen.add(from, to);
        assert_eq!(seen, Disturbance { wall_s: 2.0, others_cpu_s: 1.5, throttled_s: 0.25 });
    }
}
