//! How long a program will take in all, from what it tells or prints while it runs.

use std::str::FromStr;

use super::trainer_state::TrainerState;
use crate::progress::{Hints, NotUnderstood, Progress, Reader, Told};
use crate::stats::{Interval, LoopForecast, loop_forecast};
use crate::units::{Seconds, parse_time};

/// Shares of the run at which what was forecast is kept, to be held against what it took.
const KEPT_AT: [f64; 3] = [0.1, 0.25, 0.5];

/// When enough was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StopAfter {
    /// After so long.
    Time(Seconds),
    /// After so many steps of this start.
    Steps(u64),
}

/// Neither a time nor a number of steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as `2m`, or steps such as `200steps`, got `{0}`")]
pub struct UnknownStop(String);

impl FromStr for StopAfter {
    type Err = UnknownStop;

    fn from_str(text: &str) -> Result<Self, UnknownStop> {
        let unknown = || UnknownStop(text.to_owned());
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if let Some(number) = compact.strip_suffix("steps").or(compact.strip_suffix("step")) {
            return number.parse().ok().filter(|n| *n > 0).map(Self::Steps).ok_or_else(unknown);
        }
        let time = parse_time(&compact, 1.0).map_err(|_| unknown())?;
        if time.0 > 0.0 { Ok(Self::Time(time)) } else { Err(unknown()) }
    }
}

/// What is known of the whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunForecast {
    /// How far it is.
    pub progress: Progress,
    /// Seconds since its start at which the last step was seen.
    pub reached_s: f64,
    /// What the marks say, where the number of all steps is known.
    pub steps: Option<LoopForecast>,
    /// Seconds from the start of the command to its last step.
    pub whole_s: Option<Interval>,
}

/// A forecast that was made on the way.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Said {
    /// Seconds since the start.
    pub at_s: f64,
    /// Steps that were done.
    pub steps_done: u64,
    /// Seconds from the start to the last step, as it was forecast.
    pub whole_s: Interval,
}

/// Reads a program's progress, and says how long the whole will take.
#[derive(Debug)]
pub struct Forecaster {
    reader: Reader,
    /// What the program tells by itself goes before what it prints.
    told: Told,
    /// The states that it leaves count where it does neither.
    stated: Told,
    total: Option<u64>,
    stop_after: Option<StopAfter>,
    /// Epochs to come, each as long as the total that the program prints.
    epochs: Option<u64>,
    last_step: Option<u64>,
    reached_s: f64,
    said: Vec<Said>,
}

impl Forecaster {
    /// A forecaster that knows what the user knows: `epochs` multiplies the total that the program prints.
    #[must_use]
    pub fn new(hints: Hints, epochs: Option<u64>, stop_after: Option<StopAfter>) -> Self {
        Self {
            total: hints.total(),
            reader: Reader::new(hints),
            told: Told::default(),
            stated: Told::default(),
            stop_after,
            epochs,
            last_step: None,
            reached_s: 0.0,
            said: Vec::new(),
        }
    }

    /// Takes what the program printed, so many seconds after its start.
    pub fn printed(&mut self, bytes: &[u8], at_s: f64) {
        self.reader.push(bytes, at_s);
        if self.told.steps_done().is_none() {
            self.reached(self.reader.progress().map(|progress| progress.steps_done), at_s);
        }
    }

    /// Takes what the program told of its steps, so many seconds after its start.
    pub fn told(&mut self, bytes: &[u8], at_s: f64) {
        self.told.push(bytes, at_s);
        self.reached(self.told.steps_done(), at_s);
    }

    /// Takes the state that it left beside a checkpoint.
    pub fn stated(&mut self, state: TrainerState) {
        let TrainerState { step, total, at_s } = state;
        let total = total.map_or(String::new(), |total| format!(" of {total}"));
        self.stated.push(format!("step {step}{total}\n").as_bytes(), at_s);
        if self.told.steps_done().is_none() && self.reader.progress().is_none() {
            self.reached(self.stated.steps_done(), at_s);
        }
    }

    /// What is known of its steps where it tells and prints nothing.
    fn stated_progress(&self) -> Option<Progress> {
        let progress = self.stated.progress(self.total)?;
        Some(Progress { recognised_as: "the `trainer_state.json` of each checkpoint".to_owned(), ..progress })
    }

    fn reached(&mut self, step: Option<u64>, at_s: f64) {
        if step.is_some() && self.last_step != step {
            self.last_step = step;
            self.reached_s = at_s;
        }
    }

    /// What the program told that is no step of the protocol.
    #[must_use]
    pub fn not_understood(&self) -> Option<&NotUnderstood> {
        self.told.not_understood()
    }

    /// Takes what is left of its last line, once nothing more comes.
    pub fn finish(&mut self) {
        self.reader.finish();
    }

    /// Whether enough was seen.
    #[must_use]
    pub fn is_enough(&self, at_s: f64) -> bool {
        match self.stop_after {
            None => false,
            Some(StopAfter::Time(time)) => at_s >= time.0,
            Some(StopAfter::Steps(steps)) if self.told.steps_done().is_some() => {
                self.told.steps_of_this_start() >= steps
            }
            Some(StopAfter::Steps(steps)) => match self.reader.progress() {
                Some(printed) => printed.steps_done.saturating_sub(printed.start_step) >= steps,
                None => self.stated.steps_of_this_start() >= steps,
            },
        }
    }

