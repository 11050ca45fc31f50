//! The arithmetic of each number, at the middle of its inputs.

use super::draws::{Draws, hours_factor, middle};
use crate::estimate::ledger::arithmetic::Arithmetic;
use crate::estimate::ledger::chain::{Energy, Run, footprint};
use crate::estimate::ledger::traced::{Derivation, Trace, Traced, show};
use crate::estimate::request::training::Request;
use crate::estimate::steps::model::Class;
use crate::estimate::steps::step::{PhaseStep, StepSource};

fn line(name: impl Into<String>, arithmetic: String, value: f64) -> Derivation {
    Derivation { name: name.into(), arithmetic, value }
}

/// The chain from a step to every output, each number by those above it. Values are those of the middle of each input:
/// medians of the draws differ a little where inputs are skewed.
pub(super) fn explain(request: &Request<'_>, source: &StepSource, draws: &Draws) -> Vec<Derivation> {
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
    let over = middle(draws.wall_h()) * 3600.0 / middle(&draws.train_s);
    let wall_h = train_s / 3600.0 * over;
    let trace = Trace::default();
    let energy = busy_j.map(|busy_j| {
        let waiting_h = wall_h - train_s / 3600.0;
        let idle_w = source.idle_w.unwrap_or(busy_j / train_s / devices);
        let kwh = busy_j / 3.6e6 + idle_w * waiting_h * devices / 1e3;
        let text = format!(
            "{} kWh training + {} W x {} h waiting x {devices}",
            show(busy_j / 3.6e6),
            show(idle_w),
            show(waiting_h)
        );
        Energy::Parts {
            behind_kwh: trace.named("energy of the devices", "kWh", Traced::new(kwh, text)),
            at_wall_kwh: None,
        }
    });
    let text = format!("training x {} (evaluation, data, checkpoints, failures)", show(over));
    let run = Run { wall_h: Some(Traced::new(wall_h, text)), energy, devices, share: 1.0 };
    footprint(&trace, &run, conditions, hours_factor(conditions, middle(draws.wall_h())));
    lines.extend(trace.into_lines());
    lines
}

/// The modelled parts of a pass.
fn parts(step: &PhaseStep, n: usize) -> Vec<Derivation> {
    let Some(time) = &step.parts else {
        return vec![line(format!("micro-batch of phase {n}, s"), "measured".to_owned(), step.pass_s.centre())];
    };
    let shares = Class::ALL.iter().zip(time.by_class).filter(|(_, s)| *s > 0.0);
    let sum: Vec<String> = shares.map(|(class, s)| format!("{} {}", show(s), class.name())).collect();
    vec![line(format!("micro-batch of {} in phase {n}, s", step.micro_batch), sum.join(" + "), time.pass())]
}
