//! Self-attention of what has its norms before its blocks, causal or not, also with fewer heads of keys than of queries.

use std::sync::Arc;

use candle_core::Tensor;

use super::names::Names;
use super::norm::Norm;
use crate::model::{Arch, Bias, Config, Family, QkNorm};
use crate::nn::linear::{Group, Linear, Make, Weights};
use crate::nn::ops::{Angles, Heads, Sequences, Sight};
use crate::nn::{NnError, Params, Tape};

/// Attention with its output linear, without the norm before and the residual after it.
pub(super) struct Attention {
    qkv: Group,
    /// Norms of queries and keys, and the width that they have.
    qk_norm: Option<([Norm; 2], QkNorm)>,
    angles: Option<Arc<Angles>>,
    output: Linear,
    n_heads: usize,
    n_kv_heads: usize,
    d_head: usize,
    sight: Sight,
}

impl Attention {
    pub(super) fn new(
        params: &mut Params,
        (config, arch): (&Config, Arch),
        names: &Names,
        layer: &str,
        (angles, window): (Option<Arc<Angles>>, Option<usize>),
    ) -> Result<Self, NnError> {
        let (d, d_head) = (config.d_model, config.d_head());
        let (queries, keys) = (config.n_heads * d_head, config.n_kv_heads() * d_head);
        let outputs = [queries, keys, keys];
        let is_transposed = names.is_transposed;
        let has_bias = config.has_bias(Bias::Qkv);
        let name = format!("{layer}.{}", names.fused_qkv);
        // Factorised, each has two matrices of its own.
        let qkv = if config.details.fused_qkv && arch.rank().is_none() && !params.is_apart(&name) {
            let size = (d, outputs.iter().sum());
            let of = Weights { name: &name, size, has_bias, is_transposed };
            let linear = Linear::new(params, of, Make::of(arch, config, size, true))?;
            Group::Fused { linear, outputs: outputs.to_vec() }
        } else {
            let linears = outputs.into_iter().zip(names.qkv).enumerate().map(|(i, (d_out, part))| {
                let name = format!("{layer}.{part}");
                let of = Weights { name: &name, size: (d, d_out), has_bias, is_transposed };
                Linear::new(params, of, Make::of(arch, config, (d, d_out), i != 1))
            });
            Group::Separate(linears.collect::<Result<_, _>>()?)
        };
        let qk_norm = match config.details.qk_norm {
            None => None,
            Some(of) => {
                let [q_width, k_width] = if of == QkNorm::Head { [d_head; 2] } else { [queries, keys] };
                let mut norm =
                    |part: &str, width| Norm::of_width(params, config, &format!("{layer}.self_attn.{part}"), width);
                Some(([norm("q_norm", q_width)?, norm("k_norm", k_width)?], of))
            }
        };
        let name = format!("{layer}.{}", names.output);
        let size = (queries, d);
        let of = Weights { name: &name, size, has_bias: config.has_bias(Bias::Output), is_transposed };
        let output = Linear::new(params, of, Make::of(arch, config, size, false))?;
        let (n_heads, n_kv_heads) = (config.n_heads, config.n_kv_heads());
        let sight = match (config.family, window) {
            (Family::Decoder, window) => Sight::Causal { window },
            (Family::Encoder, None) => Sight::All,
            // Its own token, and half of the rest to each side.
            (Family::Encoder, Some(window)) => Sight::Near { reach: window.saturating_sub(1) / 2 },
        };
        Ok(Self { qkv, qk_norm, angles, output, n_heads, n_kv_heads, d_head, sight })
    }

    /// # Shapes
    /// x `(B, T, D)`; result as x.
    pub(super) fn forward(&self, x: &Tensor, of: Sequences<'_>, tape: &Tape, place: u64) -> Result<Tensor, NnError> {
        let mut qkv = self.qkv.forward(x, tape)?;
        if let Some((norms, of)) = &self.qk_norm {
            for (x, norm) in qkv.iter_mut().zip(norms) {
                *x = self.normed(x, norm, *of, tape)?;
            }
        }
        let of = Sequences { angles: self.angles.as_ref(), ..of };
        let dropout = tape.pass().dropout(place);
        let heads = Heads { n_heads: self.n_heads, n_kv_heads: self.n_kv_heads, sight: self.sight, dropout };
        self.output.forward(&tape.attention(&qkv[0], &qkv[1], &qkv[2], of, heads)?, tape)
    }

    fn normed(&self, x: &Tensor, norm: &Norm, of: QkNorm, tape: &Tape) -> Result<Tensor, NnError> {
        if of == QkNorm::Width {
            return norm.forward(x, tape);
        }
        let (b, t, width) = x.dims3()?;
        let by_head = tape.reshape(x, &[b, t, width / self.d_head, self.d_head])?;
        Ok(tape.reshape(&norm.forward(&by_head, tape)?, &[b, t, width])?)
    }
}
