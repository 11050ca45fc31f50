//! The chain from a run to its footprint.

use super::arithmetic::Arithmetic;
use super::quantity::{Footprint, Quantity};
use crate::estimate::request::conditions::Conditions;

/// Watt-hours of a kilowatt-hour, and grams of a kilogram.
const KILO: f64 = 1000.0;

/// A run, before anything is said of where it runs.
pub(in crate::estimate) struct Run<N> {
    /// Hours from start to end.
    pub(in crate::estimate) wall_h: Option<N>,
    /// What was used meanwhile.
    pub(in crate::estimate) energy: Option<Energy<N>>,
    /// Devices, each with its machine around it.
    pub(in crate::estimate) devices: f64,
    /// The part of each device that this run has.
    pub(in crate::estimate) share: f64,
}

/// Energy of all devices together.
pub(in crate::estimate) enum Energy<N> {
    /// Kilowatt-hours that lie behind the power supply, with the rest of the machine beside them, and such as were taken at
    /// the wall.
    Parts {
        /// Behind the power supply.
        behind_kwh: N,
        /// At the wall.
        at_wall_kwh: Option<N>,
    },
    /// Kilowatt-hours at the wall: nothing is between.
    AtWall(N),
}

/// Everything that follows from the hours and the energy of a run (Strubell et al. 2019, equation 1, with each factor an input
/// of its own). `when` is the mean intensity of the hours of the run over that of all hours.
///
/// Energy at the wall = (parts x (1 + host) + power beside devices x time) / efficiency of the power supply + what was taken at the
/// wall.
/// Facility energy = wall x PUE; emissions = facility x intensity; water = wall x (site + PUE x generation). Cost is the rent, or
/// where none is known the electricity; the making of a device is shared out over its working hours.
pub(in crate::estimate) fn footprint<A: Arithmetic>(
    a: &A,
    run: &Run<A::Number>,
    conditions: &Conditions,
    when: f64,
) -> Footprint<A::Number> {
    let mut result = Footprint::default();
    let mut has = |quantity: Quantity, number: A::Number| {
        let number = a.quantity(quantity, number);
        result.set(quantity, number.clone());
        number
    };
    let devices = a.exactly(run.devices, "devices");
    let wall_h = run.wall_h.clone().map(|h| has(Quantity::Wall, h));
    let device_h = wall_h.as_ref().map(|h| has(Quantity::DeviceHours, a.multiply(h, &devices)));
    if let (Some(device_h), Some((kg, life))) = (&device_h, &conditions.embodied) {
        let mut hours = device_h.clone();
        if run.share < 1.0 {
            hours = a.multiply(&hours, &a.exactly(run.share, "of the device"));
        }
        has(Quantity::Embodied, a.divide(&a.multiply(&hours, &a.input(kg)), &a.input(life)));
    }
    let rent = conditions.usd_per_device_hour.as_ref();
    if let (Some(device_h), Some(price)) = (&device_h, rent) {
        has(Quantity::Cost, a.multiply(device_h, &a.input(price)));
    }
    let Some(energy) = &run.energy else { return result };
    let it_kwh = has(Quantity::ItEnergy, at_wall(a, energy, device_h.as_ref(), conditions));
    let pue = a.input(&conditions.pue);
    let facility_kwh = has(Quantity::FacilityEnergy, a.multiply(&it_kwh, &pue));
    let mut kg_per_kwh = a.divide(&a.not_negative(&a.input(&conditions.intensity)), &a.exactly(KILO, ""));
    if when != 1.0 {
        kg_per_kwh = a.multiply(&kg_per_kwh, &a.exactly(when, "of the mean in the hours of the run"));
    }
    has(Quantity::Operational, a.multiply(&facility_kwh, &kg_per_kwh));
    if let (None, Some(price)) = (rent, &conditions.usd_per_kwh) {
        has(Quantity::Cost, a.multiply(&facility_kwh, &a.input(price)));
    }
    if let Some(generation) = &conditions.grid_water {
        let generation = a.multiply(&pue, &a.input(generation));
        let litres = conditions
            .site_water
            .as_ref()
            .map_or_else(|| generation.clone(), |site| a.add(&a.input(site), &generation));
        has(Quantity::Water, a.multiply(&it_kwh, &litres));
    }
    result
}

