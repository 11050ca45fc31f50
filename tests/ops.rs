//! Every operation, fused and composed, in every dtype, on odd shapes and on shapes that are drawn.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use greenformers::nn::ops::{Angles, Dropout, Heads, Sequences, Sight};
use greenformers::nn::{Ops, PassConfig, Tape};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

const ODD: [usize; 5] = [1, 3, 7, 13, 129];

type Run = dyn Fn(&Tape, &[&Tensor]) -> candle_core::Result<Tensor>;

/// An operation on tensors that were drawn for it.
pub(crate) struct Case {
    pub(crate) what: String,
    inputs: Vec<Tensor>,
    run: Box<Run>,
}

impl Case {
    fn new(
        what: String,
        inputs: Vec<Tensor>,
        run: impl Fn(&Tape, &[&Tensor]) -> candle_core::Result<Tensor> + 'static,
    ) -> Self {
        Self { what, inputs, run: Box::new(run) }
    }

    /// The result in `dtype`, and the gradient for each input under a fixed weighting of the result; all in f64.
    fn evaluate(&self, dtype: DType, ops: Ops, device: &Device) -> Vec<Vec<f64>> {
        let to_device = |x: &Tensor, dtype: DType| x.to_dtype(dtype).unwrap().to_device(device).unwrap();
        let vars: Vec<Var> = self.inputs.iter().map(|x| Var::from_tensor(&to_device(x, dtype)).unwrap()).collect();
        let tensors: Vec<&Tensor> = vars.iter().map(Var::as_tensor).collect();
        let tape = Tape::new(PassConfig { ops, ..PassConfig::deterministic(dtype) }, device);
        let result = (self.run)(&tape, &tensors).unwrap();
        let upstream: Vec<f64> = (0..result.elem_count()).map(|i| ((i * 37 % 101) as f64 - 50.0) / 50.0).collect();
        let upstream = Tensor::from_vec(upstream, result.shape(), &Device::Cpu).unwrap();
        let upstream = to_device(&upstream, result.dtype());
        let gradients = tape.backward(&result, Some(&upstream)).unwrap();
        let of_inputs = tensors.iter().map(|x| {
            let gradient = gradients.get(x).unwrap_or_else(|| panic!("{}: an input has no gradient", self.what));
            assert_eq!(gradient.dims(), x.dims(), "{}", self.what);
            numbers(gradient)
        });
        std::iter::once(numbers(&result)).chain(of_inputs).collect()
    }

    /// The composition in f64 on the CPU.
    pub(crate) fn exact(&self) -> Vec<Vec<f64>> {
        self.evaluate(DType::F64, Ops::Stock, &Device::Cpu)
    }

    /// The largest difference between two makes, relative to the largest number of each part.
    fn agrees(&self, (dtype, ops): (DType, Ops), exact: &[Vec<f64>], tolerance: f64) {
        self.agrees_on(&Device::Cpu, (dtype, ops), exact, tolerance);
    }

    pub(crate) fn agrees_on(&self, device: &Device, (dtype, ops): (DType, Ops), exact: &[Vec<f64>], tolerance: f64) {
        for (part, (ours, exact)) in self.evaluate(dtype, ops, device).iter().zip(exact).enumerate() {
            let size = exact.iter().fold(1.0f64, |m, x| m.max(x.abs()));
            let off = ours.iter().zip(exact).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / size;
            assert!(off < tolerance, "{}, {dtype:?} {ops}, part {part}: off by {off:e}", self.what);
        }
    }

    /// Every part on `device` within `tolerance` of the exact one, in the norm of all its elements.
    #[cfg(feature = "cuda")]
    pub(crate) fn is_near_on(&self, device: &Device, dtype: DType, exact: &[Vec<f64>], tolerance: f64) {
        let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        for (part, (ours, exact)) in self.evaluate(dtype, Ops::Fused, device).iter().zip(exact).enumerate() {
            // What is zero but for rounding is held against the inputs, whose numbers are of size 1; so are a few numbers,
            // all of which may be near a zero, where what rounds the inputs weighs most.
            let (own, ones) = (norm(&mut exact.iter().copied()), (exact.len() as f64).sqrt());
            let size = if own > 1e-6 * ones && exact.len() >= 16 { own } else { own.max(ones) };
            let off = norm(&mut ours.iter().zip(exact).map(|(a, b)| a - b)) / size;
            assert!(off < tolerance, "{}, {dtype:?}, part {part}: off by {off:e} of its norm", self.what);
        }
    }

