//! What is trained, as several commands are told it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use greenformers::estimate::Recipe;
use greenformers::files::{read_head, read_text};
use greenformers::model::{Config, Details, Family, read_hugging_face};
use greenformers::record::Workload;
use greenformers::units::{Optimizer, Weights, parse_count, parse_whole_count};

use super::Context;
use super::common::DEFAULT_WORKLOAD;

/// No description of a model is larger.
const MOST_BYTES: u64 = 4 << 20;
/// Tokens of BERT's vocabulary, and of GPT-2's.
pub(super) const VOCABULARIES: (usize, usize) = (30_522, 50_257);
/// Width of a head, where the number of heads is not said.
const HEAD: usize = 64;

/// A workload, and what replaces parts of it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct WorkloadArgs {
    /// What is trained: a name (`bert-large`, `llama-2-7b`), a YAML file, or a Hugging Face config.json [default: the record's, or
    /// bert-base]
    #[arg(long, visible_alias = "model", value_name = "NAME|FILE", help_heading = "Workload")]
    workload: Option<String>,
    /// Optimizer steps of the whole run (`50k`)
    #[arg(long, value_name = "N", value_parser = parse_count, conflicts_with = "tokens", help_heading = "Workload")]
    steps: Option<f64>,
    /// Tokens of the whole run, or of the data set with `--epochs` (`10B`)
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Workload")]
    tokens: Option<f64>,
    /// Times that `--tokens` are gone through
    #[arg(long, value_name = "N", value_parser = parse_count, requires = "tokens", help_heading = "Workload")]
    epochs: Option<f64>,
    /// Sequences in a step, over all devices
    #[arg(
        long, value_name = "N", value_parser = parse_whole_count, conflicts_with = "batch_tokens", help_heading = "Workload"
    )]
    batch_size: Option<u64>,
    /// Tokens in a step, over all devices (`0.5M`)
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Workload")]
    batch_tokens: Option<f64>,
    /// Tokens in a sequence
    #[arg(long, value_name = "N", value_parser = parse_whole_count, help_heading = "Workload")]
    seq_len: Option<u64>,
    /// Keep the input of each layer alone and compute the rest again, as `gradient_checkpointing=True` of Hugging Face does
    #[arg(long, help_heading = "Workload")]
    pub(super) gradient_checkpointing: bool,
    /// Format of weights, gradients and moments: f32, or 16bit for models that are loaded in bf16 and trained so [default: f32]
    #[arg(long, value_name = "FORMAT", help_heading = "Workload")]
    weights: Option<Weights>,
    /// Optimizer: adamw, or adamw-8bit for moments of 8 bits [default: adamw]
    #[arg(long, value_name = "NAME", help_heading = "Workload")]
    optimizer: Option<Optimizer>,
    /// Layers of a model without a file
    #[arg(long, value_name = "N", value_parser = parse_whole_count, conflicts_with = "workload", help_heading = "A model without a file")]
    layers: Option<u64>,
    /// Its width
    #[arg(long, value_name = "N", value_parser = parse_whole_count, requires = "layers", help_heading = "A model without a file")]
    width: Option<u64>,
    /// Its attention heads [default: width / 64]
    #[arg(long, value_name = "N", value_parser = parse_whole_count, requires = "layers", help_heading = "A model without a file")]
    heads: Option<u64>,
    /// Inner width of its feed-forward block [default: 4 x width]
    #[arg(long, value_name = "N", value_parser = parse_whole_count, requires = "layers", help_heading = "A model without a file")]
    ff: Option<u64>,
    /// Tokens of its vocabulary [default: BERT's, or GPT-2's of a decoder]
    #[arg(long, value_name = "N", value_parser = parse_whole_count, requires = "layers", help_heading = "A model without a file")]
    vocab: Option<u64>,
    /// It is a decoder, built like GPT-2, and not an encoder like BERT
    #[arg(long, requires = "layers", help_heading = "A model without a file")]
    decoder: bool,
}

impl WorkloadArgs {
    /// Whether a model was named or described.
    pub(super) fn names_model(&self) -> bool {
        self.workload.is_some() || self.layers.is_some()
    }

    /// The same with `name`, where none was given.
    pub(super) fn or_named(&self, name: Option<&str>) -> Self {
        Self { workload: self.workload.clone().or(name.map(str::to_owned)), ..self.clone() }
    }

    /// Whether the number of steps was said, or can be worked out.
    pub(super) fn says_how_long(&self) -> bool {
        self.names_model() || self.steps.is_some()
    }

    /// What was said of how long it trains.
    pub(super) fn recipe(&self) -> Recipe {
        Recipe {
            steps: self.steps,
            tokens: self.tokens,
            epochs: self.epochs,
            batch_size: size(self.batch_size),
            batch_tokens: self.batch_tokens,
            seq_len: size(self.seq_len),
            grad_checkpointing: self.gradient_checkpointing,
            weights: self.weights,
            optimizer: self.optimizer,
        }
    }

