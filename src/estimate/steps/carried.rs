//! A program of the user's that was watched on one machine, as what it says of itself on another.

use super::analytic::{Target, analytic_step};
use super::model::{Efficiency, Factors};
use crate::catalog::{Device, Software, SoftwareSpec};
use crate::estimate::error::EstimateError;
use crate::estimate::request::cluster::Cluster;
use crate::estimate::request::own_software::OwnSoftware;
use crate::estimate::request::training::check;
use crate::model::Arch;
use crate::record::Workload;
use crate::stats::Interval;
use crate::units::DType;

/// A training that was watched: what it trained, on what, and how long its step takes.
#[derive(Debug, Clone)]
pub struct Watched<'a> {
    /// What is trained, with the batch of a step.
    pub workload: &'a Workload,
    /// Its architecture.
    pub arch: Arch,
    /// Number format.
    pub dtype: DType,
    /// What it ran on.
    pub device: &'a Device,
    /// How many of them.
    pub devices: u32,
    /// How they are joined, where that is not the catalog's.
    pub cluster: Cluster,
    /// What is known of the software.
    pub software: SoftwareSpec,
    /// Seconds of an optimizer step.
    pub step_s: Interval,
}

impl OwnSoftware {
    /// What a program that was watched says of itself elsewhere. Where its class is not said, it is taken to be of the class that
    /// explains its time best (the posterior of the mixture that stands for software of which nothing is known).
    ///
    /// # Errors
    /// If the run cannot be spread over its devices, or the catalog gives the device no figures for the number format.
    pub fn watched(run: &Watched<'_>) -> Result<Self, EstimateError> {
        let model = Efficiency::embedded();
        check(run.workload, run.devices, run.cluster, None)?;
        let run_sd = run.step_s.ln_sd();
        let mut best: Option<(f64, Self)> = None;
        for (weight, software) in run.software.mixture(run.device.fuses_attention()) {
            let residual = (run.step_s.mid / modelled_s(run, software, model)?).ln();
            let own = Self::of_one_run(software, residual, run_sd);
            let spread = model.spread_of(software.class).hypot(run_sd);
            let likelihood = weight * (-0.5 * (residual / spread).powi(2)).exp() / spread;
            if best.as_ref().is_none_or(|(most, _)| likelihood > *most) {
                best = Some((likelihood, own));
            }
        }
        best.map(|(_, own)| own).ok_or(EstimateError::NoSource)
    }
}

/// Seconds of a step of the run by a program in the middle of `software`, in the mean over its phases.
fn modelled_s(run: &Watched<'_>, software: Software, model: &Efficiency) -> Result<f64, EstimateError> {
    let target = Target {
        workload: run.workload,
        device: run.device,
        dtype: run.dtype,
        devices: run.devices,
        cluster: run.cluster,
        software: software.into(),
        own: None,
        micro_batch: None,
        is_own: false,
    };
    let source = analytic_step(&target, run.arch)?;
    let stragglers = target.stragglers(model);
    let steps: f64 = run.workload.phases.iter().map(|phase| phase.steps as f64).sum();
    let seconds = source.phases.iter().zip(&run.workload.phases).map(|(step, phase)| {
        let (computing, exchanging) = step.at(&stragglers, &Factors::MIDDLE);
        phase.steps as f64 * (computing + exchanging)
    });
    Ok(seconds.sum::<f64>() / steps)
}
