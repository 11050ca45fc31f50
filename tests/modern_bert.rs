//! `ModernBERT` against transformers, against finite differences, and against itself; and what commands make of it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use greenformers::model::{
    Arch, Computed, Config, Details, StepShape, Window, count_params, read_hugging_face, trainable_params,
};
use greenformers::nn::{
    AdamW, AdamWConfig, Batch, Body, Gradients, Input, Model, ModernBertForMaskedLm, Ops, Params, PassConfig, Tape,
    linears,
};
use greenformers::train::factorize::{Calibration, Keep, Request, Solver};

use crate::factorize::{factorize, norm, product, tensors};
use crate::nn::{difference, golden, gradients_are_central_differences, gradients_are_the_goldens, numbers};
use crate::whitened::{sample, tokenizer_of_words};

/// As `goldens/modern_bert.py` has it, with `more` in it.
fn description(more: &str) -> String {
    format!(
        r#"{{"model_type": "modernbert", "vocab_size": 29, "hidden_size": 12, "intermediate_size": 20,
        "num_hidden_layers": 4, "num_attention_heads": 3, "max_position_embeddings": 11, "local_attention": 4,
        "rope_parameters": {{"full_attention": {{"rope_type": "default", "rope_theta": 160000.0}},
        "sliding_attention": {{"rope_type": "default", "rope_theta": 50.0}}}}{more}}}"#
    )
}

fn config(more: &str) -> Config {
    read_hugging_face(description(more).as_bytes()).unwrap().0
}

const BIASES: &str = r#", "norm_bias": true, "attention_bias": true, "mlp_bias": true, "classifier_bias": true,
    "decoder_bias": false, "tie_word_embeddings": false"#;

/// Each with the name of its golden file, if it has one.
fn all() -> [(&'static str, Config, &'static str); 4] {
    [
        ("modern_bert", config(""), "dense"),
        ("modern_bert_biases", config(BIASES), "dense"),
        ("modern_bert_lrt", config(""), "lrt:rank=5"),
        ("", config(BIASES), "lora:rank=2,targets=all"),
    ]
}

/// One whose attention a GPU has kernels for, with heads of 64.
#[cfg(feature = "cuda")]
pub(crate) fn with_wide_heads() -> Config {
    Config { d_model: 192, ..config("") }
}

fn model(config: &Config, spec: &str, dtype: DType) -> ModernBertForMaskedLm {
    ModernBertForMaskedLm::new(config, spec.parse().unwrap(), Params::random(3, dtype, &Device::Cpu)).unwrap()
}

/// Three sequences, of which the second has padding after it.
pub(crate) fn batch(config: &Config, seed: u64, device: &Device) -> Batch {
    let shape = StepShape { batch_size: 3, seq_len: 7, masked_per_seq: 2 };
    let mask = Tensor::new(&[[1u32; 7], [1, 1, 1, 1, 1, 0, 0], [1; 7]], device).unwrap();
    let masked_positions = Tensor::new(&[[0u32, 6], [1, 4], [2, 3]], device).unwrap();
    let batch = Batch::random(config, shape, seed, device).unwrap();
    Batch { attention_mask: Some(mask), masked_positions, ..batch }
}

fn loss(model: &ModernBertForMaskedLm, batch: &Batch, pass: PassConfig) -> f64 {
    numbers(&model.masked_lm(batch, &Tape::inference(pass, &Device::Cpu)).unwrap())[0]
}

fn loss_and_gradients(model: &ModernBertForMaskedLm, batch: &Batch, pass: PassConfig) -> (f64, Gradients) {
    let tape = Tape::new(pass, &Device::Cpu);
    let loss = model.masked_lm(batch, &tape).unwrap();
    (numbers(&loss)[0], tape.backward(&loss, None).unwrap())
}

