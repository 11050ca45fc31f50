//! A pass through the model: its operations, and what they leave behind for the backward pass.
//!
//! Fused operations are recorded here rather than in candle's graph, in which each edge costs a fill with zeros and an
//! addition, and every activation lives until the whole graph goes. The tape moves the first gradient of a tensor into
//! its place, adds the others to it in place, and drops each activation as soon as it has been used.

mod decoder;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, TensorId, Var};

use super::ops::{
    Activation, Add, Attention, Blend, Cast, Composed, Contiguous, Copies, CrossEntropy, Dropout, Frozen, Gather,
    Gradients, Heads, LayerNorm, Linear, LongRows, Map, Mix, Operation, Reshape, Sequences, Slot, are_fused, backward,
    forward, stock,
};
use super::{Guides, Ops, PassConfig};

/// One pass. Every method is an operation whose gradient [`Tape::backward`] knows.
pub struct Tape {
    pass: PassConfig,
    fused: bool,
    /// Copies of the weights in the number type of the pass.
    copies: RefCell<Copies>,
    /// Weights that are not trained, and what was computed from them alone: none of it has a gradient.
    frozen: RefCell<HashSet<TensorId>>,
    /// What was computed, in order; `None` in inference.
    nodes: Option<RefCell<Vec<Node>>>,
    watch: Option<Watch>,
    /// Dense matrices beside factors, by the second of these, and the share that they have.
    guides: Option<(Arc<HashMap<TensorId, Tensor>>, f64)>,
}

/// What sees the input of each linear, beside the id of its weight.
type Watch = Box<dyn Fn(TensorId, &Tensor) -> Result<()>>;

struct Node {
    kept: Kept,
    output: TensorId,
}

/// What a node needs for its gradient.
enum Kept {
    /// The values of its inputs.
    Values(Box<dyn Operation>, Vec<Tensor>),
    /// Their shapes.
    Shapes(Box<dyn Map>, Vec<Slot>),
}

impl Tape {
    /// A pass whose gradients will be asked for.
    #[must_use]
    pub fn new(pass: PassConfig, device: &Device) -> Self {
        Self { nodes: Some(RefCell::default()), ..Self::inference(pass, device) }
    }

    /// A pass without a backward one: nothing is kept.
    #[must_use]
    pub fn inference(pass: PassConfig, device: &Device) -> Self {
        Self {
            pass,
            fused: pass.ops == Ops::Fused && are_fused(pass.dtype, device),
            copies: RefCell::default(),
            frozen: RefCell::default(),
            nodes: None,
            watch: None,
            guides: None,
        }
    }

    /// The same pass, in which `watch` sees the input of each linear beside the id of its weight.
    #[must_use]
    pub fn watched(self, watch: impl Fn(TensorId, &Tensor) -> Result<()> + 'static) -> Self {
        Self { watch: Some(Box::new(watch)), ..self }
    }

    /// The same pass, in which each linear that is two factors is guided: of its result `share`, from 0 to 1, is that of the dense matrix
    /// beside them, and the rest theirs. With a share of 0 no guide is computed, and none has a gradient.
    #[must_use]
    pub fn guided(self, guides: &Guides, share: f64) -> Self {
        Self { guides: (share > 0.0).then(|| (guides.by_decode(), share)), ..self }
    }

    /// What guides the factors of which `decode` is the second, and its share.
    pub(super) fn guide_of(&self, decode: &Tensor) -> Option<(&Tensor, f64)> {
        let (guides, share) = self.guides.as_ref()?;
        Some((guides.get(&decode.id())?, *share))
    }

