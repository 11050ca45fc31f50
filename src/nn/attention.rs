//! Self-attention over all tokens, or over a Linformer's shortened keys and values.

use candle_core::{D, Tensor};

use super::linear::{Linear, Make, Weights};
use super::masked::scores_of_padding;
use super::ops::{Heads, Sequences};
use super::params::Init;
use super::{NnError, Params, Tape};
use crate::model::{Arch, Config, Order, Share};

/// The matrices that shorten keys (E) and values (F).
#[derive(Clone)]
pub(super) struct Projection {
    /// `(k, max_seq_len)`, or `(n_heads, k, max_seq_len)` if each head has its own.
    e: Tensor,
    /// As `e`; `None` where values share E.
    f: Option<Tensor>,
    order: Order,
}

impl Projection {
    /// The matrix that the whole model shares, if the architecture shares one.
    pub(super) fn of_model(params: &mut Params, config: &Config, arch: Arch) -> Result<Option<Self>, NnError> {
        match arch {
            Arch::Linformer { k, share: Share::Model, order } => {
                let e = create(params, "bert.encoder.linformer.e", &[k, config.max_seq_len])?;
                Ok(Some(Self { e, f: None, order }))
            }
            _ => Ok(None),
        }
    }

    /// The matrices of one layer, if it has its own.
    fn of_layer(params: &mut Params, name: &str, config: &Config, arch: Arch) -> Result<Option<Self>, NnError> {
        let Arch::Linformer { k, share, order } = arch else { return Ok(None) };
        let (heads, matrices) = match share {
            Share::Model => return Ok(None),
            Share::Kv => (None, 1),
            Share::Layer => (None, 2),
            Share::None => (Some(config.n_heads), 2),
        };
        let shape: Vec<usize> = heads.into_iter().chain([k, config.max_seq_len]).collect();
        let e = create(params, &format!("{name}.linformer.e"), &shape)?;
        let f = if matrices == 2 { Some(create(params, &format!("{name}.linformer.f"), &shape)?) } else { None };
        Ok(Some(Self { e, f, order }))
    }
}

/// Normal with variance 1/k, as Johnson-Lindenstrauss has it (Wang et al. 2020, theorem 1).
fn create(params: &mut Params, name: &str, shape: &[usize]) -> Result<Tensor, NnError> {
    #[expect(clippy::cast_possible_truncation, reason = "a standard deviation")]
    let std = (1.0 / (shape[shape.len() - 2] as f64).sqrt()) as f32;
    params.create(name, shape, Init::NormalStd(std))
}

/// Multi-head self-attention with its output linear, without dropout and residual after it.
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    projection: Option<Projection>,
    n_heads: usize,
}

impl Attention {
    pub(super) fn new(
        params: &mut Params,
        name: &str,
        config: &Config,
        arch: Arch,
        shared: Option<&Projection>,
    ) -> Result<Self, NnError> {
        let d = config.d_model;
        let mut linear = |part: &str| {
            let (name, is_query_or_value) = (format!("{name}.{part}"), matches!(part, "self.query" | "self.value"));
            let of = Weights { name: &name, size: (d, d), has_bias: true, is_transposed: false };
            Linear::new(params, of, Make::of(arch, config, (d, d), is_query_or_value))
        };
        let (query, key, value) = (linear("self.query")?, linear("self.key")?, linear("self.value")?);
        let output = linear("output.dense")?;
        let own = Projection::of_layer(params, &format!("{name}.self"), config, arch)?;
        let projection = own.or_else(|| shared.cloned());
        Ok(Self { query, key, value, output, projection, n_heads: config.n_heads })
    }

    /// # Shapes
    /// x `(B, T, D)`, mask `(B, T)` with 1 for tokens and 0 for padding; result `(B, T, D)`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        mask: Option<&Tensor>,
        tape: &Tape,
        place: u64,
    ) -> Result<Tensor, NnError> {
        let q = self.query.forward(x, tape)?;
        let (k, v) = self.keys_and_values(x, mask, tape)?;
        // A Linformer's keys are mixtures of tokens: padding is taken out before they are mixed.
        let bias = match (mask, &self.projection) {
            (Some(mask), None) => Some(scores_of_padding(mask)?),
            _ => None,
        };
        let heads = Heads::of(self.n_heads, tape.pass().dropout(place));
        let of = Sequences { mask: bias.as_ref(), ..Sequences::default() };
        self.output.forward(&tape.attention(&q, &k, &v, of, heads)?, tape)
    }

    /// Keys and values, `(B, keys, D)` each.
    fn keys_and_values(&self, x: &Tensor, mask: Option<&Tensor>, tape: &Tape) -> Result<(Tensor, Tensor), NnError> {
        let Some(Projection { e, f, order }) = &self.projection else {
            return Ok((self.key.forward(x, tape)?, self.value.forward(x, tape)?));
        };
        let visible = |y: Tensor| -> Result<Tensor, NnError> {
            let Some(mask) = mask else { return Ok(y) };
            let mask = mask.to_dtype(y.dtype())?.unsqueeze(2)?; // (B, T, 1)
            Ok(tape.composed([&y], |[y]| y.broadcast_mul(&mask))?)
        };
        match order {
            Order::Input => {
                let x = visible(x.clone())?;
                let for_keys = self.shorten(e, &x, tape)?;
                let for_values = match f {
                    Some(f) => self.shorten(f, &x, tape)?,
                    None => for_keys.clone(),
                };
                Ok((self.key.forward(&for_keys, tape)?, self.value.forward(&for_values, tape)?))
            }
            Order::Projected => {
                let k = visible(self.key.forward(x, tape)?)?;
                let v = visible(self.value.forward(x, tape)?)?;
                Ok((self.shorten(e, &k, tape)?, self.shorten(f.as_ref().unwrap_or(e), &v, tape)?))
            }
        }
    }

    /// Mixes the rows of x: `(k, n)`, or `(H, k, n)` with a matrix for each head's columns, times `(B, T, D)`. Inputs
    /// shorter than n use the first columns, as in the authors' code.
    fn shorten(&self, matrix: &Tensor, x: &Tensor, tape: &Tape) -> Result<Tensor, NnError> {
        if matrix.rank() == 2 {
            return Ok(tape.mix(matrix, x)?);
        }
        let (b, t, d) = x.dims3()?;
        let (h, k) = (self.n_heads, matrix.dim(1)?);
        Ok(tape.composed([matrix, x], |[matrix, x]| {
            let columns = matrix.narrow(D::Minus1, 0, t)?.to_dtype(x.dtype())?;
            let by_head = x.reshape((b, t, h, d / h))?.transpose(1, 2)?.contiguous()?; // (B, H, T, D/H)
            let short = columns.broadcast_left(b)?.contiguous()?.matmul(&by_head)?; // (B, H, k, D/H)
            short.transpose(1, 2)?.reshape((b, k, d))
        })?)
    }
}
