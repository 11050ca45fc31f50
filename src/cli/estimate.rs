//! `estimate`: the whole run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use greenformers::catalog::{AttentionUse, Device, SoftwareSpec};
use greenformers::estimate::layout::needs_layout;
use greenformers::estimate::{
    Cluster, ConditionsSpec, Estimate, EstimateError, Hardware, LayoutSpec, Network, OwnSoftware, Request, StepsToLoss,
    estimate, parse_devices_per_node, recommend_architecture, to_equal_loss, unused_record, workload_of_forecast,
};
use greenformers::files::{JSON_SCHEMA, read_text};
use greenformers::model::Arch;
use greenformers::record::{ForecastRecord, MAX_ACCOUNT_BYTES, Record, Workload};
use greenformers::report::{
    assumptions_table, equal_loss_text, estimates_frame, explanation_table, layout_text, schedule_text, sentence,
    short_answer, side_table, to_csv, variance_table, verdict_of_machines, wrapped, write_estimates,
};
use greenformers::stats::Interval;
use greenformers::units::{DType, Watts, parse_power};
use serde::Serialize;

use super::Context;
use super::common::{
    ConditionsArgs, Format, command_with, is_account, paint, parse_seconds, print, print_json, warnings_text, width,
};
use super::forecast_file::{Program, carried};
use super::sweep::{self, SweepArgs};
use super::workload::{WorkloadArgs, is_workload_file, model_file};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers estimate reports/mine                         the machine that was measured
  greenformers estimate bert-large --hardware a100 --devices 8 --cloud aws --region eu-west-1
  greenformers estimate gpt2 --instance p4d.24xlarge --tokens 50B
  greenformers estimate bert-base --hardware h100-sxm5 --quality published   what variants take to the loss of dense
  greenformers estimate config.json --hardware h100-sxm5 --devices 8 --tokens 10B --batch-tokens 0.5M --seq-len 4096
  greenformers estimate --hardware a100-sxm4-80gb --devices 8 --grid aws-us-west-2
  greenformers estimate --hardware h100-sxm5 --devices 64 --network 8xinfiniband-ndr
  greenformers estimate llama-2-70b --hardware h100-sxm5 --devices 512 --layout auto --report llama-on-512
  greenformers estimate --hardware rtx-4090-24gb --workload my-model.yaml --arch dense --arch lrt:rank=128
  greenformers estimate --sweep hardware=all,grid=all,devices=1,8 --pareto time,cost,co2e --max-hours 48 --recommend
  greenformers estimate --hardware h100-sxm5 --grid hours.csv --start-within 48h --explain
  greenformers estimate forecast.json --grid swe --usd-per-hour 2.10            your own program, elsewhere
  greenformers estimate forecast.json --workload config.json --seq-len 2048 --hardware h100-sxm5
  greenformers estimate --step-time 0.42 --steps 100k --power 350W --grid poland --usd-per-hour 1.10")]
