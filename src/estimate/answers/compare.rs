//! Architectures side by side: who wins at which length.

use serde::{Serialize, Serializer};

use super::crossover::{Crossover, Curve, PerToken, crossover};
use crate::files::JSON_SCHEMA;
use crate::model::Arch;
use crate::record::{Cell, Pass, Record, Status};
use crate::stats::{Distribution, Interval, Stream};
use crate::units::DType;

/// Draws of each step time.
const TRIALS: usize = 10_000;

/// One architecture at one length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArchRow {
    /// The architecture: in files its specification, `spec`, and its name for people, `label`.
    #[serde(flatten, serialize_with = "named")]
    pub arch: Arch,
    /// Microseconds of a token: step time over tokens.
    pub us_per_token: Interval,
    /// Ratio of step times to dense; 0.7 is 30 % faster.
    pub time_vs_dense: Option<Interval>,
    /// Ratio of energies to dense.
    pub energy_vs_dense: Option<Interval>,
    /// Ratio of FLOPs to dense: what the ratio of times would be if only FLOPs counted.
    pub flop_vs_dense: Option<f64>,
    /// Ratio of peak memories to dense.
    pub memory_vs_dense: Option<f64>,
}

/// One sequence length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LengthComparison {
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a step.
    pub batch_size: usize,
    /// Number format.
    pub dtype: DType,
    /// The architectures, fastest first.
    pub rows: Vec<ArchRow>,
    /// The fastest, if its lead is larger than the uncertainty.
    pub winner: Option<Arch>,
}

/// Forward passes of one architecture at one shape: the view of a device that computes answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InferenceRow {
    /// The architecture.
    #[serde(flatten, serialize_with = "named")]
    pub arch: Arch,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a pass.
    pub batch_size: usize,
    /// Number format.
    pub dtype: DType,
    /// Parameters of the model.
    pub n_params: u64,
    /// Seconds of a pass.
    pub latency_s: Interval,
    /// Ratio of latencies to dense.
    pub latency_vs_dense: Option<Interval>,
    /// Most bytes that were allocated at a time.
    pub peak_memory_bytes: Option<u64>,
}

fn named<S: Serializer>(arch: &Arch, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named {
        spec: Arch,
        label: String,
    }
    Named { spec: *arch, label: arch.label() }.serialize(serializer)
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of the schema.
    pub schema: u32,
    /// Length by length.
    pub lengths: Vec<LengthComparison>,
    /// Where architectures change places along the measured lengths.
    pub crossovers: Vec<Crossover>,
    /// Forward passes.
    pub inference: Vec<InferenceRow>,
}

/// Compares the steps of a record.
#[must_use]
pub fn compare(record: &Record, seed: u64) -> Comparison {
    // A model of fewer layers takes less time whatever its architecture.
    let depth = record.deepest();
    let measured = |pass: Pass| {
        let is_asked = move |c: &&Cell| c.pass == pass && c.n_layers == depth;
        let is_measured = move |c: &&Cell| is_asked(c) && c.status == Status::Ok && c.step_mean().is_some();
        let mut cells: Vec<&Cell> = record.cells.iter().filter(is_measured).collect();
        cells.sort_by_key(|c| (c.dtype, c.shape.seq_len, c.shape.batch_size, c.arch));
        cells
    };
    let train = measured(Pass::Train);
    let same_shape = |a: &&Cell, b: &&Cell| a.shape == b.shape && a.dtype == b.dtype;
    let lengths = train.chunk_by(same_shape).map(|group| at_length(group, seed)).collect();
    let crossovers = train.chunk_by(|a, b| a.dtype == b.dtype).flat_map(|cells| crossovers(cells, seed)).collect();
    let inference = measured(Pass::Infer).chunk_by(same_shape).flat_map(|group| inference(group, seed)).collect();
    Comparison { schema: JSON_SCHEMA, lengths, crossovers, inference }
}

fn inference(cells: &[&Cell], seed: u64) -> Vec<InferenceRow> {
    let dense = cells.iter().find(|c| c.arch == Arch::Dense);
    let row = |cell: &&Cell| InferenceRow {
        arch: cell.arch,
        seq_len: cell.shape.seq_len,
        batch_size: cell.shape.batch_size,
        dtype: cell.dtype,
        n_params: cell.n_params,
        latency_s: Interval::of_draws(time_draws(cell, seed)),
        latency_vs_dense: dense
            .filter(|d| d.arch != cell.arch)
            .map(|d| ratio(&time_draws(cell, seed), &time_draws(d, seed))),
        peak_memory_bytes: cell.peak_memory_bytes,
    };
    cells.iter().map(row).collect()
}

