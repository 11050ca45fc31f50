//! Hugging Face's `config.json`: the counts of `transformers`, and files as people have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use greenformers::model::{
    Arch, AttentionKernel, Config, Execution, LoraTargets, NoteKind, Operator, StepShape, active_params, count_params,
    embedding_params, known_types, lora_params, operators, read_hugging_face,
};
use serde_json::{Value, json};

const COMPOSED: Execution = Execution { attention: AttentionKernel::Composed, one_by_one: None };

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn lora(config: &Config) -> Option<u64> {
    lora_params(config, 16, LoraTargets::QueryValue).ok()
}

#[test]
fn made_up_configurations_have_the_parameters_that_transformers_counts() {
    let text = fs::read_to_string(root().join("tests/goldens/hugging_face.jsonl")).unwrap();
    let (mut wrong, mut types) = (Vec::new(), BTreeMap::<String, usize>::new());
    for line in text.lines() {
        let (name, mut values, n, tables, tuned): (String, Value, u64, u64, Option<u64>) =
            serde_json::from_str(line).unwrap();
        values["model_type"] = json!(name);
        let config = match read_hugging_face(values.to_string().as_bytes()) {
            Ok((config, _)) => config,
            Err(error) => {
                wrong.push(format!("{line}: {error}"));
                continue;
            }
        };
        // I-BERT's tables are of a class of their own, and so are its linears.
        let counted = (count_params(&config, Arch::Dense), embedding_params(&config), lora(&config));
        let same_tables = name == "ibert" || counted.1 == tables;
        // The layers of MiniMax that attend linearly have queries and values in one matrix, which LoRA does not find.
        let same_lora = name == "minimax" || tuned.is_none() || counted.2 == tuned;
        if counted.0 != n || !same_tables || !same_lora {
            wrong.push(format!("{line}: {counted:?}"));
        }
        *types.entry(name).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), text.lines().count(), wrong.join("\n"));
    let untested: Vec<_> = known_types().into_iter().filter(|name| !types.contains_key(*name)).collect();
    // The text models of larger ones are read as Qwen's and GLM's; DeepSeek's first mixture is no type of transformers.
    let without_goldens = untested.iter().all(|name| name.ends_with("_text") || *name == "deepseek");
    assert!(without_goldens, "{untested:?}");
}

/// Files as people have them, which are not part of this repository.
fn files() -> Option<PathBuf> {
    let folder = root().join("../shared/data/configs");
    folder.join("index.csv").exists().then_some(folder)
}

#[derive(serde::Deserialize)]
struct Row {
    file: String,
    n_params: u64,
    n_params_embedding: Option<u64>,
    n_params_active: Option<u64>,
    lora_r16_qv: Option<u64>,
    expectation: String,
}

