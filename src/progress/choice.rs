//! Which of the counters counts training steps, and what it says about the run.

use super::frame::{Class, Form, SHARES};
use super::pace::{Pace, Tick, median, pace};
use super::series::{Point, Series};

/// Where the times of a run are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Times that stand in the program's lines.
    Lines,
    /// The time since its start that a bar shows.
    Elapsed,
    /// When the bytes came.
    Arrival,
}

/// When a number of steps was reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// Steps of the run, those before this start included.
    pub step: u64,
    /// Seconds. Only differences count: the zero is the clock's own.
    pub at_s: f64,
}

/// Time that went to something else than steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pause {
    /// The last step told before it.
    pub after_step: u64,
    /// Seconds beyond those of the steps in the same interval.
    pub seconds: f64,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What is counted, in the singular.
    pub unit: String,
    /// Steps that were done before this start.
    pub start_step: u64,
    /// Steps that are done, those before this start included.
    pub steps_done: u64,
    /// Steps of the whole run.
    pub steps_total: Option<u64>,
    /// Seconds a step in steady training, without start-up, evaluation and checkpoints.
    pub step_s: Option<f64>,
    /// Where the pace is from. The marks are by the same clock, unless it starts again in every epoch: then by arrival.
    pub clock: Clock,
    /// When each number of steps was reached, oldest first. Of very many, some are left out.
    pub marks: Vec<Mark>,
    /// What else took time, oldest first.
    pub pauses: Vec<Pause>,
    /// One line for a reader: what was recognised, with the text that was last read.
    pub recognised_as: String,
}

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

/// How much speaks for a series. None where it is no candidate at all.
pub(super) fn score(series: &Series, facts: &Facts, span_s: f64) -> Option<f64> {
    if series.class != Class::Training || series.rises < 3 {
        return None;
    }
    // Little speaks for a number without a name.
    let bare = matches!(series.form, Form::Bare | Form::Column);
    if bare && (series.rises < 6 || !series.lengths.is_empty() && !series.epoch_inside) {
        return None;
    }
    // `[3/12] nvcc`, `worker 3/12`, `trial 3/12`: a pair without a name has to have something of training beside it.
    let unnamed = series.form == Form::Pair && series.named == 0 && !series.bar && !series.epoch_inside;
    if unnamed && !series.learns && series.last.elapsed.is_none() && series.first_epoch.is_none() {
        return None;
    }
    // A number that goes up and down counts nothing. Ranks that lag behind fall back a little only.
    let restless = series.total.is_none() && !series.epoch_inside && series.lengths.len() as u64 * 4 > series.rises;
    if restless || !series.bar && series.falls * 4 > series.frames {
        return None;
    }
    // Epochs are counted where nothing finer is.
    let epochs = if series.counts_epochs { -100.0 } else { 0.0 };
    if series.form == Form::Share && steps_of_epoch(facts).is_none() {
        return None;
    }
    let form = match series.form {
        Form::Pair if series.total.is_some() => 8.0,
        Form::Pair | Form::Range | Form::Endless => 4.0,
        Form::Named | Form::Column => 0.0,
        Form::Share => -50.0,
        Form::Bare => 2.0,
    };
    // A pair of changing numbers is no count of a whole.
    if f64::from(series.torn) > 0.2 * series.rises as f64 {
        return None;
    }
    let often = 2.0 * (series.frames.max(series.rises).min(64) as f64).log2();
    let long = if span_s > 0.0 { (series.seen_s - series.first.at_s) / span_s } else { 1.0 };
    // Between two frames of a validation's bar little time passes, however many there are.
    let busy = if span_s > 0.0 { series.busy_s / span_s } else { 1.0 };
    let named = f64::from(series.named);
    let named = if series.form == Form::Named { named } else { named / 2.0 };
    let learns = if series.learns { 3.0 } else { 0.0 };
    Some(epochs + learns + form + often + named + 4.0 * long + 8.0 * busy)
}

