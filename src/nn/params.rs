//! The weights of a model by name: drawn from a seed, or read from a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde_json::Value;

use super::checkpoint::said;
use super::{Checkpoint, NnError};

/// Standard deviation of BERT's initial weights (Devlin et al.'s code, `initializer_range`).
const INIT_STD: f32 = 0.02;
/// Values drawn by one generator; each block of a tensor has a seed of its own, so threads do not matter.
const BLOCK: usize = 1 << 16;

/// Weights, in the order of their names: those that are trained, and those that stay as they are.
pub struct Params {
    vars: BTreeMap<String, Var>,
    frozen: BTreeMap<String, Tensor>,
    /// Whether the weights that follow stay as they are.
    freezes: bool,
    /// How the names begin of weights that stay as they are in any case.
    untrained: &'static [&'static str],
    /// Matrices that checkpoints store with inputs first.
    transposed: BTreeSet<String>,
    /// The `config.json` of weights that are drawn; null if there is none.
    constants: Value,
    /// The seed of what a checkpoint lacks and a training adds, if it may.
    added: Option<u64>,
    device: Device,
    dtype: DType,
    source: Source,
}

/// What the names of the pairs of LoRA have in them, and those of the second matrix of each.
const LORA: &str = ".lora_";
const UP: &str = ".lora_B.";

enum Source {
    Seed(u64),
    Checkpoint(Box<Checkpoint>),
}

/// How a weight begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Init {
    /// Normal with the standard deviation of BERT.
    Normal,
    /// Normal with this standard deviation.
    NormalStd(f32),
    Zeros,
    Ones,
}

impl Params {
    /// Weights of `dtype` drawn from `seed`: never zeros or constants, on which a processor would use less
    /// power. Training uses f32; f64 is for checking gradients.
    #[must_use]
    pub fn random(seed: u64, dtype: DType, device: &Device) -> Self {
        Self::new(device, dtype, Source::Seed(seed))
    }

    /// Weights of a checkpoint with Hugging Face's names, as `dtype`: a safetensors file, or a folder with one or several.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what a safetensors file says in its header.
    pub fn from_safetensors(path: &Path, dtype: DType, device: &Device) -> Result<Self, NnError> {
        Ok(Self::new(device, dtype, Source::Checkpoint(Box::new(Checkpoint::open(path)?))))
    }

    fn new(device: &Device, dtype: DType, source: Source) -> Self {
        let (vars, frozen, transposed) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (untrained, constants, device): (&[&str], _, _) = (&[], Value::Null, device.clone());
        Self { vars, frozen, freezes: false, untrained, transposed, constants, added: None, device, dtype, source }
    }

    /// These weights, all of which are trained.
    pub(super) fn of_tensors(weights: Vec<(String, Tensor)>, device: &Device, dtype: DType) -> Result<Self, NnError> {
        let vars = weights.into_iter().map(|(name, tensor)| Ok((name, Var::from_tensor(&tensor)?)));
        // Nothing is made from the seed.
        Ok(Self { vars: vars.collect::<Result<_, NnError>>()?, ..Self::new(device, dtype, Source::Seed(0)) })
    }

