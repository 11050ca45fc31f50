//! Monte Carlo over a whole training run (JCGM 101): inputs that architectures share are drawn once, so that
//! they cancel in ratios.

use super::analytic::analytic_step;
use super::step::PhaseStep;
use super::{Assumption, Basis, Conditions, Estimate, EstimateError, Input, StepSource, VsDense, measured_step};
use crate::catalog::{Device, DeviceKind, Sourced};
use crate::model::{Arch, count_params, train_step_flop, training_memory};
use crate::record::{Record, Warning, Workload, phase_shape};
use crate::stats::{Distribution, Interval, Stream};
use crate::units::{DType, GramsCo2ePerKwh, Joules, LitresPerKwh, Seconds, UsdPerHour, UsdPerKwh, Watts};

/// Draws of each input.
const TRIALS: usize = 10_000;

/// What the run is to run on.
#[derive(Debug, Clone)]
pub enum Hardware<'a> {
    /// The machine of a record.
    Measured(&'a Record),
    /// A device of the catalog that was not measured.
    Catalog(Device),
    /// A step time, and a power, that the user measured.
    Given {
        /// Seconds of an optimizer step on all devices.
        step_s: f64,
        /// Watts of a device.
        power_w: Option<f64>,
        /// The device, if it was named.
        device: Option<Device>,
    },
}

/// What is to be estimated.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The run.
    pub workload: &'a Workload,
    /// The architectures; ratios need `dense` among them.
    pub archs: &'a [Arch],
    /// What the run is to run on.
    pub hardware: Hardware<'a>,
    /// How many devices.
    pub devices: u32,
    /// Number format.
    pub dtype: DType,
    /// Sequences on a device at a time; the largest power of two that fits if not given.
    pub micro_batch: Option<usize>,
    /// Grid, site and prices.
    pub conditions: &'a Conditions,
    /// Seed of the draws.
    pub seed: u64,
}

/// The draws of one architecture's run.
struct Draws {
    step_s: Vec<Vec<f64>>,
    wall_s: Vec<f64>,
    it_j: Option<Vec<f64>>,
    facility_j: Option<Vec<f64>>,
    operational_kg: Option<Vec<f64>>,
    cost_usd: Option<Vec<f64>>,
    water_l: Option<Vec<f64>>,
    embodied_kg: Option<Vec<f64>>,
}

/// The shared draws.
struct Shared {
    seed: u64,
    devices: f64,
    pue: Vec<f64>,
    intensity: Vec<f64>,
    goodput: Vec<f64>,
    gain: Vec<f64>,
    scaling: Vec<f64>,
    wall_factor: Vec<f64>,
    wall_extra_w: Vec<f64>,
}

/// An estimate for each architecture, in the order of the request.
///
/// # Errors
/// If an architecture does not fit the workload, a batch cannot be spread over the devices, or the hardware
/// lacks a figure.
pub fn estimate(request: &Request<'_>) -> Result<Vec<Estimate>, EstimateError> {
    if request.devices == 0 {
        return Err(EstimateError::NoDevices);
    }
    for phase in &request.workload.phases {
        if (phase.batch_size as u64) < u64::from(request.devices) {
            return Err(EstimateError::BatchTooSmall { batch_size: phase.batch_size, devices: request.devices });
        }
    }
    let mut runs = Vec::new();
    for &arch in request.archs {
        arch.check(&request.workload.model)?;
        let source = step_source(request, arch)?;
        let draws = draw(request, arch, &source);
        runs.push((arch, source, draws));
    }
    let dense = runs.iter().position(|(arch, ..)| *arch == Arch::Dense);
    Ok(runs
        .iter()
        .map(|(arch, source, draws)| {
            let reference = dense.map(|i| &runs[i].2).filter(|_| *arch != Arch::Dense);
            describe(request, *arch, source, draws, reference)
        })
        .collect())
}

fn step_source(request: &Request<'_>, arch: Arch) -> Result<StepSource, EstimateError> {
    match &request.hardware {
        Hardware::Measured(record) => measured_step(record, request.workload, arch, request.dtype, request.devices),
        Hardware::Catalog(device) => {
            let micro_batch = request.micro_batch.unwrap_or_else(|| largest_micro_batch(request, arch, device));
            analytic_step(request.workload, arch, device, request.dtype, request.devices, micro_batch)
        }
        Hardware::Given { step_s, power_w, .. } => Ok(given_step(request.workload, *step_s, *power_w)),
    }
}

