//! A step as the list of operators it runs, each with its FLOPs and its memory traffic.
//!
//! FLOPs are counted from the products alone, a multiply-add as two (PaLM appendix B; Korthikanti et al.
//! 2022 §A); element-wise work counts as traffic. Backward is twice forward.

mod attention;
mod blocks;
mod one_by_one;
mod operator;

use self::attention::attention;
use self::blocks::{feed_forward, heads, others, projections};
pub use self::operator::{AttentionKernel, Execution, Formats, Operator, OperatorKind, StepShape};
use super::params::lora_pairs;
use super::shape::{Bias, Positions};
use super::{Arch, Config, LoraTargets};

/// The operators of one forward pass of pre-training, embeddings to losses, as they are counted.
#[must_use]
pub fn forward_operators(config: &Config, arch: Arch, shape: StepShape) -> Vec<Operator> {
    operators(config, arch, shape, Execution { attention: AttentionKernel::Counted, one_by_one: None })
}

/// The operators of one forward pass as they are run.
#[must_use]
pub fn operators(config: &Config, arch: Arch, shape: StepShape, execution: Execution) -> Vec<Operator> {
    let Execution { attention: kernel, one_by_one } = execution;
    let tokens = shape.batch_size * shape.seq_len;
    let mut list = projections(config, arch, shape);
    list.extend(feed_forward(config, arch, tokens));
    list.extend(others(config, shape));
    list.extend(attention(config, arch, shape, kernel));
    list.extend(heads(config, shape));
    if let Some(formats) = one_by_one {
        list.retain(|operator| operator.kind != OperatorKind::CrossEntropy && operator.name != attention::SOFTMAX);
        list.extend(one_by_one::between_products(config, arch, shape, (kernel, formats)));
    } else {
        list.splice(0..0, between_products(config, tokens, kernel));
    }
    if let Arch::Lora { rank, targets, .. } = arch {
        for operator in &mut list {
            operator.frozen = is_weighed(operator.kind);
        }
        list.extend(adapters(config, rank, targets, tokens));
    }
    list.retain(|operator| operator.m > 0 && operator.count > 0);
    list
}

/// What lies between products in layers and before them where each chain of operations is one kernel each way, in numbers read and
/// written forward and backward: a norm reads and writes, and its gradient reads its input too; a block is added to the residual stream,
/// and its gradient to that of the stream; the gradient of a bias is a sum over all tokens; queries, keys, values and what comes of them
/// are put in order for kernels that compute scores apart.
fn between_products(config: &Config, tokens: usize, kernel: AttentionKernel) -> Vec<Operator> {
    let layers = config.n_layers as u64;
    let d = config.d_model;
    // Layers that share their weights run their norms each.
    let first = u64::from(config.details.first_norm == Some(false));
    let norms = (config.norms_per_layer() as u64 * layers).saturating_sub(first);
    let heads = (config.n_heads + config.n_kv_heads()) * config.d_head();
    let values = config.n_kv_heads() * config.d_value();
    let of = |kind, name, count, width, passes| Operator::element_wise(kind, name, count, (tokens, width), passes);
    // A mask of dropout has a byte a number, written and read.
    let of_block = if config.has_dropout() { (4, 5) } else { (3, 3) };
    let mut list = vec![
        of(OperatorKind::Embedding, "embeddings", 1, d, (3, 2)),
        of(OperatorKind::LayerNorm, "norms", norms + 1, d, (2, 3)),
        of(OperatorKind::Residual, "dropout and residual", 2 * layers, d, of_block),
    ];
    for (bias, width) in [(Bias::Qkv, heads + values), (Bias::Output, d), (Bias::Mlp, config.d_ff + d)] {
        if config.has_bias(bias) {
            list.push(of(OperatorKind::Residual, "gradients of biases", layers, width, (0, 1)));
        }
    }
    list.extend(activations(config, tokens));
    if config.details.qk_norm.is_some() {
        list.push(of(OperatorKind::BeforeAttention, "norm of queries and keys", layers, heads, (2, 3)));
    }
    if config.positions() == Positions::Rotary {
        list.push(of(OperatorKind::BeforeAttention, "rotary positions", layers, heads, (2, 2)));
    }
    if kernel == AttentionKernel::Composed {
        list.push(of(OperatorKind::BeforeAttention, "order of heads", layers, heads + 2 * values, (2, 2)));
    }
    list
}

