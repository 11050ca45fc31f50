//! The models against PyTorch, against finite differences, and against themselves.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use greenformers::model::{Arch, Config, Details, Family, StepShape, count_params};
use greenformers::nn::{AdamW, AdamWConfig, Batch, BertForPreTraining, Gradients, Ops, Params, PassConfig, Tape};

pub(crate) const ARCHS: [&str; 6] = [
    "dense",
    "lrt:rank=5",
    "linformer:k=4",
    "linformer:k=4,share=layer",
    "linformer:k=4,share=kv,order=projected",
    "linformer:k=4,share=none,order=projected",
];
const GOLDENS: [&str; 6] = ["dense", "lrt", "linformer_model", "linformer_layer", "linformer_kv", "linformer_none"];

/// The configuration of `goldens/generate.py`.
pub(crate) fn tiny() -> Config {
    Config {
        family: Family::Encoder,
        n_layers: 2,
        d_model: 12,
        n_heads: 3,
        d_ff: 20,
        vocab_size: 29,
        max_seq_len: 11,
        type_vocab_size: 2,
        gated_mlp: false,
        details: Details::default(),
    }
}

pub(crate) fn shape() -> StepShape {
    StepShape { batch_size: 3, seq_len: 7, masked_per_seq: 2 }
}

fn model(spec: &str, dtype: DType) -> BertForPreTraining {
    model_on(&Device::Cpu, spec, dtype)
}

/// The same weights on every device.
pub(crate) fn model_on(device: &Device, spec: &str, dtype: DType) -> BertForPreTraining {
    BertForPreTraining::new(&tiny(), spec.parse().unwrap(), Params::random(3, dtype, device)).unwrap()
}

pub(crate) fn golden(name: &str) -> PathBuf {
    // Where the test runs, which need not be where it was built.
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(root).join("tests/goldens").join(name)
}

pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn tape(pass: PassConfig) -> Tape {
    Tape::new(pass, &Device::Cpu)
}

fn loss(model: &BertForPreTraining, batch: &Batch, pass: PassConfig) -> Tensor {
    model.losses(batch, &Tape::inference(pass, &Device::Cpu)).unwrap().total
}

fn loss_and_gradients(model: &BertForPreTraining, batch: &Batch, pass: PassConfig) -> (Tensor, Gradients) {
    let tape = tape(pass);
    let loss = model.losses(batch, &tape).unwrap().total;
    let gradients = tape.backward(&loss, None).unwrap();
    (loss, gradients)
}

/// The largest difference, relative to the largest number.
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (numbers(a), numbers(b));
    let size = b.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) / size.max(1e-12)
}

fn batch_of(expected: &HashMap<String, Tensor>) -> Batch {
    let get = |name: &str| expected[name].clone();
    Batch {
        input_ids: get("input_ids"),
        token_type_ids: get("token_type_ids"),
        attention_mask: Some(get("attention_mask")),
        masked_positions: get("masked_positions"),
        masked_labels: get("masked_labels"),
        next_sentence_labels: get("next_sentence_labels"),
    }
}

/// Compares everything that PyTorch computed for an architecture, each to a part of its largest entry.
pub(crate) fn agrees_with_pytorch(
    arch: usize,
    (dtype, ops): (DType, Ops),
    device: &Device,
    (tolerance, of_gradients): (f64, f64),
) {
    let (spec, name) = (ARCHS[arch], GOLDENS[arch]);
    let params = Params::from_safetensors(&golden(&format!("{name}.safetensors")), dtype, device).unwrap();
    let expected = candle_core::safetensors::load(golden(&format!("{name}.expected.safetensors")), device).unwrap();
    let model = BertForPreTraining::new(&tiny(), spec.parse().unwrap(), params).unwrap();
    let pass = PassConfig { ops, ..PassConfig::deterministic(dtype) };
    let batch = batch_of(&expected);
    let (masked, next_sentence) = model.logits(&batch, &Tape::inference(pass, device)).unwrap();
    let tape = Tape::new(pass, device);
    let losses = model.losses(&batch, &tape).unwrap();
    for (what, ours) in [
        ("masked_logits", &masked),
        ("next_sentence_logits", &next_sentence),
        ("masked_lm", &losses.masked_lm),
        ("next_sentence", &losses.next_sentence),
    ] {
        let off = difference(ours, &expected[what]);
        assert!(off < tolerance, "{spec} {dtype:?} {ops}: {what} is off by {off:e}");
    }
    let grads = tape.backward(&losses.total, None).unwrap();
    let what = format!("{spec} {dtype:?} {ops}");
    gradients_are_the_goldens(&what, (model.params(), &grads), &expected, of_gradients, |_, ours, _| ours.clone());
}

