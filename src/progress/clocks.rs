//! The clocks that tell a pace, and which of them is trusted.

use super::pace::{Pace, Tick, median, pace};
use super::run::Run;
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

/// The pace by the clock that tells it best.
pub(super) fn best_pace(series: &Series, points: &[Point], run: &Run) -> (Clock, Option<Pace>) {
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
pub(super) fn refined(series: &Series, pace: &Pace, divided: bool) -> f64 {
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
