//! Seconds of a step: the sum over its operators of max(compute, memory) at efficiencies that depend on size, and
//! of what each kernel costs to launch.

use super::figures::DeviceFigures;
use super::parameters::{Effect, Layout, at};
use crate::catalog::{AttentionUse, Software, SoftwareClass};
use crate::model::{
    Arch, AttentionKernel, Config, Execution, Family, Formats, Operator, OperatorKind, StepShape, operators,
    trainable_params,
};
use crate::units::DType;

/// Backward over forward of fused attention, which computes its scores again: 5 products for 2 (Dao et al. 2022).
pub(super) const FUSED_BACKWARD: f64 = 2.5;
/// Bytes that AdamW moves for a parameter: weight, gradient and two moments read, all but the gradient written, f32.
pub(super) const ADAMW_BYTES: f64 = 28.0;

/// What one device computes between two optimizer steps, and what it computes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    operators: Vec<Operator>,
    dtype: DType,
    software: Software,
    /// The part of a softmax over scores that is worked on: fused by hand or compiled, its kernel leaves out what a causal mask
    /// hides (Megatron-LM, `scaled_upper_triang_masked_softmax`).
    softmax: f64,
    grad_checkpointing: bool,
    is_decoder: bool,
    n_params: f64,
}

/// How a program of this software cuts a step into kernels.
pub(in crate::estimate) fn execution(software: Software, formats: Formats) -> Execution {
    Execution {
        attention: match software.attention {
            AttentionUse::Fused => AttentionKernel::Fused,
            AttentionUse::Composed => AttentionKernel::Composed,
        },
        one_by_one: (software.class == SoftwareClass::Eager).then_some(formats),
    }
}

/// Bytes of a number between products, where products have numbers of `width` bytes: what runs one by one is counted in f32.
pub(super) fn width_between(software: Software, width: f64) -> f64 {
    if software.class == SoftwareClass::Eager { 4.0 } else { width }
}

impl Work {
    /// The work of one micro-batch of `shape`.
    #[must_use]
    pub fn new(config: &Config, arch: Arch, shape: StepShape, formats: impl Into<Formats>, software: Software) -> Self {
        let formats = formats.into();
        Self {
            operators: operators(config, arch, shape, execution(software, formats)),
            dtype: formats.dtype,
            software,
            softmax: if config.family == Family::Decoder && software.class != SoftwareClass::Eager { 0.5 } else { 1.0 },
            grad_checkpointing: false,
            is_decoder: config.family == Family::Decoder,
            n_params: trainable_params(config, arch) as f64,
        }
    }
}

impl Work {
    /// The same by a run that computes layers again in the backward pass, or not.
    #[must_use]
    pub fn computing_again(self, grad_checkpointing: bool) -> Self {
        Self { grad_checkpointing, ..self }
    }

    /// The software that does it.
    pub(super) fn software(&self) -> Software {
        self.software
    }

    /// Floating point operations of forward and backward, without any that are computed again.
    pub(in crate::estimate) fn flop(&self) -> f64 {
        self.operators.iter().map(|o| o.train_flop() as f64).sum()
    }
}

/// Classes of work whose times are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Products with weights.
    Gemm,
    /// The skinny products of LRT.
    LowRank,
    /// The projections of a Linformer.
    Projection,
    /// Attention: its products and its softmax.
    Attention,
    /// Layer norms, activations, residuals, embeddings, losses.
    ElementWise,
    /// Launching kernels.
    Launch,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Gemm, Self::LowRank, Self::Projection, Self::Attention, Self::ElementWise, Self::Launch];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gemm => "products with weights",
            Self::LowRank => "skinny low-rank products",
            Self::Projection => "Linformer projections",
            Self::Attention => "attention",
            Self::ElementWise => "element-wise work",
            Self::Launch => "kernel launches",
        }
    }

    fn of(kind: OperatorKind) -> Self {
        match kind {
            OperatorKind::Gemm => Self::Gemm,
            OperatorKind::LowRankGemm => Self::LowRank,
            OperatorKind::Projection => Self::Projection,
            OperatorKind::Attention | OperatorKind::FusedAttention | OperatorKind::Softmax => Self::Attention,
            OperatorKind::LayerNorm
            | OperatorKind::Gelu
            | OperatorKind::Residual
            | OperatorKind::BeforeAttention
            | OperatorKind::Cast
            | OperatorKind::Embedding
            | OperatorKind::CrossEntropy => Self::ElementWise,
        }
    }
}

/// Seconds of forward and backward by class, and of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTime {
    /// By class, in the order of [`Class::ALL`].
    pub by_class: [f64; 6],
    /// AdamW.
    pub optimizer: f64,
}

impl StepTime {
    /// Forward and backward.
    #[must_use]
    pub fn pass(&self) -> f64 {
        self.by_class.iter().sum()
    }

    /// The part of a pass in which the device computes rather than waits for work.
    #[must_use]
    pub fn busy(&self) -> f64 {
        1.0 - self.by_class[5] / self.pass()
    }
}

