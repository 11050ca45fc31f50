//! The table of types that are built as Llama is.

use super::super::shape::{Norm, NormPlace, QkNorm};
use super::llama::{LLAMA, Like, When};
use super::mixtures::{Mixture, Shared, Sparse};
use super::windows::Rule;
use When::{Always, If, Never};

/// No bias anywhere.
const BARE: Like = Like { qkv: Never, output: Never, mlp: Never, ..LLAMA };
/// Biases of attention where `attention_bias` says so, and none of the feed-forward block.
const ATTENTION: Like = Like { mlp: Never, ..LLAMA };
/// Norms of queries and keys, shared by heads.
const QK_HEAD: (QkNorm, When) = (QkNorm::Head, Always);
/// The same over all heads.
const QK_WIDTH: (QkNorm, When) = (QkNorm::Width, Always);

/// Mixtral's experts.
const LOCAL: Mixture = Mixture {
    count: "num_local_experts",
    active: "num_experts_per_tok",
    d_ff: "intermediate_size",
    shared: Shared::None,
    layers: Sparse::All,
    bias: false,
};
/// Those of Qwen.
const QWEN: Mixture = Mixture { count: "num_experts", d_ff: "moe_intermediate_size", layers: Sparse::Step, ..LOCAL };
/// Those of DeepSeek.
pub(super) const ROUTED: Mixture = Mixture {
    count: "n_routed_experts",
    d_ff: "moe_intermediate_size",
    shared: Shared::Count("n_shared_experts"),
    layers: Sparse::After("first_k_dense_replace"),
    ..LOCAL
};

