//! How long a loop takes as a whole.

use super::level::{block_paces, levels, noises, wander};
use super::pauses::{Limit, LoopPause, find};
use super::scenarios::{Reach, pauses_to_come};
use super::spans::{Span, watched};
use super::warm_up::{long_start, truncation};
use crate::stats::{Component, Interval, batch_means, drift, mixture_quantile};

/// Marks below which nothing is said.
const FEWEST_MARKS: usize = 5;

/// What the marks of a loop say about the whole of it. Times are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopForecast {
    /// Seconds a step as seen, warm-up and pauses left out.
    pub step_s: Interval,
    /// Steps at the start that were slower than the rest.
    pub warm_up_steps: u64,
    /// Seconds by which they took longer than as many steady steps.
    pub warm_up_s: f64,
    /// Pauses, those that explain most time first.
    pub pauses: Vec<LoopPause>,
    /// Whether the pace rose or fell over what was seen, by the t test of [`drift`] on up to sixteen blocks. The intervals
    /// do not depend on it.
    pub drifts: bool,
    /// From the first mark to the last step.
    pub total_s: Interval,
    /// From the last mark to the last step.
    pub remaining_s: Interval,
}

/// How long a loop of `total_steps` takes, from marks: the number of steps that were done, and the time in seconds at
/// which that was seen. Time counts from the first mark, which is best that of the start with the steps done before it.
///
/// Warm-up counts in the total and not in the pace; pauses go on in their rhythm; one that was seen once, or may come
/// yet, is in the interval with how likely that is. The pace to come has the uncertainty of noise that resembles its
/// neighbours, of drift, and of a level that moves. What cannot be seen yet is as wide as what is taken for it,
/// by judgement and not by measurement:
///
/// - over a whole loop, the pace changes by 15 % (one standard deviation);
/// - three loops of five pause regularly, log-normally every 500 steps (times or over 4) for the time of 80 steps (times
///   or over 2.5), geometric means and standard deviations;
/// - a pause that was seen once recurs in half of all cases at multiples of the steps before it.
///
/// A rhythm that is seen is taken to be all there is. A clock that ticks in seconds, tenths or hundredths is recognised,
/// and a clock that was set costs one span. Work is bounded: of very many marks some are left out.
///
/// ```
/// use greenformers::stats::loop_forecast;
///
/// // Two seconds a step, and a first step that takes a minute.
/// let marks: Vec<(u64, f64)> = (0..100).map(|i| (i, if i > 0 { 58.0 + 2.0 * i as f64 } else { 0.0 })).collect();
/// let forecast = loop_forecast(&marks, 1000).expect("a hundred marks");
/// assert!((forecast.step_s.mid - 2.0).abs() < 1e-9 && forecast.total_s.contains(2058.0));
/// assert_eq!((forecast.warm_up_steps, forecast.warm_up_s.round()), (1, 58.0));
/// ```
///
/// `None` below five marks at which both steps and time have risen: nothing is known then.
#[must_use]
pub fn loop_forecast(marks: &[(u64, f64)], total_steps: u64) -> Option<LoopForecast> {
    let seen = watched(marks);
    if seen.spans.len() + 1 < FEWEST_MARKS {
        return None;
    }
    // The last quarter tells the usual pace: what comes first may all be warm-up.
    let last = (seen.spans.len() / 4).max(FEWEST_MARKS).min(seen.spans.len());
    let limit = Limit::of(&seen.spans[seen.spans.len() - last..])?;
    let (start, rest) = seen.spans.split_at(long_start(&seen.spans, limit));
    let found = find(rest, limit);
    let (slow, steady) = found.spans.split_at(truncation(&found.spans));
    let paces: Vec<f64> = steady.iter().map(Span::pace).collect();
    let steps: f64 = steady.iter().map(|span| span.steps).sum();
    let pace = steady.iter().map(|span| span.seconds).sum::<f64>() / steps;
    let first = seen.spans.first()?.from;
    let done = seen.done as f64;
    let reach = Reach { first: first as f64, done, total: (total_steps as f64).max(done), tick_s: seen.tick_s };
    let ahead = reach.total - done;
    let spread = batch_means(&paces).map_or(0.0, |mean| mean.interval().high - mean.mean);
    let remaining_s = if ahead > 0.0 {
        // Steps that no clock has timed cost what those to come cost.
        let steps = ahead + seen.untimed_steps;
        let levels = levels(steady, reach, &noises(steady, seen.tick_s), wander());
        remaining(&levels, &pauses_to_come(&found.pauses, reach, pace), steps)?
    } else {
        Interval::point(0.0)
    };
    let warm = start.iter().chain(slow);
    let (warm_steps, warm_s) = warm.fold((0.0, 0.0), |(n, s), span| (n + span.steps, s + span.seconds));
    let forecast = LoopForecast {
        step_s: Interval { mid: pace, low: (pace - spread).max(0.0), high: pace + spread },
        warm_up_steps: if warm_steps > 0.0 { steady.first()?.from - first } else { 0 },
        warm_up_s: warm_s - pace * warm_steps,
        drifts: drift(&block_paces(steady)).is_some_and(|drift| drift.significant),
        pauses: found.pauses,
        total_s: Interval {
            mid: seen.elapsed_s + remaining_s.mid,
            low: seen.elapsed_s + remaining_s.low,
            high: seen.elapsed_s + remaining_s.high,
        },
        remaining_s,
    };
    (forecast.total_s.is_valid() && forecast.step_s.is_valid()).then_some(forecast)
}

/// Seconds of `steps` at one of the `levels` with one of the ways in which pauses may come.
pub(super) fn remaining(levels: &[Component], pauses: &[Component], steps: f64) -> Option<Interval> {
    let all: Vec<Component> = levels
        .iter()
        .flat_map(|level| pauses.iter().map(move |pause| (level, pause)))
        .map(|(level, pause)| Component {
            weight: level.weight * pause.weight,
            mean: steps * level.mean + pause.mean,
            sd: (steps * level.sd).hypot(pause.sd),
        })
        .collect();
    if all.is_empty() {
        return None;
    }
    let at = |q: f64| mixture_quantile(&all, q).max(0.0);
    Some(Interval { mid: at(0.5), low: at(0.025), high: at(0.975) })
}