/// The largest power of two of sequences that fits the device in the longest phase.
fn largest_micro_batch(request: &Request<'_>, arch: Arch, device: &Device) -> usize {
    let Some(memory) = device.memory.as_ref().map(Sourced::base) else { return 1 };
    let fits = |batch_size: usize| {
        request.workload.phases.iter().all(|phase| {
            let shape = phase_shape(request.workload, phase, batch_size);
            (training_memory(&request.workload.model, arch, shape, request.dtype).total() as f64) < 0.9 * memory
        })
    };
    let mut batch_size = 1;
    while batch_size < 1 << 20 && fits(batch_size * 2) {
        batch_size *= 2;
    }
    batch_size
}

fn given_step(workload: &Workload, step_s: f64, power_w: Option<f64>) -> StepSource {
    let phase = PhaseStep {
        micro_steps: 1.0,
        pass_s: Distribution::Point(step_s),
        optimizer_s: Distribution::Point(0.0),
        scale: Distribution::Point(1.0),
        power_w: power_w.map(Distribution::Point),
    };
    StepSource {
        phases: vec![phase; workload.phases.len()],
        basis: Basis::Given,
        own_scale: Distribution::Point(1.0),
        coverage: power_w.map(|_| crate::sensor::Coverage::NodeShare),
        gain_uncertainty: 0.0,
        description: "step time given with `--step-time`, the same in every phase".to_owned(),
        peak_memory_bytes: None,
    }
}

fn draw(request: &Request<'_>, arch: Arch, source: &StepSource) -> Draws {
    let Request { workload, conditions, seed, .. } = *request;
    let shared = shared_draws(request, source);
    // The measurement noise of each architecture is its own.
    let name = format!("measured {arch}");
    let mut step_s = Vec::new();
    let mut train_s = vec![0.0; TRIALS];
    let mut device_j = source.phases.iter().all(|p| p.power_w.is_some()).then(|| vec![0.0; TRIALS]);
    // A model that is off for one architecture is off for all, and by a part of its own besides.
    let modelled = source.basis == Basis::Analytic;
    let of_arch = Stream::new(seed, &format!("model of {arch}")).draws(source.own_scale, TRIALS);
    for (i, (phase, step)) in workload.phases.iter().zip(&source.phases).enumerate() {
        let mut own = Stream::new(seed, &format!("{name} {i}"));
        let mut scale = if modelled {
            Stream::new(seed, "analytic scale").draws(step.scale, TRIALS)
        } else {
            own.draws(step.scale, TRIALS)
        };
        scale.iter_mut().zip(&of_arch).for_each(|(scale, own)| *scale *= own);
        let seconds: Vec<f64> = (0..TRIALS)
            .map(|trial| {
                let pass = positive(own.draw(step.pass_s), step.pass_s);
                let optimizer = positive(own.draw(step.optimizer_s), step.optimizer_s);
                (step.micro_steps * pass + optimizer) * scale[trial] / shared.scaling[trial]
            })
            .collect();
        for (total, seconds) in train_s.iter_mut().zip(&seconds) {
            *total += phase.steps as f64 * seconds;
        }
        if let (Some(joules), Some(power)) = (&mut device_j, step.power_w) {
            let mut stream = if modelled { Stream::new(seed, "analytic power") } else { own };
            for (trial, joules) in joules.iter_mut().enumerate() {
                let watts = Watts(positive(stream.draw(power), power) * shared.gain[trial]);
                *joules += (watts * Seconds(phase.steps as f64 * seconds[trial])).0 * shared.devices;
            }
        }
        step_s.push(seconds);
    }
    let wall_s: Vec<f64> = train_s.iter().zip(&shared.goodput).map(|(s, g)| s / g).collect();
    // Machines that wait draw power too: lost time is charged like training time.
    let it_j = device_j.map(|joules| {
        joules
            .iter()
            .enumerate()
            .map(|(t, joules)| {
                let lost = 1.0 / shared.goodput[t];
                (joules * shared.wall_factor[t] + shared.wall_extra_w[t] * train_s[t] * shared.devices) * lost
            })
            .collect::<Vec<f64>>()
    });
    finish(conditions, &shared, step_s, wall_s, it_j)
}

