//! How long an optimizer step takes in each phase, and at what power.

use super::{Basis, EstimateError};
use crate::model::{Arch, train_step_flop};
use crate::record::{Cell, Pass, Record, Status, Workload, phase_shape};
use crate::sensor::Coverage;
use crate::stats::{Distribution, Mean};
use crate::units::DType;

/// Relative standard uncertainty of a step time that is carried to another shape by its FLOPs: the mean
/// error of published scaling methods (Habitat, 11.8 %).
pub(super) const SCALING_UNCERTAINTY: f64 = 0.12;
/// Relative standard uncertainty of a later run on the same machine: between processes, as 10 runs of
/// MLPerf's BERT on two nodes (0.3 % within a node; rounded up for machines that share their host).
const RERUN_UNCERTAINTY: f64 = 0.01;

/// One optimizer step of one phase: `micro_steps` times forward and backward, then the optimizer, all
/// times a common factor.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseStep {
    /// Micro-batches in a step, on one device.
    pub micro_steps: f64,
    /// Seconds of one forward and backward pass.
    pub pass_s: Distribution,
    /// Seconds of the optimizer.
    pub optimizer_s: Distribution,
    /// Factor for what was not measured.
    pub scale: Distribution,
    /// Watts of what the meter covers, on one device.
    pub power_w: Option<Distribution>,
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
    /// What the watts are of.
    pub coverage: Option<Coverage>,
    /// Relative standard uncertainty of the gain of the meter, shared by all architectures.
    pub gain_uncertainty: f64,
    /// What was measured, for the assumptions.
    pub description: String,
    /// Peak memory that was measured.
    pub peak_memory_bytes: Option<u64>,
}

/// The steps of `arch` out of a record.
///
/// Each phase takes the cell of its own sequence length. Where the record has none, the nearest length is
/// scaled by FLOPs and the basis says so.
///
/// # Errors
/// If the record holds no train step of the architecture in `dtype`.
pub fn measured_step(
    record: &Record,
    workload: &Workload,
    arch: Arch,
    dtype: DType,
    devices: u32,
) -> Result<StepSource, EstimateError> {
    let usable = |c: &&Cell| c.pass == Pass::Train && c.status == Status::Ok && c.dtype == dtype;
    let cells: Vec<&Cell> =
        record.cells.iter().filter(usable).filter(|c| c.arch == arch && c.steps.len() >= 2).collect();
    if cells.is_empty() {
        let mut have: Vec<_> = record.cells.iter().filter(usable).map(|c| format!("`{}`", c.arch)).collect();
        have.sort();
        have.dedup();
        return Err(EstimateError::NotMeasured { arch: arch.to_string(), dtype, have });
    }
    let mut basis = Basis::Measured;
    let mut shapes = Vec::new();
    let mut phases = Vec::new();
    let mut metered: Option<&Cell> = None;
    for phase in &workload.phases {
        let distance = |c: &&Cell| (c.shape.seq_len.abs_diff(phase.seq_len), usize::MAX - c.shape.batch_size);
        let Some(cell) = cells.iter().copied().min_by_key(distance) else { continue };
        let Some(mean) = cell.step_mean() else { continue };
        let per_device = phase.batch_size as f64 / f64::from(devices);
        let same_model = cell.n_layers == workload.model.n_layers && record.settings.workload.model == workload.model;
        let mut scale = Distribution::LogNormal(1.0, 1.0 + RERUN_UNCERTAINTY);
        if cell.shape.seq_len != phase.seq_len || !same_model {
            basis = Basis::Scaled;
            let target = train_step_flop(&workload.model, arch, phase_shape(workload, phase, cell.shape.batch_size));
            scale = Distribution::LogNormal(target / cell.flop_per_step, 1.0 + SCALING_UNCERTAINTY);
        }
        let power = cell.mean_power().map(|(power, spread)| Distribution::Normal(power, spread * power));
        if power.is_some() {
            metered = Some(cell);
        }
        shapes.push(format!("{} x {}", cell.shape.batch_size, cell.shape.seq_len));
        phases.push(PhaseStep {
            micro_steps: per_device / cell.shape.batch_size as f64,
            pass_s: student(sum(mean.forward, mean.backward)),
            optimizer_s: student(mean.optimizer),
            scale,
            power_w: power,
        });
    }
    shapes.dedup();
    Ok(StepSource {
        phases,
        basis,
        own_scale: Distribution::Point(1.0),
        coverage: metered.and_then(|c| c.meters.first()).map(|m| m.meter.coverage),
        gain_uncertainty: metered.map_or(0.0, Cell::gain_uncertainty),
        description: format!("{} on {}", shapes.join(" and "), record.environment.compute.name),
        peak_memory_bytes: cells.iter().filter_map(|c| c.peak_memory_bytes).max(),
    })
}

/// Forward and backward are timed in the same steps: their standard errors are added, as if fully
/// correlated.
fn sum(a: Mean, b: Mean) -> Mean {
    Mean {
        mean: a.mean + b.mean,
        standard_error: a.standard_error + b.standard_error,
        degrees_of_freedom: a.degrees_of_freedom.min(b.degrees_of_freedom),
    }
}

fn student(mean: Mean) -> Distribution {
    Distribution::StudentT(mean.mean, mean.standard_error, mean.degrees_of_freedom)
}
