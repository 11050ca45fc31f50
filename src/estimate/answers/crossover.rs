//! Where two architectures change places as sequences grow: in time, in energy and in memory.

use serde::{Serialize, Serializer};

use crate::model::Arch;
use crate::stats::{Interval, quantile_sorted};
use crate::units::DType;

/// What two architectures are compared in at each length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PerToken {
    /// Seconds of a token.
    Time,
    /// Joules of a token.
    Energy,
    /// Peak memory of a step.
    Memory,
}

impl PerToken {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Time, Self::Energy, Self::Memory];

    /// `B takes less ... above`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Energy => "energy",
            Self::Memory => "memory",
        }
    }
}

/// Where one takes over from the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Change {
    /// At this many tokens; an end of the interval is `None` where it lies outside of the measured lengths.
    At {
        /// The middle.
        seq_len: f64,
        /// The lower end of the 95 % interval.
        low: Option<f64>,
        /// The upper end.
        high: Option<f64>,
    },
    /// Not up to this length, but the lead of the first shrinks.
    Beyond {
        /// The longest length that was compared.
        seq_len: usize,
    },
    /// Nowhere between these lengths, and the lead of the first does not shrink.
    Never {
        /// The shortest length that was compared.
        from: usize,
        /// The longest.
        to: usize,
    },
}

/// Two architectures along the lengths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossover {
    /// Takes less at short sequences.
    #[serde(serialize_with = "labelled")]
    pub below: Arch,
    /// Takes less at long ones, if they change places.
    #[serde(serialize_with = "labelled")]
    pub above: Arch,
    /// Of what.
    pub of: PerToken,
    /// Number format.
    pub dtype: DType,
    /// Where.
    #[serde(flatten)]
    pub change: Change,
}

fn labelled<S: Serializer>(arch: &Arch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&arch.label())
}

impl Crossover {
    /// The length at which they change places, if they do.
    #[must_use]
    pub fn seq_len(&self) -> Option<f64> {
        match self.change {
            Change::At { seq_len, .. } => Some(seq_len),
            Change::Beyond { .. } | Change::Never { .. } => None,
        }
    }

    /// What it says, in a sentence without its end.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (below, above, what) = (self.below.label(), self.above.label(), self.of.word());
        match self.change {
            Change::At { seq_len, low, high } => {
                let end = |end: Option<f64>, beyond: &str| end.map_or_else(|| beyond.to_owned(), tokens);
                let interval = match (low, high) {
                    (Some(low), Some(high)) if tokens(low) == tokens(high) => String::new(),
                    _ => format!(" [{}, {}]", end(low, "shorter"), end(high, "longer")),
                };
                format!("{below} takes less {what} up to about {} tokens{interval}, {above} above", tokens(seq_len))
            }
            Change::Beyond { seq_len } => {
                format!("{below} takes less {what} than {above} up to {seq_len} tokens, by ever less")
            }
            Change::Never { from, to } if from == to => {
                format!("{below} takes less {what} than {above} at {to} tokens")
            }
            Change::Never { from, to } => {
                format!("{below} takes less {what} than {above} at all lengths from {from} to {to} tokens")
            }
        }
    }
}

/// A length to two digits.
fn tokens(seq_len: f64) -> String {
    let digit = 10f64.powf(seq_len.log10().floor() - 1.0);
    format!("{:.0}", (seq_len / digit).round() * digit)
}

/// Where lines that do not cross do so: finite, so that quantiles between it and others are numbers.
const NEVER: f64 = 1e300;

/// Draws of something by length, shortest first.
pub(super) struct Curve {
    pub(super) arch: Arch,
    /// Length, and what it is there in each trial.
    pub(super) points: Vec<(usize, Vec<f64>)>,
}

/// The gaps of two curves by length, the second over the first: in one form for each way of drawing the curve between two lengths.
struct Gaps {
    seq_len: usize,
    /// Logarithms of ratios, along the logarithm of the length.
    ln_ratios: Vec<f64>,
    /// Differences, along the length.
    differences: Vec<f64>,
}

