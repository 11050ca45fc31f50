//! The whole run by architecture: what a variant saves, time, cost, CO2e, and what makes them uncertain.

use super::answer::NAME;
use crate::estimate::{Basis, Comparison, Estimate, Quantity, VarianceShare};
use crate::model::Arch;
use crate::report::charts::{Axis, Band, Chart, Ink, Key, Mark, Palette, Scale, Swatch};
use crate::report::markup::clean;
use crate::report::names::name_of;
use crate::report::numbers::{interval, percent_saved, significant, time_unit};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// No more inputs are drawn.
const INPUTS: usize = 8;

/// What each variant saves against dense: of the whole run, or of a train step where no run is estimated.
pub(super) fn saving(estimates: &[Estimate], comparison: &Comparison, palette: &Palette) -> Chart {
    let mut rows: Vec<(Band, Arch, Interval)> = Vec::new();
    // The first number format is the one that was asked about; the table of runs has them all.
    for estimate in estimates.iter().filter(|e| e.dtype == estimates[0].dtype) {
        let Some(arch) = estimate.arch else { continue };
        // Grid and site cancel in ratios: what is the same is one row.
        let mut own: Vec<(Vec<&str>, Interval)> = Vec::new();
        for quantity in Quantity::COMPARED {
            let Some(ratio) = estimate.ratio(quantity).filter(|r| r.is_valid()) else { continue };
            match own.iter_mut().find(|(_, known)| percent_saved(*known) == percent_saved(ratio)) {
                Some((whats, _)) => whats.push(quantity.word()),
                None => own.push((vec![quantity.word()], ratio)),
            }
        }
        rows.extend(own.into_iter().enumerate().map(|(i, (whats, ratio))| {
            let heading = (i == 0).then(|| name_of(estimate, estimates));
            (Band { label: whats.join(", "), heading }, arch, ratio)
        }));
    }
    let of_run = !rows.is_empty();
    if !of_run {
        for length in &comparison.lengths {
            for row in &length.rows {
                let Some(ratio) = row.time_vs_dense else { continue };
                let label = format!("{} x {} tokens", length.batch_size, length.seq_len);
                rows.push((Band { label, heading: None }, row.arch, ratio));
            }
        }
        rows.sort_by_key(|r| r.1);
        for i in 0..rows.len() {
            if i == 0 || rows[i].1 != rows[i - 1].1 {
                rows[i].0.heading = Some(rows[i].1.label());
            }
        }
    }
    let what = match estimates.first().and_then(|e| e.workload.as_deref()) {
        Some(workload) if of_run => {
            format!("What each variant saves of training {}, against dense", clean(workload, NAME))
        }
        _ => "What each variant saves of a train step, against dense".to_owned(),
    };
    savings_chart("saving", what, rows, palette)
}

/// Rows of per cent saved, with a line at dense.
fn savings_chart(name: &str, title: String, rows: Vec<(Band, Arch, Interval)>, palette: &Palette) -> Chart {
    let percent = |ratio: Interval| Interval {
        mid: 100.0 * (1.0 - ratio.mid),
        low: 100.0 * (1.0 - ratio.high),
        high: 100.0 * (1.0 - ratio.low),
    };
    let mut table = TextTable::new(&["architecture", "of", "saved"]);
    let mut marks = vec![Mark::Rule { at: 0.0, label: String::new() }];
    for (i, (band, arch, ratio)) in rows.iter().enumerate() {
        let saved = percent_saved(*ratio);
        table.row(vec![arch.label(), band.label.clone(), saved.clone()]);
        marks.push(Mark::Point {
            at: (percent(*ratio).mid, i as f64),
            x: Some(percent(*ratio)),
            y: None,
            look: palette.look(*arch),
            label: Some(saved.clone()),
            tip: format!("{}, {}: {saved} saved", arch.label(), band.label),
        });
    }
    if rows.is_empty() {
        marks.clear();
    }
    let ends = rows.iter().map(|r| percent(r.2)).flat_map(|p| [p.low, p.high]);
    Chart {
        name: name.to_owned(),
        narrow: true,
        title,
        about: "Points are medians, bars 95 % intervals; 0 is dense. What both sides share (grid, site, price, the gain of \
                the meter) cancels."
            .to_owned(),
        x: Axis::new("% less than dense", Scale::between(ends, 0.0)),
        y: Axis::new("", Scale::Rows(rows.into_iter().map(|r| r.0).collect())),
        marks,
        legend: Vec::new(),
        table,
    }
}

