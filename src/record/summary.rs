//! What follows from the raw steps and readings of a cell.

use serde::{Serialize, Serializer};

use super::{Cell, EnergyCheck, Environment, Pass, Status, Step, Warning};
use crate::meter::EnergySource;
use crate::model::Arch;
use crate::stats::{Interval, Mean, batch_means, with_gain};
use crate::units::DType;

/// The mean parts of a step, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepMean {
    /// The whole step.
    pub total: Mean,
    /// Forward pass.
    pub forward: Mean,
    /// Backward pass.
    pub backward: Mean,
    /// Optimizer.
    pub optimizer: Mean,
}

/// The figures of a cell, as `profile --format json` prints them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellSummary {
    /// The architecture: in files `arch`, `rank`, `k` and `spec`.
    #[serde(flatten, serialize_with = "flat")]
    pub arch: Arch,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a step.
    pub batch_size: usize,
    /// Layers of the model.
    pub n_layers: usize,
    /// Number format.
    pub dtype: DType,
    /// What a step does.
    pub pass: Pass,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// How the cell ended.
    pub status: Status,
    /// Why, if it did not end well.
    pub error: Option<String>,
    /// Parameters.
    pub n_params: u64,
    /// FLOPs of a step.
    pub flop_per_step: f64,
    /// Measured steps.
    pub n_steps: usize,
    /// Seconds of a step.
    pub step_s: Option<Interval>,
    /// Median seconds of a step.
    pub step_median_s: Option<f64>,
    /// Seconds of the forward pass.
    pub forward_s: Option<Interval>,
    /// Seconds of the backward pass.
    pub backward_s: Option<Interval>,
    /// Seconds of the optimizer.
    pub optimizer_s: Option<Interval>,
    /// Tokens a second.
    pub tokens_per_s: Option<Interval>,
    /// Joules of a step, of what the meters cover.
    pub energy_j_per_step: Option<Interval>,
    /// Mean power in watts, of what the meters cover.
    pub power_w: Option<Interval>,
    /// Joules of a step above what the idle device draws in that time: for comparing algorithms, not for a footprint.
    pub energy_above_idle_j_per_step: Option<Interval>,
    /// The counter and the integral of power, side by side, where there are both.
    pub energy_check: Option<EnergyCheck>,
    /// Whether other processes used the GPU meanwhile; unknown on a CPU or where the driver does not say.
    pub contaminated: Option<bool>,
    /// Where the joules come from.
    pub energy_source: Option<EnergySource>,
    /// Peak memory.
    pub peak_memory_bytes: Option<u64>,
    /// FLOP/s reached over the peak that the maker of the hardware states.
    pub mfu: Option<Interval>,
    /// FLOP/s reached over those of a large matrix product on this device.
    pub matmul_fraction: Option<Interval>,
    /// Seconds to queue a step over seconds to compute it; near 1 the GPU waits for the program, and a faster one
    /// would not be faster.
    pub launch_bound: Option<f64>,
    /// Caveats.
    pub warnings: Vec<Warning>,
}

/// An architecture as files have it: its kind, the inner width of LRT, the rows of a Linformer's keys, and its specification as
/// on the command line.
fn flat<S: Serializer>(arch: &Arch, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Flat {
        arch: &'static str,
        rank: Option<usize>,
        k: Option<usize>,
        spec: String,
    }
    Flat { arch: arch.kind(), rank: arch.rank(), k: arch.k(), spec: arch.to_string() }.serialize(serializer)
}

impl Cell {
    /// Mean step times, by batch means; `None` below two steps.
    #[must_use]
    pub fn step_mean(&self) -> Option<StepMean> {
        let part = |of: fn(&Step) -> f64| batch_means(&self.steps.iter().map(of).collect::<Vec<_>>());
        Some(StepMean {
            total: part(Step::total_s)?,
            forward: part(|s| s.forward_s)?,
            backward: part(|s| s.backward_s)?,
            optimizer: part(|s| s.optimizer_s)?,
        })
    }

    /// The figures of the cell.
    #[must_use]
    pub fn summary(&self, environment: &Environment) -> CellSummary {
        let mean = self.step_mean();
        let step_s = mean.map(|m| positive(m.total.interval(), m.total.mean));
        let part = |of: fn(&StepMean) -> Mean| mean.map(|m| positive(of(&m).interval(), of(&m).mean));
        let train = self.pass == Pass::Train;
        let tokens = (self.shape.batch_size * self.shape.seq_len) as f64;
        let gain = self.gain_uncertainty();
        let power_w = self.mean_power().map(|(power, spread)| with_gain(power, spread, gain));
        let above_idle_w = self.power_above_idle().map(|(power, spread)| with_gain(power, spread, gain));
        let a_step = |power: Option<Interval>| power.zip(mean).map(|(power, m)| power.scaled(m.total.mean));
        let energy_j_per_step = a_step(power_w);
        let over = |peak: Option<f64>| step_s.zip(peak).map(|(s, peak)| inverse(s, self.flop_per_step / peak));
        let times: Vec<f64> = self.steps.iter().map(Step::total_s).collect();
        CellSummary {
            arch: self.arch,
            seq_len: self.shape.seq_len,
            batch_size: self.shape.batch_size,
            n_layers: self.n_layers,
            dtype: self.dtype,
            pass: self.pass,
            device: self.device.clone(),
            status: self.status,
            error: self.error.clone(),
            n_params: self.n_params,
            flop_per_step: self.flop_per_step,
            n_steps: self.steps.len(),
            step_s,
            step_median_s: crate::stats::median(&times),
            forward_s: part(|m| m.forward),
            backward_s: part(|m| m.backward).filter(|_| train),
            optimizer_s: part(|m| m.optimizer).filter(|_| train),
            tokens_per_s: step_s.map(|s| inverse(s, tokens)),
            energy_j_per_step,
            power_w,
            energy_above_idle_j_per_step: a_step(above_idle_w),
            energy_check: self.energy_check(),
            contaminated: self.contaminated,
            energy_source: energy_j_per_step.and(self.energy_source()),
            peak_memory_bytes: self.peak_memory_bytes,
            mfu: over(environment.compute.peak_flop_per_s(self.dtype)),
            matmul_fraction: over(environment.ceilings.as_ref().and_then(|c| c.matmul_flop_per_s(self.dtype))),
            launch_bound: self.launch.zip(mean).map(|(launch, m)| launch.enqueue_s / m.total.mean),
            warnings: self.caveats(),
        }
    }
}

/// `numerator / interval`.
fn inverse(interval: Interval, numerator: f64) -> Interval {
    Interval { mid: numerator / interval.mid, low: numerator / interval.high, high: numerator / interval.low }
}

/// A t interval of a positive quantity whose lower end fell to 0 or below is reflected in its ratio.
fn positive(interval: Interval, mean: f64) -> Interval {
    if interval.low > 0.0 || mean <= 0.0 {
        Interval { low: interval.low.max(0.0), ..interval }
    } else {
        Interval { low: mean * mean / interval.high, ..interval }
    }
}
