//! Which GPUs there are, and which of them CUDA means.

use super::{MigInstance, NvmlDevice, NvmlLibrary};
use crate::sensor::SensorError;
use crate::units::Bytes;

/// What the driver says of a GPU. What it does not say is `None`, and its reason stands in `unanswered`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GpuInfo {
    /// Position in PCI order.
    pub index: u32,
    /// The driver's name of the card.
    pub name: Option<String>,
    /// Identity that survives reordering, `GPU-...`.
    pub uuid: Option<String>,
    /// Place on the PCI bus.
    pub pci_bus_id: Option<String>,
    /// Memory on the card.
    pub memory: Option<Bytes>,
    /// The instances, if the card is cut into some.
    pub instances: Option<Vec<MigInstance>>,
    /// Version of the driver.
    pub driver: Option<String>,
    /// Why the rest is not known.
    pub unanswered: Vec<String>,
}

impl GpuInfo {
    /// A name for people: the UUID, or the number where there is none.
    #[must_use]
    pub fn id(&self) -> String {
        self.uuid.clone().unwrap_or_else(|| format!("GPU {}", self.index))
    }
}

/// Every GPU that the NVIDIA driver knows. A card that does not answer is listed with its reasons.
///
/// # Errors
/// If the driver does not say how many there are.
pub fn list_gpus(library: &dyn NvmlLibrary) -> Result<Vec<GpuInfo>, SensorError> {
    let count = library.count().map_err(|e| SensorError::Nvml(e.to_string()))?;
    Ok((0..count)
        .map(|index| match library.device(index) {
            Ok(device) => describe(library, index, device.as_ref()),
            Err(error) => GpuInfo { index, unanswered: vec![error.to_string()], ..GpuInfo::default() },
        })
        .collect())
}

fn describe(library: &dyn NvmlLibrary, index: u32, device: &dyn NvmlDevice) -> GpuInfo {
    let mut unanswered = Vec::new();
    let cut = device.mig_enabled().unwrap_or(false);
    let instances = if cut { known(device.mig_instances(), &mut unanswered) } else { None };
    GpuInfo {
        index,
        name: known(device.name(), &mut unanswered),
        uuid: known(device.uuid(), &mut unanswered),
        pci_bus_id: known(device.pci_bus_id(), &mut unanswered),
        memory: known(device.memory(), &mut unanswered),
        // Cut, but into what is not known.
        instances: instances.or(cut.then(Vec::new)),
        driver: known(library.driver(), &mut unanswered),
        unanswered,
    }
}

/// The answer, or its reason in the list.
pub(super) fn known<T>(answer: super::Answer<T>, unanswered: &mut Vec<String>) -> Option<T> {
    answer.map_err(|e| unanswered.push(e.to_string())).ok()
}

/// What CUDA says of the device that it computes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CudaIdentity {
    /// UUID, with or without `GPU-` or `MIG-`.
    pub uuid: Option<String>,
    /// Place on the PCI bus: domain, bus, device.
    pub pci: Option<(u32, u32, u32)>,
}

/// The GPU that CUDA means, and the MIG instance of it where it means one: by UUID, else by place on the PCI bus.
/// `None` if neither is known to the driver.
#[must_use]
pub fn find_gpu<'a>(gpus: &'a [GpuInfo], cuda: &CudaIdentity) -> Option<(&'a GpuInfo, Option<&'a MigInstance>)> {
    let by_uuid = |uuid: &str| {
        let whole = gpus.iter().find(|g| g.uuid.as_deref().is_some_and(|u| bare(u) == bare(uuid)));
        let part = || gpus.iter().find_map(|g| Some((g, Some(instance(g, uuid)?))));
        whole.map(|g| (g, None)).or_else(part)
    };
    let by_place = |place| gpus.iter().find(|g| g.pci_bus_id.as_deref().and_then(pci_place) == Some(place));
    // A card that is cut is never computed on as a whole: which instance it is, its place does not tell.
    let uncut = |g: &&GpuInfo| g.instances.is_none();
    cuda.uuid.as_deref().and_then(by_uuid).or_else(|| cuda.pci.and_then(by_place).filter(uncut).map(|g| (g, None)))
}