/// Whether every weight has its gradient in the golden, and every one of the golden its weight, each to `tolerance` of its largest
/// entry. `as_stored` gives the gradient of a weight as the golden stores it.
pub(crate) fn gradients_are_the_goldens(
    what: &str,
    (params, gradients): (&Params, &Gradients),
    expected: &HashMap<String, Tensor>,
    tolerance: f64,
    as_stored: impl Fn(&str, &Tensor, &Tensor) -> Tensor,
) {
    let mut compared = 0;
    for (weight, var) in params.iter() {
        let theirs = &expected[&format!("grad.{weight}")];
        let ours = gradients.get(var).unwrap_or_else(|| panic!("{what}: {weight} has no gradient"));
        // A gradient that is zero in exact arithmetic (a key bias: softmax ignores it) is noise in both.
        let scale = numbers(theirs).iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let off = difference(&as_stored(weight, ours, theirs), theirs) * if scale < 1e-10 { 1e-9 } else { 1.0 };
        assert!(off < tolerance, "{what}: gradient of {weight} is off by {off:e}");
        compared += 1;
    }
    assert_eq!(compared, expected.keys().filter(|k| k.starts_with("grad.")).count(), "{what}");
}

/// Whether the first, the middle and the last entry of every gradient are what `loss` changes by when the weight is moved.
pub(crate) fn gradients_are_central_differences(
    what: &str,
    (params, gradients): (&Params, &Gradients),
    loss: impl Fn() -> f64,
) {
    for (name, var) in params.iter() {
        let analytic = numbers(gradients.get(var).unwrap());
        let original = var.as_tensor().copy().unwrap();
        let values = numbers(&original);
        for entry in [0, values.len() / 2, values.len() - 1] {
            let step = 1e-5;
            let at = |delta: f64| {
                let mut moved = values.clone();
                moved[entry] += delta;
                var.set(&Tensor::from_vec(moved, original.shape(), &Device::Cpu).unwrap()).unwrap();
                loss()
            };
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            assert!(
                (numeric - analytic[entry]).abs() < 1e-6 * (1.0 + numeric.abs()),
                "{what} {name}[{entry}]: {numeric} by differences, {} by backward",
                analytic[entry]
            );
        }
        var.set(&original).unwrap();
    }
}

#[test]
fn logits_losses_and_every_gradient_agree_with_pytorch() {
    for arch in 0..ARCHS.len() {
        agrees_with_pytorch(arch, (DType::F64, Ops::Fused), &Device::Cpu, (1e-12, 1e-11));
        agrees_with_pytorch(arch, (DType::F64, Ops::Stock), &Device::Cpu, (1e-12, 1e-11));
        // PyTorch's own gradients in f32 are off by 2.4e-5 of those in f64, on a processor with AVX2.
        agrees_with_pytorch(arch, (DType::F32, Ops::Fused), &Device::Cpu, (2e-5, 1e-4));
    }
}

#[test]
fn every_weight_gets_a_gradient_in_every_architecture_with_dropout() {
    for spec in ARCHS {
        let model = model(spec, DType::F32);
        let batch = Batch::random(&tiny(), shape(), 1, &Device::Cpu).unwrap();
        let pass = PassConfig { dtype: DType::F32, ops: Ops::Fused, dropout: 0.1, dropout_seed: 9 };
        let (_, grads) = loss_and_gradients(&model, &batch, pass);
        for (name, var) in model.params().iter() {
            let grad = grads.get(var).unwrap_or_else(|| panic!("{spec}: {name} has no gradient"));
            // A key bias adds the same to all scores of a row: its gradient is zero but for rounding.
            let largest = numbers(grad).iter().fold(0.0f64, |m, x| m.max(x.abs()));
            assert!(largest > 0.0 || name.contains("key"), "{spec}: the gradient of {name} is zero");
        }
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    for spec in ARCHS {
        let model = model(spec, DType::F64);
        let batch = Batch::random(&tiny(), shape(), 2, &Device::Cpu).unwrap();
        let pass = PassConfig { dtype: DType::F64, ops: Ops::Fused, dropout: 0.2, dropout_seed: 5 };
        let value = || loss(&model, &batch, pass).to_scalar::<f64>().unwrap();
        let (_, grads) = loss_and_gradients(&model, &batch, pass);
        gradients_are_central_differences(spec, (model.params(), &grads), value);
    }
}

#[test]
fn a_train_step_is_finite_in_every_dtype() {
    for spec in ARCHS {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let model = model(spec, DType::F32);
            let mut optimizer = AdamW::new(model.params(), AdamWConfig::default(), Ops::Fused).unwrap();
            let mut batch = Batch::random(&tiny(), shape(), 1, &Device::Cpu).unwrap();
            // With and without padding: the mask is where half precision has overflowed before.
            let ones = Tensor::ones((3, 7), DType::U32, &Device::Cpu).unwrap();
            for mask in [None, Some(ones)] {
                batch.attention_mask = mask;
                let pass = PassConfig { dtype, ops: Ops::Fused, dropout: 0.1, dropout_seed: 1 };
                let (loss, grads) = loss_and_gradients(&model, &batch, pass);
                let value = numbers(&loss)[0];
                assert!((1.0..10.0).contains(&value), "{spec} {dtype:?}: loss {value}");
                optimizer.step(model.params(), &grads).unwrap();
            }
            for (name, var) in model.params().iter() {
                assert!(numbers(var).iter().all(|x| x.is_finite()), "{spec} {dtype:?}: {name} is not finite");
            }
        }
    }
}

