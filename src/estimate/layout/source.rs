//! The steps of a run whose layout was asked for.

use super::constants::Constants;
use super::memory::{Held, whole_bytes};
use super::search::{Batch, Candidate, Found, Search};
use super::time::Setting;
use super::traffic::Links;
use crate::catalog::{AttentionUse, Device, DeviceKind, Software, SoftwareClass, SoftwareSpec, Sourced};
use crate::estimate::error::EstimateError;
use crate::estimate::layout_error::LayoutError;
use crate::estimate::request::layout::{Layout, LayoutSpec};
use crate::estimate::request::training::{Hardware, Request, check, check_devices};
use crate::estimate::steps::analytic::{OTHER_ARCH_SD, Target};
use crate::estimate::steps::micro_batch::usable_bytes;
use crate::estimate::steps::model::{
    DeviceFigures, Efficiency, Loadings, OTHER_DESIGN_SD, SOFTWARE, StepTime, Stragglers, WAITING_SHARE, Work, busy_w,
};
use crate::estimate::steps::source::{step_source, target_of};
use crate::estimate::steps::step::{Basis, PhaseStep, StepSource};
use crate::meter::Coverage;
use crate::model::{Arch, LoraBase};
use crate::record::phase_shape;
use crate::stats::Distribution;

/// The design that the constants of layouts were measured on.
const MEASURED_DESIGN: &str = "ga100";
/// Programs that lay a model out over many devices are made for speed.
pub(in crate::estimate) const CLASS_OF_LAYOUTS: SoftwareClass = SoftwareClass::Optimised;
/// Name of the error of the model of layouts, which all estimates share.
const LAYOUTS: &str = "model of layouts";

/// The layouts that were considered, the one that is used first.
#[derive(Debug, Clone, PartialEq)]
pub struct Considered {
    /// The layout of the first phase, the next best, and those that do not fit.
    pub found: Found,
    /// Bytes that training can use of a device.
    pub usable_bytes: Option<f64>,
}

impl Considered {
    /// The layout of the first phase.
    #[must_use]
    pub fn chosen(&self) -> Option<&Candidate> {
        self.found.fit.first().or(self.found.too_large.first())
    }
}

/// The steps of `arch`, and the layouts that were considered. Where none was asked for, each device has the whole model; where it has no
/// room for that, the fastest layout that fits is used.
///
/// # Errors
/// As [`layout_source`] and [`step_source`].
pub(in crate::estimate) fn steps_of(
    request: &Request<'_>,
    arch: Arch,
) -> Result<(StepSource, Option<Considered>), EstimateError> {
    let spec = request.layout.or_else(|| needs_layout(request).then_some(LayoutSpec::Auto));
    if let Some(spec) = spec {
        // Replicas share the batch then, and not all devices.
        check_devices(request.devices, request.cluster, request.micro_batch)?;
        match layout_source(request, spec, arch) {
            // That the whole model does not fit either is said of the run.
            Err(EstimateError::Layout(LayoutError::NothingFits { .. })) if request.layout.is_none() => {}
            result => return result.map(|(source, considered)| (source, Some(considered))),
        }
    }
    check(request.workload, request.devices, request.cluster, request.micro_batch)?;
    Ok((step_source(request, arch)?, None))
}

/// Whether a run of which no layout was said needs one: an architecture of it does not fit a device whole. All of a request are
/// laid out then, so that they are compared by one model.
#[must_use]
pub fn needs_layout(request: &Request<'_>) -> bool {
    let Hardware::Catalog(device) = &request.hardware else { return false };
    let four_bits = |arch: &Arch| matches!(arch, Arch::Lora { base: LoraBase::FourBits, .. });
    request.layout.is_none()
        && request.devices > 1
        && device.kind == DeviceKind::Gpu
        && !request.workload.phases.is_empty()
        && !request.archs.iter().any(four_bits)
        && request.archs.iter().any(|arch| has_no_room(request, device, *arch))
}

/// Whether a device has no room for the whole model, however small the micro-batch.
fn has_no_room(request: &Request<'_>, device: &Device, arch: Arch) -> bool {
    let target = target_of(request, device);
    Target { micro_batch: Some(1), ..target }.fits(arch) == Some(false)
}

