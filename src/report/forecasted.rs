//! A run that was forecast while it ran: for people and for files.

use serde::{Serialize, Serializer};

use crate::estimate::{Account, Footprint, Quantity};
use crate::progress::Clock;
use crate::record::reaches_the_end;
use crate::report::numbers::{human_hours, interval, significant};
use crate::report::table::wrapped;
use crate::stats::Interval;
use crate::track::{RunForecast, Said};
use crate::units::JOULES_PER_KWH;

/// What is understood of a program's output, for one whose progress was not recognised.
pub const UNDERSTOOD: &str = "understood are bars (`120/1000 [00:50<06:10, 2.40it/s]`), lines with a named counter (`step 120`, \
    `iter: 120/1000`, `Epoch 2 [40/500]`, `{'step': 120, ...}`), with a time (`412 ms`, `time/iter: 0.41`) or without; for others give \
    `--step-pattern 'REGEX'`, whose first group is the step, or let the program tell its steps: `greenformers.Steps` or a callback of \
    `greenformers.integrations` in Python, a line `step 120 of 1000` to the descriptor in GREENFORMERS_STEPS_FD elsewhere";

/// A forecast, and what the whole run comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastOfRun {
    /// What was seen and forecast.
    pub run: RunForecast,
    /// What the whole comes to, where its length is known.
    pub whole: Option<Footprint<Interval>>,
    /// Forecasts on the way.
    pub said: Vec<Said>,
    /// Whether the run was ended when enough was seen.
    pub stopped: bool,
    /// Seconds that the command ran.
    pub duration_s: f64,
    /// Tokens of a step, if they were given.
    pub tokens_per_step: Option<f64>,
}

impl Serialize for ForecastOfRun {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pause {
            after_step: u64,
            every_steps: Option<f64>,
            seconds: f64,
            seen: usize,
        }
        #[derive(Serialize)]
        struct Flat<'a> {
            unit: &'a str,
            recognised_as: &'a str,
            clock: &'static str,
            start_step: u64,
            steps_done: u64,
            steps_total: Option<u64>,
            step_s: Option<Interval>,
            tokens_per_step: Option<f64>,
            tokens_per_s: Option<Interval>,
            warm_up_steps: Option<u64>,
            warm_up_s: Option<f64>,
            pauses: Vec<Pause>,
            drifts: Option<bool>,
            whole_s: Option<Interval>,
            remaining_s: Option<Interval>,
            whole: Option<Whole<'a>>,
            said: &'a [Said],
            stopped: bool,
        }
        struct Whole<'a>(&'a Footprint<Interval>);
        impl Serialize for Whole<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                for quantity in Quantity::ALL {
                    map.serialize_entry(quantity.key(), &self.0.of(quantity))?;
                }
                map.end()
            }
        }
        let progress = &self.run.progress;
        let steps = self.run.steps.as_ref();
        let pauses = steps.map_or(&[][..], |s| &s.pauses).iter();
        let flat = Flat {
            unit: &progress.unit,
            recognised_as: &progress.recognised_as,
            clock: clock(progress.clock),
            start_step: progress.start_step,
            steps_done: progress.steps_done,
            steps_total: progress.steps_total,
            step_s: self.step_s(),
            tokens_per_step: self.tokens_per_step,
            tokens_per_s: self.tokens_per_s(),
            warm_up_steps: steps.map(|s| s.warm_up_steps),
            warm_up_s: steps.map(|s| s.warm_up_s),
            pauses: pauses
                .map(|p| Pause {
                    after_step: p.after_step,
                    every_steps: p.every_steps,
                    seconds: p.seconds,
                    seen: p.seen,
                })
                .collect(),
            drifts: steps.map(|s| s.drifts),
            whole_s: self.run.whole_s,
            remaining_s: self.remaining_s(),
            whole: self.whole.as_ref().map(Whole),
            said: &self.said,
            stopped: self.stopped,
        };
        flat.serialize(serializer)
    }
}

fn clock(clock: Clock) -> &'static str {
    match clock {
        Clock::Lines => "lines",
        Clock::Elapsed => "elapsed",
        Clock::Arrival => "arrival",
    }
}

impl ForecastOfRun {
    /// Seconds a step: by the marks, or as the program itself tells it, which is a point.
    #[must_use]
    pub fn step_s(&self) -> Option<Interval> {
        let told = self.run.progress.step_s;
        let by_marks = self.run.steps.as_ref().map(|steps| steps.step_s);
        match (by_marks, told) {
            // The program's own figure is finer than the times of its lines.
            (Some(marks), Some(told)) if marks.contains(told) => Some(Interval { mid: told, ..marks }),
            (Some(marks), None) => Some(marks),
            (_, Some(told)) => Some(Interval::point(told)),
            (None, None) => None,
        }
    }

    fn tokens_per_s(&self) -> Option<Interval> {
        let (tokens, step_s) = (self.tokens_per_step?, self.step_s()?);
        Some(Interval { mid: tokens / step_s.mid, low: tokens / step_s.high, high: tokens / step_s.low })
    }

