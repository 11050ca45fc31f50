//! One counter over time: how it rises, where it starts again, and the times that are told beside it.

use super::frame::{Class, Counter, Epoch, Field, Form};

/// Marks of one series that are kept. Of more, every second is left out.
const MARKS: usize = 1024;
/// Values of one field that are kept.
const VALUES: usize = 256;
/// Fields of one series that are kept.
const FIELDS: usize = 32;
/// Finished epochs whose length is kept.
const EPOCHS: usize = 10_000;

/// A count, and when it was reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    /// How often the counter had started again.
    pub(super) round: usize,
    pub(super) n: u64,
    pub(super) at_s: f64,
    pub(super) stamp: Option<f64>,
    pub(super) elapsed: Option<f64>,
}

/// Values of one number that may be a time or a rate.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) key: u64,
    /// Each with the count that it belongs to.
    pub(super) told: Vec<(u64, f64)>,
    pub(super) digits: u8,
    stride: u32,
    seen: u32,
}

/// A counter that is followed.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "Each is a fact of its own, and all combinations occur.")]
pub(super) struct Series {
    pub(super) form: Form,
    pub(super) class: Class,
    pub(super) bar: bool,
    pub(super) named: u8,
    pub(super) name: &'static str,
    pub(super) shown: String,
    pub(super) counts_epochs: bool,
    /// Whether a loss or a learning rate was seen beside it.
    pub(super) learns: bool,
    pub(super) total: Option<u64>,
    /// How often the total was another one, without a new round.
    pub(super) torn: u32,
    pub(super) frames: u64,
    /// How often the count was lower than before, without a new round.
    pub(super) falls: u64,
    /// Counts that are higher than all before, or in a new round.
    pub(super) rises: u64,
    pub(super) points: Vec<Point>,
    pub(super) last: Point,
    pub(super) first: Point,
    /// When it was last told.
    pub(super) seen_s: f64,
    /// Seconds between its frames, those between two rounds left out.
    pub(super) busy_s: f64,
    /// Lengths of the rounds that have ended.
    pub(super) lengths: Vec<u64>,
    pub(super) epoch: Option<Epoch>,
    pub(super) first_epoch: Option<Epoch>,
    /// Whether the epoch stands in the same frame.
    pub(super) epoch_inside: bool,
    /// Whether an epoch began without the counter starting again.
    pub(super) runs_on: bool,
    /// A validation's batches that are counted at the end of every round, and how often that was seen.
    pub(super) tail: Option<(u64, u32)>,
    pub(super) fields: Vec<Values>,
    pub(super) fine_s: f64,
    /// The last number of steps that was told before the first count and is not above it.
    pub(super) early: Option<u64>,
    stride: u32,
    skipped: u32,
}

/// What is known beside the counter itself when it is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside<'a> {
    /// The frame.
    pub(super) text: &'a str,
    pub(super) at_s: f64,
    pub(super) stamp: Option<(f64, f64)>,
    /// The epoch that stands in the same frame.
    pub(super) inside: Option<Epoch>,
    /// The epoch that an earlier line told.
    pub(super) around: Option<Epoch>,
    /// Numbers of steps that were told since.
    pub(super) told: &'a [u64],
}

impl Series {
    pub(super) fn new(counter: &Counter, beside: &Beside) -> Self {
        let point = Point {
            round: 0,
            n: counter.n,
            at_s: beside.at_s,
            stamp: beside.stamp.map(|(stamp, _)| stamp),
            elapsed: counter.elapsed,
        };
        let epoch = beside.inside.or(beside.around);
        Self {
            form: counter.form,
            class: counter.class,
            bar: counter.bar,
            named: counter.named,
            name: counter.name,
            shown: shown(counter, beside.text),
            counts_epochs: counter.epoch,
            learns: learns(beside.text),
            total: counter.total,
            torn: 0,
            frames: 1,
            falls: 0,
            rises: 1,
            points: vec![point],
            last: point,
            first: point,
            seen_s: beside.at_s,
            busy_s: 0.0,
            lengths: Vec::new(),
            epoch,
            first_epoch: epoch,
            epoch_inside: beside.inside.is_some(),
            runs_on: false,
            tail: None,
            fields: Vec::new(),
            fine_s: beside.stamp.map_or(1.0, |(_, fine)| fine),
            early: None,
            stride: 1,
            skipped: 0,
        }
    }

