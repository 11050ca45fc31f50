//! A model's parameters as a list: each is in exactly one item.

use std::borrow::Cow;

use super::extra::{Extra, ExtraKind, Place};
use super::shape::{Bias, Experts, Heads, Latent, Positions, QkNorm};
use super::{Config, Family};

/// What the parameters of an item are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Rows that are looked up.
    Table {
        /// Their number.
        rows: usize,
        /// Their width.
        width: usize,
    },
    /// A matrix that activations are multiplied with.
    Linear {
        /// Inputs.
        d_in: usize,
        /// Outputs.
        d_out: usize,
        /// Whether there are as many biases as outputs.
        bias: bool,
    },
    /// Numbers that are added or multiplied element by element.
    Values(usize),
}

/// Parameters of one form, and how often they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What they are, for people.
    pub name: Cow<'static, str>,
    /// Where they are.
    pub place: Place,
    /// What they are.
    pub form: Form,
    /// How many there are in the model.
    pub times: u64,
    /// How many of these a token visits.
    pub active: u64,
    /// Whether an architecture may factorise it: the linears of attention and feed-forward blocks.
    pub is_factorised: bool,
}

impl Item {
    fn new(name: impl Into<Cow<'static, str>>, place: Place, times: usize, form: Form) -> Self {
        let times = times as u64;
        Self { name: name.into(), place, form, times, active: times, is_factorised: false }
    }

    /// Parameters of one of them; with a `rank`, a factorised linear is D (E x) + b of that inner width.
    #[must_use]
    pub fn params(&self, rank: Option<usize>) -> u128 {
        match (self.form, rank.filter(|_| self.is_factorised)) {
            (Form::Table { rows, width }, _) => rows as u128 * width as u128,
            (Form::Values(n), _) => n as u128,
            (Form::Linear { d_in, d_out, bias }, rank) => {
                let (d_in, d_out) = (d_in as u128, d_out as u128);
                let sides = d_in + d_out;
                let matrix = rank.map_or(d_in * d_out, |r| (r as u128).saturating_mul(sides));
                matrix.saturating_add(if bias { d_out } else { 0 })
            }
        }
    }
}

/// Every parameter of the model as published, in the order of a forward pass.
#[must_use]
pub fn parameters(config: &Config) -> Vec<Item> {
    let mut list = embeddings(config);
    list.extend(attention(config));
    list.extend(feed_forward(config));
    list.push(norm(config, "norms of layers", Place::Layer, config.norms_of_layers(), config.d_model));
    if config.has_final_norm() {
        list.push(norm(config, "last norm", Place::Layer, 1, config.d_model));
    }
    list.extend(head(config));
    list.extend(config.details.extra.iter().map(of_extra));
    list.retain(|item| item.times > 0 && item.params(None) > 0);
    list
}

fn of_extra(extra: &Extra) -> Item {
    let [first, second] = extra.size;
    let form = match extra.kind {
        ExtraKind::Table => Form::Table { rows: first, width: second },
        ExtraKind::Linear | ExtraKind::LinearWithBias | ExtraKind::LinearOfPositions => {
            Form::Linear { d_in: first, d_out: second, bias: extra.kind == ExtraKind::LinearWithBias }
        }
        ExtraKind::Values => Form::Values(first.saturating_mul(second)),
    };
    Item::new(extra.name.clone(), extra.place, extra.times, form)
}

fn norm(config: &Config, name: &'static str, place: Place, times: usize, width: usize) -> Item {
    Item::new(name, place, times, Form::Values(config.norm().params(width)))
}

fn embeddings(config: &Config) -> Vec<Item> {
    let width = config.d_embedding();
    let table = |name, rows| Item::new(name, Place::Embedding, 1, Form::Table { rows, width });
    let mut list = vec![table("token embedding", config.vocab_size)];
    if config.positions() == Positions::Learned {
        let rows = config.details.n_positions.unwrap_or(config.max_seq_len);
        list.push(table("position embedding", rows));
    }
    if config.family == Family::Encoder {
        list.push(table("segment embedding", config.type_vocab_size));
    }
    if config.has_embedding_norm() {
        list.push(norm(config, "norm of the embeddings", Place::Embedding, 1, width));
    }
    list
}

/// A linear of each of `layers` layers.
fn linear(name: &'static str, layers: usize, (d_in, d_out): (usize, usize), bias: bool) -> Item {
    Item { is_factorised: true, ..Item::new(name, Place::Layer, layers, Form::Linear { d_in, d_out, bias }) }
}

