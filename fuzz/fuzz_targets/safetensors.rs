//! The header of a checkpoint.
#![no_main]

use greenformers::nn::check_head;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (data, head) = input;
    let _ = check_head(head, head.len() as u64 + u64::from(data));
});
