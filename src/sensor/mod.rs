//! What can be metered: one trait, its meters (NVML, RAPL, models), and a thread that samples them.
//!
//! A meter returns what it read, in joules or watts, and never a zero for a reading that failed. Energy is
//! worked out later, from the raw samples.

mod advance;
mod cgroup;
mod cpu_clock;
mod error;
mod fake;
mod load_model;
mod nvml;
mod proc_stat;
mod ram_model;
mod rapl;
mod sampler;
mod slot;
mod watch;

use std::time::Instant;

pub use cgroup::{CgroupLimits, cgroup_limits};
pub use cpu_clock::CpuClock;
pub use error::SensorError;
pub use fake::FakeMeter;
pub use load_model::LoadModel;
#[cfg(test)]
pub(crate) use nvml::FakeNvml;
pub use nvml::{
    CudaIdentity, Driver, GpuInfo, GpuWatch, MigInstance, NoAnswer, NvmlDevice, NvmlLibrary, NvmlMeter, Query,
    Selected, Visible, find_gpu, list_gpus, visible_gpus,
};
pub use proc_stat::TICKS_PER_SECOND;
pub use ram_model::RamModel;
pub use rapl::{DEFAULT_POWERCAP_ROOT, Rapl, RaplMeter, open_rapl};
pub use sampler::{MeterWatch, Reader, Sampler};
pub use slot::MeterFacts;
pub use watch::Watch;

use crate::meter::MeterInfo;
use crate::units::{Joules, Seconds, Watts};

/// One reading, and which kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Energy since some fixed moment; only differences mean anything.
    Cumulative(Joules),
    /// Power now, or averaged over the sensor's window.
    Instant(Watts),
    /// Both, of a meter that has a counter and a power sensor.
    Both(Joules, Watts),
}

/// Something that can be read.
pub trait Meter: Send {
    /// What it is.
    fn info(&self) -> &MeterInfo;

    /// One poll: no history, nothing filled in.
    ///
    /// # Errors
    /// If the hardware gives no reading.
    fn read(&mut self) -> Result<Reading, SensorError>;

    /// Reads as [`read`](Self::read) does, at `now`: a model adds up its power until `now`, so that its joules belong to
    /// the timestamp that the caller keeps beside them.
    ///
    /// # Errors
    /// If the hardware gives no reading.
    fn read_at(&mut self, _now: Instant) -> Result<Reading, SensorError> {
        self.read()
    }

    /// How often it is worth reading.
    fn period(&self) -> Seconds;

    /// How often its value changes, as far as is known before it has been measured: energy of a shorter time cannot
    /// be told.
    fn resolution(&self) -> Seconds;

    /// Whether its power is the mean of a longer time than passes between two values.
    fn averages(&self) -> bool {
        false
    }

    /// More than it can draw: readings beyond are not believed. `None`: all are, or it sorts them out by itself.
    fn most_power(&self) -> Option<Watts> {
        None
    }

    /// Seconds that its energy so far leaves out, because what was read in them cannot be.
    fn unread(&self) -> Seconds {
        Seconds(0.0)
    }

    /// What its energy lacks by now, if a part of what it covers is not counted.
    fn lacks(&self) -> Option<String> {
        None
    }

    /// What a model says of the idle machine; measured by no meter by itself.
    fn idle_power(&self) -> Option<Watts> {
        None
    }
}
