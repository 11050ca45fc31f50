//! Decoders that are built as Llama is, and how each type differs from it.

use super::super::config::{Config, Family};
use super::super::shape::{Bias, Details, Norm, NormPlace, Positions, QkNorm};
use super::error::HuggingFaceError;
use super::keys::Keys;
use super::mixtures::{Mixture, experts};
use super::sizes::{layers, model};
use super::windows::{Rule, window};

/// Whether something is there.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// Never.
    Never,
    /// Always.
    Always,
    /// If this key says so.
    If(&'static str),
}

impl When {
    pub(super) fn is(self, keys: &Keys) -> Result<bool, HuggingFaceError> {
        match self {
            Self::Never => Ok(false),
            Self::Always => Ok(true),
            Self::If(key) => keys.flag(key),
        }
    }
}

/// What a type is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Like {
    pub(super) types: &'static [&'static str],
    pub(super) norm: Norm,
    pub(super) place: NormPlace,
    /// Norms in a layer, and how many fewer if a key says so.
    pub(super) norms: (usize, When),
    /// Norms of queries and keys, and whether they are there.
    pub(super) qk_norm: (QkNorm, When),
    pub(super) qkv: When,
    pub(super) output: When,
    pub(super) mlp: When,
    pub(super) head: When,
    pub(super) is_gated: bool,
    pub(super) fused_qkv: bool,
    pub(super) fused_gate: bool,
    pub(super) windows: Rule,
    pub(super) mixture: Option<Mixture>,
}

/// Llama itself.
pub(super) const LLAMA: Like = Like {
    types: &["llama", "exaone", "internlm3", "iquestcoder"],
    norm: Norm::Rms,
    place: NormPlace::Pre,
    norms: (2, When::Never),
    qk_norm: (QkNorm::Head, When::Never),
    qkv: When::If("attention_bias"),
    output: When::If("attention_bias"),
    mlp: When::If("mlp_bias"),
    head: When::Never,
    is_gated: true,
    fused_qkv: false,
    fused_gate: false,
    windows: Rule::None,
    mixture: None,
};

/// The shape of a decoder that differs from Llama as `like` says.
pub(super) fn read(keys: &Keys, like: &Like) -> Result<Config, HuggingFaceError> {
    let n_layers = layers(keys)?;
    let mixture = like.mixture.as_ref().map(|of| experts(keys, of, n_layers)).transpose()?.flatten();
    let d_ff = match keys.number("intermediate_size")? {
        Some(d_ff) => d_ff,
        None => mixture.map_or_else(|| keys.need("intermediate_size"), |e| Ok(e.d_ff))?,
    };
    let (norms, fewer) = like.norms;
    let (qk_norm, has_qk_norm) = like.qk_norm;
    let mut biases = Vec::new();
    for (of, when) in
        [(Bias::Qkv, like.qkv), (Bias::Output, like.output), (Bias::Mlp, like.mlp), (Bias::Head, like.head)]
    {
        if when.is(keys)? {
            biases.push(of);
        }
    }
    let details = Details {
        tied_head: Some(keys.flag("tie_word_embeddings")?),
        norm: Some(like.norm),
        norm_place: Some(like.place),
        norms_per_layer: Some(norms - usize::from(fewer.is(keys)?)),
        qk_norm: Some(qk_norm).filter(|_| has_qk_norm.is(keys).unwrap_or(false)),
        positions: Some(Positions::Rotary),
        biases: Some(biases),
        fused_qkv: like.fused_qkv,
        fused_gate: like.fused_gate,
        sliding_window: window(keys, like.windows, n_layers)?,
        experts: mixture,
        ..Details::default()
    };
    let config = model(keys, Family::Decoder, n_layers, d_ff, details)?;
    Ok(Config { gated_mlp: like.is_gated, ..config })
}
