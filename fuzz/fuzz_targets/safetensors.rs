//! The first two bytes say how many bytes follow the header.
#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|input: (u16, &[u8])| bodies::safetensors(input.0, input.1));
