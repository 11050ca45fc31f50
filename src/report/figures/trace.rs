//! The power of a cell while its steps go through their phases.

use crate::meter::EnergySource;
use crate::meter::MeterTrace;
use crate::record::{Cell, Pass, Status, Step};
use crate::report::charts::{Axis, Chart, Ink, Key, Mark, Scale, Swatch};
use crate::report::numbers::significant;
use crate::report::table::TextTable;

/// No more steps are drawn: their phases could not be told apart.
const STEPS: usize = 6;
/// Lines of different meters.
const DASHES: [&[f64]; 3] = [&[], &[7.0, 4.0], &[2.0, 3.0]];

/// The visit to a train cell that the meters read most often.
pub(super) fn trace(cells: &[&Cell]) -> Option<Chart> {
    let of_cells = cells.iter().filter(|c| c.pass == Pass::Train && c.status == Status::Ok && !c.meters.is_empty());
    let mut best: Option<(usize, &Cell, &[Step])> = None;
    for cell in of_cells {
        let watts: Vec<_> = cell.meters.iter().map(power).collect();
        for visit in cell.visits() {
            let steps = &visit[..visit.len().min(STEPS)];
            let read = watts.iter().map(|w| during(w, steps).len()).min().unwrap_or(0);
            if read >= 3 && best.is_none_or(|(most, ..)| read > most) {
                best = Some((read, cell, steps));
            }
        }
    }
    best.filter(|(_, cell, steps)| !is_flat(cell, steps)).map(|(_, cell, steps)| chart(cell, steps))
}

/// Whether power is modelled and hardly changes: the line would show the model, and nothing of the machine.
fn is_flat(cell: &Cell, steps: &[Step]) -> bool {
    const SPAN: f64 = 0.1;
    let flat = |meter: &MeterTrace| {
        let watts = power(meter);
        let shown = during(&watts, steps).iter().map(|(_, w)| *w);
        let (low, high) = shown.fold((f64::INFINITY, 0.0f64), |(low, high), w| (low.min(w), high.max(w)));
        meter.meter.source == EnergySource::Model && high - low <= SPAN * high
    };
    cell.meters.iter().all(flat)
}

fn chart(cell: &Cell, steps: &[Step]) -> Chart {
    let start = steps[0].start_s;
    let phases = [("forward", 4), ("backward", 3), ("optimizer", 1)];
    let mut marks = Vec::new();
    for step in steps {
        let mut from = step.start_s - start;
        for ((name, tone), seconds) in phases.iter().zip([step.forward_s, step.backward_s, step.optimizer_s]) {
            let to = from + seconds;
            let tip = format!("{name}: {} s", significant(seconds));
            marks.push(Mark::Shade { from, to, ink: Ink::Tone(*tone), tip });
            from = to;
        }
    }
    let mut table = TextTable::new(&["seconds", "meter", "W"]);
    let mut legend: Vec<Key> = phases
        .iter()
        .map(|(name, tone)| Key { label: (*name).to_owned(), swatch: Swatch::Fill(Ink::Tone(*tone)) })
        .collect();
    let mut most = 0.0f64;
    for (i, meter) in cell.meters.iter().enumerate() {
        let points: Vec<(f64, f64)> = during(&power(meter), steps).iter().map(|(t, w)| (t - start, *w)).collect();
        let name = meter.meter.coverage.words();
        for (t, w) in &points {
            most = most.max(*w);
            table.row(vec![significant(*t), name.to_owned(), significant(*w)]);
        }
        let dash = DASHES[i % DASHES.len()];
        legend.push(Key { label: name.to_owned(), swatch: Swatch::Stroke(Ink::Text, dash) });
        marks.push(Mark::Line { points, ink: Ink::Text, dash });
    }
    let end = steps[steps.len() - 1].end_s() - start;
    let modelled = cell.meters.iter().any(|m| m.meter.source == EnergySource::Model);
    let (what, since) = match steps.len() {
        1 => ("one step".to_owned(), "seconds since the step began"),
        n => (format!("{n} steps"), "seconds since the first of these steps"),
    };
    Chart {
        name: "power".to_owned(),
        narrow: false,
        title: format!(
            "Power during {what} of {}{}",
            cell.label(),
            if modelled { ": modelled, not measured" } else { "" }
        ),
        about:
            "The visit that the meters read most often. A counter of energy gives the mean power between two of its \
                readings, which is smoother than what the device drew."
                .to_owned(),
        x: Axis::new(since, Scale::Between { min: 0.0, max: end }),
        y: Axis::new("W", Scale::linear_over([most * 1.05])),
        marks,
        legend,
        table,
    }
}

/// What lies between the beginning and the end of `steps`, of times and watts by rising times.
fn during<'a>(watts: &'a [(f64, f64)], steps: &[Step]) -> &'a [(f64, f64)] {
    let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return &[] };
    let (from, to) = (first.start_s, last.end_s());
    watts.get(watts.partition_point(|w| w.0 < from)..watts.partition_point(|w| w.0 <= to)).unwrap_or_default()
}

/// Times and watts of a meter: what its sensor showed, or the slope of its counter, at the middle between two readings.
/// Readings that follow each other at once have no slope.
fn power(meter: &MeterTrace) -> Vec<(f64, f64)> {
    let shown: Vec<(f64, f64)> = meter.samples.iter().filter_map(|s| Some((s.time_s, s.power_w?))).collect();
    if !shown.is_empty() {
        return shown;
    }
    let counted: Vec<(f64, f64)> = meter.samples.iter().filter_map(|s| Some((s.time_s, s.energy_j?))).collect();
    let gaps: Vec<f64> = counted.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    let usual = crate::stats::median(&gaps).unwrap_or(0.0);
    let slope = |pair: &[(f64, f64)]| {
        let ((t0, e0), (t1, e1)) = (pair[0], pair[1]);
        let long_enough = t1 - t0 > usual / 4.0 && t1 - t0 < usual * 4.0;
        (long_enough && e1 >= e0).then(|| (f64::midpoint(t0, t1), (e1 - e0) / (t1 - t0)))
    };
    counted.windows(2).filter_map(slope).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Coverage, MeterInfo, Sample};

    #[test]
    fn a_counter_that_rises_by_20_joules_in_half_a_second_shows_40_watts() {
        let info = MeterInfo {
            source: EnergySource::Rapl,
            domain: "package-0".to_owned(),
            coverage: Coverage::CpuPackage,
            gain_uncertainty: 0.05,
            note: String::new(),
        };
        let sample =
            |(time_s, joules): (f64, f64)| Sample { time_s, energy_j: Some(joules), power_w: None, doubt: None };
        let readings = [(0.0, 0.0), (0.5, 20.0), (0.500_01, 20.001), (1.0, 50.0), (1.5, 55.0)];
        let meter = MeterTrace {
            meter: info,
            samples: readings.into_iter().map(sample).collect(),
            failure: None,
            timing: None,
            idle_w: None,
        };
        let step = Step { visit: 1, start_s: 0.1, forward_s: 0.4, backward_s: 0.7, optimizer_s: 0.0 };
        let watts = power(&meter);
        let watts = during(&watts, &[step]);
        assert_eq!(watts.len(), 2, "{watts:?}");
        assert!((watts[0].0 - 0.25).abs() < 1e-12 && (watts[0].1 - 40.0).abs() < 1e-9);
        assert!((watts[1].1 - 60.0).abs() < 0.01, "{watts:?}");
    }
}
