//! The memory of train steps, against what PyTorch's own operators keep.

use std::fs;
use std::path::Path;

use greenformers::model::{Arch, Kernels, Saving, StepShape, read_hugging_face, training_memory_with};
use greenformers::stats::median;
use greenformers::units::{DType, States, Weights};
use serde_json::{Value, json};

/// `tests/goldens/memory.py` counts the storages of stock PyTorch, which holds to 3 % what a GPU's allocator gives out.
#[test]
fn stock_pytorch_keeps_what_its_own_operators_keep() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/memory.jsonl")).unwrap();
    let (mut errors, mut wrong) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (name, mut values, batch_size, seq_len, how, counted): (String, Value, usize, usize, String, u64) =
            serde_json::from_str(line).unwrap();
        values["model_type"] = json!(name);
        let (config, _) = read_hugging_face(values.to_string().as_bytes()).unwrap();
        let how: Vec<&str> = how.split('+').collect();
        let is = |what| how.contains(&what);
        let arch = if is("lora-qv") {
            "lora:rank=16,targets=qv"
        } else if is("lora-all") {
            "lora:rank=16,targets=all"
        } else {
            "dense"
        };
        let arch: Arch = arch.parse().unwrap();
        let saving = Saving {
            kernels: Kernels::OneByOne,
            fused_attention: !is("composed"),
            grad_checkpointing: is("checkpointing"),
            keeps_gradients: false,
            states: States { weights: if is("pure") { Weights::Half } else { Weights::Wide }, ..States::default() },
        };
        let dtype = if is("f32") { DType::F32 } else { DType::Bf16 };
        // Classes of transformers compute the logits of all positions.
        let shape = StepShape { batch_size, seq_len, masked_per_seq: seq_len };
        let ratio = training_memory_with(&config, arch, shape, dtype, saving).total() as f64 / counted as f64;
        errors.push((ratio - 1.0).abs());
        if !(0.95..1.05).contains(&ratio) {
            wrong.push(format!("{line}: {ratio:.3}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(errors.len() >= 50 && median(&errors).unwrap() < 0.01, "{errors:?}");
}
