//! Layers with norms before their blocks, and the norm after the last.

use std::sync::Arc;

use candle_core::Tensor;

use super::attention::Attention;
use super::feed_forward::FeedForward;
use super::names::Names;
use super::norm::Norm;
use crate::model::{Arch, Config, Positions};
use crate::nn::ops::{Angles, Sequences};
use crate::nn::{NnError, Params, Tape};

/// The rotary angles of layers without a window, and of those with one.
struct LayerAngles([Option<Arc<Angles>>; 2]);

impl LayerAngles {
    /// Those of a model; none where its positions are not rotary.
    fn of(config: &Config) -> Result<Self, NnError> {
        if config.positions() != Positions::Rotary {
            return Ok(Self([None, None]));
        }
        let of = |theta| -> Result<_, NnError> {
            let heads = (config.d_head(), config.rotary_width());
            Ok(Some(Arc::new(Angles::of_part(config.max_seq_len, heads, theta)?)))
        };
        let global = of(config.theta(false))?;
        let local = if config.theta(true) == config.theta(false) { global.clone() } else { of(config.theta(true))? };
        Ok(Self([global, local]))
    }

    fn of_layer(&self, has_window: bool) -> Option<Arc<Angles>> {
        self.0[usize::from(has_window)].clone()
    }
}

struct Layer {
    /// None where the first layer has none.
    attention_norm: Option<Norm>,
    attention: Attention,
    /// None where both blocks see the same norm, and stand beside each other.
    feed_norm: Option<Norm>,
    feed: FeedForward,
}

impl Layer {
    fn new(
        params: &mut Params,
        (config, arch): (&Config, Arch),
        names: &Names,
        angles: &LayerAngles,
        index: usize,
    ) -> Result<Self, NnError> {
        let name = names.layer(index);
        let window = config.windowed().filter(|_| config.has_window(index)).map(|window| window.length);
        let angles = angles.of_layer(window.is_some());
        let has_attention_norm = index > 0 || config.details.first_norm != Some(false);
        let has_feed_norm = config.norms_per_layer() > 1;
        Ok(Self {
            attention_norm: has_attention_norm
                .then(|| Norm::new(params, config, &format!("{name}.{}", names.attention_norm)))
                .transpose()?,
            attention: Attention::new(params, (config, arch), names, &name, (angles, window))?,
            feed_norm: has_feed_norm
                .then(|| Norm::new(params, config, &format!("{name}.{}", names.feed_norm)))
                .transpose()?,
            feed: FeedForward::new(params, (config, arch), names, &name)?,
        })
    }

    /// # Shapes
    /// x `(B, T, D)`; result as x.
    fn forward(&self, x: &Tensor, of: Sequences<'_>, tape: &Tape, place: u64) -> Result<Tensor, NnError> {
        let pass = tape.pass();
        let normed = match &self.attention_norm {
            Some(norm) => norm.forward(x, tape)?,
            None => x.clone(),
        };
        let attended = self.attention.forward(&normed, of, tape, place)?;
        let x = tape.add_dropped(&attended, x, pass.dropout(place + 1))?;
        let normed = match &self.feed_norm {
            Some(norm) => norm.forward(&x, tape)?,
            None => normed,
        };
        let fed = self.feed.forward(&normed, tape)?;
        Ok(tape.add_dropped(&fed, &x, pass.dropout(place + 2))?)
    }
}

/// All layers, and the norm after the last.
pub(in crate::nn) struct Stack {
    layers: Vec<Layer>,
    norm: Option<Norm>,
}

impl Stack {
    pub(in crate::nn) fn new(p: &mut Params, (config, arch): (&Config, Arch), names: &Names) -> Result<Self, NnError> {
        let angles = LayerAngles::of(config)?;
        let layers = (0..config.n_layers).map(|i| Layer::new(p, (config, arch), names, &angles, i));
        let layers = layers.collect::<Result<_, _>>()?;
        let norm = config.has_final_norm().then(|| Norm::new(p, config, names.final_norm)).transpose()?;
        Ok(Self { layers, norm })
    }

    /// # Shapes
    /// x `(B, T, D)`; result as x.
    pub(in crate::nn) fn forward(&self, x: &Tensor, of: Sequences<'_>, tape: &Tape) -> Result<Tensor, NnError> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            // Three masks a layer; the embeddings have the first.
            x = layer.forward(&x, of, tape, 1 + 3 * i as u64)?;
        }
        match &self.norm {
            Some(norm) => norm.forward(&x, tape),
            None => Ok(x),
        }
    }
}
