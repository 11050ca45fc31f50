//! `plan`: what a budget buys.

use anyhow::{Result, bail};
use clap::ValueEnum;
use greenformers::catalog::{AttentionUse, Device, DeviceKind, SoftwareSpec};
use greenformers::estimate::{
    Budget, Cluster, ConditionsSpec, Estimate, Hardware, LayoutSpec, LeftOut, Machine, Network, Plan, PlanRequest,
    PlannedRun, Quantity, Recipe, SEQ_LEN, Scaling, Trained, parse_devices_per_node, plan, usual_batch,
};
use greenformers::files::JSON_SCHEMA;
use greenformers::model::{Arch, active_params};
use greenformers::record::Warning;
use greenformers::report::{assumed_and_next, assumptions_table, frontier_table, plan_sentence, plan_table, wrapped};
use greenformers::units::{Amount, DType, parse_amount, parse_count};
use serde::Serialize;

use super::Context;
use super::common::{ConditionsArgs, Format, paint, print, print_json, print_table, warnings_text, width};
use super::plan_command::{Recipes, estimate_command};
use super::workload::{VOCABULARIES, WorkloadArgs};

/// Tokens a parameter at which a model is trained for the least compute of its loss.
const CHINCHILLA: f64 = 20.0;
/// Rows that a terminal is shown.
const ROWS: usize = 12;
/// No cluster has more devices.
const MOST_DEVICES: u32 = 65_536;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers plan gpt2 --budget 500USD --hardware h100-sxm5 --devices 8
  greenformers plan --budget 500USD --budget 72h --hardware h100-sxm5 --devices 8 --workload config.json
  greenformers plan --budget 2kUSD --budget 3d --hardware h100-sxm5 --scale chinchilla
  greenformers plan --budget 50kg --hardware a100-sxm4-80gb,h100-sxm5 --scale chinchilla --grid fra --max-devices 64
  greenformers plan llama-2-7b --budget 184320GPUh --hardware a100-sxm4-80gb --devices 1024 --confidence 0.9")]
pub(super) struct Args {
    /// The name of a workload, or a Hugging Face config.json
    #[arg(value_name = "WORKLOAD", conflicts_with = "workload")]
    what: Option<String>,
    /// What may be spent: `500USD`, `450EUR`, `72h`, `3d`, `50kg` of CO2e, `120kWh` or `1000GPUh`; of several, all hold
    #[arg(long, value_name = "AMOUNT", value_parser = parse_typed, required = true, allow_hyphen_values = true)]
    budget: Vec<Typed>,
    /// Plan so that the budgets hold with this probability: `0.9` or `90%` [default: each is met at the middle]
    #[arg(long, value_name = "PROBABILITY", value_parser = parse_confidence)]
    confidence: Option<f64>,
    /// Look for the largest decoder that the budget trains: chinchilla, on 20 tokens a parameter (Hoffmann et al. 2022)
    #[arg(long, value_name = "RULE")]
    scale: Option<Scale>,
    /// With `--scale`: tokens a parameter
    #[arg(long, value_name = "N", value_parser = parse_ratio_of_tokens, requires = "scale")]
    tokens_per_param: Option<f64>,
    /// Tokens of the data set, to count epochs (`10B`)
    #[arg(long, value_name = "N", value_parser = parse_count)]
    dataset_tokens: Option<f64>,
    #[command(flatten)]
    workload: WorkloadArgs,
    /// What it runs on: a name of the catalog or a YAML file; several, by commas or repeated, are compared
    #[arg(long, value_name = "NAME|FILE", value_delimiter = ',', required = true)]
    hardware: Vec<String>,
    /// How many devices [default: 1, 2, 4 and so on up to `--max-devices` are compared]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_DEVICES)))]
    devices: Option<u32>,
    /// Without `--devices`: the most of them
    #[arg(
        long, value_name = "N", default_value_t = 1024, conflicts_with = "devices",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_DEVICES))
    )]
    max_devices: u32,
    /// How the model is laid out over the devices, as `estimate` takes it [default: auto for several GPUs]
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<LayoutSpec>,
    /// Network between machines, as `estimate` takes it [default: the catalog's]
    #[arg(long, value_name = "NAME|GBIT", allow_hyphen_values = true)]
    network: Option<Network>,
    /// Devices in a machine [default: the catalog's]
    #[arg(long, value_name = "N", value_parser = parse_devices_per_node, allow_hyphen_values = true)]
    devices_per_node: Option<u32>,
    /// Number format [default: the fastest 16-bit format of the device]
    #[arg(long, value_name = "DTYPE")]
    dtype: Option<DType>,
    /// Architecture
    #[arg(long, value_name = "SPEC", default_value = "dense")]
    arch: Arch,
    /// Sequences on a device at a time [default: the fastest that fits]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    micro_batch: Option<u32>,
    /// What trains: eager, compiled, optimised or unknown, as `estimate` takes it
    #[arg(long, value_name = "CLASS", default_value = "unknown")]
    software: SoftwareSpec,
    /// How attention is computed: fused or composed [default: by the age of the device, as a mixture]
    #[arg(long, value_name = "HOW")]
    attention: Option<AttentionUse>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Print all that is assumed, with sources
    #[arg(long)]
    assumptions: bool,
    /// Seed of the draws: the same seed gives the same output
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How large a model is to be for its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scale {
    /// About 20 tokens a parameter (Hoffmann et al. 2022, arXiv 2203.15556, table 3)
    Chinchilla,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    budgets: Vec<BudgetOutput<'a>>,
    confidence: Option<f64>,
    tokens_per_param: Option<f64>,
    plan: &'a PlannedRun,
    frontier: &'a [PlannedRun],
    left_out: &'a [LeftOut],
    assumed: Vec<String>,
    next: String,
    warnings: &'a [Warning],
}

