//! Many scenarios at once: every combination of hardware, software, number of devices, grid and architecture.
//!
//! A scenario is worked out at the median of each input, and its interval by adding up variances of logarithms: the
//! product rule of the GUM (JCGM 100, §5.1.6), without draws. What does not depend on the grid is worked out once. The median of
//! a product of skewed inputs is no product of medians: where scenarios are few, or one of them is named, [`draw_scenarios`]
//! gives each the numbers of a single estimate.

use super::draws::{TRIALS, draw_run, step_j};
use crate::catalog::{Device, DeviceKind, Grid, IntensityBasis, Phase, SoftwareSpec};
use crate::estimate::error::EstimateError;
use crate::estimate::ledger::arithmetic::Arithmetic;
use crate::estimate::ledger::chain::{Energy, Run, footprint};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::ledger::spread::{Spread, Spreads};
use crate::estimate::request::cluster::Cluster;
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::input::Input;
use crate::estimate::request::rent::Rent;
use crate::estimate::request::spec::UsualSite;
use crate::estimate::request::training::check;
use crate::estimate::steps::analytic::{Target, analytic_step};
use crate::estimate::steps::micro_batch::memory_of;
use crate::estimate::steps::model::{Factors, exchange_inputs};
use crate::estimate::steps::step::{PhaseStep, StepSource};
use crate::model::{Arch, trainable_params};
use crate::record::Workload;
use crate::stats::{Component, Distribution, Interval, mixture_quantile};
use crate::units::{DType, Joules};

/// What is combined.
#[derive(Debug, Clone)]
pub struct Axes {
    /// What is trained.
    pub workloads: Vec<Workload>,
    /// Devices, each with its own conditions: price, making, host.
    pub hardware: Vec<(Device, Conditions)>,
    /// Grids, each with its own conditions: intensity, PUE, water. Those of a desk come second ([`UsualSite::index`]).
    pub grids: Vec<(Grid, [Conditions; 2])>,
    /// Number formats.
    pub dtypes: Vec<DType>,
    /// Numbers of devices.
    pub devices: Vec<u32>,
    /// Network and devices of a machine, where they are not the catalog's.
    pub cluster: Cluster,
    /// What is known of the software.
    pub software: Vec<SoftwareSpec>,
    /// Architectures.
    pub archs: Vec<Arch>,
    /// What was said of rents: in the region of a cloud, its own count.
    pub rent: Rent,
    /// Whether the machines are owned, so that only their electricity is paid. Rent and electricity bills are never ranked
    /// together: a rented device without a known price has no known cost.
    pub owned: bool,
}

impl Axes {
    /// The rent of a device where a grid is, both by their places: what the scenarios of both are worked out with.
    #[must_use]
    pub fn rent_at(&self, hardware: usize, grid: usize) -> Option<Input> {
        let (device, conditions) = &self.hardware[hardware];
        rent_in(&self.grids[grid].0, device, conditions, self).ok().flatten().filter(|_| !self.owned)
    }

    /// Every workload, number format, software and architecture on so many of a device: as a scenario of which nothing else is known
    /// yet, and as what it is modelled by.
    fn runs_on(
        &self,
        hardware: usize,
        devices: u32,
        micro_batch: Option<usize>,
    ) -> impl Iterator<Item = (Scenario, Target<'_>)> {
        let of_software = move |(workload, dtype): (usize, DType)| {
            self.software.iter().flat_map(move |&software| {
                self.archs.iter().map(move |&arch| Scenario {
                    workload,
                    hardware,
                    grid: 0,
                    dtype,
                    devices,
                    software,
                    arch,
                    micro_batch: 1,
                    fits: None,
                    footprint: Footprint::default(),
                })
            })
        };
        let of_dtype = |&dtype: &DType| (0..self.workloads.len()).map(move |workload| (workload, dtype));
        let scenarios = self.dtypes.iter().flat_map(of_dtype).flat_map(of_software);
        scenarios.map(move |of| {
            let target = self.target(&of, micro_batch);
            (of, target)
        })
    }

    /// What a scenario is modelled by.
    fn target(&self, of: &Scenario, micro_batch: Option<usize>) -> Target<'_> {
        Target {
            workload: &self.workloads[of.workload],
            device: &self.hardware[of.hardware].0,
            dtype: of.dtype,
            devices: of.devices,
            cluster: self.cluster,
            software: of.software,
            own: None,
            micro_batch,
            is_own: false,
        }
    }

    /// The intensity of a grid by its place, and what it counts, where that is known.
    #[must_use]
    pub fn intensity_at(&self, grid: usize) -> (f64, Option<IntensityBasis>) {
        let of_grid = &self.grids[grid].1[UsualSite::DataCentre.index()];
        (of_grid.intensity.distribution.centre(), of_grid.basis)
    }
}

