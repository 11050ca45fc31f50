//! Checkpoints that are factorised, against torch and against themselves.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use greenformers::model::{Arch, Config, StepShape, read_hugging_face};
use greenformers::nn::{Input, LayerLinear, Model, Params, PassConfig, Tape, linears};
use greenformers::train::factorize::{self, FactorizeError, Factorized, Keep, Request, Solver};

use crate::nn::{golden, numbers};
use crate::reliability::{program, text};

pub(crate) type Tensors = HashMap<String, Tensor>;

pub(crate) const MODELS: [&str; 4] = ["dense", "gpt2", "llama", "phi3"];

/// The description of a golden model as transformers writes it.
pub(crate) fn config(model: &str) -> &'static str {
    match model {
        "dense" => {
            r#"{"model_type": "bert", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
                "vocab_size": 29, "max_position_embeddings": 11, "type_vocab_size": 2}"#
        }
        "gpt2" => {
            r#"{"model_type": "gpt2", "n_embd": 12, "n_layer": 2, "n_head": 3, "n_inner": 20, "vocab_size": 29, "n_positions": 11}"#
        }
        "phi3" => {
            r#"{"model_type": "phi3", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
                "num_key_value_heads": 1, "vocab_size": 29, "max_position_embeddings": 11, "sliding_window": null,
                "tie_word_embeddings": false}"#
        }
        _ => {
            r#"{"model_type": "llama", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20,
                "num_key_value_heads": 2, "head_dim": 6, "vocab_size": 29, "max_position_embeddings": 11,
                "tie_word_embeddings": false}"#
        }
    }
}

pub(crate) fn shape_of(model: &str) -> Config {
    read_hugging_face(config(model).as_bytes()).unwrap().0
}

/// A golden model in a folder of this name, as transformers saves it.
pub(crate) fn checkpoint(folder: &Path, name: &str, model: &str) -> PathBuf {
    let path = saved(folder, model, &golden_tensors(model, DType::F32));
    let named = folder.join(name);
    if named != path {
        fs::rename(path, &named).unwrap();
    }
    named
}

/// A folder as transformers saves it.
pub(crate) fn saved(folder: &Path, model: &str, tensors: &Tensors) -> PathBuf {
    let path = folder.join(model);
    fs::create_dir_all(&path).unwrap();
    candle_core::safetensors::save(tensors, path.join("model.safetensors")).unwrap();
    fs::write(path.join("config.json"), config(model)).unwrap();
    path
}

pub(crate) fn tensors(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

pub(crate) fn golden_tensors(model: &str, dtype: DType) -> Tensors {
    let all = tensors(&golden(&format!("{model}.safetensors")));
    all.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(dtype).unwrap())).collect()
}

/// What is asked for, and how much is kept.
pub(crate) type Asked = (Request, Keep);

pub(crate) fn request(keep: Keep) -> Asked {
    (Request { solver: Solver::Svd, only: None, skip: None, seed: 0, calibration: None }, keep)
}

pub(crate) fn factorize(path: &Path, output: &Path, asked: &Asked) -> Result<Factorized, FactorizeError> {
    factorize::factorize(path, output, (&asked.0, asked.1), &mut |_, _| {})
}

/// The loss on one batch of a folder, as f64.
pub(crate) fn loss(model: &str, path: &Path) -> f64 {
    let config = shape_of(model);
    let params = Params::from_safetensors(path, DType::F64, &Device::Cpu).unwrap();
    let built = Model::new(&config, Arch::Dense, params).unwrap();
    let shape = StepShape { batch_size: 3, seq_len: 7, masked_per_seq: if model == "dense" { 2 } else { 7 } };
    let input = Input::random(&config, shape, 5, &Device::Cpu).unwrap();
    let tape = Tape::inference(PassConfig::deterministic(DType::F64), &Device::Cpu);
    numbers(&built.loss(&input, &tape).unwrap())[0]
}

/// The product of the factors of a linear, outputs first.
pub(crate) fn product(tensors: &Tensors, name: &str) -> Tensor {
    let of = |part: &str| tensors[&format!("{name}.{part}.weight")].to_dtype(DType::F64).unwrap();
    of("decode").matmul(&of("encode")).unwrap()
}

