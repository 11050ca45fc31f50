//! What pauses are still to come: as many ways as what was seen leaves open, each with how likely it is.

use super::pauses::LoopPause;
use crate::stats::Component;

/// How likely it is, before anything is seen, that a loop pauses regularly.
const PAUSES: f64 = 0.5;
/// Fewest steps from one pause to the next.
const FEWEST_STEPS: f64 = 30.0;
/// How likely it is that a pause which was seen once recurs at the steps that are multiples of its own, as evaluation
/// does, and that it recurs less often. Else it stays the only one.
const RECURS: (f64, f64) = (0.35, 0.15);
/// Pauses take a part of the steps' time which is log-normal with a median of 0.06 and a geometric standard deviation
/// of 3: its 10, 30, 50, 70 and 90 % quantiles stand for fifths.
const PARTS: [f64; 5] = [0.0147, 0.0337, 0.06, 0.1068, 0.2453];
/// Standard deviation inside such a fifth, over its quantile.
const PART_SPREAD: f64 = 0.35;

/// How far a loop is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The first step that was seen.
    pub(super) first: f64,
    /// The last step that was reached.
    pub(super) done: f64,
    /// Steps of the whole loop.
    pub(super) total: f64,
}

/// Seconds of the pauses to come. Weights add up to 1.
///
/// A rhythm goes on as it was. A pause that was seen once recurs or not. Where none was seen, one may come whose rhythm
/// is longer than what was seen, log-uniform between that and the whole loop: what is not there in 500 steps may come
/// every 1000, and the longer nothing comes the less is to be feared.
pub(super) fn pauses_to_come(pauses: &[LoopPause], place: Place, pace: f64) -> Vec<Component> {
    match pauses {
        [] => unseen(place, pace),
        [once] if once.every_steps.is_none() => seen_once(once, place),
        rhythms => vec![rhythms.iter().map(|pause| at_rhythm(pause, place)).fold(
            Component { weight: 1.0, mean: 0.0, sd: 0.0 },
            |sum, next| Component { mean: sum.mean + next.mean, sd: sum.sd.hypot(next.sd), ..sum },
        )],
    }
}

/// Pauses every so many steps after the last one, up to the end. Whether one comes at the very end is open.
fn at_rhythm(pause: &LoopPause, place: Place) -> Component {
    let every = pause.every_steps.unwrap_or(f64::INFINITY);
    let since = |step: f64| ((step - 1.0 - pause.after_step as f64) / every).floor().max(0.0);
    several(pause, since(place.total) - since(place.done))
}

fn several(pause: &LoopPause, count: f64) -> Component {
    let (seen, count) = (pause.seen as f64, count.max(0.0));
    let chance = count.sqrt() * pause.spread_s;
    let mean = count * pause.spread_s / seen.sqrt();
    Component { weight: 1.0, mean: count * pause.seconds, sd: chance.hypot(mean).hypot(0.2 * pause.seconds) }
}

fn seen_once(pause: &LoopPause, place: Place) -> Vec<Component> {
    let (at, steps_since) = (pause.after_step as f64, place.done - pause.after_step as f64);
    let own = at - place.first.min(at);
    // Had it the rhythm of its own step, it would have come again by now.
    let own_weight = if own > 0.0 && steps_since <= own { RECURS.0 } else { 0.0 };
    let never = 1.0 - RECURS.0 - RECURS.1;
    let mut ways = vec![Component { weight: never, mean: 0.0, sd: 0.02 * pause.seconds }];
    let with = |every: f64, weight: f64| Component {
        weight,
        ..at_rhythm(&LoopPause { every_steps: Some(every), ..*pause }, place)
    };
    if own_weight > 0.0 {
        ways.push(with(own, own_weight));
    }
    ways.extend(rhythms(own.max(steps_since), place).map(|every| with(every, RECURS.1 / 3.0)));
    let all: f64 = ways.iter().map(|way| way.weight).sum();
    ways.into_iter().map(|way| Component { weight: way.weight / all, ..way }).collect()
}

fn unseen(place: Place, pace: f64) -> Vec<Component> {
    let (seen, total) = ((place.done - place.first).max(FEWEST_STEPS), place.total - place.first);
    let open = if total > seen { (total / seen).ln() / (total / FEWEST_STEPS).ln() } else { 0.0 };
    let come = PAUSES * open / (1.0 - PAUSES + PAUSES * open);
    let mut ways = vec![Component { weight: 1.0 - come, mean: 0.0, sd: 1e-6 * pace }];
    for every in rhythms(seen, place).filter(|_| come > 0.0) {
        let count = ((total - 1.0) / every).floor();
        ways.extend(PARTS.iter().map(|part| {
            let mean = count * every * part * pace;
            Component { weight: come / 3.0 / PARTS.len() as f64, mean, sd: PART_SPREAD * mean }
        }));
    }
    ways
}

/// Three rhythms, log-uniform between `least` and the whole loop.
fn rhythms(least: f64, place: Place) -> impl Iterator<Item = f64> {
    let ratio = ((place.total - place.first) / least.max(1.0)).max(1.0);
    [1.0 / 6.0, 0.5, 5.0 / 6.0].into_iter().map(move |q| least.max(1.0) * ratio.powf(q))
}
