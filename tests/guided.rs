//! Self-guided training: gradients, what the shares 1 and 0 are, what is written and resumed, and what is refused.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use greenformers::model::{Config, Family};
use greenformers::nn::{Gradients, Guides, Input, Model, Ops, Params, PassConfig, Tape};
use serde_json::Value;

use crate::nn::{difference, gradients_are_central_differences, numbers, shape, tiny};
use crate::reliability::{failed_properly, program, text};
use crate::training::{folder, record, tensors, train};

/// An encoder, and a decoder whose queries, keys and values are matrices of their own in dense as well.
fn models() -> [Config; 2] {
    [tiny(), Config { family: Family::Decoder, type_vocab_size: 0, ..tiny() }]
}

fn built(config: &Config, spec: &str) -> Model {
    Model::new(config, spec.parse().unwrap(), Params::random(3, DType::F64, &Device::Cpu)).unwrap()
}

fn loss_and_gradients(model: &Model, input: &Input, ops: Ops, by: Option<(&Guides, f64)>) -> (f64, Gradients) {
    let pass = PassConfig { dtype: DType::F64, ops, dropout: 0.2, dropout_seed: 5 };
    let tape = Tape::new(pass, &Device::Cpu);
    let tape = match by {
        Some((guides, share)) => tape.guided(guides, share),
        None => tape,
    };
    let loss = model.loss(input, &tape).unwrap();
    (numbers(&loss)[0], tape.backward(&loss, None).unwrap())
}

/// Weights that are none of those that anything is drawn or worked out as.
fn shake(params: &Params) {
    for (place, (_, var)) in params.iter().enumerate() {
        let entry = |i: usize| ((7 * i + 3 * place) as f64).sin() * 0.2;
        let values: Vec<f64> = (0..var.elem_count()).map(entry).collect();
        let moved = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap().add(var.as_tensor()).unwrap();
        var.set(&moved).unwrap();
    }
}

#[test]
fn gradients_of_a_guided_model_agree_with_central_differences_and_with_the_stock_composition() {
    for config in models() {
        let model = built(&config, "lrt:rank=5");
        let guides = Guides::of_factors(model.params()).unwrap();
        shake(model.params());
        shake(guides.params());
        let input = Input::random(&config, shape(), 2, &Device::Cpu).unwrap();
        for share in [0.3, 0.9] {
            let by = Some((&guides, share));
            let (_, gradients) = loss_and_gradients(&model, &input, Ops::Fused, by);
            let value = || loss_and_gradients(&model, &input, Ops::Fused, by).0;
            // Those of the embeddings are made of the gradients for the inputs of all linears.
            for params in [model.params(), guides.params()] {
                gradients_are_central_differences(&format!("share {share}"), (params, &gradients), value);
            }
            let (_, stock) = loss_and_gradients(&model, &input, Ops::Stock, by);
            for (name, var) in model.params().iter().chain(guides.params().iter()) {
                let [ours, theirs] = [&gradients, &stock].map(|of| of.get(var).unwrap());
                let worst = numbers(&ours.sub(theirs).unwrap()).iter().fold(0.0f64, |m, x| m.max(x.abs()));
                assert!(worst < 1e-12, "{name} at {share}: {worst:e}");
            }
        }
    }
}