/// Kilowatt-hours of the machines.
fn at_wall<A: Arithmetic>(
    a: &A,
    energy: &Energy<A::Number>,
    device_h: Option<&A::Number>,
    conditions: &Conditions,
) -> A::Number {
    let (behind_kwh, at_wall_kwh) = match energy {
        Energy::AtWall(kwh) => return kwh.clone(),
        Energy::Parts { behind_kwh, at_wall_kwh } => (behind_kwh, at_wall_kwh),
    };
    let wall = &conditions.wall;
    let mut kwh = behind_kwh.clone();
    if let Some(host) = &wall.host_share {
        kwh = a.add(&kwh, &a.multiply(&kwh, &a.input(host)));
    }
    if let (Some(other_w), Some(device_h)) = (&wall.other_w, device_h) {
        kwh = a.add(&kwh, &a.divide(&a.multiply(&a.input(other_w), device_h), &a.exactly(KILO, "")));
    }
    if let Some(psu) = &wall.psu {
        kwh = a.divide(&kwh, &a.input(psu));
    }
    at_wall_kwh.as_ref().map_or(kwh.clone(), |more| a.add(&kwh, more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::ledger::monte_carlo::MonteCarlo;
    use crate::estimate::ledger::spread::{Spread, Spreads};
    use crate::estimate::ledger::traced::{Trace, Traced};
    use crate::estimate::request::conditions::Wall;
    use crate::estimate::{ConditionsBuilder, Input};

    fn exact(name: &'static str, value: f64, unit: &'static str) -> Input {
        Input::given(name, value, unit, "--test")
    }

    /// PUE 1.5, 400 g/kWh, 2 USD a device-hour, 0.25 USD/kWh, 0.5 L/kWh on site and 2 L/kWh in generation, 150 kg for
    /// 1000 h; a host of a quarter of its devices, 200 W beside each, and a power supply of 75 %.
    fn conditions() -> Conditions {
        let builder = ConditionsBuilder { pue: Some(1.5), intensity: Some(400.0), ..ConditionsBuilder::default() };
        Conditions {
            pue: exact("PUE", 1.5, "1"),
            intensity: exact("intensity", 400.0, "gCO2e/kWh"),
            usd_per_device_hour: Some(exact("rent", 2.0, "USD/h")),
            usd_per_kwh: Some(exact("price", 0.25, "USD/kWh")),
            site_water: Some(exact("site water", 0.5, "L/kWh")),
            grid_water: Some(exact("grid water", 2.0, "L/kWh")),
            embodied: Some((exact("making", 150.0, "kgCO2e"), exact("life", 1000.0, "h"))),
            wall: Wall {
                host_share: Some(exact("host", 0.25, "1")),
                other_w: Some(exact("other", 200.0, "W")),
                psu: Some(exact("supply", 0.75, "1")),
            },
            ..builder.build().expect("valid")
        }
    }

    /// What a run is asked about: its hours, the part of its 4 devices, and its kilowatt-hours, behind the power supply and
    /// at the wall.
    #[derive(Clone, Copy)]
    struct Case(Option<f64>, f64, Option<(Option<f64>, Option<f64>)>);

    fn run<A: Arithmetic>(a: &A, case: Case, conditions: &Conditions, when: f64) -> Footprint<A::Number> {
        let kwh = |x: f64| a.exactly(x, "kWh");
        let energy = case.2.map(|energy| match energy {
            (Some(behind), at_wall) => Energy::Parts { behind_kwh: kwh(behind), at_wall_kwh: at_wall.map(kwh) },
            (None, at_wall) => Energy::AtWall(kwh(at_wall.expect("one of them"))),
        });
        let run = Run { wall_h: case.0.map(|h| a.exactly(h, "h")), energy, devices: 4.0, share: case.1 };
        footprint(a, &run, conditions, when)
    }

    #[test]
    fn every_kind_of_number_comes_to_what_is_worked_out_by_hand() {
        let rented = conditions();
        let owned = Conditions { usd_per_device_hour: None, site_water: None, ..conditions() };
        let clean = Conditions { intensity: exact("intensity", -400.0, "gCO2e/kWh"), grid_water: None, ..conditions() };
        let bare = Conditions { wall: Wall::default(), embodied: None, ..conditions() };
        let parts = Some((Some(8.0), Some(1.0)));
        // In the order of `Quantity::ALL`.
        for (conditions, case, when, expected) in [
            // (8 x 1.25 + 200 x 40 / 1000) / 0.75 + 1 = 25 kWh, and 37.5 with the building; 40 x 0.5 x 150 / 1000 kg of making.
            (
                &rented,
                Case(Some(10.0), 0.5, parts),
                1.2,
                [Some(10.0), Some(40.0), Some(25.0), Some(37.5), Some(18.0), Some(3.0), Some(80.0), Some(87.5)],
            ),
            (
                &owned,
                Case(Some(10.0), 1.0, Some((None, Some(10.0)))),
                1.0,
                [Some(10.0), Some(40.0), Some(10.0), Some(15.0), Some(6.0), Some(6.0), Some(3.75), Some(30.0)],
            ),
            // A grid cannot take emissions back; without hours there is nothing beside the devices, and no rent.
            (
                &clean,
                Case(None, 1.0, Some((Some(6.0), None))),
                1.0,
                [None, None, Some(10.0), Some(15.0), Some(0.0), None, None, None],
            ),
            (
                &bare,
                Case(Some(3.0), 1.0, parts),
                1.0,
                [Some(3.0), Some(12.0), Some(9.0), Some(13.5), Some(5.4), None, Some(24.0), Some(31.5)],
            ),
            (
                &rented,
                Case(Some(10.0), 1.0, None),
                1.0,
                [Some(10.0), Some(40.0), None, None, None, Some(6.0), Some(80.0), None],
            ),
        ] {
            let sampler = MonteCarlo::new(1, 2);
            let drawn = run(&sampler, case, conditions, when);
            let spread = run(&Spreads::default(), case, conditions, when);
            let traced = run(&Trace::default(), case, conditions, when);
            for (quantity, expected) in Quantity::ALL.into_iter().zip(expected) {
                let trials = drawn.get(quantity).map(|draws: &Vec<f64>| (draws.len(), draws[0], draws[1]));
                let found = [
                    trials.map(|t| t.1),
                    trials.map(|t| t.2),
                    spread.get(quantity).map(|s: &Spread| s.mid),
                    traced.get(quantity).map(|t: &Traced| t.value),
                ];
                let close = |x: &Option<f64>| x.zip(expected).is_none_or(|(x, e)| (x - e).abs() < 1e-12);
                assert!(found.iter().all(close), "{quantity:?}: {found:?}, not {expected:?}");
                assert!(found.iter().all(|x| x.is_some() == expected.is_some()), "{quantity:?}: {found:?}");
                assert!(trials.is_none_or(|t| t.0 == 2));
            }
        }
    }

    #[test]
    fn a_trace_writes_down_each_number_that_has_a_name_and_leaves_out_what_changes_nothing() {
        let lines = |case, conditions: &Conditions, when| -> Vec<String> {
            let trace = Trace::default();
            run(&trace, case, conditions, when);
            trace.into_lines().into_iter().map(|l| format!("{} = {} = {}", l.name, l.arithmetic, l.value)).collect()
        };
        let found = lines(Case(Some(10.0), 0.5, Some((Some(8.0), Some(1.0)))), &conditions(), 1.25);
        assert_eq!(
            found,
            [
                "wall time, h = 10.00 h = 10",
                "device hours, h = wall time x 4.000 devices = 40",
                "embodied emissions, kgCO2e = device hours x 0.5000 of the device x making 150.0 kgCO2e / life 1000 h = 3",
                "cost, USD = device hours x rent 2.000 USD/h = 80",
                "IT energy, kWh = (8.000 kWh + 8.000 kWh x host 0.2500 + other 200.0 W x device hours / 1000) / supply 0.7500 \
                 + 1.000 kWh = 25",
                "facility energy, kWh = IT energy x PUE 1.500 = 37.5",
                "operational emissions, kgCO2e = facility energy x intensity 400.0 gCO2e/kWh / 1000 x 1.250 of the mean in \
                 the hours of the run = 18.75",
                "water, L = IT energy x (site water 0.5000 L/kWh + PUE 1.500 x grid water 2.000 L/kWh) = 87.5",
            ]
        );
        let found = lines(Case(Some(10.0), 1.0, Some((None, Some(10.0)))), &conditions(), 1.0);
        assert!(found[2].contains("= device hours x making 150.0 kgCO2e / life 1000 h = 6"), "{found:#?}");
        assert!(found[6].contains("= facility energy x intensity 400.0 gCO2e/kWh / 1000 = 6"), "{found:#?}");
    }
}
