//! The operations composed of candle's own. Sums and exponentials of half-precision inputs are taken in f32.

mod decoder;

use candle_core::{D, DType, Device, Result, Tensor};

use super::attention::{Heads, Sequences, pitch};
use super::dropout::Dropout;

pub(in crate::nn) use decoder::{activation, columns, gate, head_loss, rms_norm};

/// Shapes as in [`super::super::Tape::linear`].
pub(in crate::nn) fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let dims = x.dims();
    let (rows, columns) = (dims[..dims.len() - 1].iter().product::<usize>(), dims[dims.len() - 1]);
    let w = w.to_dtype(x.dtype())?;
    let y = x.reshape((rows, columns))?.matmul(&w.t()?)?;
    let y = match b {
        Some(b) => {
            let y = widen(&y)?;
            y.broadcast_add(&b.to_dtype(y.dtype())?)?.to_dtype(x.dtype())?
        }
        None => y,
    };
    let mut shape = dims.to_vec();
    *shape.last_mut().expect("a tensor with a last axis") = w.dim(0)?;
    y.reshape(shape)
}

/// Shapes as in [`super::super::Tape::blend`].
pub(in crate::nn) fn blend(x: &Tensor, y: &Tensor, share: f64) -> Result<Tensor> {
    x.affine(share, 0.0)?.add(&y.affine(1.0 - share, 0.0)?)
}

/// Shapes as in [`super::super::Tape::layer_norm`].
pub(in crate::nn) fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = widen(x)?;
    let d = x.dim(D::Minus1)? as f64;
    let centred = x.broadcast_sub(&(x.sum_keepdim(D::Minus1)? / d)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / d)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normed.broadcast_mul(&gain.to_dtype(x.dtype())?)?.broadcast_add(&bias.to_dtype(x.dtype())?)?.to_dtype(dtype)
}

/// Shapes as in [`super::super::Tape::dropout`]. The mask is a tensor, kept for the backward pass.
pub(in crate::nn) fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    dropout_of_rows(x, dropout, (x.elem_count(), x.elem_count()))
}

/// The same for rows of so many elements, the first of which stand so many positions apart.
fn dropout_of_rows(x: &Tensor, dropout: Dropout, (columns, pitch): (usize, usize)) -> Result<Tensor> {
    if dropout.p <= 0.0 {
        return Ok(x.clone());
    }
    let rows = x.elem_count() / columns.max(1);
    let on_cpu = |factors: Tensor| factors.reshape((rows, pitch))?.narrow(1, 0, columns)?.reshape(x.shape());
    let mask = match (x.device(), x.dtype()) {
        (Device::Cpu, DType::F64) => on_cpu(Tensor::new(dropout.factors::<f64>(rows * pitch), x.device())?)?,
        (Device::Cpu, _) => on_cpu(Tensor::new(dropout.factors::<f32>(rows * pitch), x.device())?)?,
        // Elsewhere it is drawn where it is used, from the generator of the device.
        _ => {
            (Tensor::rand(0f32, 1f32, x.shape(), x.device())?.ge(dropout.p)?.to_dtype(DType::F32)?
                * (1.0 / (1.0 - dropout.p)))?
        }
    };
    x.mul(&mask.to_dtype(x.dtype())?)
}

/// Shapes as in [`super::super::Tape::gather`].
pub(in crate::nn) fn gather(tables: &[(&Tensor, &Tensor)]) -> Result<Tensor> {
    let dtype = tables.first().map_or(DType::F32, |(table, _)| table.dtype());
    let mut rows = tables.iter().map(|(table, ids)| widen(table)?.index_select(ids, 0));
    let first = rows.next().expect("at least one table")?;
    rows.try_fold(first, |sum, rows| sum.add(&rows?))?.to_dtype(dtype)
}

/// Shapes as in [`super::super::Tape::mix`].
pub(in crate::nn) fn mix(e: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (b, t, _) = x.dims3()?;
    e.narrow(1, 0, t)?.to_dtype(x.dtype())?.broadcast_left(b)?.contiguous()?.matmul(x)
}

/// Softmax over the last axis.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = widen(x)?;
    // The maximum only shifts the exponent: it has no gradient of its own.
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let exp = shifted.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?.to_dtype(dtype)
}

/// Shapes as in [`super::super::Tape::cross_entropy`].
pub(in crate::nn) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let logits = widen(logits)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let picked = shifted.gather(&labels.unsqueeze(1)?, 1)?;
    (log_sum - picked)?.mean_all()
}

/// Shapes as in [`super::super::Tape::gelu`]. candle's `gelu_erf` has a gradient that is off in the seventh digit.
pub(in crate::nn) fn gelu(x: &Tensor) -> Result<Tensor> {
    let twice_phi = ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?;
    (x * 0.5)?.mul(&twice_phi)
}

/// Shapes as in [`super::super::Tape::attention`].
pub(in crate::nn) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, of: Sequences<'_>, heads: Heads) -> Result<Tensor> {
    let (b, t, d) = q.dims3()?;
    let keys = k.dim(1)?;
    let d_head = d / heads.n_heads;
    let split = |x: &Tensor| {
        let (b, rows, width) = x.dims3()?;
        x.reshape((b, rows, width / d_head, d_head))?.transpose(1, 2)?.contiguous() // (B, H, rows, D/H)
    };
    // The keys of a group, as often as there are heads that it serves.
    let each = heads.n_heads / heads.n_kv_heads.max(1);
    let for_all = |x: &Tensor| {
        let x = split(x)?;
        if each == 1 {
            return Ok(x);
        }
        let (b, groups, rows, d_head) = x.dims4()?;
        let repeated = x.unsqueeze(2)?.broadcast_as((b, groups, each, rows, d_head))?.contiguous()?;
        repeated.reshape((b, groups * each, rows, d_head))
    };
    let turned = |x: &Tensor| of.angles.map_or_else(|| Ok(x.clone()), |angles| decoder::rotary(x, angles));
    let q = (split(&turned(q)?)? / (d_head as f64).sqrt())?;
    let mut scores = q.matmul(&for_all(&turned(k)?)?.transpose(2, 3)?.contiguous()?)?; // (B, H, T, K)
    if let Some(mask) = of.mask {
        scores = scores.broadcast_add(&mask.to_dtype(scores.dtype())?.reshape((b, 1, 1, keys))?)?;
    }
    if heads.sight != super::Sight::All || of.starts.is_some() {
        scores = scores.broadcast_add(&decoder::unseen(of, heads, [b, t, keys], &scores)?)?;
    }
    let weights = dropout_of_rows(&softmax(&scores)?, heads.dropout, (keys, pitch(keys)))?;
    weights.matmul(&for_all(v)?)?.transpose(1, 2)?.reshape((b, t, d))
}

/// f32 for half precision; f32 and f64 as they are.
fn widen(x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32),
        _ => Ok(x.clone()),
    }
}
