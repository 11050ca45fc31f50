//! From draws to what is said of them: intervals, assumptions, warnings.

use std::collections::BTreeMap;

use super::draws::{Draws, middle};
use super::explain::explain;
use super::output::Estimate;
use super::schedule::schedule;
use super::variance::VarianceShare;
use crate::catalog::{DeviceKind, SoftwareSpec, Sourced};
use crate::estimate::ledger::quantity::{Compared, Quantity};
use crate::estimate::request::cluster::Cluster;
use crate::estimate::request::input::{Assumption, Input, Value};
use crate::estimate::request::own_software::OwnSoftware;
use crate::estimate::request::training::{Hardware, Request, device_of};
use crate::estimate::steps::micro_batch::{Program, memory_of};
use crate::estimate::steps::model::{BETWEEN_MACHINES, Efficiency, Factors, WAITING_SHARE, exchange_inputs};
use crate::estimate::steps::scaled::own_software;
use crate::estimate::steps::step::{Basis, StepSource};
use crate::model::{Arch, Family, LoraBase, active_params, count_params, train_step_flop, trainable_params};
use crate::record::{Warning, phase_shape};
use crate::stats::{Distribution, Interval};
use crate::units::{Optimizer, States, Weights};

pub(super) fn describe(
    request: &Request<'_>,
    arch: Arch,
    source: &StepSource,
    draws: &Draws,
    dense: Option<&Draws>,
    variance: Vec<VarianceShare>,
) -> Estimate {
    let workload = request.workload;
    let flop = |p: &crate::catalog::Phase| {
        p.steps as f64 * train_step_flop(&workload.model, arch, phase_shape(workload, p, p.batch_size))
    };
    let flop_total: f64 = workload.phases.iter().map(flop).sum();
    let interval = |draws: &Vec<f64>| Interval::of_draws(draws.clone());
    let footprint = draws.footprint.map(interval);
    let train_s = interval(&draws.train_s);
    let rate = |numerator: f64| Interval {
        mid: numerator / train_s.mid,
        low: numerator / train_s.high,
        high: numerator / train_s.low,
    };
    let peak = peak_flop_per_s(request);
    let (bytes, fits) = memory_per_device(request, arch, source);
    let hourly = request.conditions.hourly.as_ref();
    let hours = middle(draws.wall_h());
    let when = hourly.and_then(|h| schedule(h, request.conditions.start_within_h.unwrap_or(0), hours));
    let is_too_large = fits == Some(false) && request.knows_model();
    let mut warnings = warnings(request, source, is_too_large.then(|| no_room(request, arch, bytes)));
    if hourly.is_some() && when.is_none() {
        warnings.push(Warning::new(
            format!("the hours of the grid end before a run of {hours:.0} h does"),
            "the mean of all its hours is used, and no start is better than another",
            "give a file that is at least as long as the run",
        ));
    }
    let of_model = request.knows_model().then_some(());
    Estimate {
        arch: of_model.map(|()| arch),
        workload: Some(workload.name.clone()),
        hardware: hardware_name(&request.hardware),
        dtype: Some(request.dtype),
        software: (source.basis == Basis::Analytic || own_program(request).is_some())
            .then(|| request.own.map_or(request.software, |own| own.class().into()).to_string()),
        micro_batch: if source.basis.is_given() {
            Vec::new()
        } else {
            source.phases.iter().map(|p| p.micro_batch).collect()
        },
        n_params: of_model.map(|()| count_params(&workload.model, arch)),
        n_params_active: of_model.map(|()| active_params(&workload.model, arch)),
        n_params_trained: of_model.map(|()| trainable_params(&workload.model, arch)),
        flop_total: of_model.map(|()| flop_total),
        step_s: draws.step_s.iter().map(interval).collect(),
        tokens_per_s: of_model.map(|()| rate(workload.tokens())),
        mfu: of_model.and(peak).map(|peak| rate(flop_total / (peak * f64::from(request.devices)))),
        memory_per_device_bytes: of_model.map(|()| bytes),
        fits: of_model.and(fits),
        intensity_basis: request.conditions.basis,
        vs_dense: dense.map(|dense| ratios(draws, dense)),
        missing: missing(request, draws, peak.is_none()),
        schedule: when,
        variance,
        explanation: explain(request, source, draws),
        assumptions: assumptions(request, source),
        warnings,
        footprint,
        ..Estimate::empty(request.devices, source.basis)
    }
}

