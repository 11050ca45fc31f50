//! How machines are joined, where it is not as the catalog has it: the network between them, and devices in each.

use std::fmt;
use std::str::FromStr;

use crate::catalog::{Device, Interconnect, Sourced};
use crate::estimate::error::EstimateError;
use crate::units::BytesPerSecond;

/// Networks that have a name: Gbit/s one way of one adapter, and the standard that says so.
const NAMED: [(&str, f64, &str); 5] = [
    ("ethernet-10", 10.0, "10 Gbit/s Ethernet, IEEE 802.3ae"),
    ("ethernet-25", 25.0, "25 Gbit/s Ethernet, IEEE 802.3by"),
    ("ethernet-100", 100.0, "100 Gbit/s Ethernet, IEEE 802.3bj"),
    ("infiniband-hdr", 200.0, "4 lanes of InfiniBand HDR at 50 Gbit/s, InfiniBand Trade Association roadmap"),
    ("infiniband-ndr", 400.0, "4 lanes of InfiniBand NDR at 100 Gbit/s, InfiniBand Trade Association roadmap"),
];
/// Gbit/s of a machine that can be: from a telephone line to 100 adapters of the fastest kind.
const ALLOWED_GBIT: std::ops::RangeInclusive<f64> = 1e-3..=1e5;
/// Devices that a machine can have.
const MOST_DEVICES: u32 = 65_536;

/// The network of a machine, which its devices share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network {
    /// Nominal speed of a machine one way, in Gbit/s.
    pub gbit_per_s: f64,
    /// What it was named as, and whose figure that is.
    named: Option<(&'static str, &'static str)>,
}

/// A network, or a machine, that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither a name nor a speed.
    #[error(
        "`{0}` is no network: expected Gbit/s of a machine (`100`, `100Gbit`), {names}, or several adapters of one (`8xinfiniband-ndr`)\nhint: it is shared by the devices of a machine: give what all its adapters carry together",
        names = names()
    )]
    Unknown(String),
    /// A number of devices that no machine has.
    #[error(
        "a machine of `{0}` devices: expected a whole number from 1 to {MOST_DEVICES}\nhint: the devices that share a host and its network"
    )]
    Devices(String),
    /// A speed that no network has.
    #[error("a network of `{0}`: expected from 0.001 to 100000 Gbit/s of a machine\nhint: leave it out for one device")]
    Speed(String),
}

fn names() -> String {
    NAMED.iter().map(|(name, ..)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let unknown = || NetworkError::Unknown(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let (adapters, one) = match lower.split_once('x') {
            Some((count, one)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => {
                (count.parse::<u32>().map_err(|_| unknown())?, one)
            }
            _ => (1, lower.as_str()),
        };
        let named = NAMED.iter().find(|(name, ..)| *name == one);
        let gbit = if let Some((_, gbit, _)) = named {
            *gbit
        } else {
            // `Gb/s` and `GB/s` are bits to some and bytes to others: neither is taken.
            let number = ["gbit/s", "gbit", "gbps"].iter().find_map(|unit| one.strip_suffix(unit));
            number.unwrap_or(one).trim().parse::<f64>().map_err(|_| unknown())?
        };
        let gbit_per_s = f64::from(adapters) * gbit;
        if !ALLOWED_GBIT.contains(&gbit_per_s) {
            return Err(NetworkError::Speed(text.to_owned()));
        }
        Ok(Self { gbit_per_s, named: named.map(|(name, _, source)| (*name, *source)) })
    }
}

/// The number of devices of a machine, as it is typed.
///
/// # Errors
/// If it is no whole number, or one that no machine has.
pub fn parse_devices_per_node(text: &str) -> Result<u32, NetworkError> {
    let number = text.trim().parse().ok().filter(|n| (1..=MOST_DEVICES).contains(n));
    number.ok_or_else(|| NetworkError::Devices(text.to_owned()))
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named {
            Some((name, _)) => write!(f, "{name}, {} Gbit/s a machine", self.gbit_per_s),
            None => write!(f, "{} Gbit/s a machine", self.gbit_per_s),
        }
    }
}

impl Network {
    /// Bytes a second of a machine: 8 bits are a byte.
    #[must_use]
    pub fn bytes_per_s(self) -> f64 {
        self.gbit_per_s * 1e9 / 8.0
    }

    fn source(self) -> String {
        let standard = self.named.map(|(_, source)| format!(": {source}")).unwrap_or_default();
        format!("given with `--network`{standard}")
    }
}

/// What replaces the catalog's network between machines and its number of devices in each.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cluster {
    /// The network of a machine.
    pub network: Option<Network>,
    /// Devices in a machine.
    pub devices_per_node: Option<u32>,
}

