//! The pace of the steps to come, from the pace of those that were seen.

use super::scenarios::Reach;
use super::spans::Span;
use crate::stats::batch_means::lag1;
use crate::stats::{Cholesky, Component};

/// Blocks into which the spans are grouped.
const BLOCKS: usize = 16;
/// Standard deviation of the change of pace over a whole loop, as a part of it: longer sequences, warmer machines.
const DRIFT: f64 = 0.15;
/// How far a pace may wander over a whole loop beside that: standard deviation of a random walk, as a part of the pace,
/// with how likely each is. Only what was seen makes the large ones likely: a pace that moved in steps.
const WANDER: [(f64, f64); 6] = [(0.0, 0.9), (0.03, 0.06), (0.1, 0.02), (0.3, 0.01), (1.0, 0.007), (3.0, 0.003)];
/// Factors of the noise of the spans, evenly spaced in their logarithm, and how far off that noise may be however many
/// spans there are.
const FACTORS: [f64; 8] = [0.16, 0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0];
const FACTOR_LN_SD: f64 = 0.5;
/// Levels that are handed on.
const LEVELS: usize = 5;

/// Scatter of the spans' paces about the level: a first-order autoregression.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noise {
    /// How likely it is.
    pub(super) weight: f64,
    /// Standard deviation of one span's pace.
    pub(super) sd: f64,
    /// Correlation between neighbours.
    pub(super) lag1: f64,
}

/// What the noise of the spans may be.
pub(super) fn noises(spans: &[Span], tick_s: f64) -> Vec<Noise> {
    let paces: Vec<f64> = spans.iter().map(Span::pace).collect();
    let n = paces.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = paces.iter().sum::<f64>() / n;
    let squares: f64 = (0..paces.len()).map(|i| (i as f64 - middle).powi(2)).sum();
    let slope = paces.iter().enumerate().map(|(i, p)| (i as f64 - middle) * (p - mean)).sum::<f64>() / squares.max(1.0);
    let rest: Vec<f64> = paces.iter().enumerate().map(|(i, p)| p - mean - slope * (i as f64 - middle)).collect();
    let variance = rest.iter().map(|x| x * x).sum::<f64>() / (n - 2.0).max(1.0);
    // What the clock adds is no noise of the loop.
    let rounding = rounding(tick_s) * 2.0 * spans.iter().map(|span| span.steps.powi(-2)).sum::<f64>() / n;
    let sd = (variance - rounding).max(0.1 * variance).sqrt().max(1e-5 * mean);
    let r = lag1(&rest);
    // The estimate is low by (1 + 3 r) / n, and by more after a line is taken out (Kendall, Biometrika 41, 1954).
    let (r, error) = ((r + (2.0 + 4.0 * r) / n).min(0.95), ((1.0 - r * r) / n).sqrt());
    let lags = [(r - 1.2 * error, 0.3), (r, 0.4), (r + 1.2 * error, 0.3)];
    let spread = FACTOR_LN_SD.powi(2) + 0.5 / (n - 2.0).max(1.0);
    let of = |factor: f64| (-0.5 * factor.ln().powi(2) / spread).exp();
    let all = FACTORS.into_iter().flat_map(|f| lags.into_iter().map(move |(lag1, weight)| (f, lag1, weight)));
    all.map(|(f, lag1, weight)| Noise { weight: weight * of(f), sd: f * sd, lag1: lag1.clamp(0.0, 0.95) }).collect()
}

/// The variance of a time that is told in ticks.
fn rounding(tick_s: f64) -> f64 {
    tick_s * tick_s / 12.0
}

/// Consecutive spans.
#[derive(Debug, Clone, Copy)]
struct Block {
    pace: f64,
    /// Where its middle lies, from 0 at the first span to 1 at the end of the loop.
    at: f64,
    spans: f64,
    steps: f64,
}

/// The paces of the blocks, in their order.
pub(super) fn block_paces(spans: &[Span]) -> Vec<f64> {
    blocks(spans, Reach { first: 0.0, done: 1.0, total: 1.0, tick_s: 0.0 }).iter().map(|block| block.pace).collect()
}

fn blocks(spans: &[Span], reach: Reach) -> Vec<Block> {
    let count = spans.len().min(BLOCKS);
    let length = (reach.total - reach.first).max(1.0);
    (0..count)
        .map(|i| {
            let part = &spans[i * spans.len() / count..(i + 1) * spans.len() / count];
            let (steps, seconds) = part.iter().fold((0.0, 0.0), |(n, s), span| (n + span.steps, s + span.seconds));
            let middle_of = |span: &Span| (span.from as f64 + 0.5 * span.steps - reach.first) / length * span.steps;
            let at = part.iter().map(middle_of).sum::<f64>() / steps;
            Block { pace: seconds / steps, at, spans: part.len() as f64, steps }
        })
        .collect()
}

/// Mean seconds a step of all steps to come, pauses left out, as some normal distributions.
///
/// The paces of blocks are their level, a line whose slope has the prior of `DRIFT`, a random walk, and the noise of
/// their spans. Each noise and each walk is weighed by its restricted likelihood (Patterson and Thompson, Biometrika 58,
/// 1971), and under each the steps to come have their best linear prediction with the variance of universal kriging
/// (Cressie, Statistics for Spatial Data, 1993, §3.4). What the data do not tell thus stays as wide as the prior.
pub(super) fn levels(spans: &[Span], reach: Reach, noises: &[Noise], wander: &[(f64, f64)]) -> Vec<Component> {
    let blocks = blocks(spans, reach);
    let steps = spans.iter().map(|span| span.steps).sum::<f64>();
    let pace = spans.iter().map(|span| span.seconds).sum::<f64>() / steps;
    let length = (reach.total - reach.first).max(1.0);
    let ahead = Ahead {
        from: (reach.done - reach.first) / length,
        spans: ((reach.total - reach.done) * spans.len() as f64 / steps).max(1.0),
        pace,
        rounding: rounding(reach.tick_s),
    };
    let mut found: Vec<(f64, Component)> = noises
        .iter()
        .flat_map(|noise| wander.iter().map(move |walk| (noise, walk)))
        .filter_map(|(noise, &(walk, likely))| {
            let (ln_likelihood, level) = predict(&blocks, &ahead, noise, walk)?;
            Some((ln_likelihood + (noise.weight * likely).ln(), level))
        })
        .collect();
    let most = found.iter().map(|(ln, _)| *ln).fold(f64::NEG_INFINITY, f64::max);
    found.retain(|(ln, _)| *ln > most - 14.0);
    merged(found.into_iter().map(|(ln, level)| Component { weight: (ln - most).exp(), ..level }).collect())
}