fn missing(request: &Request<'_>, draws: &Draws, no_peak: bool) -> BTreeMap<&'static str, String> {
    let mut missing: BTreeMap<&'static str, String> = request.conditions.missing.iter().cloned().collect();
    if draws.footprint.get(Quantity::ItEnergy).is_none() {
        for quantity in Quantity::ALL.into_iter().filter(|q| q.needs_energy()) {
            missing.insert(quantity.key(), no_energy_reason(&request.hardware));
        }
    }
    if !request.knows_model() {
        for name in [
            "n_params",
            "n_params_active",
            "n_params_trained",
            "flop_total",
            "tokens_per_s",
            "mfu",
            "memory_per_device_bytes",
        ] {
            missing.insert(
                name,
                "only the time and the number of steps were given: name the model with `--workload`".to_owned(),
            );
        }
    } else if no_peak {
        missing.insert("mfu", "the catalog gives this hardware no peak for this dtype".to_owned());
    }
    missing
}

fn ratios(draws: &Draws, dense: &Draws) -> Compared<Interval> {
    Compared::of_each(|quantity| {
        let (own, other) = (draws.footprint.get(quantity)?, dense.footprint.get(quantity)?);
        let ratio = Interval::of_draws(own.iter().zip(other).map(|(own, other)| own / other).collect());
        Some(ratio).filter(|r| r.is_valid())
    })
}

fn hardware_name(hardware: &Hardware<'_>) -> Option<String> {
    match hardware {
        Hardware::Measured(record) => {
            let compute = &record.environment.compute;
            Some(compute.hardware.as_ref().map_or_else(|| compute.name.clone(), |d| d.id.clone()))
        }
        Hardware::Catalog(device) | Hardware::Transferred(_, device) => Some(device.id.clone()),
        Hardware::Given { device, .. } => device.as_ref().map(|d| d.id.clone()),
    }
}

fn peak_flop_per_s(request: &Request<'_>) -> Option<f64> {
    match &request.hardware {
        Hardware::Measured(record) => record.environment.compute.peak_flop_per_s(request.dtype),
        _ => request.device()?.peak.get(&request.dtype).map(Sourced::base),
    }
}

/// The user's own program, where the steps are modelled as its.
fn own_program<'a>(request: &Request<'a>) -> Option<&'a OwnSoftware> {
    request.own.filter(|_| matches!(request.hardware, Hardware::Catalog(_)))
}

/// Bytes that training takes on a device, and whether they are there.
pub(super) fn memory_per_device(request: &Request<'_>, arch: Arch, source: &StepSource) -> (u64, Option<bool>) {
    // `--software` says what trains where nothing was measured.
    let program = match request.hardware {
        Hardware::Measured(record) | Hardware::Transferred(record, _) => {
            Program::own(request.dtype, own_software(record, request.dtype).attention)
        }
        Hardware::Catalog(_) | Hardware::Given { .. } => {
            let software = request.own.map_or(request.software, |own| own.class().into());
            Program::of(software, request.dtype, request.device().as_ref())
        }
    };
    let program = program.on(request.devices);
    let modelled = (0..source.phases.len())
        .map(|i| memory_of(request.workload, i, arch, &program, source.phases[i].micro_batch))
        .max();
    let bytes = source.peak_memory_bytes.unwrap_or(modelled.unwrap_or(0));
    match &request.hardware {
        Hardware::Measured(record) => {
            let capacity = record.environment.compute.memory_bytes;
            (bytes, capacity.map(|capacity| bytes <= capacity))
        }
        _ => (bytes, request.device().and_then(|device| program.fits(bytes, &device))),
    }
}

