//! The shape of a transformer.

use serde::{Deserialize, Serialize};

use super::shape::{Bias, Details, Experts, Heads, Norm, NormPlace, Positions, Window};

/// No model has more layers.
pub const MAX_LAYERS: usize = 10_000;
/// Nor more heads, nor a larger width: far above any model.
pub(super) const MAX_HEADS: usize = 10_000;
pub(super) const MAX_WIDTH: usize = 1_000_000;
/// Nor more experts.
pub(super) const MAX_EXPERTS: usize = 100_000;
/// Nor more rows in an embedding, and so no longer sequence.
pub const MAX_ROWS: usize = 10_000_000;

/// Layers of the shallower of two depths: one alone would have no layer before it.
const SHALLOW: usize = 2;

/// What kind of transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Bidirectional attention, masked-LM loss on some positions (BERT).
    Encoder,
    /// Causal attention, loss on every position (GPT).
    Decoder,
}

/// The shape of a transformer. Hugging Face's names are accepted as well.
///
/// ```
/// use greenformers::model::{Arch, Config, Details, Family, count_params};
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
///     details: Details::default(),
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
    /// Number of attention heads; divides `d_model`, unless `head_dim` is given.
    pub n_heads: usize,
    /// Inner width of the feed-forward block.
    pub d_ff: usize,
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// The longest sequence, and so the number of position embeddings where they are learned.
    pub max_seq_len: usize,
    /// Number of segment embeddings (2 in BERT); a decoder has none.
    pub type_vocab_size: usize,
    /// Whether the feed-forward block has a third matrix that gates it (Shazeer 2020).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gated_mlp: bool,
    /// What it has beyond its sizes.
    #[serde(flatten)]
    pub details: Details,
}

impl Config {
    /// Width of one head's queries and keys.
    #[must_use]
    pub fn d_head(&self) -> usize {
        let usual = || self.d_model / self.n_heads;
        let latent = self.details.latent.map(|l| l.nope.saturating_add(l.rope));
        latent.or(self.details.head_dim).unwrap_or_else(usual)
    }

    /// Width of one head's values.
    #[must_use]
    pub fn d_value(&self) -> usize {
        self.details.latent.map_or_else(|| self.d_head(), |l| l.value)
    }

    /// Heads of keys and values.
    #[must_use]
    pub fn n_kv_heads(&self) -> usize {
        self.details.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// What turns the last layer into scores of tokens.
    #[must_use]
    pub fn heads(&self) -> Heads {
        let usual = if self.family == Family::Encoder { Heads::Pretraining } else { Heads::Causal };
        self.details.heads.unwrap_or(usual)
    }

    /// Whether the linear over the vocabulary is the token embedding.
    #[must_use]
    pub fn is_tied(&self) -> bool {
        self.details.tied_head.unwrap_or(true)
    }

    /// The kind of its norms.
    #[must_use]
    pub fn norm(&self) -> Norm {
        self.details.norm.unwrap_or(Norm::Layer)
    }

    /// Whether it is trained with dropout.
    #[must_use]
    pub fn has_dropout(&self) -> bool {
        self.details.dropout.unwrap_or(self.norm() != Norm::Rms)
    }

    /// Where the norms of a layer stand.
    #[must_use]
    pub fn norm_place(&self) -> NormPlace {
        let usual = if self.family == Family::Encoder { NormPlace::Post } else { NormPlace::Pre };
        self.details.norm_place.unwrap_or(usual)
    }

    /// Whether a layer has norms before its blocks, and after them before they are added to what went in.
    #[must_use]
    pub fn norms_around_blocks(&self) -> (bool, bool) {
        let is_inner = self.norm_place() == NormPlace::Inner;
        (!is_inner, is_inner || self.norms_per_layer() > 2)
    }

    /// Norms in a layer, without those of queries and keys.
    #[must_use]
    pub fn norms_per_layer(&self) -> usize {
        self.details.norms_per_layer.unwrap_or(2)
    }

    /// Norms of the residual stream in all layers that have weights of their own.
    #[must_use]
    pub fn norms_of_layers(&self) -> usize {
        let all = self.distinct_layers().saturating_mul(self.norms_per_layer());
        all.saturating_sub(usize::from(self.details.first_norm == Some(false)))
    }

    /// Whether the sum of the embeddings is normalised.
    #[must_use]
    pub fn has_embedding_norm(&self) -> bool {
        let usual = self.family == Family::Encoder && self.norm_place() == NormPlace::Post;
        self.details.embedding_norm.unwrap_or(usual)
    }

    /// Whether the output of the last layer is normalised.
    #[must_use]
    pub fn has_final_norm(&self) -> bool {
        self.details.final_norm.unwrap_or(self.norm_place() != NormPlace::Post)
    }

    /// How it knows where a token stands.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.details.positions.unwrap_or(Positions::Learned)
    }

