//! Where a loop's start ends: compilation, caches and the first data.

use super::pauses::Limit;
use super::spans::Span;
use crate::stats::batch_means::lag1;
use crate::stats::median;

/// The part of the spans that may be warm-up at most.
const MOST: f64 = 0.8;
/// Spans that are steady at least.
const LEAST: usize = 4;
/// Spans a batch, once there are enough of them.
const BATCH: usize = 5;

/// How many of the first spans are far longer than steady ones: a start that few steps pay for.
pub(super) fn long_start(spans: &[Span], limit: Limit) -> usize {
    let long = spans.iter().take_while(|span| limit.is_exceeded(span)).count();
    if spans.len() - long < LEAST { 0 } else { long }
}

/// How many of the first spans are slower than the rest; pauses have to be left out.
///
/// The marginal standard error rule on batches of five (MSER-5: White, Simulation 69, 1997; White, Cobb and Spratt,
/// WSC 2000): the cut that leaves the mean of the rest with the least standard error. Before, each span takes the median
/// of itself and its neighbours, so that no single one decides. What is cut has to be slower than the rest by three
/// standard errors that allow for correlation; a pace that rises is drift.
pub(super) fn truncation(spans: &[Span]) -> usize {
    let paces: Vec<f64> = spans.iter().map(Span::pace).collect();
    let smooth: Vec<f64> = (0..paces.len())
        .map(|i| median(&paces[i.saturating_sub(1)..(i + 2).min(paces.len())]).unwrap_or(paces[i]))
        .collect();
    let batch = if smooth.len() >= 20 * BATCH { BATCH } else { 1 };
    let means: Vec<f64> = smooth.chunks_exact(batch).map(|b| b.iter().sum::<f64>() / b.len() as f64).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than a length")]
    let most = ((means.len() as f64 * MOST) as usize).min(means.len().saturating_sub(LEAST));
    let (mut sum, mut squares, mut best, mut least) = (0.0, 0.0, 0, f64::INFINITY);
    let shift = means.last().copied().unwrap_or(0.0);
    for (at, mean) in means.iter().enumerate().rev() {
        sum += mean - shift;
        squares += (mean - shift).powi(2);
        let n = (means.len() - at) as f64;
        let error = (squares - sum * sum / n).max(0.0) / (n * n);
        if at <= most && error <= least {
            (best, least) = (at, error);
        }
    }
    if best > 0 && slower(&means[..best], &means[best..]) { best * batch } else { 0 }
}

/// Whether the head is slower than the rest beyond chance.
fn slower(head: &[f64], rest: &[f64]) -> bool {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let middle = mean(rest);
    let variance = rest.iter().map(|x| (x - middle).powi(2)).sum::<f64>() / (rest.len() - 1) as f64;
    let r = lag1(rest);
    let error = (variance * (1.0 + r) / (1.0 - r) * (1.0 / head.len() as f64 + 1.0 / rest.len() as f64)).sqrt();
    mean(head) - middle > 3.0 * error
}