    fn remaining_s(&self) -> Option<Interval> {
        let whole = self.run.whole_s?;
        let left = |whole_s: f64| (whole_s - self.duration_s).max(0.0);
        Some(Interval { mid: left(whole.mid), low: left(whole.low), high: left(whole.high) })
    }

    /// One line of what is known so far, and what is to come.
    #[must_use]
    pub fn line(&self) -> String {
        let progress = &self.run.progress;
        let plural = if progress.steps_total == Some(1) { "" } else { "s" };
        let mut text = match progress.steps_total {
            Some(total) => format!("forecast: {} of {total} {}{plural}", progress.steps_done, progress.unit),
            None => format!("forecast: {} {}s", progress.steps_done, progress.unit),
        };
        if let Some(step_s) = self.step_s() {
            text.push_str(&format!(", {} s each", interval(step_s)));
        }
        let Some(left) = self.remaining_s() else {
            return text + "; how many there are is not known (`--total-steps N`)";
        };
        text.push_str(&format!("; {} left", human_hours(hours(left))));
        text + &self.totals()
    }

    fn totals(&self) -> String {
        let Some(whole) = &self.whole else { return String::new() };
        let mut parts = vec![human_hours(whole.of(Quantity::Wall).unwrap_or(Interval::point(f64::NAN)))];
        let units = [(Quantity::FacilityEnergy, "kWh"), (Quantity::Operational, "kgCO2e"), (Quantity::Cost, "USD")];
        parts.extend(units.iter().filter_map(|(q, unit)| Some(format!("{} {unit}", interval(whole.of(*q)?)))));
        format!("; in all {}", parts.join(", "))
    }

    /// The forecast for people, in lines of at most `width`.
    #[must_use]
    pub fn text(&self, width: usize) -> String {
        let mut text = wrapped(&self.line(), width, "  ");
        text.push_str(&wrapped(&format!("  read: {}", self.run.progress.recognised_as), width, "  "));
        if let Some(steps) = &self.run.steps {
            if steps.warm_up_steps > 0 {
                let warm_up = format!(
                    "  warm-up: the first {} took {} s longer, and count in the total alone",
                    steps.warm_up_steps,
                    significant(steps.warm_up_s)
                );
                text.push_str(&wrapped(&warm_up, width, "  "));
            }
            for pause in &steps.pauses {
                let rhythm = match pause.every_steps {
                    Some(every) => format!("every {} steps", significant(every)),
                    None => format!("after step {}, once so far", pause.after_step),
                };
                text.push_str(&wrapped(&format!("  pause: {} s {rhythm}", significant(pause.seconds)), width, "  "));
            }
        }
        let progress = &self.run.progress;
        let unfinished = progress.steps_total.filter(|total| !reaches_the_end(progress.steps_done, *total));
        if let Some(total) = unfinished.filter(|_| !self.stopped && !self.said.is_empty()) {
            let ended = format!(
                "  it ended after {} of {total} {}s: no forecast is held against that",
                progress.steps_done, progress.unit
            );
            text.push_str(&wrapped(&ended, width, "  "));
        }
        if !self.stopped && unfinished.is_none() {
            for said in &self.said {
                let took = hours(Interval::point(self.duration_s));
                let inside = if said.whole_s.contains(self.duration_s) { "inside" } else { "outside" };
                let held = format!(
                    "  after {} the forecast was {} in all; it took {}: {inside}",
                    human_hours(hours(Interval::point(said.at_s))),
                    human_hours(hours(said.whole_s)),
                    human_hours(took)
                );
                text.push_str(&wrapped(&held, width, "  "));
            }
        }
        text
    }
}

/// What a run has taken so far, and what the whole will take, as numbers that a logger of the program can plot: one JSON object. A number
/// that is not known is left out.
#[must_use]
pub fn live_values(so_far: &Account, forecast: Option<&ForecastOfRun>) -> String {
    const G_PER_KG: f64 = 1000.0;
    let whole = forecast.and_then(|forecast| forecast.whole.as_ref());
    let of = |footprint: Option<&Footprint<Interval>>, quantity| footprint?.of(quantity).map(|interval| interval.mid);
    let so_far = |quantity| of(Some(&so_far.footprint), quantity);
    let in_all = |quantity| of(whole, quantity);
    let values = [
        ("energy_j", so_far(Quantity::ItEnergy).map(|kwh| kwh * JOULES_PER_KWH)),
        ("co2e_g", so_far(Quantity::Operational).map(|kg| kg * G_PER_KG)),
        ("cost_usd", so_far(Quantity::Cost)),
        ("forecast_s", forecast.and_then(|forecast| forecast.run.whole_s).map(|whole| whole.mid)),
        ("forecast_kwh", in_all(Quantity::FacilityEnergy)),
        ("forecast_kgco2e", in_all(Quantity::Operational)),
        ("forecast_usd", in_all(Quantity::Cost)),
    ];
    let known = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    serde_json::Value::Object(known.collect()).to_string()
}

fn hours(seconds: Interval) -> Interval {
    seconds.scaled(1.0 / 3600.0)
}