/// The constants of one device, dtype and software, resolved.
pub(super) struct Rates {
    pub(super) product: f64,
    pub(super) size: f64,
    pub(super) attention: f64,
    pub(super) fused: f64,
    pub(super) bandwidth: f64,
    pub(super) ridge: f64,
    pub(super) softmax: f64,
    pub(super) traffic: f64,
    pub(super) launch: f64,
    /// Whether no product has rows that tensor cores are slow on.
    pub(super) pads: bool,
}

pub(super) fn rates(values: &[f64], layout: &Layout, figures: &DeviceFigures, software: Software) -> Rates {
    let effect = |effect, whose: Option<&str>| {
        whose.and_then(|whose| layout.effect(effect, whose)).map_or(0.0, |place| values[place])
    };
    let design = figures.architecture.as_deref();
    let class = software.class as usize;
    // A part of the peak is one: effects of designs and devices are added to its log-odds.
    let odds = values[at::GEMM] + effect(Effect::Design, design) + effect(Effect::Device, Some(&figures.id));
    let mut ln = -(-odds).exp().ln_1p() - effect(Effect::Vendor, figures.vendor.as_deref());
    if figures.dtype == DType::F32 {
        ln += values[at::VECTOR];
    } else {
        // Dense devices are held back by their power limit, small processes less so.
        let limit = values[at::POWER] + values[at::SHRINK] * figures.ln_shrink + effect(Effect::DesignPower, design);
        ln -= figures.ln_density.map_or(0.0, |density| (density - limit).exp().ln_1p());
        if figures.dtype == DType::Tf32 {
            ln += values[at::TF32];
        }
    }
    let product = figures.peak * ln.exp().min(1.0);
    let of_attention = effect(Effect::DesignAttention, design);
    Rates {
        product,
        size: values[at::SIZE].exp(),
        attention: product * (values[at::ATTENTION] + of_attention).exp(),
        fused: product * (values[at::FUSED] + of_attention).exp() / fused_products(figures.dtype),
        bandwidth: figures.bandwidth * values[at::MEMORY].exp(),
        ridge: figures.peak / figures.bandwidth,
        // What stock PyTorch moves is counted, softmax with the rest.
        softmax: values[if software.class == SoftwareClass::Eager { at::TRAFFIC } else { at::SOFTMAX }].exp(),
        traffic: values[at::TRAFFIC + class].exp(),
        launch: values[at::LAUNCH + class].exp(),
        pads: software.class != SoftwareClass::Eager || figures.dtype == DType::F32,
    }
}

/// Products that fused attention takes for each: FlashAttention has 16 bits alone, and what PyTorch runs in its place in f32 and TF32
/// makes each of three in TF32 (CUTLASS, `OpMultiplyAddFastF32`). Those of f32 are counted at the rate outside tensor cores.
fn fused_products(dtype: DType) -> f64 {
    if dtype == DType::Tf32 { 3.0 } else { 1.0 }
}

/// How much longer a product takes on tensor cores whose rows do not begin at multiples of 16 bytes (NVIDIA, "Matrix multiplication
/// background user's guide"). Padding GPT-2's vocabulary from 50257 to 50304 made the whole step of nanoGPT a quarter faster, and its
/// last product is about a quarter of it. Compilers and programs made for speed pad by themselves.
const UNALIGNED: f64 = 2.0;

/// Whether rows of a product of numbers of `width` bytes begin at multiples of 16 bytes.
fn is_aligned(operator: &Operator, width: f64) -> bool {
    [operator.n, operator.k].iter().all(|side| (*side as f64 * width / 16.0).fract() == 0.0)
}

/// Seconds of one run of a product with a weight: the lower its FLOPs per byte, the lower its efficiency.
pub(super) fn product_s(operator: &Operator, width: f64, rates: &Rates) -> f64 {
    let flop = 2.0 * operator.products as f64 * operator.m as f64 * operator.n as f64 * operator.k as f64;
    let bytes = operator.elements as f64 * width;
    let efficiency = 1.0 / (1.0 + rates.size * rates.ridge * bytes / flop.max(1.0));
    let padding = if rates.pads || is_aligned(operator, width) { 1.0 } else { UNALIGNED };
    (padding * flop / (rates.product * efficiency)).max(bytes / rates.bandwidth)
}

/// Seconds of one run forward, and forward and backward; numbers have `width` bytes in products and `between` them another.
fn run_s(operator: &Operator, (width, between): (f64, f64), rates: &Rates) -> (f64, f64) {
    let flop = 2.0 * operator.products as f64 * operator.m as f64 * operator.n as f64 * operator.k as f64;
    let bytes = operator.elements as f64 * width;
    match operator.kind {
        OperatorKind::Gemm | OperatorKind::LowRankGemm | OperatorKind::Projection => {
            let forward = product_s(operator, width, rates);
            let backward: f64 = operator.gradients().iter().map(|gradient| product_s(gradient, width, rates)).sum();
            (forward, forward + backward)
        }
        OperatorKind::Attention => {
            let forward = (flop / rates.attention).max(bytes / rates.bandwidth);
            (forward, 3.0 * forward)
        }
        OperatorKind::FusedAttention => {
            let forward = (flop / rates.fused).max(bytes / rates.bandwidth);
            (forward, (1.0 + FUSED_BACKWARD) * forward)
        }
        OperatorKind::Softmax => between_s(operator, between * rates.softmax / rates.bandwidth),
        OperatorKind::LayerNorm
        | OperatorKind::Gelu
        | OperatorKind::Residual
        | OperatorKind::BeforeAttention
        | OperatorKind::Cast
        | OperatorKind::Embedding
        | OperatorKind::CrossEntropy => between_s(operator, between * rates.traffic / rates.bandwidth),
    }
}

