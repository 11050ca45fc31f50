//! What the whole run was forecast to take, by when that was said.

use crate::model::Arch;
use crate::record::ForecastRecord;
use crate::report::charts::{Axis, Chart, Ink, Key, Mark, Palette, Scale, Swatch};
use crate::report::numbers::{interval, significant, time_unit};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// Dashes of the line at what it took.
const RULE: &[f64] = &[4.0, 3.0];

/// The axis of time is so much longer than the last forecast was late, so that its point is whole.
const ROOM: f64 = 1.05;

/// The chart, if something was forecast before the end.
pub(super) fn by_time(of: &ForecastRecord) -> Option<Chart> {
    let mut said: Vec<(f64, u64, Interval)> = of.said.iter().map(|s| (s.at_s, s.steps_done, s.whole_s)).collect();
    if !of.has_finished() {
        said.push((of.duration_s, of.steps_done, of.whole_s));
    }
    if said.len() < 2 {
        return None;
    }
    let (unit, per_hour) = time_unit(of.whole_s.mid / 3600.0);
    let in_unit = |seconds: f64| seconds / 3600.0 * per_hour;
    let look = Palette::of(vec![Arch::Dense]).look(Arch::Dense);
    let last = said.iter().map(|(at_s, ..)| *at_s).fold(of.duration_s, f64::max);
    let took = of.has_finished().then(|| in_unit(of.duration_s));
    let mut marks: Vec<Mark> = took
        .iter()
        .map(|took| Mark::Line { points: vec![(0.0, *took), (in_unit(last), *took)], ink: Ink::Soft, dash: RULE })
        .collect();
    let at = format!("said after, {unit}");
    let mut table = TextTable::new(&[&at, "steps done", &format!("whole run, {unit}")]);
    for (at_s, steps, whole_s) in &said {
        let whole = whole_s.scaled(per_hour / 3600.0);
        table.row(vec![significant(in_unit(*at_s)), steps.to_string(), interval(whole)]);
        marks.push(Mark::Point {
            at: (in_unit(*at_s), whole.mid),
            x: None,
            y: Some(whole),
            look,
            label: None,
            tip: format!(
                "after {} {unit} and {steps} of {} steps: {} {unit} in all",
                significant(in_unit(*at_s)),
                of.steps_total,
                interval(whole)
            ),
        });
    }
    let ends = said.iter().flat_map(|(.., whole_s)| [in_unit(whole_s.low), in_unit(whole_s.high)]);
    let mut legend = vec![Key { label: "forecast, with its 95 % interval".to_owned(), swatch: Swatch::Marker(look) }];
    legend.extend(took.map(|took| Key {
        label: format!("it took {} {unit}", significant(took)),
        swatch: Swatch::Stroke(Ink::Soft, RULE),
    }));
    Some(Chart {
        name: "forecast_by_time".to_owned(),
        narrow: false,
        title: "Forecast of the whole run, by when it was said".to_owned(),
        about: "Each point is what the whole run was forecast to take, from what had been seen until then. The interval narrows as \
                more of the run is seen."
            .to_owned(),
        x: Axis::new(format!("{unit} since the start of the command"), Scale::linear_over([in_unit(ROOM * last)])),
        y: Axis::new(format!("{unit} of the whole run"), Scale::linear_over(ends.chain(took))),
        marks,
        legend,
        table,
    })
}
