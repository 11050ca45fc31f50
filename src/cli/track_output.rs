//! What `track` prints and writes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use greenformers::catalog::Grid;
use greenformers::estimate::{Account, Assumption, Conditions};
use greenformers::files::{JSON_SCHEMA, append_row, has_header, read_head};
use greenformers::machine::{MachineFacts, PartKind};
use greenformers::record::{Warning, write_whole};
use greenformers::report::{CODECARBON_HEADER, CodecarbonRow, TextTable, interval, significant};
use greenformers::stats::Interval;
use greenformers::track::{Exit, Line, Tracked, Tracking};
use greenformers::units::Joules;
use serde::Serialize;

/// A command that has run, and what it came to.
pub(super) struct Run<'a> {
    pub(super) command: &'a [OsString],
    pub(super) project: Option<&'a str>,
    pub(super) started: chrono::DateTime<chrono::Local>,
    pub(super) tracking: Tracking,
    pub(super) tracked: &'a Tracked,
    pub(super) account: &'a Account,
    pub(super) conditions: &'a Conditions,
    pub(super) grid: Option<&'a Grid>,
    pub(super) facts: &'a MachineFacts,
}

/// Where the account goes: checked before the command runs.
pub(super) enum Destination {
    Json(PathBuf),
    Csv(PathBuf),
}

impl Destination {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            bail!(
                "cannot write `{}`: there is no folder `{}`\nhint: `mkdir -p {}`",
                path.display(),
                folder.display(),
                folder.display()
            );
        }
        if path.is_dir() {
            bail!("cannot write `{}`: it is a folder\nhint: `-o {}/run.json`", path.display(), path.display());
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => Ok(Self::Json(path.to_owned())),
            Some("csv") => {
                let fits =
                    !path.exists() || has_header(&read_head(path, CODECARBON_HEADER.len() + 2)?.0, CODECARBON_HEADER);
                if !fits {
                    bail!(
                        "`{}` has other columns than CodeCarbon's 3.3.0, so no row can be added\nhint: give a new file",
                        path.display()
                    );
                }
                Ok(Self::Csv(path.to_owned()))
            }
            _ => bail!("`{}` is neither `.json` nor `.csv`\nhint: `-o run.json`", path.display()),
        }
    }

    /// Writes the file whole, or adds one whole row to it.
    pub(super) fn write(&self, run: &Run) -> Result<()> {
        match self {
            Self::Json(path) => {
                let text = serde_json::to_string_pretty(&json(run))? + "\n";
                write_whole(path, text.as_bytes()).with_context(|| format!("cannot write `{}`", path.display()))
            }
            Self::Csv(path) => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.write_record(row(run).fields())?;
                let written = append_row(path, CODECARBON_HEADER, &writer.into_inner()?)
                    .with_context(|| format!("cannot write `{}`", path.display()))?;
                if written != *path {
                    // What became of the account of a long run is said however quiet the rest is.
                    super::say(format_args!(
                        "warning: `{}` cannot take the row any more, having got other columns or a writer that holds it: \
                         the row is in `{}`",
                        path.display(),
                        written.display()
                    ));
                }
                Ok(())
            }
        }
    }
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    command: Vec<String>,
    started: String,
    duration_s: f64,
    exit: Exit,
    tracking: Tracking,
    lines: &'a [Line],
    cpu_s: Option<f64>,
    cpu_load: Option<f64>,
    resident_bytes: Option<u64>,
    /// Whether a part of the machine is missing from the totals.
    partial: bool,
    #[serde(flatten)]
    account: &'a Account,
    warnings: &'a [Warning],
}

fn json<'a>(run: &Run<'a>) -> Output<'a> {
    Output {
        schema: JSON_SCHEMA,
        command: run.command.iter().map(|c| c.to_string_lossy().into_owned()).collect(),
        started: run.started.to_rfc3339_opts(chrono::SecondsFormat::Millis, false),
        duration_s: run.tracked.duration_s,
        exit: run.tracked.exit,
        tracking: run.tracking,
        lines: &run.tracked.lines,
        cpu_s: run.tracked.cpu_s,
        cpu_load: run.tracked.cpu_load,
        resident_bytes: run.tracked.resident_bytes,
        partial: is_partial(run.tracked),
        account: run.account,
        warnings: &run.tracked.warnings,
    }
}

fn is_partial(tracked: &Tracked) -> bool {
    tracked.lines.iter().any(Line::is_missing)
}

