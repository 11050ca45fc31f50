//! Progress on stderr: a bar on a terminal, a line a cell elsewhere.

use std::io::IsTerminal;

use greenformers::measure::{Observer, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