    /// Fused and composed, in each dtype, against the composition in f64.
    fn check(&self) {
        let exact = self.exact();
        self.agrees((DType::F64, Ops::Fused), &exact, 1e-11);
        self.agrees((DType::F32, Ops::Fused), &exact, 2e-5);
        self.agrees((DType::F32, Ops::Stock), &exact, 2e-5);
        for ops in [Ops::Fused, Ops::Stock] {
            self.agrees((DType::F16, ops), &exact, 2e-2);
            self.agrees((DType::BF16, ops), &exact, 1e-1);
        }
    }

    /// The gradients in f64 against central differences of `sum(result * upstream)`, some entries of each input.
    fn check_by_differences(&self) {
        let gradients = self.evaluate(DType::F64, Ops::Fused, &Device::Cpu).split_off(1);
        for (i, gradient) in gradients.iter().enumerate() {
            let values = numbers(&self.inputs[i]);
            for entry in [0, values.len() / 2, values.len() - 1] {
                let at = |delta: f64| {
                    let mut moved = values.clone();
                    moved[entry] += delta;
                    let mut inputs = self.inputs.clone();
                    inputs[i] = Tensor::from_vec(moved, self.inputs[i].shape(), &Device::Cpu).unwrap();
                    let inputs: Vec<&Tensor> = inputs.iter().collect();
                    let tape = Tape::inference(PassConfig::deterministic(DType::F64), &Device::Cpu);
                    let result = numbers(&(self.run)(&tape, &inputs).unwrap());
                    let weighted = result.iter().enumerate().map(|(i, y)| y * ((i * 37 % 101) as f64 - 50.0) / 50.0);
                    weighted.sum::<f64>()
                };
                let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (numeric - gradient[entry]).abs() < 1e-6 * (1.0 + numeric.abs()),
                    "{}, input {i}[{entry}]: {numeric} by differences, {} by backward",
                    self.what,
                    gradient[entry]
                );
            }
        }
    }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

thread_local! {
    /// Every test draws the same numbers in every run.
    static NUMBERS: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(1));
}

/// Numbers of f64 that half precision holds exactly enough for a comparison.
fn random(shape: &[usize]) -> Tensor {
    let drawn: Vec<f64> = NUMBERS.with_borrow_mut(|rng| {
        let n = shape.iter().product();
        rng.sample_iter(StandardNormal).take(n).collect()
    });
    Tensor::from_vec(drawn, shape, &Device::Cpu).unwrap()
}

/// y, on the device of x.
fn beside(x: &Tensor, y: &Tensor) -> Tensor {
    y.to_device(x.device()).unwrap()
}

/// Ids below `n` that repeat and skip.
fn ids(rows: usize, n: usize) -> Tensor {
    let ids: Vec<u32> = (0..rows).map(|i| u32::try_from(i * 7 % n).unwrap()).collect();
    Tensor::from_vec(ids, rows, &Device::Cpu).unwrap()
}

