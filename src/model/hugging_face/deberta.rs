//! DeBERTa, whose attention sees words and positions apart.

use super::super::extra::{Extra, ExtraKind, Place};
use super::super::shape::{Bias, Details, PositionScores, Positions};
use super::error::HuggingFaceError;
use super::keys::Keys;

/// Numbers of a layer.
pub(super) fn values(name: &str, size: [usize; 2], times: usize) -> Extra {
    Extra::new(name, Place::Layer, ExtraKind::Values, size, times)
}

/// Rows that are looked up.
pub(super) fn table(name: &str, rows: usize, width: usize) -> Extra {
    Extra::new(name, Place::Embedding, ExtraKind::Table, [rows, width], 1)
}

/// DeBERTa's relative positions (He et al. 2021, arXiv 2006.03654 and 2111.09543).
pub(super) fn deberta(keys: &Keys, n_layers: usize, d: usize, details: &mut Details) -> Result<(), HuggingFaceError> {
    let rows = keys.need("max_position_embeddings")?;
    let is_first = keys.model_type == "deberta";
    if is_first {
        // Keys have no bias, and the three are one matrix.
        details.fused_qkv = true;
        details.biases = Some(vec![Bias::Output, Bias::Mlp, Bias::Transform, Bias::Head]);
        details.extra.push(values("biases of queries and values", [2, d], n_layers));
    }
    if !keys.flag("position_biased_input")? {
        details.positions = Some(Positions::Relative);
    }
    let norms = keys.text("norm_rel_ebd").unwrap_or("none");
    if !is_first && norms.to_lowercase().split('|').any(|n| n.trim() == "layer_norm") {
        details.extra.push(values("norm of relative positions", [2, d], 1));
    }
    if let Some(kernel) = keys.number("conv_kernel_size")?.filter(|n| !is_first && *n > 0) {
        let groups = keys.number("conv_groups")?.unwrap_or(1).max(1);
        let size = [kernel.saturating_mul(d / groups), d];
        details.extra.push(Extra::new(
            "convolution of the first layer",
            Place::Layer,
            ExtraKind::LinearWithBias,
            size,
            1,
        ));
        details.extra.push(values("norm of the convolution", [2, d], 1));
    }
    if !keys.flag("relative_attention")? {
        return Ok(());
    }
    // -1 stands for none.
    let positive = |key: &str| keys.number(key).unwrap_or(None).filter(|n| *n > 0);
    let span = positive("max_relative_positions").unwrap_or(rows);
    let span = if is_first { span } else { positive("position_buckets").unwrap_or(span) };
    details.extra.push(table("relative position embedding", span.saturating_mul(2), d));
    let kinds = match keys.list("pos_att_type") {
        Some(list) => list.iter().filter_map(|kind| kind.as_str()).collect::<Vec<_>>(),
        None => keys.text("pos_att_type").unwrap_or_default().split('|').map(str::trim).collect(),
    };
    let has = |kind: &str| kinds.iter().any(|k| k.eq_ignore_ascii_case(kind));
    let ways = ["c2p", "p2c"].into_iter().filter(|kind| has(kind)).count();
    if ways > 0 {
        details.position_scores = Some(PositionScores { rows: span.saturating_mul(2), ways, is_cut: is_first });
    }
    if is_first || !keys.flag("share_att_key")? {
        let linear = |name| Extra::new(name, Place::Layer, ExtraKind::LinearOfPositions, [d, d], n_layers);
        if has("c2p") {
            details.extra.push(linear("keys of positions"));
            if !is_first {
                details.extra.push(values("biases of keys of positions", [1, d], n_layers));
            }
        }
        if has("p2c") {
            details.extra.push(linear("queries of positions"));
            details.extra.push(values("biases of queries of positions", [1, d], n_layers));
        }
    }
    Ok(())
}