/// Where two curves cross, by the first crossing of each trial; `None` where they have no length in common, or nobody knows which
/// of them is below at the shortest.
///
/// Nothing was measured between two lengths. A power law is straight in both logarithms; attention, whose time for a token grows
/// with the length, is straight in the length itself. The interval holds both.
pub(super) fn crossover(a: &Curve, b: &Curve, of: PerToken, dtype: DType) -> Option<Crossover> {
    let gaps_at = |(seq_len, values): &(usize, Vec<f64>)| {
        let (_, others) = b.points.iter().find(|(other, _)| other == seq_len)?;
        let pairs = || values.iter().zip(others);
        let ln_ratios = pairs().map(|(a, b)| (b / a).ln()).collect();
        Some(Gaps { seq_len: *seq_len, ln_ratios, differences: pairs().map(|(a, b)| b - a).collect() })
    };
    let mut gaps: Vec<Gaps> = a.points.iter().filter_map(gaps_at).collect();
    // Where both are the same model, neither leads.
    while gaps.first().is_some_and(|at| at.ln_ratios.iter().all(|g| *g == 0.0)) {
        gaps.remove(0);
    }
    let first = Interval::of_draws(gaps.first()?.ln_ratios.clone());
    let (below, above) = if first.mid >= 0.0 { (a.arch, b.arch) } else { (b.arch, a.arch) };
    if first.mid < 0.0 {
        gaps.iter_mut().flat_map(|at| at.ln_ratios.iter_mut().chain(&mut at.differences)).for_each(|g| *g = -*g);
    }
    if first.low < 0.0 && first.high > 0.0 && gaps.len() == 1 {
        return None;
    }
    let trials = gaps.first()?.ln_ratios.len();
    let in_logarithms = (0..trials).map(|t| {
        let along = gaps.iter().map(|at| ((at.seq_len as f64).ln(), at.ln_ratios[t]));
        first_crossing(along).map(f64::exp)
    });
    let in_lengths = (0..trials).map(|t| first_crossing(gaps.iter().map(|at| (at.seq_len as f64, at.differences[t]))));
    let mut at: Vec<f64> = in_logarithms.chain(in_lengths).map(|x| x.unwrap_or(NEVER)).collect();
    at.sort_by(f64::total_cmp);
    let [low, mid, high] = [0.025, 0.5, 0.975].map(|p| quantile_sorted(&at, p));
    let (from, to) = (gaps.first()?.seq_len, gaps.last()?.seq_len);
    let within = |x: f64| Some(x).filter(|x| *x > from as f64 && *x <= to as f64);
    let middles: Vec<f64> = gaps.iter().map(|at| Interval::of_draws(at.ln_ratios.clone()).mid).collect();
    let change = match within(mid) {
        Some(seq_len) => Change::At { seq_len, low: within(low), high: within(high) },
        None if middles.windows(2).last().is_some_and(|m| m[1] < m[0]) => Change::Beyond { seq_len: to },
        None => Change::Never { from, to },
    };
    Some(Crossover { below, above, of, dtype, change })
}

