//! What stock PyTorch reads and writes between products, against PyTorch's own operators.

use std::fs;
use std::path::Path;

use greenformers::model::{Arch, AttentionKernel, Execution, Formats, StepShape, operators, read_hugging_face};
use greenformers::stats::median;
use greenformers::units::{DType, Optimizer, States, Weights};
use serde_json::{Value, json};

/// `tests/goldens/traffic.py` counts the bytes and the operations of train steps of transformers' models.
#[test]
fn stock_pytorch_moves_what_its_own_operators_move() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/traffic.jsonl")).unwrap();
    let (mut of_bytes, mut of_kernels, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let (name, mut values, batch_size, seq_len, how, forward, train, _, kernels): (
            String,
            Value,
            usize,
            usize,
            String,
            f64,
            f64,
            f64,
            f64,
        ) = serde_json::from_str(line).unwrap();
        values["model_type"] = json!(name);
        let (config, _) = read_hugging_face(values.to_string().as_bytes()).unwrap();
        let how: Vec<&str> = how.split('+').collect();
        let is = |what| how.contains(&what);
        let arch: Arch = match () {
            () if is("lora-qv") => "lora:rank=16,targets=qv",
            () if is("lora-all") => "lora:rank=16,targets=all",
            () => "dense",
        }
        .parse()
        .unwrap();
        let weights = if is("pure") { Weights::Half } else { Weights::Wide };
        let formats = Formats {
            dtype: if is("f32") { DType::F32 } else { DType::Bf16 },
            states: States { weights, optimizer: Optimizer::AdamW },
        };
        let attention = if is("composed") { AttentionKernel::Composed } else { AttentionKernel::Fused };
        let execution = Execution { attention, one_by_one: Some(formats) };
        // Classes of transformers compute the logits of all positions.
        let shape = StepShape { batch_size, seq_len, masked_per_seq: seq_len };
        let list = operators(&config, arch, shape, execution);
        let sum = |of: &dyn Fn(&greenformers::model::Operator) -> u64| {
            4.0 * list.iter().filter(|o| !o.kind.multiplies()).map(|o| o.count as f64 * of(o) as f64).sum::<f64>()
        };
        let ratios = [sum(&|o| o.elements) / forward, sum(&|o| o.train_elements()) / train];
        let of_kernel = list.iter().map(|o| (o.count * o.kernels) as f64).sum::<f64>() / kernels;
        let line = format!("{name} {how:?} {batch_size} x {seq_len}: {ratios:.2?}, operations {of_kernel:.2}");
        if ratios.iter().any(|ratio| !(0.80..1.25).contains(ratio)) || !(0.7..1.25).contains(&of_kernel) {
            wrong.push(line);
        }
        of_bytes.push((ratios[1] - 1.0).abs());
        of_kernels.push((of_kernel - 1.0).abs());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let medians = [median(&of_bytes).unwrap(), median(&of_kernels).unwrap()];
    assert!(of_bytes.len() >= 60 && medians[0] < 0.03 && medians[1] < 0.1, "{medians:?}");
}
