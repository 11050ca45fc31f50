//! One architecture at one shape, ready to run steps.

mod outcome;
mod steady;
mod timestamp;
mod warm_up;

use std::time::{Duration, Instant};

use candle_core::Tensor;

use self::timestamp::Timestamp;
use super::load::Disturbance;
use super::phase::GROUPS;
use super::{Aim, ComputeDevice, MeasureError, Point, go_on};
use crate::machine::Stop;
use crate::nn::{AdamW, AdamWConfig, Input, Model, NnError, Params, PassConfig, Tape, tensor_dtype};
use crate::record::{Cell, Pass, Settings, Step};
use crate::sensor::GpuWatch;
use crate::stats::{batch_means, median};

pub(super) use outcome::empty_cell;
pub(super) use steady::WarmUp;
pub(super) use warm_up::{LAUNCHES, WARMUP_STEPS};

/// Batches that take turns, so that no step sees the tokens of the one before.
const BATCHES: usize = 4;
/// Steps before a cell can be done: of short ones, and of those that take longer than [`LONG_STEP_S`], of which fewer say as
/// much, since each averages over more of what disturbs it.
pub(super) const LEAST_STEPS: (usize, usize) = (5, 3);
const LONG_STEP_S: f64 = 2.0;
/// Relative half width of the step times of two architectures at which their ratio is known to 5 %.
const CURVE_PRECISION: f64 = 0.05 / std::f64::consts::SQRT_2;
/// Least seconds that a point of a curve is measured for.
const CURVE_TIME_S: f64 = 1.0;
/// A window in which a slow sensor is read lasts at least so many seconds and updates of the sensor: a hundred updates
/// leave 1 % to the one that is cut at each end.
const WINDOW: (f64, f64) = (10.0, 100.0);

pub(super) struct Runner<'a> {
    device: &'a ComputeDevice,
    settings: &'a Settings,
    epoch: Instant,
    stop: &'a Stop,
    point: Point,
    model: Model,
    optimizer: Option<AdamW>,
    batches: Vec<Input>,
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
            runner.warm_up_until_steady(gpu, is_warm)?;
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
        let model = Model::new(config, point.arch, params)?;
        let optimizer = match point.pass {
            Pass::Train => Some(AdamW::new(model.params(), AdamWConfig::default(), settings.ops)?),
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
            Err(MeasureError::Model(error)) if error.is_for_want_of_room() => Ok(None),
            Err(error) => Err(error),
        }
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
        let origin = Timestamp::after_all_of(self.device)?;
        let mut steps: Vec<Vec<Timestamp>> = Vec::new();
        let (loss, stopped) = loop {
            let mut timestamps = Vec::with_capacity(4);
            let loss = self.step(&mut |device| {
                timestamps.push(Timestamp::after_all_of(device)?);
                Ok(())
            })?;
            if let Some(last) = steps.last().and_then(|step| step.last()) {
                last.wait()?;
            }
            steps.push(timestamps);
            tell(steps.len(), began.elapsed());
            if let Err(stopped) = go_on(self.stop) {
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

    /// A step from the timestamps between its phases, in a visit that began at `start_s` with `origin`.
    fn step_of(&self, timestamps: &[Timestamp], start_s: f64, origin: &Timestamp) -> Result<Step, MeasureError> {
        let phase = |i: usize| timestamps.get(i + 1).map_or(Ok(0.0), |end| end.since(&timestamps[i]));
        Ok(Step {
            visit: self.visits,
            start_s: start_s + timestamps[0].since(origin)?,
            forward_s: phase(0)?,
            backward_s: phase(1)?,
            optimizer_s: phase(2)?,
        })
    }

    /// One step by itself.
    fn timed_step(&mut self) -> Result<Step, MeasureError> {
        go_on(self.stop)?;
        let mut timestamps = Vec::with_capacity(4);
        self.step(&mut |device| {
            timestamps.push(Timestamp::after_all_of(device)?);
            Ok(())
        })?;
        self.step_of(&timestamps, 0.0, &timestamps[0])
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
        if self.settings.steps.is_some() {
            return true;
        }
        let times: Vec<f64> = self.cell.steps.iter().map(Step::total_s).collect();
        let mean = batch_means(&times);
        // Of one step too it is known whether it is long.
        let is_long = median(&times).is_some_and(|s| s > LONG_STEP_S);
        let least = if is_long { LEAST_STEPS.1 } else { LEAST_STEPS.0 };
        if self.measured.as_secs_f64() >= self.settings.max_time_s {
            // Below three steps nothing is known of their scatter, however long one takes.
            return !is_long || times.len() >= least;
        }
        let (precision, min_time_s) = match self.point.aim {
            Aim::Run => (self.settings.precision, self.settings.min_time_s),
            Aim::Curve => (self.settings.precision.max(CURVE_PRECISION), self.settings.min_time_s.min(CURVE_TIME_S)),
        };
        let reached = mean.is_some_and(|m| times.len() >= least && m.interval().relative_half_width() <= precision);
        self.precise = if reached { self.precise + 1 } else { 0 };
        let in_a_row = if is_long { 1 } else { 2 };
        self.precise >= in_a_row && self.measured.as_secs_f64() >= min_time_s.max(self.window_s())
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
        let loss = self.model.loss(batch, &tape)?;
        between(self.device)?;
        if let Some(optimizer) = &mut self.optimizer {
            let gradients = tape.backward(&loss, None).map_err(NnError::from)?;
            between(self.device)?;
            optimizer.step(self.model.params(), &gradients)?;
            drop(gradients);
            between(self.device)?;
        }
        Ok(loss)
    }
}

/// Input of a point.
fn batches(device: &ComputeDevice, settings: &Settings, point: Point) -> Result<Vec<Input>, MeasureError> {
    let (config, shape) = (point.config(settings), point.shape(settings));
    let batch = |i| Input::random(&config, shape, settings.seed.wrapping_add(1 + i), &device.device);
    (0..BATCHES as u64).map(batch).collect::<Result<_, _>>().map_err(MeasureError::Model)
}
