//! `estimate --sweep`: every combination of what is given.

use std::path::PathBuf;

use anyhow::{Result, bail};
use greenformers::catalog::{Device, EntryKind, SoftwareSpec};
use greenformers::estimate::{
    Axes, Cluster, ConditionsSpec, Estimate, EstimateError, Goal, Hardware, LayoutSpec, Limits, Recipe, Rent, Scenario,
    draw_scenarios, draw_unbeaten, estimate, frontier, recommend, sweep,
};
use greenformers::files::JSON_SCHEMA;
use greenformers::model::Arch;
use greenformers::record::{Warning, Workload, write_whole};
use greenformers::report::{
    NamedScenario, assumed_and_next, named_scenarios, recommendation, sentence, sweep_frame, sweep_table, to_csv,
    to_parquet, wrapped,
};
use greenformers::units::DType;
use serde::Serialize;

use super::Context;
use super::common::{Format, command_with, paint, print, print_json, warnings_text, width};
use super::workload::named_workload;

/// Rows that a terminal is shown.
const ROWS: usize = 5;
/// No more scenarios are worked out by draws, as a single estimate is: they take some milliseconds each. Of more, those that no
/// other beats are.
const DRAWN: usize = 300;
/// Of more, no more of the best than this are.
const BEST_DRAWN: usize = 100;
/// No sweep has more scenarios.
const MAX_SCENARIOS: usize = 5_000_000;

/// Options of a sweep.
#[derive(Debug, clap::Args)]
pub(super) struct SweepArgs {
    /// Every combination of lists: model=gpt2,llama-2-7b,hardware=all,grid=all,dtype=bf16,f32,devices=1,8,arch=dense,lrt:rank=256,software=eager,optimised/fused,layout=auto
    #[arg(long, value_name = "AXES", help_heading = "Sweeps")]
    sweep: Vec<String>,
    /// Keep the scenarios that no other beats in all of these: time, cost, co2e, energy
    #[arg(long, value_name = "GOALS", value_delimiter = ',', requires = "sweep", help_heading = "Sweeps")]
    pareto: Vec<Goal>,
    /// Keep scenarios that cost at most this
    #[arg(long, value_name = "USD", value_parser = at_least_0, requires = "sweep", help_heading = "Sweeps")]
    max_cost: Option<f64>,
    /// Keep scenarios that take at most so many hours
    #[arg(long, value_name = "HOURS", value_parser = at_least_0, requires = "sweep", help_heading = "Sweeps")]
    max_hours: Option<f64>,
    /// Keep scenarios that emit at most this much
    #[arg(long, value_name = "KG", value_parser = at_least_0, requires = "sweep", help_heading = "Sweeps")]
    max_co2e: Option<f64>,
    /// Write the table to this .csv or .parquet file
    #[arg(long, value_name = "FILE", requires = "sweep", help_heading = "Sweeps")]
    out: Option<PathBuf>,
    /// Say in a sentence what to choose, and why
    #[arg(long)]
    pub(super) recommend: bool,
}

impl SweepArgs {
    /// The lists, if there is anything to sweep: an option that is given twice says the same as one with both lists.
    pub(super) fn axes(&self) -> Option<String> {
        (!self.sweep.is_empty()).then(|| self.sweep.join(","))
    }
}

fn at_least_0(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err(format!("expected a finite number of at least 0, got `{text}`")),
    }
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    /// How many scenarios there were before limits and frontier.
    total: usize,
    scenarios: Vec<NamedScenario<'a>>,
    /// What to choose, with `--recommend`.
    recommendation: Option<String>,
    /// Caveats of the grids and sites.
    warnings: Vec<Warning>,
}

/// The lists of `hardware=a,b,dtype=c`: a part with a known name before `=` begins a list.
#[derive(Debug, Default)]
struct Lists<'a> {
    model: Vec<&'a str>,
    hardware: Vec<&'a str>,
    grid: Vec<&'a str>,
    dtype: Vec<&'a str>,
    devices: Vec<&'a str>,
    arch: Vec<String>,
    software: Vec<&'a str>,
    layout: Vec<String>,
}