    /// How often the user's pattern has matched, if there is one.
    #[must_use]
    pub fn pattern_matches(&self) -> Option<u64> {
        self.reader.pattern_matches()
    }

    /// What was forecast on the way.
    #[must_use]
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    fn printed_progress(&self) -> Option<Progress> {
        let mut progress = self.reader.progress()?;
        if let (Some(epochs), Some(total)) = (self.epochs, progress.steps_total) {
            progress.steps_total = total.checked_mul(epochs);
        }
        Some(progress)
    }

    /// What is known now; `None` as long as no progress was recognised.
    pub fn forecast(&mut self, at_s: f64) -> Option<RunForecast> {
        let progress = match self.told.progress(self.total) {
            Some(told) => told,
            None => self.printed_progress().or_else(|| self.stated_progress())?,
        };
        let marks: Vec<(u64, f64)> = progress.marks.iter().map(|mark| (mark.step, mark.at_s)).collect();
        let steps = progress.steps_total.and_then(|total| loop_forecast(&marks, total));
        let is_done = progress.steps_total.is_some_and(|total| progress.steps_done >= total);
        let whole_s = steps.as_ref().map(|steps| {
            let left = if is_done { Interval::point(0.0) } else { steps.remaining_s };
            let from = self.reached_s;
            // What has gone by without a step is part of what is left.
            let waited = at_s.max(from);
            Interval {
                mid: (from + left.mid).max(waited),
                low: (from + left.low).max(waited),
                high: (from + left.high).max(waited),
            }
        });
        if let (Some(whole_s), Some(total)) = (whole_s, progress.steps_total) {
            let of_this_start = total.saturating_sub(progress.start_step).max(1) as f64;
            let done = progress.steps_done.saturating_sub(progress.start_step) as f64 / of_this_start;
            let due = KEPT_AT.iter().filter(|share| done >= **share).count();
            if self.said.len() < due && !is_done {
                self.said.push(Said { at_s, steps_done: progress.steps_done, whole_s });
            }
        }
        Some(RunForecast { progress, reached_s: self.reached_s, steps, whole_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_a_time_or_a_number_of_steps() {
        for (text, stop) in [
            ("2m", StopAfter::Time(Seconds(120.0))),
            ("90", StopAfter::Time(Seconds(90.0))),
            ("200steps", StopAfter::Steps(200)),
            ("200 steps", StopAfter::Steps(200)),
        ] {
            assert_eq!(text.parse(), Ok(stop), "{text}");
        }
        for text in ["", "0", "0steps", "steps", "soon", "-5m", "1.5steps"] {
            assert!(text.parse::<StopAfter>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_loop_of_a_second_a_step_is_forecast_from_its_start() {
        let mut forecaster = Forecaster::new(Hints::default(), None, Some(StopAfter::Steps(50)));
        assert_eq!(forecaster.forecast(0.0), None);
        // Ten seconds until the first step.
        for step in 1..=60_u32 {
            let line = format!("step {step}/1000 loss 2.5\n");
            forecaster.printed(line.as_bytes(), 10.0 + f64::from(step));
            assert_eq!(forecaster.is_enough(0.0), step >= 50, "{step}");
        }
        let forecast = forecaster.forecast(70.0).expect("progress");
        assert_eq!((forecast.progress.steps_done, forecast.progress.steps_total), (60, Some(1000)));
        let whole = forecast.whole_s.expect("a total");
        assert!(whole.contains(1010.0) && whole.low > 800.0, "{whole:?}");
        let said = forecaster.said();
        assert!(said.is_empty(), "less than a tenth was seen: {said:?}");
        let epochs = Forecaster::new(Hints::default(), Some(3), None);
        assert_eq!(epochs.epochs, Some(3));
    }

    #[test]
    fn what_a_program_tells_goes_before_what_it_prints_from_its_first_step_on() {
        let mut forecaster = Forecaster::new(Hints::default(), Some(3), Some(StopAfter::Steps(20)));
        forecaster.told(b"start 0 of 400\n", 0.5);
        for step in 1..=10_u32 {
            forecaster.printed(format!("step {step}/100 loss 2.5\n").as_bytes(), f64::from(step));
        }
        let printed = forecaster.forecast(10.0).expect("printed").progress;
        assert_eq!((printed.steps_done, printed.steps_total), (10, Some(300)));
        for step in 1..=20_u32 {
            assert!(!forecaster.is_enough(0.0), "{step}");
            forecaster.told(format!("step {step} of 400 tokens 8\n").as_bytes(), 10.0 + f64::from(step));
            forecaster.printed(b"step 11/100 loss 2.5\n", 10.0 + f64::from(step));
        }
        let told = forecaster.forecast(30.0).expect("told");
        // The total that was told is that of the run, whatever its epochs are.
        assert_eq!((told.progress.steps_done, told.progress.steps_total), (20, Some(400)));
        assert_eq!((told.reached_s, told.progress.tokens_per_step), (30.0, Some(8.0)));
        assert!(told.whole_s.expect("a total").contains(410.0), "{:?}", told.whole_s);
        assert!(forecaster.is_enough(0.0) && forecaster.not_understood().is_none());
    }
}