#[test]
fn a_share_of_one_is_the_dense_model_of_the_guides_and_a_share_of_nothing_is_the_factors_alone() {
    for config in models() {
        let [dense, low] = ["dense", "lrt:rank=5"].map(|spec| built(&config, spec));
        let guides = Guides::of_factors(low.params()).unwrap();
        shake(guides.params());
        shake(low.params());
        let mut twins = Vec::new();
        for (name, var) in dense.params().iter() {
            let linear =
                name.strip_suffix(".weight").and_then(|linear| guides.params().get(&format!("{linear}.guide.weight")));
            let bias = name.strip_suffix(".bias").and_then(|linear| low.params().get(&format!("{linear}.decode.bias")));
            let twin = linear.or(bias).or_else(|| low.params().get(name)).unwrap();
            var.set(twin.as_tensor()).unwrap();
            twins.push((name, var, twin));
        }
        assert_eq!(guides.params().iter().count(), 12);
        let input = Input::random(&config, shape(), 2, &Device::Cpu).unwrap();
        let (expected, of_dense) = loss_and_gradients(&dense, &input, Ops::Fused, None);
        let (loss, gradients) = loss_and_gradients(&low, &input, Ops::Fused, Some((&guides, 1.0)));
        assert_eq!(loss, expected);
        for (name, var, twin) in twins {
            let (ours, theirs) = (gradients.get(twin).unwrap(), of_dense.get(var).unwrap());
            assert_eq!(numbers(ours), numbers(theirs), "{name}");
        }
        for (name, var) in low.params().iter().filter(|(name, _)| name.contains("code.weight")) {
            assert!(numbers(gradients.get(var).unwrap()).iter().all(|x| *x == 0.0), "{name}");
        }
        let (expected, alone) = loss_and_gradients(&low, &input, Ops::Fused, None);
        let (loss, gradients) = loss_and_gradients(&low, &input, Ops::Fused, Some((&guides, 0.0)));
        assert_eq!(loss, expected);
        for (name, var) in low.params().iter() {
            assert_eq!(numbers(gradients.get(var).unwrap()), numbers(alone.get(var).unwrap()), "{name}");
        }
        assert!(guides.params().iter().all(|(_, var)| gradients.get(var).is_none()));
    }
}

#[test]
fn a_blend_has_its_share_of_both() {
    let of = |values: &[f64]| Tensor::new(values, &Device::Cpu).unwrap();
    let (x, y) = (of(&[1.0, 5.0, -2.0]), of(&[5.0, 1.0, 2.0]));
    for ops in [Ops::Fused, Ops::Stock] {
        let pass = PassConfig { ops, ..PassConfig::deterministic(DType::F64) };
        let blend = |share| numbers(&Tape::inference(pass, &Device::Cpu).blend(&x, &y, share).unwrap());
        assert_eq!((blend(0.25), blend(1.0), blend(0.0)), (vec![4.0, 2.0, 1.0], numbers(&x), numbers(&y)), "{ops}");
        assert!(Tape::inference(pass, &Device::Cpu).blend(&x, &of(&[1.0]), 0.5).is_err(), "{ops}");
    }
}

#[test]
fn guides_begin_as_the_products_of_their_factors() {
    let model = built(&tiny(), "lrt:rank=5");
    let guides = Guides::of_factors(model.params()).unwrap();
    let name = "bert.encoder.layer.1.intermediate.dense";
    let get = |params: &Params, part: &str| params.get(&format!("{name}.{part}.weight")).unwrap().as_tensor().clone();
    let product = get(model.params(), "decode").matmul(&get(model.params(), "encode")).unwrap();
    let guide = get(guides.params(), "guide");
    assert_eq!(guide.dims(), [20, 12]);
    assert!(difference(&guide, &product) < 1e-15);
}

const ARGS: &str = "text.txt --vocab 300 --seed 7 --lr 0.01 --arch lrt:rank=3";

/// The evaluations of a training: step, share of the guides, held-out loss.
fn points(of: &Value) -> Vec<(u64, f64, f64)> {
    let point = |p: &Value| {
        (p["step"].as_u64().unwrap(), p["guide"].as_f64().unwrap(), p["held_out_loss"]["mid"].as_f64().unwrap())
    };
    of["points"].as_array().unwrap().iter().map(point).collect()
}

fn same_bits(a: &HashMap<String, Vec<f32>>, b: &HashMap<String, Vec<f32>>, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (name, values) in a {
        assert!(values.iter().zip(&b[name]).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}: {name}");
    }
}

