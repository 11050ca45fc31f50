//! What metered energy comes to at the wall, in emissions and in money.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Assumption, Conditions, Input, conditions::Wall};
use crate::meter::Coverage;
use crate::stats::{Interval, Stream};
use crate::units::{GramsCo2ePerKwh, Joules, LitresPerKwh, Seconds, UsdPerHour, UsdPerKwh};

/// Draws of each input.
const TRIALS: usize = 10_000;

/// The energy of one part of a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metered {
    /// Its joules.
    pub energy_j: Interval,
    /// What they are for.
    pub coverage: Coverage,
}

/// What a run that was metered comes to. Every number is a 95 % interval; `missing` says why one is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Energy of the parts that were metered.
    pub component_energy_kwh: Option<Interval>,
    /// Energy of the machine at the wall: board, fans and power supply with it.
    pub it_energy_kwh: Option<Interval>,
    /// Energy of machine and building.
    pub facility_energy_kwh: Option<Interval>,
    /// Emissions of the electricity, location-based.
    pub operational_kgco2e: Option<Interval>,
    /// This run's share of the emissions of making the device.
    pub embodied_kgco2e: Option<Interval>,
    /// Rent of the device, or the electricity bill.
    pub cost_usd: Option<Interval>,
    /// Water used on site and in generation.
    pub water_l: Option<Interval>,
    /// Why numbers are missing, by name.
    pub missing: BTreeMap<&'static str, String>,
    /// What was taken for granted.
    pub assumptions: Vec<Assumption>,
}

/// Accounts for `parts` that ran for `time`. `share` is the part of a machine that was used: what is not metered
/// (board, fans) is counted by it.
///
/// Energy at the wall = (parts + other power x time) / efficiency of the power supply; parts that were taken at the
/// wall stay as they are. Facility energy = wall x PUE; emissions = facility x intensity.
#[must_use]
pub fn account(parts: &[Metered], time: Seconds, share: f64, conditions: &Conditions, seed: u64) -> Account {
    let draws = |input: &Input| input.draws(seed, TRIALS);
    let host = parts.iter().any(|p| p.coverage == Coverage::CpuPackage);
    let wall = Wall::around(if host { Coverage::CpuPackage } else { Coverage::Module }, share);
    let behind_psu = parts.iter().any(|p| p.coverage != Coverage::NodeShare);
    let psu = wall.psu.as_ref().filter(|_| behind_psu);
    let other = wall.other_w.as_ref().filter(|_| behind_psu);
    let efficiency = psu.map_or_else(|| vec![1.0; TRIALS], draws);
    let other_w = other.map_or_else(|| vec![0.0; TRIALS], draws);
    let (mut components, mut at_wall) = (vec![0.0; TRIALS], vec![0.0; TRIALS]);
    for (i, part) in parts.iter().enumerate() {
        let taken_at_wall = part.coverage == Coverage::NodeShare;
        for (t, joules) in log_normal(part.energy_j, seed, i).into_iter().enumerate() {
            components[t] += joules;
            at_wall[t] += if taken_at_wall { joules } else { joules / efficiency[t] };
        }
    }
    for t in 0..TRIALS {
        at_wall[t] += other_w[t] * time.0 / efficiency[t];
    }
    let (pue, intensity) = (draws(&conditions.pue), draws(&conditions.intensity));
    let of = |f: &dyn Fn(usize) -> f64| Interval::of_draws((0..TRIALS).map(f).collect());
    let known = |f: &dyn Fn(usize) -> f64| (!parts.is_empty()).then(|| of(f));
    let facility = |t: usize| Joules(at_wall[t] * pue[t]);
    let cost_usd = match (&conditions.usd_per_device_hour, &conditions.usd_per_kwh) {
        (Some(price), _) => {
            let price = draws(price);
            Some(of(&|t| (time * UsdPerHour(price[t])).0))
        }
        (None, Some(price)) => {
            let price = draws(price);
            known(&|t| (facility(t) * UsdPerKwh(price[t])).0)
        }
        (None, None) => None,
    };
    let water_l = conditions.grid_water.as_ref().and_then(|grid| {
        let grid = draws(grid);
        let site = conditions.site_water.as_ref().map_or_else(|| vec![0.0; TRIALS], draws);
        known(&|t| (Joules(at_wall[t]) * LitresPerKwh(site[t] + pue[t] * grid[t])).0)
    });
    let embodied_kgco2e = conditions.embodied.as_ref().map(|(kg, life)| {
        let (kg, life) = (draws(kg), draws(life));
        of(&|t| kg[t] * share * time.hours() / life[t])
    });
    let mut missing: BTreeMap<&'static str, String> = conditions.missing.iter().cloned().collect();
    if parts.is_empty() {
        for name in ["component_energy_kwh", "it_energy_kwh", "facility_energy_kwh", "operational_kgco2e", "water_l"] {
            missing.insert(name, "nothing was metered".to_owned());
        }
        if cost_usd.is_none() {
            missing.insert("cost_usd", "nothing was metered, and no rental price is known".to_owned());
        }
    }
    let mut assumptions = conditions.choices.clone();
    let shared = conditions.inputs().filter(|i| i.name != "goodput");
    assumptions.extend(shared.chain(psu).chain(other).map(Input::assumption));
    Account {
        component_energy_kwh: known(&|t| Joules(components[t]).kwh()),
        it_energy_kwh: known(&|t| Joules(at_wall[t]).kwh()),
        facility_energy_kwh: known(&|t| facility(t).kwh()),
        operational_kgco2e: known(&|t| (facility(t) * GramsCo2ePerKwh(intensity[t].max(0.0))).0),
        embodied_kgco2e,
        cost_usd,
        water_l,
        missing,
        assumptions,
    }
}

