//! The campaign: which cells, in which order, until when.

use std::path::Path;
use std::time::{Duration, Instant};

use super::baseline::{self, Measured};
use super::memory;
use super::phase::{GROUPS, await_phase};
use super::runner::{Runner, empty_cell};
use super::{ComputeDevice, MeasureError, Meters};
use crate::model::{Arch, Config, Family, Ops, StepShape, count_params, training_memory};
use crate::record::{Cell, Environment, Pass, Record, SCHEMA, Settings, Status, Warning, Workload};
use crate::sensor::{GpuWatch, Sampler, Timing};

/// One visit lasts at least this long, so that a meter sees it.
const VISIT: Duration = Duration::from_secs(1);
/// Visits of a cell to a slow sensor share a window of 10 s, at as many phases of the sensor.
const SLOW_VISIT: Duration = Duration::from_millis(10_000 / GROUPS as u64);
/// Activations that the graph keeps, over the count of the literature: seen are 1.0 with fused operations and 3.2 with
/// candle's own, each of which keeps its result (BERT-base, 4 x 128); rounded up.
fn graph_overhead(ops: Ops) -> f64 {
    match ops {
        Ops::Fused => 1.3,
        Ops::Stock => 3.5,
    }
}
/// Tokens in a batch on a CPU: enough rows for its matrix products to be at their full rate, few enough
/// for a step of BERT-base to take seconds.
const CPU_TOKENS: usize = 512;
/// Tokens in a batch on a GPU.
const GPU_TOKENS: usize = 16_384;

/// An architecture at a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The architecture.
    pub arch: Arch,
    /// Tokens in a sequence.
    pub seq_len: usize,
    /// Sequences in a step.
    pub batch_size: usize,
}

impl Point {
    /// The shape of its step.
    pub(super) fn shape(self, settings: &Settings) -> StepShape {
        StepShape {
            batch_size: self.batch_size,
            seq_len: self.seq_len,
            masked_per_seq: losses_at(&settings.workload, self.seq_len),
        }
    }
}

/// Positions with a loss at a length: those of the workload's phase of that length, if it has one.
fn losses_at(workload: &Workload, seq_len: usize) -> usize {
    let phase = workload.phases.iter().find(|p| p.seq_len == seq_len);
    phase.map_or_else(|| crate::model::masked_per_seq(seq_len), |p| workload.losses(p))
}

/// A campaign to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What every cell shares.
    pub settings: Settings,
    /// The cells, those of one length together.
    pub points: Vec<Point>,
}

impl Plan {
    /// Every architecture at every length.
    ///
    /// # Errors
    /// If the workload cannot be profiled, or an architecture or length does not fit it.
    pub fn new(
        settings: Settings,
        archs: &[Arch],
        seq_lens: &[usize],
        batch_size: Option<usize>,
        on_cpu: bool,
    ) -> Result<Self, MeasureError> {
        let Settings { workload, .. } = &settings;
        if workload.model.family == Family::Decoder {
            return Err(MeasureError::Decoder(workload.name.clone()));
        }
        if workload.model.gated_mlp {
            return Err(MeasureError::Gated(workload.name.clone()));
        }
        let max = workload.model.max_seq_len;
        if let Some(seq_len) = seq_lens.iter().copied().find(|s| *s == 0 || *s > max) {
            return Err(MeasureError::SeqLen { seq_len, workload: workload.name.clone(), max });
        }
        for arch in archs {
            arch.check(&workload.model).map_err(|e| MeasureError::Model(e.into()))?;
        }
        let mut points: Vec<Point> = Vec::new();
        for &seq_len in seq_lens {
            for &arch in archs {
                let batch_size = batch_size.unwrap_or_else(|| auto_batch_size(seq_len, on_cpu));
                let point = Point { arch, seq_len, batch_size };
                if !points.contains(&point) {
                    points.push(point);
                }
            }
        }
        Ok(Self { settings, points })
    }

    fn config(&self) -> Config {
        self.settings.workload.model.clone().with_layers(self.settings.n_layers)
    }
}

/// The batch size to measure at: a power of two with a set number of tokens. Larger batches of the recipe
/// are made of several such micro-batches.
#[must_use]
pub fn auto_batch_size(seq_len: usize, on_cpu: bool) -> usize {
    let tokens = if on_cpu { CPU_TOKENS } else { GPU_TOKENS };
    let most = (tokens / seq_len).max(1);
    1 << most.ilog2()
}

/// How far a campaign is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The cell at work.
    pub cell: String,
    /// What happens to it.
    pub doing: &'static str,
    /// Steps measured of it.
    pub steps: usize,
    /// Cells finished, and all of them.
    pub cells: (usize, usize),
    /// Seconds measured, of the most that will be.
    pub seconds: (f64, f64),
}

