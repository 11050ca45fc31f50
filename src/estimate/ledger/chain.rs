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
/// Energy at the wall = (parts x (1 + host) + other power x time) / efficiency of the power supply + what was taken at the wall.
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
