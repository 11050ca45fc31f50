//! What the thesis claims, and what was found here.

use serde::Serialize;

use super::compare::{Comparison, InferenceRow, LengthComparison};
use super::crossover::{Change, Crossover, PerToken};
use super::output::Estimate;
use crate::estimate::ledger::quantity::Quantity;
use crate::model::Arch;
use crate::stats::Interval;

/// The length that two claims of the thesis have in common.
const BOTH: usize = 512;

/// Whether LRT or a Linformer is the fastest, or both are alike.
fn is_between(length: &LengthComparison) -> bool {
    let is_variant = |arch: Arch| arch != Arch::Dense;
    match (length.winner, length.rows.as_slice()) {
        (Some(winner), _) => is_variant(winner),
        (None, [first, second, ..]) => is_variant(first.arch) && is_variant(second.arch),
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
    vec![
        efficient("LRT is the efficient choice for sequences up to 512", "lrt", comparison, |len| len <= BOTH),
        efficient("Linformer is the efficient choice for sequences from 512", "linformer", comparison, |len| {
            len >= BOTH
        }),
        saves_30_percent(estimates),
        smaller_on_a_device(&comparison.inference),
    ]
}

/// What was found of a claim that something is the efficient choice at the lengths that `claimed` takes.
fn efficient(claim: &'static str, kind: &str, comparison: &Comparison, claimed: impl Fn(usize) -> bool) -> ThesisClaim {
    let lengths: Vec<&LengthComparison> = comparison.lengths.iter().filter(|l| claimed(l.seq_len)).collect();
    let compared = lengths.iter().any(|l| l.rows.iter().any(|r| r.arch.kind() == kind) && l.rows.len() > 1);
    if !compared {
        return ThesisClaim { claim, found: "not measured".to_owned(), agrees: None };
    }
    let mut found: Vec<String> = lengths.iter().map(|l| fastest_at(l)).collect();
    // Where LRT and a Linformer change places is what the two claims together are about.
    let is_theirs = |c: &&Crossover| c.of == PerToken::Time && [c.below, c.above].iter().all(|a| *a != Arch::Dense);
    let places: Vec<&Crossover> = comparison.crossovers.iter().filter(is_theirs).collect();
    found.extend(places.iter().map(|c| c.sentence()));
    // Where both claims meet, either may win; elsewhere another winner at one length refutes the claim, and so does another
    // winner between two lengths, where they change places for sure before the claim says so. No clear winner leaves it open,
    // and so does a record of the one length that both have.
    let loses_between = places.iter().any(|c| loses_between(c, kind, &claimed));
    let (met, own): (Vec<&LengthComparison>, Vec<&LengthComparison>) = lengths.iter().partition(|l| l.seq_len == BOTH);
    let wins = |l: &&LengthComparison| l.winner.map(|w| w.kind() == kind);
    let agrees = if loses_between
        || own.iter().any(|l| wins(l) == Some(false))
        || met.iter().any(|l| !is_between(l) && l.winner.is_some())
    {
        Some(false)
    } else {
        let seen = !own.is_empty() && own.iter().all(|l| wins(l).is_some()) && met.iter().all(|l| is_between(l));
        seen.then_some(true)
    };
    ThesisClaim { claim, found: format!("fastest train step: {}", found.join("; ")), agrees }
}

/// Whether `kind` is the slower one of two at lengths that `claimed` takes, beyond doubt: they change places there.
fn loses_between(crossover: &Crossover, kind: &str, claimed: &impl Fn(usize) -> bool) -> bool {
    let Change::At { low, high, .. } = crossover.change else { return false };
    let is_claimed_at = |end: Option<f64>, step: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths are small")]
        end.is_some_and(|end| claimed((end + step).round() as usize))
    };
    // Above the upper end of the interval the other one wins for sure, below the lower end the first one.
    (crossover.below.kind() == kind && is_claimed_at(high, 1.0))
        || (crossover.above.kind() == kind && is_claimed_at(low, -1.0))
}

/// `LRT r=256 at 128 tokens, 0.62 [0.60, 0.64] of dense's time`
fn fastest_at(length: &LengthComparison) -> String {
    let Some(first) = length.rows.first() else { return String::new() };
    let of_dense =
        first.time_vs_dense.map_or_else(String::new, |ratio| format!(", {} of dense's time", hundredths(ratio)));
    match (length.winner, length.rows.get(1)) {
        (Some(_), _) => format!("{} at {} tokens{of_dense}", first.arch.label(), length.seq_len),
        (None, Some(second)) => {
            format!("{} and {} alike at {} tokens{of_dense}", first.arch.label(), second.arch.label(), length.seq_len)
        }
        (None, None) => format!("{} alone at {} tokens", first.arch.label(), length.seq_len),
    }
}