impl Cluster {
    /// Whether the numbers can be.
    ///
    /// # Errors
    /// If a machine has no devices, or more than any has.
    pub(in crate::estimate) fn check(self) -> Result<(), EstimateError> {
        match self.devices_per_node {
            Some(n) if !(1..=MOST_DEVICES).contains(&n) => Err(EstimateError::Number {
                name: "--devices-per-node",
                value: f64::from(n),
                allowed: "a whole number from 1 to 65536",
            }),
            _ => Ok(()),
        }
    }

    /// How `device` is joined with others here. Where the catalog does not know it, a network that was given joins them,
    /// inside machines too.
    pub(in crate::estimate) fn link(self, device: &Device) -> Option<Interconnect> {
        let known = device.interconnect.clone();
        let devices = self.devices_per_node.or(known.as_ref().map(|link| link.devices)).unwrap_or(1).max(1);
        let speed = |bytes_per_s: f64, network: Network| Sourced {
            value: BytesPerSecond(bytes_per_s),
            range: None,
            date: "as given".to_owned(),
            source: network.source(),
            basis: None,
            what: None,
            note: None,
        };
        let network = self.network.map(|n| speed(n.bytes_per_s() / f64::from(devices), n));
        match (known, self.network) {
            (Some(link), _) => Some(Interconnect { devices, network: network.or(link.network.clone()), ..link }),
            (None, Some(given)) => Some(Interconnect {
                kind: "network".to_owned(),
                devices,
                bandwidth: speed(given.bytes_per_s() / f64::from(devices), given),
                network,
            }),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn device(name: &str) -> Device {
        Catalog::default().load(name).expect("in the catalog")
    }

    #[test]
    fn a_network_is_a_speed_of_a_machine_or_a_name_or_several_adapters() {
        for (text, gbit) in [
            ("100", 100.0),
            ("100Gbit", 100.0),
            ("2.5 gbit/s", 2.5),
            ("ethernet-25", 25.0),
            ("InfiniBand-HDR", 200.0),
            ("8xinfiniband-ndr", 3200.0),
            ("4x100", 400.0),
        ] {
            assert_eq!(text.parse::<Network>().map(|n| n.gbit_per_s), Ok(gbit), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_was_typed_and_what_may_be() {
        for text in ["fast", "", "x", "100GB/s", "100 Mbit", "1x", "xinfiniband-hdr", "ethernet-7"] {
            let message = text.parse::<Network>().expect_err(text).to_string();
            assert!(message.starts_with(&format!("`{text}` is no network")) && message.contains("hint: "), "{message}");
            assert!(message.contains("`infiniband-ndr`"), "{message}");
        }
        for text in ["0", "-5", "inf", "NaN", "1e9", "0xinfiniband-hdr"] {
            let message = text.parse::<Network>().expect_err(text).to_string();
            assert!(message.starts_with(&format!("a network of `{text}`: expected from 0.001")), "{message}");
        }
    }

    #[test]
    fn devices_share_the_network_of_their_machine() {
        let network = Some("100".parse().expect("a network"));
        // 100 Gbit/s are 12.5 GB/s: 1.5625 for each of 8, 3.125 for each of 4.
        for (devices_per_node, devices, each) in [(None, 8, 1.5625e9), (Some(4), 4, 3.125e9)] {
            let link = Cluster { network, devices_per_node }.link(&device("v100-sxm2-16gb")).expect("joined");
            assert_eq!((link.devices, link.network.map(|n| n.base())), (devices, Some(each)));
            assert_eq!((link.kind.as_str(), link.bandwidth.base()), ("NVLink 2", 150e9));
        }
    }

    #[test]
    fn what_is_not_given_is_the_catalogs() {
        let device = device("a100-sxm4-80gb");
        assert_eq!(Cluster::default().link(&device), device.interconnect);
        let link = Cluster { network: None, devices_per_node: Some(4) }.link(&device).expect("joined");
        assert_eq!((link.devices, link.network.map(|n| n.base())), (4, Some(25e9)));
    }

    #[test]
    fn machines_of_which_the_catalog_knows_nothing_are_joined_by_the_network_that_is_given() {
        let cpu = device("amd-epyc-7763");
        assert_eq!(Cluster::default().link(&cpu), None);
        let link = Cluster { network: "10".parse().ok(), devices_per_node: None }.link(&cpu).expect("joined");
        assert_eq!((link.devices, link.bandwidth.base()), (1, 1.25e9));
    }
}