/// Every type that is built as Llama is.
pub(super) const LIKES: &[Like] = &[
    LLAMA,
    Like { types: &["mistral", "ministral", "ministral3"], windows: Rule::All, ..BARE },
    Like { types: &["phi3"], windows: Rule::All, fused_qkv: true, fused_gate: true, ..BARE },
    Like { types: &["cwm"], qkv: Never, output: Never, windows: Rule::First(4, "-"), ..LLAMA },
    Like { types: &["qwen2"], qkv: Always, windows: Rule::UseAfter, ..BARE },
    Like { types: &["qwen3"], qk_norm: QK_HEAD, windows: Rule::UseAfter, ..ATTENTION },
    Like { types: &["gemma"], ..ATTENTION },
    Like { types: &["gemma2"], norms: (4, Never), windows: Rule::Last(2, "-"), ..ATTENTION },
    Like { types: &["vaultgemma"], windows: Rule::Last(2, "-"), ..ATTENTION },
    Like {
        types: &["gemma3_text"],
        norms: (4, Never),
        qk_norm: QK_HEAD,
        windows: Rule::Last(6, "sliding_window_pattern"),
        ..ATTENTION
    },
    Like { types: &["granite", "smollm3"], ..LLAMA },
    Like { types: &["granite_swa"], windows: Rule::First(4, "-"), ..LLAMA },
    Like { types: &["helium"], output: Never, ..LLAMA },
    Like {
        types: &["cohere"],
        norm: Norm::LayerWithoutBias,
        norms: (1, Never),
        qk_norm: (QkNorm::Width, If("use_qk_norm")),
        ..ATTENTION
    },
    Like {
        types: &["cohere2"],
        norm: Norm::LayerWithoutBias,
        norms: (1, Never),
        windows: Rule::Last(4, "sliding_window_pattern"),
        ..ATTENTION
    },
    Like { types: &["olmo"], norm: Norm::WithoutWeights, ..ATTENTION },
    Like { types: &["olmo2"], place: NormPlace::Inner, qk_norm: QK_WIDTH, ..ATTENTION },
    Like { types: &["olmo3"], place: NormPlace::Inner, qk_norm: QK_WIDTH, windows: Rule::Last(4, "-"), ..ATTENTION },
    Like {
        types: &["starcoder2"],
        norm: Norm::Layer,
        qkv: If("use_bias"),
        output: If("use_bias"),
        mlp: If("use_bias"),
        is_gated: false,
        windows: Rule::All,
        ..LLAMA
    },
    Like {
        types: &["stablelm"],
        norm: Norm::Layer,
        norms: (2, If("use_parallel_residual")),
        qkv: If("use_qkv_bias"),
        ..BARE
    },
    Like {
        types: &["exaone4"],
        place: NormPlace::Inner,
        qk_norm: QK_HEAD,
        windows: Rule::Last(4, "sliding_window_pattern"),
        ..BARE
    },
    Like { types: &["glm"], qkv: If("attention_bias"), fused_gate: true, ..BARE },
    Like { types: &["glm4"], qkv: If("attention_bias"), norms: (4, Never), fused_gate: true, ..BARE },
    Like { types: &["nemotron", "jais2"], norm: Norm::Layer, is_gated: false, ..LLAMA },
    Like { types: &["arcee"], is_gated: false, ..LLAMA },
    Like {
        types: &["persimmon"],
        norm: Norm::Layer,
        qk_norm: (QkNorm::Head, If("qk_layernorm")),
        qkv: Always,
        output: Always,
        mlp: Always,
        is_gated: false,
        fused_qkv: true,
        ..LLAMA
    },
    Like {
        types: &["phi"],
        norm: Norm::Layer,
        norms: (1, Never),
        qk_norm: (QkNorm::Head, If("qk_layernorm")),
        qkv: Always,
        output: Always,
        mlp: Always,
        head: Always,
        is_gated: false,
        ..LLAMA
    },
    Like { types: &["hunyuan_v1_dense"], qk_norm: QK_HEAD, ..ATTENTION },
    Like { types: &["seed_oss"], output: If("attention_out_bias"), ..LLAMA },
    Like { types: &["apertus"], qk_norm: QK_HEAD, is_gated: false, ..ATTENTION },
    Like { types: &["bitnet", "diffllama"], ..ATTENTION },
    Like { types: &["hyperclovax"], ..LLAMA },
    Like { types: &["nanochat"], norm: Norm::WithoutWeights, is_gated: false, ..ATTENTION },
    Like { types: &["ernie4_5"], qkv: If("use_bias"), output: If("use_bias"), mlp: If("use_bias"), ..LLAMA },
    Like { types: &["gpt_neox"], norm: Norm::Layer, mlp: Always, is_gated: false, fused_qkv: true, ..LLAMA },
    // Mixtures of experts.
    Like { types: &["mixtral"], mixture: Some(LOCAL), windows: Rule::All, ..BARE },
    Like { types: &["minimax"], mixture: Some(LOCAL), ..BARE },
    Like { types: &["minimax_m2"], mixture: Some(LOCAL), qk_norm: QK_WIDTH, ..BARE },
    Like {
        types: &["granitemoe", "granitemoeshared"],
        mixture: Some(Mixture { shared: Shared::Width("shared_intermediate_size"), ..LOCAL }),
        ..ATTENTION
    },
    Like {
        types: &["phimoe"],
        norm: Norm::Layer,
        head: If("lm_head_bias"),
        mixture: Some(LOCAL),
        windows: Rule::All,
        ..ATTENTION
    },
    Like {
        types: &["gpt_oss"],
        mixture: Some(Mixture { bias: true, ..LOCAL }),
        windows: Rule::Last(2, "-"),
        ..ATTENTION
    },
    Like {
        types: &["qwen2_moe"],
        qkv: If("qkv_bias"),
        mixture: Some(Mixture { shared: Shared::Gated("shared_expert_intermediate_size"), ..QWEN }),
        windows: Rule::UseOdd,
        ..BARE
    },
    Like { types: &["qwen3_moe"], qk_norm: QK_HEAD, mixture: Some(QWEN), windows: Rule::UseAll, ..ATTENTION },
    Like {
        types: &["olmoe", "flex_olmo"],
        qk_norm: QK_WIDTH,
        mixture: Some(Mixture { count: "num_experts", ..LOCAL }),
        ..ATTENTION
    },
    Like {
        types: &["glm4_moe", "sarvam_moe"],
        qkv: If("attention_bias"),
        qk_norm: (QkNorm::Head, If("use_qk_norm")),
        mixture: Some(ROUTED),
        ..BARE
    },
    Like {
        types: &["solar_open"],
        qkv: If("attention_bias"),
        mixture: Some(Mixture { layers: Sparse::All, ..ROUTED }),
        ..BARE
    },
    Like { types: &["dots1"], qk_norm: QK_HEAD, mixture: Some(ROUTED), windows: Rule::After, ..ATTENTION },
    Like {
        types: &["exaone_moe"],
        qk_norm: QK_HEAD,
        mixture: Some(Mixture { count: "num_experts", shared: Shared::Count("num_shared_experts"), ..ROUTED }),
        windows: Rule::Last(4, "sliding_window_pattern"),
        ..BARE
    },
    Like {
        types: &["ernie4_5_moe"],
        qkv: If("use_bias"),
        output: If("use_bias"),
        mlp: If("use_bias"),
        head: If("use_bias"),
        mixture: Some(Mixture {
            count: "moe_num_experts",
            active: "moe_k",
            d_ff: "moe_intermediate_size",
            shared: Shared::Count("moe_num_shared_experts"),
            layers: Sparse::Range,
            bias: false,
        }),
        ..LLAMA
    },
    Like {
        types: &["hunyuan_v1_moe"],
        qk_norm: QK_HEAD,
        mixture: Some(Mixture { count: "num_experts", active: "moe_topk", shared: Shared::One, ..LOCAL }),
        ..ATTENTION
    },
    Like {
        types: &["llama4_text"],
        mixture: Some(Mixture { shared: Shared::One, layers: Sparse::Interleaved, ..LOCAL }),
        windows: Rule::Last(4, "no_rope_layer_interval"),
        ..ATTENTION
    },
    Like {
        types: &["afmoe"],
        norms: (4, Never),
        qk_norm: QK_HEAD,
        mixture: Some(Mixture {
            count: "num_experts",
            shared: Shared::Count("num_shared_experts"),
            layers: Sparse::After("num_dense_layers"),
            ..ROUTED
        }),
        windows: Rule::Last(4, "global_attn_every_n_layers"),
        ..ATTENTION
    },
    // Latent attention.
    Like { types: &["deepseek_v2"], mixture: Some(ROUTED), ..LLAMA },
    Like { types: &["deepseek_v3", "sarvam_mla"], mixture: Some(ROUTED), ..ATTENTION },
    Like { types: &["glm4_moe_lite"], mixture: Some(Mixture { layers: Sparse::Types, ..ROUTED }), ..ATTENTION },
    Like { types: &["minicpm3"], ..LLAMA },
    Like { types: &["youtu"], ..ATTENTION },
    // Custom code of DeepSeek's first mixture: plain attention (arXiv 2401.06066).
    Like { types: &["deepseek"], mixture: Some(ROUTED), ..ATTENTION },
];

/// How a type differs from Llama, if it is built as that is.
pub(super) fn like(model_type: &str) -> Option<&'static Like> {
    LIKES.iter().find(|like| like.types.contains(&model_type))
}
