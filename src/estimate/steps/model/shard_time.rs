//! Seconds of the part of a model that one of several devices computes.

use super::efficiency::Efficiency;
use super::figures::DeviceFigures;
use super::step_time::{ADAMW_BYTES, FUSED_BACKWARD, between_s, product_s, rates, width_between};
use crate::catalog::Software;
use crate::model::{Operator, OperatorKind};

/// How the kernels of programs for many devices differ from what the model of one device says: factors, 1 where they do not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// On how much less efficient narrow products are than wide ones.
    pub size: f64,
    /// On seconds of products, attention's among them.
    pub products: f64,
    /// On seconds of element-wise work that a tensor group shares: activations, softmax, losses.
    pub shared: f64,
    /// On seconds of element-wise work that each device of it does whole: norms, residuals, embeddings.
    pub whole: f64,
}

/// Seconds of a micro-batch on a device, as long as it computes, and its kernels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ShardTime {
    /// Seconds of forward.
    pub forward: f64,
    /// Seconds of forward and backward.
    pub train: f64,
    /// Of `train`, what each device of a tensor group does whole, unless the tokens are shared out.
    pub whole: f64,
    /// Of `forward`, scores, softmax and values where they are computed one by one: what is computed again selectively.
    pub scores: f64,
    /// Of `train`, attention in one kernel: what keys and values that go around among devices can hide behind.
    pub fused: f64,
    /// Kernels of forward and backward.
    pub kernels: f64,
    /// The least seconds of `train`: its products at the peak of the device.
    pub least: f64,
}

impl Efficiency {
    /// Seconds of `operators` on one device. `softmax` is the part of the scores that a softmax works on.
    #[must_use]
    pub fn shard(
        &self,
        figures: &DeviceFigures,
        operators: &[Operator],
        (software, softmax): (Software, f64),
        tuning: &Tuning,
    ) -> ShardTime {
        let (values, layout) = self.constants();
        let mut rates = rates(values, layout, figures, software);
        rates.size *= tuning.size;
        // However well tuned, no product is faster than the peak.
        let faster = |rate: f64| (rate / tuning.products).min(figures.peak);
        rates.product = faster(rates.product);
        rates.attention = faster(rates.attention);
        rates.fused = faster(rates.fused);
        let width = figures.dtype.bytes() as f64;
        let between = width_between(software, width);
        let mut time = ShardTime::default();
        for operator in operators {
            let count = operator.count as f64;
            let flop = 2.0 * operator.products as f64 * operator.m as f64 * operator.n as f64 * operator.k as f64;
            let bytes = operator.elements as f64 * width;
            let (forward, train) = match operator.kind {
                OperatorKind::Gemm | OperatorKind::LowRankGemm | OperatorKind::Projection => {
                    let forward = product_s(operator, width, &rates);
                    let backward: f64 = operator.gradients().iter().map(|g| product_s(g, width, &rates)).sum();
                    (forward, forward + backward)
                }
                OperatorKind::Attention => {
                    let forward = (flop / rates.attention).max(bytes / rates.bandwidth);
                    time.scores += count * forward;
                    (forward, 3.0 * forward)
                }
                OperatorKind::FusedAttention => {
                    let forward = (flop / rates.fused).max(bytes / rates.bandwidth);
                    let train = (1.0 + FUSED_BACKWARD) * forward;
                    time.fused += count * train;
                    (forward, train)
                }
                OperatorKind::Softmax => {
                    let times =
                        between_s(operator, tuning.shared * softmax * between * rates.softmax / rates.bandwidth);
                    time.scores += count * times.0;
                    times
                }
                OperatorKind::Gelu | OperatorKind::BeforeAttention | OperatorKind::CrossEntropy => {
                    between_s(operator, tuning.shared * between * rates.traffic / rates.bandwidth)
                }
                OperatorKind::LayerNorm | OperatorKind::Residual | OperatorKind::Cast | OperatorKind::Embedding => {
                    let times = between_s(operator, tuning.whole * between * rates.traffic / rates.bandwidth);
                    time.whole += count * times.1;
                    times
                }
            };
            time.forward += count * forward;
            time.train += count * train;
            time.kernels += operator.kernels as f64 * count;
            time.least += 3.0 * count * flop / figures.peak;
        }
        time
    }

    /// Seconds that AdamW takes for `n_params` parameters whose states are on the device: 28 bytes each at the bandwidth that
    /// the model reaches.
    #[must_use]
    pub fn update_s(&self, figures: &DeviceFigures, n_params: f64, software: Software) -> f64 {
        let (values, layout) = self.constants();
        ADAMW_BYTES * n_params / rates(values, layout, figures, software).bandwidth
    }
}