/// Whether an operator multiplies with a weight.
fn is_weighed(kind: OperatorKind) -> bool {
    matches!(kind, OperatorKind::Gemm | OperatorKind::LowRankGemm | OperatorKind::Projection)
}

/// The pairs of products of LoRA, beside the linears that have one. Layers that share their weights run them each.
fn adapters(config: &Config, rank: usize, targets: LoraTargets, tokens: usize) -> Vec<Operator> {
    let runs = |times: u64| times.saturating_mul(config.n_layers as u64) / config.distinct_layers().max(1) as u64;
    let pairs = lora_pairs(config, targets).unwrap_or_default().into_iter();
    let products = pairs.flat_map(|pair| {
        let product =
            |name, n, k| Operator::batched(name, OperatorKind::LowRankGemm, runs(pair.times), 1, (tokens, n, k));
        [product("LoRA in", rank, pair.d_in), product("LoRA out", pair.d_out, rank)]
    });
    products.collect()
}

/// The activation functions of the feed-forward blocks, dense and of experts.
fn activations(config: &Config, tokens: usize) -> Vec<Operator> {
    let passes = if config.gated_mlp { (3, 5) } else { (2, 3) };
    let of = |name, layers: usize, size| Operator::element_wise(OperatorKind::Gelu, name, layers as u64, size, passes);
    let Some((sparse, experts)) = config.sparse() else {
        return vec![of("gelu", config.n_layers, (tokens, config.d_ff))];
    };
    let visited = tokens.saturating_mul(experts.active);
    vec![
        of("gelu", config.n_layers - sparse, (tokens, config.d_ff)),
        of("gelu of experts", sparse, (visited, experts.d_ff)),
        of("gelu of shared experts", sparse.min(experts.shared_d_ff), (tokens, experts.shared_d_ff)),
    ]
}

