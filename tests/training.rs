//! Models that are trained on text: against PyTorch, against themselves, and what cannot be trained.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use greenformers::model::{Arch, read_hugging_face};
use greenformers::nn::{CausalBatch, Input, Model, Params};
use greenformers::train::pretrain::{Schedule, Trainer};
use serde_json::Value;
use tempfile::TempDir;

use crate::factorize::shape_of;
use crate::nn::{golden, numbers};
use crate::reliability::{failed_properly, limited, program, text};

const DECODER: &str = r#"{"model_type": "gpt2", "n_embd": 12, "n_layer": 2, "n_head": 3, "n_inner": 20, "vocab_size": 300,
    "n_positions": 16}"#;
const ENCODER: &str = r#"{"model_type": "bert", "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 20, "vocab_size": 300, "max_position_embeddings": 16, "type_vocab_size": 2}"#;
const CPU: &str = "id: my-cpu\nname: A test CPU\nkind: cpu\nvendor: nobody\nthreads: 64\n";
const TDP: &str = "tdp: {value: 200, unit: W, year: 2024, source: made up for a test}\n";

/// A folder with a text, two models, and a processor with and without what its power is modelled by.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/measuring.md");
    for (name, text) in [
        ("text.txt", fs::read_to_string(page).unwrap().as_str()),
        ("decoder.json", DECODER),
        ("encoder.json", ENCODER),
        ("my-cpu.yaml", &format!("{CPU}{TDP}")),
        ("unknown-cpu.yaml", CPU),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A small training with these arguments.
fn command(folder: &Path, args: &str) -> std::process::Command {
    let mut program = program();
    program.arg("train").args(args.split(' ')).current_dir(folder);
    program.args(["--seq-len", "12", "--batch-size", "4", "--powercap-root", "none"]);
    program
}

pub(crate) fn train(folder: &Path, args: &str) -> (String, String) {
    let output = command(folder, args).output().unwrap();
    assert!(output.status.success(), "{args}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// What was written of a training.
pub(crate) fn record(folder: &Path, args: &str, output: &str) -> Value {
    train(folder, args);
    serde_json::from_str(&fs::read_to_string(folder.join(output).join("train.json")).unwrap()).unwrap()
}

pub(crate) fn tensors(path: &Path) -> HashMap<String, Vec<f32>> {
    let all = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    all.into_iter().map(|(name, tensor)| (name, tensor.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

#[test]
fn the_first_twenty_losses_are_those_of_pytorch() {
    let theirs = candle_core::safetensors::load(golden("train.safetensors"), &Device::Cpu).unwrap();
    let params = Params::from_safetensors(&golden("train.safetensors"), DType::F32, &Device::Cpu).unwrap();
    // As in tests/goldens/train.py.
    let schedule = Schedule { lr: 0.01, warmup_steps: 4, decay_steps: Some(20) };
    let mut trainer = Trainer::new(&shape_of("gpt2"), Arch::Dense, params, schedule).unwrap();
    let tokens = &theirs["tokens"];
    let expected = numbers(&theirs["losses"]);
    assert_eq!(expected.len(), 20);
    for (step, expected) in expected.iter().enumerate() {
        let ids = tokens.get(step).unwrap();
        let (b, t) = (ids.dim(0).unwrap(), ids.dim(1).unwrap() - 1);
        let part = |from: usize| -> Tensor { ids.narrow(1, from, t).unwrap().contiguous().unwrap() };
        let batch =
            CausalBatch { input_ids: part(0), starts: None, rows: None, labels: part(1).reshape(b * t).unwrap() };
        let loss = trainer.step(&Input::Causal(batch), None).unwrap();
        assert!((loss / expected - 1.0).abs() < 1e-4, "step {}: {loss}, PyTorch has {expected}", step + 1);
    }
}

#[test]
fn a_training_that_is_resumed_has_the_bits_of_one_that_was_not_interrupted() {
    let folder = folder();
    for (model, arch) in
        [("decoder", "dense"), ("encoder", "dense"), ("decoder", "lrt:rank=3"), ("encoder", "linformer:k=4")]
    {
        let name = format!("{model}-{}", arch.split(':').next().unwrap());
        let args = |end: &str, output: &str| {
            format!("text.txt -o {name}-{output} --workload {model}.json --arch {arch} --vocab 300 --seed 7 {end}")
        };
        train(folder.path(), &args("--steps 8", "whole"));
        train(folder.path(), &args("--steps 4 --decay-steps 8 --warmup-steps 0", "half"));
        let half = tensors(&folder.path().join(format!("{name}-half/model.safetensors")));
        train(folder.path(), &args("--steps 8 --resume", "half"));
        for file in ["model", "state"] {
            let of = |output: &str| tensors(&folder.path().join(format!("{name}-{output}/{file}.safetensors")));
            let (whole, resumed) = (of("whole"), of("half"));
            assert_eq!(whole.len(), resumed.len());
            for (weight, values) in &whole {
                assert!(
                    values.iter().zip(&resumed[weight]).all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{name}: {weight}"
                );
            }
            assert_ne!(half, whole, "{name}: four more steps changed nothing");
        }
    }
}

#[test]
fn a_training_that_is_stopped_writes_the_step_it_is_at_and_goes_on_to_the_same_bits() {
    let folder = folder();
    let path = folder.path();
    let args = |output: &str| {
        let end = "--steps 4000 --evaluate-every 4000 --warmup-steps 0";
        format!("text.txt -o {output} --workload decoder.json --vocab 300 --seed 7 {end}")
    };
    let begun = command(path, &args("stopped")).stderr(std::process::Stdio::piped()).spawn().unwrap();
    // The first checkpoint is there before the first step.
    let begins = std::time::Instant::now();
    while !path.join("stopped/train.json").is_file() {
        assert!(begins.elapsed().as_secs() < 60, "nothing was written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let signal = std::process::Command::new("kill").args(["-s", "INT", &begun.id().to_string()]).status().unwrap();
    let ended = begun.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert!(signal.success() && ended.status.code() == Some(130), "{said}");
    assert!(said.contains("Ctrl-C: the step at hand ends first; once more ends at once"), "{said}");
    assert!(
        said.contains("of which `stopped` has a checkpoint\nhint: the same command with `--resume` goes on"),
        "{said}"
    );
    let stopped: Value = serde_json::from_str(&fs::read_to_string(path.join("stopped/train.json")).unwrap()).unwrap();
    let steps = stopped["steps"].as_u64().unwrap();
    assert!(steps < 4000 && said.contains(&format!("after step {steps}, ")), "{steps}: {said}");
    assert_eq!(stopped["ended_by"], "running");
    train(path, &(args("stopped") + " --resume"));
    train(path, &args("whole"));
    for file in ["model", "state"] {
        let of = |output: &str| tensors(&path.join(format!("{output}/{file}.safetensors")));
        assert_eq!(of("stopped"), of("whole"), "{file}");
    }
}

#[test]
fn pairs_of_lora_are_trained_beside_a_checkpoint_that_stays_as_it_was() {
    let folder = folder();
    let path = folder.path();
    let base = record(path, "text.txt -o base --workload decoder.json --vocab 300 --steps 10 --lr 0.02", "base");
    let loss = |record: &Value, i: usize| record["points"][i]["held_out_loss"]["mid"].as_f64().unwrap();
    let last = base["points"].as_array().unwrap().len() - 1;
    let args = |end: &str, output: &str| {
        format!("text.txt -o {output} --from base --arch lora:rank=2,targets=all --lr 0.02 --seed 7 {end}")
    };
    let tuned = record(path, &args("--steps 8", "whole"), "whole");
    // B begins as zero: the model is at first what it was.
    assert!((loss(&tuned, 0) / loss(&base, last) - 1.0).abs() < 1e-6, "{tuned}");
    assert_eq!((tuned["from"].as_str(), base["from"].as_str()), (Some("base"), None));
    // Of another text the pairs learn what the weights do not know.
    fs::write(path.join("other.txt"), "one two three four five six seven eight nine ten. ".repeat(300)).unwrap();
    let of_other = args("--steps 60", "other").replace("text.txt", "other.txt");
    let other = record(path, &of_other, "other");
    let end = other["points"].as_array().unwrap().len() - 1;
    assert!(loss(&other, end) < loss(&other, 0) - 0.005, "{other}");
    let (before, after) =
        (tensors(&path.join("base/model.safetensors")), tensors(&path.join("whole/state.safetensors")));
    assert!(before.iter().all(|(name, values)| after[name] == *values), "a weight of the checkpoint moved");
    let pairs = tensors(&path.join("whole/adapter_model.safetensors"));
    assert!(
        pairs.keys().all(|name| name.starts_with("base_model.model.") && name.contains(".lora_")),
        "{:?}",
        pairs.keys()
    );
    assert!(pairs.values().all(|values| values.iter().any(|x| *x != 0.0)), "a pair that is not trained");
    assert!(!path.join("whole/model.safetensors").exists());
    let config: Value =
        serde_json::from_str(&fs::read_to_string(path.join("whole/adapter_config.json")).unwrap()).unwrap();
    assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_u64()), (Some(2), Some(2)));
    assert_eq!(config["base_model_name_or_path"], "base");
    // It goes on to the same bits, and all weights of a checkpoint go on as well.
    train(path, &args("--steps 4 --decay-steps 8 --warmup-steps 0", "half"));
    train(path, &args("--steps 8 --resume", "half"));
    assert_eq!(tensors(&path.join("half/adapter_model.safetensors")), pairs);
    let dense = record(path, "text.txt -o dense --from base --steps 4 --lr 0.02", "dense");
    assert!((loss(&dense, 0) / loss(&base, last) - 1.0).abs() < 1e-6, "{dense}");
    assert!(path.join("dense/model.safetensors").is_file());
}

#[test]
fn what_is_written_is_a_checkpoint_that_is_loaded_and_says_what_it_took() {
    let folder = folder();
    let args = "text.txt -o out --workload decoder.json --vocab 300 --steps 40 --lr 0.02 --hardware my-cpu.yaml";
    let (last, notes) = train(folder.path(), args);
    assert!(last.starts_with("40 steps, all that were asked for, on 1920 tokens: "), "{last}");
    assert!(last.contains("] Wh (cpu modelled, memory modelled), held-out loss "), "{last}");
    assert_eq!(notes.lines().filter(|line| line.starts_with("step ")).count(), 21, "{notes}");
    let out = folder.path().join("out");
    let record: Value = serde_json::from_str(&fs::read_to_string(out.join("train.json")).unwrap()).unwrap();
    let points = record["points"].as_array().unwrap();
    assert_eq!((points.len(), &record["ended_by"]), (21, &Value::from("steps")));
    let loss = |point: &Value, end: &str| point["held_out_loss"][end].as_f64().unwrap();
    // The untrained model knows nothing: ln 300 = 5.70.
    assert!((loss(&points[0], "mid") - 300_f64.ln()).abs() < 0.1, "{}", points[0]);
    assert!(loss(&points[20], "high") < loss(&points[0], "low") - 0.5, "{}", points[20]);
    assert!(points.windows(2).all(|pair| pair[0]["joules"].as_f64() <= pair[1]["joules"].as_f64()));
    let (config, _) = read_hugging_face(&fs::read(out.join("config.json")).unwrap()).unwrap();
    let model = Model::new(&config, Arch::Dense, Params::from_safetensors(&out, DType::F32, &Device::Cpu).unwrap());
    assert_eq!(Some(model.unwrap().params().count()), record["n_params"].as_u64());
    // A model by its shape alone is described as transformers reads it, and one of low rank is loaded with its ranks.
    train(folder.path(), "text.txt -o low --vocab 300 --arch lrt:rank=5 --steps 1");
    let low = folder.path().join("low");
    let (config, _) = read_hugging_face(&fs::read(low.join("config.json")).unwrap()).unwrap();
    let model =
        Model::new(&config, Arch::Dense, Params::from_safetensors(&low, DType::F32, &Device::Cpu).unwrap()).unwrap();
    assert!(model.params().get("transformer.h.3.mlp.c_fc.encode.weight").is_some());
}

#[test]
fn a_training_ends_at_the_loss_or_the_time_that_is_asked_for() {
    let folder = folder();
    let by = |args: &str, output: &str| record(folder.path(), args, output);
    let done = by(
        "text.txt -o loss --workload decoder.json --vocab 300 --until-loss 5.6 --lr 0.02 --evaluate-every 5 --steps 5000",
        "loss",
    );
    assert_eq!(done["ended_by"], "loss");
    assert!(done["held_out_loss"]["mid"].as_f64().unwrap() <= 5.6 && done["steps"].as_u64().unwrap() < 5000);
    let done = by("text.txt -o time --workload decoder.json --vocab 300 --max-time 1", "time");
    assert_eq!((&done["ended_by"], &done["decay_steps"]), (&Value::from("time"), &Value::Null));
    let spent =
        by("text.txt -o joules --workload decoder.json --vocab 300 --max-joules 10 --hardware my-cpu.yaml", "joules");
    assert_eq!((&spent["ended_by"], &spent["decay_steps"]), (&Value::from("joules"), &Value::Null));
    assert!(
        spent["total_joules"]["mid"].as_f64().unwrap() >= 10.0 && spent["points"].as_array().unwrap().len() > 3,
        "{spent}"
    );
    let seconds = done["total_seconds"].as_f64().unwrap();
    assert!(seconds >= 1.0 && done["seconds"].as_f64().unwrap() <= seconds, "{seconds}");
}

#[test]
fn what_cannot_be_trained_is_an_error_with_a_hint_and_nothing_is_written() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("ten.txt"), "0123456789").unwrap();
    fs::write(path.join("latin.txt"), b"caf\xe9").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    fs::create_dir(path.join("there")).unwrap();
    fs::create_dir(path.join("bare")).unwrap();
    fs::write(path.join("bare/config.json"), "{}").unwrap();
    fs::write(path.join("there/mine"), "").unwrap();
    train(path, "text.txt -o words --steps 1 --workload decoder.json --vocab 300");
    train(path, "text.txt -o more --vocab 500 --steps 1");
    for (args, part) in [
        ("ten.txt -o out --steps 1", "the text has 12 tokens: sequences of 12 need about 500"),
        ("text.txt -o out --max-joules 5 --vocab 300 --hardware unknown-cpu.yaml", "`--max-joules` needs a meter"),
        ("latin.txt -o out --steps 1", "`latin.txt` is no text in UTF-8: byte 4 is none of it\nhint: `iconv"),
        ("empty -o out --steps 1", "`empty` has no text: expected a file, or a folder with .txt or .md files"),
        ("text.txt -o out", "nothing says when the training ends\nhint: `--steps 1000`"),
        ("text.txt -o there --steps 1", "`there` is there already\nhint: `--resume` goes on with it"),
        ("text.txt -o out --steps 1 --resume", "has no training to go on with: it has no `state.safetensors`"),
        (
            "text.txt -o out --steps 1 --arch lora:rank=2",
            "trains beside the weights of a model that is trained already",
        ),
        (
            "text.txt -o out --steps 1 --from words --arch qlora:rank=2",
            "keeps the weights in 4 bits, which are not computed here",
        ),
        (
            "text.txt -o out --steps 1 --from words --arch lrt:rank=2",
            "has other weights than the checkpoint of `--from`",
        ),
        ("text.txt -o out --steps 1 --from bare", "`--from bare` has no `tokenizer.json`\nhint: `--tokenizer FILE`"),
        ("text.txt -o out --steps 1 --from empty", "`--from empty`: expected a folder with `config.json`"),
        ("text.txt -o out --steps 1 --vocab 200", "with special ones that is 257 at least\nhint: `--vocab 257`"),
        (
            "text.txt -o out --steps 1 --workload decoder.json --tokenizer more/tokenizer.json",
            "the tokenizer has ids up to 499, and the model has a `vocab_size` of 300\nhint: ",
        ),
        (
            "text.txt -o out --steps 1 --workload encoder.json --tokenizer words/tokenizer.json",
            "no `[MASK]` and no `<mask>`",
        ),
        ("text.txt -o out --steps 1 --tokenizer text.txt", "`text.txt` is no tokenizer"),
        (
            "text.txt -o words --vocab 300 --workload decoder.json --steps 2 --lr 0.5 --resume",
            "began with `--lr` of `0.001`, and now it is `0.5`\nhint: it goes on as it began",
        ),
        (
            "text.txt -o words --vocab 300 --workload decoder.json --steps 9 --arch lrt:rank=2 --resume",
            "began with `--arch`",
        ),
    ] {
        let message = failed_properly(&command(path, args).output().unwrap());
        assert!(message.contains(part), "{args}: {message}");
        assert!(!path.join("out").exists(), "{args}");
    }
}

#[test]
fn a_disk_that_fills_leaves_the_checkpoint_before_from_which_it_goes_on() {
    let folder = folder();
    let args = |more: &str| format!("text.txt -o out --vocab 300 --workload decoder.json {more}");
    train(folder.path(), &args("--steps 2"));
    let file = |name: &str| fs::read(folder.path().join("out").join(name)).unwrap();
    let before = ["model.safetensors", "state.safetensors", "train.json", "config.json"].map(file);
    let limit = format!("--fsize={}", before[1].len() / 2);
    let message = failed_properly(&limited(&[&limit], &command(folder.path(), &args("--steps 4 --resume"))));
    assert!(message.contains("cannot write to `out`") && message.contains("`--resume` goes on from it"), "{message}");
    assert_eq!(["model.safetensors", "state.safetensors", "train.json", "config.json"].map(file), before);
    let left = fs::read_dir(folder.path().join("out")).unwrap();
    assert!(left.map(|entry| entry.unwrap().file_name()).all(|name| !name.to_string_lossy().ends_with(".part")));
    assert!(train(folder.path(), &args("--steps 4 --resume")).0.starts_with("4 steps, "));
}
