//! Pauses of a loop: evaluation, checkpoints, whatever makes a few spans far longer than all others.

use super::spans::Span;
use crate::stats::median;

/// A pause is longer than so many steps. Batches of several kinds of length are not.
const LEAST_STEPS: f64 = 8.0;
/// It is longer than so many standard deviations of a span, by the median absolute deviation.
const LEAST_SDS: f64 = 6.0;
/// What is more frequent than this part of the spans is no pause but the pace.
const MOST: f64 = 0.25;
/// By how much of itself a rhythm may be off from one pause to the next: some count minutes instead of steps.
const JITTER: f64 = 0.05;
/// The part of the pauses which a rhythm foretells that have to be there.
const KEPT: f64 = 0.8;
/// Rhythms beside each other that are looked for.
const RHYTHMS: usize = 3;

/// A pause of a loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoopPause {
    /// The last step that was told before the latest of them.
    pub after_step: u64,
    /// Steps from one to the next. `None` of a pause that was seen once, which may recur or not.
    pub every_steps: Option<f64>,
    /// Seconds that one takes, beyond those of the steps around it: the mean.
    pub seconds: f64,
    /// Standard deviation of those seconds, in which a fifth of the mean is taken for what few pauses do not tell.
    pub spread_s: f64,
    /// How many were seen.
    pub seen: usize,
}

/// What was found in steady spans.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) pauses: Vec<LoopPause>,
    /// The spans without those that hold a pause.
    pub(super) spans: Vec<Span>,
}

/// How long a span may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pace: f64,
    beyond_s: f64,
}

impl Limit {
    /// By the usual pace of `spans`, and how far they are off it.
    pub(super) fn of(spans: &[Span]) -> Option<Self> {
        let pace = median(&spans.iter().map(Span::pace).collect::<Vec<_>>())?;
        let off: Vec<f64> = spans.iter().map(|span| (span.seconds - pace * span.steps).abs()).collect();
        Some(Self { pace, beyond_s: (LEAST_SDS * 1.4826 * median(&off)?).max(LEAST_STEPS * pace) })
    }

    /// Whether a span is longer than steps alone are.
    pub(super) fn is_exceeded(self, span: &Span) -> bool {
        span.seconds - self.pace * span.steps > self.beyond_s
    }
}

/// A span that is too long.
#[derive(Debug, Clone, Copy)]
struct Long {
    index: usize,
    at: f64,
    width: f64,
    seconds: f64,
}

/// A rhythm that some of the long spans follow.
struct Rhythm {
    every: f64,
    hits: Vec<usize>,
    foretold: f64,
    seconds: f64,
}

/// Tells pauses from slow steps. Long spans at equal distances recur. One that is alone, or three times as long as what
/// else is long, was seen once. The others are steps that are slow now and then, and stay among the spans.
pub(super) fn find(spans: &[Span], limit: Limit) -> Found {
    let nothing = Found { pauses: Vec::new(), spans: spans.to_vec() };
    let is_long = |span: &Span| limit.is_exceeded(span);
    let (count, steps, seconds) = spans
        .iter()
        .filter(|span| !is_long(span))
        .fold((0, 0.0, 0.0), |(n, steps, s), span| (n + 1, steps + span.steps, s + span.seconds));
    if count == spans.len() || ((spans.len() - count) as f64) > MOST * spans.len() as f64 {
        return nothing;
    }
    let pace = seconds / steps;
    let mut long: Vec<Long> = spans
        .iter()
        .enumerate()
        .filter(|(_, span)| is_long(span))
        .map(|(index, span)| Long {
            index,
            at: span.from as f64,
            width: span.steps,
            seconds: span.seconds - pace * span.steps,
        })
        .collect();
    let ends = (spans[0].from as f64, spans.last().map_or(0.0, |span| span.from as f64 + span.steps));
    let (mut pauses, mut taken) = (Vec::new(), Vec::new());
    while let Some(rhythm) = best(&long, ends).filter(|_| pauses.len() < RHYTHMS) {
        let hits: Vec<Long> = rhythm.hits.iter().map(|&i| long[i]).collect();
        pauses.push(pause(&hits, Some(rhythm.every), rhythm.foretold));
        taken.extend(hits.iter().map(|hit| hit.index));
        long.retain(|l| !taken.contains(&l.index));
    }
    if pauses.is_empty() {
        long.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        if long.len() == 1 || long.len() > 1 && long[0].seconds > 3.0 * long[1].seconds {
            pauses.push(pause(&long[..1], None, 1.0));
            taken.push(long[0].index);
        }
    }
    taken.sort_unstable();
    let kept = spans.iter().enumerate().filter(|(i, _)| taken.binary_search(i).is_err()).map(|(_, span)| *span);
    Found { spans: kept.collect(), pauses }
}