fn no_energy_reason(hardware: &Hardware<'_>) -> String {
    match hardware {
        Hardware::Measured(record) => {
            let reasons: Vec<_> = record.environment.unmetered.iter().map(|u| u.reason.clone()).collect();
            if reasons.is_empty() { "a meter stopped during the campaign".to_owned() } else { reasons.join("; ") }
        }
        Hardware::Catalog(_) | Hardware::Transferred(..) => "the catalog gives this hardware no TDP".to_owned(),
        Hardware::Given { .. } => {
            "no power was given: add `--power WATTS`, or `--hardware` for a modelled one".to_owned()
        }
    }
}

fn assumptions(request: &Request<'_>, source: &StepSource) -> Vec<Assumption> {
    let mut list = vec![
        Assumption::choice("basis", source.basis.name(), source.description.clone()),
        Assumption::choice("recipe", request.workload.name.clone(), request.workload.source.clone()),
    ];
    if request.knows_model() {
        list.push(Assumption::choice(
            "steps to equal quality",
            "the same for every architecture",
            "not measured: LRT and Linformer may need more or fewer steps for the same loss",
        ));
    }
    let model = &request.workload.model;
    if model.family == Family::Decoder {
        list.push(Assumption::choice(
            "parameters of the decoder",
            "output matrix tied to the embedding, learned positions, biases, as many key as query heads",
            format!(
                "counted as GPT-2 is built; a model with a matrix of its own has {} M parameters more, one without learned \
                 positions {} M fewer",
                millions(model.vocab_size, model.d_model),
                millions(model.max_seq_len, model.d_model)
            ),
        ));
    }
    if let Some(own) = own_program(request) {
        let runs = if own.n_runs == 1 { "one run".to_owned() } else { format!("{} runs", own.n_runs) };
        list.push(Assumption::choice(
            "software",
            format!("your own, {}", SoftwareSpec::from(own.class())),
            format!("by {runs} of it: a pass takes {:.2} times as long as the class's", own.ln_factor.exp()),
        ));
    } else if source.basis == Basis::Analytic {
        list.push(Assumption::choice(
            "software",
            request.software.to_string(),
            "`--software eager` (stock Hugging Face, PyTorch), `compiled` (torch.compile, XLA), `optimised` (Megatron, LLM \
             Foundry, a maker's containers); `--attention fused` or `composed`; what is not said is a mixture (weights by \
             judgement)",
        ));
    }
    let micro: Vec<String> = source.phases.iter().map(|p| p.micro_batch.to_string()).collect();
    if !source.basis.is_given() {
        let why = match source.basis {
            Basis::Measured | Basis::Sliced => "as it was measured",
            _ if request.layout.is_some() => "given, or the fastest that fits the memory and divides the batch",
            _ => "given, or the largest that fits the memory and divides the batch",
        };
        list.push(Assumption::choice("micro-batch", micro.join(", "), why));
    }
    let states = request.workload.states();
    if states != States::default() {
        let source = "given; they change the memory, and an update is timed as in f32";
        list.push(Assumption::choice("formats of the states", states.to_string(), source));
    }
    if request.workload.grad_checkpointing {
        let source = "given, or of the workload: a step computes its forward pass twice";
        list.push(Assumption::choice("gradient checkpointing", "each layer keeps its input alone", source));
    }
    list.extend(request.conditions.choices.iter().cloned());
    let productive = |n_machines| request.conditions.lost_time.productive_on(n_machines).name;
    let here = productive(source.straggler.n_machines);
    let elsewhere = [productive(1), productive(2)];
    let counts = |input: &&Input| input.name == here || !elsewhere.contains(&input.name);
    list.extend(request.conditions.inputs().filter(counts).map(Input::assumption));
    if request.devices > 1 && !source.basis.is_given() {
        list.extend(data_parallel(request, source));
    }
    if source.gain_uncertainty > 0.0 {
        let gain = Distribution::LogNormal(1.0, 1.0 + source.gain_uncertainty);
        list.push(Input::new("gain of the meter", gain, "1", "the same for every architecture").assumption());
    }
    list
}

