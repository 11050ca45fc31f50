//! Fine-tuning with LoRA as Qwen's own repository timed it, which is in no fit, against estimates: writes `reports/validation/lora.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use greenformers::stats::median;
use serde_json::{Value, json};

/// Tokens in a sequence.
const LENGTHS: [usize; 6] = [256, 512, 1024, 2048, 4096, 8192];

/// A model, how it was tuned, its layers, width, heads and feed-forward width, seconds of an iteration, and GB of memory by length
/// (github.com/QwenLM/Qwen, README, "Profiling of Memory and Speed").
type Row = (&'static str, &'static str, [usize; 4], [f64; 6], [f64; 6]);

const RUNS: [Row; 4] = [
    ("Qwen 1.8B", "LoRA", [24, 2048, 16, 5504], [1.0, 1.0, 1.1, 1.7, 3.3, 6.8], [6.7, 7.4, 8.4, 11.0, 16.2, 21.8]),
    ("Qwen 7B", "LoRA", [32, 4096, 32, 11_008], [1.2, 1.5, 2.8, 5.2, 10.1, 21.3], [20.1, 20.4, 21.5, 23.8, 29.7, 36.6]),
    (
        "Qwen 14B",
        "LoRA",
        [40, 5120, 40, 13_696],
        [1.6, 2.4, 4.4, 8.4, 17.0, 36.0],
        [34.6, 35.1, 35.3, 37.4, 42.5, 55.2],
    ),
    (
        "Qwen 1.8B",
        "all weights",
        [24, 2048, 16, 5504],
        [2.1, 2.2, 2.2, 2.3, 2.8, 5.6],
        [43.5, 43.5, 43.5, 43.5, 47.1, 48.3],
    ),
];

/// The estimate of an iteration of 8 micro-batches of one sequence on an A100.
fn estimate(method: &str, [n_layers, width, heads, d_ff]: [usize; 4], seq_len: usize, folder: &Path) -> Value {
    let config = json!({
        "model_type": "qwen2", "num_hidden_layers": n_layers, "hidden_size": width, "num_attention_heads": heads,
        "num_key_value_heads": heads, "intermediate_size": d_ff, "vocab_size": 151_936, "tie_word_embeddings": false,
        "max_position_embeddings": 8192, "hidden_act": "silu",
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let (arch, weights) = if method == "LoRA" { ("lora:rank=64,targets=all", "f32") } else { ("dense", "16bit") };
    let length = seq_len.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_greenformers"))
        .args([
            "estimate",
            "config.json",
            "--steps",
            "1000",
            "--batch-size",
            "8",
            "--micro-batch",
            "1",
            "--seq-len",
            &length,
        ])
        .args(["--hardware", "a100-sxm4-80gb", "--dtype", "bf16", "--software", "eager", "--attention", "fused"])
        .args(["--gradient-checkpointing", "--arch", arch, "--weights", weights, "--format", "json", "-q"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all["estimates"][0].clone()
}

#[test]
fn lora_as_qwen_timed_it_lies_inside_the_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "# Fine-tuning that Qwen timed\n\nWritten by `cargo test --test integration lora_runs::`. Seconds of an iteration of 8 \
                    micro-batches of one sequence, in bf16 on one A100 SXM4 80 GB, and memory, as the README of github.com/QwenLM/Qwen has \
                    them (\"Profiling of Memory and Speed\": PyTorch 2.0, FlashAttention 2, layers computed again), against estimates of \
                    `--software eager --attention fused --gradient-checkpointing`. None of these runs is in any fit. Bold is outside the \
                    95 % interval.\n\n| model | trained | tokens | measured s | predicted s | off | GB | predicted GB |\n\
                    |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    let (mut errors, mut inside) = (Vec::new(), 0);
    for (name, method, shape, seconds, memory) in RUNS {
        for ((seq_len, measured), gb) in LENGTHS.into_iter().zip(seconds).zip(memory) {
            let found = estimate(method, shape, seq_len, folder.path());
            let step = |key: &str| found["step_s"][0][key].as_f64().unwrap();
            let (low, mid, high) = (step("low"), step("mid"), step("high"));
            let is_inside = (low..=high).contains(&measured);
            let bold = if is_inside { "" } else { "**" };
            let off = mid / measured - 1.0;
            let bytes = found["memory_per_device_bytes"].as_f64().unwrap();
            writeln!(
                text,
                "| {name} | {method} | {seq_len} | {measured} | {bold}{mid:.2} [{low:.2}, {high:.2}]{bold} | {:+.0} % | {gb} | {:.1} |",
                100.0 * off,
                bytes / 1e9
            )
            .unwrap();
            if method == "LoRA" {
                errors.push(off.abs());
                inside += usize::from(is_inside);
            }
        }
    }
    let middle = median(&errors).unwrap();
    writeln!(
        text,
        "\nOf LoRA, {inside} of {} inside; the median error is {:.0} %. Where all weights were trained, DeepSpeed kept states in f32 and \
         took about 2 s an iteration at any length, which no estimate of one device knows of.",
        errors.len(),
        100.0 * middle
    )
    .unwrap();
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/validation/lora.md"), &text).unwrap();
    assert!(inside == errors.len() && middle < 0.35, "{text}");
}
