//! Inputs that are not known exactly, each with its source.

use serde::Serialize;

use crate::catalog::{CatalogQuantity, Sourced};
use crate::stats::{Distribution, Stream};

/// The value of an assumption.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number in the unit beside it.
    Number(f64),
    /// A choice.
    Text(String),
}

/// Something that an estimate takes for granted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assumption {
    /// What.
    pub name: String,
    /// How much, or which.
    pub value: Value,
    /// The range it is drawn from, where it is uncertain.
    pub range: Option<(f64, f64)>,
    /// The unit; empty for a choice.
    pub unit: String,
    /// Where it comes from.
    pub source: String,
}

impl Assumption {
    /// A choice.
    pub fn choice(name: &str, value: impl Into<String>, source: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: Value::Text(value.into()),
            range: None,
            unit: String::new(),
            source: source.into(),
        }
    }
}

/// An uncertain number.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// What it is; inputs of one name share their draws.
    pub name: &'static str,
    /// What is known of it.
    pub distribution: Distribution,
    /// Its unit.
    pub unit: &'static str,
    /// Where it comes from.
    pub source: String,
}

impl Input {
    /// An uncertain number.
    pub fn new(name: &'static str, distribution: Distribution, unit: &'static str, source: impl Into<String>) -> Self {
        Self { name, distribution, unit, source: source.into() }
    }

    /// A number that the user gave: taken as exact.
    #[must_use]
    pub fn given(name: &'static str, value: f64, unit: &'static str, option: &str) -> Self {
        Self::new(name, Distribution::Point(value), unit, format!("given with `{option}`"))
    }

    /// A number of the catalog, anywhere in the range that its sources span.
    pub fn of_catalog<Q: CatalogQuantity>(name: &'static str, number: &Sourced<Q>) -> Self {
        let (low, mid, high) = number.low_mid_high();
        Self::new(name, Distribution::between(low, mid, high), Q::UNITS[0].0, number.provenance())
    }

    /// The draws of this input under `seed`: the same for every estimate.
    #[must_use]
    pub fn draws(&self, seed: u64, trials: usize) -> Vec<f64> {
        Stream::new(seed, self.name).draws(self.distribution, trials)
    }

    /// The line of the assumptions table.
    #[must_use]
    pub fn assumption(&self) -> Assumption {
        let range = match self.distribution {
            Distribution::Point(_) => None,
            Distribution::Uniform(low, high)
            | Distribution::Triangular(low, _, high)
            | Distribution::Halves(low, _, high) => Some((low, high)),
            Distribution::Normal(mean, sd) | Distribution::StudentT(mean, sd, _) => {
                Some((mean - 1.96 * sd, mean + 1.96 * sd))
            }
            Distribution::LogNormal(median, gsd) => {
                let factor = (1.96 * gsd.ln()).exp();
                Some((median / factor, median * factor))
            }
        };
        Assumption {
            name: self.name.to_owned(),
            value: Value::Number(self.distribution.centre()),
            range,
            unit: self.unit.to_owned(),
            source: self.source.clone(),
        }
    }
}
