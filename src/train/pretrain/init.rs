//! How the two factors of a low-rank linear begin, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the factors of low-rank linears begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Each is drawn, as a dense matrix is.
    #[default]
    Normal,
    /// The dense matrix of the same seed is drawn, and its largest singular values are split between both: `W = U S V^T`, `D = U sqrt(S)`,
    /// `E = sqrt(S) V^T` (Khodak et al. 2021, arXiv 2105.01029; Wei et al. 2024, arXiv 2407.09835).
    Spectral,
}

impl Init {
    /// All, by the names that they are written with.
    pub const NAMES: [&'static str; 2] = ["normal", "spectral"];
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Normal { Self::NAMES[0] } else { Self::NAMES[1] })
    }
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "normal" => Ok(Self::Normal),
            "spectral" => Ok(Self::Spectral),
            _ => Err(format!("expected `normal` or `spectral`, got `{text}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (init, name) in [Init::Normal, Init::Spectral].into_iter().zip(Init::NAMES) {
            assert_eq!((init.to_string().as_str(), name.parse()), (name, Ok(init)));
        }
        assert!("orthogonal".parse::<Init>().is_err());
    }
}