#[test]
fn loss_and_every_gradient_of_modern_bert_agree_with_transformers() {
    for (name, config, spec) in all().into_iter().filter(|(name, ..)| !name.is_empty()) {
        for (dtype, ops, tolerance) in
            [(DType::F64, Ops::Fused, 1e-11), (DType::F64, Ops::Stock, 1e-11), (DType::F32, Ops::Fused, 2e-5)]
        {
            let params = Params::from_safetensors(&golden(&format!("{name}.safetensors")), dtype, &Device::Cpu);
            let expected = golden(&format!("{name}.expected.safetensors"));
            let expected: HashMap<String, Tensor> = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
            let get = |name: &str| expected[name].clone();
            let model = ModernBertForMaskedLm::new(&config, spec.parse().unwrap(), params.unwrap()).unwrap();
            let batch = Batch {
                input_ids: get("input_ids"),
                token_type_ids: get("input_ids").zeros_like().unwrap(),
                attention_mask: Some(get("attention_mask")),
                masked_positions: get("masked_positions"),
                masked_labels: get("masked_labels"),
                next_sentence_labels: Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap(),
            };
            let pass = PassConfig { ops, ..PassConfig::deterministic(dtype) };
            let inference = || Tape::inference(pass, &Device::Cpu);
            for (ours, theirs) in [
                (model.encode(&batch, &inference()).unwrap(), "hidden"),
                (model.logits(&batch, &inference()).unwrap(), "masked_logits"),
            ] {
                let off = difference(&ours, &expected[theirs]);
                assert!(off < tolerance, "{name} {dtype:?} {ops}: {theirs} is off by {off:e}");
            }
            let (loss, gradients) = loss_and_gradients(&model, &batch, pass);
            let theirs = numbers(&expected["masked_lm"])[0];
            assert!((loss / theirs - 1.0).abs() < tolerance, "{name} {dtype:?} {ops}: loss {loss}, theirs {theirs}");
            let (what, of) = (format!("{name} {dtype:?} {ops}"), (model.params(), &gradients));
            gradients_are_the_goldens(&what, of, &expected, tolerance.max(1e-10), |_, ours, _| ours.clone());
        }
    }
}

#[test]
fn gradients_of_modern_bert_agree_with_central_differences() {
    for (_, config, spec) in all() {
        let (model, batch) = (model(&config, spec, DType::F64), batch(&config, 2, &Device::Cpu));
        let pass = PassConfig { dtype: DType::F64, ops: Ops::Fused, dropout: 0.2, dropout_seed: 5 };
        let (_, gradients) = loss_and_gradients(&model, &batch, pass);
        gradients_are_central_differences(spec, (model.params(), &gradients), || loss(&model, &batch, pass));
    }
}

#[test]
fn sequences_longer_than_a_tile_and_a_window_see_what_the_stock_composition_sees() {
    // 300 queries are three tiles, of which a window of 131 leaves keys out on both sides.
    for length in [131, 1, 599] {
        let mut config = config("");
        let window = Window { length, layers: 1, global_every: Some(2) };
        (config.max_seq_len, config.n_layers) = (300, 2);
        config.details = Details { sliding_window: Some(window), ..config.details };
        let model = model(&config, "dense", DType::F64);
        let shape = StepShape { batch_size: 2, seq_len: 300, masked_per_seq: 45 };
        let mask: Vec<u32> = (0..600).map(|i| u32::from(i < 470)).collect();
        let mask = Tensor::from_vec(mask, (2, 300), &Device::Cpu).unwrap();
        let batch = Batch::random(&config, shape, 1, &Device::Cpu).unwrap();
        // None in padding: what a query sees whose whole window is padding is left to each make.
        let places: Vec<u32> = batch.masked_positions.flatten_all().unwrap().to_vec1().unwrap();
        let places = Tensor::from_vec(places.iter().map(|t| t % 170).collect(), (2, 45), &Device::Cpu).unwrap();
        let batch = Batch { attention_mask: Some(mask), masked_positions: places, ..batch };
        let run = |ops| {
            let pass = PassConfig { dtype: DType::F64, ops, dropout: 0.1, dropout_seed: 3 };
            loss_and_gradients(&model, &batch, pass)
        };
        let ((fused, of_fused), (stock, of_stock)) = (run(Ops::Fused), run(Ops::Stock));
        assert!((fused / stock - 1.0).abs() < 1e-12, "{length}: {fused} and {stock}");
        for (name, var) in model.params().iter() {
            let off = difference(of_fused.get(var).unwrap(), of_stock.get(var).unwrap());
            assert!(off < 1e-10, "{length}: gradients of {name} differ by {off:e}");
        }
    }
}

