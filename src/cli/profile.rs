//! `profile`: measure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use greenformers::catalog::Device;
use greenformers::estimate::Recipe;
use greenformers::files::{FolderLock, JSON_SCHEMA};
use greenformers::machine::{self, MachineFacts};
use greenformers::measure::{self, BatchSize, Beginning, ComputeDevice, DeviceChoice, MeasureError, MeterChoice, Plan};
use greenformers::model::{Arch, MAX_LAYERS, Ops};
use greenformers::record::{CellSummary, Environment, Pass, RECORD_FILE, Record, Settings, Status, Workload};
use greenformers::report::{cells_frame, profile_table, to_csv};
use greenformers::sensor::DEFAULT_POWERCAP_ROOT;
use greenformers::units::{DType, parse_count};
use serde::Serialize;

use super::common::{
    DEFAULT_WORKLOAD, Format, new_campaign_folder, parse_minutes, parse_ratio, parse_seconds, print, print_json, width,
};
use super::progress::Bar;
use super::workload::named_workload;
use super::{Context, stopping};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers profile
  greenformers profile --arch dense --arch lrt:rank=64 --seq-len 128,256 -o reports/mine
  greenformers profile --layers 2 --max-time 10 --format json
  greenformers profile --workload gpt2 --layers auto         two depths, from which that of all layers follows
  greenformers profile --workload ./Qwen3-0.6B/config.json --arch dense --arch lora:rank=16 --seq-len 1024")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) what: WhatArgs,
    /// Most time spent measuring a cell
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    max_time: f64,
    /// Folder for record.json and measurements.csv [default: reports/HOST-DATE]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Go on with the campaign in the folder given with `-o`
    #[arg(long, requires = "output")]
    resume: bool,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What is measured, shared with `run`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WhatArgs {
    /// What is trained: a name (`bert-base`, `gpt2`), a YAML file, or a Hugging Face config.json
    #[arg(long, visible_alias = "model", value_name = "NAME|FILE", default_value = DEFAULT_WORKLOAD)]
    pub(super) workload: String,
    /// Tokens of the whole run, or of the data set with `--epochs` (`50M`)
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) tokens: Option<f64>,
    /// Times that `--tokens` are gone through
    #[arg(long, value_name = "N", value_parser = parse_count, requires = "tokens")]
    pub(super) epochs: Option<f64>,
    /// Tokens in a step of the whole run (`0.5M`)
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) batch_tokens: Option<f64>,
    /// Architecture, repeatable: dense | lrt:rank=256 | linformer:k=128,share=model|layer|kv|none,order=input|projected |
    /// lora:rank=16,targets=qv|all [default: dense, lrt with rank d_model/3, and of an encoder linformer with k max_seq_len/4]
    #[arg(long = "arch", value_name = "SPEC")]
    pub(super) archs: Vec<Arch>,
    /// Tokens of a sequence [default: those of the workload's phases]
    #[arg(long = "seq-len", value_name = "N,N", value_delimiter = ',')]
    pub(super) seq_lens: Vec<usize>,
    /// Sequences of a step: `auto`, or a number
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = parse_batch_size)]
    pub(super) batch_size: BatchSize,
    /// Layers to build: a number, several depths, or `auto` (two depths, from which that of all layers follows) [default: the
    /// workload's]
    #[arg(long, value_name = "auto|N|N,N", value_parser = parse_layers)]
    pub(super) layers: Option<Layers>,
    /// Train steps, or forward passes
    #[arg(long, value_name = "train|infer", default_value = "train", value_parser = parse_pass)]
    pub(super) pass: Pass,
    /// Probability of dropout in train steps
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = parse_dropout)]
    pub(super) dropout: f64,
    /// What computes: auto (a GPU that can be had, else the CPU) | cpu | cuda[:N]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(super) device: DeviceChoice,
    /// Number formats: f32 | tf32 | bf16 | f16; estimates are in the first
    #[arg(long = "dtype", value_name = "DTYPE,DTYPE", value_delimiter = ',', default_value = "f32")]
    pub(super) dtypes: Vec<DType>,
    /// Which make of the operations computes: fused | stock
    #[arg(long, value_name = "OPS", default_value_t = Ops::Fused)]
    pub(super) ops: Ops,
    /// What meters: auto | nvml | rapl | model | none
    #[arg(long, value_name = "METER", default_value = "auto")]
    pub(super) meter: MeterChoice,
    /// The catalog entry, or a YAML file, that describes this machine [default: recognised by its name]
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) hardware: Option<String>,
    /// A cell is done when the 95 % interval of its step time is this narrow
    #[arg(long, value_name = "RATIO", default_value = "1%", value_parser = parse_ratio)]
    pub(super) precision: f64,
    /// Least time spent measuring a cell
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    pub(super) min_time: f64,
    /// Begin no cells that would not be finished in this time; `--resume` goes on with them
    #[arg(long, value_name = "MINUTES", value_parser = parse_minutes)]
    pub(super) within: Option<f64>,
    /// Run exactly so many steps of each cell, one after the other, instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000_000))]
    pub(super) steps: Option<u64>,
    /// Seed of weights, tokens, dropout and of the draws of estimates
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Folder of the kernel's energy counters
    #[arg(long, value_name = "DIR", default_value = DEFAULT_POWERCAP_ROOT, hide = true)]
    pub(super) powercap_root: PathBuf,
}