/// A combination and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Place in [`Axes::workloads`].
    pub workload: usize,
    /// Place in [`Axes::hardware`].
    pub hardware: usize,
    /// Place in [`Axes::grids`].
    pub grid: usize,
    /// Number format.
    pub dtype: DType,
    /// How many devices.
    pub devices: u32,
    /// What is known of the software.
    pub software: SoftwareSpec,
    /// The architecture.
    pub arch: Arch,
    /// Sequences on a device at a time, in the first phase.
    pub micro_batch: usize,
    /// Whether it fits the memory of a device.
    pub fits: Option<bool>,
    /// What it comes to. Cost is rent, or the electricity bill of owned machines.
    pub footprint: Footprint<Interval>,
}

impl Scenario {
    /// Hours from start to end: every scenario has them.
    #[must_use]
    pub fn wall_h(&self) -> Interval {
        self.known(Quantity::Wall)
    }

    /// Energy of machines and building: every scenario has it.
    #[must_use]
    pub fn facility_energy_kwh(&self) -> Interval {
        self.known(Quantity::FacilityEnergy)
    }

    /// Emissions of the electricity: every scenario has them.
    #[must_use]
    pub fn operational_kgco2e(&self) -> Interval {
        self.known(Quantity::Operational)
    }

    fn known(&self, quantity: Quantity) -> Interval {
        self.footprint.of(quantity).unwrap_or(Interval::point(f64::NAN))
    }
}

/// All combinations that can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Why others are not among them, and how many.
    pub left_out: Vec<(String, usize)>,
}

/// A run on its hardware, wherever that stands.
struct OnHardware {
    micro_batch: usize,
    fits: Option<bool>,
    wall_h: Spread,
    /// Of all devices, behind the power supply.
    behind_kwh: Spread,
}

/// Every combination of `axes` for `workload`. Combinations that cannot be are counted by reason.
///
/// # Errors
/// If an architecture fits none of the workloads.
pub fn sweep(axes: &Axes, micro_batch: Option<usize>) -> Result<Sweep, EstimateError> {
    let mut left_out: Vec<(String, usize)> = Vec::new();
    for arch in &axes.archs {
        let faults = axes.workloads.iter().filter_map(|workload| arch.check(&workload.model).err());
        let faults: Vec<_> = faults.collect();
        if faults.len() == axes.workloads.len()
            && let Some(fault) = faults.into_iter().next()
        {
            return Err(fault.into());
        }
    }
    let spreads = Spreads::default();
    let mut scenarios = Vec::new();
    for (hardware, (device, conditions)) in axes.hardware.iter().enumerate() {
        let rents: Vec<Result<Option<Input>, NotRented>> =
            axes.grids.iter().map(|(grid, _)| rent_in(grid, device, conditions, axes)).collect();
        for &devices in &axes.devices {
            let site = UsualSite::of(Some(device), devices).index();
            let places: Vec<(usize, Conditions)> = (axes.grids.iter().zip(&rents).enumerate())
                .filter_map(|(i, ((_, of_grid), rent))| {
                    Some((i, at_place(conditions, &of_grid[site], rent.as_ref().ok()?.clone(), axes.owned)))
                })
                .collect();
            for (of, target) in axes.runs_on(hardware, devices, micro_batch) {
                let run = of.arch.check(&target.workload.model).map_err(EstimateError::from);
                let run = run
                    .and_then(|()| check(target.workload, devices, axes.cluster, micro_batch))
                    .and_then(|()| analytic_step(&target, of.arch))
                    .map(|source| on_hardware(&spreads, &target, of.arch, &source, conditions));
                match run {
                    Ok(run) => {
                        scenarios.extend(places.iter().map(|(grid, conditions)| Scenario {
                            grid: *grid,
                            micro_batch: run.micro_batch,
                            fits: run.fits,
                            footprint: run.footprint(&spreads, devices, conditions),
                            ..of.clone()
                        }));
                        let elsewhere = axes.grids.len() - places.len();
                        if elsewhere > 0 {
                            count(&mut left_out, "the cloud of the region does not rent the device", elsewhere);
                        }
                    }
                    Err(error) => count(&mut left_out, &reason(&error), axes.grids.len()),
                }
            }
        }
    }
    let needed = [Quantity::Wall, Quantity::FacilityEnergy, Quantity::Operational];
    scenarios.retain(|s| needed.into_iter().all(|q| s.footprint.get(q).is_some_and(|i| i.is_valid())));
    Ok(Sweep { scenarios, left_out })
}