#[test]
fn padding_does_not_leak_and_a_window_ends_on_both_sides() {
    let hidden = |config: &Config, spec: &str, changed: &[usize]| {
        let before = batch(config, 4, &Device::Cpu);
        let ids: Vec<u32> = before.input_ids.flatten_all().unwrap().to_vec1().unwrap();
        let ids = ids.iter().enumerate().map(|(i, id)| if changed.contains(&i) { (id + 1) % 29 } else { *id });
        let input_ids = Tensor::from_vec(ids.collect(), (3, 7), &Device::Cpu).unwrap();
        let tape = Tape::inference(PassConfig::deterministic(DType::F64), &Device::Cpu);
        model(config, spec, DType::F64).encode(&Batch { input_ids, ..before }, &tape).unwrap()
    };
    let of = |x: &Tensor, b: usize, t: usize| x.get(b).unwrap().get(t).unwrap();
    for (name, config, spec) in all() {
        // Both of padding, and the third token of the third sequence.
        let (before, after) = (hidden(&config, spec, &[]), hidden(&config, spec, &[12, 13, 16]));
        let off = (0..5).map(|t| difference(&of(&after, 1, t), &of(&before, 1, t))).fold(0.0, f64::max);
        assert!(off < 1e-12, "{name} {spec}: padding is seen: {off:e}");
        for t in 0..7 {
            assert!(difference(&of(&after, 2, t), &of(&before, 2, t)) > 1e-9, "{name} {spec}: {t} sees no other token");
        }
    }
    // One layer with a window: a token sees two to both sides, and no further.
    let window = Window { length: 5, layers: 1, global_every: None };
    let plain = config("");
    let details = Details { sliding_window: Some(window), ..plain.details.clone() };
    let local = Config { n_layers: 1, details, ..plain };
    assert_eq!(local.computed(), Ok(Computed::ModernBert));
    let (before, after) = (hidden(&local, "dense", &[]), hidden(&local, "dense", &[17]));
    let changed: Vec<bool> = (0..7).map(|t| difference(&of(&after, 2, t), &of(&before, 2, t)) > 1e-9).collect();
    assert_eq!(changed, [false, true, true, true, true, true, false]);
}

#[test]
fn modern_bert_has_the_parameters_that_are_counted_and_its_loss_falls_in_every_dtype() {
    for (name, config, spec) in all() {
        let arch: Arch = spec.parse().unwrap();
        for dtype in [DType::F32, DType::BF16] {
            let model = model(&config, spec, DType::F32);
            assert_eq!(model.params().count(), count_params(&config, arch), "{name} {spec}");
            let trained: u64 = model.params().iter().map(|(_, var)| var.elem_count() as u64).sum();
            assert_eq!(trained, trainable_params(&config, arch), "{name} {spec}");
            let lr = if spec.starts_with("lora") { 5e-2 } else { 5e-3 };
            let mut optimizer =
                AdamW::new(model.params(), AdamWConfig { lr, ..AdamWConfig::default() }, Ops::Fused).unwrap();
            let pass = PassConfig { dtype, ops: Ops::Fused, dropout: 0.1, dropout_seed: 1 };
            let mut losses = Vec::new();
            for _ in 0..30 {
                let (loss, gradients) = loss_and_gradients(&model, &batch(&config, 1, &Device::Cpu), pass);
                losses.push(loss);
                optimizer.step(model.params(), &gradients).unwrap();
            }
            let least = if spec.starts_with("lora") { 0.97 } else { 0.9 };
            assert!(losses[29] < least * losses[0], "{name} {spec} {dtype:?}: {} to {}", losses[0], losses[29]);
        }
    }
}

