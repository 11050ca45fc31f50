//! Each kernel of a train step on a GPU against what bounds it: the bytes it has to move against a copy within the
//! device's memory, or its FLOPs against a large matrix product, by the same clock in the same run.
//!
//! `cargo bench --features cuda --bench kernels`, or with other than 16384 tokens: `... -- 65536`. Bytes are those that
//! have to be read and written once; what is 100 % of a copy cannot be faster. Backward passes are the time of both
//! passes less that of the forward one.

#![expect(clippy::print_stdout, reason = "what a benchmark has to say")]

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor, Var};
use greenformers::nn::ops::{AdamWRates, Dropout, Heads, Moments, Sequences, Sight, Update, adamw};
use greenformers::nn::{PassConfig, Tape, open_cuda};

const D: usize = 768;
const FF: usize = 3072;
const CLASSES: usize = 30522;
const SEQ_LEN: usize = 512;
const DROPOUT: Dropout = Dropout { p: 0.1, seed: 1 };
/// Time for each figure, and the least runs.
const ENOUGH_S: f64 = 0.3;
const RUNS: usize = 5;

struct Bench {
    gpu: Device,
    dtype: DType,
    copy_bytes_per_s: f64,
    matmul_flop_per_s: f64,
}

/// What has to be moved, or computed.
#[derive(Clone, Copy)]
enum Work {
    Bytes(f64),
    Flop(f64),
}

impl Bench {
    fn random(&self, shape: &[usize], dtype: DType) -> Result<Var> {
        let n: usize = shape.iter().product();
        let some: Vec<f32> = (0..1 << 16).map(|i| ((i * 7919 % 65_521) as f32 / 65_521.0 - 0.5) * 0.2).collect();
        let values: Vec<f32> = some.iter().copied().cycle().take(n).collect();
        Var::from_tensor(&Tensor::from_vec(values, shape, &self.gpu)?.to_dtype(dtype)?)
    }