pub(super) struct Args {
    /// A record.json, the folder that holds one, a file of `forecast -o`, the name or the YAML file of a workload, or a Hugging Face config.json
    #[arg(value_name = "RECORD|WORKLOAD")]
    what: Option<String>,
    #[command(flatten)]
    workload: WorkloadArgs,
    /// What it runs on: a name of the catalog or a YAML file; several, by commas or repeated, are put side by side [default: the
    /// record's machine]
    #[arg(long, value_name = "NAME|FILE", value_delimiter = ',')]
    hardware: Vec<String>,
    /// How many devices [default: those of `--instance`, or 1]
    #[arg(long, value_name = "N")]
    devices: Option<u32>,
    /// What a cloud calls the machine: `p4d.24xlarge`. Fixes hardware, devices and price
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Network between machines: Gbit/s of a machine, which its devices share, or ethernet-10, -25, -100, infiniband-hdr or -ndr
    /// (one adapter; `8xinfiniband-ndr` for eight) [default: the catalog's]
    #[arg(long, value_name = "NAME|GBIT", allow_hyphen_values = true)]
    network: Option<Network>,
    /// Devices in a machine [default: the catalog's]
    #[arg(long, value_name = "N", value_parser = parse_devices_per_node, allow_hyphen_values = true)]
    devices_per_node: Option<u32>,
    /// Number format [default: the record's, or the fastest 16-bit format of the device]
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<DType>,
    /// Architecture, repeatable [default: the record's, or dense, lrt:rank=256 and linformer:k=128]
    #[arg(long = "arch", value_name = "SPEC")]
    archs: Vec<Arch>,
    /// Sequences on a device at a time [default: the largest that fits and divides the batch evenly]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    micro_batch: Option<u32>,
    /// How the model is laid out over the devices: `auto` for the fastest that fits, or some of `dp=N`, `tp=N`, `pp=N`, `cp=N`, `ep=N`,
    /// `zero=0|1|2|3`, `sequence_parallel=true`, `recompute=none|selective|full`, `micro_batch=N` and `interleave=N` [default: each device has
    /// the whole model, or `auto` where a GPU has no room for it]
    #[arg(long, value_name = "LAYOUT", conflicts_with_all = ["step_time", "power"])]
    layout: Option<LayoutSpec>,
    /// What trains, where it was not measured: eager (stock Hugging Face or PyTorch), compiled (torch.compile, XLA), optimised
    /// (Megatron, LLM Foundry, a maker's containers) or unknown (a mixture of all)
    #[arg(long, value_name = "CLASS", default_value = "unknown")]
    software: SoftwareSpec,
    /// How attention is computed: fused or composed [default: by the age of the device, as a mixture]
    #[arg(long, value_name = "HOW")]
    attention: Option<AttentionUse>,
    /// Your own program, by runs of it: a file that `greenformers catalog calibrate` wrote
    #[arg(long, value_name = "FILE", conflicts_with_all = ["software", "attention", "efficiency", "sweep"])]
    calibration: Option<PathBuf>,
    /// The old name of `--software`: typical is `optimised/composed`, tuned is `optimised/fused`
    #[arg(long, value_name = "typical|tuned", hide = true, conflicts_with_all = ["software", "attention"])]
    efficiency: Option<SoftwareSpec>,
    /// Seconds of an optimizer step that you measured, of the whole batch on all devices; with `--steps` or a workload
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    step_time: Option<f64>,
    /// Watts of a device at the wall, with `--step-time`
    #[arg(long, value_name = "WATTS", value_parser = parse_power, requires = "step_time")]
    power: Option<Watts>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    /// Say also what each architecture takes to the loss of dense, and not for the same number of steps: by the DIR or quality.json of
    /// `greenformers quality`, or `published` for what others found
    #[arg(long, value_name = "RECORD|published", conflicts_with = "sweep")]
    quality: Option<PathBuf>,
    /// Print all that is assumed, with sources, and memory, water and what makes the numbers uncertain
    #[arg(long)]
    assumptions: bool,
    /// Print the arithmetic of each number
    #[arg(long)]
    explain: bool,
    /// Write a report of the answer into this folder: page, tables, charts; with `--layout auto` also of the layouts
    #[arg(long, value_name = "DIR", conflicts_with = "sweep")]
    report: Option<PathBuf>,
    /// Write every chart of the report as PNG as well
    #[arg(long, requires = "report")]
    png: bool,
    /// Seed of the draws: the same seed gives the same output
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Args {
    fn software(&self) -> SoftwareSpec {
        let said = self.efficiency.unwrap_or(self.software);
        SoftwareSpec { attention: self.attention.or(said.attention), ..said }
    }
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    estimates: &'a [Estimate],
}

impl Args {
    fn cluster(&self) -> Cluster {
        Cluster { network: self.network, devices_per_node: self.devices_per_node }
    }
}

/// What was asked for, with names looked up.
#[derive(Clone)]
struct Asked {
    record: Option<Record>,
    forecast: Option<ForecastRecord>,
    workload: WorkloadArgs,
    hardware: Vec<Device>,
    devices: u32,
    spec: ConditionsSpec,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let asked = asked(args, context)?;
    if let Some(axes) = args.sweep.axes() {
        let base = sweep::Base {
            workload: asked.workload.load(None, context)?,
            recipe: asked.workload.recipe(),
            hardware: asked.hardware,
            devices: asked.devices,
            cluster: args.cluster(),
            dtype: args.dtype,
            archs: &args.archs,
            micro_batch: args.micro_batch.map(|n| n as usize),
            software: args.software(),
            layout: args.layout,
            conditions: asked.spec,
            seed: args.seed,
            is_measured: asked.record.is_some() || args.step_time.is_some(),
        };
        return sweep::run(&args.sweep, &axes, &base, args.format, context);
    }
    let estimates = if asked.hardware.len() > 1 {
        let of = |device: &Device| estimates(args, &asked, Some(device.clone()), context);
        asked.hardware.iter().map(of).collect::<Result<Vec<_>>>()?.concat()
    } else {
        estimates(args, &asked, asked.hardware.first().cloned(), context)?
    };
    if let Some(folder) = &args.report {
        let verdict = verdict(&estimates).unwrap_or_else(|| sentence(&estimates[0]));
        let elsewhere = on_other_numbers(args, &asked, context);
        let files = write_estimates(&estimates, (&verdict, &elsewhere), folder, args.png)?;
        context.note(format_args!("report: {}", files[0].display()));
    }
    match args.format {
        Format::Json => print_json(&Output { schema: JSON_SCHEMA, estimates: &estimates }),
        Format::Csv => print(&to_csv(&mut estimates_frame(&estimates)?)?),
        Format::Text => print(&text(&estimates, args)),
    }
}

fn asked(args: &Args, context: &Context) -> Result<Asked> {
    let mut forecast = None;
    let (record, named) = match args.what.as_deref() {
        None => (None, None),
        Some(path) if is_account(Path::new(path)) => {
            forecast = Some(ForecastRecord::load(Path::new(path))?);
            (None, None)
        }
        Some(path) if model_file(Path::new(path)).is_some() || is_workload_file(Path::new(path)) => (None, Some(path)),
        // A folder of this name counts more than a workload of it.
        Some(path) if Path::new(path).exists() => (Some(Record::load(Path::new(path))?), None),
        Some(name) => match context.catalog.load::<Workload>(name) {
            Ok(_) => (None, Some(name)),
            // What looks like a path is one, and its own error says what is wrong with it.
            Err(_) if name.contains(['/', '.']) => (Some(Record::load(Path::new(name))?), None),
            Err(error) => bail!("`{name}` is no record that is there, and no workload: {error}"),
        },
    };
    let spec = ConditionsSpec { instance: args.instance.clone(), ..args.conditions.spec()? };
    let of_instance = spec.instance(&context.catalog)?;
    let mut hardware: Vec<Device> =
        args.hardware.iter().map(|name| spec.device(name, &context.catalog)).collect::<Result<_, _>>()?;
    let mut devices = args.devices;
    if let Some((device, count)) = of_instance {
        if let Some(other) = hardware.iter().find(|named| named.id != device.id) {
            return Err(EstimateError::InstanceOfOther {
                instance: args.instance.clone().unwrap_or_default(),
                of_instance: device.id,
                hardware: other.id.clone(),
            }
            .into());
        }
        devices = devices.or(Some(count));
        hardware = vec![device];
    }
    let of_layout = match args.layout {
        Some(LayoutSpec::Of(layout)) => u32::try_from(layout.devices()).ok(),
        Some(LayoutSpec::Auto) | None => None,
    };
    let devices = devices.or(of_layout).unwrap_or(1);
    if let Some(named) = named.filter(|_| args.workload.names_model()) {
        bail!("`{named}` and the options name two models\nhint: leave one of them out");
    }
    let workload = args.workload.or_named(named);
    if args.layout.is_some() && workload.gradient_checkpointing {
        bail!(
            "a layout says itself what is computed again\nhint: `--layout …,recompute=full`, without `--gradient-checkpointing`"
        );
    }
    Ok(Asked { record, forecast, workload, hardware, devices, spec })
}

fn estimates(args: &Args, asked: &Asked, device: Option<Device>, context: &Context) -> Result<Vec<Estimate>> {
    let record = asked.record.as_ref();
    let elsewhere = match (&asked.forecast, &device) {
        (Some(_), _) if args.step_time.is_some() => {
            bail!("`--step-time` is a step that you measured, and so is the forecast: leave out one of them")
        }
        (Some(_), Some(_)) if args.calibration.is_some() => {
            bail!("`--calibration` is of your own program, and so is the forecast: leave out one of them")
        }
        (Some(forecast), Some(device)) => {
            let program = Program {
                workload: &asked.workload,
                arch: args.archs.first().copied().unwrap_or(Arch::Dense),
                dtype: args.dtype,
                software: args.software(),
            };
            Some(carried(forecast, device, &program, context)?)
        }
        _ => None,
    };
    let hardware = match (args.step_time, &asked.forecast) {
        (None, Some(forecast)) if elsewhere.is_none() => Hardware::of_forecast(forecast),
        (Some(_), _) if record.is_some() => {
            bail!("`--step-time` is a step that you measured, and so is the record: leave out one of them")
        }
        (Some(_), _) if !asked.workload.says_how_long() => bail!(
            "`--step-time` needs to know how many steps there are\nhint: `--step-time 0.42 --steps 100k`, or `--workload NAME` \
             for a run that the catalog knows"
        ),
        (Some(step_s), _) => Hardware::Given {
            step_s: Interval::point(step_s),
            power_w: args.power.map(|power| Interval::point(power.0)),
            device,
            model_is_known: asked.workload.names_model(),
            is_forecast: false,
        },
        (None, _) => Hardware::choose(record, device)?,
    };
    let used = hardware.record();
    let mut workload = match &elsewhere {
        Some(carried) => carried.workload.clone(),
        None => asked.workload.load(used.map(|record| &record.settings.workload), context)?,
    };
    if let (Some(forecast), None) = (&asked.forecast, &elsewhere) {
        workload = workload_of_forecast(forecast, workload)?;
    } else if let Hardware::Given { model_is_known: false, .. } = hardware {
        let steps: u64 = workload.phases.iter().map(|phase| phase.steps).sum();
        workload.name = format!("{steps} steps");
        "given with `--steps`".clone_into(&mut workload.source);
    }
    let archs = match (args.archs.is_empty(), args.layout) {
        // What a program was seen to take is of one architecture.
        (true, _) if elsewhere.is_some() => vec![Arch::Dense],
        (true, None) => hardware.usual_archs(&workload),
        // How others share their products over devices is not known.
        (true, Some(_)) => vec![Arch::Dense],
        (false, _) => args.archs.clone(),
    };
    let conditions = asked.spec.on(&hardware, asked.devices, &context.catalog)?;
    context.note_hours(&conditions);
    let calibrated = args.calibration.as_deref().map(calibration).transpose()?;
    let own = elsewhere.as_ref().map(|carried| &carried.own).or(calibrated.as_ref());
    let usual_dtype = elsewhere.as_ref().map_or_else(|| hardware.usual_dtype(), |carried| carried.dtype);
    let mut request = Request {
        workload: &workload,
        archs: &archs,
        dtype: args.dtype.unwrap_or(usual_dtype),
        hardware,
        devices: asked.devices,
        cluster: args.cluster(),
        software: args.software(),
        own,
        micro_batch: args.micro_batch.map(|n| n as usize),
        layout: args.layout,
        conditions: &conditions,
        seed: args.seed,
    };
    let dense = [Arch::Dense];
    if args.archs.is_empty() && needs_layout(&Request { archs: &dense, ..request.clone() }) {
        request.archs = &dense;
    }
    let mut estimates = estimate(&request)?;
    if let Some(evidence) = &args.quality {
        to_equal_loss(&mut estimates, &workload.model, &steps_to_loss(evidence)?);
        if estimates.iter().all(|e| e.equal_loss.is_none()) {
            bail!(
                "`--quality {}` says nothing of these architectures beside dense\nhint: `--arch dense --arch lrt:rank=256`",
                evidence.display()
            );
        }
    }
    if let (Some(record), None) = (record, used) {
        estimates.iter_mut().for_each(|e| e.warnings.push(unused_record(record)));
    }
    Ok(estimates)
}

/// What is known of steps to an equal loss: published, or measured by `quality`.
fn steps_to_loss(path: &Path) -> Result<StepsToLoss> {
    if path.as_os_str() == "published" {
        return Ok(StepsToLoss::Published);
    }
    let file = if path.is_dir() { path.join("quality.json") } else { path.to_owned() };
    Ok(StepsToLoss::of_quality(&read_text(&file, MAX_ACCOUNT_BYTES)?, &file.display().to_string())?)
}

/// A program of the user's, as `catalog calibrate` wrote it.
fn calibration(path: &Path) -> Result<OwnSoftware> {
    let text = read_text(path, 1 << 16)?;
    let own: OwnSoftware = serde_json::from_str(&text).with_context(|| {
        format!("`{}` is no calibration\nhint: `greenformers catalog calibrate RUNS.csv` makes one", path.display())
    })?;
    own.check()?;
    Ok(own)
}

/// Times as many devices as were asked for, whose cost and time are put beside each other.
const OTHER_NUMBERS: [f64; 7] = [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0];

/// The first architecture on other numbers of one device, each in its best layout; nothing where the layout is not to be found.
fn on_other_numbers(args: &Args, asked: &Asked, context: &Context) -> Vec<Estimate> {
    let (Some(LayoutSpec::Auto), [device]) = (args.layout, asked.hardware.as_slice()) else { return Vec::new() };
    let mut found = Vec::new();
    for times in OTHER_NUMBERS {
        let devices = f64::from(asked.devices) * times;
        if devices.fract() != 0.0 {
            continue;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of devices")]
        let other = Asked { devices: devices as u32, ..asked.clone() };
        // On some numbers it does not fit, or the batch cannot be shared.
        if let Ok(estimates) = estimates(args, &other, Some(device.clone()), context) {
            found.extend(estimates.into_iter().next());
        }
    }
    found
}

/// Which of several machines is best; nothing where there is one.
fn verdict(estimates: &[Estimate]) -> Option<String> {
    let several = estimates.windows(2).any(|pair| pair[0].hardware != pair[1].hardware);
    several.then(|| verdict_of_machines(estimates))
}

fn text(estimates: &[Estimate], args: &Args) -> String {
    let Some(first) = estimates.first() else { return String::new() };
    let width = width();
    let verdict = verdict(estimates);
    let next = command_with(if args.assumptions { "--explain" } else { "--assumptions" });
    let [sentence, table, below] = short_answer(estimates, verdict.as_deref(), &next, width);
    let mut text = paint().strong(sentence.trim_end()) + "\n\n" + &paint().table(&table, &[]) + "\n";
    for (name, reason) in
        first.missing.iter().filter(|(name, _)| args.assumptions || ["cost_usd", "it_energy_kwh"].contains(name))
    {
        text.push_str(&wrapped(&format!("{name}: {reason}"), width, "  "));
    }
    text.push_str(&equal_loss_text(estimates, width));
    text.push_str(&layout_text(estimates, width));
    text.push_str(&schedule_text(estimates));
    if args.sweep.recommend {
        text.push_str(&wrapped(&recommend_architecture(estimates), width, ""));
    }
    text.push_str(&below);
    if args.assumptions {
        text.push('\n');
        text.push_str(&side_table(estimates).render(width));
        text.push('\n');
        text.push_str(&variance_table(first).render(width));
        text.push('\n');
        text.push_str(&assumptions_table(first).render(width));
    }
    if args.explain {
        for estimate in estimates {
            text.push_str(&format!("\n{}:\n", estimate.label()));
            text.push_str(&explanation_table(estimate).render(width));
        }
    }
    text.push_str(&warnings_text(estimates.iter().flat_map(|e| &e.warnings)));
    text
}
