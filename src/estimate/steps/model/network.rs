//! Data parallelism: what a ring all-reduce of the gradients takes, and how much of it shows.

use crate::catalog::Interconnect;
use crate::model::Config;

/// Part of a link's bandwidth that a ring all-reduce reaches: 230 of 300 GB/s on 8 A100 (nccl-tests, PERFORMANCE.md,
/// bus bandwidth).
const LINK_SHARE: f64 = 0.77;
/// The same over PCI Express without a switch between devices: what two RTX 3090, RTX 4090, RTX A6000 and A100 PCIe
/// lose against one, fine-tuning BERT-large (Lambda deeplearning-benchmark): 0.30 to 0.47.
const PCIE_SHARE: f64 = 0.40;
/// The same between machines: 20 of 25 GB/s a device over 64 A100.
const NETWORK_SHARE: f64 = 0.8;
/// Seconds that one of the 2 (n - 1) rounds of the ring takes however little it carries (judgement).
const ROUND_S: f64 = 1e-5;

/// Geometric standard deviation of the time of an exchange: the bus bandwidths above spread by this much.
pub const EXCHANGE_GSD: f64 = 1.25;

/// How an exchange of gradients goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exchange {
    /// Seconds of the all-reduce.
    pub all_reduce_s: f64,
    /// Seconds of it that lengthen the step.
    pub exposed_s: f64,
}

/// Seconds that a ring all-reduce of `bytes` takes over `devices`: `2 (n - 1) / n S / B` (nccl-tests), inside each
/// machine first, then between machines on each device's share.
#[must_use]
pub fn all_reduce_s(bytes: f64, devices: u32, link: &Interconnect) -> f64 {
    if devices < 2 {
        return 0.0;
    }
    let local = f64::from(devices.min(link.devices));
    let machines = f64::from(devices.div_ceil(link.devices));
    let share = if is_pcie(link) { PCIE_SHARE } else { LINK_SHARE };
    let ring = |n: f64, bytes: f64, bandwidth: f64| {
        if n < 2.0 { 0.0 } else { 2.0 * (n - 1.0) * (ROUND_S + bytes / n / bandwidth) }
    };
    let network = link.network.as_ref().map_or(link.bandwidth.base(), crate::catalog::Sourced::base);
    ring(local, bytes, share * link.bandwidth.base()) + ring(machines, bytes / local, NETWORK_SHARE * network)
}

fn is_pcie(link: &Interconnect) -> bool {
    link.kind.to_ascii_lowercase().contains("pci")
}

/// The exchange of f32 gradients of `n_params` parameters after a backward pass of `backward_s`.
///
/// Buckets travel while the backward pass goes on, but the gradient of the token embedding is complete only at its
/// end. Over PCI Express nothing is hidden: that is how its share above was found.
#[must_use]
pub fn exchange(config: &Config, n_params: f64, backward_s: f64, devices: u32, link: &Interconnect) -> Exchange {
    let all_reduce_s = all_reduce_s(4.0 * n_params, devices, link);
    let last = ((config.vocab_size * config.d_model) as f64 / n_params).min(1.0);
    let exposed_s = if is_pcie(link) { all_reduce_s } else { (all_reduce_s - backward_s).max(last * all_reduce_s) };
    Exchange { all_reduce_s, exposed_s }
}

/// How much longer the slowest of `devices` takes than the mean, for a relative scatter of `sd`: the expected
/// maximum of normal draws, `sd sqrt(2 ln n)`.
#[must_use]
pub fn straggler(sd: f64, devices: u32) -> f64 {
    1.0 + sd * (2.0 * f64::from(devices).ln()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Device};

    fn link(device: &str) -> Interconnect {
        let device: Device = Catalog::default().load(device).expect("in the catalog");
        device.interconnect.expect("given")
    }

    #[test]
    fn bert_base_gradients_take_3_milliseconds_over_eight_a100() {
        // 440 MB at 0.77 x 300 = 231 GB/s: 7/4 x 0.44 / 231 = 3.33 ms, and 14 rounds of 10 us.
        let seconds = all_reduce_s(440e6, 8, &link("a100-sxm4-80gb"));
        assert!((seconds - 3.473e-3).abs() < 2e-6, "{seconds}");
    }

    #[test]
    fn eight_machines_add_the_network_on_an_eighth_of_the_gradients() {
        // 2 x 7 x (10 us + 55 MB / 8 / 20 GB/s) = 14 x 353.75 us more.
        let link = link("a100-sxm4-80gb");
        let more = all_reduce_s(440e6, 64, &link) - all_reduce_s(440e6, 8, &link);
        assert!((more - 4.9525e-3).abs() < 1e-6, "{more}");
    }

    #[test]
    fn one_device_exchanges_nothing() {
        assert_eq!(all_reduce_s(440e6, 1, &link("t4-16gb")), 0.0);
        assert_eq!(straggler(0.02, 1), 1.0);
    }
}
