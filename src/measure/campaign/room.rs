//! What fits into memory: how many sequences a batch may have, and which cells there is room for.

use super::Campaign;
use super::batch_size::largest_that_fits;
use crate::measure::runner::Runner;
use crate::measure::{MeasureError, Point};
use crate::model::{
    Config, HeadTiles, Ops, StepShape, count_params, peak_of_forward_pass, peak_of_train_step, training_memory,
};
use crate::record::{Cell, Pass};
use crate::units::DType;

/// What a step may take beyond what is predicted: the largest error that was seen is 6 %.
const MARGIN: f64 = 1.08;
/// Activations that candle's graph keeps, over the count of the literature, since each of its operations keeps its result: seen
/// is 3.2 (BERT-base, 4 x 128); rounded up.
const STOCK_GRAPH: f64 = 3.5;

/// Bytes that a step will need, a little more rather than less.
fn bytes_of_step(config: &Config, point: Point, shape: StepShape, (is_fused, tiles): (bool, HeadTiles)) -> u64 {
    let Point { arch, dtype, pass, .. } = point;
    let bytes = match (pass, is_fused) {
        (Pass::Train, true) => MARGIN * peak_of_train_step(config, arch, shape, dtype, tiles) as f64,
        (Pass::Infer, true) => MARGIN * peak_of_forward_pass(config, arch, shape, dtype, tiles) as f64,
        (_, false) => {
            let estimate = training_memory(config, arch, shape, dtype);
            let state = if pass == Pass::Train { estimate.state } else { estimate.state / 4 };
            state as f64 + STOCK_GRAPH * (estimate.activations as f64 + estimate.logits as f64)
        }
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
    let bytes = bytes as u64;
    bytes
}

impl Campaign<'_> {
    /// Bytes that a point will need.
    pub(super) fn need(&self, point: Point) -> u64 {
        let settings = &self.plan.settings;
        // On a CPU half precision has no fused operations.
        let is_fused = settings.ops == Ops::Fused && (!self.device.is_cpu() || point.dtype == DType::F32);
        let tiles = if self.device.is_cpu() { HeadTiles::Cpu } else { HeadTiles::Gpu };
        bytes_of_step(&point.config(settings), point, point.shape(settings), (is_fused, tiles))
    }

    /// The points of one length and dtype with a batch that fits: the same for all of them, so that they can be
    /// compared, and that of those which are measured already.
    pub(super) fn with_a_batch_that_fits(&mut self, points: &[Point]) -> Result<Vec<Point>, MeasureError> {
        let mut points = points.to_vec();
        // Forward passes are those of one sequence.
        if !self.plan.fit_batches || points.iter().any(|p| p.pass != self.plan.settings.pass) {
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
        self.tell(&self.called(&self.blank(hungriest)), "finding the batch that fits", 0, 0.0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::measure::Aim;
    use crate::model::Arch;
    use crate::record::Workload;

    #[test]
    fn a_long_sequence_is_not_refused_for_scores_that_are_never_kept() {
        let workload: Workload = Catalog::default().load("bert-base").expect("in the catalog");
        let gb = |seq_len: usize, dtype, is_fused| {
            let config = workload.model.clone().with_room_for(seq_len);
            let shape = StepShape { batch_size: 1, seq_len, masked_per_seq: seq_len.div_ceil(7) };
            let (pass, aim) = (Pass::Train, Aim::Run);
            let (arch, n_layers) = (Arch::Dense, 12);
            let point = Point { arch, seq_len, batch_size: 1, n_layers, dtype, pass, aim };
            bytes_of_step(&config, point, shape, (is_fused, HeadTiles::Cpu)) as f64 / 1e9
        };
        // A step of 1 x 2048 was seen to take 2.81 GB, one of 1 x 4096 4.14 GB.
        assert!((2.8..3.1).contains(&gb(2048, DType::F32, true)), "{}", gb(2048, DType::F32, true));
        assert!((3.9..4.7).contains(&gb(4096, DType::F32, true)), "{}", gb(4096, DType::F32, true));
        // With candle's own operations the scores of 12 heads are kept in each layer, several times.
        assert!(gb(4096, DType::F32, false) > 60.0);
    }
}
