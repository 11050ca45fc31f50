//! The experts of a type: under which keys it says how many there are, and in which layers.

use serde_json::Value;

use super::super::shape::Experts;
use super::error::HuggingFaceError;
use super::keys::Keys;

/// How a type says what experts it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixture {
    /// The key of how many a layer has.
    pub(super) count: &'static str,
    /// That of how many a token visits.
    pub(super) active: &'static str,
    /// That of the inner width of one.
    pub(super) d_ff: &'static str,
    /// Those that every token visits.
    pub(super) shared: Shared,
    /// Which layers have them.
    pub(super) layers: Sparse,
    /// Whether they have biases.
    pub(super) bias: bool,
}

/// The experts that every token visits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shared {
    /// None.
    None,
    /// One.
    One,
    /// As many as a key says.
    Count(&'static str),
    /// Of the width that a key says together.
    Width(&'static str),
    /// The same, and a linear that weighs them.
    Gated(&'static str),
}

/// Which layers have experts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sparse {
    /// All.
    All,
    /// All after as many as a key says, unless `mlp_layer_types` lists them.
    After(&'static str),
    /// All after the first, unless `mlp_layer_types` lists them.
    Types,
    /// Each `decoder_sparse_step`-th but those of `mlp_only_layers`.
    Step,
    /// From `moe_layer_start_index` to `moe_layer_end_index`, each `moe_layer_interval`-th.
    Range,
    /// Each `interleave_moe_layer_step`-th, unless `moe_layers` lists them.
    Interleaved,
}

/// The experts of a model of so many layers; none if a key says that there are none.
pub(super) fn experts(keys: &Keys, of: &Mixture, n_layers: usize) -> Result<Option<Experts>, HuggingFaceError> {
    let count = keys.number(of.count)?.unwrap_or(0);
    if count == 0 {
        return Ok(None);
    }
    let layers = sparse_layers(keys, of.layers, n_layers)?;
    if layers == 0 {
        return Ok(None);
    }
    let d_ff = match keys.number(of.d_ff)? {
        // Hunyuan lists a width for each layer, all the same.
        Some(d_ff) => d_ff,
        None => keys.need("intermediate_size")?,
    };
    let (shared_d_ff, shared_gate) = match of.shared {
        Shared::None => (0, false),
        Shared::One => (d_ff, false),
        Shared::Count(key) => (d_ff.saturating_mul(keys.number(key)?.unwrap_or(0)), false),
        Shared::Width(key) => (keys.number(key)?.unwrap_or(0), false),
        Shared::Gated(key) => (keys.number(key)?.unwrap_or(0), true),
    };
    let active = keys.number(of.active)?.unwrap_or(1);
    let layers = Some(layers).filter(|layers| *layers != n_layers);
    Ok(Some(Experts { count, active, d_ff, layers, shared_d_ff, shared_gate, bias: of.bias }))
}

fn sparse_layers(keys: &Keys, of: Sparse, n_layers: usize) -> Result<usize, HuggingFaceError> {
    let listed = || {
        let is_sparse = |of: &&Value| of.as_str() == Some("sparse");
        keys.list("mlp_layer_types").map(|types| types.iter().take(n_layers).filter(is_sparse).count())
    };
    Ok(match of {
        Sparse::All => n_layers,
        Sparse::After(key) => match listed() {
            Some(layers) => layers,
            None => n_layers.saturating_sub(keys.number(key)?.unwrap_or(0)),
        },
        Sparse::Types => listed().unwrap_or(n_layers.saturating_sub(1)),
        Sparse::Step => {
            let step = keys.number("decoder_sparse_step")?.unwrap_or(1).max(1);
            let dense: Vec<u64> =
                keys.list("mlp_only_layers").unwrap_or_default().iter().filter_map(Value::as_u64).collect();
            (0..n_layers).filter(|i| (i + 1) % step == 0 && !dense.contains(&(*i as u64))).count()
        }
        Sparse::Range => {
            let start = keys.number("moe_layer_start_index")?.unwrap_or(0);
            // -1 is the last one.
            let end = keys.number("moe_layer_end_index").unwrap_or(None).unwrap_or(n_layers.saturating_sub(1));
            let interval = keys.number("moe_layer_interval")?.unwrap_or(1).max(1);
            (0..n_layers).filter(|i| (i + 1) % interval == 0 && (start..=end).contains(i)).count()
        }
        Sparse::Interleaved => match keys.list("moe_layers") {
            Some(list) => list.iter().filter_map(Value::as_u64).filter(|i| *i < n_layers as u64).count(),
            None => n_layers / keys.number("interleave_moe_layer_step")?.unwrap_or(1).max(1),
        },
    })
}
