//! `footprint`: a run whose hours are known.

use anyhow::Result;
use greenformers::catalog::Device;
use greenformers::estimate::{FootprintRequest, Quantity, footprint, modelled_power};
use greenformers::report::{
    assumptions_table, estimates_frame, interval, short_answer, statement_of_past, to_csv, wrapped,
};
use greenformers::units::{Watts, parse_power, parse_time};

use super::Context;
use super::common::{ConditionsArgs, Format, command_with, paint, print, print_json, warnings_text, width};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers footprint --hours 79.2 --devices 64 --power-total 12041.51 --pue 1.58 --grid-intensity 432.727 --usd-per-hour 2.48
  greenformers footprint --hours 24 --devices 8 --power 380 --grid deu --hardware a100-sxm4-80gb
  greenformers footprint --energy-kwh 120 --grid swe --pue 1.1")]
pub(super) struct Args {
    /// Time from start to end: `79.2` hours, `11h40m`, `2d`
    #[arg(long, value_name = "HOURS", value_parser = parse_hours_of_run)]
    hours: Option<f64>,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1)]
    devices: u32,
    /// Watts of one device, its share of the host included [default: modelled, where `--hardware` is known]
    #[arg(long, value_name = "WATTS", value_parser = parse_power, conflicts_with_all = ["power_total", "energy_kwh"])]
    power: Option<Watts>,
    /// Watts of all devices together, hosts included
    #[arg(long, value_name = "WATTS", value_parser = parse_power, conflicts_with = "energy_kwh")]
    power_total: Option<Watts>,
    /// Energy of the machines, instead of a power
    #[arg(long, value_name = "KWH")]
    energy_kwh: Option<f64>,
    /// The device, for its price and what went into making it
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Print all that is assumed, with sources
    #[arg(long)]
    assumptions: bool,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

fn parse_hours_of_run(text: &str) -> Result<f64, String> {
    Ok(parse_time(text, 3600.0)?.hours())
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    if args.energy_kwh.is_none() && args.hours.is_none() {
        super::usage("nothing to account for: give `--hours` with `--power` or `--power-total`, or `--energy-kwh`");
    }
    let spec = args.conditions.spec()?;
    let device: Option<Device> =
        args.hardware.as_deref().map(|name| spec.device(name, &context.catalog)).transpose()?;
    let no_energy = args.power.is_none() && args.power_total.is_none() && args.energy_kwh.is_none();
    let device_power = device.as_ref().filter(|_| no_energy).and_then(modelled_power);
    let of = (args.devices, 1.0);
    let conditions = spec.of_known_hours(device.as_ref(), of, device_power.is_some(), &context.catalog)?;
    context.note_hours(&conditions);
    let request = FootprintRequest {
        hours: args.hours,
        devices: args.devices,
        power_total_w: args.power_total.or(args.power.map(|p| p * f64::from(args.devices))).map(|p| p.0),
        energy_kwh: args.energy_kwh,
        device_power,
        seed: args.seed,
    };
    let mut result = footprint(&request, &conditions)?;
    result.hardware = device.map(|device| device.id);
    match args.format {
        Format::Json => print_json(&result),
        Format::Csv => print(&to_csv(&mut estimates_frame(std::slice::from_ref(&result))?)?),
        Format::Text => {
            let next = command_with(if args.assumptions { "--format json" } else { "--assumptions" });
            let width = width();
            let estimates = std::slice::from_ref(&result);
            let [sentence, _, below] = short_answer(estimates, None, &next, width);
            let mut text = paint().strong(sentence.trim_end()) + "\n";
            for quantity in Quantity::ALL.into_iter().filter(|q| !matches!(q, Quantity::Wall | Quantity::DeviceHours)) {
                let known = |v| format!("{} {}", interval(v), quantity.unit());
                let shown = result.footprint.of(quantity).map_or_else(|| "not known".to_owned(), known);
                text.push_str(&format!("{:22} {shown}\n", quantity.words()));
            }
            for (name, reason) in &result.missing {
                text.push_str(&wrapped(&format!("{name}: {reason}"), width, "  "));
            }
            text.push_str(&format!("\n{below}"));
            if let Some(statement) = statement_of_past(&result) {
                text.push_str(&format!("\n{}", wrapped(&format!("for a paper: {statement}"), width, "  ")));
            }
            if args.assumptions {
                text.push_str(&format!("\n{}", assumptions_table(&result).render(width)));
            }
            text.push_str(&warnings_text(&result.warnings));
            print(&text)
        }
    }
}
