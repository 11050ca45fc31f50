//! Records side by side, as rows.

use super::Side;
use super::marks::{Caveat, signs};
use super::rows::Row;
use crate::estimate::Quantity;
use crate::record::Pass;
use crate::report::charts::{Axis, Band, Chart, Mark, Palette, Scale};
use crate::report::numbers::{interval, less_or_times, significant};
use crate::report::table::TextTable;
use crate::stats::Interval;

pub(super) fn charts(sides: &[Side], rows: &[Row], caveats: &[Caveat], palette: &Palette) -> Vec<Chart> {
    let tokens = |r: &Row| (r.cell.batch_size * r.cell.seq_len) as f64;
    let speed = |r: &Row| r.cell.tokens_per_s;
    let energy = |r: &Row| r.cell.energy_j_per_step.map(|e| e.scaled(1000.0 / tokens(r)));
    let looks = (palette, caveats);
    let all = [
        saving(sides, looks),
        chart("tokens_per_s", "Training speed", "tokens a second", rows, looks, &speed),
        chart("energy", "Energy of training", "J per 1000 tokens", rows, looks, &energy),
    ];
    all.into_iter().flatten().collect()
}

/// One quantity of all records, those of one architecture and length together.
fn chart(
    name: &str,
    title: &str,
    unit: &str,
    rows: &[Row],
    (palette, caveats): (&Palette, &[Caveat]),
    value: &dyn Fn(&Row) -> Option<Interval>,
) -> Option<Chart> {
    let shown: Vec<&Row> = rows.iter().filter(|r| r.cell.pass == Pass::Train).collect();
    let known = |r: &Row| value(r).filter(|v| v.is_valid() && !r.contaminated);
    shown.iter().find_map(|r| known(r))?;
    let group = |r: &Row| (r.cell.seq_len, r.arch);
    let mut table = TextTable::new(&["record", "dtype", "architecture", "tokens", "sequences", unit, "note"]);
    let (mut bands, mut marks) = (Vec::new(), Vec::new());
    for (i, row) in shown.iter().enumerate() {
        let begins = i == 0 || group(row) != group(shown[i - 1]);
        let heading = begins.then(|| format!("{}, {} tokens", row.arch.label(), row.cell.seq_len));
        bands.push(Band { label: format!("{}{}, {}", row.name, signs(caveats, &row.name), row.cell.dtype), heading });
        let number = if let Some(v) = known(row) {
            marks.push(Mark::Bar {
                y: i as f64,
                thick: 0.6,
                from: 0.0,
                to: v.mid,
                interval: Some(v),
                ink: palette.look(row.arch).ink,
                label: Some(significant(v.mid)),
                tip: format!("{}, {}, {}: {} {unit}", row.name, row.arch.label(), row.cell.dtype, interval(v)),
            });
            interval(v)
        } else {
            let why = if row.note.is_empty() { "not known".to_owned() } else { row.note.clone() };
            marks.push(Mark::Note { y: i as f64, text: why });
            "-".to_owned()
        };
        table.row(vec![
            row.name.clone(),
            row.cell.dtype.to_string(),
            row.arch.label(),
            row.cell.seq_len.to_string(),
            row.cell.batch_size.to_string(),
            number,
            row.note.clone(),
        ]);
    }
    Some(Chart {
        name: name.to_owned(),
        narrow: false,
        title: format!("{title} by record"),
        about: "Bars with 95 % intervals. What was measured under other conditions is marked in the section on what stands \
                between these records."
            .to_owned(),
        x: Axis::new(unit, Scale::linear_over(shown.iter().filter_map(|r| known(r)).map(|v| v.high))),
        y: Axis::new("", Scale::Rows(bands)),
        marks,
        legend: Vec::new(),
        table,
    })
}

/// What each variant saves of the time of the whole run, on each machine.
fn saving(sides: &[Side], (palette, caveats): (&Palette, &[Caveat])) -> Option<Chart> {
    let percent = |x: f64| 100.0 * (1.0 - x);
    let mut table = TextTable::new(&["record", "architecture", "time against dense"]);
    let (mut bands, mut marks, mut ends) = (Vec::new(), vec![Mark::Rule { at: 0.0, label: String::new() }], Vec::new());
    for side in sides {
        let estimates = side.estimates.as_ref().map_or(&[][..], Vec::as_slice);
        let own = estimates.iter().filter_map(|e| Some((e.arch?, e.ratio(Quantity::Wall)?)));
        for (i, (arch, ratio)) in own.enumerate() {
            let said = less_or_times(ratio, "slower");
            table.row(vec![side.name.clone(), arch.label(), said.clone()]);
            let x = Interval { mid: percent(ratio.mid), low: percent(ratio.high), high: percent(ratio.low) };
            ends.extend([x.low, x.high]);
            marks.push(Mark::Point {
                at: (x.mid, bands.len() as f64),
                x: Some(x),
                y: None,
                look: palette.look(arch),
                label: Some(said.clone()),
                tip: format!("{}, {}: {said} than dense", side.name, arch.label()),
            });
            bands.push(Band {
                label: arch.label(),
                heading: (i == 0).then(|| side.name.clone() + &signs(caveats, &side.name)),
            });
        }
    }
    (!bands.is_empty()).then(|| Chart {
        name: "saving".to_owned(),
        narrow: true,
        title: "Time of the whole run that each variant saves against dense".to_owned(),
        about: "Points are medians, bars 95 % intervals; 0 is dense on the same machine.".to_owned(),
        x: Axis::new("% less than dense", Scale::between(ends, 0.0)),
        y: Axis::new("", Scale::Rows(bands)),
        marks,
        legend: Vec::new(),
        table,
    })
}
