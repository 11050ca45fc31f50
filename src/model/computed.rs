//! Which models this program's own layers compute; others are estimated.

use super::shape::{Heads, NormPlace, Positions};
use super::{Config, Family};

/// What computes a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computed {
    /// The layers of BERT, with its heads.
    Bert,
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
        if self.family == Family::Encoder {
            return Err(NotComputed("it is an encoder that is not built as BERT is"));
        }
        match self.beyond_decoders() {
            Some(what) => Err(NotComputed(what)),
            None => Ok(Computed::Decoder),
        }
    }

    /// What a decoder has that those of GPT-2 and Llama have not.
    fn beyond_decoders(&self) -> Option<&'static str> {
        let details = &self.details;
        let is_turned = matches!(self.positions(), Positions::Learned | Positions::Rotary | Positions::None);
        let found = [
            (details.experts.is_some(), "it is a mixture of experts"),
            (details.latent.is_some(), "its attention is latent"),
            (!is_turned, "its positions are neither learned nor rotary"),
            (
                self.positions() == Positions::Rotary && !self.rotary_width().is_multiple_of(2),
                "its rotary positions turn pairs, and of its heads they turn an odd width",
            ),
            (self.norm_place() == NormPlace::Post, "its norms stand after its blocks"),
            (!matches!(self.norms_per_layer(), 1 | 2), "its layers have more than two norms"),
            (self.has_embedding_norm(), "the sum of its embeddings is normalised"),
            (self.heads() != Heads::Causal, "its head is more than a linear over the vocabulary"),
            (details.d_embedding.is_some_and(|d| d != self.d_model), "its embeddings are narrower than its layers"),
            (details.distinct_layers.is_some_and(|n| n != self.n_layers), "its layers share their weights"),
            (!details.extra.is_empty(), "it has parameters beside those of its blocks"),
        ];
        found.into_iter().find_map(|(is_so, what)| is_so.then_some(what))
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
        assert!(why(decoder(Details { head_dim: Some(7), ..rotary })).contains("odd width"));
        let alibi = Details { positions: Some(Positions::Alibi), ..Details::default() };
        assert!(why(decoder(alibi)).contains("neither learned nor rotary"));
        assert!(why(Config { gated_mlp: true, ..bert_base() }).contains("encoder"));
    }
}
