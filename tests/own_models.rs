//! Models of the user's, decoders, LoRA and slices, from the command line.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

fn run(args: &[&str], folder: &Path) -> Output {
    assert_cmd::Command::cargo_bin("greenformers").unwrap().args(args).current_dir(folder).output().unwrap()
}

fn ok(args: &[&str], folder: &Path) -> String {
    let output = run(args, folder);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(args: &[&str], folder: &Path) -> Value {
    serde_json::from_str(&ok(args, folder)).unwrap()
}

fn fails(args: &[&str], folder: &Path) -> String {
    let output = run(args, folder);
    assert!(!output.status.success(), "{args:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

/// A Llama of four small layers, as Hugging Face describes it.
const LLAMA: &str = r#"{"model_type": "llama", "num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 97, "max_position_embeddings": 64,
    "tie_word_embeddings": false}"#;

fn with_llama() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), LLAMA).unwrap();
    folder
}

const PROFILE: [&str; 10] =
    ["profile", "--workload", "config.json", "--seq-len", "16", "--batch-size", "2", "--meter", "none", "-o"];

#[test]
fn a_config_json_is_profiled_dense_in_low_rank_and_with_lora() {
    let folder = with_llama();
    let archs = ["--arch", "dense", "--arch", "lrt:rank=8", "--arch", "lora:rank=2,targets=all"];
    let recipe = ["--tokens", "1M", "--batch-tokens", "1024", "--steps", "3", "--format", "json"];
    let profiled = json_of(&[&PROFILE[..], &["out"], &archs, &recipe].concat(), folder.path());
    let cells = profiled["cells"].as_array().unwrap();
    // Embedding and head 2 x 97 x 32, a last norm of 32; a layer has 32 x (32 + 16 + 16 + 32) + 3 x 32 x 48 + 64.
    let dense = 2 * 97 * 32 + 32 + 4 * (32 * 96 + 3 * 32 * 48 + 64);
    // Pairs of rank 2: 2 x (64 + 48 + 48 + 64 + 3 x 80) a layer.
    let lora = dense + 4 * 2 * (64 + 48 + 48 + 64 + 3 * 80);
    for (cell, (arch, n_params)) in cells.iter().zip([("dense", Some(dense)), ("lrt", None), ("lora", Some(lora))]) {
        assert_eq!((cell["arch"].as_str(), cell["status"].as_str()), (Some(arch), Some("ok")));
        assert!(n_params.is_none_or(|n| cell["n_params"] == n), "{cell}");
        assert!(cell["peak_memory_bytes"].as_u64().unwrap() > 0 && cell["step_s"]["mid"].as_f64().unwrap() > 0.0);
    }
    let estimates = json_of(&["estimate", "out", "--grid", "fra", "--format", "json"], folder.path());
    let estimates = estimates["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 3);
    for e in estimates {
        assert_eq!(e["basis"], "measured");
        assert!(e["wall_h"]["mid"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(estimates[2]["n_params_trained"], lora - dense);
    assert_eq!(estimates[0]["n_params_trained"], dense);
    // The rest of the program takes such a record as it takes others.
    assert!(ok(&["compare", "out"], folder.path()).contains("LoRA r=2 all"));
    ok(&["report", "out", "--grid", "fra"], folder.path());
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("LoRA r=2 all") && !page.contains("Linformer k="));
}

#[test]
fn modern_bert_is_profiled_dense_and_in_low_rank_and_its_linformer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let modern = r#"{"model_type": "modernbert", "num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4,
        "intermediate_size": 48, "vocab_size": 97, "max_position_embeddings": 64, "local_attention": 8}"#;
    fs::write(folder.path().join("config.json"), modern).unwrap();
    let more = ["--arch", "dense", "--arch", "lrt:rank=8", "--tokens", "1M", "--batch-tokens", "1024", "--steps", "3"];
    let profiled = json_of(&[&PROFILE[..], &["out"], &more, &["--format", "json"]].concat(), folder.path());
    // An embedding of 97 x 32 with its norm, a last norm, the head 32 x 32 + 32 and 97 biases; a layer has 4 x 32 x 32, 3 x 32 x 48
    // and norms of 64, of which the first layer has half.
    let dense = 97 * 32 + 32 + 32 + 32 * 32 + 32 + 97 + 4 * (4 * 32 * 32 + 3 * 32 * 48 + 64) - 32;
    let cells = profiled["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2);
    for cell in cells {
        assert_eq!(cell["status"], "ok", "{cell}");
        assert!(cell["peak_memory_bytes"].as_u64().unwrap() > 0 && cell["step_s"]["mid"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(cells[0]["n_params"], dense);
    let estimates = json_of(&["estimate", "out", "--grid", "fra", "--format", "json"], folder.path());
    assert!(estimates["estimates"].as_array().unwrap().iter().all(|e| e["basis"] == "measured"));
    ok(&["report", "out"], folder.path());
    let message = fails(&[&PROFILE[..], &["refused", "--arch", "linformer:k=4"]].concat(), folder.path());
    assert!(message.contains("see a window of them only") && message.contains("hint:"), "{message}");
}

#[test]
fn a_model_without_a_recipe_is_profiled_and_its_estimates_ask_how_long_it_trains() {
    let folder = with_llama();
    ok(&[&PROFILE[..], &["out", "--arch", "dense", "--steps", "2"]].concat(), folder.path());
    let message = fails(&["estimate", "out"], folder.path());
    assert!(message.contains("--tokens 10B") && message.contains("--batch-tokens"), "{message}");
    let said = ["--tokens", "1M", "--batch-tokens", "1024", "--seq-len", "16", "--format", "json"];
    let estimates = json_of(&[&["estimate", "out", "--arch", "dense"][..], &said].concat(), folder.path());
    assert_eq!(estimates["estimates"][0]["basis"], "measured");
    ok(&["report", "out"], folder.path());
    ok(&["compare", "out"], folder.path());
    let message = fails(&["profile", "--workload", "config.json"], folder.path());
    assert!(message.contains("recipe is not known") && message.contains("--seq-len 1024"), "{message}");
    let message = fails(&["run", "--workload", "config.json", "--seq-len", "16"], folder.path());
    assert!(message.contains("recipe is not known") && message.contains("--tokens"), "{message}");
}

#[test]
fn what_is_not_computed_says_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let alibi = LLAMA.replace("\"llama\"", "\"mpt\"").replace("hidden_size", "d_model");
    let alibi = alibi.replace("num_hidden_layers", "n_layers").replace("num_attention_heads", "n_heads");
    fs::write(folder.path().join("config.json"), alibi.replace("max_position_embeddings", "max_seq_len")).unwrap();
    let message = fails(&[&PROFILE[..], &["out"]].concat(), folder.path());
    assert!(message.contains("neither learned nor rotary") && message.contains("hint:"), "{message}");
    fs::write(folder.path().join("config.json"), LLAMA).unwrap();
    for (arch, part) in [
        ("qlora:rank=2", "is estimated, not profiled"),
        ("linformer:k=4", "cannot be a causal decoder"),
        ("lora:rank=33", "larger than it can be"),
    ] {
        let message = fails(&[&PROFILE[..], &["out", "--arch", arch]].concat(), folder.path());
        assert!(message.contains(part), "{arch}: {message}");
    }
    for bad in ["0", "auto,2", "2,x", ""] {
        let message = fails(&[&PROFILE[..], &["out", "--layers", bad]].concat(), folder.path());
        assert!(message.contains("expected `auto`"), "{bad}: {message}");
    }
}

#[test]
fn several_depths_are_measured_and_the_estimate_of_all_layers_is_sliced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), LLAMA.replace("layers\": 4", "layers\": 8")).unwrap();
    let more =
        ["out", "--arch", "dense", "--layers", "auto", "--tokens", "1M", "--batch-tokens", "1024", "--steps", "4"];
    let profiled = json_of(&[&PROFILE[..], &more, &["--format", "json"]].concat(), folder.path());
    let depths: Vec<u64> =
        profiled["cells"].as_array().unwrap().iter().map(|c| c["n_layers"].as_u64().unwrap()).collect();
    assert_eq!(depths, [2, 4]);
    let estimates = json_of(&["estimate", "out", "--format", "json"], folder.path());
    let dense = &estimates["estimates"][0];
    assert_eq!((dense["basis"].as_str(), dense["arch"].as_str()), (Some("sliced"), Some("dense")));
    assert!(ok(&["estimate", "out", "--assumptions"], folder.path()).contains("2 x 16 with 2, 4 of 8 layers"));
}

#[test]
fn architectures_are_compared_at_one_depth_and_the_table_says_which_row_has_which() {
    let folder = tempfile::tempdir().unwrap();
    whole_and_sliced(folder.path());
    let lengths = |name: &str| json_of(&["compare", name, "--format", "json"], folder.path())["lengths"].clone();
    let (whole, sliced) = (lengths("whole"), lengths("sliced"));
    // Every step was cut by one factor, so that ratios stay.
    for (a, b) in whole.as_array().unwrap().iter().zip(sliced.as_array().unwrap()) {
        let ratios = |length: &Value| -> Vec<f64> {
            let rows = length["rows"].as_array().unwrap();
            rows.iter().filter_map(|row| row["time_vs_dense"]["mid"].as_f64()).collect()
        };
        let (a, b) = (ratios(a), ratios(b));
        assert!(!a.is_empty() && a.len() == b.len(), "{a:?} and {b:?}");
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} and {b:?}");
    }
    ok(&["report", "sliced"], folder.path());
    let page = fs::read_to_string(folder.path().join("sliced/report.md")).unwrap();
    assert!(page.contains("| layers |"), "{page}");
}

