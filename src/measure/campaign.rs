//! The campaign: which cells, in which order, until when.

use std::path::Path;
use std::time::{Duration, Instant};

use super::baseline::{self, Measured};
use super::batch_size::largest_that_fits;
use super::load;
use super::memory::Available;
use super::phase::{GROUPS, await_phase};
use super::runner::{Runner, empty_cell};
use super::{ComputeDevice, MeasureError, Meters, Plan, Point, Stop, ceilings};
use crate::model::{Ops, count_params, training_memory};
use crate::record::{Cell, Environment, Pass, Record, SCHEMA, Status, Warning};
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
    device: &'a ComputeDevice,
    sampler: Sampler,
    measured: Vec<Measured>,
    gpu: Option<GpuWatch>,
    epoch: Instant,
    epoch_unix_s: f64,
    record: Record,
    folder: &'a Path,
    observer: &'a mut dyn Observer,
    stop: &'a Stop,
    load: load::Watch,
    /// Seconds measured of all cells; a finished cell counts with the most it could have taken.
    spent_s: f64,
    /// Whether the device is at the temperature of work already.
    warm: bool,
}

/// Runs `plan` on `device`, now, at `(date, Unix time)`, and writes the record into `folder` after each cell. Cells that `previous`
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
    (created, epoch_unix_s): (String, f64),
    previous: Option<Record>,
    folder: &Path,
    observer: &mut dyn Observer,
    stop: &Stop,
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
    let mut warnings = plan.warnings();
    if record.environment.ceilings.is_none() {
        // Under a tight limit of memory the cells come first.
        if device.available_memory().bytes > ceilings::MOST_BYTES {
            record.environment.ceilings = Some(ceilings::measure(device, &plan.settings.dtypes)?);
        } else {
            warnings.push(ceilings::no_room());
        }
    }
    for warning in warnings {
        if !record.warnings.contains(&warning) {
            record.warnings.push(warning);
        }
    }
    stop.check()?;
    let mut campaign = Campaign {
        plan,
        device,
        sampler,
        measured,
        gpu,
        epoch,
        epoch_unix_s,
        record,
        folder,
        observer,
        stop,
        load: load::Watch::new(),
        spent_s: 0.0,
        warm: false,
    };
    for group in plan.points.chunk_by(|a, b| (a.seq_len, a.dtype) == (b.seq_len, b.dtype)) {
        if plan.within.is_some_and(|within| epoch.elapsed() + campaign.longest(group) > within) {
            break;
        }
        device.compute_in(group[0].dtype);
        let group = campaign.with_a_batch_that_fits(group)?;
        let open: Vec<Point> = group.into_iter().filter(|p| !campaign.has(*p)).collect();
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
        ("--dtype", old.dtypes == new.dtypes),
        ("--ops", old.ops == new.ops),
        ("--seed", old.seed == new.seed),
        ("--steps", old.steps == new.steps),
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
    /// The most time that measuring `points` may take, preparing them not counted.
    fn longest(&self, points: &[Point]) -> Duration {
        let open = points.iter().filter(|p| !self.has(**p)).count();
        Duration::from_secs_f64(open as f64 * self.plan.settings.max_time_s)
    }

    fn has(&self, point: Point) -> bool {
        let probe = self.blank(point);
        self.record.cells.iter().any(|cell| cell.same_point(&probe))
    }

    fn blank(&self, point: Point) -> Cell {
        let n_params = count_params(&point.config(&self.plan.settings), point.arch);
        empty_cell(self.device, &self.plan.settings, point, n_params)
    }

    /// Bytes that a point will need.
    fn need(&self, point: Point) -> u64 {
        let settings = &self.plan.settings;
        let estimate = training_memory(&point.config(settings), point.arch, point.shape(settings), point.dtype);
        let activations = (estimate.activations as f64 + estimate.logits as f64) * graph_overhead(settings.ops);
        let state = match settings.pass {
            Pass::Train => estimate.state,
            Pass::Infer => estimate.state / 4,
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
        let activations = activations as u64;
        state.saturating_add(activations)
    }

    /// The points of one length and dtype with a batch that fits: the same for all of them, so that they can be
    /// compared, and that of those which are measured already.
    fn with_a_batch_that_fits(&mut self, points: &[Point]) -> Result<Vec<Point>, MeasureError> {
        let mut points = points.to_vec();
        if !self.plan.fit_batches {
            return Ok(points);
        }
        let same = |c: &&Cell| {
            points.iter().any(|p| c.same_point(&self.blank(Point { batch_size: c.shape.batch_size, ..*p })))
        };
        let batch_size = match self.record.cells.iter().find(same) {
            Some(cell) => cell.shape.batch_size,
            None => self.largest_batch(&points)?,
        };
        for point in &mut points {
            point.batch_size = batch_size;
        }
        Ok(points)
    }

    /// The largest batch of which a step of the hungriest of `points` fits, beside the weights of the others.
    fn largest_batch(&mut self, points: &[Point]) -> Result<usize, MeasureError> {
        let Some(hungriest) = points.iter().copied().max_by_key(|p| self.need(*p)) else { return Ok(1) };
        let settings = &self.plan.settings;
        let state_of = |p: &Point| count_params(&p.config(settings), p.arch).saturating_mul(16);
        let others: u64 = points.iter().filter(|p| **p != hungriest).map(state_of).fold(0, u64::saturating_add);
        self.tell(&self.blank(hungriest).label(), "finding the batch that fits", 0, 0.0);
        let one = Point { batch_size: 1, ..hungriest };
        let mut runner = match Runner::build(self.device, settings, one, (self.epoch, self.stop)) {
            Ok(runner) => runner,
            // The cells will say so, each for itself.
            Err(MeasureError::Model(error)) if error.is_out_of_memory() => return Ok(1),
            Err(error) => return Err(error),
        };
        let free = self.device.available_memory().bytes.saturating_sub(others);
        largest_that_fits(hungriest.batch_size, free, |batch_size| runner.peak_of_a_step(batch_size))
    }

    /// Measures the points of one length: together if they fit, else one after the other.
    fn group(&mut self, points: &[Point]) -> Result<(), MeasureError> {
        if points.is_empty() {
            return Ok(());
        }
        let available = self.device.available_memory().bytes;
        let together: u64 = points.iter().map(|p| self.need(*p)).fold(0, u64::saturating_add);
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
            let Available { bytes, whose } = self.device.available_memory();
            if need > bytes {
                let mut cell = self.blank(point);
                cell.status = Status::OutOfMemory;
                cell.error = Some(format!(
                    "not started: needs about {:.3} GB, and {whose} {:.3} GB",
                    need as f64 / 1e9,
                    bytes as f64 / 1e9
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
            // Without a meter, how fast it is matters alone.
            let is_warm = self.warm || self.measured.is_empty();
            self.tell(&self.blank(point).label(), "preparing", 0, 0.0);
            let (clock, gpu) = ((self.epoch, self.stop), (self.gpu.as_ref(), is_warm));
            match Runner::prepare(self.device, &self.plan.settings, point, clock, gpu) {
                Ok(runner) => {
                    // It goes on being used without a pause that would let it cool down.
                    self.warm = true;
                    runners.push(runner);
                }
                Err(error @ MeasureError::Stopped { .. }) => return Err(error),
                Err(error) => self.keep_failure(self.blank(point), &error)?,
            }
        }
        let mut forwards = true;
        while !runners.is_empty() {
            let mut running = Vec::new();
            if !forwards {
                runners.reverse();
            }
            let mut waiting = runners.into_iter();
            while let Some(mut runner) = waiting.next() {
                let (label, ran) = (runner.cell.label(), runner.cell.steps.len());
                let before = runner.measured;
                let _ = self.sampler.take(); // what was read while others ran
                let slow = self.await_sensor(runner.group());
                self.sampler.read_now();
                let began = self.load.now();
                let visited = runner.visit(if slow.is_some() { SLOW_VISIT } else { VISIT }, &mut |steps, elapsed| {
                    self.tell(&label, "measuring", ran + steps, elapsed.as_secs_f64());
                });
                runner.disturbance.add(began, self.load.now());
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
                    Err(error @ MeasureError::Stopped { .. }) => {
                        return self.keep_unfinished([runner].into_iter().chain(running).chain(waiting), error);
                    }
                    Err(error) => self.keep_failure(runner.finish(&self.load), &error)?,
                    Ok(()) if runner.is_done() => {
                        self.spent_s += left.max(0.0);
                        self.keep(runner.finish(&self.load))?;
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
        self.record.cells.push(Cell { epoch_unix_s: Some(self.epoch_unix_s), ..cell });
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

    /// What was measured of cells that are not finished is kept as rows that say so; `--resume` measures them again.
    fn keep_unfinished<'r>(
        &mut self,
        runners: impl Iterator<Item = Runner<'r>>,
        error: MeasureError,
    ) -> Result<(), MeasureError> {
        for runner in runners.filter(|r| !r.cell.steps.is_empty()) {
            let mut cell = runner.finish(&self.load);
            cell.status = Status::Failed;
            cell.error = Some(format!("{error} after {} steps: `--resume` measures it again", cell.steps.len()));
            self.record.cells.push(Cell { epoch_unix_s: Some(self.epoch_unix_s), ..cell });
        }
        self.record.save(self.folder)?;
        Err(error)
    }

    fn tell(&mut self, cell: &str, doing: &'static str, steps: usize, elapsed_s: f64) {
        let all = self.plan.points.len() as f64 * self.plan.settings.max_time_s;
        let finished = self.record.cells.len();
        self.observer.progress(&Progress {
            cell: cell.to_owned(),
            doing,
            steps,
            cells: (finished, self.plan.points.len()),
            seconds: ((self.spent_s + elapsed_s).min(all), all),
        });
    }
}