fn instance<'a>(gpu: &'a GpuInfo, uuid: &str) -> Option<&'a MigInstance> {
    gpu.instances.as_ref()?.iter().find(|i| bare(&i.uuid) == bare(uuid))
}

/// The UUID without what it is a UUID of, in lower case.
fn bare(uuid: &str) -> String {
    let lower = uuid.to_ascii_lowercase();
    lower.trim_start_matches("mig-").trim_start_matches("gpu-").to_owned()
}

/// `00000000:17:00.0` as domain, bus and device. NVML writes eight digits of domain, CUDA four.
fn pci_place(bus_id: &str) -> Option<(u32, u32, u32)> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let (domain, rest) = bus_id.split_once(':')?;
    let (bus, device) = rest.split_once(':')?;
    Some((hex(domain)?, hex(bus)?, hex(device.split('.').next()?)?))
}

#[cfg(test)]
mod tests {
    use super::super::fake::FakeNvml;
    use super::super::{NvmlLibrary, Query};
    use super::*;

    fn identity(uuid: Option<&str>, pci: Option<(u32, u32, u32)>) -> CudaIdentity {
        CudaIdentity { uuid: uuid.map(str::to_owned), pci }
    }

    #[test]
    fn a_cuda_device_is_known_by_its_uuid_or_its_place_and_never_by_its_number() {
        let gpus = list_gpus(&FakeNvml::two_cards()).expect("two");
        let found = |cuda: &CudaIdentity| find_gpu(&gpus, cuda).map(|(g, _)| g.index);
        assert_eq!(found(&identity(Some("gpu-bbbb0000-1111-2222-3333-444444444444"), None)), Some(1));
        assert_eq!(found(&identity(None, Some((0, 0x65, 0)))), Some(1));
        assert_eq!(found(&identity(None, Some((0, 0x17, 0)))), Some(0));
        assert_eq!(found(&identity(Some("GPU-cccc"), Some((0, 0x66, 0)))), None);
        assert_eq!(found(&CudaIdentity::default()), None);
    }

    #[test]
    fn an_instance_is_found_with_the_card_it_is_a_part_of() {
        let gpus = list_gpus(&FakeNvml::cut_card()).expect("one");
        let (gpu, part) =
            find_gpu(&gpus, &identity(Some("MIG-1111aaaa-0000-0000-0000-000000000001"), None)).expect("known");
        assert_eq!(gpu.index, 0);
        assert_eq!(part.map(|p| p.uuid.as_str()), Some("MIG-1111aaaa-0000-0000-0000-000000000001"));
        assert_eq!(find_gpu(&gpus, &identity(None, Some((0, 0x17, 0)))), None, "the place does not name the instance");
    }

    #[test]
    fn one_query_that_fails_takes_nothing_else_with_it() {
        for query in Query::ALL {
            let library = FakeNvml::two_cards().failing(query);
            let listed = list_gpus(&library);
            if query == Query::Count {
                assert!(listed.expect_err("no count").to_string().contains("number of GPUs: made to fail"));
                continue;
            }
            let gpus = listed.expect("the count is known");
            assert_eq!(gpus.len(), 2, "{query}");
            let known = [gpus[0].name.is_some(), gpus[0].uuid.is_some(), gpus[0].memory.is_some()];
            let expected = [Query::Name, Query::Uuid, Query::Memory].map(|q| q != query && query != Query::Device);
            assert_eq!(known, expected, "{query}");
            let asked = [Query::Driver, Query::Device, Query::Name, Query::Uuid, Query::PciBusId, Query::Memory];
            assert_eq!(gpus[0].unanswered.is_empty(), !asked.contains(&query), "{query}: {:?}", gpus[0].unanswered);
        }
        assert!(FakeNvml::two_cards().device(2).is_err(), "there is no third card");
    }
}
