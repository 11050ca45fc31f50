//! Training from the first step, on text: decoders by the next token, encoders by masked tokens.
//!
//! Every batch follows from the seed and the number of its step, so that a training that was interrupted goes on to the same bits.

mod corpus;
mod describe;
mod error;
mod guided;
mod init;
mod reading;
mod run;
mod spectral;
mod state;
mod text;
mod trainer;
mod vocabulary;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use self::corpus::Corpus;
use self::describe::Described;
pub use self::error::PretrainError;
pub use self::init::Init;
pub(super) use self::reading::batches_of_text;
use self::run::Run;
use self::state::{Settings, State};
pub(super) use self::trainer::loss;
pub use self::trainer::{Schedule, Trainer};
use self::vocabulary::Vocabulary;
use super::energy::{Energy, Spent};
pub use super::energy::{Machine, Metered, NotMetered};
use crate::files::{FolderLock, JSON_SCHEMA, is_free, read_text};
use crate::machine::Stop;
use crate::model::{Arch, Config, LoraBase};
use crate::nn::{NnError, Params};
use crate::stats::Interval;

/// The most steps of a warm-up that nobody gave.
const MOST_WARMUP: u64 = 100;
/// Tokens of a sequence, unless the model takes fewer, and the fewest.
const USUAL_LENGTH: usize = 128;
const LEAST_LENGTH: usize = 4;
/// No account of a training is larger.
const MOST_RECORD: u64 = 64 << 20;

/// When a training ends: whichever comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct End {
    /// After so many steps.
    pub steps: Option<u64>,
    /// After so many seconds, evaluations among them.
    pub seconds: Option<f64>,
    /// After so many joules of all meters, evaluations among them.
    pub joules: Option<f64>,
    /// At an evaluation whose held-out loss is no larger, and is of a model that nothing guides.
    pub loss: Option<f64>,
}

/// What is trained.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A model that is known by its name and shape. Its vocabulary is that of the tokenizer.
    Shape(String, Box<Config>),
    /// The one of a `config.json`, by its name and text.
    Description(String, String),
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Files and folders of text.
    pub texts: Vec<PathBuf>,
    /// The folder that is written.
    pub output: PathBuf,
    /// What is trained.
    pub subject: Subject,
    /// The checkpoint whose weights it begins with, if it does; its description is `subject`.
    pub from: Option<PathBuf>,
    /// As what.
    pub arch: Arch,
    /// How the factors of an LRT begin; other architectures have none.
    pub init: Init,
    /// Whether dense matrices guide the factors of an LRT in the first half of the steps (Wei et al. 2024, arXiv 2406.16450). It needs
    /// `decay_steps` or `end.steps`.
    pub guided: bool,
    /// The tokenizer; `None`: one is trained on the text.
    pub tokenizer: Option<PathBuf>,
    /// The most tokens of one that is trained.
    pub vocab: usize,
    /// Tokens of a sequence; `None`: 128, or the most that the model takes if that is less.
    pub seq_len: Option<usize>,
    /// Sequences of a step.
    pub batch_size: usize,
    /// When it ends.
    pub end: End,
    /// The largest learning rate.
    pub lr: f64,
    /// Steps until it is reached; `None`: a tenth of the steps, 100 at most.
    pub warmup_steps: Option<u64>,
    /// The step at which a tenth of it is left; `None`: the last.
    pub decay_steps: Option<u64>,
    /// Steps between two evaluations.
    pub evaluate_every: Option<u64>,
    /// Of the weights, of the order and of what is masked.
    pub seed: u64,
    /// Whether it goes on with what is in the folder.
    pub resume: bool,
    /// What may ask for the end before its time.
    pub stop: Stop,
}

/// What was seen at an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps before it.
    pub step: u64,
    /// Tokens that these have seen.
    pub tokens: u64,
    /// Seconds of these steps, without evaluations.
    pub seconds: f64,
    /// Joules in these seconds.
    pub joules: Option<f64>,
    /// The learning rate of the last of them.
    pub lr: f64,
    /// The mean loss of the steps since the evaluation before.
    pub train_loss: Option<f64>,
    /// The mean loss of the batches that are held out, with its 95 % interval over them: of what is trained, and so with what guides it.
    pub held_out_loss: Interval,
    /// The share that dense matrices had in it, beside the factors: 0 but in self-guided training. It was added to schema 1.
    #[serde(default)]
    pub guide: f64,
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndedBy {
    /// It has not.
    Running,
    /// `End::steps`.
    Steps,
    /// `End::seconds`.
    Time,
    /// `End::joules`.
    Joules,
    /// `End::loss`.
    Loss,
}