/// Draws of a positive quantity with this 95 % interval.
fn log_normal(interval: Interval, seed: u64, part: usize) -> Vec<f64> {
    let sigma = (interval.high / interval.mid).ln() / 1.96;
    let mut stream = Stream::new(seed, &format!("metered part {part}"));
    (0..TRIALS).map(|_| interval.mid * (sigma * stream.standard_normal()).exp()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::ConditionsBuilder;

    fn conditions() -> Conditions {
        let builder = ConditionsBuilder {
            pue: Some(1.5),
            intensity: Some(400.0),
            usd_per_kwh: Some(0.25),
            hours_are_known: true,
            ..ConditionsBuilder::default()
        };
        builder.build().expect("valid")
    }

    fn part(joules: f64, coverage: Coverage) -> Metered {
        Metered { energy_j: Interval::point(joules), coverage }
    }

    #[test]
    fn a_kilowatt_hour_at_the_wall_is_600_grams_and_37_cents_and_a_half() {
        // PUE 1.5, 400 g/kWh, 0.25 USD/kWh
        let account = account(&[part(3.6e6, Coverage::NodeShare)], Seconds(3600.0), 1.0, &conditions(), 1);
        let mid = |interval: Option<Interval>| interval.expect("known").mid;
        assert!((mid(account.it_energy_kwh) - 1.0).abs() < 1e-9);
        assert!((mid(account.facility_energy_kwh) - 1.5).abs() < 1e-9);
        assert!((mid(account.operational_kgco2e) - 0.6).abs() < 1e-9);
        assert!((mid(account.cost_usd) - 0.375).abs() < 1e-9);
    }

    #[test]
    fn a_workstation_adds_its_board_and_its_power_supply() {
        // 100 W of CPU for an hour, 40 to 110 W beside it, behind 0.85 to 0.94
        let account = account(&[part(3.6e5, Coverage::CpuPackage)], Seconds(3600.0), 1.0, &conditions(), 1);
        let wall = account.it_energy_kwh.expect("known");
        assert!(wall.low > 0.14 / 0.94 && wall.high < 0.21 / 0.85, "{wall:?}");
        assert!((account.component_energy_kwh.expect("known").mid - 0.1).abs() < 1e-9);
    }

    #[test]
    fn nothing_metered_is_null_with_a_reason() {
        let account = account(&[], Seconds(1.0), 1.0, &conditions(), 1);
        assert_eq!((account.it_energy_kwh, account.operational_kgco2e, account.cost_usd), (None, None, None));
        assert!(account.missing["operational_kgco2e"].contains("nothing was metered"));
    }

    #[test]
    fn the_interval_of_the_meter_carries_through() {
        let metered = Metered { energy_j: crate::stats::with_gain(3.6e6, 0.0, 0.4), coverage: Coverage::NodeShare };
        let account = account(&[metered], Seconds(3600.0), 1.0, &conditions(), 1);
        let energy = account.it_energy_kwh.expect("known");
        assert!((energy.high - 1.934).abs() < 0.05 && (energy.low - 0.517).abs() < 0.02, "{energy:?}");
    }
}
