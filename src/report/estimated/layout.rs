//! How a run is laid out over its devices: memory against the limit, time by part, and what other numbers of devices would do.

use std::collections::BTreeMap;

use crate::estimate::{Estimate, LaidOut, Quantity};
use crate::report::charts::{Axis, Band, Chart, Ink, Key, Mark, Palette, Scale, Swatch};
use crate::report::document::{Block, Section};
use crate::report::numbers::{interval, significant, time_unit};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// Parts of memory, in the order in which they are drawn.
const MEMORY: [&str; 6] = ["weights", "gradients", "optimizer states", "activations", "logits", "workspace"];
/// Parts of the time of the passes, in the order in which they are drawn.
const TIME: [&str; 6] = [
    "computing",
    "exchanges of a tensor group",
    "exchanges with experts",
    "keys and values that are waited for",
    "sends between stages",
    "bubble of the pipeline",
];
/// Decimal gigabyte.
const GB: f64 = 1e9;

/// The charts; none without a layout.
pub(super) fn charts(estimates: &[Estimate], elsewhere: &[Estimate]) -> Vec<Chart> {
    let laid_out: Vec<&LaidOut> = estimates.iter().filter_map(|e| e.layout.as_ref()).collect();
    let Some(first) = laid_out.first() else { return Vec::new() };
    let mut charts = vec![memory(first), time(first)];
    charts.extend(frontier(elsewhere));
    charts
}

/// Every layout that was considered, the one that is taken first.
pub(super) fn section(estimates: &[Estimate]) -> Option<Section> {
    let layout = estimates.iter().find_map(|e| e.layout.as_ref())?;
    let mut table = TextTable::new(&["layout", "GB", "s a step", "why not"]);
    let whole: u64 = layout.memory_bytes.values().sum();
    let seconds =
        layout.parts_s.get("passes").copied().unwrap_or(0.0) + layout.parts_s.get("update").copied().unwrap_or(0.0);
    table.row(vec![
        layout.layout.clone(),
        significant(whole as f64 / GB),
        significant(seconds),
        "it is taken".to_owned(),
    ]);
    for other in &layout.others {
        table.row(vec![
            other.layout.clone(),
            significant(other.memory_bytes as f64 / GB),
            significant(other.step_s),
            other.why_not.clone().unwrap_or_else(|| "slower".to_owned()),
        ]);
    }
    let mut traffic = TextTable::new(&["exchange", "MB of one", "of them in a step", "between machines", "s"]);
    for exchange in &layout.traffic {
        traffic.row(vec![
            exchange.name.to_owned(),
            significant(exchange.bytes / 1e6),
            significant(exchange.times),
            if exchange.between_machines { "yes" } else { "no" }.to_owned(),
            significant(exchange.seconds),
        ]);
    }
    let words = format!(
        "A replica takes {} micro-batches in a step. Memory is that of stage {}, which takes most.",
        layout.micro_batches, layout.fullest_stage
    );
    let blocks = vec![Block::Words(words), Block::Table(table), Block::Table(traffic)];
    Some(Section { id: "layout", title: "How the devices share the work", blocks })
}

