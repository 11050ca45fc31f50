//! How far a run is, as the program itself tells it: a line of text for each step.
//!
//! ```text
//! start 3000 of 5000
//! step 3001 of 5000 tokens 8192 at 12.345678
//! ```
//!
//! `step` says how many steps are done, `of` how many the whole run has, `tokens` how many were trained on since the last line, and
//! `at` the seconds of the program's own clock.
//! `start` says how many were done before this start. A count that does not rise tells nothing new: of several processes
//! that tell the same step, the first one counts.

use super::choice::{Mark, Pause, Progress};
use super::clocks::Clock;
use super::pace::{Tick, pace};
use super::series::halve;

/// Bytes of a line that is understood.
const LONGEST: usize = 200;
/// Marks that are kept. Of more, every second is left out.
const MARKS: usize = 1024;
/// How finely the arrival of a line tells when it was written, and how finely the line itself does.
const FINE_S: (f64, f64) = (0.02, 1e-4);
/// Seconds by which a line's own clock may be off its arrival, before it is another clock.
const SAME_CLOCK_S: f64 = 2.0;
/// Characters of a line that was not understood that are shown.
const SHOWN: usize = 60;

/// Lines that were not understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotUnderstood {
    /// How many.
    pub lines: u64,
    /// The first of them, or its beginning.
    pub first: String,
}

/// Takes the lines of one program.
#[derive(Debug, Clone, Default)]
pub struct Told {
    line: Vec<u8>,
    /// The line is longer than any that is understood.
    too_long: bool,
    /// Steps that were done before this start, as `start` says it.
    start: Option<u64>,
    /// The first count, and the next one: their distance tells where a program began that says no `start`.
    first: Option<u64>,
    second: Option<u64>,
    done: u64,
    total: Option<u64>,
    /// Tokens, and the steps that they are of.
    tokens: (f64, u64),
    /// What the program's own clock is behind that of arrivals, in seconds.
    behind_s: Option<f64>,
    marks: Vec<Mark>,
    stride: u64,
    skipped: u64,
    last: Option<Mark>,
    shown: String,
    not_understood: NotUnderstood,
}

/// What one line says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    starts: bool,
    count: u64,
    total: Option<u64>,
    tokens: Option<u64>,
    at_s: Option<f64>,
}

