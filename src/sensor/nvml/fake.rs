//! A driver that is made up, and that can be made to fail on any query.

use std::sync::{Arc, Mutex};

use super::library::{Answer, MigInstance, NvmlDevice, NvmlLibrary, Query};
use crate::units::{Bytes, Joules, Watts};

#[derive(Debug, Clone)]
struct Card {
    name: &'static str,
    uuid: &'static str,
    pci_bus_id: &'static str,
    instances: Vec<MigInstance>,
    throttle_bits: u64,
    processes: Vec<u32>,
    failing: Arc<Mutex<Vec<Query>>>,
}

/// Made-up cards: 250 W, 1000 J, in a module of 600 W, 5000 J.
pub(crate) struct FakeNvml {
    cards: Vec<Card>,
    failing: Arc<Mutex<Vec<Query>>>,
}

impl FakeNvml {
    fn of(cards: &[(&'static str, &'static str, &'static str)]) -> Self {
        let failing = Arc::new(Mutex::new(Vec::new()));
        let card = |(name, uuid, pci_bus_id): &(&'static str, &'static str, &'static str)| Card {
            name,
            uuid,
            pci_bus_id,
            instances: Vec::new(),
            throttle_bits: 0,
            processes: Vec::new(),
            failing: Arc::clone(&failing),
        };
        Self { cards: cards.iter().map(card).collect(), failing }
    }

    pub(crate) fn two_cards() -> Self {
        Self::of(&[
            ("NVIDIA Test", "GPU-aaaa0000-1111-2222-3333-444444444444", "00000000:17:00.0"),
            ("NVIDIA Test", "GPU-bbbb0000-1111-2222-3333-444444444444", "00000000:65:00.0"),
        ])
    }

    pub(crate) fn unlike_cards() -> Self {
        Self::of(&[
            ("NVIDIA Slow", "GPU-aaaa0000-1111-2222-3333-444444444444", "00000000:17:00.0"),
            ("NVIDIA Fast", "GPU-bbbb0000-1111-2222-3333-444444444444", "00000000:65:00.0"),
        ])
    }

    /// One card of two instances.
    pub(crate) fn cut_card() -> Self {
        let mut library = Self::of(&[("NVIDIA Cut", "GPU-aaaa0000-1111-2222-3333-444444444444", "00000000:17:00.0")]);
        library.cards[0].instances =
            ["MIG-1111aaaa-0000-0000-0000-000000000001", "MIG-2222aaaa-0000-0000-0000-000000000002"]
                .map(|uuid| MigInstance { uuid: uuid.to_owned(), memory: Some(Bytes(20e9)) })
                .to_vec();
        library
    }

    pub(crate) fn failing(self, query: Query) -> Self {
        self.fail_from_now(query);
        self
    }

    pub(crate) fn fail_from_now(&self, query: Query) {
        self.failing.lock().expect("no test panics with it").push(query);
    }

    pub(crate) fn throttled(mut self, bits: u64) -> Self {
        self.cards[0].throttle_bits = bits;
        self
    }

    pub(crate) fn used_by(mut self, pids: &[u32]) -> Self {
        self.cards[0].processes = pids.to_vec();
        self
    }
}

fn ask<T>(failing: &Mutex<Vec<Query>>, query: Query, answer: T) -> Answer<T> {
    let fails = failing.lock().expect("no test panics with it").contains(&query);
    if fails { Err(query.unanswered("made to fail")) } else { Ok(answer) }
}

impl NvmlLibrary for FakeNvml {
    fn driver(&self) -> Answer<String> {
        ask(&self.failing, Query::Driver, "580.00".to_owned())
    }

    fn count(&self) -> Answer<u32> {
        ask(&self.failing, Query::Count, u32::try_from(self.cards.len()).expect("few"))
    }

    fn device(&self, index: u32) -> Answer<Box<dyn NvmlDevice>> {
        let card = self.cards.get(index as usize).ok_or_else(|| Query::Device.unanswered("no such card"))?;
        ask(&self.failing, Query::Device, Box::new(card.clone()) as Box<dyn NvmlDevice>)
    }
}

impl Card {
    fn ask<T>(&self, query: Query, answer: T) -> Answer<T> {
        ask(&self.failing, query, answer)
    }
}

impl NvmlDevice for Card {
    fn name(&self) -> Answer<String> {
        self.ask(Query::Name, self.name.to_owned())
    }
    fn uuid(&self) -> Answer<String> {
        self.ask(Query::Uuid, self.uuid.to_owned())
    }
    fn pci_bus_id(&self) -> Answer<String> {
        self.ask(Query::PciBusId, self.pci_bus_id.to_owned())
    }
    fn memory(&self) -> Answer<Bytes> {
        self.ask(Query::Memory, Bytes(40e9))
    }
    fn energy(&self) -> Answer<Joules> {
        self.ask(Query::Energy, Joules(1000.0))
    }
    fn power_instant(&self) -> Answer<Watts> {
        self.ask(Query::PowerInstant, Watts(250.0))
    }
    fn power_usage(&self) -> Answer<Watts> {
        self.ask(Query::PowerUsage, Watts(240.0))
    }
    fn module_energy(&self) -> Answer<Joules> {
        self.ask(Query::ModuleEnergy, Joules(5000.0))
    }
    fn module_power(&self) -> Answer<Watts> {
        self.ask(Query::ModulePower, Watts(600.0))
    }
    fn power_limit(&self) -> Answer<Watts> {
        self.ask(Query::PowerLimit, Watts(400.0))
    }
    fn sm_clock_mhz(&self) -> Answer<u32> {
        self.ask(Query::SmClock, 1410)
    }
    fn memory_clock_mhz(&self) -> Answer<u32> {
        self.ask(Query::MemoryClock, 1593)
    }
    fn temperature_c(&self) -> Answer<u32> {
        self.ask(Query::Temperature, 55)
    }
    fn throttle_bits(&self) -> Answer<u64> {
        self.ask(Query::ThrottleReasons, self.throttle_bits)
    }
    fn processes(&self) -> Answer<Vec<u32>> {
        self.ask(Query::Processes, self.processes.clone())
    }
    fn mig_enabled(&self) -> Answer<bool> {
        self.ask(Query::MigMode, !self.instances.is_empty())
    }
    fn mig_instances(&self) -> Answer<Vec<MigInstance>> {
        self.ask(Query::MigInstances, self.instances.clone())
    }
}
