//! How well a model reads against what it takes: each share of its weights is a point.

use super::sweep::{dense_loss, megabytes, share};
use crate::model::Arch;
use crate::report::charts::{Axis, Chart, Key, Mark, Palette, Scale, Swatch};
use crate::report::numbers::{interval, significant};
use crate::report::table::TextTable;
use crate::stats::Interval;
use crate::train::factorize::{Sweep, SweepPoint};

/// What a model costs: the name of a chart, the words of its axis, the cost of the dense model, and that of a share.
struct Cost {
    name: &'static str,
    title: &'static str,
    axis: String,
    dense: f64,
    of: fn(&SweepPoint) -> Option<Interval>,
}

/// The charts, that of the answer first; none without a text.
pub(super) fn charts(of: &Sweep) -> Vec<Chart> {
    let first = of.points.first().and_then(|point| point.tried.passes.last());
    let at = first.map_or_else(String::new, |pass| format!(" of a pass of {} tokens", pass.seq_len));
    let modelled = of.points.iter().any(|point| point.tried.joules_are_modelled());
    let joules = if modelled { "energy (modelled)" } else { "energy" };
    let costs = [
        Cost {
            name: "quality_by_time",
            title: "What is lost, by the time of a pass",
            axis: format!("time{at}, times dense"),
            dense: 1.0,
            of: |point| Some(point.tried.passes.last()?.vs_dense),
        },
        Cost {
            name: "quality_by_size",
            title: "What is lost, by size",
            axis: "MB as f32".to_owned(),
            dense: megabytes(of.weights),
            of: |point| Some(Interval::point(megabytes(point.factorized.weights))),
        },
        Cost {
            name: "quality_by_joules",
            title: "What is lost, by energy",
            axis: format!("{joules}{at}, times dense"),
            dense: 1.0,
            of: |point| point.tried.passes.last()?.joules_vs_dense,
        },
    ];
    costs.iter().filter_map(|cost| chart(of, cost)).collect()
}

fn chart(of: &Sweep, cost: &Cost) -> Option<Chart> {
    let has_loss = dense_loss(of).is_some();
    let quality = |point: &SweepPoint| {
        let reading = point.tried.reading.as_ref()?;
        if has_loss { reading.added_loss } else { Some(reading.drift) }
    };
    let points: Vec<(&SweepPoint, Interval, Interval)> =
        of.points.iter().filter_map(|point| Some((point, (cost.of)(point)?, quality(point)?))).collect();
    if points.is_empty() {
        return None;
    }
    let (what, unit) = if has_loss {
        ("added loss", "loss above that of dense, nats a token")
    } else {
        ("drift", "drift of the embeddings")
    };
    let palette = Palette::of(vec![Arch::Dense, Arch::Lrt { rank: 1 }]);
    let (dense_look, own_look) = (palette.look(Arch::Dense), palette.look(Arch::Lrt { rank: 1 }));
    let mut table = TextTable::new(&["keeps", &cost.axis, what]);
    let mut marks = Vec::new();
    let mut line: Vec<(f64, f64)> = points.iter().map(|(_, x, y)| (x.mid, y.mid)).collect();
    line.insert(0, (cost.dense, 0.0));
    table.row(vec!["dense".to_owned(), significant(cost.dense), "0".to_owned()]);
    marks.push(Mark::Line { points: line, ink: own_look.ink, dash: own_look.dash });
    marks.push(Mark::Point {
        at: (cost.dense, 0.0),
        x: None,
        y: None,
        look: dense_look,
        label: None,
        tip: format!("dense: {} {}", significant(cost.dense), cost.axis),
    });
    for (point, x, y) in &points {
        table.row(vec![share(point.keep), interval(*x), interval(*y)]);
        marks.push(Mark::Point {
            at: (x.mid, y.mid),
            x: Some(*x).filter(|x| x.low < x.high),
            y: Some(*y),
            look: own_look,
            label: Some(share(point.keep)),
            tip: format!("{}: {} {}, {what} {}", share(point.keep), interval(*x), cost.axis, interval(*y)),
        });
    }
    let xs = || points.iter().flat_map(|(_, x, _)| [x.low, x.high]).chain([cost.dense]);
    let ys = points.iter().flat_map(|(.., y)| [y.low, y.high]);
    Some(Chart {
        name: cost.name.to_owned(),
        narrow: false,
        title: cost.title.to_owned(),
        about: "Each point is a share of the weights of the linears that is kept; bars are 95 % intervals. Left and low is better: what has \
                another point to its left and below it is not worth keeping."
            .to_owned(),
        x: Axis::new(cost.axis.clone(), Scale::between(xs(), xs().fold(f64::INFINITY, f64::min))),
        y: Axis::new(unit, Scale::between(ys, 0.0)),
        marks,
        legend: vec![
            Key { label: "dense".to_owned(), swatch: Swatch::Marker(dense_look) },
            Key { label: "factorised, by the share that is kept".to_owned(), swatch: Swatch::Line(own_look) },
        ],
        table,
    })
}