fn data_parallel(request: &Request<'_>, source: &StepSource) -> Vec<Assumption> {
    let cluster = request.cluster;
    let link = request.device().and_then(|device| cluster.link(&device));
    let mut list = vec![link.as_ref().map_or_else(
        || Assumption::choice("network", "not known", "the exchange of gradients is left out: give `--network`"),
        |l| {
            let between = l.network.as_ref().map_or(String::new(), |n| {
                format!(", {} GB/s a device between machines of {}", n.base() / 1e9, l.devices)
            });
            let value = format!("{} at {} GB/s one way{between}", l.kind, l.bandwidth.base() / 1e9);
            Assumption::choice("network", value, l.bandwidth.provenance())
        },
    )];
    if let (Some(given), Some(between)) = (cluster.network, link.as_ref().and_then(|l| l.network.as_ref())) {
        list.push(Assumption::choice("network between machines", given.to_string(), between.source.clone()));
    }
    if let Some(n) = cluster.devices_per_node {
        list.push(Assumption::choice("devices in a machine", n.to_string(), "given with `--devices-per-node`"));
    }
    let factors = Factors::MIDDLE;
    let exposed: f64 = source.phases.iter().map(|p| p.exchange.exposed_s(&factors)).fold(0.0, f64::max);
    let number = |name: &str, value: f64, unit: &str, source: &str| Assumption {
        name: name.to_owned(),
        value: Value::Number(value),
        range: None,
        unit: unit.to_owned(),
        source: source.to_owned(),
    };
    list.push(number(
        "exchange of gradients that shows in a step",
        exposed,
        "s",
        if request.layout.is_some() {
            "all-reduce of the fullest stage's gradients in the format of the run, over its replicas, and weights where they are \
             shared; less what overlaps the backward pass of the last micro-batch"
        } else {
            "all-reduce of f32 gradients, 2 (n-1)/n S/B, and the latency of each bucket of 25 MB; less what overlaps the backward \
             pass, which the token embedding's cannot"
        },
    ));
    list.push(number(
        "slowest of the devices",
        source.straggler.factor(&factors),
        "1",
        if request.layout.is_some() {
            "expected maximum of machines, which differ by 1 %; the wait within a machine is in the fitted constants"
        } else {
            "expected maximum of n devices' steps, whose scatter is fitted to published runs on 8 devices, and of machines, which \
             differ by 1 %"
        },
    ));
    if source.phases.iter().any(|p| !p.exchange.is_none()) {
        // Within one machine nothing goes over the network, and no other machine is waited for.
        let several = source.phases.iter().any(|p| p.exchange.network_s > 0.0);
        let counts = |input: &&Input| several || !BETWEEN_MACHINES.contains(&input.name);
        list.extend(exchange_inputs().iter().filter(counts).map(Input::assumption));
        list.push(number(
            "power while gradients are exchanged and nothing is computed",
            WAITING_SHARE,
            "1",
            "part of the way from idle to full load: judgement; power falls when devices synchronise (Patel et al., ASPLOS 2024)",
        ));
    }
    list
}

/// Parameters of a matrix, in whole millions.
fn millions(rows: usize, columns: usize) -> u64 {
    (rows as u64 * columns as u64).saturating_add(500_000) / 1_000_000
}

/// That a device has no room for a run that needs so many bytes, and what of all that saves memory is not used yet.
fn no_room(request: &Request<'_>, arch: Arch, bytes: u64) -> Warning {
    let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
    let there = request.device().and_then(|device| device.memory).map(|memory| gigabytes(memory.base()));
    let of_device = there.map_or_else(String::new, |there| format!(", of {there} that there are"));
    let consequence =
        format!("it needs about {}{of_device}, and cannot run as it is estimated", gigabytes(bytes as f64));
    let states = request.workload.states();
    let is_layout = request.layout.is_some();
    // What LoRA trains is small, whatever its format.
    let is_whole = !matches!(arch, Arch::Lora { .. });
    let ways = [
        (is_layout, "`--layout auto` for the fastest that fits"),
        (true, "a smaller `--micro-batch`"),
        (is_layout, "`recompute=full`"),
        (!is_layout && !request.workload.grad_checkpointing, "`--gradient-checkpointing`"),
        (is_whole && states.optimizer == Optimizer::AdamW, "`--optimizer adamw-8bit`"),
        (is_whole && states.weights == Weights::Wide && request.dtype.bytes() == 2, "`--weights 16bit`"),
        (!is_layout && matches!(arch, Arch::Lora { base: LoraBase::Whole, .. }), "`--arch qlora:…`"),
        (!is_layout, "`--devices N --layout auto`"),
    ];
    let remedy = ways.into_iter().filter_map(|(is_left, way)| is_left.then_some(way)).collect::<Vec<_>>().join(", or ");
    Warning::new("the run does not fit the memory of a device", consequence, remedy)
}

