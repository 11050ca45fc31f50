//! The architectures of one length take turns, and each becomes a row of the record.

use std::time::Duration;

use super::Campaign;
use crate::measure::memory::Available;
use crate::measure::phase::{GROUPS, await_phase};
use crate::measure::runner::Runner;
use crate::measure::{MeasureError, Point};
use crate::meter::Timing;
use crate::record::{Cell, Status, Warning};

/// One visit lasts at least this long, so that a meter sees it.
const VISIT: Duration = Duration::from_secs(1);
/// Visits of a cell to a slow sensor share a window of 10 s, at as many phases of the sensor.
const SLOW_VISIT: Duration = Duration::from_millis(10_000 / GROUPS as u64);

impl Campaign<'_> {
    /// Measures the points of one length: together if they fit, else one after the other.
    pub(super) fn group(&mut self, points: &[Point]) -> Result<(), MeasureError> {
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
            self.tell(&self.called(&self.blank(point)), "preparing", 0, 0.0);
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
                let (label, ran) = (self.called(&runner.cell), runner.cell.steps.len());
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
                    std::thread::sleep(Duration::from_secs_f64(timing.settling_s()));
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
        std::thread::sleep(Duration::from_secs_f64(timing.smear_s()));
        Some((timing, await_phase(&mut self.sampler.watch(meter)?, timing, group)))
    }

    fn keep(&mut self, cell: Cell) -> Result<(), MeasureError> {
        self.record.cells.push(Cell { epoch_unix_s: Some(self.epoch_unix_s), ..cell });
        self.record.save(self.folder)?;
        Ok(())
    }

    /// A cell that failed is a row, and the campaign goes on.
    fn keep_failure(&mut self, mut cell: Cell, error: &MeasureError) -> Result<(), MeasureError> {
        let out_of_memory = matches!(error, MeasureError::Model(e) if e.is_for_want_of_room());
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
}
