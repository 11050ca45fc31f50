//! The products of attention: queries with keys, scores with values.

use super::operator::{AttentionKernel, Operator, OperatorKind, StepShape};
use crate::model::shape::{PositionScores, Window};
use crate::model::{Arch, Config, Family, Order, Share};

/// The softmax over scores that are written.
pub(super) const SOFTMAX: &str = "softmax and dropout";

/// Scores, softmax and values, and before them what a Linformer does to keys and values. A causal model needs half of the
/// products (Narayanan et al. 2021, appendix), and one with a window those of its band; kernels that write their scores compute
/// all of them and mask.
pub(super) fn attention(config: &Config, arch: Arch, shape: StepShape, kernel: AttentionKernel) -> Vec<Operator> {
    let window = config.windowed().filter(|w| w.length < shape.seq_len && kernel != AttentionKernel::Composed);
    let windowed = window.map_or(0, |w| w.layers);
    let mut list = products(config, arch, shape, kernel, (config.n_layers - windowed, None));
    if let Some(window) = window {
        list.extend(products(config, arch, shape, kernel, (windowed, Some(window))));
    }
    if let Some(positions) = config.details.position_scores {
        list.extend(position_scores(config, shape, positions));
    }
    if let Arch::Linformer { k, share, order } = arch {
        // With one matrix for keys and values, the shortened input serves both.
        let shared_input = order == Order::Input && matches!(share, Share::Model | Share::Kv);
        let runs = config.n_layers as u64 * if shared_input { 1 } else { 2 };
        let width = if order == Order::Input { config.d_model } else { config.n_kv_heads() * config.d_head() };
        let size = (k, width, shape.seq_len);
        list.push(Operator::batched("linformer projection", OperatorKind::Projection, runs, shape.batch_size, size));
    }
    list
}

fn products(
    config: &Config,
    arch: Arch,
    shape: StepShape,
    kernel: AttentionKernel,
    (layers, window): (usize, Option<Window>),
) -> Vec<Operator> {
    let StepShape { batch_size, seq_len, .. } = shape;
    let keys = arch.k().unwrap_or(seq_len);
    let causal = matches!((config.family, arch), (Family::Decoder, Arch::Dense | Arch::Lrt { .. } | Arch::Lora { .. }));
    let seen = match window {
        Some(window) => seen_in_window(window.length, seq_len, causal),
        None if causal && kernel != AttentionKernel::Composed => keys.div_ceil(2),
        None => keys,
    };
    let (heads, d_score, d_value) = (batch_size * config.n_heads, config.d_head(), config.d_value());
    let count = layers as u64;
    if kernel == AttentionKernel::Fused {
        let size = (seq_len, seen, d_score + d_value);
        let mut fused = Operator::batched("fused attention", OperatorKind::FusedAttention, count, heads, size);
        // Queries and result, keys and values: the scores stay on the chip.
        let of_queries = (heads as u64).saturating_mul((seq_len as u64).saturating_mul((d_score + d_value) as u64));
        let groups = (batch_size * config.n_kv_heads()) as u64;
        let of_keys = groups.saturating_mul((keys as u64).saturating_mul((d_score + d_value) as u64));
        fused.elements = of_queries.saturating_add(of_keys);
        return vec![fused];
    }
    let product = |name, size| Operator::batched(name, OperatorKind::Attention, count, heads, size);
    let columns = if window.is_some() { seen } else { keys };
    vec![
        product("attention scores", (seq_len, seen, d_score)),
        product("attention values", (seq_len, d_value, seen)),
        Operator::element_wise(OperatorKind::Softmax, SOFTMAX, count, (heads * seq_len, columns), (4, 8)),
    ]
}

/// Queries and keys by rows of a table of positions, of which each pair of tokens then takes its own score. The linears of the table
/// run once for a step, whatever its batch.
fn position_scores(config: &Config, shape: StepShape, positions: PositionScores) -> Vec<Operator> {
    let PositionScores { rows, ways, is_cut } = positions;
    let rows = if is_cut { rows.min(2 * shape.seq_len) } else { rows };
    let (count, heads) = ((ways * config.n_layers) as u64, shape.batch_size * config.n_heads);
    let width = config.n_heads * config.d_head();
    // Scores by the table are written and read, and the pair's own are added to the others.
    let gathered = (heads * shape.seq_len, rows.saturating_add(shape.seq_len));
    vec![
        Operator::gemm("linears of positions", count, rows, width, config.d_model),
        Operator::batched(
            "scores of positions",
            OperatorKind::Attention,
            count,
            heads,
            (shape.seq_len, rows, config.d_head()),
        ),
        Operator::element_wise(OperatorKind::Softmax, "choice of scores of positions", count, gathered, (3, 6)),
    ]
}

/// How many keys a query sees on average, rounded up, if it sees at most `length` of `seq_len`: a band below the diagonal of a
/// square, or to both sides of it.
fn seen_in_window(length: usize, seq_len: usize, causal: bool) -> usize {
    let (n, w) = (seq_len.max(1) as u128, length.min(seq_len) as u128);
    // The corners of the band that lie outside of the square.
    let (band, corner) = if causal { (w, w * w) } else { (w, w * w / 2) };
    let seen = (2 * band * n - corner).div_ceil(2 * n);
    usize::try_from(seen).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_sees_its_band_of_the_square() {
        // 4 of 16 tokens: 4 x 16 less half of 4 x 4, over 16: 3.5.
        assert_eq!(seen_in_window(4, 16, true), 4);
        // 128 of 1024: 128 - 8.
        assert_eq!(seen_in_window(128, 1024, true), 120);
        // To both sides 64 each: 128 - 4.
        assert_eq!(seen_in_window(128, 1024, false), 124);
        // As long as the sequence: the causal half.
        assert_eq!(seen_in_window(1024, 1024, true), 512);
        assert_eq!(seen_in_window(usize::MAX, 1, true), 1);
    }
}
