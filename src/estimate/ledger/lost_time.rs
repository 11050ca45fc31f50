//! What is lost to failures and checkpoints, and to all that is not training.

use super::monte_carlo::MonteCarlo;
use crate::estimate::request::input::Input;
use crate::estimate::request::lost_time::LostTime;

/// Bytes of a checkpoint for a parameter: weight and two moments, f32.
const CHECKPOINT_BYTES: f64 = 12.0;
/// No more of the time than this is lost, however often devices fail: beyond it a run never ends.
const MOST_LOST: f64 = 0.9;

impl LostTime {
    /// Wall time over training time in each trial, for `devices` in so many machines and a model of `n_params`.
    ///
    /// Checkpoints are written as often as loses least, `tau = sqrt(2 t_checkpoint MTBF)` (Young 1974), each machine its part; of
    /// each interval the writing is lost, and of each failure half an interval and the restart.
    pub(in crate::estimate) fn wall_over_train(
        &self,
        monte_carlo: &MonteCarlo,
        (devices, n_machines): (u32, u32),
        n_params: f64,
    ) -> Vec<f64> {
        let productive = monte_carlo.input_or(Some(self.productive_on(n_machines)), 1.0);
        let Some(failures) = &self.failures else { return productive.iter().map(|p| 1.0 / p).collect() };
        let draws = |input: &Input| monte_carlo.input_or(Some(input), 1.0);
        let (between, restart, write) =
            (draws(&failures.between_h), draws(&failures.restart_h), draws(&failures.write_bytes_per_s));
        (0..monte_carlo.trials())
            .map(|t| {
                let lost = lost_to_failures(
                    between[t] / f64::from(devices),
                    restart[t],
                    checkpoint_h(n_params, write[t], n_machines),
                );
                1.0 / (productive[t] * (1.0 - lost))
            })
            .collect()
    }

    /// Wall time over training time at the median of every input.
    pub(in crate::estimate) fn typical(&self, (devices, n_machines): (u32, u32), n_params: f64) -> f64 {
        let of = |input: &Input| input.distribution.median();
        let lost = self.failures.as_ref().map_or(0.0, |f| {
            let checkpoint_h = checkpoint_h(n_params, of(&f.write_bytes_per_s), n_machines);
            lost_to_failures(of(&f.between_h) / f64::from(devices), of(&f.restart_h), checkpoint_h)
        });
        1.0 / (of(self.productive_on(n_machines)) * (1.0 - lost))
    }
}

/// Hours in which machines write a checkpoint, each with so many bytes a second.
fn checkpoint_h(n_params: f64, bytes_per_s: f64, n_machines: u32) -> f64 {
    CHECKPOINT_BYTES * n_params / (bytes_per_s * f64::from(n_machines.max(1))) / 3600.0
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

    /// Grattafiori et al. 2024 (arXiv 2407.21783), section 3.3.4: 466 interruptions in 54 days of 16 384 H100, and still more than 90 % of
    /// the time trained effectively.
    #[test]
    fn failures_of_the_largest_run_that_is_published_cost_less_than_a_tenth_of_its_time() {
        let lost = LostTime::assumed();
        let productive = lost.productive_on(2048).distribution.median();
        let left = 1.0 / (lost.typical((16_384, 2048), 405e9) * productive);
        assert!((0.90..0.97).contains(&left), "{left}");
    }

    #[test]
    fn a_checkpoint_of_18_seconds_and_a_failure_every_100_hours() {
        // tau = sqrt(2 x 0.005 x 100) = 1 h: 0.005 of it is writing; 0.5 h and a restart of 0.2 h in 100 h are 0.007.
        assert!((lost_to_failures(100.0, 0.2, 0.005) - 0.012).abs() < 1e-12);
        assert!((lost_to_failures(1e-3, 1.0, 0.1) - 0.9).abs() < 1e-12, "a run that always fails never ends");
    }
}
