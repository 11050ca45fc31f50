//! In which formats a run holds weights, gradients and the moments of its optimizer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The format of trained weights, of their gradients, and of the moments if these have no format of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Weights {
    /// f32, whatever the step computes in (`torch.autocast`, `bf16=True` of Hugging Face).
    #[default]
    #[serde(rename = "f32")]
    Wide,
    /// That in which the step computes: of models that are loaded in bf16.
    #[serde(rename = "16bit")]
    Half,
}

/// How weights are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Optimizer {
    /// Adam with decoupled weight decay: two moments a parameter.
    #[default]
    #[serde(rename = "adamw", alias = "adam")]
    AdamW,
    /// The same with moments of 8 bits (Dettmers et al. 2022, arXiv 2110.02861); those of embeddings stay in 32, as Hugging Face's
    /// Trainer has them.
    #[serde(rename = "adamw-8bit")]
    AdamW8Bit,
}

/// Bytes of a moment of 8 bits: one, and an f32 for each block of 256 (bitsandbytes).
const EIGHT_BITS: f64 = 1.0 + 4.0 / 256.0;

/// Both of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct States {
    /// Weights and gradients.
    pub weights: Weights,
    /// Moments.
    pub optimizer: Optimizer,
}

impl States {
    /// Bytes of a trained weight in a step that computes in numbers of `width` bytes; as many has its gradient.
    #[must_use]
    pub fn weight_bytes(self, width: u64) -> u64 {
        if self.is_half(width) { width } else { 4 }
    }

    /// Whether weights have the 16 bits that the step computes in.
    #[must_use]
    pub fn is_half(self, width: u64) -> bool {
        self.weights == Weights::Half && width == 2
    }

    /// Bytes of both moments of a parameter, which is one of an embedding or not.
    #[must_use]
    pub fn moment_bytes(self, width: u64, of_embedding: bool) -> f64 {
        match self.optimizer {
            Optimizer::AdamW8Bit if of_embedding => 8.0,
            Optimizer::AdamW8Bit => 2.0 * EIGHT_BITS,
            Optimizer::AdamW => 2.0 * self.weight_bytes(width) as f64,
        }
    }
}

/// What stands for no format of weights, or for no optimizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStates {
    got: String,
    expected: &'static str,
}

impl fmt::Display for UnknownStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: expected {}", self.got, self.expected)
    }
}

impl std::error::Error for UnknownStates {}

/// The one of `all` that `text` names.
fn named<T: Copy>(text: &str, all: &[(&[&str], T)], expected: &'static str) -> Result<T, UnknownStates> {
    let text = text.trim().to_ascii_lowercase().replace('_', "-");
    let found = all.iter().find(|(names, _)| names.contains(&text.as_str()));
    found.map(|(_, value)| *value).ok_or(UnknownStates { got: text, expected })
}

impl FromStr for Weights {
    type Err = UnknownStates;

    fn from_str(text: &str) -> Result<Self, UnknownStates> {
        let all: [(&[&str], Self); 2] = [
            (&["f32", "fp32", "float32"], Self::Wide),
            (&["16bit", "bf16", "f16", "fp16", "bfloat16", "float16"], Self::Half),
        ];
        named(text, &all, "`f32` or `16bit`")
    }
}

impl FromStr for Optimizer {
    type Err = UnknownStates;

    fn from_str(text: &str) -> Result<Self, UnknownStates> {
        let eight: &[&str] = &["adamw-8bit", "adamw8bit", "adamw-bnb-8bit", "paged-adamw-8bit", "8bit"];
        let all: [(&[&str], Self); 2] =
            [(&["adamw", "adam", "adamw-torch", "adamw-torch-fused"], Self::AdamW), (eight, Self::AdamW8Bit)];
        named(text, &all, "`adamw` or `adamw-8bit`")
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.weights, self.optimizer) {
            (Weights::Wide, Optimizer::AdamW) => "weights, gradients and the moments of AdamW in f32",
            (Weights::Wide, Optimizer::AdamW8Bit) => "weights and gradients in f32, the moments of AdamW in 8 bits",
            (Weights::Half, Optimizer::AdamW) => "weights, gradients and the moments of AdamW in 16 bits",
            (Weights::Half, Optimizer::AdamW8Bit) => "weights and gradients in 16 bits, the moments of AdamW in 8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trained_parameter_takes_the_bytes_of_its_formats() {
        let of = |weights, optimizer, width| {
            let states = States { weights, optimizer };
            let weight = states.weight_bytes(width) as f64;
            2.0 * weight + states.moment_bytes(width, false)
        };
        assert_eq!(of(Weights::Wide, Optimizer::AdamW, 2), 16.0);
        assert_eq!(of(Weights::Half, Optimizer::AdamW, 2), 8.0);
        // A byte and 1 / 64 for each moment.
        assert_eq!(of(Weights::Wide, Optimizer::AdamW8Bit, 2), 10.03125);
        assert_eq!(of(Weights::Half, Optimizer::AdamW8Bit, 2), 6.03125);
        assert_eq!(of(Weights::Half, Optimizer::AdamW, 4), 16.0, "a step in f32 has no 16 bits");
    }

    #[test]
    fn names_of_hugging_face_are_known_and_others_say_what_is() {
        assert_eq!("adamw_bnb_8bit".parse(), Ok(Optimizer::AdamW8Bit));
        assert_eq!("bf16".parse(), Ok(Weights::Half));
        let error = "lion".parse::<Optimizer>().expect_err("unknown");
        assert_eq!(error.to_string(), "`lion`: expected `adamw` or `adamw-8bit`");
    }
}
