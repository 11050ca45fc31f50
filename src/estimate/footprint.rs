//! The footprint of a run whose hours, or whose energy, are known.

use std::collections::BTreeMap;

use super::{Assumption, Basis, Conditions, Estimate, EstimateError};
use crate::stats::Interval;
use crate::units::{GramsCo2ePerKwh, Joules, LitresPerKwh, Seconds, UsdPerHour, UsdPerKwh, Watts};

/// Draws of each input.
const TRIALS: usize = 10_000;

/// What is known of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FootprintRequest {
    /// Hours from start to end.
    pub hours: Option<f64>,
    /// How many devices.
    pub devices: u32,
    /// Watts of all devices together, at the wall.
    pub power_total_w: Option<f64>,
    /// Energy of the machines.
    pub energy_kwh: Option<f64>,
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
    let time = request.hours.map(Seconds::from_hours);
    let it = match (request.energy_kwh, time, request.power_total_w) {
        (Some(kwh), _, _) => Some(Joules::from_kwh(kwh)),
        (None, Some(time), Some(power)) => Some(Watts(power) * time),
        _ => None,
    };
    let draws = |input: &super::Input| input.draws(request.seed, TRIALS);
    let of = |f: &dyn Fn(usize) -> f64| Interval::of_draws((0..TRIALS).map(f).collect());
    let (pue, intensity) = (draws(&conditions.pue), draws(&conditions.intensity));
    let devices = f64::from(request.devices);
    let price = conditions.usd_per_device_hour.as_ref().map(draws);
    let electricity = conditions.usd_per_kwh.as_ref().map(draws);
    let cost_usd = match (&price, time, &electricity, it) {
        (Some(price), Some(time), _, _) => Some(of(&|t| (time * UsdPerHour(price[t])).0 * devices)),
        (None, _, Some(price), Some(it)) => Some(of(&|t| (it * pue[t] * UsdPerKwh(price[t])).0)),
        _ => None,
    };
    let water_l = conditions.grid_water.as_ref().zip(it).map(|(grid, it)| {
        let grid = draws(grid);
        let site = conditions.site_water.as_ref().map_or_else(|| vec![0.0; TRIALS], draws);
        of(&|t| (it * LitresPerKwh(site[t] + pue[t] * grid[t])).0)
    });
    let embodied_kgco2e = conditions.embodied.as_ref().zip(time).map(|((kg, life), time)| {
        let (kg, life) = (draws(kg), draws(life));
        of(&|t| kg[t] * devices * time.hours() / life[t])
    });
    let mut missing: BTreeMap<&'static str, String> = conditions.missing.iter().cloned().collect();
    if it.is_none() {
        for name in ["it_energy_kwh", "facility_energy_kwh", "operational_kgco2e", "water_l"] {
            missing.insert(name, "no power is known: give `--power`, `--power-total` or `--energy-kwh`".to_owned());
        }
    }
    if time.is_none() {
        for name in ["wall_h", "device_h"] {
            missing.insert(name, "no hours were given: give `--hours`".to_owned());
        }
    }
    // The reason that remains: what it is counted by was not given.
    let by_hours = |of: &str| format!("{of} is counted by hours, and none were given: give `--hours`");
    if cost_usd.is_some() {
        missing.remove("cost_usd");
    } else if price.is_some() {
        missing.entry("cost_usd").or_insert_with(|| by_hours("the rent of a device"));
    } else {
        missing
            .entry("cost_usd")
            .or_insert_with(|| "no energy is known that a price of electricity could be paid for".to_owned());
    }
    if embodied_kgco2e.is_none() {
        missing.entry("embodied_kgco2e").or_insert_with(|| by_hours("the making of a device"));
    }
    let wall_h = request.hours.map(Interval::point);
    let mut assumptions: Vec<Assumption> = conditions.choices.clone();
    assumptions.extend(conditions.inputs().filter(|i| i.name != "productive time").map(super::Input::assumption));
    Ok(Estimate {
        wall_h,
        device_h: wall_h.map(|h| h.scaled(devices)),
        it_energy_kwh: it.map(|e| Interval::point(e.kwh())),
        facility_energy_kwh: it.map(|e| of(&|t| (e * pue[t]).kwh())),
        operational_kgco2e: it.map(|e| of(&|t| (e * pue[t] * GramsCo2ePerKwh(intensity[t].max(0.0))).0)),
        embodied_kgco2e,
        cost_usd,
        water_l,
        missing,
        assumptions,
        warnings: conditions.warnings.clone(),
        ..Estimate::empty(request.devices, Basis::Given)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::ConditionsBuilder;

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
            let builder = ConditionsBuilder { usd_per_hour: rent, usd_per_kwh: bill, ..ConditionsBuilder::default() };
            let request = FootprintRequest { hours, devices: 1, power_total_w: power, energy_kwh: energy, seed: 0 };
            let result = footprint(&request, &builder.build().expect("valid")).expect("valid");
            for (name, value) in [
                ("it_energy_kwh", result.it_energy_kwh),
                ("facility_energy_kwh", result.facility_energy_kwh),
                ("operational_kgco2e", result.operational_kgco2e),
                ("embodied_kgco2e", result.embodied_kgco2e),
                ("cost_usd", result.cost_usd),
                ("water_l", result.water_l),
                ("wall_h", result.wall_h),
                ("device_h", result.device_h),
            ] {
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
            usd_per_hour: Some(2.48),
            hours_are_known: true,
            ..ConditionsBuilder::default()
        };
        let request = FootprintRequest {
            hours: Some(79.2),
            devices: 64,
            power_total_w: Some(12_041.51),
            energy_kwh: None,
            seed: 0,
        };
        let result = footprint(&request, &conditions.build().expect("valid")).expect("valid");
        let value = |interval: Option<Interval>| {
            let interval = interval.expect("known");
            assert_eq!((interval.low, interval.high), (interval.mid, interval.mid));
            interval.mid
        };
        assert!((value(result.facility_energy_kwh) - 1506.83).abs() < 0.005);
        assert!((value(result.operational_kgco2e) - 652.0).abs() < 0.05);
        assert!((value(result.cost_usd) - 12_570.6).abs() < 0.05);
    }
}