/// The account for people.
pub(super) fn text(run: &Run) -> String {
    let Run { tracked, account, .. } = run;
    let shown =
        |value: Option<Interval>, per_unit: f64| value.map_or_else(|| "-".to_owned(), |i| interval(i.scaled(per_unit)));
    let mut table = TextTable::new(&["part", "energy J", "above idle J", "power W", "source"]);
    for line in &tracked.lines {
        let source = match (line.source, line.covered_by) {
            (_, Some(by)) => format!("in {by}"),
            (Some(source), None) => source.name().to_owned(),
            (None, None) => "not known".to_owned(),
        };
        table.row(vec![
            line.device.clone(),
            shown(line.energy_j, 1.0),
            shown(line.energy_above_idle_j, 1.0),
            shown(line.power_w, 1.0),
            source,
        ]);
    }
    let ended = match (tracked.exit.code, tracked.exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let whose = match run.tracking {
        Tracking::Machine => "the whole machine",
        Tracking::Process => "the command's share",
    };
    let mut text = format!("\n{} s, {ended}; {whose}:\n{}", significant(tracked.duration_s), table.render());
    let partial = if is_partial(tracked) { " (partial: a part of the machine is not known)" } else { "" };
    let totals = [
        ("energy at the wall", account.it_energy_kwh, 1000.0, "Wh"),
        ("emissions", account.operational_kgco2e, 1000.0, "gCO2e"),
        ("cost", account.cost_usd, 1.0, "USD"),
    ];
    for (what, value, scale, unit) in totals {
        let known =
            value.map_or_else(|| "not known".to_owned(), |v| format!("{} {unit}{partial}", interval(v.scaled(scale))));
        text.push_str(&format!("{what:18} {known}\n"));
    }
    let assumed = |a: &&Assumption| matches!(a.value, greenformers::estimate::Value::Text(_));
    for choice in account.assumptions.iter().filter(assumed) {
        if let greenformers::estimate::Value::Text(value) = &choice.value {
            text.push_str(&format!("{}: {value} ({})\n", choice.name, choice.source));
        }
    }
    for line in &tracked.lines {
        if let Some(reason) = &line.reason {
            text.push_str(&format!("{}: {}\n", line.device, reason.replace('\n', "; ")));
        }
    }
    for warning in &tracked.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn row(run: &Run) -> CodecarbonRow {
    let Run { tracked, facts, grid, .. } = run;
    let of = |kind: PartKind| tracked.lines.iter().filter(move |l| l.kind == kind);
    let sum = |kind: PartKind, value: fn(&Line) -> Option<Interval>| {
        let values: Vec<f64> = of(kind).filter_map(value).map(|i| i.mid).collect();
        (!values.is_empty() && of(kind).all(|l| !l.is_missing())).then(|| values.iter().sum::<f64>())
    };
    let energy = |kind| sum(kind, |l| l.energy_j).map(|j| Joules(j).kwh());
    let power = |kind| sum(kind, |l| l.power_w);
    let gpus: Vec<&str> = of(PartKind::Gpu).map(|l| l.name.as_str()).collect();
    let command = run.command.first().map(|c| Path::new(c).file_name().unwrap_or(c).to_string_lossy().into_owned());
    CodecarbonRow {
        timestamp: run.started.format("%Y-%m-%dT%H:%M:%S").to_string(),
        project_name: run.project.map_or_else(|| command.unwrap_or_default(), str::to_owned),
        run_id: run_id(),
        duration_s: tracked.duration_s,
        cpu_power_w: power(PartKind::Cpu),
        gpu_power_w: power(PartKind::Gpu),
        ram_power_w: power(PartKind::Memory),
        cpu_energy_kwh: energy(PartKind::Cpu),
        gpu_energy_kwh: energy(PartKind::Gpu),
        ram_energy_kwh: energy(PartKind::Memory),
        partial: is_partial(tracked),
        water_l: run.account.water_l.map(|w| w.mid),
        intensity_g_per_kwh: Some(run.conditions.intensity.distribution.centre()),
        pue: run.conditions.pue.distribution.centre(),
        location: grid.map(|g| g.location.clone()).unwrap_or_default(),
        os: facts.os.clone(),
        cpu_count: facts.usable_cpus(),
        cpu_model: facts.cpu.clone(),
        gpu_count: (!gpus.is_empty()).then_some(gpus.len()),
        gpu_model: (!gpus.is_empty()).then(|| gpus.join(", ")),
        ram_total_gb: facts.memory_bytes as f64 / 1e9,
        tracking_mode: match run.tracking {
            Tracking::Machine => "machine",
            Tracking::Process => "process",
        },
        cpu_load: tracked.cpu_load,
        ram_used_gb: tracked.resident_bytes.map(|b| b as f64 / 1e9),
    }
}

/// A random UUID (version 4).
fn run_id() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes.iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_a_uuid_of_version_4_and_never_twice_the_same() {
        let id = run_id();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        assert_ne!(id, run_id());
    }
}
