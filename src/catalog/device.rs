//! What a device is: one file a device under `hardware/`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::entry::{Entry, EntryKind};
use super::offer::{Offer, median_offer, usual_of};
use super::sourced::Sourced;
use crate::units::{Bytes, BytesPerSecond, DType, FlopPerSecond, KgCo2e, Nanometres, Seconds, Watts};

/// Idle power over the TDP of a CPU whose entry gives none (the load model of CodeCarbon).
const CPU_IDLE_SHARE: f64 = 0.1;
/// Idle power over the power limit of a GPU or TPU whose entry gives none: 0.114 to 0.121 for V100, A100, T4 and A10G
/// (Cloud Carbon Footprint, minimum over maximum watts).
const GPU_IDLE_SHARE: f64 = 0.117;

/// The kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A graphics processor.
    Gpu,
    /// A tensor processor.
    Tpu,
    /// A central processor.
    Cpu,
}

/// What the figures of a device are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// The whole device.
    #[default]
    Device,
    /// One virtual CPU, its share of the host included.
    Vcpu,
}

/// How the device's own power sensor behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerSensor {
    /// Whether it has a total-energy counter.
    pub energy_counter: bool,
    /// Time between two readings.
    pub update: Option<Sourced<Seconds>>,
    /// Time that one reading covers; shorter than `update` means that part of the time goes unseen.
    pub window: Option<Sourced<Seconds>>,
}

/// How devices of one kind are joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interconnect {
    /// What it is called.
    pub kind: String,
    /// How many devices it joins: those of one machine.
    pub devices: u32,
    /// One way, for each device, inside a machine.
    pub bandwidth: Sourced<BytesPerSecond>,
    /// One way, for each device, between machines.
    pub network: Option<Sourced<BytesPerSecond>>,
}

/// What a campaign reached on a device before its cells (`ceilings` of its record): less than its maker's peak, which no
/// program reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredPeaks {
    /// Rate of a large matrix product, by dtype.
    #[serde(default, deserialize_with = "each_key_once")]
    pub matmul: BTreeMap<DType, Sourced<FlopPerSecond>>,
    /// Bytes read and written in a second by a large copy within its memory.
    pub copy: Option<Sourced<BytesPerSecond>>,
}

/// A GPU, TPU or CPU.
///
/// ```
/// use greenformers::catalog::{Catalog, Device};
///
/// let device: Device = Catalog::default().load("v100-sxm2-16gb")?;
/// let tdp = device.tdp.expect("every GPU of the catalog has one");
/// assert_eq!(tdp.low_mid_high(), (300.0, 300.0, 300.0)); // watts
/// assert!(!tdp.source.is_empty());
/// # Ok::<(), greenformers::catalog::CatalogError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The name on the command line.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// GPU, TPU or CPU.
    pub kind: DeviceKind,
    /// Who makes it.
    pub vendor: String,
    /// The maker's name of the design.
    pub architecture: Option<String>,
    /// Month of release.
    pub released: Option<String>,
    /// Whether the figures are for the device or for one virtual CPU.
    #[serde(default)]
    pub per: Per,
    /// What drivers and operating systems call it.
    #[serde(default)]
    pub names: Vec<String>,
    /// Physical cores of a CPU.
    pub cores: Option<u32>,
    /// Hardware threads of a CPU.
    pub threads: Option<u32>,
    /// Thermal design power, or the power limit as sold.
    pub tdp: Option<Sourced<Watts>>,
    /// Power when idle.
    pub idle_power: Option<Sourced<Watts>>,
    /// Memory on the device.
    pub memory: Option<Sourced<Bytes>>,
    /// Bandwidth of that memory.
    pub memory_bandwidth: Option<Sourced<BytesPerSecond>>,
    /// Feature size of the process it is made in.
    pub process: Option<Sourced<Nanometres>>,
    /// How it is joined to others of its kind.
    pub interconnect: Option<Interconnect>,
    /// Dense peak rate by dtype; sparse rates are never given.
    #[serde(default, deserialize_with = "each_key_once")]
    pub peak: BTreeMap<DType, Sourced<FlopPerSecond>>,
    /// What was reached of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredPeaks>,
    /// Rental offers.
    #[serde(default)]
    pub prices: Vec<Offer>,
    /// Emissions of making it.
    pub embodied: Option<Sourced<KgCo2e>>,
    /// Its power sensor.
    pub power_sensor: Option<PowerSensor>,
    /// A caveat.
    pub notes: Option<String>,
}

/// A map whose keys are there once: of two values for one key none is to be believed.
fn each_key_once<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    struct Once<K, V>(PhantomData<(K, V)>);

    impl<'de, K, V> Visitor<'de> for Once<K, V>
    where
        K: Deserialize<'de> + Ord + fmt::Display,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map with each key once")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some((key, value)) = map.next_entry::<K, V>()? {
                if entries.contains_key(&key) {
                    return Err(A::Error::custom(format_args!("`{key}` is there twice: expected it once")));
                }
                entries.insert(key, value);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Once(PhantomData))
}

