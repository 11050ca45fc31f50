//! The step of hardware that was not measured.

use super::micro_batch::{Program, largest_micro_batch, memory_of, per_device};
use super::model::{
    DeviceFigures, Efficiency, Exchange, Loadings, OTHER_DESIGN_SD, SOFTWARE, StepTime, Stragglers, Work, busy_w,
    exchange,
};
use super::step::{Basis, PhaseStep, StepSource};
use crate::catalog::{Device, DeviceKind, Software, SoftwareSpec, Sourced};
use crate::estimate::error::EstimateError;
use crate::estimate::request::cluster::Cluster;
use crate::estimate::request::own_software::OwnSoftware;
use crate::meter::Coverage;
use crate::model::{Arch, Formats, trainable_params};
use crate::record::{Workload, phase_shape};
use crate::stats::{Distribution, weighted_quantile};
use crate::units::DType;

/// Relative standard uncertainty of the model for an architecture whose skinny products no published run holds: beyond what the
/// dense one shares with it. The root mean square error of ratios to dense, modelled against measured, is 0.09 for PyTorch on an H200,
/// 0.02 and 0.03 for this program on an H200 and an H100, and 0.02 on a CPU (`reports/validation/record.md`).
pub(in crate::estimate) const OTHER_ARCH_SD: f64 = 0.10;

/// What a modelled step is of.
#[derive(Debug, Clone, Copy)]
pub(in crate::estimate) struct Target<'a> {
    pub(in crate::estimate) workload: &'a Workload,
    pub(in crate::estimate) device: &'a Device,
    pub(in crate::estimate) dtype: DType,
    pub(in crate::estimate) devices: u32,
    pub(in crate::estimate) cluster: Cluster,
    pub(in crate::estimate) software: SoftwareSpec,
    pub(in crate::estimate) own: Option<&'a OwnSoftware>,
    pub(in crate::estimate) micro_batch: Option<usize>,
    /// Whether this program's own operations train.
    pub(in crate::estimate) is_own: bool,
}

impl Target<'_> {
    pub(in crate::estimate) fn micro_batch_of(&self, phase: usize, arch: Arch) -> usize {
        let share = per_device(self.workload.phases[phase].batch_size, self.devices);
        match self.micro_batch {
            Some(micro) => micro.clamp(1, share),
            None => largest_micro_batch(self.workload, phase, arch, &self.program(), (self.device, self.devices)),
        }
    }

    /// Whether each phase fits the memory of a device that has the whole model, if that is known.
    pub(in crate::estimate) fn fits(&self, arch: Arch) -> Option<bool> {
        let program = self.program();
        let of_phase = |i| memory_of(self.workload, i, arch, &program, self.micro_batch_of(i, arch));
        let bytes = (0..self.workload.phases.len()).map(of_phase).max()?;
        program.fits(bytes, self.device)
    }

    /// What is taken to train, for the memory that it takes.
    pub(in crate::estimate) fn program(&self) -> Program {
        let program = if self.is_own {
            Program::own(self.dtype, self.software.likely_attention(self.device.fuses_attention()))
        } else {
            let software = self.own.map_or(self.software, |own| own.class().into());
            Program::of(software, self.dtype, Some(self.device))
        };
        program.on(self.devices)
    }

    pub(in crate::estimate) fn work(&self, phase: usize, arch: Arch, micro_batch: usize, software: Software) -> Work {
        let shape = phase_shape(self.workload, &self.workload.phases[phase], micro_batch);
        let formats = Formats { dtype: self.dtype, states: self.workload.states() };
        Work::new(&self.workload.model, arch.at_length(shape.seq_len), shape, formats, software)
            .computing_again(self.workload.grad_checkpointing)
    }

    /// The exchange of gradients after a pass of `pass_s` seconds, of which two thirds are backward.
    pub(in crate::estimate) fn exchange(&self, arch: Arch, pass_s: f64) -> Exchange {
        let Some(link) = self.cluster.link(self.device).filter(|_| self.devices > 1) else { return Exchange::NONE };
        let n_params = trainable_params(&self.workload.model, arch) as f64;
        exchange(&self.workload.model, n_params, pass_s * 2.0 / 3.0, self.devices, &link)
    }

    /// How long devices wait for the slowest of them.
    pub(in crate::estimate) fn stragglers(&self, model: &Efficiency) -> Stragglers {
        Stragglers::of(model.straggler_sd(), self.devices, self.cluster.link(self.device).as_ref())
    }

    /// Watts of a device while the step runs.
    pub(in crate::estimate) fn power_w(&self, model: &Efficiency, time: &StepTime) -> Option<f64> {
        let limit = self.device.tdp.as_ref().map(Sourced::base)?;
        Some(busy_w(self.device.idle()?.0, limit, time.busy(), model.busy_power().0))
    }

    /// A phase whose passes take `time`, at the power that the model gives them.
    pub(in crate::estimate) fn phase_step(
        &self,
        phase: usize,
        arch: Arch,
        micro_batch: usize,
        (model, time): (&Efficiency, StepTime),
        loadings: Loadings,
    ) -> PhaseStep {
        let share = per_device(self.workload.phases[phase].batch_size, self.devices);
        PhaseStep {
            micro_batch,
            micro_steps: share as f64 / micro_batch as f64,
            pass_s: Distribution::Point(time.pass()),
            optimizer_s: Distribution::Point(time.optimizer),
            exchange: self.exchange(arch, time.pass()),
            by_software: Vec::new(),
            least_pass_s: 0.0,
            scale: Distribution::Point(1.0),
            loadings,
            power_w: self.power_w(model, &time).map(Distribution::Point),
            parts: Some(time),
        }
    }

    pub(in crate::estimate) fn coverage(&self) -> Coverage {
        if self.device.kind == DeviceKind::Cpu { Coverage::CpuPackage } else { Coverage::Gpu }
    }
}

