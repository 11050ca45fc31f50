//! The campaign: which cells, in which order, until when.

mod batch_size;
mod room;
mod turns;

use std::path::Path;
use std::time::{Duration, Instant};

use super::baseline::{self, MeasuredMeter};
use super::load;
use super::runner::empty_cell;
use super::{ComputeDevice, MeasureError, Meters, Plan, Point, ceilings, go_on};
use crate::machine::Stop;
use crate::model::count_params;
use crate::record::{Cell, Environment, Record, SCHEMA, Status};
use crate::sensor::{GpuWatch, Sampler};

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
    measured: Vec<MeasuredMeter>,
    gpu: Option<GpuWatch>,
    epoch: Instant,
    epoch_unix_s: f64,
    record: Record,
    folder: &'a Path,
    observer: &'a mut dyn Observer,
    stop: &'a Stop,
    load: load::LoadWatch,
    /// Seconds measured of all cells; a finished cell counts with the most it could have taken.
    spent_s: f64,
    /// Whether the device is at the temperature of work already.
    warm: bool,
}

/// What a campaign begins with.
pub struct Beginning {
    /// The machine and the program.
    pub environment: Environment,
    /// What is read meanwhile.
    pub meters: Meters,
    /// The date, RFC 3339 with zone.
    pub created: String,
    /// The same as Unix time.
    pub epoch_unix_s: f64,
    /// The record to go on with: cells that it holds are kept and not run again.
    pub previous: Option<Record>,
}

/// Runs `plan` on `device`, now, and writes the record into `folder` after each cell.
///
/// # Errors
/// If the record cannot be written, the settings differ from those of `previous`, or the device fails in
/// another way than running out of memory.
pub fn run(
    plan: &Plan,
    device: &ComputeDevice,
    beginning: Beginning,
    folder: &Path,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Record, MeasureError> {
    let epoch = Instant::now();
    let Beginning { environment, meters: Meters { meters, gpu, .. }, created, epoch_unix_s, previous } = beginning;
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
    go_on(stop)?;
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
        load: load::LoadWatch::new(),
        spent_s: 0.0,
        warm: false,
    };
    for group in plan.points.chunk_by(|a, b| (a.seq_len, a.dtype, a.pass) == (b.seq_len, b.dtype, b.pass)) {
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

    /// What a cell is called while it is measured: with its layers, where several depths are.
    fn called(&self, cell: &Cell) -> String {
        let points = &self.plan.points;
        if points.iter().any(|p| p.n_layers != points[0].n_layers) {
            format!("{}, {} layers", cell.label(), cell.n_layers)
        } else {
            cell.label()
        }
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