/// Gives `scenarios` of a sweep the numbers that [`crate::estimate::estimate`] gives each of them alone, by the same draws.
/// It takes some milliseconds a scenario.
///
/// # Errors
/// As [`sweep`].
pub fn draw_scenarios<'a>(
    axes: &Axes,
    micro_batch: Option<usize>,
    seed: u64,
    scenarios: impl IntoIterator<Item = &'a mut Scenario>,
) -> Result<(), EstimateError> {
    let monte_carlo = MonteCarlo::new(seed, TRIALS);
    let mut last = None;
    for s in scenarios {
        let (device, conditions) = &axes.hardware[s.hardware];
        // Scenarios that differ in the grid alone follow each other.
        let of_run = (s.workload, s.hardware, s.dtype, s.devices, s.software, s.arch);
        let known = last.take().filter(|(of, _)| *of == of_run);
        let drawn = if let Some((_, known)) = known {
            known
        } else {
            let target = axes.target(s, micro_batch);
            let source = analytic_step(&target, s.arch)?;
            draw_run(target.workload, s.devices, conditions, (s.arch, &source), &monte_carlo)
        };
        let (_, of_grid) = &axes.grids[s.grid];
        let site = UsualSite::of(Some(device), s.devices).index();
        let place = at_place(conditions, &of_grid[site], axes.rent_at(s.hardware, s.grid), axes.owned);
        s.footprint = footprint(&monte_carlo, &drawn.run, &place, 1.0).map(|draws| Interval::of_draws(draws.clone()));
        last = Some((of_run, drawn));
    }
    Ok(())
}

/// The cloud of a region does not have the device.
struct NotRented;

/// What a device rents for where a grid is: in the region of a cloud, what that cloud asks, if it rents it.
fn rent_in(grid: &Grid, device: &Device, conditions: &Conditions, axes: &Axes) -> Result<Option<Input>, NotRented> {
    let Some(provider) = grid.location.cloud_provider.clone().filter(|_| !axes.owned) else {
        return Ok(conditions.usd_per_device_hour.clone());
    };
    let rent = Rent { provider: Some(provider), ..axes.rent.clone() };
    // A processor that a cloud rents by the thread has no price here.
    let price = rent.of(Some(device)).map_err(|_| NotRented)?.price;
    if price.is_none() && device.kind != DeviceKind::Cpu { Err(NotRented) } else { Ok(price) }
}

/// The conditions of a device, where a grid is.
fn at_place(of_device: &Conditions, of_grid: &Conditions, rent: Option<Input>, owned: bool) -> Conditions {
    Conditions {
        pue: of_grid.pue.clone(),
        intensity: of_grid.intensity.clone(),
        basis: of_grid.basis,
        usd_per_device_hour: if owned { None } else { rent },
        // Rent and bills are not ranked together.
        usd_per_kwh: if owned { of_grid.usd_per_kwh.clone() } else { None },
        site_water: of_grid.site_water.clone(),
        grid_water: of_grid.grid_water.clone(),
        ..of_device.clone()
    }
}

impl OnHardware {
    fn footprint(&self, spreads: &Spreads, devices: u32, conditions: &Conditions) -> Footprint<Interval> {
        let run = Run {
            wall_h: Some(self.wall_h.clone()),
            energy: Some(Energy::Parts { behind_kwh: self.behind_kwh.clone(), at_wall_kwh: None }),
            devices: f64::from(devices),
            share: 1.0,
        };
        footprint(spreads, &run, conditions, 1.0).map(Spread::interval)
    }
}

fn reason(error: &EstimateError) -> String {
    match error {
        EstimateError::DType { .. } => "the device does not compute in that dtype".to_owned(),
        EstimateError::MissingFigure { what, .. } => format!("the catalog gives the device no {what}"),
        EstimateError::BatchTooSmall { .. } => "the batch is smaller than the number of devices".to_owned(),
        EstimateError::MicroBatchTooLarge { .. } => "`--micro-batch` is more than the batch of a device".to_owned(),
        other => other.to_string(),
    }
}

fn count(left_out: &mut Vec<(String, usize)>, reason: &str, n: usize) {
    match left_out.iter_mut().find(|(r, _)| r == reason) {
        Some((_, count)) => *count += n,
        None => left_out.push((reason.to_owned(), n)),
    }
}

