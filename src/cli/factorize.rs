//! `factorize`: low-rank factors of what is trained already.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::ValueEnum;
use greenformers::catalog::DeviceKind;
use greenformers::files::JSON_SCHEMA;
use greenformers::machine;
use greenformers::report::{
    factorization_table, factorized_table, factorized_text, sweep_sentences, tried_table, tried_text, wrapped,
    write_factorization,
};
use greenformers::sensor::DEFAULT_POWERCAP_ROOT;
use greenformers::train::factorize::{
    self, Bench, Calibration, Factorized, Keep, Request, SweepStep, Trial, Tried, factorize, sweep,
};
use greenformers::train::pretrain::Machine;
use serde::Serialize;

use super::Context;
use super::common::{Format, parse_ratio, print_json, print_table, width};
use super::progress::Counter;
use super::track::processor;

/// How factors are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Solver {
    /// The nearest matrix of the rank: truncated singular values
    Svd,
    /// The least loss on the text of `--calibrate`: singular values weighted by what each linear is given (SVD-LLM)
    Whitened,
    /// Drawn anew, to be trained from there
    Random,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers factorize bert-base-uncased/ -o bert-60 --keep 0.6      60 % of the weights of the linears
  greenformers factorize model.safetensors -o small --rank 256 --skip layer.0
  greenformers factorize gpt2/ -o gpt2-mlp --error 0.3 --only mlp --format json
  greenformers factorize bert-base-uncased/ -o bert-50 --keep 0.5 --solver whitened --calibrate text.txt
  greenformers factorize gpt2/ -o fresh --rank 128 --solver random   a start for training
  greenformers factorize bert-base-uncased/ -o bert-60 --keep 0.6 --seq-len 128,512 --evaluate text.txt
  greenformers factorize gpt2/ -o shares --sweep keep=0.9,0.75,0.5,0.25 --evaluate text.txt

What it writes into DIR: model.safetensors, config.json, and the files of the tokenizer; with --sweep a folder of these for each share,
sweep.json, report.html, report.md and charts/.")]
pub(super) struct Args {
    /// Folder with `config.json` and safetensors, as transformers saves it, or a safetensors file with its `config.json` beside it
    checkpoint: PathBuf,
    /// Folder for the result, which is not there yet
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// How factors are found
    #[arg(long, value_enum, default_value = "svd")]
    solver: Solver,
    #[command(flatten)]
    keep: KeepArgs,
    /// Text in UTF-8 such as the model is to read: errors are printed as weighted by it too, and `--solver whitened` goes by it
    #[arg(long, value_name = "TEXTFILE")]
    calibrate: Option<PathBuf>,
    /// How many tokens of the text are read, from places spread evenly over it
    #[arg(long, value_name = "N", default_value_t = 16_384, requires = "calibrate",
        value_parser = clap::value_parser!(u32).range(1..))]
    calibrate_tokens: u32,
    /// Linears whose names this regular expression finds, instead of all
    #[arg(long, value_name = "REGEX")]
    only: Option<String>,
    /// Linears that stay as they are
    #[arg(long, value_name = "REGEX")]
    skip: Option<String>,
    /// Measure forward passes of one sequence of these lengths, before and after, in turns [default with --sweep: 128]
    #[arg(long = "seq-len", value_name = "N,N", value_delimiter = ',')]
    seq_lens: Vec<usize>,
    /// The time of a pass over that of dense is known when its 95 % interval is this narrow
    #[arg(long, value_name = "RATIO", default_value = "1%", value_parser = parse_ratio)]
    precision: f64,
    /// Text in UTF-8 that the model has not seen: its loss on it and the drift of its embeddings are printed, before and after
    #[arg(long, value_name = "TEXTFILE")]
    evaluate: Option<PathBuf>,
    /// Write every chart of --sweep as PNG as well
    #[arg(long)]
    png: bool,
    /// The catalog entry, or a YAML file, of this machine's CPU [default: recognised by its name]
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    /// Folder of the kernel's energy counters
    #[arg(long, value_name = "DIR", default_value = DEFAULT_POWERCAP_ROOT, hide = true)]
    powercap_root: PathBuf,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How much is kept.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct KeepArgs {
    /// This rank in each linear; one that has fewer weights as it is stays as it is
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    rank: Option<u32>,
    /// This share of the weights of the linears, with ranks that lose least: `0.6`, `60%`
    #[arg(long, value_name = "SHARE", value_parser = parse_ratio)]
    keep: Option<f64>,
    /// The least rank of each linear whose relative error is no larger: `0.05`, `5%`
    #[arg(long, value_name = "ERROR", value_parser = parse_ratio)]
    error: Option<f64>,
    /// Each of these shares of the weights, tried and put side by side in a report: `keep=0.9,0.5`
    #[arg(long, value_name = "keep=SHARE,SHARE", value_parser = parse_shares)]
    sweep: Option<Shares>,
}

/// Shares of the weights.
#[derive(Debug, Clone, PartialEq)]
struct Shares(Vec<f64>);