/// The steps of `arch` in the layout of `request`, which is `spec`. A run of several phases has the layout of its first one.
///
/// # Errors
/// If the devices cannot be laid out so, nothing fits, or the catalog lacks a figure.
fn layout_source(
    request: &Request<'_>,
    spec: LayoutSpec,
    arch: Arch,
) -> Result<(StepSource, Considered), EstimateError> {
    let Hardware::Catalog(device) = &request.hardware else { return Err(LayoutError::NotModelled.into()) };
    let figures = DeviceFigures::of(device, request.dtype)?;
    let link = request.cluster.link(device);
    let class = match request.own {
        Some(own) => own.class().class,
        None => request.software.class.unwrap_or(CLASS_OF_LAYOUTS),
    };
    let attention = request.software.likely_attention(device.fuses_attention());
    let held = |attention| Held {
        model: &request.workload.model,
        arch,
        dtype: request.dtype,
        attention,
        states: request.workload.states(),
    };
    let setting = |attention| Setting {
        held: held(attention),
        figures: &figures,
        links: Links::new(link.as_ref()),
        class,
        constants: Constants::embedded(),
    };
    if let Arch::Lora { base: LoraBase::FourBits, .. } = arch {
        return Err(LayoutError::Lora(arch.to_string()).into());
    }
    let usable = usable_bytes(device);
    let mut considered: Option<Considered> = None;
    let mut phases = Vec::new();
    let mut peak = 0.0_f64;
    for (i, phase) in request.workload.phases.iter().enumerate() {
        let losses = request.workload.losses(phase);
        let batch = Batch { sequences: phase.batch_size, seq_len: phase.seq_len, losses };
        let search = |attention| Search::new(setting(attention), batch, usable);
        let mut own = search(attention);
        let chosen = match (&considered, spec) {
            (None, LayoutSpec::Auto) => {
                let found = own.all(request.devices, request.micro_batch);
                if found.fit.is_empty() {
                    return Err(nothing_fits(request.devices, &found, usable).into());
                }
                found
            }
            (None, LayoutSpec::Of(layout)) => {
                check_layout(&layout, request, arch)?;
                let micro_batch = request.micro_batch.or(layout.micro_batch);
                Found { fit: vec![own.best_of(Layout { micro_batch, ..layout })?], too_large: Vec::new() }
            }
            (Some(known), _) => {
                let layout = known.chosen().map_or_else(Layout::default, |c| c.layout);
                Found {
                    fit: vec![own.best_of(Layout { micro_batch: request.micro_batch, ..layout })?],
                    ..Found::default()
                }
            }
        };
        let candidate = chosen.fit[0].clone();
        let found = Considered { found: chosen, usable_bytes: usable };
        peak = peak.max(candidate.memory.total());
        let micro_batch = candidate.layout.micro_batch.unwrap_or(1);
        // The same layout with attention computed in the other way, as far as that is not said.
        let mixture = match request.own {
            Some(own) => vec![(1.0, own.class())],
            None => SoftwareSpec { class: Some(class), ..request.software }.mixture(figures.fuses_attention),
        };
        let own_factor = request.own.map_or(1.0, |own| own.ln_factor.exp());
        let mut by_software = Vec::new();
        for (weight, software) in &mixture {
            // Sequences are shared by fused attention alone.
            let attention = if candidate.layout.cp > 1 { AttentionUse::Fused } else { software.attention };
            let other = search(attention).candidate(candidate.layout, micro_batch)?;
            by_software.push((*weight, own_factor * other.step.passes_s / candidate.step.passes_s));
        }
        let shape = phase_shape(request.workload, phase, micro_batch);
        let work = Work::new(held(attention).model, arch, shape, request.dtype, Software { class, attention });
        let loadings = loadings(request, device, class, &|model| model.loadings(&figures, &work, StepTime::pass));
        phases.push(phase_step(device, (&candidate, by_software), loadings));
        if i == 0 {
            considered = Some(found);
        }
    }
    let considered = considered.ok_or(EstimateError::NoSource)?;
    let straggler = considered.chosen().map_or(Stragglers::NONE, |c| c.step.stragglers);
    let own_sd = if arch == Arch::Dense { 0.0 } else { OTHER_ARCH_SD };
    let (_, scatter) = Efficiency::embedded().busy_power();
    let layout = considered.chosen().map(|c| c.layout.to_string()).unwrap_or_default();
    let source = StepSource {
        phases,
        basis: if request.own.is_some() { Basis::Scaled } else { Basis::Analytic },
        own_scale: Distribution::LogNormal(1.0, f64::exp(own_sd)),
        straggler,
        coverage: Some(Coverage::Gpu),
        idle_w: device.idle().map(|idle| idle.0),
        gain_uncertainty: 0.0,
        machine_uncertainty: 0.0,
        power_uncertainty: scatter.hypot(OTHER_DESIGN_SD),
        description: format!(
            "operators of the step on {}, laid out as `{layout}`; constants of kernels and exchanges fitted to 1440 layouts of \
             Megatron on 8 A100 and 8 runs of wide models",
            device.name
        ),
        peak_memory_bytes: Some(whole_bytes(peak)),
    };
    Ok((source, considered))
}

