//! Many scenarios at once: every combination of hardware, software, number of devices, grid and architecture.
//!
//! A scenario is worked out at the median of each input, and its interval by adding up variances of logarithms: the
//! product rule of the GUM (JCGM 100, §5.1.6), without draws. What does not depend on the grid is worked out once.

use super::analytic::{Target, analytic_step};
use super::micro_batch::{fits, memory_of};
use super::training::check;
use super::{Conditions, EstimateError, Input, StepSource};
use crate::catalog::{Device, Grid, Level};
use crate::model::{Arch, count_params};
use crate::record::Workload;
use crate::stats::{Distribution, Interval};
use crate::units::DType;

/// What is combined.
#[derive(Debug, Clone)]
pub struct Axes {
    /// Devices, each with its own conditions: price, making, host.
    pub hardware: Vec<(Device, Conditions)>,
    /// Grids, each with its own conditions: intensity, PUE, water. Those of a CPU come second.
    pub grids: Vec<(Grid, [Conditions; 2])>,
    /// Number formats.
    pub dtypes: Vec<DType>,
    /// Numbers of devices.
    pub devices: Vec<u32>,
    /// Efficiencies of the software.
    pub levels: Vec<Level>,
    /// Architectures.
    pub archs: Vec<Arch>,
    /// Whether the machines are owned, so that only their electricity is paid. Rent and electricity bills are never ranked
    /// together: a rented device without a known price has no known cost.
    pub owned: bool,
}

/// A combination and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Place in [`Axes::hardware`].
    pub hardware: usize,
    /// Place in [`Axes::grids`].
    pub grid: usize,
    /// Number format.
    pub dtype: DType,
    /// How many devices.
    pub devices: u32,
    /// Efficiency of the software.
    pub level: Level,
    /// The architecture.
    pub arch: Arch,
    /// Sequences on a device at a time, in the first phase.
    pub micro_batch: usize,
    /// Whether it fits the memory of a device.
    pub fits: Option<bool>,
    /// Hours from start to end.
    pub wall_h: Interval,
    /// Energy of machines and building.
    pub facility_energy_kwh: Interval,
    /// Emissions of the electricity.
    pub operational_kgco2e: Interval,
    /// This run's share of making the devices.
    pub embodied_kgco2e: Option<Interval>,
    /// Rent; the electricity bill of owned machines.
    pub cost_usd: Option<Interval>,
}

/// All combinations that can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Why others are not among them, and how many.
    pub left_out: Vec<(String, usize)>,
}

/// A quantity as the median and the standard deviation of its logarithm.
#[derive(Debug, Clone, Copy)]
struct Spread {
    mid: f64,
    ln_sd: f64,
}

impl Spread {
    fn of(input: &Input) -> Self {
        Self { mid: input.distribution.median(), ln_sd: input.distribution.ln_sd() }
    }

    fn exactly(mid: f64) -> Self {
        Self { mid, ln_sd: 0.0 }
    }

    fn times(self, other: Self) -> Self {
        Self { mid: self.mid * other.mid, ln_sd: self.ln_sd.hypot(other.ln_sd) }
    }

    fn interval(self) -> Interval {
        let factor = (1.96 * self.ln_sd).exp();
        Interval { mid: self.mid, low: self.mid / factor, high: self.mid * factor }
    }
}

/// What a run is on its hardware, wherever that stands.
struct Run {
    micro_batch: usize,
    fits: Option<bool>,
    wall_h: Spread,
    it_kwh: Spread,
    embodied_kg: Option<Spread>,
    rent_usd: Option<Spread>,
}

/// Every combination of `axes` for `workload`. Combinations that cannot be are counted by reason.
///
/// # Errors
/// If an architecture does not fit the workload.
pub fn sweep(workload: &Workload, axes: &Axes, micro_batch: Option<usize>) -> Result<Sweep, EstimateError> {
    for arch in &axes.archs {
        arch.check(&workload.model)?;
    }
    let grids: Vec<[Place; 2]> =
        axes.grids.iter().map(|(_, conditions)| [Place::of(&conditions[0]), Place::of(&conditions[1])]).collect();
    let mut scenarios = Vec::new();
    let mut left_out: Vec<(String, usize)> = Vec::new();
    for (hardware, (device, conditions)) in axes.hardware.iter().enumerate() {
        let kind = usize::from(device.kind == crate::catalog::DeviceKind::Cpu);
        for &dtype in &axes.dtypes {
            for &devices in &axes.devices {
                for &level in &axes.levels {
                    for &arch in &axes.archs {
                        let target = Target { workload, device, dtype, devices, level, micro_batch };
                        let run = check(workload, devices, micro_batch)
                            .and_then(|()| analytic_step(&target, arch))
                            .map(|source| run_of(&target, arch, &source, conditions));
                        match run {
                            Ok(run) => scenarios.extend(grids.iter().enumerate().map(|(grid, places)| {
                                let place = &places[kind];
                                let facility = run.it_kwh.times(place.pue);
                                let bill = place.usd_per_kwh.map(|p| facility.times(p));
                                Scenario {
                                    hardware,
                                    grid,
                                    dtype,
                                    devices,
                                    level,
                                    arch,
                                    micro_batch: run.micro_batch,
                                    fits: run.fits,
                                    wall_h: run.wall_h.interval(),
                                    facility_energy_kwh: facility.interval(),
                                    operational_kgco2e: facility.times(place.kg_per_kwh).interval(),
                                    embodied_kgco2e: run.embodied_kg.map(Spread::interval),
                                    cost_usd: if axes.owned { bill } else { run.rent_usd }.map(Spread::interval),
                                }
                            })),
                            Err(error) => count(&mut left_out, &reason(&error), axes.grids.len()),
                        }
                    }
                }
            }
        }
    }
    scenarios.retain(|s| s.wall_h.is_valid() && s.facility_energy_kwh.is_valid() && s.operational_kgco2e.is_valid());
    Ok(Sweep { scenarios, left_out })
}

