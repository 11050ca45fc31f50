//! What machine this is.

use sysinfo::System;

use super::{ComputeDevice, MeasureError};
use crate::catalog::{Catalog, Device, DeviceKind, Per};
use crate::record::Compute;
use crate::sensor;
use crate::units::DType;

/// What the operating system says of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFacts {
    /// Its name.
    pub host: String,
    /// Operating system, version and kernel.
    pub os: String,
    /// Brand string of the CPU.
    pub cpu: String,
    /// CPUs that the system shows.
    pub logical_cpus: usize,
    /// Memory in bytes.
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
    let memory = system.cgroup_limits().map_or(system.total_memory(), |l| l.total_memory.min(system.total_memory()));
    MachineFacts {
        host: known(System::host_name()),
        os: format!("{}, kernel {}", known(System::long_os_version()), known(System::kernel_version())),
        cpu: known(cpu),
        logical_cpus: system.cpus().len().max(1),
        memory_bytes: memory,
    }
}

/// Threads that matrix products are spread over.
#[must_use]
pub fn compute_threads() -> usize {
    rayon::current_num_threads()
}

/// What computes, and what the catalog knows of it: `given` if the user named it, else whatever bears the
/// name that the system gives.
///
/// # Errors
/// If a file of the catalog is not valid.
pub fn describe_compute(
    compute: &ComputeDevice,
    dtype: DType,
    facts: &MachineFacts,
    catalog: &Catalog,
    given: Option<Device>,
) -> Result<Compute, MeasureError> {
    let (name, kind, memory_bytes) = if compute.is_cpu() {
        (facts.cpu.clone(), DeviceKind::Cpu, Some(facts.memory_bytes))
    } else {
        let gpu = gpu_of(compute)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a GPU")]
        let memory = gpu.memory.map(|m| m.0 as u64);
        (gpu.name, DeviceKind::Gpu, memory)
    };
    let known = match given {
        Some(device) => Some(device),
        None => catalog.identify(kind, &name)?,
    };
    let share = known.as_ref().map_or(1.0, |device| share_of(device, facts.logical_cpus));
    let peak = known.as_ref().and_then(|d| d.peak.get(&dtype)).map(|p| p.base() * share);
    Ok(Compute {
        device: compute.name.clone(),
        name,
        hardware: known,
        hardware_share: share,
        peak_flop_per_s: peak,
        memory_bytes,
    })
}

/// How many units of a catalog entry `logical_cpus` CPUs are: a virtual machine that sees 2 of 128 threads
/// is 1/64 of the processor.
fn share_of(device: &Device, logical_cpus: usize) -> f64 {
    match (device.kind, device.per, device.threads) {
        (DeviceKind::Cpu, Per::Vcpu, _) => logical_cpus as f64,
        (DeviceKind::Cpu, Per::Device, Some(threads)) => {
            (logical_cpus as f64 / f64::from(threads)).max(f64::MIN_POSITIVE)
        }
        _ => 1.0,
    }
}

/// The driver's entry for the GPU that computes.
///
/// CUDA's ordinals and NVML's are not the same (`CUDA_VISIBLE_DEVICES`, device order), so the two are
/// matched by identity where there is more than one GPU.
pub(super) fn gpu_of(compute: &ComputeDevice) -> Result<sensor::GpuInfo, MeasureError> {
    let gpus = sensor::list_gpus()?;
    let uuid = cuda_uuid(compute);
    let found = match (&uuid, gpus.as_slice()) {
        (None, [only]) => Some(only.clone()),
        (Some(uuid), all) => all.iter().find(|g| g.uuid.eq_ignore_ascii_case(uuid)).cloned(),
        (None, _) => None,
    };
    found.ok_or_else(|| MeasureError::NoCudaDevice {
        device: compute.name.clone(),
        reason: "the driver's management library lists no GPU with this identity".to_owned(),
    })
}

#[cfg(feature = "cuda")]
fn cuda_uuid(compute: &ComputeDevice) -> Option<String> {
    let stream = compute.device.as_cuda_device().ok()?.cuda_stream();
    let bytes = stream.context().uuid().ok()?.bytes;
    let hex = bytes.iter().fold(String::new(), |hex, b| hex + &format!("{:02x}", b.cast_unsigned()));
    Some(format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(not(feature = "cuda"))]
fn cuda_uuid(_: &ComputeDevice) -> Option<String> {
    None
}
