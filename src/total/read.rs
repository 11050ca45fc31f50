//! What of an account of `track` or `forecast` can be added, read from its JSON.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::files::JSON_SCHEMA;
use crate::stats::Interval;

/// Why a file gives nothing to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It was perhaps copied while it was written, or half.
    #[error("it ends in its middle, at byte {0}: it was copied in part")]
    Cut(usize),
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    NoJson(String),
    /// It is JSON of something else.
    #[error("it is no account of `track` or `forecast`: {0}")]
    NoAccount(String),
    /// A later program has written it.
    #[error("its schema is {0}, and this program reads {JSON_SCHEMA}: a later version sums it")]
    Schema(u64),
    /// A number in it cannot be.
    #[error("{0}")]
    Wrong(String),
}

/// An account, as far as it is added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summand {
    /// Name of the machine; accounts of older programs do not say it.
    pub host: Option<String>,
    /// Number of the machine's start.
    pub boot: Option<String>,
    /// Seconds from that start to the command's.
    pub since_boot_s: Option<f64>,
    /// When the command began, in seconds of the host's clock since 1970.
    pub started_s: f64,
    /// How long it ran.
    pub duration_s: f64,
    /// The job, its array and index in it, and the step.
    pub job: Option<String>,
    /// Step of the job.
    pub step: Option<String>,
    /// What the run is called.
    pub project: Option<String>,
    /// Whether its joules are the command's share, and not all that a device took.
    pub is_share: bool,
    /// The parts of the machine.
    pub parts: Vec<SummandPart>,
    /// Kilowatt-hours at the wall, kilograms of CO2e, dollars.
    pub follows: [Option<Interval>; 3],
}

/// A part of a machine in an account.
#[derive(Debug, Clone, PartialEq)]
pub struct SummandPart {
    /// `cpu`, `memory`, `gpu 0`.
    pub device: String,
    /// UUID or zones.
    pub id: Option<String>,
    /// Whether it is a GPU, whose id is the same on every machine.
    pub is_gpu: bool,
    /// Whether its joules are modelled: one model is wrong in the same way everywhere.
    pub is_modelled: bool,
    /// Its joules, if they are known.
    pub energy_j: Option<Interval>,
    /// Whether another process of the job meters it.
    pub is_elsewhere: bool,
}

#[derive(Deserialize)]
struct File {
    schema: Option<u64>,
    command: Option<IgnoredAny>,
    started: Option<String>,
    duration_s: Option<f64>,
    project: Option<String>,
    machine: Option<Machine>,
    job: Option<JobRead>,
    tracking: Option<String>,
    lines: Option<Vec<Line>>,
    it_energy_kwh: Option<Interval>,
    operational_kgco2e: Option<Interval>,
    cost_usd: Option<Interval>,
}

#[derive(Deserialize)]
struct Machine {
    host: Option<String>,
    boot_id: Option<String>,
    since_boot_s: Option<f64>,
}

#[derive(Deserialize)]
struct JobRead {
    cluster: Option<String>,
    id: Option<String>,
    step: Option<String>,
    name: Option<String>,
    array_job: Option<String>,
    array_task: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    device: String,
    kind: Option<String>,
    id: Option<String>,
    energy_j: Option<Interval>,
    source: Option<String>,
    covered_by: Option<String>,
    measured_by: Option<IgnoredAny>,
}

/// Reads an account. `seconds` makes seconds since 1970 of a time with a zone.
///
/// # Errors
/// If it is none, or not whole.
pub fn read(text: &str, seconds: impl Fn(&str) -> Option<f64>) -> Result<Summand, Unreadable> {
    let file: File = serde_json::from_str(text).map_err(|error| why(text, &error))?;
    let none = |what: &str| Unreadable::NoAccount(format!("it has no `{what}`"));
    match file.schema {
        Some(schema) if schema == u64::from(JSON_SCHEMA) => {}
        Some(other) if file.command.is_some() => return Err(Unreadable::Schema(other)),
        _ => return Err(none(if file.schema.is_none() { "schema" } else { "command" })),
    }
    file.command.ok_or_else(|| none("command"))?;
    let lines = file.lines.ok_or_else(|| none("lines"))?;
    let started = file.started.ok_or_else(|| none("started"))?;
    let wrong = |what: String| Unreadable::Wrong(what);
    let started_s = seconds(&started).ok_or_else(|| wrong(format!("`started`: `{started}` is no time with a zone")))?;
    let duration_s = file.duration_s.ok_or_else(|| none("duration_s"))?;
    if !(duration_s > 0.0 && duration_s.is_finite()) {
        return Err(wrong(format!("`duration_s`: expected a time above 0, got {duration_s}")));
    }
    let fits = |interval: &Option<Interval>| interval.is_none_or(|i| i.is_valid() && i.low >= 0.0);
    if let Some(line) = lines.iter().find(|line| !fits(&line.energy_j)) {
        return Err(wrong(format!("`energy_j` of `{}` is no interval of joules", line.device)));
    }
    let follows = [file.it_energy_kwh, file.operational_kgco2e, file.cost_usd];
    if !follows.iter().all(fits) {
        return Err(wrong("one of its energies, emissions and costs is no interval".to_owned()));
    }
    let machine = file.machine.unwrap_or(Machine { host: None, boot_id: None, since_boot_s: None });
    let part = |line: Line| SummandPart {
        is_gpu: line.kind.as_deref() == Some("gpu"),
        is_modelled: line.source.as_deref() == Some("model"),
        is_elsewhere: line.measured_by.is_some(),
        device: line.device,
        id: line.id,
        energy_j: line.energy_j,
    };
    Ok(Summand {
        host: machine.host,
        boot: machine.boot_id,
        since_boot_s: machine.since_boot_s.filter(|s| s.is_finite()),
        started_s,
        duration_s,
        step: file.job.as_ref().and_then(|job| job.step.clone()),
        project: file.project.or_else(|| file.job.as_ref()?.name.clone()),
        job: file.job.and_then(JobRead::label),
        is_share: file.tracking.as_deref() == Some("process"),
        parts: lines.into_iter().filter(|line| line.covered_by.is_none()).map(part).collect(),
        follows,
    })
}

