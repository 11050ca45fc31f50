//! Turns the counts of a series into steps of the run: epochs, where it started, how many there will be.

use super::frame::{Form, SHARES};
use super::pace::median;
use super::series::{Point, Series};

/// What lines outside the counters said about the whole run.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Steps of the run, each with a hash of the words that said so.
    pub(super) steps: Vec<(u64, u64)>,
    pub(super) epochs: Vec<u64>,
    pub(super) accumulation: Option<u64>,
    pub(super) samples: Option<u64>,
    /// Numbers of steps that were told before the counter.
    pub(super) early: Vec<u64>,
}

/// The counts of a series as steps of the run.
pub(super) struct Run {
    pub(super) steps: Vec<u64>,
    pub(super) start: u64,
    pub(super) total: Option<u64>,
    pub(super) divided: bool,
}

/// Steps of an epoch and of the run, where head lines tell the run's steps and epochs.
pub(super) fn steps_of_epoch(facts: &Facts) -> Option<(f64, u64)> {
    let steps = facts.steps.iter().map(|(steps, _)| *steps).find(|&steps| steps > 1)?;
    let epochs = facts.epochs.iter().copied().find(|&epochs| epochs > 0)?;
    Some((steps as f64 / epochs as f64, steps))
}

/// Turns epochs and batches into steps of the run.
pub(super) fn steps(series: &Series, points: &[Point], facts: &Facts) -> Run {
    if let (Form::Share, Some((of_epoch, total))) = (series.form, steps_of_epoch(facts)) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "A number of steps below the total."
        )]
        let raw =
            points.iter().map(|point| (point.n as f64 / SHARES * of_epoch).round().min(total as f64) as u64).collect();
        return Run { steps: raw, start: 0, total: Some(total), divided: true };
    }
    let tail = series.tail.filter(|(_, votes)| *votes > 0).map_or(0, |(tail, _)| tail);
    let length = series.total.map(|total| total.saturating_sub(tail)).or_else(|| series.lengths.last().copied());
    let wrapped = !series.lengths.is_empty();
    let epochs = epochs(series, facts);
    let of_run = series.total.is_some_and(|total| facts.steps.iter().any(|(steps, _)| *steps == total)) && !wrapped;
    // An epoch that is told after the bar was first drawn is not what the bar is within.
    let told_epochs = series.first_epoch.is_some_and(|epoch| epoch.total.is_some()) || series.epoch_inside;
    let in_epoch = wrapped
        || (!series.runs_on && !of_run && series.total.is_some() && told_epochs && epochs.is_some_and(|n| n > 1));
    let first_n = series.first.n;
    let step = series.typical_step();
    let zero = first_n == 0 && !series.bar && series.form != Form::Range;
    let one = u64::from(zero);
    let (raw, start, total): (Vec<u64>, u64, Option<u64>) = if in_epoch {
        let before = series.first_epoch.map_or(0, |epoch| epoch.n.saturating_sub(first_epoch(series)));
        let whole = length.unwrap_or(0);
        let offset = before.saturating_mul(whole);
        // Where the program tells the length of an epoch, what it validates with is in it.
        let beside = if series.total.is_some() { tail } else { 0 };
        let lengths: Vec<u64> = series.lengths.iter().map(|length| length.saturating_sub(beside)).collect();
        let mut ends = vec![offset];
        for &length in &lengths {
            ends.push(ends.last().copied().unwrap_or(0).saturating_add(length));
        }
        let done = lengths.len();
        let steps_at = |point: &Point| {
            let most = lengths.get(point.round).copied().or(length).unwrap_or(u64::MAX);
            ends[point.round.min(done)].saturating_add((point.n + one).min(most))
        };
        let raw = points.iter().map(steps_at).collect();
        let into = if first_n <= 2 * step { 0 } else { first_n - step };
        let left = epochs.map(|epochs| epochs.saturating_sub(before + done as u64));
        // An epoch that is shorter than the one before is cut off by the number of steps of the run.
        let cut_off = series.total.is_some() && lengths.last().is_some_and(|last| *last > whole);
        let left = left.or(cut_off.then_some(1));
        (raw, offset + into, left.map(|left| ends[done].saturating_add(left.saturating_mul(whole))))
    } else {
        let mut total = series.total;
        // `iteration 33/999`: counts from 0, and so does the last one.
        if zero && total.is_some_and(|total| total % 10 == 9) {
            total = total.map(|total| total + 1);
        }
        // An epoch's batches, of nobody knows how many epochs.
        let within =
            series.epoch_inside && series.epoch.is_some_and(|epoch| epoch.before) && !of_run && !series.runs_on;
        if within && epochs != Some(1) && total.is_some() && total == series.total {
            total = None;
        } else if total.is_none() {
            total = facts
                .steps
                .iter()
                .map(|(steps, _)| *steps)
                .rfind(|&total| total > series.last.n && points.iter().all(|point| point.n != total));
        }
        let early = series.early.filter(|&n| n + step >= first_n && n > 0);
        let start = if series.bar && first_n > 0 && series.first.elapsed.is_none_or(|elapsed| elapsed < 2.0) {
            if first_n <= 2 * step { 0 } else { first_n }
        } else if first_n * 2 > step * 3 && first_n > 5 {
            early.unwrap_or(first_n - step)
        } else {
            0
        };
        (points.iter().map(|point| point.n + one).collect(), start, total)
    };
    // Batches that are accumulated, where the head counts optimizer steps.
    if let (true, Some(k), Some(all)) = (in_epoch, facts.accumulation.filter(|&k| k > 1), total) {
        let close = |steps: u64| (all as f64 / (steps as f64 * k as f64) - 1.0).abs() < 0.02;
        if let Some(steps) = facts.steps.iter().map(|(steps, _)| *steps).find(|&steps| steps > 0 && close(steps)) {
            let steps_of = |n: u64| n / k;
            return Run {
                steps: raw.into_iter().map(steps_of).collect(),
                start: start / k,
                total: Some(steps),
                divided: true,
            };
        }
    }
    Run { steps: raw, start, total, divided: false }
}

