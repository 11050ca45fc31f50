//! Output of programs in small, one test for each form.

mod bars;
mod lines;
mod traps;

use super::{Hints, Progress, Reader};

/// Output with times.
#[derive(Default)]
struct Output {
    parts: Vec<(f64, String)>,
    now_s: f64,
}

impl Output {
    fn line(&mut self, text: &str) -> &mut Self {
        self.parts.push((self.now_s, format!("{text}\n")));
        self
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.parts.push((self.now_s, text.to_owned()));
        self
    }

    fn wait(&mut self, seconds: f64) -> &mut Self {
        self.now_s += seconds;
        self
    }

    /// A line for each step of a range, so many seconds apart.
    fn each(
        &mut self,
        steps: impl IntoIterator<Item = u64>,
        every_s: f64,
        text: impl Fn(u64, f64) -> String,
    ) -> &mut Self {
        for step in steps {
            self.now_s += every_s;
            let text = text(step, self.now_s);
            self.line(&text);
        }
        self
    }

    fn read(&self) -> Option<Progress> {
        let mut reader = Reader::new(Hints::default());
        for (at_s, text) in &self.parts {
            reader.push(text.as_bytes(), *at_s);
        }
        reader.finish();
        reader.progress()
    }

    /// Start, done and total, and the pace within three in a hundred.
    #[track_caller]
    fn reads(&self, start: u64, done: u64, total: Option<u64>, step_s: f64) {
        let got = self.read().expect("something is read");
        let brief = (got.start_step, got.steps_done, got.steps_total);
        assert!(
            got.start_step.abs_diff(start) <= 1 && got.steps_done.abs_diff(done) <= 1 && got.steps_total == total,
            "{brief:?} instead of {:?}: {}",
            (start, done, total),
            got.recognised_as
        );
        let pace = got.step_s.expect("a pace is read");
        assert!((pace / step_s - 1.0).abs() < 0.03, "{pace} instead of {step_s}: {}", got.recognised_as);
    }

    #[track_caller]
    fn reads_nothing(&self) {
        let got = self.read();
        assert!(got.is_none(), "{got:?}");
    }
}

fn out() -> Output {
    Output::default()
}

/// `mm:ss` or `h:mm:ss`, as bars write it.
fn clock(s: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Seconds of a test.")]
    let s = s as u64;
    if s < 3600 {
        format!("{:02}:{:02}", s / 60, s % 60)
    } else {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }
}

fn bar(name: &str, n: u64, total: u64, s: f64, step_s: f64) -> String {
    let rate = if step_s > 1.0 { format!("{step_s:.2}s/it") } else { format!("{:.2}it/s", 1.0 / step_s) };
    let left = (total - n) as f64 * step_s;
    format!("\r{name}{:3}%|█▌  | {n}/{total} [{}<{}, {rate}]", n * 100 / total, clock(s), clock(left))
}

fn day(s: f64) -> String {
    format!("2024-05-01 {:0>8}", clock(s + 36000.0))
}
