//! What is compared cell by cell, as rows of bars: energy by component, memory, the size of the model.

use super::lines::no_number;
use crate::meter::EnergySource;
use crate::model::Arch;
use crate::record::{Cell, CellSummary, Pass, Status};
use crate::report::charts::{Axis, Band, Chart, Ink, Key, Mark, Palette, Scale, Swatch};
use crate::report::numbers::{interval, significant};
use crate::report::table::TextTable;

/// A part of the joules of a step.
struct EnergyShare {
    /// `CPU package, above rest`
    name: String,
    /// Its share of the whole.
    share: f64,
}

/// Joules of 1000 tokens of train steps of one number format, by what drew them.
pub(super) fn energy(cells: &[&Cell], summaries: &[CellSummary], suffix: &str) -> Option<Chart> {
    let per_1000 = |c: &CellSummary| {
        c.energy_j_per_step.filter(|e| e.is_valid()).map(|e| e.scaled(1000.0 / (c.batch_size * c.seq_len) as f64))
    };
    let first = summaries.iter().find(|c| per_1000(c).is_some())?;
    let parts: Vec<Vec<EnergyShare>> = cells.iter().map(|c| parts_of(c)).collect();
    let mut names: Vec<&str> = Vec::new();
    for part in parts.iter().flatten() {
        if !names.contains(&part.name.as_str()) {
            names.push(&part.name);
        }
    }
    let mut table = TextTable::new(&["tokens", "sequences", "architecture", "J per 1000 tokens", "of which"]);
    let mut marks = Vec::new();
    for (i, (cell, parts)) in summaries.iter().zip(&parts).enumerate() {
        let row = i as f64;
        let Some(total) = per_1000(cell) else {
            let why = if cell.status == Status::Ok { "energy not known" } else { no_number(cell.status) };
            marks.push(Mark::Note { y: row, text: why.to_owned() });
            table.row(cells_of(cell, why.to_owned(), String::new()));
            continue;
        };
        let mut from = 0.0;
        let mut said = Vec::new();
        for (j, part) in parts.iter().enumerate() {
            let joules = total.mid * part.share;
            let last = j + 1 == parts.len();
            said.push(format!("{} {}", part.name, significant(joules)));
            marks.push(Mark::Bar {
                y: row,
                thick: 0.66,
                from,
                to: from + joules,
                interval: last.then_some(total),
                ink: Ink::Tone(names.iter().position(|n| *n == part.name).unwrap_or(0)),
                label: last.then(|| interval(total)),
                tip: format!(
                    "{}, {} x {} tokens, {}: {} J per 1000 tokens",
                    cell.arch.label(),
                    cell.batch_size,
                    cell.seq_len,
                    part.name,
                    significant(joules)
                ),
            });
            from += joules;
        }
        table.row(cells_of(cell, interval(total), said.join(", ")));
    }
    let source = first.energy_source.map_or("not known", |s| s.name());
    let modelled = first.energy_source == Some(EnergySource::Model);
    let ends = summaries.iter().filter_map(per_1000).map(|e| e.high);
    Some(Chart {
        name: format!("energy{}{suffix}", if first.pass == Pass::Train { "" } else { "_infer" }),
        narrow: false,
        title: format!(
            "Energy of {} by component, {}{}",
            if first.pass == Pass::Train { "training" } else { "a forward pass" },
            first.dtype,
            if modelled { ": modelled, not measured" } else { "" }
        ),
        about: format!(
            "Joules that the meters cover, source `{source}`. At rest is what the idle device draws in the time of a \
             step. Intervals hold the gain of the meter, which is the same for all rows."
        ),
        x: Axis::new("J per 1000 tokens", Scale::linear_over(ends)),
        y: Axis::new("", Scale::Rows(bands(summaries))),
        marks,
        legend: names
            .iter()
            .enumerate()
            .map(|(i, n)| Key { label: (*n).to_owned(), swatch: Swatch::Fill(Ink::Tone(i)) })
            .collect(),
        table,
    })
}

fn cells_of(cell: &CellSummary, value: String, more: String) -> Vec<String> {
    vec![cell.seq_len.to_string(), cell.batch_size.to_string(), cell.arch.label(), value, more]
}

/// Shares of the joules of a cell: of each meter what the idle device would have drawn, and what lies above it.
fn parts_of(cell: &Cell) -> Vec<EnergyShare> {
    let mut joules: Vec<(String, f64)> = Vec::new();
    let time: f64 = cell.windows().iter().map(|(from, to)| to - from).sum();
    for (meter, total) in cell.meters.iter().zip(cell.joules_by_meter()) {
        let Some(total) = total else { continue };
        let name = meter.meter.coverage.words();
        match meter.idle_w.map(|w| w * time).filter(|rest| *rest > 0.0 && *rest < total) {
            Some(rest) => {
                joules.push((format!("{name}, at rest"), rest));
                joules.push((format!("{name}, above rest"), total - rest));
            }
            None => joules.push((name.to_owned(), total)),
        }
    }
    let all: f64 = joules.iter().map(|(_, j)| j).sum();
    let share = |(name, j): (String, f64)| (all > 0.0).then(|| EnergyShare { name, share: j / all });
    joules.into_iter().filter_map(share).collect()
}

