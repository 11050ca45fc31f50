//! What `train` and `quality` are both told of a training.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser as _};
use greenformers::catalog::{Device, DeviceKind};
use greenformers::files::read_text;
use greenformers::machine::MachineFacts;
use greenformers::model::{Arch, Config, Details, Family};
use greenformers::sensor::DEFAULT_POWERCAP_ROOT;
use greenformers::train::pretrain::{End, Init, Request, Subject};
use greenformers::units::parse_whole_count;

use super::Context;
use super::stopping;
use super::workload::{model_file, named_workload};

/// No description of a model is larger.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct TrainingArgs {
    /// Files of text in UTF-8, or folders with .txt and .md files; the last 5 % are held out
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<PathBuf>,
    /// Folder for the result, which is not there yet
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// What is trained: a name (`bert-base`, `gpt2`), a YAML file, or a Hugging Face config.json [default: a decoder of 4 layers, 256
    /// wide, with 4 heads, as GPT-2]
    #[arg(long, visible_alias = "model", value_name = "NAME|FILE")]
    workload: Option<String>,
    /// Begin with the weights of this checkpoint, a folder of Hugging Face's: dense goes on with all of them, `lora:rank=16` trains pairs
    /// beside them. Its config.json and its tokenizer.json hold, unless `--tokenizer` gives another
    #[arg(long, value_name = "DIR", conflicts_with = "workload")]
    pub(super) from: Option<PathBuf>,
    /// How the factors of lrt begin: drawn, or as the largest singular values of a dense matrix that is drawn
    #[arg(long, value_name = "HOW", default_value = "normal", value_parser = parse_init())]
    pub(super) init: Init,
    /// Guide the factors of lrt in the first half of the steps: a dense matrix W beside the factors D E is trained with them, the linear
    /// computes a W x + (1 - a) D E x, and a falls from 1 to 0; then W is dropped (self-guided training, Wei et al. 2024, arXiv 2406.16450)
    #[arg(long)]
    pub(super) guided: bool,
    /// A tokenizer.json [default: one of byte pairs is trained on the text]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// The most tokens of a vocabulary that is trained
    #[arg(long, value_name = "N", default_value = "4096", value_parser = size(1, 1_000_000), conflicts_with_all = ["tokenizer", "from"])]
    vocab: u64,
    /// Tokens of a sequence [default: 128, or as many as the model takes]
    #[arg(long, value_name = "N", value_parser = size(1, 1_000_000))]
    seq_len: Option<u64>,
    /// Sequences of a step
    #[arg(long, value_name = "N", default_value = "16", value_parser = size(1, 1_000_000))]
    batch_size: u64,
    /// The largest learning rate
    #[arg(long, value_name = "RATE", default_value = "0.001", value_parser = parse_rate)]
    lr: f64,
    /// Steps until it is reached [default: a tenth of the steps, 100 at most]
    #[arg(long, value_name = "N", value_parser = size(0, 1_000_000_000))]
    warmup_steps: Option<u64>,
    /// The step at which a tenth of it is left, by half a cosine [default: the last of `--steps`, or by the time of `--max-time`]
    #[arg(long, value_name = "N", value_parser = parse_whole_count)]
    decay_steps: Option<u64>,
    /// Steps between two evaluations, each of which writes a checkpoint [default: about 20 in all]
    #[arg(long, value_name = "N", value_parser = parse_whole_count)]
    evaluate_every: Option<u64>,
    /// Threads that compute [default: as many as there are CPUs, or `RAYON_NUM_THREADS`]
    #[arg(long, value_name = "N", value_parser = size(1, 1024))]
    threads: Option<u64>,
    /// Go on with what is in the folder given with `-o`, as it began
    #[arg(long)]
    resume: bool,
    /// The catalog entry, or a YAML file, of this machine's CPU [default: recognised by its name]
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    /// Folder of the kernel's energy counters
    #[arg(long, value_name = "DIR", default_value = DEFAULT_POWERCAP_ROOT, hide = true)]
    pub(super) powercap_root: PathBuf,
}

