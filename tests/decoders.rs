//! Decoders against transformers and peft, against finite differences, and against themselves.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use greenformers::model::{
    Arch, Bias, Config, Details, Family, Norm, NormPlace, Positions, QkNorm, Rotary, Scaling, StepShape, Theta, Window,
    count_params, trainable_params,
};
use greenformers::nn::{
    AdamW, AdamWConfig, CausalBatch, CausalLm, Gradients, Input, Model, Ops, Params, PassConfig, Tape,
};

use crate::nn::{difference, golden, gradients_are_central_differences, gradients_are_the_goldens, numbers};

/// GPT-2 as `goldens/decoders.py` has it.
fn gpt2() -> Config {
    let details = Details { fused_qkv: true, activation: Some("gelu_new".to_owned()), ..Details::default() };
    Config {
        family: Family::Decoder,
        n_layers: 2,
        d_model: 12,
        n_heads: 3,
        d_ff: 20,
        vocab_size: 29,
        max_seq_len: 11,
        type_vocab_size: 0,
        gated_mlp: false,
        details,
    }
}

/// Llama as `goldens/decoders.py` has it, with other details beside.
fn llama(details: Details) -> Config {
    let details = Details {
        norm: Some(Norm::Rms),
        positions: Some(Positions::Rotary),
        biases: Some(Vec::new()),
        head_dim: details.head_dim.or(Some(6)),
        n_kv_heads: details.n_kv_heads.or(Some(2)),
        tied_head: details.tied_head.or(Some(false)),
        ..details
    };
    Config { n_heads: 4, gated_mlp: true, details, ..gpt2() }
}

fn qwen3() -> Config {
    let (one, head) = (Some(1), Some(QkNorm::Head));
    llama(Details { n_kv_heads: one, qk_norm: head, tied_head: Some(true), ..Details::default() })
}

fn mistral() -> Config {
    llama(Details { sliding_window: Some(Window { length: 3, layers: 2, global_every: None }), ..Details::default() })
}

fn phi3() -> Config {
    let details = Details { n_kv_heads: Some(1), fused_qkv: true, fused_gate: true, ..Details::default() };
    Config { n_heads: 2, ..llama(details) }
}

/// The same, of whose heads of 6 elements 4 are turned.
fn phi3_partial() -> Config {
    let theta = Some(Theta::try_from(100.0).unwrap());
    let rotary = Rotary { theta, width: Some(4), ..Rotary::default() };
    let phi3 = phi3();
    Config { details: Details { rotary: Some(rotary), ..phi3.details }, ..phi3 }
}

fn llama_theta(theta: f64, scaling: Option<Scaling>) -> Config {
    let rotary = Rotary { theta: Some(Theta::try_from(theta).unwrap()), scaling, ..Rotary::default() };
    llama(Details { rotary: Some(rotary), ..Details::default() })
}

/// Llama whose angles are slowed by a factor of 4.
fn slowed(scaling: Scaling) -> Config {
    llama_theta(30.0, Some(scaling))
}

/// Its second layer turns nothing.
fn smollm3() -> Config {
    let rotary = Some(Rotary { unturned_every: Some(2), ..Rotary::default() });
    llama(Details { rotary, tied_head: Some(true), ..Details::default() })
}

fn olmo2() -> Config {
    let details = Details { norm_place: Some(NormPlace::Inner), qk_norm: Some(QkNorm::Width), ..Details::default() };
    llama(details)
}

/// Norms before and after each block.
fn gemma2() -> Config {
    let activation = Some("gelu_pytorch_tanh".to_owned());
    llama(Details { norms_per_layer: Some(4), tied_head: Some(true), activation, ..Details::default() })
}

fn qwen2() -> Config {
    let biases = Some(vec![Bias::Qkv]);
    let config = llama(Details { n_kv_heads: Some(1), tied_head: Some(true), ..Details::default() });
    Config { n_heads: 2, details: Details { biases, ..config.details }, ..config }
}

