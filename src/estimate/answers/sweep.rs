//! Many scenarios at once: every combination of hardware, software, number of devices, layout, grid and architecture.
//!
//! A scenario is worked out from the geometric mean of each input, and its interval by adding up moments of logarithms: the
//! product rule of the GUM (JCGM 100, §5.1.6), without draws. What does not depend on the grid is worked out once. Where scenarios
//! are few, or one of them is named, [`draw_scenarios`] gives each the numbers of a single estimate; where they are many,
//! [`super::frontier::draw_unbeaten`] does so for those that anybody would choose.

use rayon::prelude::*;

use super::draws::{RunDraws, TRIALS, draw_run};
use super::moments::on_hardware;
use crate::catalog::{Device, DeviceKind, Grid, IntensityBasis, SoftwareSpec};
use crate::estimate::error::EstimateError;
use crate::estimate::layout::{Considered, steps_of};
use crate::estimate::layout_error::LayoutError;
use crate::estimate::ledger::chain::footprint;
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::ledger::spread::Spreads;
use crate::estimate::request::cluster::Cluster;
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::input::Input;
use crate::estimate::request::layout::{Layout, LayoutSpec};
use crate::estimate::request::rent::Rent;
use crate::estimate::request::spec::UsualSite;
use crate::estimate::request::training::{Hardware, Request};
use crate::estimate::steps::source::target_of;
use crate::estimate::steps::step::StepSource;
use crate::model::Arch;
use crate::record::Workload;
use crate::stats::Interval;
use crate::units::DType;

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
    /// How runs are laid out over the devices: `None` as in [`Request::layout`].
    pub layouts: Vec<Option<LayoutSpec>>,
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

    /// Every workload, number format, software, architecture and layout on so many of a device, as a scenario of which nothing else
    /// is known yet.
    fn runs_on(&self, hardware: usize, devices: u32) -> impl Iterator<Item = (Scenario, Option<LayoutSpec>)> {
        let of_software = move |(workload, dtype, software): (usize, DType, SoftwareSpec)| {
            self.archs.iter().flat_map(move |&arch| {
                let of = Scenario {
                    workload,
                    hardware,
                    grid: 0,
                    dtype,
                    devices,
                    software,
                    arch,
                    layout: None,
                    micro_batch: 1,
                    fits: None,
                    footprint: Footprint::default(),
                };
                self.layouts.iter().map(move |layout| (of.clone(), *layout))
            })
        };
        let of_workload = move |(workload, dtype): (usize, DType)| {
            self.software.iter().map(move |&software| (workload, dtype, software)).flat_map(of_software)
        };
        let of_dtype = |&dtype: &DType| (0..self.workloads.len()).map(move |workload| (workload, dtype));
        self.dtypes.iter().flat_map(of_dtype).flat_map(of_workload)
    }

    /// What a scenario alone asks for, under `conditions`.
    #[must_use]
    pub fn request<'a>(
        &'a self,
        of: &'a Scenario,
        micro_batch: Option<usize>,
        conditions: &'a Conditions,
        seed: u64,
    ) -> Request<'a> {
        Request {
            workload: &self.workloads[of.workload],
            archs: std::slice::from_ref(&of.arch),
            hardware: Hardware::Catalog(self.hardware[of.hardware].0.clone()),
            devices: of.devices,
            cluster: self.cluster,
            dtype: of.dtype,
            software: of.software,
            own: None,
            micro_batch,
            layout: of.layout.map(LayoutSpec::Of),
            conditions,
            seed,
        }
    }

    /// The steps of a scenario, which is told its layout and whether it fits.
    fn steps(
        &self,
        of: &mut Scenario,
        layout: Option<LayoutSpec>,
        micro_batch: Option<usize>,
    ) -> Result<StepSource, EstimateError> {
        of.arch.check(&self.workloads[of.workload].model)?;
        let (device, conditions) = &self.hardware[of.hardware];
        let request = Request { layout, ..self.request(of, micro_batch, conditions, 0) };
        let (source, considered) = steps_of(&request, of.arch)?;
        let whole = target_of(&request, device).fits(of.arch);
        (of.layout, of.fits) = match considered.as_ref().and_then(Considered::chosen) {
            Some(chosen) => (Some(chosen.layout), chosen.fits),
            None => (None, whole),
        };
        of.micro_batch = source.phases.first().map_or(1, |p| p.micro_batch);
        Ok(source)
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
    /// The layout over the devices, where one was asked for.
    pub layout: Option<Layout>,
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

    /// Whether both are one run, in whatever grids.
    pub(super) fn is_same_run(&self, other: &Self) -> bool {
        let run = |s: &Self| (s.workload, s.hardware, s.dtype, s.devices, s.software, s.arch, s.layout);
        run(self) == run(other)
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

/// Every combination of `axes` for `workload`. Combinations that cannot be are counted by reason.
///
/// # Errors
/// If an architecture fits none of the workloads.
pub fn sweep(axes: &Axes, micro_batch: Option<usize>) -> Result<Sweep, EstimateError> {
    for arch in &axes.archs {
        let faults = axes.workloads.iter().filter_map(|workload| arch.check(&workload.model).err());
        let faults: Vec<_> = faults.collect();
        if faults.len() == axes.workloads.len()
            && let Some(fault) = faults.into_iter().next()
        {
            return Err(fault.into());
        }
    }
    // In the order of the hardware, however many threads there are.
    let found: Vec<Sweep> =
        (0..axes.hardware.len()).into_par_iter().map(|hardware| sweep_on(hardware, axes, micro_batch)).collect();
    let mut all = Sweep { scenarios: Vec::new(), left_out: Vec::new() };
    for of_hardware in found {
        all.scenarios.extend(of_hardware.scenarios);
        of_hardware.left_out.iter().for_each(|(reason, n)| count(&mut all.left_out, reason, *n));
    }
    Ok(all)
}

/// Every combination with one hardware.
fn sweep_on(hardware: usize, axes: &Axes, micro_batch: Option<usize>) -> Sweep {
    let (device, conditions) = &axes.hardware[hardware];
    let spreads = Spreads::default();
    let (mut scenarios, mut left_out) = (Vec::new(), Vec::new());
    let rents: Vec<Result<Option<Input>, NotRented>> =
        axes.grids.iter().map(|(grid, _)| rent_in(grid, device, conditions, axes)).collect();
    for &devices in &axes.devices {
        let site = UsualSite::of(Some(device), devices).index();
        let places: Vec<(usize, Conditions)> = (axes.grids.iter().zip(&rents).enumerate())
            .filter_map(|(i, ((_, of_grid), rent))| {
                Some((i, at_place(conditions, &of_grid[site], rent.as_ref().ok()?.clone(), axes.owned)))
            })
            .collect();
        for (mut of, layout) in axes.runs_on(hardware, devices) {
            match axes.steps(&mut of, layout, micro_batch) {
                Ok(source) => {
                    let workload = &axes.workloads[of.workload];
                    let run = on_hardware(&spreads, workload, devices, (of.arch, &source), conditions);
                    scenarios.extend(places.iter().map(|(grid, conditions)| Scenario {
                        grid: *grid,
                        footprint: run.footprint(&spreads, devices, conditions),
                        ..of.clone()
                    }));
                    let elsewhere = axes.grids.len() - places.len();
                    if elsewhere > 0 {
                        count(&mut left_out, "the cloud of the region does not rent the device there", elsewhere);
                    }
                }
                Err(error) => count(&mut left_out, &reason(&error), axes.grids.len()),
            }
        }
    }
    let needed = [Quantity::Wall, Quantity::FacilityEnergy, Quantity::Operational];
    scenarios.retain(|s: &Scenario| needed.into_iter().all(|q| s.footprint.get(q).is_some_and(|i| i.is_valid())));
    Sweep { scenarios, left_out }
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
    let mut scenarios: Vec<&mut Scenario> = scenarios.into_iter().collect();
    // Scenarios that differ in the grid alone follow each other.
    let runs: Vec<&mut [&mut Scenario]> = scenarios.chunk_by_mut(|a, b| a.is_same_run(b)).collect();
    let begin = || MonteCarlo::new(seed, TRIALS);
    runs.into_par_iter().try_for_each_init(begin, |monte_carlo, run| {
        let Some(first) = run.first_mut() else { return Ok(()) };
        let source = axes.steps(first, first.layout.map(LayoutSpec::Of), micro_batch)?;
        let (workload, conditions) = (&axes.workloads[first.workload], &axes.hardware[first.hardware].1);
        let drawn = draw_run(workload, first.devices, conditions, (first.arch, &source), monte_carlo);
        run.par_iter_mut().for_each_init(begin, |monte_carlo, s| s.footprint = of_draws(s, &drawn, axes, monte_carlo));
        Ok(())
    })
}

/// What a scenario comes to by the draws of its run.
fn of_draws(s: &Scenario, drawn: &RunDraws, axes: &Axes, monte_carlo: &MonteCarlo) -> Footprint<Interval> {
    let (device, conditions) = &axes.hardware[s.hardware];
    let (_, of_grid) = &axes.grids[s.grid];
    let site = UsualSite::of(Some(device), s.devices).index();
    let place = at_place(conditions, &of_grid[site], axes.rent_at(s.hardware, s.grid), axes.owned);
    footprint(monte_carlo, &drawn.run, &place, 1.0).map(|draws| Interval::of_draws(draws.clone()))
}

/// The cloud of a region does not have the device.
struct NotRented;

/// What a device rents for where a grid is: in the region of a cloud, what that cloud asks, if it rents it.
fn rent_in(grid: &Grid, device: &Device, conditions: &Conditions, axes: &Axes) -> Result<Option<Input>, NotRented> {
    let Some(provider) = grid.location.cloud_provider.clone().filter(|_| !axes.owned) else {
        return Ok(conditions.usd_per_device_hour.clone());
    };
    let rent = Rent { provider: Some(provider), region: grid.location.cloud_region.clone(), ..axes.rent.clone() };
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

fn reason(error: &EstimateError) -> String {
    match error {
        EstimateError::DType { .. } => "the device does not compute in that dtype".to_owned(),
        EstimateError::MissingFigure { what, .. } => format!("the catalog gives the device no {what}"),
        EstimateError::Layout(LayoutError::NothingFits { .. }) => {
            "the model fits in no layout of the devices".to_owned()
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, DeviceKind};
    use crate::estimate::request::spec::ConditionsSpec;

    /// GPUs of all kinds, rented or owned, one and eight of them.
    fn axes(owned: bool) -> Axes {
        let catalog = Catalog::default();
        let spec = ConditionsSpec::default();
        let gpus = catalog.all::<Device>().expect("readable").into_iter().filter(|d| d.kind == DeviceKind::Gpu);
        let of_device = |device: Device| (device.clone(), spec.of_device(&device, &catalog).expect("known"));
        let of_grid = |name: &str| spec.in_grid(name).of_grid(&catalog).expect("known");
        Axes {
            workloads: vec![catalog.load("bert-base").expect("known")],
            hardware: gpus.step_by(7).map(of_device).collect(),
            grids: ["world", "fra", "aws-eu-north-1"].map(of_grid).into(),
            dtypes: vec![DType::F16],
            devices: vec![1, 8],
            cluster: Cluster::default(),
            software: vec![SoftwareSpec::default(), "eager".parse().expect("known")],
            archs: vec![Arch::Dense, "lrt:rank=256".parse().expect("known")],
            layouts: vec![None],
            rent: Rent::default(),
            owned,
        }
    }

    #[test]
    fn moments_come_to_what_draws_do_within_a_few_percent() {
        let mut off: Vec<f64> = Vec::new();
        let mut ends: Vec<f64> = Vec::new();
        for owned in [false, true] {
            let axes = axes(owned);
            let by_moments = sweep(&axes, None).expect("valid").scenarios;
            let mut drawn = by_moments.clone();
            draw_scenarios(&axes, None, 0, &mut drawn).expect("valid");
            for (a, b) in by_moments.iter().zip(&drawn) {
                for (a, b) in Quantity::ALL.into_iter().filter_map(|q| a.footprint.of(q).zip(b.footprint.of(q))) {
                    off.push((a.mid / b.mid).ln());
                    ends.extend([(a.low / b.low).ln(), (a.high / b.high).ln()]);
                }
            }
        }
        let rms = |all: &[f64]| (all.iter().map(|x| x * x).sum::<f64>() / all.len() as f64).sqrt();
        let worst = off.iter().fold(0.0_f64, |worst, x| worst.max(x.abs()));
        assert!(off.len() > 500, "{}", off.len());
        assert!(rms(&off) < 0.06 && worst < 0.25, "middles: {}, at most {worst}", rms(&off));
        assert!(rms(&ends) < 0.25, "ends: {}", rms(&ends));
    }
}