fn shared_draws(request: &Request<'_>, source: &StepSource) -> Shared {
    let (conditions, seed) = (request.conditions, request.seed);
    let ones = || vec![1.0; TRIALS];
    let draws_of = |input: &Option<Input>| input.as_ref().map(|i| i.draws(seed, TRIALS));
    let wall = &conditions.wall;
    let host = draws_of(&wall.host_share).unwrap_or_else(|| vec![0.0; TRIALS]);
    let psu = draws_of(&wall.psu).unwrap_or_else(ones);
    let other = draws_of(&wall.other_w).unwrap_or_else(|| vec![0.0; TRIALS]);
    let gain = Distribution::LogNormal(1.0, 1.0 + source.gain_uncertainty);
    let scaling = scaling_input(request.devices);
    Shared {
        seed,
        devices: f64::from(request.devices),
        pue: conditions.pue.draws(seed, TRIALS),
        intensity: conditions.intensity.draws(seed, TRIALS),
        goodput: conditions.goodput.draws(seed, TRIALS),
        gain: Stream::new(seed, "meter gain").draws(gain, TRIALS),
        scaling: scaling.map_or_else(ones, |i| i.draws(seed, TRIALS)),
        wall_factor: host.iter().zip(&psu).map(|(h, p)| (1.0 + h) / p).collect(),
        wall_extra_w: other.iter().zip(&psu).map(|(o, p)| o / p).collect(),
    }
}

/// Throughput that data parallelism keeps.
fn scaling_input(devices: u32) -> Option<Input> {
    (devices > 1).then(|| {
        Input::new(
            "data-parallel efficiency",
            Distribution::Triangular(0.78, 0.95, 0.99),
            "1",
            "NVIDIA DeepLearningExamples, BERT-large: 0.989 on 8 A100, 0.942 to 0.949 on 256, 0.779 with TF32",
        )
    })
}

/// Everything that follows from wall time and IT energy.
fn finish(
    conditions: &Conditions,
    shared: &Shared,
    step_s: Vec<Vec<f64>>,
    wall_s: Vec<f64>,
    it_j: Option<Vec<f64>>,
) -> Draws {
    let facility_j: Option<Vec<f64>> = it_j.as_ref().map(|it| it.iter().zip(&shared.pue).map(|(j, p)| j * p).collect());
    let operational_kg = facility_j.as_ref().map(|facility| {
        facility.iter().zip(&shared.intensity).map(|(j, g)| (Joules(*j) * GramsCo2ePerKwh(g.max(0.0))).0).collect()
    });
    let cost_usd = cost(conditions, shared, &wall_s, facility_j.as_deref());
    let water_l = conditions.grid_water.as_ref().zip(it_j.as_ref()).map(|(grid, it)| {
        let grid = grid.draws(shared.seed, TRIALS);
        let site = conditions.site_water.as_ref().map_or_else(|| vec![0.0; TRIALS], |w| w.draws(shared.seed, TRIALS));
        (0..TRIALS).map(|t| (Joules(it[t]) * LitresPerKwh(site[t] + shared.pue[t] * grid[t])).0).collect()
    });
    let embodied_kg = conditions.embodied.as_ref().map(|(kg, life)| {
        let (kg, life) = (kg.draws(shared.seed, TRIALS), life.draws(shared.seed, TRIALS));
        (0..TRIALS).map(|t| kg[t] * shared.devices * Seconds(wall_s[t]).hours() / life[t]).collect()
    });
    Draws { step_s, wall_s, it_j, facility_j, operational_kg, cost_usd, water_l, embodied_kg }
}

/// Rent where a rental price is known; else the electricity bill.
fn cost(conditions: &Conditions, shared: &Shared, wall_s: &[f64], facility_j: Option<&[f64]>) -> Option<Vec<f64>> {
    if let Some(price) = &conditions.usd_per_device_hour {
        let price = price.draws(shared.seed, TRIALS);
        return Some(wall_s.iter().zip(price).map(|(s, p)| (Seconds(*s) * UsdPerHour(p)).0 * shared.devices).collect());
    }
    let price = conditions.usd_per_kwh.as_ref()?.draws(shared.seed, TRIALS);
    Some(facility_j?.iter().zip(price).map(|(j, p)| (Joules(*j) * UsdPerKwh(p)).0).collect())
}

