//! `train`: a model from the first step, on text, with what it takes.

use anyhow::Result;
use greenformers::machine;
use greenformers::model::Arch;
use greenformers::report::{trained_point, trained_start, trained_text};
use greenformers::train::pretrain::{End, Event, Machine, pretrain};
use greenformers::units::{parse_count, parse_whole_count};

use super::Context;
use super::common::{parse_seconds, print};
use super::stopping;
use super::train_common::TrainingArgs;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers train text.txt -o small --steps 1000                       a decoder of 4 layers x 256
  greenformers train books/ -o lrt --arch lrt:rank=64 --max-time 10m --seed 1
  greenformers train text.txt -o guided --arch lrt:rank=64 --guided --steps 1000
  greenformers train text.txt -o cheap --max-joules 5k
  greenformers train text.txt -o tuned --from small --arch lora:rank=8 --steps 500 --lr 0.0005
  greenformers train text.txt -o encoder --workload config.json --until-loss 4.5 --max-time 1h
  greenformers train text.txt -o small --steps 2000 --resume              goes on to 2000 steps

What it writes into DIR: model.safetensors (of LoRA adapter_model.safetensors and adapter_config.json, as peft reads them), config.json, tokenizer.json, train.json (what it took), and state.safetensors, from which
`--resume` goes on.")]
pub(super) struct Args {
    #[command(flatten)]
    training: TrainingArgs,
    /// Architecture: dense | lrt:rank=64 | linformer:k=32,share=model|layer|kv|none,order=input|projected; and lora:rank=16,targets=qv|all with
    /// `--from`
    #[arg(long, value_name = "SPEC", default_value = "dense")]
    arch: Arch,
    /// End after so many steps (`50k`)
    #[arg(long, value_name = "N", value_parser = parse_whole_count, help_heading = "When it ends: whichever comes first")]
    steps: Option<u64>,
    /// End after so long, evaluations among it and what was before `--resume`: `600`, `10m`, `2h`
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, help_heading = "When it ends: whichever comes first")]
    max_time: Option<f64>,
    /// End after so many joules of the whole machine, evaluations among them and what was before `--resume`: `1000`, `50k`
    #[arg(long, value_name = "J", value_parser = parse_count, help_heading = "When it ends: whichever comes first")]
    max_joules: Option<f64>,
    /// End at an evaluation whose held-out loss is no larger
    #[arg(long, value_name = "LOSS", value_parser = parse_count, help_heading = "When it ends: whichever comes first")]
    until_loss: Option<f64>,
    /// Seed of the weights, of the order and of what is masked
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let facts = machine::machine_facts();
    let cpu = args.training.cpu(&facts, context)?;
    args.training.start_threads()?;
    let end = End { steps: args.steps, seconds: args.max_time, joules: args.max_joules, loss: args.until_loss };
    let request = args.training.request(args.arch, end, args.seed, context)?;
    let machine = Machine { powercap: &args.training.powercap_root, facts: &facts, cpu: cpu.as_ref() };
    let trained = stopping::trained(pretrain(&request, &machine, &mut |event| match event {
        Event::Begins(training) => context.note(trained_start(training)),
        Event::Evaluated(point) => context.note(trained_point(point)),
    }))?;
    for unmetered in &trained.unmetered {
        context.note(format_args!("not metered: {}: {}", unmetered.part, unmetered.reason));
    }
    context.note(format_args!("checkpoint: {}", args.training.output.display()));
    print(&trained_text(&trained))
}