#[derive(Serialize)]
struct BudgetOutput<'a> {
    typed: &'a str,
    quantity: &'static str,
    amount: f64,
    binds: bool,
}

/// An amount, and how it was typed.
#[derive(Debug, Clone)]
struct Typed {
    amount: Amount,
    text: String,
}

fn parse_typed(text: &str) -> Result<Typed, String> {
    Ok(Typed { amount: parse_amount(text)?, text: text.trim().to_owned() })
}

/// `0.9` or `90%`: less than even is no plan, and the last of 10 000 draws no quantile.
fn parse_confidence(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |n| (n, 100.0));
    match number.trim().parse::<f64>().map(|x| x / scale) {
        Ok(x) if (0.5..=0.999).contains(&x) => Ok(x),
        _ => Err(format!("expected a probability from 0.5 to 0.999 such as `0.9` or `90%`, got `{text}`")),
    }
}

fn parse_ratio_of_tokens(text: &str) -> Result<f64, String> {
    match parse_count(text)? {
        n if (0.01..=1e6).contains(&n) => Ok(n),
        _ => Err(format!("expected tokens a parameter from 0.01 to 1e6 such as `20`, got `{text}`")),
    }
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    let spec = args.conditions.spec()?;
    if spec.is_hourly() {
        bail!("`plan` takes no hours of a grid: name a grid, and `estimate` what was planned with `--grid FILE.csv`");
    }
    let (trained, filled) = args.trained(context)?;
    let request = PlanRequest {
        budgets: args.budgets()?,
        confidence: args.confidence,
        trained,
        machines: args.machines(&spec, context)?,
        arch: args.arch,
        dtype: args.dtype,
        cluster: Cluster { network: args.network, devices_per_node: args.devices_per_node },
        software: SoftwareSpec { attention: args.attention.or(args.software.attention), ..args.software },
        micro_batch: args.micro_batch.map(|n| n as usize),
        dataset_tokens: args.dataset_tokens,
        seed: args.seed,
    };
    let plan = plan(&request)?;
    let Some(estimate) = request.estimate_of(&plan.best)? else { bail!("nothing was planned") };
    let machine = &request.machines[plan.best.machine];
    let hardware = args.hardware.get(plan.best.machine / args.counts().len()).unwrap_or(&machine.device.id);
    let next = estimate_command(&plan.best, (hardware, args.arch), args.what.as_deref(), &filled);
    if args.format == Format::Json {
        let budgets = request.budgets.iter().enumerate().map(|(i, budget)| BudgetOutput {
            typed: &budget.typed,
            quantity: budget.quantity.key(),
            amount: budget.amount,
            binds: i == plan.best.budget,
        });
        return print_json(&Output {
            schema: JSON_SCHEMA,
            budgets: budgets.collect(),
            confidence: args.confidence,
            tokens_per_param: args.scale.map(|_| args.tokens_per_param()),
            plan: &plan.best,
            frontier: &plan.frontier,
            left_out: &plan.left_out,
            assumed: filled.said(),
            next,
            warnings: &estimate.warnings,
        });
    }
    if args.format == Format::Csv {
        let (_, table) = frontier_table(&plan, usize::MAX, usize::MAX);
        return print_table(&table, Format::Csv, "");
    }
    for (reason, machines) in by_reason(&plan.left_out) {
        context.note(format_args!("left out: {}: {reason}", machines.join(", ")));
    }
    print(&args.text(&request.budgets, &plan, &estimate, (&filled.said(), &next)))
}

