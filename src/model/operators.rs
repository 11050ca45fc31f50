//! A step as the list of operators it runs, each with its FLOPs and its memory traffic.
//!
//! FLOPs are counted from the products alone, a multiply-add as two (PaLM appendix B; Korthikanti et al.
//! 2022 §A); element-wise work counts as traffic. Backward is twice forward.

use serde::{Deserialize, Serialize};

use super::{Arch, Config, Family, Order, Share};

/// What an operator does, and so what bounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKind {
    /// A matrix product with a weight.
    Gemm,
    /// One of the two skinny products of a low-rank linear: one of its sides is the rank.
    LowRankGemm,
    /// The shortening of a sequence by a Linformer.
    Projection,
    /// Products of activations with activations, one for each head.
    Attention,
    /// Scores, softmax and values in one kernel, which keeps the scores on the chip.
    FusedAttention,
    /// Softmax over scores, with its mask and dropout.
    Softmax,
    /// Layer normalisation.
    LayerNorm,
    /// The activation function of the feed-forward block.
    Gelu,
    /// Dropout and the residual sum.
    Residual,
    /// Gathering rows of the embeddings.
    Embedding,
    /// Softmax and loss over the vocabulary.
    CrossEntropy,
}

impl OperatorKind {
    /// Whether it multiplies matrices; everything else is bounded by memory traffic.
    #[must_use]
    pub fn multiplies(self) -> bool {
        use OperatorKind::{Attention, FusedAttention, Gemm, LowRankGemm, Projection};
        matches!(self, Gemm | LowRankGemm | Projection | Attention | FusedAttention)
    }
}

/// How attention is computed, which decides what is multiplied and what goes through memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionKernel {
    /// Only what the mathematics needs: a causal model multiplies half of its scores.
    Counted,
    /// Separate kernels: scores go through memory, and a causal mask saves nothing.
    Composed,
    /// One kernel (Dao et al. 2022): scores stay on the chip, and a causal mask halves the work.
    Fused,
}

/// The input of one step on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepShape {
    /// Sequences in the step.
    pub batch_size: usize,
    /// Tokens in a sequence.
    pub seq_len: usize,
    /// Positions of a sequence that have a loss.
    pub masked_per_seq: usize,
}

/// One operator of a forward pass, or of its gradient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What it is, for people.
    pub name: &'static str,
    /// What it does.
    pub kind: OperatorKind,
    /// How many independent products (1 for a plain matrix product).
    pub products: u64,
    /// Rows of the result.
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// Inner length; 0 for element-wise work.
    pub k: u64,
    /// How often it runs in a step.
    pub count: u64,
    /// Elements read and written in one run.
    pub elements: u64,
}

impl Operator {
    /// FLOPs of all its runs in a forward pass.
    #[must_use]
    pub fn flop(&self) -> u128 {
        [self.products, self.m, self.n, self.k, self.count]
            .iter()
            .fold(2, |flop: u128, x| flop.saturating_mul(u128::from(*x)))
    }

    /// Elements that one run reads and writes in forward and backward: the gradient of an element-wise operator
    /// reads two tensors where the operator reads one.
    #[must_use]
    pub fn train_elements(&self) -> u64 {
        self.elements.saturating_mul(3)
    }

    /// The two products of the gradient of `C = A B`: `dA = dC B'` and `dB = A' dC`.
    #[must_use]
    pub fn gradients(&self) -> [Self; 2] {
        [Self { n: self.k, k: self.n, ..self.clone() }, Self { m: self.k, k: self.m, ..self.clone() }]
    }

    fn gemm(name: &'static str, count: u64, m: usize, n: usize, k: usize) -> Self {
        Self::batched(name, OperatorKind::Gemm, count, 1, (m, n, k))
    }

