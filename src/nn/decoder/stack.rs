//! Layers with norms before their blocks or of what these give, and the norm after the last.

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
        let of = |has_window| -> Result<_, NnError> {
            let (rates, factor) = config.rotary_rates(has_window);
            Ok(Some(Arc::new(Angles::new(config.max_seq_len, config.d_head(), (&rates, factor))?)))
        };
        let global = of(false)?;
        let local = if config.theta(true) == config.theta(false) { global.clone() } else { of(true)? };
        Ok(Self([global, local]))
    }

    fn of_layer(&self, config: &Config, layer: usize) -> Option<Arc<Angles>> {
        self.0[usize::from(config.has_window(layer))].clone().filter(|_| config.is_turned(layer))
    }
}

struct Layer {
    attention: Block<Attention>,
    feed: Block<FeedForward>,
    /// Both see the same norm, and stand beside each other.
    are_parallel: bool,
}

/// A block between its norms.
struct Block<T> {
    before: Option<Norm>,
    inner: T,
    /// Of what it gives, before that is added to what went in.
    after: Option<Norm>,
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
        let angles = angles.of_layer(config, index);
        let (before, after) = config.norms_around_blocks();
        let has_first = index > 0 || config.details.first_norm != Some(false);
        let are_parallel = config.norms_per_layer() == 1;
        let norm = |params: &mut Params, of: &str, is_there: bool| {
            is_there.then(|| Norm::new(params, config, &format!("{name}.{of}"))).transpose()
        };
        Ok(Self {
            attention: Block {
                before: norm(params, names.attention_norm, before && has_first)?,
                inner: Attention::new(params, (config, arch), names, &name, (angles, window))?,
                after: norm(params, names.attended_norm, after)?,
            },
            feed: Block {
                before: norm(params, names.feed_norm, before && !are_parallel)?,
                inner: FeedForward::new(params, (config, arch), names, &name)?,
                after: norm(params, names.fed_norm, after)?,
            },
            are_parallel,
        })
    }

    /// # Shapes
    /// x `(B, T, D)`; result as x.
    fn forward(&self, x: &Tensor, of: Sequences<'_>, tape: &Tape, place: u64) -> Result<Tensor, NnError> {
        let pass = tape.pass();
        let normed = normed(self.attention.before.as_ref(), x, tape)?;
        let attended = self.attention.inner.forward(&normed, of, tape, place)?;
        let attended = self::normed(self.attention.after.as_ref(), &attended, tape)?;
        let x = tape.add_dropped(&attended, x, pass.dropout(place + 1))?;
        let normed = if self.are_parallel { normed } else { self::normed(self.feed.before.as_ref(), &x, tape)? };
        let fed = self.feed.inner.forward(&normed, tape)?;
        let fed = self::normed(self.feed.after.as_ref(), &fed, tape)?;
        Ok(tape.add_dropped(&fed, &x, pass.dropout(place + 2))?)
    }
}

/// x by a norm, or as it is.
fn normed(norm: Option<&Norm>, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
    norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x, tape))
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
