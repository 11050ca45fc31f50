//! A user's own program: what its runs say of it, on top of what was published of its class.

use serde::Serialize;

use super::efficiency::Efficiency;
use super::fit::Observation;
use crate::catalog::{Catalog, PublishedRun, Software};
use crate::estimate::error::EstimateError;
use crate::estimate::request::own_software::OwnSoftware;

/// Version of the file.
const CALIBRATION_SCHEMA: u32 = 1;
/// What the model may be off by on one device (ln): it is alike in all runs on it, and however many they are, no more is learned
/// of the program from them.
const DEVICE_SD: f64 = 0.10;
/// Scatter of runs of one program on one device around the model (ln).
const RUN_SD: f64 = 0.05;

/// A run beside what the model says of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnRun {
    /// Its name.
    pub id: String,
    /// Tokens a second that were measured.
    pub measured_tokens_per_s: f64,
    /// What is predicted of its class.
    pub before_tokens_per_s: f64,
    /// What is predicted of this program.
    pub after_tokens_per_s: f64,
}

impl OwnSoftware {
    /// What `runs` say: the programs of a class differ by what the fit found, and the runs move this one from their middle
    /// (a normal distribution with a normal prior; the runs of one device count as one that is known as well as their mean).
    ///
    /// # Errors
    /// If there is no run, or a device has no figures for its number format.
    pub fn fit(runs: &[PublishedRun], catalog: &Catalog) -> Result<(Self, Vec<OwnRun>), EstimateError> {
        let model = Efficiency::embedded();
        let first = runs.first().ok_or(EstimateError::NoSource)?;
        let mut residuals: Vec<(&PublishedRun, f64)> = Vec::new();
        for run in runs {
            let observation = Observation::new(run, catalog)?;
            residuals.push((run, (observation.observed_s / observation.predicted_by(model)).ln()));
        }
        let mut devices: Vec<&str> = runs.iter().map(|run| run.device.as_str()).collect();
        devices.sort_unstable();
        devices.dedup();
        let of_device = |device: &str| {
            let own: Vec<f64> = residuals.iter().filter(|(run, _)| run.device == device).map(|(_, r)| *r).collect();
            let n = own.len() as f64;
            (own.iter().sum::<f64>() / n, DEVICE_SD.hypot(RUN_SD / n.sqrt()))
        };
        let devices: Vec<(f64, f64)> = devices.into_iter().map(of_device).collect();
        let own = Self::of_devices(first.software(), &devices, runs.len());
        let shown = residuals.iter().map(|(run, residual)| {
            let measured = run.tokens_per_s.unwrap_or(f64::NAN);
            let before = measured * residual.exp();
            OwnRun {
                id: run.id.clone(),
                measured_tokens_per_s: measured,
                before_tokens_per_s: before,
                after_tokens_per_s: before * (-own.ln_factor).exp(),
            }
        });
        let shown = shown.collect();
        Ok((own, shown))
    }

    /// What one run says whose step took `residual` (ln) longer than the model says of a program in the middle of `software`, which
    /// is known to `run_sd` beside what runs scatter by.
    pub(in crate::estimate) fn of_one_run(software: Software, residual: f64, run_sd: f64) -> Self {
        Self::of_devices(software, &[(residual, DEVICE_SD.hypot(RUN_SD).hypot(run_sd))], 1)
    }

    /// The posterior of a program of `software` by its mean residual on each device and how well that is known (ln).
    fn of_devices(software: Software, devices: &[(f64, f64)], n_runs: usize) -> Self {
        let model = Efficiency::embedded();
        let mut precision = model.spread_of(software.class).powi(-2);
        let mut weighted = 0.0;
        for (residual, sd) in devices {
            precision += sd.powi(-2);
            weighted += residual / sd.powi(2);
        }
        Self {
            schema: CALIBRATION_SCHEMA,
            software: software.class,
            attention: software.attention,
            ln_factor: weighted / precision,
            ln_sd: precision.powf(-0.5),
            n_runs,
            model_runs: model.n_runs(),
        }
    }

