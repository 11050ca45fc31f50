//! Memory of the devices of a layout, by stage and by part.

use super::shard::{Parts, expert_parameters, layers_of, parameters_of, shard};
use crate::catalog::AttentionUse;
use crate::estimate::request::layout::{Layout, Recompute};
use crate::model::{Arch, Config, Saving, StepShape, embedding_bytes, trainable_params, training_memory_with};
use crate::units::{DType, States};

/// Bytes of a device of one stage. Modelled, not measured.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StageMemory {
    /// Weights in the format of the run.
    pub weights: f64,
    /// Gradients in the same format.
    pub gradients: f64,
    /// AdamW: two moments, and f32 weights beside those of 16 bits, unless these are all there is.
    pub optimizer: f64,
    /// What forward passes keep for backward passes, of all micro-batches in flight.
    pub activations: f64,
    /// Logits of a micro-batch and their gradient, in f32.
    pub logits: f64,
    /// What is gathered, sent and received.
    pub workspace: f64,
}

impl StageMemory {
    /// All parts together.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.workspace
    }

    /// The parts with their names, the largest first.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, f64); 6] {
        let mut parts = [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer states", self.optimizer),
            ("activations", self.activations),
            ("logits", self.logits),
            ("workspace", self.workspace),
        ];
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        parts
    }
}

/// Bytes as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sum of sizes, and the largest number beyond all"
)]
pub(in crate::estimate) fn whole_bytes(bytes: f64) -> u64 {
    bytes as u64
}

/// What is trained, for its memory.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The model.
    pub model: &'a Config,
    /// Its architecture.
    pub arch: Arch,
    /// Number format.
    pub dtype: DType,
    /// How attention is computed.
    pub attention: AttentionUse,
    /// In which formats weights, gradients and moments are.
    pub states: States,
}

/// Bytes that one layer keeps of a micro-batch of `shape` on each device of a tensor group (Korthikanti et al. 2022, arXiv
/// 2205.05198, table 2), for 16-bit activations of `s b d` elements:
///
/// - `s b d (10 + 24 / t + 5 a s / (d t))`, and `s b d / t (34 + 5 a s / d)` with sequence parallelism;
/// - without the `5 a s / d` where it is computed again, or attention is fused and never writes its scores;
/// - `2 s b d`, a layer's input, where all is computed again; a `t`-th of it with sequence parallelism, which keeps inputs as it
///   computes them.
#[must_use]
pub fn layer_activations(held: &Held<'_>, layout: &Layout, shape: StepShape, recompute: Recompute) -> f64 {
    let (d, width) = (held.model.d_model as f64, held.dtype.bytes() as f64);
    let tokens = (shape.batch_size * shape.seq_len) as f64;
    let part = if layout.sequence_parallel { 1.0 / f64::from(layout.tp) } else { 1.0 };
    if recompute == Recompute::Full {
        return part * tokens * d * width;
    }
    // With the tokens shared out, a device keeps a `t`-th of what one alone would.
    let (config, part) =
        if layout.sequence_parallel { (held.model.clone(), part) } else { (shard(held.model, layout.tp), 1.0) };
    let saving = Saving {
        fused_attention: held.attention == AttentionUse::Fused || recompute == Recompute::Selective,
        ..Saving::default()
    };
    let all = training_memory_with(&config, held.arch, shape, held.dtype, saving).activations as f64;
    let embeddings = tokens * embedding_bytes(held.model, held.dtype.bytes().into()) as f64;
    part * (all - embeddings) / held.model.n_layers.max(1) as f64
}

/// Of how many layers stage `i` keeps the activations at once, when `micro_batches` go through `layout`, one forward, one
/// backward: `pp - i` micro-batches; interleaved in `v` pieces, those of `2 (pp - i - 1) + (v - 1) pp + 1` pieces, which on the first
/// stage is `1 + (pp - 1) / (pp v)` of all layers (Narayanan et al. 2021; Korthikanti et al. 2022, section 4.2.3).
#[must_use]
pub fn layers_in_flight(layers: f64, layout: &Layout, stage: usize, micro_batches: usize) -> f64 {
    let behind = (layout.pp as usize).saturating_sub(stage + 1);
    let pieces = layout.interleave as usize;
    if pieces == 1 {
        return layers * micro_batches.min(behind + 1) as f64;
    }
    let warm = 2 * behind + (pieces - 1) * layout.pp as usize + 1;
    layers / pieces as f64 * warm.min(micro_batches * pieces) as f64
}

/// What stages take that depends on the layout's shards alone: worked out once for many layouts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Parameters that are held.
    params: Parts<f64>,
    /// Of these, those that are trained.
    trained: Parts<f64>,
    /// Of a layer's, those of its experts, and of these those that are trained.
    experts: f64,
    trained_experts: f64,
    kept: f64,
    whole: f64,
}

impl Sizes {
    /// Of micro-batches of `shape`.
    #[must_use]
    pub fn of(held: &Held<'_>, layout: &Layout, shape: StepShape) -> Self {
        let shard = shard(held.model, layout.tp);
        let mut params = parameters_of(&shard, held.arch, layout.pp);
        let experts = expert_parameters(&shard, held.arch);
        let trained_experts = if matches!(held.arch, Arch::Lora { .. }) { 0.0 } else { experts };
        let trained = match held.arch {
            // Beside each layer stand its pairs of small matrices, and nothing else is trained.
            Arch::Lora { .. } => {
                let layers = held.model.n_layers.max(1) as f64;
                let pairs = trainable_params(held.model, held.arch) as f64 / layers;
                params.layer += pairs;
                Parts { layer: pairs, ..Parts::default() }
            }
            Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => params,
        };
        let kept = layer_activations(held, layout, shape, layout.recompute);
        let whole = layer_activations(held, layout, shape, Recompute::None);
        Self { params, trained, experts, trained_experts, kept, whole }
    }

