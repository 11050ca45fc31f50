//! Options that several commands share, and what they resolve to.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use chrono::Datelike as _;
use clap::ValueEnum;
use greenformers::catalog::IntensityBasis;
use greenformers::estimate::ConditionsSpec;
use greenformers::files::read_head;
use greenformers::record::Warning;
use greenformers::report::{Paint, TextTable};
use greenformers::units::{
    GramsCo2ePerKwh, Money, Seconds, parse_count, parse_electricity_price, parse_intensity, parse_rent, parse_time,
};

/// What is trained unless something else is named.
pub(super) const DEFAULT_WORKLOAD: &str = "bert-base";

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables for people
    Text,
    /// JSON, data alone
    Json,
    /// CSV, data alone
    Csv,
}

/// Grid, site and prices.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConditionsArgs {
    /// Whose electricity: a name (`fra`, `us-egrid-camx`, `aws-eu-north-1`), a YAML file, or hours as FILE.csv or Electricity Maps' FILE.json
    #[arg(long, value_name = "NAME|FILE", help_heading = "Grid, site, prices")]
    grid: Option<String>,
    /// With a CSV file of hours: find the best start within so many hours (`48h`)
    #[arg(long, value_name = "HOURS", value_parser = parse_hours, help_heading = "Grid, site, prices")]
    start_within: Option<usize>,
    /// Whose cloud: aws, gcp, azure, lambda and others. Fixes the price, and with `--region` grid and PUE
    #[arg(long, visible_alias = "provider", value_name = "NAME", help_heading = "Grid, site, prices")]
    cloud: Option<String>,
    /// Region of the cloud: its name (`eu-west-1`) or place (`Ireland`)
    #[arg(long, value_name = "NAME", conflicts_with = "grid", help_heading = "Grid, site, prices")]
    region: Option<String>,
    /// What intensities count: life-cycle or direct. Grids known on the other basis are brought to this one, with an interval
    #[arg(long, value_name = "BASIS", default_value = "life-cycle", help_heading = "Grid, site, prices")]
    basis: IntensityBasis,
    /// Emissions of a kilowatt-hour, instead of the grid's: `400`, `0.4kg`, `900 lb/MWh`
    #[arg(long, value_name = "G_PER_KWH", value_parser = parse_intensity, help_heading = "Grid, site, prices")]
    grid_intensity: Option<GramsCo2ePerKwh>,
    /// Where the machine stands: a name (`workstation`, `aws`) or a YAML file
    #[arg(long, value_name = "NAME|FILE", help_heading = "Grid, site, prices")]
    site: Option<String>,
    /// Facility energy over IT energy, instead of the site's
    #[arg(long, value_name = "RATIO", help_heading = "Grid, site, prices")]
    pue: Option<f64>,
    /// Rent of one device for an hour: `2.48`, `2.10 EUR/h`
    #[arg(long, value_name = "USD", value_parser = parse_rent, help_heading = "Grid, site, prices")]
    usd_per_hour: Option<Money>,
    /// Which of the catalog's offers: on-demand, list, spot or reserved [default: the median on-demand offer]
    #[arg(long, value_name = "BASIS", conflicts_with = "usd_per_hour", help_heading = "Grid, site, prices")]
    price: Option<String>,
    /// The offers of a year, for a run of the past: `2024` [default: all of the catalog, of whichever year]
    #[arg(long, value_name = "YEAR", conflicts_with = "usd_per_hour", help_heading = "Grid, site, prices")]
    price_year: Option<i32>,
    /// Price of electricity, for machines that are not rented: `0.12`, `0.30 EUR/kWh`
    #[arg(long, value_name = "USD", value_parser = parse_electricity_price, help_heading = "Grid, site, prices")]
    usd_per_kwh: Option<Money>,
    /// Dollars of a euro, where a price is in euros
    #[arg(long, value_name = "RATE", value_parser = parse_count, help_heading = "Grid, site, prices")]
    eur_usd: Option<f64>,
}

impl ConditionsArgs {
    /// Money in US dollars, by the rate that was given.
    pub(super) fn usd(&self, money: Money) -> Result<f64> {
        money.usd(self.eur_usd).map_err(anyhow::Error::msg)
    }

    /// What was said, for the library.
    pub(super) fn spec(&self) -> Result<ConditionsSpec> {
        let usd = |money: Option<Money>| money.map(|m| self.usd(m)).transpose();
        Ok(ConditionsSpec {
            grid: self.grid.clone(),
            start_within_h: self.start_within,
            cloud: self.cloud.clone(),
            region: self.region.clone(),
            instance: None,
            basis: self.basis,
            asked_in: Some(this_month()),
            intensity: self.grid_intensity.map(|g| g.0),
            site: self.site.clone(),
            pue: self.pue,
            usd_per_hour: usd(self.usd_per_hour)?,
            price_basis: self.price.clone(),
            price_year: self.price_year,
            usd_per_kwh: usd(self.usd_per_kwh)?,
        })
    }
}

/// Year and month: of `SOURCE_DATE_EPOCH`, where output is to be the same at any time, or of now.
pub(super) fn this_month() -> (i32, u32) {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let then = fixed.and_then(|s| chrono::DateTime::from_timestamp(s, 0)).unwrap_or_else(chrono::Utc::now);
    (then.year(), then.month())
}

/// `48h`, `48` or `2d` as 48.
fn parse_hours(text: &str) -> Result<usize, String> {
    const MOST: f64 = 87_672.0;
    match parse_time(text, 3600.0).map(Seconds::hours) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number up to ten years")]
        Ok(hours) if hours.fract() == 0.0 && hours <= MOST => Ok(hours as usize),
        _ => Err(format!("expected a whole number of hours up to ten years, such as `48h` or `2d`, got `{text}`")),
    }
}

