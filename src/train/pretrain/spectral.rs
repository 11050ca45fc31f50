//! Factors of low-rank linears that begin as the nearest to a dense matrix that is drawn.

use candle_core::{DType, Device, Tensor};
use faer::Mat;

use super::PretrainError;
use crate::model::{Arch, Config};
use crate::nn::{LayerLinear, Model, NnError, Params, linears};

/// Puts the spectral beginning into the factors of `params`. `drawn` are the weights of the seed, of which nothing was made yet.
pub(super) fn begin(config: &Config, params: &Params, drawn: Params) -> Result<(), PretrainError> {
    let dense = Model::new(config, Arch::Dense, drawn)?;
    for linear in linears(config).map_err(PretrainError::from)? {
        let factor = |part: &str| params.get(&format!("{}.{part}.weight", linear.name));
        let (Some(encode), Some(decode)) = (factor("encode"), factor("decode")) else { continue };
        let w = whole(&linear, dense.params())?;
        let rank = encode.dims()[0];
        let [e, d] = factors(&w, rank).ok_or_else(|| PretrainError::NoSingularValues { name: linear.name.clone() })?;
        for (var, values) in [(encode, e), (decode, d)] {
            let tensor = Tensor::from_vec(values, var.shape(), &Device::Cpu).and_then(|t| t.to_dtype(var.dtype()));
            tensor.and_then(|tensor| var.set(&tensor)).map_err(NnError::from)?;
        }
    }
    Ok(())
}

/// The matrix `(d_out, d_in)` of a linear in the dense model.
fn whole(linear: &LayerLinear, dense: &Params) -> Result<Mat<f64>, PretrainError> {
    let (d_in, d_out) = linear.size;
    let (name, first) = linear.fused.as_ref().map_or((&linear.name, 0), |fused| (&fused.name, fused.first));
    let missing = || PretrainError::NoSingularValues { name: linear.name.clone() };
    let matrix = dense.get(&format!("{name}.weight")).ok_or_else(missing)?;
    let rows = matrix.narrow(0, first, d_out).and_then(|rows| rows.to_dtype(DType::F64)).map_err(NnError::from)?;
    let values: Vec<Vec<f64>> = rows.to_vec2().map_err(NnError::from)?;
    Ok(Mat::from_fn(d_out, d_in, |o, i| values[o][i]))
}

/// E, `(rank, d_in)`, and D, `(d_out, rank)`, by rows: `D E` is the nearest matrix of this rank, and both have the same norm.
fn factors(w: &Mat<f64>, rank: usize) -> Option<[Vec<f32>; 2]> {
    let svd = w.thin_svd().ok()?;
    let (u, v) = (svd.U(), svd.V());
    let roots: Vec<f64> = svd.S().column_vector().iter().map(|s| s.sqrt()).collect();
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    let narrowed = |value: f64| value as f32;
    let encode = (0..rank).flat_map(|r| (0..w.ncols()).map(move |i| (r, i)));
    let decode = (0..w.nrows()).flat_map(|o| (0..rank).map(move |r| (o, r)));
    Some([
        encode.map(|(r, i)| narrowed(roots[r] * v[(i, r)])).collect(),
        decode.map(|(o, r)| narrowed(u[(o, r)] * roots[r])).collect(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_singular_values_are_split_between_both_factors() {
        // 4 u v^T + 1 x y^T, with orthonormal u, x and v, y: each factor of rank 1 has the norm 2.
        let (u, x) = ([0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]);
        let (v, y) = ([0.0, 1.0], [1.0, 0.0]);
        let w = Mat::from_fn(3, 2, |o, i| 4.0 * u[o] * v[i] + x[o] * y[i]);
        let [encode, decode] = factors(&w, 1).expect("it converges");
        let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((norm(&encode) - 2.0).abs() < 1e-6 && (norm(&decode) - 2.0).abs() < 1e-6, "{encode:?} {decode:?}");
        for (o, expected) in [0.0, 2.4, 0.0, 3.2, 0.0, 0.0].chunks(2).enumerate() {
            for (i, expected) in expected.iter().enumerate() {
                assert!((decode[o] * encode[i] - expected).abs() < 1e-6, "{o}, {i}");
            }
        }
        // Of the whole rank, the product is the matrix.
        let [encode, decode] = factors(&w, 2).expect("it converges");
        for o in 0..3 {
            for i in 0..2 {
                let entry = decode[2 * o] * encode[i] + decode[2 * o + 1] * encode[2 + i];
                assert!((f64::from(entry) - w[(o, i)]).abs() < 1e-6, "{o}, {i}");
            }
        }
    }
}