/// How deep the models are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layers {
    /// Two depths, if the model has more layers than both.
    Auto,
    /// These.
    Given(Vec<usize>),
}

fn parse_layers(text: &str) -> Result<Layers, String> {
    if text == "auto" {
        return Ok(Layers::Auto);
    }
    let depth = |part: &str| part.trim().parse().ok().filter(|n| (1..=MAX_LAYERS).contains(n));
    let mut depths: Vec<usize> = text
        .split(',')
        .map(depth)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("expected `auto`, or numbers from 1 to {MAX_LAYERS} as `2,6`, got `{text}`"))?;
    depths.sort_unstable();
    depths.dedup();
    Ok(Layers::Given(depths))
}

fn parse_batch_size(text: &str) -> Result<BatchSize, String> {
    match (text, text.parse::<usize>()) {
        ("auto", _) => Ok(BatchSize::Auto),
        (_, Ok(n)) if (1..=1_000_000).contains(&n) => Ok(BatchSize::Given(n)),
        _ => Err(format!("expected `auto` or a number from 1 to 1000000, got `{text}`")),
    }
}

fn parse_pass(text: &str) -> Result<Pass, String> {
    match text {
        "train" => Ok(Pass::Train),
        "infer" => Ok(Pass::Infer),
        _ => Err(format!("expected `train` or `infer`, got `{text}`")),
    }
}

fn parse_dropout(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if (0.0..1.0).contains(&p) => Ok(p),
        _ => Err(format!("expected a probability from 0 to below 1, got `{text}`")),
    }
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    cells: &'a [CellSummary],
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let facts = machine::machine_facts();
    let folder = args.output.clone().unwrap_or_else(|| new_campaign_folder(&facts.host));
    let (record, _lock) =
        measure_into(&args.what, Beside::Nothing, args.max_time, &folder, Some(args.resume), &facts, context)?;
    let mut cells: Vec<_> = record.cells.iter().collect();
    cells.sort_by_key(|c| (c.shape.seq_len, c.shape.batch_size, c.arch, c.n_layers));
    let summaries: Vec<CellSummary> = cells.iter().map(|c| c.summary(&record.environment)).collect();
    let csv = to_csv(&mut cells_frame(&summaries)?)?;
    greenformers::record::write_whole(&folder.join("measurements.csv"), csv.as_bytes())?;
    match args.format {
        Format::Text => {
            print(&profile_table(&summaries).render(width()))?;
            for unmetered in &record.environment.unmetered {
                context.note(format_args!("not metered: {}: {}", unmetered.what, unmetered.reason));
            }
            context.note(format_args!("record: {}", folder.join(RECORD_FILE).display()));
        }
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, cells: &summaries })?,
        Format::Csv => print(&csv)?,
    }
    something_fitted(&summaries)
}