/// `1%` or `0.01` as 0.01.
pub(super) fn parse_ratio(text: &str) -> Result<f64, String> {
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |n| (n, 100.0));
    match number.trim().parse::<f64>() {
        Ok(x) if x.is_finite() && x > 0.0 && x / scale < 1.0 => Ok(x / scale),
        _ => Err(format!("expected a ratio between 0 and 1 such as `1%` or `0.01`, got `{text}`")),
    }
}

/// Thirty years.
const MOST_S: f64 = 1e9;

/// A time above 0, in seconds where no unit is given.
pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    match parse_time(text, 1.0)?.0 {
        x if x > 0.0 && x <= MOST_S => Ok(x),
        _ => Err(format!("expected a time in seconds above 0, and of at most {MOST_S:e}, got `{text}`")),
    }
}

/// Minutes above 0.
pub(super) fn parse_minutes(text: &str) -> Result<f64, String> {
    match parse_time(text, 60.0)?.0 / 60.0 {
        m if m > 0.0 && m <= 100_000.0 => Ok(m),
        _ => Err(format!("expected minutes above 0, up to 100000, got `{text}`")),
    }
}

/// Whether the locale is that of ASCII: `LC_ALL=C`. Where nothing is set, a terminal shows more.
pub(super) fn is_ascii_locale() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| locale == "C" || locale == "POSIX")
}

/// `text` by letters that every terminal has.
fn in_ascii(text: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        '×' => "x".to_owned(),
        '÷' => "/".to_owned(),
        '–' | '−' | '▍' | '▎' | '▏' => "-".to_owned(),
        '±' => "+-".to_owned(),
        '€' => "EUR".to_owned(),
        '█' | '▉' | '▊' | '▋' | '▌' => "#".to_owned(),
        '₂' | '²' => "2".to_owned(),
        _ => "?".to_owned(),
    };
    text.chars().map(letter).collect()
}

/// Whether a file is an account of a command, as `track` and `forecast` write it, by its first keys.
pub(super) fn is_account(path: &Path) -> bool {
    const MOST: usize = 4096;
    let Ok((head, _)) = read_head(path, MOST) else { return false };
    let plain: String = String::from_utf8_lossy(&head).chars().filter(|c| !c.is_whitespace()).collect();
    plain.starts_with("{\"schema\":") && plain.contains("\"command\":[")
}

/// Text to stdout; a reader that has gone away is no panic.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let text = if is_ascii_locale() { Cow::Owned(in_ascii(text)) } else { Cow::Borrowed(text) };
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Colour where stdout is a terminal that shows it, and nobody wants none (<https://no-color.org>).
pub(super) fn paint() -> Paint {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    Paint(std::io::stdout().is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb"))
}

/// Columns of a table: `COLUMNS` where it is set, those of the terminal, or as many as it takes where nobody looks on.
pub(super) fn width() -> usize {
    const LEAST: usize = 40;
    let set = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let of_terminal = || terminal_size::terminal_size().map(|(columns, _)| usize::from(columns.0));
    let shown = std::io::stdout().is_terminal();
    set.or_else(|| of_terminal().filter(|_| shown)).map_or(usize::MAX, |columns: usize| columns.max(LEAST))
}

/// An argument as a shell reads it.
pub(super) fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+%@".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) { arg.to_owned() } else { format!("'{}'", arg.replace('\'', "'\\''")) }
}

/// The command line as it was typed, with more at its end: what to type next.
pub(super) fn command_with(more: &str) -> String {
    let typed: Vec<String> = std::env::args_os().skip(1).map(|arg| quoted(&arg.to_string_lossy())).collect();
    format!("greenformers {} {more}", typed.join(" "))
}

/// Each warning once, after an empty line; nothing if there is none.
pub(super) fn warnings_text<'a>(warnings: impl IntoIterator<Item = &'a Warning>) -> String {
    let mut said: Vec<&Warning> = Vec::new();
    for warning in warnings {
        if !said.contains(&warning) {
            said.push(warning);
        }
    }
    let mut text = String::new();
    for warning in &said {
        text.push_str(&format!("\n{} {warning}", paint().caution("warning:")));
    }
    if !said.is_empty() {
        text.push('\n');
    }
    text
}

/// A table to stdout: for people with `below` after it, or as CSV.
pub(super) fn print_table(table: &TextTable, format: Format, below: &str) -> Result<()> {
    if format != Format::Csv {
        return print(&(paint().table(&table.render(width()), &[]) + below));
    }
    let (header, lines) = table.parts();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for line in lines {
        writer.write_record(line)?;
    }
    print(&String::from_utf8_lossy(&writer.into_inner()?))
}

/// A value as indented JSON to stdout.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// A record goes by its folder; a file of another name than records have by its own.
pub(super) fn record_name(path: &Path) -> String {
    let is_record = path.file_name().is_some_and(|n| n == greenformers::record::RECORD_FILE);
    let named = if is_record { path.parent().filter(|p| p.file_name().is_some()).unwrap_or(path) } else { path };
    let name = named.file_stem().filter(|_| !named.is_dir()).or(named.file_name());
    name.map_or_else(|| "record".to_owned(), |n| n.to_string_lossy().chars().take(40).collect())
}

/// A folder for today's campaign on this machine that does not exist yet.
pub(super) fn new_campaign_folder(host: &str) -> PathBuf {
    let host: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let name = format!("{}-{}", host.trim_matches('-'), chrono::Local::now().format("%Y-%m-%d"));
    let root = PathBuf::from("reports");
    (1..1000)
        .map(|n| root.join(if n == 1 { name.clone() } else { format!("{name}-{n}") }))
        .find(|folder| !folder.exists())
        .unwrap_or_else(|| root.join(name))
}
