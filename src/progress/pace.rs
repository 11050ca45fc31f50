//! Seconds a step from counts and times, with start-up and pauses left out.

/// A pace that was worked out of one clock.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    pub(super) step_s: f64,
    /// By how much the pace may be off, as a share of it.
    pub(super) unsure: f64,
    /// By how much it may be off because the clock is coarse.
    pub(super) coarse: f64,
    /// What else took time: the count before it, and seconds.
    pub(super) pauses: Vec<(u64, f64)>,
}

/// A count and a time. In another part the clock has started again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) step: u64,
    pub(super) s: f64,
    pub(super) part: usize,
}

/// Time between two counts.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u64,
    steps: f64,
    s: f64,
    follows: bool,
}

/// Works out the pace of steady training. None where the clock tells nothing.
pub(super) fn pace(ticks: &[Tick], fine_s: f64) -> Option<Pace> {
    let all = spans(ticks, fine_s, 0.0);
    let rough = weighted_median(&all)?;
    // Spans of at least some ticks of the clock: a second is not seen by a step of a third of it.
    let all = spans(ticks, fine_s, (6.0 * fine_s).min(20.0 * rough.max(fine_s / 20.0)));
    let middle = weighted_median(&all)?;
    if !(middle.is_finite() && middle > 0.0) {
        return None;
    }
    let off: Vec<Span> =
        all.iter().map(|span| Span { s: (span.s - middle * span.steps).abs() / middle, ..*span }).collect();
    let spread = weighted_median(&off)? * 1.5;
    let allowed = |span: &Span| (span.steps * middle * (4.0 * spread).clamp(0.02, 0.5)).max(1.6 * fine_s);
    let steady = |span: &Span| (span.s - middle * span.steps).abs() <= allowed(span);
    let (mut all_steps, mut all_s, mut runs, mut kept, mut after_kept) = (0.0, 0.0, 0.0, 0.0, false);
    for span in &all {
        let keep = steady(span);
        if keep {
            all_steps += span.steps;
            all_s += span.s;
            kept += 1.0;
            runs += f64::from(u8::from(!(after_kept && span.follows)));
        }
        after_kept = keep;
    }
    if all_steps < 1.0 || all_s <= 0.0 {
        return None;
    }
    let step_s = all_s / all_steps;
    let pauses = all
        .iter()
        .enumerate()
        .filter(|(at, span)| *at > 0 && !steady(span) && span.s > middle * span.steps)
        .map(|(_, span)| (span.from, span.s - step_s * span.steps))
        .filter(|(_, seconds)| *seconds > 2.0 * fine_s)
        .collect();
    let coarse = 0.5 * fine_s * f64::sqrt(runs) / all_s;
    let unsure = coarse + 0.7 * spread / f64::sqrt(kept) + if kept < 2.0 { 0.05 } else { 0.0 };
    Some(Pace { step_s, unsure, coarse, pauses })
}

/// Spans between counts, each at least so long.
fn spans(ticks: &[Tick], fine_s: f64, least_s: f64) -> Vec<Span> {
    let mut all = Vec::new();
    let Some(&first) = ticks.first() else { return all };
    let mut from = first;
    let mut follows = false;
    for &tick in &ticks[1..] {
        if tick.part != from.part || tick.s < from.s - fine_s {
            from = tick;
            follows = false;
            continue;
        }
        let s = tick.s - from.s;
        if tick.step <= from.step || s <= 0.0 || s < least_s {
            continue;
        }
        all.push(Span { from: from.step, steps: (tick.step - from.step) as f64, s, follows });
        from = tick;
        follows = true;
    }
    all
}

/// The median of seconds a step, in which a span counts as often as it has steps.
fn weighted_median(spans: &[Span]) -> Option<f64> {
    let mut all: Vec<(f64, f64)> = spans.iter().map(|span| (span.s / span.steps, span.steps)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = all.iter().map(|(_, steps)| steps).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    all.into_iter()
        .find(|(_, steps)| {
            sum += steps;
            sum >= half
        })
        .map(|(pace, _)| pace)
}

/// The median of some values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len() / 2;
    let upper = *sorted.get(at)?;
    Some(if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[at - 1], upper) } else { upper })
}
