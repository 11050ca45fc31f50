//! The most memory that a step of this program's own operations takes.

use super::arch::{LoraTargets, Order};
use super::memory::bytes;
use super::{Arch, Computed, Config, Family, StepShape, count_params, trainable_params};
use crate::units::DType;

/// The tiles of rows in which the head of a decoder computes its logits, so that they are never there whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadTiles {
    /// Those of a CPU.
    Cpu,
    /// Those of a GPU.
    Gpu,
}

impl HeadTiles {
    /// Bytes of the logits of a tile, and its rows, at least and at most. A tile reads the weight and adds to its gradient: there are
    /// enough rows that both cost little beside the products.
    fn limits(self) -> (usize, (usize, usize)) {
        match self {
            Self::Cpu => (128 << 20, (64, 512)),
            Self::Gpu => (512 << 20, (1024, 8192)),
        }
    }

    /// Rows of the tiles, all of one size, in which `rows` of logits over so many classes are computed.
    #[must_use]
    pub fn rows(self, rows: usize, classes: usize, element_bytes: usize) -> usize {
        let (tile_bytes, (least, most)) = self.limits();
        let at_most = (tile_bytes / (classes * element_bytes).max(1)).clamp(least, most);
        rows.div_ceil(rows.div_ceil(at_most).max(1))
    }
}

/// Most bytes that a train step of this program's fused operations has allocated at a time: weights and the two moments of AdamW,
/// and the larger of two moments of the backward pass. At its beginning there are all activations, the logits three times
/// (scores, probabilities, gradient) and the gradient of the tied embedding; at its end all gradients. Attention works in tiles,
/// and masks of dropout are drawn again, so that a layer keeps `34 d + 8 d_ff` bytes a token in f32, `18 d + 4 d_ff` in 16 bits,
/// and an inner activation for each linear of LRT. A Linformer whose input is projected keeps neither keys nor values.
#[must_use]
pub fn peak_of_train_step(config: &Config, arch: Arch, shape: StepShape, dtype: DType, tiles: HeadTiles) -> u64 {
    if is_pre_norm(config) {
        return peak_of_pre_norm_step(config, arch, shape, dtype, tiles);
    }
    let StepShape { batch_size, seq_len, masked_per_seq } = shape;
    let tokens = (batch_size * seq_len) as u128;
    let (d, d_ff, layers) = (config.d_model as u128, config.d_ff as u128, config.n_layers as u128);
    let width = u128::from(dtype.bytes());
    let (per_element, per_inner) = if width == 2 { (18, 4) } else { (34, 8) };
    let ranks = 6 * arch.rank().unwrap_or(0) as u128 * width;
    let spared = if matches!(arch, Arch::Linformer { order: Order::Input, .. }) { 2 * d * width } else { 0 };
    let layer = tokens * (per_element * d + per_inner * d_ff + ranks).saturating_sub(spared);
    let logits = 3 * width * (batch_size * masked_per_seq) as u128 * config.vocab_size as u128;
    let parameters = u128::from(count_params(config, arch));
    // Beside weights of f32 there are copies of 16 bits where the step computes in them.
    let copies = if width == 2 { 2 * parameters } else { 0 };
    let begins = layers * layer + tokens * d * (2 * width + 1) + logits + 4 * d * config.vocab_size as u128;
    bytes(12 * parameters + copies + begins.max(4 * parameters))
}

/// The same of a forward pass alone: the weights, what the widest place of a layer holds, and no less than drawing the embedding
/// takes.
#[must_use]
pub fn peak_of_forward_pass(config: &Config, arch: Arch, shape: StepShape, dtype: DType, tiles: HeadTiles) -> u64 {
    if is_pre_norm(config) {
        return peak_of_pre_norm_pass(config, arch, shape, dtype, tiles);
    }
    let tokens = (shape.batch_size * shape.seq_len) as u128;
    let (d, d_ff) = (config.d_model as u128, config.d_ff as u128);
    let width = u128::from(dtype.bytes());
    let parameters = u128::from(count_params(config, arch));
    let copies = if width == 2 { 2 * parameters } else { 0 };
    let pass = 4 * parameters + copies + tokens * (5 * d + 2 * d_ff) * width;
    bytes(pass.max(2 * 4 * d * config.vocab_size as u128))
}

/// Whether its layers are those of decoders and of `ModernBERT`, with norms before their blocks.
fn is_pre_norm(config: &Config) -> bool {
    config.family == Family::Decoder || config.computed() == Ok(Computed::ModernBert)
}

