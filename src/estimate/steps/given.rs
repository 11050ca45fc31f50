//! A step whose time the user measured, or a run of which no more than the hours are known.

use super::model::{Efficiency, Exchange, Stragglers, busy_w};
use super::step::{Basis, PhaseStep, StepSource};
use crate::catalog::Device;
use crate::estimate::request::input::Input;
use crate::estimate::request::spec::coverage_of;
use crate::meter::Coverage;
use crate::record::Workload;
use crate::stats::{Distribution, Interval};

/// How much of its time a device computes in a run of which nothing is known: from an input pipeline that it waits for, to
/// none (judgement).
const BUSY: (f64, f64, f64) = (0.4, 0.8, 1.0);

/// Watts of `device` in a run of which no more is known than that it trains; `None` where the catalog has no power limit.
#[must_use]
pub fn modelled_power(device: &Device) -> Option<Input> {
    let (idle, limit) = (device.idle()?.0, device.tdp.as_ref()?.base());
    let share = Efficiency::embedded().busy_power().0;
    let [low, mid, high] = [BUSY.0, BUSY.1, BUSY.2].map(|busy| busy_w(idle, limit, busy, share));
    let source = format!(
        "modelled, not measured: {} that computes 40 to 100 % of the time (judgement), between its idle {idle:.0} W and its \
         limit of {limit:.0} W; give `--power`",
        device.name
    );
    Some(Input::new("power of a device", Distribution::Triangular(low, mid.min(high), high), "W", source))
}

/// What is known of a number by its interval: exactly, or log-normally.
fn known(interval: Interval) -> Distribution {
    if interval.low < interval.high {
        Distribution::LogNormal(interval.mid, interval.ln_sd().exp())
    } else {
        Distribution::Point(interval.mid)
    }
}

/// The same step in every phase.
pub(in crate::estimate) fn given_step(
    workload: &Workload,
    step_s: Interval,
    power_w: Option<Interval>,
    device: Option<&Device>,
    is_forecast: bool,
) -> StepSource {
    let modelled = device.filter(|_| power_w.is_none()).and_then(modelled_power);
    let phase = PhaseStep {
        micro_batch: 1,
        micro_steps: 1.0,
        pass_s: known(step_s),
        optimizer_s: Distribution::Point(0.0),
        exchange: Exchange::NONE,
        by_software: Vec::new(),
        least_pass_s: 0.0,
        scale: Distribution::Point(1.0),
        loadings: Vec::new(),
        power_w: power_w.map(known).or(modelled.as_ref().map(|power| power.distribution)),
        parts: None,
    };
    StepSource {
        phases: vec![phase; workload.phases.len()],
        basis: if is_forecast { Basis::Forecast } else { Basis::Given },
        own_scale: Distribution::Point(1.0),
        straggler: Stragglers::NONE,
        coverage: match (power_w, device) {
            (Some(_), _) => Some(Coverage::NodeShare),
            (None, Some(device)) if modelled.is_some() => Some(coverage_of(device)),
            (None, _) => None,
        },
        idle_w: device.and_then(Device::idle).map(|idle| idle.0),
        gain_uncertainty: 0.0,
        machine_uncertainty: 0.0,
        power_uncertainty: 0.0,
        description: match &modelled {
            _ if is_forecast => {
                "seconds a step of the whole run, with its pauses, as they were forecast while it ran".to_owned()
            }
            Some(power) => {
                format!("step time given with `--step-time`, the same in every phase; power {}", power.source)
            }
            None => "step time given with `--step-time`, the same in every phase".to_owned(),
        },
        peak_memory_bytes: None,
    }
}
