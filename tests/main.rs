//! Tests of the whole: the program, the numbers against PyTorch, the data, the architecture of the sources.

#![expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod budgets;
mod campaign;
mod campaign_slurm;
mod cases;
mod cli;
mod completions;
mod counters;
mod data;
mod decoders;
mod docs;
mod estimates;
mod factorize;
mod fields;
mod floors;
mod forecast;
mod gate;
#[cfg(feature = "cuda")]
mod gpu;
mod guided;
mod hugging_face;
mod large_runs;
#[cfg(late_binding)]
mod late_binding;
mod layouts;
mod lora_runs;
mod memory;
mod modern_bert;
mod nn;
mod ops;
mod own_models;
mod package;
mod plan;
mod progress;
mod properties;
mod published_energy;
mod python;
mod quality;
mod questions;
mod reliability;
mod reports;
#[cfg(feature = "s3")]
mod s3;
mod safety;
mod shares;
mod sum;
mod track;
mod traffic;
mod training;
mod validation;
mod whitened;
