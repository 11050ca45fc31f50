//! What a layer keeps of each token, whatever kernels compute it.

use super::saving::Saving;
use crate::model::arch::LoraTargets;
use crate::model::{Arch, Config};

/// A model as a step computes it.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) config: &'a Config,
    pub(super) arch: Arch,
    pub(super) seq_len: usize,
    /// Bytes of a number of the run's format.
    pub(super) width: u128,
    pub(super) saving: Saving,
}

impl Held<'_> {
    pub(super) fn d(&self) -> u128 {
        self.config.d_model as u128
    }

    /// Numbers of all heads' queries and of the output of attention, and those of as many heads of keys and values.
    pub(super) fn heads(&self, of_keys: usize) -> u128 {
        let a_head = (self.config.d_head() + self.config.d_value()) as u128;
        (self.config.n_heads as u128 + of_keys as u128) * a_head
    }

    /// Numbers that norms of queries and keys take in.
    pub(super) fn normed_queries(&self) -> u128 {
        let heads = (self.config.n_heads + self.config.n_kv_heads()) as u128;
        if self.config.details.qk_norm.is_some() { heads * self.config.d_head() as u128 } else { 0 }
    }

    /// Whether operations of 16 bits and of f32 take turns over weights of f32.
    pub(super) fn is_cast(&self) -> bool {
        self.width == 2 && !self.saving.states.is_half(2)
    }

    /// Whether only pairs beside the weights are trained.
    pub(super) fn is_frozen(&self) -> bool {
        matches!(self.arch, Arch::Lora { .. })
    }

    /// Whether no weight that multiplies the inside of a block, or nothing beside it, is trained, so that nothing needs the input of
    /// that product. Experts have no pairs.
    pub(super) fn spares_block_inputs(&self, routed: bool) -> bool {
        match self.arch {
            Arch::Lora { targets: LoraTargets::QueryValue, .. } => true,
            Arch::Lora { targets: LoraTargets::AllLinear, .. } => routed,
            Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => false,
        }
    }

    fn rank(&self, d_in: u128, d_out: u128) -> u128 {
        let side = |d: u128| usize::try_from(d).unwrap_or(usize::MAX);
        self.arch.rank_of(self.config, (side(d_in), side(d_out))).unwrap_or(0) as u128
    }

    /// Bytes outside the feed-forward block beside those of its operations: scores of `of_score` bytes where they are written, latents,
    /// and what the narrow products of LRT and LoRA keep. A window saves no scores where they are written at all.
    fn beside(&self, of_score: u128) -> u128 {
        let (heads, groups) = (self.config.n_heads as u128, self.config.n_kv_heads() as u128);
        let (d, score) = (self.d(), self.config.d_head() as u128);
        let keys = self.arch.k().unwrap_or(self.seq_len) as u128;
        let scores = if self.saving.fused_attention { 0 } else { of_score * heads * keys };
        let latent =
            self.config.details.latent.map_or(0, |l| (2 * l.q_rank.unwrap_or(0) + 2 * l.kv_rank + l.rope) as u128);
        let ranks = 2 * self.rank(d, heads * score) + 2 * self.rank(d, groups * score);
        let pairs = match self.arch {
            Arch::Lora { rank, targets: LoraTargets::QueryValue, .. } => 2 * rank as u128,
            Arch::Lora { rank, targets: LoraTargets::AllLinear, .. } => (6 + self.gate()) * rank as u128,
            Arch::Dense | Arch::Lrt { .. } | Arch::Linformer { .. } => 0,
        };
        scores + self.width * (latent + ranks + pairs)
    }

    /// One more product in a gated block.
    pub(super) fn gate(&self) -> u128 {
        u128::from(self.config.gated_mlp)
    }

    /// Bytes that a sparse and a dense layer keep for each token, of which `rest` are outside the feed-forward block, scores aside, and
    /// `block` those of a block of an inner width, routed or not. Of a mixture of experts a token keeps what the experts that it visits
    /// compute; its input is copied to each of them, and what comes back is kept to weigh it.
    pub(super) fn layers(&self, rest: u128, of_score: u128, block: impl Fn(u128, bool) -> u128) -> (u128, u128) {
        let rest = rest.saturating_add(self.beside(of_score));
        let block = |d_ff: usize, routed: bool| {
            let d_ff = d_ff as u128;
            block(d_ff, routed) + (2 + self.gate()) * self.rank(self.d(), d_ff) * self.width
        };
        let sparse = self.config.sparse().map_or(0, |(_, experts)| {
            let active = experts.active as u128;
            let visits = active.saturating_mul(block(experts.d_ff, true) + 2 * self.width * self.d());
            visits.saturating_add(block(experts.shared_d_ff, false) + self.width * experts.count as u128)
        });
        (rest.saturating_add(sparse), rest.saturating_add(block(self.config.d_ff, false)))
    }
}

/// Bytes of a mask of dropout on an element.
pub(super) fn mask_bytes(config: &Config) -> u128 {
    u128::from(config.has_dropout())
}

/// Bytes that fit 64 bits, or the largest number.
pub(in crate::model) fn bytes(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