/// The numbers that such a layer keeps for each token: the inputs of its norms, of both blocks and of all products
/// with weights that are trained, what attention is computed of, and the inner activations; and the narrow activations of LRT
/// and LoRA. A linear that LoRA leaves as it is needs its input for no gradient.
fn pre_norm_layer(config: &Config, arch: Arch) -> u128 {
    let (d, d_ff, d_head) = (config.d_model, config.d_ff, config.d_head());
    let (queries, keys) = (config.n_heads * d_head, config.n_kv_heads() * d_head);
    let ways_in = 1 + usize::from(config.gated_mlp);
    let (products, narrow) = match arch {
        Arch::Lora { rank, targets: LoraTargets::QueryValue, .. } => (d, 2 * rank),
        Arch::Lora { rank, targets: LoraTargets::AllLinear, .. } => (2 * d + queries + d_ff, (5 + ways_in) * rank),
        Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => {
            let rank = |d_in, d_out| arch.rank_of(config, (d_in, d_out)).unwrap_or(0);
            let narrow = 2 * rank(d, queries) + 2 * rank(d, keys) + (1 + ways_in) * rank(d, d_ff);
            (2 * d + queries + d_ff, narrow)
        }
    };
    let qk_norm = if config.details.qk_norm.is_some() { queries + keys } else { 0 };
    // Of one norm for both blocks there is an input less, and of norms after them as well as before there are two more.
    let inputs = match config.norms_per_layer() {
        1 => d,
        4 => 4 * d,
        _ => 2 * d,
    };
    (inputs + queries + 2 * keys + qk_norm + ways_in * d_ff + products + narrow) as u128
}

/// Bytes of the logits that are there at a time. Of a decoder those of a tile, in whose place the gradient follows. Of an encoder those
/// of the masked positions: scores, and where a gradient follows probabilities and that as well.
fn logits(config: &Config, shape: StepShape, dtype: DType, (tiles, is_train): (HeadTiles, bool)) -> u128 {
    let tokens = shape.batch_size * shape.seq_len;
    let width = usize::try_from(dtype.bytes()).unwrap_or(4);
    let rows = match config.family {
        Family::Encoder => shape.batch_size * shape.masked_per_seq * if is_train { 3 } else { 1 },
        Family::Decoder => tiles.rows(tokens, config.vocab_size, width),
    };
    (rows * config.vocab_size * width) as u128
}

/// Bytes of the weights: of f32, beside copies of 16 bits where the step computes in them.
fn weights(config: &Config, arch: Arch, dtype: DType) -> u128 {
    u128::from(count_params(config, arch)) * if dtype.bytes() == 2 { 6 } else { 4 }
}

/// Peak of the train step of such a model: weights, and moments of those that are trained; and the larger of what there is in the head,
/// all activations, logits, and the gradients of the head's weight and input, and of all gradients at the end.
fn peak_of_pre_norm_step(config: &Config, arch: Arch, shape: StepShape, dtype: DType, tiles: HeadTiles) -> u64 {
    let n = shape.batch_size * shape.seq_len;
    let (tokens, d) = (n as u128, config.d_model as u128);
    let (width, trained) = (u128::from(dtype.bytes()), u128::from(trainable_params(config, arch)));
    let is_frozen = matches!(arch, Arch::Lora { .. });
    let of_head = if is_frozen { 0 } else { 4 * d * config.vocab_size as u128 };
    // The embeddings' sum, the last norm's input and output, and the gradient for it. A first layer without a norm keeps none's input.
    let first = u128::from(config.details.first_norm == Some(false));
    let around = tokens * width * d * (3 - first);
    let activations = tokens * width * pre_norm_layer(config, arch) * config.n_layers as u128;
    let in_head = activations + around + of_head + logits(config, shape, dtype, (tiles, true));
    bytes(weights(config, arch, dtype) + 8 * trained + in_head.max(4 * trained))
}

