//! How many parameters a model has: exact.

use super::{Arch, Config, Family, Share};

/// Parameters of a BERT pre-training model (encoder, pooler, masked-LM and next-sentence heads; the
/// masked-LM decoder is tied to the token embedding).
///
/// Matches `BertForPreTraining` of Hugging Face transformers for `dense`. A decoder is counted as GPT-2 is:
/// learned positions, a last layer norm, a head tied to the token embedding.
#[must_use]
pub fn count_params(config: &Config, arch: Arch) -> u64 {
    let d = config.d_model as u64;
    let d_ff = config.d_ff as u64;
    let linear = |i: u64, o: u64| match arch {
        Arch::Lrt { rank } => rank as u64 * (i + o) + o,
        Arch::Dense | Arch::Linformer { .. } => i * o + o,
    };
    let layer_norm = 2 * d;
    let layer =
        4 * linear(d, d) + (1 + u64::from(config.gated_mlp)) * linear(d, d_ff) + linear(d_ff, d) + 2 * layer_norm;
    let layers = (config.n_layers as u64 * layer).saturating_add(linformer_params(config, arch));
    if config.family == Family::Decoder {
        // Token and position embeddings, and a last layer norm; the head is tied.
        return layers.saturating_add((config.vocab_size + config.max_seq_len) as u64 * d + layer_norm);
    }
    let embeddings = (config.vocab_size + config.max_seq_len + config.type_vocab_size) as u64 * d + layer_norm;
    let pooler = d * d + d;
    let masked_lm = d * d + d + layer_norm + config.vocab_size as u64;
    let next_sentence = 2 * d + 2;
    layers.saturating_add(embeddings + pooler + masked_lm + next_sentence)
}

/// Parameters of the Linformer's projections, each k x `max_seq_len`.
fn linformer_params(config: &Config, arch: Arch) -> u64 {
    let Arch::Linformer { k, share, .. } = arch else { return 0 };
    let layers = config.n_layers as u64;
    let matrices = match share {
        Share::Model => 1,
        Share::Kv => layers,
        Share::Layer => 2 * layers,
        Share::None => 2 * layers * config.n_heads as u64,
    };
    matrices.saturating_mul((k * config.max_seq_len) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;

    fn count(spec: &str) -> u64 {
        count_params(&bert_base(), spec.parse().expect("valid"))
    }

    #[test]
    fn bert_base_has_the_published_number_of_parameters() {
        assert_eq!(count("dense"), 110_106_428);
        assert_eq!(count("lrt:rank=256"), 67_639_100);
        assert_eq!(count("linformer:k=128"), 110_171_964);
    }

    #[test]
    fn gpt_2_small_has_its_published_number_of_parameters() {
        // Radford et al. 2019; the 124 M of every later count.
        let gpt2 = Config { family: Family::Decoder, vocab_size: 50257, max_seq_len: 1024, ..bert_base() };
        assert_eq!(count_params(&gpt2, Arch::Dense), 124_439_808);
    }

    #[test]
    fn sharing_less_adds_the_number_of_matrices_of_the_paper() {
        let matrices = |spec: &str| (count(spec) - count("dense")) / (128 * 512);
        assert_eq!(matrices("linformer:k=128,share=kv"), 12);
        assert_eq!(matrices("linformer:k=128,share=layer"), 24);
        assert_eq!(matrices("linformer:k=128,share=none"), 288);
    }

    #[test]
    fn two_tiny_gated_layers_have_the_parameters_counted_by_hand() {
        // d 4, d_ff 6: linears of 20, 30 and 28, layer norms of 8: 4 x 20 + 2 x 30 + 28 + 2 x 8 = 184 a layer. Around
        // them 15 rows and a norm (68), pooler (20), masked LM (38) and next sentence (10).
        let tiny = Config {
            n_layers: 2,
            d_model: 4,
            n_heads: 2,
            d_ff: 6,
            vocab_size: 10,
            max_seq_len: 3,
            gated_mlp: true,
            ..bert_base()
        };
        assert_eq!(count_params(&tiny, Arch::Dense), 504);
        // Rank 1: 4 x 12 + 2 x 16 + 14 + 16 = 110 a layer.
        assert_eq!(count_params(&tiny, Arch::Lrt { rank: 1 }), 356);
        // 13 rows and a norm.
        assert_eq!(count_params(&Config { family: Family::Decoder, ..tiny }, Arch::Dense), 428);
    }
}