impl Told {
    /// Takes bytes that arrived at a time, in seconds from any moment. They may be split anywhere.
    pub fn push(&mut self, bytes: &[u8], at_s: f64) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line(at_s);
            } else if self.line.len() < LONGEST {
                self.line.push(byte);
            } else {
                self.too_long = true;
            }
        }
    }

    /// Steps that are done; `None` as long as no step was told.
    #[must_use]
    pub fn steps_done(&self) -> Option<u64> {
        self.first.map(|_| self.done)
    }

    /// Steps that were done since this start.
    #[must_use]
    pub fn steps_of_this_start(&self) -> u64 {
        self.done.saturating_sub(self.start_step())
    }

    /// The lines that were not understood, if there were any.
    #[must_use]
    pub fn not_understood(&self) -> Option<&NotUnderstood> {
        Some(&self.not_understood).filter(|not| not.lines > 0)
    }

    /// How far the run is; `None` as long as no step was told. A `total` takes the place of the program's own.
    #[must_use]
    pub fn progress(&self, total: Option<u64>) -> Option<Progress> {
        let steps_done = self.steps_done()?;
        let mut marks = self.marks.clone();
        marks.extend(self.last.filter(|last| marks.last() != Some(last)));
        let ticks: Vec<Tick> = marks.iter().map(|mark| Tick { step: mark.step, s: mark.at_s, part: 0 }).collect();
        let told_by_lines = self.behind_s.is_some();
        let pace = pace(&ticks, if told_by_lines { FINE_S.1 } else { FINE_S.0 });
        let (tokens, steps) = self.tokens;
        Some(Progress {
            unit: "step".to_owned(),
            start_step: self.start_step(),
            steps_done,
            // A loop that is longer than it said is as long as it is.
            steps_total: total.or(self.total).map(|total| total.max(steps_done)),
            step_s: pace.as_ref().map(|pace| pace.step_s),
            tokens_per_step: (steps > 0).then(|| tokens / steps as f64),
            clock: if told_by_lines { Clock::Lines } else { Clock::Arrival },
            marks,
            pauses: pace.map_or_else(Vec::new, |pace| {
                pace.pauses.into_iter().map(|(after_step, seconds)| Pause { after_step, seconds }).collect()
            }),
            recognised_as: format!("steps, told by the program itself: '{}'", self.shown),
        })
    }

    fn start_step(&self) -> u64 {
        match (self.start, self.first, self.second) {
            (Some(start), _, _) => start,
            (None, Some(first), Some(second)) => first.saturating_sub(second - first),
            (None, Some(first), None) => first.saturating_sub(1),
            (None, None, _) => 0,
        }
    }

    fn end_line(&mut self, at_s: f64) {
        let line = std::mem::take(&mut self.line);
        let too_long = std::mem::take(&mut self.too_long);
        let text = std::str::from_utf8(&line).ok().filter(|_| !too_long);
        if text.is_some_and(|text| text.trim().is_empty()) {
            return;
        }
        let Some((text, line)) = text.and_then(|text| Some((text, parse(text)?))) else {
            if self.not_understood.lines == 0 {
                let shown: String = String::from_utf8_lossy(&line).chars().take(SHOWN).collect();
                self.not_understood.first = shown.escape_debug().to_string();
            }
            self.not_understood.lines += 1;
            return;
        };
        let at_s = line.at_s.map_or(at_s, |own_s| self.same_clock(own_s, at_s));
        if line.starts {
            // The first one to say so: another process may begin later.
            if self.start.is_none() && self.first.is_none() {
                self.start = Some(line.count);
                self.done = line.count;
                self.total = line.total;
                self.mark(at_s);
            }
            return;
        }
        if self.first.is_some() && line.count <= self.done {
            return;
        }
        let before = self.first.map(|_| self.done).or(self.start);
        match (self.first, self.second) {
            (None, _) => self.first = Some(line.count),
            (Some(_), None) => self.second = Some(line.count),
            _ => {}
        }
        if let Some(tokens) = line.tokens {
            self.tokens.0 += tokens as f64;
            let steps = before.map_or(1, |before| line.count.saturating_sub(before).max(1));
            self.tokens.1 = self.tokens.1.saturating_add(steps);
        }
        self.done = line.count;
        self.total = line.total.or(self.total);
        // The time would tell a reader nothing.
        text.split(" at ").next().unwrap_or(text).trim().clone_into(&mut self.shown);
        self.mark(at_s);
    }

    /// A moment of the program's clock by that of arrivals.
    fn same_clock(&mut self, own_s: f64, arrived_s: f64) -> f64 {
        let behind_s = self.behind_s.filter(|behind_s| (own_s + behind_s - arrived_s).abs() < SAME_CLOCK_S);
        let behind_s = behind_s.unwrap_or(arrived_s - own_s);
        self.behind_s = Some(behind_s);
        own_s + behind_s
    }

    fn mark(&mut self, at_s: f64) {
        let at_s = self.last.map_or(at_s, |last| at_s.max(last.at_s));
        let mark = Mark { step: self.done, at_s };
        // Lines that came together: the last of them came when they did.
        if let (Some(last), Some(kept)) = (self.last, self.marks.last_mut())
            && last.at_s == at_s
        {
            if kept.at_s == at_s {
                *kept = mark;
            }
            self.last = Some(mark);
            return;
        }
        self.last = Some(mark);
        self.skipped += 1;
        if self.skipped >= self.stride {
            self.skipped = 0;
            self.marks.push(mark);
            if self.marks.len() >= MARKS {
                halve(&mut self.marks);
                self.stride = self.stride.max(1) * 2;
            }
        }
    }
}