fn at_length(cells: &[&Cell], seed: u64) -> LengthComparison {
    let shape = cells[0].shape;
    let tokens = (shape.batch_size * shape.seq_len) as f64;
    let dense = cells.iter().find(|c| c.arch == Arch::Dense);
    let mut rows: Vec<ArchRow> = cells
        .iter()
        .map(|cell| {
            let other = dense.filter(|d| d.arch != cell.arch);
            ArchRow {
                arch: cell.arch,
                us_per_token: Interval::of_draws(time_draws(cell, seed)).scaled(1e6 / tokens),
                time_vs_dense: other.map(|d| ratio(&time_draws(cell, seed), &time_draws(d, seed))),
                energy_vs_dense: other.and_then(|d| Some(ratio(&energy_draws(cell, seed)?, &energy_draws(d, seed)?))),
                flop_vs_dense: other.map(|d| cell.flop_per_step / d.flop_per_step),
                memory_vs_dense: other.and_then(|d| Some(cell.peak_memory_bytes? as f64 / d.peak_memory_bytes? as f64)),
            }
        })
        .collect();
    rows.sort_by(|a, b| a.us_per_token.mid.total_cmp(&b.us_per_token.mid));
    let winner = clear_winner(cells, &rows, seed);
    LengthComparison { seq_len: shape.seq_len, batch_size: shape.batch_size, dtype: cells[0].dtype, rows, winner }
}

/// The fastest, if the interval of its ratio to the next lies below 1.
fn clear_winner(cells: &[&Cell], rows: &[ArchRow], seed: u64) -> Option<Arch> {
    let cell = |row: &ArchRow| cells.iter().find(|c| c.arch == row.arch);
    let (first, second) = (rows.first()?, rows.get(1)?);
    let lead = ratio(&time_draws(cell(first)?, seed), &time_draws(cell(second)?, seed));
    (lead.high < 1.0).then_some(first.arch)
}

fn stream(cell: &Cell, seed: u64, what: &str) -> Stream {
    Stream::new(seed, &format!("{what} {} {}", cell.arch, cell.shape.seq_len))
}

fn time_draws(cell: &Cell, seed: u64) -> Vec<f64> {
    let Some(mean) = cell.step_mean() else { return Vec::new() };
    let step = mean.total;
    let t = Distribution::StudentT(step.mean, step.standard_error, step.degrees_of_freedom);
    stream(cell, seed, "time").draws(t, TRIALS).into_iter().map(|x| x.max(step.mean * 1e-3)).collect()
}

/// The gain of the meter is the same for all architectures and is left out.
fn energy_draws(cell: &Cell, seed: u64) -> Option<Vec<f64>> {
    let (power, spread) = cell.mean_power()?;
    let noise = stream(cell, seed, "power").draws(Distribution::LogNormal(power, 1.0 + spread), TRIALS);
    Some(noise.iter().zip(time_draws(cell, seed)).map(|(p, t)| p * t).collect())
}

fn ratio(a: &[f64], b: &[f64]) -> Interval {
    Interval::of_draws(a.iter().zip(b).map(|(a, b)| a / b).collect())
}

/// Every pair of architectures of one number format, in time, energy and memory. Of several batches of a length the largest
/// counts.
fn crossovers(cells: &[&Cell], seed: u64) -> Vec<Crossover> {
    let mut archs: Vec<Arch> = cells.iter().map(|c| c.arch).collect();
    archs.sort_unstable();
    archs.dedup();
    let mut found = Vec::new();
    for of in PerToken::ALL {
        let curves: Vec<Curve> = archs.iter().map(|arch| curve(cells, *arch, of, seed)).collect();
        for (i, a) in curves.iter().enumerate() {
            found.extend(curves[i + 1..].iter().filter_map(|b| crossover(a, b, of, cells[0].dtype)));
        }
    }
    found
}

fn curve(cells: &[&Cell], arch: Arch, of: PerToken, seed: u64) -> Curve {
    let at = |len: usize| cells.iter().rfind(|c| c.shape.seq_len == len && c.arch == arch.at_length(len));
    let mut lengths: Vec<usize> = cells.iter().map(|c| c.shape.seq_len).collect();
    lengths.dedup();
    let values = |cell: &Cell| {
        let per_token = 1.0 / (cell.shape.batch_size * cell.shape.seq_len) as f64;
        let draws = match of {
            PerToken::Time => Some(time_draws(cell, seed)),
            PerToken::Energy => energy_draws(cell, seed),
            PerToken::Memory => cell.peak_memory_bytes.map(|bytes| vec![bytes as f64; TRIALS]),
        };
        draws.map(|draws| draws.into_iter().map(|x| x * per_token).collect())
    };
    let points = lengths.into_iter().filter_map(|len| Some((len, values(at(len)?)?)));
    Curve { arch, points: points.collect() }
}