#[test]
fn half_precision_stays_near_single_precision() {
    let batch = Batch::random(&tiny(), shape(), 1, &Device::Cpu).unwrap();
    for spec in ARCHS {
        let model = model(spec, DType::F32);
        let value = |dtype| numbers(&loss(&model, &batch, PassConfig::deterministic(dtype)))[0];
        let exact = value(DType::F32);
        for dtype in [DType::BF16, DType::F16] {
            assert!((value(dtype) / exact - 1.0).abs() < 1e-2, "{spec} {dtype:?}: {} against {exact}", value(dtype));
        }
    }
}

#[test]
fn what_stands_in_padding_does_not_change_the_rest() {
    for spec in ARCHS {
        let model = model(spec, DType::F64);
        let mut batch = Batch::random(&tiny(), shape(), 4, &Device::Cpu).unwrap();
        let mask: Vec<u32> = (0..21).map(|i| u32::from(i % 7 < 5)).collect();
        batch.attention_mask = Some(Tensor::from_vec(mask.clone(), (3, 7), &Device::Cpu).unwrap());
        let pass = Tape::inference(PassConfig::deterministic(DType::F64), &Device::Cpu);
        let before = model.encode(&batch, &pass).unwrap().narrow(1, 0, 5).unwrap();
        let ids: Vec<u32> = batch.input_ids.flatten_all().unwrap().to_vec1().unwrap();
        let changed: Vec<u32> =
            ids.iter().zip(&mask).map(|(id, m)| if *m == 1 { *id } else { (id + 1) % 29 }).collect();
        batch.input_ids = Tensor::from_vec(changed, (3, 7), &Device::Cpu).unwrap();
        let after = model.encode(&batch, &pass).unwrap().narrow(1, 0, 5).unwrap();
        assert!(difference(&after, &before) < 1e-12, "{spec}");
        batch.attention_mask = None;
        let unmasked = model.encode(&batch, &pass).unwrap().narrow(1, 0, 5).unwrap();
        assert!(difference(&unmasked, &before) > 1e-6, "{spec}: the mask does nothing");
    }
}

#[test]
fn the_built_model_has_the_number_of_parameters_that_is_counted() {
    let mut wide = tiny();
    (wide.n_layers, wide.vocab_size) = (3, 31);
    for spec in ARCHS {
        let arch: Arch = spec.parse().unwrap();
        for config in [tiny(), wide.clone()] {
            let model = BertForPreTraining::new(&config, arch, Params::random(1, DType::F32, &Device::Cpu)).unwrap();
            assert_eq!(model.params().count(), count_params(&config, arch), "{spec}");
        }
    }
}

#[test]
fn bert_base_is_built_with_its_published_number_of_parameters() {
    let config =
        Config { n_layers: 12, d_model: 768, n_heads: 12, d_ff: 3072, vocab_size: 30522, max_seq_len: 512, ..tiny() };
    for (spec, count) in [("dense", 110_106_428), ("lrt:rank=256", 67_639_100), ("linformer:k=128", 110_171_964)] {
        let params = Params::random(0, DType::F32, &Device::Cpu);
        let model = BertForPreTraining::new(&config, spec.parse().unwrap(), params).unwrap();
        assert_eq!(model.params().count(), count, "{spec}");
    }
}

