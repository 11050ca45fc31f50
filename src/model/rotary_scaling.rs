//! How the angles of rotary positions are slowed down for sequences longer than those that a model was first trained on.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// A way to slow them. Lengths are in tokens; the defaults are those of the papers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Scaling {
    /// All angles alike (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// How many times as long sequences may be.
        factor: f64,
    },
    /// Slow ones by the factor, fast ones not, and those between by a share of it (Llama Team 2024, arXiv 2407.21783, section 3.4.2,
    /// and Meta's code).
    Llama3 {
        /// How many times as long sequences may be.
        factor: f64,
        /// Pairs that turn fewer times than this over the original length are slow.
        #[serde(default = "one")]
        low_freq_factor: f64,
        /// Pairs that turn more times than this are fast.
        #[serde(default = "four")]
        high_freq_factor: f64,
        /// The original length.
        original_max_seq_len: f64,
    },
    /// YaRN: as before with a ramp over the pairs, and scores that are scaled too (Peng et al. 2023, arXiv 2309.00071, sections 3.2
    /// to 3.4).
    Yarn {
        /// How many times as long sequences may be.
        factor: f64,
        /// The original length.
        original_max_seq_len: f64,
        /// The ramp ends at pairs that turn so many times over the original length.
        #[serde(default = "thirty_two")]
        beta_fast: f64,
        /// It begins at those that turn so many times.
        #[serde(default = "one")]
        beta_slow: f64,
        /// What queries and keys are multiplied by; what follows from the factor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
        /// Whether the ramp begins and ends at whole pairs.
        #[serde(default = "yes")]
        truncate: bool,
    },
}

// A model with numbers that are none is refused.
impl Eq for Scaling {}

const fn one() -> f64 {
    1.0
}

const fn four() -> f64 {
    4.0
}

const fn thirty_two() -> f64 {
    32.0
}

const fn yes() -> bool {
    true
}

/// Numbers by which no angles are slowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rotary angles cannot be scaled so: {0}")]
pub struct ScalingError(&'static str);

/// The attention factor of `YaRN` where none is given: `0.1 m ln(factor) + 1` (arXiv 2309.00071, equation 22).
pub(super) fn usual_attention_factor(factor: f64, m: f64) -> f64 {
    if factor > 1.0 { 0.1 * m * factor.ln() + 1.0 } else { 1.0 }
}

impl Scaling {
    /// Checks that its numbers make sense.
    pub(super) fn check(self) -> Result<(), ScalingError> {
        let is_of_size = |x: f64| (1e-6..=1e12).contains(&x);
        let (numbers, is_in_order): (Vec<f64>, bool) = match self {
            Self::Linear { factor } => (vec![factor], true),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_seq_len } => {
                let numbers = vec![factor, low_freq_factor, high_freq_factor, original_max_seq_len];
                (numbers, low_freq_factor < high_freq_factor)
            }
            Self::Yarn { factor, original_max_seq_len, beta_fast, beta_slow, attention_factor, .. } => (
                vec![factor, original_max_seq_len, beta_fast, beta_slow, attention_factor.unwrap_or(1.0)],
                beta_slow <= beta_fast,
            ),
        };
        if !numbers.into_iter().all(is_of_size) {
            return Err(ScalingError("its factors and lengths have to be positive numbers of a size that can be"));
        }
        if is_in_order { Ok(()) } else { Err(ScalingError("the slow pairs have to turn less than the fast ones")) }
    }

    /// What queries and keys are multiplied by when they are turned.
    pub(super) fn attention_factor(self) -> f64 {
        match self {
            Self::Yarn { factor, attention_factor, .. } => {
                attention_factor.unwrap_or_else(|| usual_attention_factor(factor, 1.0))
            }
            Self::Linear { .. } | Self::Llama3 { .. } => 1.0,
        }
    }

    /// The angles by which each pair turns from a position to the next, `rates` before. `theta` is their base.
    pub(super) fn scaled(self, rates: &[f64], theta: f64) -> Vec<f64> {
        match self {
            Self::Linear { factor } => rates.iter().map(|rate| rate / factor).collect(),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_seq_len } => {
                let scaled = |rate: &f64| {
                    // Times that the pair turns over the original length.
                    let turns = original_max_seq_len * rate / TAU;
                    let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                    mixed(*rate, factor, kept)
                };
                rates.iter().map(scaled).collect()
            }
            Self::Yarn { factor, original_max_seq_len, beta_fast, beta_slow, truncate, .. } => {
                let n = rates.len() as f64;
                // The pair that turns so many times over the original length.
                let pair = |turns: f64| n * (original_max_seq_len / (turns * TAU)).ln() / theta.ln();
                let (from, to) = (pair(beta_fast), pair(beta_slow));
                let (from, to) = if truncate { (from.floor(), to.ceil()) } else { (from, to) };
                let (from, to) = (from.max(0.0), to.min(2.0 * n - 1.0));
                let width = if from == to { 0.001 } else { to - from };
                let scaled = |(i, rate): (usize, &f64)| mixed(*rate, factor, 1.0 - (i as f64 - from) / width);
                rates.iter().enumerate().map(scaled).collect()
            }
        }
    }
}