fn lists(text: &str) -> Result<Lists<'_>> {
    const ALLOWED: &str = "`model`, `hardware`, `grid`, `dtype`, `devices`, `arch`, `software` or `layout`";
    let mut lists = Lists::default();
    let mut current = "";
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let known =
            ["model", "workload", "hardware", "grid", "dtype", "devices", "arch", "software", "efficiency", "layout"];
        let value = match part.split_once('=') {
            Some((name, value)) if known.contains(&name) => {
                current = name;
                value
            }
            Some((name, _)) if !["arch", "layout"].contains(&current) => {
                bail!("`--sweep` has no list `{name}`: expected {ALLOWED}")
            }
            _ => part,
        };
        match current {
            "model" | "workload" => lists.model.push(value),
            "hardware" => lists.hardware.push(value),
            "grid" => lists.grid.push(value),
            "dtype" => lists.dtype.push(value),
            "devices" => lists.devices.push(value),
            "software" | "efficiency" => lists.software.push(value),
            "arch" => match lists.arch.last_mut() {
                // `linformer:k=64,share=kv` is one architecture.
                Some(last) if ["share=", "order=", "k=", "rank="].iter().any(|o| value.starts_with(o)) => {
                    last.push(if last.contains(':') { ',' } else { ':' });
                    last.push_str(value);
                }
                _ => lists.arch.push(value.to_owned()),
            },
            // `dp=8,tp=4` is one layout; a key that it has begins the next.
            "layout" => match (lists.layout.last_mut(), value.split_once('=')) {
                (Some(last), Some((key, _))) if last.contains('=') && !has_key(last, key) => {
                    last.push(',');
                    last.push_str(value);
                }
                _ => lists.layout.push(value.to_owned()),
            },
            _ => bail!("`--sweep {text}` begins with no list: expected {ALLOWED}, each with `=` and its values"),
        }
    }
    Ok(lists)
}

/// Whether `dp=8,tp=4` says something of `key`.
fn has_key(layout: &str, key: &str) -> bool {
    layout.split(',').any(|part| part.split_once('=').is_some_and(|(name, _)| name == key))
}

/// What a single scenario is described by: the value of each list that `--sweep` does not name.
pub(super) struct Base<'a> {
    pub(super) workload: Workload,
    /// How a model by another name is trained.
    pub(super) recipe: Recipe,
    pub(super) hardware: Vec<Device>,
    pub(super) devices: u32,
    pub(super) cluster: Cluster,
    pub(super) dtype: Option<DType>,
    pub(super) archs: &'a [Arch],
    pub(super) micro_batch: Option<usize>,
    pub(super) software: SoftwareSpec,
    pub(super) layout: Option<LayoutSpec>,
    pub(super) conditions: ConditionsSpec,
    pub(super) seed: u64,
    /// Whether a record or a step time was given, of which there is nothing to sweep.
    pub(super) is_measured: bool,
}

