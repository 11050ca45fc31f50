//! What the weights are called.

use crate::model::{Config, Family, Positions};

/// Names of Hugging Face's: `ModernBERT`'s of an encoder, GPT-2's where positions are learned, otherwise Llama's.
pub(in crate::nn) struct Names {
    pub(in crate::nn) word: &'static str,
    /// Its weight.
    pub(super) position: &'static str,
    layers: &'static str,
    /// Norms before attention and the feed-forward block, and after them.
    pub(super) attention_norm: &'static str,
    pub(super) attended_norm: &'static str,
    pub(super) feed_norm: &'static str,
    pub(super) fed_norm: &'static str,
    /// Queries, keys and values as one matrix, or each as its own.
    pub(super) fused_qkv: &'static str,
    pub(super) qkv: [&'static str; 3],
    pub(super) output: &'static str,
    /// Gate and up as one matrix.
    pub(super) fused_gate: &'static str,
    /// What the activation is of, and what it is multiplied with.
    pub(super) gate: &'static str,
    pub(super) up: &'static str,
    pub(super) down: &'static str,
    pub(super) final_norm: &'static str,
    /// Whether matrices are stored with their inputs first.
    pub(super) is_transposed: bool,
}

const GPT2: Names = Names {
    word: "transformer.wte",
    position: "transformer.wpe.weight",
    layers: "transformer.h",
    attention_norm: "ln_1",
    attended_norm: "ln_attn",
    feed_norm: "ln_2",
    fed_norm: "ln_mlp",
    fused_qkv: "attn.c_attn",
    qkv: ["attn.q_attn", "attn.k_attn", "attn.v_attn"],
    output: "attn.c_proj",
    fused_gate: "mlp.c_gate_fc",
    gate: "mlp.c_gate",
    up: "mlp.c_fc",
    down: "mlp.c_proj",
    final_norm: "transformer.ln_f",
    is_transposed: true,
};

const LLAMA: Names = Names {
    word: "model.embed_tokens",
    position: "model.embed_positions.weight",
    layers: "model.layers",
    attention_norm: "input_layernorm",
    attended_norm: "post_attention_layernorm",
    feed_norm: "post_attention_layernorm",
    fed_norm: "post_feedforward_layernorm",
    fused_qkv: "self_attn.qkv_proj",
    qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    output: "self_attn.o_proj",
    fused_gate: "mlp.gate_up_proj",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    final_norm: "model.norm",
    is_transposed: false,
};

/// With norms before and after its blocks, as Gemma 2 has them.
const GEMMA: Names = Names { feed_norm: "pre_feedforward_layernorm", ..LLAMA };

/// Positions have no weights.
const MODERN_BERT: Names = Names {
    word: "model.embeddings.tok_embeddings",
    position: "model.embeddings.position_embeddings.weight",
    layers: "model.layers",
    attention_norm: "attn_norm",
    attended_norm: "attn_post_norm",
    feed_norm: "mlp_norm",
    fed_norm: "mlp_post_norm",
    fused_qkv: "attn.Wqkv",
    qkv: ["attn.Wq", "attn.Wk", "attn.Wv"],
    output: "attn.Wo",
    fused_gate: "mlp.Wi",
    gate: "mlp.Wi_input",
    up: "mlp.Wi_gate",
    down: "mlp.Wo",
    final_norm: "model.final_norm",
    is_transposed: false,
};

impl Names {
    /// Those of a model.
    pub(in crate::nn) fn of(config: &Config) -> Self {
        match (config.family, config.positions()) {
            (Family::Encoder, _) => MODERN_BERT,
            (Family::Decoder, Positions::Learned) => GPT2,
            (Family::Decoder, _) if config.norms_around_blocks() == (true, true) => GEMMA,
            (Family::Decoder, _) => LLAMA,
        }
    }

    /// The layer of this index.
    pub(super) fn layer(&self, index: usize) -> String {
        format!("{}.{index}", self.layers)
    }
}