fn pause(hits: &[Long], every_steps: Option<f64>, foretold: f64) -> LoopPause {
    let mean = hits.iter().map(|hit| hit.seconds).sum::<f64>() / foretold.max(1.0);
    let squares: f64 = hits.iter().map(|hit| (hit.seconds - mean).powi(2)).sum();
    LoopPause {
        after_step: hits.last().map_or(0, |hit| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was an integer")]
            let step = hit.at as u64;
            step
        }),
        every_steps,
        seconds: mean,
        spread_s: ((squares + (0.2 * mean).powi(2)) / hits.len() as f64).sqrt(),
        seen: hits.len(),
    }
}

/// The rhythm that explains most seconds. Distances between the first of the long spans are what is tried.
fn best(long: &[Long], ends: (f64, f64)) -> Option<Rhythm> {
    let mut best: Option<Rhythm> = None;
    for i in 0..long.len().min(8) {
        for j in i + 1..long.len().min(i + 9) {
            let Some(rhythm) = rhythm(long, i, j, ends) else { continue };
            if best.as_ref().is_none_or(|known| rhythm.seconds > known.seconds) {
                best = Some(rhythm);
            }
        }
    }
    best
}

/// The rhythm whose first two pauses are the long spans `i` and `j`, if it holds in all that was seen.
fn rhythm(long: &[Long], i: usize, j: usize, (start, end): (f64, f64)) -> Option<Rhythm> {
    let mut every = long[j].at - long[i].at;
    if every <= 1.5 * long[i].width.max(long[j].width) {
        return None;
    }
    let mut hits = vec![i, j];
    let mut beats = 1.0;
    for next in j + 1..long.len() {
        let last = &long[hits[hits.len() - 1]];
        let gap = long[next].at - last.at;
        let times = (gap / every).round();
        let allowed = last.width.max(long[next].width).max(JITTER * every);
        if times >= 1.0 && (gap - times * every).abs() <= allowed {
            hits.push(next);
            beats += times;
            // The longer it lasts, the better its distance is known.
            every = (long[next].at - long[i].at) / beats;
        }
    }
    let before = ((long[i].at - start - long[i].width) / every).floor().max(0.0);
    let last = long[hits[hits.len() - 1]].at;
    let after = ((end - 1.0 - long[i].width - last) / every).floor().max(0.0);
    let foretold = before + beats + 1.0 + after;
    let seconds: f64 = hits.iter().map(|&hit| long[hit].seconds).sum();
    if (hits.len() as f64) < KEPT * foretold {
        return None;
    }
    if hits.len() == 2 {
        let (a, b) = (long[i].seconds, long[j].seconds);
        let larger_elsewhere = (0..long.len()).any(|k| k != i && k != j && long[k].seconds > a.min(b));
        if foretold > 2.0 || larger_elsewhere || a.max(b) > 2.0 * a.min(b) {
            return None;
        }
    }
    Some(Rhythm { every, hits, foretold, seconds })
}