/// Operations on a matrix.
pub(crate) fn of_matrix(rows: usize, columns: usize, width: usize) -> Vec<Case> {
    let what = |op: &str| format!("{op} of {rows} x {columns}, width {width}");
    let (x, y, w, b) =
        (random(&[rows, columns]), random(&[rows, columns]), random(&[width, columns]), random(&[width]));
    let (gain, bias) = (random(&[columns]), random(&[columns]));
    // A row of one number has no variance: its norm is all epsilon.
    let eps = 1e-1;
    let (labels, picked, other) = (ids(rows, columns), ids(width, rows), ids(width, 5));
    let dropout = Dropout { p: 0.4, seed: 3 };
    vec![
        Case::new(what("linear"), vec![x.clone(), w.clone(), b], |t, i| t.linear(i[0], i[1], Some(i[2]))),
        Case::new(what("linear without bias"), vec![x.clone(), w.clone()], |t, i| t.linear(i[0], i[1], None)),
        Case::new(what("gelu"), vec![x.clone()], |t, i| t.gelu(i[0])),
        Case::new(what("dropout"), vec![x.clone()], move |t, i| t.dropout(i[0], dropout)),
        Case::new(what("cross-entropy"), vec![x.clone()], move |t, i| t.cross_entropy(i[0], &beside(i[0], &labels))),
        Case::new(what("gather"), vec![x.clone(), random(&[5, columns])], move |t, i| {
            t.gather(&[(i[0], &beside(i[0], &picked)), (i[1], &beside(i[0], &other))])
        }),
        Case::new(what("layer norm"), vec![x.clone(), gain.clone(), bias.clone()], move |t, i| {
            t.layer_norm(i[0], i[1], i[2], eps)
        }),
        Case::new(what("a sum"), vec![x.clone(), y.clone()], |t, i| t.add(&t.gelu(i[0])?, i[1])),
        Case::new(what("residual and norm"), vec![x.clone(), y, gain, bias], move |t, i| {
            t.add_norm(i[0], i[1], i[2], i[3], eps, dropout)
        }),
        // Tensors that are used twice: gradients add up.
        Case::new(what("norms of x and gelu(x)"), vec![x.clone(), random(&[columns])], move |t, i| {
            let y = t.gelu(i[0])?;
            let z = t.add_norm(&y, i[0], i[1], i[1], eps, Dropout::NONE)?;
            t.add_norm(&z, &y, i[1], i[1], eps, Dropout::NONE)
        }),
        Case::new(what("tanh"), vec![x.clone()], |t, i| t.tanh(i[0])),
        Case::new(what("a composition"), vec![x.clone(), random(&[1, columns])], |t, i| {
            t.composed([&t.gelu(i[0])?, i[1]], |[x, y]| x.broadcast_mul(y)?.sqr())
        }),
        Case::new(what("reshape"), vec![x], move |t, i| t.gelu(&t.reshape(i[0], &[columns, rows])?)),
    ]
}

/// Logits of rows of so many numbers, and their loss.
pub(crate) fn of_classes(rows: usize, columns: usize, classes: usize) -> Vec<Case> {
    let labels = ids(rows, classes);
    let inputs = vec![random(&[rows, columns]), random(&[classes, columns]), random(&[classes])];
    vec![Case::new(format!("a loss of {rows} x {columns} over {classes} classes"), inputs, move |t, i| {
        t.cross_entropy(&t.linear(i[0], i[1], Some(i[2]))?, &beside(i[0], &labels))
    })]
}

/// The loss of a head that never has all logits, with a bias and without one.
pub(crate) fn of_heads(rows: usize, columns: usize, classes: usize) -> Vec<Case> {
    let labels = ids(rows, classes);
    let inputs = [random(&[rows, columns]), random(&[classes, columns]), random(&[classes])];
    let case = |bias: usize| {
        let (what, labels) = (format!("a head's loss of {rows} x {columns} over {classes} classes"), labels.clone());
        Case::new(what, inputs[..2 + bias].to_vec(), move |t, i| {
            t.head_loss(i[0], i[1], i.get(2).copied(), &beside(i[0], &labels))
        })
    };
    vec![case(0), case(1)]
}

pub(crate) fn of_attention(b: usize, t: usize, keys: usize, n_heads: usize, d_head: usize) -> Vec<Case> {
    let d = n_heads * d_head;
    let mask: Vec<f64> = (0..b * keys).map(|i| if i % 5 == 4 { -1e4 } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (b, keys), &Device::Cpu).unwrap();
    let inputs = vec![random(&[b, t, d]), random(&[b, keys, d]), random(&[b, keys, d])];
    let case = |mask: Option<Tensor>, p: f64| {
        let what = format!("attention of {b} x {t} x {d} in {n_heads} heads on {keys} keys, dropout {p}");
        let heads = Heads::of(n_heads, Dropout { p, seed: 9 });
        Case::new(what, inputs.clone(), move |tape, i| {
            let mask = mask.as_ref().map(|m| beside(i[0], &m.to_dtype(DType::F32).unwrap()));
            tape.attention(i[0], i[1], i[2], Sequences { mask: mask.as_ref(), ..Sequences::default() }, heads)
        })
    };
    let e = random(&[keys, t + 2]);
    vec![
        case(None, 0.0),
        case(Some(mask), 0.3),
        Case::new(format!("mix of {b} x {t} x {d} into {keys}"), vec![e, random(&[b, t, d])], |tape, i| {
            tape.mix(i[0], i[1])
        }),
    ]
}

