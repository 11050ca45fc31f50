//! Factors by what linears are given, against torch and against the plain ones.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use greenformers::nn::linears;
use greenformers::train::factorize::{Calibration, Keep, Request, Solver};
use serde_json::{Value, json};

use crate::factorize::{
    Asked, MODELS, checkpoint, dense, factorize, fails, golden_tensors, loss, norm, product, request, saved, shape_of,
    tensors,
};
use crate::nn::{golden, numbers};
use crate::reliability::{program, text};

/// A word for each row of the embedding.
const WORDS: &str = "abcdefghijklmnopqrstuvwxyzABC";

/// A tokenizer whose tokens are these words, between spaces.
fn tokenizer(words: &str) -> Value {
    let vocabulary: serde_json::Map<String, Value> =
        words.chars().enumerate().map(|(id, word)| (word.to_string(), id.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "a" },
    })
}

/// The same for all words, as text.
pub(crate) fn tokenizer_of_words() -> String {
    tokenizer(WORDS).to_string()
}

/// A golden model with its tokenizer, in a folder of its name.
pub(crate) fn with_tokenizer(folder: &Path, name: &str, model: &str) -> PathBuf {
    let path = checkpoint(folder, name, model);
    fs::write(path.join("tokenizer.json"), tokenizer_of_words()).unwrap();
    path
}

/// Writes more into the `config.json` of a checkpoint.
fn say(path: &Path, said: &str) {
    let file = path.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let said: Value = serde_json::from_str(&format!("{{{said}}}")).unwrap();
    config.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    fs::write(file, config.to_string()).unwrap();
}

/// The text of tokens.
fn written(ids: impl IntoIterator<Item = usize>) -> String {
    ids.into_iter().flat_map(|id| [WORDS.as_bytes()[id] as char, ' ']).collect()
}

/// A text for the golden models.
pub(crate) fn sample() -> String {
    written((0..400).map(|i| (i * i + 3 * i / 2) % 29))
}

fn by(solver: Solver, keep: Keep, text: &Path) -> Asked {
    let calibration = Some(Calibration { text: text.to_owned(), tokens: 16_384 });
    let (all, keep) = request(keep);
    (Request { solver, calibration, ..all }, keep)
}

#[test]
fn whitened_factors_and_weighted_errors_are_those_of_torch_on_the_inputs_of_transformers() {
    let theirs = tensors(&golden("whitened.safetensors"));
    let ids = theirs["ids"].to_vec1::<i64>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, written(ids.iter().map(|id| usize::try_from(*id).unwrap()))).unwrap();
    let mut compared = 0;
    for model in MODELS {
        let path = with_tokenizer(folder.path(), model, model);
        // As in tests/goldens/factorize.py, and far from what is assumed where nothing is said.
        say(
            &path,
            match model {
                "dense" => r#""layer_norm_eps": 0.1"#,
                "gpt2" => r#""layer_norm_epsilon": 0.1"#,
                "llama" => r#""rms_norm_eps": 0.1, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}"#,
                _ => r#""rms_norm_eps": 0.1, "rope_theta": 200.0"#,
            },
        );
        let run = |solver, name: &str| {
            let output = folder.path().join(format!("{model}-{name}"));
            let done = factorize(&path, &output, &by(solver, Keep::Rank(3), &text)).unwrap();
            assert_eq!(done.calibration_tokens, Some(ids.len()));
            (done, tensors(&output.join("model.safetensors")))
        };
        let ((whitened, after), (plain, _)) = (run(Solver::Whitened, "whitened"), run(Solver::Svd, "svd"));
        for (white, plain) in whitened.linears.iter().zip(&plain.linears) {
            let named = |part: &str| &theirs[&format!("{model}.{}{part}", white.name)];
            let (near, expected) = (product(&after, &white.name), named(""));
            let off = norm(&(&near - expected).unwrap()) / norm(expected);
            // The model is of f32 here and of f64 there; where singular values are near each other, factors differ more than errors.
            assert!(off < 1e-4, "{model} {}: off by {off:e}", white.name);
            for (printed, part) in [(white, ".error"), (plain, ".plain")] {
                let (printed, expected) = (printed.weighted_error.unwrap(), numbers(named(part))[0]);
                assert!((printed - expected).abs() < 1e-5, "{model} {}: {printed} and {expected}", white.name);
            }
            // Each is the best by its own measure.
            assert!(white.weighted_error.unwrap() < plain.weighted_error.unwrap(), "{model} {}", white.name);
            assert!(white.error.unwrap() > plain.error.unwrap(), "{model} {}", white.name);
            compared += 1;
        }
        assert!(whitened.weighted_error.unwrap() < plain.weighted_error.unwrap(), "{model}");
    }
    assert_eq!(compared, (theirs.len() - 1) / 3);
}

