//! The GPU against PyTorch's numbers and against the CPU. These tests need an NVIDIA GPU, or the emulated one of
//! `gpu_emulation`:
//!
//! `cargo test --features cuda -- --ignored gpu::`

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::cuda_backend::set_gemm_reduced_precision_f32;
use candle_core::{DType, Device, Tensor, Var};
use greenformers::model::{Arch, Config};
use greenformers::nn::ops::{AdamWRates, Dropout, Heads, Moments, Sequences, Update, adamw};
use greenformers::nn::{
    AdamW, AdamWConfig, Batch, CausalLm, ModernBertForMaskedLm, Ops, Params, PassConfig, Tape, open_cuda,
};

use crate::decoders;
use crate::modern_bert;
use crate::nn::{ARCHS, agrees_with_pytorch, difference, model_on, numbers, shape, tiny};
use crate::ops::{Case, of_attention, of_causal_attention, of_classes, of_decoders, of_heads, of_matrix};

/// The GPU, for one test at a time: whether products of f32 use TF32 is a switch of the whole process.
struct Gpu {
    device: Device,
    _alone: MutexGuard<'static, ()>,
}

impl Deref for Gpu {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

fn gpu() -> Gpu {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed leaves the switch as it may be.
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_gemm_reduced_precision_f32(false);
    Gpu { device: open_cuda(0).unwrap(), _alone: alone }
}

/// Compositions of candle's kernels are tried in f32 alone: in half precision they are candle's business.
fn is_composed(what: &str) -> bool {
    what.contains("composition") || what.starts_with("a sum") || what.contains("share=none")
}

/// Fused operations in each dtype against the composition in f64 on the CPU. Inputs are rounded to 9 bits of bf16 and 11
/// of f16; products of TF32 take 11 bits of each factor, and cuBLAS may cut the others off, with which simulated errors are up
/// to 2.3e-3.
fn check(case: &Case, gpu: &Device) {
    let exact = case.exact();
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 2e-3), (DType::BF16, 1e-2)] {
        if dtype == DType::F32 || !is_composed(&case.what) {
            case.is_near_on(gpu, dtype, &exact, tolerance);
        }
    }
    set_gemm_reduced_precision_f32(true);
    case.is_near_on(gpu, DType::F32, &exact, 3e-3);
    set_gemm_reduced_precision_f32(false);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn operations_on_matrices_agree_with_the_cpu_in_every_dtype() {
    let gpu = gpu();
    for (rows, columns, width) in [(1, 1, 1), (3, 7, 5), (13, 129, 3), (129, 13, 130), (7, 68, 64)] {
        of_matrix(rows, columns, width).iter().for_each(|case| check(case, &gpu));
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_loss_over_many_classes_agrees_with_the_cpu_in_every_dtype() {
    // The rows of such logits are longer than there are classes.
    let gpu = gpu();
    for classes in [1024, 1027] {
        of_classes(5, 7, classes).iter().for_each(|case| check(case, &gpu));
        of_heads(5, 7, classes).iter().for_each(|case| check(case, &gpu));
    }
    // More rows than a tile has; f16 cannot hold the gradients of a mean over so many.
    for case in of_heads(8300, 5, 13) {
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 1e-2)] {
            case.is_near_on(&gpu, dtype, &case.exact(), tolerance);
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_number_that_is_none_stays_so_in_attention() {
    let gpu = gpu();
    for (dtype, tf32) in [(DType::BF16, false), (DType::F16, false), (DType::F32, true), (DType::F32, false)] {
        set_gemm_reduced_precision_f32(tf32);
        // The value that the GPU's own arithmetic makes of 0 / 0, whose bits are all set but the sign.
        let query = vec![f32::from_bits(0x7fff_ffff); 64];
        let query = Tensor::from_vec(query, (1, 1, 64), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let ones = Tensor::ones((1, 3, 64), dtype, &Device::Cpu).unwrap();
        let [q, k] = [query, ones].map(|x| x.to_device(&gpu).unwrap());
        let tape = Tape::inference(PassConfig::deterministic(dtype), &gpu);
        let y = tape.attention(&q, &k, &k, Sequences::default(), Heads::of(1, Dropout::NONE)).unwrap();
        assert!(numbers(&y).iter().all(|y| y.is_nan()), "{dtype:?}, TF32 {tf32}: {:?}", numbers(&y));
    }
    set_gemm_reduced_precision_f32(false);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn attention_and_mixtures_agree_with_the_cpu_in_every_dtype() {
    let gpu = gpu();
    let in_tiles = [(1, 1, 1, 1, 1), (2, 7, 3, 3, 5), (3, 33, 13, 2, 3), (1, 70, 70, 1, 8)];
    // Heads of width 64 have kernels of their own, but for f32.
    let fused = [
        (1, 1, 1, 1, 64),
        (2, 7, 3, 3, 64),
        (1, 150, 13, 2, 64),
        (2, 64, 65, 1, 64),
        // More than one block has keys of a head.
        (1, 33, 130, 1, 64),
        (1, 128, 257, 2, 64),
    ];
    for (b, t, keys, n_heads, d_head) in in_tiles.into_iter().chain(fused) {
        of_attention(b, t, keys, n_heads, d_head).iter().for_each(|case| check(case, &gpu));
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn operations_of_decoders_agree_with_the_cpu_in_every_dtype() {
    let gpu = gpu();
    for (rows, columns) in [(1, 1), (5, 6), (13, 129), (700, 64)] {
        of_decoders(rows, columns).iter().for_each(|case| check(case, &gpu));
    }
    for case in of_causal_attention(2, 7, (4, 2), 6) {
        // Heads of such a width cannot be turned but by a composition: see `is_composed`, and its dropout is not the CPU's.
        if case.what.ends_with("dropout 0") {
            case.is_near_on(&gpu, DType::F32, &case.exact(), 1e-5);
        }
    }
    let in_tiles = [(2, 33, (4, 2), 8), (1, 70, (3, 3), 24)];
    let fused = [
        (1, 1, (1, 1), 64),
        (2, 31, (3, 1), 64),
        // Queries that see no key of a tile, and keys that no query of a tile sees.
        (2, 150, (2, 2), 64),
        // More than one block has keys of a head.
        (1, 300, (2, 1), 64),
        (2, 50, (4, 2), 128),
        (1, 270, (2, 1), 128),
    ];
    for (b, t, heads, d_head) in in_tiles.into_iter().chain(fused) {
        of_causal_attention(b, t, heads, d_head).iter().for_each(|case| check(case, &gpu));
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn losses_and_gradients_of_decoders_agree_with_the_cpu() {
    let gpu = gpu();
    let run = |device: &Device, (config, spec): (&Config, &str), [params, dtype]: [DType; 2], dropout: f64| {
        let pass = PassConfig { dtype, ops: Ops::Fused, dropout, dropout_seed: 5 };
        let model = CausalLm::new(config, spec.parse().unwrap(), Params::random(3, params, device)).unwrap();
        let tape = Tape::new(pass, device);
        let loss = model.loss(&decoders::batch(2, device), &tape).unwrap();
        (numbers(&loss)[0], tape.backward(&loss, None).unwrap(), model)
    };
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    // The heads of the first cannot be turned but by a composition: its dropout is not that of the CPU, and see `is_composed`.
    let (composed, makes) = ([(DType::F32, 1e-4, 0.0)], [(DType::F32, 1e-4, 0.2), (DType::BF16, 3e-2, 0.2)]);
    let narrow = decoders::all().into_iter().map(|(_, config, spec)| (config, spec, &composed[..]));
    let wide = decoders::with_wide_heads().into_iter().map(|(config, spec)| (config, spec, &makes[..]));
    for (config, spec, makes) in narrow.chain(wide) {
        for (dtype, tolerance, dropout) in makes.iter().copied() {
            let of = (&config, spec);
            let (exact, exact_gradients, exact_model) = run(&Device::Cpu, of, [DType::F64; 2], dropout);
            let (loss, gradients, model) = run(&gpu, of, [DType::F32, dtype], dropout);
            assert!((loss / exact - 1.0).abs() < tolerance, "{spec} {config:?} {dtype:?}: {loss} and {exact}");
            // All gradients as one vector: some are zero but for rounding.
            let (mut off, mut size) = (Vec::new(), Vec::new());
            for ((_, var), (name, exact_var)) in model.params().iter().zip(exact_model.params().iter()) {
                let Some(exact) = exact_gradients.get(exact_var) else { continue };
                let ours = gradients.get(var).unwrap_or_else(|| panic!("{spec} {name} has no gradient"));
                let (ours, exact) = (numbers(ours), numbers(exact));
                off.extend(ours.iter().zip(&exact).map(|(a, b)| a - b));
                size.extend(exact);
            }
            let off = norm(&off) / norm(&size);
            assert!(off < 2.0 * tolerance, "{spec} {config:?} {dtype:?}: gradients are off by {off:e}");
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn losses_and_gradients_of_modern_bert_agree_with_the_cpu() {
    let gpu = gpu();
    let config = modern_bert::with_wide_heads();
    let run = |device: &Device, [params, dtype]: [DType; 2]| {
        let pass = PassConfig { dtype, ops: Ops::Fused, dropout: 0.2, dropout_seed: 5 };
        let model = ModernBertForMaskedLm::new(&config, Arch::Dense, Params::random(3, params, device)).unwrap();
        let tape = Tape::new(pass, device);
        let loss = model.masked_lm(&modern_bert::batch(&config, 2, device), &tape).unwrap();
        (numbers(&loss)[0], tape.backward(&loss, None).unwrap(), model)
    };
    let (exact, exact_gradients, exact_model) = run(&Device::Cpu, [DType::F64; 2]);
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::BF16, 3e-2)] {
        let (loss, gradients, model) = run(&gpu, [DType::F32, dtype]);
        assert!((loss / exact - 1.0).abs() < tolerance, "{dtype:?}: {loss} and {exact}");
        let (mut off, mut size) = (Vec::new(), Vec::new());
        for ((name, var), (_, exact_var)) in model.params().iter().zip(exact_model.params().iter()) {
            let ours = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
            let (ours, exact) = (numbers(ours), numbers(exact_gradients.get(exact_var).unwrap()));
            off.extend(ours.iter().zip(&exact).map(|(a, b)| a - b));
            size.extend(exact);
        }
        let off = norm(&off) / norm(&size);
        assert!(off < 2.0 * tolerance, "{dtype:?}: gradients are off by {off:e}");
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn logits_losses_and_every_gradient_agree_with_pytorch() {
    for arch in 0..ARCHS.len() {
        agrees_with_pytorch(arch, (DType::F32, Ops::Fused), &gpu(), (2e-5, 2e-4));
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_gpu_drops_out_what_the_cpu_drops_out() {
    let pass = |dtype| PassConfig { dtype, ops: Ops::Fused, dropout: 0.2, dropout_seed: 5 };
    for spec in ARCHS {
        let run = |device: &Device, dtype| {
            let model = model_on(device, spec, dtype);
            let batch = Batch::random(&tiny(), shape(), 2, device).unwrap();
            let tape = Tape::new(pass(dtype), device);
            let loss = model.losses(&batch, &tape).unwrap().total;
            (numbers(&loss)[0], tape.backward(&loss, None).unwrap(), model)
        };
        let (exact, exact_gradients, exact_model) = run(&Device::Cpu, DType::F64);
        let (loss, gradients, model) = run(&gpu(), DType::F32);
        assert!((loss / exact - 1.0).abs() < 1e-5, "{spec}: {loss} and {exact}");
        for ((name, var), (_, exact_var)) in model.params().iter().zip(exact_model.params().iter()) {
            // The gradient of a key bias is zero but for rounding.
            let off = difference(gradients.get(var).unwrap(), exact_gradients.get(exact_var).unwrap());
            assert!(
                off < 1e-3 || name.contains("key.bias") || name.contains("key.decode.bias"),
                "{spec} {name}: {off:e}"
            );
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn train_steps_in_every_dtype_follow_those_of_the_cpu() {
    for spec in ARCHS {
        let losses = |device: &Device, dtype: DType| -> Vec<f64> {
            let model = model_on(device, spec, DType::F32);
            let config = AdamWConfig { lr: 5e-3, ..AdamWConfig::default() };
            let mut optimizer = AdamW::new(model.params(), config, Ops::Fused).unwrap();
            let batch = Batch::random(&tiny(), shape(), 1, device).unwrap();
            let step = |_| {
                let tape = Tape::new(PassConfig { dropout: 0.1, ..PassConfig::deterministic(dtype) }, device);
                let loss = model.losses(&batch, &tape).unwrap().total;
                let gradients = tape.backward(&loss, None).unwrap();
                optimizer.step(model.params(), &gradients).unwrap();
                numbers(&loss)[0]
            };
            (0..5).map(step).collect()
        };
        let exact = losses(&Device::Cpu, DType::F32);
        assert!(exact[4] < exact[0], "{spec}: {exact:?}");
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F16, 1e-2), (DType::BF16, 3e-2)] {
            if dtype != DType::F32 && is_composed(spec) {
                continue;
            }
            for (step, (ours, exact)) in losses(&gpu(), dtype).iter().zip(&exact).enumerate() {
                assert!((ours / exact - 1.0).abs() < tolerance, "{spec} {dtype:?}, step {step}: {ours} and {exact}");
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn every_weight_is_updated_as_on_the_cpu_whatever_its_size() {
    // Of one, no multiple of four, several turns of a block, and more than a block updates.
    let sizes = [1, 5, 3001, 66_001, 131_072];
    let updated = |device: &Device| -> Vec<Vec<f64>> {
        let ramp = |n: usize, by: f32| -> Tensor {
            let values: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * by).collect();
            Tensor::from_vec(values, n, device).unwrap()
        };
        let vars: Vec<Var> = sizes.iter().map(|n| Var::from_tensor(&ramp(*n, 1e-3)).unwrap()).collect();
        let mut moments: Vec<Moments> = vars.iter().map(|v| Moments::zeros(v, true).unwrap()).collect();
        for step in 1..=3 {
            let gradients: Vec<Tensor> = sizes.iter().map(|n| ramp(*n, 1e-2 * step as f32)).collect();
            let of = vars.iter().zip(&gradients).zip(&mut moments);
            let mut updates: Vec<Update<'_>> =
                of.map(|((var, gradient), moments)| Update { var, gradient, moments }).collect();
            let rates = AdamWRates { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-6, weight_decay: 0.1, step };
            adamw(&mut updates, rates).unwrap();
        }
        vars.iter().map(|v| numbers(v.as_tensor())).collect()
    };
    for ((ours, exact), n) in updated(&gpu()).iter().zip(updated(&Device::Cpu)).zip(sizes) {
        let off = ours.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-5, "of {n} numbers one is off by {off:e}");
    }
}
