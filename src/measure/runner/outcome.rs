//! What a cell comes to: its readings, and what has to be said of them.

use super::Runner;
use crate::measure::baseline::MeasuredMeter;
use crate::measure::load;
use crate::measure::{ComputeDevice, Point, compute_threads};
use crate::meter::MeterTrace;
use crate::model::train_step_flop;
use crate::record::{Cell, ENERGY_TOLERANCE, Pass, Settings, Status, Step, Warning};
use crate::sensor::GpuWatch;
use crate::stats::batch_means;

/// A cell of which nothing has been measured yet.
pub(in crate::measure) fn empty_cell(device: &ComputeDevice, settings: &Settings, point: Point, n_params: u64) -> Cell {
    let (config, shape) = (point.config(settings), point.shape(settings));
    let train_flop = train_step_flop(&config, point.arch, shape);
    let mut warnings = Vec::new();
    if point.arch.k().is_some_and(|k| k >= point.seq_len) {
        warnings.push(Warning::new(
            format!("{} has at least as many projected rows as the sequence has tokens", point.arch.label()),
            "it costs more than dense attention at this length",
            "choose k below the sequence length",
        ));
    }
    Cell {
        arch: point.arch,
        shape,
        n_layers: config.n_layers,
        dtype: point.dtype,
        pass: point.pass,
        device: device.name.clone(),
        status: Status::Ok,
        error: None,
        n_params,
        flop_per_step: if point.pass == Pass::Train { train_flop } else { train_flop / 3.0 },
        warmup_steps: 0,
        steps: Vec::new(),
        meters: Vec::new(),
        peak_memory_bytes: None,
        last_loss: None,
        warnings,
        epoch_unix_s: None,
        warmup_s: None,
        gpu_before: None,
        gpu_after: None,
        launch: None,
        contaminated: None,
    }
}

impl Runner<'_> {
    /// Adds what the meters read during a visit.
    pub(in crate::measure) fn add_readings(&mut self, read: Vec<MeterTrace>, measured: &[MeasuredMeter]) {
        for (new, measured) in read.into_iter().zip(measured) {
            if let Some(trace) = self.cell.meters.iter_mut().find(|m| m.meter == new.meter) {
                trace.samples.extend(new.samples);
                // A visit that was not metered is not made up for by those after it.
                trace.failure = trace.failure.take().or(new.failure);
            } else {
                let (timing, idle_w) = (measured.timing, measured.baseline.idle_w);
                self.cell.meters.push(MeterTrace { timing, idle_w, ..new });
            }
        }
    }

    /// Notes whether others used the GPU meanwhile, and the state it is in now.
    pub(in crate::measure) fn look_at(&mut self, gpu: Option<&GpuWatch>) {
        let Some(state) = gpu.map(GpuWatch::state) else { return };
        let shared = state.others_beside(std::process::id()).map(|others| others > 0);
        self.cell.contaminated = match (self.cell.contaminated, shared) {
            (Some(true), _) => Some(true),
            (_, seen) => seen,
        };
        self.cell.gpu_after = Some(state);
    }

    /// The finished cell.
    pub(in crate::measure) fn finish(mut self, load: &load::LoadWatch) -> Cell {
        let times: Vec<f64> = self.cell.steps.iter().map(Step::total_s).collect();
        let reached = batch_means(&times).map_or(f64::INFINITY, |m| m.interval().relative_half_width());
        if reached > self.settings.precision && self.settings.steps.is_none() {
            self.cell.warnings.push(Warning::new(
                format!(
                    "the step time is known to {:.1} %, not to {:.1} %",
                    100.0 * reached,
                    100.0 * self.settings.precision
                ),
                "its interval is that wide",
                "give more time with `--max-time`",
            ));
        }
        self.cell.warnings.extend(load.warnings(self.disturbance, compute_threads()));
        self.warn_of_energy();
        for trace in &self.cell.meters {
            if let Some(failure) = &trace.failure {
                self.cell.warnings.push(Warning::new(
                    format!("the meter {} stopped: {failure}", trace.meter.domain),
                    "the energy of this cell is unknown",
                    "see `greenformers devices`",
                ));
            }
        }
        self.cell
    }

    fn warn_of_energy(&mut self) {
        let cell = &self.cell;
        let mut found: Vec<(String, &str, &str)> = Vec::new();
        if let Some(check) = cell.energy_check().filter(|c| c.difference.abs() > ENERGY_TOLERANCE) {
            found.push((
                format!("the integral of power is {:+.1} % off the energy counter", 100.0 * check.difference),
                "one of the two readings of the GPU is wrong; the counter's is shown",
                "compare with a meter at the wall",
            ));
        }
        if cell.counter_stood_still() {
            found.push((
                "the energy counter did not advance".to_owned(),
                "energy is the integral of power, if that was read, and unknown otherwise",
                "see `greenformers devices`",
            ));
        }
        if self.unlocked > 0 {
            found.push((
                format!("{} of {} visits did not begin on a tick of the power sensor", self.unlocked, self.visits),
                "energy may be off where the step is as long as the sensor's period",
                "measure again: a sensor that shows the same value twice hides its tick",
            ));
        }
        if cell.contaminated == Some(true) {
            found.push((
                "other processes used the GPU".to_owned(),
                "time and energy are those of all of them: an upper bound for this one",
                "measure on a GPU that nobody else uses",
            ));
        }
        let hot = |state: &Option<crate::meter::GpuState>| {
            state.iter().flat_map(|s| s.harmful_throttling()).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut reasons = hot(&cell.gpu_before);
        reasons.extend(hot(&cell.gpu_after));
        reasons.dedup();
        if !reasons.is_empty() {
            found.push((
                format!("the GPU was held back: {}", reasons.join(", ")),
                "steps were slower than the card can",
                "see to its cooling and its power supply",
            ));
        }
        let needed = self.window_s();
        if self.measured.as_secs_f64() < needed {
            found.push((
                format!("{:.0} s were measured, and its sensor needs {needed:.0} s", self.measured.as_secs_f64()),
                "the energy is less certain than its interval says",
                "give more time with `--max-time`",
            ));
        }
        self.cell.warnings.extend(found.into_iter().map(|(fact, what, remedy)| Warning::new(fact, what, remedy)));
    }
}