/// A ratio to two decimals.
fn hundredths(ratio: Interval) -> String {
    format!("{:.2} [{:.2}, {:.2}]", ratio.mid, ratio.low, ratio.high)
}

/// The workload of the catalog that a claim of the thesis is of.
const MODEL_OF_CLAIM: &str = "bert-base";

fn saves_30_percent(estimates: &[Estimate]) -> ThesisClaim {
    let savings: Vec<(&Estimate, Interval)> = estimates
        .iter()
        .filter(|e| e.arch.is_some_and(|a| a.rank().is_some()))
        .filter_map(|e| e.ratio(Quantity::Wall).map(|ratio| (e, ratio)))
        .collect();
    // What a variant saves of another model says nothing of this one.
    let is_of_claim = |e: &Estimate| e.workload.as_deref() == Some(MODEL_OF_CLAIM);
    let found = savings.iter().map(|(e, ratio)| {
        let percent = |x: f64| 100.0 * (1.0 - x);
        format!(
            "{} saves {:.0} % [{:.0}, {:.0}] of the time of {}{}",
            e.label(),
            percent(ratio.mid),
            percent(ratio.high),
            percent(ratio.low),
            e.workload.as_deref().unwrap_or("the run"),
            if is_of_claim(e) { "" } else { ", of which the claim is not" },
        )
    });
    let of_claim: Vec<Interval> = savings.iter().filter(|(e, _)| is_of_claim(e)).map(|(_, ratio)| *ratio).collect();
    ThesisClaim {
        claim: "LRT saves more than 30 % of the cost of BERT-base",
        found: if savings.is_empty() { "not measured".to_owned() } else { found.collect::<Vec<_>>().join("; ") },
        // An interval that holds 30 % leaves it open.
        agrees: if of_claim.iter().any(|ratio| ratio.high < 0.7) {
            Some(true)
        } else {
            (!of_claim.is_empty() && of_claim.iter().all(|ratio| ratio.low > 0.7)).then_some(false)
        },
    }
}

