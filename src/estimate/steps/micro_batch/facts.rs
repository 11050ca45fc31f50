//! What others measured of the memory of a step, and the batches that they could and could not train.

use super::*;
use crate::catalog::{Catalog, PublishedRun, published_runs};
use crate::model::{Config, Details, Family, Norm, Positions, StepShape};

/// BERT of so many layers and so wide, of 512 positions.
fn bert(n_layers: usize, d_model: usize) -> Config {
    Config {
        family: Family::Encoder,
        n_layers,
        d_model,
        n_heads: d_model / 64,
        d_ff: 4 * d_model,
        vocab_size: 30522,
        max_seq_len: 512,
        type_vocab_size: 2,
        gated_mlp: false,
        details: Details::default(),
    }
}

fn gpt2(n_layers: usize, d_model: usize) -> Config {
    Config {
        family: Family::Decoder,
        vocab_size: 50257,
        max_seq_len: 1024,
        type_vocab_size: 0,
        ..bert(n_layers, d_model)
    }
}

fn llama((n_layers, d_model, d_ff): (usize, usize, usize), n_kv_heads: usize) -> Config {
    let details = Details {
        n_kv_heads: Some(n_kv_heads),
        norm: Some(Norm::Rms),
        positions: Some(Positions::Rotary),
        biases: Some(Vec::new()),
        tied_head: Some(false),
        ..Details::default()
    };
    Config { d_ff, vocab_size: 32000, gated_mlp: true, details, ..gpt2(n_layers, d_model) }
}

/// A step of dense `config`, with parts computed again or not.
struct Step {
    config: Config,
    arch: &'static str,
    program: Program,
    seq_len: usize,
    losses: usize,
    recomputed: bool,
    /// Whether gradients are kept from step to step, as PyTorch did until version 2.
    keeps_gradients: bool,
}

impl Step {
    fn new(config: Config, software: &str, dtype: DType, seq_len: usize) -> Self {
        let program = Program::of(software.parse().expect("software"), dtype, None);
        let losses = if config.family == Family::Decoder { seq_len } else { 0 };
        Self { config, arch: "dense", program, seq_len, losses, recomputed: false, keeps_gradients: false }
    }

    fn memory(&self, batch_size: usize) -> MemoryEstimate {
        let shape = StepShape { batch_size, seq_len: self.seq_len, masked_per_seq: self.losses };
        let arch = self.arch.parse().expect("an architecture");
        let saving = self.program.saving(self.recomputed, self.keeps_gradients);
        training_memory_with(&self.config, arch, shape, self.program.dtype, saving)
    }

    fn fits(&self, batch_size: usize, device: &Device) -> bool {
        self.program.fits(self.program.bytes(self.memory(batch_size)), device).expect("the catalog has its memory")
    }
}

fn device(id: &str) -> Device {
    Catalog::default().load(id).expect("in the catalog")
}

/// Hugging Face, "Model training anatomy" and "Methods and tools for efficient training on a single GPU": what `nvidia-smi` showed
/// of BERT-large with sequences of 512 on a V100 in January 2022. And the most that PyTorch 2.11 had allocated of an H100 with 16
/// sequences of 1024, in bf16 under `autocast` with fused attention.
#[test]
fn stock_pytorch_takes_the_memory_that_it_was_seen_to_take() {
    for (dtype, batch, recomputed, mib) in [
        (DType::F32, 4, false, 14949.0),
        (DType::F32, 1, false, 8681.0),
        (DType::F32, 1, true, 6775.0),
        (DType::F16, 4, false, 13939.0),
        (DType::F16, 1, true, 7275.0),
    ] {
        let step =
            Step { recomputed, keeps_gradients: true, ..Step::new(bert(24, 1024), "eager/composed", dtype, 512) };
        let bytes = step.program.bytes(step.memory(batch)) as f64 + step.program.context;
        let ratio = bytes / f64::from(1 << 20) / mib;
        assert!((0.9..1.1).contains(&ratio), "{batch} in {dtype}: {ratio}");
    }
    for (config, arch, gib) in [
        (gpt2(12, 768), "dense", 16.04),
        (llama((12, 768, 2048), 4), "dense", 13.88),
        (gpt2(12, 768), "lora:rank=16,targets=all", 15.10),
        (llama((12, 768, 2048), 4), "lora:rank=16,targets=all", 12.96),
    ] {
        let step = Step { arch, ..Step::new(config, "eager/fused", DType::Bf16, 1024) };
        let ratio = step.memory(16).total() as f64 / f64::from(1 << 30) / gib;
        assert!((0.9..1.1).contains(&ratio), "{arch}, {} wide inside: {ratio}", step.config.d_ff);
    }
}

