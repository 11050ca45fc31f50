//! The same run elsewhere: in other grids, and on hardware of the catalog.

use super::inputs::{Market, ZoneRun};
use crate::estimate::{Estimate, Goal, Quantity, Scenario, frontier};
use crate::model::Arch;
use crate::report::charts::{Axis, Band, Chart, Ink, Key, Look, Mark, Marker, Palette, Scale, Swatch};
use crate::report::numbers::{human_hours, interval};
use crate::report::table::TextTable;
use crate::stats::Interval;

/// CO2e of the run of dense and of the best variant by the zone whose electricity is used.
pub(super) fn zones(zones: &[ZoneRun], palette: &Palette) -> Option<Chart> {
    let of = |zone: &ZoneRun, arch: Arch| {
        let own = zone.estimates.iter().find(|e| e.arch == Some(arch));
        own.and_then(|e| e.footprint.of(Quantity::Operational)).filter(|v| v.is_valid() && v.low > 0.0)
    };
    let archs: Vec<Arch> = zones.first()?.estimates.iter().filter_map(|e| e.arch).collect();
    let dense = *archs.first()?;
    let mut known: Vec<&ZoneRun> = zones.iter().filter(|p| of(p, dense).is_some()).collect();
    let mid = |p: &ZoneRun| of(p, dense).map_or(f64::NAN, |v| v.mid);
    known.sort_by(|a, b| mid(a).total_cmp(&mid(b)));
    let mut table = TextTable::new(&["grid", "architecture", "kgCO2e"]);
    let mut marks = Vec::new();
    for (row, place) in known.iter().enumerate() {
        for (j, &arch) in archs.iter().enumerate() {
            let Some(value) = of(place, arch) else { continue };
            let beside = (j as f64 - (archs.len() as f64 - 1.0) / 2.0) * 0.36;
            table.row(vec![place.name.clone(), arch.label(), interval(value)]);
            marks.push(Mark::Point {
                at: (value.mid, row as f64 + beside),
                x: Some(value),
                y: None,
                look: palette.look(arch),
                label: None,
                tip: format!("{}, {}: {} kgCO2e", place.name, arch.label(), interval(value)),
            });
        }
    }
    let ends = known.iter().flat_map(|p| archs.iter().filter_map(|a| of(p, *a))).flat_map(|v| [v.low, v.high]);
    Some(Chart {
        name: "co2e_by_grid".to_owned(),
        narrow: false,
        title: "Emissions of the same run in other grids".to_owned(),
        about:
            "Facility energy times the location-based intensity of the zone; the machine and its site stay the same. A \
                choice of zones: `greenformers catalog list grid` has all of them."
                .to_owned(),
        x: Axis::new("kgCO2e of the electricity", Scale::log_over(ends)),
        y: Axis::new("", Scale::Rows(known.iter().map(|p| Band::new(p.name.clone())).collect())),
        marks,
        legend: archs.iter().map(|a| Key { label: a.label(), swatch: Swatch::Marker(palette.look(*a)) }).collect(),
        table,
    })
}

/// Time against CO2e over the hardware of the catalog, with what nothing beats in both.
pub(super) fn pareto(market: &Market, here: &[Estimate], palette: &Palette) -> Option<Chart> {
    let drawable = |s: &&Scenario| s.fits != Some(false) && s.wall_h().low > 0.0 && s.operational_kgco2e().low > 0.0;
    let fitting: Vec<&Scenario> = market.scenarios.iter().filter(drawable).collect();
    let first = fitting.first()?;
    let best = frontier(fitting.iter().map(|s| (*s).clone()).collect(), &[Goal::Time, Goal::Co2e]);
    let name = |s: &Scenario| format!("{} x {}", s.devices, market.axes.hardware[s.hardware].0.id);
    // A machine that is best with several architectures is told apart by them.
    let label = |s: &Scenario| {
        let is_twice = best.iter().filter(|other| name(other) == name(s)).count() > 1;
        if is_twice { format!("{}, {}", name(s), s.arch.label()) } else { name(s) }
    };
    let mut archs: Vec<Arch> = fitting.iter().map(|s| s.arch).collect();
    archs.sort_unstable();
    archs.dedup();
    let frontier_ink = Ink::Soft;
    let mut marks = vec![Mark::Line {
        points: best.iter().map(|s| (s.wall_h().mid, s.operational_kgco2e().mid)).collect(),
        ink: frontier_ink,
        dash: &[4.0, 3.0],
    }];
    for s in &fitting {
        marks.push(Mark::Point {
            at: (s.wall_h().mid, s.operational_kgco2e().mid),
            x: None,
            y: None,
            look: palette.look(s.arch),
            label: best.contains(s).then(|| label(s)),
            tip: format!(
                "{} on {}, {}: {}, {} kgCO2e",
                s.arch.label(),
                name(s),
                s.dtype,
                human_hours(s.wall_h()),
                interval(s.operational_kgco2e())
            ),
        });
    }
    let mut legend: Vec<Key> =
        archs.iter().map(|a| Key { label: a.label(), swatch: Swatch::Marker(palette.look(*a)) }).collect();
    legend
        .push(Key { label: "nothing is better in both".to_owned(), swatch: Swatch::Stroke(frontier_ink, &[4.0, 3.0]) });
    let own = Look { ink: Ink::Text, marker: Marker::Diamond, hollow: false, dash: &[] };
    let mut ends: Vec<(Interval, Interval)> = fitting.iter().map(|s| (s.wall_h(), s.operational_kgco2e())).collect();
    let measured =
        here.iter().filter_map(|e| Some((e, e.footprint.of(Quantity::Wall)?, e.footprint.of(Quantity::Operational)?)));
    for (estimate, time, co2e) in measured.filter(|(_, t, c)| t.mid > 0.0 && c.mid > 0.0) {
        let label = estimate.label();
        marks.push(Mark::Point {
            at: (time.mid, co2e.mid),
            x: None,
            y: None,
            look: own,
            label: None,
            tip: format!("{label} on this machine: {}, {} kgCO2e", human_hours(time), interval(co2e)),
        });
        ends.push((time, co2e));
    }
    if ends.len() > fitting.len() {
        legend.push(Key { label: "this machine".to_owned(), swatch: Swatch::Marker(own) });
    }
    let mut table = TextTable::new(&["hardware", "architecture", "dtype", "time", "kgCO2e"]);
    for s in &best {
        table.row(vec![
            name(s),
            s.arch.label(),
            s.dtype.to_string(),
            human_hours(s.wall_h()),
            interval(s.operational_kgco2e()),
        ]);
    }
    let grid = &market.axes.grids[first.grid].0.name;
    Some(Chart {
        name: "pareto".to_owned(),
        narrow: false,
        title: "Time against emissions over hardware: modelled (analytic)".to_owned(),
        about: format!(
            "The same run on devices of the catalog in the grid `{grid}`, by the operator model (software: {}); points \
             are medians, and their intervals stand in the tips and in the table, which holds what nothing beats in both.",
            first.software
        ),
        // Room for names beside the frontier, which lies at the lower left.
        x: Axis::new("hours", Scale::log_over(ends.iter().flat_map(|e| [e.0.mid / 2.0, e.0.mid]))),
        y: Axis::new("kgCO2e of the electricity", Scale::log_over(ends.iter().flat_map(|e| [e.1.mid / 1.5, e.1.mid]))),
        marks,
        legend,
        table,
    })
}