    fn batched(
        name: &'static str,
        kind: OperatorKind,
        count: u64,
        products: usize,
        (m, n, k): (usize, usize, usize),
    ) -> Self {
        let (products, m, n, k) = (products as u64, m as u64, n as u64, k as u64);
        Self {
            name,
            kind,
            products,
            m,
            n,
            k,
            count,
            elements: products
                .saturating_mul(m.saturating_mul(k).saturating_add(k * n).saturating_add(m.saturating_mul(n))),
        }
    }

    fn element_wise(kind: OperatorKind, name: &'static str, count: u64, size: (usize, usize), passes: u64) -> Self {
        let (m, n) = (size.0 as u64, size.1 as u64);
        Self { name, kind, products: 1, m, n, k: 0, count, elements: m.saturating_mul(n).saturating_mul(passes) }
    }
}

/// The operators of one forward pass of pre-training, embeddings to losses, as they are counted.
#[must_use]
pub fn forward_operators(config: &Config, arch: Arch, shape: StepShape) -> Vec<Operator> {
    operators(config, arch, shape, AttentionKernel::Counted)
}

/// The operators of one forward pass as they are run with this kind of attention.
#[must_use]
pub fn operators(config: &Config, arch: Arch, shape: StepShape, attention: AttentionKernel) -> Vec<Operator> {
    let layers = config.n_layers as u64;
    let (d, d_ff) = (config.d_model, config.d_ff);
    let tokens = shape.batch_size * shape.seq_len;
    let mut list = vec![
        Operator::element_wise(OperatorKind::Embedding, "embeddings", 1, (tokens, d), 5),
        Operator::element_wise(OperatorKind::LayerNorm, "layer norm", 2 * layers + 1, (tokens, d), 3),
        Operator::element_wise(OperatorKind::Residual, "dropout and residual", 2 * layers, (tokens, d), 4),
        Operator::element_wise(OperatorKind::Gelu, "gelu", layers, (tokens, d_ff), 2 + u64::from(config.gated_mlp)),
    ];
    list.extend(linears(config, arch, shape));
    list.extend(attention_products(config, arch, shape, attention));
    if let Arch::Linformer { k, share, order } = arch {
        // With one matrix for keys and values, the shortened input serves both.
        let shared_input = order == Order::Input && matches!(share, Share::Model | Share::Kv);
        let runs = layers * if shared_input { 1 } else { 2 };
        let size = (k, d, shape.seq_len);
        list.push(Operator::batched("linformer projection", OperatorKind::Projection, runs, shape.batch_size, size));
    }
    list.extend(heads(config, shape));
    list
}

/// The linears of the layers. Keys and values see fewer rows in a Linformer that shortens its input.
fn linears(config: &Config, arch: Arch, shape: StepShape) -> Vec<Operator> {
    let layers = config.n_layers as u64;
    let (d, d_ff) = (config.d_model, config.d_ff);
    let tokens = shape.batch_size * shape.seq_len;
    let kv_rows = match arch {
        Arch::Linformer { k, order: Order::Input, .. } => shape.batch_size * k,
        Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => tokens,
    };
    let mut list = Vec::new();
    let mut linear = |name, count: u64, rows, d_in, d_out| match arch {
        Arch::Lrt { rank } => {
            for (n, k) in [(rank, d_in), (d_out, rank)] {
                list.push(Operator::batched(name, OperatorKind::LowRankGemm, count * layers, 1, (rows, n, k)));
            }
        }
        Arch::Dense | Arch::Linformer { .. } => {
            list.push(Operator::gemm(name, count * layers, rows, d_out, d_in));
        }
    };
    linear("query, output", 2, tokens, d, d);
    linear("key, value", 2, kv_rows, d, d);
    linear("feed-forward in", 1 + u64::from(config.gated_mlp), tokens, d, d_ff);
    linear("feed-forward out", 1, tokens, d_ff, d);
    list
}

