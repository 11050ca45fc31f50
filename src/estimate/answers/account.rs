//! What metered energy comes to at the wall, in emissions and in money.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::estimate::ledger::arithmetic::Arithmetic;
use crate::estimate::ledger::chain::{Energy, Run, footprint};
use crate::estimate::ledger::monte_carlo::MonteCarlo;
use crate::estimate::ledger::quantity::{Footprint, Quantity};
use crate::estimate::request::conditions::{Conditions, Wall};
use crate::estimate::request::input::{Assumption, Input};
use crate::meter::Coverage;
use crate::stats::{Interval, Stream};
use crate::units::{Joules, Seconds};

/// Draws of each input.
const TRIALS: usize = 10_000;

/// The energy of one part of a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeteredPart {
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
    /// What follows from it: all but the hours, which are known.
    #[serde(flatten, serialize_with = "without_hours")]
    pub footprint: Footprint<Interval>,
    /// Why numbers are missing, by name.
    pub missing: BTreeMap<&'static str, String>,
    /// What was taken for granted.
    pub assumptions: Vec<Assumption>,
}

fn without_hours<S: Serializer>(footprint: &Footprint<Interval>, serializer: S) -> Result<S::Ok, S::Error> {
    let hours = [Quantity::Wall, Quantity::DeviceHours];
    let quantities: Vec<Quantity> = Quantity::ALL.into_iter().filter(|q| !hours.contains(q)).collect();
    footprint.write(&quantities, serializer)
}

/// Accounts for `parts` that ran for `time`. `share` is the part of a machine that was used: what is not metered
/// (board, fans) is counted by it.
///
/// Energy at the wall = (parts + other power x time) / efficiency of the power supply; parts that were taken at the
/// wall stay as they are. Facility energy = wall x PUE; emissions = facility x intensity.
#[must_use]
pub fn account(parts: &[MeteredPart], time: Seconds, share: f64, conditions: &Conditions, seed: u64) -> Account {
    let monte_carlo = MonteCarlo::new(seed, TRIALS);
    let host = parts.iter().any(|p| p.coverage == Coverage::CpuPackage);
    let behind_psu = parts.iter().any(|p| p.coverage != Coverage::NodeShare);
    let around = if host { Coverage::CpuPackage } else { Coverage::Module };
    let wall = if behind_psu { Wall::around(around, share, None) } else { Wall::default() };
    let kwh_of = |taken_at_wall: bool| {
        let parts = parts.iter().enumerate().filter(|(_, p)| (p.coverage == Coverage::NodeShare) == taken_at_wall);
        parts.fold(monte_carlo.exactly(0.0, ""), |sum, (i, part)| {
            monte_carlo.add(&sum, &log_normal_kwh(part.energy_j, seed, i))
        })
    };
    let (behind_kwh, at_wall_kwh) = (kwh_of(false), kwh_of(true));
    let of = |draws: &Vec<f64>| Interval::of_draws(draws.clone());
    let components = (!parts.is_empty()).then(|| of(&monte_carlo.add(&behind_kwh, &at_wall_kwh)));
    let run = Run {
        wall_h: Some(monte_carlo.exactly(time.hours(), "")),
        energy: (!parts.is_empty()).then_some(Energy::Parts { behind_kwh, at_wall_kwh: Some(at_wall_kwh) }),
        devices: 1.0,
        share,
    };
    let conditions = Conditions { wall, ..conditions.clone() };
    let footprint = footprint(&monte_carlo, &run, &conditions, 1.0).map(of);
    let mut missing: BTreeMap<&'static str, String> = conditions.missing.iter().cloned().collect();
    if parts.is_empty() {
        let keys = Quantity::ALL.into_iter().filter(|q| q.needs_energy()).map(Quantity::key);
        for name in keys.chain(["component_energy_kwh"]) {
            missing.insert(name, "nothing was metered".to_owned());
        }
        if footprint.get(Quantity::Cost).is_none() {
            missing.insert("cost_usd", "nothing was metered, and no rental price is known".to_owned());
        }
    }
    let mut assumptions = conditions.choices.clone();
    assumptions.extend(conditions.inputs_of_known_hours().map(Input::assumption));
    Account { component_energy_kwh: components, footprint, missing, assumptions }
}

/// Draws of the kilowatt-hours of a part with this 95 % interval.
fn log_normal_kwh(energy_j: Interval, seed: u64, part: usize) -> Vec<f64> {
    let sigma = (energy_j.high / energy_j.mid).ln() / 1.96;
    let mut stream = Stream::new(seed, &format!("metered part {part}"));
    (0..TRIALS).map(|_| Joules(energy_j.mid * (sigma * stream.standard_normal()).exp()).kwh()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::request::conditions::ConditionsBuilder;

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

    fn part(joules: f64, coverage: Coverage) -> MeteredPart {
        MeteredPart { energy_j: Interval::point(joules), coverage }
    }

    #[test]
    fn a_kilowatt_hour_at_the_wall_is_600_grams_and_37_cents_and_a_half() {
        // PUE 1.5, 400 g/kWh, 0.25 USD/kWh
        let account = account(&[part(3.6e6, Coverage::NodeShare)], Seconds(3600.0), 1.0, &conditions(), 1);
        let mid = |interval: Option<Interval>| interval.expect("known").mid;
        assert!((mid(account.footprint.of(Quantity::ItEnergy)) - 1.0).abs() < 1e-9);
        assert!((mid(account.footprint.of(Quantity::FacilityEnergy)) - 1.5).abs() < 1e-9);
        assert!((mid(account.footprint.of(Quantity::Operational)) - 0.6).abs() < 1e-9);
        assert!((mid(account.footprint.of(Quantity::Cost)) - 0.375).abs() < 1e-9);
    }

    #[test]
    fn a_workstation_adds_its_board_and_its_power_supply() {
        // 100 W of CPU for an hour, 40 to 110 W beside it, behind 0.85 to 0.94
        let account = account(&[part(3.6e5, Coverage::CpuPackage)], Seconds(3600.0), 1.0, &conditions(), 1);
        let wall = account.footprint.of(Quantity::ItEnergy).expect("known");
        assert!(wall.low > 0.14 / 0.94 && wall.high < 0.21 / 0.85, "{wall:?}");
        assert!((account.component_energy_kwh.expect("known").mid - 0.1).abs() < 1e-9);
    }

    #[test]
    fn nothing_metered_is_null_with_a_reason() {
        let account = account(&[], Seconds(1.0), 1.0, &conditions(), 1);
        assert_eq!(
            (
                account.footprint.of(Quantity::ItEnergy),
                account.footprint.of(Quantity::Operational),
                account.footprint.of(Quantity::Cost)
            ),
            (None, None, None)
        );
        assert!(account.missing["operational_kgco2e"].contains("nothing was metered"));
    }

    #[test]
    fn the_interval_of_the_meter_carries_through() {
        let metered = MeteredPart { energy_j: crate::stats::with_gain(3.6e6, 0.0, 0.4), coverage: Coverage::NodeShare };
        let account = account(&[metered], Seconds(3600.0), 1.0, &conditions(), 1);
        let energy = account.footprint.of(Quantity::ItEnergy).expect("known");
        assert!((energy.high - 1.934).abs() < 0.05 && (energy.low - 0.517).abs() < 0.02, "{energy:?}");
    }
}