/// A record of BERT-base with all layers, and the same as if it had been measured with 2 and 4 of them: 30 % of a step is what all
/// depths share.
fn whole_and_sliced(folder: &Path) {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let text = fs::read_to_string(Path::new(&root).join("reports/epyc-2vcpu-bert-base/record.json")).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut sliced = whole.clone();
    let cut = |cell: &Value, layers: u64| {
        let mut cell = cell.clone();
        let part = (36 + 7 * layers) as f64 / 120.0;
        cell["n_layers"] = json!(layers);
        for step in cell["steps"].as_array_mut().unwrap() {
            for name in ["forward_s", "backward_s", "optimizer_s"] {
                step[name] = json!(step[name].as_f64().unwrap() * part);
            }
        }
        cell["peak_memory_bytes"] = json!(cell["peak_memory_bytes"].as_u64().unwrap() * (36 + 7 * layers) / 120);
        cell
    };
    let cells = whole["cells"].as_array().unwrap();
    sliced["cells"] = cells.iter().flat_map(|cell| [cut(cell, 2), cut(cell, 4)]).collect();
    for (name, record) in [("whole", &whole), ("sliced", &sliced)] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("record.json"), record.to_string()).unwrap();
    }
}

#[test]
fn two_depths_of_a_step_that_grows_by_layers_give_the_time_of_all_layers() {
    let folder = tempfile::tempdir().unwrap();
    whole_and_sliced(folder.path());
    let of = |name: &str| {
        json_of(&["estimate", name, "--arch", "dense", "--grid", "fra", "--format", "json"], folder.path())["estimates"]
            [0]
        .clone()
    };
    let (whole, sliced) = (of("whole"), of("sliced"));
    assert_eq!((whole["basis"].as_str(), sliced["basis"].as_str()), (Some("measured"), Some("sliced")));
    let hours = |e: &Value, end: &str| e["wall_h"][end].as_f64().unwrap();
    let ratio = hours(&sliced, "mid") / hours(&whole, "mid");
    assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
    // From 2 and 4 layers to 12 an error of a step grows fivefold, and a layer of a deep model is not quite one of a shallow one.
    let width = |e: &Value| (hours(e, "high") - hours(e, "low")) / hours(e, "mid");
    assert!(width(&sliced) > 1.05 * width(&whole), "{} and {}", width(&sliced), width(&whole));
    let bytes = |e: &Value| e["memory_per_device_bytes"].as_f64().unwrap();
    assert!((bytes(&sliced) / bytes(&whole) - 1.0).abs() < 1e-6);
}
