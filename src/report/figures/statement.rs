//! A sentence for a paper: what the run takes, how sure that is, and what is counted.

use super::answer::NAME;
use crate::estimate::{Basis, Estimate, Quantity, Value};
use crate::record::Record;
use crate::report::markup::clean;
use crate::report::names::TOOL;
use crate::report::numbers::{human_hours, interval, significant};

/// A statement of each run.
pub(super) fn statements(record: &Record, estimates: &[Estimate]) -> Vec<String> {
    estimates.iter().filter_map(|e| statement(record, e)).collect()
}

/// What a run that has been took and emitted, for a paper; `None` where no emissions are known.
#[must_use]
pub fn statement_of_past(estimate: &Estimate) -> Option<String> {
    let energy = estimate.footprint.of(Quantity::FacilityEnergy)?;
    let co2e = estimate.footprint.of(Quantity::Operational)?;
    let hours = estimate.footprint.of(Quantity::Wall);
    let took = hours.map_or_else(String::new, |h| format!("took {}, ", human_hours(h)));
    let device = estimate.hardware.clone().unwrap_or_else(|| "device".to_owned());
    let text = format!(
        "The run on {} x {device} {took}used {} kWh and emitted {} kgCO2e ({})",
        estimate.devices,
        interval(energy),
        interval(co2e),
        boundary(estimate)
    );
    Some(format!("{text}. Worked out with {TOOL}."))
}

/// `None` where no time is known.
fn statement(record: &Record, estimate: &Estimate) -> Option<String> {
    let machine = clean(&record.environment.compute.name, NAME);
    let devices = if estimate.devices == 1 { machine } else { format!("{} x {machine}", estimate.devices) };
    let mut text = format!(
        "Training {} ({}) on {devices} in {} is estimated to take {}",
        clean(estimate.workload.as_deref().unwrap_or("the model"), NAME),
        estimate.label(),
        estimate.dtype.map_or("an unnamed format", crate::units::DType::name),
        human_hours(estimate.footprint.of(Quantity::Wall)?)
    );
    match (estimate.footprint.of(Quantity::FacilityEnergy), estimate.footprint.of(Quantity::Operational)) {
        (Some(energy), Some(co2e)) => {
            text.push_str(&format!(", {} kWh, and to emit {} kgCO2e", interval(energy), interval(co2e)));
        }
        _ => text.push_str("; its energy is not known"),
    }
    let basis = match estimate.basis {
        Basis::Measured => "steps measured on that machine",
        Basis::Sliced => "steps of the model with fewer layers, measured on that machine",
        Basis::Scaled => "steps measured at another shape or on another device",
        Basis::Analytic => "a model of the hardware",
        Basis::Forecast => "a part of the run",
        Basis::Given => "a step time that was given",
    };
    Some(format!("{text} ({}). Estimated before training with {TOOL} from {basis}.", boundary(estimate)))
}

/// What is counted, and by which numbers.
fn boundary(estimate: &Estimate) -> String {
    let number = |name: &str| {
        let found = estimate.assumptions.iter().find(|a| a.name == name)?;
        let Value::Number(value) = found.value else { return None };
        let range = found.range.map(|(low, high)| format!(" [{}, {}]", significant(low), significant(high)));
        Some(format!("{}{}", significant(value), range.unwrap_or_default()))
    };
    let mut boundary = vec!["95 % intervals".to_owned()];
    if estimate.footprint.of(Quantity::Operational).is_some() {
        boundary.push("emissions of the electricity, location-based".to_owned());
        boundary.extend(number("grid intensity").map(|g| format!("{g} gCO2e/kWh")));
        boundary.extend(number("PUE").map(|p| format!("PUE {p}")));
    }
    boundary.push(match estimate.footprint.of(Quantity::Embodied) {
        Some(kg) => format!("the making of the hardware adds {} kgCO2e", interval(kg)),
        None => "the making of the hardware is not counted".to_owned(),
    });
    if estimate.assumptions.iter().any(|a| a.name == "power of a device" && a.source.starts_with("modelled")) {
        boundary.push("power modelled, not measured".to_owned());
    }
    boundary.push("one run: failed attempts, searches and evaluation beyond the run are not counted".to_owned());
    boundary.join("; ")
}