    /// Median seconds of `run`, which queues work: several times at once, so that starting does not count.
    fn seconds(&self, run: &dyn Fn() -> Result<()>) -> Result<f64> {
        let time = |times: usize| -> Result<f64> {
            self.gpu.synchronize()?;
            let began = Instant::now();
            (0..times).try_for_each(|_| run())?;
            self.gpu.synchronize()?;
            Ok(began.elapsed().as_secs_f64() / times as f64)
        };
        time(1)?;
        let at_once = if time(1)? < 2e-3 { 10 } else { 1 };
        let (began, mut times) = (Instant::now(), Vec::new());
        while times.len() < RUNS || began.elapsed().as_secs_f64() < ENOUGH_S {
            times.push(time(at_once)?);
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    fn row(&self, what: &str, seconds: f64, work: Work) {
        let (rate, part) = match work {
            Work::Bytes(n) => (format!("{:.0} GB/s", n / seconds / 1e9), n / seconds / self.copy_bytes_per_s),
            Work::Flop(n) => (format!("{:.1} TFLOP/s", n / seconds / 1e12), n / seconds / self.matmul_flop_per_s),
        };
        println!("| {what} | {:?} | {:.1} us | {rate} | {:.0} % |", self.dtype, 1e6 * seconds, 100.0 * part);
    }

    /// Both passes of an operation, with the work of each.
    fn operation(
        &self,
        what: &str,
        inputs: &[Var],
        [forward, backward]: [Work; 2],
        run: &dyn Fn(&Tape, &[Var]) -> Result<Tensor>,
    ) -> Result<()> {
        let pass = PassConfig::deterministic(self.dtype);
        let alone = self.seconds(&|| run(&Tape::inference(pass, &self.gpu), inputs).map(drop))?;
        self.row(&format!("{what}, forward"), alone, forward);
        let upstream = run(&Tape::inference(pass, &self.gpu), inputs)?;
        let both = self.seconds(&|| {
            let tape = Tape::new(pass, &self.gpu);
            let y = run(&tape, inputs)?;
            tape.backward(&y, Some(&upstream)).map(drop)
        })?;
        // The gradient that it begins with is a copy of its own.
        let copied = self.seconds(&|| upstream.copy().map(drop))?;
        self.row(&format!("{what}, backward"), both - alone - copied, backward);
        Ok(())
    }

    fn all(&self, tokens: usize) -> Result<()> {
        let width = self.dtype.size_in_bytes() as f64;
        let bytes = |elements: usize, times: f64| Work::Bytes(times * width * elements as f64);
        let activations = |columns: usize| self.random(&[tokens, columns], self.dtype);

        let wide = [activations(FF)?];
        self.operation("GELU", &wide, [bytes(tokens * FF, 2.0), bytes(tokens * FF, 3.0)], &|t, i| t.gelu(&i[0]))?;
        self.operation("dropout", &wide, [bytes(tokens * FF, 2.0); 2], &|t, i| t.dropout(&i[0], DROPOUT))?;
        let norm = [activations(D)?, activations(D)?, self.random(&[D], DType::F32)?, self.random(&[D], DType::F32)?];
        let n = tokens * D;
        self.operation("add + dropout + layer norm", &norm, [bytes(n, 3.0), bytes(n, 5.0)], &|t, i| {
            t.add_norm(&i[0], &i[1], &i[2], &i[3], 1e-12, DROPOUT)
        })?;
        self.operation("root mean square norm", &norm[1..3], [bytes(n, 2.0), bytes(n, 3.0)], &|t, i| {
            t.rms_norm(&i[0], &i[1], 1e-6)
        })?;
        let ids: Vec<u32> = (0..tokens).map(|i| u32::try_from(i * 7919 % CLASSES).unwrap_or(0)).collect();
        let ids = Tensor::from_vec(ids, tokens, &self.gpu)?;
        let table = [self.random(&[CLASSES, D], DType::F32)?];
        let rows = Work::Bytes((2 * 4 * n) as f64);
        let spread = Work::Bytes((4 * n + 4 * CLASSES * D) as f64);
        self.operation("rows of the embedding", &table, [rows, spread], &|t, i| t.gather(&[(&i[0], &ids)]))?;
        let masked = tokens / 8;
        let labels = ids.narrow(0, 0, masked)?.contiguous()?;
        let logits = [self.random(&[masked, CLASSES], self.dtype)?];
        let n = masked * CLASSES;
        self.operation("cross-entropy", &logits, [bytes(n, 1.0), bytes(n, 2.0)], &|t, i| {
            t.cross_entropy(&i[0], &labels)
        })?;

        let qkv =
            (0..3).map(|_| self.random(&[tokens / SEQ_LEN, SEQ_LEN, D], self.dtype)).collect::<Result<Vec<_>>>()?;
        let heads = Heads::of(12, DROPOUT);
        let flop = 4.0 * (tokens * SEQ_LEN * D) as f64;
        self.operation("attention, 12 heads, 512 keys", &qkv, [Work::Flop(flop), Work::Flop(2.5 * flop)], &|t, i| {
            t.attention(&i[0], &i[1], &i[2], Sequences::default(), heads)
        })?;
        // GPT-2's and Llama 3's; in f32 there is no kernel for them.
        let causal = if self.dtype == DType::F32 { &[][..] } else { &[(12, 12, 64, 1024), (32, 8, 128, 4096)] };
        for (n_heads, n_kv_heads, d_head, seq_len) in causal.iter().copied() {
            self.causal_attention(tokens, (n_heads, n_kv_heads, d_head), seq_len)?;
        }
        let linear = [activations(D)?, self.random(&[FF, D], DType::F32)?, self.random(&[FF], DType::F32)?];
        let flop = 2.0 * (tokens * D * FF) as f64;
        self.operation("linear 768 to 3072", &linear, [Work::Flop(flop), Work::Flop(2.0 * flop)], &|t, i| {
            t.linear(&i[0], &i[1], Some(&i[2]))
        })
    }

    /// Attention in which a query sees the keys up to its own.
    fn causal_attention(&self, tokens: usize, of: (usize, usize, usize), seq_len: usize) -> Result<()> {
        let (n_heads, n_kv_heads, d_head) = of;
        let of = |heads: usize| self.random(&[tokens / seq_len, seq_len, heads * d_head], self.dtype);
        let qkv = [of(n_heads)?, of(n_kv_heads)?, of(n_kv_heads)?];
        let heads = Heads { n_heads, n_kv_heads, sight: Sight::Causal { window: None }, dropout: Dropout::NONE };
        let flop = 2.0 * (tokens * seq_len * n_heads * d_head) as f64;
        let what = format!("causal attention, {n_heads} and {n_kv_heads} heads of {d_head}, {seq_len} keys");
        self.operation(&what, &qkv, [Work::Flop(flop), Work::Flop(2.5 * flop)], &|t, i| {
            t.attention(&i[0], &i[1], &i[2], Sequences::default(), heads)
        })
    }

    /// One update of as many weights as BERT-base has, in tensors as large as its own.
    fn optimizer(&self) -> Result<()> {
        let shapes = std::iter::once([CLASSES, D]).chain(std::iter::repeat_n([FF, D], 36));
        let weights = shapes.map(|s| self.random(&s, DType::F32)).collect::<Result<Vec<Var>>>()?;
        let gradients = weights.iter().map(|w| w.copy()).collect::<Result<Vec<Tensor>>>()?;
        let moments = weights.iter().map(|w| Moments::zeros(w, true)).collect::<Result<Vec<_>>>()?;
        let moments = std::cell::RefCell::new(moments);
        let rates = AdamWRates { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01, step: 1 };
        let seconds = self.seconds(&|| {
            let mut moments = moments.borrow_mut();
            let of = weights.iter().zip(&gradients).zip(moments.iter_mut());
            let mut updates: Vec<Update<'_>> =
                of.map(|((var, gradient), moments)| Update { var, gradient, moments }).collect();
            adamw(&mut updates, rates)
        })?;
        let n: usize = weights.iter().map(|w| w.elem_count()).sum();
        // Weight, gradient and both moments are read, all but the gradient written.
        self.row("AdamW", seconds, Work::Bytes((7 * 4 * n) as f64));
        Ok(())
    }
}

fn main() -> Result<()> {
    let tokens = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(16_384);
    let gpu = open_cuda(0).map_err(candle_core::Error::wrap)?;
    println!("{tokens} tokens\n\n| kernel | dtype | time | rate | of the limit |\n|---|---|---|---|---|");
    for dtype in [DType::BF16, DType::F32] {
        let bench = Bench { gpu: gpu.clone(), dtype, copy_bytes_per_s: f64::NAN, matmul_flop_per_s: f64::NAN };
        let block = bench.random(&[16 * tokens, D], DType::F32)?;
        let copy = bench.seconds(&|| block.copy().map(drop))?;
        let side = 8192.min(tokens);
        let (a, b) = (bench.random(&[side, side], dtype)?, bench.random(&[side, side], dtype)?);
        let tape = Tape::inference(PassConfig::deterministic(dtype), &gpu);
        let product = bench.seconds(&|| tape.linear(&a, &b, None).map(drop))?;
        let (copied, computed) = ((8 * block.elem_count()) as f64, 2.0 * (side as f64).powi(3));
        let bench = Bench { copy_bytes_per_s: copied / copy, matmul_flop_per_s: computed / product, ..bench };
        bench.row("copy", copy, Work::Bytes(copied));
        bench.row(&format!("product of {side} x {side}"), product, Work::Flop(computed));
        drop((block, a, b));
        bench.all(tokens)?;
        bench.optimizer()?;
    }
    Ok(())
}
