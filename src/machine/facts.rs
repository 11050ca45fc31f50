//! What machine this is.

use sysinfo::System;

use crate::catalog::{Device, DeviceKind, Per};
use crate::sensor;

/// What the operating system says of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineFacts {
    /// Its name.
    pub host: String,
    /// Operating system, version and kernel.
    pub os: String,
    /// Brand string of the CPU.
    pub cpu: String,
    /// CPUs that the system shows.
    pub logical_cpus: usize,
    /// CPUs that this container may use, where that is less.
    pub cpu_limit: Option<f64>,
    /// Whether each CPU is a whole core of a real processor: its second hardware threads are switched off.
    pub one_thread_a_core: bool,
    /// Memory in bytes, or what this container may use of it.
    pub memory_bytes: u64,
}

/// Asks the operating system.
#[must_use]
pub fn machine_facts() -> MachineFacts {
    let mut system = System::new();
    system.refresh_memory();
    system.refresh_cpu_all();
    let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let cpu = system.cpus().first().map(|c| c.brand().trim().to_owned()).filter(|b| !b.is_empty());
    let limits = sensor::cgroup_limits();
    let logical_cpus = system.cpus().len().max(1);
    MachineFacts {
        host: known(System::host_name()),
        os: format!("{}, kernel {}", known(System::long_os_version()), known(System::kernel_version())),
        cpu: known(cpu),
        logical_cpus,
        cpu_limit: limits.cpus.filter(|c| *c < logical_cpus as f64),
        one_thread_a_core: one_thread_a_core(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        memory_bytes: limits.memory_bytes.map_or(system.total_memory(), |l| l.min(system.total_memory())),
    }
}

/// The number that Linux gave this machine when it started: of all containers on it alike, and another one after each start.
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

impl MachineFacts {
    /// CPUs that may be used: a container is not billed for its host.
    #[must_use]
    pub fn usable_cpus(&self) -> f64 {
        self.cpu_limit.unwrap_or(self.logical_cpus as f64)
    }
}

/// Whether `/proc/cpuinfo` shows as many siblings as cores, on no hypervisor: what a virtual machine shows as a core may be
/// a thread.
fn one_thread_a_core(cpuinfo: &str) -> bool {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|l| l.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let virtual_machine = field("flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor"));
    let alike = field("siblings").zip(field("cpu cores")).is_some_and(|(siblings, cores)| siblings == cores);
    alike && !virtual_machine
}

/// How many units of a catalog entry the usable CPUs are: a virtual machine that sees 2 of 128 threads
/// is 1/64 of the processor; 64 CPUs that are its 64 cores are all of it.
#[must_use]
pub fn hardware_share(device: &Device, facts: &MachineFacts) -> f64 {
    let cpus = facts.usable_cpus();
    let units = device.cores.filter(|_| facts.one_thread_a_core).or(device.threads);
    match (device.kind, device.per, units) {
        (DeviceKind::Cpu, Per::Vcpu, _) => cpus,
        (DeviceKind::Cpu, Per::Device, Some(threads)) => (cpus / f64::from(threads)).max(f64::MIN_POSITIVE),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "processor\t: 0\nmodel name\t: A CPU\nsiblings\t: 64\ncpu cores\t: 64\nflags\t\t: fpu sse\n";

    #[test]
    fn one_thread_a_core_is_seen_on_real_processors_alone() {
        assert!(one_thread_a_core(CPUINFO));
        assert!(!one_thread_a_core(&CPUINFO.replace("siblings\t: 64", "siblings\t: 128")), "both threads are on");
        assert!(!one_thread_a_core(&CPUINFO.replace("fpu sse", "fpu hypervisor sse")), "a virtual machine");
        assert!(!one_thread_a_core(""), "other systems, and ARM, do not say");
    }

    #[test]
    fn a_processor_with_its_second_threads_off_is_a_whole_one() {
        let mut device = Device::unknown("a CPU", false);
        (device.cores, device.threads) = (Some(64), Some(128));
        for (cpus, limit, one_thread_a_core, share) in [
            (128, None, false, 1.0),
            (64, None, true, 1.0),
            (64, None, false, 0.5),
            (64, Some(16.0), true, 0.25),
            (128, None, true, 2.0),
        ] {
            let facts = MachineFacts {
                host: String::new(),
                os: String::new(),
                cpu: String::new(),
                logical_cpus: cpus,
                cpu_limit: limit,
                one_thread_a_core,
                memory_bytes: 1,
            };
            assert_eq!(hardware_share(&device, &facts), share, "{cpus} CPUs, {limit:?}, {one_thread_a_core}");
        }
    }
}
