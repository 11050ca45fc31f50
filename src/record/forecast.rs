//! A run that was forecast while it ran, as `forecast -o` writes it, and what is read of it again.

use std::path::Path;

use serde::Deserialize;

use super::RecordError;
use super::file::invalid_json;
use crate::files::read_text;
use crate::stats::Interval;

/// No longer account of a command is read.
pub const MAX_ACCOUNT_BYTES: u64 = 16 << 20;

/// A run that was forecast, whose length is known.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastRecord {
    /// The command, as it was typed.
    pub command: String,
    /// When it began, with the zone.
    pub started: String,
    /// Seconds that it ran.
    pub duration_s: f64,
    /// Where it ran.
    pub host: String,
    /// What processed it.
    pub cpu: String,
    /// Parts of the machine, with what they used while it ran.
    pub parts: Vec<ForecastPart>,
    /// By what its progress was read.
    pub recognised_as: String,
    /// What it calls a step.
    pub unit: String,
    /// The step that it began at.
    pub start_step: u64,
    /// The last step that was seen.
    pub steps_done: u64,
    /// The last step of the whole run.
    pub steps_total: u64,
    /// Tokens in a step, where they are known.
    pub tokens_per_step: Option<f64>,
    /// Steps of the warm-up, and the seconds that they took longer than others.
    pub warm_up: Option<(u64, f64)>,
    /// Pauses that recur.
    pub pauses: Vec<Pause>,
    /// Seconds of the whole run.
    pub whole_s: Interval,
    /// Kilowatt-hours of the machine at the wall in the whole run, where they are known.
    pub whole_it_energy_kwh: Option<Interval>,
    /// Forecasts on the way.
    pub said: Vec<SaidBefore>,
    /// Whether it was ended because enough was seen.
    pub stopped: bool,
}

/// A part of the machine on which a run was forecast.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ForecastPart {
    /// `cpu`, `memory`, `gpu 0`.
    pub device: String,
    /// `cpu`, `memory` or `gpu`.
    pub kind: String,
    /// Its name for people.
    pub name: String,
    /// Joules while it was watched.
    pub energy_j: Option<Interval>,
    /// Mean watts.
    pub power_w: Option<Interval>,
    /// Where the joules come from.
    pub source: Option<String>,
}

/// A pause of a run between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Pause {
    /// The step after which it was seen first.
    pub after_step: u64,
    /// Steps between two such pauses, where there were several.
    pub every_steps: Option<f64>,
    /// How long it takes.
    pub seconds: f64,
}

/// What was forecast on the way.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct SaidBefore {
    /// Seconds since the start.
    pub at_s: f64,
    /// Steps that were done.
    pub steps_done: u64,
    /// Seconds of the whole run, as it was forecast.
    pub whole_s: Interval,
}

#[derive(Deserialize)]
struct Written {
    command: Vec<String>,
    started: String,
    duration_s: f64,
    machine: Machine,
    #[serde(default)]
    lines: Vec<ForecastPart>,
    forecast: Option<Forecast>,
}

#[derive(Deserialize)]
struct Machine {
    host: String,
    cpu: String,
}

#[derive(Deserialize)]
struct Forecast {
    #[serde(default)]
    recognised_as: String,
    #[serde(default)]
    unit: String,
    start_step: u64,
    #[serde(default)]
    steps_done: u64,
    steps_total: Option<u64>,
    tokens_per_step: Option<f64>,
    warm_up_steps: Option<u64>,
    warm_up_s: Option<f64>,
    #[serde(default)]
    pauses: Vec<Pause>,
    whole_s: Option<Interval>,
    whole: Option<Whole>,
    #[serde(default)]
    said: Vec<SaidBefore>,
    #[serde(default)]
    stopped: bool,
}

#[derive(Deserialize)]
struct Whole {
    it_energy_kwh: Option<Interval>,
}

/// Whether a run of which so many steps were seen has come to its end: bars leave out the last ones.
#[must_use]
pub fn reaches_the_end(steps_done: u64, steps_total: u64) -> bool {
    const FINISHED: f64 = 0.98;
    steps_done as f64 >= FINISHED * steps_total as f64
}

