//! How many times the steps of dense a variant needs to reach an equal loss: measured by `quality`, or published.

use serde::Deserialize;

use crate::estimate::error::EstimateError;
use crate::model::{Arch, Config, Form, parameters};
use crate::stats::Interval;

/// Logarithm of the factor of a low-rank transformer by the share of its linears' weights that is left away: `A x + B x²`.
///
/// Wei et al. 2024 (arXiv 2407.09835, Table 1) train a model of 1.3e9 parameters on 25.5e9 tokens: perplexity 12.46 dense, 12.86 with
/// 63 % and 13.55 with 32 % of the weights of the feed-forward blocks. By the loss of Hoffmann et al. 2022 (arXiv 2203.15556, Table
/// A.3: 410.7 / D^0.28 of it falls with the tokens D), the differences of 0.032 and 0.084 are worth 1.26 and 1.92 times the tokens.
/// The curve goes through 1 and both.
const LOW_RANK: (f64, f64) = (0.237, 1.062);
/// Of Linformer: with k = 128 at 512 tokens and k = 256 at 1024 it is nearly on par in pre-training after as many steps, and within
/// half a point on average in four tasks (Wang et al. 2020, arXiv 2006.04768, Figure 3 and Table 2).
const LINFORMER: f64 = 1.05;
/// Standard deviation of the logarithm (judgement): other sizes, texts and schedules than those published.
const LOW_RANK_SD: f64 = 0.25;
const LINFORMER_SD: f64 = 0.10;
/// The same for a factor that was measured on a small model and one text (judgement).
const ELSEWHERE_SD: f64 = 0.15;
/// Half of a 95 % interval in standard deviations of a normal distribution.
const NORMAL_95: f64 = 1.96;

/// A factor in steps, with what it stands on.
#[derive(Debug, Clone, PartialEq)]
pub struct StepsFactor {
    /// Steps over those of dense, to an equal loss.
    pub steps: Interval,
    /// Where it comes from.
    pub source: String,
}

/// What is known of steps to an equal loss.
#[derive(Debug, Clone, PartialEq)]
pub enum StepsToLoss {
    /// By what others published.
    Published,
    /// By trainings of a small model that `quality` made.
    Measured(MeasuredSteps),
}

/// Trainings of a small model that `quality` made.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredSteps {
    model: String,
    d_model: usize,
    found: Vec<Found>,
}

/// What was measured of an architecture.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    arch: Arch,
    steps: Interval,
    /// Whether it reached the loss of dense.
    is_reached: bool,
    /// Whether dense matrices guided its factors at first.
    is_guided: bool,
}

#[derive(Deserialize)]
struct Written {
    model: String,
    d_model: usize,
    comparisons: Vec<Comparison>,
    #[serde(default)]
    runs: Vec<Training>,
}

#[derive(Deserialize)]
struct Training {
    arch: String,
    guided_steps: Option<u64>,
}

#[derive(Deserialize)]
struct Comparison {
    arch: String,
    basis: String,
    steps: Option<Factor>,
}

#[derive(Deserialize)]
struct Factor {
    interval: Option<Interval>,
}

impl StepsToLoss {
    /// The factors of a `quality.json`, which errors call `name`.
    ///
    /// # Errors
    /// If it is none, or holds no factor with an interval, as with one seed.
    pub fn of_quality(text: &str, name: &str) -> Result<Self, EstimateError> {
        let none = |reason: String| EstimateError::NoQuality { name: name.to_owned(), reason };
        let written: Written = serde_json::from_str(text).map_err(|error| none(error.to_string()))?;
        let is_guided = |arch: &str| written.runs.iter().any(|run| run.arch == arch && run.guided_steps.is_some());
        let found: Vec<Found> = written
            .comparisons
            .iter()
            .filter_map(|c| {
                let steps = c.steps.as_ref()?.interval.filter(|i| i.is_valid() && i.low > 0.0)?;
                let (is_reached, is_guided) = (c.basis == "dense", is_guided(&c.arch));
                Some(Found { arch: c.arch.parse().ok()?, steps, is_reached, is_guided })
            })
            .collect();
        if found.is_empty() {
            return Err(none("it has no factor in steps with an interval: two seeds are the fewest".to_owned()));
        }
        Ok(Self::Measured(MeasuredSteps { model: written.model, d_model: written.d_model.max(1), found }))
    }

    /// What is known of `arch` in a model; nothing of dense, of LoRA, and of what was not measured.
    #[must_use]
    pub fn of(&self, arch: Arch, model: &Config) -> Option<StepsFactor> {
        match self {
            Self::Published => published(arch, model),
            Self::Measured(measured) => measured.of(arch, model),
        }
    }
}

fn published(arch: Arch, model: &Config) -> Option<StepsFactor> {
    let (centre, sd, source) = match arch {
        Arch::Lrt { .. } => {
            let left_out = 1.0 - share_of_weights(arch, model);
            let ln = LOW_RANK.0 * left_out + LOW_RANK.1 * left_out * left_out;
            (ln.exp(), LOW_RANK_SD, "published: Wei et al. 2024, by the scaling law of Hoffmann et al. 2022")
        }
        Arch::Linformer { .. } => (LINFORMER, LINFORMER_SD, "published: Wang et al. 2020"),
        Arch::Dense | Arch::Lora { .. } => return None,
    };
    Some(StepsFactor { steps: around(centre, sd), source: source.to_owned() })
}

