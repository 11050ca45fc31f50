//! `factorize --sweep`, `--seq-len` and `--evaluate` as a person uses them: what is kept, against what it takes.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::factorize::{saved, tensors};
use crate::reliability::{program, text};
use crate::whitened::{sample, with_tokenizer};

fn run(folder: &Path, line: &str) -> std::process::Output {
    program().current_dir(folder).args(line.split_whitespace()).output().unwrap()
}

/// A small decoder with its tokenizer, and a text for it.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    with_tokenizer(folder.path(), "gpt2", "gpt2");
    fs::write(folder.path().join("text.txt"), sample()).unwrap();
    folder
}

/// What a sweep of two shares writes.
pub(crate) fn swept() -> Value {
    let folder = desk();
    let output = run(
        folder.path(),
        "factorize gpt2 -o shares --sweep keep=0.5,0.9 --seq-len 8 --evaluate text.txt --precision 20%",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_str(&fs::read_to_string(folder.path().join("shares/sweep.json")).unwrap()).unwrap()
}

#[test]
fn each_share_is_a_checkpoint_and_a_row_and_less_drifts_more() {
    let folder = desk();
    let line = "factorize gpt2 -o shares --sweep keep=0.5,0.9 --seq-len 4,8 --evaluate text.txt --precision 20%";
    let output = run(folder.path(), line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shares = folder.path().join("shares");
    let found: Value = serde_json::from_str(&fs::read_to_string(shares.join("sweep.json")).unwrap()).unwrap();
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|p| p["keep"].as_f64().unwrap()).collect::<Vec<_>>(), [0.9, 0.5]);
    let of = |point: &Value, path: &str| point.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    for point in points {
        let folder = shares.join(format!("keep-{}", of(point, "/keep")));
        assert!(tensors(&folder.join("model.safetensors")).len() > 10 && folder.join("tokenizer.json").exists());
        for (i, seq_len) in [4, 8].into_iter().enumerate() {
            let pass = &point["tried"]["passes"][i];
            assert_eq!(pass["seq_len"], seq_len);
            let ratio = of(pass, "/seconds/mid") / of(pass, "/dense_seconds/mid");
            // The ratio is that of pairs, and so about that of the means.
            assert!((ratio / of(pass, "/vs_dense/mid")).ln().abs() < 0.7, "{pass}");
            assert!((0.1..10.0).contains(&of(pass, "/joules_vs_dense/mid")), "{pass}");
            // Half a thousand weights of four bytes are the least.
            assert!(of(pass, "/peak_memory_bytes") > 2000.0, "{pass}");
        }
        // Random weights know nothing: each of 29 tokens is about as likely.
        let loss = of(point, "/tried/reading/loss/mid");
        assert!((2.0..6.0).contains(&loss), "{point}");
    }
    let drift = |i: usize| of(&points[i], "/tried/reading/drift/mid");
    assert!(drift(0) < drift(1) && drift(1) < 2.0, "{} and {}", drift(0), drift(1));
    assert!(of(&points[0], "/factorized/error") < of(&points[1], "/factorized/error"));
    // What is printed is what is in the report.
    let page = fs::read_to_string(shares.join("report.md")).unwrap().replace('\\', "");
    let said = text(&output.stdout);
    for part in ["dense", "90.0 %", "50.0 %"] {
        assert!(said.contains(part) && page.contains(part), "{part}: {said}\n{page}");
    }
    for chart in ["quality_by_time", "quality_by_size", "quality_by_joules"] {
        assert!(shares.join(format!("charts/{chart}.svg")).exists(), "{chart}");
        assert!(page.contains(chart), "{chart}");
    }
}

#[test]
fn a_model_this_narrow_becomes_smaller_and_not_faster_and_the_width_is_said_from_which_on_it_would() {
    let folder = desk();
    let output =
        run(folder.path(), "factorize gpt2 -o small --keep 0.9 --seq-len 8 --evaluate text.txt --precision 5%");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("dense ms") && said.contains("On the text its loss is"), "{said}");
    // Two thin products of eight rows cost more calls than one.
    assert!(said.contains("is smaller but not faster"), "{said}");
    assert!(
        said.contains("on this machine from a width of") || said.contains("on this machine up to a width of 2048"),
        "{said}"
    );
    let json = run(folder.path(), "factorize gpt2 -o again --keep 0.9 --seq-len 8 --precision 20% --format json");
    let found: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(found["tried"]["widths"]["tried"].as_array().unwrap().len(), 6, "{found}");
    assert!(found["tried"]["reading"].is_null());
    let without = run(folder.path(), "factorize gpt2 -o third --keep 0.9 --format json");
    let found: Value = serde_json::from_slice(&without.stdout).unwrap();
    assert!(found.get("tried").is_none());
}

#[test]
fn a_checkpoint_without_a_head_drifts_and_has_no_loss() {
    let folder = desk();
    let path = with_tokenizer(folder.path(), "bert", "dense");
    let mut words: Value = serde_json::from_str(&fs::read_to_string(path.join("tokenizer.json")).unwrap()).unwrap();
    let vocabulary = words["model"]["vocab"].as_object_mut().unwrap();
    let last = vocabulary.remove("C").unwrap();
    vocabulary.insert("[MASK]".to_owned(), last);
    let mut all = tensors(&path.join("model.safetensors"));
    all.retain(|name, _| !name.starts_with("cls."));
    let path = saved(&folder.path().join("headless"), "dense", &all);
    fs::write(path.join("tokenizer.json"), words.to_string()).unwrap();
    let line = format!("factorize {} -o small --keep 0.6 --evaluate text.txt", path.display());
    let output = run(folder.path(), &line);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("there is no loss: the checkpoint has no `cls."), "{said}");
    assert!(said.contains("On the text its embeddings drift by"), "{said}");
}

#[test]
fn what_cannot_be_tried_is_said_before_anything_is_written() {
    let folder = desk();
    fs::write(folder.path().join("short.txt"), "a b c").unwrap();
    fs::write(folder.path().join("bytes.txt"), b"\xff\xfe").unwrap();
    let wordless = folder.path().join("wordless");
    fs::create_dir(&wordless).unwrap();
    for file in ["model.safetensors", "config.json"] {
        fs::copy(folder.path().join("gpt2").join(file), wordless.join(file)).unwrap();
    }
    for (line, part) in [
        ("gpt2 --sweep keep=0.5,0.0001", "is less than rank 1 in every linear"),
        ("gpt2 --sweep rank=3", "expected `keep=0.9,0.5`"),
        ("gpt2 --sweep keep=0.5 --keep 0.5", "cannot be used with"),
        ("gpt2 --keep 0.5 --png", "there are none without it"),
        ("gpt2 --keep 0.5 --seq-len 0", "0 tokens"),
        ("gpt2 --keep 0.5 --seq-len 100000", "100000 tokens"),
        ("gpt2 --keep 0.5 --evaluate short.txt", "hint: give more text"),
        ("gpt2 --keep 0.5 --evaluate bytes.txt", "bytes.txt"),
        ("gpt2 --keep 0.5 --evaluate nowhere.txt", "nowhere.txt"),
        ("wordless --keep 0.5 --evaluate text.txt", "tokenizer.json"),
    ] {
        let output = run(folder.path(), &format!("factorize {line} -o out"));
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{line}: {said}");
        assert!(!folder.path().join("out").exists(), "{line}");
    }
}