#[test]
fn a_linformer_of_modern_bert_is_refused_with_the_reason() {
    let params = || Params::random(1, DType::F32, &Device::Cpu);
    let refused =
        |config: &Config| Model::new(config, "linformer:k=4".parse().unwrap(), params()).err().unwrap().to_string();
    assert!(refused(&config("")).contains("some layers of this model see a window of them only"));
    let global = config(r#", "global_attn_every_n_layers": 1"#);
    assert!(refused(&global).contains("rotary positions turn each key by the one that it has"));
    // What refuses a Linformer refuses no dense model.
    let dense = Model::new(&global, Arch::Dense, params()).unwrap();
    assert_eq!(dense.params().count(), count_params(&global, Arch::Dense));
}

/// The golden model in a folder, as transformers saves it, with a tokenizer.
fn saved(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("modern");
    fs::create_dir_all(&path).unwrap();
    let all = tensors(&golden("modern_bert.safetensors"));
    let all: HashMap<String, Tensor> =
        all.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(DType::F32).unwrap())).collect();
    candle_core::safetensors::save(&all, path.join("model.safetensors")).unwrap();
    fs::write(path.join("config.json"), description("")).unwrap();
    fs::write(path.join("tokenizer.json"), tokenizer_of_words()).unwrap();
    path
}

#[test]
fn modern_bert_is_factorised_and_its_factors_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path());
    let text = folder.path().join("text");
    fs::write(&text, sample()).unwrap();
    let config = config("");
    let hidden = |path: &Path| {
        let params = Params::from_safetensors(path, DType::F64, &Device::Cpu).unwrap();
        let body = Body::new(&config, Arch::Dense, params).unwrap();
        let batch = batch(&config, 1, &Device::Cpu);
        let tape = Tape::inference(PassConfig::deterministic(DType::F64), &Device::Cpu);
        body.hidden(&batch.input_ids, &batch.token_type_ids, &tape).unwrap()
    };
    for (solver, calibration) in
        [(Solver::Svd, None), (Solver::Whitened, Some(Calibration { text: text.clone(), tokens: 16_384 }))]
    {
        let output = folder.path().join(format!("{solver:?}"));
        let request = Request { solver, only: None, skip: None, seed: 0, calibration };
        let done = factorize(&path, &output, &(request.clone(), Keep::Rank(3))).unwrap();
        // Queries, keys, values, both halves of the gated block, and both outputs, in four layers.
        assert_eq!((done.linears.len(), linears(&config).unwrap().len()), (28, 28));
        let after = tensors(&output.join("model.safetensors"));
        assert!(after.contains_key("model.layers.1.attn.Wq.encode.weight"));
        assert!(after.contains_key("model.layers.3.mlp.Wi_gate.decode.weight"));
        let fused = tensors(&path.join("model.safetensors"))["model.layers.0.mlp.Wi.weight"].clone();
        // What the activation is of comes first.
        let first = fused.narrow(0, 0, 20).unwrap().to_dtype(DType::F64).unwrap();
        let error = norm(&(&first - product(&after, "model.layers.0.mlp.Wi_input")).unwrap()) / norm(&first);
        let linear = done.linears.iter().find(|l| l.name == "model.layers.0.mlp.Wi_input").unwrap();
        assert!((linear.error.unwrap() - error).abs() < 1e-6, "{error}");
        // With all of the rank that there is, the model is the same.
        let whole = folder.path().join(format!("{solver:?}-whole"));
        factorize(&path, &whole, &(request, Keep::Rank(12))).unwrap();
        let (same, near) = (difference(&hidden(&whole), &hidden(&path)), difference(&hidden(&output), &hidden(&path)));
        assert!(same < 1e-4 && near > 1e-3, "{solver:?}: {same:e} and {near:e}");
    }
}