/// The counts of a series as steps of the run.
struct Run {
    steps: Vec<u64>,
    start: u64,
    total: Option<u64>,
    divided: bool,
}

/// What a series says about the run.
pub(super) fn progress(series: &Series, facts: &Facts, pinned: Option<u64>) -> Progress {
    let mut points = series.points.clone();
    if points.last().is_some_and(|point| (point.round, point.n) != (series.last.round, series.last.n)) {
        points.push(series.last);
    }
    let mut run = steps(series, &points, facts);
    run.total = pinned.or(run.total);
    skip_jump(&mut run, &mut points);
    let (clock, pace) = best_pace(series, &points, &run);
    let step_s = pace.as_ref().map(|pace| refined(series, pace, run.divided));
    let at_s = |point: &Point| match clock {
        Clock::Lines => point.stamp.unwrap_or(point.at_s),
        Clock::Elapsed if series.lengths.is_empty() => point.elapsed.unwrap_or(point.at_s),
        _ => point.at_s,
    };
    let marks = points.iter().zip(&run.steps).map(|(point, &step)| Mark { step, at_s: at_s(point) }).collect();
    let done = run.steps.last().copied().unwrap_or(0);
    let done = run.total.map_or(done, |total| done.min(total.max(run.start)));
    let unit = if run.divided { "step".to_owned() } else { unit(series, facts) };
    Progress {
        recognised_as: format!("{unit}{}, read from '{}'", if unit == "batch" { "es" } else { "s" }, series.shown),
        unit,
        start_step: run.start,
        steps_done: done,
        steps_total: run.total,
        step_s,
        clock,
        marks,
        pauses: pace.map_or_else(Vec::new, |pace| {
            pace.pauses.into_iter().map(|(after_step, seconds)| Pause { after_step, seconds }).collect()
        }),
    }
}

fn unit(series: &Series, facts: &Facts) -> String {
    if series.counts_epochs {
        return "epoch".to_owned();
    }
    if series.total.is_some() && facts.samples == series.total {
        return "sample".to_owned();
    }
    series.name.to_owned()
}

/// Steps of an epoch and of the run, where head lines tell the run's steps and epochs.
fn steps_of_epoch(facts: &Facts) -> Option<(f64, u64)> {
    let steps = facts.steps.iter().map(|(steps, _)| *steps).find(|&steps| steps > 1)?;
    let epochs = facts.epochs.iter().copied().find(|&epochs| epochs > 0)?;
    Some((steps as f64 / epochs as f64, steps))
}