/// The place at which a gap is first closed, with straight lines between places; that of the shortest if it is never open.
fn first_crossing(gaps: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut before: Option<(f64, f64)> = None;
    for (x, gap) in gaps {
        if gap <= 0.0 {
            return Some(before.map_or(x, |(x0, gap0)| x0 + (x - x0) * gap0 / (gap0 - gap)));
        }
        before = Some((x, gap));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LRT: Arch = Arch::Lrt { rank: 256 };

    fn curve(arch: Arch, points: &[(usize, [f64; 3])]) -> Curve {
        Curve { arch, points: points.iter().map(|(n, draws)| (*n, draws.to_vec())).collect() }
    }

    fn change(a: &[(usize, [f64; 3])], b: &[(usize, [f64; 3])]) -> Option<(Arch, Change)> {
        let found = crossover(&curve(Arch::Dense, a), &curve(LRT, b), PerToken::Time, DType::F32)?;
        Some((found.below, found.change))
    }

    #[test]
    fn lines_that_cross_half_way_in_the_logarithm_cross_at_the_geometric_mean() {
        let dense = [(100, [1.0; 3]), (400, [4.0; 3])];
        let lrt = [(100, [2.0; 3]), (400, [2.0; 3])];
        // Gaps ln 2 and -ln 2: half way between ln 100 and ln 400.
        let Some((below, Change::At { seq_len, low, high })) = change(&dense, &lrt) else { panic!("they cross") };
        assert_eq!(below, Arch::Dense);
        // Differences of 1 and -2: a third of the way from 100 to 400, at 200 as well.
        let is_200 = |x: f64| (x - 200.0).abs() < 1e-9;
        assert!(is_200(seq_len) && low.is_some_and(is_200) && high.is_some_and(is_200), "{low:?} {high:?}");
    }

    #[test]
    fn between_two_lengths_the_interval_holds_a_line_in_the_logarithm_and_one_in_the_length() {
        let dense = [(100, [1.0; 3]), (400, [1.0; 3])];
        let lrt = [(100, [2.0; 3]), (400, [0.5; 3])];
        // Gaps of ln 2 and -ln 2 meet at 200; gaps of 1 and -0.5 at 100 + 300 x 2/3 = 300.
        let Some((_, Change::At { seq_len, low: Some(low), high: Some(high) })) = change(&dense, &lrt) else {
            panic!("they cross")
        };
        assert!((low - 200.0).abs() < 1e-9 && (high - 300.0).abs() < 1e-9, "{low} {high}");
        assert!((seq_len - 250.0).abs() < 1e-9, "{seq_len}");
    }

    #[test]
    fn an_end_outside_of_what_was_measured_is_said_to_be_there() {
        // In the third trial the second line never comes down.
        let found = change(&[(100, [1.0; 3]), (400, [4.0, 4.0, 1.0])], &[(100, [2.0; 3]), (400, [2.0; 3])]);
        let Some((_, Change::At { low, high, .. })) = found else { panic!("{found:?}") };
        assert!(low.is_some() && high.is_none());
    }

    #[test]
    fn a_lead_that_shrinks_may_end_beyond_and_one_that_grows_does_not() {
        let dense = [(128, [3.0; 3]), (512, [3.0; 3])];
        let shrinks = change(&dense, &[(128, [1.0; 3]), (512, [2.0; 3])]);
        assert_eq!(shrinks, Some((LRT, Change::Beyond { seq_len: 512 })));
        let grows = change(&dense, &[(128, [2.0; 3]), (512, [1.0; 3])]);
        assert_eq!(grows, Some((LRT, Change::Never { from: 128, to: 512 })));
    }

    #[test]
    fn where_both_are_one_model_neither_leads() {
        let dense = [(64, [1.0; 3]), (128, [1.0; 3]), (512, [2.0; 3])];
        let same = [(64, [1.0; 3]), (128, [1.0; 3]), (512, [1.0; 3])];
        assert_eq!(change(&dense, &same), Some((LRT, Change::Never { from: 512, to: 512 })));
        assert_eq!(change(&dense[..2], &same[..2]), None);
    }

    #[test]
    fn sentences_give_the_length_to_two_digits() {
        let of = |change| Crossover { below: LRT, above: Arch::Dense, of: PerToken::Time, dtype: DType::F32, change };
        let at = of(Change::At { seq_len: 1234.0, low: Some(987.0), high: None }).sentence();
        assert_eq!(at, "LRT r=256 takes less time up to about 1200 tokens [990, longer], dense above");
        let never = of(Change::Never { from: 128, to: 2048 }).sentence();
        assert_eq!(never, "LRT r=256 takes less time than dense at all lengths from 128 to 2048 tokens");
    }
}
