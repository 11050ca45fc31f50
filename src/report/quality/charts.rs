//! Loss against steps, seconds and joules.

use super::words::{label, loss};
use crate::model::Arch;
use crate::report::charts::{Axis, Chart, Ink, Key, Mark, Palette, Scale, Swatch};
use crate::report::numbers::significant;
use crate::report::table::TextTable;
use crate::stats::Interval;
use crate::train::pretrain::Point;
use crate::train::quality::Quality;

/// Dashes of the line at the loss of dense.
const RULE: &[f64] = &[4.0, 3.0];
/// What is against the loss: the name of a chart, its title, its unit, and the value of a point.
type Against = (&'static str, &'static str, &'static str, fn(&Point) -> Option<f64>);

/// The charts, that of the answer first.
pub(super) fn charts(of: &Quality) -> Vec<Chart> {
    let joules = if of.joules_are_modelled { "joules (modelled)" } else { "joules" };
    let all: [Against; 3] = [
        ("loss_by_j", "Held-out loss by joules", joules, |point| point.joules),
        ("loss_by_s", "Held-out loss by seconds", "seconds", |point| Some(point.seconds)),
        ("loss_by_steps", "Held-out loss by steps", "steps", |point| Some(point.step as f64)),
    ];
    all.into_iter().filter_map(|against| chart(of, against)).collect()
}

/// An evaluation of all seeds: its step, the mean place over seeds, and the mean loss with the least and the largest.
struct Place {
    step: u64,
    x: f64,
    loss: Interval,
}

/// The evaluations after the first step that all seeds have.
fn places(of: &Quality, arch: &str, x: fn(&Point) -> Option<f64>) -> Option<Vec<Place>> {
    let runs: Vec<&[Point]> = of.runs.iter().filter(|run| run.arch == arch).map(|run| &*run.points).collect();
    let mut places = Vec::new();
    // Before the first step there is no place on a logarithmic axis.
    for first in runs.first()?.iter().filter(|point| point.step > 0) {
        let same = runs.iter().map(|points| points.iter().find(|point| point.step == first.step));
        let Some(same) = same.collect::<Option<Vec<&Point>>>() else { continue };
        let n = same.len() as f64;
        let xs: Vec<f64> = same.iter().map(|point| x(point)).collect::<Option<_>>()?;
        let losses = || same.iter().map(|point| point.held_out_loss.mid);
        places.push(Place {
            step: first.step,
            x: xs.iter().sum::<f64>() / n,
            loss: Interval {
                mid: losses().sum::<f64>() / n,
                low: losses().fold(f64::INFINITY, f64::min),
                high: losses().fold(f64::NEG_INFINITY, f64::max),
            },
        });
    }
    (!places.is_empty()).then_some(places)
}

fn chart(of: &Quality, (name, title, unit, x): Against) -> Option<Chart> {
    let curves: Vec<(Arch, Vec<Place>)> =
        of.archs.iter().map(|arch| Some((arch.parse().ok()?, places(of, arch, x)?))).collect::<Option<_>>()?;
    let palette = Palette::of(curves.iter().map(|(arch, _)| *arch).collect());
    let xs = || curves.iter().flat_map(|(_, places)| places.iter().map(|place| place.x));
    let (first, last) = xs().fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
    let dense_loss = of.comparisons.first().map(|comparison| comparison.dense_loss);
    let several = of.seeds > 1;
    let mut marks = Vec::new();
    if several {
        for (arch, places) in &curves {
            let line = |of: fn(&Interval) -> f64| places.iter().map(|p| (p.x, of(&p.loss))).collect();
            marks.push(Mark::Area { low: line(|l| l.low), high: line(|l| l.high), ink: palette.look(*arch).ink });
        }
    }
    if let Some(at) = dense_loss {
        marks.push(Mark::Line { points: vec![(first, at), (last, at)], ink: Ink::Soft, dash: RULE });
    }
    let mut table = TextTable::new(&["architecture", "steps", unit, "loss", "least", "largest"]);
    for (arch, places) in &curves {
        let look = palette.look(*arch);
        let points = places.iter().map(|place| (place.x, place.loss.mid)).collect();
        marks.push(Mark::Line { points, ink: look.ink, dash: look.dash });
        for place in places {
            let (name, Interval { mid, low, high }) = (arch.label(), place.loss);
            marks.push(Mark::Point {
                at: (place.x, mid),
                x: None,
                y: None,
                look,
                label: None,
                tip: format!(
                    "{name}, step {}: a loss of {} after {} {unit}",
                    place.step,
                    loss(mid),
                    significant(place.x)
                ),
            });
            table.row(vec![name, place.step.to_string(), significant(place.x), loss(mid), loss(low), loss(high)]);
        }
    }
    let losses = curves.iter().flat_map(|(_, places)| places.iter().flat_map(|p| [p.loss.low, p.loss.high]));
    let mut legend: Vec<Key> =
        curves.iter().map(|(arch, _)| Key { label: arch.label(), swatch: Swatch::Line(palette.look(*arch)) }).collect();
    legend.extend(dense_loss.map(|at| Key {
        label: format!("{}, which {} reaches", loss(at), label("dense")),
        swatch: Swatch::Stroke(Ink::Soft, RULE),
    }));
    let bands = if several {
        format!(" Lines are means over {} seeds, bands go from the least to the largest.", of.seeds)
    } else {
        " One seed: there is no band.".to_owned()
    };
    Some(Chart {
        name: name.to_owned(),
        narrow: false,
        title: title.to_owned(),
        about: format!(
            "Each point is an evaluation on the text that is held out; {unit} are those of the steps before it, without evaluations. Both \
             axes are logarithmic.{bands}"
        ),
        x: Axis::new(unit, Scale::log_over(xs())),
        y: Axis::new("held-out loss, nats a token", Scale::log_over(losses)),
        marks,
        legend,
        table,
    })
}