/// The conditions of a grid.
struct Place {
    pue: Spread,
    kg_per_kwh: Spread,
    usd_per_kwh: Option<Spread>,
}

impl Place {
    fn of(conditions: &Conditions) -> Self {
        Self {
            pue: Spread::of(&conditions.pue),
            kg_per_kwh: Spread::of(&conditions.intensity).times(Spread::exactly(1e-3)),
            usd_per_kwh: conditions.usd_per_kwh.as_ref().map(Spread::of),
        }
    }
}

fn reason(error: &EstimateError) -> String {
    match error {
        EstimateError::DType { .. } => "the device does not compute in that dtype".to_owned(),
        EstimateError::MissingFigure { what, .. } => format!("the catalog gives the device no {what}"),
        EstimateError::BatchTooSmall { .. } => "the batch is smaller than the number of devices".to_owned(),
        other => other.to_string(),
    }
}

fn count(left_out: &mut Vec<(String, usize)>, reason: &str, n: usize) {
    match left_out.iter_mut().find(|(r, _)| r == reason) {
        Some((_, count)) => *count += n,
        None => left_out.push((reason.to_owned(), n)),
    }
}

fn run_of(target: &Target<'_>, arch: Arch, source: &StepSource, conditions: &Conditions) -> Run {
    let workload = target.workload;
    let devices = f64::from(target.devices);
    let phase_s: Vec<f64> = workload
        .phases
        .iter()
        .zip(&source.phases)
        .map(|(phase, step)| {
            let pass = step.micro_steps * step.pass_s.centre() * source.straggler;
            phase.steps as f64 * (pass + step.optimizer_s.centre() + step.exchange_s)
        })
        .collect();
    let train_s: f64 = phase_s.iter().sum();
    let train = Spread { mid: train_s, ln_sd: step_sd(source, &phase_s) };
    let over = over_of(conditions, target.devices, count_params(&workload.model, arch) as f64);
    let wall = train.times(over);
    let busy_j: f64 =
        source.phases.iter().zip(&phase_s).map(|(p, s)| p.power_w.map_or(0.0, Distribution::centre) * s).sum();
    let idle_j = source.idle_w.map_or(busy_j / train_s, |w| w) * (wall.mid - train_s);
    let of = |input: &Option<Input>, otherwise: f64| input.as_ref().map_or(Spread::exactly(otherwise), Spread::of);
    let (host, psu, other) =
        (of(&conditions.wall.host_share, 0.0), of(&conditions.wall.psu, 1.0), of(&conditions.wall.other_w, 0.0));
    let machine_j = (busy_j + idle_j) * (1.0 + host.mid) + other.mid * wall.mid;
    // What a relative uncertainty of a part does to the sum of the parts.
    let part = |spread: Spread, joules: f64| spread.ln_sd * joules / machine_j.max(f64::MIN_POSITIVE);
    let around = part(host, (busy_j + idle_j) * host.mid).hypot(part(other, other.mid * wall.mid));
    let it_kwh = Spread {
        mid: machine_j / psu.mid * devices / 3.6e6,
        ln_sd: wall.ln_sd.hypot(source.power_uncertainty).hypot(around).hypot(psu.ln_sd),
    };
    let wall_h = wall.times(Spread::exactly(1.0 / 3600.0));
    let device_h = wall_h.times(Spread::exactly(devices));
    let level = (target.dtype, target.level);
    let bytes =
        (0..workload.phases.len()).map(|i| memory_of(workload, i, arch, level, source.phases[i].micro_batch)).max();
    Run {
        micro_batch: source.phases.first().map_or(1, |p| p.micro_batch),
        fits: bytes.and_then(|bytes| fits(bytes, target.device)),
        wall_h,
        it_kwh,
        embodied_kg: conditions.embodied.as_ref().map(|(kg, life)| {
            let life = Spread::of(life);
            device_h.times(Spread::of(kg)).times(Spread { mid: 1.0 / life.mid, ..life })
        }),
        rent_usd: conditions.usd_per_device_hour.as_ref().map(|price| device_h.times(Spread::of(price))),
    }
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

/// Wall time over training time.
fn over_of(conditions: &Conditions, devices: u32, n_params: f64) -> Spread {
    let productive = Spread::of(&conditions.lost_time.productive);
    Spread { mid: conditions.lost_time.typical(devices, n_params), ln_sd: productive.ln_sd }
}
