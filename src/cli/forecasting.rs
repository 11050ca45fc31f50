//! What watches a command that is forecast.

use std::io::IsTerminal as _;

use greenformers::estimate::{Account, Conditions, MeteredPart, account, whole_run};
use greenformers::record::Warning;
use greenformers::report::{ForecastOfRun, UNDERSTOOD, live_values};
use greenformers::sensor::MeterFacts;
use greenformers::stats::with_gain;
use greenformers::track::{Forecaster, Look, STEPS_FD, Tracked, TrainerStates, Watcher};
use greenformers::units::Seconds;

/// Seconds between two forecasts while the command runs.
const BETWEEN_FORECASTS_S: f64 = 1.0;

/// What watches the command.
pub(super) struct Forecasting {
    forecaster: Forecaster,
    /// What a Trainer leaves beside its checkpoints.
    states: Option<TrainerStates>,
    /// Known once the command's options are looked at.
    conditions: Option<Conditions>,
    seed: u64,
    share: f64,
    quiet: bool,
    tokens_per_step: Option<f64>,
    as_terminal: bool,
    stopped: bool,
    looked_s: f64,
}

impl Forecasting {
    /// Watches for `forecaster`; `as_terminal` shows the command a terminal where there is none.
    pub(super) fn new(
        forecaster: Forecaster,
        states: Option<TrainerStates>,
        tokens_per_step: Option<f64>,
        (as_terminal, quiet): (bool, bool),
    ) -> Self {
        Self {
            forecaster,
            states,
            conditions: None,
            seed: 0,
            share: 1.0,
            quiet,
            tokens_per_step,
            as_terminal,
            stopped: false,
            looked_s: 0.0,
        }
    }

    /// Watches from now on, under these conditions.
    pub(super) fn under(self, conditions: &Conditions, share: f64, seed: u64) -> Self {
        Self { conditions: Some(conditions.clone()), share, seed, ..self }
    }

    /// Looks for states that were written, so many seconds after the command began.
    fn read_states(&mut self, at_s: f64) {
        for state in self.states.iter_mut().flat_map(|states| states.new_ones(at_s)) {
            self.forecaster.stated(state);
        }
    }

    fn of_run(&mut self, at_s: f64, account: &Account) -> Option<ForecastOfRun> {
        let run = self.forecaster.forecast(at_s)?;
        let tokens_per_step = self.tokens_per_step.or(run.progress.tokens_per_step);
        Some(ForecastOfRun {
            whole: run.whole_s.map(|whole_s| whole_run(account, Seconds(at_s), whole_s)),
            run,
            said: self.forecaster.said().to_vec(),
            stopped: self.stopped,
            duration_s: at_s,
            tokens_per_step,
        })
    }

    /// What it comes to in the end.
    pub(super) fn finish(&mut self, tracked: &Tracked, account: &Account) -> Option<ForecastOfRun> {
        self.forecaster.finish();
        self.read_states(tracked.duration_s);
        self.of_run(tracked.duration_s, account)
    }

    /// Whether the command is to see a terminal.
    pub(super) fn as_terminal(&self) -> bool {
        self.as_terminal
    }

    /// Whether the command was ended because enough was seen.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// What has to be said of lines that were told and not understood.
    pub(super) fn warning(&self) -> Option<Warning> {
        let not = self.forecaster.not_understood()?;
        let lines = if not.lines == 1 { "a line" } else { "lines" };
        Some(Warning::new(
            format!(
                "{} {lines} that the program told by `{STEPS_FD}` were not understood, first `{}`",
                not.lines, not.first
            ),
            "they are left out of the forecast",
            "a line is `step N`, with `of N`, `tokens N` and `at SECONDS` behind it, or `start N`",
        ))
    }

    /// Why there is no forecast.
    pub(super) fn nothing(&self) -> String {
        match self.forecaster.pattern_matches() {
            Some(0) => "no forecast: the pattern of `--step-pattern` matched no line of the output".to_owned(),
            Some(n) => format!("no forecast: the pattern of `--step-pattern` matched {n} times, and no step rose"),
            None => {
                let terminal = if self.as_terminal || std::io::stdout().is_terminal() {
                    ""
                } else {
                    "; some programs draw their bars on a terminal alone: `--as-terminal` gives them one"
                };
                let (states, hint) = match &self.states {
                    Some(states) => {
                        (format!(", and no `trainer_state.json` was written below `{}`", states.folder().display()), "")
                    }
                    None => (
                        String::new(),
                        "; a Trainer that prints nothing is read by its checkpoints: `--trainer-state FOLDER`",
                    ),
                };
                format!(
                    "no forecast: nothing of the output was recognised as the progress of a training{states}\nhint: {UNDERSTOOD}{hint}{terminal}"
                )
            }
        }
    }
}

impl Watcher for Forecasting {
    fn printed(&mut self, bytes: &[u8], at_s: f64) {
        self.forecaster.printed(bytes, at_s);
    }

    fn told(&mut self, bytes: &[u8], at_s: f64) {
        self.forecaster.told(bytes, at_s);
    }

    fn look(&mut self, at_s: f64, meters: &[MeterFacts]) -> Look {
        self.stopped = self.stopped || self.forecaster.is_enough(at_s);
        let stop = self.stopped;
        if at_s - self.looked_s < BETWEEN_FORECASTS_S {
            return Look { stop, ..Look::default() };
        }
        self.looked_s = at_s;
        self.read_states(at_s);
        let part = |meter: &MeterFacts| {
            let joules = meter.energy_j.filter(|j| *j > 0.0)?;
            Some(MeteredPart {
                energy_j: with_gain(joules, 0.0, meter.info.gain_uncertainty),
                coverage: meter.info.coverage,
            })
        };
        let parts: Vec<MeteredPart> = meters.iter().filter_map(part).collect();
        let Some(conditions) = &self.conditions else { return Look { stop, ..Look::default() } };
        let so_far = account(&parts, Seconds(at_s), self.share, conditions, self.seed);
        let forecast = self.of_run(at_s, &so_far);
        let values = live_values(&so_far, forecast.as_ref());
        let line = forecast.filter(|_| !self.quiet).map(|forecast| forecast.line());
        Look { line, live: Some(values), stop }
    }
}
