//! The linears of layers with norms before their blocks, without their weights.

use super::names::Names;
use crate::model::Config;
use crate::nn::LayerLinear;
use crate::nn::linears::Fused;

/// In the order of the layers.
pub(in crate::nn) fn linears(config: &Config) -> Vec<LayerLinear> {
    let names = Names::of(config);
    let (d, d_ff, d_head) = (config.d_model, config.d_ff, config.d_head());
    let (queries, keys) = (config.n_heads * d_head, config.n_kv_heads() * d_head);
    let mut all = Vec::new();
    for layer in (0..config.n_layers).map(|i| names.layer(i)) {
        let mut group = |fused: Option<&str>, parts: &[(&str, usize)]| {
            let mut first = 0;
            let all_outputs = parts.iter().map(|(_, d_out)| d_out).sum();
            for (part, d_out) in parts {
                let name = format!("{layer}.{part}");
                let fused = fused.map(|fused| Fused { name: format!("{layer}.{fused}"), first, d_out: all_outputs });
                all.push(LayerLinear { name, size: (d, *d_out), is_transposed: names.is_transposed, fused });
                first += d_out;
            }
        };
        let [q, k, v] = names.qkv;
        let fused = config.details.fused_qkv.then_some(names.fused_qkv);
        group(fused, &[(q, queries), (k, keys), (v, keys)]);
        let fused = (config.gated_mlp && config.details.fused_gate).then_some(names.fused_gate);
        let gate = config.gated_mlp.then_some((names.gate, d_ff));
        let inner: Vec<(&str, usize)> = gate.into_iter().chain([(names.up, d_ff)]).collect();
        group(fused, &inner);
        for (part, d_in) in [(names.output, queries), (names.down, d_ff)] {
            let name = format!("{layer}.{part}");
            all.push(LayerLinear { name, size: (d_in, d), is_transposed: names.is_transposed, fused: None });
        }
    }
    all
}
