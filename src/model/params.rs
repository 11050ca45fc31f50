//! How many parameters a model has: exact.

use super::arch::LoraTargets;
use super::items::{Form, Item, parameters};
use super::{Arch, Config, Share};

/// Parameters of the model with its heads ([`Config::heads`]); a head that is tied to the token embedding counts once.
///
/// Matches `BertForPreTraining` of Hugging Face transformers for a `dense` encoder that says no more than its sizes, and
/// `GPT2LMHeadModel` for such a decoder.
#[must_use]
pub fn count_params(config: &Config, arch: Arch) -> u64 {
    sum(config, arch, |item| item.times)
}

/// Of these, the parameters that a token visits: all but the routed experts that it does not go to.
#[must_use]
pub fn active_params(config: &Config, arch: Arch) -> u64 {
    sum(config, arch, |item| item.active)
}

/// Parameters of the tables of the embeddings: tokens, positions, segments, and relative positions.
#[must_use]
pub fn embedding_params(config: &Config) -> u64 {
    let tables = parameters(config).into_iter().filter(|item| matches!(item.form, Form::Table { .. }));
    narrowed(tables.map(|item| item.params(None).saturating_mul(u128::from(item.times))))
}

fn sum(config: &Config, arch: Arch, times: fn(&Item) -> u64) -> u64 {
    let items = parameters(config);
    let rank = |item: &Item| match item.form {
        Form::Linear { d_in, d_out, .. } => arch.rank_of(config, (d_in, d_out)),
        Form::Table { .. } | Form::Values(_) => None,
    };
    let counts = items.iter().map(|item| item.params(rank(item)).saturating_mul(u128::from(times(item))));
    narrowed(counts.chain([u128::from(linformer_params(config, arch)), u128::from(adapters(config, arch))]))
}

/// Parameters that training changes: of LoRA the pairs alone, otherwise all.
#[must_use]
pub fn trainable_params(config: &Config, arch: Arch) -> u64 {
    if let Arch::Lora { .. } = arch { adapters(config, arch) } else { count_params(config, arch) }
}

/// Parameters of the pairs of LoRA.
fn adapters(config: &Config, arch: Arch) -> u64 {
    let Arch::Lora { rank, targets, .. } = arch else { return 0 };
    lora_params(config, rank, targets).unwrap_or(0)
}

fn narrowed(counts: impl Iterator<Item = u128>) -> u64 {
    u64::try_from(counts.fold(0, u128::saturating_add)).unwrap_or(u64::MAX)
}

/// Parameters of the Linformer's projections, each k x `max_seq_len`.
fn linformer_params(config: &Config, arch: Arch) -> u64 {
    let Arch::Linformer { k, share, .. } = arch else { return 0 };
    let layers = config.distinct_layers() as u64;
    let matrices = match share {
        Share::Model => 1,
        Share::Kv => layers,
        Share::Layer => 2 * layers,
        Share::None => 2 * layers * config.n_heads as u64,
    };
    matrices.saturating_mul((k as u64).saturating_mul(config.max_seq_len as u64))
}

/// Linears that LoRA is asked for and that the model does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("latent attention has no linear of values alone\nhint: put LoRA on all linears")]
pub struct NoValueLinear;

/// A linear that has a pair of low-rank matrices beside it, and how often it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoraPair {
    pub(super) d_in: usize,
    pub(super) d_out: usize,
    pub(super) times: u64,
}

/// The linears that LoRA has a pair beside. Matrices that are fused with one that is listed before them share its pair.
pub(super) fn lora_pairs(config: &Config, targets: LoraTargets) -> Result<Vec<LoraPair>, NoValueLinear> {
    let is_latent = config.details.latent.is_some();
    if targets == LoraTargets::QueryValue && is_latent {
        return Err(NoValueLinear);
    }
    let fused_qkv = config.details.fused_qkv && !is_latent;
    let is_target = |name: &str| match targets {
        LoraTargets::QueryValue => matches!(name, "query" | "value") || fused_qkv && name == "key",
        LoraTargets::AllLinear => !name.starts_with("expert "),
    };
    let shares_pair = |name: &str| {
        fused_qkv && matches!(name, "key" | "value")
            || config.details.fused_gate && matches!(name, "feed-forward gate" | "shared expert gate")
    };
    let mut pairs: Vec<LoraPair> = Vec::new();
    for item in parameters(config).iter().filter(|item| item.is_factorised && is_target(&item.name)) {
        let Form::Linear { d_in, d_out, .. } = item.form else { continue };
        match pairs.last_mut() {
            Some(last) if shares_pair(&item.name) => last.d_out = last.d_out.saturating_add(d_out),
            _ => pairs.push(LoraPair { d_in, d_out, times: item.times }),
        }
    }
    Ok(pairs)
}

