//! What one device of a layout holds of a model: its part of each layer, and its layers.

use crate::model::{
    Arch, Config, Execution, Experts, Form, Item, Operator, OperatorKind, Place, StepShape, operators, parameters,
};

/// The model as a device of a tensor group of `tp` sees it (Shoeybi et al. 2019): all of its width, and its part of the heads,
/// of the feed-forward blocks and of the vocabulary. Heads of keys and values that are fewer than `tp` are held by several
/// devices; a width that `tp` does not divide is padded, as Megatron pads vocabularies.
#[must_use]
pub fn shard(model: &Config, tp: u32) -> Config {
    let tp = tp.max(1) as usize;
    if tp == 1 {
        return model.clone();
    }
    let part = |whole: usize| whole.div_ceil(tp);
    let mut details = model.details.clone();
    if details.latent.is_none() {
        details.head_dim = Some(model.d_head());
        details.n_kv_heads = Some(part(model.n_kv_heads()).max(1));
    }
    details.experts = details.experts.map(|e| Experts { d_ff: part(e.d_ff), shared_d_ff: part(e.shared_d_ff), ..e });
    Config {
        n_heads: part(model.n_heads),
        d_ff: part(model.d_ff),
        vocab_size: part(model.vocab_size),
        details,
        ..model.clone()
    }
}

/// Layers of each stage. Where they cannot be shared out evenly, stages between the first and the last have one more: these two have the
/// embedding and the head to do as well (Grattafiori et al. 2024, section 3.3.2).
#[must_use]
pub fn layers_of(layers: usize, stages: u32) -> Vec<usize> {
    let stages = stages.max(1) as usize;
    let mut all = vec![layers / stages; stages];
    let between = 1..stages.saturating_sub(1).max(1);
    let order = between.chain([0, stages - 1]);
    order.take(layers % stages).for_each(|stage| all[stage] += 1);
    all
}

/// What the names of the linears of experts begin with.
const EXPERTS: &str = "expert ";

/// Something of what is before the layers, of one layer, and of what is after them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parts<T> {
    /// Before the layers: on the first stage.
    pub before: T,
    /// One layer, in the mean of all.
    pub layer: T,
    /// After them: on the last stage.
    pub after: T,
}

/// Parameters of a shard. A head that is tied to the token embedding is held twice where both are on different stages.
#[must_use]
pub fn parameters_of(shard: &Config, arch: Arch, stages: u32) -> Parts<f64> {
    let mut parts = Parts::default();
    for item in parameters(shard) {
        let n = number_of(&item, shard, arch);
        match item.place {
            Place::Embedding => parts.before += n,
            Place::Layer if item.name == "last norm" => parts.after += n,
            Place::Layer => parts.layer += n / shard.n_layers.max(1) as f64,
            Place::Head | Place::Pooler => parts.after += n,
        }
    }
    if stages > 1 && shard.is_tied() {
        parts.after += shard.vocab_size as f64 * shard.d_embedding() as f64;
    }
    parts
}

/// Parameters of the experts of a layer, in the mean of all layers.
#[must_use]
pub fn expert_parameters(shard: &Config, arch: Arch) -> f64 {
    let all = parameters(shard);
    let of_experts = all.iter().filter(|item| item.name.starts_with(EXPERTS));
    of_experts.map(|item| number_of(item, shard, arch)).sum::<f64>() / shard.n_layers.max(1) as f64
}

fn number_of(item: &Item, shard: &Config, arch: Arch) -> f64 {
    let rank = match item.form {
        Form::Linear { d_in, d_out, .. } => arch.rank_of(shard, (d_in, d_out)),
        Form::Table { .. } | Form::Values(_) => None,
    };
    item.params(rank) as f64 * item.times as f64
}

/// Operators of a micro-batch of `shape`: before the layers, of all layers, after them. Queries, keys and values are one
/// product, as programs for many devices have it. Where `cp` devices share each sequence, `shape` is a part of it, whose queries see
/// all keys.
#[must_use]
pub fn operators_of(
    shard: &Config,
    arch: Arch,
    shape: StepShape,
    (execution, cp): (Execution, u32),
) -> Parts<Vec<Operator>> {
    let mut parts: Parts<Vec<Operator>> = Parts::default();
    let joined = arch == Arch::Dense && shard.details.latent.is_none();
    let mut list = operators(shard, arch, shape, execution);
    if cp > 1 {
        let whole = StepShape { seq_len: shape.seq_len * cp as usize, ..shape };
        let is_attention = |operator: &Operator| operator.kind == OperatorKind::FusedAttention;
        list.retain(|operator| !is_attention(operator));
        let part = |o: Operator| Operator { m: o.m / u64::from(cp), elements: o.elements / u64::from(cp), ..o };
        list.extend(operators(shard, arch, whole, execution).into_iter().filter(is_attention).map(part));
    }
    for operator in list {
        match (operator.kind, operator.name) {
            (OperatorKind::Gemm, "query, output" | "query" | "key, value" | "output") if joined => {}
            (OperatorKind::Embedding, _) => parts.before.push(operator),
            (OperatorKind::CrossEntropy, _)
            | (_, "pooler" | "next-sentence head" | "masked-LM transform" | "LM decoder") => parts.after.push(operator),
            _ => parts.layer.push(operator),
        }
    }
    if joined {
        let tokens = shape.batch_size * shape.seq_len;
        let (d, heads) = (shard.d_model, shard.n_heads);
        let keys = shard.n_kv_heads() * (shard.d_head() + shard.d_value());
        let layers = shard.n_layers as u64;
        parts.layer.push(Operator::gemm("query, key and value", layers, tokens, heads * shard.d_head() + keys, d));
        parts.layer.push(Operator::gemm("output", layers, tokens, d, heads * shard.d_value()));
    }
    parts
}
