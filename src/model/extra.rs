//! Parameters that no field of a shape stands for.

use serde::{Deserialize, Serialize};

use crate::units::whole;

/// Where parameters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Before the layers.
    Embedding,
    /// In the layers.
    Layer,
    /// After them, on the tokens that have a loss.
    Head,
    /// After them, on one token of each sequence.
    Pooler,
}

/// What parameters are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtraKind {
    /// Rows that are looked up: `size` is rows and width.
    Table,
    /// A matrix that is multiplied with: `size` is inputs and outputs.
    Linear,
    /// A linear with as many biases as outputs.
    LinearWithBias,
    /// A linear over the table of `position_scores` instead of over tokens.
    LinearOfPositions,
    /// Numbers that are added or multiplied element by element: `size` is a product.
    Values,
}

/// Parameters that no field of a shape stands for, such as a table of relative positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extra {
    /// What they are, for people.
    pub name: String,
    /// Where they are.
    pub place: Place,
    /// What they are used for.
    pub kind: ExtraKind,
    /// Both sides of one.
    pub size: [usize; 2],
    /// How many there are.
    #[serde(default = "once", deserialize_with = "whole", skip_serializing_if = "is_once")]
    pub times: usize,
}

fn once() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_once(times: &usize) -> bool {
    *times == 1
}

impl Extra {
    /// Parameters that exist `times` times.
    #[must_use]
    pub fn new(name: &str, place: Place, kind: ExtraKind, size: [usize; 2], times: usize) -> Self {
        Self { name: name.to_owned(), place, kind, size, times }
    }

    /// Whether it is a matrix that activations are multiplied with.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        matches!(self.kind, ExtraKind::Linear | ExtraKind::LinearWithBias)
    }
}
