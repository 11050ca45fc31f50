//! What transformers differ in beyond their sizes. What is left out is as in BERT where the model is an encoder, and as in GPT-2
//! where it is a decoder.

use serde::{Deserialize, Serialize};

use super::extra::Extra;
use super::rotary::Rotary;
use crate::units::{whole, whole_or_none};

/// What turns the last layer into scores of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heads {
    /// The masked-LM head, and beside it the pooler and the next-sentence head (BERT's pre-training).
    Pretraining,
    /// A transform (linear, activation, norm), and a linear over the vocabulary.
    MaskedLm,
    /// A linear over the vocabulary alone.
    Causal,
}

/// How activations are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Layer norm, with a weight and a bias for each element (Ba et al. 2016).
    Layer,
    /// Layer norm with weights alone.
    LayerWithoutBias,
    /// Root mean square, with weights alone (Zhang and Sennrich 2019).
    Rms,
    /// A norm of either kind that learns nothing (OLMo).
    WithoutWeights,
}

impl Norm {
    /// Parameters of a norm of `width` elements.
    #[must_use]
    pub fn params(self, width: usize) -> usize {
        match self {
            Self::Layer => width.saturating_mul(2),
            Self::LayerWithoutBias | Self::Rms => width,
            Self::WithoutWeights => 0,
        }
    }
}

/// Where the norms of a layer stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormPlace {
    /// Before each block, so that the last layer needs a norm of its own.
    Pre,
    /// After each block.
    Post,
    /// After each block and before it is added to what went in, so that the last layer needs a norm of its own (OLMo 2, arXiv
    /// 2501.00656, section 3.1).
    Inner,
}

/// Norms of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QkNorm {
    /// One for queries and one for keys, whose weights all heads share.
    Head,
    /// One over all queries and one over all keys.
    Width,
}

/// How a model knows where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// A table with a row for each position.
    Learned,
    /// Queries and keys are turned by it (Su et al. 2021).
    Rotary,
    /// Scores are lowered by distance (Press et al. 2022).
    Alibi,
    /// Scores depend on distance by what is learned.
    Relative,
    /// A table that is computed (Vaswani et al. 2017).
    Sinusoidal,
    /// It does not.
    None,
}

/// Linears that have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bias {
    /// Queries, keys and values.
    Qkv,
    /// The output of attention.
    Output,
    /// The feed-forward block.
    Mlp,
    /// The linear of the masked-LM transform.
    Transform,
    /// The linear over the vocabulary.
    Head,
}

/// Attention that sees a part of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The most tokens that a query sees.
    #[serde(deserialize_with = "whole")]
    pub length: usize,
    /// In how many of the layers.
    #[serde(deserialize_with = "whole")]
    pub layers: usize,
    /// That each so many-th layer, the first among them, is one of those without; if not given, those with a window are the first.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub global_every: Option<usize>,
}

impl Window {
    /// Of how many of `n_layers` layers each `every`-th, the first among them, has no window, and the others have one.
    #[must_use]
    pub fn layers_but_every(n_layers: usize, every: usize) -> usize {
        n_layers - n_layers.div_ceil(every.max(1))
    }
}

/// Feed-forward blocks of which a router picks a few for each token (Shazeer et al. 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// How many a layer has.
    #[serde(deserialize_with = "whole")]
    pub count: usize,
    /// How many a token visits.
    #[serde(deserialize_with = "whole")]
    pub active: usize,
    /// Inner width of one.
    #[serde(deserialize_with = "whole")]
    pub d_ff: usize,
    /// In how many of the layers; in all if not given. The others have one feed-forward block of `d_ff`.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Inner width of the experts that every token visits, together.
    #[serde(default, deserialize_with = "whole", skip_serializing_if = "is_zero")]
    pub shared_d_ff: usize,
    /// Whether a linear of one output weighs the shared ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_gate: bool,
    /// Whether routers and experts have biases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bias: bool,
}

/// Attention whose queries, keys and values come from narrow latents (DeepSeek-V2, arXiv 2405.04434, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    /// Width of the queries' latent; none if they come from the input.
    #[serde(default, deserialize_with = "whole_or_none", skip_serializing_if = "Option::is_none")]
    pub q_rank: Option<usize>,
    /// Width of the latent of keys and values.
    #[serde(deserialize_with = "whole")]
    pub kv_rank: usize,
    /// Width of a head's queries and keys that no position turns.
    #[serde(deserialize_with = "whole")]
    pub nope: usize,
    /// Width of those that positions turn, which all heads' keys share.
    #[serde(deserialize_with = "whole")]
    pub rope: usize,
    /// Width of a head's values.
    #[serde(deserialize_with = "whole")]
    pub value: usize,
}

/// Attention that also multiplies queries and keys with a table of relative positions (DeBERTa, He et al. 2021, arXiv 2006.03654,
/// section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionScores {
    /// Rows of the table.
    #[serde(deserialize_with = "whole")]
    pub rows: usize,
    /// 1: content to position, or position to content; 2: both. Each is a linear over the table and a product for each head.
    #[serde(deserialize_with = "whole")]
    pub ways: usize,
    /// Whether rows that are further away than the sequence is long are left out: of the first DeBERTa, and of no later one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// What a model says beyond its sizes; each of these is a key of its own in a workload's `model:`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Details {
    /// `pretraining` in an encoder, `causal` in a decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Heads>,
    /// Whether the linear over the vocabulary is the token embedding; it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied_head: Option<bool>,
    /// Heads of keys and values, of which each serves several of queries (Ainslie et al. 2023); as many as heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_kv_heads: Option<usize>,
    /// Width of a head; `d_model / n_heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Latent attention, instead of heads of keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<Latent>,
    /// The activation of the feed-forward block, in the names of transformers: it matters to stock `PyTorch`, to its memory and its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    /// Whether it is trained with dropout: it is, unless it divides by a root mean square. Those that are published (Llama, Mistral,
    /// Qwen, Gemma, OLMo 2) are trained without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<bool>,
    /// `layer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// `post` in an encoder, `pre` in a decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_place: Option<NormPlace>,
    /// Norms of the residual stream in a layer; 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norms_per_layer: Option<usize>,
    /// Whether the first layer has a norm before its attention; it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_norm: Option<bool>,
    /// Whether the sum of the embeddings is normalised: in an encoder whose norms stand after their blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_norm: Option<bool>,
    /// Whether the output of the last layer is normalised: where norms stand before their blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_norm: Option<bool>,
    /// Norms of queries and keys; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qk_norm: Option<QkNorm>,
    /// `learned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// What rotary positions are beyond the usual; nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotary: Option<Rotary>,
    /// Rows of the table of positions; `max_seq_len`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_positions: Option<usize>,
    /// Scores of queries and keys with a table of relative positions; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position_scores: Option<PositionScores>,
    /// Which linears have a bias: all in an encoder, all but the last in a decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biases: Option<Vec<Bias>>,
    /// Whether queries, keys and values are one matrix, which matters to LoRA alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fused_qkv: bool,
    /// Whether both halves of a gated block are one matrix, which matters to LoRA alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fused_gate: bool,
    /// Sliding windows; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sliding_window: Option<Window>,
    /// A mixture of experts; none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<Experts>,
    /// Width of the tables of tokens and positions; `d_model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d_embedding: Option<usize>,
    /// Layers with weights of their own, which the others use again (ALBERT); all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct_layers: Option<usize>,
    /// Whatever else there is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<Extra>,
}
