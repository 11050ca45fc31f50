//! A record of one GPU against what others published of other GPUs.

use serde::Serialize;

use super::draws::phase_s;
use crate::catalog::{Catalog, Device, DeviceKind, Phase, PublishedRun, published_runs};
use crate::estimate::error::EstimateError;
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::request::cluster::Cluster;
use crate::estimate::steps::analytic::Target;
use crate::estimate::steps::model::{DeviceFigures, Efficiency, Observation, Stragglers};
use crate::estimate::steps::scaled::{LocalModel, own_software};
use crate::model::{Arch, Config};
use crate::record::{Record, Workload};
use crate::stats::Interval;
use crate::units::{DType, Optimizer, Weights};

/// Draws of each input.
const TRIALS: usize = 4_000;

/// A published step against the one that a record of another device predicts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PublishedCheck {
    /// The run, by its name in `hardware/published_runs.csv`.
    pub id: String,
    /// Its device.
    pub device: String,
    /// Its number format.
    pub dtype: DType,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Seconds of an optimizer step as published.
    pub published_s: f64,
    /// Seconds of an optimizer step by the record.
    pub predicted_s: Interval,
    /// How far the prediction is above what was published, relative to it.
    pub error: f64,
    /// Whether the 95 % interval holds what was published.
    pub inside: bool,
}

/// Predicts every published run on one device from a record of a GPU, basis `scaled`: the operator model, corrected by
/// the cells of the record, and carried over to the software of the run by what the model makes of both.
///
/// # Errors
/// If the record is not of a GPU of the catalog, or has no train step.
pub fn against_published(record: &Record, catalog: &Catalog, seed: u64) -> Result<Vec<PublishedCheck>, EstimateError> {
    let compute = &record.environment.compute;
    if compute.hardware.as_ref().is_none_or(|d| d.kind != DeviceKind::Gpu) {
        return Err(EstimateError::NotAGpu(compute.name.clone()));
    }
    let mut checks = Vec::new();
    for run in published_runs().iter().filter(|run| run.devices == 1) {
        let (Some(observation), Ok(device)) = (Observation::of(run, catalog), catalog.load::<Device>(&run.device))
        else {
            continue;
        };
        let local = LocalModel::of(record, run.dtype).ok_or(EstimateError::NothingMeasured)?;
        let (workload, accumulation) = workload_of(run, observation.config());
        let own = own_software(record, run.dtype);
        let target = Target {
            workload: &workload,
            device: &device,
            dtype: run.dtype,
            devices: 1,
            cluster: Cluster::default(),
            software: own.into(),
            own: None,
            micro_batch: Some(run.micro_batch),
            is_own: true,
        };
        let source = local.steps(&target, Arch::Dense, (record, true))?;
        let monte_carlo = MonteCarlo::new(seed, TRIALS);
        let scale = monte_carlo.draws(&run.id, source.own_scale);
        let step = phase_s(&monte_carlo, &source.phases[0], &run.id, &Stragglers::NONE);
        // The record is of this program, and the published run of another.
        let model = Efficiency::embedded();
        let figures = DeviceFigures::of(&device, run.dtype)?;
        let pass_s = |software| model.step(&figures, &target.work(0, Arch::Dense, run.micro_batch, software)).pass();
        let ratio = pass_s(run.software()) / pass_s(own);
        let other = model.to_other_software(own.class, run.software, ratio);
        let other = monte_carlo.draws(&format!("software of {}", run.id), other);
        let factors = scale.iter().zip(&other).map(|(scale, other)| scale * other);
        let predicted_s = Interval::of_draws(step.iter().zip(factors).map(|((s, _), factor)| s * factor).collect());
        let published_s = observation.observed_s * accumulation as f64;
        checks.push(PublishedCheck {
            id: run.id.clone(),
            device: run.device.clone(),
            dtype: run.dtype,
            seq_len: workload.phases[0].seq_len,
            published_s,
            predicted_s,
            error: predicted_s.mid / published_s - 1.0,
            inside: predicted_s.contains(published_s),
        });
    }
    Ok(checks)
}

/// One optimizer step of a published run, and its micro-batches.
fn workload_of(run: &PublishedRun, model: &Config) -> (Workload, usize) {
    let accumulation = run.grad_accumulation.unwrap_or(crate::estimate::steps::model::UNSTATED_ACCUMULATION);
    let phase = Phase {
        steps: 1,
        batch_size: run.micro_batch * accumulation,
        seq_len: run.seq_len.unwrap_or(model.max_seq_len),
        masked_per_seq: Some(run.losses_per_seq),
    };
    let workload = Workload {
        name: run.id.clone(),
        source: run.source.clone(),
        model: model.clone(),
        optimizer: Optimizer::AdamW,
        weights: Weights::default(),
        phases: vec![phase],
        grad_checkpointing: run.grad_checkpointing,
        grad_accumulation: None,
    };
    (workload, accumulation)
}
