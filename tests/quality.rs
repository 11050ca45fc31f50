//! Architectures that are trained to an equal loss: the folder, the record, what is resumed, and what cannot be compared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use candle_core::{DType, Device, Tensor};
use greenformers::files::FolderLock;
use greenformers::model::Arch;
use greenformers::nn::{Model, Params, linears};
use serde_json::Value;

use crate::reliability::{failed_properly, program, text};
use crate::training::folder;

/// A small comparison with these arguments.
fn command(folder: &Path, args: &str) -> Command {
    let mut program = program();
    program.arg("quality").args(args.split(' ')).current_dir(folder);
    program.args(["--seq-len", "12", "--batch-size", "4", "--powercap-root", "none", "--hardware", "my-cpu.yaml"]);
    program
}

const TINY: &str = "text.txt -o out --workload decoder.json --vocab 300 --lr 0.02 --steps 8 --evaluate-every 2";

fn compare(folder: &Path, more: &str) -> (String, String) {
    let output = command(folder, &format!("{TINY} {more}")).output().unwrap();
    assert!(output.status.success(), "{more}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn record(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("out/quality.json")).unwrap()).unwrap()
}

/// A comparison in which an architecture does not reach the loss of dense, as `--format json` prints it.
pub(crate) fn one_that_is_not_reached() -> Value {
    let folder = folder();
    // Factors of rank 1 fall behind, at a rate that both bear.
    let short = TINY.replace(" --lr 0.02 --steps 8 --evaluate-every 2", "");
    let args = format!("{short} --lr 0.005 --steps 800 --seeds 2 --format json");
    let archs = "--arch dense --arch lrt:rank=1 --init spectral";
    let output = command(folder.path(), &format!("{args} {archs}")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn two_architectures_and_two_seeds_are_four_trainings_and_one_answer() {
    let folder = folder();
    let archs = "--arch dense --arch lrt:rank=4 --seeds 2";
    let (said, notes) = compare(folder.path(), archs);
    assert!(said.contains("LRT r=4") && said.contains("the held-out loss of "), "{said}");
    assert!(said.contains("J (modelled)") || said.contains("times the joules"), "{said}");
    assert!(said.contains("Joules are modelled, not measured by a counter (cpu modelled, memory modelled)"), "{said}");
    let next = said.lines().last().unwrap();
    assert!(
        next.starts_with("next:    greenformers quality text.txt ") && next.ends_with("--seeds 4 --resume"),
        "{next}"
    );
    // Four trainings of five evaluations, seed by seed.
    let lines: Vec<&str> = notes.lines().filter(|line| line.contains(": step ")).collect();
    assert_eq!(lines.len(), 20, "{notes}");
    assert!(lines[0].starts_with("run 1 of 4, dense, seed 0, 0 s gone"), "{}", lines[0]);
    assert!(lines[9].starts_with("run 2 of 4, lrt:rank=4, seed 0, "), "{}", lines[9]);
    assert!(
        lines[19].starts_with("run 4 of 4, lrt:rank=4, seed 1, ") && lines[19].contains(" left: step 8"),
        "{}",
        lines[19]
    );
    let out = folder.path().join("out");
    for file in ["report.html", "report.md", "charts/loss_by_j.svg", "charts/loss_by_s.svg", "charts/loss_by_steps.svg"]
    {
        assert!(out.join(file).is_file(), "{file}");
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("(modelled)") && page.contains("opacity=\"0.18\""),
        "no band, or joules that do not say what they are"
    );
    let record = record(folder.path());
    let runs = record["runs"].as_array().unwrap();
    let train = |run: &Value| -> Value {
        let path = out.join(run["folder"].as_str().unwrap()).join("train.json");
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let names: Vec<&str> = runs.iter().map(|run| run["folder"].as_str().unwrap()).collect();
    assert_eq!(names, ["runs/dense-0", "runs/lrt-rank-4-0", "runs/dense-1", "runs/lrt-rank-4-1"]);
    assert!(runs.iter().all(|run| run["points"] == train(run)["points"]));
    // One vocabulary; with a seed of its own each training has other batches.
    let file = |name: &str, file: &str| fs::read(out.join(name).join(file)).unwrap();
    assert!(names.iter().all(|name| file(name, "tokenizer.json") == file(names[0], "tokenizer.json")));
    assert_ne!(runs[0]["points"][1]["train_loss"], runs[2]["points"][1]["train_loss"]);
    // What `train` makes of the same settings is the same to the bit.
    let alone = "text.txt -o alone --workload decoder.json --vocab 300 --lr 0.02 --steps 8 --arch lrt:rank=4 --seed 1";
    crate::training::record(folder.path(), alone, "alone");
    assert_eq!(fs::read(folder.path().join("alone/model.safetensors")).unwrap(), file(names[3], "model.safetensors"));
}

fn written(folder: &Path, run: &str) -> SystemTime {
    fs::metadata(folder.join("out/runs").join(run).join("state.safetensors")).unwrap().modified().unwrap()
}

#[test]
fn what_is_finished_is_not_trained_again_and_more_seeds_add_to_it() {
    let folder = folder();
    let path = folder.path();
    let archs = "--arch dense --arch lrt:rank=4";
    compare(path, &format!("{archs} --seeds 1"));
    let (before, train) = (written(path, "dense-0"), path.join("out/runs/dense-0/train.json"));
    let account = fs::read(&train).unwrap();
    // A half-done training: as it was after 4 of 8 steps.
    fs::remove_dir_all(path.join("out/runs/lrt-rank-4-0")).unwrap();
    let half = "text.txt -o out/runs/lrt-rank-4-0 --workload decoder.json --vocab 300 --lr 0.02 --steps 4 --decay-steps 8 --warmup-steps 0 \
                --arch lrt:rank=4";
    crate::training::record(path, half, "out/runs/lrt-rank-4-0");
    let (_, notes) = compare(path, &format!("{archs} --seeds 2 --resume"));
    assert_eq!((written(path, "dense-0"), fs::read(&train).unwrap()), (before, account));
    assert!(!notes.contains("run 1 of 4"), "{notes}");
    let resumed = notes.lines().find(|line| line.starts_with("run 2 of 4")).unwrap();
    assert!(resumed.ends_with(", on after step 4"), "{resumed}");
    let record = record(path);
    assert_eq!((&record["seeds"], record["runs"].as_array().unwrap().len()), (&Value::from(2), 4));
    // Two processes do not train into one folder.
    for (folder, args) in [
        ("out", format!("{TINY} {archs} --seeds 2 --resume")),
        (
            "out/runs/dense-0",
            "text.txt -o out/runs/dense-0 --workload decoder.json --vocab 300 --steps 9 --resume".to_owned(),
        ),
    ] {
        let _lock = FolderLock::take(&path.join(folder), "").unwrap();
        let mut command = command(path, &args);
        if folder != "out" {
            command = program();
            command.arg("train").args(args.split(' ')).current_dir(path);
        }
        let message = failed_properly(&command.output().unwrap());
        assert!(message.contains(&format!("(process {}) writes into `{folder}`", std::process::id())), "{message}");
    }
    // It goes on as it began.
    for (more, part) in [
        ("--init spectral", "began with `--init` of `normal`, and now it is `spectral`\nhint: "),
        ("--warmup-steps 3", "began with `--warmup-steps` of `0`, and now it is `3`\nhint: "),
        ("--decay-steps 9", "began with `--decay-steps` of `8`, and now it is `9`\nhint: "),
    ] {
        let message =
            failed_properly(&command(path, &format!("{TINY} {archs} --seeds 2 --resume {more}")).output().unwrap());
        assert!(message.contains(part), "{more}: {message}");
    }
}

#[test]
fn what_cannot_be_compared_is_an_error_with_a_hint_and_nothing_is_written() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("ten.txt"), "0123456789").unwrap();
    let small = "--workload decoder.json --vocab 300 --steps 2";
    for (args, part) in [
        ("text.txt -o out --arch dense", "`--arch dense` alone is no comparison\nhint: "),
        (
            "text.txt -o out --arch lrt:rank=2 --arch lrt:rank=4",
            "dense, and it is not among them\nhint: add `--arch dense`",
        ),
        ("text.txt -o out --arch dense --arch lrt:rank=2 --arch dense", "`--arch dense` is given twice\nhint: "),
        (
            "text.txt -o out --arch dense --arch linformer:k=4 --guided",
            "`--guided` is for the factors of lrt, and no `--arch` has any\nhint: `--arch lrt:rank=64`",
        ),
        ("ten.txt -o out --arch dense --arch lrt:rank=2", "the text has 12 tokens: sequences of 12 need about 500"),
        // Before the first training, not after it.
        ("text.txt -o out --arch dense --arch lrt:rank=13", "`rank` of `lrt:rank=13` is larger than it can be"),
        ("text.txt -o out --arch dense --arch linformer:k=4", "cannot be a causal decoder"),
        ("text.txt -o out --arch dense --arch lora:rank=2", "trains beside the weights of a model"),
        ("text.txt -o out --arch dense --arch lrt:rank=2 --resume", "has no comparison to go on with\nhint: "),
    ] {
        let message = failed_properly(&command(path, &format!("{args} {small}")).output().unwrap());
        assert!(message.contains(part), "{args}: {message}");
        assert!(!path.join("out").exists(), "{args}");
    }
    for args in
        ["text.txt -o out --seeds 0", "text.txt -o out --steps 0", "text.txt -o out --init orthogonal", "text.txt"]
    {
        let output = command(path, args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}: {}", text(&output.stderr));
        assert!(!path.join("out").exists(), "{args}");
    }
    fs::create_dir(path.join("there")).unwrap();
    fs::write(path.join("there/mine"), "").unwrap();
    let message = failed_properly(&command(path, &format!("text.txt -o there {small}")).output().unwrap());
    assert!(message.contains("`there` is there already\nhint: `--resume`"), "{message}");
    assert_eq!(fs::read_dir(path.join("there")).unwrap().count(), 1);
    let args = "train text.txt -o out --steps 1 --init spectral --powercap-root none";
    let message = failed_properly(&program().args(args.split(' ')).current_dir(path).output().unwrap());
    assert!(message.contains("`dense` has no factors that `--init spectral` could begin"), "{message}");
}

/// The weights of a training that took no step that changes anything.
fn begun(folder: &Path, model: &str, args: &str) -> PathBuf {
    let out = folder.join(format!("{model}-{}", args.len()));
    let args = format!(
        "text.txt -o {} --workload {model}.json --vocab 300 --steps 1 --lr 1e-30 --seed 5 {args}",
        out.display()
    );
    crate::training::record(folder, &args, out.to_str().unwrap());
    out
}

#[test]
fn a_spectral_beginning_is_the_truncated_svd_of_the_dense_draw() {
    let folder = folder();
    for model in ["decoder", "encoder"] {
        let dense = begun(folder.path(), model, "--arch dense");
        let low = begun(folder.path(), model, "--arch lrt:rank=3 --init spectral");
        let config = fs::read(dense.join("config.json")).unwrap();
        let (config, _) = greenformers::model::read_hugging_face(&config).unwrap();
        let load = |path: &Path, arch| {
            let params = Params::from_safetensors(path, DType::F32, &Device::Cpu).unwrap();
            Model::new(&config, arch, params).unwrap()
        };
        let (dense, low) = (load(&dense, Arch::Dense), load(&low, Arch::Lrt { rank: 3 }));
        let all = linears(&config).unwrap();
        assert_eq!(all.len(), 12);
        for linear in all {
            let (name, first) = linear.fused.as_ref().map_or((&linear.name, 0), |fused| (&fused.name, fused.first));
            let w = dense.params().get(&format!("{name}.weight")).unwrap().narrow(0, first, linear.size.1).unwrap();
            let factor = |part: &str| low.params().get(&format!("{}.{part}.weight", linear.name)).unwrap().as_tensor();
            let (d, e) = (factor("decode"), factor("encode"));
            // The nearest of this rank by Eckart and Young, without a second decomposition: what is left over is at right angles to
            // both factors, and smaller in every direction than what is kept.
            let left = w.sub(&d.matmul(e).unwrap()).unwrap();
            let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            let off = [d.t().unwrap().matmul(&left).unwrap(), left.matmul(&e.t().unwrap()).unwrap()].map(|t| norm(&t));
            let (kept, whole) = (norm(&d.matmul(e).unwrap()), norm(&w));
            assert!(off.iter().all(|x| *x < 1e-5 * whole), "{}: {off:?} of {whole}", linear.name);
            assert!((kept.hypot(norm(&left)) / whole - 1.0).abs() < 1e-5, "{}", linear.name);
            // The factors have the same singular values: their Gram matrices are the same diagonal.
            let (dd, ee) = (d.t().unwrap().matmul(d).unwrap(), e.matmul(&e.t().unwrap()).unwrap());
            assert!(norm(&dd.sub(&ee).unwrap()) < 1e-5 * norm(&dd), "{}", linear.name);
            let smallest = (0..3).map(|i| dd.to_vec2::<f32>().unwrap()[i][i]).fold(f32::INFINITY, f32::min);
            let mut direction = Tensor::ones((linear.size.0, 1), DType::F32, &Device::Cpu).unwrap();
            for _ in 0..100 {
                let next = left.t().unwrap().matmul(&left.matmul(&direction).unwrap()).unwrap();
                direction = next.affine(1.0 / f64::from(norm(&next)), 0.0).unwrap();
            }
            let largest_left = norm(&left.matmul(&direction).unwrap());
            assert!(largest_left <= smallest * 1.0001, "{}: {largest_left} is left, {smallest} kept", linear.name);
        }
    }
}
