use super::super::rotary_scaling::Scaling;
use super::super::shape::{Experts, Positions, Window};
use super::super::{Arch, Family, active_params, count_params};
use super::defaults::type_of_class;
use super::*;

fn read(json: &str) -> Result<(Config, Vec<Note>), String> {
    read_hugging_face(json.as_bytes()).map_err(|e| e.to_string())
}

fn params(json: &str) -> u64 {
    count_params(&read(json).expect(json).0, Arch::Dense)
}

/// A small model of a type, with `more` in it.
fn small(model_type: &str, more: &str) -> String {
    format!(
        r#"{{"model_type": "{model_type}", "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 4,
        "num_key_value_heads": 4, "intermediate_size": 32, "vocab_size": 100, "max_position_embeddings": 64{more}}}"#
    )
}

#[test]
fn published_models_have_their_published_parameters() {
    // Devlin et al. 2018 with the masked-LM head; Radford et al. 2019; Touvron et al. 2023; Jiang et al. 2024.
    assert_eq!(params(r#"{"model_type": "bert"}"#), 109_514_298);
    assert_eq!(params(r#"{"model_type": "gpt2"}"#), 124_439_808);
    assert_eq!(params(r#"{"model_type": "llama"}"#), 6_738_415_616);
    let (mixtral, _) = read(r#"{"model_type": "mixtral"}"#).expect("defaults");
    assert_eq!(count_params(&mixtral, Arch::Dense), 46_702_792_704);
    assert_eq!(active_params(&mixtral, Arch::Dense), 12_879_925_248);
}

#[test]
fn a_count_that_rests_on_defaults_names_them() {
    let (_, notes) = read(&small("llama", "")).expect("valid");
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].kind, NoteKind::Defaults);
    assert!(notes[0].text.contains("`tie_word_embeddings: false`"), "{}", notes[0]);
    assert!(!notes[0].text.contains("vocab_size"), "{}", notes[0]);
    let all = r#", "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false, "hidden_act": "silu""#;
    assert_eq!(read(&small("llama", all)).expect("valid").1, []);
}

#[test]
fn keys_that_would_change_the_count_of_another_type_are_named() {
    let more = r#", "num_local_experts": 8, "quantization_config": {"bits": 4}, "colour": 1"#;
    let (_, notes) = read(&small("llama", more)).expect("valid");
    let ignored: Vec<_> = notes.iter().filter(|n| n.kind == NoteKind::Ignored).collect();
    assert!(ignored.len() == 1 && ignored[0].text.ends_with("not counted: `num_local_experts`"), "{notes:?}");
    assert!(notes.iter().any(|n| n.text.contains("before quantisation")), "{notes:?}");
}

#[test]
fn key_names_of_other_types_are_read_and_that_is_said() {
    let json = r#"{"model_type": "falcon", "hidden_size": 16, "n_head": 4, "n_layer": 3, "vocab_size": 100}"#;
    let (config, notes) = read(json).expect("valid");
    assert_eq!((config.n_layers, config.n_heads, config.n_kv_heads()), (3, 4, 1));
    assert!(notes.iter().any(|n| n.text.contains("`n_layer` as `num_hidden_layers`")), "{notes:?}");
}

#[test]
fn the_text_model_of_a_larger_one_is_counted_and_that_is_said() {
    let text = small("llama", "");
    let json = format!(r#"{{"model_type": "llava", "vision_config": {{"hidden_size": 8}}, "text_config": {text}}}"#);
    let (config, notes) = read(&json).expect("valid");
    assert_eq!(config, read(&text).expect("valid").0);
    assert_eq!(notes[0].kind, NoteKind::Nested);
    assert!(notes[0].text.contains("`llava` is not a text model") && notes[0].text.contains("`text_config`"));
    // Whether its head is tied, where the whole alone says so: 16 x 100 fewer parameters.
    let tied = json.replace(r#""vision_config""#, r#""tie_word_embeddings": true, "vision_config""#);
    assert_eq!(params(&text) - params(&tied), 1600);
    // Its keys at the top, and a type that nobody knows around a text model that is known.
    let flat = small("qwen2_vl", r#", "vision_config": {"depth": 2}"#);
    assert_eq!(read(&flat).expect("flat").1[0].kind, NoteKind::Nested);
    let json = json.replace("\"llava\"", "\"newest_vl\"");
    assert_eq!(read(&json).expect("inside").1[0].kind, NoteKind::Nested);
}

#[test]
fn what_is_not_modelled_is_refused_by_name_with_the_reason() {
    for (json, parts) in [
        (r#"{"model_type": "t5"}"#.to_owned(), ["`t5`", "encoder-decoder is not supported"]),
        (r#"{"model_type": "whisper"}"#.to_owned(), ["`whisper`", "not a text model"]),
        (r#"{"model_type": "mamba"}"#.to_owned(), ["`mamba`", "state-space"]),
        (r#"{"model_type": "mllama", "text_config": {}}"#.to_owned(), ["`mllama`", "`cross_attention_layers`"]),
        (r#"{"model_type": "llava"}"#.to_owned(), ["`llava`", "no `text_config`"]),
        (small("qwen", ""), ["unknown model_type `qwen`", "hint: write a workload in YAML whose `model:` has"]),
        (small("new", r#", "is_encoder_decoder": true"#), ["`new`", "encoder-decoder is not supported"]),
        (small("new", r#", "vision_config": {}"#), ["`new`", "not a text model (it has `vision_config`)"]),
        (small("gpt2", r#", "add_cross_attention": true"#), ["`gpt2`", "encoder-decoder is not supported"]),
        (r#"{"model_type": "llava", "text_config": {"model_type": "mamba"}}"#.to_owned(), ["`mamba`", "state-space"]),
    ] {
        let error = read(&json).expect_err(&json);
        assert!(parts.iter().all(|part| error.contains(part)), "{json}: {error}");
    }
    let unknown = read(&small("new", "")).expect_err("unknown");
    assert!(unknown.contains("albert, apertus") && unknown.contains("qwen3_moe"), "{unknown}");
}

#[test]
fn a_file_without_a_type_is_read_after_the_class_that_it_names() {
    let json = small("llama", r#", "architectures": ["Qwen2ForCausalLM"]"#).replace(r#""model_type": "llama", "#, "");
    let (config, notes) = read(&json).expect("named");
    assert!(notes[0].text.contains("read as `qwen2`"), "{notes:?}");
    assert_eq!(config, read(&small("qwen2", "")).expect("valid").0);
    for (class, found) in [("BertForMaskedLM", "bert"), ("LlamaForCausalLM", "llama"), ("GPT2LMHeadModel", "gpt2")] {
        assert_eq!(type_of_class(class), Some(found), "{class}");
    }
    assert_eq!(type_of_class("NewForCausalLM"), None);
}

#[test]
fn what_is_no_config_json_is_refused_with_what_it_is() {
    let tokenizer = r#"{"version": "1.0", "added_tokens": [], "pre_tokenizer": null, "model": {"type": "BPE"}}"#;
    for (json, part) in [
        ("null", "an object with `model_type`, got `null`"),
        ("[1]", "got a list"),
        ("\"llama\"", "got a text"),
        ("3", "got a single value"),
        ("", "no JSON"),
        ("{\"model_type\": ", "no JSON"),
        ("{}", "no `model_type`: expected one of afmoe, albert"),
        (tokenizer, "this describes a tokenizer (`tokenizer.json`), not a model"),
        (r#"{"add_bos_token": true, "tokenizer_class": "L", "model_max_length": 9}"#, "`tokenizer_config.json`"),
        (r#"{"tokenizer_class": "L", "model_max_length": 9, "added_tokens_decoder": {}}"#, "`tokenizer_config.json`"),
        (r#"{"do_sample": true, "eos_token_id": 2}"#, "`generation_config.json`"),
        (r#"{"metadata": {}, "weight_map": {}}"#, "`model.safetensors.index.json`"),
        (r#"{"model_type": 3}"#, "`model_type` is `3`: expected a text such as `llama`"),
    ] {
        let error = read(json).expect_err(json);
        assert!(error.contains(part), "{json}: {error}");
    }
    let long = vec![b' '; 40_000_000];
    let error = read_hugging_face(&long).expect_err("too long").to_string();
    assert_eq!(error, "40000000 bytes are no `config.json`: expected at most 4000000");
    assert!(read_hugging_face(b"\xff\xfe").is_err(), "no text");
    assert!(read_hugging_face("\u{feff}{\"model_type\": \"gpt2\"}".as_bytes()).is_ok(), "a byte-order mark");
}

#[test]
fn values_that_make_no_model_are_refused_by_name() {
    for (from, to, part) in [
        (
            "\"hidden_size\": 16",
            "\"hidden_size\": \"16\"",
            "`hidden_size` is the text `\"16\"`: expected a whole number",
        ),
        ("\"hidden_size\": 16", "\"hidden_size\": -16", "`hidden_size` is `-16`: expected a whole number"),
        ("\"hidden_size\": 16", "\"hidden_size\": 1.5", "`hidden_size` is `1.5`"),
        ("\"hidden_size\": 16", "\"hidden_size\": null", "`hidden_size` is missing"),
        ("\"hidden_size\": 16", "\"hidden_size\": true", "`hidden_size` is `true`"),
        ("\"hidden_size\": 16", "\"hidden_size\": [16]", "`hidden_size` is the list `[16]`"),
        (
            "\"hidden_size\": 16",
            "\"hidden_size\": 18446744073709551615",
            "`d_model` is 18446744073709551615: expected 1 to",
        ),
        ("\"hidden_size\": 16", "\"hidden_size\": 1e300", "`hidden_size` is `1e+300`"),
        ("\"hidden_size\": 16", "\"hidden_size\": 0", "`d_model` is 0"),
        ("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 1000000000000", "`num_hidden_layers` is 1000000000000"),
        ("\"num_hidden_layers\": 4", "\"num_hidden_layers\": 0", "`num_hidden_layers` is 0"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "`n_heads` is 0"),
        (
            "\"num_attention_heads\": 4",
            "\"num_attention_heads\": 3",
            "`n_heads` is 3 and does not divide `d_model`, 16",
        ),
        (
            "\"num_key_value_heads\": 4",
            "\"num_key_value_heads\": 3",
            "`n_kv_heads` is 3 and does not divide `n_heads`, 4",
        ),
        ("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 0", "`n_kv_heads` is 0"),
        ("\"vocab_size\": 100", "\"head_dim\": 5", "heads are 5 wide, and rotary positions turn pairs"),
        (
            "\"vocab_size\": 100",
            "\"mlp_bias\": \"yes\"",
            "`mlp_bias` is the text `\"yes\"`: expected `true` or `false`",
        ),
        ("\"vocab_size\": 100", "\"vocab_size\": 1e12", "`vocab_size` is 1000000000000"),
    ] {
        let error = read(&small("llama", "").replace(from, to)).expect_err(to);
        assert!(error.contains(part), "{to}: {error}");
    }
    let error = read(r#"{"model_type": "qwen2", "num_attention_heads": 4}"#).expect_err("defaults that do not fit");
    assert!(
        error.contains("does not divide `n_heads`, 4; of this the file does not say `hidden_size: 4096`, "),
        "{error}"
    );
    assert!(error.contains("`num_key_value_heads: 32`"), "{error}");
}

#[test]
fn no_type_panics_at_numbers_of_any_size() {
    let numbers =
        ["0", "1", "3", "-1", "1e15", "18446744073709551615", "null", "\"\"", "[]", "{}", "[[1, 2], 3]", "true"];
    for model_type in known_types() {
        let defaults = defaults_of(model_type).expect("known");
        let keys = defaults.values.keys().map(String::as_str);
        let others = [
            "layer_types",
            "mlp_layer_types",
            "attention_types",
            "pos_att_type",
            "moe_layers",
            "ffn_config",
            "head_dim",
        ];
        for key in keys.chain(others).chain(WEIGHTY.iter().copied()) {
            for number in numbers {
                let json = format!(r#"{{"model_type": "{model_type}", "{key}": {number}}}"#);
                if let Ok((config, _)) = read_hugging_face(json.as_bytes()) {
                    assert!(count_params(&config, Arch::Dense) > 0, "{json}");
                }
            }
        }
    }
}

#[test]
fn every_type_that_is_known_is_read() {
    for model_type in known_types() {
        assert_eq!(refused::reason(model_type), None, "{model_type}");
        let more = r#", "head_dim": 4, "n_routed_experts": 16, "n_layers": 4"#;
        let read = read(&small(model_type, more));
        assert!(read.is_ok(), "{model_type}: {read:?}");
    }
    assert!(known_types().len() > 110);
}

#[test]
fn windows_are_in_the_layers_that_a_type_says() {
    let layers = |model_type: &str, more: &str| read(&small(model_type, more)).expect(more).0.windowed();
    let of = |layers| Some(Window { length: 8, layers, global_every: None });
    for (model_type, more, expected) in [
        ("mistral", r#", "sliding_window": 8"#, of(4)),
        ("mistral", r#", "sliding_window": null"#, None),
        ("qwen2", r#", "sliding_window": 8, "use_sliding_window": false"#, None),
        ("qwen2", r#", "sliding_window": 8, "use_sliding_window": true, "max_window_layers": 3"#, of(1)),
        ("gemma2", r#", "sliding_window": 8"#, of(2)),
        ("gemma3_text", r#", "sliding_window": 8, "sliding_window_pattern": 2"#, of(2)),
        ("exaone4", r#", "sliding_window": 8, "sliding_window_pattern": "LLLG""#, of(3)),
        ("olmo3", r#", "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]"#, of(1)),
        ("gpt_neo", r#", "window_size": 8, "attention_types": [[["global", "local"], 2]]"#, of(2)),
        ("llama", r#", "sliding_window": 8"#, None),
    ] {
        assert_eq!(layers(model_type, more), expected, "{model_type}{more}");
    }
    // As many tokens to both sides, and a layer in three, or in as many as its list says, sees all.
    let modern = |length, layers, global_every| Some(Window { length, layers, global_every });
    for (more, expected) in [
        (r#", "local_attention": 8"#, modern(9, 2, Some(3))),
        (r#", "local_attention": 7, "global_attn_every_n_layers": 2"#, modern(7, 2, Some(2))),
        (
            r#", "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "sliding_attention"]"#,
            modern(129, 3, Some(4)),
        ),
        (
            r#", "layer_types": ["sliding_attention", "full_attention", "full_attention", "full_attention"]"#,
            modern(129, 1, None),
        ),
        (r#", "global_attn_every_n_layers": 1"#, None),
    ] {
        assert_eq!(layers("modernbert", more), expected, "{more}");
    }
}

#[test]
fn rotary_positions_turn_as_a_file_or_its_type_says_under_all_names() {
    let of = |model_type: &str, more: &str| {
        let config = read(&small(model_type, more)).expect(more).0;
        (config.theta(false), config.theta(true), config.rotary_width(), config.details.rotary.is_some())
    };
    // Heads are 4 wide, Gemma's 256.
    for (model_type, more, expected) in [
        ("llama", "", (1e4, 1e4, 4, false)),
        ("llama", r#", "rope_theta": 500000.0"#, (5e5, 5e5, 4, true)),
        ("llama", r#", "rope_theta": null, "partial_rotary_factor": 0.5"#, (1e4, 1e4, 4, false)),
        ("llama", r#", "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}"#, (5e5, 5e5, 4, true)),
        ("llama", r#", "rope_theta": 7.0, "rope_scaling": {"rope_theta": 5e5}"#, (5e5, 5e5, 4, true)),
        ("cohere", "", (5e5, 5e5, 4, true)),
        ("phi3", "", (1e4, 1e4, 4, false)),
        ("phi3", r#", "partial_rotary_factor": 0.75"#, (1e4, 1e4, 3, true)),
        ("phi3", r#", "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}"#, (1e4, 1e4, 2, true)),
        ("stablelm", "", (1e4, 1e4, 1, true)),
        ("gpt_neox", r#", "rotary_pct": 0.5, "rotary_emb_base": 2e4"#, (2e4, 2e4, 2, true)),
        ("gptj", "", (1e4, 1e4, 4, false)),
        ("gptj", r#", "rotary_dim": 2"#, (1e4, 1e4, 2, true)),
        ("gemma3_text", r#", "sliding_window": 8, "rope_local_base_freq": 9.0"#, (1e6, 9.0, 256, true)),
        ("modernbert", "", (16e4, 1e4, 4, true)),
        ("modernbert", r#", "global_rope_theta": 3.0, "local_rope_theta": 2.0"#, (3.0, 2.0, 4, true)),
        (
            "modernbert",
            r#", "rope_parameters": {"full_attention": {"rope_theta": 4.0}, "sliding_attention": {"rope_theta": 5.0}}"#,
            (4.0, 5.0, 4, true),
        ),
        ("gpt2", r#", "rope_theta": 7.0"#, (1e4, 1e4, 4, false)),
    ] {
        assert_eq!(of(model_type, more), expected, "{model_type}{more}");
    }
    let scaling =
        |more: &str| read(&small("llama", more)).expect(more).0.details.rotary.and_then(|rotary| rotary.scaling);
    let llama3 = |factor, original_max_seq_len| {
        let (low_freq_factor, high_freq_factor) = (1.0, 4.0);
        Some(Scaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_seq_len })
    };
    let of_llama = r#""low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192"#;
    for (more, expected) in [
        (format!(r#", "rope_scaling": {{"rope_type": "llama3", "factor": 8.0, {of_llama}}}"#), llama3(8.0, 8192.0)),
        (format!(r#", "rope_parameters": {{"type": "llama3", "factor": 32, {of_llama}}}"#), llama3(32.0, 8192.0)),
        (r#", "rope_scaling": {"type": "linear", "factor": 2.5}"#.to_owned(), Some(Scaling::Linear { factor: 2.5 })),
        // What begins beyond the length of the model, what is not known, and what lacks a number scale nothing that is counted.
        (r#", "rope_scaling": {"type": "dynamic", "factor": 2.0}"#.to_owned(), None),
        (r#", "rope_scaling": {"type": "longrope", "factor": 2.0}"#.to_owned(), None),
        (r#", "rope_scaling": {"rope_type": "llama3", "factor": 8.0}"#.to_owned(), None),
        (r#", "rope_scaling": {"type": "linear", "factor": -1.0}"#.to_owned(), None),
    ] {
        assert_eq!(scaling(&more), expected, "{more}");
    }
    let unturned = |model_type: &str, more: &str| {
        read(&small(model_type, more)).expect(more).0.details.rotary.and_then(|rotary| rotary.unturned_every)
    };
    for (model_type, more, every) in [
        ("smollm3", "", Some(4)),
        ("smollm3", r#", "no_rope_layer_interval": 2"#, Some(2)),
        ("smollm3", r#", "no_rope_layers": [1, 0, 1, 0]"#, Some(2)),
        ("smollm3", r#", "no_rope_layers": [1, 1, 1, 1]"#, None),
        ("smollm3", r#", "no_rope_layers": [0, 1, 1, 0]"#, None),
        ("llama", r#", "no_rope_layers": [1, 0, 1, 0]"#, None),
    ] {
        assert_eq!(unturned(model_type, more), every, "{model_type}{more}");
    }
    let yarn =
        scaling(r#", "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}"#);
    let Some(Scaling::Yarn { factor, original_max_seq_len, beta_fast, beta_slow, attention_factor, truncate }) = yarn
    else {
        panic!("{yarn:?}")
    };
    assert_eq!((factor, original_max_seq_len, beta_fast, beta_slow, truncate), (4.0, 32768.0, 32.0, 1.0, true));
    assert_eq!(attention_factor, None, "it follows from the factor");
    for (model_type, more, part) in [
        ("llama", r#", "rope_theta": "many""#, "expected a number such as"),
        ("llama", r#", "rope_parameters": {"rope_theta": 0}"#, "expected a number of at least 1"),
        ("phi3", r#", "partial_rotary_factor": 1.5"#, "expected a share from 0 to 1"),
    ] {
        let error = read(&small(model_type, more)).expect_err(part);
        assert!(error.contains(part), "{more}: {error}");
    }
}

#[test]
fn experts_are_in_the_layers_that_a_type_says() {
    let of = |model_type: &str, more: &str| read(&small(model_type, more)).expect(more).0.details.experts;
    let experts = of(
        "qwen2_moe",
        r#", "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 5,
        "shared_expert_intermediate_size": 7, "decoder_sparse_step": 2"#,
    );
    let expected =
        Experts { count: 6, active: 2, d_ff: 5, layers: Some(2), shared_d_ff: 7, shared_gate: true, bias: false };
    assert_eq!(experts, Some(expected));
    let experts = of(
        "deepseek_v3",
        r#", "n_routed_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 5,
        "n_shared_experts": 2, "first_k_dense_replace": 1"#,
    );
    let expected =
        Experts { count: 6, active: 3, d_ff: 5, layers: Some(3), shared_d_ff: 10, shared_gate: false, bias: false };
    assert_eq!(experts, Some(expected));
    assert_eq!(of("llama", r#", "num_experts": 6"#), None);
}

#[test]
fn a_decoder_that_sees_both_sides_is_an_encoder() {
    let (config, _) = read(&small("gemma3_text", r#", "use_bidirectional_attention": true"#)).expect("valid");
    assert_eq!((config.family, config.positions()), (Family::Encoder, Positions::Rotary));
    let (causal, _) = read(&small("gemma3_text", "")).expect("valid");
    assert_eq!(count_params(&config, Arch::Dense), count_params(&causal, Arch::Dense));
}
