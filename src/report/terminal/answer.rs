//! The answer in ten lines: a sentence, a table that fits, what matters most of what was assumed, and what to type next.

use std::fmt::Write as _;

use super::or_dash;
use crate::catalog::IntensityBasis;
use crate::estimate::{Assumption, Basis, Estimate, Quantity, Value};
use crate::model::Arch;
use crate::report::numbers::{human_hours, interval, significant, time_unit, times_dense};
use crate::report::table::{TextTable, wrapped};
use crate::stats::Interval;

/// How many assumptions are said.
const MOST: usize = 3;

/// What replaces an assumption, by its name; the first that is assumed for want of a name comes first.
const FLAGS: [(&str, &str); 12] = [
    ("grid", "`--grid NAME`, or `--cloud NAME --region NAME`"),
    ("software", "`--software eager`, `compiled` or `optimised`"),
    ("site", "`--site NAME` or `--pue X`"),
    ("efficiency of the software", "`--software eager`, `compiled` or `optimised`"),
    ("price of a device", "`--cloud NAME` or `--usd-per-hour X`"),
    ("power of a device", "`--power W`"),
    ("power of the device", "a profile would tell"),
    ("grid intensity", "`--grid NAME` or `--grid-intensity G`"),
    ("PUE", "`--site NAME` or `--pue X`"),
    ("electricity price", "`--usd-per-kwh X`"),
    ("efficiency of this hardware", "a profile would tell, or `--calibration FILE`"),
    ("efficiency of this run", "`--calibration FILE`"),
];

/// The sentence: what was asked, and what it comes to, each with its interval.
#[must_use]
pub fn sentence(estimate: &Estimate) -> String {
    let mut what = estimate.workload.clone().unwrap_or_else(|| "The run".to_owned());
    if let Some(arch) = estimate.arch {
        let _ = write!(what, " ({})", arch.label());
    }
    if let Some(hardware) = &estimate.hardware {
        let _ = write!(what, " on {} x {hardware}", estimate.devices);
    }
    let basis = estimate.intensity_basis.map(IntensityBasis::name);
    if let Some(place) = choice(estimate, "grid") {
        // A region has its id in its name.
        let place = place.split_once(") (").map_or_else(|| place.to_owned(), |(name, _)| format!("{name})"));
        let place = basis.and_then(|basis| place.strip_suffix(&format!(", {basis}"))).unwrap_or(&place);
        let _ = write!(what, ", {place}");
    }
    let mut parts = Vec::new();
    let known = |quantity| estimate.footprint.of(quantity);
    parts.extend(known(Quantity::Wall).map(human_hours));
    parts.extend(known(Quantity::Cost).map(|v| format!("{} USD", interval(v))));
    parts.extend(known(Quantity::FacilityEnergy).map(|v| format!("{} kWh", interval(v))));
    let counted = basis.map_or_else(String::new, |basis| format!(" ({basis})"));
    parts.extend(known(Quantity::Operational).map(|v| format!("{} kgCO2e{counted}", interval(v))));
    let takes = match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "an unknown time".to_owned(),
    };
    let how = match estimate.basis {
        Basis::Analytic => "; modelled, not measured",
        Basis::Scaled => "; carried over from what was measured",
        Basis::Sliced => "; by steps that were measured with fewer layers",
        Basis::Measured => "; by steps that were measured",
        Basis::Forecast => "; as forecast while it ran",
        Basis::Given => "",
    };
    format!("{what}: {takes}{how}.")
}

fn choice<'a>(estimate: &'a Estimate, name: &str) -> Option<&'a str> {
    estimate.assumptions.iter().find(|a| a.name == name).and_then(|a| match &a.value {
        Value::Text(text) => Some(text.as_str()),
        Value::Number(_) => None,
    })
}

/// The estimates side by side, with as much as a terminal of `width` columns has room for.
#[must_use]
pub fn answer_table(estimates: &[Estimate], width: usize) -> TextTable {
    let narrower =
        [(true, true), (true, false), (false, true)].map(|(intervals, energy)| table(estimates, intervals, energy));
    narrower.into_iter().find(|t| t.least_width() <= width).unwrap_or_else(|| table(estimates, false, false))
}