#[test]
fn ranks_go_by_what_is_lost_on_the_text() {
    for model in MODELS {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        fs::write(&text, sample()).unwrap();
        let path = with_tokenizer(folder.path(), "from", model);
        let run = |name: &str, solver, keep| {
            let output = folder.path().join(name);
            let done = factorize(&path, &output, &by(solver, keep, &text)).unwrap();
            assert!(loss(model, &output).is_finite());
            assert!(output.join("tokenizer.json").is_file());
            done
        };
        let done = run("share", Solver::Whitened, Keep::Share(0.5));
        let (before, after) = done.linear_weights();
        assert!(after as f64 <= 0.5 * before as f64, "{model}: {after} of {before}");
        let plain = run("plain", Solver::Svd, Keep::Share(0.5));
        let sum = |of: &greenformers::train::factorize::Factorized| {
            of.linears.iter().map(|linear| linear.weighted_error.unwrap().powi(2)).sum::<f64>()
        };
        assert!(sum(&done) < sum(&plain), "{model}: {} and {}", sum(&done), sum(&plain));
        let done = run("error", Solver::Whitened, Keep::Error(0.5));
        assert!(done.linears.iter().all(|linear| linear.weighted_error.unwrap() <= 0.5 + 1e-6), "{model}");
        assert!(done.linears.iter().any(|linear| linear.rank.is_some()), "{model}");
        assert!(done.linears.iter().any(|linear| linear.error.unwrap() > 0.5), "{model}");
    }
}

#[test]
fn a_checkpoint_without_heads_is_read_and_its_number_type_stays() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, sample()).unwrap();
    for model in MODELS {
        let all = golden_tensors(model, DType::BF16);
        let body: crate::factorize::Tensors = all
            .into_iter()
            .filter(|(name, _)| !name.contains("pooler") && !name.starts_with("cls.") && name != "lm_head.weight")
            .collect();
        let path = saved(folder.path(), model, &body);
        fs::write(path.join("tokenizer.json"), tokenizer(WORDS).to_string()).unwrap();
        let output = folder.path().join(format!("{model}-out"));
        let done = factorize(&path, &output, &by(Solver::Whitened, Keep::Rank(3), &text)).unwrap();
        assert_eq!(done.linears.len(), linears(&shape_of(model)).unwrap().len());
        let after = tensors(&output.join("model.safetensors"));
        assert!(after.values().all(|tensor| tensor.dtype() == DType::BF16), "{model}");
        for (linear, of) in done.linears.iter().zip(linears(&shape_of(model)).unwrap()) {
            let w = dense(&body, &of);
            let error = norm(&(&w - product(&after, &linear.name)).unwrap()) / norm(&w);
            assert!((linear.error.unwrap() - error).abs() < 1e-12, "{model} {}", linear.name);
        }
    }
}

