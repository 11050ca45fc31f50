//! Decoders of every size, each with a shape that follows from a published table.
//!
//! Widths and depths are those of GPT-3's family (Brown et al. 2020, arXiv 2005.14165, table 2.1), which has a feed-forward block
//! of four times the width. Between its rows the number of layers is interpolated by the width; below the first a layer has 64 of
//! width, above the last 128, as those two rows have. A width has at least as many layers as that, and more until the next width
//! begins, so that sizes follow each other closely. Widths that several devices share evenly are used alone.

use serde::Serialize;

use crate::catalog::Phase;
use crate::model::{Arch, Config, Details, Family, count_params};
use crate::record::Workload;
use crate::units::{Optimizer, Weights};

/// Width and layers of that table. Its width of 13B, 5140, is no multiple of its head of 128: 5120 is.
const PUBLISHED: [(usize, usize); 8] =
    [(768, 12), (1024, 24), (1536, 24), (2048, 24), (2560, 32), (4096, 32), (5120, 40), (12288, 96)];
/// Parameters from which a batch has so many tokens, in the same table: 0.5, 1, 2 and 3.2 million, as sequences of 2048 that many
/// devices share evenly.
const BATCHES: [(f64, usize); 4] = [(0.0, 256), (1.3e9, 512), (6.7e9, 1024), (175e9, 1536)];
/// Tokens of a sequence of that family.
pub const SEQ_LEN: usize = 2048;
/// Widths of the smallest and the largest.
const WIDTHS: (usize, usize) = (128, 32_768);
/// From this width on a head has 128, and 64 below, as the smallest and the largest rows of the table have.
const WIDE: usize = 2048;

/// Sizes of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward block.
    pub ff: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
}

/// What decoders are trained on, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Tokens a parameter.
    pub tokens_per_param: f64,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Tokens of a step; those of GPT-3's family if not given.
    pub batch_tokens: Option<f64>,
}

impl Shape {
    fn of(layers: usize, width: usize, vocab: usize) -> Self {
        let head = if width < WIDE { 64 } else { 128 };
        Self { layers, width, heads: width / head, ff: 4 * width, vocab }
    }

    /// The model, as `estimate --decoder` describes one.
    #[must_use]
    pub fn model(&self, seq_len: usize) -> Config {
        Config {
            family: Family::Decoder,
            n_layers: self.layers,
            d_model: self.width,
            n_heads: self.heads,
            d_ff: self.ff,
            vocab_size: self.vocab,
            max_seq_len: seq_len,
            type_vocab_size: 0,
            gated_mlp: false,
            details: Details::default(),
        }
    }

    /// Its parameters.
    #[must_use]
    pub fn params(&self, seq_len: usize) -> u64 {
        count_params(&self.model(seq_len), Arch::Dense)
    }

    /// A run of as many tokens as its parameters ask for.
    pub(super) fn workload(&self, scaling: &Scaling) -> Workload {
        let model = self.model(scaling.seq_len);
        let n_params = count_params(&model, Arch::Dense) as f64;
        let batch_size = match scaling.batch_tokens {
            Some(tokens) => sequences(tokens, scaling.seq_len),
            None => usual_batch(n_params, scaling.seq_len),
        };
        let step = batch_size as f64 * scaling.seq_len as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 1e18")]
        let steps = (scaling.tokens_per_param * n_params / step).ceil().clamp(1.0, 1e18) as u64;
        Workload {
            name: format!("decoder of {} x {}", self.layers, self.width),
            source: format!("{} tokens a parameter", scaling.tokens_per_param),
            model,
            optimizer: Optimizer::AdamW,
            weights: Weights::default(),
            phases: vec![Phase { steps, batch_size, seq_len: scaling.seq_len, masked_per_seq: None }],
            grad_checkpointing: false,
            grad_accumulation: None,
        }
    }
}

/// Whole sequences of a batch of so many tokens, at least one.
fn sequences(tokens: f64, seq_len: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1e9")]
    let sequences = (tokens / seq_len as f64).round().clamp(1.0, 1e9) as usize;
    sequences
}