/// Memory of a device by part against its limit: of the layout that is taken, and of the others.
fn memory(of: &LaidOut) -> Chart {
    let mut rows: Vec<(String, &BTreeMap<&'static str, u64>)> = vec![(of.layout.clone(), &of.memory_bytes)];
    rows.extend(of.others.iter().map(|other| (other.layout.clone(), &other.memory_parts_bytes)));
    let usable = of.usable_bytes.map(|bytes| bytes as f64 / GB);
    let mut table = TextTable::new(&[&["layout"], MEMORY.as_slice(), &["GB in all"]].concat());
    let (mut marks, mut bands, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (layout, parts)) in rows.iter().enumerate() {
        let mut from = 0.0;
        let mut row = vec![layout.clone()];
        let whole: f64 = parts.values().map(|bytes| *bytes as f64 / GB).sum();
        for (tone, name) in MEMORY.into_iter().enumerate() {
            let gb = parts.get(name).map_or(0.0, |bytes| *bytes as f64 / GB);
            row.push(significant(gb));
            if gb > 0.0 {
                marks.push(Mark::Bar {
                    y: i as f64,
                    thick: 0.66,
                    from,
                    to: from + gb,
                    interval: None,
                    ink: Ink::Tone(tone),
                    label: None,
                    tip: format!("{layout}: {name} {} GB", significant(gb)),
                });
            }
            from += gb;
        }
        row.push(significant(whole));
        table.row(row);
        ends.push(whole);
        bands.push(Band { label: short(layout), heading: heading(i, of) });
    }
    ends.extend(usable);
    marks.extend(usable.map(|at| Mark::Rule { at, label: format!("{} GB can be used", significant(at)) }));
    Chart {
        name: "layout_memory".to_owned(),
        narrow: false,
        title: "Memory of the fullest device, by part".to_owned(),
        about: "Worked out from the layout, not measured. What ends to the right of the line does not fit.".to_owned(),
        x: Axis::new("GB", Scale::linear_over(ends)),
        y: Axis::new("", Scale::Rows(bands)),
        marks,
        legend: keys(&MEMORY),
        table,
    }
}

/// A layout without what is usual, so that a row has room for it.
fn short(layout: &str) -> String {
    let kept = layout.split(',').filter(|part| !["recompute=none", "interleave=1"].contains(part));
    kept.map(|part| {
        part.replace("sequence_parallel=true", "sp").replace("recompute=", "").replace("micro_batch=", "micro=")
    })
    .map(|part| part.replace("interleave=", "v="))
    .collect::<Vec<_>>()
    .join(" ")
}

fn heading(row: usize, of: &LaidOut) -> Option<String> {
    let fitting = of.others.iter().filter(|other| other.why_not.is_none()).count();
    match row {
        0 => Some("taken".to_owned()),
        1 if fitting > 0 => Some("next".to_owned()),
        _ if row == fitting + 1 => Some("faster, and too large".to_owned()),
        _ => None,
    }
}

fn keys(parts: &[&'static str]) -> Vec<Key> {
    let key =
        |(tone, name): (usize, &&'static str)| Key { label: (*name).to_owned(), swatch: Swatch::Fill(Ink::Tone(tone)) };
    parts.iter().enumerate().map(key).collect()
}

/// What the passes of a step spend their time with.
fn time(of: &LaidOut) -> Chart {
    let mut table = TextTable::new(&["part", "s", "% of the passes"]);
    let known = |name: &str| of.parts_s.get(name).copied().unwrap_or(0.0);
    let passes = known("passes");
    let (mut marks, mut bands) = (Vec::new(), Vec::new());
    for (i, name) in TIME.into_iter().filter(|name| known(name) > 0.0).enumerate() {
        let seconds = known(name);
        let share = 100.0 * seconds / passes.max(f64::MIN_POSITIVE);
        table.row(vec![name.to_owned(), significant(seconds), significant(share)]);
        bands.push(Band::new(name));
        marks.push(Mark::Bar {
            y: i as f64,
            thick: 0.66,
            from: 0.0,
            to: share,
            interval: None,
            ink: Ink::Tone(i),
            label: Some(format!("{} s", significant(seconds))),
            tip: format!("{name}: {} s of {} s", significant(seconds), significant(passes)),
        });
    }
    Chart {
        name: "layout_time".to_owned(),
        narrow: false,
        title: "Time of the passes of a step, by part".to_owned(),
        about: format!(
            "Modelled. The passes take {} s and the update {} s. Parts that run at the same time overlap, so that they may add up to \
             more than the whole.",
            significant(passes),
            significant(known("update"))
        ),
        x: Axis::new("% of the passes", Scale::Linear { max: 100.0 }),
        y: Axis::new("", Scale::Rows(bands)),
        marks,
        legend: Vec::new(),
        table,
    }
}

/// Cost against time on each number of devices, in its best layout.
fn frontier(estimates: &[Estimate]) -> Option<Chart> {
    let longest = estimates.iter().filter_map(|e| e.footprint.of(Quantity::Wall)).map(|h| h.mid).fold(0.0, f64::max);
    let (unit, per_hour) = time_unit(longest);
    let points: Vec<(&Estimate, Interval, Interval)> = estimates
        .iter()
        .filter_map(|e| Some((e, e.footprint.of(Quantity::Wall)?.scaled(per_hour), e.footprint.of(Quantity::Cost)?)))
        .collect();
    if points.len() < 2 {
        return None;
    }
    let palette = Palette::of(estimates.iter().filter_map(|e| e.arch).collect());
    let look = palette.look(points[0].0.arch?);
    let mut table = TextTable::new(&["devices", "layout", &format!("time {unit}"), "USD"]);
    let mut marks = vec![Mark::Line {
        points: points.iter().map(|(_, time, cost)| (time.mid, cost.mid)).collect(),
        ink: look.ink,
        dash: look.dash,
    }];
    for (estimate, time, cost) in &points {
        let layout = estimate.layout.as_ref().map_or("-", |layout| &layout.layout);
        table.row(vec![estimate.devices.to_string(), layout.to_owned(), interval(*time), interval(*cost)]);
        marks.push(Mark::Point {
            at: (time.mid, cost.mid),
            x: None,
            y: None,
            look,
            label: Some(estimate.devices.to_string()),
            tip: format!("{} devices, {layout}: {} {unit}, {} USD", estimate.devices, interval(*time), interval(*cost)),
        });
    }
    let xs = points.iter().map(|(_, time, _)| time.mid);
    let ys = points.iter().map(|(.., cost)| cost.mid);
    Some(Chart {
        name: "layout_frontier".to_owned(),
        narrow: false,
        title: "Cost against time, by the number of devices".to_owned(),
        about: "Each point is a number of devices in the fastest layout that fits; medians, modelled. Intervals are in the table.".to_owned(),
        x: Axis::new(format!("time, {unit}"), Scale::log_over(xs)),
        y: Axis::new("USD", Scale::log_over(ys)),
        marks,
        legend: Vec::new(),
        table,
    })
}
