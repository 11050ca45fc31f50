//! Progress on stderr: a bar on a terminal, a line a cell elsewhere.

use std::io::IsTerminal;

use greenformers::measure::{Observer, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Things done of a number that is known: a bar on a terminal, one line elsewhere.
pub(super) struct Counter {
    drawn: Option<ProgressBar>,
    quiet: bool,
    doing: &'static str,
}

impl Counter {
    pub(super) fn new(quiet: bool, doing: &'static str) -> Self {
        let drawn = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{wide_bar:.cyan/black} {msg} {pos} of {len}  {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style).with_message(doing)
        });
        Self { drawn, quiet, doing }
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
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{wide_bar:.cyan/black} {msg}  {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr()).with_style(style);
            bar.enable_steady_tick(std::time::Duration::from_millis(250));
            bar
        });
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
            bar.set_message(format!(
                "{} {} (step {}, cell {} of {}), at most {:.0} s left to measure",
                p.doing,
                p.cell,
                p.steps,
                p.cells.0 + 1,
                p.cells.1,
                (of - done).max(0.0)
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