/// A decoder with what the others lack: parallel blocks, biases, plain layer norms, no positions, a head with a bias.
fn odd() -> Config {
    let details = Details {
        norm: Some(Norm::LayerWithoutBias),
        norms_per_layer: Some(1),
        positions: Some(Positions::None),
        biases: Some(vec![Bias::Qkv, Bias::Output, Bias::Mlp, Bias::Head]),
        activation: Some("relu".to_owned()),
        qk_norm: Some(QkNorm::Width),
        ..Details::default()
    };
    Config { gated_mlp: false, ..llama(details) }
}

pub(crate) fn all() -> Vec<(&'static str, Config, &'static str)> {
    vec![
        ("gpt2", gpt2(), "dense"),
        ("llama", llama(Details::default()), "dense"),
        ("qwen3", qwen3(), "dense"),
        ("mistral", mistral(), "dense"),
        ("phi3", phi3(), "dense"),
        ("phi3_partial", phi3_partial(), "dense"),
        ("llama_theta", llama_theta(500_000.0, None), "dense"),
        ("qwen2", qwen2(), "dense"),
        ("olmo2", olmo2(), "dense"),
        ("smollm3", smollm3(), "dense"),
        ("gemma2", gemma2(), "dense"),
        ("llama_linear", slowed(Scaling::Linear { factor: 4.0 }), "dense"),
        (
            "llama_llama3",
            slowed(Scaling::Llama3 {
                factor: 4.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_seq_len: 40.0,
            }),
            "dense",
        ),
        (
            "llama_yarn",
            slowed(Scaling::Yarn {
                factor: 4.0,
                original_max_seq_len: 80.0,
                beta_fast: 4.0,
                beta_slow: 1.0,
                attention_factor: None,
                truncate: true,
            }),
            "dense",
        ),
        ("llama_lrt", llama(Details { n_kv_heads: Some(1), ..Details::default() }), "lrt:rank=8"),
        ("llama_lora", llama(Details::default()), "lora:rank=3,targets=qv"),
        ("gpt2_lora", gpt2(), "lora:rank=3,targets=all"),
        ("", odd(), "dense"),
        ("", odd(), "lrt:rank=5"),
        ("", phi3(), "lora:rank=2,targets=all"),
        ("", gpt2(), "lrt:rank=4"),
        ("", gemma2(), "lora:rank=2,targets=qv"),
    ]
}

/// The largest model of each kind that a golden file is of.
fn of_goldens() -> impl Iterator<Item = (&'static str, Config, &'static str)> {
    all().into_iter().filter(|(name, ..)| !name.is_empty())
}

fn batch_of(expected: &HashMap<String, Tensor>) -> CausalBatch {
    let get = |name: &str| expected[name].clone();
    CausalBatch {
        input_ids: get("input_ids"),
        starts: Some(get("starts")),
        rows: Some(get("rows")),
        labels: get("labels"),
    }
}

/// Those whose attention a GPU has kernels for: with heads of 64 and of 128.
#[cfg(feature = "cuda")]
pub(crate) fn with_wide_heads() -> Vec<(Config, &'static str)> {
    let wide = |config: Config, head_dim| {
        let details = Details { head_dim: Some(head_dim), ..config.details.clone() };
        Config { details, ..config }
    };
    let of_part = |config: Config, width| {
        let rotary = Some(Rotary { width: Some(width), ..Rotary::default() });
        Config { details: Details { rotary, ..config.details.clone() }, ..config }
    };
    vec![
        (Config { d_model: 192, ..gpt2() }, "dense"),
        (wide(llama(Details::default()), 64), "dense"),
        (wide(qwen3(), 64), "dense"),
        (wide(mistral(), 64), "lora:rank=3,targets=all"),
        (wide(llama(Details::default()), 128), "dense"),
        (wide(mistral(), 128), "dense"),
        (wide(phi3(), 128), "lora:rank=2,targets=all"),
        (of_part(wide(phi3(), 64), 16), "dense"),
        (of_part(wide(llama(Details::default()), 128), 96), "dense"),
    ]
}

