//! What an intensity counts: what leaves the chimney, or the whole life of plants and fuels.
//!
//! Half of the catalog's grids are known on one basis and half on the other, and a hydro grid differs by a factor of ten
//! between them. They are compared on one basis only. Where the other is known, it is worked out by
//! `life-cycle = 1.15 direct + 24 (1 - direct / 900)`, in g/kWh: 15 % for what the supply of fuel emits, and 24 g/kWh for making
//! the plants that burn none, of which a grid has fewer the nearer it is to coal's 900 (24 is hydro power's median of IPCC AR5,
//! Annex III, A.III.2; 11 to 48 span wind, nuclear and solar). The 15 % and the uncertainty are fitted to the 25 national grids
//! that the catalog knows on both bases; a test does so again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Emissions of supplying fuel, over those of burning it.
const FUEL_SUPPLY: f64 = 1.15;
/// gCO2e/kWh of plants that burn nothing.
const PLANTS: f64 = 24.0;
/// gCO2e/kWh at which a grid burns fuel alone.
const ALL_FUEL: f64 = 900.0;
/// Standard deviation of the logarithm of what is worked out.
const LN_SD: f64 = 0.2;

/// What an intensity counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntensityBasis {
    /// Fuel supply and making of the plants as well.
    #[default]
    LifeCycle,
    /// What the plants emit as they generate.
    Direct,
}

impl IntensityBasis {
    /// The basis that a file's text names, if it names one.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        if lower.contains("life-cycle") || lower.contains("lifecycle") {
            Some(Self::LifeCycle)
        } else if lower.contains("direct") || lower.contains("operational") {
            Some(Self::Direct)
        } else {
            None
        }
    }

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LifeCycle => "life-cycle",
            Self::Direct => "direct",
        }
    }

    /// An intensity of this basis on `other`: its median in gCO2e/kWh, and the standard deviation of its logarithm. Of a grid
    /// without direct emissions it is 0, exactly.
    #[must_use]
    pub fn to(self, other: Self, g_per_kwh: f64) -> (f64, f64) {
        match (self, other) {
            (Self::Direct, Self::LifeCycle) => {
                (FUEL_SUPPLY * g_per_kwh + PLANTS * (1.0 - g_per_kwh / ALL_FUEL).max(0.0), LN_SD)
            }
            (Self::LifeCycle, Self::Direct) => {
                let above = (g_per_kwh - PLANTS).max(0.0);
                // The error is one of the whole, whatever is left of it.
                let direct = above / (FUEL_SUPPLY - PLANTS / ALL_FUEL);
                let direct = if direct > ALL_FUEL { g_per_kwh / FUEL_SUPPLY } else { direct };
                (direct, if direct > 0.0 { (LN_SD * g_per_kwh / direct).min(1.0) } else { 0.0 })
            }
            (Self::LifeCycle, Self::LifeCycle) | (Self::Direct, Self::Direct) => (g_per_kwh, 0.0),
        }
    }
}

impl fmt::Display for IntensityBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that is no basis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no basis of an intensity: expected `life-cycle` or `direct`")]
pub struct UnknownIntensityBasis(String);

impl FromStr for IntensityBasis {
    type Err = UnknownIntensityBasis;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::LifeCycle, Self::Direct].into_iter().find(|basis| basis.name() == text);
        known.ok_or_else(|| UnknownIntensityBasis(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::IntensityBasis::{Direct, LifeCycle};
    use super::*;
    use crate::catalog::{Catalog, GridEntry};

    #[test]
    fn the_files_own_words_name_a_basis() {
        for (text, basis) in [
            ("life-cycle, production", Some(LifeCycle)),
            ("direct, state average", Some(Direct)),
            ("location-based, direct, as published by the provider", Some(Direct)),
            ("market-based", None),
        ] {
            assert_eq!(IntensityBasis::of(text), basis, "{text}");
        }
    }

    #[test]
    fn a_hydro_grid_is_that_of_its_plants_and_a_coal_grid_that_of_its_fuel() {
        // Quebec, California, coal: 1.15 x 1.5 + 24 x (1 - 1.5 / 900) = 25.7; 249 + 18 = 267; 1150.
        for (direct, life_cycle) in [(0.0, 24.0), (1.5, 25.685), (216.43, 267.12), (1000.0, 1150.0)] {
            let (worked_out, sd) = Direct.to(LifeCycle, direct);
            assert!((worked_out - life_cycle).abs() < 0.01 && sd == 0.2, "{direct}: {worked_out}");
            let (back, _) = LifeCycle.to(Direct, worked_out);
            assert!((back - direct).abs() < 1e-9, "{direct}: {back}");
        }
        assert_eq!(LifeCycle.to(Direct, 20.0), (0.0, 0.0));
        assert_eq!(Direct.to(Direct, 20.0), (20.0, 0.0));
    }

    #[test]
    fn the_grids_that_are_known_on_both_bases_agree_with_the_formula() {
        let catalog = Catalog::default();
        let mut pairs: std::collections::BTreeMap<String, (Vec<f64>, f64)> = std::collections::BTreeMap::new();
        for entry in catalog.all::<GridEntry>().expect("valid") {
            let Some(own) = entry.intensity.as_ref().filter(|_| entry.provider.is_some()) else { continue };
            let Some(zone) = entry.zone.as_deref().filter(|zone| zone.len() == 3) else { continue };
            let national = catalog.grid(zone).expect("a country").intensity;
            assert_eq!(own.basis.as_deref().and_then(IntensityBasis::of), Some(Direct), "{}", entry.id);
            assert_eq!(national.basis.as_deref().and_then(IntensityBasis::of), Some(LifeCycle), "{zone}");
            pairs.entry(zone.to_owned()).or_insert_with(|| (Vec::new(), national.base())).0.push(own.base());
        }
        let usa = [catalog.grid("us-egrid-us"), catalog.grid("usa")].map(|grid| grid.expect("there").intensity.base());
        pairs.insert("usa".to_owned(), (vec![usa[0]], usa[1]));
        let mut errors: Vec<f64> = pairs
            .values()
            .map(|(direct, known)| {
                let mean = direct.iter().sum::<f64>() / direct.len() as f64;
                (known / Direct.to(LifeCycle, mean).0).ln()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        assert_eq!(errors.len(), 25);
        assert!(errors[12].abs() < 0.02, "the median error is {}", errors[12]);
        let inside = errors.iter().filter(|e| e.abs() < 1.96 * LN_SD).count();
        assert_eq!(inside, 22, "{errors:?}");
    }
}
