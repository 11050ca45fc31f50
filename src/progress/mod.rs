//! Reads how far a training run is from what it prints.
//!
//! A [`Reader`] takes the bytes of a program's output with the times at which they came, and finds the counter that
//! counts training steps: one that rises, is told often and over most of the run, and goes with its total and with the
//! times beside it. It knows no programs, only forms: bars, pairs of a number and a total, named numbers, ranges,
//! epochs with batches. Where nothing of this kind is seen it says nothing. [`Told`] takes the lines of a program that tells
//! its steps itself.
//!
//! Nothing here reads a file or a clock, memory is bounded, and no bytes make it panic.

mod choice;
mod clocks;
mod counters;
mod epochs;
mod frame;
mod hints;
mod lines;
mod numbers;
mod pace;
mod reader;
mod run;
mod scan;
mod series;
#[cfg(test)]
mod tests;
mod tokens;
mod told;
mod words;

pub use choice::{Mark, Pause, Progress};
pub use clocks::Clock;
pub use hints::{Hints, PatternError};
pub use reader::Reader;
pub use told::{NotUnderstood, Told};
