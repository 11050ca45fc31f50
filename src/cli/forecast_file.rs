//! A forecast that was written by `forecast -o`, as the beginning of an estimate.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use greenformers::files::read_text;
use greenformers::stats::Interval;
use serde::Deserialize;

use super::common::MOST_ACCOUNT_BYTES;

/// What an estimate needs of a forecast.
pub(super) struct ForecastFile {
    /// The command, as it was typed.
    pub(super) command: String,
    /// Steps of the whole run.
    pub(super) steps: u64,
    /// Seconds of each, pauses and warm-up shared out.
    pub(super) step_s: Interval,
    /// Watts of the machine at the wall, where they are known.
    pub(super) power_w: Option<Interval>,
}

#[derive(Deserialize)]
struct Written {
    command: Vec<String>,
    forecast: Option<Forecast>,
}

#[derive(Deserialize)]
struct Forecast {
    start_step: u64,
    steps_total: Option<u64>,
    whole_s: Option<Interval>,
    whole: Option<Whole>,
}

#[derive(Deserialize)]
struct Whole {
    it_energy_kwh: Option<Interval>,
}

impl ForecastFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = read_text(path, MOST_ACCOUNT_BYTES)?;
        let file = path.display();
        let written: Written =
            serde_json::from_str(&text).with_context(|| format!("`{file}` is no account of a command"))?;
        let Some(forecast) = written.forecast else {
            bail!(
                "`{file}` is an account of a command that was tracked, without a forecast\nhint: `greenformers forecast -o FILE -- CMD` makes one"
            );
        };
        let (Some(total), Some(whole_s)) = (forecast.steps_total, forecast.whole_s) else {
            bail!(
                "`{file}` does not say how long the whole run is: its number of steps was not known\nhint: forecast it again with `--total-steps N`"
            );
        };
        let steps = total.saturating_sub(forecast.start_step);
        if steps == 0 || !whole_s.is_valid() || whole_s.low <= 0.0 {
            bail!("`{file}` forecasts no step");
        }
        let joules = forecast.whole.and_then(|whole| whole.it_energy_kwh).map(|kwh| kwh.scaled(3.6e6));
        // The ends of energy have those of time in them: the power is as uncertain as what remains.
        let power_w = joules.filter(|j| j.is_valid() && j.low > 0.0).map(|j| {
            let apart =
                |a: f64, b: f64, c: f64, d: f64| ((a / b).ln().powi(2) - (c / d).ln().powi(2)).max(0.0).sqrt().exp();
            let mid = j.mid / whole_s.mid;
            let low = mid / apart(j.mid, j.low, whole_s.mid, whole_s.low);
            Interval { mid, low, high: mid * apart(j.high, j.mid, whole_s.high, whole_s.mid) }
        });
        Ok(Self { command: written.command.join(" "), steps, step_s: whole_s.scaled(1.0 / steps as f64), power_w })
    }
}