    /// Whether linears of this kind have a bias.
    #[must_use]
    pub fn has_bias(&self, of: Bias) -> bool {
        let usual = || self.family == Family::Encoder || of != Bias::Head;
        self.details.biases.as_ref().map_or_else(usual, |biases| biases.contains(&of))
    }

    /// Linears whose input is that of attention, and those whose input is that of a feed-forward block.
    pub(super) fn linears_in(&self) -> (usize, usize) {
        let of_qkv = if self.details.fused_qkv { 1 } else { 3 };
        (of_qkv, if self.gated_mlp && !self.details.fused_gate { 2 } else { 1 })
    }

    /// Whether transformers computes its activation in separate operations: GELU's tanh form, under these names.
    pub(super) fn has_composed_activation(&self) -> bool {
        !self.gated_mlp && matches!(self.details.activation.as_deref(), Some("gelu_new" | "gelu_fast"))
    }

    /// Width of the table of tokens.
    #[must_use]
    pub fn d_embedding(&self) -> usize {
        self.details.d_embedding.unwrap_or(self.d_model)
    }

    /// Layers that have weights of their own.
    #[must_use]
    pub fn distinct_layers(&self) -> usize {
        self.details.distinct_layers.unwrap_or(self.n_layers).min(self.n_layers)
    }

    /// Layers with experts, and these.
    #[must_use]
    pub fn sparse(&self) -> Option<(usize, Experts)> {
        self.details.experts.map(|e| (e.layers.unwrap_or(self.n_layers).min(self.n_layers), e))
    }

    /// Layers whose attention has a window, and this.
    #[must_use]
    pub fn windowed(&self) -> Option<Window> {
        let layers = |w: Window| Window { layers: w.layers.min(self.n_layers), ..w };
        self.details.sliding_window.map(layers).filter(|w| w.layers > 0)
    }

    /// Whether the attention of a layer has a window.
    #[must_use]
    pub fn has_window(&self, layer: usize) -> bool {
        self.windowed().is_some_and(|window| match window.global_every {
            Some(every) => !layer.is_multiple_of(every.max(1)),
            None => layer < window.layers,
        })
    }

    /// Whether it is built as BERT is, which this program's own layers compute. Which of the heads it has, and how many rows of
    /// positions, makes no difference to a step.
    #[must_use]
    pub fn is_bert(&self) -> bool {
        let own = Details {
            heads: self.details.heads.filter(|heads| *heads == Heads::Causal),
            n_kv_heads: self.details.n_kv_heads.filter(|n| *n != self.n_heads),
            head_dim: self.details.head_dim.filter(|_| self.d_head() * self.n_heads != self.d_model),
            positions: self.details.positions.filter(|p| *p != Positions::Learned),
            norm: self.details.norm.filter(|n| *n != Norm::Layer),
            norm_place: self.details.norm_place.filter(|p| *p != NormPlace::Post),
            norms_per_layer: self.details.norms_per_layer.filter(|n| *n != 2),
            first_norm: self.details.first_norm.filter(|has| !has),
            embedding_norm: self.details.embedding_norm.filter(|has| !has),
            final_norm: self.details.final_norm.filter(|has| *has),
            tied_head: self.details.tied_head.filter(|tied| !tied),
            activation: None,
            dropout: None,
            n_positions: None,
            ..self.details.clone()
        };
        self.family == Family::Encoder && !self.gated_mlp && self.type_vocab_size > 0 && own == Details::default()
    }

    /// The same model with another number of layers, of which as large a share has windows, experts or other extras.
    #[must_use]
    pub fn with_layers(mut self, n_layers: usize) -> Self {
        let of = self.n_layers.max(1);
        let share = |layers: usize| {
            let scaled = (layers as u128 * n_layers as u128 + of as u128 / 2) / of as u128;
            usize::try_from(scaled).unwrap_or(usize::MAX)
        };
        if let Some(window) = &mut self.details.sliding_window {
            window.layers = match window.global_every {
                Some(every) => Window::layers_but_every(n_layers, every),
                None => share(window.layers),
            };
        }
        if let Some(layers) = self.details.experts.as_mut().and_then(|e| e.layers.as_mut()) {
            *layers = share(*layers);
        }
        for extra in self.details.extra.iter_mut().filter(|e| e.place == super::extra::Place::Layer) {
            extra.times = share(extra.times);
        }
        self.n_layers = n_layers;
        self
    }