fn attention(config: &Config) -> Vec<Item> {
    let (layers, d, h) = (config.distinct_layers(), config.d_model, config.n_heads);
    let (qkv, out) = (config.has_bias(Bias::Qkv), config.has_bias(Bias::Output));
    let values = h.saturating_mul(config.d_value());
    let mut list = if let Some(latent) = config.details.latent {
        latents(config, latent)
    } else {
        let (q, kv) = (h.saturating_mul(config.d_head()), config.n_kv_heads().saturating_mul(config.d_head()));
        vec![
            linear("query", layers, (d, q), qkv),
            linear("key", layers, (d, kv), qkv),
            linear("value", layers, (d, kv), qkv),
        ]
    };
    list.push(linear("output of attention", layers, (values, d), out));
    if let Some(of) = config.details.qk_norm {
        for (name, heads) in [("norm of queries", h), ("norm of keys", config.n_kv_heads())] {
            let heads = if of == QkNorm::Head { 1 } else { heads };
            list.push(norm(config, name, Place::Layer, layers, heads.saturating_mul(config.d_head())));
        }
    }
    list
}

fn latents(config: &Config, latent: Latent) -> Vec<Item> {
    let (layers, d, h) = (config.distinct_layers(), config.d_model, config.n_heads);
    let bias = config.has_bias(Bias::Qkv);
    let queries = h.saturating_mul(config.d_head());
    let keys_and_values = h.saturating_mul(latent.nope.saturating_add(latent.value));
    let mut list = match latent.q_rank {
        Some(rank) => vec![
            linear("latent of queries", layers, (d, rank), bias),
            norm(config, "norm of queries' latent", Place::Layer, layers, rank),
            linear("query", layers, (rank, queries), false),
        ],
        None => vec![linear("query", layers, (d, queries), false)],
    };
    list.extend([
        linear("latent of keys and values", layers, (d, latent.kv_rank.saturating_add(latent.rope)), bias),
        norm(config, "norm of keys' and values' latent", Place::Layer, layers, latent.kv_rank),
        linear("key and value", layers, (latent.kv_rank, keys_and_values), false),
    ]);
    list
}

/// Names of a dense block's linears.
const DENSE: [&str; 3] = ["feed-forward in", "feed-forward gate", "feed-forward out"];

fn feed_forward(config: &Config) -> Vec<Item> {
    let (d, mlp) = (config.d_model, config.has_bias(Bias::Mlp));
    let block = |[up, gate, down]: [&'static str; 3], layers: usize, d_ff: usize, bias: bool| {
        let mut list = vec![linear(up, layers, (d, d_ff), bias)];
        if config.gated_mlp {
            list.push(linear(gate, layers, (d, d_ff), bias));
        }
        list.push(linear(down, layers, (d_ff, d), bias));
        list
    };
    let Some((sparse, experts)) = config.sparse() else {
        return block(DENSE, config.distinct_layers(), config.d_ff, mlp);
    };
    let Experts { count, active, d_ff, shared_d_ff, shared_gate, bias, .. } = experts;
    let mut list = block(DENSE, config.distinct_layers().saturating_sub(sparse), config.d_ff, mlp);
    let router = Form::Linear { d_in: d, d_out: count, bias };
    list.push(Item::new("router", Place::Layer, sparse, router));
    for mut item in block(["expert in", "expert gate", "expert out"], sparse.saturating_mul(count), d_ff, bias) {
        item.active = sparse.saturating_mul(active) as u64;
        list.push(item);
    }
    if shared_d_ff > 0 {
        list.extend(block(["shared expert in", "shared expert gate", "shared expert out"], sparse, shared_d_ff, mlp));
        let weigh = Form::Linear { d_in: d, d_out: 1, bias: false };
        list.push(Item::new(
            "gate of shared experts",
            Place::Layer,
            usize::from(shared_gate).saturating_mul(sparse),
            weigh,
        ));
    }
    list
}

fn head(config: &Config) -> Vec<Item> {
    let (d, width, vocab) = (config.d_model, config.d_embedding(), config.vocab_size);
    let linear = |name, d_in, d_out, bias| Item::new(name, Place::Head, 1, Form::Linear { d_in, d_out, bias });
    let mut list = Vec::new();
    if config.heads() == Heads::Pretraining {
        list.push(linear("pooler", d, d, true));
        list.push(linear("next-sentence head", d, 2, true));
    }
    if config.heads() != Heads::Causal {
        list.push(linear("masked-LM transform", d, width, config.has_bias(Bias::Transform)));
        list.push(norm(config, "norm of the masked-LM transform", Place::Head, 1, width));
    }
    let bias = config.has_bias(Bias::Head);
    if config.is_tied() {
        let biases = if bias { vocab } else { 0 };
        list.push(Item::new("biases over the vocabulary", Place::Head, 1, Form::Values(biases)));
    } else {
        list.push(linear("LM decoder", width, vocab, bias));
    }
    list
}
