//! Takes bytes, keeps the counters that it sees, and answers how far the run is.

use std::collections::HashMap;

use super::choice::{Progress, progress, score};
use super::frame::{Class, Counter, Epoch, Fact, Form, SHARES};
use super::hints::Hints;
use super::lines::Lines;
use super::numbers::Memo;
use super::run::Facts;
use super::scan::scan;
use super::series::{Beside, Series};

/// Counters that are followed at the same time.
const SERIES: usize = 256;
/// Numbers of steps in words that are kept.
const TOLD: usize = 32;
/// The key of the counter that a pattern names.
const PATTERN: u64 = 0;
/// The key of epochs that are told with a fraction.
const EPOCHS_DONE: u64 = u64::MAX;

/// Reads the output of one program.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    hints: Hints,
    lines: Lines,
    state: State,
}

/// What the frames so far have told.
#[derive(Debug, Clone, Default)]
struct State {
    memo: Memo,
    series: HashMap<u64, Series>,
    facts: Facts,
    around: Option<Epoch>,
    told: Vec<u64>,
    /// A validation's bar that was just drawn.
    validation: Option<(u64, u64)>,
    /// Series that the last frame with a counter told, and whether it was new.
    current: Vec<u64>,
    begin_s: Option<f64>,
    end_s: f64,
    matches: u64,
}

impl Reader {
    /// A reader that knows what the hints say.
    #[must_use]
    pub fn new(hints: Hints) -> Self {
        Self { hints, ..Self::default() }
    }

    /// Takes bytes that arrived at a time, in seconds from any moment. They may be split anywhere.
    pub fn push(&mut self, bytes: &[u8], at_s: f64) {
        let Self { hints, lines, state } = self;
        lines.push(bytes, at_s, |frame, at_s| state.frame(frame, at_s, hints));
    }

    /// Takes the last line, which may have no end.
    pub fn finish(&mut self) {
        let Self { hints, lines, state } = self;
        lines.end(&mut |frame: &str, at_s| state.frame(frame, at_s, hints));
    }

    /// How often the pattern has matched. None where there is no pattern.
    #[must_use]
    pub fn pattern_matches(&self) -> Option<u64> {
        self.hints.step_pattern.as_ref().map(|_| self.state.matches)
    }

    /// How far the run is. None where nothing printed so far tells it.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        // A bar is drawn without an end: what is there is read as if it had one.
        match self.lines.open() {
            Some((frame, at_s)) => {
                let mut state = self.state.clone();
                state.frame(&frame, at_s, &self.hints);
                state.progress(&self.hints)
            }
            None => self.state.progress(&self.hints),
        }
    }
}