/// The first line of each reason once, with the machines that it is about.
fn by_reason(left_out: &[LeftOut]) -> Vec<(&str, Vec<String>)> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for out in left_out {
        let reason = out.reason.lines().next().unwrap_or_default();
        let machine = format!("{} x {}", out.devices, out.hardware);
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, machines)) => machines.push(machine),
            None => reasons.push((reason, vec![machine])),
        }
    }
    reasons
}

impl Args {
    fn tokens_per_param(&self) -> f64 {
        self.tokens_per_param.unwrap_or(CHINCHILLA)
    }

    fn budgets(&self) -> Result<Vec<Budget>> {
        let of = |Typed { amount, text }: &Typed| {
            let (quantity, amount) = match *amount {
                Amount::Money(money) => (Quantity::Cost, self.conditions.usd(money)?),
                Amount::Time(time) => (Quantity::Wall, time.hours()),
                Amount::DeviceHours(hours) => (Quantity::DeviceHours, hours),
                Amount::Co2eKg(kg) => (Quantity::Operational, kg),
                Amount::EnergyKwh(kwh) => (Quantity::FacilityEnergy, kwh),
            };
            Ok(Budget { quantity, amount, typed: text.clone() })
        };
        self.budget.iter().map(of).collect()
    }

    /// What is trained, and what was filled in of its recipe.
    fn trained(&self, context: &Context) -> Result<(Trained, Recipes)> {
        let workload = self.workload.or_named(self.what.as_deref());
        let recipe = workload.recipe();
        if recipe.has_length() {
            bail!(
                "`plan` works out how long the run is: leave out `--tokens`, `--steps` and `--epochs`\nhint: \
                 `--dataset-tokens 10B` counts epochs, and `greenformers estimate` says what so many tokens cost"
            );
        }
        if self.scale.is_some() {
            return self.scaled(&workload, recipe);
        }
        if !workload.names_model() {
            super::usage("nothing to train: give a WORKLOAD such as `gpt2` or `config.json`, or `--scale chinchilla`");
        }
        let mut filled = Recipes::default();
        let named = workload.named(None, context)?;
        let mut known = Recipe { steps: Some(1.0), ..recipe };
        if named.phases.is_empty() {
            let longest = named.model.max_seq_len;
            let seq_len = recipe.seq_len.unwrap_or(if longest > 1 { longest.min(SEQ_LEN) } else { SEQ_LEN });
            if recipe.seq_len.is_none() {
                filled.seq_len = Some(seq_len);
            }
            known.seq_len = Some(seq_len);
            if recipe.batch_size.is_none() && recipe.batch_tokens.is_none() {
                let active = active_params(&named.model.clone().with_room_for(seq_len), self.arch);
                let batch_size = usual_batch(active as f64, seq_len);
                known.batch_size = Some(batch_size);
                filled.batch_tokens = Some(batch_size * seq_len);
            }
        }
        // A workload of several phases keeps their parts of its steps.
        let run = if named.phases.is_empty() { known.over(named)? } else { recipe.over(named)? };
        Ok((Trained::Workload(Box::new(run)), filled))
    }