/// A draw of a quantity that cannot be negative: one in the far tail is reflected.
fn positive(draw: f64, distribution: Distribution) -> f64 {
    if draw > 0.0 { draw } else { (2.0 * distribution.centre() - draw).abs().min(distribution.centre()) }
}

fn describe(request: &Request<'_>, arch: Arch, source: &StepSource, draws: &Draws, dense: Option<&Draws>) -> Estimate {
    let Request { workload, conditions, .. } = *request;
    let flop_total: f64 = workload
        .phases
        .iter()
        .map(|p| p.steps as f64 * train_step_flop(&workload.model, arch, phase_shape(workload, p, p.batch_size)))
        .sum();
    let interval = |draws: &Vec<f64>| Interval::of_draws(draws.clone());
    let some = |draws: &Option<Vec<f64>>, unit: f64| draws.as_ref().map(|d| interval(d).scaled(1.0 / unit));
    let wall_h = interval(&draws.wall_s).scaled(1.0 / 3600.0);
    let mut missing: std::collections::BTreeMap<&'static str, String> = conditions.missing.iter().cloned().collect();
    if draws.it_j.is_none() {
        for name in ["it_energy_kwh", "facility_energy_kwh", "operational_kgco2e", "water_l"] {
            missing.insert(name, no_energy_reason(&request.hardware));
        }
    }
    let peak = peak_flop_per_s(request);
    if peak.is_none() {
        missing.insert("mfu", "the catalog gives this hardware no peak for this dtype".to_owned());
    }
    let per_wall = |numerator: f64| {
        Interval { mid: numerator / wall_h.mid, low: numerator / wall_h.high, high: numerator / wall_h.low }
            .scaled(1.0 / 3600.0)
    };
    let memory = memory_per_device(request, arch, source);
    Estimate {
        arch: Some(arch.kind().to_owned()),
        spec: Some(arch.to_string()),
        label: Some(arch.label()),
        rank: arch.rank(),
        k: arch.k(),
        workload: Some(workload.name.clone()),
        hardware: hardware_name(&request.hardware),
        devices: request.devices,
        dtype: Some(request.dtype),
        basis: source.basis,
        n_params: Some(count_params(&workload.model, arch)),
        flop_total: Some(flop_total),
        step_s: draws.step_s.iter().map(interval).collect(),
        tokens_per_s: Some(per_wall(workload.tokens())),
        mfu: peak.map(|peak| per_wall(flop_total / (peak * f64::from(request.devices)))),
        wall_h: Some(wall_h),
        device_h: Some(wall_h.scaled(f64::from(request.devices))),
        it_energy_kwh: some(&draws.it_j, 3.6e6),
        facility_energy_kwh: some(&draws.facility_j, 3.6e6),
        operational_kgco2e: some(&draws.operational_kg, 1.0),
        embodied_kgco2e: some(&draws.embodied_kg, 1.0),
        cost_usd: some(&draws.cost_usd, 1.0),
        water_l: some(&draws.water_l, 1.0),
        memory_per_device_bytes: Some(memory.0),
        fits: memory.1,
        vs_dense: dense.map(|dense| ratios(draws, dense)),
        missing,
        assumptions: assumptions(request, source),
        warnings: warnings(request, source),
    }
}

fn ratios(draws: &Draws, dense: &Draws) -> VsDense {
    let ratio = |a: &[f64], b: &[f64]| Interval::of_draws(a.iter().zip(b).map(|(a, b)| a / b).collect());
    let both =
        |a: &Option<Vec<f64>>, b: &Option<Vec<f64>>| Some(ratio(a.as_ref()?, b.as_ref()?)).filter(|r| r.is_valid());
    VsDense {
        wall_h: ratio(&draws.wall_s, &dense.wall_s),
        facility_energy_kwh: both(&draws.facility_j, &dense.facility_j),
        cost_usd: both(&draws.cost_usd, &dense.cost_usd),
        operational_kgco2e: both(&draws.operational_kg, &dense.operational_kg),
    }
}

