//! One architecture at one shape, ready to run steps.

use std::time::{Duration, Instant};

use candle_core::Tensor;

use super::baseline::Measured;
use super::load::{self, Disturbance};
use super::moment::Moment;
use super::phase::GROUPS;
use super::steady::{Block, WarmUp, is_steady};
use super::{ComputeDevice, MeasureError, Point, Stop, compute_threads};
use crate::model::train_step_flop;
use crate::nn::{AdamW, AdamWConfig, Batch, BertForPreTraining, NnError, Params, PassConfig, Tape, tensor_dtype};
use crate::record::{Cell, ENERGY_TOLERANCE, Launch, MeterTrace, Pass, Settings, Status, Step, Warning};
use crate::sensor::{GpuWatch, MeterLog};
use crate::stats::{batch_means, median};

/// Batches that take turns, so that no step sees the tokens of the one before.
const BATCHES: usize = 4;
/// Warm-up ends when a step takes at most this much less than the one before it.
const SETTLED: f64 = 0.05;
/// Least and most warm-up steps.
const WARMUP_STEPS: (usize, usize) = (2, 3);
/// A window in which a slow sensor is read lasts at least so many seconds and updates of the sensor: a hundred updates
/// leave 1 % to the one that is cut at each end.
const WINDOW: (f64, f64) = (10.0, 100.0);
/// Steps in which queueing is timed on a GPU.
const LAUNCHES: usize = 5;

pub(super) struct Runner<'a> {
    device: &'a ComputeDevice,
    settings: &'a Settings,
    epoch: Instant,
    stop: &'a Stop,
    point: Point,
    model: BertForPreTraining,
    optimizer: Option<AdamW>,
    batches: Vec<Batch>,
    steps_run: u64,
    visits: u32,
    pub(super) measured: Duration,
    precise: u32,
    /// Visits that did not begin on a tick of the sensor, because none came.
    pub(super) unlocked: u32,
    /// What ran beside the visits.
    pub(super) disturbance: Disturbance,
    pub(super) cell: Cell,
}

