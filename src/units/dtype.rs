//! Number formats.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number format that a step computes in.
///
/// ```
/// use greenformers::units::DType;
///
/// let dtype: DType = "fp16".parse()?;
/// assert_eq!((dtype, dtype.name(), dtype.bytes()), (DType::F16, "f16", 2));
/// # Ok::<(), greenformers::units::UnknownDType>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single precision.
    #[serde(alias = "fp32")]
    F32,
    /// Single precision in memory, TF32 tensor cores in matrix products (NVIDIA Ampere and newer).
    Tf32,
    /// bfloat16 activations over f32 weights.
    Bf16,
    /// IEEE half-precision activations over f32 weights.
    #[serde(alias = "fp16")]
    F16,
}

impl DType {
    /// Every format, in the order in which tables show them.
    pub const ALL: [Self; 4] = [Self::F32, Self::Tf32, Self::Bf16, Self::F16];

    /// Bytes of one activation in this format.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 | Self::Tf32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// The name used on the command line, in YAML and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is no dtype.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown dtype `{0}`: expected `f32`, `tf32`, `bf16` or `f16`")]
pub struct UnknownDType(String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(text: &str) -> Result<Self, UnknownDType> {
        match text.to_lowercase().as_str() {
            "f32" | "fp32" | "float32" | "float" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            "bf16" | "bfloat16" => Ok(Self::Bf16),
            "f16" | "fp16" | "float16" | "half" => Ok(Self::F16),
            _ => Err(UnknownDType(text.to_owned())),
        }
    }
}
