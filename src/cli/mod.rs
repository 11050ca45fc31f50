//! The command line: one file a command.

mod campaign;
mod campaign_results;
mod campaign_task;
mod catalog;
mod common;
mod compare;
mod completions;
mod devices;
mod estimate;
mod factorize;
mod footprint;
mod forecast;
mod forecast_file;
mod forecasting;
mod gate;
mod man;
mod plan;
mod plan_command;
mod profile;
mod progress;
mod quality;
mod report;
mod run;
mod stopping;
mod sum;
mod sweep;
mod track;
mod track_output;
mod train;
mod train_common;
mod validate;
mod workload;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use greenformers::estimate::Conditions;

/// What training a transformer will cost in time, money and CO2e, before it is trained, and what a low-rank
/// (LRT) or Linformer variant would save.
#[derive(Debug, Parser)]
#[command(name = "greenformers", version, long_version = LONG_VERSION.as_str(), propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  greenformers run                                           measure this machine, estimate BERT-base on it, write a report
  greenformers estimate --hardware a100-sxm4-80gb --devices 8
  greenformers report reports/mine --grid fra
  greenformers track -- python train.py")]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Folder laid over the built-in catalog: hardware/, profiles/grid/, profiles/site/, profiles/workload/
    #[arg(long, global = true, value_name = "DIR")]
    catalog: Option<PathBuf>,

    /// Print no progress and no notes
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Profile this machine, estimate the whole run on it, and write a report
    Run(run::Args),
    /// Show what can compute and what can be metered here, and why the rest cannot
    Devices(devices::Args),
    /// Measure train steps on this machine; writes DIR/record.json
    Profile(profile::Args),
    /// Measure a plan of cells on several kinds of machine, here or as jobs of Slurm, and compare the machines
    Campaign(campaign::Args),
    /// Estimate time, energy, money and CO2e of one full training run
    Estimate(Box<estimate::Args>),
    /// Say what a budget of money, time, CO2e or energy buys: tokens of a model, or the largest model
    Plan(Box<plan::Args>),
    /// Compare the architectures of a record, length by length
    Compare(compare::Args),
    /// Work out the footprint of a run whose hours or energy are known
    Footprint(footprint::Args),
    /// Run any command and account for its energy, CO2e and cost
    Track(track::Args),
    /// Run a training program, read its progress, and say what the whole of it will take, cost and emit
    Forecast(Box<forecast::Args>),
    /// Put low-rank factors in the place of the linears of a trained checkpoint
    Factorize(factorize::Args),
    /// Train a model on text from the first step: loss, time and joules at intervals
    Train(Box<train::Args>),
    /// Train architectures on the same text, and say what each takes to an equal loss
    Quality(Box<quality::Args>),
    /// Add what `track` and `forecast` wrote on many hosts, each device and second once
    Sum(sum::Args),
    /// Say whether a run has become dearer, beyond doubt
    Gate(gate::Args),
    /// Predict a run on this machine from a short profile, do the run, and print both errors
    Validate(validate::Args),
    /// Write the report of a record: tables, charts, HTML, Markdown
    Report(report::Args),
    /// Show what is known of hardware, grids, sites and workloads; check a file of yours
    Catalog(catalog::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print a page for `man`, or write one for each command
    Man(man::Args),
}

/// What `--version` says: the version, the commit, and what is built in beyond the default. `-V` says the version alone.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = option_env!("GREENFORMERS_REVISION").unwrap_or("not known: this build was not told it");
    let features = if cfg!(feature = "cuda") { "cuda" } else { "none" };
    format!("{}\ncommit: {commit}\nfeatures: {features}", env!("CARGO_PKG_VERSION"))
});

/// What every command is given.
struct Context {
    catalog: greenformers::catalog::Catalog,
    quiet: bool,
    /// What was noted once.
    noted: RefCell<BTreeSet<String>>,
}

impl Context {
    /// A note for people, on stderr.
    fn note(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            say(text);
        }
    }

    /// What a file of hours was taken for.
    fn note_hours(&self, conditions: &Conditions) {
        if let Some(hourly) = &conditions.hourly {
            self.note_once(format_args!("`{}`: {}", hourly.name(), hourly.described()));
        }
    }

    /// The same, but of several equal ones the first alone: a file that is read twice needs one note.
    fn note_once(&self, text: impl std::fmt::Display) {
        let text = text.to_string();
        if self.noted.borrow_mut().insert(text.clone()) {
            self.note(text);
        }
    }
}

/// Parses, runs, prints the error. Exit code 0 done, 1 failed, 2 usage.
pub(crate) fn main() -> ExitCode {
    // Ends the program where a shell asks for names.
    completions::answer_shell();
    let cli = Cli::parse();
    // Where it cannot be had, a limit of file size ends the program, as it would any other.
    #[cfg(unix)]
    let _ = greenformers::machine::survive_file_limits();
    let context = Context {
        catalog: cli.catalog.map_or_else(Default::default, greenformers::catalog::Catalog::with_folder),
        quiet: cli.quiet,
        noted: RefCell::default(),
    };
    let result = match cli.command {
        // The exit code is the command's.
        Command::Track(args) => return track::run(&args, &context).unwrap_or_else(|error| failed(&error)),
        Command::Forecast(args) => return forecast::run(&args, &context).unwrap_or_else(|error| failed(&error)),
        Command::Gate(args) => return gate::run(&args, &context),
        Command::Run(args) => run::run(&args, &context),
        Command::Devices(args) => devices::run(&args, &context),
        Command::Profile(args) => profile::run(&args, &context),
        Command::Campaign(args) => campaign::run(&args, &context),
        Command::Estimate(args) => estimate::run(&args, &context),
        Command::Plan(args) => plan::run(&args, &context),
        Command::Compare(args) => compare::run(&args, &context),
        Command::Footprint(args) => footprint::run(&args, &context),
        Command::Factorize(args) => factorize::run(&args, &context),
        Command::Train(args) => train::run(&args, &context),
        Command::Quality(args) => quality::run(&args, &context),
        Command::Sum(args) => sum::run(&args, &context),
        Command::Validate(args) => validate::run(&args, &context),
        Command::Report(args) => report::run(&args, &context),
        Command::Catalog(args) => catalog::run(&args, &context),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe may have seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// A line on stderr. A reader of it that has gone away ends no campaign.
fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Ends the program as a wrong use of its options does.
fn usage(message: &str) -> ! {
    use clap::CommandFactory as _;
    Cli::command().error(clap::error::ErrorKind::MissingRequiredArgument, message).exit()
}

fn failed(error: &anyhow::Error) -> ExitCode {
    say(format_args!("error: {}", with_causes(error)));
    ExitCode::FAILURE
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}

/// The chain of causes in one line, with a hint at its end where one is given.
fn with_causes(error: &anyhow::Error) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let (message, hint) = text.split_once("\nhint: ").map_or((text.as_str(), None), |(m, h)| (m, Some(h)));
        if !lines.iter().any(|line| line.contains(message)) {
            lines.push(message.to_owned());
        }
        hints.extend(hint.map(|h| format!("\nhint: {h}")));
    }
    lines.join(": ") + &hints.join("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