/// Time, energy, cost and CO2e of the whole run. All follow from the same hours, so that they stand in one chart, each as a share of
/// its median for the first architecture, with its own numbers behind the bars.
pub(in crate::report) fn whole_run(estimates: &[Estimate], modelled_power: bool, palette: &Palette) -> Option<Chart> {
    let longest = estimates.iter().filter_map(|e| e.footprint.of(Quantity::Wall)).map(|h| h.mid).fold(0.0, f64::max);
    let (time, per_hour) = time_unit(longest);
    let value = |e: &Estimate, quantity: Quantity| {
        let factor = if quantity == Quantity::Wall { per_hour } else { 1.0 };
        e.footprint.of(quantity).map(|v| v.scaled(factor)).filter(|v| v.is_valid() && v.mid > 0.0)
    };
    let mut table = TextTable::new(&["of", "architecture", "value"]);
    let (mut marks, mut bands, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for quantity in Quantity::COMPARED {
        let Some(base) = estimates.iter().find_map(|e| value(e, quantity)) else { continue };
        let unit = if quantity == Quantity::Wall { time } else { quantity.unit() };
        let heading = format!("{}, {unit}", quantity.words());
        for (i, estimate) in estimates.iter().enumerate() {
            let (label, y) = (name_of(estimate, estimates), bands.len() as f64);
            bands.push(Band { label: label.clone(), heading: (i == 0).then(|| heading.clone()) });
            let Some(v) = value(estimate, quantity) else {
                marks.push(Mark::Note { y, text: "not known".to_owned() });
                table.row(vec![heading.clone(), label, "not known".to_owned()]);
                continue;
            };
            let share = v.scaled(100.0 / base.mid);
            table.row(vec![heading.clone(), label.clone(), interval(v)]);
            ends.push(share.high);
            marks.push(Mark::Bar {
                y,
                thick: 0.66,
                from: 0.0,
                to: share.mid,
                interval: Some(share),
                ink: estimate.arch.map_or(Ink::Tone(0), |a| palette.look(a).ink),
                label: Some(interval(v)),
                tip: format!("{label}: {} {unit}", interval(v)),
            });
        }
    }
    let basis = match estimates.first()?.basis {
        Basis::Measured => "measured steps",
        Basis::Sliced => "steps of fewer layers",
        Basis::Scaled => "steps of another shape",
        Basis::Forecast => "a part of the run",
        Basis::Given => "a given step time",
        Basis::Analytic => "a model of the hardware",
    };
    let power = if modelled_power { " and modelled power" } else { "" };
    Some(Chart {
        name: "run".to_owned(),
        narrow: false,
        title: format!("The whole run, estimated from {basis}{power}"),
        about: "Bars are medians with 95 % intervals, and the numbers behind them are in the unit of their group. The intervals \
                share grid, site and price: compare architectures by what they save, not by whether these overlap."
            .to_owned(),
        x: Axis::new(format!("% of {}", name_of(estimates.first()?, estimates)), Scale::linear_over(ends)),
        y: Axis::new("", Scale::Rows(bands)),
        marks,
        legend: Vec::new(),
        table,
    })
}

/// Which input makes the run of the first architecture uncertain.
pub(in crate::report) fn variance(estimates: &[Estimate]) -> Option<Chart> {
    let first = estimates.first().filter(|e| !e.variance.is_empty())?;
    let known = |q: &Quantity| first.variance.iter().any(|v| v.shares.of(*q).is_some());
    let shown: Vec<Quantity> = Quantity::COMPARED.into_iter().filter(known).collect();
    let inputs: Vec<&VarianceShare> = first.variance.iter().take(INPUTS).collect();
    let mut header = vec!["input"];
    header.extend(shown.iter().map(|q| q.word()));
    let mut table = TextTable::new(&header);
    let mut marks = Vec::new();
    let thick = 0.8 / shown.len() as f64;
    for (i, input) in inputs.iter().enumerate() {
        let percent = |q: &Quantity| input.shares.of(*q).map(|s| 100.0 * s);
        let cell = |q: &Quantity| percent(q).map_or_else(|| "-".to_owned(), |p| format!("{p:.0} %"));
        let mut row = vec![input.input.clone()];
        row.extend(shown.iter().map(cell));
        table.row(row);
        for (j, quantity) in shown.iter().enumerate() {
            let Some(share) = percent(quantity) else { continue };
            marks.push(Mark::Bar {
                y: i as f64 - 0.4 + thick * (j as f64 + 0.5),
                thick: thick * 0.9,
                from: 0.0,
                to: share,
                interval: None,
                ink: Ink::Tone(j),
                label: None,
                tip: format!("{}: {} % of the variance of {}", input.input, significant(share), quantity.word()),
            });
        }
    }
    Some(Chart {
        name: "variance".to_owned(),
        narrow: false,
        title: format!("What makes the run uncertain ({})", name_of(first, estimates)),
        about: "The part of the variance of the logarithm that goes when the input is known: what to find out first. \
                Inputs below 1 % of everything are left out."
            .to_owned(),
        x: Axis::new("% of the variance", Scale::Linear { max: 100.0 }),
        y: Axis::new("", Scale::Rows(inputs.iter().map(|v| Band::new(v.input.clone())).collect())),
        marks,
        legend: shown
            .iter()
            .enumerate()
            .map(|(j, q)| Key { label: q.word().to_owned(), swatch: Swatch::Fill(Ink::Tone(j)) })
            .collect(),
        table,
    })
}
