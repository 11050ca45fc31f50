//! Marks become spans: so many steps in so many seconds.

/// Spans that are kept at most: what is asked of them stays cheap however long the loop has run.
const SPANS: usize = 4096;

/// Ticks of clocks that are told apart, in seconds.
const TICKS_S: [f64; 3] = [1.0, 0.1, 0.01];

/// Steps that were done between two marks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// The step at which it begins.
    pub(super) from: u64,
    /// Steps in it.
    pub(super) steps: f64,
    /// Seconds, above 0.
    pub(super) seconds: f64,
}

impl Span {
    /// Seconds a step.
    pub(super) fn pace(&self) -> f64 {
        self.seconds / self.steps
    }
}

/// What was seen of a loop.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Watched {
    /// In the order of their steps.
    pub(super) spans: Vec<Span>,
    /// The last step that was reached.
    pub(super) done: u64,
    /// Steps whose time is not known: the clock was set meanwhile, or has not ticked since.
    pub(super) untimed_steps: f64,
    /// Seconds of all spans.
    pub(super) elapsed_s: f64,
    /// Seconds in which the clock ticks; 0 if it is finer than a hundredth.
    pub(super) tick_s: f64,
}

/// The spans between marks, of which some are left out if there are very many. A mark that does not come after the one
/// before it, in steps and in time, ends no span: a clock that ticks in seconds tells only when it ticks. A time that
/// goes back is a clock that was set, from which on the spans begin anew.
pub(super) fn watched(marks: &[(u64, f64)]) -> Watched {
    let mut seen = Watched { spans: Vec::new(), done: 0, untimed_steps: 0.0, elapsed_s: 0.0, tick_s: 0.0 };
    let stride = marks.len().div_ceil(SPANS).max(1);
    let last = marks.len().saturating_sub(1);
    let mut from: Option<(u64, f64)> = None;
    let mut ticks = TICKS_S.to_vec();
    for (_, &(step, at_s)) in marks.iter().enumerate().filter(|(i, _)| i % stride == 0 || *i == last) {
        if !at_s.is_finite() {
            continue;
        }
        let Some((from_step, from_s)) = from else {
            from = Some((step, at_s));
            seen.done = step;
            continue;
        };
        if step <= seen.done {
            continue;
        }
        ticks.retain(|tick| (at_s / tick - (at_s / tick).round()).abs() < 1e-3);
        let seconds = at_s - from_s;
        if seconds < 0.0 {
            seen.untimed_steps += (step - from_step) as f64;
            from = Some((step, at_s));
        } else if seconds > 0.0 && seconds.is_finite() {
            seen.spans.push(Span { from: from_step, steps: (step - from_step) as f64, seconds });
            seen.elapsed_s += seconds;
            from = Some((step, at_s));
        }
        seen.done = step;
    }
    if let Some((step, _)) = from {
        seen.untimed_steps += (seen.done - step) as f64;
    }
    seen.tick_s = ticks.first().copied().unwrap_or(0.0);
    seen
}
