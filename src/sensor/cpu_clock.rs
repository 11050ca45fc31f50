//! How long the CPUs have been busy.

use std::time::Instant;

use sysinfo::System;

use super::cgroup::{UsageFile, cgroup_limits};
use super::proc_stat::{TICKS_PER_SECOND, busy_of_machine};
use crate::units::Seconds;

/// Counts CPU-seconds: of the container, or of the CPUs that may be used, if there is a limit; else of the machine.
pub struct CpuClock {
    cpus: f64,
    source: Source,
}

enum Source {
    /// The count of what is limited.
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

    /// Whether a limit made it the clock of what is limited.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        matches!(self.source, Source::Group(_))
    }

    /// The shortest time over which a load can be told.
    #[must_use]
    pub fn resolution(&self) -> Seconds {
        match self.source {
            Source::Group(UsageFile::Stat(_) | UsageFile::Nanoseconds(_)) => Seconds(0.001),
            Source::Group(UsageFile::Cpus(_)) | Source::Proc => Seconds(1.0 / TICKS_PER_SECOND),
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