#[test]
fn an_input_of_modern_bert_is_one_of_an_encoder() {
    let config = config("");
    let model = Model::new(&config, Arch::Dense, Params::random(1, DType::F32, &Device::Cpu)).unwrap();
    let tape = || Tape::inference(PassConfig::deterministic(DType::F32), &Device::Cpu);
    let shape = StepShape { batch_size: 2, seq_len: 5, masked_per_seq: 2 };
    let input = Input::random(&config, shape, 1, &Device::Cpu).unwrap();
    // Untrained, all 29 tokens are about as likely.
    let loss = numbers(&model.loss(&input, &tape()).unwrap())[0];
    assert!((loss - 29f64.ln()).abs() < 0.3, "{loss}");
    let long = Input::random(&config, StepShape { seq_len: 12, ..shape }, 1, &Device::Cpu).unwrap();
    let error = model.loss(&long, &tape()).unwrap_err().to_string();
    assert_eq!(error, "sequences of 12 tokens: the model takes at most 11");
    let decoder = crate::factorize::shape_of("gpt2");
    let causal = Input::random(&decoder, shape, 1, &Device::Cpu).unwrap();
    assert_eq!(model.loss(&causal, &tape()).unwrap_err().to_string(), "the input is of another kind of model");
    let error = ModernBertForMaskedLm::new(&decoder, Arch::Dense, Params::random(1, DType::F32, &Device::Cpu));
    assert_eq!(error.err().unwrap().to_string(), "the model is not built as ModernBERT is");
}

/// As `model:` of a workload says it, without a type.
const OWN: &str = "{family: encoder, n_layers: 4, d_model: 12, n_heads: 3, d_ff: 20, vocab_size: 300, max_seq_len: 16,
  type_vocab_size: 0, heads: masked_lm, gated_mlp: true, activation: gelu, norm: layer_without_bias, norm_place: pre,
  first_norm: false, embedding_norm: true, positions: rotary, rotary: {theta: 160000, local_theta: 50}, biases: [head],
  fused_qkv: true, fused_gate: true, sliding_window: {length: 5, layers: 2, global_every: 3}}";

/// That as a workload.
fn own_workload() -> String {
    format!(
        "name: own\nsource: made up for a test\nmodel: {OWN}\noptimizer: adamw\nphases: [{{steps: 10, batch_size: 4, seq_len: 12}}]\n"
    )
}

#[test]
fn modern_bert_is_trained_on_a_text_and_described_as_transformers_reads_it() {
    let folder = crate::training::folder();
    let more = r#", "vocab_size": 300, "max_position_embeddings": 16"#;
    let given = description("").replace(r#""vocab_size": 29, "#, "").replace(r#""max_position_embeddings": 11, "#, "");
    fs::write(
        folder.path().join("modern.json"),
        given.replace("{\"model_type\"", &format!("{{{}, \"model_type\"", &more[2..])),
    )
    .unwrap();
    fs::write(folder.path().join("own.yaml"), own_workload()).unwrap();
    let config_of = |name: &str| {
        let text = fs::read(folder.path().join(name).join("config.json")).unwrap();
        read_hugging_face(&text).unwrap().0
    };
    for (name, workload, arch) in
        [("given", "modern.json", "dense"), ("own", "own.yaml", "dense"), ("low", "own.yaml", "lrt:rank=5")]
    {
        let args = format!("text.txt -o {name} --workload {workload} --arch {arch} --vocab 300 --steps 60 --lr 0.02");
        let record = crate::training::record(folder.path(), &args, name);
        let points = record["points"].as_array().unwrap();
        let loss = |point: &serde_json::Value, end: &str| point["held_out_loss"][end].as_f64().unwrap();
        // The untrained model knows nothing: ln 300 = 5.70.
        assert!((loss(&points[0], "mid") - 300_f64.ln()).abs() < 0.2, "{name}: {}", points[0]);
        assert!(loss(&points[points.len() - 1], "high") < loss(&points[0], "low") - 0.3, "{name}: {points:?}");
        let config = config_of(name);
        let params = Params::from_safetensors(&folder.path().join(name), DType::F32, &Device::Cpu).unwrap();
        let built = Model::new(&config, Arch::Dense, params).unwrap();
        assert_eq!(Some(built.params().count()), record["n_params"].as_u64(), "{name}");
    }
    // The same model, whichever way it was said.
    assert_eq!(config_of("given").details, config_of("own").details);
    assert_eq!(config_of("own").details.sliding_window, Some(Window { length: 5, layers: 2, global_every: Some(3) }));
}