pub(super) fn run(
    options: &SweepArgs,
    axes_text: &str,
    base: &Base<'_>,
    format: Format,
    context: &Context,
) -> Result<()> {
    if base.is_measured {
        bail!("`--sweep` compares hardware of the catalog: leave out the record and `--step-time`");
    }
    if base.conditions.is_hourly() {
        bail!("`--sweep` takes no hours of a grid: name grids, or estimate one scenario with `--grid FILE.csv`");
    }
    if let Some(out) = &options.out
        && !["csv", "parquet"].iter().any(|e| out.extension().is_some_and(|x| x == *e))
    {
        bail!("`--out {}` is neither a .csv nor a .parquet file", out.display());
    }
    let grids = grid_names(&lists(axes_text)?, context)?;
    let axes = axes(base, axes_text, &grids, context)?;
    let mut all = sweep(&axes, base.micro_batch)?;
    let total = all.scenarios.len();
    let goals =
        if options.pareto.is_empty() { vec![Goal::Time, Goal::Cost, Goal::Co2e] } else { options.pareto.clone() };
    if total <= DRAWN {
        draw_scenarios(&axes, base.micro_batch, base.seed, &mut all.scenarios)?;
    } else {
        draw_unbeaten(&axes, base.micro_batch, base.seed, (&mut all.scenarios, &goals), BEST_DRAWN)?;
    }
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in axes.grids.iter().flat_map(|(_, conditions)| &conditions[0].warnings) {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
    for (reason, count) in &all.left_out {
        let scenarios = if *count == 1 { "scenario" } else { "scenarios" };
        context.note(format_args!("left out: {count} {scenarios}: {reason}"));
    }
    let limits = Limits { cost_usd: options.max_cost, hours: options.max_hours, co2e_kg: options.max_co2e };
    let mut scenarios: Vec<Scenario> = all.scenarios;
    scenarios.retain(|s| limits.allow(s));
    let advice =
        options.recommend.then(|| recommend(&scenarios, &axes, &goals).map(|found| recommendation(&found, &axes)));
    if !options.pareto.is_empty() {
        scenarios = frontier(scenarios, &goals);
    }
    let plural = if total == 1 { "" } else { "s" };
    context.note(format_args!("{total} scenario{plural}, {} kept", scenarios.len()));
    if let Some(out) = &options.out {
        let parquet = out.extension().is_some_and(|e| e == "parquet");
        let mut frame = sweep_frame(&scenarios, &axes)?;
        let bytes = if parquet { to_parquet(&mut frame)? } else { to_csv(&mut frame)?.into_bytes() };
        write_whole(out, &bytes)?;
    }
    if format == Format::Json {
        let scenarios = named_scenarios(&scenarios, &axes);
        return print_json(&Output {
            schema: JSON_SCHEMA,
            total,
            scenarios,
            recommendation: advice.flatten(),
            warnings,
        });
    }
    let advice =
        advice.map(|a| a.unwrap_or_else(|| "Nothing to choose: no scenario fits and is within the limits.".to_owned()));
    if format == Format::Csv {
        let text = if options.out.is_none() { to_csv(&mut sweep_frame(&scenarios, &axes)?)? } else { String::new() };
        if let Some(advice) = advice {
            context.note(advice);
        }
        return print(&text);
    }
    let fitting = scenarios.iter().filter(|s| s.fits != Some(false));
    let fastest = fitting.min_by(|a, b| a.wall_h().mid.total_cmp(&b.wall_h().mid));
    let alone = fastest.map(|s| alone(s, &axes, base, grids[s.grid].as_deref(), context)).transpose()?.flatten();
    let said = match (advice, &alone) {
        (Some(advice), _) => advice,
        (None, Some(estimate)) => format!("{}: {}", first_of(&scenarios), sentence(estimate)),
        (None, None) => "No scenario fits and is within the limits.".to_owned(),
    };
    print(&(text(&said, scenarios, (&axes, &goals), total, alone.as_ref(), options) + &warnings_text(&warnings)))
}

/// What the first of those that fit is among them.
fn first_of(scenarios: &[Scenario]) -> String {
    match scenarios.iter().filter(|s| s.fits != Some(false)).count() {
        1 => "The only scenario that fits".to_owned(),
        count => format!("The fastest of the {count} scenarios that fit"),
    }
}

/// The sentence, the table, what is assumed and the next command.
fn text(
    said: &str,
    scenarios: Vec<Scenario>,
    (axes, goals): (&Axes, &[Goal]),
    total: usize,
    alone: Option<&Estimate>,
    options: &SweepArgs,
) -> String {
    let width = width();
    let kept = scenarios.len();
    let mut shown = scenarios;
    if kept > ROWS {
        let best = frontier(shown.clone(), goals);
        if !best.is_empty() {
            shown = best;
        }
    }
    if shown.is_empty() {
        return wrapped(said, width, "");
    }
    let (common, table, held) = sweep_table(&shown, axes, ROWS, width);
    let names: Vec<String> = goals.iter().map(ToString::to_string).collect();
    let mut rest = String::new();
    if held < kept {
        let goals = names.join(", ");
        rest = format!("{held} of {kept}, beaten by none in all of {goals}; `--format csv` or `--out FILE` has all. ");
    }
    if total > DRAWN {
        rest += "Those that no other beats have the numbers of `estimate`, the rest those of a quicker rule: 5 % off in the \
                 mean, a quarter at most.";
    }
    let mut text = paint().strong(wrapped(said, width, "").trim_end()) + "\n\n";
    if !common.is_empty() {
        text.push_str(&wrapped(&format!("All: {}", common.join(", ")), width, "  "));
    }
    text.push_str(&paint().table(&table.render(width), &[]));
    if !rest.is_empty() {
        text.push_str(&wrapped(rest.trim_end(), width, ""));
    }
    let next = command_with(if options.recommend { "--format csv" } else { "--recommend" });
    text + "\n" + &assumed_and_next(alone, &next, width)
}

/// One scenario by itself, by the same draws: with what is assumed.
fn alone(
    s: &Scenario,
    axes: &Axes,
    base: &Base<'_>,
    grid: Option<&str>,
    context: &Context,
) -> Result<Option<Estimate>> {
    let hardware = Hardware::Catalog(axes.hardware[s.hardware].0.clone());
    let spec = grid.map_or_else(|| base.conditions.clone(), |name| base.conditions.in_grid(name));
    let conditions = spec.on(&hardware, s.devices, &context.catalog)?;
    let estimates = estimate(&axes.request(s, base.micro_batch, &conditions, base.seed))?;
    Ok(estimates.into_iter().next())
}

/// The grids of the list: `None` where the usual one is meant.
fn grid_names(lists: &Lists<'_>, context: &Context) -> Result<Vec<Option<String>>> {
    Ok(match lists.grid.as_slice() {
        ["all"] => context.catalog.ids(EntryKind::Grid)?.into_iter().map(Some).collect(),
        [] => vec![None],
        names => names.iter().map(|name| Some((*name).to_owned())).collect(),
    })
}

fn axes(base: &Base<'_>, text: &str, grid_names: &[Option<String>], context: &Context) -> Result<Axes> {
    let lists = lists(text)?;
    let catalog = &context.catalog;
    let devices_named: Vec<Device> = match lists.hardware.as_slice() {
        ["all"] => catalog.all()?,
        [] => match base.hardware.as_slice() {
            named @ [_, ..] => named.to_vec(),
            [] => bail!("`--sweep` needs `hardware=all`, `hardware=NAME,...` or `--hardware NAME`"),
        },
        names => names.iter().map(|name| catalog.load(name)).collect::<Result<_, _>>()?,
    };
    let archs: Vec<Arch> = match (lists.arch.is_empty(), base.archs.is_empty()) {
        (false, _) => lists.arch.iter().map(|a| a.parse()).collect::<Result<_, _>>()?,
        (true, false) => base.archs.to_vec(),
        (true, true) => vec![Arch::Dense],
    };
    let dtypes: Vec<DType> = match (lists.dtype.is_empty(), base.dtype) {
        (false, _) => lists.dtype.iter().map(|d| d.parse()).collect::<Result<_, _>>()?,
        (true, Some(dtype)) => vec![dtype],
        (true, None) => {
            let mut dtypes: Vec<DType> = devices_named.iter().map(Device::fastest_dtype).collect();
            dtypes.sort_unstable();
            dtypes.dedup();
            dtypes
        }
    };
    let software: Vec<SoftwareSpec> = if lists.software.is_empty() {
        vec![base.software]
    } else {
        lists.software.iter().map(|l| l.parse()).collect::<Result<_, _>>()?
    };
    let layouts: Vec<Option<LayoutSpec>> = if lists.layout.is_empty() {
        vec![base.layout]
    } else {
        lists.layout.iter().map(|text| text.parse().map(Some)).collect::<Result<_, _>>()?
    };
    let counts: Vec<u32> = if lists.devices.is_empty() {
        vec![base.devices]
    } else {
        let count = |text: &&str| text.parse::<u32>().ok().filter(|n| *n > 0);
        let parse = |text: &&str| {
            count(text).ok_or_else(|| anyhow::anyhow!("`devices={text}`: expected whole numbers of at least 1"))
        };
        lists.devices.iter().map(parse).collect::<Result<_>>()?
    };
    if counts.contains(&0) {
        return Err(EstimateError::NoDevices.into());
    }
    let workloads: Vec<Workload> = match lists.model.as_slice() {
        [] => vec![base.workload.clone()],
        names => {
            let of = |name: &&str| Ok(base.recipe.over(named_workload(name, context)?)?);
            names.iter().map(of).collect::<Result<_>>()?
        }
    };
    let size = [
        workloads.len(),
        devices_named.len(),
        grid_names.len(),
        dtypes.len(),
        counts.len(),
        software.len(),
        archs.len(),
        layouts.len(),
    ];
    let scenarios = size.iter().try_fold(1usize, |n, m| n.checked_mul(*m));
    if scenarios.is_none_or(|n| n > MAX_SCENARIOS) {
        bail!("`--sweep` would make more than {MAX_SCENARIOS} scenarios: name fewer of each list");
    }
    let spec = &base.conditions;
    let of_device = |device: Device| Ok((device.clone(), spec.of_device(&device, catalog)?));
    let of_grid = |name: &Option<String>| match name {
        Some(name) => Ok(spec.in_grid(name).of_grid(catalog)?),
        None => Ok(spec.of_grid(catalog)?),
    };
    Ok(Axes {
        workloads,
        hardware: devices_named.into_iter().map(of_device).collect::<Result<_>>()?,
        grids: grid_names.iter().map(of_grid).collect::<Result<_>>()?,
        dtypes,
        devices: counts,
        cluster: base.cluster,
        software,
        archs,
        layouts,
        rent: Rent { instance: None, ..spec.rent(None, None) },
        owned: spec.owns_machines(),
    })
}