fn parse_shares(text: &str) -> Result<Shares, String> {
    let list = text.strip_prefix("keep=").ok_or_else(|| format!("expected `keep=0.9,0.5`, got `{text}`"))?;
    let shares: Vec<f64> = list.split(',').map(|share| parse_ratio(share.trim())).collect::<Result<_, _>>()?;
    Ok(Shares(shares))
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    #[serde(flatten)]
    factorized: &'a Factorized,
    #[serde(skip_serializing_if = "Option::is_none")]
    tried: Option<&'a Tried>,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    if args.png && args.keep.sweep.is_none() {
        bail!("`--png` is of the charts of `--sweep`, and there are none without it");
    }
    let facts = machine::machine_facts();
    let cpu = match &args.hardware {
        Some(name) => Some(processor(name, context.catalog.load(name)?)?),
        None => context.catalog.identify(DeviceKind::Cpu, &facts.cpu)?,
    };
    let machine = Machine { powercap: &args.powercap_root, facts: &facts, cpu: cpu.as_ref() };
    match &args.keep.sweep {
        Some(Shares(shares)) => several(args, shares, &machine, context),
        None => one(args, &machine, context),
    }
}

impl Args {
    fn request(&self) -> Request {
        let solver = match self.solver {
            Solver::Svd => factorize::Solver::Svd,
            Solver::Whitened => factorize::Solver::Whitened,
            Solver::Random => factorize::Solver::Random,
        };
        let tokens = self.calibrate_tokens as usize;
        let calibration = self.calibrate.clone().map(|text| Calibration { text, tokens });
        Request { solver, only: self.only.clone(), skip: self.skip.clone(), seed: self.seed, calibration }
    }

    /// What is tried, with `seq_lens` where none were given.
    fn trial(&self, seq_lens: Option<Vec<usize>>) -> Trial {
        let given = (!self.seq_lens.is_empty()).then(|| self.seq_lens.clone());
        Trial { seq_lens: given.or(seq_lens), precision: self.precision, text: self.evaluate.clone(), seed: self.seed }
    }
}

/// One checkpoint.
fn one(args: &Args, machine: &Machine<'_>, context: &Context) -> Result<()> {
    let keep = match args.keep {
        KeepArgs { rank: Some(rank), .. } => Keep::Rank(rank as usize),
        KeepArgs { keep: Some(share), .. } => Keep::Share(share),
        KeepArgs { error, .. } => Keep::Error(error.unwrap_or_default()),
    };
    // What cannot be tried is found out before anything is written.
    let is_tried = !args.seq_lens.is_empty() || args.evaluate.is_some();
    let bench = is_tried.then(|| Bench::new(&args.checkpoint, &args.trial(Some(Vec::new())))).transpose()?;
    let counter = Counter::new(context.quiet, "sequences read");
    let read = &mut |done, of| counter.set(done, of);
    let factorized = factorize(&args.checkpoint, &args.output, (&args.request(), keep), read)?;
    let counter = Counter::new(context.quiet, "turns measured");
    let turn = &mut |done, of| counter.set(done, of);
    let tried = bench.map(|bench| bench.try_out((&args.output, factorized.kept()), machine, turn)).transpose()?;
    let mut below = format!("\n{}", factorized_text(&factorized));
    if let Some(tried) = &tried {
        if !tried.passes.is_empty() {
            below.push_str(&format!("\n{}", tried_table(tried).render(width())));
        }
        below.push_str(&format!("\n{}", tried_text(tried)));
    }
    match args.format {
        Format::Json => {
            print_json(&Output { schema: JSON_SCHEMA, factorized: &factorized, tried: tried.as_ref() })?;
        }
        format => print_table(&factorized_table(&factorized), format, &below)?,
    }
    context.note(format_args!("checkpoint: {}", args.output.display()));
    Ok(())
}

/// Several shares of one checkpoint, and their report.
fn several(args: &Args, shares: &[f64], machine: &Machine<'_>, context: &Context) -> Result<()> {
    let calibrating = Counter::new(context.quiet, "sequences read");
    let trying = Counter::new(context.quiet, "turns measured");
    let found =
        sweep(&args.checkpoint, &args.output, (&args.request(), shares), (&args.trial(None), machine), &mut |step| {
            match step {
                SweepStep::Calibrating(done, of) => calibrating.set(done, of),
                SweepStep::Trying(done, of) => trying.set(done, of),
            }
        })?;
    let files = write_factorization(&found, &args.output, args.png)?;
    match args.format {
        Format::Json => print_json(&found)?,
        format => {
            let said = sweep_sentences(&found).iter().map(|line| wrapped(line, width(), "")).collect::<String>();
            print_table(&factorization_table(&found), format, &format!("\n{said}"))?;
        }
    }
    context.note(format_args!("report: {}", files[0].display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_a_list_of_what_is_kept() {
        assert_eq!(parse_shares("keep=0.9, 50%"), Ok(Shares(vec![0.9, 0.5])));
        for text in ["0.9", "rank=3", "keep=", "keep=0.9,x", "keep=1.5"] {
            assert!(parse_shares(text).is_err(), "{text}");
        }
    }
}
