//! Wall time that trains nothing: evaluation, data, start-up, checkpoints, failures.

use super::Input;
use super::sampler::Sampler;
use crate::stats::Distribution;

/// Bytes of a checkpoint for a parameter: weight and two moments, f32.
const CHECKPOINT_BYTES: f64 = 12.0;
/// No more of the time than this is lost, however often devices fail: beyond it a run never ends.
const MOST_LOST: f64 = 0.9;

/// What is known of lost time.
#[derive(Debug, Clone, PartialEq)]
pub struct LostTime {
    /// Part of undisturbed time that trains.
    pub productive: Input,
    /// Failures and what they cost; `None` where the hours are known.
    pub failures: Option<Failures>,
}

/// Failures of devices, and checkpoints against them.
#[derive(Debug, Clone, PartialEq)]
pub struct Failures {
    /// Hours between failures of one device.
    pub between_h: Input,
    /// Hours from a failure to training again.
    pub restart_h: Input,
    /// Bytes a second that a checkpoint is written with.
    pub write_bytes_per_s: Input,
}

impl LostTime {
    /// Nothing is lost: the hours are known.
    #[must_use]
    pub fn none() -> Self {
        let productive = Input::new("productive time", Distribution::Point(1.0), "1", "the hours are known");
        Self { productive, failures: None }
    }

    /// What is assumed of a run.
    #[must_use]
    pub fn assumed() -> Self {
        Self {
            productive: Input::new(
                "productive time",
                Distribution::Triangular(0.90, 0.97, 1.0),
                "1",
                "share of undisturbed time that trains: evaluation, data and start-up take the rest (judgement; goodput \
                 above 0.9 is published for Llama 3)",
            ),
            failures: Some(Failures {
                between_h: Input::new(
                    "hours between failures of a device",
                    Distribution::LogNormal(50_700.0, 2.0),
                    "h",
                    "419 interruptions in 54 days on 16 384 H100 (Llama 3); spread by judgement",
                ),
                restart_h: Input::new(
                    "restart after a failure",
                    Distribution::Triangular(0.05, 0.25, 1.0),
                    "h",
                    "judgement: from an automatic restart to one by hand",
                ),
                write_bytes_per_s: Input::new(
                    "speed of writing checkpoints",
                    Distribution::Triangular(0.3e9, 1.0e9, 3.0e9),
                    "B/s",
                    "judgement: from network storage to a local drive",
                ),
            }),
        }
    }

    /// Every input.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        let failures = self.failures.iter().flat_map(|f| [&f.between_h, &f.restart_h, &f.write_bytes_per_s]);
        std::iter::once(&self.productive).chain(failures)
    }

    /// Wall time over training time in each trial, for `devices` and a model of `n_params`.
    ///
    /// Checkpoints are written as often as loses least, `tau = sqrt(2 t_checkpoint MTBF)` (Young 1974); of each
    /// interval the writing is lost, and of each failure half an interval and the restart.
    pub(super) fn wall_over_train(&self, sampler: &Sampler, devices: u32, n_params: f64) -> Vec<f64> {
        let productive = sampler.input_or(Some(&self.productive), 1.0);
        let Some(failures) = &self.failures else { return productive.iter().map(|p| 1.0 / p).collect() };
        let draws = |input: &Input| sampler.input_or(Some(input), 1.0);
        let (between, restart, write) =
            (draws(&failures.between_h), draws(&failures.restart_h), draws(&failures.write_bytes_per_s));
        (0..sampler.trials())
            .map(|t| {
                let lost = lost_to_failures(
                    between[t] / f64::from(devices),
                    restart[t],
                    CHECKPOINT_BYTES * n_params / write[t] / 3600.0,
                );
                1.0 / (productive[t] * (1.0 - lost))
            })
            .collect()
    }
}

impl LostTime {
    /// Wall time over training time at the median of every input.
    pub(super) fn typical(&self, devices: u32, n_params: f64) -> f64 {
        let of = |input: &Input| input.distribution.median();
        let lost = self.failures.as_ref().map_or(0.0, |f| {
            let checkpoint_h = CHECKPOINT_BYTES * n_params / of(&f.write_bytes_per_s) / 3600.0;
            lost_to_failures(of(&f.between_h) / f64::from(devices), of(&f.restart_h), checkpoint_h)
        });
        1.0 / (of(&self.productive) * (1.0 - lost))
    }
}

/// Part of the time that is lost to checkpoints of `checkpoint_h` and to failures every `between_h`.
fn lost_to_failures(between_h: f64, restart_h: f64, checkpoint_h: f64) -> f64 {
    let interval = (2.0 * checkpoint_h * between_h).sqrt();
    let writing = if interval > 0.0 { checkpoint_h / interval } else { 0.0 };
    (writing + (interval / 2.0 + restart_h) / between_h).min(MOST_LOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_18_seconds_and_a_failure_every_100_hours() {
        // tau = sqrt(2 x 0.005 x 100) = 1 h: 0.005 of it is writing; 0.5 h and a restart of 0.2 h in 100 h are 0.007.
        assert!((lost_to_failures(100.0, 0.2, 0.005) - 0.012).abs() < 1e-12);
        assert!((lost_to_failures(1e-3, 1.0, 0.1) - 0.9).abs() < 1e-12, "a run that always fails never ends");
    }
}
