//! The program: parses, runs, prints the error, exits.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the program prints; the library does not")]

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: greenformers::measure::CountingAllocator = greenformers::measure::CountingAllocator;

fn main() -> ExitCode {
    greenformers::measure::keep_freed_memory();
    cli::main()
}
