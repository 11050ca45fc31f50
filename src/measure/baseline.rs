//! What the meters show before anything runs: how often they change, and what the idle device draws.

use std::time::{Duration, Instant};

use super::phase::{POLL, measure_period};
use crate::catalog::Device;
use crate::meter::Timing;
use crate::record::Baseline;
use crate::sensor::{Meter, MeterFacts, Sampler, Watch};
use crate::stats::Period;
use crate::units::Seconds;

/// Idle power is measured over this long, and a period over this many ticks, if a cell may take that long.
pub(super) const IDLE_S: f64 = 10.0;
const TICKS: usize = 100;
/// A sensor that changes more often than this needs no protocol: a reading is never far from a change.
const SLOW_S: f64 = 0.005;
/// Window of an instantaneous reading on Hopper, which looks at a quarter of the time (Yang, Adamek and Armour, SC24).
const HOPPER_WINDOW_S: f64 = 0.025;

/// A meter, measured: its baseline, and the timing of a sensor that has to be waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MeasuredMeter {
    pub(super) baseline: Baseline,
    pub(super) timing: Option<Timing>,
}

/// The update period of one meter, watched for at most `most_s`; `None` of a model, or if it did not change.
#[must_use]
pub fn update_period(meter: Box<dyn Meter>, most_s: f64) -> Option<Period> {
    let sampler = Sampler::start_every(Seconds(f64::INFINITY), Instant::now(), vec![meter]);
    let facts = sampler.meters();
    period(&sampler, 0, facts.first()?, most_s)
}

/// Measures every meter of an idle machine, for at most about `most_s` each way. Models are asked.
pub(super) fn measure(sampler: &Sampler, hardware: Option<&Device>, most_s: f64) -> Vec<MeasuredMeter> {
    let facts = sampler.meters();
    let periods: Vec<_> = (0..facts.len()).map(|i| period(sampler, i, &facts[i], most_s)).collect();
    let measured = facts.iter().any(|f| f.idle_power.is_none());
    let idle_s = IDLE_S.min(most_s);
    let _ = sampler.take();
    sampler.read_now();
    if measured {
        std::thread::sleep(Duration::from_secs_f64(idle_s));
    }
    sampler.read_now();
    let traces = sampler.take();
    facts
        .iter()
        .zip(periods)
        .zip(traces)
        .map(|((fact, period), trace)| {
            let times = (trace.samples.first().map(|s| s.time_s), trace.samples.last().map(|s| s.time_s));
            let joules = times.0.zip(times.1).and_then(|(a, b)| Some((trace.energy_between(a, b)?, b - a)));
            let (idle_w, seconds) = match (fact.idle_power, joules) {
                (Some(modelled), _) => (Some(modelled.0), 0.0),
                (None, Some((joules, seconds))) if seconds > 0.0 => (Some(joules / seconds), seconds),
                _ => (None, 0.0),
            };
            let update_s = period.map(|p| p.mean);
            let silent = (idle_w.is_none() || (update_s.is_none() && fact.idle_power.is_none()))
                .then(|| "its value did not change while it was watched".to_owned());
            MeasuredMeter {
                timing: update_s.filter(|p| *p > SLOW_S).map(|p| timing(fact, hardware, p)),
                baseline: Baseline {
                    domain: fact.info.domain.clone(),
                    idle_w,
                    idle_s: seconds,
                    update_s,
                    update_jitter_s: period.map(|p| p.jitter),
                    reason: trace.failure.or(silent),
                },
            }
        })
        .collect()
}

/// Watches a meter for its ticks; a model has none.
fn period(sampler: &Sampler, meter: usize, facts: &MeterFacts, most_s: f64) -> Option<Period> {
    if facts.idle_power.is_some() {
        return None;
    }
    let poll = Seconds(POLL.0.min(facts.resolution.0 / 5.0));
    // A hundred ticks, and a half more for those that are missed; but no longer than a cell may take.
    let patience = (1.5 * TICKS as f64 * facts.resolution.0).clamp(0.5, most_s.max(0.5));
    let mut watch = sampler.watch(meter)?;
    measure_period(&mut watch as &mut dyn Watch, poll, TICKS, Seconds(patience))
}

/// The window that a value is the mean of: the catalog's for a reading that averages; as far as is known a quarter of
/// the time on Hopper, and otherwise what the catalog says, up to all of it.
fn timing(facts: &MeterFacts, hardware: Option<&Device>, update_s: f64) -> Timing {
    let sensor = hardware.and_then(|d| d.power_sensor.as_ref());
    let window = sensor.and_then(|s| s.window.as_ref()).map(|w| w.value.0);
    let hopper = hardware.and_then(|d| d.architecture.as_deref()).is_some_and(|a| a.contains("Hopper"));
    let window_s = match window {
        Some(window) if facts.averages => window,
        _ if hopper => HOPPER_WINDOW_S,
        Some(window) => window.min(update_s),
        None => update_s,
    };
    Timing { update_s, window_s }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Coverage;
    use crate::sensor::{CpuClock, FakeMeter, LoadModel};
    use crate::units::Watts;

    fn baseline_of(meter: Box<dyn Meter>) -> MeasuredMeter {
        let sampler = Sampler::start(Instant::now(), vec![meter]);
        measure(&sampler, None, 0.3).remove(0)
    }

    #[test]
    fn a_model_is_asked_and_a_meter_is_read() {
        let clock = CpuClock::of_machine();
        let model = LoadModel::new("cpu".to_owned(), Coverage::CpuPackage, Watts(20.0), Watts(100.0), clock);
        let modelled = baseline_of(Box::new(model));
        assert_eq!((modelled.baseline.idle_w, modelled.baseline.idle_s), (Some(20.0), 0.0));
        assert_eq!((modelled.baseline.reason, modelled.timing), (None, None));
        let metered = baseline_of(Box::new(FakeMeter::new(|_| Watts(7.0)).counting()));
        let idle = metered.baseline.idle_w.expect("it counts");
        assert!((idle - 7.0).abs() < 0.1 && metered.baseline.idle_s > 0.2, "{idle}");
    }

    #[test]
    fn a_meter_that_never_changes_has_no_idle_power_and_says_so() {
        let still = baseline_of(Box::new(FakeMeter::new(|_| Watts(0.0)).counting()));
        assert_eq!((still.baseline.idle_w, still.baseline.update_s), (None, None));
        assert!(still.baseline.reason.expect("a reason").contains("did not change"));
    }

    #[test]
    fn a_meter_that_fails_says_why() {
        let broken = baseline_of(Box::new(FakeMeter::new(|_| Watts(1.0)).failing_after(2)));
        assert!(broken.baseline.reason.expect("a reason").contains("fails as it was told"));
    }
}
