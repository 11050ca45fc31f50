//! One architecture at one shape, ready to run steps.

use std::time::{Duration, Instant};

use super::baseline::Measured;
use super::load::{self, Disturbance};
use super::phase::GROUPS;
use super::steady::{BLOCK_S, Block, MOST_S, is_steady};
use super::{ComputeDevice, MeasureError, Point, Stop, compute_threads};
use crate::model::{Config, train_step_flop};
use crate::nn::{AdamW, AdamWConfig, Batch, BertForPreTraining, NnError, Params, PassConfig, Tape, tensor_dtype};
use crate::record::{Cell, ENERGY_TOLERANCE, MeterTrace, Pass, Settings, Status, Step, Warning};
use crate::sensor::{GpuWatch, MeterLog};
use crate::stats::batch_means;

/// Batches that take turns, so that no step sees the tokens of the one before.
const BATCHES: usize = 4;
/// Warm-up ends when a step takes at most this much less than the one before it.
const SETTLED: f64 = 0.05;
/// Least and most warm-up steps.
const WARMUP_STEPS: (usize, usize) = (2, 3);
/// A window in which a slow sensor is read lasts at least so many seconds and updates of the sensor: a hundred updates
/// leave 1 % to the one that is cut at each end.
const WINDOW: (f64, f64) = (10.0, 100.0);

pub(super) struct Runner<'a> {
    device: &'a ComputeDevice,
    settings: &'a Settings,
    epoch: Instant,
    stop: &'a Stop,
    model: BertForPreTraining,
    optimizer: Option<AdamW>,
    batches: Vec<Batch>,
    steps_run: u64,
    visits: u32,
    pub(super) measured: Duration,
    precise: u32,
    /// Visits that did not begin on a tick of the sensor, because none came.
    pub(super) unlocked: u32,
    pub(super) disturbance: Disturbance,
    pub(super) cell: Cell,
}

impl<'a> Runner<'a> {
    /// Builds the model and runs it until its step time has settled. The peak of memory over both is the
    /// cell's.
    pub(super) fn prepare(
        device: &'a ComputeDevice,
        settings: &'a Settings,
        config: &Config,
        point: Point,
        epoch: Instant,
        stop: &'a Stop,
        gpu: Option<&GpuWatch>,
    ) -> Result<Self, MeasureError> {
        let before = device.mark_memory();
        let params = Params::random(settings.seed, candle_core::DType::F32, &device.device);
        let model = BertForPreTraining::new(config, point.arch, params)?;
        let optimizer = match settings.pass {
            Pass::Train => Some(AdamW::new(&model, AdamWConfig::default(), settings.ops)?),
            Pass::Infer => None,
        };
        let shape = point.shape(settings);
        let batches = (0..BATCHES as u64)
            .map(|i| Batch::random(config, shape, settings.seed.wrapping_add(1 + i), &device.device))
            .collect::<Result<Vec<_>, _>>()
            .map_err(NnError::from)?;
        let cell = empty_cell(device, settings, config, point, model.params().count());
        let mut runner = Self {
            device,
            settings,
            epoch,
            stop,
            model,
            optimizer,
            batches,
            steps_run: 0,
            visits: 0,
            measured: Duration::ZERO,
            precise: 0,
            unlocked: 0,
            disturbance: Disturbance::default(),
            cell,
        };
        if device.is_cpu() {
            runner.warm_up()?;
        } else {
            runner.warm_up_until_steady(gpu)?;
        }
        runner.cell.gpu_before = gpu.map(GpuWatch::state);
        runner.cell.peak_memory_bytes = device.peak_memory_since(before);
        Ok(runner)
    }

    fn warm_up(&mut self) -> Result<(), MeasureError> {
        let mut last = f64::INFINITY;
        loop {
            let step = self.step()?.total_s();
            self.cell.warmup_steps += 1;
            let settled = step >= last * (1.0 - SETTLED);
            if self.cell.warmup_steps >= WARMUP_STEPS.1 || (self.cell.warmup_steps >= WARMUP_STEPS.0 && settled) {
                return Ok(());
            }
            last = step;
        }
    }

    /// Runs blocks of steps until time, temperature and clock of the device stand still.
    fn warm_up_until_steady(&mut self, gpu: Option<&GpuWatch>) -> Result<(), MeasureError> {
        let began = Instant::now();
        let mut blocks: Vec<Block> = Vec::new();
        while !is_steady(&blocks) && began.elapsed().as_secs_f64() < MOST_S {
            let (start, first) = (Instant::now(), self.cell.warmup_steps);
            while start.elapsed().as_secs_f64() < BLOCK_S {
                self.step()?;
                self.cell.warmup_steps += 1;
            }
            let lasted_s = start.elapsed().as_secs_f64();
            let state = gpu.map(GpuWatch::state).unwrap_or_default();
            blocks.push(Block {
                step_s: lasted_s / (self.cell.warmup_steps - first) as f64,
                lasted_s,
                temperature_c: state.temperature_c,
                sm_clock_mhz: state.sm_clock_mhz,
            });
        }
        self.cell.warmup_s = Some(began.elapsed().as_secs_f64());
        if !is_steady(&blocks) {
            self.cell.warnings.push(Warning::new(
                format!("the device was not steady after {MOST_S:.0} s of warm-up"),
                "its step time or temperature still drifts, and with them the energy",
                "see to its cooling, or lock its clocks",
            ));
        }
        Ok(())
    }

    /// Runs steps for at least `shortest`, as one visit.
    pub(super) fn visit(&mut self, shortest: Duration) -> Result<(), MeasureError> {
        let began = Instant::now();
        self.visits += 1;
        loop {
            let step = self.step()?;
            self.cell.steps.push(step);
            if began.elapsed() >= shortest {
                break;
            }
        }
        self.measured += began.elapsed();
        Ok(())
    }