/// Three sequences: one whole, one with padding before it, one of two documents.
pub(crate) fn batch(seed: u64, device: &Device) -> CausalBatch {
    let shape = StepShape { batch_size: 3, seq_len: 7, masked_per_seq: 7 };
    let starts = Tensor::new(&[[0u32; 7], [0, 1, 2, 2, 2, 2, 2], [0, 0, 0, 0, 4, 4, 4]], device).unwrap();
    CausalBatch { starts: Some(starts), ..CausalBatch::random(&gpt2(), shape, seed, device).unwrap() }
}

fn model(config: &Config, spec: &str, dtype: DType) -> CausalLm {
    CausalLm::new(config, spec.parse().unwrap(), Params::random(3, dtype, &Device::Cpu)).unwrap()
}

fn loss(model: &CausalLm, batch: &CausalBatch, pass: PassConfig) -> f64 {
    numbers(&model.loss(batch, &Tape::inference(pass, &Device::Cpu)).unwrap())[0]
}

fn loss_and_gradients(model: &CausalLm, batch: &CausalBatch, pass: PassConfig) -> (f64, Gradients) {
    let tape = Tape::new(pass, &Device::Cpu);
    let loss = model.loss(batch, &tape).unwrap();
    (numbers(&loss)[0], tape.backward(&loss, None).unwrap())
}

#[test]
fn losses_and_every_gradient_of_decoders_agree_with_transformers_and_peft() {
    for (name, config, spec) in of_goldens() {
        for (dtype, ops, tolerance) in
            [(DType::F64, Ops::Fused, 1e-11), (DType::F64, Ops::Stock, 1e-11), (DType::F32, Ops::Fused, 2e-5)]
        {
            let params = Params::from_safetensors(&golden(&format!("{name}.safetensors")), dtype, &Device::Cpu);
            let expected = golden(&format!("{name}.expected.safetensors"));
            let expected = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
            let model = CausalLm::new(&config, spec.parse().unwrap(), params.unwrap()).unwrap();
            let batch = batch_of(&expected);
            let pass = PassConfig { ops, ..PassConfig::deterministic(dtype) };
            let hidden = model.hidden(&batch, &Tape::inference(pass, &Device::Cpu)).unwrap();
            let off = difference(&hidden, &expected["hidden"]);
            assert!(off < tolerance, "{name} {dtype:?} {ops}: hidden states are off by {off:e}");
            let (loss, gradients) = loss_and_gradients(&model, &batch, pass);
            let theirs = numbers(&expected["loss"])[0];
            assert!((loss / theirs - 1.0).abs() < tolerance, "{name} {dtype:?} {ops}: loss {loss}, theirs {theirs}");
            let as_stored = |weight: &str, ours: &Tensor, theirs: &Tensor| {
                // GPT-2's matrices are stored with their inputs first.
                let is_transposed = ours.dims() != theirs.dims() || weight.contains("attn.c_proj.weight");
                if is_transposed { ours.t().unwrap() } else { ours.clone() }
            };
            let (what, of) = (format!("{name} {dtype:?} {ops}"), (model.params(), &gradients));
            gradients_are_the_goldens(&what, of, &expected, tolerance.max(1e-10), as_stored);
        }
    }
}

#[test]
fn gradients_of_decoders_agree_with_central_differences() {
    for (_, config, spec) in all() {
        let model = model(&config, spec, DType::F64);
        let batch = batch(2, &Device::Cpu);
        let pass = PassConfig { dtype: DType::F64, ops: Ops::Fused, dropout: 0.2, dropout_seed: 5 };
        let (_, gradients) = loss_and_gradients(&model, &batch, pass);
        gradients_are_central_differences(spec, (model.params(), &gradients), || loss(&model, &batch, pass));
    }
}

#[test]
fn fused_operations_of_decoders_compute_what_the_stock_composition_does_with_the_same_dropout() {
    for (_, config, spec) in all() {
        let model = model(&config, spec, DType::F64);
        let run = |ops| {
            let pass = PassConfig { dtype: DType::F64, ops, dropout: 0.3, dropout_seed: 77 };
            loss_and_gradients(&model, &batch(6, &Device::Cpu), pass)
        };
        let ((fused, of_fused), (stock, of_stock)) = (run(Ops::Fused), run(Ops::Stock));
        assert!((fused / stock - 1.0).abs() < 1e-12, "{spec}: {fused} and {stock}");
        for (name, var) in model.params().iter() {
            let (a, b) = (numbers(of_fused.get(var).unwrap()), numbers(of_stock.get(var).unwrap()));
            let worst = a.iter().zip(&b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst < 1e-12, "{spec}: gradients of {name} differ by {worst:e}");
        }
    }
}