/// Trainable parameters of LoRA: `rank` times the inputs and outputs of each of its targets, as `peft` counts them.
///
/// # Errors
/// If queries and values are asked for, and attention is latent.
pub fn lora_params(config: &Config, rank: usize, targets: LoraTargets) -> Result<u64, NoValueLinear> {
    let sides = lora_pairs(config, targets)?.into_iter().map(|pair| {
        (pair.d_in as u128 + pair.d_out as u128).saturating_mul(u128::from(pair.times)).saturating_mul(rank as u128)
    });
    Ok(narrowed(sides))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;
    use crate::model::shape::{Details, Experts, Heads, Latent, Norm, Positions};
    use crate::model::{Family, QkNorm};

    fn count(spec: &str) -> u64 {
        count_params(&bert_base(), spec.parse().expect("valid"))
    }

    #[test]
    fn bert_base_has_the_published_number_of_parameters() {
        assert_eq!(count("dense"), 110_106_428);
        assert_eq!(count("lrt:rank=256"), 67_639_100);
        assert_eq!(count("linformer:k=128"), 110_171_964);
        let details = Details { heads: Some(Heads::MaskedLm), ..Details::default() };
        assert_eq!(count_params(&Config { details, ..bert_base() }, Arch::Dense), 109_514_298);
    }

    #[test]
    fn of_lora_only_the_pairs_are_trained() {
        // 12 layers of 2 pairs of 16 x (768 + 768): 589 824, as peft counts them for BERT-base.
        let lora: Arch = "lora:rank=16".parse().expect("valid");
        assert_eq!(trainable_params(&bert_base(), lora), 589_824);
        assert_eq!(count_params(&bert_base(), lora), 110_106_428 + 589_824);
        assert_eq!(trainable_params(&bert_base(), Arch::Dense), 110_106_428);
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

    fn tiny() -> Config {
        Config {
            n_layers: 2,
            d_model: 4,
            n_heads: 2,
            d_ff: 6,
            vocab_size: 10,
            max_seq_len: 3,
            gated_mlp: true,
            ..bert_base()
        }
    }

    #[test]
    fn two_tiny_gated_layers_have_the_parameters_counted_by_hand() {
        // d 4, d_ff 6: linears of 20, 30 and 28, layer norms of 8: 4 x 20 + 2 x 30 + 28 + 2 x 8 = 184 a layer. Around
        // them 15 rows and a norm (68), pooler (20), masked LM (38) and next sentence (10).
        assert_eq!(count_params(&tiny(), Arch::Dense), 504);
        // Rank 1: 4 x 12 + 2 x 16 + 14 + 16 = 110 a layer.
        assert_eq!(count_params(&tiny(), Arch::Lrt { rank: 1 }), 356);
        // 13 rows and a norm.
        assert_eq!(count_params(&Config { family: Family::Decoder, ..tiny() }, Arch::Dense), 428);
    }

    /// Two layers as Llama's: no biases, rotary positions, an untied head.
    fn llama(details: Details) -> Config {
        let details = Details {
            norm: Some(Norm::Rms),
            positions: Some(Positions::Rotary),
            biases: Some(Vec::new()),
            tied_head: Some(false),
            ..details
        };
        Config { family: Family::Decoder, details, ..tiny() }
    }

    #[test]
    fn grouped_heads_have_narrower_keys_and_values_and_a_smaller_rank() {
        let grouped = llama(Details { n_kv_heads: Some(1), ..Details::default() });
        // Queries and output 2 x 16, keys and values 2 x 8, feed-forward 3 x 24, norms 8: 128 a layer; both tables 80, a norm 4.
        assert_eq!(count_params(&grouped, Arch::Dense), 340);
        // Rank 3: 2 x 3 x 8, keys and values of rank 2: 2 x 2 x 6, feed-forward 3 x 3 x 10: 162, and norms 8.
        assert_eq!(count_params(&grouped, Arch::Lrt { rank: 3 }), 424);
        // Heads 6 wide: 48 + 24 + 24 + 48 and norms of 6 for queries and for keys: 236 a layer.
        let wide =
            Details { n_kv_heads: Some(1), head_dim: Some(6), qk_norm: Some(QkNorm::Head), ..Details::default() };
        assert_eq!(count_params(&llama(wide), Arch::Dense), 556);
    }

    #[test]
    fn llama_3_1_has_its_published_number_of_parameters() {
        let details = Details { n_kv_heads: Some(8), ..Details::default() };
        let sizes =
            Config { n_layers: 32, d_model: 4096, n_heads: 32, d_ff: 14336, vocab_size: 128_256, ..llama(details) };
        assert_eq!(count_params(&sizes, Arch::Dense), 8_030_261_248);
    }

    #[test]
    fn a_token_visits_the_experts_that_it_is_sent_to_and_those_that_all_share() {
        let experts =
            Experts { count: 5, active: 2, d_ff: 3, layers: Some(1), shared_d_ff: 2, shared_gate: true, bias: false };
        let mixture = llama(Details { experts: Some(experts), ..Details::default() });
        // Attention 64 and norms 8 in two layers; a dense block 72; a router 20, 5 experts of 36, shared 24 and their gate 4.
        assert_eq!(count_params(&mixture, Arch::Dense), 144 + 72 + 20 + 180 + 24 + 4 + 84);
        assert_eq!(active_params(&mixture, Arch::Dense), 144 + 72 + 20 + 72 + 24 + 4 + 84);
        assert_eq!(embedding_params(&mixture), 40);
    }

    #[test]
    fn latent_attention_has_the_parameters_counted_by_hand() {
        let latent = Latent { q_rank: Some(3), kv_rank: 5, nope: 4, rope: 2, value: 1 };
        let model = llama(Details { latent: Some(latent), ..Details::default() });
        // Queries 4 x 3 + 3 + 3 x 12 = 51; keys and values 4 x 7 + 5 + 5 x 10 = 83; output 2 x 4; feed-forward 72, norms 8.
        assert_eq!(count_params(&model, Arch::Dense), 2 * 222 + 84);
        assert_eq!(lora_params(&model, 1, LoraTargets::QueryValue), Err(NoValueLinear));
        // 7 + 15 + 11 + 15 + 6 and three of 10.
        assert_eq!(lora_params(&model, 1, LoraTargets::AllLinear), Ok(168));
    }

    #[test]
    fn lora_has_the_rank_times_both_sides_of_each_target() {
        let grouped = llama(Details { n_kv_heads: Some(1), ..Details::default() });
        // Queries 4 + 4, values 4 + 2, in two layers.
        assert_eq!(lora_params(&grouped, 16, LoraTargets::QueryValue), Ok(448));
        // And keys 6, output 8, feed-forward three times 10.
        assert_eq!(lora_params(&grouped, 16, LoraTargets::AllLinear), Ok(1856));
        let fused = Details { n_kv_heads: Some(1), fused_qkv: true, fused_gate: true, ..Details::default() };
        // One matrix of 4 inputs and 4 + 2 + 2 outputs; one of 4 and 12.
        assert_eq!(lora_params(&llama(fused.clone()), 16, LoraTargets::QueryValue), Ok(384));
        assert_eq!(lora_params(&llama(fused), 16, LoraTargets::AllLinear), Ok(32 * (12 + 8 + 16 + 10)));
    }

    #[test]
    fn every_parameter_is_in_one_item_and_what_is_beyond_all_numbers_is_the_largest() {
        let items = parameters(&bert_base());
        let total: u128 = items.iter().map(|item| item.params(None) * u128::from(item.times)).sum();
        assert_eq!((items.len(), total), (16, 110_106_428));
        let huge = Config { n_layers: usize::MAX, d_model: usize::MAX, d_ff: usize::MAX, ..bert_base() };
        assert_eq!(count_params(&huge, Arch::Dense), u64::MAX);
    }
}