    fn scaled(&self, workload: &WorkloadArgs, recipe: Recipe) -> Result<(Trained, Recipes)> {
        if workload.names_model() {
            bail!(
                "`--scale chinchilla` looks for the model, and one was named: leave out one of them\nhint: without `--scale`, \
                 `plan` says how many tokens of that model the budget buys"
            );
        }
        if self.arch != Arch::Dense {
            bail!("`--scale chinchilla` with `--arch {}`: expected `dense`, which the rule was found for", self.arch);
        }
        let seq_len = recipe.seq_len.unwrap_or(SEQ_LEN);
        let of_sequences = recipe.batch_size.map(|sequences| (sequences * seq_len) as f64);
        let batch_tokens = recipe.batch_tokens.or(of_sequences);
        if let Some(tokens) = batch_tokens.filter(|tokens| !(seq_len as f64..=1e12).contains(tokens)) {
            bail!("`--batch-tokens {tokens}`: expected at least the {seq_len} tokens of a sequence, and at most 1e12");
        }
        let filled = Recipes {
            tokens_per_param: Some(self.tokens_per_param()),
            usual_batch: batch_tokens.is_none(),
            ..Recipes::default()
        };
        let tokens_per_param = self.tokens_per_param();
        Ok((Trained::Largest(Scaling { tokens_per_param, vocab: VOCABULARIES.1, seq_len, batch_tokens }), filled))
    }

    /// The numbers of devices to compare.
    fn counts(&self) -> Vec<u32> {
        let of_layout = match self.layout {
            Some(LayoutSpec::Of(layout)) => u32::try_from(layout.devices()).ok(),
            Some(LayoutSpec::Auto) | None => None,
        };
        match self.devices.or(of_layout) {
            Some(devices) => vec![devices],
            None => (0..u32::BITS).map(|i| 1 << i).take_while(|n| *n <= self.max_devices).collect(),
        }
    }

    fn machines(&self, spec: &ConditionsSpec, context: &Context) -> Result<Vec<Machine>> {
        let counts = self.counts();
        let mut machines = Vec::new();
        for name in &self.hardware {
            let device: Device = spec.device(name, &context.catalog)?;
            for &devices in &counts {
                // One number of devices is planned as `estimate` takes it; several are compared by one model.
                let several = devices > 1 || counts.len() > 1;
                let can = device.kind == DeviceKind::Gpu && !matches!(self.arch, Arch::Lora { .. });
                let auto = (several && can).then_some(LayoutSpec::Auto);
                let hardware = Hardware::Catalog(device.clone());
                let conditions = spec.on(&hardware, devices, &context.catalog)?;
                machines.push(Machine { device: device.clone(), devices, layout: self.layout.or(auto), conditions });
            }
        }
        Ok(machines)
    }

    fn text(&self, budgets: &[Budget], plan: &Plan, estimate: &Estimate, (said, next): (&[String], &str)) -> String {
        let width = width();
        let sentence = plan_sentence(plan, budgets, self.confidence, Some(estimate.basis));
        let mut text = paint().strong(wrapped(&sentence, width, "").trim_end()) + "\n\n";
        text.push_str(&paint().table(&plan_table(&plan.best, budgets).render(width), &[]));
        if let Some(layout) = &plan.best.layout {
            text.push('\n');
            text.push_str(&wrapped(&format!("layout:  {layout}"), width, "         "));
        }
        if plan.frontier.len() > 1 {
            let (common, table) = frontier_table(plan, ROWS, width);
            let goals = if self.scale.is_some() { "parameters, time and cost" } else { "tokens, time and cost" };
            let heading = format!("Within the budget, and beaten by no other in {goals} at once:");
            text.push_str(&format!("\n{}", wrapped(&heading, width, "")));
            if !common.is_empty() {
                text.push_str(&wrapped(&format!("All: {}", common.join(", ")), width, "  "));
            }
            text.push_str(&paint().table(&table.render(width), &[]));
            if plan.frontier.len() > ROWS {
                let rest = format!("{ROWS} of {}: `--format csv` has the rest", plan.frontier.len());
                text.push_str(&wrapped(&rest, width, ""));
            }
        }
        text.push('\n');
        for line in said {
            text.push_str(&wrapped(&format!("assumed: {line}"), width, "         "));
        }
        text.push_str(&assumed_and_next(Some(estimate), next, width));
        if self.assumptions {
            text.push('\n');
            text.push_str(&assumptions_table(estimate).render(width));
        }
        text + &warnings_text(&estimate.warnings)
    }
}