impl<'a> Runner<'a> {
    /// Builds the model and runs it until its step time has settled. The peak of memory over both is the
    /// cell's.
    pub(super) fn prepare(
        device: &'a ComputeDevice,
        settings: &'a Settings,
        point: Point,
        (epoch, stop): (Instant, &'a Stop),
        (gpu, is_warm): (Option<&GpuWatch>, bool),
    ) -> Result<Self, MeasureError> {
        let before = device.mark_memory();
        let mut runner = Self::build(device, settings, point, (epoch, stop))?;
        if device.is_cpu() {
            runner.warm_up()?;
        } else {
            runner.warm_up_until_steady(gpu, if is_warm { WarmUp::WARM } else { WarmUp::COLD })?;
            runner.cell.launch = Some(runner.time_launches()?);
        }
        runner.cell.gpu_before = gpu.map(GpuWatch::state);
        runner.cell.peak_memory_bytes = device.peak_memory_since(before);
        Ok(runner)
    }

    /// Builds the model, its optimizer and its input.
    pub(super) fn build(
        device: &'a ComputeDevice,
        settings: &'a Settings,
        point: Point,
        (epoch, stop): (Instant, &'a Stop),
    ) -> Result<Self, MeasureError> {
        let config = &point.config(settings);
        let params = Params::random(settings.seed, candle_core::DType::F32, &device.device);
        let model = BertForPreTraining::new(config, point.arch, params)?;
        let optimizer = match settings.pass {
            Pass::Train => Some(AdamW::new(&model, AdamWConfig::default(), settings.ops)?),
            Pass::Infer => None,
        };
        let batches = batches(device, settings, point)?;
        let cell = empty_cell(device, settings, point, model.params().count());
        Ok(Self {
            device,
            settings,
            epoch,
            stop,
            point,
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
        })
    }

    /// The most bytes that a step of `batch_size` sequences takes beyond the model and its input, or `None` if they are
    /// not there.
    pub(super) fn peak_of_a_step(&mut self, batch_size: usize) -> Result<Option<u64>, MeasureError> {
        self.device.release_kept();
        self.batches.clear();
        let before = self.device.mark_memory();
        self.point.batch_size = batch_size;
        let run = batches(self.device, self.settings, self.point).and_then(|batches| {
            self.batches = batches;
            self.step(&mut |_| Ok(()))?;
            self.device.synchronize()
        });
        match run {
            Ok(()) => Ok(self.device.peak_memory_since(before)),
            Err(MeasureError::Model(error)) if error.is_out_of_memory() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn warm_up(&mut self) -> Result<(), MeasureError> {
        let mut last = f64::INFINITY;
        loop {
            let step = self.timed_step()?.total_s();
            self.cell.warmup_steps += 1;
            let settled = step >= last * (1.0 - SETTLED);
            if self.cell.warmup_steps >= WARMUP_STEPS.1 || (self.cell.warmup_steps >= WARMUP_STEPS.0 && settled) {
                return Ok(());
            }
            last = step;
        }
    }

    /// Runs blocks of steps until time, temperature and clock of the device stand still.
    fn warm_up_until_steady(&mut self, gpu: Option<&GpuWatch>, warm_up: WarmUp) -> Result<(), MeasureError> {
        let began = Instant::now();
        let mut blocks: Vec<Block> = Vec::new();
        while !is_steady(&blocks, warm_up) && began.elapsed().as_secs_f64() < warm_up.most.0 {
            let first = self.cell.warmup_steps;
            self.device.synchronize()?;
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < warm_up.block.0 {
                self.timed_step()?;
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
        if !is_steady(&blocks, warm_up) {
            self.cell.warnings.push(Warning::new(
                format!("the device was not steady after {:.0} s of warm-up", warm_up.most.0),
                "its step time or temperature still drifts, and with them the energy",
                "see to its cooling, or lock its clocks",
            ));
        }
        Ok(())
    }

    /// Runs steps as one visit: as many as were asked for, or for at least `shortest`. After each, `tell` is given the
    /// steps and the time of the visit so far. On a GPU the next step is queued while one is computed, as in
    /// training, so that it never waits for the clock to be read.
    pub(super) fn visit(
        &mut self,
        shortest: Duration,
        tell: &mut dyn FnMut(usize, Duration),
    ) -> Result<(), MeasureError> {
        self.visits += 1;
        self.device.synchronize()?;
        let began = Instant::now();
        let origin = Moment::after_all_of(self.device)?;
        let mut steps: Vec<Vec<Moment>> = Vec::new();
        let (loss, stopped) = loop {
            let mut moments = Vec::with_capacity(4);
            let loss = self.step(&mut |device| {
                moments.push(Moment::after_all_of(device)?);
                Ok(())
            })?;
            if let Some(last) = steps.last().and_then(|step| step.last()) {
                last.wait()?;
            }
            steps.push(moments);
            tell(steps.len(), began.elapsed());
            if let Err(stopped) = self.stop.check() {
                break (loss, Err(stopped));
            }
            if self.settings.steps.map_or_else(|| began.elapsed() >= shortest, |n| steps.len() as u64 >= n) {
                break (loss, Ok(()));
            }
        };
        let start_s = (began - self.epoch).as_secs_f64();
        for step in &steps {
            let step = self.step_of(step, start_s, &origin)?;
            self.cell.steps.push(step);
        }
        self.measured += began.elapsed();
        let value = loss.to_dtype(candle_core::DType::F64).and_then(|l| l.to_scalar::<f64>()).map_err(NnError::from)?;
        self.cell.last_loss = value.is_finite().then_some(value);
        stopped
    }

    /// A step from the moments between its phases, in a visit that began at `start_s` with `origin`.
    fn step_of(&self, moments: &[Moment], start_s: f64, origin: &Moment) -> Result<Step, MeasureError> {
        let phase = |i: usize| moments.get(i + 1).map_or(Ok(0.0), |end| end.since(&moments[i]));
        Ok(Step {
            visit: self.visits,
            start_s: start_s + moments[0].since(origin)?,
            forward_s: phase(0)?,
            backward_s: phase(1)?,
            optimizer_s: phase(2)?,
        })
    }

    /// One step by itself.
    fn timed_step(&mut self) -> Result<Step, MeasureError> {
        self.stop.check()?;
        let mut moments = Vec::with_capacity(4);
        self.step(&mut |device| {
            moments.push(Moment::after_all_of(device)?);
            Ok(())
        })?;
        self.step_of(&moments, 0.0, &moments[0])
    }

    /// How long it takes to queue a step, and to compute it with a wait after each phase.
    fn time_launches(&mut self) -> Result<Launch, MeasureError> {
        let (mut queued, mut computed) = (Vec::new(), Vec::new());
        for _ in 0..LAUNCHES {
            self.device.synchronize()?;
            let began = Instant::now();
            let (mut phase, mut enqueue_s) = (began, None);
            self.step(&mut |device| {
                // The first call is before the first phase: nothing has been queued.
                enqueue_s = Some(enqueue_s.map_or(0.0, |s: f64| s + phase.elapsed().as_secs_f64()));
                device.synchronize()?;
                phase = Instant::now();
                Ok(())
            })?;
            queued.extend(enqueue_s);
            computed.push(began.elapsed().as_secs_f64());
        }
        let of = |values: &[f64]| median(values).unwrap_or_default();
        Ok(Launch { steps: LAUNCHES, enqueue_s: of(&queued), synchronized_s: of(&computed) })
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
        if self.settings.steps.is_some() || self.measured.as_secs_f64() >= self.settings.max_time_s {
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

    /// One step; gives its loss, which a GPU may not have computed yet. `between` is called at its start and after each
    /// of its phases.
    fn step(
        &mut self,
        between: &mut dyn FnMut(&ComputeDevice) -> Result<(), MeasureError>,
    ) -> Result<Tensor, MeasureError> {
        let batch = &self.batches[usize::try_from(self.steps_run).unwrap_or(0) % self.batches.len()];
        let train = self.optimizer.is_some();
        let pass = PassConfig {
            dtype: tensor_dtype(self.point.dtype),
            ops: self.settings.ops,
            dropout: if train { self.settings.dropout } else { 0.0 },
            // Far enough apart that no two steps share a mask.
            dropout_seed: self.settings.seed.wrapping_add(self.steps_run.wrapping_mul(1 << 20)),
        };
        self.steps_run += 1;

        between(self.device)?;
        let device = &self.device.device;
        let tape = if train { Tape::new(pass, device) } else { Tape::inference(pass, device) };
        let loss = self.model.losses(batch, &tape)?.total;
        between(self.device)?;
        if let Some(optimizer) = &mut self.optimizer {
            let gradients = tape.backward(&loss, None).map_err(NnError::from)?;
            between(self.device)?;
            optimizer.step(&self.model, &gradients)?;
            drop(gradients);
            between(self.device)?;
        }
        Ok(loss)
    }
}

/// Input of a point.
fn batches(device: &ComputeDevice, settings: &Settings, point: Point) -> Result<Vec<Batch>, MeasureError> {
    let (config, shape) = (point.config(settings), point.shape(settings));
    let batch = |i| Batch::random(&config, shape, settings.seed.wrapping_add(1 + i), &device.device);
    (0..BATCHES as u64).map(batch).collect::<Result<_, _>>().map_err(|e| MeasureError::Model(e.into()))
}

/// A cell of which nothing has been measured yet.
pub(super) fn empty_cell(device: &ComputeDevice, settings: &Settings, point: Point, n_params: u64) -> Cell {
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
        epoch_unix_s: None,
        warmup_s: None,
        gpu_before: None,
        gpu_after: None,
        launch: None,
        contaminated: None,
    }
}
