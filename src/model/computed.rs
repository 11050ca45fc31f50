//! Which models this program's own layers compute; others are estimated.

use super::shape::{Heads, NormPlace, Positions};
use super::{Config, Family};

/// What computes a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    /// The layers of BERT, with its heads.
    Bert,
    /// Those of ModernBERT, with its masked-LM head.
    ModernBert,
    /// Those of a decoder as GPT-2 or Llama.
    Decoder,
}

/// A model that is estimated, not computed, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotComputed(&'static str);

impl Config {
    /// What computes it.
    ///
    /// # Errors
    /// What it has that is not computed.
    pub fn computed(&self) -> Result<Computed, NotComputed> {
        if self.is_bert() {
            return Ok(Computed::Bert);
        }
        let (beyond, computed) = match self.family {
            Family::Encoder => (self.beyond_modern_bert(), Computed::ModernBert),
            Family::Decoder => (self.beyond_decoders(), Computed::Decoder),
        };
        beyond.map_or(Ok(computed), |what| Err(NotComputed(what)))
    }

    /// What an encoder has that ModernBERT has not (Warner et al. 2024, arXiv 2412.13663), or the other way round.
    fn beyond_modern_bert(&self) -> Option<&'static str> {
        let details = &self.details;
        let is_modern = self.positions() == Positions::Rotary
            && self.norm_place() == NormPlace::Pre
            && details.first_norm == Some(false)
            && self.norms_per_layer() == 2
            && self.has_embedding_norm()
            && self.has_final_norm()
            && self.heads() == Heads::MaskedLm
            && self.gated_mlp
            && details.fused_qkv
            && details.fused_gate
            && self.type_vocab_size == 0;
        let found = [
            (!is_modern, "it is an encoder that is built neither as BERT nor as ModernBERT is"),
            (details.qk_norm.is_some(), "its queries and keys are normalised"),
            (
                self.windowed().is_some_and(|window| window.length.is_multiple_of(2)),
                "its windows reach further to one side than to the other",
            ),
            (details.position_scores.is_some(), "its scores depend on a table of relative positions"),
        ];
        found.into_iter().chain(self.beyond_all()).find_map(|(is_so, what)| is_so.then_some(what))
    }

    /// What a decoder has that those of GPT-2 and Llama have not.
    fn beyond_decoders(&self) -> Option<&'static str> {
        let is_turned = matches!(self.positions(), Positions::Learned | Positions::Rotary | Positions::None);
        let found = [
            (!is_turned, "its positions are neither learned nor rotary"),
            (self.norm_place() == NormPlace::Post, "its norms stand after its blocks"),
            (!self.norms_are_computed(), "its layers have an unusual number of norms"),
            (self.details.first_norm == Some(false), "its first layer has a norm less than the others"),
            (self.has_embedding_norm(), "the sum of its embeddings is normalised"),
            (self.heads() != Heads::Causal, "its head is more than a linear over the vocabulary"),
        ];
        self.beyond_all().into_iter().chain(found).find_map(|(is_so, what)| is_so.then_some(what))
    }

    /// Before both blocks or before what both see, after both, or before and after.
    fn norms_are_computed(&self) -> bool {
        match self.norm_place() {
            NormPlace::Inner => self.norms_per_layer() == 2,
            NormPlace::Pre | NormPlace::Post => matches!(self.norms_per_layer(), 1 | 2 | 4),
        }
    }

    /// What no model that is computed has.
    fn beyond_all(&self) -> [(bool, &'static str); 6] {
        let details = &self.details;
        [
            (details.experts.is_some(), "it is a mixture of experts"),
            (details.latent.is_some(), "its attention is latent"),
            (
                self.positions() == Positions::Rotary && !self.rotary_width().is_multiple_of(2),
                "its rotary positions turn pairs, and of its heads they turn an odd width",
            ),
            (details.d_embedding.is_some_and(|d| d != self.d_model), "its embeddings are narrower than its layers"),
            (details.distinct_layers.is_some_and(|n| n != self.n_layers), "its layers share their weights"),
            (!details.extra.is_empty(), "it has parameters beside those of its blocks"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::bert_base;
    use super::super::shape::{Details, Experts};
    use super::*;

    #[test]
    fn bert_and_plain_decoders_are_computed_and_the_rest_says_why_not() {
        assert_eq!(bert_base().computed(), Ok(Computed::Bert));
        let decoder = |details| Config { family: Family::Decoder, details, ..bert_base() };
        assert_eq!(decoder(Details::default()).computed(), Ok(Computed::Decoder));
        let rotary = Details { positions: Some(Positions::Rotary), ..Details::default() };
        assert_eq!(decoder(rotary.clone()).computed(), Ok(Computed::Decoder));
        let why = |config: Config| config.computed().expect_err("not computed").to_string();
        let experts =
            Experts { count: 8, active: 2, d_ff: 9, layers: None, shared_d_ff: 0, shared_gate: false, bias: false };
        assert!(why(decoder(Details { experts: Some(experts), ..Details::default() })).contains("experts"));
        assert!(why(decoder(Details { head_dim: Some(7), ..rotary.clone() })).contains("odd width"));
        let alibi = Details { positions: Some(Positions::Alibi), ..Details::default() };
        assert!(why(decoder(alibi)).contains("neither learned nor rotary"));
        for (place, norms, is_computed) in [
            (NormPlace::Pre, 4, true),
            (NormPlace::Pre, 3, false),
            (NormPlace::Inner, 2, true),
            (NormPlace::Inner, 1, false),
        ] {
            let details = Details { norm_place: Some(place), norms_per_layer: Some(norms), ..rotary.clone() };
            assert_eq!(decoder(details).computed().is_ok(), is_computed, "{place:?}, {norms}");
        }
        assert!(why(Config { gated_mlp: true, ..bert_base() }).contains("encoder"));
    }

    #[test]
    fn modern_bert_is_computed_and_what_is_like_it_says_why_not() {
        let of = |json: &str| crate::model::read_hugging_face(json.as_bytes()).expect("valid").0;
        let modern = of(r#"{"model_type": "modernbert"}"#);
        assert_eq!(modern.computed(), Ok(Computed::ModernBert));
        let why = |details| {
            let config = Config { details, ..modern.clone() };
            config.computed().expect_err("not computed").to_string()
        };
        let even = modern.details.sliding_window.map(|window| crate::model::Window { length: 128, ..window });
        assert!(why(Details { sliding_window: even, ..modern.details.clone() }).contains("further to one side"));
        assert!(why(Details { first_norm: None, ..modern.details.clone() }).contains("nor as ModernBERT"));
        assert!(why(Details { distinct_layers: Some(2), ..modern.details.clone() }).contains("share their weights"));
        let decoder = of(r#"{"model_type": "modernbert-decoder"}"#).computed();
        assert!(decoder.expect_err("not computed").to_string().contains("a norm less"));
    }
}