/// Is told how far a campaign is.
pub trait Observer {
    /// Called before and after each visit.
    fn progress(&mut self, progress: &Progress);
}

struct Campaign<'a> {
    plan: &'a Plan,
    config: Config,
    device: &'a ComputeDevice,
    sampler: Sampler,
    measured: Vec<Measured>,
    gpu: Option<GpuWatch>,
    epoch: Instant,
    record: Record,
    folder: &'a Path,
    observer: &'a mut dyn Observer,
    /// Seconds measured of all cells; a finished cell counts with the most it could have taken.
    spent_s: f64,
}

/// Runs `plan` on `device` and writes the record into `folder` after each cell. Cells that `previous`
/// already holds are kept and not run again.
///
/// # Errors
/// If the record cannot be written, the settings differ from those of `previous`, or the device fails in
/// another way than running out of memory.
#[expect(clippy::too_many_arguments, reason = "the parts of a campaign, each from another room")]
pub fn run(
    plan: &Plan,
    device: &ComputeDevice,
    environment: Environment,
    meters: Meters,
    created: String,
    previous: Option<Record>,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Record, MeasureError> {
    let epoch = Instant::now();
    let Meters { meters, gpu, .. } = meters;
    let mut record = match previous {
        Some(previous) => continued(previous, plan, &environment)?,
        None => Record {
            schema: SCHEMA,
            tool: tool(),
            created,
            settings: plan.settings.clone(),
            environment,
            cells: Vec::new(),
            warnings: Vec::new(),
        },
    };
    record.save(folder)?;
    let sampler = Sampler::start(epoch, meters);
    let hardware = record.environment.compute.hardware.as_ref();
    observer.progress(&Progress {
        cell: "the idle machine".to_owned(),
        doing: "measuring",
        steps: 0,
        cells: (0, plan.points.len()),
        seconds: (0.0, plan.points.len() as f64 * plan.settings.max_time_s),
    });
    let measured = baseline::measure(&sampler, hardware, plan.settings.max_time_s);
    record.environment.baselines = measured.iter().map(|m| m.baseline.clone()).collect();
    let config = plan.config();
    let mut campaign =
        Campaign { plan, config, device, sampler, measured, gpu, epoch, record, folder, observer, spent_s: 0.0 };
    for group in plan.points.chunk_by(|a, b| a.seq_len == b.seq_len) {
        let open: Vec<Point> = group.iter().copied().filter(|p| !campaign.has(*p)).collect();
        campaign.group(&open)?;
    }
    Ok(campaign.record)
}

/// Name, version and, in a release build, revision of the program.
fn tool() -> String {
    let version = concat!("greenformers ", env!("CARGO_PKG_VERSION"));
    option_env!("GREENFORMERS_REVISION").map_or_else(|| version.to_owned(), |r| format!("{version} (git {r})"))
}

/// The record of an interrupted campaign, if this is the same campaign.
fn continued(mut previous: Record, plan: &Plan, environment: &Environment) -> Result<Record, MeasureError> {
    let (old, new) = (&previous.settings, &plan.settings);
    for (name, same) in [
        ("--workload", old.workload == new.workload),
        ("--layers", old.n_layers == new.n_layers),
        ("--pass", old.pass == new.pass),
        ("--dropout", (old.dropout - new.dropout).abs() < 1e-12),
        ("--dtype", old.dtype == new.dtype),
        ("--ops", old.ops == new.ops),
        ("--seed", old.seed == new.seed),
        ("--device", previous.environment.compute == environment.compute),
    ] {
        if !same {
            return Err(MeasureError::Resume(name));
        }
    }
    previous.schema = SCHEMA;
    previous.cells.retain(|cell| cell.status != Status::Failed);
    Ok(previous)
}

impl Campaign<'_> {
    fn has(&self, point: Point) -> bool {
        let probe = self.blank(point);
        self.record.cells.iter().any(|cell| cell.same_point(&probe))
    }

    fn blank(&self, point: Point) -> Cell {
        let n_params = count_params(&self.config, point.arch);
        empty_cell(self.device, &self.plan.settings, &self.config, point, n_params)
    }

    /// Bytes that a point will need.
    fn need(&self, point: Point) -> u64 {
        let shape = point.shape(&self.plan.settings);
        let estimate = training_memory(&self.config, point.arch, shape, self.plan.settings.dtype);
        let activations = (estimate.activations + estimate.logits) as f64 * graph_overhead(self.plan.settings.ops);
        let state = match self.plan.settings.pass {
            Pass::Train => estimate.state,
            Pass::Infer => estimate.state / 4,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
        let activations = activations as u64;
        state + activations
    }

    /// Measures the points of one length: together if they fit, else one after the other.
    fn group(&mut self, points: &[Point]) -> Result<(), MeasureError> {
        if points.is_empty() {
            return Ok(());
        }
        let available = memory::available_bytes();
        let together: u64 = points.iter().map(|p| self.need(*p)).sum();
        // On a GPU the memory of the machine says nothing; an allocation that fails becomes a row.
        if !self.device.is_cpu() || together <= available / 10 * 8 {
            return self.take_turns(points);
        }
        if points.len() > 1 {
            self.record.warnings.push(Warning::new(
                format!("the architectures at {} tokens do not fit into memory together", points[0].seq_len),
                "they were measured one after the other, so drift of the machine can favour one of them",
                "measure fewer architectures at once, or a smaller `--batch-size`",
            ));
        }
        for &point in points {
            let need = self.need(point);
            if need > memory::available_bytes() {
                let mut cell = self.blank(point);
                cell.status = Status::OutOfMemory;
                cell.error = Some(format!(
                    "not started: needs about {:.1} GB, and {:.1} GB are free",
                    need as f64 / 1e9,
                    memory::available_bytes() as f64 / 1e9
                ));
                self.keep(cell)?;
            } else {
                self.take_turns(&[point])?;
            }
        }
        Ok(())
    }

    fn take_turns(&mut self, points: &[Point]) -> Result<(), MeasureError> {
        // Blocks of the shapes before fit none of these.
        self.device.release_kept();
        let mut runners = Vec::new();
        for &point in points {
            self.tell(&self.blank(point), "preparing");
            match Runner::prepare(self.device, &self.plan.settings, &self.config, point, self.epoch, self.gpu.as_ref())
            {
                Ok(runner) => runners.push(runner),
                Err(error) => self.keep_failure(self.blank(point), &error)?,
            }
        }
        let mut forwards = true;
        while !runners.is_empty() {
            let mut running = Vec::new();
            if !forwards {
                runners.reverse();
            }
            for mut runner in runners {
                self.tell(&runner.cell, "measuring");
                let before = runner.measured;
                let _ = self.sampler.take(); // what was read while others ran
                let slow = self.await_sensor(runner.group());
                self.sampler.read_now();
                let visited = runner.visit(if slow.is_some() { SLOW_VISIT } else { VISIT });
                runner.look_at(self.gpu.as_ref());
                self.spent_s += runner.measured.saturating_sub(before).as_secs_f64();
                let left = self.plan.settings.max_time_s - runner.measured.as_secs_f64();
                if let Some((timing, locked)) = slow {
                    runner.unlocked += u32::from(!locked);
                    std::thread::sleep(Duration::from_secs_f64(timing.settling().0));
                }
                self.sampler.read_now();
                runner.add_readings(self.sampler.take(), &self.measured);
                match visited {
                    Err(error) => self.keep_failure(runner.finish(), &error)?,
                    Ok(()) if runner.is_done() => {
                        self.spent_s += left.max(0.0);
                        self.keep(runner.finish())?;
                    }
                    Ok(()) => running.push(runner),
                }
            }
            if !forwards {
                running.reverse();
            }
            runners = running;
            forwards = !forwards;
        }
        Ok(())
    }

    /// Waits for the phase of a slow sensor at which this group is due; gives the timing of that sensor, and whether
    /// its tick was seen.
    fn await_sensor(&self, group: usize) -> Option<(Timing, bool)> {
        let (meter, timing) = self.measured.iter().enumerate().find_map(|(i, m)| Some((i, m.timing?)))?;
        // What others drew has to be out of its readings first.
        std::thread::sleep(Duration::from_secs_f64(timing.smear().0));
        Some((timing, await_phase(&mut self.sampler.watch(meter)?, timing, group)))
    }

    fn keep(&mut self, cell: Cell) -> Result<(), MeasureError> {
        self.record.cells.push(cell);
        self.record.save(self.folder)?;
        Ok(())
    }

    /// A cell that failed is a row, and the campaign goes on.
    fn keep_failure(&mut self, mut cell: Cell, error: &MeasureError) -> Result<(), MeasureError> {
        let out_of_memory = matches!(error, MeasureError::Model(e) if e.is_out_of_memory());
        cell.status = if out_of_memory { Status::OutOfMemory } else { Status::Failed };
        cell.error = Some(error.to_string());
        self.keep(cell)
    }

    fn tell(&mut self, cell: &Cell, doing: &'static str) {
        let all = self.plan.points.len() as f64 * self.plan.settings.max_time_s;
        let finished = self.record.cells.len();
        self.observer.progress(&Progress {
            cell: cell.label(),
            doing,
            steps: cell.steps.len(),
            cells: (finished, self.plan.points.len()),
            seconds: (self.spent_s.min(all), all),
        });
    }
}
