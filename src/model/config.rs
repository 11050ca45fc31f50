//! The shape of a transformer.

use serde::{Deserialize, Serialize};

/// No model has more layers.
pub const MAX_LAYERS: usize = 10_000;
/// Nor more heads, nor a larger width: far above any model.
pub(super) const MAX_HEADS: usize = 10_000;
pub(super) const MAX_WIDTH: usize = 1_000_000;
/// Nor more rows in an embedding, and so no longer sequence.
pub const MAX_ROWS: usize = 10_000_000;

/// What kind of transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Bidirectional attention, masked-LM loss on some positions (BERT).
    Encoder,
    /// Causal attention, loss on every position (GPT). Estimated, not profiled.
    Decoder,
}

/// The shape of a transformer. Hugging Face's names are accepted as well.
///
/// ```
/// use greenformers::model::{Arch, Config, Family, count_params};
///
/// let bert_base = Config {
///     family: Family::Encoder,
///     n_layers: 12,
///     d_model: 768,
///     n_heads: 12,
///     d_ff: 3072,
///     vocab_size: 30522,
///     max_seq_len: 512,
///     type_vocab_size: 2,
///     gated_mlp: false,
/// };
/// assert_eq!(bert_base.d_head(), 64);
/// // With both pre-training heads, whose decoder is the embedding's matrix.
/// assert_eq!(count_params(&bert_base, Arch::Dense), 110_106_428);
/// assert_eq!(count_params(&bert_base, Arch::Lrt { rank: 256 }), 67_639_100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Encoder or decoder.
    pub family: Family,
    /// Number of layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of attention heads; divides `d_model`.
    pub n_heads: usize,
    /// Inner width of the feed-forward block.
    pub d_ff: usize,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Number of position embeddings, and so the longest sequence.
    pub max_seq_len: usize,
    /// Number of segment embeddings (2 in BERT).
    pub type_vocab_size: usize,
    /// Whether the feed-forward block has a third matrix that gates it (Shazeer 2020). Estimated, not profiled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gated_mlp: bool,
}

impl Config {
    /// Width of one head.
    #[must_use]
    pub fn d_head(&self) -> usize {
        self.d_model / self.n_heads
    }

    /// The same model with another number of layers.
    #[must_use]
    pub fn with_layers(mut self, n_layers: usize) -> Self {
        self.n_layers = n_layers;
        self
    }

    /// The same model with position embeddings for sequences of `seq_len`, where it has too few.
    #[must_use]
    pub fn with_room_for(mut self, seq_len: usize) -> Self {
        self.max_seq_len = self.max_seq_len.max(seq_len);
        self
    }
}

/// BERT masks 15 % of the tokens; this is how many positions a sequence has a loss on (Devlin et al.
/// 2018, §3.1; rounded up as in the peer implementation).
#[must_use]
pub fn masked_per_seq(seq_len: usize) -> usize {
    (seq_len * 15).div_ceil(100)
}

/// A shape that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A dimension is 0 or absurd.
    #[error("`{name}` is {value}: expected 1 to {most}")]
    Dimension {
        /// The field.
        name: &'static str,
        /// What it was.
        value: usize,
        /// The most that it may be.
        most: usize,
    },
    /// The heads do not share the width evenly.
    #[error("`n_heads` is {n_heads} and does not divide `d_model`, {d_model}")]
    Heads {
        /// The heads.
        n_heads: usize,
        /// The width.
        d_model: usize,
    },
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model) fn bert_base() -> Config {
        Config {
            family: Family::Encoder,
            n_layers: 12,
            d_model: 768,
            n_heads: 12,
            d_ff: 3072,
            vocab_size: 30522,
            max_seq_len: 512,
            type_vocab_size: 2,
            gated_mlp: false,
        }
    }

    #[test]
    fn hugging_face_names_are_understood() {
        let hf = r#"{"num_hidden_layers":12,"hidden_size":768,"num_attention_heads":12,
            "intermediate_size":3072,"vocab_size":30522,"max_position_embeddings":512}"#;
        assert_eq!(serde_json::from_str::<Config>(hf).expect("valid"), bert_base());
    }

    #[test]
    fn heads_that_do_not_divide_the_width_are_refused() {
        let bad = r#"{"n_layers":1,"d_model":100,"n_heads":3,"d_ff":1,"vocab_size":1,"max_seq_len":1}"#;
        let error = serde_json::from_str::<Config>(bad).expect_err("refused").to_string();
        assert!(error.contains("`n_heads` is 3 and does not divide `d_model`, 100"), "{error}");
    }

    #[test]
    fn fifteen_percent_is_rounded_up() {
        assert_eq!([masked_per_seq(128), masked_per_seq(512), masked_per_seq(1)], [20, 77, 1]);
    }

    #[test]
    fn heads_layers_rooms_and_masked_positions_are_whole_numbers() {
        let bert = bert_base();
        assert_eq!(bert.d_head(), 64);
        assert_eq!(bert.clone().with_layers(3), Config { n_layers: 3, ..bert_base() });
        assert_eq!(bert.clone().with_room_for(513), Config { max_seq_len: 513, ..bert_base() });
        assert_eq!(bert.clone().with_room_for(511), bert);
        assert_eq!([0, 1, 100, 128, 512].map(masked_per_seq), [0, 1, 15, 20, 77]);
    }
}
