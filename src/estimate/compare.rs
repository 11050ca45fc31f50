//! Architectures side by side: who wins at which length, and what the thesis says of it.

use serde::Serialize;

use super::Estimate;
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
    /// The architecture.
    pub spec: String,
    /// Its name for people.
    pub label: String,
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
    pub winner: Option<String>,
}

/// Where two architectures change places.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossover {
    /// Faster below.
    pub below: String,
    /// Faster above.
    pub above: String,
    /// Number format.
    pub dtype: DType,
    /// The length between the two measured ones, log-linear in both.
    pub seq_len: f64,
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Version of the schema.
    pub schema: u32,
    /// Length by length.
    pub lengths: Vec<LengthComparison>,
    /// Where architectures change places between the measured lengths.
    pub crossovers: Vec<Crossover>,
}

/// Compares the train steps of a record.
#[must_use]
pub fn compare(record: &Record, seed: u64) -> Comparison {
    let mut cells: Vec<&Cell> = record
        .cells
        .iter()
        .filter(|c| c.pass == Pass::Train && c.status == Status::Ok && c.step_mean().is_some())
        .collect();
    cells.sort_by_key(|c| (c.dtype, c.shape.seq_len, c.shape.batch_size, c.arch));
    let lengths: Vec<LengthComparison> =
        cells.chunk_by(|a, b| a.shape == b.shape && a.dtype == b.dtype).map(|group| at_length(group, seed)).collect();
    Comparison { schema: JSON_SCHEMA, crossovers: crossovers(&lengths), lengths }
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
                spec: cell.arch.to_string(),
                label: cell.arch.label(),
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
fn clear_winner(cells: &[&Cell], rows: &[ArchRow], seed: u64) -> Option<String> {
    let cell = |row: &ArchRow| cells.iter().find(|c| c.arch.to_string() == row.spec);
    let (first, second) = (rows.first()?, rows.get(1)?);
    let lead = ratio(&time_draws(cell(first)?, seed), &time_draws(cell(second)?, seed));
    (lead.high < 1.0).then(|| first.spec.clone())
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

fn crossovers(lengths: &[LengthComparison]) -> Vec<Crossover> {
    let mut found = Vec::new();
    for pair in lengths.windows(2).filter(|pair| pair[0].dtype == pair[1].dtype && pair[0].seq_len < pair[1].seq_len) {
        let time =
            |l: &LengthComparison, spec: &str| l.rows.iter().find(|r| r.spec == spec).map(|r| r.us_per_token.mid);
        for (i, a) in pair[0].rows.iter().enumerate() {
            for b in &pair[0].rows[i + 1..] {
                // `a` is faster at the shorter length.
                let times = || {
                    Some((
                        time(&pair[0], &a.spec)?,
                        time(&pair[0], &b.spec)?,
                        time(&pair[1], &a.spec)?,
                        time(&pair[1], &b.spec)?,
                    ))
                };
                let Some((a0, b0, a1, b1)) = times() else { continue };
                let (gap0, gap1) = ((b0 / a0).ln(), (b1 / a1).ln());
                // Both differences must be seen, not only the change of sign.
                let seen = pair.iter().all(|l| apart(l, &a.spec, &b.spec));
                if gap0 > 0.0 && gap1 < 0.0 && seen {
                    let (x0, x1) = ((pair[0].seq_len as f64).ln(), (pair[1].seq_len as f64).ln());
                    let x = x0 + (x1 - x0) * gap0 / (gap0 - gap1);
                    found.push(Crossover {
                        below: a.label.clone(),
                        above: b.label.clone(),
                        dtype: pair[0].dtype,
                        seq_len: x.exp(),
                    });
                }
            }
        }
    }
    found
}

/// Whether the intervals of two architectures do not overlap.
fn apart(length: &LengthComparison, a: &str, b: &str) -> bool {
    let time = |spec: &str| length.rows.iter().find(|r| r.spec == spec).map(|r| r.us_per_token);
    time(a).zip(time(b)).is_some_and(|(a, b)| a.high < b.low || b.high < a.low)
}

/// The length that two claims of the thesis have in common.
const BOTH: usize = 512;

/// Whether LRT or a Linformer is the fastest, or both are alike.
fn is_between(length: &LengthComparison) -> bool {
    let is_variant = |spec: &str| spec.starts_with("lrt") || spec.starts_with("linformer");
    match (&length.winner, length.rows.as_slice()) {
        (Some(winner), _) => is_variant(winner),
        (None, [first, second, ..]) => is_variant(&first.spec) && is_variant(&second.spec),
        _ => false,
    }
}

/// A claim of the thesis and what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ThesisClaim {
    /// What the thesis says.
    pub claim: &'static str,
    /// What was found here.
    pub found: String,
    /// Whether they agree; `None` if it was not measured, or not precisely enough to tell.
    pub agrees: Option<bool>,
}

/// The claims of Cahyawijaya 2021 (arXiv 2108.10808, abstract) against a record and its estimates.
#[must_use]
pub fn thesis_claims(comparison: &Comparison, estimates: &[Estimate]) -> Vec<ThesisClaim> {
    let fastest = |claim, kind: &str, lengths: Vec<&LengthComparison>| {
        let said: Vec<String> = lengths
            .iter()
            .map(|l| match (&l.winner, l.rows.as_slice()) {
                (Some(_), [first, ..]) => format!("{} tokens: {}", l.seq_len, first.label),
                (None, [first, second, ..]) if is_between(l) => {
                    format!("{} tokens: {} and {} alike", l.seq_len, first.label, second.label)
                }
                _ => format!("{} tokens: no difference seen", l.seq_len),
            })
            .collect();
        let compared = lengths.iter().any(|l| l.rows.iter().any(|r| r.spec.starts_with(kind)) && l.rows.len() > 1);
        // Where both claims meet, either may win; elsewhere another winner at one length refutes the claim. No clear winner
        // leaves it open, and so does a record of the one length that both have.
        let (met, own): (Vec<&LengthComparison>, Vec<&LengthComparison>) =
            lengths.iter().partition(|l| l.seq_len == BOTH);
        let wins = |l: &&LengthComparison| l.winner.as_ref().map(|w| w.starts_with(kind));
        let agrees = if own.iter().any(|l| wins(l) == Some(false))
            || met.iter().any(|l| !is_between(l) && l.winner.is_some())
        {
            Some(false)
        } else {
            let seen = !own.is_empty() && own.iter().all(|l| wins(l).is_some()) && met.iter().all(|l| is_between(l));
            seen.then_some(true)
        };
        ThesisClaim {
            claim,
            found: if compared {
                format!("fastest train step at {}", said.join("; "))
            } else {
                "not measured".to_owned()
            },
            agrees: agrees.filter(|_| compared),
        }
    };
    let lengths = |keep: fn(usize) -> bool| comparison.lengths.iter().filter(|l| keep(l.seq_len)).collect();
    let mut claims = vec![
        fastest("LRT is the efficient choice for sequences up to 512", "lrt", lengths(|s| s <= 512)),
        fastest("Linformer is the efficient choice for sequences from 512", "linformer", lengths(|s| s >= 512)),
    ];
    let savings: Vec<(&Estimate, Interval)> = estimates
        .iter()
        .filter(|e| e.arch.is_some_and(|a| a.rank().is_some()))
        .filter_map(|e| e.vs_dense.map(|v| (e, v.wall_h)))
        .collect();
    let found = savings.iter().map(|(e, ratio)| {
        let percent = |x: f64| 100.0 * (1.0 - x);
        format!(
            "{} saves {:.0} % [{:.0} to {:.0}] of the time of {}",
            e.label(),
            percent(ratio.mid),
            percent(ratio.high),
            percent(ratio.low),
            e.workload.as_deref().unwrap_or("the run"),
        )
    });
    claims.push(ThesisClaim {
        claim: "LRT saves more than 30 % of the cost of BERT-base",
        found: if savings.is_empty() { "not measured".to_owned() } else { found.collect::<Vec<_>>().join("; ") },
        // An interval that holds 30 % leaves it open.
        agrees: if savings.iter().any(|(_, ratio)| ratio.high < 0.7) {
            Some(true)
        } else {
            (!savings.is_empty() && savings.iter().all(|(_, ratio)| ratio.low > 0.7)).then_some(false)
        },
    });
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(seq_len: usize, winner: Option<&str>, order: [&str; 3]) -> LengthComparison {
        let row = |spec: &&str| ArchRow {
            spec: (*spec).to_owned(),
            label: (*spec).to_owned(),
            us_per_token: Interval::point(1.0),
            time_vs_dense: None,
            energy_vs_dense: None,
            flop_vs_dense: None,
            memory_vs_dense: None,
        };
        LengthComparison {
            seq_len,
            batch_size: 1,
            dtype: DType::Bf16,
            winner: winner.map(str::to_owned),
            rows: order.iter().map(row).collect(),
        }
    }

    #[test]
    fn at_512_tokens_which_both_claims_have_either_variant_may_win() {
        const LRT: [&str; 3] = ["lrt:rank=256", "linformer:k=128", "dense"];
        const DENSE: [&str; 3] = ["dense", "lrt:rank=256", "linformer:k=128"];
        let short = || length(128, Some("lrt:rank=256"), LRT);
        let long = || length(2048, Some("linformer:k=128"), ["linformer:k=128", "lrt:rank=256", "dense"]);
        let table = [
            (vec![short(), length(512, Some("lrt:rank=256"), LRT), long()], [Some(true), Some(true)]),
            (vec![short(), length(512, None, LRT), long()], [Some(true), Some(true)]),
            (vec![short(), length(512, None, DENSE), long()], [None, None]),
            (vec![short(), length(512, Some("dense"), DENSE), long()], [Some(false), Some(false)]),
            (vec![short(), length(512, Some("lrt:rank=256"), LRT)], [Some(true), None]),
        ];
        for (lengths, expected) in table {
            let comparison = Comparison { schema: JSON_SCHEMA, lengths, crossovers: Vec::new() };
            let claims = thesis_claims(&comparison, &[]);
            assert_eq!([claims[0].agrees, claims[1].agrees], expected, "{claims:?}");
        }
    }
}