#[test]
fn a_guided_training_goes_on_to_the_same_bits_from_before_at_and_after_the_end_of_its_guide() {
    let folder = folder();
    for model in ["decoder", "encoder"] {
        let args = |output: &str, more: &str| format!("{ARGS} -o {output} --workload {model}.json {more}");
        let file = |output: &str, name: &str| tensors(&folder.path().join(output).join(format!("{name}.safetensors")));
        let whole = format!("{model}-whole");
        let guided = record(folder.path(), &args(&whole, "--guided --steps 8 --evaluate-every 1"), &whole);
        assert_eq!(guided["guided_steps"], 4);
        // (1 + cos(pi / 4)) / 2.
        let shares = [1.0, 0.853_553, 0.5, 0.146_447, 0.0, 0.0, 0.0, 0.0, 0.0];
        for ((step, share, _), expected) in points(&guided).into_iter().zip(shares) {
            assert!((share - expected).abs() < 1e-6, "{step}: {share}");
        }
        for at in [1, 2, 4, 6] {
            let part = format!("{model}-{at}");
            let end = format!("--guided --steps {at} --decay-steps 8 --warmup-steps 0 --evaluate-every 1");
            train(folder.path(), &args(&part, &end));
            let (weights, state) = (file(&part, "model"), file(&part, "state"));
            assert!(weights.keys().all(|name| !name.contains("guide")), "{part}");
            let held = state.keys().filter(|name| name.contains(".guide.weight")).count();
            assert_eq!(held, if at < 4 { 3 * 12 } else { 0 }, "{part}");
            train(folder.path(), &args(&part, "--guided --steps 8 --evaluate-every 1 --resume"));
            for name in ["model", "state"] {
                same_bits(&file(&whole, name), &file(&part, name), &part);
            }
        }
        // It begins as the factors alone do, learns otherwise, and has as many weights.
        let alone = format!("{model}-alone");
        let plain = record(folder.path(), &args(&alone, "--steps 8 --evaluate-every 1"), &alone);
        assert_eq!((&plain["guided_steps"], &plain["n_params"]), (&Value::Null, &guided["n_params"]));
        let (ours, theirs) = (points(&guided), points(&plain));
        assert!((ours[0].2 / theirs[0].2 - 1.0).abs() < 1e-5, "{} and {}", ours[0].2, theirs[0].2);
        assert!((ours[8].2 - theirs[8].2).abs() > 1e-5 && theirs.iter().all(|point| point.1 == 0.0));
        // From the end of the guide on, what is evaluated is what the checkpoint holds.
        let own = file(&whole, "model");
        assert_eq!(own.keys().collect::<std::collections::BTreeSet<_>>(), file(&alone, "model").keys().collect());
    }
}

#[test]
fn a_training_that_ends_while_it_is_guided_says_so_and_no_loss_ends_it_there() {
    let folder = folder();
    let args = |more: &str| format!("{ARGS} --workload decoder.json --guided --evaluate-every 1 {more}");
    let (last, notes) = train(folder.path(), &args("-o early --steps 2 --decay-steps 8"));
    assert!(
        last.contains(", still guided by 0.500: the checkpoint holds the factors alone")
            && last.contains("until step 4"),
        "{last}"
    );
    assert!(notes.contains("lrt:rank=3, guided for 4 steps: "), "{notes}");
    assert!(notes.contains("] (guided by 0.854), train loss "), "{notes}");
    // Any loss is low enough.
    let ended = record(folder.path(), &args("-o low --steps 8 --until-loss 100"), "low");
    assert_eq!((&ended["ended_by"], &ended["steps"]), (&Value::from("loss"), &Value::from(4)));
    let (last, _) = train(folder.path(), &args("-o whole --steps 8"));
    assert!(!last.contains("guided"), "{last}");
}

#[test]
fn what_cannot_be_guided_is_refused_with_a_hint_and_nothing_is_written() {
    let folder = folder();
    let path = folder.path();
    train(path, &format!("{ARGS} -o there --workload decoder.json --steps 2"));
    for (args, part) in [
        (
            "--arch dense --steps 8",
            "`dense` has no factors that `--guided` could guide: expected lrt\nhint: `--arch lrt:rank=64`",
        ),
        ("--arch linformer:k=4 --workload encoder.json --steps 8", "has no factors that `--guided` could guide"),
        ("--arch lora:rank=2 --steps 8", "trains beside the weights of a model that is trained already"),
        ("--arch lrt:rank=3 --max-time 10", "expected to know of 2 steps at least\nhint: `--steps 1000`"),
        ("--arch lrt:rank=3 --steps 1", "expected to know of 2 steps at least"),
    ] {
        let args = format!("train text.txt -o out --vocab 300 --seq-len 12 --powercap-root none --guided {args}");
        let message = failed_properly(&program().args(args.split(' ')).current_dir(path).output().unwrap());
        assert!(message.contains(part), "{args}: {message}");
        assert!(!path.join("out").exists(), "{args}");
    }
    let args = format!(
        "train {ARGS} -o there --workload decoder.json --steps 4 --guided --resume --seq-len 12 --batch-size 4"
    );
    let message = failed_properly(&program().args(args.split(' ')).current_dir(path).output().unwrap());
    assert!(message.contains("began with `--guided` of `false`, and now it is `true`\nhint: "), "{message}");
}