/// A campaign in which no cell was measured has failed: why the first of them was not says what it would have needed.
pub(super) fn something_fitted(cells: &[CellSummary]) -> Result<()> {
    if cells.is_empty() || cells.iter().any(|cell| cell.status == Status::Ok) {
        return Ok(());
    }
    let reasons: Vec<&str> = cells.iter().filter_map(|cell| cell.error.as_deref()).collect();
    let shortest = reasons.iter().min_by_key(|reason| reason.len()).copied().unwrap_or("no reason is known");
    bail!(
        "no cell was measured: {shortest}\nhint: a smaller `--batch-size`, a shorter `--seq-len` or fewer `--layers` need less"
    )
}

/// What is measured beside what [`WhatArgs`] name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nothing.
    Nothing,
    /// Lengths at which the architectures are compared, to a precision that is enough for that, and forward passes of one
    /// sequence, as a device computes them.
    Curve {
        /// Those beside the recipe's.
        lengths: &'static [usize],
        /// Those of the forward passes.
        inference: &'static [usize],
    },
}

/// Runs the campaign that `args` describe into `folder`, which stays locked for whoever writes into it next. `resume` says
/// whether it may go on with what is there; `None`: the command has no such option.
pub(super) fn measure_into(
    args: &WhatArgs,
    beside: Beside,
    max_time: f64,
    folder: &Path,
    resume: Option<bool>,
    facts: &MachineFacts,
    context: &Context,
) -> Result<(Record, FolderLock)> {
    refuse_existing(folder, resume)?;
    let workload = what_is_trained(args, context)?;
    if workload.phases.is_empty() && (args.seq_lens.is_empty() || beside != Beside::Nothing) {
        bail!(
            "`{}` is a model whose recipe is not known, so that nobody knows which lengths to measure\nhint: `--seq-len 1024` says \
             what to profile, and with `--tokens 10B --batch-tokens 0.5M` what the whole run is",
            workload.name
        );
    }
    let depths = match &args.layers {
        None => vec![workload.model.n_layers],
        Some(Layers::Given(depths)) => depths.clone(),
        Some(Layers::Auto) => {
            workload.model.usual_depths().map_or_else(|| vec![workload.model.n_layers], |depths| depths.to_vec())
        }
    };
    // Of several depths the cells say which they have.
    let n_layers = if let [depth] = depths[..] { depth } else { workload.model.n_layers };
    let archs = if args.archs.is_empty() { Arch::usual(&workload.model) } else { args.archs.clone() };
    let in_order = |mut lens: Vec<usize>| {
        lens.sort_unstable();
        lens.dedup();
        lens
    };
    let recipe = in_order(workload.phases.iter().map(|p| p.seq_len).collect());
    let seq_lens = match (beside, args.seq_lens.is_empty()) {
        (_, false) => args.seq_lens.clone(),
        (Beside::Nothing, true) => recipe.clone(),
        (Beside::Curve { lengths, .. }, true) => in_order([&recipe, lengths].concat()),
    };
    let mut dtypes: Vec<DType> = Vec::new();
    for dtype in &args.dtypes {
        if !dtypes.contains(dtype) {
            dtypes.push(*dtype);
        }
    }
    let settings = Settings {
        workload,
        n_layers,
        pass: args.pass,
        dropout: args.dropout,
        dtypes,
        ops: args.ops,
        precision: args.precision,
        min_time_s: args.min_time.min(max_time),
        max_time_s: max_time,
        steps: args.steps,
        seed: args.seed,
    };
    let compute_device = ComputeDevice::open(args.device, &settings.dtypes)?;
    if let Some(reason) = &compute_device.fallback {
        context.note(format_args!("warning: the CPU computes: {reason}"));
    }
    let mut plan = Plan::new(settings, &archs, &seq_lens, args.batch_size, compute_device.is_cpu())?;
    if let (Beside::Curve { inference, .. }, Pass::Train) = (beside, args.pass) {
        plan = plan.with_curve_beside(&recipe).with_inference(inference);
    }
    if depths.len() > 1 {
        plan = plan.at_depths(&depths);
    }
    plan.within = args.within.map(|minutes| Duration::from_secs_f64(60.0 * minutes));
    let given: Option<Device> = args.hardware.as_deref().map(|name| context.catalog.load(name)).transpose()?;
    let on = On { device: &compute_device, given, meter: args.meter, powercap_root: &args.powercap_root };
    let into = Into { folder, resume, goes_on_in: resume.map(|_| folder) };
    let (record, lock) = carry_out(&plan, on, into, facts, context)?;
    let (done, all) = (record.cells.len(), plan.points.len());
    if done < all {
        context
            .note(format_args!("{done} of {all} cells are measured\nhint: the same command with `--resume` goes on"));
    }
    Ok((record, lock))
}