/// What a real loop's level may do.
pub(super) fn wander() -> &'static [(f64, f64)] {
    &WANDER
}

/// The steps to come.
struct Ahead {
    from: f64,
    spans: f64,
    pace: f64,
    rounding: f64,
}

/// The logarithm of the likelihood of the blocks' paces, and the mean pace of the steps to come.
fn predict(blocks: &[Block], ahead: &Ahead, noise: &Noise, walk: f64) -> Option<(f64, Component)> {
    let n = blocks.len();
    let (slope, walk) = ((DRIFT * ahead.pace).powi(2), (walk * ahead.pace).powi(2));
    let (origin, r, variance) = (blocks.first()?.at, noise.lag1, noise.sd * noise.sd);
    let mut matrix = vec![0.0; n * n];
    for (i, a) in blocks.iter().enumerate() {
        for (j, b) in blocks[..=i].iter().enumerate() {
            let scatter = if i == j {
                of_mean(r, a.spans) + 1e-9 * ahead.pace * ahead.pace / variance
            } else {
                let between: f64 = blocks[j + 1..i].iter().map(|block| block.spans).sum();
                let near = |m: f64| (1.0 - r.powf(m)) / (1.0 - r) / m;
                r * r.powf(between) * near(a.spans) * near(b.spans)
            };
            // Two blocks share the mark between them: what it gives to one it takes from the other.
            let clock = match i - j {
                0 => 2.0 * ahead.rounding,
                1 => -ahead.rounding,
                _ => 0.0,
            };
            let common = slope * (a.at - origin) * (b.at - origin) + walk * (b.at - origin);
            matrix[i * n + j] = variance * scatter + clock / (a.steps * b.steps) + common;
            matrix[j * n + i] = matrix[i * n + j];
        }
    }
    let factor = Cholesky::new(&matrix, n)?;
    let middle = f64::midpoint(ahead.from, 1.0) - origin;
    let ones = factor.solve(&vec![1.0; n]);
    let precision: f64 = ones.iter().sum();
    let mean = blocks.iter().zip(&ones).map(|(block, one)| block.pace * one).sum::<f64>() / precision;
    let off = factor.solve(&blocks.iter().map(|block| block.pace - mean).collect::<Vec<_>>());
    let common: Vec<f64> = blocks.iter().map(|b| slope * (b.at - origin) * middle + walk * (b.at - origin)).collect();
    let known = factor.solve(&common);
    let squares: f64 = blocks.iter().zip(&off).map(|(block, x)| (block.pace - mean) * x).sum();
    let ln_determinant: f64 = factor.rows().iter().filter_map(|row| row.last()).map(|x| 2.0 * x.ln()).sum();
    let own = slope * middle * middle + walk * (ahead.from - origin + (1.0 - ahead.from) / 3.0);
    let explained: f64 = common.iter().zip(&known).map(|(c, k)| c * k).sum();
    let unknown = (1.0 - known.iter().sum::<f64>()).powi(2) / precision;
    let chance = variance * of_mean(r, ahead.spans);
    let level = Component {
        weight: 1.0,
        mean: mean + common.iter().zip(&off).map(|(c, x)| c * x).sum::<f64>(),
        sd: ((own - explained).max(0.0) + unknown + chance).sqrt(),
    };
    let ln_likelihood = -0.5 * (ln_determinant + precision.ln() + squares);
    (ln_likelihood.is_finite() && level.mean.is_finite() && level.sd.is_finite()).then_some((ln_likelihood, level))
}

/// The variance of the mean of `m` spans over that of one.
fn of_mean(r: f64, m: f64) -> f64 {
    ((1.0 + r) / (1.0 - r) - 2.0 * r * (1.0 - r.powf(m)) / (m * (1.0 - r).powi(2))) / m
}

/// Fewer distributions with the same mean and variance in each of them: those of like width become one.
fn merged(mut all: Vec<Component>) -> Vec<Component> {
    all.sort_by(|a, b| a.sd.total_cmp(&b.sd));
    let total: f64 = all.iter().map(|level| level.weight).sum();
    let mut groups: Vec<Vec<Component>> = vec![Vec::new(); LEVELS];
    let mut below = 0.0;
    for level in all {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the number of groups")]
        let group = (below / total * LEVELS as f64) as usize;
        groups[group.min(LEVELS - 1)].push(level);
        below += level.weight;
    }
    groups.retain(|group| !group.is_empty());
    groups
        .iter()
        .map(|group| {
            let weight: f64 = group.iter().map(|level| level.weight).sum();
            let mean = group.iter().map(|level| level.weight * level.mean).sum::<f64>() / weight;
            let square = |level: &Component| level.weight * (level.sd.powi(2) + (level.mean - mean).powi(2));
            Component { weight: weight / total, mean, sd: (group.iter().map(square).sum::<f64>() / weight).sqrt() }
        })
        .collect()
}
