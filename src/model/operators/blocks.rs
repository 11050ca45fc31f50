//! The products with weights: linears of layers, of experts, and heads.

use super::operator::{Operator, OperatorKind, StepShape};
use crate::model::extra::Place;
use crate::model::shape::{Heads, Latent};
use crate::model::{Arch, Config, Order};

/// A linear of `count` runs over `rows`, or the two skinny products that LRT has instead.
fn linear(
    (config, arch): (&Config, Arch),
    name: &'static str,
    count: usize,
    rows: usize,
    (d_in, d_out): (usize, usize),
) -> Vec<Operator> {
    let count = count as u64;
    if let Some(rank) = arch.rank_of(config, (d_in, d_out)) {
        let product = |(n, k)| Operator::batched(name, OperatorKind::LowRankGemm, count, 1, (rows, n, k));
        return [(rank, d_in), (d_out, rank)].map(product).to_vec();
    }
    vec![Operator::gemm(name, count, rows, d_out, d_in)]
}

/// The linears of attention. Keys and values see fewer rows in a Linformer that shortens its input.
pub(super) fn projections(config: &Config, arch: Arch, shape: StepShape) -> Vec<Operator> {
    let (layers, d) = (config.n_layers, config.d_model);
    let tokens = shape.batch_size * shape.seq_len;
    let kv_rows = match arch {
        Arch::Linformer { k, order: Order::Input, .. } => shape.batch_size * k,
        Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } | Arch::Lora { .. } => tokens,
    };
    let (queries, values) = (config.n_heads * config.d_head(), config.n_heads * config.d_value());
    let of = |name, count: usize, rows, size| linear((config, arch), name, count.saturating_mul(layers), rows, size);
    if let Some(Latent { q_rank, kv_rank, nope, rope, value }) = config.details.latent {
        let mut list = match q_rank {
            Some(rank) => {
                [of("latent of queries", 1, tokens, (d, rank)), of("query", 1, tokens, (rank, queries))].concat()
            }
            None => of("query", 1, tokens, (d, queries)),
        };
        list.extend(of("latent of keys and values", 1, kv_rows, (d, kv_rank + rope)));
        list.extend(of("key and value", 1, kv_rows, (kv_rank, config.n_heads * (nope + value))));
        list.extend(of("output", 1, tokens, (values, d)));
        return list;
    }
    let mut list = if queries == d {
        of("query, output", 2, tokens, (d, d))
    } else {
        [of("query", 1, tokens, (d, queries)), of("output", 1, tokens, (values, d))].concat()
    };
    list.extend(of("key, value", 2, kv_rows, (d, config.n_kv_heads() * config.d_head())));
    list
}

/// Names of a dense block's linears.
const DENSE: [&str; 2] = ["feed-forward in", "feed-forward out"];

/// The linears of feed-forward blocks: one in each dense layer; in a sparse one a router, the experts that it picks, and those
/// that all tokens visit.
pub(super) fn feed_forward(config: &Config, arch: Arch, tokens: usize) -> Vec<Operator> {
    let (d, ways_in) = (config.d_model, 1 + usize::from(config.gated_mlp));
    let block = |[name_in, name_out]: [&'static str; 2], layers: usize, rows, d_ff| {
        let mut list = linear((config, arch), name_in, ways_in.saturating_mul(layers), rows, (d, d_ff));
        list.extend(linear((config, arch), name_out, layers, rows, (d_ff, d)));
        list
    };
    let Some((sparse, experts)) = config.sparse() else {
        return block(DENSE, config.n_layers, tokens, config.d_ff);
    };
    let mut list = block(DENSE, config.n_layers - sparse, tokens, config.d_ff);
    list.push(Operator::gemm("router", sparse as u64, tokens, experts.count, d));
    // As many rows as tokens visit experts, and the weights of all experts that are visited are read.
    let visits = tokens.saturating_mul(experts.active);
    let others = (experts.count.min(visits) as u64).saturating_sub(1);
    for mut operator in block(["expert in", "expert out"], sparse, visits, experts.d_ff) {
        let weights = operator.n.saturating_mul(operator.k).saturating_mul(others);
        operator.elements = operator.elements.saturating_add(weights);
        list.push(operator);
    }
    if experts.shared_d_ff > 0 {
        list.extend(block(["shared expert in", "shared expert out"], sparse, tokens, experts.shared_d_ff));
        let gates = if experts.shared_gate { sparse as u64 } else { 0 };
        list.push(Operator::gemm("gate of shared experts", gates, tokens, 1, d));
    }
    list
}

/// Linears that no field stands for: those before and in the layers see all tokens, those after them the ones with a loss, or one of
/// each sequence.
pub(super) fn others(config: &Config, shape: StepShape) -> Vec<Operator> {
    let of = |extra: &crate::model::extra::Extra| {
        let rows = match extra.place {
            Place::Embedding | Place::Layer => shape.seq_len,
            Place::Head => shape.masked_per_seq,
            Place::Pooler => 1,
        };
        let [d_in, d_out] = extra.size;
        // Layers that share their weights run them each.
        let runs = match config.details.distinct_layers {
            Some(distinct) if extra.place == Place::Layer => {
                extra.times.saturating_mul(config.n_layers) / distinct.max(1)
            }
            _ => extra.times,
        };
        Operator::gemm("other linears", runs as u64, shape.batch_size * rows, d_out, d_in)
    };
    config.details.extra.iter().filter(|extra| extra.is_linear()).map(of).collect()
}

/// What turns the last layer into losses. A model without losses over the vocabulary is fine-tuned.
pub(super) fn heads(config: &Config, shape: StepShape) -> Vec<Operator> {
    let (d, width, vocab) = (config.d_model, config.d_embedding(), config.vocab_size);
    let masked = shape.batch_size * shape.masked_per_seq;
    let mut list = Vec::new();
    if config.heads() == Heads::Pretraining {
        list.push(Operator::gemm("pooler", 1, shape.batch_size, d, d));
        list.push(Operator::gemm("next-sentence head", 1, shape.batch_size, 2, d));
    }
    if config.heads() != Heads::Causal {
        list.push(Operator::gemm("masked-LM transform", 1, masked, width, d));
    }
    list.push(Operator::gemm("LM decoder", 1, masked, vocab, width));
    list.push(Operator::element_wise(OperatorKind::CrossEntropy, "cross-entropy", 1, (masked, vocab), (3, 3)));
    list
}