/// Which of the software in a mixture takes as long as half of it.
fn middle_of(mixture: &[(f64, Software)], times: &[StepTime]) -> usize {
    let weighed: Vec<(f64, f64)> =
        times.iter().zip(mixture).map(|(time, (weight, _))| (time.pass(), *weight)).collect();
    let middle = weighted_quantile(&weighed, 0.5);
    weighed.iter().position(|(time, _)| *time == middle).unwrap_or(0)
}

/// The steps of `arch` on a device of the catalog.
///
/// # Errors
/// If the device lacks a peak for `dtype`, a bandwidth or a TDP.
pub(in crate::estimate) fn analytic_step(target: &Target<'_>, arch: Arch) -> Result<StepSource, EstimateError> {
    let model = Efficiency::embedded();
    let figures = DeviceFigures::of(target.device, target.dtype)?;
    let mixture = match target.own {
        Some(own) => vec![(1.0, own.class())],
        None => target.software.mixture(figures.fuses_attention),
    };
    let times = |phase: usize, arch: Arch, micro_batch: usize| -> Vec<StepTime> {
        let step = |software| model.step(&figures, &target.work(phase, arch, micro_batch, software));
        mixture.iter().map(|(_, software)| step(*software)).collect()
    };
    // Every phase and architecture is described by the same software: the one in the middle for the dense model.
    let middle = middle_of(&mixture, &times(0, Arch::Dense, target.micro_batch_of(0, Arch::Dense)));
    let mut phases = Vec::new();
    for i in 0..target.workload.phases.len() {
        let micro_batch = target.micro_batch_of(i, arch);
        let times = times(i, arch, micro_batch);
        let work = target.work(i, arch, micro_batch, mixture[middle].1);
        let mut loadings = model.loadings(&figures, &work, StepTime::pass);
        if let Some(own) = target.own {
            loadings.iter_mut().filter(|(name, _)| name == SOFTWARE).for_each(|(_, sd)| *sd = own.ln_sd);
        }
        let own = target.own.map_or(1.0, |own| own.ln_factor.exp());
        let factor = |time: &StepTime| own * time.pass() / times[middle].pass();
        phases.push(PhaseStep {
            by_software: mixture.iter().zip(&times).map(|((weight, _), time)| (*weight, factor(time))).collect(),
            least_pass_s: work.flop() / figures.peak,
            ..target.phase_step(i, arch, micro_batch, (model, times[middle]), loadings)
        });
    }
    let own_sd = if arch == Arch::Dense { 0.0 } else { OTHER_ARCH_SD };
    let (busy, scatter) = model.busy_power();
    Ok(StepSource {
        phases,
        // Runs of the program itself were measured, on whatever they ran.
        basis: if target.own.is_some() { Basis::Scaled } else { Basis::Analytic },
        own_scale: Distribution::LogNormal(1.0, f64::exp(own_sd)),
        straggler: target.stragglers(model),
        coverage: Some(target.coverage()),
        idle_w: target.device.idle().map(|idle| idle.0),
        gain_uncertainty: 0.0,
        machine_uncertainty: 0.0,
        power_uncertainty: scatter.hypot(OTHER_DESIGN_SD),
        description: format!(
            "operators of the step on {}, at efficiencies fitted to {} published runs{}; power from idle to \
             {:.0} % of the way to the limit by the part of the time that it computes",
            target.device.name,
            model.n_runs(),
            match target.own {
                Some(own) => format!(" and to {} of your own program", own.n_runs),
                None => format!(" (software: {})", target.software),
            },
            100.0 * busy,
        ),
        peak_memory_bytes: None,
    })
}