    /// The group that the next visit is: slow sensors are met at another phase each time.
    pub(super) fn group(&self) -> usize {
        self.visits as usize % GROUPS
    }

    /// Seconds that have to be measured before a slow sensor has seen enough.
    fn window_s(&self) -> f64 {
        let slowest = self.cell.meters.iter().filter_map(|m| m.timing).map(|t| t.update_s).fold(0.0, f64::max);
        if slowest > 0.0 { WINDOW.0.max(WINDOW.1 * slowest) } else { 0.0 }
    }

    /// Whether the cell is as precise as was asked for, twice in a row, or out of time.
    pub(super) fn is_done(&mut self) -> bool {
        if self.measured.as_secs_f64() >= self.settings.max_time_s {
            return true;
        }
        let times: Vec<f64> = self.cell.steps.iter().map(Step::total_s).collect();
        let reached = batch_means(&times)
            .is_some_and(|m| times.len() >= 5 && m.interval().relative_half_width() <= self.settings.precision);
        self.precise = if reached { self.precise + 1 } else { 0 };
        self.precise >= 2 && self.measured.as_secs_f64() >= self.settings.min_time_s.max(self.window_s())
    }

    /// Adds what the meters read during a visit.
    pub(super) fn add_readings(&mut self, logs: Vec<MeterLog>, measured: &[Measured]) {
        for (log, measured) in logs.into_iter().zip(measured) {
            match self.cell.meters.iter_mut().find(|m| m.meter == log.info) {
                Some(trace) => {
                    trace.samples.extend(log.samples);
                    // A visit that was not metered is not made up for by those after it.
                    trace.failure = trace.failure.take().or(log.failure);
                }
                None => {
                    self.cell.meters.push(MeterTrace {
                        meter: log.info,
                        samples: log.samples,
                        failure: log.failure,
                        timing: measured.timing,
                        idle_w: measured.baseline.idle_w,
                    });
                }
            }
        }
    }

    /// Notes whether others used the GPU meanwhile, and the state it is in now.
    pub(super) fn look_at(&mut self, gpu: Option<&GpuWatch>) {
        let Some(state) = gpu.map(GpuWatch::state) else { return };
        let shared = state.others_beside(std::process::id()).map(|others| others > 0);
        self.cell.contaminated = match (self.cell.contaminated, shared) {
            (Some(true), _) => Some(true),
            (_, seen) => seen,
        };
        self.cell.gpu_after = Some(state);
    }

    /// The finished cell.
    pub(super) fn finish(mut self, load: &load::Watch) -> Cell {
        let times: Vec<f64> = self.cell.steps.iter().map(Step::total_s).collect();
        let reached = batch_means(&times).map_or(f64::INFINITY, |m| m.interval().relative_half_width());
        if reached > self.settings.precision {
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
        let hot = |state: &Option<crate::sensor::GpuState>| {
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

    /// One step, each phase timed between synchronisations.
    fn step(&mut self) -> Result<Step, MeasureError> {
        self.stop.check()?;
        let batch = &self.batches[usize::try_from(self.steps_run).unwrap_or(0) % BATCHES];
        let train = self.optimizer.is_some();
        let pass = PassConfig {
            dtype: tensor_dtype(self.settings.dtype),
            ops: self.settings.ops,
            dropout: if train { self.settings.dropout } else { 0.0 },
            // Far enough apart that no two steps share a mask.
            dropout_seed: self.settings.seed.wrapping_add(self.steps_run.wrapping_mul(1 << 20)),
        };
        self.steps_run += 1;

        self.device.synchronize()?;
        let start = Instant::now();
        let device = &self.device.device;
        let tape = if train { Tape::new(pass, device) } else { Tape::inference(pass, device) };
        let loss = self.model.losses(batch, &tape)?.total;
        self.device.synchronize()?;
        let forward = Instant::now();
        let value = loss.to_dtype(candle_core::DType::F64).and_then(|l| l.to_scalar::<f64>()).map_err(NnError::from)?;
        self.cell.last_loss = value.is_finite().then_some(value);
        let (backward, optimized) = if let Some(optimizer) = &mut self.optimizer {
            let gradients = tape.backward(&loss, None).map_err(NnError::from)?;
            self.device.synchronize()?;
            let backward = Instant::now();
            optimizer.step(&self.model, &gradients)?;
            drop(gradients);
            self.device.synchronize()?;
            (backward, Instant::now())
        } else {
            (forward, forward)
        };
        Ok(Step {
            visit: self.visits,
            start_s: (start - self.epoch).as_secs_f64(),
            forward_s: (forward - start).as_secs_f64(),
            backward_s: (backward - forward).as_secs_f64(),
            optimizer_s: (optimized - backward).as_secs_f64(),
        })
    }
}

/// A cell of which nothing has been measured yet.
pub(super) fn empty_cell(
    device: &ComputeDevice,
    settings: &Settings,
    config: &Config,
    point: Point,
    n_params: u64,
) -> Cell {
    let shape = point.shape(settings);
    let train_flop = train_step_flop(config, point.arch, shape);
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
        dtype: settings.dtype,
        pass: settings.pass,
        device: device.name.clone(),
        status: Status::Ok,
        error: None,
        n_params,
        flop_per_step: if settings.pass == Pass::Train { train_flop } else { train_flop / 3.0 },
        warmup_steps: 0,
        steps: Vec::new(),
        meters: Vec::new(),
        peak_memory_bytes: None,
        last_loss: None,
        warnings,
        warmup_s: None,
        gpu_before: None,
        gpu_after: None,
        contaminated: None,
    }
}