/// Turns epochs and batches into steps of the run.
fn steps(series: &Series, points: &[Point], facts: &Facts) -> Run {
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
        let mut ends = vec![offset];
        for &length in &series.lengths {
            let length = if series.total.is_some() { whole } else { length };
            ends.push(ends.last().copied().unwrap_or(0).saturating_add(length));
        }
        let last = ends.len() - 1;
        let raw = points
            .iter()
            .map(|point| ends[point.round.min(last)].saturating_add((point.n + one).min(length.unwrap_or(u64::MAX))))
            .collect();
        let into = if first_n <= 2 * step { 0 } else { first_n - step };
        (raw, offset + into, epochs.zip(length).map(|(epochs, length)| epochs.saturating_mul(length)))
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
fn skip_jump(run: &mut Run, points: &mut Vec<Point>) {
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

/// The pace by the clock that tells it best.
fn best_pace(series: &Series, points: &[Point], run: &Run) -> (Clock, Option<Pace>) {
    let end = series.tail.and_then(|(tail, _)| series.total.map(|total| total - tail));
    let ticks = |s: &dyn Fn(&Point) -> Option<f64>, parts: bool| -> Vec<Tick> {
        let mut all: Vec<Tick> = Vec::new();
        for (point, &step) in points.iter().zip(&run.steps) {
            let Some(s) = s(point) else { continue };
            if end.is_some_and(|end| point.n > end) {
                continue;
            }
            let part = if parts { point.round } else { 0 };
            match all.last_mut() {
                // Lines that came together: the last of them came when they did.
                Some(last) if last.s == s && last.part == part && !parts => last.step = step,
                _ => all.push(Tick { step, s, part }),
            }
        }
        all
    };
    let arrival = pace(&ticks(&|point| Some(point.at_s), false), 0.02);
    let lines = ticks(&|point| point.stamp, false);
    let lines = if lines.len() * 5 >= points.len() * 4 || lines.len() > 8 { pace(&lines, series.fine_s) } else { None };
    let elapsed = pace(&ticks(&|point| point.elapsed, true), 1.0);
    let told = told_clock(series, arrival.as_ref(), run.divided);
    // A bar's clock that starts again in every epoch does not see what is between two epochs.
    let between = arrival.as_ref().filter(|_| !series.lengths.is_empty()).map(|arrival| arrival.pauses.clone());
    let mut best = (Clock::Arrival, arrival);
    for (clock, pace) in [(Clock::Elapsed, elapsed), (Clock::Lines, lines), (Clock::Elapsed, told)] {
        let Some(pace) = pace else { continue };
        // A clock of its own is better than arrival, which a buffer may delay, unless it is too coarse to tell.
        let better = best.1.as_ref().is_none_or(|best| pace.coarse < 0.01 || pace.unsure < best.unsure);
        if better {
            best = (clock, Some(pace));
        }
    }
    if let ((Clock::Elapsed, Some(pace)), Some(between)) = (&mut best, between) {
        pace.pauses = between;
    }
    best
}

/// The pace by a number beside the counter that rises with it as time does: seconds since the start.
fn told_clock(series: &Series, arrival: Option<&Pace>, divided: bool) -> Option<Pace> {
    if !series.lengths.is_empty() || divided {
        return None;
    }
    let rises = |values: &[(u64, f64)]| values.len() >= 5 && values.windows(2).all(|two| two[1].1 > two[0].1);
    let fields = series.fields.iter().filter(|field| field.digits >= 4 && rises(&field.told));
    let paces = fields.filter_map(|field| {
        let ticks: Vec<Tick> = field.told.iter().map(|&(step, s)| Tick { step, s, part: 0 }).collect();
        let whole = field.told.iter().all(|(_, value)| value.fract() == 0.0);
        pace(&ticks, if whole { 1.0 } else { 0.02 })
    });
    let near = |pace: &Pace| arrival.is_some_and(|arrival| (pace.step_s / arrival.step_s - 1.0).abs() < 0.3);
    paces.filter(near).min_by(|a, b| a.unsure.total_cmp(&b.unsure))
}

/// The pace by the program's own times of a step, where they are finer and agree.
fn refined(series: &Series, pace: &Pace, divided: bool) -> f64 {
    if pace.unsure < 0.006 || divided {
        return pace.step_s;
    }
    let allowed = (2.0 * pace.unsure).clamp(0.03, 0.2);
    let interval = series.typical_step() as f64;
    let mut best: Option<(f64, f64)> = None;
    for field in series.fields.iter().filter(|field| field.digits >= 3 && field.told.len() >= 3) {
        let values: Vec<f64> = field.told[1..].iter().map(|(_, value)| *value).collect();
        let Some(middle) = median(&values) else { continue };
        let forms = [middle, middle * 1e-3, 1.0 / middle, middle / interval];
        let Some(step_s) = forms.into_iter().find(|form| (form / pace.step_s - 1.0).abs() < allowed) else { continue };
        let off: Vec<f64> = values.iter().map(|value| (value / middle - 1.0).abs()).collect();
        let Some(spread) = median(&off) else { continue };
        if spread < 0.1 && best.is_none_or(|(other, _)| spread < other) {
            best = Some((spread, step_s));
        }
    }
    best.map_or(pace.step_s, |(_, step_s)| step_s)
}