/// Attention as decoders have it, with fewer heads of keys, of which each query sees those before it, or of these the last, or those
/// of its document; and as `ModernBERT` has it, of which each query sees those near it.
pub(crate) fn of_causal_attention(
    b: usize,
    t: usize,
    (n_heads, n_kv_heads): (usize, usize),
    d_head: usize,
) -> Vec<Case> {
    let [d, of_keys] = [n_heads * d_head, n_kv_heads * d_head];
    let inputs = vec![random(&[b, t, d]), random(&[b, t, of_keys]), random(&[b, t, of_keys])];
    // Documents of some tokens, and of another length in each sequence.
    let start = |i: usize| u32::try_from(i % t / (t / 3 + 1 + i / t) * (t / 3 + 1 + i / t)).unwrap();
    let starts = Tensor::from_vec((0..b * t).map(start).collect::<Vec<u32>>(), (b, t), &Device::Cpu).unwrap();
    let turned = |width: usize, theta: f64, factor: f64| {
        let pairs = width / 2;
        let rates: Vec<f64> = (0..pairs).map(|i| theta.powf(-(i as f64) / pairs as f64)).collect();
        Arc::new(Angles::new(t, d_head, (&rates, factor)).unwrap())
    };
    let angles = d_head.is_multiple_of(2).then(|| turned(d_head, 10_000.0, 1.0));
    // Of a head the first half, if that has pairs, and that longer than before.
    let of_part = |width: usize| Some(turned(width, 100.0, 1.1));
    let in_part = if d_head > 3 && (d_head / 2).is_multiple_of(2) { of_part(d_head / 2) } else { None };
    let causal = |window: Option<usize>| Sight::Causal { window };
    let case = |sight: Sight, starts: Option<Tensor>, angles: Option<Arc<Angles>>, p: f64| {
        let what = format!(
            "attention of {b} x {t} in {n_heads} and {n_kv_heads} heads of {d_head}, {sight:?}, documents {}, turned {}, dropout {p}",
            starts.is_some(),
            angles.is_some()
        );
        let heads = Heads { n_heads, n_kv_heads, sight, dropout: Dropout { p, seed: 9 } };
        Case::new(what, inputs.clone(), move |tape, i| {
            let starts = starts.as_ref().map(|s| beside(i[0], s));
            let of = Sequences { starts: starts.as_ref(), angles: angles.as_ref(), mask: None };
            tape.attention(i[0], i[1], i[2], of, heads)
        })
    };
    vec![
        case(causal(None), None, None, 0.0),
        case(causal(None), None, angles.clone(), 0.3),
        case(causal(Some(t / 2 + 1)), None, None, 0.0),
        case(causal(Some(3)), Some(starts.clone()), angles.clone(), 0.0),
        case(causal(None), Some(starts), None, 0.3),
        case(causal(None), None, in_part, 0.0),
        case(Sight::Near { reach: 2 }, None, None, 0.3),
        case(Sight::Near { reach: t / 3 }, None, angles, 0.0),
    ]
}

/// The other operations that decoders have.
pub(crate) fn of_decoders(rows: usize, columns: usize) -> Vec<Case> {
    let what = |op: &str| format!("{op} of {rows} x {columns}");
    let (x, gain) = (random(&[rows, columns]), random(&[columns]));
    vec![
        Case::new(what("root mean square norm"), vec![x.clone(), gain], |t, i| t.rms_norm(i[0], i[1], 1e-1)),
        // Columns that are taken once, twice and not at all.
        Case::new(what("a sum of columns"), vec![x], move |t, i| {
            let (half, most) = (columns.div_ceil(2), (columns - 1).max(1));
            let parts = [t.columns(i[0], 0..half)?, t.columns(i[0], most - half.min(most)..most)?];
            let [left, right] = [t.gelu(&parts[0])?, t.tanh(&parts[1])?];
            if left.dims() == right.dims() { t.add(&left, &right) } else { Ok(left) }
        }),
    ]
}

