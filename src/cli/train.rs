//! `train`: a model from the first step, on text, with what it takes.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::builder::RangedU64ValueParser;
use greenformers::catalog::{Device, DeviceKind};
use greenformers::files::read_text;
use greenformers::machine;
use greenformers::model::{Arch, Config, Details, Family};
use greenformers::report::{trained_point, trained_start, trained_text};
use greenformers::sensor::DEFAULT_POWERCAP_ROOT;
use greenformers::train::pretrain::{End, Event, Machine, Request, Subject, pretrain};
use greenformers::units::{parse_count, parse_whole_count};

use super::Context;
use super::common::{parse_seconds, print};
use super::workload::{model_file, named_workload};

/// No description of a model is larger.
const MOST_BYTES: u64 = 4 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers train text.txt -o small --steps 1000                       a decoder of 4 layers x 256
  greenformers train books/ -o lrt --arch lrt:rank=64 --max-time 10m --seed 1
  greenformers train text.txt -o encoder --workload config.json --until-loss 4.5 --max-time 1h
  greenformers train text.txt -o small --steps 2000 --resume              goes on to 2000 steps

What it writes into DIR: model.safetensors, config.json, tokenizer.json, train.json (what it took), and state.safetensors, from which
`--resume` goes on.")]
pub(super) struct Args {
    /// Files of text in UTF-8, or folders with .txt and .md files; the last 5 % are held out
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<PathBuf>,
    /// Folder for the result, which is not there yet
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// What is trained: a name (`bert-base`, `gpt2`), a YAML file, or a Hugging Face config.json [default: a decoder of 4 layers, 256
    /// wide, with 4 heads, as GPT-2]
    #[arg(long, visible_alias = "model", value_name = "NAME|FILE")]
    workload: Option<String>,
    /// Architecture: dense | lrt:rank=64 | linformer:k=32,share=model|layer|kv|none,order=input|projected
    #[arg(long, value_name = "SPEC", default_value = "dense")]
    arch: Arch,
    /// A tokenizer.json [default: one of byte pairs is trained on the text]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// The most tokens of a vocabulary that is trained
    #[arg(long, value_name = "N", default_value = "4096", value_parser = size(1, 1_000_000), conflicts_with = "tokenizer")]
    vocab: u64,
    /// Tokens of a sequence [default: 128, or as many as the model takes]
    #[arg(long, value_name = "N", value_parser = size(1, 1_000_000))]
    seq_len: Option<u64>,
    /// Sequences of a step
    #[arg(long, value_name = "N", default_value = "16", value_parser = size(1, 1_000_000))]
    batch_size: u64,
    /// End after so many steps (`50k`)
    #[arg(long, value_name = "N", value_parser = parse_whole_count, help_heading = "When it ends: whichever comes first")]
    steps: Option<u64>,
    /// End after so long, evaluations among it and what was before `--resume`: `600`, `10m`, `2h`
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, help_heading = "When it ends: whichever comes first")]
    max_time: Option<f64>,
    /// End at an evaluation whose held-out loss is no larger
    #[arg(long, value_name = "LOSS", value_parser = parse_count, help_heading = "When it ends: whichever comes first")]
    until_loss: Option<f64>,
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
    /// Seed of the weights, of the order and of what is masked
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads that compute [default: as many as there are CPUs, or `RAYON_NUM_THREADS`]
    #[arg(long, value_name = "N", value_parser = size(1, 1024))]
    threads: Option<u64>,
    /// Go on with the training in the folder given with `-o`, as it began
    #[arg(long)]
    resume: bool,
    /// The catalog entry, or a YAML file, of this machine's CPU [default: recognised by its name]
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    /// Folder of the kernel's energy counters
    #[arg(long, value_name = "DIR", default_value = DEFAULT_POWERCAP_ROOT, hide = true)]
    powercap_root: PathBuf,
}

fn size(least: u64, most: u64) -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(least..=most)
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err(format!("expected a learning rate above 0 and up to 1, such as `0.001`, got `{text}`")),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the parser lets no larger number through")]
pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let facts = machine::machine_facts();
    let cpu: Option<Device> = match &args.hardware {
        Some(name) => Some(super::track::processor(name, context.catalog.load(name)?)?),
        None => context.catalog.identify(DeviceKind::Cpu, &facts.cpu)?,
    };
    if let Some(threads) = args.threads
        && rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global().is_err()
    {
        bail!("`--threads {threads}`: the threads are there already");
    }
    let request = Request {
        texts: args.texts.clone(),
        output: args.output.clone(),
        subject: subject(args.workload.as_deref(), context)?,
        arch: args.arch,
        tokenizer: args.tokenizer.clone(),
        vocab: args.vocab as usize,
        seq_len: args.seq_len.map(|n| n as usize),
        batch_size: args.batch_size as usize,
        end: End { steps: args.steps, seconds: args.max_time, loss: args.until_loss },
        lr: args.lr,
        warmup_steps: args.warmup_steps,
        decay_steps: args.decay_steps,
        evaluate_every: args.evaluate_every,
        seed: args.seed,
        resume: args.resume,
    };
    let machine = Machine { powercap: &args.powercap_root, facts: &facts, cpu: cpu.as_ref() };
    let trained = pretrain(&request, &machine, &mut |event| match event {
        Event::Begins(training) => context.note(trained_start(training)),
        Event::Evaluated(point) => context.note(trained_point(point)),
    })?;
    for unmetered in &trained.unmetered {
        context.note(format_args!("not metered: {}: {}", unmetered.part, unmetered.reason));
    }
    context.note(format_args!("checkpoint: {}", args.output.display()));
    print(&trained_text(&trained))
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
