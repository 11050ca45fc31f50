//! The footprint of a run whose hours, or whose energy, are known.

use std::collections::BTreeMap;

use super::output::Estimate;
use crate::estimate::error::EstimateError;
use crate::estimate::ledger::arithmetic::Arithmetic;
use crate::estimate::ledger::chain::{self, Energy, Run};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::Quantity;
use crate::estimate::request::conditions::Conditions;
use crate::estimate::request::input::{Assumption, Input};
use crate::estimate::steps::step::Basis;
use crate::stats::Interval;
use crate::units::{Seconds, Watts};

/// Draws of each input.
const TRIALS: usize = 10_000;

/// What is known of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct FootprintRequest {
    /// Hours from start to end.
    pub hours: Option<f64>,
    /// How many devices.
    pub devices: u32,
    /// Watts of all devices together, at the wall.
    pub power_total_w: Option<f64>,
    /// Energy of the machines.
    pub energy_kwh: Option<f64>,
    /// Watts of each device alone, where neither is known: [`modelled_power`](crate::estimate::modelled_power).
    pub device_power: Option<Input>,
    /// Seed of the draws.
    pub seed: u64,
}

/// Works out energy, CO2e, money and water of a run of known length: Strubell et al. 2019, equation 1, with
/// each factor an input of its own.
///
/// # Errors
/// If a number makes no sense, or neither energy nor hours with a power are given.
pub fn footprint(request: &FootprintRequest, conditions: &Conditions) -> Result<Estimate, EstimateError> {
    if request.devices == 0 {
        return Err(EstimateError::NoDevices);
    }
    for (name, value) in
        [("--hours", request.hours), ("--power", request.power_total_w), ("--energy-kwh", request.energy_kwh)]
    {
        if let Some(value) = value
            && !(0.0..=1e15).contains(&value)
        {
            return Err(EstimateError::Number {
                name,
                value,
                allowed: "a finite number of at least 0, and at most 1e15",
            });
        }
    }
    let energy_kwh = match (request.energy_kwh, request.hours, request.power_total_w) {
        (Some(kwh), _, _) => Some(kwh),
        (None, Some(hours), Some(power)) => Some((Watts(power) * Seconds::from_hours(hours)).kwh()),
        _ => None,
    };
    let monte_carlo = MonteCarlo::new(request.seed, TRIALS);
    let exactly = |value: f64| monte_carlo.exactly(value, "");
    let device_power = request.device_power.as_ref().filter(|_| energy_kwh.is_none());
    let modelled = || {
        let kilowatt_hours = request.hours? * f64::from(request.devices) / 1000.0;
        let behind_kwh = monte_carlo.multiply(&monte_carlo.input(device_power?), &exactly(kilowatt_hours));
        Some(Energy::Parts { behind_kwh, at_wall_kwh: None })
    };
    let run = Run {
        wall_h: request.hours.map(exactly),
        energy: energy_kwh.map(|kwh| Energy::AtWall(exactly(kwh))).or_else(modelled),
        devices: f64::from(request.devices),
        share: 1.0,
    };
    let footprint =
        chain::footprint(&monte_carlo, &run, conditions, 1.0).map(|draws| Interval::of_draws(draws.clone()));
    let mut missing: BTreeMap<&'static str, String> = conditions.missing.iter().cloned().collect();
    if footprint.get(Quantity::ItEnergy).is_none() {
        for quantity in Quantity::ALL.into_iter().filter(|q| q.needs_energy()) {
            let reason = "no power is known: give `--power`, `--power-total`, `--energy-kwh`, or `--hardware` for a modelled one";
            missing.insert(quantity.key(), reason.to_owned());
        }
    }
    if request.hours.is_none() {
        for name in ["wall_h", "device_h"] {
            missing.insert(name, "no hours were given: give `--hours`".to_owned());
        }
    }
    // The reason that remains: what it is counted by was not given.
    let by_hours = |of: &str| format!("{of} is counted by hours, and none were given: give `--hours`");
    if footprint.get(Quantity::Cost).is_some() {
        missing.remove("cost_usd");
    } else if conditions.usd_per_device_hour.is_some() {
        missing.entry("cost_usd").or_insert_with(|| by_hours("the rent of a device"));
    } else {
        missing
            .entry("cost_usd")
            .or_insert_with(|| "no energy is known that a price of electricity could be paid for".to_owned());
    }
    if footprint.get(Quantity::Embodied).is_none() {
        missing.entry("embodied_kgco2e").or_insert_with(|| by_hours("the making of a device"));
    }
    let mut assumptions: Vec<Assumption> = conditions.choices.clone();
    assumptions.extend(device_power.map(Input::assumption));
    assumptions.extend(conditions.inputs_of_known_hours().map(Input::assumption));
    Ok(Estimate {
        missing,
        assumptions,
        intensity_basis: conditions.basis,
        warnings: conditions.warnings.clone(),
        footprint,
        ..Estimate::empty(request.devices, Basis::Given)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::request::conditions::ConditionsBuilder;
    use crate::estimate::request::rent::Rent;

    #[test]
    fn each_number_that_is_missing_has_a_reason_whatever_was_given() {
        let given = [Some(2.0), None];
        for (hours, power, energy, rent, bill) in given.into_iter().flat_map(|hours| {
            given.into_iter().flat_map(move |power| {
                given.into_iter().flat_map(move |energy| {
                    given
                        .into_iter()
                        .flat_map(move |rent| given.into_iter().map(move |bill| (hours, power, energy, rent, bill)))
                })
            })
        }) {
            let builder = ConditionsBuilder {
                rent: Rent { usd_per_hour: rent, ..Rent::default() },
                usd_per_kwh: bill,
                ..ConditionsBuilder::default()
            };
            let request = FootprintRequest {
                hours,
                devices: 1,
                power_total_w: power,
                energy_kwh: energy,
                device_power: None,
                seed: 0,
            };
            let result = footprint(&request, &builder.build().expect("valid")).expect("valid");
            for quantity in Quantity::ALL {
                let (name, value) = (quantity.key(), result.footprint.of(quantity));
                assert_eq!(value.is_none(), result.missing.contains_key(name), "{name}: {request:?} {rent:?} {bill:?}");
            }
        }
    }

    #[test]
    fn the_published_bert_base_run_comes_out_to_the_cent() {
        // Strubell et al. 2019, table 3: 64 V100, 79.2 h, 12 041.51 W; PUE 1.58, 0.954 lb/kWh, $2.48 an hour.
        let conditions = ConditionsBuilder {
            pue: Some(1.58),
            intensity: Some(432.727),
            rent: Rent { usd_per_hour: Some(2.48), ..Rent::default() },
            hours_are_known: true,
            ..ConditionsBuilder::default()
        };
        let request = FootprintRequest {
            hours: Some(79.2),
            devices: 64,
            power_total_w: Some(12_041.51),
            energy_kwh: None,
            device_power: None,
            seed: 0,
        };
        let result = footprint(&request, &conditions.build().expect("valid")).expect("valid");
        let value = |interval: Option<Interval>| {
            let interval = interval.expect("known");
            assert_eq!((interval.low, interval.high), (interval.mid, interval.mid));
            interval.mid
        };
        assert!((value(result.footprint.of(Quantity::FacilityEnergy)) - 1506.83).abs() < 0.005);
        assert!((value(result.footprint.of(Quantity::Operational)) - 652.0).abs() < 0.05);
        assert!((value(result.footprint.of(Quantity::Cost)) - 12_570.6).abs() < 0.05);
    }
}