/// An account of a training, as `train.json` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The version of this form.
    pub schema: u32,
    /// The name of what is trained.
    pub model: String,
    /// The checkpoint whose weights it began with; `None` where they were drawn. It was added to schema 1.
    #[serde(default)]
    pub from: Option<String>,
    /// As what.
    pub arch: String,
    /// How the factors of low-rank linears began. It was added to schema 1: an account without it is of `normal`.
    #[serde(default)]
    pub init: Init,
    /// The first steps, in which dense matrices guided the factors; `None` where none did. It was added to schema 1.
    #[serde(default)]
    pub guided_steps: Option<u64>,
    /// Its weights, without those that guide it; those that stay as they were drawn included.
    pub n_params: u64,
    /// Rows of its table of tokens.
    pub vocab_size: usize,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a step.
    pub batch_size: usize,
    /// The largest learning rate.
    pub lr: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// The step at which a tenth of it is left, where it falls by steps.
    pub decay_steps: Option<u64>,
    /// Of all draws.
    pub seed: u64,
    /// Threads that compute.
    pub threads: usize,
    /// Tokens of the text that is learned from.
    pub train_tokens: usize,
    /// Tokens that are held out.
    pub held_out_tokens: usize,
    /// Steps so far.
    pub steps: u64,
    /// Tokens that they have seen, each as often as it was seen.
    pub tokens: u64,
    /// Why it ended.
    pub ended_by: EndedBy,
    /// Seconds of the steps.
    pub seconds: f64,
    /// Joules in these seconds.
    pub joules: Option<f64>,
    /// Seconds in all, with evaluations and writing, without reading the text.
    pub total_seconds: f64,
    /// Joules in all, with the 95 % interval of the meters' gain.
    pub total_joules: Option<Interval>,
    /// What metered.
    pub meters: Vec<Metered>,
    /// What was not metered.
    pub unmetered: Vec<NotMetered>,
    /// The mean loss of the last steps.
    pub train_loss: Option<f64>,
    /// The held-out loss of the last evaluation.
    pub held_out_loss: Option<Interval>,
    /// All evaluations.
    pub points: Vec<Point>,
}

