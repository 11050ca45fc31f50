//! Monte Carlo over a whole training run (JCGM 101): inputs that architectures share are drawn once, so that
//! they cancel in ratios.

use super::sampler::Sampler;
use super::step::PhaseStep;
use super::training::Request;
use super::{Conditions, StepSource};
use crate::model::{Arch, count_params};
use crate::stats::{Distribution, quantile_sorted};
use crate::units::{GramsCo2ePerKwh, Joules, LitresPerKwh, Seconds, UsdPerHour, UsdPerKwh, Watts};

/// The draws of one architecture's run.
pub(super) struct Draws {
    pub(super) step_s: Vec<Vec<f64>>,
    pub(super) train_s: Vec<f64>,
    pub(super) wall_s: Vec<f64>,
    pub(super) it_j: Option<Vec<f64>>,
    pub(super) facility_j: Option<Vec<f64>>,
    pub(super) operational_kg: Option<Vec<f64>>,
    pub(super) cost_usd: Option<Vec<f64>>,
    pub(super) water_l: Option<Vec<f64>>,
    pub(super) embodied_kg: Option<Vec<f64>>,
}

/// Name of the group that measured step times are frozen with.
const MEASUREMENT: &str = "measured step times";
/// Name of the speed of a machine that others use too.
pub(super) const MACHINE: &str = "speed of the shared machine";
/// Name of the group that the model's own error for an architecture is frozen with.
const ARCHITECTURE: &str = "model of the architecture";

/// The median of draws.
pub(super) fn middle(draws: &[f64]) -> f64 {
    let mut sorted = draws.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_sorted(&sorted, 0.5)
}

/// A draw of a quantity that cannot be negative: one in the far tail is reflected.
pub(super) fn positive(draw: f64, distribution: Distribution) -> f64 {
    if draw > 0.0 { draw } else { (2.0 * distribution.centre() - draw).abs().min(distribution.centre()) }
}

/// Seconds of one step of a phase in each trial; of several devices, the slowest takes `straggler` times as long.
pub(super) fn phase_s(sampler: &Sampler, step: &PhaseStep, name: &str, straggler: f64) -> Vec<f64> {
    let own = |what: &str, distribution| sampler.of_group(MEASUREMENT, &format!("{name} {what}"), distribution);
    let (pass, optimizer, scale) =
        (own("pass", step.pass_s), own("optimizer", step.optimizer_s), own("scale", step.scale));
    let exchange = sampler.draws("exchange of gradients", Distribution::LogNormal(1.0, super::model::EXCHANGE_GSD));
    let shared = sampler.factors(&step.loadings);
    (0..sampler.trials())
        .map(|t| {
            let pass = step.micro_steps * positive(pass[t], step.pass_s) * straggler;
            let once = positive(optimizer[t], step.optimizer_s) + step.exchange_s * exchange[t];
            (pass * shared[t] + once) * scale[t]
        })
        .collect()
}

/// A whole run of `arch`.
pub(super) fn draw(request: &Request<'_>, arch: Arch, source: &StepSource, sampler: &Sampler) -> Draws {
    let Request { workload, conditions, .. } = *request;
    let trials = sampler.trials();
    let devices = f64::from(request.devices);
    let own_scale = sampler.of_group(ARCHITECTURE, &format!("model of {arch}"), source.own_scale);
    let gain = sampler.draws("gain of the meter", Distribution::LogNormal(1.0, 1.0 + source.gain_uncertainty));
    let machine = sampler.draws(MACHINE, Distribution::LogNormal(1.0, 1.0 + source.machine_uncertainty));
    let power_model =
        sampler.draws("power of the device", Distribution::LogNormal(1.0, 1.0 + source.power_uncertainty));
    let mut step_s = Vec::new();
    let mut train_s = vec![0.0; trials];
    let mut busy_j = source.phases.iter().all(|p| p.power_w.is_some()).then(|| vec![0.0; trials]);
    for (i, (phase, step)) in workload.phases.iter().zip(&source.phases).enumerate() {
        let name = format!("measured {arch} {i}");
        let mut seconds = phase_s(sampler, step, &name, source.straggler);
        seconds.iter_mut().zip(own_scale.iter().zip(&machine)).for_each(|(s, (own, machine))| *s *= own * machine);
        for (total, seconds) in train_s.iter_mut().zip(&seconds) {
            *total += phase.steps as f64 * seconds;
        }
        if let (Some(joules), Some(power)) = (&mut busy_j, step.power_w) {
            let power_w = sampler.of_group(MEASUREMENT, &format!("{name} power"), power);
            for t in 0..trials {
                let watts = Watts(positive(power_w[t], power) * gain[t] * power_model[t]);
                joules[t] += (watts * Seconds(phase.steps as f64 * seconds[t])).0 * devices;
            }
        }
        step_s.push(seconds);
    }
    let n_params = count_params(&workload.model, arch) as f64;
    let over = conditions.lost_time.wall_over_train(sampler, request.devices, n_params);
    let wall_s: Vec<f64> = train_s.iter().zip(&over).map(|(s, over)| s * over).collect();
    let it_j = busy_j.map(|busy| it_energy(request, source, sampler, &busy, (&train_s, &wall_s)));
    finish(
        request,
        sampler,
        Draws {
            step_s,
            train_s,
            wall_s,
            it_j,
            facility_j: None,
            operational_kg: None,
            cost_usd: None,
            water_l: None,
            embodied_kg: None,
        },
    )
}