/// FLOPs of one train step: forward and backward, 3 times the forward products; twice those of weights that LoRA leaves as they are.
#[must_use]
pub fn train_step_flop(config: &Config, arch: Arch, shape: StepShape) -> f64 {
    forward_operators(config, arch, shape).iter().map(Operator::train_flop).fold(0, u128::saturating_add) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;
    use crate::model::{Details, Experts, Family, Latent, Window};

    fn with(attention: AttentionKernel) -> Execution {
        Execution { attention, one_by_one: None }
    }

    /// Train FLOPs per token of BERT-base, in millions.
    fn mflop_per_token(spec: &str, seq_len: usize, masked_per_seq: usize) -> f64 {
        let shape = StepShape { batch_size: 256, seq_len, masked_per_seq };
        train_step_flop(&bert_base(), spec.parse().expect("valid"), shape) / (256 * seq_len) as f64 / 1e6
    }

    #[test]
    fn a_tiny_step_has_the_flops_counted_by_hand() {
        // 1 layer, d 4, 2 heads, d_ff 6, vocab 10; batch 1, 3 tokens, 1 masked.
        let config =
            Config { n_layers: 1, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let shape = StepShape { batch_size: 1, seq_len: 3, masked_per_seq: 1 };
        // linears: 4 of 3x4x4 = 192 multiply-adds, 2 of 3x4x6 = 144; attention: 2 heads x 2 x 3x3x2 = 72;
        // pooler 16, next-sentence 8, transform 16, decoder 40. Sum 488; x 2 x 3.
        assert_eq!(train_step_flop(&config, Arch::Dense, shape), 2928.0);
        // LRT r=1: linears 3x(4+4)x4 = 96 and 3x(4+6)x2 = 60: 308 in all.
        assert_eq!(train_step_flop(&config, Arch::Lrt { rank: 1 }, shape), 1848.0);
        // Linformer k=2, input order: query and output 96, key and value of 2 rows 64, feed-forward 144,
        // attention 2 heads x 2 x 3x2x2 = 48, projection 2x4x3 = 24, heads 80: 456.
        let linformer = "linformer:k=2".parse().expect("valid");
        assert_eq!(train_step_flop(&config, linformer, shape), 2736.0);
    }

    #[test]
    fn bert_base_flops_per_token_agree_with_the_published_arithmetic() {
        assert!((mflop_per_token("dense", 128, 20) - 546.3).abs() < 0.1);
        // 80 predictions in a sequence of 512, as the original scripts allow.
        assert!((mflop_per_token("dense", 512, 80) - 588.8).abs() < 0.1);
    }

    #[test]
    fn low_rank_flop_ratios_agree_with_the_formula_of_the_paper() {
        for (rank, at_128, at_512) in [(64, 0.184, 0.243), (128, 0.300, 0.351), (256, 0.534, 0.567)] {
            let spec = format!("lrt:rank={rank}");
            let ratio = |s, m| mflop_per_token(&spec, s, m) / mflop_per_token("dense", s, m);
            assert!((ratio(128, 20) - at_128).abs() < 6e-4, "r={rank} s=128: {}", ratio(128, 20));
            assert!((ratio(512, 80) - at_512).abs() < 6e-4, "r={rank} s=512: {}", ratio(512, 80));
        }
    }

    #[test]
    fn linformer_flop_ratios_agree_when_it_projects_after_the_linears() {
        for (k, seq_len, masked, expected) in [(64, 512, 80, 0.928), (128, 512, 80, 0.952), (128, 128, 20, 1.026)] {
            let spec = format!("linformer:k={k},share=layer,order=projected");
            let ratio = mflop_per_token(&spec, seq_len, masked) / mflop_per_token("dense", seq_len, masked);
            assert!((ratio - expected).abs() < 6e-4, "k={k} s={seq_len}: {ratio}");
        }
    }

    #[test]
    fn a_step_of_lora_has_the_flops_counted_by_hand() {
        // 1 layer, d 4, 2 heads, d_ff 6, vocab 10; batch 1, 3 tokens, 1 masked: 488 multiply-adds forward, of which 72 are
        // attention, whose both sides have gradients.
        let config =
            Config { n_layers: 1, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let shape = StepShape { batch_size: 1, seq_len: 3, masked_per_seq: 1 };
        let lora: Arch = "lora:rank=1,targets=qv".parse().expect("valid");
        // 416 x 2 x 2 + 72 x 2 x 3, and pairs on queries and values: 2 x 3 x (4 + 4) x 2 x 3.
        assert_eq!(train_step_flop(&config, lora, shape), 1664.0 + 432.0 + 288.0);
        // On all: attention 4 x 8, block 2 x 10: 52 for each of 3 tokens.
        let all: Arch = "lora:rank=1,targets=all".parse().expect("valid");
        assert_eq!(train_step_flop(&config, all, shape), 1664.0 + 432.0 + 3.0 * 52.0 * 6.0);
    }

    #[test]
    fn the_bert_recipe_is_2_38e19_flop() {
        let total = 900_000.0 * 256.0 * 128.0 * mflop_per_token("dense", 128, 20) * 1e6
            + 100_000.0 * 256.0 * 512.0 * mflop_per_token("dense", 512, 77) * 1e6;
        assert!((total / 2.38e19 - 1.0).abs() < 0.005, "{total:e}");
    }

    /// `name: runs of products x m x n x k, elements` of each operator.
    fn listed(list: &[Operator]) -> Vec<String> {
        let line = |o: &Operator| {
            format!("{}: {} of {} x {} x {} x {}, {}", o.name, o.count, o.products, o.m, o.n, o.k, o.elements)
        };
        list.iter().map(line).collect()
    }

    #[test]
    fn the_operators_of_two_tiny_layers_are_those_listed_by_hand() {
        // 2 layers, d 4, 2 heads, d_ff 6, vocab 10; batch 2, 3 tokens, 1 masked.
        let encoder =
            Config { n_layers: 2, d_model: 4, n_heads: 2, d_ff: 6, vocab_size: 10, max_seq_len: 3, ..bert_base() };
        let decoder = Config { family: Family::Decoder, gated_mlp: true, ..encoder.clone() };
        let shape = StepShape { batch_size: 2, seq_len: 3, masked_per_seq: 1 };
        let of = |config: &Config, arch: &str, kernel| {
            listed(&operators(config, arch.parse().expect("valid"), shape, with(kernel)))
        };
        let dense = listed(&forward_operators(&encoder, Arch::Dense, shape));
        assert_eq!(
            dense,
            [
                "embeddings: 1 of 1 x 6 x 4 x 0, 72",
                "norms: 5 of 1 x 6 x 4 x 0, 48",
                "dropout and residual: 4 of 1 x 6 x 4 x 0, 96",
                "gradients of biases: 2 of 1 x 6 x 12 x 0, 0",
                "gradients of biases: 2 of 1 x 6 x 4 x 0, 0",
                "gradients of biases: 2 of 1 x 6 x 10 x 0, 0",
                "gelu: 2 of 1 x 6 x 6 x 0, 72",
                "query, output: 4 of 1 x 6 x 4 x 4, 64",
                "key, value: 4 of 1 x 6 x 4 x 4, 64",
                "feed-forward in: 2 of 1 x 6 x 6 x 4, 84",
                "feed-forward out: 2 of 1 x 6 x 4 x 6, 84",
                "attention scores: 2 of 4 x 3 x 3 x 2, 84",
                "attention values: 2 of 4 x 3 x 2 x 3, 84",
                "softmax and dropout: 2 of 1 x 12 x 3 x 0, 144",
                "pooler: 1 of 1 x 2 x 4 x 4, 32",
                "next-sentence head: 1 of 1 x 2 x 2 x 4, 20",
                "masked-LM transform: 1 of 1 x 2 x 4 x 4, 32",
                "LM decoder: 1 of 1 x 2 x 10 x 4, 68",
                "cross-entropy: 1 of 1 x 2 x 10 x 0, 60",
            ]
        );
        for (config, arch, kernel, lines) in [
            (
                &decoder,
                "dense",
                AttentionKernel::Counted,
                &[
                    "gelu: 2 of 1 x 6 x 6 x 0, 108",
                    "feed-forward in: 4 of 1 x 6 x 6 x 4, 84",
                    "attention scores: 2 of 4 x 3 x 2 x 2, 64",
                    "attention values: 2 of 4 x 3 x 2 x 2, 64",
                    "softmax and dropout: 2 of 1 x 12 x 3 x 0, 144",
                ][..],
            ),
            (&decoder, "dense", AttentionKernel::Composed, &["attention scores: 2 of 4 x 3 x 3 x 2, 84"]),
            (&encoder, "dense", AttentionKernel::Fused, &["fused attention: 2 of 4 x 3 x 3 x 4, 96"]),
            (&decoder, "lrt:rank=1", AttentionKernel::Fused, &["fused attention: 2 of 4 x 3 x 2 x 4, 96"]),
            (
                &decoder,
                "lrt:rank=1",
                AttentionKernel::Composed,
                &["query, output: 4 of 1 x 6 x 1 x 4, 34", "query, output: 4 of 1 x 6 x 4 x 1, 34"],
            ),
            (
                &decoder,
                "linformer:k=2,share=layer",
                AttentionKernel::Fused,
                &[
                    "key, value: 4 of 1 x 4 x 4 x 4, 48",
                    "fused attention: 2 of 4 x 3 x 2 x 4, 80",
                    "linformer projection: 4 of 2 x 2 x 4 x 3, 52",
                ],
            ),
            (
                &encoder,
                "linformer:k=2,share=kv,order=projected",
                AttentionKernel::Composed,
                &[
                    "key, value: 4 of 1 x 6 x 4 x 4, 64",
                    "attention scores: 2 of 4 x 3 x 2 x 2, 64",
                    "linformer projection: 4 of 2 x 2 x 4 x 3, 52",
                ],
            ),
            (
                &encoder,
                "linformer:k=2,share=kv",
                AttentionKernel::Counted,
                &["linformer projection: 2 of 2 x 2 x 4 x 3, 52"],
            ),
        ] {
            let found = of(config, arch, kernel);
            for line in lines {
                assert!(found.iter().any(|l| l == line), "{line} is not in {found:#?}");
            }
        }
        // Nothing is masked: what is fine-tuned has no losses over the vocabulary.
        let tuned = forward_operators(&encoder, Arch::Dense, StepShape { masked_per_seq: 0, ..shape });
        assert_eq!(listed(&tuned), dense[..16]);
        let gpt = of(&decoder, "dense", AttentionKernel::Counted);
        assert!(gpt[14].starts_with("LM decoder"), "{gpt:#?}");
        // Backward: the gradients of norms read and write 3 x 24 numbers each, those of blocks with dropout 5 x 24, biases 6 rows.
        let back: Vec<u64> =
            forward_operators(&encoder, Arch::Dense, shape)[1..6].iter().map(|o| o.gradient_elements).collect();
        assert_eq!(back, [72, 120, 72, 24, 60]);
    }

    /// Two tiny layers as those of Llama: 2 heads of 3 that one head of keys serves, experts in one layer, an untied head.
    fn tiny_llama() -> Config {
        let details = Details {
            n_kv_heads: Some(1),
            head_dim: Some(3),
            tied_head: Some(false),
            experts: Some(Experts {
                count: 5,
                active: 2,
                d_ff: 3,
                layers: Some(1),
                shared_d_ff: 2,
                shared_gate: true,
                bias: false,
            }),
            ..Details::default()
        };
        Config {
            family: Family::Decoder,
            n_layers: 2,
            d_model: 4,
            n_heads: 2,
            d_ff: 6,
            vocab_size: 10,
            max_seq_len: 8,
            gated_mlp: true,
            details,
            ..bert_base()
        }
    }

    #[test]
    fn grouped_heads_and_experts_have_the_operators_listed_by_hand() {
        let shape = StepShape { batch_size: 1, seq_len: 8, masked_per_seq: 8 };
        let found = listed(&operators(&tiny_llama(), Arch::Dense, shape, with(AttentionKernel::Fused)));
        for line in [
            "gelu: 1 of 1 x 8 x 6 x 0, 144",
            "gelu of experts: 1 of 1 x 16 x 3 x 0, 144",
            "gelu of shared experts: 1 of 1 x 8 x 2 x 0, 48",
            "query: 2 of 1 x 8 x 6 x 4, 104",
            "output: 2 of 1 x 8 x 4 x 6, 104",
            "key, value: 4 of 1 x 8 x 3 x 4, 68",
            "feed-forward in: 2 of 1 x 8 x 6 x 4, 104",
            "router: 1 of 1 x 8 x 5 x 4, 92",
            // 16 visits: 64 + 48 elements of tokens, and the matrices of all five, 12 each.
            "expert in: 2 of 1 x 16 x 3 x 4, 172",
            "expert out: 1 of 1 x 16 x 4 x 3, 172",
            "shared expert in: 2 of 1 x 8 x 2 x 4, 56",
            "gate of shared experts: 1 of 1 x 8 x 1 x 4, 44",
            // Queries and results 2 x 8 x 6, keys and values 8 x 6; half of the keys are seen.
            "fused attention: 2 of 2 x 8 x 4 x 6, 144",
            "LM decoder: 1 of 1 x 8 x 10 x 4, 152",
        ] {
            assert!(found.iter().any(|l| l == line), "{line} is not in {found:#?}");
        }
        // Multiply-adds: attention's linears 2 x (192 + 192 + 2 x 96); a dense block 3 x 192; router 160, experts 3 x 192,
        // shared 3 x 64, its gate 32; scores and values 2 x 2 x 2 x 96; head 320. Times 2 and 3.
        let sum = 1152 + 576 + 160 + 576 + 192 + 32 + 768 + 320;
        assert_eq!(train_step_flop(&tiny_llama(), Arch::Dense, shape), f64::from(6 * sum));
        // Keys of one head have a rank of 3 at most: 8 x (4 + 3) x 3, where queries have 8 x (4 + 6) x 4.
        let lrt = listed(&forward_operators(&tiny_llama(), Arch::Lrt { rank: 4 }, shape));
        assert!(lrt.iter().any(|l| l == "key, value: 4 of 1 x 8 x 3 x 4, 68"), "{lrt:#?}");
        assert!(lrt.iter().any(|l| l == "key, value: 4 of 1 x 8 x 3 x 3, 57"), "{lrt:#?}");
    }

    #[test]
    fn windows_multiply_their_band_in_the_layers_that_have_them() {
        let mut model = tiny_llama();
        model.details.sliding_window = Some(Window { length: 2, layers: 1, global_every: None });
        let shape = StepShape { batch_size: 1, seq_len: 8, masked_per_seq: 8 };
        let of = |kernel| {
            let list = listed(&operators(&model, Arch::Dense, shape, with(kernel)));
            list.into_iter().filter(|l| l.starts_with("attention scores")).collect::<Vec<_>>()
        };
        // 2 x 8 less half of 2 x 2, over 8: 1.75.
        let counted = ["attention scores: 1 of 2 x 8 x 4 x 3, 136", "attention scores: 1 of 2 x 8 x 2 x 3, 92"];
        assert_eq!(of(AttentionKernel::Counted), counted);
        // Scores that are written are all computed.
        assert_eq!(of(AttentionKernel::Composed), ["attention scores: 2 of 2 x 8 x 8 x 3, 224"]);
        model.details.sliding_window = Some(Window { length: 8, layers: 2, global_every: None });
        let whole = forward_operators(&model, Arch::Dense, shape);
        assert_eq!(whole, forward_operators(&tiny_llama(), Arch::Dense, shape), "a window that sees all");
    }

    #[test]
    fn latent_attention_multiplies_by_way_of_its_latents() {
        let mut model = tiny_llama();
        model.details = Details {
            latent: Some(Latent { q_rank: Some(3), kv_rank: 5, nope: 4, rope: 2, value: 1 }),
            ..Details::default()
        };
        let shape = StepShape { batch_size: 1, seq_len: 8, masked_per_seq: 8 };
        let found = listed(&operators(&model, Arch::Dense, shape, with(AttentionKernel::Composed)));
        for line in [
            "latent of queries: 2 of 1 x 8 x 3 x 4, 68",
            "query: 2 of 1 x 8 x 12 x 3, 156",
            "latent of keys and values: 2 of 1 x 8 x 7 x 4, 116",
            "key and value: 2 of 1 x 8 x 10 x 5, 170",
            "output: 2 of 1 x 8 x 4 x 2, 56",
            "attention scores: 2 of 2 x 8 x 8 x 6, 320",
            "attention values: 2 of 2 x 8 x 1 x 8, 160",
        ] {
            assert!(found.iter().any(|l| l == line), "{line} is not in {found:#?}");
        }
    }

    #[test]
    fn a_product_has_two_gradients_and_reads_and_writes_three_times_as_much_in_training() {
        let product = Operator::batched("any", OperatorKind::Gemm, 5, 3, (2, 10, 4));
        let sides = |o: &Operator| (o.products, o.m, o.n, o.k, o.count);
        let of = |o: &Operator| o.gradients().iter().map(sides).collect::<Vec<_>>();
        assert_eq!(of(&product), [(3, 2, 4, 10, 5), (3, 4, 10, 2, 5)]);
        // A weight that is not trained has no gradient: two thirds of the FLOPs.
        let frozen = Operator { frozen: true, ..product.clone() };
        assert_eq!(of(&frozen), [(3, 2, 4, 10, 5)]);
        assert_eq!((product.train_flop(), frozen.train_flop()), (7200, 4800));
        // 3 x (8 + 40 + 20) elements; 2 x 5 x 3 x 2 x 10 x 4.
        assert_eq!((product.elements, product.train_elements(), product.flop()), (204, 612, 2400));
        assert!(OperatorKind::Projection.multiplies() && !OperatorKind::Softmax.multiplies());
    }
}
