//! A step whose time the user measured.

use super::model::{Exchange, Stragglers};
use super::step::{Basis, PhaseStep, StepSource};
use crate::catalog::Device;
use crate::meter::Coverage;
use crate::record::Workload;
use crate::stats::Distribution;

/// The same step in every phase.
pub(in crate::estimate) fn given_step(
    workload: &Workload,
    step_s: f64,
    power_w: Option<f64>,
    device: Option<&Device>,
) -> StepSource {
    let phase = PhaseStep {
        micro_batch: 1,
        micro_steps: 1.0,
        pass_s: Distribution::Point(step_s),
        optimizer_s: Distribution::Point(0.0),
        exchange: Exchange::NONE,
        by_software: Vec::new(),
        least_pass_s: 0.0,
        scale: Distribution::Point(1.0),
        loadings: Vec::new(),
        power_w: power_w.map(Distribution::Point),
        parts: None,
    };
    StepSource {
        phases: vec![phase; workload.phases.len()],
        basis: Basis::Given,
        own_scale: Distribution::Point(1.0),
        straggler: Stragglers::NONE,
        coverage: power_w.map(|_| Coverage::NodeShare),
        idle_w: device.and_then(Device::idle).map(|idle| idle.0),
        gain_uncertainty: 0.0,
        machine_uncertainty: 0.0,
        power_uncertainty: 0.0,
        description: "step time given with `--step-time`, the same in every phase".to_owned(),
        peak_memory_bytes: None,
    }
}
