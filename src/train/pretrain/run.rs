//! The steps of a training, its evaluations, and what they take.

use super::corpus::Corpus;
use super::state::{Files, Settings, State};
use super::trainer::{Schedule, Trainer};
use super::{End, EndedBy, Event, Point, PretrainError, Request, Training};
use crate::nn::Input;
use crate::stats::{Mean, batch_means, with_gain};
use crate::train::energy::{Energy, Spent, gain_uncertainty};

/// About so many evaluations are made unless a distance is given.
const EVALUATIONS: u64 = 20;
/// Steps between two where nothing says how many there will be.
const EVERY: u64 = 100;

/// All that steps need.
pub(super) struct Run<'a> {
    pub(super) request: &'a Request,
    pub(super) settings: Settings,
    pub(super) schedule: Schedule,
    pub(super) corpus: Corpus,
    pub(super) held_out: Vec<Input>,
    pub(super) energy: Energy,
    /// What the steps have taken, and all has.
    pub(super) steps: Spent,
    pub(super) total: Spent,
    pub(super) trainer: Trainer,
    /// Losses of the steps since the last evaluation.
    pub(super) losses: Vec<f64>,
}

impl Run<'_> {
    pub(super) fn run(
        mut self,
        mut training: Training,
        texts: (&str, &str, Option<&str>),
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<Training, PretrainError> {
        let mut is_first = !self.request.resume;
        loop {
            let at = self.trainer.steps();
            let since = self.gone();
            if training.points.last().is_none_or(|point| point.step < at) || self.ended(&training).is_some() {
                training.ended_by = EndedBy::Running;
                if training.points.last().is_none_or(|point| point.step < at) {
                    let point = self.evaluate()?;
                    observe(Event::Evaluated(&point));
                    training.points.push(point);
                }
                self.account(&mut training);
                training.ended_by = self.ended(&training).unwrap_or(EndedBy::Running);
                let state = self.state();
                let files = Files::of(&self.trainer, &state, &training)?;
                if is_first {
                    files.write_first(&self.request.output, texts)?;
                } else {
                    files.write(&self.request.output)?;
                }
                is_first = false;
                self.total.add(self.energy.split());
                if training.ended_by != EndedBy::Running {
                    return Ok(training);
                }
            }
            while !self.is_due(since) {
                if let Some(signal) = self.request.stop.asked() {
                    return Err(self.stopped(training, signal)?);
                }
                let gone = self.gone();
                let batch = self.corpus.batch(self.trainer.steps(), self.request.batch_size)?;
                self.losses.push(self.trainer.step(&batch, gone)?);
            }
            self.count();
        }
    }

    /// Counts what was spent since the last time as that of steps.
    fn count(&mut self) {
        let spent = self.energy.split();
        self.steps.add(spent);
        self.total.add(spent);
    }

    /// Writes a checkpoint of the step at which a signal asked for the end, without an evaluation.
    fn stopped(mut self, mut training: Training, signal: i32) -> Result<PretrainError, PretrainError> {
        self.count();
        self.account(&mut training);
        training.ended_by = EndedBy::Running;
        let path = self.request.output.clone();
        Files::of(&self.trainer, &self.state(), &training)?.write(&path)?;
        Ok(PretrainError::Stopped { signal, step: self.trainer.steps(), path })
    }

    /// Seconds in all, up to now.
    fn seconds(&self) -> f64 {
        self.total.seconds + self.energy.since_split()
    }

    /// The share of the time or of the joules that has gone, whichever is larger; `None` where neither ends it.
    fn gone(&self) -> Option<f64> {
        let End { seconds, joules, .. } = self.request.end;
        let of_time = seconds.map(|end| self.seconds() / end);
        let of_joules = joules.and_then(|end| Some((self.total.joules? + self.energy.joules_since_split()?) / end));
        of_time.into_iter().chain(of_joules).reduce(f64::max)
    }

    /// Whether the steps stop for an evaluation. `since` is the share that had gone at the last one.
    fn is_due(&self, since: Option<f64>) -> bool {
        let (step, End { steps, .. }) = (self.trainer.steps(), self.request.end);
        let gone = self.gone();
        if self.losses.is_empty() && steps.is_none_or(|steps| step < steps) {
            return false;
        }
        if steps.is_some_and(|steps| step >= steps) || gone.is_some_and(|gone| gone >= 1.0) {
            return true;
        }
        match (self.request.evaluate_every, steps, gone) {
            (Some(every), ..) => step.is_multiple_of(every),
            (None, Some(steps), None) => step.is_multiple_of(steps.div_ceil(EVALUATIONS)),
            (None, _, Some(gone)) => gone - since.unwrap_or(0.0) >= 1.0 / EVALUATIONS as f64,
            (None, None, None) => step.is_multiple_of(EVERY),
        }
    }

    /// Why it is over, if it is.
    fn ended(&self, training: &Training) -> Option<EndedBy> {
        let End { steps, seconds, loss, .. } = self.request.end;
        // What is guided is not what the checkpoint holds.
        let held_out = training.points.last().filter(|p| p.guide <= 0.0).map(|p| p.held_out_loss.mid);
        let is_low = loss.zip(held_out).is_some_and(|(end, held_out)| held_out <= end);
        let is_late = seconds.is_some_and(|end| self.seconds() >= end);
        let is_far = steps.is_some_and(|end| self.trainer.steps() >= end);
        let is_spent = !is_late && self.gone().is_some_and(|gone| gone >= 1.0);
        let all =
            [(is_far, EndedBy::Steps), (is_low, EndedBy::Loss), (is_late, EndedBy::Time), (is_spent, EndedBy::Joules)];
        all.into_iter().find_map(|(is_so, by)| is_so.then_some(by))
    }

    fn evaluate(&mut self) -> Result<Point, PretrainError> {
        let step = self.trainer.steps();
        let losses = self.held_out.iter().map(|batch| self.trainer.loss(batch)).collect::<Result<Vec<f64>, _>>()?;
        let held_out_loss = batch_means(&losses).map(Mean::interval).filter(|loss| loss.is_valid());
        let held_out_loss = held_out_loss.ok_or(PretrainError::Diverged { step })?;
        let gone = self.gone();
        let steps = std::mem::take(&mut self.losses);
        self.total.add(self.energy.split());
        Ok(Point {
            step,
            tokens: self.tokens(),
            seconds: self.steps.seconds,
            joules: self.steps.joules,
            lr: self.schedule.rate(step, gone),
            train_loss: (!steps.is_empty()).then(|| steps.iter().sum::<f64>() / steps.len() as f64),
            held_out_loss,
            guide: self.trainer.guide_share(),
        })
    }

    /// Tokens that all steps have seen.
    fn tokens(&self) -> u64 {
        self.trainer.steps() * (self.settings.batch_size * self.settings.seq_len) as u64
    }

    /// Puts down how far it is and what it took.
    fn account(&self, training: &mut Training) {
        let meters = self.energy.metered();
        let gain = gain_uncertainty(&meters);
        (training.steps, training.tokens) = (self.trainer.steps(), self.tokens());
        (training.seconds, training.joules) = (self.steps.seconds, self.steps.joules);
        training.total_seconds = self.total.seconds;
        training.total_joules = self.total.joules.filter(|joules| *joules > 0.0).map(|j| with_gain(j, 0.0, gain));
        training.meters = meters;
        training.unmetered.clone_from(&self.energy.without);
        let last = training.points.last();
        training.train_loss = last.and_then(|point| point.train_loss);
        training.held_out_loss = last.map(|point| point.held_out_loss);
    }

    fn state(&self) -> State {
        State {
            step: self.trainer.steps(),
            seconds: self.steps.seconds,
            joules: self.steps.joules,
            total_seconds: self.total.seconds,
            total_joules: self.total.joules,
            settings: self.settings.clone(),
        }
    }
}
