//! What fits into memory: how many sequences a batch may have, and which cells there is room for.

use super::Campaign;
use super::batch_size::largest_that_fits;
use crate::measure::runner::Runner;
use crate::measure::{MeasureError, Point};
use crate::model::{Ops, count_params, training_memory};
use crate::record::{Cell, Pass};

/// Activations that the graph keeps, over the count of the literature: seen are 1.0 with fused operations and 3.2 with
/// candle's own, each of which keeps its result (BERT-base, 4 x 128); rounded up.
fn graph_overhead(ops: Ops) -> f64 {
    match ops {
        Ops::Fused => 1.3,
        Ops::Stock => 3.5,
    }
}

impl Campaign<'_> {
    /// Bytes that a point will need.
    pub(super) fn need(&self, point: Point) -> u64 {
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
    pub(super) fn with_a_batch_that_fits(&mut self, points: &[Point]) -> Result<Vec<Point>, MeasureError> {
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
            Err(MeasureError::Model(error)) if error.is_for_want_of_room() => return Ok(1),
            Err(error) => return Err(error),
        };
        let free = self.device.available_memory().bytes.saturating_sub(others);
        largest_that_fits(hungriest.batch_size, free, |batch_size| runner.peak_of_a_step(batch_size))
    }
}
