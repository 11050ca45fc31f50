//! What a factorised model takes for a forward pass and how well it reads a text, beside the model that it was made of.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::super::computed::differs;
use super::super::energy::{Energy, Machine, Metered, NotMetered};
use super::super::pretrain::{batches_of_text, loss};
use super::FactorizeError;
use super::tensors::TOKENIZER;
use super::turns::{Pair, PassTried, Until, tape, tokens_of};
use super::width::{Widths, widths};
use crate::model::{Arch, Config, read_hugging_face};
use crate::nn::{Body, Checkpoint, Input, Model, NnError, Params};
use crate::stats::{Interval, Mean, batch_means};

/// No sequence of a text has more tokens, also where the model takes more.
const LONGEST: usize = 512;
/// Tokens of a pass where nothing is said.
const USUAL_LENGTH: usize = 128;
/// The most turns of two models.
const MOST_TURNS: usize = 60;

/// What is tried of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Tokens of the sequences that it is given, one at a time; if not said, 128, or as many as it takes.
    pub seq_lens: Option<Vec<usize>>,
    /// Half of the 95 % interval of the time of a pass over that of dense at which it is known well enough: 0.01.
    pub precision: f64,
    /// A text in UTF-8 that it reads, which it was neither trained nor calibrated on.
    pub text: Option<PathBuf>,
    /// Of the tokens, and of those that an encoder has to find.
    pub seed: u64,
}

/// How well a model reads a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Mean cross-entropy of the tokens that are to be found, in nats: of each next one, or of those that are hidden from an encoder.
    /// `None` where the checkpoint has no head for it: see `reason`.
    pub loss: Option<Interval>,
    /// The same of the dense model.
    pub dense_loss: Option<Interval>,
    /// How much more it is than that of the dense model, on the same batches: what both find hard cancels.
    pub added_loss: Option<Interval>,
    /// Why there is no loss.
    pub reason: Option<String>,
    /// Mean over sequences of 1 less the cosine between the mean of the last hidden states and that of the dense model.
    pub drift: Interval,
}

/// What came out for one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tried {
    /// At each length.
    pub passes: Vec<PassTried>,
    /// Where it is not faster beyond doubt at the longest: at which width it would be.
    pub widths: Option<Widths>,
    /// On the text, if there was one.
    pub reading: Option<Reading>,
    /// The meters behind the joules.
    pub meters: Vec<Metered>,
    /// Parts of the machine without one.
    pub unmetered: Vec<NotMetered>,
}

impl Tried {
    /// Whether a part of the joules comes from a model of the machine and no meter.
    #[must_use]
    pub fn joules_are_modelled(&self) -> bool {
        self.meters.iter().any(|meter| meter.source == crate::meter::EnergySource::Model)
    }
}

/// The dense checkpoint, the text, and what is to be tried.
pub struct Bench {
    seq_lens: Vec<usize>,
    precision: f64,
    seed: u64,
    dense: Body,
    dense_path: PathBuf,
    config: Config,
    batches: Vec<Input>,
    /// Of the dense model on the text.
    read: Option<Result<Vec<f64>, String>>,
}

impl Bench {
    /// Loads the dense checkpoint, and has it read the text.
    ///
    /// # Errors
    /// If the checkpoint or the text cannot be read, a length is more than the model takes, or the model is computed here in another way
    /// than where it was trained.
    pub fn new(dense: &Path, trial: &Trial) -> Result<Self, FactorizeError> {
        let checkpoint = Checkpoint::open(dense)?;
        let config = config_of(&checkpoint, dense)?;
        let seq_lens = trial.seq_lens.clone().unwrap_or_else(|| vec![USUAL_LENGTH.min(config.max_seq_len)]);
        if let Some(&seq_len) = seq_lens.iter().find(|len| !(1..=config.max_seq_len).contains(*len)) {
            return Err(NnError::SeqLen { seq_len, max: config.max_seq_len }.into());
        }
        let mut batches = Vec::new();
        if let Some(text) = &trial.text {
            if let Some(reason) = differs(&|name| checkpoint.said(name), &config) {
                return Err(FactorizeError::ComputedOtherwise { reason });
            }
            let tokenizer = checkpoint.folder().join(TOKENIZER);
            if !tokenizer.is_file() {
                return Err(FactorizeError::NoTokenizer { path: tokenizer });
            }
            let seq_len = config.max_seq_len.min(LONGEST);
            let (read, rows) = batches_of_text((text, &tokenizer), (config.family, seq_len), trial.seed)?;
            if rows > config.vocab_size {
                let id = u32::try_from(rows - 1).unwrap_or(u32::MAX);
                return Err(FactorizeError::Vocabulary { path: tokenizer, id, rows: config.vocab_size });
            }
            batches = read;
        }
        let mut bench = Self {
            seq_lens,
            precision: trial.precision,
            seed: trial.seed,
            dense: body(dense, &config)?,
            dense_path: dense.to_owned(),
            config,
            batches,
            read: None,
        };
        if trial.text.is_some() {
            bench.read = Some(bench.losses(&bench.dense_path)?);
        }
        Ok(bench)
    }

