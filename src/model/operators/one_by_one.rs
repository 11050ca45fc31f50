//! What lies between products in stock PyTorch, whose operations run one by one, as the modules of transformers call them: bytes that
//! they read and write, and how many there are. In 16 bits `torch.autocast` casts over f32 weights: linears and attention compute in 16
//! bits, norms, softmax and powers in f32, and each linear casts its input for itself.
//!
//! `tests/traffic.rs` holds it against PyTorch's own operators.

use super::attention::SOFTMAX;
use super::operator::{AttentionKernel, Formats, Operator, OperatorKind, StepShape};
use crate::model::arch::LoraTargets;
use crate::model::params::{count_params, embedding_params, lora_pairs};
use crate::model::{Arch, Bias, Config, Family, Heads, Norm, NormPlace, Positions, QkNorm};

/// Bytes of a number in f32, in which [`Operator::elements`] are counted here.
const WIDE: u64 = 4;

/// Bytes that an operation on one number reads and writes forward and backward, and how many operations that is.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    forward: u64,
    backward: u64,
    operations: u64,
}

const fn cost(forward: u64, backward: u64, operations: u64) -> Cost {
    Cost { forward, backward, operations }
}

/// From f32 to 16 bits, and the gradient back.
const CAST: Cost = cost(6, 6, 2);

/// Costs of so many numbers each, added up.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    forward: u128,
    backward: u128,
    operations: u64,
}

impl Moved {
    fn add(&mut self, times: usize, numbers: u128, cost: Cost) {
        if numbers > 0 {
            let all = numbers * times as u128;
            self.forward += all * u128::from(cost.forward);
            self.backward += all * u128::from(cost.backward);
            self.operations += cost.operations * times as u64;
        }
    }

    fn operator(&self, kind: OperatorKind, name: &'static str, count: u64, size: (usize, usize)) -> Operator {
        let numbers = |bytes: u128| u64::try_from(bytes.div_ceil(u128::from(WIDE))).unwrap_or(u64::MAX);
        Operator {
            elements: numbers(self.forward),
            gradient_elements: numbers(self.backward),
            kernels: self.operations,
            ..Operator::element_wise(kind, name, count, size, (0, 0))
        }
    }
}

/// A step whose operations run one by one.
struct Stock<'a> {
    config: &'a Config,
    arch: Arch,
    shape: StepShape,
    /// Bytes of a number in products.
    width: u64,
    /// Whether `torch.autocast` casts.
    casts: bool,
}

/// Everything between the products of a step.
pub(super) fn between_products(
    config: &Config,
    arch: Arch,
    shape: StepShape,
    (attention, formats): (AttentionKernel, Formats),
) -> Vec<Operator> {
    let width = formats.dtype.bytes();
    let casts = width == 2 && !formats.states.is_half(2);
    let stock = Stock { config, arch, shape, width, casts };
    let layers = config.n_layers as u64;
    let tokens = shape.batch_size * shape.seq_len;
    let size = (tokens, config.d_model);
    let mut list = vec![
        stock.of_tokens(OperatorKind::LayerNorm, "norms", layers, Stock::norms),
        stock.of_tokens(OperatorKind::Cast, "casts and sums of gradients", layers, Stock::casts_and_sums),
        stock.of_tokens(OperatorKind::Residual, "dropout, residual and biases", layers, Stock::residuals),
        stock.of_tokens(OperatorKind::BeforeAttention, "queries and keys", layers, Stock::queries_and_keys),
        stock.of_tokens(OperatorKind::Gelu, "activation", layers, Stock::activation),
        stock.weights().operator(OperatorKind::Cast, "casts of weights", 1, size),
        stock.embeddings().operator(OperatorKind::Embedding, "embeddings", 1, size),
        stock.loss().operator(OperatorKind::CrossEntropy, "last norm and loss", 1, size),
    ];
    if let Arch::Lora { targets, .. } = arch {
        list.push(stock.pairs(targets).operator(OperatorKind::Cast, "around pairs of LoRA", 1, size));
    }
    if attention == AttentionKernel::Composed {
        let keys = arch.k().unwrap_or(shape.seq_len);
        let rows = shape.batch_size * config.n_heads * shape.seq_len;
        let mut moved = Moved::default();
        moved.add(1, rows as u128 * keys as u128, stock.softmax());
        list.push(moved.operator(OperatorKind::Softmax, SOFTMAX, layers, (rows, keys)));
    }
    list
}