/// A rate of which the share `kept` stays, and the rest is slowed by the factor.
fn mixed(rate: f64, factor: f64, kept: f64) -> f64 {
    let kept = kept.clamp(0.0, 1.0);
    kept * rate + (1.0 - kept) * rate / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    const THETA: f64 = 500_000.0;

    fn rates() -> Vec<f64> {
        (0..64).map(|i| THETA.powf(-f64::from(i) / 64.0)).collect()
    }

    fn slowed(text: &str) -> Vec<f64> {
        let scaling: Scaling = serde_json::from_str(text).expect(text);
        let scaled = scaling.scaled(&rates(), THETA);
        scaled.iter().zip(rates()).map(|(scaled, rate)| scaled / rate).collect()
    }

    #[test]
    fn llama_3_slows_what_turns_less_than_once_over_8192_tokens_eight_times() {
        let text = r#"{"kind": "llama3", "factor": 8, "original_max_seq_len": 8192}"#;
        let ratios = slowed(text);
        // Pair 28 turns 8192 / (2 pi) * 5e5^(-28/64) = 4.19 times, pair 29 3.41 times, pair 34 1.22, and pair 35 0.997.
        assert_eq!((ratios[0], ratios[28]), (1.0, 1.0));
        assert!((ratios[29] - (0.804 + 0.196 / 8.0)).abs() < 1e-3, "{}", ratios[29]);
        assert!((ratios[34] - (0.0742 + 0.9258 / 8.0)).abs() < 1e-3, "{}", ratios[34]);
        assert_eq!((ratios[35], ratios[63]), (0.125, 0.125));
        assert!(slowed(r#"{"kind": "linear", "factor": 4}"#).iter().all(|ratio| *ratio == 0.25));
    }

    #[test]
    fn yarn_goes_from_fast_pairs_to_slow_ones_in_a_ramp_and_scales_queries_and_keys() {
        let text = r#"{"kind": "yarn", "factor": 4, "original_max_seq_len": 32768}"#;
        // 64 ln(32768 / (32 x 2 pi)) / ln(5e5) = 24.8 and 64 ln(32768 / (2 pi)) / ln(5e5) = 41.7: from pair 24 to pair 42.
        let ratios = slowed(text);
        assert_eq!((ratios[24], ratios[42], ratios[63]), (1.0, 0.25, 0.25));
        assert!((ratios[33] - (0.5 + 0.5 / 4.0)).abs() < 1e-12, "{}", ratios[33]);
        let scaling: Scaling = serde_json::from_str(text).expect("valid");
        assert!((scaling.attention_factor() - (1.0 + 0.1 * 4f64.ln())).abs() < 1e-15);
        let again: Scaling = serde_json::from_str(&serde_json::to_string(&scaling).expect("written")).expect("read");
        assert_eq!(again, scaling);
    }

    #[test]
    fn numbers_by_which_nothing_can_be_scaled_are_refused() {
        for (text, part) in [
            (r#"{"kind": "linear", "factor": 0}"#, "positive numbers"),
            (r#"{"kind": "linear", "factor": 1e300}"#, "positive numbers"),
            (r#"{"kind": "linear"}"#, "missing field `factor`"),
            (
                r#"{"kind": "llama3", "factor": 2, "low_freq_factor": 4, "original_max_seq_len": 9}"#,
                "turn less than the fast",
            ),
            (r#"{"kind": "yarn", "factor": 2, "original_max_seq_len": -9}"#, "positive numbers"),
            (r#"{"kind": "other", "factor": 2}"#, "unknown variant `other`"),
            (r#"{"kind": "linear", "factor": 2, "colour": 1}"#, "unknown field `colour`"),
        ] {
            let read = serde_json::from_str::<Scaling>(text).map_err(|error| error.to_string());
            let error = read.and_then(|scaling| scaling.check().map_err(|error| error.to_string())).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
