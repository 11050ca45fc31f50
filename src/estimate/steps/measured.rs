//! Steps out of a record: as they were measured where the shape is the same.

use super::model::{Exchange, Stragglers};
use super::step::{Basis, PhaseStep, RERUN_UNCERTAINTY, SHARED_MACHINE_UNCERTAINTY, StepSource, student, sum};
use crate::catalog::Per;
use crate::estimate::error::EstimateError;
use crate::model::Arch;
use crate::record::{Cell, Pass, Record, Status, Workload};
use crate::stats::Distribution;
use crate::units::{DType, States};

/// The steps of `arch` out of a record, if every phase was measured at its own length with the workload's own model.
/// Larger batches are made of micro-batches of the measured size.
///
/// # Errors
/// If the record holds no train step at all.
pub fn measured_step(
    record: &Record,
    workload: &Workload,
    arch: Arch,
    dtype: DType,
    devices: u32,
) -> Result<Option<StepSource>, EstimateError> {
    let usable = |c: &&Cell| c.pass == Pass::Train && c.status == Status::Ok && c.steps.len() >= 2;
    if !record.cells.iter().any(|c| usable(&c)) {
        return Err(EstimateError::NothingMeasured);
    }
    let own = |c: &&Cell| {
        c.dtype == dtype && c.n_layers == workload.model.n_layers && record.settings.workload.model == workload.model
    };
    let cells: Vec<&Cell> = record.cells.iter().filter(usable).filter(own).collect();
    // What was measured computes nothing again, and has states of f32.
    if workload.grad_checkpointing || workload.states() != States::default() {
        return Ok(None);
    }
    let mut shapes = Vec::new();
    let mut phases = Vec::new();
    let mut metered: Option<&Cell> = None;
    let mut peak_memory_bytes = None;
    for phase in &workload.phases {
        let computed = arch.at_length(phase.seq_len);
        let same_length = cells.iter().copied().filter(|c| c.arch == computed && c.shape.seq_len == phase.seq_len);
        let per_device = super::micro_batch::per_device(phase.batch_size, devices);
        let small_enough = same_length.filter(|c| c.shape.batch_size <= per_device);
        let Some(cell) = small_enough.max_by_key(|c| c.shape.batch_size) else { return Ok(None) };
        let Some(step) = step_of(cell, per_device as f64 / cell.shape.batch_size as f64) else { return Ok(None) };
        if step.power_w.is_some() {
            metered = Some(cell);
        }
        peak_memory_bytes = peak_memory_bytes.max(cell.peak_memory_bytes);
        shapes.push(format!("{} x {}", cell.shape.batch_size, cell.shape.seq_len));
        phases.push(step);
    }
    shapes.dedup();
    Ok(Some(StepSource {
        phases,
        basis: Basis::Measured,
        own_scale: Distribution::Point(1.0),
        straggler: Stragglers::NONE,
        coverage: metered.and_then(|c| c.meters.first()).map(|m| m.meter.coverage),
        idle_w: metered.and_then(idle_of),
        gain_uncertainty: metered.map_or(0.0, Cell::gain_uncertainty),
        machine_uncertainty: machine_uncertainty(record),
        power_uncertainty: 0.0,
        description: format!("{} on {}", shapes.join(" and "), record.environment.compute.name),
        peak_memory_bytes,
    }))
}

/// The step of a cell with so many of its batches, as it was measured; `None` below two steps.
pub(in crate::estimate) fn step_of(cell: &Cell, micro_steps: f64) -> Option<PhaseStep> {
    let mean = cell.step_mean()?;
    Some(PhaseStep {
        micro_batch: cell.shape.batch_size,
        micro_steps,
        pass_s: student(sum(mean.forward, mean.backward)),
        optimizer_s: student(mean.optimizer),
        exchange: Exchange::NONE,
        by_software: Vec::new(),
        least_pass_s: 0.0,
        scale: Distribution::LogNormal(1.0, 1.0 + RERUN_UNCERTAINTY),
        loadings: Vec::new(),
        power_w: cell.mean_power().map(|(power, spread)| Distribution::Normal(power, spread * power)),
        parts: None,
    })
}

/// How much the machine of a record may be faster or slower at another time: a virtual CPU is a share of a host.
pub(in crate::estimate) fn machine_uncertainty(record: &Record) -> f64 {
    let shared = record.environment.compute.hardware.as_ref().is_some_and(|d| d.per == Per::Vcpu);
    if shared { SHARED_MACHINE_UNCERTAINTY } else { 0.0 }
}

/// Watts of the idle machine, of what the meters of a cell cover, if all of them were read idle.
pub(in crate::estimate) fn idle_of(cell: &Cell) -> Option<f64> {
    cell.meters.iter().map(|m| m.idle_w).sum::<Option<f64>>().filter(|w| *w > 0.0)
}