#[test]
fn operations_agree_in_every_make_and_dtype_on_odd_shapes() {
    for (i, rows) in ODD.into_iter().enumerate() {
        for columns in [ODD[i], ODD[(i + 2) % 5]] {
            of_matrix(rows, columns, 5).iter().for_each(Case::check);
        }
    }
    of_classes(5, 7, 1027).iter().for_each(Case::check);
    // More rows than a tile has.
    for (rows, columns, classes) in [(1, 1, 1), (5, 7, 1027), (1201, 3, 13)] {
        of_heads(rows, columns, classes).iter().for_each(Case::check);
    }
    for (b, t, keys, n_heads, d_head) in [(1, 1, 1, 1, 1), (2, 7, 3, 3, 5), (3, 129, 13, 2, 3), (1, 300, 300, 1, 7)] {
        of_attention(b, t, keys, n_heads, d_head).iter().for_each(Case::check);
    }
    for (b, t, heads, d_head) in [(1, 1, (1, 1), 1), (2, 7, (4, 2), 6), (1, 300, (3, 1), 8)] {
        of_causal_attention(b, t, heads, d_head).iter().for_each(Case::check);
        of_decoders(b * t, d_head).iter().for_each(Case::check);
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    of_matrix(7, 13, 3).iter().for_each(Case::check_by_differences);
    of_heads(600, 3, 13).iter().for_each(Case::check_by_differences);
    of_attention(2, 7, 3, 3, 1).iter().for_each(Case::check_by_differences);
    of_causal_attention(2, 5, (4, 2), 2).iter().for_each(Case::check_by_differences);
}

#[test]
fn views_that_are_not_contiguous_are_taken_as_what_they_show() {
    let (x, w, gain) = (random(&[13, 7]), random(&[13, 5]), random(&[13]));
    let tape = || Tape::new(PassConfig::deterministic(DType::F64), &Device::Cpu);
    let run = |x: &Tensor, w: &Tensor| {
        let tape = tape();
        let y = tape.layer_norm(&tape.gelu(x)?, &gain, &gain, 1e-3)?;
        let y = tape.linear(&y, w, None)?;
        let gradients = tape.backward(&y, None)?;
        let of = |x: &Tensor| numbers(gradients.get(x).unwrap());
        candle_core::Result::Ok((numbers(&y), of(x), of(w)))
    };
    let (x, w) = (x.t().unwrap(), w.t().unwrap());
    assert!(!x.is_contiguous() && !w.is_contiguous());
    let (copied_x, copied_w) = (x.contiguous().unwrap(), w.contiguous().unwrap());
    assert_eq!(run(&x, &w).unwrap(), run(&copied_x, &copied_w).unwrap());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    for ops in [Ops::Fused, Ops::Stock] {
        let tape = Tape::new(PassConfig { ops, ..PassConfig::deterministic(DType::F64) }, &Device::Cpu);
        let (x, w) = (random(&[3, 4]), random(&[2, 5]));
        assert!(tape.linear(&x, &w, None).is_err(), "{ops}");
        assert!(tape.linear(&x, &random(&[2, 4]), Some(&random(&[3]))).is_err(), "{ops}");
        assert!(tape.layer_norm(&x, &random(&[3]), &random(&[3]), 1e-3).is_err(), "{ops}");
        assert!(tape.gather(&[(&x, &ids(4, 9))]).is_err(), "{ops}");
        assert!(tape.mix(&random(&[2, 3]), &random(&[1, 4, 2])).is_err(), "{ops}");
        assert!(tape.cross_entropy(&x, &ids(2, 4)).is_err(), "{ops}");
        let heads = Heads::of(2, Dropout::NONE);
        let (q, k) = (random(&[1, 3, 4]), random(&[1, 3, 6]));
        assert!(tape.attention(&q, &k, &k, Sequences::default(), heads).is_err(), "{ops}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn operations_agree_on_any_matrix(rows in 1usize..40, columns in 1usize..70, width in 1usize..300) {
        of_matrix(rows, columns, width).iter().for_each(Case::check);
    }

    #[test]
    fn attention_agrees_on_any_shape(
        b in 1usize..4, t in 1usize..150, keys in 1usize..40, n_heads in 1usize..4, d_head in 1usize..20,
    ) {
        of_attention(b, t, keys, n_heads, d_head).iter().for_each(Case::check);
    }
}