    /// Two depths from whose difference that of all layers follows: 2, and a quarter of them; or as many more as have windows in
    /// the same share, or lack whole periods of global and windowed layers to be all. `None` where that would be all of them.
    #[must_use]
    pub fn usual_depths(&self) -> Option<[usize; 2]> {
        let (n, window) = (self.n_layers, self.windowed());
        let share = |windows: usize| (1..=n).find(|unit| (windows * unit).is_multiple_of(n));
        // Depths are so many layers more than a multiple of the unit.
        let (unit, more) = match window.and_then(|window| window.global_every) {
            Some(period) => (period, n % period),
            None => (share(window.map_or(0, |window| window.layers))?, 0),
        };
        let up_to = |least: usize| least.saturating_sub(more).next_multiple_of(unit) + more;
        let shallow = up_to(SHALLOW);
        let deep = up_to((n / 4).max(2 * SHALLOW)).max(shallow + unit);
        (deep < n).then_some([shallow, deep])
    }

    /// The same model with position embeddings for sequences of `seq_len`, where it has too few.
    #[must_use]
    pub fn with_room_for(mut self, seq_len: usize) -> Self {
        let longer = seq_len.saturating_sub(self.max_seq_len);
        self.details.n_positions = self.details.n_positions.map(|rows| rows.saturating_add(longer));
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
            details: Details::default(),
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

    #[test]
    fn two_depths_stand_for_all_layers_and_keep_the_share_of_windows() {
        let depths = |n_layers, windows: Option<usize>| {
            let sliding_window = windows.map(|layers| Window { length: 9, layers, global_every: None });
            Config { n_layers, details: Details { sliding_window, ..Details::default() }, ..bert_base() }.usual_depths()
        };
        assert_eq!(
            [4, 5, 12, 24, 80].map(|n| depths(n, None)),
            [None, Some([2, 4]), Some([2, 4]), Some([2, 6]), Some([2, 20])]
        );
        // Five of six layers have windows: 6 and 12 keep that share.
        assert_eq!((depths(24, Some(20)), depths(24, Some(24))), (Some([6, 12]), Some([2, 6])));
        // ModernBERT's layers 0, 3, 6, ... see everything: 4 and 7 of 22 lack six and five periods of three.
        let periods = |n_layers, layers| {
            let sliding_window = Some(Window { length: 9, layers, global_every: Some(3) });
            Config { n_layers, details: Details { sliding_window, ..Details::default() }, ..bert_base() }.usual_depths()
        };
        assert_eq!([periods(22, 14), periods(28, 18), periods(24, 16)], [Some([4, 7]), Some([4, 7]), Some([3, 6])]);
        assert_eq!(periods(6, 4), None);
    }

    #[test]
    fn fewer_layers_keep_their_share_of_windows_and_experts_and_more_positions_their_offset() {
        let mut model = bert_base();
        model.details.sliding_window = Some(Window { length: 64, layers: 8, global_every: None });
        model.details.n_positions = Some(514);
        let small = model.with_layers(3).with_room_for(600);
        assert_eq!(small.windowed(), Some(Window { length: 64, layers: 2, global_every: None }));
        assert_eq!((small.max_seq_len, small.details.n_positions), (600, Some(602)));
    }

    #[test]
    fn windows_are_in_the_first_layers_or_in_all_but_each_so_many_th() {
        let of = |n_layers, window| {
            let details = Details { sliding_window: Some(window), ..Details::default() };
            Config { details, ..bert_base() }.with_layers(n_layers)
        };
        let with = |config: &Config| (0..config.n_layers).map(|i| config.has_window(i)).collect::<Vec<_>>();
        // 8 of 12 layers, and in 4 as large a share.
        let first = of(4, Window { length: 9, layers: 8, global_every: None });
        assert_eq!(with(&first), [true, true, true, false]);
        let every = Window { length: 9, layers: 8, global_every: Some(3) };
        assert_eq!(with(&of(5, every)), [false, true, true, false, true]);
        assert_eq!([22, 5, 1].map(|n| of(n, every).windowed().map_or(0, |w| w.layers)), [14, 3, 0]);
        assert!(of(3, every).check().is_ok());
        let wrong = Window { layers: 7, ..every };
        let details = Details { sliding_window: Some(wrong), ..Details::default() };
        let error = Config { details, ..bert_base() }.check().expect_err("8 layers").to_string();
        assert!(error.contains("`layers` of `sliding_window` is 7"), "{error}");
    }

    #[test]
    fn a_model_is_bert_whatever_its_heads_and_rows_of_positions_and_no_other_is() {
        let mut model = bert_base();
        assert!(model.is_bert());
        model.details = Details {
            heads: Some(Heads::MaskedLm),
            n_positions: Some(514),
            norm: Some(Norm::Layer),
            n_kv_heads: Some(12),
            ..Details::default()
        };
        assert!(model.is_bert());
        for details in [
            Details { n_kv_heads: Some(4), ..Details::default() },
            Details { positions: Some(Positions::Rotary), ..Details::default() },
            Details { heads: Some(Heads::Causal), ..Details::default() },
            Details { final_norm: Some(true), ..Details::default() },
        ] {
            assert!(!Config { details, ..bert_base() }.is_bert());
        }
        assert!(!Config { family: Family::Decoder, ..bert_base() }.is_bert());
    }
}
