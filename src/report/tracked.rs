//! A command that was tracked, and what it came to: for people and for files.

use std::ffi::OsString;

use serde::Serialize;

use super::forecasted::ForecastOfRun;
use super::numbers::{interval, significant};
use super::table::TextTable;
use crate::catalog::Grid;
use crate::estimate::{Account, Conditions, Quantity, Value};
use crate::files::JSON_SCHEMA;
use crate::machine::{Job, MachineFacts};
use crate::meter::EnergySource;
use crate::record::Warning;
use crate::stats::Interval;
use crate::track::{Exit, Tracked, TrackedPart, Tracking};

/// A command that takes less has its account in three lines.
const SHORT_S: f64 = 2.0;

/// A command that has run, and what it came to.
#[derive(Debug, Clone, Copy)]
pub struct TrackedRun<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// What the run is called, if it was given a name.
    pub project: Option<&'a str>,
    /// The job that it is a part of, if it is one.
    pub job: Option<&'a Job>,
    /// The number of this start of the machine, where the system has one.
    pub boot_id: Option<&'a str>,
    /// When it began, with the zone: `2026-11-24T21:15:00.000+01:00`.
    pub started: &'a str,
    /// Whose energy is accounted for.
    pub tracking: Tracking,
    /// What was metered.
    pub tracked: &'a Tracked,
    /// What that comes to.
    pub account: &'a Account,
    /// Grid, site and prices.
    pub conditions: &'a Conditions,
    /// The grid, if it was named.
    pub grid: Option<&'a Grid>,
    /// The machine.
    pub facts: &'a MachineFacts,
    /// What the whole of it would come to, where that was forecast.
    pub forecast: Option<&'a ForecastOfRun>,
}

/// Where it ran, and what of that it may use.
#[derive(Serialize)]
struct Machine<'a> {
    host: &'a str,
    boot_id: Option<&'a str>,
    /// Seconds from the start of the machine to that of the command: two records of one start can be laid side by side by
    /// it, however its clock was set.
    since_boot_s: Option<f64>,
    process: u32,
    cpu: &'a str,
    cpus: f64,
    memory_bytes: u64,
}

#[derive(Serialize)]
struct Output<'a> {
    schema: u32,
    command: Vec<String>,
    project: Option<&'a str>,
    started: &'a str,
    duration_s: f64,
    exit: Exit,
    machine: Machine<'a>,
    job: Option<&'a Job>,
    tracking: Tracking,
    lines: &'a [TrackedPart],
    cpu_s: Option<f64>,
    cpu_load: Option<f64>,
    resident_bytes: Option<u64>,
    /// Whether a part of the machine is missing from the totals.
    partial: bool,
    #[serde(flatten)]
    account: &'a Account,
    warnings: &'a [Warning],
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<&'a ForecastOfRun>,
}

impl TrackedRun<'_> {
    /// Whether a part of the machine is missing from the totals.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.tracked.lines.iter().any(TrackedPart::is_missing)
    }

    /// The account as indented JSON.
    ///
    /// # Errors
    /// If a number cannot be written.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let Self { tracked, .. } = self;
        let output = Output {
            schema: JSON_SCHEMA,
            command: self.command.iter().map(|c| c.to_string_lossy().into_owned()).collect(),
            project: self.project,
            started: self.started,
            machine: Machine {
                host: &self.facts.host,
                boot_id: self.boot_id,
                since_boot_s: tracked.since_boot_s,
                process: std::process::id(),
                cpu: &self.facts.cpu,
                cpus: self.facts.usable_cpus(),
                memory_bytes: self.facts.memory_bytes,
            },
            job: self.job,
            duration_s: tracked.duration_s,
            exit: tracked.exit,
            tracking: self.tracking,
            lines: &tracked.lines,
            cpu_s: tracked.cpu_s,
            cpu_load: tracked.cpu_load,
            resident_bytes: tracked.resident_bytes,
            partial: self.is_partial(),
            account: self.account,
            warnings: &tracked.warnings,
            forecast: self.forecast,
        };
        Ok(serde_json::to_string_pretty(&output)? + "\n")
    }

    /// The account of a command that took no time, in three lines.
    fn in_short(&self, ended: &str) -> String {
        let of = |quantity: Quantity, scale: f64, unit: &str| {
            self.account.footprint.of(quantity).map(|v| format!("{} {unit}", interval(v.scaled(scale))))
        };
        let totals = [
            of(Quantity::ItEnergy, 1000.0, "Wh"),
            of(Quantity::Operational, 1000.0, "gCO2e"),
            of(Quantity::Cost, 1.0, "USD"),
        ];
        let totals: Vec<String> = totals.into_iter().flatten().collect();
        let totals = if totals.is_empty() { "energy not known".to_owned() } else { totals.join(", ") };
        let partial = if self.is_partial() { "; a part of the machine is not known" } else { "" };
        let mut sources: Vec<&str> =
            self.tracked.lines.iter().filter_map(|l| l.source).map(EnergySource::name).collect();
        sources.sort_unstable();
        sources.dedup();
        let sources = if sources.is_empty() { String::new() } else { format!(" (by {})", sources.join(", ")) };
        // Why the first part was not metered, and what was odd, is said however short it was.
        let reason = self.tracked.lines.iter().find_map(|line| Some((&line.device, line.reason.as_ref()?)));
        let mut below =
            reason.map_or_else(String::new, |(part, reason)| format!("{part}: {}\n", reason.replace('\n', "; ")));
        for warning in &self.tracked.warnings {
            below.push_str(&format!("warning: {warning}\n"));
        }
        format!(
            "\n{} s, {ended}: {totals}{sources}{partial}\n{below}a command of less than {SHORT_S} s says little: `-o FILE.json` has all that was metered\n",
            significant(self.tracked.duration_s)
        )
    }

    /// The account for people.
    #[must_use]
    pub fn text(&self, width: usize) -> String {
        let Self { tracked, account, .. } = self;
        let shown = |value: Option<Interval>, per_unit: f64| {
            value.map_or_else(|| "-".to_owned(), |i| interval(i.scaled(per_unit)))
        };
        let mut table = TextTable::new(&["part", "energy J", "above idle J", "power W", "source"]);
        for line in &tracked.lines {
            let source = match (line.source, line.covered_by) {
                (_, Some(by)) => format!("in {by}"),
                _ if line.measured_by.is_some() => "metered by another rank".to_owned(),
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
        let whose = match self.tracking {
            Tracking::Machine => "the whole machine",
            Tracking::Process => "the command's share",
        };
        let mut text = format!("\n{} s, {ended}; {whose}:\n{}", significant(tracked.duration_s), table.render(width));
        if tracked.duration_s < SHORT_S {
            return self.in_short(&ended);
        }
        let partial = if self.is_partial() { " (partial: a part of the machine is not known)" } else { "" };
        let totals = [
            ("energy at the wall", account.footprint.of(Quantity::ItEnergy), 1000.0, "Wh"),
            ("emissions", account.footprint.of(Quantity::Operational), 1000.0, "gCO2e"),
            ("cost", account.footprint.of(Quantity::Cost), 1.0, "USD"),
        ];
        for (what, value, scale, unit) in totals {
            let known = value
                .map_or_else(|| "not known".to_owned(), |v| format!("{} {unit}{partial}", interval(v.scaled(scale))));
            text.push_str(&format!("{what:18} {known}\n"));
        }
        for choice in &account.assumptions {
            if let Value::Text(value) = &choice.value {
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
}