/// Seconds of one run forward, and forward and backward, of what only reads and writes, at so many seconds a number.
pub(super) fn between_s(operator: &Operator, seconds: f64) -> (f64, f64) {
    (operator.elements as f64 * seconds, operator.train_elements() as f64 * seconds)
}

/// Seconds of `work` on a device, by the constants `values`.
pub(super) fn step_time(values: &[f64], layout: &Layout, figures: &DeviceFigures, work: &Work) -> StepTime {
    let rates = rates(values, layout, figures, work.software);
    let width = work.dtype.bytes() as f64;
    let between = width_between(work.software, width);
    let mut by_class = [0.0; 6];
    for operator in &work.operators {
        let count = operator.count as f64;
        by_class[Class::Launch as usize] += operator.kernels as f64 * count * rates.launch;
        let own = if operator.kind == OperatorKind::Softmax { work.softmax } else { 1.0 };
        let (forward, train) = run_s(operator, (width, between * own), &rates);
        let seconds = if work.grad_checkpointing { train + forward } else { train };
        by_class[Class::of(operator.kind) as usize] += count * seconds;
    }
    let is_modern = work.software.attention == AttentionUse::Fused || work.is_decoder;
    let modern = if is_modern { values[at::MODERN] } else { 0.0 };
    let whole = (values[at::PASS + work.software.class as usize] + modern).exp();
    let queued = std::mem::take(&mut by_class[Class::Launch as usize]);
    by_class.iter_mut().for_each(|s| *s *= whole);
    // The program queues kernels while the device computes those before, so that only what it is too slow for adds: between the
    // longer of both and their sum.
    let computed: f64 = by_class.iter().sum();
    by_class[Class::Launch as usize] = (computed.powi(3) + queued.powi(3)).cbrt() - computed;
    StepTime { by_class, optimizer: ADAMW_BYTES * work.n_params / rates.bandwidth }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Device};
    use crate::estimate::steps::model::Efficiency;
    use crate::record::Workload;

    fn seconds(class: SoftwareClass, dtype: DType, change: impl Fn(&mut Config)) -> StepTime {
        let catalog = Catalog::default();
        let workload: Workload = catalog.load("gpt2").expect("in the catalog");
        let device: Device = catalog.load("h100-sxm5-80gb").expect("in the catalog");
        let mut config = workload.model;
        change(&mut config);
        let software = Software { class, attention: AttentionUse::Fused };
        let shape = StepShape { batch_size: 16, seq_len: 1024, masked_per_seq: 1024 };
        let figures = DeviceFigures::of(&device, dtype).expect("it has the figures");
        Efficiency::embedded().step(&figures, &Work::new(&config, Arch::Dense, shape, dtype, software))
    }

    #[test]
    fn stock_software_pays_for_a_vocabulary_that_is_no_multiple_of_eight() {
        let gain = |class, dtype| {
            let of = |words| seconds(class, dtype, |config| config.vocab_size = words).by_class[Class::Gemm as usize];
            of(50_257) / of(50_304)
        };
        // 38.6 of 124 million weights are the head's.
        let twice = gain(SoftwareClass::Eager, DType::Bf16);
        assert!((1.25..1.4).contains(&twice), "{twice}");
        assert!((gain(SoftwareClass::Eager, DType::F32) - 1.0).abs() < 0.01);
        assert!((gain(SoftwareClass::Compiled, DType::Bf16) - 1.0).abs() < 0.01);
    }

    #[test]
    fn operations_one_by_one_take_longer_than_kernels_that_join_them() {
        let gelu = |activation: &str| {
            let time = seconds(SoftwareClass::Eager, DType::Bf16, |config| {
                config.details.activation = Some(activation.to_owned());
            });
            time.by_class[Class::ElementWise as usize]
        };
        // GPT-2's activation as transformers has it: 182 bytes a number in place of 10, of 973 and 285 of a layer's width.
        let ratio = gelu("gelu_new") / gelu("gelu_pytorch_tanh");
        assert!((1.7..2.6).contains(&ratio), "{ratio}");
    }

    #[test]
    fn fused_attention_in_tf32_makes_three_products_of_each() {
        let of = |dtype| seconds(SoftwareClass::Eager, dtype, |_| ()).by_class[Class::Attention as usize];
        let ratio = of(DType::Tf32) / of(DType::Bf16);
        // Half of the peak, and three products.
        assert!((4.5..8.0).contains(&ratio), "{ratio}");
    }
}