impl JobRead {
    /// `4712`, `4711_3` for an element of an array, `alpha:4712` where the cluster has a name.
    fn label(self) -> Option<String> {
        let id = match (self.array_job, self.array_task) {
            (Some(array), Some(task)) => format!("{array}_{task}"),
            _ => self.id?,
        };
        Some(self.cluster.map_or(id.clone(), |cluster| format!("{cluster}:{id}")))
    }
}

/// Why a text is no account.
fn why(text: &str, error: &serde_json::Error) -> Unreadable {
    match error.classify() {
        Category::Eof => return Unreadable::Cut(text.len()),
        Category::Syntax if text.trim_start().starts_with('{') && text.contains('\0') => {
            return Unreadable::Cut(text.find('\0').unwrap_or_default());
        }
        Category::Syntax | Category::Io => return Unreadable::NoJson(error.to_string()),
        Category::Data => {}
    }
    // A later schema may have other types.
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    match value["schema"].as_u64() {
        Some(schema) if schema != u64::from(JSON_SCHEMA) && value["command"].is_array() => Unreadable::Schema(schema),
        _ => Unreadable::NoAccount(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = r#"{"schema": 1, "command": ["./train"], "project": null, "started": "now", "duration_s": 2.0,
        "machine": {"host": "a", "boot_id": "b", "since_boot_s": 7.5, "cpu": "unread"},
        "job": {"scheduler": "slurm", "cluster": null, "id": "4712", "step": "0", "name": "bert", "array_job": "4711",
                "array_task": "3"}, "tracking": "machine",
        "lines": [{"device": "cpu", "kind": "cpu", "id": "intel-rapl:0 package-0", "source": "rapl",
                   "energy_j": {"mid": 2.0, "low": 1.0, "high": 3.0}, "covered_by": null},
                  {"device": "memory", "kind": "memory", "id": null, "source": null, "energy_j": null, "covered_by": "cpu"}],
        "it_energy_kwh": null, "later": {"new": 1}}"#;

    fn account(text: &str) -> Result<Summand, Unreadable> {
        read(text, |time| (time == "now").then_some(100.0))
    }

    #[test]
    fn an_account_gives_its_machine_job_and_parts() {
        let read = account(ACCOUNT).expect("an account");
        assert_eq!((read.host.as_deref(), read.boot.as_deref(), read.since_boot_s), (Some("a"), Some("b"), Some(7.5)));
        assert_eq!((read.job.as_deref(), read.project.as_deref()), (Some("4711_3"), Some("bert")));
        assert_eq!(read.parts.len(), 1, "what another part covers is in that part");
        assert_eq!(read.parts[0].energy_j, Some(Interval { mid: 2.0, low: 1.0, high: 3.0 }));
    }

    #[test]
    fn what_is_no_whole_account_says_why() {
        let cut = |at: usize| ACCOUNT[..at].to_owned();
        for (text, expected) in [
            (String::new(), "it ends in its middle, at byte 0"),
            (cut(300), "it ends in its middle, at byte 300"),
            (cut(40) + &"\0".repeat(100), "it ends in its middle, at byte 40"),
            ("no JSON".to_owned(), "it is no JSON: "),
            ("[1, 2]".to_owned(), "it is no account of `track` or `forecast`: "),
            ("{}".to_owned(), "it has no `schema`"),
            (r#"{"schema": 3, "cells": []}"#.to_owned(), "it has no `command`"),
            (ACCOUNT.replace("\"schema\": 1", "\"schema\": 2"), "its schema is 2, and this program reads 1"),
            (ACCOUNT.replace("\"schema\": 1", "\"schema\": 2").replace("2.0", "\"2\""), "its schema is 2"),
            (ACCOUNT.replace("\"now\"", "\"then\""), "`started`: `then` is no time with a zone"),
            (ACCOUNT.replace("\"duration_s\": 2.0", "\"duration_s\": 0"), "expected a time above 0, got 0"),
            (ACCOUNT.replace("\"low\": 1.0", "\"low\": 9.0"), "`energy_j` of `cpu` is no interval of joules"),
            (ACCOUNT.replace("\"low\": 1.0", "\"low\": -1.0"), "`energy_j` of `cpu` is no interval of joules"),
        ] {
            let error = account(&text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}