fn hardware_name(hardware: &Hardware<'_>) -> Option<String> {
    match hardware {
        Hardware::Measured(record) => {
            let compute = &record.environment.compute;
            Some(compute.hardware.as_ref().map_or_else(|| compute.name.clone(), |d| d.id.clone()))
        }
        Hardware::Catalog(device) => Some(device.id.clone()),
        Hardware::Given { device, .. } => device.as_ref().map(|d| d.id.clone()),
    }
}

fn peak_flop_per_s(request: &Request<'_>) -> Option<f64> {
    let of = |device: &Device| device.peak.get(&request.dtype).map(Sourced::base);
    match &request.hardware {
        Hardware::Measured(record) => record.environment.compute.peak_flop_per_s,
        Hardware::Catalog(device) => of(device),
        Hardware::Given { device, .. } => device.as_ref().and_then(of),
    }
}

/// Bytes that training takes on a device, and whether they are there.
fn memory_per_device(request: &Request<'_>, arch: Arch, source: &StepSource) -> (u64, Option<bool>) {
    let (capacity, batch_size) = match &request.hardware {
        Hardware::Measured(record) => (record.environment.compute.memory_bytes.map(|b| b as f64), 1),
        Hardware::Catalog(device) => {
            let micro_batch = request.micro_batch.unwrap_or_else(|| largest_micro_batch(request, arch, device));
            (device.memory.as_ref().map(Sourced::base), micro_batch)
        }
        Hardware::Given { device, .. } => (device.as_ref().and_then(|d| d.memory.as_ref()).map(Sourced::base), 1),
    };
    let modelled = request.workload.phases.iter().map(|phase| {
        let shape = phase_shape(request.workload, phase, batch_size.min(phase.batch_size));
        training_memory(&request.workload.model, arch, shape, request.dtype).total()
    });
    let need = source.peak_memory_bytes.unwrap_or_else(|| modelled.max().unwrap_or(0));
    (need, capacity.map(|capacity| need as f64 <= capacity))
}

fn no_energy_reason(hardware: &Hardware<'_>) -> String {
    match hardware {
        Hardware::Measured(record) => {
            let reasons: Vec<_> = record.environment.unmetered.iter().map(|u| u.reason.clone()).collect();
            if reasons.is_empty() { "a meter stopped during the campaign".to_owned() } else { reasons.join("; ") }
        }
        Hardware::Catalog(_) => "the catalog gives this hardware no TDP".to_owned(),
        Hardware::Given { .. } => "no power was given: add `--power WATTS`".to_owned(),
    }
}

fn assumptions(request: &Request<'_>, source: &StepSource) -> Vec<Assumption> {
    let mut list = vec![
        Assumption::choice("basis", source.basis.name(), source.description.clone()),
        Assumption::choice("recipe", request.workload.name.clone(), request.workload.source.clone()),
        Assumption::choice(
            "steps to equal quality",
            "the same for every architecture",
            "not measured: LRT and Linformer may need more or fewer steps for the same loss",
        ),
    ];
    list.extend(request.conditions.choices.iter().cloned());
    list.extend(request.conditions.inputs().map(Input::assumption));
    list.extend(scaling_input(request.devices).map(|i| i.assumption()));
    if source.gain_uncertainty > 0.0 {
        let gain = Distribution::LogNormal(1.0, 1.0 + source.gain_uncertainty);
        list.push(Input::new("gain of the meter", gain, "1", "the same for every architecture").assumption());
    }
    list
}

fn warnings(request: &Request<'_>, source: &StepSource) -> Vec<Warning> {
    let mut list = Vec::new();
    if source.basis == Basis::Scaled {
        list.push(Warning::new(
            "a phase was not measured at its own length or model",
            "its step time is scaled by FLOPs from what was measured, to about 12 %",
            "profile every sequence length of the workload with all its layers",
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
    if let Hardware::Measured(record) = &request.hardware {
        if request.devices > 1 {
            list.push(Warning::new(
                "one device was measured and several are estimated",
                "the time lost to communication is an assumption",
                "see `data-parallel efficiency` among the assumptions",
            ));
        }
        if record.environment.meters.iter().any(|m| m.source == crate::sensor::EnergySource::Model) {
            list.push(Warning::new(
                "the power of this machine is modelled from its load, not measured",
                "energy, CO2e and electricity cost are good to about a factor of two; ratios between architectures are better",
                "run where RAPL or NVML can be read",
            ));
        }
    }
    list
}