fn table(estimates: &[Estimate], intervals: bool, energy: bool) -> TextTable {
    let wall = |e: &Estimate| e.footprint.of(Quantity::Wall);
    let longest = estimates.iter().filter_map(wall).map(|h| h.mid).fold(0.0, f64::max);
    let (unit, per_hour) = time_unit(longest);
    let time = format!("time {unit}");
    let names = names(estimates);
    let mut header = vec![if names.are_hardware { "hardware" } else { "architecture" }, &time];
    header.extend(energy.then_some("kWh"));
    header.extend(["kgCO2e", "USD"]);
    let compared = estimates.iter().any(|e| e.vs_dense.is_some());
    header.extend(compared.then_some(if intervals { "time / dense" } else { "/ dense" }));
    let to_loss = estimates.iter().any(|e| e.equal_loss.is_some());
    header.extend(to_loss.then_some(if intervals { "to equal loss" } else { "to loss" }));
    let mut table = TextTable::new(&header);
    let shown = |v| if intervals { interval(v) } else { significant(v.mid) };
    for (e, name) in estimates.iter().zip(names.names) {
        let of = |quantity| or_dash(e.footprint.of(quantity), shown);
        let mut row = vec![name, or_dash(wall(e), |h| interval(h.scaled(per_hour)))];
        row.extend(energy.then(|| of(Quantity::FacilityEnergy)));
        row.extend([of(Quantity::Operational), of(Quantity::Cost)]);
        let of_dense = |r: Interval| if intervals { times_dense(r) } else { format!("{:.2}", r.mid) };
        if compared {
            row.push(or_dash(e.ratio(Quantity::Wall), of_dense));
        }
        if to_loss {
            row.push(or_dash(e.equal_loss.as_ref().and_then(|to| to.vs_dense.of(Quantity::Wall)), of_dense));
        }
        table.row(row);
    }
    table
}

struct Names {
    names: Vec<String>,
    are_hardware: bool,
}

/// What tells the estimates apart: the architecture, the hardware, or both; and the number format where it differs.
fn names(estimates: &[Estimate]) -> Names {
    let differ =
        |of: &dyn Fn(&Estimate) -> Option<String>| estimates.windows(2).any(|pair| of(&pair[0]) != of(&pair[1]));
    let hardware = differ(&|e| e.hardware.clone());
    let archs = differ(&|e| e.arch.map(Arch::label));
    let dtypes = differ(&|e| e.dtype.map(|d| d.name().to_owned()));
    let name = |e: &Estimate| {
        let mut parts = Vec::new();
        if hardware {
            parts.push(e.hardware.clone().unwrap_or_default());
        }
        if archs || !hardware {
            parts.push(e.label());
        }
        if dtypes {
            parts.extend(e.dtype.map(|d| d.name().to_owned()));
        }
        parts.join(" ")
    };
    Names { names: estimates.iter().map(name).collect(), are_hardware: hardware && !archs }
}

/// What was assumed that matters most, with the option that changes each.
#[must_use]
fn decisive_assumptions(estimate: &Estimate) -> Vec<String> {
    let assumed = |a: &&Assumption| match &a.value {
        Value::Text(text) => (a.name == "software" && text == "unknown") || a.source.starts_with("assumed"),
        Value::Number(_) => a.source.starts_with("modelled"),
    };
    let mut names: Vec<&str> = estimate.assumptions.iter().filter(assumed).map(|a| a.name.as_str()).collect();
    // The rest by what it adds to the variance, that of the software once.
    for share in &estimate.variance {
        let known = names.contains(&share.input.as_str())
            || (share.input == "efficiency of the software" && names.contains(&"software"));
        let matters = Quantity::COMPARED.into_iter().filter_map(|q| share.shares.of(q)).any(|part| part >= 0.01);
        if !known && matters {
            names.push(&share.input);
        }
    }
    let said = |name: &&str| {
        let flag = FLAGS.iter().find(|(known, _)| known == name).map(|(_, flag)| *flag)?;
        let found = estimate.assumptions.iter().find(|a| a.name == **name);
        let value = found.map_or_else(String::new, |a| format!(": {}", shown(a)));
        Some(format!("{name}{value} ({flag})"))
    };
    names.iter().filter_map(said).take(MOST).collect()
}

fn shown(assumption: &Assumption) -> String {
    match (&assumption.value, assumption.range) {
        (Value::Text(text), _) => text.clone(),
        (Value::Number(x), None) => {
            format!("{} {}", significant(*x), assumption.unit).trim_end_matches(" 1").to_owned()
        }
        (Value::Number(x), Some((low, high))) => {
            let text = format!("{} [{}, {}] {}", significant(*x), significant(low), significant(high), assumption.unit);
            text.trim_end_matches(" 1").to_owned()
        }
    }
}