/// Warnings of an estimate, with the one that there is no room for it.
fn warnings(request: &Request<'_>, source: &StepSource, no_room: Option<Warning>) -> Vec<Warning> {
    let mut list = request.conditions.warnings.clone();
    list.extend(no_room);
    let is_given = source.basis.is_given();
    if request.cluster != Cluster::default() && (is_given || request.devices == 1) {
        let why =
            if is_given { "a step time that was given has its exchange in it" } else { "one device exchanges nothing" };
        list.push(Warning::new(
            "a network or the devices of a machine were given, and do not count",
            why,
            "leave out `--network` and `--devices-per-node`, or give more `--devices` and no `--step-time`",
        ));
    }
    if source.basis == Basis::Scaled && own_program(request).is_none() {
        list.push(Warning::new(
            "a phase was not measured at its own length, model, batch or device",
            format!("its step time is carried over: {}", source.description),
            "profile every sequence length of the workload with all its layers",
        ));
    }
    let is_quantised = |arch: &&Arch| matches!(arch, Arch::Lora { base: LoraBase::FourBits, .. });
    if let Some(arch) = request.archs.iter().find(is_quantised) {
        list.push(Warning::new(
            format!("`{arch}` is estimated in memory alone: its step is taken to be LoRA's"),
            "unpacking weights of 4 bits costs time that is not counted",
            "run a minute of it under `greenformers forecast`",
        ));
    }
    let model = &request.workload.model;
    // Unless it says so itself.
    let is_silent = model.details.tied_head.is_none() && model.details.positions.is_none();
    if model.family == Family::Decoder && model.gated_mlp && is_silent {
        list.push(Warning::new(
            format!(
                "decoders with a gated feed-forward block, such as Llama, mostly have an output matrix of their own ({} M \
                 parameters here) and no learned positions ({} M), and this one is counted with it tied, and with them",
                millions(model.vocab_size, model.d_model),
                millions(model.max_seq_len, model.d_model)
            ),
            "parameters and memory are off by as much if it is so; the time of a step hardly is",
            "compare `n_params` with what is published",
        ));
    }
    if let Hardware::Catalog(device) = &request.hardware
        && device.kind != DeviceKind::Gpu
    {
        list.push(Warning::new(
            format!("`{}` is no GPU, and the published runs behind the model are all of GPUs", device.id),
            "its time and power can be off by more than the interval says",
            "profile it with `greenformers profile` if you can",
        ));
    }
    if let Hardware::Catalog(device) = &request.hardware
        && device.kind == DeviceKind::Gpu
        && !Efficiency::embedded().knows_design(device.architecture.as_deref())
    {
        let design = device.architecture.as_deref().unwrap_or("an unknown design");
        list.push(Warning::new(
            format!("no published run behind the model is of {design}"),
            "the interval is as wide as designs that were published differ, and can still be too narrow",
            "profile it with `greenformers profile`, or give `--step-time`",
        ));
    }
    if let Hardware::Measured(record) = &request.hardware {
        if request.devices > 1 && request.cluster.link(&device_of(record)).is_none() {
            list.push(Warning::new(
                "one device was measured, several are estimated, and nothing is known of what joins them",
                "the time that they take to exchange gradients is left out",
                "give `--network`, or the device as a file with an `interconnect` with `--hardware`",
            ));
        }
        if record.environment.meters.iter().any(|m| m.source == crate::meter::EnergySource::Model) {
            list.push(Warning::new(
                "the power of this machine is modelled from its load, not measured",
                "energy, CO2e and electricity cost are good to about a factor of two; ratios between architectures are better",
                "run where RAPL or NVML can be read",
            ));
        }
    }
    list
}
