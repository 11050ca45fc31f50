//! The parts of this machine that draw power, each with its best meter, or the reason why it has none.

use std::path::Path;

use super::facts::{MachineFacts, hardware_share};
use crate::catalog::{Device, DeviceKind, Per};
use crate::meter::Coverage;
use crate::sensor::{
    CpuClock, Driver, GpuInfo, LoadModel, Meter, NvmlLibrary, NvmlMeter, RamModel, SensorError, list_gpus, open_rapl,
};
use crate::units::{Bytes, Watts};

/// What kind of part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// The processors.
    Cpu,
    /// The memory of the machine.
    Memory,
    /// A GPU.
    Gpu,
}

/// A part of the machine.
pub struct Part {
    /// What kind.
    pub kind: PartKind,
    /// `cpu`, `memory`, `gpu 0`.
    pub device: String,
    /// Its name for people.
    pub name: String,
    /// What identifies it: zones of the kernel, a UUID.
    pub id: Option<String>,
    /// Its memory.
    pub memory: Option<Bytes>,
    /// The best meter.
    pub meter: Option<Box<dyn Meter>>,
    /// Whether another part's meter already covers it.
    pub covered_by: Option<&'static str>,
    /// Why its own meter, of what measures, is not read.
    pub unread: Option<SensorError>,
    /// Why there is no better meter, and what would help.
    pub reason: Option<String>,
    /// What the driver says, of a GPU.
    pub gpu: Option<GpuInfo>,
}

impl Part {
    /// A part of which no more is known.
    pub(crate) fn new(kind: PartKind, device: &str, name: String) -> Self {
        Self {
            kind,
            device: device.to_owned(),
            name,
            id: None,
            memory: None,
            meter: None,
            covered_by: None,
            unread: None,
            reason: None,
            gpu: None,
        }
    }
}

/// The processors and the memory, by RAPL if it can be read, else by model.
#[must_use]
pub fn host_parts(powercap: &Path, facts: &MachineFacts, cpu: Option<&Device>) -> Vec<Part> {
    let memory = Bytes(facts.memory_bytes as f64);
    let plural = if facts.usable_cpus() == 1.0 { "" } else { "s" };
    let name = format!("{}, {} CPU{plural}", facts.cpu, facts.usable_cpus());
    let mut processors = Part::new(PartKind::Cpu, "cpu", name);
    let mut ram =
        Part { memory: Some(memory), ..Part::new(PartKind::Memory, "memory", "memory of the machine".to_owned()) };
    match open_rapl(powercap, tdp(cpu)) {
        Ok(rapl) => {
            ram.reason = rapl.unreadable.as_ref().map(ToString::to_string);
            ram.unread = rapl.unreadable;
            for meter in rapl.meters {
                let coverage = meter.info().coverage;
                if coverage == Coverage::Module {
                    ram.covered_by = Some("cpu");
                }
                let part = if coverage == Coverage::Dram { &mut ram } else { &mut processors };
                part.id = Some(meter.info().domain.clone());
                part.meter = Some(Box::new(meter));
            }
        }
        Err(no_rapl) => {
            model_cpu(&mut processors, &no_rapl, facts, cpu);
            processors.unread = Some(no_rapl);
        }
    }
    if ram.meter.is_none() && ram.covered_by.is_none() {
        let by_vcpu = processors.meter.as_ref().is_some_and(|m| m.info().coverage == Coverage::NodeShare);
        ram.reason = ram.reason.or_else(|| {
            Some(if by_vcpu {
                "there is no counter for it: modelled by its size; a part of it may be in the figure for a virtual CPU, \
                 which is why its interval is wide"
                    .to_owned()
            } else {
                "there is no counter for it: modelled by its size".to_owned()
            })
        });
        ram.meter = Some(Box::new(RamModel::new(memory, by_vcpu)));
    }
    vec![processors, ram]
}

fn model_cpu(part: &mut Part, no_rapl: &SensorError, facts: &MachineFacts, cpu: Option<&Device>) {
    if let Some(model) = cpu.and_then(|device| cpu_model(device, facts)) {
        let per = cpu.map_or(Per::Device, |d| d.per);
        let what = if per == Per::Vcpu { "that of its virtual CPUs' share of a server" } else { "linear in its load" };
        part.reason = Some(format!("{no_rapl}\nits power is modelled instead, {what}, standard uncertainty 40 %"));
        part.meter = Some(Box::new(model));
    } else {
        part.reason = Some(format!(
            "{no_rapl}\nthe catalog does not know `{}`, so its power cannot be modelled either\nhint: `--hardware FILE` \
             with its `tdp`",
            facts.cpu
        ));
    }
}

