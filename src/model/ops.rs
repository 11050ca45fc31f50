//! Which implementation computes: recorded with every measurement, since it decides what is measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which make of the operations computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ops {
    /// One pass an operation, with its own gradient.
    #[default]
    Fused,
    /// Compositions of candle's operations.
    Stock,
}

impl fmt::Display for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fused => "fused",
            Self::Stock => "stock",
        })
    }
}

/// The text is no make of operations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown operations `{0}`: expected `fused` or `stock`")]
pub struct UnknownOps(String);

impl FromStr for Ops {
    type Err = UnknownOps;

    fn from_str(text: &str) -> Result<Self, UnknownOps> {
        match text {
            "fused" => Ok(Self::Fused),
            "stock" => Ok(Self::Stock),
            other => Err(UnknownOps(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_make_of_operations_is_read_as_it_is_written() {
        for (ops, text) in [(Ops::Fused, "fused"), (Ops::Stock, "stock")] {
            assert_eq!((ops.to_string().as_str(), text.parse()), (text, Ok(ops)));
        }
        assert_eq!("flash".parse::<Ops>(), Err(UnknownOps("flash".to_owned())));
    }
}
