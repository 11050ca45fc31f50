//! What computes, and what is known of it.

use serde::de::IgnoredAny;

use super::{ComputeDevice, MeasureError};
use crate::catalog::{Catalog, Device, DeviceKind};
use crate::machine::{MachineFacts, hardware_share};
use crate::record::Compute;
use crate::sensor::{self, GpuInfo};

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
    facts: &MachineFacts,
    catalog: &Catalog,
    given: Option<Device>,
) -> Result<Compute, MeasureError> {
    let (name, kind, memory_bytes) = if compute.is_cpu() {
        (facts.cpu.clone(), DeviceKind::Cpu, Some(facts.memory_bytes))
    } else {
        let gpu = compute.gpu_facts();
        (gpu.name.unwrap_or_else(|| "unnamed GPU".to_owned()), DeviceKind::Gpu, gpu.memory_bytes)
    };
    let known = match given {
        Some(device) => Some(device),
        None => catalog.identify(kind, &name)?,
    };
    let share = known.as_ref().map_or(1.0, |device| hardware_share(device, facts));
    Ok(Compute {
        device: compute.name.clone(),
        name,
        hardware: known,
        hardware_share: share,
        memory_bytes,
        old_peak: IgnoredAny,
    })
}

/// The driver's entry for the GPU that computes, and whether CUDA means only an instance of it.
///
/// CUDA's ordinals and NVML's are not the same (`CUDA_VISIBLE_DEVICES`, device order), so the two are matched by
/// identity.
pub(super) fn gpu_of(compute: &ComputeDevice) -> Result<(GpuInfo, bool), MeasureError> {
    let gpus = sensor::list_gpus(&sensor::Driver::open()?)?;
    match sensor::find_gpu(&gpus, &compute.gpu_facts().identity) {
        // Of a card that is cut, CUDA may give the UUID of the card or that of the instance.
        Some((gpu, instance)) => Ok((gpu.clone(), instance.is_some() || gpu.instances.is_some())),
        None => Err(MeasureError::NoCudaDevice {
            device: compute.name.clone(),
            reason:
                "the driver's management library lists no GPU with this identity\nhint: `--meter none` needs no sensor"
                    .to_owned(),
        }),
    }
}
