//! The feed-forward block, with a gate or without.

use candle_core::Tensor;

use super::names::Names;
use crate::model::{Arch, Bias, Config, Family};
use crate::nn::linear::{Group, Linear, Make, Weights};
use crate::nn::ops::Activation;
use crate::nn::{NnError, Params, Tape};

/// One linear in, or two of which one is a gate, and one out.
pub(super) struct FeedForward {
    inner: Group,
    activation: Activation,
    output: Linear,
}

/// The activation by Hugging Face's name; where none is said, GELU in an encoder, in a decoder SiLU if its block is gated and GPT-2's
/// GELU otherwise.
fn activation(config: &Config) -> Activation {
    match config.details.activation.as_deref() {
        Some("gelu") => Activation::Gelu,
        Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_tanh" | "quick_gelu") => Activation::GeluTanh,
        Some("relu" | "relu2") => Activation::Relu,
        Some("silu" | "swish") => Activation::Silu,
        Some("tanh") => Activation::Tanh,
        _ if config.family == Family::Encoder => Activation::Gelu,
        _ if config.gated_mlp => Activation::Silu,
        _ => Activation::GeluTanh,
    }
}

impl FeedForward {
    pub(super) fn new(
        params: &mut Params,
        (config, arch): (&Config, Arch),
        names: &Names,
        layer: &str,
    ) -> Result<Self, NnError> {
        let (d, d_ff) = (config.d_model, config.d_ff);
        let (has_bias, is_transposed) = (config.has_bias(Bias::Mlp), names.is_transposed);
        let of = |params: &mut Params, part: &str, size: (usize, usize)| {
            let name = format!("{layer}.{part}");
            let of = Weights { name: &name, size, has_bias, is_transposed };
            Linear::new(params, of, Make::of(arch, config, size, false))
        };
        let is_apart = arch.rank().is_some() || params.is_apart(&format!("{layer}.{}", names.fused_gate));
        let inner = if config.gated_mlp && config.details.fused_gate && !is_apart {
            let linear = of(params, names.fused_gate, (d, 2 * d_ff))?;
            Group::Fused { linear, outputs: vec![d_ff; 2] }
        } else {
            let parts = if config.gated_mlp { &[names.gate, names.up][..] } else { &[names.up] };
            Group::Separate(parts.iter().map(|part| of(params, part, (d, d_ff))).collect::<Result<_, _>>()?)
        };
        let output = of(params, names.down, (d_ff, d))?;
        Ok(Self { inner, activation: activation(config), output })
    }

    /// # Shapes
    /// x `(B, T, D)`; result as x.
    pub(super) fn forward(&self, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        let inner = match self.inner.forward(x, tape)?.as_slice() {
            [gate, up] => tape.gate(gate, up, self.activation)?,
            [inner, ..] => tape.activation(inner, self.activation)?,
            [] => x.clone(),
        };
        self.output.forward(&inner, tape)
    }
}