/// The dense matrix of a linear, outputs first, its own or a part of a fused one.
pub(crate) fn dense(tensors: &Tensors, linear: &LayerLinear) -> Tensor {
    let outputs_first = |weight: &Tensor| {
        let weight = weight.to_dtype(DType::F64).unwrap();
        if linear.is_transposed { weight.t().unwrap() } else { weight }
    };
    match (tensors.get(&format!("{}.weight", linear.name)), &linear.fused) {
        (Some(weight), _) => outputs_first(weight),
        (None, Some(fused)) => {
            outputs_first(&tensors[&format!("{}.weight", fused.name)]).narrow(0, fused.first, linear.size.1).unwrap()
        }
        (None, None) => panic!("{} is nowhere", linear.name),
    }
}

pub(crate) fn norm(tensor: &Tensor) -> f64 {
    numbers(tensor).iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The same checkpoint with the product of its factors in the place of each linear.
fn merged(model: &str, dense: &Tensors, factors: &Tensors) -> Tensors {
    let mut merged: Tensors = dense.iter().map(|(n, t)| (n.clone(), t.to_dtype(DType::F64).unwrap())).collect();
    let mut parts: BTreeMap<String, (bool, Vec<Tensor>)> = BTreeMap::new();
    for linear in linears(&shape_of(model)).unwrap() {
        let near = product(factors, &linear.name);
        let whole = linear.fused.map_or(linear.name, |fused| fused.name);
        parts.entry(whole).or_insert((linear.is_transposed, Vec::new())).1.push(near);
    }
    for (whole, (is_transposed, parts)) in parts {
        let near = Tensor::cat(&parts, 0).unwrap();
        let near = if is_transposed { near.t().unwrap().contiguous().unwrap() } else { near };
        merged.insert(format!("{whole}.weight"), near);
    }
    merged
}

#[test]
fn the_linears_that_are_listed_are_those_that_an_lrt_has() {
    for model in MODELS {
        let config = shape_of(model);
        let params = Params::random(1, DType::F32, &Device::Cpu);
        let built = Model::new(&config, Arch::Lrt { rank: 2 }, params).unwrap();
        let of = |(name, var): (&str, &candle_core::Var)| {
            Some((name.strip_suffix(".encode.weight")?.to_owned(), var.dims()[1]))
        };
        let theirs: BTreeMap<String, usize> = built.params().iter().filter_map(of).collect();
        let listed = linears(&config).unwrap();
        let ours: BTreeMap<String, usize> = listed.iter().map(|linear| (linear.name.clone(), linear.size.0)).collect();
        assert_eq!(ours, theirs, "{model}");
        assert_eq!(ours.len(), listed.len(), "{model}");
        let tensors = golden_tensors(model, DType::F32);
        for linear in &listed {
            assert_eq!(dense(&tensors, linear).dims(), [linear.size.1, linear.size.0], "{model} {}", linear.name);
        }
    }
}

#[test]
fn the_nearest_matrices_are_those_of_torch_and_the_error_printed_is_that_of_what_is_read_back() {
    let theirs = tensors(&golden("factorized.safetensors"));
    let mut compared = 0;
    for model in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let before = golden_tensors(model, DType::F64);
        let output = folder.path().join("out");
        let done = factorize(&saved(folder.path(), model, &before), &output, &request(Keep::Rank(3))).unwrap();
        let after = tensors(&output.join("model.safetensors"));
        let listed = linears(&shape_of(model)).unwrap();
        assert_eq!(listed.len(), done.linears.len(), "{model}");
        for (linear, of) in done.linears.iter().zip(&listed) {
            assert_eq!((linear.rank, &linear.name), (Some(3), &of.name));
            let near = product(&after, &linear.name);
            let expected = &theirs[&format!("{model}.{}", linear.name)];
            let off = norm(&(&near - expected).unwrap()) / norm(expected);
            assert!(off < 1e-6, "{model} {}: off by {off:e}", linear.name);
            let w = dense(&before, of);
            let error = norm(&(&w - &near).unwrap()) / norm(&w);
            let printed = linear.error.unwrap();
            assert!((printed - error).abs() < 1e-12, "{model} {}: {printed} and {error}", linear.name);
            let expected = numbers(&theirs[&format!("{model}.{}.error", linear.name)])[0];
            assert!((printed - expected).abs() < 1e-6, "{model} {}: {printed} and {expected}", linear.name);
            compared += 1;
        }
    }
    assert_eq!(compared, theirs.len() / 2);
}

