//! Second moments of the inputs of linears, while the checkpoint's own model reads a text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use candle_core::{DType, Device, Tensor, TensorId};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::super::computed::differs;
use super::FactorizeError;
use super::tensors::{Place, TOKENIZER};
use super::text::{Sequence, sequences};
use crate::model::{Arch, Config};
use crate::nn::{Body, Checkpoint, NnError, Params, PassConfig, Tape};

/// No sequence has more tokens, also where the model takes more.
const LONGEST: usize = 512;
/// The first ridge that is tried, of the mean of the diagonal, and the factor from one to the next.
const RIDGE: (f64, f64) = (1e-12, 10.0);

/// A text, of which the model reads some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calibration {
    /// A file in UTF-8.
    pub text: PathBuf,
    /// At most as many tokens of it, from places that are spread evenly.
    pub tokens: usize,
}

/// What linears are given, for some linears in order.
pub(super) struct Calibrated {
    /// Lower triangular `S` with `S S^T` the sum of `x x^T` over tokens, for each input that differs.
    roots: Vec<Mat<f64>>,
    /// Which of these is each linear's.
    of: Vec<usize>,
    pub(super) tokens: usize,
}

impl Calibrated {
    /// The root of the linear at this place among those that were asked for.
    pub(super) fn root(&self, linear: usize) -> &Mat<f64> {
        &self.roots[self.of[linear]]
    }
}

/// Has the model of a checkpoint read the text, and tells `progress` how many sequences of how many it has read.
pub(super) fn calibrate(
    checkpoint: &Checkpoint,
    config: &Config,
    (chosen, asked): (&[&Place], &Calibration),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Calibrated, FactorizeError> {
    if let Some(reason) = differs(&|name| checkpoint.said(name), config) {
        return Err(FactorizeError::ComputedOtherwise { reason });
    }
    let tokenizer = checkpoint.folder().join(TOKENIZER);
    let read = sequences(&tokenizer, asked, config.max_seq_len.min(LONGEST))?;
    let tokens = read.iter().map(|sequence| sequence.ids.len()).sum();
    check(&read, (&tokenizer, asked), config.vocab_size, (tokens, widest(chosen)))?;
    let device = Device::Cpu;
    let params = Params::from_safetensors(checkpoint.path(), DType::F32, &device)?;
    let body = Body::new(config, Arch::Dense, params)?;
    let id = |place: &&Place| {
        let name = format!("{}.weight", place.model_name());
        let missing = || NnError::MissingWeight { path: checkpoint.path().to_owned(), name: name.clone() };
        Ok(body.params().get(&name).ok_or_else(missing)?.as_tensor().id())
    };
    let ids = chosen.iter().map(id).collect::<Result<Vec<TensorId>, FactorizeError>>()?;
    let mut moments = Moments::default();
    let most_segments = u32::try_from(config.type_vocab_size.saturating_sub(1)).unwrap_or(u32::MAX);
    for (done, sequence) in read.iter().enumerate() {
        progress(done, read.len());
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (wanted, into) = (ids.clone(), Rc::clone(&seen));
        let tape = Tape::inference(PassConfig::deterministic(DType::F32), &device).watched(move |weight, x| {
            if wanted.contains(&weight) {
                into.borrow_mut().push((weight, x.clone()));
            }
            Ok(())
        });
        let row = |values: Vec<u32>| Tensor::from_vec(values, (1, sequence.ids.len()), &device).map_err(NnError::from);
        let segments = sequence.segments.iter().map(|segment| (*segment).min(most_segments)).collect();
        body.hidden(&row(sequence.ids.clone())?, &row(segments)?, &tape)?;
        moments.add(seen.take()).map_err(NnError::from)?;
    }
    progress(read.len(), read.len());
    let of: Vec<usize> = ids.iter().filter_map(|id| moments.of.get(id).copied()).collect();
    let name = |at| of.iter().position(|of| *of == at).map_or_else(String::new, |i| chosen[i].name.clone());
    let root =
        |(at, sum): (usize, Mat<f64>)| root(sum).ok_or_else(|| FactorizeError::InputsNotFinite { name: name(at) });
    let roots = moments.sums.into_par_iter().enumerate().map(root).collect::<Result<Vec<_>, _>>()?;
    Ok(Calibrated { roots, of, tokens })
}

/// The inputs of the linear that has most, and its name.
fn widest<'a>(chosen: &[&'a Place]) -> (usize, &'a str) {
    chosen.iter().map(|place| (place.size().0, place.name.as_str())).max_by_key(|(d_in, _)| *d_in).unwrap_or_default()
}

/// Whether there are as many tokens as any linear has inputs, and each has a row of the embedding.
fn check(
    read: &[Sequence],
    (tokenizer, asked): (&Path, &Calibration),
    vocab_size: usize,
    (tokens, (least, widest)): (usize, (usize, &str)),
) -> Result<(), FactorizeError> {
    if tokens < least {
        let (text, widest) = (asked.text.clone(), widest.to_owned());
        return Err(FactorizeError::FewTokens { text, tokens, least, widest });
    }
    let largest = read.iter().flat_map(|sequence| &sequence.ids).max().copied().unwrap_or_default();
    if largest as usize >= vocab_size {
        return Err(FactorizeError::Vocabulary { path: tokenizer.to_owned(), id: largest, rows: vocab_size });
    }
    Ok(())
}