    /// Takes the counter's next frame, and says whether it is a new count.
    pub(super) fn observe(&mut self, counter: &Counter, beside: &Beside) -> bool {
        self.frames += 1;
        self.learns = self.learns || self.frames < 64 && learns(beside.text);
        let since_s = beside.at_s - self.seen_s;
        self.seen_s = beside.at_s;
        if counter.class == Class::Preparation {
            self.class = Class::Preparation;
        }
        let epoch = beside.inside.or(beside.around);
        let advanced = match (epoch, self.epoch) {
            (Some(now), Some(before)) if beside.inside.is_some() && now.n < before.n => return false,
            (Some(now), Some(before)) => now.n > before.n,
            _ => false,
        };
        let (n, before) = (counter.n, self.last.n);
        let again = if advanced {
            n <= before
        } else {
            beside.inside.is_none() && n < before && (n * 2 <= before || self.total == Some(before))
        };
        // Bars of several ranks in one stream: one may still be drawn full when another has begun again.
        let straggler = !again
            && !advanced
            && counter.total == Some(n)
            && self.last.round > 0
            && n > before.saturating_mul(4)
            && beside.at_s - self.last.at_s < 0.5
            && self.frames > 8
            && self.rises > 8
            && before <= 1;
        if straggler {
            return false;
        }
        if advanced && n > before {
            self.runs_on = true;
        }
        if !again && counter.total.is_some() && self.total.is_some() && self.total != counter.total {
            self.torn += 1;
        }
        if !again {
            self.busy_s += since_s;
        }
        if again {
            let step = self.typical_step();
            let length = self.total.unwrap_or_else(|| {
                let last = beside.told.iter().filter(|&&told| told >= before && told <= before + 2 * step);
                last.max().copied().unwrap_or(before)
            });
            let rounds = match (epoch, self.epoch) {
                (Some(now), Some(old)) if advanced => now.n - old.n,
                _ => 1,
            };
            for _ in 0..rounds.min(1000) {
                if self.lengths.len() < EPOCHS {
                    self.lengths.push(length);
                }
            }
        }
        self.total = counter.total.or(self.total);
        if epoch.is_some() {
            self.epoch = epoch;
        }
        if !again && n <= before {
            self.falls += u64::from(n < before);
            return false;
        }
        self.rises += 1;
        self.shown = shown(counter, beside.text);
        let stamp = beside.stamp.map(|(stamp, _)| match self.last.stamp {
            // A clock without a date starts again at midnight.
            Some(before) if stamp + 43_200.0 < before => stamp + 86_400.0 * ((before - stamp) / 86_400.0).ceil(),
            _ => stamp,
        });
        if let Some((_, fine)) = beside.stamp {
            self.fine_s = fine;
        }
        self.last = Point { round: self.lengths.len(), n, at_s: beside.at_s, stamp, elapsed: counter.elapsed };
        self.skipped += 1;
        if self.skipped >= self.stride && self.class == Class::Training {
            self.skipped = 0;
            self.points.push(self.last);
            if self.points.len() >= MARKS {
                halve(&mut self.points);
                self.stride *= 2;
            }
        }
        true
    }

    /// Notes that a validation bar at `n` of `of` was drawn just before: some programs count its batches in the round. A bar that stands still
    /// meanwhile does not.
    pub(super) fn beside_validation(&mut self, now: u64, n: u64, of: u64) {
        if now > self.last.n && n > 0 && n < of && self.total.is_some_and(|total| total > of && now == total - of + n) {
            self.tail = match self.tail {
                Some((tail, votes)) if tail == of => Some((of, votes + 1)),
                None => Some((of, 1)),
                other => other,
            };
        }
    }

    /// Takes numbers that may be times or rates of the last count.
    pub(super) fn measure(&mut self, fields: &[Field]) {
        if self.class != Class::Training {
            return;
        }
        for field in fields {
            let at = self.fields.iter().position(|known| known.key == field.key);
            let known = match at {
                Some(at) => &mut self.fields[at],
                None if self.fields.len() < FIELDS => {
                    self.fields.push(Values { key: field.key, told: Vec::new(), digits: 0, stride: 1, seen: 0 });
                    let last = self.fields.len() - 1;
                    &mut self.fields[last]
                }
                None => continue,
            };
            known.digits = known.digits.max(field.digits);
            known.seen += 1;
            if known.seen >= known.stride {
                known.seen = 0;
                known.told.push((self.last.n, field.value));
                if known.told.len() >= VALUES {
                    halve(&mut known.told);
                    known.stride *= 2;
                }
            }
        }
    }

    /// Steps between two counts that are told: the smallest of the last ones, so that a gap does not count.
    pub(super) fn typical_step(&self) -> u64 {
        let mut steps: Vec<u64> = self
            .points
            .windows(2)
            .rev()
            .take(15)
            .filter(|two| two[1].n > two[0].n)
            .map(|two| two[1].n - two[0].n)
            .collect();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(1)
    }
}

/// Leaves out every second value, and keeps the last.
pub(super) fn halve<T>(values: &mut Vec<T>) {
    let mut at = 0;
    let odd = values.len() % 2;
    values.retain(|_| {
        at += 1;
        at % 2 == odd
    });
}

/// The text that a counter was read from.
fn shown(counter: &Counter, text: &str) -> String {
    text.get(counter.shown.0..counter.shown.1).unwrap_or("").trim().to_owned()
}

/// Whether a text tells what only training tells.
fn learns(text: &str) -> bool {
    ["loss", "Loss", "lr", "LR", "grad", "perplexity", "ppl", "train", "Train"].iter().any(|word| text.contains(word))
}