impl MeasuredSteps {
    /// That of the nearest of its kind: in rank over width, or in k.
    fn of(&self, arch: Arch, model: &Config) -> Option<StepsFactor> {
        let size = |of: Arch, width: usize| -> Option<f64> {
            of.rank().map(|rank| rank as f64 / width.max(1) as f64).or_else(|| of.k().map(|k| k as f64))
        };
        let own = size(arch, model.d_model)?;
        let distance = |of: Arch| size(of, self.d_model).map_or(f64::INFINITY, |other| (other / own).ln().abs());
        let same_kind = self.found.iter().filter(|found| found.arch.kind() == arch.kind());
        let Found { arch: nearest, steps, is_reached, is_guided } =
            same_kind.min_by(|a, b| distance(a.arch).total_cmp(&distance(b.arch)))?;
        let sd = steps.ln_sd().hypot(ELSEWHERE_SD);
        let bound =
            if *is_reached { "" } else { "; it did not reach the loss of dense there, and this is to a higher one" };
        let guided = if *is_guided {
            "; dense matrices guided its factors in half of the steps, and what these take is not in the estimate"
        } else {
            ""
        };
        Some(StepsFactor {
            steps: around(steps.mid, sd),
            source: format!(
                "measured with {} in `{}`, {} wide, on another text: an extrapolation{bound}{guided}",
                nearest.label(),
                self.model,
                self.d_model
            ),
        })
    }
}

fn around(centre: f64, sd: f64) -> Interval {
    let factor = (NORMAL_95 * sd).exp();
    Interval { mid: centre, low: centre / factor, high: centre * factor }
}

/// Weights of the linears of layers that an architecture has, over those of dense.
fn share_of_weights(arch: Arch, model: &Config) -> f64 {
    let (mut own, mut dense) = (0.0, 0.0);
    for item in parameters(model).iter().filter(|item| item.is_factorised) {
        let Form::Linear { d_in, d_out, .. } = item.form else { continue };
        own += item.times as f64 * item.params(arch.rank_of(model, (d_in, d_out))) as f64;
        dense += item.times as f64 * item.params(None) as f64;
    }
    if dense > 0.0 { own / dense } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, EntryKind};
    use crate::record::Workload;

    fn bert_base() -> Config {
        assert!(Catalog::default().ids(EntryKind::Workload).is_ok_and(|ids| ids.contains(&"bert-base".to_owned())));
        Catalog::default().load::<Workload>("bert-base").expect("known").model
    }

    #[test]
    fn the_published_factor_goes_through_what_was_published() {
        for (left_out, factor) in [(0.0_f64, 1.0), (0.37, 1.26), (0.68, 1.92)] {
            let ln = LOW_RANK.0 * left_out + LOW_RANK.1 * left_out * left_out;
            assert!((ln.exp() / factor - 1.0).abs() < 0.01, "{left_out}: {}", ln.exp());
        }
        // r = 256 of BERT-base: 4 x 256 x 1536 and 2 x 256 x 3840 of 4 x 768² and 2 x 768 x 3072 weights, and biases: a half.
        let half = StepsToLoss::Published.of("lrt:rank=256".parse().expect("valid"), &bert_base()).expect("published");
        assert!((half.steps.mid - 1.47).abs() < 0.02, "{:?}", half.steps);
        assert_eq!(StepsToLoss::Published.of(Arch::Dense, &bert_base()), None);
        assert_eq!(StepsToLoss::Published.of("lora:rank=8".parse().expect("valid"), &bert_base()), None);
    }

    #[test]
    fn the_nearest_that_was_measured_counts_and_other_texts_widen_it() {
        let text = r#"{"model":"small","d_model":256,"comparisons":[
            {"arch":"lrt:rank=64","basis":"dense","steps":{"interval":{"mid":1.5,"low":1.4,"high":1.6}}},
            {"arch":"lrt:rank=85","basis":"both","steps":{"interval":{"mid":1.2,"low":1.1,"high":1.3}}},
            {"arch":"linformer:k=32","basis":"dense","steps":null}],
            "runs":[{"arch":"dense"},{"arch":"lrt:rank=64","guided_steps":null},{"arch":"lrt:rank=85","guided_steps":75}]}"#;
        let measured = StepsToLoss::of_quality(text, "quality.json").expect("it has factors");
        // 256 of 768 is a third, as 85 of 256.
        let found = measured.of("lrt:rank=256".parse().expect("valid"), &bert_base()).expect("an LRT was measured");
        assert!(found.steps.mid == 1.2 && found.steps.high > 1.2 * 1.34 && found.steps.high < 1.2 * 1.4, "{found:?}");
        assert!(found.source.contains("LRT r=85 in `small`") && found.source.contains("a higher one"), "{found:?}");
        assert!(found.source.contains("in half of the steps, and what these take is not in the estimate"), "{found:?}");
        let other = measured.of("lrt:rank=192".parse().expect("valid"), &bert_base()).expect("an LRT was measured");
        assert!(other.source.contains("LRT r=64") && !other.source.contains("guided"), "{other:?}");
        assert_eq!(measured.of("linformer:k=128".parse().expect("valid"), &bert_base()), None);
        for (text, reason) in [("{}", "missing field"), (r#"{"model":"a","d_model":1,"comparisons":[]}"#, "two seeds")]
        {
            let error = StepsToLoss::of_quality(text, "mine.json").expect_err("it has none").to_string();
            assert!(error.starts_with("`mine.json` says nothing") && error.contains(reason), "{error}");
        }
    }
}