impl Stock<'_> {
    /// An operator of `count` runs whose costs `of` adds up for one token.
    fn of_tokens(
        &self,
        kind: OperatorKind,
        name: &'static str,
        count: u64,
        of: impl Fn(&Self, &mut Moved),
    ) -> Operator {
        let tokens = self.shape.batch_size * self.shape.seq_len;
        let mut moved = Moved::default();
        of(self, &mut moved);
        moved.forward *= tokens as u128;
        moved.backward *= tokens as u128;
        moved.operator(kind, name, count, (tokens, self.config.d_model))
    }

    fn d(&self) -> u128 {
        self.config.d_model as u128
    }

    fn is_frozen(&self) -> bool {
        matches!(self.arch, Arch::Lora { .. })
    }

    /// Bytes of a number of the residual stream. What linears give in 16 bits is added to embeddings and norms of f32, which makes it
    /// f32, unless embeddings have 16 bits, as those of frozen models do.
    fn residual(&self) -> u64 {
        if self.casts && !self.is_frozen() { WIDE } else { self.width }
    }

    fn queries_keys_values(&self) -> u128 {
        let keys = self.config.n_kv_heads() * (self.config.d_head() + self.config.d_value());
        (self.config.n_heads * self.config.d_head() + keys) as u128
    }

    /// A norm of numbers of `input` bytes. Layer norm is one kernel each way. Those by a root mean square are made of single operations:
    /// a power, a mean, a root, and products with the quotient and the weight, in f32.
    fn norm(&self, input: u64) -> Cost {
        if self.config.norm() == Norm::Rms {
            let spared = if self.is_frozen() { (16, 2) } else { (0, 0) };
            return if input == WIDE {
                cost(28, 92 - spared.0, 20 - spared.1)
            } else {
                cost(38, 104 - spared.0, 24 - spared.1)
            };
        }
        let inside = if self.casts { WIDE } else { self.width };
        let casts = if input < inside { CAST } else { Cost::default() };
        cost(2 * inside + casts.forward, 3 * inside + casts.backward, 2 + casts.operations)
    }

    /// Norms of a layer: of the residual stream, or of what a block gives before it is added.
    fn norms(&self, moved: &mut Moved) {
        let norms = self.config.norms_per_layer();
        let of_blocks = match self.config.norm_place() {
            NormPlace::Inner => norms,
            NormPlace::Post if self.config.family == Family::Decoder => norms,
            NormPlace::Pre | NormPlace::Post => norms.saturating_sub(2),
        };
        moved.add(norms - of_blocks, self.d(), self.norm(self.residual()));
        moved.add(of_blocks, self.d(), self.norm(self.width));
    }

    /// Linears cast what norms give them; the gradients of what several linears take, or a block and the residual stream, are added up.
    fn casts_and_sums(&self, moved: &mut Moved) {
        let (of_qkv, of_block) = self.config.linears_in();
        if self.casts && self.residual() == WIDE {
            moved.add(of_qkv + of_block, self.d(), CAST);
        }
        moved.add(of_qkv - 1 + of_block - 1 + 2, self.d(), cost(0, 3 * self.residual(), 1));
        if self.config.details.fused_qkv {
            // The gradients of the three are put side by side again.
            moved.add(1, self.queries_keys_values(), cost(0, 2 * self.width, 1));
        }
    }

    fn residuals(&self, moved: &mut Moved) {
        let (config, width) = (self.config, self.width);
        let is_cast = self.casts && self.residual() == WIDE;
        moved.add(2, self.d(), if is_cast { cost(10, 6, 2) } else { cost(3 * width, 0, 1) });
        if config.has_dropout() {
            moved.add(2, self.d(), cost(2 * width + 1, 2 * width + 1, 2));
        }
        // The gradient of a bias is a sum over all tokens.
        let of_bias = |operations| cost(0, width, operations);
        if !self.is_frozen() {
            if config.has_bias(Bias::Qkv) {
                moved.add(1, self.queries_keys_values(), of_bias(self.config.linears_in().0 as u64));
            }
            if config.has_bias(Bias::Output) {
                moved.add(1, self.d(), of_bias(1));
            }
            if config.has_bias(Bias::Mlp) {
                moved.add(1, config.d_ff as u128 + self.d(), of_bias(2));
            }
        }
    }

    /// Norms of queries and keys, and rotary positions, which multiply with cosines and sines as wide as the residual stream: halves are
    /// negated, put side by side, multiplied and added one after the other.
    fn queries_and_keys(&self, moved: &mut Moved) {
        let (config, width) = (self.config, self.width);
        let heads = (config.n_heads + config.n_kv_heads()) as u128;
        let numbers = heads * config.d_head() as u128;
        let mut is_wide = width == WIDE;
        if config.details.qk_norm.is_some() {
            moved.add(1, numbers, self.norm(width));
            moved.operations *= 2;
            if config.details.qk_norm == Some(QkNorm::Head) && self.residual() == WIDE && !is_wide {
                // A weight of f32 makes f32 of them, and attention casts them back.
                moved.add(2, numbers, CAST);
                is_wide = true;
            }
        }
        if config.positions() != Positions::Rotary {
            return;
        }
        let turned = heads * config.rotary_width().min(config.d_head()) as u128;
        let beside = if turned < numbers { numbers } else { 0 };
        if is_wide {
            moved.add(1, turned, cost(41, 61, 24));
            moved.add(1, beside, cost(8, 28, 8));
        } else if self.residual() == WIDE {
            moved.add(1, turned, cost(37, 57, 32));
            moved.add(1, beside, cost(16, 22, 12));
        } else {
            moved.add(1, turned, cost(21, 31, 24));
            moved.add(1, beside, cost(4, 14, 8));
        }
    }

    /// The activation of a feed-forward block, in one kernel, or, in GELU's tanh form as GPT-2 has it in transformers, in its single
    /// operations, in f32 since powers are. A token that visits experts is copied to each and added up again.
    fn activation(&self, moved: &mut Moved) {
        let (config, width) = (self.config, self.width);
        let inside = if self.casts { WIDE } else { width };
        let mut of = |visits: usize, d_ff: usize| {
            let d_ff = d_ff as u128;
            if config.has_composed_activation() {
                moved.add(visits, d_ff, cost(18 * inside, 28 * inside, if self.casts { 23 } else { 19 }));
            } else if config.gated_mlp {
                moved.add(visits, d_ff, cost(5 * width, 9 * width, 5));
                // Both halves of one matrix have gradients of its size.
                let of_halves = cost(0, if config.details.fused_gate { 4 * width } else { 0 }, 1);
                moved.add(visits * usize::from(config.details.fused_gate), d_ff, of_halves);
            } else {
                moved.add(visits, d_ff, cost(2 * width, 3 * width, 2));
            }
        };
        let Some((sparse, experts)) = config.sparse() else { return of(1, config.d_ff) };
        // In the mean of all layers.
        let share = |d_ff: usize, layers: usize| d_ff * layers / config.n_layers.max(1);
        of(1, share(config.d_ff, config.n_layers - sparse));
        of(experts.active, share(experts.d_ff, sparse));
        of(1, share(experts.shared_d_ff, sparse));
        moved.add(experts.active, share(config.d_model, sparse) as u128, cost(5 * width, 7 * width, 8));
    }

    /// A score of attention that is written: scaled, masked, normalised and cast.
    fn softmax(&self) -> Cost {
        let (is_decoder, is_rms) = (self.config.family == Family::Decoder, self.config.norm() == Norm::Rms);
        let (base, wide) = match (self.casts, self.width) {
            (true, _) => (cost(26, 30, 10), if is_decoder { self.width } else { WIDE }),
            (false, WIDE..) if is_decoder => (cost(28, 23, 8), WIDE),
            (false, WIDE..) => (cost(20, 24, 8), WIDE),
            (false, _) if is_rms => (cost(30, 29, 10), self.width),
            (false, _) => (cost(13, 12, 8), self.width),
        };
        let of_dropout = if self.config.has_dropout() { cost(2 * wide + 1, 2 * wide + 1, 2) } else { Cost::default() };
        cost(
            base.forward + of_dropout.forward,
            base.backward + of_dropout.backward,
            base.operations + of_dropout.operations,
        )
    }

    /// Weights are cast once a pass, and their gradients back. The gradient of a tied table is the sum of two.
    fn weights(&self) -> Moved {
        let (config, mut moved) = (self.config, Moved::default());
        if self.is_frozen() {
            return moved;
        }
        let tables = u128::from(embedding_params(config));
        let table = config.vocab_size as u128 * config.d_embedding() as u128;
        let inside = if self.casts { WIDE } else { self.width };
        if self.casts {
            let (of_qkv, of_block) = self.config.linears_in();
            let biases = [(Bias::Qkv, of_qkv), (Bias::Output, 1), (Bias::Mlp, 2)];
            let tensors = of_qkv
                + of_block
                + 2
                + biases.iter().filter(|(of, _)| config.has_bias(*of)).map(|(_, n)| n).sum::<usize>();
            let rest = u128::from(count_params(config, self.arch)).saturating_sub(tables);
            moved.add(1, rest, cost(6, 6, (2 * tensors * config.n_layers) as u64));
            if config.is_tied() {
                moved.add(1, table, CAST);
            }
        }
        if config.is_tied() {
            moved.add(1, table, cost(0, 3 * inside, 1));
        }
        moved
    }

    /// Rows of tables that are looked up and added; the gradient of a table is zeros, and what is put among them.
    fn embeddings(&self) -> Moved {
        let (config, mut moved) = (self.config, Moved::default());
        let tokens = (self.shape.batch_size * self.shape.seq_len) as u128;
        let width = self.residual();
        let tables = 1
            + usize::from(config.positions() == Positions::Learned)
            + usize::from(config.family == Family::Encoder && config.type_vocab_size > 0);
        let back = if self.is_frozen() { 0 } else { 2 * width };
        moved.add(tables, tokens * self.d(), cost(2 * width, back, 2));
        moved.add(tables - 1, tokens * self.d(), cost(3 * width, 0, 1));
        if config.has_embedding_norm() {
            moved.add(1, tokens * self.d(), self.norm(width));
        }
        if config.has_dropout() {
            moved.add(1, tokens * self.d(), cost(2 * width + 1, 2 * width + 1, 2));
        }
        if !self.is_frozen() {
            moved.add(1, u128::from(embedding_params(config)), cost(0, width, 1));
        }
        moved
    }

    /// The last norm, the transform of a masked-LM head, and the loss: scores of all words in f32, their softmax, and its gradient.
    fn loss(&self) -> Moved {
        let (config, mut moved) = (self.config, Moved::default());
        let tokens = (self.shape.batch_size * self.shape.seq_len) as u128;
        let losses = (self.shape.batch_size * self.shape.masked_per_seq) as u128;
        if config.has_final_norm() {
            moved.add(1, tokens * self.d(), self.norm(self.residual()));
        }
        let is_cast = self.casts && self.residual() == WIDE;
        if config.heads() != Heads::Causal {
            let width = config.d_embedding() as u128;
            moved.add(1, losses * width, cost(2 * self.width, 3 * self.width, 2));
            moved.add(1, losses * width, self.norm(self.width));
            moved.add(1 + usize::from(is_cast), losses * width, if is_cast { CAST } else { Cost::default() });
        } else if is_cast {
            moved.add(1, losses * self.d(), CAST);
        }
        // Decoders of transformers compute their loss in f32 whatever the scores are.
        let is_upcast = self.width == 2 && (self.casts || config.family == Family::Decoder);
        let of_score = if is_upcast { cost(14, 22, 8) } else { cost(2 * self.width, 4 * self.width, 6) };
        moved.add(1, losses * config.vocab_size as u128, of_score);
        moved
    }

    /// What a pair beside a linear takes: its input in f32 and back in 16 bits, its output scaled and added.
    fn pairs(&self, targets: LoraTargets) -> Moved {
        let mut moved = Moved::default();
        let tokens = (self.shape.batch_size * self.shape.seq_len) as u128;
        let casts = if self.casts { 2 } else { 0 };
        for pair in lora_pairs(self.config, targets).unwrap_or_default() {
            let times = usize::try_from(pair.times).unwrap_or(usize::MAX);
            let (d_in, d_out) = (tokens * pair.d_in as u128, tokens * pair.d_out as u128);
            moved.add(times * casts, d_in, CAST);
            moved.add(times, d_in, cost(0, 3 * self.width, 1));
            moved.add(times, d_out, cost(5 * self.width, 2 * self.width, 3));
        }
        moved
    }
}
