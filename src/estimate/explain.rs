//! The arithmetic of each number, at the middle of its inputs.

use serde::Serialize;

use super::draws::{Draws, middle};
use super::model::Class;
use super::step::PhaseStep;
use super::training::Request;
use super::{Input, StepSource};

/// One number and how it comes about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The number.
    pub name: String,
    /// Its arithmetic.
    pub arithmetic: String,
    /// The result of it, in the unit that the name ends in.
    pub value: f64,
}

fn line(name: impl Into<String>, arithmetic: String, value: f64) -> Line {
    Line { name: name.into(), arithmetic, value }
}

/// Four significant digits.
fn show(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if (1e-3..1e6).contains(&x.abs()) {
        #[expect(clippy::cast_possible_truncation, reason = "a decimal exponent between -3 and 5")]
        let decimals = usize::try_from(3 - x.abs().log10().floor() as i32).unwrap_or(0);
        return format!("{x:.decimals$}");
    }
    format!("{x:.3e}")
}

fn centre(input: &Input) -> f64 {
    input.distribution.median()
}

/// The chain from a step to every output, each number by those above it. Values are those of the middle of each input:
/// medians of the draws differ a little where inputs are skewed.
pub(super) fn explain(request: &Request<'_>, source: &StepSource, draws: &Draws) -> Vec<Line> {
    let conditions = request.conditions;
    let mut lines = Vec::new();
    let mut train_s = 0.0;
    let mut busy_j = Some(0.0);
    let devices = f64::from(request.devices);
    for (i, (phase, step)) in request.workload.phases.iter().zip(&source.phases).enumerate() {
        let n = i + 1;
        lines.extend(parts(step, n));
        let step_s =
            step.micro_steps * step.pass_s.centre() * source.straggler + step.optimizer_s.centre() + step.exchange_s;
        lines.push(line(
            format!("step of phase {n}, s"),
            format!(
                "{} micro-batches x {} s x {} (slowest device) + {} s optimizer + {} s exchange",
                show(step.micro_steps),
                show(step.pass_s.centre()),
                show(source.straggler),
                show(step.optimizer_s.centre()),
                show(step.exchange_s)
            ),
            step_s,
        ));
        train_s += phase.steps as f64 * step_s;
        busy_j = busy_j.zip(step.power_w).map(|(j, w)| j + w.centre() * phase.steps as f64 * step_s * devices);
        if let Some(watts) = step.power_w {
            lines.push(line(
                format!("power of a device in phase {n}, W"),
                "measured or modelled".to_owned(),
                watts.centre(),
            ));
        }
    }
    let steps: Vec<String> = request
        .workload
        .phases
        .iter()
        .enumerate()
        .map(|(i, p)| format!("{} x step of phase {}", p.steps, i + 1))
        .collect();
    lines.push(line("training, h", format!("({}) / 3600", steps.join(" + ")), train_s / 3600.0));
    let over = middle(&draws.wall_s) / middle(&draws.train_s);
    let wall_h = train_s / 3600.0 * over;
    lines.push(line(
        "wall time, h",
        format!("training x {} (evaluation, data, checkpoints, failures)", show(over)),
        wall_h,
    ));
    if let Some(price) = &conditions.usd_per_device_hour {
        let usd = wall_h * devices * centre(price);
        lines.push(line("cost, USD", format!("wall time x {devices} devices x {} USD/h", show(centre(price))), usd));
    }
    if let Some((kg, life)) = &conditions.embodied {
        let (kg, life) = (centre(kg), centre(life));
        let arithmetic = format!("wall time x {devices} devices x {} kg / {} h of use", show(kg), show(life));
        lines.push(line("embodied emissions, kgCO2e", arithmetic, wall_h * devices * kg / life));
    }
    let Some(busy_j) = busy_j else { return lines };
    let waiting_h = wall_h - train_s / 3600.0;
    let idle_w = source.idle_w.unwrap_or(busy_j / train_s / devices);
    let of = |input: &Option<Input>, otherwise: f64| input.as_ref().map_or(otherwise, centre);
    let (host, psu, other) =
        (of(&conditions.wall.host_share, 0.0), of(&conditions.wall.psu, 1.0), of(&conditions.wall.other_w, 0.0));
    let device_kwh = busy_j / 3.6e6 + idle_w * waiting_h * devices / 1e3;
    lines.push(line(
        "energy of the devices, kWh",
        format!(
            "{} kWh training + {} W x {} h waiting x {devices}",
            show(busy_j / 3.6e6),
            show(idle_w),
            show(waiting_h)
        ),
        device_kwh,
    ));
    let it_kwh = (device_kwh * (1.0 + host) + other * wall_h * devices / 1e3) / psu;
    lines.push(line(
        "IT energy, kWh",
        format!(
            "(energy of the devices x {} + {} W x wall time x {devices}) / {} power supply",
            show(1.0 + host),
            show(other),
            show(psu)
        ),
        it_kwh,
    ));
    let facility = it_kwh * centre(&conditions.pue);
    lines.push(line("facility energy, kWh", format!("IT energy x PUE {}", show(centre(&conditions.pue))), facility));
    let g = centre(&conditions.intensity);
    lines.push(line(
        "operational emissions, kgCO2e",
        format!("facility energy x {} g/kWh / 1000", show(g)),
        facility * g / 1e3,
    ));
    if conditions.usd_per_device_hour.is_none()
        && let Some(price) = &conditions.usd_per_kwh
    {
        let usd = facility * centre(price);
        lines.push(line("cost, USD", format!("facility energy x {} USD/kWh", show(centre(price))), usd));
    }
    if let Some(grid) = &conditions.grid_water {
        let (site, grid) = (of(&conditions.site_water, 0.0), centre(grid));
        let arithmetic = format!("IT energy x ({} + PUE x {}) L/kWh", show(site), show(grid));
        lines.push(line("water, L", arithmetic, it_kwh * (site + centre(&conditions.pue) * grid)));
    }
    lines
}

/// The modelled parts of a pass.
fn parts(step: &PhaseStep, n: usize) -> Vec<Line> {
    let Some(time) = &step.parts else {
        return vec![line(format!("micro-batch of phase {n}, s"), "measured".to_owned(), step.pass_s.centre())];
    };
    let shares = Class::ALL.iter().zip(time.by_class).filter(|(_, s)| *s > 0.0);
    let sum: Vec<String> = shares.map(|(class, s)| format!("{} {}", show(s), class.name())).collect();
    vec![line(format!("micro-batch of {} in phase {n}, s", step.micro_batch), sum.join(" + "), time.pass())]
}
