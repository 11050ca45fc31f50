//! `completions`: for shells.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::common::print;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  greenformers completions bash > ~/.local/share/bash-completion/completions/greenformers")]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "greenformers", &mut script);
    print(&String::from_utf8_lossy(&script))
}
