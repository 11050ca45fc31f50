//! What a campaign measured, added up: for formats that count joules and not steps.

use crate::meter::{Coverage, EnergySource, MeterInfo, MeterTrace};
use crate::record::{Cell, Record, Status};
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
    cells(record).flat_map(Cell::windows).map(|(from, to)| to - from).sum()
}

/// How many steps were measured.
pub(super) fn steps(record: &Record) -> usize {
    cells(record).map(|c| c.steps.len()).sum()
}

/// Joules by meter; a meter that did not cover a visit is left out.
pub(super) fn drawn(record: &Record) -> Vec<Drawn> {
    drawn_by(record, |_| true)
}

/// Joules by meter of some of the cells.
pub(super) fn drawn_by(record: &Record, which: impl Fn(&Cell) -> bool) -> Vec<Drawn> {
    let by_cell: Vec<_> = cells(record).filter(|c| which(c)).map(|cell| (cell, cell.joules_by_meter())).collect();
    let of = |info: &MeterInfo| {
        let is_it = |m: &MeterTrace| m.meter.domain == info.domain && m.meter.source == info.source;
        let in_cell = |(cell, joules): &(&Cell, Vec<Option<f64>>)| joules[cell.meters.iter().position(is_it)?];
        let joules = by_cell.iter().map(in_cell).sum::<Option<f64>>().filter(|j| *j > 0.0)?;
        let joules = crate::stats::with_gain(joules, 0.0, info.gain_uncertainty);
        Some(Drawn { coverage: info.coverage, source: info.source, joules })
    };
    record.environment.meters.iter().filter_map(of).collect()
}

/// The cells of which something was measured.
fn cells(record: &Record) -> impl Iterator<Item = &Cell> {
    record.cells.iter().filter(|c| c.status == Status::Ok && !c.steps.is_empty())
}

/// A UUID that is the same for the same campaign: of when, where and with what it ran.
pub(super) fn uuid(record: &Record) -> String {
    let name = [&record.created, &record.environment.host, &record.tool, &record.settings.workload.name];
    uuid_of(&name.map(String::as_str).join("\n"))
}

/// A UUID of version 8 (RFC 9562, §5.8) that is the same for the same text.
pub(super) fn uuid_of(text: &str) -> String {
    let mut bytes = Sha256::digest(text.as_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes[..16].iter().fold(String::new(), |hex, b| hex + &format!("{b:02x}"));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