fn on_hardware(
    spreads: &Spreads,
    target: &Target<'_>,
    arch: Arch,
    source: &StepSource,
    conditions: &Conditions,
) -> OnHardware {
    let workload = target.workload;
    let devices = f64::from(target.devices);
    let parts = parts_s(workload, source, &Factors::MIDDLE);
    let phase_s: Vec<f64> = parts.iter().map(|(computing, exposed)| computing + exposed).collect();
    let (median, mixed_sd) = mixed(source.phases.first(), step_sd(source, &phase_s));
    let train_s: f64 = phase_s.iter().sum::<f64>() * median;
    let lost = &conditions.lost_time;
    let over = lost.typical(target.devices, trainable_params(&workload.model, arch) as f64);
    let wall_s = train_s * over;
    let wall_sd = mixed_sd.hypot(exchange_sd(workload, source)).hypot(lost.productive.distribution.ln_sd());
    let wall_h = spreads.uncertain("wall time", wall_s / 3600.0, wall_sd);
    let busy_j: f64 = source
        .phases
        .iter()
        .zip(&parts)
        .map(|(p, (computing, exposed))| {
            let watts = p.power_w.map_or(0.0, Distribution::centre);
            step_j(watts, source.idle_w, (computing + exposed, *exposed))
        })
        .sum::<f64>()
        * median;
    let idle_j = source.idle_w.map_or(busy_j / train_s, |w| w) * (wall_s - train_s);
    // What a device takes in an hour, times the hours.
    let kw = Joules((busy_j + idle_j) * devices).kwh() / wall_h.mid;
    let power = spreads.uncertain("power of the device", kw, source.power_uncertainty);
    let program = target.program();
    let bytes =
        (0..workload.phases.len()).map(|i| memory_of(workload, i, arch, &program, source.phases[i].micro_batch)).max();
    OnHardware {
        micro_batch: source.phases.first().map_or(1, |p| p.micro_batch),
        fits: bytes.and_then(|bytes| program.fits(bytes, target.device)),
        behind_kwh: spreads.multiply(&power, &wall_h),
        wall_h,
    }
}

/// Seconds of all steps of each phase that compute, and that only exchange gradients.
fn parts_s(workload: &Workload, source: &StepSource, factors: &Factors) -> Vec<(f64, f64)> {
    let of_phase = |(phase, step): (&Phase, &PhaseStep)| {
        let (computing, exposed) = step.at(&source.straggler, factors);
        (phase.steps as f64 * computing, phase.steps as f64 * exposed)
    };
    workload.phases.iter().zip(&source.phases).map(of_phase).collect()
}

/// Standard deviation of the logarithm of the training time by what is not known of the exchange and of other machines: half of
/// what it changes by from one standard deviation below the middle of each input to one above.
fn exchange_sd(workload: &Workload, source: &StepSource) -> f64 {
    if source.phases.iter().all(|p| p.exchange.is_none()) {
        return 0.0;
    }
    let train_s = |factors: &Factors| -> f64 { parts_s(workload, source, factors).iter().map(|(c, e)| c + e).sum() };
    let answer = |i: usize| (train_s(&Factors::moved(i, 1.0)) / train_s(&Factors::moved(i, -1.0))).ln() / 2.0;
    (0..exchange_inputs().len()).map(|i| answer(i).powi(2)).sum::<f64>().sqrt()
}

/// Standard deviation of the logarithm of the training time: loadings of one name add up over the phases.
fn step_sd(source: &StepSource, phase_s: &[f64]) -> f64 {
    let total: f64 = phase_s.iter().sum();
    let names = source.phases.first().map_or(0, |p| p.loadings.len());
    let shared: f64 = (0..names)
        .map(|i| {
            let sum: f64 = source
                .phases
                .iter()
                .zip(phase_s)
                .map(|(p, s)| p.loadings.get(i).map_or(0.0, |l| l.1) * s / total)
                .sum();
            sum * sum
        })
        .sum();
    shared.sqrt().hypot(source.own_scale.ln_sd())
}

/// Median of the factor of software that is not known, over its geometric mean, and the standard deviation of the logarithm of a
/// time that otherwise has `sd`: a mixture of several is no log-normal number, and its median is no mean.
fn mixed(step: Option<&PhaseStep>, sd: f64) -> (f64, f64) {
    let Some(step) = step.filter(|s| s.by_software.len() > 1) else { return (1.0, sd) };
    let mean = step.ln_software().0;
    let component = |(weight, factor): &(f64, f64)| Component { weight: *weight, mean: factor.ln() - mean, sd };
    let components: Vec<Component> = step.by_software.iter().map(component).collect();
    let [low, middle, high] = [0.025, 0.5, 0.975].map(|q| mixture_quantile(&components, q));
    (middle.exp(), (high - low) / (2.0 * 1.96))
}
