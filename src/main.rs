//! The program: parses, runs, prints the error, exits.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the program prints; the library does not")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