/// The same of its forward pass alone: the weights, and the widest place of a layer or the head.
fn peak_of_pre_norm_pass(config: &Config, arch: Arch, shape: StepShape, dtype: DType, tiles: HeadTiles) -> u64 {
    let n = shape.batch_size * shape.seq_len;
    let d_head = config.d_head();
    let (queries, keys) = (config.n_heads * d_head, config.n_kv_heads() * d_head);
    let block = 2 * config.d_model + (2 + usize::from(config.gated_mlp)) * config.d_ff;
    let attention = 2 * config.d_model + 4 * queries + 3 * keys;
    let width = usize::try_from(dtype.bytes()).unwrap_or(4);
    let in_layer = (n * width * block.max(attention)) as u128;
    let in_head = (n * width * 2 * config.d_model) as u128 + logits(config, shape, dtype, (tiles, false));
    // While a matrix is drawn it is there twice: the embedding comes first, and a head of its own last.
    let matrix = 4 * config.d_model as u128 * config.vocab_size as u128;
    let drawing = if config.is_tied() { 2 * matrix } else { 4 * u128::from(count_params(config, arch)) + matrix };
    bytes((weights(config, arch, dtype) + in_layer.max(in_head)).max(drawing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::bert_base;
    use crate::model::{Details, Norm, Positions};

    /// Peaks that were measured on a CPU with the shapes of BERT-base and fewer layers.
    #[test]
    fn steps_take_the_memory_that_they_were_seen_to_take() {
        let of = |arch: &str, layers: usize, (batch_size, seq_len, masked_per_seq): (usize, usize, usize)| {
            let config = bert_base().with_layers(layers).with_room_for(seq_len);
            let arch: Arch = arch.parse().expect("an architecture");
            (config, arch, StepShape { batch_size, seq_len, masked_per_seq })
        };
        for (arch, layers, shape, measured) in [
            ("dense", 2, (4, 128, 20), 655_450_691.0),
            ("lrt:rank=256", 2, (4, 128, 20), 571_540_779.0),
            ("dense", 2, (1, 512, 77), 651_256_243.0),
            ("dense", 2, (1, 1024, 154), 738_178_447.0),
            ("lrt:rank=256", 2, (1, 1024, 154), 665_834_695.0),
            ("linformer:k=128", 2, (1, 1024, 154), 729_528_583.0),
            ("dense", 2, (1, 2048, 308), 916_528_599.0),
            ("lrt:rank=256", 2, (1, 2048, 308), 856_767_759.0),
            ("linformer:k=128", 2, (1, 2048, 308), 896_868_687.0),
            ("dense", 6, (1, 1024, 154), 1_283_959_731.0),
            ("dense", 12, (4, 128, 20), 1_793_826_127.0),
            ("lrt:rank=256", 12, (1, 512, 77), 1_288_918_575.0),
            ("linformer:k=64,share=none,order=projected", 3, (1, 1024, 154), 989_198_626.0),
            ("lrt:rank=64", 3, (1, 1024, 154), 655_356_652.0),
        ] {
            let (config, arch, shape) = of(arch, layers, shape);
            let ratio = peak_of_train_step(&config, arch, shape, DType::F32, HeadTiles::Cpu) as f64 / measured;
            assert!((0.92..1.02).contains(&ratio), "{arch}, {layers} layers, {shape:?}: {ratio}");
        }
        for (arch, layers, shape, measured) in [
            ("lrt:rank=256", 2, (1, 128, 20), 187_528_086.0),
            ("dense", 4, (1, 512, 77), 238_311_887.0),
            ("dense", 2, (1, 2048, 308), 243_526_607.0),
            ("lrt:rank=256", 2, (1, 2048, 308), 215_220_559.0),
            ("linformer:k=128", 2, (1, 2048, 308), 244_575_463.0),
        ] {
            let (config, arch, shape) = of(arch, layers, shape);
            let ratio = peak_of_forward_pass(&config, arch, shape, DType::F32, HeadTiles::Cpu) as f64 / measured;
            assert!((0.97..1.03).contains(&ratio), "{arch}, {layers} layers, {shape:?}: {ratio}");
        }
    }

    /// Peaks that were measured on a CPU with the shapes of ModernBERT-base and fewer layers.
    #[test]
    fn steps_of_modern_bert_take_the_memory_that_they_were_seen_to_take() {
        for (arch, layers, (batch_size, seq_len, masked_per_seq), is_train, measured) in [
            ("dense", 3, (2, 512, 77), true, 1_036_407_317.0),
            ("lrt:rank=256", 3, (2, 512, 77), true, 987_670_641.0),
            ("dense", 3, (1, 2048, 308), true, 1_259_295_661.0),
            ("dense", 6, (2, 512, 77), true, 1_334_958_419.0),
            ("lora:rank=16,targets=all", 3, (2, 512, 77), true, 420_608_116.0),
            ("dense", 3, (2, 512, 77), false, 309_461_977.0),
            ("dense", 3, (1, 2048, 308), false, 309_461_977.0),
        ] {
            let json = format!(r#"{{"model_type": "modernbert", "num_hidden_layers": {layers}}}"#);
            let (config, _) = crate::model::read_hugging_face(json.as_bytes()).expect("valid");
            let arch: Arch = arch.parse().expect("an architecture");
            let shape = StepShape { batch_size, seq_len, masked_per_seq };
            let of = if is_train { peak_of_train_step } else { peak_of_forward_pass };
            let ratio = of(&config, arch, shape, DType::F32, HeadTiles::Cpu) as f64 / measured;
            assert!((0.97..1.06).contains(&ratio), "{arch}, {layers} layers, {shape:?}, {is_train}: {ratio}");
        }
    }

    fn gpt2(n_layers: usize) -> Config {
        Config {
            family: Family::Decoder,
            n_layers,
            vocab_size: 50257,
            max_seq_len: 1024,
            type_vocab_size: 0,
            ..bert_base()
        }
    }

    /// TinyLlama 1.1B with fewer layers.
    fn tiny_llama(n_layers: usize) -> Config {
        let details = Details {
            n_kv_heads: Some(4),
            norm: Some(Norm::Rms),
            positions: Some(Positions::Rotary),
            biases: Some(Vec::new()),
            tied_head: Some(false),
            ..Details::default()
        };
        let sizes =
            Config { d_model: 2048, n_heads: 32, d_ff: 5632, vocab_size: 32000, gated_mlp: true, ..gpt2(n_layers) };
        Config { details, ..sizes }
    }

    /// Peaks that were measured on an H100 in bf16 and on an H200 in TF32, with 16 x 1024 tokens, when a GPU still had all logits and
    /// their gradient at a time: what a tile leaves of both is taken off.
    #[test]
    fn steps_of_decoders_take_the_memory_that_a_gpu_was_seen_to_take() {
        let details = Details { n_kv_heads: Some(4), ..tiny_llama(12).details };
        let llama = Config { d_model: 768, n_heads: 12, d_ff: 2048, details, ..tiny_llama(12) };
        for (config, arch, dtype, measured) in [
            (gpt2(12), "dense", DType::Bf16, 9.32),
            (gpt2(12), "lora:rank=16,targets=all", DType::Bf16, 8.37),
            (llama.clone(), "dense", DType::Bf16, 7.81),
            (llama, "lora:rank=16,targets=all", DType::Bf16, 6.88),
            (gpt2(12), "dense", DType::Tf32, 16.71),
            (gpt2(12), "lrt:rank=256", DType::Tf32, 17.33),
        ] {
            let shape = StepShape { batch_size: 16, seq_len: 1024, masked_per_seq: 1024 };
            let arch: Arch = arch.parse().expect("an architecture");
            let peak = peak_of_train_step(&config, arch, shape, dtype, HeadTiles::Gpu);
            let width = usize::try_from(dtype.bytes()).expect("few");
            let tile = HeadTiles::Gpu.rows(16 * 1024, config.vocab_size, width);
            let spared = (2 * 16 * 1024 - tile) * config.vocab_size * width;
            let ratio = peak as f64 / (measured * f64::from(1 << 30) - spared as f64);
            assert!((0.9..1.1).contains(&ratio), "{arch}, {} wide: {ratio}", config.d_ff);
        }
    }

    /// Peaks that were measured on a CPU.
    #[test]
    fn steps_of_decoders_take_the_memory_that_they_were_seen_to_take() {
        for (config, arch, (batch_size, seq_len), is_train, measured) in [
            (gpt2(2), "dense", (4, 256), true, 1_066_950_697.0),
            (gpt2(2), "lrt:rank=256", (4, 256), true, 992_511_429.0),
            (gpt2(2), "lora:rank=16,targets=qv", (4, 256), true, 389_472_981.0),
            (gpt2(2), "lora:rank=16,targets=all", (4, 256), true, 431_887_828.0),
            (gpt2(6), "dense", (1, 1024), true, 1_606_445_181.0),
            (tiny_llama(2), "dense", (1, 512), true, 3_513_983_042.0),
            (tiny_llama(2), "lrt:rank=256", (1, 512), true, 2_396_212_789.0),
            (tiny_llama(2), "lora:rank=16,targets=qv", (1, 512), true, 1_038_161_381.0),
            (tiny_llama(2), "lora:rank=16,targets=all", (1, 512), true, 1_089_658_813.0),
            (gpt2(2), "dense", (1, 512), false, 322_462_034.0),
            (tiny_llama(2), "dense", (1, 512), false, 1_139_853_064.0),
        ] {
            let arch: Arch = arch.parse().expect("an architecture");
            let shape = StepShape { batch_size, seq_len, masked_per_seq: seq_len };
            let of = if is_train { peak_of_train_step } else { peak_of_forward_pass };
            let ratio = of(&config, arch, shape, DType::F32, HeadTiles::Cpu) as f64 / measured;
            assert!((0.94..1.01).contains(&ratio), "{arch}, {} wide, {shape:?}, {is_train}: {ratio}", config.d_model);
        }
    }
}
