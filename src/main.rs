//! The program: parses, runs, prints the error, exits.

#![expect(clippy::print_stderr, reason = "notes and errors for people; the library prints nothing")]

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: greenformers::measure::CountingAllocator = greenformers::measure::CountingAllocator;

fn main() -> ExitCode {
    cli::main()
}
