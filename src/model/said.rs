//! What a workload may say of its model beside its dimensions.

use serde::Deserialize;

use super::config::Family;
use super::extra::Extra;
use super::rotary::Rotary;
use super::shape::{Bias, Details, Experts, Heads, Latent, Norm, NormPlace, PositionScores, Positions, QkNorm, Window};
use crate::units::whole_or_none;

/// What may be said of a model beside its dimensions, as a file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub(super) family: Option<Family>,
    pub(super) gated_mlp: Option<bool>,
    heads: Option<Heads>,
    tied_head: Option<bool>,
    #[serde(default, deserialize_with = "whole_or_none")]
    n_kv_heads: Option<usize>,
    #[serde(default, deserialize_with = "whole_or_none")]
    head_dim: Option<usize>,
    latent: Option<Latent>,
    activation: Option<String>,
    dropout: Option<bool>,
    norm: Option<Norm>,
    norm_place: Option<NormPlace>,
    #[serde(default, deserialize_with = "whole_or_none")]
    norms_per_layer: Option<usize>,
    first_norm: Option<bool>,
    embedding_norm: Option<bool>,
    final_norm: Option<bool>,
    qk_norm: Option<QkNorm>,
    positions: Option<Positions>,
    rotary: Option<Rotary>,
    #[serde(default, deserialize_with = "whole_or_none")]
    n_positions: Option<usize>,
    position_scores: Option<PositionScores>,
    biases: Option<Vec<Bias>>,
    fused_qkv: Option<bool>,
    fused_gate: Option<bool>,
    sliding_window: Option<Window>,
    experts: Option<Experts>,
    #[serde(default, deserialize_with = "whole_or_none")]
    d_embedding: Option<usize>,
    #[serde(default, deserialize_with = "whole_or_none")]
    distinct_layers: Option<usize>,
    extra: Option<Vec<Extra>>,
}

/// The names of these.
pub(super) const SAID: [&str; 28] = [
    "family",
    "gated_mlp",
    "heads",
    "tied_head",
    "n_kv_heads",
    "head_dim",
    "latent",
    "activation",
    "dropout",
    "norm",
    "norm_place",
    "norms_per_layer",
    "first_norm",
    "embedding_norm",
    "final_norm",
    "qk_norm",
    "positions",
    "rotary",
    "n_positions",
    "position_scores",
    "biases",
    "fused_qkv",
    "fused_gate",
    "sliding_window",
    "experts",
    "d_embedding",
    "distinct_layers",
    "extra",
];

impl Said {
    /// What it says that is not so anyway.
    pub(super) fn details(self, n_heads: usize, d_model: usize) -> Details {
        Details {
            heads: self.heads,
            tied_head: self.tied_head.filter(|tied| !tied),
            n_kv_heads: self.n_kv_heads.filter(|n| *n != n_heads),
            head_dim: self.head_dim.filter(|d| d.checked_mul(n_heads) != Some(d_model)),
            latent: self.latent,
            activation: self.activation,
            dropout: self.dropout,
            norm: self.norm,
            norm_place: self.norm_place,
            norms_per_layer: self.norms_per_layer,
            first_norm: self.first_norm.filter(|has| !has),
            embedding_norm: self.embedding_norm,
            final_norm: self.final_norm,
            qk_norm: self.qk_norm,
            positions: self.positions,
            rotary: self.rotary,
            n_positions: self.n_positions,
            position_scores: self.position_scores,
            biases: self.biases,
            fused_qkv: self.fused_qkv.unwrap_or(false),
            fused_gate: self.fused_gate.unwrap_or(false),
            sliding_window: self.sliding_window,
            experts: self.experts,
            d_embedding: self.d_embedding.filter(|d| *d != d_model),
            distinct_layers: self.distinct_layers,
            extra: self.extra.unwrap_or_default(),
        }
    }
}