    /// Parameters that a device of stage `i` with `layers` holds, where nothing is shared among replicas.
    #[must_use]
    pub fn params(&self, layers: usize, stage: usize, layout: &Layout) -> DeviceParams {
        DeviceParams::of(of_stage(&self.params, layers, stage, layout.pp), layers as f64 * self.experts, layout)
    }

    /// Of these, those that are trained.
    #[must_use]
    pub fn trained(&self, layers: usize, stage: usize, layout: &Layout) -> DeviceParams {
        DeviceParams::of(
            of_stage(&self.trained, layers, stage, layout.pp),
            layers as f64 * self.trained_experts,
            layout,
        )
    }
}

/// Parameters of a device: those that all of its replicas hold, and its part of the experts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DeviceParams {
    /// What each of `dp x cp` devices holds.
    pub replicated: f64,
    /// Of the experts, the `ep`-th part that it holds.
    pub experts: f64,
}

impl DeviceParams {
    /// Of `all`, of which `experts` are those of experts.
    fn of(all: f64, experts: f64, layout: &Layout) -> Self {
        Self { replicated: all - experts, experts: experts / f64::from(layout.ep) }
    }

    /// What it holds.
    #[must_use]
    pub fn held(self) -> f64 {
        self.replicated + self.experts
    }

    /// What it holds where replicas share it, too: a part of experts has fewer replicas, `dp x cp / ep`.
    #[must_use]
    pub fn sharded(self, layout: &Layout) -> f64 {
        (self.replicated + self.experts * f64::from(layout.ep)) / f64::from(layout.replicas())
    }
}

/// Of a stage that has `layers`: what is before them is on the first, and what is after them on the last.
fn of_stage(parts: &Parts<f64>, layers: usize, stage: usize, stages: u32) -> f64 {
    let before = if stage == 0 { parts.before } else { 0.0 };
    let after = if stage + 1 == stages as usize { parts.after } else { 0.0 };
    before + layers as f64 * parts.layer + after
}

/// Bytes of a device of each stage.
///
/// A parameter that is trained takes 16 bytes with AdamW: in 16 bits 2 of weight, 2 of gradient and 12 of f32 weight and moments (Rajbhandari et
/// al. 2020, section 3.1), in f32 4, 4 and 8. One that is not has its weight alone. ZeRO shares the last,
/// the last two, or all of them over `dp x cp` devices; with all, two layers' weights are gathered at a time.
#[must_use]
pub fn stages(held: &Held<'_>, layout: &Layout, shape: StepShape, micro_batches: usize) -> Vec<StageMemory> {
    of_sizes(held, layout, shape, micro_batches, &Sizes::of(held, layout, shape))
}

/// The same, where the sizes are known.
#[must_use]
pub(super) fn of_sizes(
    held: &Held<'_>,
    layout: &Layout,
    shape: StepShape,
    micro_batches: usize,
    sizes: &Sizes,
) -> Vec<StageMemory> {
    let width = held.dtype.bytes() as f64;
    let is_apart = held.states.weight_bytes(held.dtype.bytes()) > held.dtype.bytes();
    let copies = if is_apart { 4.0 } else { 0.0 };
    let of_optimizer = copies + held.states.moment_bytes(held.dtype.bytes(), false);
    let tp = f64::from(layout.tp);
    let tokens = (shape.batch_size * shape.seq_len) as f64;
    let part = if layout.sequence_parallel { 1.0 / tp } else { 1.0 };
    let elements = tokens * held.model.d_model as f64 * part;
    // Stages of a pipeline add gradients up whole, and share them out after the last micro-batch.
    let sharing_gradients = if layout.pp == 1 { 2 } else { 3 };
    let on_device = |of: DeviceParams, stage: u8| if layout.zero >= stage { of.sharded(layout) } else { of.held() };
    let layers = layers_of(held.model.n_layers, layout.pp);
    let of = |(i, &layers): (usize, &usize)| {
        let (is_first, is_last) = (i == 0, i + 1 == layout.pp as usize);
        let params = sizes.params(layers, i, layout);
        let trained = sizes.trained(layers, i, layout);
        let in_flight = layers_in_flight(1.0, layout, i, micro_batches);
        // The layer whose backward pass is on is there whole.
        let again = if layout.recompute == Recompute::None { 0.0 } else { sizes.whole - sizes.kept };
        // A mask of dropout after the embeddings; inputs of the last norm and of the head.
        let before = if is_first { elements * in_flight } else { 0.0 };
        let after = if is_last { 2.0 * width * elements } else { 0.0 };
        let losses = (shape.batch_size * shape.masked_per_seq) as f64;
        let vocabulary = held.model.vocab_size.div_ceil(layout.tp as usize) as f64;
        let layer = DeviceParams::of(sizes.params.layer, sizes.experts, layout).held();
        let gathered = if layout.zero == 3 { 2.0 * width * layer } else { 0.0 };
        let between = if layout.pp > 1 { 2.0 * width * elements } else { 0.0 };
        StageMemory {
            weights: width * on_device(params, 3),
            gradients: width * on_device(trained, sharing_gradients),
            optimizer: of_optimizer * on_device(trained, 1),
            activations: layers_in_flight(layers as f64, layout, i, micro_batches) * sizes.kept
                + again
                + before
                + after,
            logits: if is_last { 8.0 * losses * vocabulary } else { 0.0 },
            workspace: gathered + between,
        }
    };
    layers.iter().enumerate().map(of).collect()
}
