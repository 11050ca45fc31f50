//! `man`: pages for `man`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory;

use super::Cli;
use super::common::print;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers man | man -l -
  greenformers man -o ~/.local/share/man/man1")]
pub(super) struct Args {
    /// Folder for a page of the program and of each of its commands [default: the program's page to stdout]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let command = Cli::command();
    let Some(folder) = &args.output else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&String::from_utf8_lossy(&page));
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    written.with_context(|| format!("cannot write pages into `{}`", folder.display()))
}
