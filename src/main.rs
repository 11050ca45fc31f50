//! The program: parses, runs, prints the error, exits.

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: greenformers::measure::CountingAllocator = greenformers::measure::CountingAllocator;

fn main() -> ExitCode {
    cli::main()
}