/// Whether the request can have this layout.
fn check_layout(layout: &Layout, request: &Request<'_>, arch: Arch) -> Result<(), LayoutError> {
    layout.check(&request.workload.model, request.devices)?;
    if layout.tp > 1 && arch != Arch::Dense {
        return Err(LayoutError::Arch { tp: layout.tp, arch: arch.to_string() });
    }
    Ok(())
}

fn nothing_fits(devices: u32, found: &Found, usable: Option<f64>) -> LayoutError {
    let line = |c: &Candidate| format!("`{}` {}\n", c.layout, c.why_not(usable.unwrap_or(0.0)));
    LayoutError::NothingFits { devices, why: found.too_large.iter().map(line).collect() }
}

/// The layouts that were measured are those of one program, and others of its class differ from it as they do on one device. On devices
/// that were not measured the model of one device is uncertain as well.
fn loadings(
    request: &Request<'_>,
    device: &Device,
    class: SoftwareClass,
    of_device: &dyn Fn(&Efficiency) -> Loadings,
) -> Loadings {
    let known = device.architecture.as_deref() == Some(MEASURED_DESIGN) && class == SoftwareClass::Optimised;
    let mut list = of_device(Efficiency::embedded());
    if known {
        list.retain(|(name, _)| name == SOFTWARE);
    }
    if let Some(own) = request.own {
        list.iter_mut().filter(|(name, _)| name == SOFTWARE).for_each(|(_, sd)| *sd = own.ln_sd);
    }
    list.push((LAYOUTS.to_owned(), Constants::embedded().scatter()));
    list
}

/// Watts fall while a device waits: for the host, for exchanges and in the bubble it goes a part of the way from idle alone.
fn phase_step(
    device: &Device,
    (candidate, by_software): (&Candidate, Vec<(f64, f64)>),
    loadings: Loadings,
) -> PhaseStep {
    let step = &candidate.step;
    let micro_steps = step.micro_batches as f64;
    let busy = (step.computing_s + step.update_s) / (step.passes_s + step.update_s);
    let (busy_power, _) = Efficiency::embedded().busy_power();
    let watts = device
        .tdp
        .as_ref()
        .map(Sourced::base)
        .zip(device.idle())
        .map(|(limit, idle)| busy_w(idle.0, limit, busy + WAITING_SHARE * (1.0 - busy), busy_power));
    PhaseStep {
        micro_batch: candidate.layout.micro_batch.unwrap_or(1),
        micro_steps,
        pass_s: Distribution::Point(step.passes_s / micro_steps),
        optimizer_s: Distribution::Point(step.update_s),
        exchange: step.exchange,
        by_software,
        least_pass_s: step.least_s / micro_steps,
        scale: Distribution::Point(1.0),
        loadings,
        power_w: watts.map(Distribution::Point),
        parts: None,
    }
}