/// Scores, softmax and values. A causal model needs half of the products (Narayanan et al. 2021, appendix).
fn attention_products(config: &Config, arch: Arch, shape: StepShape, attention: AttentionKernel) -> Vec<Operator> {
    let layers = config.n_layers as u64;
    let StepShape { batch_size, seq_len, .. } = shape;
    let keys = arch.k().unwrap_or(seq_len);
    let causal = matches!((config.family, arch), (Family::Decoder, Arch::Dense | Arch::Lrt { .. }));
    let seen = if causal && attention != AttentionKernel::Composed { keys.div_ceil(2) } else { keys };
    let (heads, d_head) = (batch_size * config.n_heads, config.d_head());
    if attention == AttentionKernel::Fused {
        let size = (seq_len, seen, 2 * d_head);
        let mut fused = Operator::batched("fused attention", OperatorKind::FusedAttention, layers, heads, size);
        // Queries and result, keys and values: the scores stay on the chip.
        fused.elements = ((heads * 2) as u64).saturating_mul(((seq_len + keys) * d_head) as u64);
        return vec![fused];
    }
    let product = |name, size| Operator::batched(name, OperatorKind::Attention, layers, heads, size);
    vec![
        product("attention scores", (seq_len, seen, d_head)),
        product("attention values", (seq_len, d_head, seen)),
        Operator::element_wise(OperatorKind::Softmax, "softmax and dropout", layers, (heads * seq_len, keys), 4),
    ]
}

/// What turns the last layer into losses. A model without losses over the vocabulary is fine-tuned.
fn heads(config: &Config, shape: StepShape) -> Vec<Operator> {
    let (d, vocab) = (config.d_model, config.vocab_size);
    let masked = shape.batch_size * shape.masked_per_seq;
    let mut list = Vec::new();
    if config.family == Family::Encoder {
        list.push(Operator::gemm("pooler", 1, shape.batch_size, d, d));
        list.push(Operator::gemm("next-sentence head", 1, shape.batch_size, 2, d));
        list.push(Operator::gemm("masked-LM transform", 1, masked, d, d));
    }
    list.push(Operator::gemm("LM decoder", 1, masked, vocab, d));
    list.push(Operator::element_wise(OperatorKind::CrossEntropy, "cross-entropy", 1, (masked, vocab), 3));
    list.retain(|operator| operator.m > 0);
    list
}

/// FLOPs of one train step: forward and backward, 3 times the forward products.
#[must_use]
pub fn train_step_flop(config: &Config, arch: Arch, shape: StepShape) -> f64 {
    3.0 * forward_operators(config, arch, shape).iter().map(Operator::flop).fold(0, u128::saturating_add) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;

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
            listed(&operators(config, arch.parse().expect("valid"), shape, kernel))
        };
        let dense = listed(&forward_operators(&encoder, Arch::Dense, shape));
        assert_eq!(
            dense,
            [
                "embeddings: 1 of 1 x 6 x 4 x 0, 120",
                "layer norm: 5 of 1 x 6 x 4 x 0, 72",
                "dropout and residual: 4 of 1 x 6 x 4 x 0, 96",
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
        assert_eq!(listed(&tuned), dense[..13]);
        let gpt = of(&decoder, "dense", AttentionKernel::Counted);
        assert!(gpt[11].starts_with("LM decoder"), "{gpt:#?}");
    }

    #[test]
    fn a_product_has_two_gradients_and_reads_and_writes_three_times_as_much_in_training() {
        let product = Operator::batched("any", OperatorKind::Gemm, 5, 3, (2, 10, 4));
        let sides = |o: &Operator| (o.products, o.m, o.n, o.k, o.count);
        assert_eq!(product.gradients().each_ref().map(sides), [(3, 2, 4, 10, 5), (3, 4, 10, 2, 5)]);
        // 3 x (8 + 40 + 20) elements; 2 x 5 x 3 x 2 x 10 x 4.
        assert_eq!((product.elements, product.train_elements(), product.flop()), (204, 612, 2400));
        assert!(OperatorKind::Projection.multiplies() && !OperatorKind::Softmax.multiplies());
    }
}