/// The TDP of a processor; a virtual CPU's is not that of a package.
fn tdp(device: Option<&Device>) -> Option<Watts> {
    let whole = device.filter(|d| d.kind == DeviceKind::Cpu && d.per == Per::Device)?;
    Some(whole.tdp.as_ref()?.value)
}

/// The load model of the part of `device` that this machine may use; `None` if its TDP is not known.
#[must_use]
pub fn cpu_model(device: &Device, facts: &MachineFacts) -> Option<LoadModel> {
    let share = hardware_share(device, facts);
    let full = device.tdp.as_ref()?.value * share;
    let idle = device.idle()? * share;
    let coverage = match device.per {
        Per::Vcpu => Coverage::NodeShare,
        Per::Device => Coverage::CpuPackage,
    };
    let domain = format!("{share:.3} x {}", device.name);
    Some(LoadModel::new(domain, coverage, idle, full, CpuClock::of_machine()))
}

/// Every GPU of the NVIDIA driver.
///
/// # Errors
/// If there is no driver, or it does not say how many GPUs there are.
pub fn gpu_parts() -> Result<Vec<Part>, SensorError> {
    gpus_of(&Driver::open()?)
}

/// Every GPU of a driver.
pub(crate) fn gpus_of(library: &dyn NvmlLibrary) -> Result<Vec<Part>, SensorError> {
    let parts = list_gpus(library)?.into_iter().map(|gpu| {
        let (meter, unread) = match NvmlMeter::open(library, gpu.index) {
            Ok(meter) => (Some(Box::new(meter) as Box<dyn Meter>), None),
            Err(error) => (None, Some(error)),
        };
        let reason = unread.as_ref().map(ToString::to_string);
        let name = gpu.name.clone().unwrap_or_else(|| "unnamed GPU".to_owned());
        Part {
            id: gpu.uuid.clone().or_else(|| gpu.pci_bus_id.clone()),
            memory: gpu.memory,
            meter,
            unread,
            reason: reason.or_else(|| (!gpu.unanswered.is_empty()).then(|| gpu.unanswered.join("; "))),
            gpu: Some(gpu.clone()),
            ..Part::new(PartKind::Gpu, &format!("gpu {}", gpu.index), name)
        }
    });
    Ok(parts.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::{FakeNvml, Query};

    fn facts() -> MachineFacts {
        MachineFacts {
            host: String::new(),
            os: String::new(),
            cpu: "a CPU that nobody knows".to_owned(),
            logical_cpus: 8,
            cpu_limit: Some(2.0),
            one_thread_a_core: false,
            memory_bytes: 16_000_000_000,
        }
    }

    #[test]
    fn a_driver_that_fails_on_any_single_query_still_gives_every_card_a_meter() {
        for query in Query::ALL {
            let parts = gpus_of(&FakeNvml::two_cards().failing(query));
            if query == Query::Count {
                assert!(parts.is_err());
                continue;
            }
            for part in parts.unwrap_or_else(|e| panic!("{query}: {e}")) {
                assert_eq!(part.meter.is_some(), query != Query::Device, "{query}");
                assert_eq!(part.id.is_some(), query != Query::Device, "{query}");
                assert!(part.meter.is_some() || part.reason.is_some(), "{query}");
            }
        }
    }

    #[test]
    fn an_unknown_cpu_without_counters_says_what_would_help_and_its_memory_is_modelled() {
        let nowhere = tempfile::tempdir().expect("a temporary folder");
        let parts = host_parts(nowhere.path(), &facts(), None);
        assert!(parts[0].meter.is_none());
        assert!(parts[0].reason.as_deref().expect("a reason").contains("hint: `--hardware FILE`"));
        assert_eq!(parts[0].name, "a CPU that nobody knows, 2 CPUs");
        assert_eq!(parts[1].meter.as_ref().and_then(|m| m.idle_power()), Some(crate::units::Watts(5.96)));
    }
}
