//! What is asked of NVML, one query a method, each of which can fail by itself.

use std::fmt;

use crate::units::{Bytes, Joules, Watts};

/// Why one query gave no answer, in the driver's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{query}: {reason}")]
pub struct NoAnswer {
    /// Which query.
    pub query: Query,
    /// What the driver says.
    pub reason: String,
}

/// An answer, or why there is none.
pub(super) type Answer<T> = Result<T, NoAnswer>;

/// The queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// Version of the driver.
    Driver,
    /// How many GPUs there are.
    Count,
    /// A GPU by its number.
    Device,
    /// What the card is called.
    Name,
    /// Identity that survives reordering.
    Uuid,
    /// Where the card sits on the PCI bus.
    PciBusId,
    /// Memory on the card.
    Memory,
    /// The total-energy counter of the GPU.
    Energy,
    /// Power now, of the GPU.
    PowerInstant,
    /// Power as older drivers read it.
    PowerUsage,
    /// The energy counter of a module of CPU and GPU.
    ModuleEnergy,
    /// Power now, of a module of CPU and GPU.
    ModulePower,
    /// The limit that is enforced.
    PowerLimit,
    /// Clock of the multiprocessors.
    SmClock,
    /// Clock of the memory.
    MemoryClock,
    /// Temperature of the chip.
    Temperature,
    /// What holds the clocks down.
    ThrottleReasons,
    /// Processes that use the card.
    Processes,
    /// Whether the card is cut into instances.
    MigMode,
    /// The instances.
    MigInstances,
}

impl Query {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Driver,
        Self::Count,
        Self::Device,
        Self::Name,
        Self::Uuid,
        Self::PciBusId,
        Self::Memory,
        Self::Energy,
        Self::PowerInstant,
        Self::PowerUsage,
        Self::ModuleEnergy,
        Self::ModulePower,
        Self::PowerLimit,
        Self::SmClock,
        Self::MemoryClock,
        Self::Temperature,
        Self::ThrottleReasons,
        Self::Processes,
        Self::MigMode,
        Self::MigInstances,
    ];

    /// The answer that was not given.
    pub(super) fn unanswered(self, reason: impl fmt::Display) -> NoAnswer {
        NoAnswer { query: self, reason: reason.to_string() }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver version",
            Self::Count => "number of GPUs",
            Self::Device => "device handle",
            Self::Name => "name",
            Self::Uuid => "UUID",
            Self::PciBusId => "PCI bus id",
            Self::Memory => "memory",
            Self::Energy => "energy counter",
            Self::PowerInstant => "instantaneous power",
            Self::PowerUsage => "power",
            Self::ModuleEnergy => "energy counter of the module",
            Self::ModulePower => "power of the module",
            Self::PowerLimit => "power limit",
            Self::SmClock => "SM clock",
            Self::MemoryClock => "memory clock",
            Self::Temperature => "temperature",
            Self::ThrottleReasons => "throttle reasons",
            Self::Processes => "processes",
            Self::MigMode => "MIG mode",
            Self::MigInstances => "MIG instances",
        })
    }
}

/// A MIG instance: a part of a card, with memory and multiprocessors of its own and no power sensor of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct MigInstance {
    /// `MIG-...`, or `MIG-GPU-.../1/0` of drivers before 470.
    pub uuid: String,
    /// Its memory.
    pub memory: Option<Bytes>,
}

/// The driver's management library.
pub trait NvmlLibrary: Send + Sync {
    /// Version of the driver.
    ///
    /// # Errors
    /// If the driver does not say.
    fn driver(&self) -> Answer<String>;
    /// How many GPUs there are, in PCI order.
    ///
    /// # Errors
    /// If the driver does not say.
    fn count(&self) -> Answer<u32>;
    /// The GPU with this number in PCI order.
    ///
    /// # Errors
    /// If there is none, or it may not be used.
    fn device(&self, index: u32) -> Answer<Box<dyn NvmlDevice>>;
}

/// One GPU. A query that the card does not support is an error of that query alone.
#[expect(clippy::missing_errors_doc, reason = "each fails where the card or the driver does not answer it")]
pub trait NvmlDevice: Send {
    /// What the card is called.
    fn name(&self) -> Answer<String>;
    /// `GPU-...`
    fn uuid(&self) -> Answer<String>;
    /// `00000000:17:00.0`
    fn pci_bus_id(&self) -> Answer<String>;
    /// Memory on the card.
    fn memory(&self) -> Answer<Bytes>;
    /// Energy since the driver was loaded; Volta and newer.
    fn energy(&self) -> Answer<Joules>;
    /// `NVML_FI_DEV_POWER_INSTANT`: not averaged over a second, as newer cards' usual reading is.
    fn power_instant(&self) -> Answer<Watts>;
    /// `nvmlDeviceGetPowerUsage`: the mean of the last second on Ampere (but for GA100) and newer.
    fn power_usage(&self) -> Answer<Watts>;
    /// Energy of the module of CPU, GPU and memory that the card is part of (Grace).
    fn module_energy(&self) -> Answer<Joules>;
    /// Power of that module.
    fn module_power(&self) -> Answer<Watts>;
    /// The power limit that is enforced.
    fn power_limit(&self) -> Answer<Watts>;
    /// Clock of the multiprocessors in MHz.
    fn sm_clock_mhz(&self) -> Answer<u32>;
    /// Clock of the memory in MHz.
    fn memory_clock_mhz(&self) -> Answer<u32>;
    /// Temperature of the chip in degrees Celsius.
    fn temperature_c(&self) -> Answer<u32>;
    /// What holds the clocks down, as the bits of `nvmlClocksThrottleReasons`.
    fn throttle_bits(&self) -> Answer<u64>;
    /// Numbers of the processes that compute or draw on the card, as the driver's namespace numbers them.
    fn processes(&self) -> Answer<Vec<u32>>;
    /// Whether the card is cut into instances.
    fn mig_enabled(&self) -> Answer<bool>;
    /// Its instances.
    fn mig_instances(&self) -> Answer<Vec<MigInstance>>;
}
