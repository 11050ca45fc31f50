//! What stands between two records: power limits, drivers, throttling, other users of the card.

use std::collections::BTreeSet;

use super::Side;
use crate::meter::{EnergySource, GpuState};
use crate::record::{Cell, Record, Warning};
use crate::report::markup::clean;

/// A caveat of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) struct Caveat {
    /// The sign that stands at the records it is of.
    pub(in crate::report) sign: &'static str,
    /// Names of those records.
    pub(in crate::report) of: Vec<String>,
    /// What is the case, what that does, what to do.
    pub(in crate::report) warning: Warning,
}

/// The signs that stand at the numbers of a record, with a space before them.
pub(super) fn signs(marks: &[Caveat], name: &str) -> String {
    let own: Vec<&str> = marks.iter().filter(|m| m.of.iter().any(|n| n == name)).map(|m| m.sign).collect();
    if own.is_empty() { String::new() } else { format!(" [{}]", own.join(", ")) }
}

/// The sign of contaminated cells, which are left out of every ratio.
pub(super) const CONTAMINATED: &str = "C";

/// The caveats of these records against each other.
pub(super) fn marks(sides: &[Side]) -> Vec<Caveat> {
    let mut marks = Vec::new();
    let mut differ = |sign, what: &str, of: &dyn Fn(&Record) -> BTreeSet<String>, consequence: &str, remedy: &str| {
        let values: Vec<BTreeSet<String>> = sides.iter().map(|s| of(&s.record)).collect();
        let all: BTreeSet<&String> = values.iter().flatten().collect();
        if all.len() < 2 {
            return;
        }
        // Every record that has another than the first, or several.
        let odd = |i: usize| values[i].len() > 1 || (!values[i].is_empty() && values[i] != values[0]);
        let said: Vec<String> = sides
            .iter()
            .zip(&values)
            .map(|(s, v)| {
                let v: Vec<String> = v.iter().map(|x| clean(x, 80)).collect();
                format!("{} {}", s.name, if v.is_empty() { "not known".to_owned() } else { v.join(" and ") })
            })
            .collect();
        marks.push(Caveat {
            sign,
            of: (0..sides.len()).filter(|i| odd(*i)).map(|i| sides[i].name.clone()).collect(),
            warning: Warning::new(format!("{what}: {}", said.join(", ")), consequence, remedy),
        });
    };
    differ(
        "P",
        "power limits differ",
        &|r| states(r).filter_map(|s| s.power_limit_w).map(|w| format!("{w:.0} W")).collect(),
        "a lower limit makes steps longer and often cheaper: time and energy are not those of the same card",
        "set one limit with `nvidia-smi -pl` and measure again",
    );
    differ(
        "D",
        "drivers differ",
        &|r| states(r).filter_map(|s| s.driver.clone()).collect(),
        "part of a difference may be the driver's",
        "measure with one driver",
    );
    differ(
        "O",
        "operations differ",
        &|r| [r.settings.ops.to_string()].into(),
        "fused and stock operations take different times",
        "give the same `--ops`",
    );
    differ(
        "R",
        "dropout differs",
        &|r| [r.settings.dropout.to_string()].into(),
        "dropout takes time of its own",
        "give the same `--dropout`",
    );
    differ(
        "V",
        "versions of the program differ",
        &|r| [r.tool.clone()].into(),
        "a step may be made differently",
        "measure with one version",
    );
    differ(
        "E",
        "energies come from different sources",
        &|r| {
            let mut sources: Vec<&str> = r.environment.meters.iter().map(|m| m.source.name()).collect();
            sources.sort_unstable();
            sources.dedup();
            [if sources.is_empty() { "none".to_owned() } else { sources.join(" with ") }].into()
        },
        "their scales differ; ratios of a modelled to a measured energy are left out",
        "measure all with the same kind of meter",
    );
    for side in sides {
        let of = || vec![side.name.clone()];
        let dirty: Vec<String> = side.record.cells.iter().filter(|c| is_contaminated(c)).map(Cell::label).collect();
        if !dirty.is_empty() {
            marks.push(Caveat {
                sign: CONTAMINATED,
                of: of(),
                warning: Warning::new(
                    format!("other processes used the GPU of {} during {}", side.name, dirty.join("; ")),
                    "these cells are in no ratio and in no chart",
                    "measure them again on a card that nobody else uses",
                ),
            });
        }
        let throttled: BTreeSet<String> = side
            .record
            .cells
            .iter()
            .flat_map(|c| [&c.gpu_before, &c.gpu_after])
            .flatten()
            .flat_map(|s| s.harmful_throttling().into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        if !throttled.is_empty() {
            let reasons: Vec<String> = throttled.into_iter().collect();
            marks.push(Caveat {
                sign: "T",
                of: of(),
                warning: Warning::new(
                    format!("the GPU of {} was held down: {}", side.name, reasons.join(", ")),
                    "its steps are longer than those of a card that is not",
                    "cool the card, and measure again",
                ),
            });
        }
    }
    marks
}

/// Whether other processes used the GPU during the cell.
pub(super) fn is_contaminated(cell: &Cell) -> bool {
    cell.contaminated == Some(true)
}

/// Whether the energies of two records can be set against each other: both modelled, or both measured.
pub(super) fn energies_compare(a: &Record, b: &Record) -> bool {
    let modelled = |r: &Record| r.environment.meters.iter().any(|m| m.source == EnergySource::Model);
    modelled(a) == modelled(b)
}

fn states(record: &Record) -> impl Iterator<Item = &GpuState> {
    record.cells.iter().filter_map(|c| c.gpu_before.as_ref())
}