    /// Checks a file that was read.
    ///
    /// # Errors
    /// If it is of another version, of another model, or holds numbers that no fit gives.
    pub fn check(&self) -> Result<(), EstimateError> {
        let model_runs = Efficiency::embedded().n_runs();
        if self.schema != CALIBRATION_SCHEMA || self.model_runs != model_runs {
            return Err(EstimateError::Calibration { model_runs: self.model_runs, expected: model_runs });
        }
        for (name, value) in [("ln_factor", self.ln_factor), ("ln_sd", self.ln_sd)] {
            if !value.is_finite() || value.abs() > 5.0 || (name == "ln_sd" && value <= 0.0) {
                return Err(EstimateError::Number { name, value, allowed: "what `catalog calibrate` writes" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{SoftwareClass, published_runs};

    /// Published runs of one program, as if they were a user's, each `times` as slow as the model says.
    fn runs(device: &str, n: usize, times: f64) -> Vec<PublishedRun> {
        let catalog = Catalog::default();
        let of =
            |run: &PublishedRun| run.device == device && run.tokens_per_s.is_some() && run.collection == "mosaicml";
        let mut runs: Vec<PublishedRun> = published_runs().into_iter().filter(of).take(n).collect();
        for run in &mut runs {
            run.framework = "own".to_owned();
            let observation = Observation::new(run, &catalog).expect("a device of the catalog");
            let by_model = observation.predicted_by(Efficiency::embedded());
            run.tokens_per_s = run.tokens_per_s.map(|tokens| tokens * observation.observed_s / by_model / times);
        }
        runs
    }

    #[test]
    fn runs_move_a_program_from_the_middle_of_its_class_and_leave_less_open() {
        let catalog = Catalog::default();
        let prior = Efficiency::embedded().spread_of(SoftwareClass::Optimised);
        let (one, shown) = OwnSoftware::fit(&runs("a100-sxm4-80gb", 1, 1.3), &catalog).expect("a fit");
        // One run: it is believed as far as the spread of its class goes against what the model may be off by.
        let share = prior.powi(2) / (prior.powi(2) + 0.01 + 0.0025);
        assert!((one.ln_factor - share * 1.3f64.ln()).abs() < 1e-9, "{one:?}");
        assert!((one.ln_sd - (1.0 / (prior.powi(-2) + 1.0 / 0.0125)).sqrt()).abs() < 1e-9);
        assert!((shown[0].before_tokens_per_s / shown[0].measured_tokens_per_s - 1.3).abs() < 1e-9);
        // Ten more on the same device say little more; runs on another device do.
        let (ten, _) = OwnSoftware::fit(&runs("a100-sxm4-80gb", 10, 1.3), &catalog).expect("a fit");
        let mut both = runs("a100-sxm4-80gb", 10, 1.3);
        both.extend(runs("h100-sxm5-80gb", 10, 1.3));
        let (two, _) = OwnSoftware::fit(&both, &catalog).expect("a fit");
        assert!(one.ln_factor < ten.ln_factor && ten.ln_factor < two.ln_factor && two.ln_factor < 1.3f64.ln());
        assert!(one.ln_sd > ten.ln_sd && ten.ln_sd > two.ln_sd);
    }

    #[test]
    fn a_calibration_that_was_not_written_for_this_model_is_refused_and_the_error_names_what_is_wrong() {
        let (fitted, _) = OwnSoftware::fit(&runs("a100-sxm4-80gb", 1, 1.3), &Catalog::default()).expect("a fit");
        fitted.check().expect("what was just fitted is used");
        let expected = Efficiency::embedded().n_runs();
        for other in [OwnSoftware { schema: CALIBRATION_SCHEMA + 1, ..fitted }, OwnSoftware { model_runs: 1, ..fitted }]
        {
            let error = other.check().expect_err("another model");
            assert!(
                matches!(error, EstimateError::Calibration { model_runs, expected: e }
                    if model_runs == other.model_runs && e == expected),
                "{error}"
            );
        }
        for (name, other) in [
            ("ln_factor", OwnSoftware { ln_factor: f64::NAN, ..fitted }),
            ("ln_factor", OwnSoftware { ln_factor: -5.1, ..fitted }),
            ("ln_sd", OwnSoftware { ln_sd: 0.0, ..fitted }),
            ("ln_sd", OwnSoftware { ln_sd: -0.1, ..fitted }),
            ("ln_sd", OwnSoftware { ln_sd: 5.1, ..fitted }),
        ] {
            let error = other.check().expect_err(name);
            assert!(matches!(error, EstimateError::Number { name: n, .. } if n == name), "{error}");
        }
    }
}
