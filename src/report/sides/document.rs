//! Records side by side, in order.

use super::marks::signs;
use super::rows::Row;
use super::{Side, Sides};
use crate::estimate::Quantity;
use crate::report::document::{Block, Document, Section};
use crate::report::figures::{NAME, date};
use crate::report::markup::clean;
use crate::report::names::name_of;
use crate::report::numbers::{interval, less_or_more, less_or_times, time_unit};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// What is found, record by record.
pub(super) fn answer(sides: &[Side]) -> String {
    let workload = sides.first().map_or("", |s| s.record.settings.workload.name.as_str());
    let said: Vec<String> = sides
        .iter()
        .map(|side| {
            let estimates = side.estimates.as_ref().map_or(&[][..], Vec::as_slice);
            let variants = estimates.iter().filter_map(|e| Some((e.arch?.label(), e.ratio(Quantity::Wall)?)));
            match variants.min_by(|a, b| a.1.mid.total_cmp(&b.1.mid)) {
                Some((label, ratio)) => {
                    format!("on {} {label} takes {} time than dense", side.name, less_or_more(ratio))
                }
                None => format!("on {} nothing can be said of what a variant saves", side.name),
            }
        })
        .collect();
    format!("Training {}: {}.", clean(workload, NAME), said.join("; "))
}

impl Sides {
    /// The comparison as a document.
    pub(in crate::report) fn document(&self) -> Document<'_> {
        let names: Vec<&str> = self.records.iter().map(|s| s.name.as_str()).collect();
        Document {
            title: format!("{} side by side", names.join(", ")),
            answer: self.answer(),
            headline: None,
            decisive: Vec::new(),
            found: format!("Each record against the first, {}.", names.first().unwrap_or(&"")),
            charts: &self.charts,
            sections: vec![self.between(), self.conditions(), self.cells(), self.runs()],
        }
    }

    /// What must be known before comparing.
    fn between(&self) -> Section {
        let said = self.caveats();
        let nothing =
            "Nothing is known that stands between these records: no power limit, driver, version, source of energy \
                       or other user of a card differs."
                .to_owned();
        let block = if said.is_empty() { Block::Words(nothing) } else { Block::List(said) };
        Section { id: "between", title: "What stands between these records", blocks: vec![block] }
    }

    fn signs(&self, name: &str) -> String {
        signs(&self.marks, name)
    }

    fn conditions(&self) -> Section {
        let mut table = TextTable::new(&[
            "record",
            "marks",
            "measured",
            "computed on",
            "dtype",
            "driver",
            "power limit",
            "meters",
            "program",
        ]);
        for side in &self.records {
            let record = &side.record;
            let mut of_gpu: Vec<(String, String)> = record
                .cells
                .iter()
                .filter_map(|c| c.gpu_before.as_ref())
                .map(|s| {
                    let limit = s.power_limit_w.map_or_else(|| "not known".to_owned(), |w| format!("{w:.0} W"));
                    (s.driver.clone().unwrap_or_else(|| "not known".to_owned()), limit)
                })
                .collect();
            of_gpu.sort();
            of_gpu.dedup();
            let list =
                |values: Vec<&str>| if values.is_empty() { "-".to_owned() } else { clean(&values.join(", "), 200) };
            let mut dtypes: Vec<&str> = record.cells.iter().map(|c| c.dtype.name()).collect();
            dtypes.sort_unstable();
            dtypes.dedup();
            table.row(vec![
                side.name.clone(),
                self.signs(&side.name).trim().to_owned(),
                date(&record.created),
                clean(&record.environment.compute.name, NAME),
                list(dtypes),
                list(of_gpu.iter().map(|g| g.0.as_str()).collect()),
                list(of_gpu.iter().map(|g| g.1.as_str()).collect()),
                list(record.environment.meters.iter().map(|m| m.source.name()).collect()),
                clean(&record.tool, NAME),
            ]);
        }
        Section { id: "conditions", title: "Under which conditions", blocks: vec![Block::Table(table)] }
    }

    fn cells(&self) -> Section {
        let header = [
            "record",
            "dtype",
            "pass",
            "architecture",
            "tokens",
            "sequences",
            "tokens/s",
            "time a token",
            "energy a token",
            "note",
        ];
        let mut table = TextTable::new(&header);
        for row in &self.rows {
            let Row { cell, .. } = row;
            let against =
                |ratio: Option<Interval>, more| ratio.map_or_else(|| "-".to_owned(), |r| less_or_times(r, more));
            table.row(vec![
                format!("{}{}", row.name, self.signs(&row.name)),
                cell.dtype.to_string(),
                cell.pass.to_string(),
                row.arch.label(),
                cell.seq_len.to_string(),
                cell.batch_size.to_string(),
                cell.tokens_per_s.filter(|_| !row.contaminated).map_or_else(|| "-".to_owned(), interval),
                against(row.time, "slower"),
                against(row.energy, "more"),
                row.note.clone(),
            ]);
        }
        Section { id: "cells", title: "Cell by cell", blocks: vec![Block::Table(table)] }
    }

    /// The whole run on each machine.
    pub(super) fn runs_table(&self) -> TextTable {
        let all = || self.records.iter().filter_map(|s| Some((s, s.estimates.as_ref().ok()?)));
        let times = all().flat_map(|(_, e)| e.iter().filter_map(|e| e.footprint.of(Quantity::Wall))).map(|h| h.mid);
        let (unit, per_hour) = time_unit(times.fold(0.0, f64::max));
        let time = format!("time {unit}");
        let mut table =
            TextTable::new(&["record", "architecture", &time, "kWh", "kgCO2e", "USD", "against dense", "basis"]);
        let or_dash = |i: Option<Interval>| i.map_or_else(|| "-".to_owned(), interval);
        for (side, estimates) in all() {
            for e in estimates {
                table.row(vec![
                    format!("{}{}", side.name, self.signs(&side.name)),
                    name_of(e, estimates),
                    or_dash(e.footprint.of(Quantity::Wall).map(|h| h.scaled(per_hour))),
                    or_dash(e.footprint.of(Quantity::FacilityEnergy)),
                    or_dash(e.footprint.of(Quantity::Operational)),
                    or_dash(e.footprint.of(Quantity::Cost)),
                    e.ratio(Quantity::Wall).map_or_else(|| "-".to_owned(), |r| less_or_times(r, "slower")),
                    e.basis.name().to_owned(),
                ]);
            }
        }
        table
    }

    fn runs(&self) -> Section {
        let mut blocks = vec![Block::Table(self.runs_table())];
        let reasons = self.records.iter().filter_map(|s| Some(format!("{}: {}", s.name, s.estimates.as_ref().err()?)));
        let reasons: Vec<String> = reasons.collect();
        if !reasons.is_empty() {
            blocks.push(Block::List(reasons));
        }
        Section { id: "runs", title: "The whole run on each machine", blocks }
    }
}