/// A comparison with these options.
fn quality(folder: &Path, more: &str) -> std::process::Output {
    let args = format!(
        "quality text.txt -o out --workload decoder.json --vocab 300 --lr 0.02 --steps 8 --evaluate-every 2 --arch dense \
         --arch lrt:rank=4 --seq-len 12 --batch-size 4 --powercap-root none --hardware my-cpu.yaml --format json {more}"
    );
    program().args(args.split(' ')).current_dir(folder).output().unwrap()
}

#[test]
fn a_comparison_guides_what_has_factors_and_counts_no_loss_of_both_together() {
    let folder = folder();
    let done = quality(folder.path(), "--guided --seeds 2");
    assert!(done.status.success(), "{}", text(&done.stderr));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    let runs = found["runs"].as_array().unwrap();
    let guided: Vec<(&str, Option<u64>)> =
        runs.iter().map(|run| (run["arch"].as_str().unwrap(), run["guided_steps"].as_u64())).collect();
    assert_eq!(guided, [("dense", None), ("lrt:rank=4", Some(4)), ("dense", None), ("lrt:rank=4", Some(4))]);
    let shares: Vec<f64> = points(&runs[1]).iter().map(|point| point.1).collect();
    assert!(shares[0] == 1.0 && (shares[1] - 0.5).abs() < 1e-12 && shares[2..] == [0.0; 3], "{shares:?}");
    // Reached, if at all, where nothing guides it.
    let own = &found["comparisons"][0]["steps"]["own"];
    assert!(own.as_array().is_some_and(|own| own.iter().all(|step| step.as_f64().unwrap() >= 4.0)), "{found}");
    let page = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    assert!(
        page.contains("| normal, guided |") && page.contains("guided by dense matrices in the first 4 steps"),
        "{page}"
    );
    let refused = failed_properly(&quality(folder.path(), "--seeds 2 --resume"));
    assert!(refused.contains("began with `--guided` of `true`, and now it is `false`"), "{refused}");
    let more = quality(folder.path(), "--guided --seeds 3 --resume");
    assert!(more.status.success(), "{}", text(&more.stderr));
}

#[test]
fn a_state_without_what_guides_it_is_refused_by_name() {
    let folder = folder();
    let args = |more: &str| format!("{ARGS} -o out --workload decoder.json --guided {more}");
    train(folder.path(), &args("--steps 2 --decay-steps 8"));
    let path = folder.path().join("out/state.safetensors");
    let bytes = fs::read(&path).unwrap();
    // The same bytes under a name that nobody asks for.
    let (name, other) = ("h.0.mlp.c_fc.guide.weight", "h.0.mlp.c_fc.gUIde.weight");
    let head = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap() + 8;
    let header = text(&bytes[..head][8..]);
    assert!(header.contains(name), "{header}");
    let renamed = header.replace(name, other);
    fs::write(&path, [&bytes[..8], renamed.as_bytes(), &bytes[head..]].concat()).unwrap();
    let args = format!("train {} --steps 8 --resume --seq-len 12 --batch-size 4 --powercap-root none", args(""));
    let args: Vec<&str> = args.split_whitespace().collect();
    let message = failed_properly(&program().args(args).current_dir(folder.path()).output().unwrap());
    assert!(message.contains("has no tensor `transformer.h.0.mlp.c_fc.guide.weight`"), "{message}");
}

#[test]
fn a_model_without_factors_has_nothing_to_guide() {
    let model = built(&tiny(), "dense");
    assert_eq!(Guides::of_factors(model.params()).unwrap().params().count(), 0);
}