/// Sums of `x x^T`, of which the lower triangle is kept.
#[derive(Default)]
struct Moments {
    sums: Vec<Mat<f64>>,
    /// Which of them is each weight's: linears of one input share one.
    of: HashMap<TensorId, usize>,
}

impl Moments {
    /// Adds the inputs of one sequence, each beside the weight that it was multiplied with.
    fn add(&mut self, inputs: Vec<(TensorId, Tensor)>) -> candle_core::Result<()> {
        let mut seen: HashMap<TensorId, usize> = HashMap::new();
        let mut rows: Vec<Option<Tensor>> = vec![None; self.sums.len()];
        for (weight, x) in inputs {
            let width = x.dim(candle_core::D::Minus1)?;
            let at = *self.of.entry(weight).or_insert_with(|| {
                *seen.entry(x.id()).or_insert_with(|| {
                    self.sums.push(Mat::zeros(width, width));
                    rows.push(None);
                    rows.len() - 1
                })
            });
            rows[at] = Some(x);
        }
        self.sums.par_iter_mut().zip(rows).try_for_each(|(sum, x)| {
            let Some(x) = x else { return Ok(()) };
            let width = sum.ncols();
            let values = x.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let x = MatRef::from_row_major_slice(&values, values.len() / width, width);
            let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
            matmul(sum.as_mut(), lower, Accum::Add, x.transpose(), whole, x, whole, 1.0, Par::Seq);
            Ok(())
        })
    }
}

/// The Cholesky factor of a sum, or of one with the least ridge at which there is one. `None` if it is not finite.
fn root(mut sum: Mat<f64>) -> Option<Mat<f64>> {
    let width = sum.ncols();
    let mean = (0..width).map(|i| sum[(i, i)]).sum::<f64>() / width as f64;
    // A linear whose inputs are all zero loses nothing: one is as good as another.
    let mean = if mean == 0.0 { 1.0 } else { mean };
    let (mut ridge, mut added) = (RIDGE.0 * mean, 0.0);
    while sum.is_all_finite() {
        if let Ok(factor) = sum.llt(Side::Lower) {
            return Some(factor.L().to_owned());
        }
        for i in 0..width {
            sum[(i, i)] += ridge - added;
        }
        (added, ridge) = (ridge, ridge * RIDGE.1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(root: &Mat<f64>) -> Mat<f64> {
        root * root.transpose()
    }

    #[test]
    fn linears_of_one_input_share_one_sum_and_tokens_add_up() {
        let [q, k, o] = [0.0f32; 3].map(|v| Tensor::new(v, &Device::Cpu).expect("a scalar").id());
        let of = |rows: &[[f32; 2]]| {
            Tensor::from_slice(rows.as_flattened(), (rows.len(), 2), &Device::Cpu).expect("a matrix")
        };
        let mut moments = Moments::default();
        for rows in [&[[1.0, 2.0], [3.0, 4.0]][..], &[[0.0, -1.0]]] {
            let (x, y) = (of(rows), of(&[[5.0, 0.0]]));
            moments.add(vec![(q, x.clone()), (k, x), (o, y)]).expect("it fits");
        }
        assert_eq!((moments.sums.len(), moments.of[&q], moments.of[&k], moments.of[&o]), (2, 0, 0, 1));
        // 1 + 9, 2 + 12 and 4 + 16 + 1; 25 twice.
        let lower = |at: usize| [(0, 0), (1, 0), (1, 1)].map(|ij| moments.sums[at][ij]);
        assert_eq!((lower(0), lower(1)), ([10.0, 14.0, 21.0], [50.0, 0.0, 0.0]));
    }

    #[test]
    fn a_sum_has_its_cholesky_factor_and_one_that_is_singular_that_of_a_ridge() {
        let sum = Mat::from_fn(2, 2, |i, j| [[4.0, 2.0], [2.0, 5.0]][i][j]);
        let found = root(sum).expect("it is definite");
        assert_eq!([found[(0, 0)], found[(0, 1)], found[(1, 0)], found[(1, 1)]], [2.0, 0.0, 1.0, 2.0]);
        // An input that is never there, and one that always equals another.
        for singular in [[[4.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]] {
            let sum = Mat::from_fn(2, 2, |i, j| singular[i][j]);
            let found = root(sum.clone()).expect("a ridge makes it definite");
            assert!(found[(1, 1)] > 0.0 && (product(&found) - sum).norm_l2() < 1e-9, "{found:?}");
        }
        assert!(root(Mat::from_fn(1, 1, |_, _| f64::NAN)).is_none());
        assert!(root(Mat::from_fn(1, 1, |_, _| f64::INFINITY)).is_none());
    }
}
