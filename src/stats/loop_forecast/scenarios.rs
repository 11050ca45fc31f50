//! What pauses are still to come: as many ways as what was seen leaves open, each with how likely it is.

use statrs::distribution::{ContinuousCDF, Normal};

use super::pauses::LoopPause;
use crate::stats::Component;

/// How likely it is, before anything is seen, that a loop pauses regularly.
const PAUSES: f64 = 0.6;
/// Steps from one pause to the next, before anything is seen: log-normal about what common trainers evaluate and save
/// at if they are not told otherwise, with a geometric standard deviation that spans 30 to 8000 steps.
const EVERY: f64 = 500.0;
const EVERY_GSD: f64 = 4.0;
/// Steps that would be done in a pause: log-normal, 13 to 480 steps.
const LENGTH: f64 = 80.0;
const LENGTH_GSD: f64 = 2.5;
/// The part of a rhythm that its pause takes at most.
const MOST: f64 = 0.5;
/// Middles of fifths stand for a distribution, each with a standard deviation over its value.
const FIFTHS: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];
const FIFTH_SPREAD: f64 = 0.35;
/// How likely it is that a pause which was seen once recurs at the steps that are multiples of its own, as evaluation
/// does, and that it recurs less often. Else it stays the only one.
const RECURS: (f64, f64) = (0.5, 0.15);

/// How far a loop is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// The first step that was seen.
    pub(super) first: f64,
    /// The last step that was reached.
    pub(super) done: f64,
    /// Steps of the whole loop.
    pub(super) total: f64,
    /// Seconds in which the clock ticks.
    pub(super) tick_s: f64,
}

/// Seconds of the pauses to come. Weights add up to 1.
///
/// A rhythm goes on as it was. A pause that was seen once recurs or not. Where none was seen, one may come whose rhythm
/// is longer than what was seen: what is not there in 500 steps may come every 1000, and the longer nothing comes the
/// less is to be feared.
pub(super) fn pauses_to_come(pauses: &[LoopPause], reach: Reach, pace: f64) -> Vec<Component> {
    match pauses {
        [] => unseen(reach, pace),
        [once] if once.every_steps.is_none() => seen_once(once, reach, pace),
        rhythms => vec![rhythms.iter().map(|pause| at_rhythm(pause, reach)).fold(
            Component { weight: 1.0, mean: 0.0, sd: 0.0 },
            |sum, next| Component { mean: sum.mean + next.mean, sd: sum.sd.hypot(next.sd), ..sum },
        )],
    }
}

/// Pauses every so many steps after the last one, up to the end. Whether one comes at the very end is open.
fn at_rhythm(pause: &LoopPause, reach: Reach) -> Component {
    let every = pause.every_steps.unwrap_or(f64::INFINITY);
    let since = |step: f64| ((step - 1.0 - pause.after_step as f64) / every).floor().max(0.0);
    several(pause, since(reach.total) - since(reach.done))
}

fn several(pause: &LoopPause, count: f64) -> Component {
    let (seen, count) = (pause.seen as f64, count.max(0.0));
    let chance = count.sqrt() * pause.spread_s;
    let mean = count * pause.spread_s / seen.sqrt();
    Component { weight: 1.0, mean: count * pause.seconds, sd: chance.hypot(mean).hypot(0.2 * pause.seconds) }
}

fn seen_once(pause: &LoopPause, reach: Reach, pace: f64) -> Vec<Component> {
    let (at, steps_since) = (pause.after_step as f64, reach.done - pause.after_step as f64);
    let own = at - reach.first.min(at);
    // Had it the rhythm of its own step, it would have come again by now.
    let own_weight = if own > 0.0 && steps_since <= own { RECURS.0 } else { 0.0 };
    let never = 1.0 - RECURS.0 - RECURS.1;
    // What does not recur was a step that was slow for once, and pauses are still to be seen.
    let mut ways: Vec<Component> =
        unseen(reach, pace).into_iter().map(|way| Component { weight: never * way.weight, ..way }).collect();
    let with = |every: f64, weight: f64| Component {
        weight,
        ..at_rhythm(&LoopPause { every_steps: Some(every), ..*pause }, reach)
    };
    if own_weight > 0.0 {
        ways.push(with(own, own_weight));
    }
    ways.extend(rhythms(own.max(steps_since), reach).map(|every| with(every, RECURS.1 / FIFTHS.len() as f64)));
    let all: f64 = ways.iter().map(|way| way.weight).sum();
    ways.into_iter().map(|way| Component { weight: way.weight / all, ..way }).collect()
}

fn unseen(reach: Reach, pace: f64) -> Vec<Component> {
    let (seen, total) = (reach.done - reach.first, reach.total - reach.first);
    let open = (below(total) - below(seen)).max(0.0);
    let come = PAUSES * open / (1.0 - PAUSES + PAUSES * open);
    let mut ways = vec![Component { weight: 1.0 - come, mean: 0.0, sd: 1e-6 * pace }];
    let each = come / (FIFTHS.len() * FIFTHS.len()) as f64;
    for every in rhythms(seen, reach) {
        let count = ((total - 1.0) / every).floor();
        ways.extend(FIFTHS.iter().map(|q| {
            let length = LENGTH * LENGTH_GSD.powf(Normal::standard().inverse_cdf(*q));
            let mean = count * length.min(MOST * every) * pace;
            Component { weight: each, mean, sd: FIFTH_SPREAD * mean + 1e-6 * pace }
        }));
    }
    ways
}

/// How likely a rhythm of fewer steps than these is.
fn below(steps: f64) -> f64 {
    Normal::standard().cdf((steps.max(1.0) / EVERY).ln() / EVERY_GSD.ln())
}

/// Rhythms between `least` steps and the whole loop.
fn rhythms(least: f64, reach: Reach) -> impl Iterator<Item = f64> {
    let total = (reach.total - reach.first).max(1.0);
    let (low, high) = (below(least), below(total));
    FIFTHS.into_iter().map(move |q| {
        // Where hardly any is left, quantiles of it are not to be had.
        let z = Normal::standard().inverse_cdf((low + q * (high - low)).clamp(1e-9, 1.0 - 1e-9));
        (EVERY * EVERY_GSD.powf(z)).clamp(least.max(1.0).min(total), total)
    })
}