/// What a campaign runs on.
pub(super) struct On<'a> {
    pub(super) device: &'a ComputeDevice,
    /// The entry that describes it, where it is not to be recognised.
    pub(super) given: Option<Device>,
    pub(super) meter: MeterChoice,
    pub(super) powercap_root: &'a Path,
}

/// Where a campaign writes.
#[derive(Clone, Copy)]
pub(super) struct Into<'a> {
    pub(super) folder: &'a Path,
    /// Whether it may go on with what is there; `None`: the command has no such option.
    pub(super) resume: Option<bool>,
    /// The folder that the command which was typed is given to go on, if it can.
    pub(super) goes_on_in: Option<&'a Path>,
}

/// Measures a plan. The folder stays locked for whoever writes into it next.
pub(super) fn carry_out(
    plan: &Plan,
    on: On<'_>,
    Into { folder, resume, goes_on_in }: Into<'_>,
    facts: &MachineFacts,
    context: &Context,
) -> Result<(Record, FolderLock)> {
    let compute = measure::describe_compute(on.device, facts, &context.catalog, on.given)?;
    let meters = measure::open_meters(on.meter, on.device, &compute, facts, on.powercap_root)?;
    let environment = Environment {
        host: facts.host.clone(),
        os: facts.os.clone(),
        cpu: facts.cpu.clone(),
        logical_cpus: facts.logical_cpus,
        threads: measure::compute_threads(),
        memory_bytes: facts.memory_bytes,
        compute,
        meters: meters.meters.iter().map(|m| m.info().clone()).collect(),
        unmetered: meters.unmetered.clone(),
        baselines: Vec::new(),
        ceilings: None,
    };
    let lock = FolderLock::take(folder, RECORD_FILE)?;
    if !lock.is_exclusive() {
        context.note("warning: this file system has no locks: nothing keeps a second campaign out of this folder");
    }
    // Another campaign may have written one meanwhile.
    refuse_existing(folder, resume)?;
    let previous = if folder.join(RECORD_FILE).exists() { Some(Record::load(folder)?) } else { None };
    let stop = stopping::on_signals(folder, goes_on_in)?;
    let mut bar = Bar::new(context.quiet);
    let now = chrono::Local::now();
    let beginning = Beginning {
        environment,
        meters,
        created: now.to_rfc3339_opts(chrono::SecondsFormat::Secs, false),
        epoch_unix_s: now.timestamp_micros() as f64 / 1e6,
        previous,
    };
    let result = measure::run(plan, on.device, beginning, folder, &mut bar, &stop);
    bar.finish();
    if let Err(MeasureError::Stopped { signal }) = result {
        drop(lock);
        stopping::exit(signal, folder, goes_on_in);
    }
    let record = result.with_context(|| format!("the campaign in `{}` stopped", folder.display()))?;
    Ok((record, lock))
}

/// The workload, by the recipe that was given; without phases where none is known.
fn what_is_trained(args: &WhatArgs, context: &Context) -> Result<Workload> {
    let workload = named_workload(&args.workload, context)?;
    let recipe = Recipe {
        tokens: args.tokens,
        epochs: args.epochs,
        batch_tokens: args.batch_tokens,
        // With a recipe of its own, what is measured is not what is trained.
        seq_len: args.seq_lens.first().copied().filter(|_| workload.phases.is_empty()),
        ..Recipe::default()
    };
    let says_nothing = args.tokens.is_none() && args.batch_tokens.is_none();
    if says_nothing { Ok(workload) } else { Ok(recipe.over(workload)?) }
}

/// Fails if there is a record that may not be gone on with.
fn refuse_existing(folder: &Path, resume: Option<bool>) -> Result<()> {
    if folder.join(RECORD_FILE).exists() && resume != Some(true) {
        bail!(
            "`{}` already holds a record\nhint: `--resume` goes on with it; `-o DIR` writes another",
            folder.display()
        );
    }
    Ok(())
}