impl TrainingArgs {
    /// The processor whose joules are counted.
    pub(super) fn cpu(&self, facts: &MachineFacts, context: &Context) -> Result<Option<Device>> {
        match &self.hardware {
            Some(name) => Ok(Some(super::track::processor(name, context.catalog.load(name)?)?)),
            None => Ok(context.catalog.identify(DeviceKind::Cpu, &facts.cpu)?),
        }
    }

    /// Starts the threads, if they were counted.
    #[expect(clippy::cast_possible_truncation, reason = "the parser lets no larger number through")]
    pub(super) fn start_threads(&self) -> Result<()> {
        if let Some(threads) = self.threads
            && rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global().is_err()
        {
            bail!("`--threads {threads}`: the threads are there already");
        }
        Ok(())
    }

    /// A training of `arch`, which signals stop from now on.
    #[expect(clippy::cast_possible_truncation, reason = "the parsers let no larger number through")]
    pub(super) fn request(&self, arch: Arch, end: End, seed: u64, context: &Context) -> Result<Request> {
        Ok(Request {
            texts: self.texts.clone(),
            output: self.output.clone(),
            subject: match &self.from {
                Some(from) => of_checkpoint(from, self.tokenizer.is_some())?,
                None => subject(self.workload.as_deref(), context)?,
            },
            from: self.from.clone(),
            arch,
            init: self.init,
            guided: self.guided,
            tokenizer: self.tokenizer.clone(),
            vocab: self.vocab as usize,
            seq_len: self.seq_len.map(|n| n as usize),
            batch_size: self.batch_size as usize,
            end,
            lr: self.lr,
            warmup_steps: self.warmup_steps,
            decay_steps: self.decay_steps,
            evaluate_every: self.evaluate_every,
            seed,
            resume: self.resume,
            stop: stopping::of_training()?,
        })
    }
}

/// A whole number between these.
pub(super) fn size(least: u64, most: u64) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(least..=most)
}

fn parse_init() -> impl clap::builder::TypedValueParser<Value = Init> {
    PossibleValuesParser::new(Init::NAMES).try_map(|name| name.parse::<Init>())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err(format!("expected a learning rate above 0 and up to 1, such as `0.001`, got `{text}`")),
    }
}

/// The model of a checkpoint, by the name of its folder.
fn of_checkpoint(folder: &Path, has_tokenizer: bool) -> Result<Subject> {
    let config = folder.join("config.json");
    if !config.is_file() {
        bail!(
            "`--from {}`: expected a folder with `config.json` and `model.safetensors`, as `save_pretrained` of transformers writes them",
            folder.display()
        );
    }
    if !has_tokenizer && !folder.join("tokenizer.json").is_file() {
        bail!(
            "`--from {}` has no `tokenizer.json`\nhint: `--tokenizer FILE` gives the one of its model",
            folder.display()
        );
    }
    let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Ok(Subject::Description(name.unwrap_or_else(|| folder.display().to_string()), read_text(&config, MOST_BYTES)?))
}

/// What is trained: what was named, or a small decoder.
fn subject(name: Option<&str>, context: &Context) -> Result<Subject> {
    let Some(name) = name else {
        let model = Config {
            family: Family::Decoder,
            n_layers: 4,
            d_model: 256,
            n_heads: 4,
            d_ff: 1024,
            // That of the tokenizer takes its place.
            vocab_size: 1,
            max_seq_len: 128,
            type_vocab_size: 0,
            gated_mlp: false,
            details: Details::default(),
        };
        return Ok(Subject::Shape("decoder of 4 x 256".to_owned(), Box::new(model)));
    };
    let workload = named_workload(name, context)?;
    match model_file(name.as_ref()) {
        Some(path) => Ok(Subject::Description(workload.name, read_text(&path, MOST_BYTES)?)),
        None => Ok(Subject::Shape(workload.name, Box::new(workload.model))),
    }
}