#[test]
fn what_cannot_be_calibrated_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = with_tokenizer(folder.path(), "good", "dense");
    let output = folder.path().join("out");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = file("text", sample().as_bytes());
    let ask = |path: &Path, text: &Path| fails(path, &output, &by(Solver::Whitened, Keep::Rank(3), text));
    for (text, part) in [
        (file("short", b"a b c d e "), "5 tokens were read of"),
        (
            file("short", b"a b c d e "),
            "at least 20 are needed, as many as `bert.encoder.layer.1.output.dense` has inputs\nhint: ",
        ),
        (file("empty", b""), "0 tokens were read of"),
        (file("binary", &[b'a', b' ', 0xff, 0xfe]), "is no text: byte 3 is not UTF-8\nhint: "),
        (folder.path().join("nowhere"), "cannot read"),
        (folder.path().to_owned(), "it is a folder"),
    ] {
        let error = ask(&path, &text);
        assert!(error.contains(part), "{part}: {error}");
    }
    let with = |name: &str, tokenizer: Option<&str>| {
        let path = checkpoint(folder.path(), name, "dense");
        if let Some(tokenizer) = tokenizer {
            fs::write(path.join("tokenizer.json"), tokenizer).unwrap();
        }
        path
    };
    let larger = tokenizer("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz").to_string();
    let long = |n: usize| {
        let special = json!({ "id": "a", "ids": vec![0; n], "tokens": vec!["a"; n] });
        let mut tokenizer = tokenizer(WORDS);
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "a", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "a": special },
        });
        tokenizer.to_string()
    };
    for (tokenizer, part) in [
        (None, "there is no `"),
        (None, "tokenizer.json`\nhint: "),
        (Some("{"), "is no tokenizer for `--calibrate`: EOF"),
        (Some(r#"{"model": {"type": "Runes"}}"#), "is no tokenizer for `--calibrate`: "),
        (Some(&*long(11)), "it adds 11 tokens to each text, and the model takes 11 in all\nhint: "),
        (Some(&*larger), "makes the token 50, and the embedding has 29 rows, 0 to 28\nhint: "),
    ] {
        let path = with(&format!("with-{}", part.len()), tokenizer);
        let error = ask(&path, &whole);
        assert!(error.contains(part), "{part}: {error}");
        fs::remove_dir_all(path).unwrap();
    }
    for (model, said, part) in [
        ("llama", r#""rope_parameters": {"rope_type": "llama3", "factor": 8.0}"#, "scaled by the rule `llama3`"),
        ("llama", r#""rope_scaling": {"type": "longrope", "factor": 2.0}"#, "scaled by the rule `longrope`"),
        ("phi3", r#""rope_parameters": {"full_attention": {"rope_type": "yarn"}}"#, "scaled by the rule `yarn`"),
        ("dense", r#""hidden_act": "relu""#, "its activation is `relu`"),
        ("gpt2", r#""scale_attn_by_inverse_layer_idx": true"#, "scaled in a way of their own"),
        (
            "llama",
            r#""model_type": "olmo""#,
            "it is of the type `olmo`, and those that it reads texts with are bert, gpt2, ",
        ),
    ] {
        let path = with_tokenizer(folder.path(), "other", model);
        say(&path, said);
        let error = ask(&path, &whole);
        assert!(error.contains(part) && error.contains("\nhint: `--solver svd`"), "{said}: {error}");
        fs::remove_dir_all(path).unwrap();
    }
    let mut large = golden_tensors("dense", DType::F32);
    let norm = "bert.embeddings.LayerNorm.weight";
    large.insert(norm.to_owned(), Tensor::full(1e38f32, 12, &Device::Cpu).unwrap());
    let overflows = saved(&folder.path().join("large"), "dense", &large);
    fs::write(overflows.join("tokenizer.json"), tokenizer(WORDS).to_string()).unwrap();
    assert!(ask(&overflows, &whole).contains("have values that are not finite\nhint: "), "{}", ask(&overflows, &whole));
    let (all, keep) = request(Keep::Rank(3));
    let uncalibrated = fails(&path, &output, &(Request { solver: Solver::Whitened, ..all }, keep));
    assert!(uncalibrated.contains("`--solver whitened` needs a text\nhint: `--calibrate FILE`"), "{uncalibrated}");
    let drawn = fails(&path, &output, &by(Solver::Random, Keep::Rank(3), &whole));
    assert!(drawn.contains("`--calibrate` says nothing of factors that are drawn\nhint: "), "{drawn}");
    assert!(!output.exists());
}

#[test]
fn the_command_prints_the_weighted_error_beside_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    with_tokenizer(folder.path(), "gpt2", "gpt2");
    fs::write(folder.path().join("text.txt"), sample()).unwrap();
    let run = |args: &str| {
        let output = program().arg("factorize").args(args.split(' ')).current_dir(folder.path()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, table, note) = run("gpt2 -o out --keep 0.6 --only h.0 --solver whitened --calibrate text.txt");
    assert_eq!((code, note.as_str()), (Some(0), "sequences read: 37 in all\ncheckpoint: out\n"));
    insta::assert_snapshot!(table, @r"
    linear                       in  out  rank   weights before  weights  error  weighted error
    transformer.h.0.attn.q_attn  12   12  dense             144      144      0               0
    transformer.h.0.attn.k_attn  12   12  dense             144      144      0               0
    transformer.h.0.attn.v_attn  12   12  dense             144      144      0               0
    transformer.h.0.mlp.c_fc     12   20  2                 240       64  0.866           0.158
    transformer.h.0.attn.c_proj  12   12  3                 144       72  0.697           0.138
    transformer.h.0.mlp.c_proj   20   12  2                 240       64  0.875           0.136
    all                                                    1056      632  0.633           0.127

    3 of 6 linears have factors of ranks 2 to 3, and keep 59.8 % of the weights of these 6.
    The weighted error is that of what comes out of the linears on 397 tokens of the text.
    The checkpoint has 2448 weights instead of 2872: 0.0 MB instead of 0.0 MB as f32, 0.0 MB instead of 0.0 MB as bf16 or f16.
    ");
    let (_, json, _) = run("gpt2 -o json --rank 4 --format json --calibrate text.txt --calibrate-tokens 110");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["calibration_tokens"], &json["solver"]), (&110.into(), &"svd".into()));
    assert!(json["weighted_error"].is_number() && json["linears"][0]["weighted_error"].is_number());
    let (_, csv, _) = run("gpt2 -o csv --rank 4 --format csv --calibrate text.txt");
    assert_eq!(csv.lines().next().unwrap(), "linear,in,out,rank,weights before,weights,error,weighted error");
    let (code, _, said) = run("gpt2 -o new --rank 3 --calibrate-tokens 100");
    assert!(code == Some(2) && said.contains("--calibrate <TEXTFILE>"), "{said}");
}