#[test]
fn a_factorised_checkpoint_computes_what_the_products_of_its_factors_do() {
    for model in MODELS {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            let folder = tempfile::tempdir().unwrap();
            let before = golden_tensors(model, dtype);
            let dense = saved(folder.path(), model, &before);
            let output = folder.path().join("out");
            let done = factorize(&dense, &output, &request(Keep::Rank(3))).unwrap();
            let after = tensors(&output.join("model.safetensors"));
            assert!(after.values().all(|tensor| tensor.dtype() == dtype), "{model} {dtype:?}");
            let whole = saved(&folder.path().join("merged"), model, &merged(model, &before, &after));
            let (theirs, ours) = (loss(model, &whole), loss(model, &output));
            assert!((ours / theirs - 1.0).abs() < 1e-5, "{model} {dtype:?}: {ours} and {theirs}");
            assert!((ours / loss(model, &dense) - 1.0).abs() > 1e-4, "{model}: the factors change nothing");
            let params = Params::from_safetensors(&output, DType::F32, &Device::Cpu).unwrap();
            let count = Model::new(&shape_of(model), Arch::Dense, params).unwrap().params().count();
            assert_eq!(done.weights, count, "{model}");
        }
    }
}

#[test]
fn a_checkpoint_that_is_of_low_rank_loses_nothing() {
    for model in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let before = golden_tensors(model, DType::F64);
        let first = folder.path().join("first");
        factorize(&saved(folder.path(), model, &before), &first, &request(Keep::Rank(3))).unwrap();
        let low = merged(model, &before, &tensors(&first.join("model.safetensors")));
        let low = saved(&folder.path().join("low"), model, &low);
        let output = folder.path().join("out");
        let done = factorize(&low, &output, &request(Keep::Error(1e-5))).unwrap();
        assert!(done.linears.iter().all(|linear| linear.rank == Some(3)), "{model}: {:?}", done.linears);
        assert!(done.error.unwrap() < 1e-6, "{model}: {:?}", done.error);
        let (theirs, ours) = (loss(model, &low), loss(model, &output));
        assert!((ours / theirs - 1.0).abs() < 1e-5, "{model}: {ours} and {theirs}");
    }
}

#[test]
fn every_rank_is_one_at_which_factors_are_smaller_and_the_budget_is_kept() {
    for model in MODELS {
        for keep in [0.3, 0.5, 0.6, 0.8, 0.95] {
            let folder = tempfile::tempdir().unwrap();
            let dense = saved(folder.path(), model, &golden_tensors(model, DType::F32));
            let output = folder.path().join("out");
            let done = factorize(&dense, &output, &request(Keep::Share(keep))).unwrap();
            let (before, after) = done.linear_weights();
            assert!(after as f64 <= keep * before as f64, "{model} {keep}: {after} of {before}");
            // No linear has room for another rank.
            assert!(after as f64 > keep * before as f64 - 40.0, "{model} {keep}: {after} of {before}");
            let is_smaller =
                |l: &greenformers::train::factorize::Outcome| l.rank.is_none() || l.weights < l.weights_before;
            assert!(done.linears.iter().all(is_smaller), "{model} {keep}");
            assert!(loss(model, &output).is_finite());
        }
    }
}

#[test]
fn what_is_skipped_stays_as_it_is_and_a_part_of_a_fused_matrix_is_taken_out() {
    for (model, only, skip, ranks) in [
        ("dense", Some("layer.1"), Some("query|key"), 4),
        ("gpt2", Some("q_attn|mlp"), Some(r"h\.1\.mlp"), 4),
        ("llama", None, Some("self_attn"), 6),
        ("gpt2", Some("c_attn"), None, 6),
        ("phi3", Some("up_proj"), Some("layers.0"), 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let before = golden_tensors(model, DType::F64);
        let dense_path = saved(folder.path(), model, &before);
        let output = folder.path().join("out");
        let [only, skip] = [only, skip].map(|text| text.map(str::to_owned));
        let (all, keep) = request(Keep::Rank(5));
        let request = (Request { only, skip, ..all }, keep);
        let done = factorize(&dense_path, &output, &request).unwrap();
        assert_eq!(done.linears.len(), ranks, "{model}");
        let after = tensors(&output.join("model.safetensors"));
        let mut left = 0;
        for linear in linears(&shape_of(model)).unwrap() {
            if after.contains_key(&format!("{}.encode.weight", linear.name)) {
                assert!(!after.contains_key(&format!("{}.weight", linear.name)));
                continue;
            }
            assert_eq!(numbers(&dense(&after, &linear)), numbers(&dense(&before, &linear)), "{}", linear.name);
            left += 1;
        }
        assert_eq!(left + ranks, linears(&shape_of(model)).unwrap().len(), "{model}");
        assert!(loss(model, &output).is_finite());
    }
}

#[test]
fn draws_are_those_of_their_seed_and_have_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let dense = saved(folder.path(), "gpt2", &golden_tensors("gpt2", DType::F32));
    let run = |name: &str, seed: u64| {
        let output = folder.path().join(name);
        let (all, keep) = request(Keep::Share(0.5));
        let done = factorize(&dense, &output, &(Request { solver: Solver::Random, seed, ..all }, keep)).unwrap();
        assert!(done.error.is_none() && done.linears.iter().all(|linear| linear.error.is_none()));
        assert!(loss("gpt2", &output).is_finite());
        fs::read(output.join("model.safetensors")).unwrap()
    };
    let first = run("a", 1);
    assert!(first == run("b", 1) && first != run("c", 2));
}

