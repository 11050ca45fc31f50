//! By which angles rotary positions turn queries and keys.

use serde::{Deserialize, Serialize};

use super::rotary_scaling::Scaling;
use super::{Config, Positions};
use crate::units::whole_or_none;

/// The base of rotary angles (Su et al. 2021, arXiv 2104.09864, section 3.2.2), where nothing says another.
const USUAL_THETA: f64 = 10_000.0;

/// The base of rotary angles: position p turns pair i of n by `p * theta^(-i / n)` radians.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Theta(f64);

// It is never NaN.
impl Eq for Theta {}

/// A base of which there are no angles.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the base of rotary angles is {0}: expected a number of at least 1")]
pub struct ThetaError(f64);

impl TryFrom<f64> for Theta {
    type Error = ThetaError;

    fn try_from(value: f64) -> Result<Self, ThetaError> {
        if value.is_finite() && value >= 1.0 { Ok(Self(value)) } else { Err(ThetaError(value)) }
    }
}

impl From<Theta> for f64 {
    fn from(theta: Theta) -> Self {
        theta.0
    }
}

/// What rotary positions are beyond the usual. None of it changes what a step costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// The base of the angles; 10 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theta: Option<Theta>,
    /// The base in layers whose attention has a window; as in the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_theta: Option<Theta>,
    /// How many elements of each head are turned, from its first on; all.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// How the angles are slowed for sequences longer than those that the model was first trained on; not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Each so many-th layer turns nothing, and has no positions then (Yang et al. 2025, arXiv 2501.18795); all turn.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub unturned_every: Option<usize>,
}

impl Config {
    /// The base of rotary angles in layers with a window or without.
    #[must_use]
    pub fn theta(&self, has_window: bool) -> f64 {
        let rotary = self.details.rotary.unwrap_or_default();
        let local = rotary.local_theta.filter(|_| has_window);
        local.or(rotary.theta).map_or(USUAL_THETA, f64::from)
    }

    /// Whether rotary positions turn queries and keys of this layer, the first being 0.
    #[must_use]
    pub fn is_turned(&self, layer: usize) -> bool {
        let every = self.details.rotary.and_then(|rotary| rotary.unturned_every);
        self.positions() == Positions::Rotary && every.is_none_or(|every| !(layer + 1).is_multiple_of(every))
    }

    /// By which angle each pair of a head turns from a position to the next, in layers with a window or without, and what queries and
    /// keys are multiplied by then.
    #[must_use]
    pub fn rotary_rates(&self, has_window: bool) -> (Vec<f64>, f64) {
        let (theta, pairs) = (self.theta(has_window), self.rotary_width() / 2);
        let rates: Vec<f64> = (0..pairs).map(|i| theta.powf(-(i as f64) / pairs as f64)).collect();
        match self.details.rotary.and_then(|rotary| rotary.scaling) {
            Some(scaling) => (scaling.scaled(&rates, theta), scaling.attention_factor()),
            None => (rates, 1.0),
        }
    }

    /// How many elements of each head rotary positions turn.
    #[must_use]
    pub fn rotary_width(&self) -> usize {
        let usual = || self.details.latent.map_or_else(|| self.d_head(), |latent| latent.rope);
        self.details.rotary.and_then(|rotary| rotary.width).unwrap_or_else(usual)
    }
}

impl Rotary {
    /// The same without what is so anyway, in heads of `d_head` elements; `None` if nothing is left.
    #[must_use]
    pub fn beyond_usual(self, d_head: usize) -> Option<Self> {
        let theta = self.theta.filter(|theta| theta.0 != USUAL_THETA);
        let local_theta = self.local_theta.filter(|local| local.0 != theta.map_or(USUAL_THETA, f64::from));
        let own = Self { theta, local_theta, width: self.width.filter(|width| *width != d_head), ..self };
        Some(own).filter(|own| *own != Self::default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::bert_base;
    use super::super::shape::Details;
    use super::*;

    fn theta(value: f64) -> Theta {
        Theta::try_from(value).expect("a base")
    }

    #[test]
    fn the_base_is_ten_thousand_and_all_of_a_head_turns_where_nothing_is_said() {
        let of = |rotary| Config { details: Details { rotary, ..Details::default() }, ..bert_base() };
        let usual = of(None);
        assert_eq!((usual.theta(false), usual.theta(true), usual.rotary_width()), (10_000.0, 10_000.0, 64));
        let own = of(Some(Rotary { theta: Some(theta(5e5)), local_theta: None, width: Some(16), ..Rotary::default() }));
        assert_eq!((own.theta(false), own.theta(true), own.rotary_width()), (500_000.0, 500_000.0, 16));
        let both =
            of(Some(Rotary { theta: Some(theta(160_000.0)), local_theta: Some(theta(10_000.0)), ..Rotary::default() }));
        assert_eq!((both.theta(false), both.theta(true)), (160_000.0, 10_000.0));
    }

    #[test]
    fn what_is_so_anyway_is_left_out() {
        let all =
            Rotary { theta: Some(theta(1e4)), local_theta: Some(theta(1e4)), width: Some(64), ..Rotary::default() };
        assert_eq!(all.beyond_usual(64), None);
        assert_eq!(all.beyond_usual(128), Some(Rotary { width: Some(64), ..Rotary::default() }));
        let local = Rotary { theta: Some(theta(1e6)), ..all };
        assert_eq!(local.beyond_usual(64), Some(Rotary { width: None, ..local }));
    }

    #[test]
    fn each_fourth_layer_turns_nothing_where_that_is_said() {
        let rotary = Some(Rotary { unturned_every: Some(4), ..Rotary::default() });
        let details = Details { rotary, positions: Some(Positions::Rotary), ..Details::default() };
        let config = Config { details, ..bert_base() };
        let unturned: Vec<usize> = (0..12).filter(|layer| !config.is_turned(*layer)).collect();
        assert_eq!(unturned, [3, 7, 11]);
        assert!(!bert_base().is_turned(0));
    }

    #[test]
    fn a_base_is_a_number_of_at_least_one() {
        for wrong in [0.0, -1.0, 0.5, f64::NAN, f64::INFINITY] {
            assert!(Theta::try_from(wrong).is_err(), "{wrong}");
        }
        let error = serde_json::from_str::<Rotary>(r#"{"theta": 0}"#).expect_err("refused").to_string();
        assert!(error.contains("expected a number of at least 1"), "{error}");
    }
}
