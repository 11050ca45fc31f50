//! Progress on stderr: a bar on a terminal, a line a cell elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use greenformers::measure::{Observer, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::common::is_ascii_locale;

/// A bar of a width that shows progress on a terminal of any, with `facts` behind it; none where stderr is no terminal.
fn drawn(quiet: bool, length: Option<u64>, facts: &str) -> Option<ProgressBar> {
    if quiet || !std::io::stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template(&format!("{{bar:20.cyan/black}} {facts}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars(if is_ascii_locale() { "=> " } else { "█▉▊▋▌▍▎▏ " });
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr()).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(250));
    Some(bar)
}

/// Things done of a number that is known: a bar on a terminal, one line elsewhere.
pub(super) struct Counter {
    drawn: Option<ProgressBar>,
    quiet: bool,
    doing: &'static str,
}

impl Counter {
    pub(super) fn new(quiet: bool, doing: &'static str) -> Self {
        let drawn = drawn(quiet, None, "{pos} of {len} {msg}, {elapsed_precise}, about {eta_precise} left");
        Self { drawn: drawn.map(|bar| bar.with_message(doing)), quiet, doing }
    }

    pub(super) fn set(&self, done: usize, of: usize) {
        match &self.drawn {
            Some(bar) if done == of => bar.finish_and_clear(),
            Some(bar) => {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            }
            None if done == 0 && !self.quiet => super::say(format_args!("{}: {of} in all", self.doing)),
            None => {}
        }
    }
}

pub(super) struct Bar {
    drawn: Option<ProgressBar>,
    quiet: bool,
    said: Vec<String>,
}

impl Bar {
    pub(super) fn new(quiet: bool) -> Self {
        let bar = drawn(quiet, Some(1000), "{elapsed_precise}{wide_msg}");
        Self { drawn: bar, quiet, said: Vec::new() }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.drawn {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Bar {
    fn progress(&mut self, p: &Progress) {
        let (done, of) = p.seconds;
        if let Some(bar) = &self.drawn {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousandths")]
            bar.set_position((1000.0 * done / of.max(1e-9)) as u64);
            // What a narrow terminal cuts off stands last.
            bar.set_message(format!(
                ", at most {:.0} s left: cell {} of {}, {} {} (step {})",
                (of - done).max(0.0),
                p.cells.0 + 1,
                p.cells.1,
                p.doing,
                p.cell,
                p.steps
            ));
        } else if !self.quiet {
            let line = format!("{} {}", p.doing, p.cell);
            if !self.said.contains(&line) {
                super::say(&line);
                self.said.push(line);
            }
        }
    }
}