#[test]
fn the_first_update_of_adamw_is_the_one_worked_out_by_hand() {
    // The fused update is of f32, the stock one of f64.
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
        let model = model("dense", dtype);
        let batch = Batch::random(&tiny(), shape(), 1, &Device::Cpu).unwrap();
        let (_, grads) = loss_and_gradients(&model, &batch, PassConfig::deterministic(dtype));
        let before: Vec<Vec<f64>> = model.params().iter().map(|(_, v)| numbers(v)).collect();
        let config = AdamWConfig { lr: 0.01, weight_decay: 0.1, ..AdamWConfig::default() };
        AdamW::new(model.params(), config, Ops::Fused).unwrap().step(model.params(), &grads).unwrap();
        for ((name, var), before) in model.params().iter().zip(before) {
            let grad = numbers(grads.get(var).unwrap());
            for ((after, before), g) in numbers(var).iter().zip(before).zip(grad) {
                // Both bias corrections cancel in the first step: w (1 - 0.01 x 0.1) - 0.01 g / (|g| + 1e-6).
                let expected = before * 0.999 - 0.01 * g / (g.abs() + 1e-6);
                assert!((after - expected).abs() < tolerance, "{name} {dtype:?}: {after}, expected {expected}");
            }
        }
    }
}

#[test]
fn training_on_one_batch_lowers_the_loss() {
    for spec in ARCHS {
        let model = model(spec, DType::F32);
        let mut optimizer =
            AdamW::new(model.params(), AdamWConfig { lr: 5e-3, ..AdamWConfig::default() }, Ops::Fused).unwrap();
        let batch = Batch::random(&tiny(), shape(), 1, &Device::Cpu).unwrap();
        let pass = PassConfig::deterministic(DType::F32);
        let mut losses = Vec::new();
        for _ in 0..30 {
            let (loss, gradients) = loss_and_gradients(&model, &batch, pass);
            losses.push(numbers(&loss)[0]);
            optimizer.step(model.params(), &gradients).unwrap();
        }
        assert!(losses[29] < 0.6 * losses[0], "{spec}: {} to {}", losses[0], losses[29]);
    }
}

#[test]
fn a_checkpoint_that_does_not_fit_says_which_weight() {
    let load = |name: &str, config: &Config, arch: &str| {
        let params = Params::from_safetensors(&golden(name), DType::F32, &Device::Cpu).unwrap();
        BertForPreTraining::new(config, arch.parse().unwrap(), params).err().unwrap().to_string()
    };
    let missing = load("dense.safetensors", &tiny(), "lrt:rank=5");
    assert!(missing.contains("has no tensor `bert.encoder.layer.0.attention.self.query.encode.weight`"), "{missing}");
    let wider = Config { vocab_size: 30, ..tiny() };
    let shape = load("dense.safetensors", &wider, "dense");
    assert!(shape.contains("has shape [29, 12]: expected [30, 12]"), "{shape}");
}

#[test]
fn sequences_longer_than_the_model_are_refused() {
    let model = model("dense", DType::F32);
    let long = StepShape { batch_size: 1, seq_len: 12, masked_per_seq: 2 };
    let batch = Batch::random(&tiny(), long, 1, &Device::Cpu).unwrap();
    let error = model.encode(&batch, &tape(PassConfig::deterministic(DType::F32))).unwrap_err().to_string();
    assert_eq!(error, "sequences of 12 tokens: the model takes at most 11");
}

#[test]
fn fused_operations_compute_what_the_stock_composition_does_with_the_same_dropout() {
    for spec in ARCHS {
        let model = model(spec, DType::F64);
        let batch = Batch::random(&tiny(), shape(), 6, &Device::Cpu).unwrap();
        let run = |ops| {
            let pass = PassConfig { dtype: DType::F64, ops, dropout: 0.3, dropout_seed: 77 };
            let (loss, gradients) = loss_and_gradients(&model, &batch, pass);
            (numbers(&loss)[0], gradients)
        };
        let ((fused, fused_grads), (stock, stock_grads)) = (run(Ops::Fused), run(Ops::Stock));
        assert!((fused / stock - 1.0).abs() < 1e-12, "{spec}: {fused} and {stock}");
        for (name, var) in model.params().iter() {
            let (a, b) = (numbers(fused_grads.get(var).unwrap()), numbers(stock_grads.get(var).unwrap()));
            let worst = a.iter().zip(&b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst < 1e-12, "{spec}: gradients of {name} differ by {worst:e}");
        }
    }
}