impl State {
    fn frame(&mut self, text: &str, at_s: f64, hints: &Hints) {
        self.begin_s.get_or_insert(at_s);
        self.end_s = at_s;
        if !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return;
        }
        let frame = scan(text, &mut self.memo);
        if let Some(pattern) = &hints.step_pattern {
            let found = pattern.captures(text).and_then(|found| Some((number(found.get(1)?.as_str())?, found.get(2))));
            if let Some((n, total)) = found {
                self.matches += 1;
                let total = total.and_then(|total| number(total.as_str()));
                let counter = named_by_user(n, total, text, frame.counters.iter().find_map(|counter| counter.elapsed));
                self.observe(
                    PATTERN,
                    &counter,
                    &Beside { text, at_s, stamp: frame.stamp, inside: None, around: None, told: &[] },
                );
            }
            return;
        }
        // A number that a launcher puts in front of a line is no counter beside an epoch.
        let counting = frame
            .counters
            .iter()
            .any(|counter| !counter.epoch && (counter.form != Form::Bare || frame.epoch.is_none()));
        if counting {
            self.current.clear();
        } else if let Some(epoch) = frame.epoch {
            self.around = Some(epoch);
        }
        let told = std::mem::take(&mut self.told);
        for counter in &frame.counters {
            if counter.class == Class::Evaluation
                && let Some(total) = counter.total
            {
                self.validation = Some((counter.n, total));
            }
            let around = if counter.epoch { None } else { self.around };
            // The number of epochs may stand in an earlier line only.
            let own = counter.own_epoch.map(|n| Epoch { n, total: None, before: true, bar: false });
            let inside = own.or(frame.epoch).filter(|_| !counter.epoch).map(|epoch| match (epoch.total, around) {
                (None, Some(Epoch { n, total, bar: false, .. })) if n <= epoch.n => Epoch { total, ..epoch },
                _ => epoch,
            });
            let beside = Beside { text, at_s, stamp: frame.stamp, inside, around, told: &told };
            let key = self.key(counter, inside);
            if self.observe(key, counter, &beside) && !counter.epoch {
                self.current.push(key);
            }
        }
        if frame
            .counters
            .iter()
            .any(|counter| counter.class == Class::Training && counter.total.is_some() && !counter.epoch)
        {
            self.validation = None;
        }
        if let Some(share) = frame.epochs_done.filter(|_| !counting) {
            let counter = epochs_done(share, text);
            let beside = Beside { text, at_s, stamp: frame.stamp, inside: None, around: None, told: &[] };
            self.observe(EPOCHS_DONE, &counter, &beside);
        }
        self.told = told;
        for fact in &frame.facts {
            self.learn(*fact);
            if let Fact::Told(n) = fact {
                if self.told.len() >= TOLD {
                    self.told.remove(0);
                }
                self.told.push(*n);
            }
        }
        for key in &self.current {
            if let Some(series) = self.series.get_mut(key) {
                series.measure(&frame.fields);
            }
        }
    }

    /// Bars without words are told apart by their totals: that of an evaluation looks like that of the training. A bar that tells its
    /// epoch may have another total in the next.
    fn key(&self, counter: &Counter, inside: Option<Epoch>) -> u64 {
        let key = counter.key.max(1);
        let is_next = |series: &Series| inside.zip(series.epoch).is_some_and(|(now, before)| now.n > before.n);
        let other = |total: u64| {
            let series = self.series.get(&key).filter(|series| !is_next(series));
            series.and_then(|series| series.total).is_some_and(|old| old != total)
        };
        match counter.total.filter(|&total| (counter.wordless || counter.bar) && other(total)) {
            Some(total) => key.wrapping_mul(31).wrapping_add(total).max(1),
            None => key,
        }
    }

    fn observe(&mut self, key: u64, counter: &Counter, beside: &Beside) -> bool {
        if let Some(series) = self.series.get_mut(&key) {
            if let Some((n, of)) = self.validation
                && counter.class == Class::Training
            {
                series.beside_validation(counter.n, n, of);
            }
            return series.observe(counter, beside);
        }
        if self.series.len() >= SERIES {
            self.forget();
        }
        let mut series = Series::new(counter, beside);
        series.early = self.facts.early.iter().copied().filter(|&n| n <= counter.n).max();
        self.series.insert(key, series);
        true
    }

    /// Leaves out the half of the counters that has risen least.
    fn forget(&mut self) {
        let mut rises: Vec<u64> = self.series.values().map(|series| series.rises).collect();
        rises.sort_unstable();
        let least = rises[rises.len() / 2];
        let mut left = rises.len() / 2;
        self.series.retain(|_, series| {
            let keep = series.rises > least || left == 0;
            left -= usize::from(!keep);
            keep
        });
    }

    fn learn(&mut self, fact: Fact) {
        let facts = &mut self.facts;
        match fact {
            // The same words with another number are a counter of something.
            Fact::Steps(n, words) => {
                let known = facts.steps.iter().position(|(_, known)| *known == words);
                match known {
                    Some(at) if facts.steps[at].0 != n => facts.steps[at].0 = 0,
                    None if facts.steps.len() < 16 => facts.steps.push((n, words)),
                    _ => {}
                }
            }
            Fact::Epochs(n) if !facts.epochs.contains(&n) && facts.epochs.len() < 16 => facts.epochs.push(n),
            Fact::Accumulation(n) if facts.accumulation.is_none() => facts.accumulation = Some(n),
            Fact::Samples(n) if facts.samples.is_none() => facts.samples = Some(n),
            Fact::Told(n) if facts.early.len() < 64 && !facts.early.contains(&n) => facts.early.push(n),
            _ => {}
        }
    }

    fn progress(&self, hints: &Hints) -> Option<Progress> {
        if hints.step_pattern.is_some() {
            return self.series.get(&PATTERN).map(|series| progress(series, &self.facts, hints.total_steps));
        }
        let span_s = self.end_s - self.begin_s?;
        let best = self
            .series
            .iter()
            .filter_map(|(key, series)| score(series, &self.facts, span_s).map(|score| (score, *key, series)))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        best.map(|(_, _, series)| progress(series, &self.facts, hints.total_steps))
    }
}

/// The counter of epochs that are told with a fraction.
fn epochs_done(epochs: f64, text: &str) -> Counter {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Checked where it is read.")]
    let n = (epochs * SHARES).round() as u64;
    Counter::of_steps(EPOCHS_DONE, Form::Share, n, (0, text.len().min(48)))
}

fn number(text: &str) -> Option<u64> {
    text.replace([',', '_', ' '], "").parse().ok()
}

/// The counter that a user's pattern found.
fn named_by_user(n: u64, total: Option<u64>, text: &str, elapsed: Option<f64>) -> Counter {
    let form = if total.is_some() { Form::Pair } else { Form::Named };
    let counter = Counter::of_steps(PATTERN, form, n, (0, text.len().min(48)));
    Counter { total, named: 6, elapsed, ..counter }
}
