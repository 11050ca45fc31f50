//! The stack of post-norm encoder layers (Vaswani et al. 2017; Devlin et al. 2018).

use candle_core::Tensor;

use super::attention::{Attention, Projection};
use super::linear::{LayerNorm, Linear, Make, Weights};
use super::{NnError, Params, Tape};
use crate::model::{Arch, Config};

struct Layer {
    attention: Attention,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Layer {
    fn new(
        params: &mut Params,
        name: &str,
        config: &Config,
        arch: Arch,
        shared: Option<&Projection>,
    ) -> Result<Self, NnError> {
        let (d, d_ff) = (config.d_model, config.d_ff);
        let linear = |params: &mut Params, part: &str, size| {
            let name = format!("{name}.{part}.dense");
            let of = Weights { name: &name, size, has_bias: true, is_transposed: false };
            Linear::new(params, of, Make::of(arch, config, size, false))
        };
        Ok(Self {
            attention: Attention::new(params, &format!("{name}.attention"), config, arch, shared)?,
            attention_norm: LayerNorm::new(params, &format!("{name}.attention.output.LayerNorm"), d)?,
            intermediate: linear(params, "intermediate", (d, d_ff))?,
            output: linear(params, "output", (d_ff, d))?,
            output_norm: LayerNorm::new(params, &format!("{name}.output.LayerNorm"), d)?,
        })
    }

    /// # Shapes
    /// x `(B, T, D)`, mask `(B, T)`; result `(B, T, D)`.
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>, tape: &Tape, place: u64) -> Result<Tensor, NnError> {
        let pass = tape.pass();
        let attended = self.attention.forward(x, mask, tape, place)?;
        let x = self.attention_norm.of_sum(&attended, x, tape, pass.dropout(place + 1))?;
        let inner = tape.gelu(&self.intermediate.forward(&x, tape)?)?;
        let fed = self.output.forward(&inner, tape)?;
        self.output_norm.of_sum(&fed, &x, tape, pass.dropout(place + 2))
    }
}

/// All layers.
pub(super) struct Encoder {
    layers: Vec<Layer>,
}

impl Encoder {
    pub(super) fn new(params: &mut Params, config: &Config, arch: Arch) -> Result<Self, NnError> {
        let shared = Projection::of_model(params, config, arch)?;
        let layers = (0..config.n_layers)
            .map(|i| Layer::new(params, &format!("bert.encoder.layer.{i}"), config, arch, shared.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { layers })
    }

    /// # Shapes
    /// x `(B, T, D)`, mask `(B, T)`; result `(B, T, D)`.
    pub(super) fn forward(&self, x: &Tensor, mask: Option<&Tensor>, tape: &Tape) -> Result<Tensor, NnError> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            // Three masks a layer; the embeddings have the first.
            x = layer.forward(&x, mask, tape, 1 + 3 * i as u64)?;
        }
        Ok(x)
    }
}