/// What a forward pass of LRT takes of dense's: parameters, memory, time. It agrees where LRT has less of the first two and is
/// not slower anywhere; a longer latency refutes it.
fn smaller_on_a_device(inference: &[InferenceRow]) -> ThesisClaim {
    let claim = "LRT is the smaller model on a device";
    let dense = |row: &InferenceRow| {
        let same = |d: &&InferenceRow| {
            d.arch == Arch::Dense && (d.seq_len, d.batch_size, d.dtype) == (row.seq_len, row.batch_size, row.dtype)
        };
        inference.iter().find(same)
    };
    let pairs: Vec<(&InferenceRow, &InferenceRow, Interval)> = inference
        .iter()
        .filter(|row| row.arch.rank().is_some())
        .filter_map(|row| Some((row, dense(row)?, row.latency_vs_dense?)))
        .collect();
    let Some((lrt, other, _)) = pairs.first() else {
        return ThesisClaim { claim, found: "not measured".to_owned(), agrees: None };
    };
    let millions = |n: u64| n as f64 / 1e6;
    let mut found = vec![format!(
        "{} has {:.0} M parameters ({:.0} MB in f32), dense {:.0} M ({:.0} MB)",
        lrt.arch.label(),
        millions(lrt.n_params),
        4.0 * millions(lrt.n_params),
        millions(other.n_params),
        4.0 * millions(other.n_params)
    )];
    for (lrt, dense, ratio) in &pairs {
        let memory = lrt.peak_memory_bytes.zip(dense.peak_memory_bytes).map_or_else(String::new, |(own, other)| {
            format!(", {:.0} MB of memory against {:.0}", own as f64 / 1e6, other as f64 / 1e6)
        });
        found.push(format!(
            "a pass of {} x {} tokens takes {:.0} ms against {:.0}, {} of it{memory}",
            lrt.batch_size,
            lrt.seq_len,
            1e3 * lrt.latency_s.mid,
            1e3 * dense.latency_s.mid,
            hundredths(*ratio)
        ));
    }
    let smaller = pairs.iter().all(|(lrt, dense, _)| {
        lrt.n_params < dense.n_params && lrt.peak_memory_bytes.zip(dense.peak_memory_bytes).is_none_or(|(a, b)| a < b)
    });
    let slower = pairs.iter().any(|(_, _, ratio)| ratio.low > 1.0);
    let not_slower = pairs.iter().all(|(_, _, ratio)| ratio.high < 1.0);
    let agrees = if !smaller || slower { Some(false) } else { not_slower.then_some(true) };
    ThesisClaim { claim, found: found.join("; "), agrees }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::answers::compare::ArchRow;
    use crate::estimate::ledger::quantity::Compared;
    use crate::estimate::steps::step::Basis;
    use crate::files::JSON_SCHEMA;
    use crate::units::DType;

    fn length(seq_len: usize, winner: Option<&str>, order: [&str; 3]) -> LengthComparison {
        let row = |spec: &&str| ArchRow {
            arch: spec.parse().expect("an architecture"),
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
            winner: winner.map(|spec| spec.parse().expect("an architecture")),
            rows: order.iter().map(row).collect(),
        }
    }

    #[test]
    fn what_is_saved_of_another_model_leaves_the_claim_of_bert_base_open() {
        let saves = |workload: &str, mid: f64| {
            let ratio = Interval { mid, low: mid - 0.05, high: mid + 0.05 };
            let estimate = Estimate {
                arch: Some(Arch::Lrt { rank: 256 }),
                workload: Some(workload.to_owned()),
                vs_dense: Some(Compared::of_each(|_| Some(ratio))),
                ..Estimate::empty(1, Basis::Measured)
            };
            saves_30_percent(&[estimate])
        };
        assert_eq!(saves("bert-base", 0.6).agrees, Some(true));
        assert_eq!(saves("bert-base", 0.7).agrees, None);
        assert_eq!(saves("bert-base", 0.8).agrees, Some(false));
        let other = saves("gpt2", 0.8);
        assert_eq!(other.agrees, None);
        assert!(other.found.ends_with("of the time of gpt2, of which the claim is not"), "{}", other.found);
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
            let comparison = Comparison { schema: JSON_SCHEMA, lengths, crossovers: Vec::new(), inference: Vec::new() };
            let claims = thesis_claims(&comparison, &[]);
            assert_eq!([claims[0].agrees, claims[1].agrees], expected, "{claims:?}");
        }
    }

    #[test]
    fn where_they_change_places_before_512_for_sure_lrt_is_not_the_choice_up_to_there() {
        const LRT: [&str; 3] = ["lrt:rank=256", "linformer:k=128", "dense"];
        const LINFORMER: [&str; 3] = ["linformer:k=128", "lrt:rank=256", "dense"];
        let agrees = |low: Option<f64>, high: Option<f64>| {
            let lengths = vec![
                length(128, Some("lrt:rank=256"), LRT),
                length(512, Some("linformer:k=128"), LINFORMER),
                length(2048, Some("linformer:k=128"), LINFORMER),
            ];
            let crossover = Crossover {
                below: Arch::Lrt { rank: 256 },
                above: "linformer:k=128".parse().expect("an architecture"),
                of: PerToken::Time,
                dtype: DType::Bf16,
                change: Change::At { seq_len: 400.0, low, high },
            };
            let crossovers = vec![crossover];
            let comparison = Comparison { schema: JSON_SCHEMA, lengths, crossovers, inference: Vec::new() };
            let claims = thesis_claims(&comparison, &[]);
            [claims[0].agrees, claims[1].agrees]
        };
        assert_eq!(agrees(Some(340.0), Some(430.0)), [Some(false), Some(true)]);
        assert_eq!(agrees(Some(430.0), Some(530.0)), [Some(true), Some(true)], "512 is inside");
        assert_eq!(agrees(Some(430.0), None), [Some(true), Some(true)]);
        assert_eq!(agrees(Some(600.0), Some(700.0)), [Some(true), Some(false)]);
    }

    fn pass(arch: &str, n_params: u64, latency_s: f64, peak: u64) -> InferenceRow {
        InferenceRow {
            arch: arch.parse().expect("an architecture"),
            seq_len: 128,
            batch_size: 1,
            dtype: DType::F32,
            n_params,
            latency_s: Interval::point(latency_s),
            latency_vs_dense: (arch != "dense").then(|| Interval::point(latency_s / 0.1)),
            peak_memory_bytes: Some(peak),
        }
    }

    #[test]
    fn a_smaller_model_that_answers_later_is_not_the_one_for_a_device() {
        let dense = || pass("dense", 110_000_000, 0.1, 600_000_000);
        let agrees = |lrt: InferenceRow| smaller_on_a_device(&[dense(), lrt]).agrees;
        assert_eq!(agrees(pass("lrt:rank=256", 70_000_000, 0.07, 400_000_000)), Some(true));
        assert_eq!(agrees(pass("lrt:rank=256", 70_000_000, 0.12, 400_000_000)), Some(false));
        assert_eq!(agrees(pass("lrt:rank=256", 70_000_000, 0.07, 700_000_000)), Some(false));
        assert_eq!(smaller_on_a_device(&[dense()]).agrees, None);
        let said = smaller_on_a_device(&[dense(), pass("lrt:rank=256", 70_000_000, 0.07, 400_000_000)]).found;
        assert!(
            said.starts_with("LRT r=256 has 70 M parameters (280 MB in f32), dense 110 M (440 MB); a pass of"),
            "{said}"
        );
        assert!(
            said.ends_with("takes 70 ms against 100, 0.70 [0.70, 0.70] of it, 400 MB of memory against 600"),
            "{said}"
        );
    }
}
