//! What trains: how well software uses the hardware, as far as a user can know it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A class of training software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoftwareClass {
    /// Operations one by one, as stock Hugging Face Transformers and `PyTorch` run them.
    Eager,
    /// A compiler has fused element-wise work: `torch.compile`, XLA, graph compilers.
    Compiled,
    /// Fused by hand and tuned: Megatron, LLM Foundry, llm.c, the containers of a maker of GPUs.
    Optimised,
}

impl SoftwareClass {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Eager, Self::Compiled, Self::Optimised];

    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Compiled => "compiled",
            Self::Optimised => "optimised",
        }
    }
}

/// How attention is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttentionUse {
    /// In one kernel that keeps no scores in memory (Dao et al. 2022): `FlashAttention`, `SDPA`, `cuDNN`.
    Fused,
    /// In separate products, with a softmax over scores that lie in memory.
    Composed,
}

impl AttentionUse {
    /// Its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Composed => "composed",
        }
    }
}

/// Software of which both is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Software {
    /// Its class.
    pub class: SoftwareClass,
    /// How it computes attention.
    pub attention: AttentionUse,
}

/// What is said of the software of an estimate; what is not said is a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SoftwareSpec {
    /// The class; `None` is unknown.
    pub class: Option<SoftwareClass>,
    /// How it computes attention; `None` is unknown.
    pub attention: Option<AttentionUse>,
}

impl From<Software> for SoftwareSpec {
    fn from(software: Software) -> Self {
        Self { class: Some(software.class), attention: Some(software.attention) }
    }
}

impl SoftwareSpec {
    /// How attention is taken to be computed where one way has to be chosen, as for the memory that it takes.
    #[must_use]
    pub fn likely_attention(self, fuses_attention: bool) -> AttentionUse {
        let usual = if fuses_attention { AttentionUse::Fused } else { AttentionUse::Composed };
        self.attention.unwrap_or(usual)
    }

    /// Every software that it can be, with its weight. Where nothing is said, a class counts by how many runs are reported with
    /// it, and attention is taken to be fused where kernels for it are common: since 2023, on devices of which that is true.
    /// The weights are judgement.
    #[must_use]
    pub fn mixture(self, fuses_attention: bool) -> Vec<(f64, Software)> {
        const CLASSES: [f64; 3] = [0.35, 0.25, 0.40];
        const LIKELY: f64 = 0.75;
        let mut all = Vec::new();
        for (class, weight) in SoftwareClass::ALL.into_iter().zip(CLASSES) {
            let of_class = self.class.map_or(weight, |known| if known == class { 1.0 } else { 0.0 });
            for attention in [AttentionUse::Fused, AttentionUse::Composed] {
                let likely = (attention == AttentionUse::Fused) == fuses_attention;
                let usual = if likely { LIKELY } else { 1.0 - LIKELY };
                let of_attention = self.attention.map_or(usual, |known| if known == attention { 1.0 } else { 0.0 });
                if of_class * of_attention > 0.0 {
                    all.push((of_class * of_attention, Software { class, attention }));
                }
            }
        }
        all
    }
}

impl fmt::Display for SoftwareSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.map_or("unknown", SoftwareClass::name);
        match self.attention {
            Some(attention) => f.pad(&format!("{class}, {} attention", attention.name())),
            None => f.pad(class),
        }
    }
}

/// The text is no class of software.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown software `{0}`: expected `eager`, `compiled`, `optimised` or `unknown`")]
pub struct UnknownSoftware(String);

/// A class, `unknown`, or a class and its attention: `eager/fused`. The old `typical` and `tuned` are NVIDIA's containers with
/// attention of separate kernels, and hand-fused software with fused attention.
impl FromStr for SoftwareSpec {
    type Err = UnknownSoftware;

    fn from_str(text: &str) -> Result<Self, UnknownSoftware> {
        let optimised = |attention| Self { class: Some(SoftwareClass::Optimised), attention: Some(attention) };
        match text {
            "typical" => return Ok(optimised(AttentionUse::Composed)),
            "tuned" => return Ok(optimised(AttentionUse::Fused)),
            _ => {}
        }
        let unknown = || UnknownSoftware(text.to_owned());
        let (class, attention) =
            text.split_once('/').map_or((text, None), |(class, attention)| (class, Some(attention)));
        let class = match class {
            "unknown" => None,
            name => Some(SoftwareClass::ALL.into_iter().find(|c| c.name() == name).ok_or_else(unknown)?),
        };
        let attention = attention.map(|name| name.parse().map_err(|_| unknown())).transpose()?;
        Ok(Self { class, attention })
    }
}

/// The text names no way to compute attention.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown attention `{0}`: expected `fused` or `composed`")]
pub struct UnknownAttention(String);

impl FromStr for AttentionUse {
    type Err = UnknownAttention;

    fn from_str(text: &str) -> Result<Self, UnknownAttention> {
        match text {
            "fused" => Ok(Self::Fused),
            "composed" => Ok(Self::Composed),
            other => Err(UnknownAttention(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_a_mixture_whose_weights_are_one() {
        let sum = |spec: &str, fuses| -> (usize, f64) {
            let mixture = spec.parse::<SoftwareSpec>().expect(spec).mixture(fuses);
            (mixture.len(), mixture.iter().map(|(weight, _)| weight).sum())
        };
        for (spec, n) in [("unknown", 6), ("eager", 2), ("unknown/fused", 3), ("compiled/composed", 1), ("typical", 1)]
        {
            for fuses in [true, false] {
                let (found, total) = sum(spec, fuses);
                assert_eq!(found, n, "{spec}");
                assert!((total - 1.0).abs() < 1e-12, "{spec}");
            }
        }
    }

    #[test]
    fn old_names_are_what_they_stood_for_and_others_are_refused() {
        assert_eq!("tuned".parse::<SoftwareSpec>().expect("known").to_string(), "optimised, fused attention");
        assert_eq!("typical".parse::<SoftwareSpec>().expect("known").to_string(), "optimised, composed attention");
        for text in ["", "fast", "eager/", "eager/flash", "/fused"] {
            assert!(text.parse::<SoftwareSpec>().is_err(), "{text}");
        }
    }
}