/// Sequences in a step of a model of so many parameters, as GPT-3's family has them.
#[must_use]
pub fn usual_batch(n_params: f64, seq_len: usize) -> usize {
    let known = BATCHES.iter().rfind(|(least, _)| n_params >= *least).map_or(BATCHES[0].1, |(_, batch)| *batch);
    sequences((known * SEQ_LEN) as f64, seq_len)
}

/// Layers of a width, at least.
fn layers_of(width: usize) -> usize {
    let [(first, _), .., (last, _)] = PUBLISHED;
    let layers = if width < first {
        width as f64 / 64.0
    } else if width >= last {
        width as f64 / 128.0
    } else {
        let pair = PUBLISHED.windows(2).find(|pair| width < pair[1].0).unwrap_or(&PUBLISHED[..2]);
        let [(w0, l0), (w1, l1)] = [pair[0], pair[1]].map(|(w, l)| (w as f64, l as f64));
        l0 + (l1 - l0) * (width as f64 - w0) / (w1 - w0)
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 256")]
    let layers = layers.round().max(1.0) as usize;
    layers
}

/// The width after this one: 128 more, and from 2048, 4096 and 8192 on twice as many as before, so that 2, 4 and 8 devices share
/// the heads evenly.
fn next(width: usize) -> usize {
    width
        + match width {
            0..2048 => 128,
            2048..4096 => 256,
            4096..8192 => 512,
            _ => 1024,
        }
}

/// Every shape with such a vocabulary, from the fewest parameters to the most.
#[must_use]
pub fn shapes(vocab: usize, seq_len: usize) -> Vec<Shape> {
    let mut all = Vec::new();
    let mut width = WIDTHS.0;
    while width <= WIDTHS.1 {
        let after = Shape::of(layers_of(next(width)), next(width), vocab).params(seq_len);
        let of_width = (layers_of(width)..).map(|layers| Shape::of(layers, width, vocab));
        all.extend(of_width.take_while(|shape| shape.params(seq_len) < after));
        width = next(width);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widths_of_the_published_table_have_its_layers() {
        for (width, layers) in PUBLISHED {
            assert_eq!(layers_of(width), layers, "{width}");
        }
        assert_eq!([128, 512, 896, 3328, 8704, 16_384].map(layers_of), [2, 8, 18, 32, 68, 128]);
    }

    #[test]
    fn each_shape_has_a_few_more_parameters_than_the_one_before() {
        let all = shapes(50_257, 2048);
        let params: Vec<u64> = all.iter().map(|s| s.params(2048)).collect();
        assert!(params.windows(2).all(|pair| pair[0] < pair[1]));
        let apart = |from: u64| {
            let pairs = params.windows(2).filter(move |pair| pair[0] > from);
            pairs.map(|pair| pair[1] as f64 / pair[0] as f64).fold(0.0, f64::max)
        };
        // Two small widths are farther apart than a layer.
        assert!(apart(0) < 1.6 && apart(200_000_000) < 1.12, "{} {}", apart(0), apart(200_000_000));
        assert!(params[0] < 10_000_000 && params[params.len() - 1] > 1_000_000_000_000);
        assert!(all.iter().all(|s| s.width % s.heads == 0 && s.ff == 4 * s.width));
        // GPT-3 XL, 2.7B and 175B by their published counts.
        for (layers, width, published) in [(24, 2048, 1.3e9), (32, 2560, 2.7e9), (96, 12288, 175e9)] {
            let shape = all.iter().find(|s| (s.layers, s.width) == (layers, width)).expect("in the list");
            assert!((shape.params(2048) as f64 / published - 1.0).abs() < 0.03, "{shape:?}");
        }
    }

    #[test]
    fn a_batch_is_that_of_the_published_family() {
        let of = |n_params| usual_batch(n_params, 2048);
        assert_eq!([125e6, 2.7e9, 13e9, 175e9].map(of), [256, 512, 1024, 1536]);
        assert_eq!(usual_batch(125e6, 1024), 512);
        assert_eq!(usual_batch(125e6, 1_000_000), 1);
    }
}
