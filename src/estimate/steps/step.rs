//! How long an optimizer step takes in each phase, and at what power.

use serde::Serialize;

use super::model::{Exchange, Factors, Loadings, StepTime, Stragglers};
use crate::meter::Coverage;
use crate::stats::{Distribution, Mean};

/// Relative standard uncertainty of a later run on the same machine: between processes, as 10 runs of
/// MLPerf's BERT on two nodes (0.3 % within a node; rounded up for machines that share their host).
pub(in crate::estimate) const RERUN_UNCERTAINTY: f64 = 0.01;

/// The same of a virtual machine on a host that others use: one shape of BERT-base took 1.75, 1.91 and 2.03 s a step within
/// a day on one with 2 virtual CPUs, each known to 3 to 5 % (`reports/epyc-2vcpu-bert-base`, `-validation`), and was off by
/// 6.7 % between a profile of half a minute and the ten minutes after it.
pub(in crate::estimate) const SHARED_MACHINE_UNCERTAINTY: f64 = 0.05;

/// What an estimate stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// A step of this shape on this hardware was measured.
    Measured,
    /// Steps of the same model with fewer layers were measured on this hardware.
    Sliced,
    /// A step was measured at another shape, or on another device.
    Scaled,
    /// Nothing was measured: a model of the hardware.
    Analytic,
    /// A program of the user's was watched for a while.
    Forecast,
    /// The hours or the energy were given.
    Given,
}

impl Basis {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Sliced => "sliced",
            Self::Scaled => "scaled",
            Self::Analytic => "analytic",
            Self::Forecast => "forecast",
            Self::Given => "given",
        }
    }

    /// Whether the time is the user's own, and nothing of it is modelled.
    #[must_use]
    pub fn is_given(self) -> bool {
        matches!(self, Self::Given | Self::Forecast)
    }
}

/// One optimizer step of one phase: `micro_steps` times forward and backward, then the exchange of gradients and
/// the optimizer, all times common factors.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseStep {
    /// Sequences of a micro-batch.
    pub micro_batch: usize,
    /// Micro-batches in a step, on one device.
    pub micro_steps: f64,
    /// Seconds of one forward and backward pass.
    pub pass_s: Distribution,
    /// Seconds of the optimizer.
    pub optimizer_s: Distribution,
    /// The exchange of gradients, which lengthens the step by what of it is not hidden.
    pub exchange: Exchange,
    /// Software that it can be: its weight, and how much longer a pass takes with it; empty where it is known.
    pub by_software: Vec<(f64, f64)>,
    /// Seconds that no pass is shorter than: its products at the peak of the device.
    pub least_pass_s: f64,
    /// Factor for what is this step's alone.
    pub scale: Distribution,
    /// How the step depends on what estimates share.
    pub loadings: Loadings,
    /// Watts of what the meter covers while the step runs, on one device.
    pub power_w: Option<Distribution>,
    /// The modelled parts, where the step is modelled.
    pub parts: Option<StepTime>,
}

impl PhaseStep {
    /// How much longer a pass takes than `pass_s`, where the software is not known: the geometric mean of what it can be.
    pub(in crate::estimate) fn software(&self) -> f64 {
        self.ln_software().0.exp()
    }

    /// Mean and standard deviation of the logarithm of that factor.
    pub(in crate::estimate) fn ln_software(&self) -> (f64, f64) {
        let mean: f64 = self.by_software.iter().map(|(weight, factor)| weight * factor.ln()).sum();
        let square = |(weight, factor): &(f64, f64)| weight * (factor.ln() - mean).powi(2);
        (mean, self.by_software.iter().map(square).sum::<f64>().sqrt())
    }

    /// Seconds that compute, and seconds in which gradients are exchanged and nothing is computed, in the middle of every input
    /// but for `factors`.
    pub(in crate::estimate) fn at(&self, stragglers: &Stragglers, factors: &Factors) -> (f64, f64) {
        let pass = self.micro_steps * self.pass_s.centre() * self.software() * stragglers.factor(factors);
        (pass + self.optimizer_s.centre(), self.exchange.exposed_s(factors))
    }
}

/// The steps of every phase.
#[derive(Debug, Clone, PartialEq)]
pub struct StepSource {
    /// One for each phase of the workload.
    pub phases: Vec<PhaseStep>,
    /// What they stand on.
    pub basis: Basis,
    /// Factor by which a model of this architecture alone is off.
    pub own_scale: Distribution,
    /// How much longer the slowest of several devices, and of their machines, takes.
    pub straggler: Stragglers,
    /// What the watts are of.
    pub coverage: Option<Coverage>,
    /// Watts of one device that waits, of what the meter covers.
    pub idle_w: Option<f64>,
    /// Relative standard uncertainty of the gain of the meter, shared by all architectures.
    pub gain_uncertainty: f64,
    /// Relative standard uncertainty of the speed of a machine that others use too, shared by all architectures.
    pub machine_uncertainty: f64,
    /// Relative standard uncertainty of a modelled power, shared by all architectures.
    pub power_uncertainty: f64,
    /// What was measured or modelled, for the assumptions.
    pub description: String,
    /// Peak memory that was measured, or that the fullest device of a layout takes.
    pub peak_memory_bytes: Option<u64>,
}

/// Forward and backward are timed in the same steps: their standard errors are added, as if fully
/// correlated.
pub(in crate::estimate) fn sum(a: Mean, b: Mean) -> Mean {
    Mean {
        mean: a.mean + b.mean,
        standard_error: a.standard_error + b.standard_error,
        degrees_of_freedom: a.degrees_of_freedom.min(b.degrees_of_freedom),
    }
}

pub(in crate::estimate) fn student(mean: Mean) -> Distribution {
    Distribution::StudentT(mean.mean, mean.standard_error, mean.degrees_of_freedom)
}
