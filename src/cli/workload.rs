//! What is trained, as several commands are told it.

use anyhow::Result;
use greenformers::estimate::Recipe;
use greenformers::record::Workload;
use greenformers::units::{parse_count, parse_whole_count};

use super::Context;
use super::common::DEFAULT_WORKLOAD;

/// A workload, and what replaces parts of it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WorkloadArgs {
    /// What is trained: a name or a YAML file [default: the record's, or bert-base]
    #[arg(long, value_name = "NAME|FILE", help_heading = "Workload")]
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
    #[arg(long, value_name = "N", value_parser = parse_whole_count, conflicts_with = "batch_tokens", help_heading = "Workload")]
    batch_size: Option<u64>,
    /// Tokens in a step, over all devices (`0.5M`)
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Workload")]
    batch_tokens: Option<f64>,
    /// Tokens in a sequence
    #[arg(long, value_name = "N", value_parser = parse_whole_count, help_heading = "Workload")]
    seq_len: Option<u64>,
}

impl WorkloadArgs {
    /// The name or file that was given.
    pub(super) fn name(&self) -> Option<&str> {
        self.workload.as_deref()
    }

    /// The same with `name`, where none was given.
    pub(super) fn or_named(&self, name: Option<&str>) -> Self {
        Self { workload: self.workload.clone().or(name.map(str::to_owned)), ..self.clone() }
    }

    /// Whether the length of the run was said in steps, or can be worked out.
    pub(super) fn says_how_long(&self) -> bool {
        self.workload.is_some() || self.steps.is_some()
    }

    fn recipe(&self) -> Recipe {
        let size = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok());
        Recipe {
            steps: self.steps,
            tokens: self.tokens,
            epochs: self.epochs,
            batch_size: size(self.batch_size),
            batch_tokens: self.batch_tokens,
            seq_len: size(self.seq_len),
        }
    }

    /// What is trained: what was named, or `usual`, or BERT-base, by the recipe that was given.
    pub(super) fn load(&self, usual: Option<&Workload>, context: &Context) -> Result<Workload> {
        let workload = match (&self.workload, usual) {
            (None, Some(usual)) => usual.clone(),
            (name, _) => context.catalog.load(name.as_deref().unwrap_or(DEFAULT_WORKLOAD))?,
        };
        Ok(self.recipe().over(workload)?)
    }
}
