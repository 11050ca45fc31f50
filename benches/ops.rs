//! Each operation of a train step, forward and backward, fused and as candle composes it, with the shapes of BERT-base
//! at 8 x 128; and the matrix products that bound it, whose items are FLOP.
//!
//! `cargo bench --bench ops`; one operation: `cargo bench --bench ops -- gelu`.

#![expect(clippy::unwrap_used, reason = "a benchmark that unwraps says where it failed")]

use candle_core::{DType, Device, Result, Tensor, Var};
use divan::Bencher;
use divan::counter::ItemsCount;
use greenformers::measure::CountingAllocator;
use greenformers::nn::ops::{AdamWRates, Dropout, Heads, Moments, Sequences, Update, adamw};
use greenformers::nn::{Ops, PassConfig, Tape};

/// Sequences, tokens, width, inner width, rows of a Linformer, classes, masked positions.
const B: usize = 8;
const T: usize = 128;
const D: usize = 768;
const FF: usize = 3072;
const K: usize = 128;
const CLASSES: usize = 30522;
const MASKED: usize = 160;

const DROPOUT: Dropout = Dropout { p: 0.1, seed: 1 };
const HEADS: Heads = Heads::of(12, DROPOUT);

/// The program's: it keeps large blocks, so that their pages are faulted in once. For both makes.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    divan::main();
}

fn random(shape: &[usize]) -> Var {
    Var::from_tensor(&Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()).unwrap()
}

fn ids(n: usize, below: usize) -> Tensor {
    let ids: Vec<u32> = (0..n).map(|i| u32::try_from(i * 7919 % below).unwrap()).collect();
    Tensor::from_vec(ids, n, &Device::Cpu).unwrap()
}

fn tape(ops: &str) -> Tape {
    Tape::new(PassConfig { ops: ops.parse::<Ops>().unwrap(), ..PassConfig::deterministic(DType::F32) }, &Device::Cpu)
}

/// A module that times `$run` on inputs of the given shapes, forward and backward.
macro_rules! operation {
    ($name:ident, [$($shape:expr),+], |$tape:ident, $i:ident| $run:expr) => {
        mod $name {
            use super::*;

            fn run($tape: &Tape, $i: &[Var]) -> Result<Tensor> {
                $run
            }

            fn inputs() -> Vec<Var> {
                vec![$(random(&$shape)),+]
            }

            #[divan::bench(args = ["fused", "stock"])]
            fn forward(bencher: Bencher, ops: &str) {
                let inputs = inputs();
                bencher.bench_local(|| run(&tape(ops), &inputs).unwrap());
            }

            #[divan::bench(args = ["fused", "stock"])]
            fn backward(bencher: Bencher, ops: &str) {
                let inputs = inputs();
                let pass = || {
                    let tape = tape(ops);
                    let y = run(&tape, &inputs).unwrap();
                    (tape, y)
                };
                bencher.with_inputs(pass).bench_local_values(|(tape, y)| tape.backward(&y, None).unwrap());
            }
        }
    };
}

operation!(linear, [[B * T, D], [FF, D], [FF]], |tape, i| tape.linear(&i[0], &i[1], Some(&i[2])));
operation!(low_rank_linear, [[B * T, D], [256, D], [FF, 256], [FF]], |tape, i| {
    tape.linear(&tape.linear(&i[0], &i[1], None)?, &i[2], Some(&i[3]))
});
operation!(gelu, [[B * T, FF]], |tape, i| tape.gelu(&i[0]));
operation!(dropout, [[B * T, D]], |tape, i| tape.dropout(&i[0], DROPOUT));
operation!(layer_norm, [[B * T, D], [D], [D]], |tape, i| tape.layer_norm(&i[0], &i[1], &i[2], 1e-12));
operation!(add_norm, [[B * T, D], [B * T, D], [D], [D]], |tape, i| {
    tape.add_norm(&i[0], &i[1], &i[2], &i[3], 1e-12, DROPOUT)
});
operation!(attention_8_x_128, [[B, T, D], [B, T, D], [B, T, D]], |tape, i| {
    tape.attention(&i[0], &i[1], &i[2], Sequences::default(), HEADS)
});
operation!(attention_2_x_512, [[2, 512, D], [2, 512, D], [2, 512, D]], |tape, i| {
    tape.attention(&i[0], &i[1], &i[2], Sequences::default(), HEADS)
});
operation!(mix, [[K, 512], [2, 512, D]], |tape, i| tape.mix(&i[0], &i[1]));
operation!(gather, [[CLASSES, D], [2, D], [T, D]], |tape, i| {
    tape.gather(&[(&i[0], &ids(B * T, CLASSES)), (&i[1], &ids(B * T, 2)), (&i[2], &ids(B * T, T))])
});
operation!(cross_entropy, [[MASKED, CLASSES]], |tape, i| tape.cross_entropy(&i[0], &ids(MASKED, CLASSES)));

/// The update of one large weight.
#[divan::bench(args = ["fused", "stock"])]
fn optimizer(bencher: Bencher, ops: &str) {
    let (weight, gradient) = (random(&[FF, D]), random(&[FF, D]));
    let mut moments = Moments::zeros(&weight, ops == "fused").unwrap();
    let rates = AdamWRates { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01, step: 1 };
    bencher.bench_local(move || {
        let update = Update { var: &weight, gradient: &gradient, moments: &mut moments };
        adamw(&mut [update], rates).unwrap();
    });
}

/// `(m, k, n)`: a square product, and those of a linear.
#[divan::bench(args = [(2048, 2048, 2048), (B * T, D, D), (B * T, D, FF), (B * T, FF, D)])]
fn matmul(bencher: Bencher, (m, k, n): (usize, usize, usize)) {
    let (a, b) = (random(&[m, k]).detach(), random(&[k, n]).detach());
    bencher.counter(ItemsCount::new(2 * m * k * n)).bench_local(|| a.matmul(&b).unwrap());
}