/// A row for each cell, with a heading where the shape changes.
fn bands(cells: &[CellSummary]) -> Vec<Band> {
    let shape = |c: &CellSummary| (c.seq_len, c.batch_size);
    let heading = |i: usize| {
        let c = &cells[i];
        let begins = i == 0 || shape(c) != shape(&cells[i - 1]);
        let sequences = if c.batch_size == 1 { "sequence" } else { "sequences" };
        begins.then(|| format!("{} tokens, {} {sequences} a step", c.seq_len, c.batch_size))
    };
    (0..cells.len()).map(|i| Band { label: cells[i].arch.label(), heading: heading(i) }).collect()
}

/// The most memory that each cell had at a time.
pub(super) fn memory(cells: &[CellSummary], palette: &Palette, suffix: &str) -> Option<Chart> {
    let gb = |c: &CellSummary| c.peak_memory_bytes.map(|b| b as f64 / 1e9);
    let first = cells.iter().find(|c| gb(c).is_some())?;
    let mut table = TextTable::new(&["tokens", "sequences", "architecture", "peak GB"]);
    let mut marks = Vec::new();
    for (i, cell) in cells.iter().enumerate() {
        let mut row =
            cells_of(cell, gb(cell).map_or_else(|| no_number(cell.status).to_owned(), significant), String::new());
        row.pop();
        table.row(row);
        marks.push(match gb(cell) {
            Some(gb) => Mark::Bar {
                y: i as f64,
                thick: 0.66,
                from: 0.0,
                to: gb,
                interval: None,
                ink: palette.look(cell.arch).ink,
                label: Some(significant(gb)),
                tip: format!(
                    "{}, {} x {} tokens: {} GB",
                    cell.arch.label(),
                    cell.batch_size,
                    cell.seq_len,
                    significant(gb)
                ),
            },
            None => Mark::Note { y: i as f64, text: no_number(cell.status).to_owned() },
        });
    }
    let of = if first.pass == Pass::Train { "training" } else { "a forward pass" };
    let infer = if first.pass == Pass::Train { "" } else { "_infer" };
    Some(Chart {
        name: format!("memory{infer}{suffix}"),
        narrow: false,
        title: format!("Peak memory of {of}, {}", first.dtype),
        about: "The most bytes that a cell had allocated at a time.".to_owned(),
        x: Axis::new("GB", Scale::linear_over(cells.iter().filter_map(gb))),
        y: Axis::new("", Scale::Rows(bands(cells))),
        marks,
        legend: Vec::new(),
        table,
    })
}

/// What a device has to hold and how long an answer takes: parameters, megabytes, latency.
pub(super) fn model_size(cells: &[CellSummary]) -> Chart {
    let mut archs: Vec<&CellSummary> = Vec::new();
    for cell in cells {
        if !archs.iter().any(|c| c.arch == cell.arch) {
            archs.push(cell);
        }
    }
    archs.sort_by_key(|c| c.arch);
    let latencies = |arch: Arch| {
        let own = cells.iter().filter(|c| c.arch == arch && c.pass == Pass::Infer);
        let said: Vec<String> = own
            .filter_map(|c| {
                let ms = c.step_s?.scaled(1e3);
                Some(format!("{} at {} x {} {}", interval(ms), c.batch_size, c.seq_len, c.dtype))
            })
            .collect();
        if said.is_empty() { "not measured".to_owned() } else { said.join("; ") }
    };
    let mut table = TextTable::new(&["architecture", "parameters", "MB in f32, tf32", "MB in bf16, f16", "latency ms"]);
    let mut marks = Vec::new();
    // Bytes of a weight, and how far from the middle of the row its bar lies.
    let formats = [("f32, tf32", 4.0, -0.2, 0), ("bf16, f16", 2.0, 0.2, 1)];
    for (i, cell) in archs.iter().enumerate() {
        let mb = |bytes: f64| cell.n_params as f64 * bytes / 1e6;
        let shown = |bytes: f64| significant(mb(bytes));
        table.row(vec![
            cell.arch.label(),
            significant(cell.n_params as f64),
            shown(4.0),
            shown(2.0),
            latencies(cell.arch),
        ]);
        marks.extend(formats.iter().map(|(name, bytes, beside, tone)| Mark::Bar {
            y: i as f64 + beside,
            thick: 0.36,
            from: 0.0,
            to: mb(*bytes),
            interval: None,
            ink: Ink::Tone(*tone),
            label: Some(shown(*bytes)),
            tip: format!(
                "{}: {} parameters, {} MB in {name}",
                cell.arch.label(),
                significant(cell.n_params as f64),
                shown(*bytes)
            ),
        }));
    }
    let largest = archs.iter().map(|c| c.n_params as f64 * 4.0 / 1e6);
    let measured = cells.iter().any(|c| c.pass == Pass::Infer && c.step_s.is_some());
    Chart {
        name: "model_size".to_owned(),
        narrow: false,
        title: "Size of the model on a device".to_owned(),
        about: format!(
            "Weights alone, from the exact number of parameters.{}",
            if measured { "" } else { " Latency was not measured: `greenformers profile --pass infer` does." }
        ),
        x: Axis::new("MB of weights", Scale::linear_over(largest)),
        y: Axis::new("", Scale::Rows(archs.iter().map(|c| Band::new(c.arch.label())).collect())),
        marks,
        legend: formats
            .iter()
            .map(|(name, _, _, tone)| Key { label: (*name).to_owned(), swatch: Swatch::Fill(Ink::Tone(*tone)) })
            .collect(),
        table,
    }
}
