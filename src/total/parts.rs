//! Each device of all records: what of each record's joules counts, and when nobody metered it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::overlap::{Reading, counted, length, union, without};
use super::read::{Summand, SummandPart};
use crate::stats::Interval;

/// Processes of a node start so far apart, and their meters with them: what is shorter is no gap.
const LEAST_GAP_S: f64 = 1.0;

/// A device and its energy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceTotal {
    /// The machine, where its records say it.
    pub host: Option<String>,
    /// `cpu`, `memory`, `gpu 0`.
    pub device: String,
    /// UUID or zones.
    pub id: Option<String>,
    /// How many records speak of it.
    pub records: usize,
    /// Joules; `None` if no record has any.
    pub energy_j: Option<Interval>,
    /// Seconds for which it was metered.
    pub metered_s: f64,
    /// Seconds in which a command ran on it and nobody metered it.
    pub gap_s: f64,
    /// Seconds between its first and its last record in which there is none.
    pub between_s: f64,
}

/// A time in which a command ran, and a part of its machine was not metered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// The machine.
    pub host: Option<String>,
    /// The part.
    pub device: String,
    /// Its stretches: seconds from the first record of the device to where each begins and ends.
    pub stretches_s: Vec<(f64, f64)>,
}

/// What counts of one part of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// The record.
    pub(super) record: usize,
    /// The meter: a number of the device, or 0 for all models.
    pub(super) meter: usize,
    /// Its energy in the record, and what of it counts.
    pub(super) recorded_j: f64,
    pub(super) energy_j: Interval,
}

/// A part of a record, on its device.
struct Item<'a> {
    record: usize,
    summand: &'a Summand,
    part: &'a SummandPart,
}

/// What tells the device of a part from all others: its machine, and its number there.
fn key(at: usize, summand: &Summand, part: &SummandPart) -> (String, String) {
    if let (true, Some(id)) = (part.is_gpu, &part.id) {
        return (String::new(), id.clone());
    }
    // Of what is on an unknown machine nobody can say that it is the same.
    let machine = summand.boot.clone().or_else(|| summand.host.clone()).unwrap_or_else(|| format!("record {at}"));
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    // A model is of what the job may use of the machine, and beside it another job has its own part.
    let id = part.id.clone().unwrap_or_else(|| format!("{} {} {}", of(&summand.host), of(&summand.job), part.device));
    (machine, id)
}

/// Whether another record of the same device could be told from one of another device.
pub(super) fn is_identified(summand: &Summand) -> bool {
    summand.boot.is_some() || summand.host.is_some() || summand.parts.iter().all(|p| p.is_gpu && p.id.is_some())
}

/// All devices, with what counts of each record.
pub(super) fn devices(summands: &[Summand]) -> (Vec<DeviceTotal>, Vec<Gap>, Vec<Counted>) {
    let mut groups: BTreeMap<(String, String), Vec<Item>> = BTreeMap::new();
    for (record, summand) in summands.iter().enumerate() {
        for part in &summand.parts {
            groups.entry(key(record, summand, part)).or_default().push(Item { record, summand, part });
        }
    }
    let (mut devices, mut gaps, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (number, items) in groups.into_values().enumerate() {
        let (device, gap) = one(&items, number + 1, &mut all);
        devices.push(device);
        gaps.extend(gap);
    }
    let name = |d: &DeviceTotal| (d.host.clone(), d.device.clone(), d.id.clone());
    devices.sort_by_cached_key(name);
    gaps.sort_by_cached_key(|gap: &Gap| (gap.host.clone(), gap.device.clone()));
    (devices, gaps, all)
}

/// One device: by the clock since the machine's start where all records have it, else by the clocks of the hosts.
fn one(items: &[Item], number: usize, all: &mut Vec<Counted>) -> (DeviceTotal, Option<Gap>) {
    let monotonic = items.iter().all(|i| i.summand.boot.is_some() && i.summand.since_boot_s.is_some());
    let mut starts: BTreeMap<Option<&str>, Vec<&Item>> = BTreeMap::new();
    for item in items {
        starts.entry(item.summand.boot.as_deref().filter(|_| monotonic)).or_default().push(item);
    }
    let first = &items[0];
    let mut device = DeviceTotal {
        host: first.summand.host.clone(),
        device: first.part.device.clone(),
        id: first.part.id.clone(),
        records: items.len(),
        energy_j: None,
        metered_s: 0.0,
        gap_s: 0.0,
        between_s: 0.0,
    };
    let mut stretches = Vec::new();
    let (mut sum, mut known) = (Interval::point(0.0), false);
    for items in starts.into_values() {
        let span = |item: &Item| {
            let from = item.summand.since_boot_s.filter(|_| monotonic).unwrap_or(item.summand.started_s);
            (from, from + item.summand.duration_s)
        };
        let whole = |item: &&&Item| !item.summand.is_share;
        let metered: Vec<&Item> =
            items.iter().filter(whole).filter(|item| item.part.energy_j.is_some()).copied().collect();
        let ran = union(items.iter().map(|item| span(item)).collect());
        let needed = union(items.iter().filter(whole).map(|item| span(item)).collect());
        let have = union(metered.iter().map(|item| span(item)).collect());
        let readings: Vec<Reading> = metered
            .iter()
            .map(|item| {
                let (from_s, to_s) = span(item);
                let joules = item.part.energy_j.map_or(0.0, |e| e.mid);
                Reading { from_s, to_s, joules, of_job: item.summand.job.is_some() }
            })
            .collect();
        // A command's share counts where no reading of the whole device holds it.
        let shares = items.iter().filter(|item| item.summand.is_share && item.part.energy_j.is_some()).map(|item| {
            let left = length(&without(&[span(item)], &have)) / item.summand.duration_s;
            (*item, item.part.energy_j.map_or(0.0, |e| e.mid) * left)
        });
        for (item, joules) in metered.iter().copied().zip(counted(&readings)).chain(shares) {
            let Some(energy) = item.part.energy_j else { continue };
            let part = if energy.mid > 0.0 { joules / energy.mid } else { 0.0 };
            let energy_j = energy.scaled(part);
            let meter = if item.part.is_modelled { 0 } else { number };
            all.push(Counted { record: item.record, meter, recorded_j: energy.mid, energy_j });
            // One meter is off by one gain: its ends add up as its middles do.
            sum = Interval { mid: sum.mid + energy_j.mid, low: sum.low + energy_j.low, high: sum.high + energy_j.high };
            known = true;
        }
        let start = ran.first().map_or(0.0, |span| span.0);
        let end = ran.last().map_or(0.0, |span| span.1);
        device.metered_s += length(&have);
        device.between_s += end - start - length(&ran);
        let missed = without(&needed, &have).into_iter().filter(|(from, to)| to - from > LEAST_GAP_S);
        stretches.extend(missed.map(|(from, to)| (from - start, to - start)));
    }
    device.energy_j = known.then_some(sum);
    device.gap_s = length(&stretches);
    let gap = Gap { host: device.host.clone(), device: device.device.clone(), stretches_s: stretches };
    let gap = (!gap.stretches_s.is_empty()).then_some(gap);
    (device, gap)
}
