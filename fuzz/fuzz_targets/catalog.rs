//! The first byte says of which kind the file is, the rest is its text.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| bodies::catalog(input.0, input.1));