/// The number that the program gives to its first epoch.
fn first_epoch(series: &Series) -> u64 {
    match series.first_epoch {
        Some(epoch) if epoch.n <= 1 => epoch.n,
        Some(epoch) if series.bar => u64::from(epoch.total.is_some()),
        _ if series.first.n == 0 => 0,
        _ => 1,
    }
}

/// Epochs of the whole run.
fn epochs(series: &Series, facts: &Facts) -> Option<u64> {
    let now = series.epoch.map_or(0, |epoch| epoch.n);
    let told = facts.epochs.iter().copied().find(|&epochs| epochs >= now && epochs > 1);
    let Some((epoch, total)) = series.epoch.and_then(|epoch| epoch.total.map(|total| (epoch, total))) else {
        return told;
    };
    if epoch.bar {
        return Some(total);
    }
    let zero = first_epoch(series) == 0;
    if let Some(told) = told.filter(|&told| told == total || zero && told == total + 1) {
        return Some(told);
    }
    // `Epoch 0/9` counts ten from 0 to 9, `[0/300]` three hundred.
    let last_is_named = zero && (total % 5 == 4 || epoch.n == total);
    Some(total + u64::from(last_is_named))
}

/// Counts that jump at the start are no work: a resumed run skips what was done.
pub(super) fn skip_jump(run: &mut Run, points: &mut Vec<Point>) {
    let Some(middle) = usual_pace(points, &run.steps) else { return };
    let time = |two: &[Point]| match (two[0].stamp.zip(two[1].stamp), two[0].elapsed.zip(two[1].elapsed)) {
        (Some((from, to)), _) => to - from,
        (_, Some((from, to))) if two[0].round == two[1].round => to - from,
        _ => two[1].at_s - two[0].at_s,
    };
    let mut jumps = points.windows(2).zip(run.steps.windows(2)).enumerate().filter(|(_, (two, steps))| {
        let n = steps[1].saturating_sub(steps[0]);
        n > 20 && time(two) < 0.02 * middle * n as f64
    });
    let Some((last, _)) = jumps.next_back() else { return };
    // Jumps all over the run are lines that a buffer held back.
    let at = last + 1;
    if at * 2 < points.len() + 1 && points.len() - at > 2 {
        run.start = run.steps[at];
        run.steps.drain(..at);
        points.drain(..at);
    }
}

fn usual_pace(points: &[Point], steps: &[u64]) -> Option<f64> {
    let paces: Vec<f64> = points
        .windows(2)
        .zip(steps.windows(2))
        .filter(|(two, steps)| steps[1] > steps[0] && two[1].at_s > two[0].at_s)
        .map(|(two, steps)| (two[1].at_s - two[0].at_s) / (steps[1] - steps[0]) as f64)
        .collect();
    median(&paces)
}