#[test]
fn names_without_the_body_old_names_and_several_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let old = |name: &str| {
        let name = name.strip_prefix("bert.").unwrap_or(name);
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let plain = saved(folder.path(), "dense", &golden_tensors("dense", DType::F32));
    let path = folder.path().join("shards");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("config.json"), config("dense")).unwrap();
    let mut shards = [Tensors::new(), Tensors::new()];
    let mut map = serde_json::Map::new();
    for (i, (name, tensor)) in golden_tensors("dense", DType::F32).into_iter().enumerate() {
        map.insert(old(&name), format!("{}.safetensors", i % 2).into());
        shards[i % 2].insert(old(&name), tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        candle_core::safetensors::save(shard, path.join(format!("{i}.safetensors"))).unwrap();
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    fs::write(path.join("model.safetensors.index.json"), index).unwrap();
    assert_eq!(loss("dense", &path), loss("dense", &plain));
    let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
    let first = factorize(&plain, &a, &request(Keep::Rank(4))).unwrap();
    let second = factorize(&path, &b, &request(Keep::Rank(4))).unwrap();
    assert_eq!(loss("dense", &a), loss("dense", &b));
    assert_eq!(first.linears[0].name, format!("bert.{}", second.linears[0].name));
    assert!(tensors(&b.join("model.safetensors")).contains_key("embeddings.LayerNorm.gamma"));
}

pub(crate) fn fails(path: &Path, output: &Path, request: &Asked) -> String {
    let done: Result<Factorized, FactorizeError> = factorize(path, output, request);
    let error = done.unwrap_err();
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

#[test]
fn what_cannot_be_factorised_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let rank = request(Keep::Rank(3));
    let good = saved(folder.path(), "dense", &golden_tensors("dense", DType::F32));
    let changed = |name: &str, change: &dyn Fn(&mut Tensors)| {
        let mut tensors = golden_tensors("dense", DType::F32);
        change(&mut tensors);
        saved(&folder.path().join(name), "dense", &tensors)
    };
    let query = "bert.encoder.layer.0.attention.self.query.weight";
    let nan = changed("nan", &|t| {
        let bad = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap().broadcast_as((12, 12)).unwrap();
        t.insert(query.to_owned(), bad.contiguous().unwrap());
    });
    let missing = changed("missing", &|t| drop(t.remove(query)));
    let narrow = changed("narrow", &|t| {
        drop(t.insert(query.to_owned(), Tensor::zeros((12, 11), DType::F32, &Device::Cpu).unwrap()));
    });
    let integers = changed("integers", &|t| {
        drop(t.insert(query.to_owned(), Tensor::zeros((12, 12), DType::U8, &Device::Cpu).unwrap()));
    });
    let with_config = |name: &str, config: &str| {
        let path = changed(name, &|_| {});
        fs::write(path.join("config.json"), config).unwrap();
        path
    };
    let other = with_config("other", r#"{"model_type": "t5"}"#);
    let estimated = with_config("estimated", r#"{"model_type": "bloom"}"#);
    let wordless = with_config("wordless", "{");
    let without = changed("without", &|_| {});
    fs::remove_file(without.join("config.json")).unwrap();
    let torn = changed("torn", &|_| {});
    let bytes = fs::read(torn.join("model.safetensors")).unwrap();
    fs::write(torn.join("model.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
    for (path, part) in [
        (&nan, "`bert.encoder.layer.0.attention.self.query.weight` has a value that is not finite"),
        (&missing, "has no tensor `bert.encoder.layer.0.attention.self.query.weight`"),
        (&narrow, "has shape [12, 11]: expected [12, 12]"),
        (&integers, "is of U8: expected F32, BF16, F16 or F64"),
        (&other, "t5"),
        (&estimated, "the model is estimated, not computed"),
        (&wordless, "EOF"),
        (&without, "there is no `config.json` beside the weights"),
        (&torn, "its header says"),
        (&folder.path().join("nowhere"), "cannot read"),
    ] {
        let error = fails(path, &output, &rank);
        assert!(error.contains(part), "{part}: {error}");
    }
    let ask = |change: &dyn Fn(&mut Asked)| {
        let mut request = rank.clone();
        change(&mut request);
        fails(&good, &output, &request)
    };
    assert!(ask(&|r| r.0.only = Some("[".to_owned())).contains("`[` is no regular expression"));
    assert!(
        ask(&|r| r.0.only = Some("gpt".to_owned())).contains("such as `bert.encoder.layer.0.attention.self.query`")
    );
    assert!(ask(&|r| r.1 = Keep::Share(0.01)).contains("`--keep 0.01` is less than rank 1 in every linear"));
    let drawn = ask(&|r| (r.0.solver, r.1) = (Solver::Random, Keep::Error(0.1)));
    assert!(drawn.contains("`--error` says nothing of factors that are drawn"), "{drawn}");
    assert!(!output.exists());
    fs::create_dir(&output).unwrap();
    fs::write(output.join("mine"), "").unwrap();
    assert!(fails(&good, &output, &rank).contains("it is there already, and is not empty"));
    assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
    let done = folder.path().join("done");
    factorize(&good, &done, &rank).unwrap();
    assert!(fails(&done, &folder.path().join("again"), &rank).contains("is factorised already"));
    let left = fs::read_dir(folder.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(left.count(), 0);
}

#[test]
fn the_command_prints_a_row_for_each_linear_and_what_the_checkpoint_comes_to() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path(), "gpt2", "gpt2");
    let run = |args: &str| {
        let output = program().arg("factorize").args(args.split(' ')).current_dir(folder.path()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, table, note) = run("gpt2 -o out --keep 0.6 --only h.0");
    assert_eq!((code, note.as_str()), (Some(0), "checkpoint: out\n"));
    insta::assert_snapshot!(table, @r"
    linear                       in  out  rank   weights before  weights  error
    transformer.h.0.attn.q_attn  12   12  3                 144       72  0.579
    transformer.h.0.attn.k_attn  12   12  dense             144      144      0
    transformer.h.0.attn.v_attn  12   12  4                 144       96  0.456
    transformer.h.0.mlp.c_fc     12   20  2                 240       64  0.770
    transformer.h.0.attn.c_proj  12   12  dense             144      144      0
    transformer.h.0.mlp.c_proj   20   12  3                 240       96  0.685
    all                                                    1056      616  0.558

    4 of 6 linears have factors of ranks 2 to 4, and keep 58.3 % of the weights of these 6.
    The checkpoint has 2432 weights instead of 2872: 0.0 MB instead of 0.0 MB as f32, 0.0 MB instead of 0.0 MB as bf16 or f16.
    ");
    let (_, json, _) = run("gpt2/model.safetensors -o json --rank 4 --format json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let fields = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(fields(&json), "calibration_tokens error linears schema solver weighted_error weights weights_before");
    assert_eq!(fields(&json["linears"][0]), "d_in d_out error name rank weighted_error weights weights_before");
    let (_, csv, _) = run("gpt2 -o csv --rank 4 --format csv");
    assert_eq!(csv.lines().next().unwrap(), "linear,in,out,rank,weights before,weights,error");
    let (code, _, said) = run("gpt2 -o out --rank 3");
    assert_eq!((code, said.as_str()), (Some(1), "error: cannot write `out`: it is there already, and is not empty\n"));
    let (code, _, said) = run("gpt2 -o new --rank 3 --keep 0.5");
    assert!(code == Some(2) && said.contains("'--rank <R>' cannot be used with '--keep <SHARE>'"), "{said}");
    let (code, _, said) = run("gpt2 -o new");
    assert!(code == Some(2) && said.contains("--rank <R>|--keep <SHARE>|--error <ERROR>"), "{said}");
}