/// What whoever looks on is told.
pub enum Event<'a> {
    /// Before the first step.
    Begins(&'a Training),
    /// At each evaluation.
    Evaluated(&'a Point),
}

#[derive(Deserialize)]
struct Before {
    points: Vec<Point>,
}

/// Trains a model on text into the folder `request.output`.
///
/// # Errors
/// If what is asked for cannot be had: nothing was written then. If the loss is not a number or the disk is full: the last checkpoint is
/// still there. If it was asked to stop: a checkpoint of the last step is there.
pub fn pretrain(
    request: &Request,
    machine: &Machine<'_>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Training, PretrainError> {
    let End { steps, seconds, joules, loss } = request.end;
    if steps.is_none() && seconds.is_none() && joules.is_none() && loss.is_none() {
        return Err(PretrainError::NoEnd);
    }
    request.check()?;
    // A folder that is there already may be another process's as well; a new one is put in its place as a whole, which only one can do.
    let is_there = request.resume && request.output.is_dir();
    let _lock = is_there.then(|| FolderLock::take(&request.output, state::RECORD)).transpose()?;
    let state = if request.resume { Some(state::read(&request.output)?) } else { None };
    if state.is_none() {
        is_free(&request.output).map_err(|_| PretrainError::Exists { path: request.output.clone() })?;
    }
    let (name, described, vocabulary, corpus, seq_len) = prepare(request)?;
    let model = &described.model;
    request.arch.check(model)?;
    let settings = settings(request, (&described, &corpus, seq_len), state.as_ref())?;
    if let Some(done) = state.as_ref().and_then(|state| finished(request, state)) {
        return Ok(done);
    }
    let schedule = Schedule { lr: settings.lr, warmup_steps: settings.warmup_steps, decay_steps: settings.decay_steps };
    let trainer = match &state {
        None => {
            let drawn = || Params::random(request.seed, DType::F32, &Device::Cpu).with_constants(described.json());
            let params = match &request.from {
                Some(from) => {
                    Params::from_safetensors(from, DType::F32, &Device::Cpu)?.with_what_is_added(request.seed)
                }
                None => drawn(),
            };
            let mut trainer = Trainer::new(model, request.arch, params, schedule)?;
            if request.init == Init::Spectral {
                spectral::begin(model, trainer.params(), drawn())?;
            }
            if let Some(steps) = settings.guided_steps() {
                trainer.guide(steps)?;
            }
            trainer
        }
        Some(state) => {
            let mut trainer = Trainer::new(model, request.arch, state::params(&request.output)?, schedule)?;
            state::go_on(&request.output, (state.step, settings.guided_steps()), &mut trainer)?;
            trainer
        }
    };
    let (train_tokens, held_out_tokens) = corpus.sizes();
    let mut training = Training {
        schema: JSON_SCHEMA,
        model: name,
        from: request.from.as_ref().map(|from| from.display().to_string()),
        arch: request.arch.to_string(),
        init: request.init,
        guided_steps: settings.guided_steps(),
        n_params: trainer.params().count(),
        vocab_size: model.vocab_size,
        seq_len,
        batch_size: request.batch_size,
        lr: settings.lr,
        warmup_steps: settings.warmup_steps,
        decay_steps: settings.decay_steps,
        seed: request.seed,
        threads: rayon::current_num_threads(),
        train_tokens,
        held_out_tokens,
        steps: trainer.steps(),
        tokens: 0,
        ended_by: EndedBy::Running,
        seconds: 0.0,
        joules: None,
        total_seconds: 0.0,
        total_joules: None,
        meters: Vec::new(),
        unmetered: Vec::new(),
        train_loss: None,
        held_out_loss: None,
        points: Vec::new(),
    };
    if let Some(state) = &state {
        let text = read_text(&request.output.join(state::RECORD), MOST_RECORD)?;
        let before: Before = serde_json::from_str(&text).map_err(|e| PretrainError::NothingToResume {
            path: request.output.clone(),
            reason: format!("of `{}`: {e}", state::RECORD),
        })?;
        training.points = before.points.into_iter().filter(|point| point.step <= state.step).collect();
    }
    observe(Event::Begins(&training));
    let held_out = corpus.held_out(request.batch_size)?;
    let energy = Energy::start(machine);
    if joules.is_some() && !energy.is_whole() {
        return Err(PretrainError::NoJoules {
            parts: energy.without.iter().map(|part| format!("{}: {}", part.part, part.reason)).collect(),
        });
    }
    let steps = state.as_ref().map_or_else(Spent::nothing, |s| Spent { seconds: s.seconds, joules: s.joules });
    let total =
        state.as_ref().map_or_else(Spent::nothing, |s| Spent { seconds: s.total_seconds, joules: s.total_joules });
    let config = described.text(request.arch);
    let adapter = described.adapter(request.arch, request.from.as_deref(), trainer.params());
    let run = Run { request, settings, schedule, corpus, held_out, energy, steps, total, trainer, losses: Vec::new() };
    run.run(training, (&config, &vocabulary.json, adapter.as_deref()), observe)
}

impl Request {
    /// Whether the architecture is one that is trained, of this model, and begins as is asked.
    ///
    /// # Errors
    /// If it does not fit the model, trains beside another, or has no factors for a beginning of factors or for a guide.
    pub fn check(&self) -> Result<(), PretrainError> {
        match (self.arch, &self.from) {
            (Arch::Lora { .. }, None) => return Err(PretrainError::Lora { arch: self.arch.to_string() }),
            (Arch::Lora { base: LoraBase::FourBits, .. }, Some(_)) => {
                return Err(PretrainError::Quantised { arch: self.arch.to_string() });
            }
            (Arch::Lrt { .. } | Arch::Linformer { .. }, Some(_)) => {
                return Err(PretrainError::OtherArch { arch: self.arch.to_string() });
            }
            _ => {}
        }
        if self.init != Init::Normal && self.arch.rank().is_none() {
            return Err(PretrainError::NoFactors { arch: self.arch.to_string(), init: self.init });
        }
        if self.guided && self.arch.rank().is_none() {
            return Err(PretrainError::NothingToGuide { arch: self.arch.to_string() });
        }
        Ok(self.arch.check(&self.model()?)?)
    }

    /// The model that is trained, but for the vocabulary that a tokenizer gives it.
    ///
    /// # Errors
    /// If its description is not understood.
    pub fn model(&self) -> Result<Config, PretrainError> {
        Ok(match &self.subject {
            Subject::Shape(_, model) => {
                let length = self.seq_len.unwrap_or_else(|| model.max_seq_len.min(USUAL_LENGTH));
                (**model).clone().with_room_for(length)
            }
            Subject::Description(_, text) => Described::given(text)?.model,
        })
    }
}

/// Whether a folder has a training to go on with.
pub(super) fn is_begun(folder: &Path) -> bool {
    folder.join(state::STATE).is_file()
}

/// Where a training has its tokenizer.
pub(super) fn tokenizer_of(folder: &Path) -> PathBuf {
    folder.join(state::TOKENIZER)
}

/// Steps of a warm-up that nobody gave, where the rate falls until `decay_steps`.
pub(super) fn usual_warmup(decay_steps: Option<u64>) -> u64 {
    decay_steps.map_or(MOST_WARMUP, |steps| (steps / 10).min(MOST_WARMUP))
}

/// The account of a training that has made all steps already: it stays as it is.
fn finished(request: &Request, state: &State) -> Option<Training> {
    let text = read_text(&request.output.join(state::RECORD), MOST_RECORD).ok()?;
    // It is written last, so that all else is of the same step.
    let done: Training = serde_json::from_str(&text).ok()?;
    let is_whole = done.steps == state.step && done.ended_by != EndedBy::Running;
    (is_whole && request.end.steps == Some(state.step)).then_some(done)
}

/// The model with its description, the vocabulary, the tokens, and the length of sequences.
fn prepare(request: &Request) -> Result<(String, Described, Vocabulary, Corpus, usize), PretrainError> {
    let (name, shape, given) = match &request.subject {
        Subject::Shape(name, model) => (name, (**model).clone(), None),
        Subject::Description(name, text) => {
            let given = Described::given(text)?;
            (name, given.model.clone(), Some(given))
        }
    };
    // A shape is refused before minutes are spent on a vocabulary for it.
    shape.computed().map_err(NnError::from)?;
    let seq_len = request.seq_len.unwrap_or_else(|| shape.max_seq_len.min(USUAL_LENGTH));
    if seq_len < LEAST_LENGTH {
        return Err(PretrainError::SeqLen { seq_len, least: LEAST_LENGTH });
    }
    let family = shape.family;
    let texts = text::read(&request.texts)?;
    let before = request.resume.then(|| request.output.join(state::TOKENIZER));
    let of_checkpoint = request.from.as_ref().map(|from| from.join(state::TOKENIZER));
    let vocabulary = if let Some(path) = request.tokenizer.clone().or(before).or(of_checkpoint) {
        Vocabulary::read(&path)?
    } else {
        let most = given.as_ref().map_or(request.vocab, |given| request.vocab.min(given.model.vocab_size));
        Vocabulary::train(&texts.train, most, family)?
    };
    let described = match given {
        Some(given) => given,
        None => Described::of(name, &Config { vocab_size: vocabulary.size, ..shape }.with_room_for(seq_len))?,
    };
    let (vocab_size, max) = (described.model.vocab_size, described.model.max_seq_len);
    if vocabulary.size > vocab_size {
        return Err(PretrainError::Vocabulary { most: vocabulary.size - 1, vocab_size });
    }
    if seq_len > max {
        return Err(NnError::SeqLen { seq_len, max }.into());
    }
    let tokens = [vocabulary.tokens(&texts.train)?, vocabulary.tokens(&texts.held_out)?];
    let corpus = Corpus::new(tokens, &vocabulary, (family, seq_len), request.seed)?;
    Ok((name.clone(), described, vocabulary, corpus, seq_len))
}

/// How the training goes: as it began, if it is gone on with.
fn settings(
    request: &Request,
    (described, corpus, seq_len): (&Described, &Corpus, usize),
    state: Option<&State>,
) -> Result<Settings, PretrainError> {
    let decay_steps = request.decay_steps.or(request.end.steps);
    let mut settings = Settings {
        config: described.text(request.arch),
        arch: request.arch.to_string(),
        init: request.init,
        guided: request.guided,
        seq_len,
        batch_size: request.batch_size,
        lr: request.lr,
        warmup_steps: request.warmup_steps.unwrap_or_else(|| usual_warmup(decay_steps)),
        decay_steps,
        seed: request.seed,
        tokens: corpus.fingerprint(),
    };
    let Some(State { settings: before, .. }) = state else { return settings.checked() };
    // The end of a training may be moved; its rate does not follow unless that is asked for.
    settings.warmup_steps = request.warmup_steps.unwrap_or(before.warmup_steps);
    settings.decay_steps = request.decay_steps.or(before.decay_steps);
    let text = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let pairs = [
        ("`--arch`", before.arch.clone(), settings.arch.clone()),
        ("`--init`", before.init.to_string(), settings.init.to_string()),
        ("`--guided`", before.guided.to_string(), settings.guided.to_string()),
        ("`--seq-len`", before.seq_len.to_string(), settings.seq_len.to_string()),
        ("`--batch-size`", before.batch_size.to_string(), settings.batch_size.to_string()),
        ("`--lr`", before.lr.to_string(), settings.lr.to_string()),
        ("`--warmup-steps`", before.warmup_steps.to_string(), settings.warmup_steps.to_string()),
        ("`--decay-steps`", text(before.decay_steps), text(settings.decay_steps)),
        ("`--seed`", before.seed.to_string(), settings.seed.to_string()),
        ("tokens", before.tokens.clone(), settings.tokens.clone()),
        ("the model", before.config.clone(), settings.config.clone()),
    ];
    match pairs.into_iter().find(|(_, was, is)| was != is) {
        None => Ok(settings),
        Some((what, was, is)) => Err(PretrainError::Changed { path: request.output.clone(), what, was, is }),
    }
}