/// The sentence, the table, the assumptions and the next command, in lines of at most `width`.
#[must_use]
pub fn short_answer(estimates: &[Estimate], verdict: Option<&str>, next: &str, width: usize) -> [String; 3] {
    let Some(first) = estimates.first() else { return Default::default() };
    let mut said = verdict.map_or_else(|| sentence(first), str::to_owned);
    said = wrapped(&said, width, "");
    let table = answer_table(estimates, width).render(width);
    [said, table, assumed_and_next(Some(first), next, width)]
}

/// How many times the steps of dense each architecture needs to its loss, and what that stands on.
#[must_use]
pub fn equal_loss_text(estimates: &[Estimate], width: usize) -> String {
    let mut said: Vec<String> = Vec::new();
    let asked = estimates.iter().any(|e| e.equal_loss.is_some());
    for estimate in estimates {
        let line = match &estimate.equal_loss {
            Some(to) => {
                let steps = interval(to.steps_vs_dense);
                format!("to equal loss: {} needs {steps} times the steps of dense ({})", estimate.label(), to.source)
            }
            None if asked && estimate.vs_dense.is_some() => {
                format!("to equal loss: nothing is known of {}", estimate.label())
            }
            None => continue,
        };
        if !said.contains(&line) {
            said.push(line);
        }
    }
    said.iter().map(|line| wrapped(line, width, "  ")).collect()
}

/// What an estimate assumes that matters most, and the next command.
#[must_use]
pub fn assumed_and_next(estimate: Option<&Estimate>, next: &str, width: usize) -> String {
    let assumptions = estimate.map(decisive_assumptions).unwrap_or_default();
    let below = assumptions.iter().enumerate().map(|(i, assumption)| {
        let start = if i == 0 { "assumed: " } else { "         " };
        wrapped(&format!("{start}{assumption}"), width, "         ")
    });
    below.collect::<String>() + &format!("next:    {next}\n")
}

/// Which of several machines is first in what: a sentence a quantity, which says where the intervals leave it open.
#[must_use]
pub fn verdict_of_machines(estimates: &[Estimate]) -> String {
    let words = [
        (Quantity::Wall, "fastest", "faster", "take the same time"),
        (Quantity::Cost, "cheapest", "cheaper", "cost the same"),
        (Quantity::Operational, "cleanest", "less CO2e", "emit the same"),
    ];
    let Some(first) = estimates.first() else { return String::new() };
    let several_archs = estimates.iter().any(|e| e.arch != first.arch);
    // By one architecture, so that nothing but the machines differs, and among those that can run it.
    let (too_small, fitting): (Vec<&Estimate>, Vec<&Estimate>) =
        estimates.iter().filter(|e| e.arch == first.arch).partition(|e| e.fits == Some(false));
    let of_first = || fitting.iter().copied();
    let name = |e: &Estimate| format!("{} x {}", e.devices, e.hardware.clone().unwrap_or_default());
    let with = if several_archs { format!("With {}, ", first.label()) } else { String::new() };
    let mut sentences = Vec::new();
    for (quantity, most, more, alike) in words {
        let mut known: Vec<_> = of_first().filter_map(|e| Some((e, e.footprint.of(quantity)?))).collect();
        known.sort_by(|a, b| a.1.mid.total_cmp(&b.1.mid));
        let [(first, best), (_, second), ..] = known[..] else { continue };
        let (last, worst) = known[known.len() - 1];
        // What differs by less than is printed is not told apart.
        if worst.mid / best.mid < 1.005 {
            sentences.push(format!("{} and {} {alike}.", name(first), name(last)));
            continue;
        }
        let times = significant(worst.mid / best.mid);
        let open = if best.high < second.low { "" } else { ", though that is not certain" };
        sentences.push(format!("{} is the {most}, {times} x {more} than {}{open}.", name(first), name(last)));
    }
    if let ([only], false) = (fitting.as_slice(), too_small.is_empty()) {
        sentences.push(format!("{} alone can run it.", name(only)));
    }
    for e in too_small {
        let gb = |bytes: u64| format!(" (about {} GB)", significant(bytes as f64 / 1e9));
        let bytes = e.memory_per_device_bytes.map_or_else(String::new, gb);
        sentences.push(format!("{} has not the memory that it takes{bytes}.", name(e)));
    }
    with + &sentences.join(" ")
}