/// `step N`, with `of N`, `tokens N` and `at S` behind it in any order, or `start N` with `of N` and `at S`.
fn parse(text: &str) -> Option<Line> {
    let number =
        |word: &str| word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse::<u64>().ok()).flatten();
    let seconds = |word: &str| {
        let decimal = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        decimal.then(|| word.parse::<f64>().ok()).flatten().filter(|seconds| seconds.is_finite())
    };
    let mut words = text.split_ascii_whitespace();
    let starts = match words.next()? {
        "step" => false,
        "start" => true,
        _ => return None,
    };
    let mut line = Line { starts, count: number(words.next()?)?, total: None, tokens: None, at_s: None };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word {
            "of" if line.total.is_none() => line.total = Some(number(value).filter(|total| *total > 0)?),
            "tokens" if line.tokens.is_none() && !starts => line.tokens = Some(number(value)?),
            "at" if line.at_s.is_none() => line.at_s = Some(seconds(value)?),
            _ => return None,
        }
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[(&str, f64)]) -> Told {
        let mut told = Told::default();
        for (line, at_s) in lines {
            told.push(line.as_bytes(), *at_s);
        }
        told
    }

    #[test]
    fn a_line_says_a_count_and_what_stands_behind_it() {
        let line = |starts, count, total, tokens| Some(Line { starts, count, total, tokens, at_s: None });
        let at = |at_s, line: Option<Line>| line.map(|line| Line { at_s: Some(at_s), ..line });
        for (text, expected) in [
            ("step 120 of 5000 tokens 8192", line(false, 120, Some(5000), Some(8192))),
            ("step 120 tokens 8192 of 5000", line(false, 120, Some(5000), Some(8192))),
            ("step 7", line(false, 7, None, None)),
            ("  step\t7 tokens 0\r", line(false, 7, None, Some(0))),
            ("start 0 of 10", line(true, 0, Some(10), None)),
            ("step 7 at 12.5 of 9", at(12.5, line(false, 7, Some(9), None))),
            ("start 0 at 1", at(1.0, line(true, 0, None, None))),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in [
            "step",
            "step -1",
            "step +1",
            "step 1.5",
            "step 1,000",
            "steps 1",
            "Step 1",
            "step 1 of",
            "step 1 of 0",
            "step 1 of 2 of 3",
            "step 1 loss 2",
            "start 1 tokens 5",
            "1",
            "step 99999999999999999999",
            "step 1 of 5 tokens",
            "step 1 at -1",
            "step 1 at inf",
            "step 1 at 1e3",
            "step 1 at .",
            "step 1 at 1 at 1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_run_that_goes_on_is_as_far_as_its_last_line_says() {
        let told = told(&[
            ("start 3000 of 5000\n", 10.0),
            ("step 3001 of 5000 tokens 100\nst", 12.0),
            ("ep 3002 tokens 300\n", 14.0),
            ("step 3004 tokens 400 at 9.5\n", 18.0),
        ]);
        let progress = told.progress(None).expect("steps were told");
        assert_eq!((progress.start_step, progress.steps_done, progress.steps_total), (3000, 3004, Some(5000)));
        let marks: Vec<(u64, f64)> = progress.marks.iter().map(|mark| (mark.step, mark.at_s)).collect();
        assert_eq!(marks, [(3000, 10.0), (3001, 12.0), (3002, 14.0), (3004, 18.0)]);
        // 800 tokens of four steps, and eight seconds.
        assert_eq!((progress.tokens_per_step, progress.step_s), (Some(200.0), Some(2.0)));
        assert_eq!(progress.recognised_as, "steps, told by the program itself: 'step 3004 tokens 400'");
        assert_eq!(told.progress(Some(9000)).expect("told").steps_total, Some(9000));
        assert_eq!(told.not_understood(), None);
    }

    #[test]
    fn the_clock_of_the_lines_goes_before_their_arrival_unless_it_is_another_one() {
        let mut told = told(&[
            ("start 0 at 100.0\nstep 1 at 100.25\n", 5.0),
            ("step 2 at 100.5\nstep 3 at 100.75\n", 6.0),
            // It began again at 0, and then went back by less.
            ("step 4 at 0.5\n", 7.0),
            ("step 5 at 0.25\n", 7.5),
        ]);
        let marks = |told: &Told| -> Vec<(u64, f64)> {
            told.progress(None).expect("told").marks.iter().map(|mark| (mark.step, mark.at_s)).collect()
        };
        // The last two are at one moment, and that is one mark.
        assert_eq!(marks(&told), [(0, 5.0), (1, 5.25), (2, 5.5), (3, 5.75), (5, 7.0)]);
        assert_eq!(told.progress(None).expect("told").clock, Clock::Lines);
        told.push(b"step 6\n", 8.0);
        assert_eq!(marks(&told).last(), Some(&(6, 8.0)));
    }

    #[test]
    fn where_a_run_began_that_does_not_say_so_is_one_interval_before_its_first_line() {
        for (lines, start) in
            [("step 1\n", 0), ("step 1\nstep 2\n", 0), ("step 100\nstep 200\n", 0), ("step 3100\nstep 3200\n", 3000)]
        {
            assert_eq!(told(&[(lines, 1.0)]).progress(None).expect("told").start_step, start, "{lines:?}");
        }
    }

    #[test]
    fn of_several_processes_that_tell_the_same_step_the_first_counts() {
        let lines: Vec<(String, f64)> = (0..40_u32)
            .map(|i| (format!("step {} of 10 tokens 5\n", i / 4 + 1 - u32::from(i > 4 && i % 4 == 1)), f64::from(i)))
            .collect();
        let mut told = Told::default();
        lines.iter().for_each(|(line, at_s)| told.push(line.as_bytes(), *at_s));
        let progress = told.progress(None).expect("told");
        assert_eq!(progress.marks.len(), 10);
        assert_eq!((progress.marks[3], progress.tokens_per_step), (Mark { step: 4, at_s: 12.0 }, Some(5.0)));
    }

    #[test]
    fn nothing_is_told_before_a_step_is() {
        assert_eq!(Told::default().progress(None), None);
        let begun = told(&[("start 0 of 10\n", 1.0), ("step 1", 2.0)]);
        assert_eq!((begun.progress(None), begun.steps_done()), (None, None));
        let longer = told(&[("step 11 of 10\n", 1.0)]);
        assert_eq!(longer.progress(None).expect("told").steps_total, Some(11));
    }

    #[test]
    fn what_is_not_understood_is_counted_with_its_beginning_and_takes_bounded_memory() {
        let mut told = told(&[("hello\tthere\nstep 1\n\n \r\nstep two\n", 1.0)]);
        let not = NotUnderstood { lines: 2, first: "hello\\tthere".to_owned() };
        assert_eq!((told.not_understood(), told.steps_done()), (Some(&not), Some(1)));
        told.push(&vec![b'7'; 1 << 20], 2.0);
        assert!(told.line.capacity() <= 2 * LONGEST, "{}", told.line.capacity());
        told.push(b"\nstep 2\n\xff\xfe\n", 3.0);
        assert_eq!((told.not_understood().expect("some").lines, told.steps_done()), (4, Some(2)));
    }

    #[test]
    fn any_bytes_are_taken_and_how_they_are_split_changes_nothing() {
        let words: [&[u8]; 16] = [
            b"step ",
            b"start ",
            b" of ",
            b" tokens ",
            b" at ",
            b"0",
            b"7",
            b"18446744073709551615",
            b"99999999999999999999",
            b"\n",
            b"\nstep ",
            b"\r\n",
            b"\xff",
            b".5",
            b"-",
            b"\nstep 0 tokens 1\nstep 18446744073709551615 tokens 18446744073709551615\n",
        ];
        let mut seed = 7u64;
        let (mut whole, mut split) = (Told::default(), Told::default());
        for at in 0..30_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let word = words[(seed >> 60) as usize];
            whole.push(word, f64::from(at));
            word.chunks(1).for_each(|byte| split.push(byte, f64::from(at)));
            if at % 1000 == 0 {
                assert_eq!(whole.progress(None), split.progress(None));
                // Each piece of luck ends where the largest number is reached.
                (whole, split) = (Told::default(), Told::default());
            }
        }
        assert_eq!(whole.not_understood(), split.not_understood());
    }

    #[test]
    fn marks_of_a_long_run_are_few_and_the_last_is_among_them() {
        let mut told = Told::default();
        for step in 1..=100_000_u32 {
            told.push(format!("step {step} of 100000\n").as_bytes(), 0.5 * f64::from(step));
        }
        let progress = told.progress(None).expect("told");
        assert!((200..=MARKS).contains(&progress.marks.len()), "{}", progress.marks.len());
        assert_eq!(progress.marks.last(), Some(&Mark { step: 100_000, at_s: 50_000.0 }));
        assert!((progress.step_s.expect("a pace") - 0.5).abs() < 1e-9);
    }
}
