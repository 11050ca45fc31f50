//! A step as the list of operators it runs, each with its FLOPs and its memory traffic.
//!
//! FLOPs are counted from the products alone, a multiply-add as two (PaLM appendix B; Korthikanti et al.
//! 2022 §A); element-wise work counts as traffic. Backward is twice forward.

use serde::{Deserialize, Serialize};

use super::{Arch, Config, Family, Order, Share};

/// What bounds an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKind {
    /// A matrix product with a weight.
    Gemm,
    /// Products of activations with activations, one for each head.
    Attention,
    /// Work bounded by memory traffic.
    ElementWise,
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

/// One operator of the forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What it is, for people.
    pub name: &'static str,
    /// What bounds it.
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
        2 * [self.products, self.m, self.n, self.k, self.count].iter().map(|x| u128::from(*x)).product::<u128>()
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
        Self { name, kind, products, m, n, k, count, elements: products * (m * k + k * n + m * n) }
    }

    fn element_wise(name: &'static str, count: u64, rows: usize, columns: usize, passes: u64) -> Self {
        let (m, n) = (rows as u64, columns as u64);
        let kind = OperatorKind::ElementWise;
        Self { name, kind, products: 1, m, n, k: 0, count, elements: m * n * passes }
    }
}

/// The operators of one forward pass of pre-training, embeddings to losses.
#[must_use]
pub fn forward_operators(config: &Config, arch: Arch, shape: StepShape) -> Vec<Operator> {
    let layers = config.n_layers as u64;
    let (d, d_ff, vocab) = (config.d_model, config.d_ff, config.vocab_size);
    let StepShape { batch_size, seq_len, masked_per_seq } = shape;
    let tokens = batch_size * seq_len;
    let masked = batch_size * masked_per_seq;
    let mut list = vec![
        Operator::element_wise("embeddings", 1, tokens, d, 5),
        Operator::element_wise("layer norm", 2 * layers + 1, tokens, d, 3),
        Operator::element_wise("dropout and residual", 2 * layers, tokens, d, 4),
        Operator::element_wise("gelu", layers, tokens, d_ff, 2),
    ];

    // Encoder linears. Keys and values see `kv_rows` rows: fewer in a Linformer that shortens its input.
    let (keys, kv_rows) = match arch {
        Arch::Linformer { k, order: Order::Input, .. } => (k, batch_size * k),
        Arch::Linformer { k, .. } => (k, tokens),
        Arch::Dense | Arch::Lrt { .. } => (seq_len, tokens),
    };
    let mut linear = |name, count: u64, rows, d_in, d_out| match arch {
        Arch::Lrt { rank } => {
            list.push(Operator::gemm(name, count * layers, rows, rank, d_in));
            list.push(Operator::gemm(name, count * layers, rows, d_out, rank));
        }
        Arch::Dense | Arch::Linformer { .. } => {
            list.push(Operator::gemm(name, count * layers, rows, d_out, d_in));
        }
    };
    linear("query, output", 2, tokens, d, d);
    linear("key, value", 2, kv_rows, d, d);
    linear("feed-forward in", 1, tokens, d, d_ff);
    linear("feed-forward out", 1, tokens, d_ff, d);

    // Attention; a causal model needs half of the products (Narayanan et al. 2021, appendix).
    let heads = batch_size * config.n_heads;
    let causal_half = matches!((config.family, arch), (Family::Decoder, Arch::Dense | Arch::Lrt { .. }));
    let seen = if causal_half { keys.div_ceil(2) } else { keys };
    let attention = |name, m, n, k| Operator::batched(name, OperatorKind::Attention, layers, heads, (m, n, k));
    list.push(attention("attention scores", seq_len, seen, config.d_head()));
    list.push(attention("attention values", seq_len, config.d_head(), seen));
    list.push(Operator::element_wise("softmax and dropout", layers, heads * seq_len, keys, 4));

    if let Arch::Linformer { k, share, order } = arch {
        // With one matrix for keys and values, the shortened input serves both.
        let shared_input = order == Order::Input && matches!(share, Share::Model | Share::Kv);
        let runs = layers * if shared_input { 1 } else { 2 };
        list.push(Operator::batched(
            "linformer projection",
            OperatorKind::Attention,
            runs,
            batch_size,
            (k, d, seq_len),
        ));
    }

    match config.family {
        Family::Encoder => {
            list.push(Operator::gemm("pooler", 1, batch_size, d, d));
            list.push(Operator::gemm("next-sentence head", 1, batch_size, 2, d));
            list.push(Operator::gemm("masked-LM transform", 1, masked, d, d));
        }
        Family::Decoder => {}
    }
    list.push(Operator::gemm("LM decoder", 1, masked, vocab, d));
    list.push(Operator::element_wise("cross-entropy", 1, masked, vocab, 3));
    list
}

/// FLOPs of one train step: forward and backward, 3 times the forward products.
#[must_use]
pub fn train_step_flop(config: &Config, arch: Arch, shape: StepShape) -> f64 {
    3.0 * forward_operators(config, arch, shape).iter().map(Operator::flop).sum::<u128>() as f64
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
}