#[test]
fn sequences_longer_than_a_tile_see_what_the_stock_composition_sees() {
    // 300 queries are three tiles, of which a window of 130 leaves keys out on both sides.
    let window = |length| Some(Window { length, layers: 1, global_every: None });
    for sliding_window in [None, window(130), window(1)] {
        let mut config = llama(Details { sliding_window, ..Details::default() });
        (config.max_seq_len, config.n_layers) = (300, 2);
        let model = model(&config, "dense", DType::F64);
        let shape = StepShape { batch_size: 2, seq_len: 300, masked_per_seq: 300 };
        let starts: Vec<u32> = (0..600).map(|i| if i % 300 < 170 { 0 } else { 170 * u32::from(i > 299) }).collect();
        let starts = Tensor::from_vec(starts, (2, 300), &Device::Cpu).unwrap();
        let batch =
            CausalBatch { starts: Some(starts), ..CausalBatch::random(&config, shape, 1, &Device::Cpu).unwrap() };
        let run = |ops| {
            let pass = PassConfig { dtype: DType::F64, ops, dropout: 0.1, dropout_seed: 3 };
            loss_and_gradients(&model, &batch, pass)
        };
        let ((fused, of_fused), (stock, of_stock)) = (run(Ops::Fused), run(Ops::Stock));
        assert!((fused / stock - 1.0).abs() < 1e-12, "{sliding_window:?}: {fused} and {stock}");
        for (name, var) in model.params().iter() {
            let off = difference(of_fused.get(var).unwrap(), of_stock.get(var).unwrap());
            assert!(off < 1e-10, "{sliding_window:?}: gradients of {name} differ by {off:e}");
        }
    }
}

#[test]
fn later_tokens_padding_and_other_documents_do_not_leak() {
    for (name, config, spec) in all() {
        let model = model(&config, spec, DType::F64);
        let hidden = |batch: &CausalBatch| {
            let tape = Tape::inference(PassConfig::deterministic(DType::F64), &Device::Cpu);
            model.hidden(batch, &tape).unwrap()
        };
        let before = batch(4, &Device::Cpu);
        let ids: Vec<u32> = before.input_ids.flatten_all().unwrap().to_vec1().unwrap();
        let changed = |at: &[usize]| {
            let ids = ids.iter().enumerate().map(|(i, id)| if at.contains(&i) { (id + 1) % 29 } else { *id });
            let input_ids = Tensor::from_vec(ids.collect(), (3, 7), &Device::Cpu).unwrap();
            hidden(&CausalBatch { input_ids, ..before.clone() })
        };
        let of = |x: &Tensor, b: usize, first: usize, n: usize| x.get(b).unwrap().narrow(0, first, n).unwrap();
        let original = hidden(&before);
        // The last token of the first sequence, both of padding, and the first document of the third.
        let after = changed(&[6, 7, 8, 14, 17]);
        for (b, first, n) in [(0, 0, 6), (1, 2, 5), (2, 4, 3)] {
            let off = difference(&of(&after, b, first, n), &of(&original, b, first, n));
            assert!(off < 1e-12, "{name} {spec}: sequence {b} changed by {off:e}");
        }
        let seen = difference(&of(&after, 2, 1, 2), &of(&original, 2, 1, 2));
        assert!(seen > 1e-9, "{name} {spec}: a token does not see the one before it");
    }
}

#[test]
fn the_built_decoder_has_the_parameters_that_are_counted_and_trains_those_that_are_trained() {
    for (name, config, spec) in all() {
        let arch: Arch = spec.parse().unwrap();
        let model = model(&config, spec, DType::F32);
        assert_eq!(model.params().count(), count_params(&config, arch), "{name} {spec}");
        let trained: u64 = model.params().iter().map(|(_, var)| var.elem_count() as u64).sum();
        assert_eq!(trained, trainable_params(&config, arch), "{name} {spec}");
    }
}