/// Joules at the wall: busy while it trains, idle while it waits, with the rest of the machine around it.
fn it_energy(
    request: &Request<'_>,
    source: &StepSource,
    sampler: &Sampler,
    busy_j: &[f64],
    (train_s, wall_s): (&[f64], &[f64]),
) -> Vec<f64> {
    let wall = &request.conditions.wall;
    let host = sampler.input_or(wall.host_share.as_ref(), 0.0);
    let psu = sampler.input_or(wall.psu.as_ref(), 1.0);
    let other = sampler.input_or(wall.other_w.as_ref(), 0.0);
    let devices = f64::from(request.devices);
    (0..sampler.trials())
        .map(|t| {
            let waiting_s = wall_s[t] - train_s[t];
            // Where idle power is not known, time that is lost is charged like time that trains.
            let idle_j = source.idle_w.map_or(busy_j[t] / train_s[t] * waiting_s, |w| w * waiting_s * devices);
            ((busy_j[t] + idle_j) * (1.0 + host[t]) + other[t] * wall_s[t] * devices) / psu[t]
        })
        .collect()
}

/// Everything that follows from wall time and IT energy.
fn finish(request: &Request<'_>, sampler: &Sampler, run: Draws) -> Draws {
    let conditions = request.conditions;
    let trials = sampler.trials();
    let pue = sampler.input_or(Some(&conditions.pue), 1.0);
    let intensity = sampler.input_or(Some(&conditions.intensity), 0.0);
    let when = hours_factor(conditions, middle(&run.wall_s) / 3600.0);
    let facility_j: Option<Vec<f64>> = run.it_j.as_ref().map(|it| it.iter().zip(&pue).map(|(j, p)| j * p).collect());
    let operational_kg = facility_j.as_ref().map(|facility| {
        let kg = |(j, g): (&f64, &f64)| (Joules(*j) * GramsCo2ePerKwh(g.max(0.0) * when)).0;
        facility.iter().zip(&intensity).map(kg).collect()
    });
    let cost_usd = cost(request, sampler, &run.wall_s, facility_j.as_deref());
    let water_l = conditions.grid_water.as_ref().zip(run.it_j.as_ref()).map(|(grid, it)| {
        let grid = sampler.input_or(Some(grid), 0.0);
        let site = sampler.input_or(conditions.site_water.as_ref(), 0.0);
        (0..trials).map(|t| (Joules(it[t]) * LitresPerKwh(site[t] + pue[t] * grid[t])).0).collect()
    });
    let embodied_kg = conditions.embodied.as_ref().map(|(kg, life)| {
        let (kg, life) = (sampler.input_or(Some(kg), 0.0), sampler.input_or(Some(life), 1.0));
        let share = |t: usize| f64::from(request.devices) * Seconds(run.wall_s[t]).hours() / life[t];
        (0..trials).map(|t| kg[t] * share(t)).collect()
    });
    Draws { facility_j, operational_kg, cost_usd, water_l, embodied_kg, ..run }
}

/// Mean intensity of the hours that a run of `hours` is in, over the mean of all: 1 where hours are not known.
fn hours_factor(conditions: &Conditions, hours: f64) -> f64 {
    let factor = conditions.hourly.as_ref().and_then(|hourly| {
        let schedule = super::schedule::schedule(hourly, conditions.start_within_h.unwrap_or(0), hours)?;
        Some(schedule.intensity_gco2e_per_kwh / hourly.mean())
    });
    factor.filter(|f| f.is_finite()).unwrap_or(1.0)
}

/// Rent where a rental price is known; else the electricity bill.
fn cost(request: &Request<'_>, sampler: &Sampler, wall_s: &[f64], facility_j: Option<&[f64]>) -> Option<Vec<f64>> {
    if let Some(price) = &request.conditions.usd_per_device_hour {
        let price = sampler.input_or(Some(price), 0.0);
        let usd = |(s, p): (&f64, f64)| (Seconds(*s) * UsdPerHour(p)).0 * f64::from(request.devices);
        return Some(wall_s.iter().zip(price).map(usd).collect());
    }
    let price = sampler.input_or(Some(request.conditions.usd_per_kwh.as_ref()?), 0.0);
    Some(facility_j?.iter().zip(price).map(|(j, p)| (Joules(*j) * UsdPerKwh(p)).0).collect())
}