impl Device {
    /// A device of which nothing is known but its name.
    #[must_use]
    pub fn unknown(name: &str, is_gpu: bool) -> Self {
        Self {
            id: name.to_owned(),
            name: name.to_owned(),
            kind: if is_gpu { DeviceKind::Gpu } else { DeviceKind::Cpu },
            vendor: String::new(),
            architecture: None,
            released: None,
            per: Per::Device,
            names: Vec::new(),
            cores: None,
            threads: None,
            tdp: None,
            idle_power: None,
            memory: None,
            memory_bandwidth: None,
            process: None,
            interconnect: None,
            peak: BTreeMap::new(),
            measured: None,
            prices: Vec::new(),
            embodied: None,
            power_sensor: None,
            notes: None,
        }
    }

    /// Power when it does nothing: as stated, or the usual share of the TDP of such devices; `None` if neither is known.
    #[must_use]
    pub fn idle(&self) -> Option<Watts> {
        let usual_share = match self.kind {
            DeviceKind::Cpu => CPU_IDLE_SHARE,
            DeviceKind::Gpu | DeviceKind::Tpu => GPU_IDLE_SHARE,
        };
        match &self.idle_power {
            Some(stated) => Some(stated.value),
            None => Some(self.tdp.as_ref()?.value * usual_share),
        }
    }

    /// Whether kernels of fused attention are common on it: since Ampere, of May 2020 (Dao 2023: FlashAttention-2 needs it).
    #[must_use]
    pub fn fuses_attention(&self) -> bool {
        self.released.as_deref().is_none_or(|date| date >= "2020-05")
    }

    /// The 16-bit format that it computes in, or f32.
    #[must_use]
    pub fn fastest_dtype(&self) -> DType {
        [DType::Bf16, DType::F16, DType::F32].into_iter().find(|d| self.peak.contains_key(d)).unwrap_or(DType::F32)
    }

    /// The offer to calculate with where no provider is named: the median of the on-demand offers, of all offers if there are
    /// none.
    #[must_use]
    pub fn usual_price(&self) -> Option<&Offer> {
        median_offer(usual_of(&self.prices))
    }

    /// Whether it is a card for a desk and not for a data centre.
    #[must_use]
    pub fn is_for_a_workstation(&self) -> bool {
        let of_desks = ["RTX", "GTX", "TITAN", "Quadro"];
        self.kind == DeviceKind::Gpu && of_desks.into_iter().any(|word| self.name.contains(word))
    }
}

impl Entry for Device {
    const KIND: EntryKind = EntryKind::Hardware;

    fn id(&self) -> &str {
        &self.id
    }

    fn called(&self) -> Vec<&str> {
        std::iter::once(&self.name).chain(&self.names).map(String::as_str).collect()
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.per == Per::Vcpu && self.kind != DeviceKind::Cpu {
            return Err(("per", "only a CPU can be given per vCPU".to_owned()));
        }
        if let Some(link) = &self.interconnect {
            if link.devices == 0 {
                return Err(("interconnect", "`devices` is 0: expected how many devices a machine has".to_owned()));
            }
            if link.bandwidth.base() <= 0.0 || link.network.as_ref().is_some_and(|n| n.base() <= 0.0) {
                return Err(("interconnect", "a bandwidth is 0: expected a positive one".to_owned()));
            }
        }
        for (dtype, peak) in &self.peak {
            if peak.base() <= 0.0 {
                return Err(("peak", format!("`{dtype}` is 0: leave out what the device cannot do")));
            }
        }
        if self.memory_bandwidth.as_ref().is_some_and(|b| b.base() <= 0.0) {
            return Err(("memory_bandwidth", "is 0: expected a positive bandwidth".to_owned()));
        }
        if let Some(measured) = &self.measured {
            for (dtype, rate) in &measured.matmul {
                if self.peak.get(dtype).is_some_and(|peak| rate.base() > peak.base()) {
                    return Err(("measured", format!("`{dtype}` is above its peak")));
                }
            }
            if measured.copy.as_ref().zip(self.memory_bandwidth.as_ref()).is_some_and(|(c, b)| c.base() > b.base()) {
                return Err(("measured", "the copy is faster than the memory".to_owned()));
            }
        }
        if let (Some(idle), Some(tdp)) = (&self.idle_power, &self.tdp)
            && idle.base() > tdp.base()
        {
            return Err(("idle_power", format!("{} is above the TDP, {}", idle.value, tdp.value)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_device_draws_what_its_entry_states_or_the_share_of_its_kind() {
        let device = |kind: &str, stated: bool| -> Device {
            let watts = |w: u32| format!("{{value: {w}, unit: W, year: 2024, source: made up for a test}}");
            let idle = if stated { format!("idle_power: {}\n", watts(20)) } else { String::new() };
            let text = format!("id: any\nname: any\nkind: {kind}\nvendor: nobody\ntdp: {}\n{idle}", watts(100));
            serde_yaml::from_str(&text).expect("an entry")
        };
        let idle = |kind, stated| device(kind, stated).idle().expect("a TDP").0;
        assert!((idle("cpu", false) - 10.0).abs() < 1e-9);
        assert!((idle("gpu", false) - 11.7).abs() < 1e-9);
        assert!((idle("gpu", true) - 20.0).abs() < 1e-9);
        assert!(Device::unknown("any", true).idle().is_none());
    }
}
