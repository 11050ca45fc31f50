//! The linears of a model's layers, without their weights.

use crate::model::Config;

/// A linear of the layers, by its name in a model whose linears are each two matrices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerLinear {
    /// Its name, without `.weight`.
    pub name: String,
    /// Inputs and outputs.
    pub size: (usize, usize),
    /// Whether checkpoints store the matrix with inputs first, as GPT-2's do.
    pub is_transposed: bool,
    /// The dense matrix that it is a part of, if it is none of its own there.
    pub fused: Option<Fused>,
}

/// Where a linear is within a larger one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fused {
    /// The name of the larger one.
    pub name: String,
    /// The first of its outputs that are the linear's.
    pub first: usize,
    /// All of its outputs.
    pub d_out: usize,
}

/// Those of BERT, in the order of its layers.
pub(super) fn of_bert(config: &Config) -> Vec<LayerLinear> {
    let (d, d_ff) = (config.d_model, config.d_ff);
    let parts = [
        ("attention.self.query", (d, d)),
        ("attention.self.key", (d, d)),
        ("attention.self.value", (d, d)),
        ("attention.output.dense", (d, d)),
        ("intermediate.dense", (d, d_ff)),
        ("output.dense", (d_ff, d)),
    ];
    let layer = |i| {
        let of = move |(part, size)| LayerLinear {
            name: format!("bert.encoder.layer.{i}.{part}"),
            size,
            is_transposed: false,
            fused: None,
        };
        parts.into_iter().map(of)
    };
    (0..config.n_layers).flat_map(layer).collect()
}
