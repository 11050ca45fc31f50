//! What a campaign measured, added up: for formats that count joules and not steps.

use crate::meter::{Coverage, EnergySource};
use crate::record::{Record, Status};
use crate::stats::Interval;
use sha2::{Digest, Sha256};

/// Joules of the measured steps of a campaign by what drew them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawn {
    /// What drew them.
    pub(super) coverage: Coverage,
    /// How they are known.
    pub(super) source: EnergySource,
    /// How many, with the uncertainty of the meter.
    pub(super) joules: Interval,
}

impl Drawn {
    /// Whether a meter read them, and no model made them.
    pub(super) fn is_measured(&self) -> bool {
        !matches!(self.source, EnergySource::Model | EnergySource::Fake)
    }
}

/// Seconds of the measured steps of all cells, pauses inside a visit with them.
pub(super) fn seconds(record: &Record) -> f64 {
    visits(record).map(|(_, start, end)| end - start).sum()
}

/// How many steps were measured.
pub(super) fn steps(record: &Record) -> usize {
    record.cells.iter().filter(|c| c.status == Status::Ok).map(|c| c.steps.len()).sum()
}

/// Joules by meter; a meter that did not cover a visit is left out.
pub(super) fn drawn(record: &Record) -> Vec<Drawn> {
    let of = |info: &crate::meter::MeterInfo| {
        let joules = visits(record).map(|(cell, start, end)| {
            let trace = cell.meters.iter().find(|m| m.meter.domain == info.domain && m.meter.source == info.source)?;
            trace.energy_between(start, end)
        });
        let joules = joules.sum::<Option<f64>>().filter(|j| *j > 0.0)?;
        let joules = crate::stats::with_gain(joules, 0.0, info.gain_uncertainty);
        Some(Drawn { coverage: info.coverage, source: info.source, joules })
    };
    record.environment.meters.iter().filter_map(of).collect()
}

fn visits(record: &Record) -> impl Iterator<Item = (&crate::record::Cell, f64, f64)> {
    record.cells.iter().filter(|c| c.status == Status::Ok).flat_map(|cell| {
        let visits = cell.steps.chunk_by(|a, b| a.visit == b.visit);
        visits.map(move |v| (cell, v[0].start_s, v[v.len() - 1].end_s()))
    })
}

/// A UUID of version 8 (RFC 9562, §5.8) that is the same for the same campaign: of when, where and with what it ran.
pub(super) fn uuid(record: &Record) -> String {
    let name = [&record.created, &record.environment.host, &record.tool, &record.settings.workload.name];
    let mut bytes = Sha256::digest(name.map(String::as_str).join("\n").as_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes[..16].iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
