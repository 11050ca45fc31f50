//! `footprint`: a run whose hours are known.

use anyhow::Result;
use greenformers::catalog::Device;
use greenformers::estimate::{FootprintRequest, Quantity, footprint};
use greenformers::report::{assumptions_table, estimates_frame, human_hours, interval, to_csv};

use super::Context;
use super::common::{ConditionsArgs, Format, print, print_json, warnings_text};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  greenformers footprint --hours 79.2 --devices 64 --power-total 12041.51 --pue 1.58 --grid-intensity 432.727 --usd-per-hour 2.48
  greenformers footprint --hours 24 --devices 8 --power 380 --grid deu --hardware a100-sxm4-80gb
  greenformers footprint --energy-kwh 120 --grid swe --pue 1.1")]
pub(super) struct Args {
    /// Hours from start to end
    #[arg(long, value_name = "HOURS")]
    hours: Option<f64>,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1)]
    devices: u32,
    /// Watts of one device, its share of the host included
    #[arg(long, value_name = "WATTS", conflicts_with_all = ["power_total", "energy_kwh"])]
    power: Option<f64>,
    /// Watts of all devices together, hosts included
    #[arg(long, value_name = "WATTS", conflicts_with = "energy_kwh")]
    power_total: Option<f64>,
    /// Energy of the machines, instead of a power
    #[arg(long, value_name = "KWH")]
    energy_kwh: Option<f64>,
    /// The device, for its price and what went into making it
    #[arg(long, value_name = "NAME|FILE")]
    hardware: Option<String>,
    #[command(flatten)]
    conditions: ConditionsArgs,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How results are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<()> {
    if args.energy_kwh.is_none() && args.hours.is_none() {
        super::usage("nothing to account for: give `--hours` with `--power` or `--power-total`, or `--energy-kwh`");
    }
    let device: Option<Device> = args.hardware.as_deref().map(|name| context.catalog.load(name)).transpose()?;
    let conditions = args.conditions.spec().of_known_hours(device.as_ref(), 1.0, &context.catalog)?;
    let request = FootprintRequest {
        hours: args.hours,
        devices: args.devices,
        power_total_w: args.power_total.or(args.power.map(|p| p * f64::from(args.devices))),
        energy_kwh: args.energy_kwh,
        seed: args.seed,
    };
    let result = footprint(&request, &conditions)?;
    match args.format {
        Format::Json => print_json(&result),
        Format::Csv => print(&to_csv(&mut estimates_frame(std::slice::from_ref(&result))?)?),
        Format::Text => {
            let mut text = String::new();
            let hours = [Quantity::Wall, Quantity::DeviceHours];
            for quantity in Quantity::ALL.into_iter().filter(|q| !hours.contains(q)) {
                let known = |v| format!("{} {}", interval(v), quantity.unit());
                let shown = result.footprint.of(quantity).map_or_else(|| "not known".to_owned(), known);
                text.push_str(&format!("{:22} {shown}\n", quantity.words()));
            }
            if let Some(hours) = result.footprint.of(Quantity::Wall) {
                text.push_str(&format!("{:22} {}\n", "wall time", human_hours(hours)));
            }
            text.push('\n');
            for (name, reason) in &result.missing {
                text.push_str(&format!("{name}: {reason}\n"));
            }
            text.push('\n');
            text.push_str(&assumptions_table(&result).render());
            text.push_str(&warnings_text(&result.warnings));
            print(&text)
        }
    }
}