/// What is wrong with what comes of a file.
fn faults(folder: &Path, row: &Row) -> Vec<String> {
    let read = read_hugging_face(&fs::read(folder.join(&row.file)).unwrap());
    let mut faults = Vec::new();
    match (read, row.expectation.as_str()) {
        (Ok((config, notes)), "count" | "count, or error: unknown model_type" | "nested text_config") => {
            let counted = count_params(&config, Arch::Dense);
            if counted != row.n_params {
                faults.push(format!("{counted} parameters, not {}", row.n_params));
            }
            let active = active_params(&config, Arch::Dense);
            if row.n_params_active.is_some_and(|n| n != active) {
                faults.push(format!("{active} active parameters"));
            }
            if row.n_params_embedding.is_some_and(|n| n != embedding_params(&config)) {
                faults.push(format!("{} parameters of tables", embedding_params(&config)));
            }
            if row.lora_r16_qv.is_some() && row.lora_r16_qv != lora(&config) {
                faults.push(format!("{:?} parameters of LoRA", lora(&config)));
            }
            if row.expectation == "nested text_config" && !notes.iter().any(|n| n.kind == NoteKind::Nested) {
                faults.push("it does not say what was counted".to_owned());
            }
        }
        (Ok(_), _) => faults.push("it is counted".to_owned()),
        (Err(error), "count") => faults.push(error.to_string()),
        (Err(error), "nested text_config" | "count, or error: unknown model_type") => {
            if !error.to_string().contains("not a text model") {
                faults.push(error.to_string());
            }
        }
        (Err(error), expected) => {
            let terms = expected.trim_start_matches("error: ");
            if !error.to_string().contains(terms) {
                faults.push(format!("expected {terms}, got {error}"));
            }
        }
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", row.file)).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn real_files_are_counted_to_the_unit_or_refused_in_the_terms_that_are_expected() {
    let Some(folder) = files() else {
        println!("skipped: there are no files in ../shared/data/configs");
        return;
    };
    let rows: Vec<Row> =
        csv::Reader::from_path(folder.join("index.csv")).unwrap().deserialize().collect::<Result<_, _>>().unwrap();
    let faults: Vec<String> = rows.iter().flat_map(|row| faults(&folder, row)).collect();
    assert!(faults.is_empty() && rows.len() >= 50, "{} rows\n{}", rows.len(), faults.join("\n"));
}

#[test]
fn a_forward_pass_multiplies_what_torch_counts() {
    // torch.utils.flop_counter.FlopCounterMode of torch 2.11.0 around transformers' models with eager attention, which computes
    // every score: 2 sequences of 24 tokens, 8 heads of 8, 3 layers, 96 wide feed-forward blocks, 100 tokens in the vocabulary.
    let sizes = r#""hidden_size": 64, "num_attention_heads": 8, "num_hidden_layers": 3, "intermediate_size": 96, "vocab_size": 100"#;
    let latent = r#""num_key_value_heads": 8, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
        "v_head_dim": 10, "first_k_dense_replace": 3"#;
    let experts = r#""num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 40"#;
    for (name, more, flop) in [
        ("bert", r#""pad_token_id": 0"#, 10_149_888),
        ("gpt2", r#""n_inner": 256"#, 15_654_912),
        ("albert", r#""embedding_size": 32"#, 9_842_688),
        ("opt", r#""word_embed_proj_dim": 32, "ffn_dim": 96"#, 9_842_688),
        ("llama", r#""num_key_value_heads": 2"#, 9_756_672),
        ("gemma2", r#""num_key_value_heads": 2, "head_dim": 16"#, 13_590_528),
        ("modernbert", r#""local_attention": 8"#, 11_919_360),
        ("deepseek_v3", latent, 10_752_000),
        ("mixtral", r#""num_key_value_heads": 2, "num_local_experts": 4"#, 15_138_816),
        ("qwen2_moe", experts, 9_406_464),
    ] {
        let json = format!(r#"{{"model_type": "{name}", {sizes}, {more}}}"#);
        let (model, _) = read_hugging_face(json.as_bytes()).unwrap();
        let shape = StepShape { batch_size: 2, seq_len: 24, masked_per_seq: 24 };
        let list = operators(&model, Arch::Dense, shape, COMPOSED);
        assert_eq!(list.iter().map(Operator::flop).sum::<u128>(), flop, "{name}");
    }
}

/// Types whose step is not counted as PyTorch counts it, and why.
const COUNTED_OTHERWISE: [(&str, &str); 7] = [
    ("convbert", "its convolutions of single channels are no products here"),
    ("diffllama", "transformers computes attention twice, once for each half of the values"),
    ("llama4_text", "transformers gives every token to every expert"),
    ("longformer", "a sequence is padded to the window, 512 tokens, which is longer than these"),
    ("minimax", "its linear attention runs over blocks of tokens"),
    ("nystromformer", "its convolutions of single channels are no products here"),
    ("stablelm", "a rotary part of one number makes heads wider by one"),
];

/// FLOPs of a step of 2 x 8 tokens with a loss on every position, as `FlopCounterMode` of PyTorch counts them.
#[test]
fn a_step_of_each_type_has_the_flops_that_pytorch_counts() {
    let text = fs::read_to_string(root().join("tests/goldens/flops.jsonl")).unwrap();
    let shape = StepShape { batch_size: 2, seq_len: 8, masked_per_seq: 8 };
    let (mut wrong, mut types, mut otherwise) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let (name, mut values, counted): (String, Value, u64) = serde_json::from_str(line).unwrap();
        values["model_type"] = json!(name);
        let (config, _) = read_hugging_face(values.to_string().as_bytes()).unwrap();
        let list = operators(&config, Arch::Dense, shape, COMPOSED);
        // The golden leaves poolers out: no loss hangs on them.
        let pooler = |o: &&Operator| o.name == "other linears" && o.m == 2;
        let step: u128 = list.iter().filter(|o| !pooler(o)).map(Operator::train_flop).sum();
        let is_equal = step == u128::from(counted);
        match COUNTED_OTHERWISE.iter().find(|(other, _)| *other == name) {
            Some((known, _)) if !is_equal => drop(otherwise.insert(*known)),
            None if !is_equal => wrong.push(format!("{line}: {step}")),
            _ => {}
        }
        types.insert(name);
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), text.lines().count(), wrong.join("\n"));
    assert!(types.len() > 100, "{} types", types.len());
    // No reason outlives what it is for.
    assert_eq!(otherwise, COUNTED_OTHERWISE.map(|(name, _)| name).into(), "these are counted otherwise");
}
