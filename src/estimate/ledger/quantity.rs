//! What a run is counted in.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::stats::Interval;

/// A quantity of a run: the one list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Hours from start to end.
    Wall,
    /// Hours times devices.
    DeviceHours,
    /// Energy of the machines.
    ItEnergy,
    /// Energy of machines and building.
    FacilityEnergy,
    /// Emissions of the electricity, location-based.
    Operational,
    /// This run's share of the emissions of making the devices.
    Embodied,
    /// Rent of the devices, or the electricity bill.
    Cost,
    /// Water used on site and in generation.
    Water,
}

impl Quantity {
    /// All of them, in the order in which they follow from each other.
    pub const ALL: [Self; 8] = [
        Self::Wall,
        Self::DeviceHours,
        Self::ItEnergy,
        Self::FacilityEnergy,
        Self::Operational,
        Self::Embodied,
        Self::Cost,
        Self::Water,
    ];

    /// Those that two runs, or an input and a run, are compared by.
    pub const COMPARED: [Self; 4] = [Self::Wall, Self::FacilityEnergy, Self::Operational, Self::Cost];

    /// Its name in files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Wall => "wall_h",
            Self::DeviceHours => "device_h",
            Self::ItEnergy => "it_energy_kwh",
            Self::FacilityEnergy => "facility_energy_kwh",
            Self::Operational => "operational_kgco2e",
            Self::Embodied => "embodied_kgco2e",
            Self::Cost => "cost_usd",
            Self::Water => "water_l",
        }
    }

    /// Its unit.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Wall | Self::DeviceHours => "h",
            Self::ItEnergy | Self::FacilityEnergy => "kWh",
            Self::Operational | Self::Embodied => "kgCO2e",
            Self::Cost => "USD",
            Self::Water => "L",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Wall => "wall time",
            Self::DeviceHours => "device hours",
            Self::ItEnergy => "IT energy",
            Self::FacilityEnergy => "facility energy",
            Self::Operational => "operational emissions",
            Self::Embodied => "embodied emissions",
            Self::Cost => "cost",
            Self::Water => "water",
        }
    }

    /// Its name where there is room for one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Wall => "time",
            Self::DeviceHours => "hours",
            Self::ItEnergy | Self::FacilityEnergy => "energy",
            Self::Operational => "CO2e",
            Self::Embodied => "making",
            Self::Cost => "cost",
            Self::Water => "water",
        }
    }

    /// Whether it follows from the energy of the machines. Cost does where the electricity is paid, and not the rent.
    #[must_use]
    pub fn needs_energy(self) -> bool {
        matches!(self, Self::ItEnergy | Self::FacilityEnergy | Self::Operational | Self::Water)
    }
}

/// A value of each quantity, where it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint<T>([Option<T>; Quantity::ALL.len()]);

impl<T> Default for Footprint<T> {
    fn default() -> Self {
        Self([const { None }; Quantity::ALL.len()])
    }
}

impl<T> Footprint<T> {
    /// The value of a quantity.
    #[must_use]
    pub fn get(&self, quantity: Quantity) -> Option<&T> {
        self.0[quantity as usize].as_ref()
    }

    /// Sets the value of a quantity.
    pub fn set(&mut self, quantity: Quantity, value: T) {
        self.0[quantity as usize] = Some(value);
    }

    /// The same quantities with other values.
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> Footprint<U> {
        Footprint(std::array::from_fn(|i| self.0[i].as_ref().map(&f)))
    }
}

impl Footprint<Interval> {
    /// The same, with each end and middle moved by the factor that leads from `before` to `after`; what is not known there stays.
    pub(in crate::estimate) fn moved(&self, before: &Self, after: &Self) -> Self {
        let factor = |before: f64, after: f64| if before == 0.0 { 1.0 } else { after / before };
        Self(std::array::from_fn(|i| {
            let (value, before, after) = (self.0[i]?, before.0[i], after.0[i]);
            Some(before.zip(after).map_or(value, |(before, after)| Interval {
                mid: value.mid * factor(before.mid, after.mid),
                low: value.low * factor(before.low, after.low),
                high: value.high * factor(before.high, after.high),
            }))
        }))
    }
}

impl<T: Serialize> Footprint<T> {
    /// Writes some of the quantities, each under its name; `null` where one is not known.
    ///
    /// # Errors
    /// As the serializer.
    pub fn write<S: Serializer>(&self, quantities: &[Quantity], serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(quantities.len()))?;
        for quantity in quantities {
            map.serialize_entry(quantity.key(), &self.get(*quantity))?;
        }
        map.end()
    }
}

/// All quantities.
impl<T: Serialize> Serialize for Footprint<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write(&Quantity::ALL, serializer)
    }
}

/// The quantities that runs are compared by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared<T>(Footprint<T>);

impl<T> Compared<T> {
    /// What `of` says of each of them.
    pub(in crate::estimate) fn of_each(of: impl Fn(Quantity) -> Option<T>) -> Self {
        let mut values = Footprint::default();
        for quantity in Quantity::COMPARED {
            if let Some(value) = of(quantity) {
                values.set(quantity, value);
            }
        }
        Self(values)
    }
}

impl<T: Copy> Compared<T> {
    /// The value of a quantity.
    #[must_use]
    pub fn of(&self, quantity: Quantity) -> Option<T> {
        self.0.of(quantity)
    }
}

impl<T: Serialize> Serialize for Compared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(&Quantity::COMPARED, serializer)
    }
}

impl<T: Copy> Footprint<T> {
    /// A copy of the value of a quantity.
    #[must_use]
    pub fn of(&self, quantity: Quantity) -> Option<T> {
        self.get(quantity).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantity_has_a_name_in_files_a_name_for_people_and_a_unit() {
        let found = Quantity::ALL.map(|q| (q.key(), q.words(), q.unit(), q.needs_energy()));
        assert_eq!(
            found,
            [
                ("wall_h", "wall time", "h", false),
                ("device_h", "device hours", "h", false),
                ("it_energy_kwh", "IT energy", "kWh", true),
                ("facility_energy_kwh", "facility energy", "kWh", true),
                ("operational_kgco2e", "operational emissions", "kgCO2e", true),
                ("embodied_kgco2e", "embodied emissions", "kgCO2e", false),
                ("cost_usd", "cost", "USD", false),
                ("water_l", "water", "L", true),
            ]
        );
    }

    #[test]
    fn what_is_moved_moves_by_the_factor_of_the_same_quantity_and_end() {
        let of = |hours: [f64; 3]| {
            let mut footprint = Footprint::default();
            footprint.set(Quantity::Wall, Interval { low: hours[0], mid: hours[1], high: hours[2] });
            footprint
        };
        let mut other = of([1.0, 2.0, 3.0]);
        other.set(Quantity::Cost, Interval::point(5.0));
        let moved = other.moved(&of([2.0, 4.0, 8.0]), &of([1.0, 6.0, 16.0]));
        assert_eq!(moved.of(Quantity::Wall), Some(Interval { low: 0.5, mid: 3.0, high: 6.0 }));
        assert_eq!(moved.of(Quantity::Cost), Some(Interval::point(5.0)));
    }

    #[test]
    fn a_footprint_holds_what_was_set_and_nothing_else() {
        let mut footprint = Footprint::default();
        footprint.set(Quantity::Cost, 3);
        footprint.set(Quantity::Wall, 5);
        let twice = footprint.map(|x| 2 * x);
        assert_eq!(
            (twice.get(Quantity::Cost), twice.of(Quantity::Wall), twice.of(Quantity::Water)),
            (Some(&6), Some(10), None)
        );
    }
}
