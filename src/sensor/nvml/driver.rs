//! NVML itself, opened at run time.

use std::sync::OnceLock;

use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{NVML_FI_DEV_ENERGY, NVML_FI_DEV_POWER_INSTANT};
use nvml_wrapper::{Device, Nvml};

use super::library::{Answer, MigInstance, NvmlDevice, NvmlLibrary, Query};
use crate::ffi::nvml_field;
use crate::sensor::SensorError;
use crate::units::{Bytes, Joules, Watts};

/// Scope of a field value that covers the module of CPU and GPU (nvml.h: `NVML_POWER_SCOPE_MODULE`).
const MODULE_SCOPE: u32 = 1;

/// The library, which stays open for as long as the program runs.
#[derive(Clone, Copy)]
pub struct Driver(&'static Nvml);

struct Card(Device<'static>);

impl Driver {
    /// Opens the library of the NVIDIA driver.
    ///
    /// # Errors
    /// If there is none.
    pub fn open() -> Result<Self, SensorError> {
        static OPEN: OnceLock<Result<Nvml, String>> = OnceLock::new();
        match OPEN.get_or_init(|| Nvml::init().map_err(|e| e.to_string())) {
            Ok(nvml) => Ok(Self(nvml)),
            Err(reason) => Err(SensorError::Nvml(reason.clone())),
        }
    }
}

impl NvmlLibrary for Driver {
    fn driver(&self) -> Answer<String> {
        self.0.sys_driver_version().map_err(|e| Query::Driver.unanswered(e))
    }

    fn count(&self) -> Answer<u32> {
        self.0.device_count().map_err(|e| Query::Count.unanswered(e))
    }

    fn device(&self, index: u32) -> Answer<Box<dyn NvmlDevice>> {
        match self.0.device_by_index(index) {
            Ok(device) => Ok(Box::new(Card(device))),
            Err(error) => Err(Query::Device.unanswered(error)),
        }
    }
}

impl Card {
    fn ask<T>(&self, query: Query, of: impl FnOnce(&Device<'static>) -> Result<T, NvmlError>) -> Answer<T> {
        of(&self.0).map_err(|e| query.unanswered(e))
    }

    /// A field in milliwatts or millijoules, of the module's scope; the wrapper asks for the GPU's alone.
    fn module_field(&self, query: Query, id: u32) -> Answer<f64> {
        nvml_field(&self.0, id, MODULE_SCOPE).map_err(|e| query.unanswered(e))
    }
}

impl NvmlDevice for Card {
    fn name(&self) -> Answer<String> {
        self.ask(Query::Name, Device::name)
    }

    fn uuid(&self) -> Answer<String> {
        self.ask(Query::Uuid, Device::uuid)
    }

    fn pci_bus_id(&self) -> Answer<String> {
        self.ask(Query::PciBusId, |d| d.pci_info().map(|p| p.bus_id))
    }

    fn memory(&self) -> Answer<Bytes> {
        self.ask(Query::Memory, |d| d.memory_info().map(|m| Bytes(m.total as f64)))
    }

    fn energy(&self) -> Answer<Joules> {
        self.ask(Query::Energy, |d| d.total_energy_consumption().map(|mj| Joules(mj as f64 / 1e3)))
    }

    fn power_instant(&self) -> Answer<Watts> {
        let query = Query::PowerInstant;
        let fields = self.ask(query, |d| d.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT)]))?;
        let field = fields.into_iter().next().ok_or_else(|| query.unanswered("no value"))?;
        let milliwatts = match field.and_then(|f| f.value).map_err(|e| query.unanswered(e))? {
            SampleValue::U32(x) => f64::from(x),
            SampleValue::U64(x) => x as f64,
            SampleValue::I64(x) => x as f64,
            SampleValue::F64(x) => x,
        };
        Ok(Watts(milliwatts / 1e3))
    }

    fn power_usage(&self) -> Answer<Watts> {
        self.ask(Query::PowerUsage, |d| d.power_usage().map(|mw| Watts(f64::from(mw) / 1e3)))
    }

    fn module_energy(&self) -> Answer<Joules> {
        self.module_field(Query::ModuleEnergy, NVML_FI_DEV_ENERGY).map(|mj| Joules(mj / 1e3))
    }

    fn module_power(&self) -> Answer<Watts> {
        self.module_field(Query::ModulePower, NVML_FI_DEV_POWER_INSTANT).map(|mw| Watts(mw / 1e3))
    }

    fn power_limit(&self) -> Answer<Watts> {
        self.ask(Query::PowerLimit, |d| d.enforced_power_limit().map(|mw| Watts(f64::from(mw) / 1e3)))
    }

    fn sm_clock_mhz(&self) -> Answer<u32> {
        self.ask(Query::SmClock, |d| d.clock_info(Clock::SM))
    }

    fn memory_clock_mhz(&self) -> Answer<u32> {
        self.ask(Query::MemoryClock, |d| d.clock_info(Clock::Memory))
    }

    fn temperature_c(&self) -> Answer<u32> {
        self.ask(Query::Temperature, |d| d.temperature(TemperatureSensor::Gpu))
    }

    fn throttle_bits(&self) -> Answer<u64> {
        self.ask(Query::ThrottleReasons, |d| d.current_throttle_reasons().map(|r| r.bits()))
    }

    fn processes(&self) -> Answer<Vec<u32>> {
        self.ask(Query::Processes, |d| {
            let mut all = d.running_compute_processes()?;
            // Cards without a display, and drivers without MPS, do not answer these.
            all.extend(d.running_graphics_processes().unwrap_or_default());
            all.extend(d.mps_running_compute_processes().unwrap_or_default());
            let mut pids: Vec<u32> = all.into_iter().map(|p| p.pid).collect();
            pids.sort_unstable();
            pids.dedup();
            Ok(pids)
        })
    }

    fn mig_enabled(&self) -> Answer<bool> {
        self.ask(Query::MigMode, |d| d.mig_mode().map(|m| m.current == 1))
    }

    fn mig_instances(&self) -> Answer<Vec<MigInstance>> {
        self.ask(Query::MigInstances, |d| {
            let places = 0..d.mig_device_count()?;
            // Numbers without an instance are gaps.
            let found = places.filter_map(|i| d.mig_device_by_index(i).ok());
            found
                .map(|instance| {
                    Ok(MigInstance {
                        uuid: instance.uuid()?,
                        memory: instance.memory_info().ok().map(|m| Bytes(m.total as f64)),
                    })
                })
                .collect()
        })
    }
}