    /// Tries the factorised checkpoint in a folder, which keeps this share of the weights of its linears. `progress` is told how many turns of how many are done.
    ///
    /// # Errors
    /// If it cannot be read, or memory runs out.
    pub fn try_out(
        &self,
        (folder, keep): (&Path, f64),
        machine: &Machine<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Tried, FactorizeError> {
        let own = body(folder, &self.config)?;
        let mut energy = Energy::start(machine);
        let until = Until { precision: self.precision, most_turns: MOST_TURNS };
        let pair = Pair { dense: &self.dense, own: &own, config: &self.config, seed: self.seed, until };
        let all = self.seq_lens.len() * MOST_TURNS;
        let passes =
            self.seq_lens.iter().enumerate().map(|(i, seq_len)| {
                pair.in_turns(*seq_len, &mut energy, &mut |turn| progress(i * MOST_TURNS + turn, all))
            });
        let passes = passes.collect::<Result<Vec<PassTried>, FactorizeError>>()?;
        let last = passes.last().filter(|pass| pass.vs_dense.high >= 1.0);
        let widths = match last {
            Some(pass) => Some(widths(&self.config, (keep, pass.seq_len), (self.precision, self.seed), &mut energy)?),
            None => None,
        };
        progress(all, all);
        let reading = match &self.read {
            Some(dense) => Some(self.reading(folder, &own, dense)?),
            None => None,
        };
        Ok(Tried { passes, widths, reading, meters: energy.metered(), unmetered: energy.without })
    }

    /// The loss of the model of a folder on each batch; why there is none, where it has no head.
    fn losses(&self, folder: &Path) -> Result<Result<Vec<f64>, String>, FactorizeError> {
        let params = Params::from_safetensors(folder, DType::F32, &Device::Cpu)?;
        let model = match Model::new(&self.config, Arch::Dense, params) {
            Ok(model) => model,
            Err(NnError::MissingWeight { name, .. }) => {
                return Ok(Err(format!("the checkpoint has no `{name}`, which finds tokens")));
            }
            Err(error) => return Err(error.into()),
        };
        let of =
            |batch: &Input| Ok(f64::from(loss(&model, batch, &tape())?.to_scalar::<f32>().map_err(NnError::from)?));
        self.batches.iter().map(of).collect::<Result<Vec<f64>, FactorizeError>>().map(Ok)
    }

    fn reading(&self, folder: &Path, own: &Body, dense: &Result<Vec<f64>, String>) -> Result<Reading, FactorizeError> {
        let mean = |losses: &[f64]| batch_means(losses).map(Mean::interval);
        let (losses, reason) = match dense {
            Ok(dense) => match self.losses(folder)? {
                Ok(own) => {
                    let added: Vec<f64> = own.iter().zip(dense).map(|(own, dense)| own - dense).collect();
                    (Some((mean(&own), mean(dense), mean(&added))), None)
                }
                Err(reason) => (None, Some(reason)),
            },
            Err(reason) => (None, Some(reason.clone())),
        };
        let mut drifts = Vec::new();
        for batch in &self.batches {
            let (ids, segments) = tokens_of(batch)?;
            let embed = |model: &Body| -> Result<Tensor, FactorizeError> {
                Ok(model.hidden(&ids, &segments, &tape())?.mean(1).map_err(NnError::from)?)
            };
            drifts.extend(apart(&embed(&self.dense)?, &embed(own)?).map_err(NnError::from)?);
        }
        let seq_len = self.config.max_seq_len.min(LONGEST);
        let drift = mean(&drifts).ok_or(FactorizeError::NotRead)?;
        let (loss, dense_loss, added_loss) = losses.unwrap_or_default();
        Ok(Reading { seq_len, loss, dense_loss, added_loss, reason, drift })
    }
}

/// 1 less the cosine of each pair of rows.
fn apart(a: &Tensor, b: &Tensor) -> candle_core::Result<Vec<f64>> {
    let rows = |x: &Tensor| x.to_dtype(DType::F64)?.to_vec2::<f64>();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let pairs = rows(a)?.into_iter().zip(rows(b)?);
    Ok(pairs.map(|(a, b)| 1.0 - dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()).collect())
}

fn config_of(checkpoint: &Checkpoint, path: &Path) -> Result<Config, FactorizeError> {
    let text = checkpoint.config().ok_or_else(|| FactorizeError::NoConfig { path: path.to_owned() })?;
    Ok(read_hugging_face(text.as_bytes())?.0)
}

fn body(path: &Path, config: &Config) -> Result<Body, FactorizeError> {
    Ok(Body::new(config, Arch::Dense, Params::from_safetensors(path, DType::F32, &Device::Cpu)?)?)
}
