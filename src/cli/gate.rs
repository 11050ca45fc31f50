//! `gate`: whether a run has become dearer, beyond doubt.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;
use greenformers::files::{JSON_SCHEMA, read_text};
use greenformers::record::MAX_ACCOUNT_BYTES;
use greenformers::report::significant;
use greenformers::stats::{Interval, ratio_of_means};
use serde::Serialize;
use serde_json::Value;

use super::Context;
use super::common::{Format, parse_ratio, print, print_json};

/// No folder of repeats has more.
const MOST_FILES: usize = 10_000;
/// Standard deviation of the logarithm of what one run takes, where no repeats tell it (judgement: a shared machine).
const USUAL_SD: f64 = 0.05;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Energy at the wall
    Energy,
    /// Time
    Time,
    /// CO2e
    Co2e,
    /// Cost
    Cost,
}

impl Of {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Energy => ("energy", "kWh"),
            Self::Time => ("time", "s"),
            Self::Co2e => ("CO2e", "kgCO2e"),
            Self::Cost => ("cost", "USD"),
        }
    }

    /// Of an account: of the whole run, where it was forecast.
    fn of(self, account: &Value) -> Option<f64> {
        let whole = &account["forecast"]["whole"];
        let (key, from) = match self {
            Self::Energy => ("it_energy_kwh", if whole.is_object() { whole } else { account }),
            Self::Co2e => ("operational_kgco2e", if whole.is_object() { whole } else { account }),
            Self::Cost => ("cost_usd", if whole.is_object() { whole } else { account }),
            Self::Time if whole.is_object() => return account["forecast"]["whole_s"]["mid"].as_f64(),
            Self::Time => return account["duration_s"].as_f64(),
        };
        from[key]["mid"].as_f64()
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 if the increase is not sure to be above the limit, 1 if it is, 2 if they cannot be compared.

Examples:
  greenformers gate base.json new.json --max-increase 5%
  greenformers gate base/ new/ --of time                      folders of repeats: the interval is by their scatter
  greenformers gate base/ new/ >> \"$GITHUB_STEP_SUMMARY\""
)]
pub(super) struct Args {
    /// What `track -o` or `forecast -o` wrote before: a file, or a folder of repeats
    base: PathBuf,
    /// The same of the new version
    new: PathBuf,
    /// Increase that is allowed
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = parse_ratio)]
    max_increase: f64,
    /// What is compared
    #[arg(long, value_enum, default_value = "energy")]
    of: Of,
    /// How the result is printed: text is Markdown
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Output {
    schema: u32,
    of: &'static str,
    unit: &'static str,
    base: Vec<f64>,
    new: Vec<f64>,
    ratio: Interval,
    max_increase: f64,
    dearer: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> ExitCode {
    match compare(args) {
        Ok(output) => {
            if let Err(error) = show(&output, args, context) {
                super::say(format_args!("error: {}", super::with_causes(&error)));
            }
            ExitCode::from(u8::from(output.dearer))
        }
        Err(error) => {
            super::say(format_args!("error: {}", super::with_causes(&error)));
            ExitCode::from(2)
        }
    }
}

fn compare(args: &Args) -> Result<Output> {
    let (base, new) = (numbers(&args.base, args.of)?, numbers(&args.new, args.of)?);
    let Some(ratio) = ratio_of_means(&base, &new, USUAL_SD) else {
        bail!("a {} of 0 cannot be compared with another", args.of.words().0);
    };
    let (of, unit) = args.of.words();
    let dearer = ratio.low > 1.0 + args.max_increase;
    Ok(Output { schema: JSON_SCHEMA, of, unit, base, new, ratio, max_increase: args.max_increase, dearer })
}

/// One number of each account.
fn numbers(path: &Path, of: Of) -> Result<Vec<f64>> {
    let files = if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|e| e == "json"));
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    if files.is_empty() || files.len() > MOST_FILES {
        bail!("`{}` holds {} JSON files: expected 1 to {MOST_FILES} accounts", path.display(), files.len());
    }
    files.iter().map(|file| number(file, of)).collect()
}

fn number(file: &Path, of: Of) -> Result<f64> {
    let account: Value = serde_json::from_str(&read_text(file, MAX_ACCOUNT_BYTES)?)
        .map_err(|e| anyhow::anyhow!("`{}` is no account of a command: {e}", file.display()))?;
    if !account["command"].is_array() {
        bail!("`{}` is no account of a command\nhint: `greenformers track -o FILE -- CMD` makes one", file.display());
    }
    let Some(number) = of.of(&account) else {
        bail!("`{}` has no {}: it was not known", file.display(), of.words().0);
    };
    Ok(number)
}

fn show(output: &Output, args: &Args, context: &Context) -> Result<()> {
    if args.format == Format::Json {
        return print_json(output);
    }
    let percent = |x: f64| format!("{:+.1} %", 100.0 * (x - 1.0));
    let Output { of, unit, base, new, ratio, max_increase, dearer, .. } = output;
    let mean = |numbers: &[f64]| (numbers.iter().map(|x| x.ln()).sum::<f64>() / numbers.len() as f64).exp();
    let verdict = if *dearer {
        format!("**dearer**: an increase above {:.1} % is sure", 100.0 * max_increase)
    } else if ratio.high <= 1.0 + max_increase {
        format!("not dearer: an increase above {:.1} % is ruled out", 100.0 * max_increase)
    } else {
        format!(
            "not sure: an increase above {:.1} % is possible, and not beyond doubt; more repeats would tell",
            100.0 * max_increase
        )
    };
    if base.len().min(new.len()) == 1 {
        context.note("note: of one run the scatter is not known; folders of repeats tell more");
    }
    let row = format!(
        "| {of} | {} {unit} ({}) | {} {unit} ({}) | {} [{}, {}] |",
        significant(mean(base)),
        base.len(),
        significant(mean(new)),
        new.len(),
        percent(ratio.mid),
        percent(ratio.low),
        percent(ratio.high)
    );
    if args.format == Format::Csv {
        let of_csv = |x: f64| x.to_string();
        return print(&format!(
            "of,unit,base,new,ratio,low,high,dearer\n{of},{unit},{},{},{},{},{},{dearer}\n",
            of_csv(mean(base)),
            of_csv(mean(new)),
            of_csv(ratio.mid),
            of_csv(ratio.low),
            of_csv(ratio.high)
        ));
    }
    print(&format!("| | base (runs) | new (runs) | change [95 %] |\n|---|---|---|---|\n{row}\n\n{verdict}.\n"))
}
