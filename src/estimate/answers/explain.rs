//! The arithmetic of each number, at the middle of its inputs.

use super::draws::{Draws, hours_factor, middle, step_j};
use crate::estimate::ledger::arithmetic::Arithmetic;
use crate::estimate::ledger::chain::{Energy, Run, footprint};
use crate::estimate::ledger::traced::{Derivation, Trace, Traced, show};
use crate::estimate::request::training::Request;
use crate::estimate::steps::model::{Class, Factors, WAITING_SHARE, waiting_w};
use crate::estimate::steps::step::{PhaseStep, StepSource};
use crate::stats::Distribution;

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
        let factors = Factors::MIDDLE;
        let (computing_s, exposed_s) = step.at(&source.straggler, &factors);
        let step_s = computing_s + exposed_s;
        lines.extend(exchange(step, n, &factors));
        let software = match step.by_software.as_slice() {
            [] => String::new(),
            [(_, factor)] if *factor == 1.0 => String::new(),
            [(_, factor)] => format!(" x {} (your program)", show(*factor)),
            several => format!(" x {} (mean of {} kinds of software)", show(step.software()), several.len()),
        };
        lines.push(line(
            format!("step of phase {n}, s"),
            format!(
                "{} micro-batches x {} s{software} x {} (slowest device) + {} s optimizer + {} s exchange",
                show(step.micro_steps),
                show(step.pass_s.centre()),
                show(source.straggler.factor(&factors)),
                show(step.optimizer_s.centre()),
                show(exposed_s)
            ),
            step_s,
        ));
        train_s += phase.steps as f64 * step_s;
        let joules = |w: Distribution| step_j(w.centre(), source.idle_w, (step_s, exposed_s)) * devices;
        busy_j = busy_j.zip(step.power_w).map(|(j, w)| j + joules(w) * phase.steps as f64);
        if let Some(watts) = step.power_w {
            lines.push(line(
                format!("power of a device in phase {n}, W"),
                "measured or modelled".to_owned(),
                watts.centre(),
            ));
            if exposed_s > 0.0 {
                let (full, waiting) = (watts.centre(), waiting_w(watts.centre(), source.idle_w));
                let idle = source.idle_w.map_or("idle power is not known: ".to_owned(), |w| {
                    format!("idle {} W + {WAITING_SHARE} x ({} W - idle): ", show(w), show(full))
                });
                lines.push(line(
                    format!("energy of a step of phase {n} on a device, J"),
                    format!(
                        "{} W x {} s + {} W x {} s of exchange ({idle}{} W)",
                        show(full),
                        show(computing_s),
                        show(waiting),
                        show(exposed_s),
                        show(waiting)
                    ),
                    step_j(full, source.idle_w, (step_s, exposed_s)),
                ));
            }
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
        let waiting_h = (wall_h - train_s / 3600.0).max(0.0);
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

/// The exchange of gradients, where there is one.
fn exchange(step: &PhaseStep, n: usize, factors: &Factors) -> Vec<Derivation> {
    let exchange = &step.exchange;
    if exchange.is_none() {
        return Vec::new();
    }
    let all = exchange.all_reduce_s(factors);
    let text = format!(
        "{} inside machines + {} between them at nominal speed / {} + {} latency",
        show(exchange.local_s * factors.links),
        show(exchange.network_s),
        show(factors.network),
        show(exchange.latency_s)
    );
    let shown = format!(
        "all-reduce - {} x the smaller of {} x all-reduce and {} s backward pass",
        show(factors.hidden),
        show(exchange.hideable),
        show(exchange.backward_s)
    );
    vec![
        line(format!("all-reduce of phase {n}, s"), text, all),
        line(format!("exchange of gradients that shows in phase {n}, s"), shown, exchange.exposed_s(factors)),
    ]
}

/// The modelled parts of a pass.
fn parts(step: &PhaseStep, n: usize) -> Vec<Derivation> {
    let Some(time) = &step.parts else {
        let how =
            if step.least_pass_s > 0.0 { "modelled: passes of the layout over its micro-batches" } else { "measured" };
        return vec![line(format!("micro-batch of phase {n}, s"), how.to_owned(), step.pass_s.centre())];
    };
    let shares = Class::ALL.iter().zip(time.by_class).filter(|(_, s)| *s > 0.0);
    let sum: Vec<String> = shares.map(|(class, s)| format!("{} {}", show(s), class.name())).collect();
    vec![line(format!("micro-batch of {} in phase {n}, s", step.micro_batch), sum.join(" + "), time.pass())]
}
