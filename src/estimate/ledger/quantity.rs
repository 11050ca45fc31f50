//! What a run is counted in.

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

    /// Whether it follows from the energy of the machines. Cost does where the electricity is paid, and not the rent.
    #[must_use]
    pub fn needs_energy(self) -> bool {
        matches!(self, Self::ItEnergy | Self::FacilityEnergy | Self::Operational | Self::Water)
    }
}

/// A value of each quantity, where it is known.
#[derive(Debug, Clone, PartialEq)]
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
