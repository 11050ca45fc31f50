//! `forecast`: a training program, and how long the whole of it will take.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use greenformers::progress::Hints;
use greenformers::track::{Forecaster, StopAfter, TrainerStates};
use greenformers::units::{parse_count, parse_whole_count};

use super::Context;
use super::forecasting::Forecasting;
use super::track;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command's output passes through, colours and bars too. Its progress is read from it, and a line says how far it is and
what the whole run will take, cost and emit.

Examples:
  greenformers forecast -- python train.py
  greenformers forecast --stop-after 2m -o forecast.json -- python train.py
  greenformers forecast --stop-after 200steps --grid fra -- torchrun --nproc-per-node 8 train.py
  greenformers forecast -- python loop_with_steps.py                          a loop over `greenformers.Steps(loader)`
  greenformers forecast --as-terminal -- python lightning_fit.py > log.txt    its bar is drawn on terminals alone
  greenformers forecast --step-pattern 'update (\\d+) of (\\d+)' -- ./train
  greenformers estimate forecast.json --grid swe --usd-per-hour 2.10          the same run elsewhere"
)]
pub(super) struct Args {
    /// End the command once so much was seen: a time (`2m`) or steps (`200steps`); SIGINT, and SIGTERM if it goes on
    #[arg(long, value_name = "TIME|STEPS", help_heading = "Forecast")]
    stop_after: Option<StopAfter>,
    /// Steps of the whole run, where the program does not print them
    #[arg(long, value_name = "N", value_parser = parse_whole_count, help_heading = "Forecast")]
    total_steps: Option<u64>,
    /// Epochs of the whole run, where the program prints the steps of one
    #[arg(long, value_name = "N", value_parser = parse_whole_count, conflicts_with = "total_steps", help_heading = "Forecast")]
    epochs: Option<u64>,
    /// Tokens of a step, for tokens a second
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Forecast")]
    tokens_per_step: Option<f64>,
    /// A regular expression that finds the step in a line: its first group is the step, a second may be the number of all
    #[arg(long, value_name = "REGEX", help_heading = "Forecast")]
    step_pattern: Option<String>,
    /// Let the command see a terminal where the output of this program is none, for bars that are drawn on terminals alone (Lightning, rich)
    #[arg(long, help_heading = "Forecast")]
    as_terminal: bool,
    /// Where a Trainer of transformers that prints nothing leaves its checkpoints, each with `trainer_state.json` [default: the command's `--output_dir`]
    #[arg(long, value_name = "FOLDER", help_heading = "Forecast")]
    trainer_state: Option<PathBuf>,
    #[command(flatten)]
    track: track::Args,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let mut hints = Hints::default();
    if let Some(pattern) = &args.step_pattern {
        hints = hints.with_pattern(pattern).map_err(|e| anyhow::anyhow!("`--step-pattern`: {e}"))?;
    }
    if let Some(total) = args.total_steps {
        hints = hints.with_total(total);
    }
    let forecaster = Forecaster::new(hints, args.epochs, args.stop_after);
    let states = match &args.trainer_state {
        Some(folder) => Some(TrainerStates::below(folder)),
        None => TrainerStates::of_command(&args.track.command),
    };
    let forecasting = Forecasting::new(forecaster, states, args.tokens_per_step, (args.as_terminal, context.quiet));
    track::run_watched(&args.track, context, Some(forecasting))
}