    /// What is trained: what was named or described, or `usual`, or BERT-base, by the recipe that was given.
    pub(super) fn load(&self, usual: Option<&Workload>, context: &Context) -> Result<Workload> {
        Ok(self.recipe().over(self.named(usual, context)?)?)
    }

    /// The same by its own recipe, if it has one: a model alone has no phases.
    pub(super) fn named(&self, usual: Option<&Workload>, context: &Context) -> Result<Workload> {
        if let Some(layers) = size(self.layers) {
            let (name, model) = self.described(layers)?;
            return Ok(model_alone(name, model));
        }
        match (&self.workload, usual) {
            (None, Some(usual)) => Ok(usual.clone()),
            (name, _) => named_workload(name.as_deref().unwrap_or(DEFAULT_WORKLOAD), context),
        }
    }

    /// A model of these sizes, and what to call it.
    fn described(&self, n_layers: usize) -> Result<(String, Config)> {
        let Some(d_model) = size(self.width) else {
            bail!("`--layers` describes a model, whose width is not said\nhint: `--layers 24 --width 1024 --heads 16`");
        };
        let family = if self.decoder { Family::Decoder } else { Family::Encoder };
        let vocabulary = if self.decoder { VOCABULARIES.1 } else { VOCABULARIES.0 };
        let model = Config {
            family,
            n_layers,
            d_model,
            n_heads: size(self.heads).unwrap_or((d_model / HEAD).max(1)),
            d_ff: size(self.ff).unwrap_or(d_model.saturating_mul(4)),
            vocab_size: size(self.vocab).unwrap_or(vocabulary),
            max_seq_len: size(self.seq_len).unwrap_or(1),
            type_vocab_size: if self.decoder { 0 } else { 2 },
            gated_mlp: false,
            details: Details::default(),
        };
        model.check()?;
        let kind = if self.decoder { "decoder" } else { "encoder" };
        Ok((format!("{kind} of {n_layers} x {d_model}"), model))
    }
}

/// A workload of the catalog or of a file, or the model that a file of Hugging Face's describes, as a workload without phases.
pub(super) fn named_workload(name: &str, context: &Context) -> Result<Workload> {
    if model_file(Path::new(name)).is_none() {
        return Ok(context.catalog.load(name)?);
    }
    let (name, model) = read_model(name, context)?;
    Ok(model_alone(name, model))
}

/// A model of which no recipe is known.
fn model_alone(name: String, model: Config) -> Workload {
    Workload {
        name,
        source: "given by the user".to_owned(),
        model,
        optimizer: Optimizer::AdamW,
        weights: Weights::default(),
        phases: Vec::new(),
        grad_checkpointing: false,
        grad_accumulation: None,
    }
}

fn size(n: Option<u64>) -> Option<usize> {
    n.and_then(|n| usize::try_from(n).ok())
}

/// So much of a file tells what it is.
const HEAD_BYTES: usize = 512;

/// Whether `path` is a file that describes a workload.
pub(super) fn is_workload_file(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"));
    is_yaml && path.is_file()
}

/// The file that describes a model as Hugging Face does, if `path` is one or is the folder of one.
pub(super) fn model_file(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        // A folder with a record is that of a campaign.
        let inside = path.join("config.json");
        return (inside.is_file() && !path.join(greenformers::record::RECORD_FILE).exists()).then_some(inside);
    }
    let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    if !is_json || !path.is_file() {
        return None;
    }
    // What this program writes names its schema at the top.
    let (head, bytes) = read_head(path, HEAD_BYTES).ok()?;
    if bytes > MOST_BYTES {
        return None;
    }
    let head = String::from_utf8_lossy(&head);
    (!head.contains("\"schema\":") && !head.contains("\"phases\"")).then(|| path.to_owned())
}

/// The model that a file describes, and what to call it; what its count rests on is said.
fn read_model(named: &str, context: &Context) -> Result<(String, Config)> {
    let path = model_file(Path::new(named)).unwrap_or_else(|| PathBuf::from(named));
    let text = read_text(&path, MOST_BYTES)?;
    let read = read_hugging_face(text.as_bytes());
    let (model, notes) = read.with_context(|| format!("`{}` is not read", path.display()))?;
    let folder = path.parent().and_then(Path::file_name);
    let stem = path.file_stem().filter(|stem| *stem != "config");
    let name = stem.or(folder).map_or_else(|| "config".to_owned(), |name| name.to_string_lossy().into_owned());
    for note in notes {
        context.note_once(format_args!("{name}: {note}"));
    }
    Ok((name, model))
}
