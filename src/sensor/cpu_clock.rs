//! How long the CPUs have been busy.

use std::fs;
use std::time::Instant;

use sysinfo::System;

use super::cgroup::{UsageFile, cgroup_limits};
use crate::units::Seconds;

/// Ticks of a second in `/proc/stat` and `/proc/PID/stat`: 100 on every architecture that Linux serves (`USER_HZ`).
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Counts CPU-seconds: of the container if it is limited, else of the machine.
pub struct CpuClock {
    cpus: f64,
    source: Source,
}

enum Source {
    /// The control group's own count, in microseconds.
    Group(UsageFile),
    /// `/proc/stat`, in ticks.
    Proc,
    /// Elsewhere than on Linux: a load, integrated.
    Load { system: Box<System>, last: Instant, busy: f64 },
    #[cfg(test)]
    Fixed,
}

impl CpuClock {
    /// The clock of what this process may use.
    #[must_use]
    pub fn of_machine() -> Self {
        let limits = cgroup_limits();
        let host = Self::of_host();
        if let (Some(cpus), Some(usage)) = (limits.cpus.filter(|c| *c < host.cpus), limits.usage)
            && usage.cpu_seconds().is_some()
        {
            return Self { cpus, source: Source::Group(usage) };
        }
        host
    }

    /// The clock of the machine, whatever a container may use of it.
    #[must_use]
    pub fn of_host() -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        let cpus = system.cpus().len().max(1) as f64;
        let source = match busy_of_machine() {
            Some(_) => Source::Proc,
            None => Source::Load { system: Box::new(system), last: Instant::now(), busy: 0.0 },
        };
        Self { cpus, source }
    }

    #[cfg(test)]
    pub(super) fn fixed(cpus: f64) -> Self {
        Self { cpus, source: Source::Fixed }
    }

    /// CPUs that may be busy at a time.
    #[must_use]
    pub fn cpus(&self) -> f64 {
        self.cpus
    }

    /// Whether a container's limit made it the clock of the container.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        matches!(self.source, Source::Group(_))
    }

    /// The shortest time over which a load can be told.
    #[must_use]
    pub fn resolution(&self) -> Seconds {
        match self.source {
            Source::Group(_) => Seconds(0.001),
            Source::Proc => Seconds(1.0 / TICKS_PER_SECOND),
            Source::Load { .. } => Seconds(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL.as_secs_f64()),
            #[cfg(test)]
            Source::Fixed => Seconds(0.0),
        }
    }

    /// CPU-seconds since some fixed moment; only differences mean anything.
    pub fn busy_cpu_seconds(&mut self) -> f64 {
        match &mut self.source {
            Source::Group(usage) => usage.cpu_seconds().unwrap_or(0.0),
            Source::Proc => busy_of_machine().unwrap_or(0.0),
            Source::Load { system, last, busy } => {
                let elapsed = last.elapsed();
                if elapsed >= sysinfo::MINIMUM_CPU_UPDATE_INTERVAL {
                    system.refresh_cpu_usage();
                    *busy += f64::from(system.global_cpu_usage()) / 100.0 * elapsed.as_secs_f64() * self.cpus;
                    *last = Instant::now();
                }
                *busy
            }
            #[cfg(test)]
            Source::Fixed => 0.0,
        }
    }
}

/// Busy CPU-seconds of the machine from `/proc/stat`.
fn busy_of_machine() -> Option<f64> {
    busy_in(&fs::read_to_string("/proc/stat").ok()?)
}

/// User, nice, system, interrupts. Not idle, not waiting for disks, and not what the hypervisor took; guests are
/// already counted as user.
fn busy_in(stat: &str) -> Option<f64> {
    let fields: Vec<f64> =
        stat.strip_prefix("cpu ")?.lines().next()?.split_whitespace().map_while(|f| f.parse().ok()).collect();
    let ticks: f64 = [0, 1, 2, 5, 6].iter().filter_map(|i| fields.get(*i)).sum();
    (fields.len() >= 4).then_some(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_neither_idle_nor_stolen() {
        // user 100, nice 20, system 50, idle 4000, iowait 300, irq 5, softirq 25, steal 700, guest 90
        let stat = "cpu  100 20 50 4000 300 5 25 700 90 0\ncpu0 1 2 3 4\n";
        assert_eq!(busy_in(stat), Some(2.0));
        assert_eq!(busy_in("intr 5"), None);
        assert_eq!(busy_in("cpu  what\n"), None);
    }
}
