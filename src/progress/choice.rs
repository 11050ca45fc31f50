//! Which of the counters counts training steps, and what it says about the run.

use super::clocks::{Clock, best_pace, refined};
use super::frame::{Class, Form};
use super::run::{Facts, skip_jump, steps, steps_of_epoch};
use super::series::{Point, Series};

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
    /// Tokens of a step, where the program tells them.
    pub tokens_per_step: Option<f64>,
    /// Where the pace is from. The marks are by the same clock, unless it starts again in every epoch: then by arrival.
    pub clock: Clock,
    /// When each number of steps was reached, oldest first. Of very many, some are left out.
    pub marks: Vec<Mark>,
    /// What else took time, oldest first.
    pub pauses: Vec<Pause>,
    /// One line for a reader: what was recognised, with the text that was last read.
    pub recognised_as: String,
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
        tokens_per_step: None,
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