    /// Tells which weights the pass will use, before it uses them: a GPU casts them all at once.
    ///
    /// # Errors
    /// If memory runs out.
    pub(super) fn use_weights<'a>(&self, weights: impl Iterator<Item = &'a Tensor>) -> Result<()> {
        if self.fused {
            *self.copies.borrow_mut() = Copies::of(weights, self.pass.dtype)?;
        }
        Ok(())
    }

    /// Tells which weights are not trained, before the pass uses them.
    pub(super) fn freeze<'a>(&self, weights: impl Iterator<Item = &'a Tensor>) {
        self.frozen.borrow_mut().extend(weights.map(Tensor::id));
    }

    /// Whether a gradient for `x` will be asked for.
    fn wants(&self, x: &Tensor) -> bool {
        self.nodes.is_some() && !self.frozen.borrow().contains(&x.id())
    }

    /// How this pass computes.
    #[must_use]
    pub fn pass(&self) -> &PassConfig {
        &self.pass
    }

    /// `x W^T + b`.
    ///
    /// # Shapes
    /// x `(.., i)`, w `(o, i)`, b `(o)`; result `(.., o)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn linear(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        if let Some(watch) = &self.watch {
            watch(w.id(), x)?;
        }
        if !self.fused {
            return stock::linear(x, w, b);
        }
        if x.device().is_cpu() && !self.wants(w) && b.is_none_or(|b| !self.wants(b)) {
            return self.map(Frozen { weight: w.clone(), bias: b.cloned() }, &[&x.contiguous()?]);
        }
        let linear = self.with_copies(w, b);
        match b {
            Some(b) => self.apply(linear, &[x, w, b]),
            None => self.apply(linear, &[x, w]),
        }
    }

    /// A linear with the copies of its weight and bias that this pass has.
    fn with_copies(&self, w: &Tensor, b: Option<&Tensor>) -> Linear {
        let copies = self.copies.borrow();
        Linear { copies: [copies.get(w), b.and_then(|b| copies.get(b))] }
    }

    /// Layer normalisation over the last axis (Ba et al. 2016): `(x - mean) / sqrt(var + eps) * gain + bias`.
    ///
    /// # Shapes
    /// x `(.., d)`, gain and bias `(d)`; result as x.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn layer_norm(&self, x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
        if self.fused {
            self.apply(LayerNorm { eps, dropout: Dropout::NONE }, &[x, gain, bias])
        } else {
            stock::layer_norm(x, gain, bias, eps)
        }
    }

    /// `layer_norm(residual + dropout(x))`: the end of each half of a post-norm layer.
    ///
    /// # Shapes
    /// x and residual `(.., d)`, gain and bias `(d)`; result as x.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn add_norm(
        &self,
        x: &Tensor,
        residual: &Tensor,
        gain: &Tensor,
        bias: &Tensor,
        eps: f64,
        dropout: Dropout,
    ) -> Result<Tensor> {
        if self.fused {
            self.apply(LayerNorm { eps, dropout }, &[x, gain, bias, residual])
        } else {
            stock::layer_norm(&(residual + stock::dropout(x, dropout)?)?, gain, bias, eps)
        }
    }

    /// Multi-head attention with dropout of its weights: `dropout(softmax(Q K^T / sqrt(d_head) + mask)) V` over the keys that a
    /// query sees.
    ///
    /// # Shapes
    /// q `(B, T, D)`, k and v `(B, K, D)`, or as much narrower as there are fewer heads of keys; mask `(B, K)` of what is added to
    /// the scores, starts `(B, T)`; result `(B, T, D)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor, of: Sequences<'_>, heads: Heads) -> Result<Tensor> {
        if !self.fused {
            return stock::attention(q, k, v, of, heads);
        }
        let attention = Attention::new(q, k, v, of, heads)?;
        if attention.is_composed(q) {
            return self.composed([q, k, v], |[q, k, v]| stock::attention(q, k, v, of, heads));
        }
        self.apply(attention, &[q, k, v])
    }

    /// `x Phi(x)` with the distribution function of the normal, exact (Hendrycks and Gimpel 2016).
    ///
    /// # Shapes
    /// Any; result as x.
    ///
    /// # Errors
    /// If the device fails.
    pub fn gelu(&self, x: &Tensor) -> Result<Tensor> {
        if self.fused { self.apply(Activation::Gelu, &[x]) } else { stock::gelu(x) }
    }

    /// The hyperbolic tangent.
    ///
    /// # Shapes
    /// Any; result as x.
    ///
    /// # Errors
    /// If the device fails.
    pub fn tanh(&self, x: &Tensor) -> Result<Tensor> {
        if self.fused { self.apply(Activation::Tanh, &[x]) } else { x.tanh() }
    }

    /// Sets each element to 0 with probability p and divides the others by `1 - p` (Srivastava et al. 2014).
    ///
    /// # Shapes
    /// Any; result as x.
    ///
    /// # Errors
    /// If the device fails.
    pub fn dropout(&self, x: &Tensor, dropout: Dropout) -> Result<Tensor> {
        if self.fused && dropout.p > 0.0 { self.apply(dropout, &[x]) } else { stock::dropout(x, dropout) }
    }

    /// The mean of `-log softmax(logits)[label]` over the rows.
    ///
    /// # Shapes
    /// logits `(n, classes)`, labels `(n)` of u32; result a scalar.
    ///
    /// # Errors
    /// If the shapes do not fit or a label is out of range.
    pub fn cross_entropy(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        if self.fused {
            self.apply(CrossEntropy::new(logits, labels)?, &[logits])
        } else {
            stock::cross_entropy(logits, labels)
        }
    }

    /// Sums of rows: row r of the result is the sum over the tables of row `ids[r]`.
    ///
    /// # Shapes
    /// tables `(n, d)`, at least one, each with ids `(r)` of u32; result `(r, d)`.
    ///
    /// # Errors
    /// If the shapes do not fit or a row is out of range.
    pub fn gather(&self, tables: &[(&Tensor, &Tensor)]) -> Result<Tensor> {
        if !self.fused {
            return stock::gather(tables);
        }
        let ids = tables.iter().map(|(_, ids)| ids.contiguous()).collect::<Result<_>>()?;
        self.apply(Gather { ids }, &tables.iter().map(|(table, _)| *table).collect::<Vec<_>>())
    }

    /// `E[:, ..t] x`: each sequence's rows mixed into fewer (Wang et al. 2020, equation 7).
    ///
    /// # Shapes
    /// e `(k, n)` with n >= t, x `(B, t, D)`; result `(B, k, D)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn mix(&self, e: &Tensor, x: &Tensor) -> Result<Tensor> {
        if !self.fused {
            return stock::mix(e, x);
        }
        let mix = Mix { copy: self.copies.borrow().get(e) };
        self.apply(mix, &[e, x])
    }

    /// x in another number type; x itself if that is its own.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn cast(&self, x: &Tensor, dtype: DType) -> Result<Tensor> {
        if self.fused && x.dtype() != dtype { self.apply(Cast(dtype), &[x]) } else { x.to_dtype(dtype) }
    }

    /// The sum of two tensors of one shape.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        if self.fused { self.map(Add(Dropout::NONE), &[a, b]) } else { a + b }
    }

    /// `share x + (1 - share) y`.
    ///
    /// # Shapes
    /// Two of one shape; result as they.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn blend(&self, x: &Tensor, y: &Tensor, share: f64) -> Result<Tensor> {
        if self.fused { self.map(Blend(share), &[x, y]) } else { stock::blend(x, y, share) }
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// If the numbers of elements differ.
    pub fn reshape(&self, x: &Tensor, shape: &[usize]) -> Result<Tensor> {
        if self.fused { self.map(Reshape(shape.to_vec()), &[x]) } else { x.reshape(shape) }
    }

    /// Any composition of candle's operations, for what is too small or too rare for an operation of its own. Fused
    /// passes hand it copies of the inputs.
    ///
    /// # Errors
    /// Those of the composition.
    pub fn composed<const N: usize>(
        &self,
        inputs: [&Tensor; N],
        compose: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if !self.fused || self.nodes.is_none() {
            return compose(inputs);
        }
        let copies = inputs.iter().map(|x| Var::from_tensor(&x.copy()?)).collect::<Result<Vec<Var>>>()?;
        let result = compose(std::array::from_fn(|i| copies[i].as_tensor()))?.contiguous()?;
        self.record(Composed::new(copies, result), inputs.map(Tensor::clone).to_vec())
    }

    fn apply(&self, operation: impl Operation + 'static, inputs: &[&Tensor]) -> Result<Tensor> {
        let taken = |x: &&Tensor| {
            if x.is_contiguous() || operation.long_rows().are_taken(LongRows::InInput, x) {
                Ok((*x).clone())
            } else {
                self.map(Contiguous, &[x])
            }
        };
        let inputs = inputs.iter().map(taken).collect::<Result<_>>()?;
        self.record(operation, inputs)
    }

    fn record(&self, operation: impl Operation + 'static, inputs: Vec<Tensor>) -> Result<Tensor> {
        let output = forward(&operation, &inputs)?;
        let is_wanted = inputs.iter().any(|x| self.wants(x));
        self.keep(is_wanted, &output, || Kept::Values(Box::new(operation), inputs));
        Ok(output)
    }

    fn map(&self, map: impl Map + 'static, inputs: &[&Tensor]) -> Result<Tensor> {
        let inputs: Vec<Tensor> = inputs.iter().map(|x| (*x).clone()).collect();
        let output = map.forward(&inputs)?;
        let is_wanted = inputs.iter().any(|x| self.wants(x));
        self.keep(is_wanted, &output, || Kept::Shapes(Box::new(map), inputs.iter().map(Slot::of).collect()));
        Ok(output)
    }

    /// Keeps what the gradient of `output` needs, if it is wanted; in inference nothing is.
    fn keep(&self, is_wanted: bool, output: &Tensor, kept: impl FnOnce() -> Kept) {
        match &self.nodes {
            Some(nodes) if is_wanted => nodes.borrow_mut().push(Node { kept: kept(), output: output.id() }),
            Some(_) => {
                self.frozen.borrow_mut().insert(output.id());
            }
            None => {}
        }
    }

    /// The gradients of `sum(of * upstream)` for every tensor that `of` was computed from, and the end of the tape.
    /// Without an upstream gradient it is 1.
    ///
    /// # Errors
    /// If memory runs out, or in a pass without gradients.
    pub fn backward(self, of: &Tensor, upstream: Option<&Tensor>) -> Result<Gradients> {
        let Some(nodes) = self.nodes else { candle_core::bail!("an inference pass keeps nothing for gradients") };
        let mut gradients = Gradients::but_of(self.frozen.into_inner());
        if !self.fused {
            let of = match upstream {
                Some(upstream) => of.mul(upstream)?.sum_all()?,
                None => of.sum_all()?,
            };
            let store = of.backward()?;
            for id in store.get_ids() {
                if let Some(gradient) = store.get_id(*id) {
                    gradients.set(*id, gradient.clone());
                }
            }
            return Ok(gradients);
        }
        match upstream {
            Some(upstream) => gradients.set(of.id(), upstream.copy()?),
            None => gradients.begin(of)?,
        }
        for Node { kept, output } in nodes.into_inner().into_iter().rev() {
            let Some(dy) = gradients.take(output) else { continue };
            match kept {
                Kept::Values(operation, inputs) => {
                    let long = operation.long_rows().are_taken(LongRows::InGradient, &dy);
                    let dy = if long { dy } else { dy.contiguous()? };
                    backward(&*operation, &inputs, &dy, &mut gradients)?;
                }
                Kept::Shapes(map, inputs) => map.backward(&inputs, dy.contiguous()?, &mut gradients)?,
            }
        }
        #[cfg(feature = "cuda")]
        gradients.finish_sums()?;
        Ok(gradients)
    }
}
