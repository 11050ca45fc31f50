//! `factorize`: low-rank factors of what is trained already.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use greenformers::files::JSON_SCHEMA;
use greenformers::report::{factorized_table, factorized_text};
use greenformers::train::factorize::{self, Calibration, Factorized, Keep, Request, factorize};
use serde::Serialize;

use super::Context;
use super::common::{Format, parse_ratio, print_json, print_table};
use super::progress::Counter;

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

What it writes into DIR: model.safetensors, config.json, and the files of the tokenizer.")]
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
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    #[serde(flatten)]
    factorized: &'a Factorized,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let keep = match args.keep {
        KeepArgs { rank: Some(rank), .. } => Keep::Rank(rank as usize),
        KeepArgs { keep: Some(share), .. } => Keep::Share(share),
        KeepArgs { error, .. } => Keep::Error(error.unwrap_or_default()),
    };
    let solver = match args.solver {
        Solver::Svd => factorize::Solver::Svd,
        Solver::Whitened => factorize::Solver::Whitened,
        Solver::Random => factorize::Solver::Random,
    };
    let tokens = args.calibrate_tokens as usize;
    let calibration = args.calibrate.clone().map(|text| Calibration { text, tokens });
    let (only, skip) = (args.only.clone(), args.skip.clone());
    let request = Request { solver, only, skip, seed: args.seed, calibration };
    let counter = Counter::new(context.quiet, "sequences read");
    let progress = &mut |done, of| counter.set(done, of);
    let factorized = factorize(&args.checkpoint, &args.output, (&request, keep), progress)?;
    match args.format {
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, factorized: &factorized })?,
        format => print_table(&factorized_table(&factorized), format, &format!("\n{}", factorized_text(&factorized)))?,
    }
    context.note(format_args!("checkpoint: {}", args.output.display()));
    Ok(())
}