impl ForecastRecord {
    /// Reads the account of a command that `forecast` has written.
    ///
    /// # Errors
    /// If it cannot be read, is the account of a command that was not forecast, or does not say how long the whole run is.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        Self::parse(path, &read_text(path, MAX_ACCOUNT_BYTES)?)
    }

    /// Reads it from the text of `path`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecordError> {
        let written: Written = serde_json::from_str(text).map_err(|error| invalid_json(path, text, &error))?;
        let none = |why: &str| RecordError::NoForecast { path: path.to_owned(), why: why.to_owned() };
        let Some(forecast) = written.forecast else {
            return Err(none(
                "is the account of a command that was tracked, without a forecast\nhint: `greenformers forecast -o FILE -- CMD` makes one",
            ));
        };
        let (Some(steps_total), Some(whole_s)) = (forecast.steps_total, forecast.whole_s) else {
            return Err(none(
                "does not say how long the whole run is: its number of steps was not known\nhint: forecast it again with `--total-steps N`",
            ));
        };
        let known = |value: f64| value.is_finite() && value > 0.0;
        if steps_total <= forecast.start_step || !whole_s.is_valid() || whole_s.low <= 0.0 || !known(written.duration_s)
        {
            return Err(none("forecasts no step"));
        }
        if written.command.is_empty() {
            return Err(none("names no command"));
        }
        Ok(Self {
            command: written.command.join(" "),
            started: written.started,
            duration_s: written.duration_s,
            host: written.machine.host,
            cpu: written.machine.cpu,
            parts: written.lines,
            recognised_as: forecast.recognised_as,
            unit: if forecast.unit.is_empty() { "step".to_owned() } else { forecast.unit },
            start_step: forecast.start_step,
            steps_done: forecast.steps_done,
            steps_total,
            tokens_per_step: forecast.tokens_per_step.filter(|tokens| known(*tokens)),
            warm_up: forecast.warm_up_steps.filter(|steps| *steps > 0).zip(forecast.warm_up_s),
            pauses: forecast.pauses,
            whole_s,
            whole_it_energy_kwh: forecast
                .whole
                .and_then(|whole| whole.it_energy_kwh)
                .filter(|kwh| kwh.is_valid() && kwh.low > 0.0),
            said: forecast.said.into_iter().filter(|said| said.whole_s.is_valid() && said.whole_s.low > 0.0).collect(),
            stopped: forecast.stopped,
        })
    }

    /// Steps of the whole run from where it began.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps_total - self.start_step
    }

    /// Seconds of a step, with what pauses and warm-up share out to each.
    #[must_use]
    pub fn step_s(&self) -> Interval {
        self.whole_s.scaled(1.0 / self.steps() as f64)
    }

    /// Watts of the machine at the wall, where they are known. The ends of the energy have those of the time in them, so that the
    /// power is as uncertain as what remains.
    #[must_use]
    pub fn power_w(&self) -> Option<Interval> {
        let joules = self.whole_it_energy_kwh?.scaled(3.6e6);
        let whole_s = self.whole_s;
        let apart =
            |a: f64, b: f64, c: f64, d: f64| ((a / b).ln().powi(2) - (c / d).ln().powi(2)).max(0.0).sqrt().exp();
        let mid = joules.mid / whole_s.mid;
        Some(Interval {
            mid,
            low: mid / apart(joules.mid, joules.low, whole_s.mid, whole_s.low),
            high: mid * apart(joules.high, joules.mid, whole_s.high, whole_s.mid),
        })
    }

    /// Whether it ran to its last step, so that its time is known.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        !self.stopped && reaches_the_end(self.steps_done, self.steps_total)
    }

    /// Names of the GPUs that it could see and that were metered.
    #[must_use]
    pub fn gpus(&self) -> Vec<&str> {
        self.parts.iter().filter(|part| part.kind == "gpu").map(|part| part.name.as_str()).collect()
    }
}