/// The most that PyTorch 2.11 had allocated of an H200 in bf16, compiled by `torch.compile`, with fused attention.
#[test]
fn compiled_pytorch_takes_the_memory_that_it_was_seen_to_take() {
    for (config, (batch, seq_len), losses, gib) in [
        (bert(12, 768), (64, 128), 20, 4.44),
        (bert(12, 768), (32, 512), 77, 7.25),
        (gpt2(12, 768), (16, 1024), 1024, 11.45),
        (llama((12, 768, 2048), 4), (16, 1024), 1024, 7.42),
    ] {
        let step = Step { losses, ..Step::new(config, "compiled/fused", DType::Bf16, seq_len) };
        let ratio = step.memory(batch).total() as f64 / f64::from(1 << 30) / gib;
        assert!((0.9..1.1).contains(&ratio), "{batch} x {seq_len}, {} wide inside: {ratio}", step.config.d_ff);
    }
}

/// What ran, and what did not. Hugging Face's Trainer 4.12 with AMP on a DGX-2 (the largest micro-batches of a search over powers
/// of two), GPT-2 on two RTX 4090, GPT-2 XL and a 7B model with `AdamW` on one device.
#[test]
fn published_micro_batches_fit_and_larger_ones_do_not() {
    let stock = |config| Step { keeps_gradients: true, ..Step::new(config, "eager/composed", DType::F16, 1024) };
    let fused = |config, seq_len| Step::new(config, "optimised/fused", DType::Bf16, seq_len);
    for (step, id, fit, not) in [
        (stock(gpt2(12, 768)), "v100-sxm3-32gb", 8, 16),
        (stock(gpt2(24, 1024)), "v100-sxm3-32gb", 2, 4),
        (stock(gpt2(36, 1280)), "v100-sxm3-32gb", 1, 2),
        (stock(Config { n_heads: 25, ..gpt2(48, 1600) }), "v100-sxm3-32gb", 0, 1),
        (fused(gpt2(12, 768), 1024), "rtx-4090-24gb", 32, 64),
        (fused(llama((32, 4096, 11008), 32), 2048), "a100-sxm4-80gb", 0, 1),
    ] {
        let (device, name) = (device(id), format!("{} layers, {} wide", step.config.n_layers, step.config.d_model));
        assert!(fit == 0 || step.fits(fit, &device), "{name}: {fit} on {id}");
        assert!(!step.fits(not, &device), "{name}: {not} on {id}");
    }
    for (config, batch) in [(bert(12, 768), 128), (bert(24, 1024), 64)] {
        assert!(Step::new(config, "eager/composed", DType::F32, 128).fits(batch, &device("v100-sxm3-32gb")));
    }
}

/// Why the micro-batch of a published run says nothing of this model, where it does not.
fn aside(run: &PublishedRun) -> Option<&'static str> {
    match run.collection.as_str() {
        "internevo" => Some("ZeRO shards the state over all devices"),
        "whynlp" | "litgpt" => {
            Some("with f32 weights and moments it would need 33 GB of 25.8: they seem to be of 16 bits")
        }
        "zeus" if run.device == "v100-pcie-16gb" => Some("56 sequences in f32 need 30 GB: the card seems to have 32"),
        "fa2-paper" => Some("the paper gives no micro-batch"),
        _ => None,
    }
}

fn step_of(run: &PublishedRun, devices: u32) -> Option<(Step, u64)> {
    let seq_len = run.seq_len?;
    let config = Config {
        family: if run.family == "decoder" { Family::Decoder } else { Family::Encoder },
        n_heads: run.n_heads,
        d_ff: run.d_ff,
        vocab_size: run.vocab_size,
        gated_mlp: run.gated_mlp,
        details: Details { n_kv_heads: run.n_kv_heads, ..Details::default() },
        ..bert(run.n_layers, run.d_model)
    };
    let program = Program::of(run.software().into(), run.dtype, None);
    let step = Step {
        config: config.with_room_for(seq_len),
        arch: "dense",
        program,
        seq_len,
        losses: run.losses_per_seq,
        recomputed: run.grad_checkpointing,
        keeps_gradients: run.devices > 1 || run.grad_accumulation.is_some_and(|n| n > 1),
    };
    let spared = step.memory(1).state;
    Some((step, spared - spared / u64::from(devices)))
}

#[test]
fn the_micro_batch_of_each_published_run_fits() {
    let mut held = 0;
    for run in published_runs().iter().filter(|run| aside(run).is_none()) {
        // LLM Foundry shards weights, gradients and moments over all devices.
        let devices = if run.collection == "mosaicml" { run.devices } else { 1 };
        let Some((step, spared)) = step_of(run, devices) else { continue };
        let device = device(&run.device);
        let bytes = step.program.bytes(step.memory(run.micro_batch)) - spared;
        assert_eq!(step.program.fits(bytes, &device), Some(true), "{}: {bytes} bytes", run.id);
        held += 1;
    }
    assert!(held >= 190, "{held} runs");
}

/// Lambda's tables are of the largest batches that each card took: with twice as many, none would have been trained.
#[test]
fn twice_the_batches_of_lambdas_tables_do_not_fit() {
    let runs = published_runs();
    let of_lambda: Vec<&PublishedRun> = runs.iter().filter(|run| run.collection == "lambda").collect();
    assert!(of_lambda.len() >= 40);
    for run in of_lambda {
        let (step, _) = step_of(run, 1).expect("its length is known");
        assert!(!step.fits(2 * run.micro_batch, &device(&run.device)), "{}", run.id);
    }
}