#[test]
fn what_lora_leaves_as_it_is_has_no_gradient_and_does_not_move() {
    for (config, spec) in [(gpt2(), "lora:rank=2,targets=qv"), (llama(Details::default()), "lora:rank=2,targets=all")] {
        for ops in [Ops::Fused, Ops::Stock] {
            let model = model(&config, spec, DType::F32);
            let frozen: Vec<Vec<f64>> = model.params().frozen().map(numbers).collect();
            let pass = PassConfig { ops, ..PassConfig::deterministic(DType::F32) };
            let (_, gradients) = loss_and_gradients(&model, &batch(1, &Device::Cpu), pass);
            assert!(model.params().frozen().all(|weight| gradients.get(weight).is_none()), "{spec} {ops}");
            let mut optimizer = AdamW::new(model.params(), AdamWConfig::default(), ops).unwrap();
            optimizer.step(model.params(), &gradients).unwrap();
            assert_eq!(frozen, model.params().frozen().map(numbers).collect::<Vec<_>>(), "{spec} {ops}");
        }
    }
}

#[test]
fn training_a_decoder_on_one_batch_lowers_its_loss_in_every_dtype() {
    for (name, config, spec) in all() {
        for dtype in [DType::F32, DType::BF16] {
            let model = model(&config, spec, DType::F32);
            let lr = if spec.starts_with("lora") { 5e-2 } else { 5e-3 };
            let config = AdamWConfig { lr, ..AdamWConfig::default() };
            let mut optimizer = AdamW::new(model.params(), config, Ops::Fused).unwrap();
            let pass = PassConfig { dtype, ops: Ops::Fused, dropout: 0.1, dropout_seed: 1 };
            let mut losses = Vec::new();
            for _ in 0..30 {
                let (loss, gradients) = loss_and_gradients(&model, &batch(1, &Device::Cpu), pass);
                losses.push(loss);
                optimizer.step(model.params(), &gradients).unwrap();
            }
            let least = if spec.starts_with("lora") { 0.97 } else { 0.9 };
            assert!(losses[29] < least * losses[0], "{name} {spec} {dtype:?}: {} to {}", losses[0], losses[29]);
        }
    }
}

#[test]
fn a_model_takes_the_input_of_its_kind_alone() {
    let model = Model::new(&gpt2(), Arch::Dense, Params::random(1, DType::F32, &Device::Cpu)).unwrap();
    let tape = || Tape::inference(PassConfig::deterministic(DType::F32), &Device::Cpu);
    let shape = StepShape { batch_size: 2, seq_len: 5, masked_per_seq: 5 };
    let input = |config: &Config| Input::random(config, shape, 1, &Device::Cpu).unwrap();
    let loss = numbers(&model.loss(&input(&gpt2()), &tape()).unwrap())[0];
    // Untrained, all 29 tokens are about as likely.
    assert!((loss - 29f64.ln()).abs() < 0.3, "{loss}");
    let error = model.loss(&input(&crate::nn::tiny()), &tape()).unwrap_err().to_string();
    assert_eq!(error, "the input is of another kind of model");
    let long = StepShape { seq_len: 12, ..shape };
    let long = Input::random(&gpt2(), long, 1, &Device::Cpu).unwrap();
    let error = model.loss(&long, &tape()).unwrap_err().to_string();
    assert_eq!(error, "sequences of 12 tokens: the model takes at most 11");
}

#[test]
fn a_decoder_that_is_built_otherwise_says_what_it_has() {
    let params = || Params::random(1, DType::F32, &Device::Cpu);
    let alibi = Config { details: Details { positions: Some(Positions::Alibi), ..gpt2().details }, ..gpt2() };
    let error = Model::new(&alibi, Arch::Dense, params()).err().unwrap().to_string();
    assert_eq!(error, "the model is estimated, not computed: its positions are neither learned nor rotary");
    let linformer = "linformer:k=4".parse().unwrap();
    let error = Model::new(&gpt2(), linformer, params()).err().unwrap().to_string();
    assert!(error.contains("cannot be a causal decoder"), "{error}");
}
