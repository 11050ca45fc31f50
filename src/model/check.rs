//! Which shapes can be.

use super::config::{Config, MAX_EXPERTS, MAX_HEADS, MAX_LAYERS, MAX_ROWS, MAX_WIDTH};
use super::rotary_scaling::{Scaling, ScalingError};
use super::shape::{Positions, Window};

/// A shape that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A dimension is 0 or absurd.
    #[error("`{name}` is {value}: expected {least} to {most}")]
    Dimension {
        /// The field.
        name: &'static str,
        /// What it was.
        value: usize,
        /// The least that it may be.
        least: usize,
        /// The most that it may be.
        most: usize,
    },
    /// The heads do not share the width evenly.
    #[error("`n_heads` is {n_heads} and does not divide `d_model`, {d_model}")]
    Heads {
        /// The heads.
        n_heads: usize,
        /// The width.
        d_model: usize,
    },
    /// The heads of keys do not serve as many heads of queries each.
    #[error("`n_kv_heads` is {n_kv_heads} and does not divide `n_heads`, {n_heads}")]
    KvHeads {
        /// Heads of keys and values.
        n_kv_heads: usize,
        /// Heads of queries.
        n_heads: usize,
    },
    /// Rotary positions turn pairs of elements.
    #[error("heads are {width} wide, and rotary positions turn pairs: expected an even width")]
    OddRotary {
        /// What is turned.
        width: usize,
    },
    /// No angles are slowed so.
    #[error(transparent)]
    Scaling(#[from] ScalingError),
}

impl Config {
    /// Checks that such a model can be.
    ///
    /// # Errors
    /// If a dimension is 0 or absurd, or dimensions do not fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let d = &self.details;
        let dimension = |name, value: Option<usize>, least, most| match value {
            Some(value) if value < least || value > most => Err(ConfigError::Dimension { name, value, least, most }),
            _ => Ok(()),
        };
        for (name, value, most) in [
            ("n_layers", Some(self.n_layers), MAX_LAYERS),
            ("d_model", Some(self.d_model), MAX_WIDTH),
            ("n_heads", Some(self.n_heads), MAX_HEADS),
            ("d_ff", Some(self.d_ff), MAX_WIDTH),
            ("vocab_size", Some(self.vocab_size), MAX_ROWS),
            ("max_seq_len", Some(self.max_seq_len), MAX_ROWS),
            ("n_kv_heads", d.n_kv_heads, MAX_HEADS),
            ("head_dim", d.head_dim, MAX_WIDTH),
            ("d_embedding", d.d_embedding, MAX_WIDTH),
            ("distinct_layers", d.distinct_layers, self.n_layers),
            ("n_positions", d.n_positions, MAX_ROWS),
            ("rows` of `position_scores", d.position_scores.map(|p| p.rows), MAX_WIDTH * 10),
            ("ways` of `position_scores", d.position_scores.map(|p| p.ways), 2),
            ("length` of `sliding_window", d.sliding_window.map(|w| w.length), usize::MAX),
            ("count` of `experts", d.experts.map(|e| e.count), MAX_EXPERTS),
            ("active` of `experts", d.experts.map(|e| e.active), d.experts.map_or(1, |e| e.count.max(1))),
            ("d_ff` of `experts", d.experts.map(|e| e.d_ff), MAX_WIDTH),
            ("q_rank` of `latent", d.latent.and_then(|l| l.q_rank), MAX_WIDTH),
            ("kv_rank` of `latent", d.latent.map(|l| l.kv_rank), MAX_WIDTH),
            ("value` of `latent", d.latent.map(|l| l.value), MAX_WIDTH),
        ] {
            dimension(name, value, 1, most)?;
        }
        let sides = d.extra.iter().flat_map(|e| e.size).max();
        for (name, value, most) in [
            // A decoder has no segments.
            ("type_vocab_size", Some(self.type_vocab_size), MAX_ROWS),
            ("norms_per_layer", d.norms_per_layer, 100),
            ("layers` of `sliding_window", d.sliding_window.map(|w| w.layers), self.n_layers),
            ("layers` of `experts", d.experts.and_then(|e| e.layers), self.n_layers),
            ("shared_d_ff` of `experts", d.experts.map(|e| e.shared_d_ff), MAX_WIDTH * 10),
            ("nope` of `latent", d.latent.map(|l| l.nope), MAX_WIDTH),
            ("rope` of `latent", d.latent.map(|l| l.rope), MAX_WIDTH),
            ("size` of `extra", sides, MAX_ROWS),
            ("times` of `extra", d.extra.iter().map(|e| e.times).max(), MAX_ROWS),
        ] {
            dimension(name, value, 0, most)?;
        }
        if let Some((window, every)) = d.sliding_window.and_then(|w| Some((w, w.global_every?))) {
            dimension("global_every` of `sliding_window", Some(every), 1, MAX_LAYERS)?;
            let layers = Window::layers_but_every(self.n_layers, every);
            dimension("layers` of `sliding_window", Some(window.layers), layers, layers)?;
        }
        if d.head_dim.is_none() && d.latent.is_none() && !self.d_model.is_multiple_of(self.n_heads) {
            return Err(ConfigError::Heads { n_heads: self.n_heads, d_model: self.d_model });
        }
        dimension("d_model` / `n_heads", Some(self.d_head()), 1, MAX_WIDTH)?;
        dimension("width` of `rotary", d.rotary.and_then(|r| r.width), 1, self.d_head())?;
        dimension("unturned_every` of `rotary", d.rotary.and_then(|r| r.unturned_every), 1, MAX_LAYERS)?;
        d.rotary.and_then(|r| r.scaling).map_or(Ok(()), Scaling::check)?;
        if !self.n_heads.is_multiple_of(self.n_kv_heads()) {
            return Err(ConfigError::KvHeads { n_kv_heads: self.n_kv_heads(), n_heads: self.n_heads });
        }
        let turned = d.latent.map_or_else(|| self.d_head(), |l| l.rope);
        if self.positions() == Positions::Rotary && !turned.is_multiple_of(2) {
            return Err(ConfigError::OddRotary { width: turned });
        }
        Ok(())
    }
}