    /// The same, where weights whose names begin so stay as they are: those of a head that has no part in the loss.
    #[must_use]
    pub fn without_training(self, untrained: &'static [&'static str]) -> Self {
        Self { untrained, ..self }
    }

    /// The same, where a checkpoint may lack the pairs of LoRA, and heads without a part in the loss: these are drawn from `seed`, and pairs
    /// begin as Hu et al. 2021 have them (arXiv 2106.09685, section 4.1), A drawn and B zero, so that the model is at first what it was.
    #[must_use]
    pub fn with_what_is_added(self, seed: u64) -> Self {
        Self { added: Some(seed), ..self }
    }

    /// Every weight by its name, with the shape in which checkpoints store it.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn as_stored(&self) -> Result<BTreeMap<&str, Tensor>, NnError> {
        let trained = self.vars.iter().map(|(name, var)| (name, var.as_tensor()));
        let all = trained.chain(self.frozen.iter()).map(|(name, tensor)| {
            let is_turned = self.transposed.contains(name);
            Ok((name.as_str(), if is_turned { tensor.t()?.contiguous()? } else { tensor.clone() }))
        });
        all.collect()
    }

    /// Every weight that is trained, and its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The weight called `name`, if it is trained.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// Every weight that stays as it is.
    pub fn frozen(&self) -> impl Iterator<Item = &Tensor> {
        self.frozen.values()
    }

    /// How many numbers all weights hold.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.tensors().map(|w| w.elem_count() as u64).sum()
    }

    /// All weights.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.vars.values().map(Var::as_tensor).chain(self.frozen.values())
    }

    /// Whether the weights that are made from now on stay as they are.
    pub(super) fn freeze(&mut self, freezes: bool) {
        self.freezes = freezes;
    }

    /// The number type of the weights.
    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the weights lie.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The same, with the numbers that this `config.json` gives, of weights that are drawn.
    #[must_use]
    pub fn with_constants(self, config: &Value) -> Self {
        Self { constants: config.clone(), ..self }
    }

    /// The number that the `config.json` gives by this name; `None` of weights that are drawn for none.
    pub(super) fn constant(&self, name: &str) -> Option<f64> {
        let Source::Checkpoint(checkpoint) = &self.source else { return said(&self.constants, name)?.as_f64() };
        checkpoint.said(name)?.as_f64()
    }

    /// The rank that a factorised checkpoint gives the linear `name`; `None` where that is dense.
    pub(super) fn rank(&self, name: &str) -> Option<usize> {
        if let Source::Checkpoint(checkpoint) = &self.source { checkpoint.rank(name) } else { None }
    }

    /// Whether a factorised checkpoint has the parts of the matrix `name`, which is one matrix otherwise, each as a linear of its own.
    pub(super) fn is_apart(&self, name: &str) -> bool {
        matches!(&self.source, Source::Checkpoint(checkpoint) if checkpoint.is_apart(name))
    }

    /// Makes the weight `name`, or reads it from the checkpoint.
    pub(super) fn create(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Tensor, NnError> {
        self.create_from(name, shape, init, false)
    }

    /// Makes the matrix `name` of `(d_out, d_in)`, or reads it from the checkpoint, where it may be stored as `(d_in, d_out)`.
    pub(super) fn create_matrix(
        &mut self,
        name: &str,
        (d_in, d_out): (usize, usize),
        is_transposed: bool,
    ) -> Result<Tensor, NnError> {
        self.create_from(name, &[d_out, d_in], Init::Normal, is_transposed)
    }

    fn create_from(&mut self, name: &str, shape: &[usize], init: Init, is_transposed: bool) -> Result<Tensor, NnError> {
        let is_untrained = self.untrained.iter().any(|beginning| name.starts_with(beginning));
        let tensor = match (&self.source, self.added) {
            (Source::Seed(seed), _) => initial(name, *seed, shape, init, &self.device)?,
            (Source::Checkpoint(checkpoint), Some(seed))
                if checkpoint.stored_name(name).is_none() && name.contains(LORA) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "the inputs of a linear")]
                let std = (3.0 * shape[1] as f32).sqrt().recip();
                let init = if name.contains(UP) { Init::Zeros } else { Init::NormalStd(std) };
                initial(name, seed, shape, init, &self.device)?
            }
            (Source::Checkpoint(checkpoint), Some(seed)) if checkpoint.stored_name(name).is_none() && is_untrained => {
                initial(name, seed, shape, init, &self.device)?
            }
            (Source::Checkpoint(checkpoint), _) if is_transposed => {
                let stored: Vec<usize> = shape.iter().rev().copied().collect();
                checkpoint.load(name, &stored, &self.device)?.t()?.contiguous()?
            }
            (Source::Checkpoint(checkpoint), _) => checkpoint.load(name, shape, &self.device)?,
        };
        let tensor = tensor.to_dtype(self.dtype)?;
        if is_transposed {
            self.transposed.insert(name.to_owned());
        }
        if self.freezes || is_untrained {
            self.frozen.insert(name.to_owned(), tensor.clone());
            return Ok(tensor);
        }
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        self.vars.insert(name.to_owned(), var);
        Ok(tensor)
    }
}

fn initial(name: &str, seed: u64, shape: &[usize], init: Init, device: &Device) -> Result<Tensor, NnError> {
    Ok(match init {
        Init::Zeros => Tensor::zeros(shape, DType::F32, device)?,
        Init::Ones => Tensor::ones(shape, DType::F32, device)?,
        Init::Normal => normal(name, seed, shape, INIT_STD, device)?,
        Init::NormalStd(std) => normal(name, seed, shape, std, device)?,
    })
}

fn normal(name: &str, seed: u64, shape: &[usize], std: f32, device: &Device) -> Result<Tensor, NnError> {
    let mut values = vec![0f32; shape.iter().product()];
    let hash = name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut rng = SmallRng::seed_from_u64(hash.wrapping_add(block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for value in values {
            let draw: f32 = StandardNormal.sample(&mut rng);
            *value = std * draw;
        }
    });
    Ok(Tensor::from_vec(values, shape, device)?)
}
