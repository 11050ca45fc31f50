//! Data parallelism: what an all-reduce of the gradients takes, how much of it shows, and how long devices wait for the
//! slowest of them.

use crate::catalog::Interconnect;
use crate::estimate::request::input::Input;
use crate::model::Config;
use crate::stats::Distribution;

/// Part of a link's bandwidth that an all-reduce reaches: 230 of 300 GB/s on 8 A100 (nccl-tests, PERFORMANCE.md, bus
/// bandwidth).
const LINK_SHARE: f64 = 0.77;
/// The same over PCI Express without a switch between devices. Two RTX 3090, RTX 4090, RTX A6000 and A100 PCIe that fine-tune
/// BERT-large (Lambda deeplearning-benchmark) lose to one what 0.30 to 0.47 of the link would lose if nothing of the exchange
/// were hidden, 0.40 in the middle. Of the 0.91 of it that can be hidden behind the backward pass, half is ([`Factors`]): it
/// really takes 1 / (1 - 0.91 / 2) = 1.83 times as long.
const PCIE_SHARE: f64 = 0.22;

/// Bytes of gradients that travel together: `bucket_cap_mb` of PyTorch's `DistributedDataParallel`, 25 MB unless it is set.
const BUCKET_BYTES: f64 = 25e6;
/// Seconds before anything of a bucket moves (NCCL, `src/graph/tuning.cc`, `baseLat`, tree, protocol LL128).
const BASE_S: f64 = 14e-6;
/// Seconds of a hop inside a machine over NVLink or a link like it, and over PCI Express, and between machines (the same,
/// `hwLat`).
const LINK_HOP_S: f64 = 1.2e-6;
const PCIE_HOP_S: f64 = 1.9e-6;
const NETWORK_HOP_S: f64 = 8.5e-6;
/// Seconds of a hop between neighbours of a torus of TPUs (Austin et al., How to Scale Your Model, 2025: about 1 us).
const TORUS_HOP_S: f64 = 1e-6;

/// Relative standard deviation of the speed of machines that do the same: steps of MLPerf's BERT differ by 1 % between nodes.
/// GPUs of one kind in one cluster span 8 % (Sinha et al., SC22, arXiv 2208.11035), about 2 % as a standard deviation, and
/// BERT-large on two DGX A100 loses 4 % to one with next to nothing to exchange (NVIDIA DeepLearningExamples, PaddlePaddle):
/// [`inputs`] has the range.
const MACHINE_SD: f64 = 0.01;

/// Part of the way from idle to what it draws while it computes that a device goes while gradients travel and nothing is
/// computed: judgement. Power falls far at the end of each iteration, when devices synchronise, and not always to idle (Patel
/// et al., ASPLOS 2024, doi 10.1145/3620666.3651329; Choukse et al. 2025, arXiv 2508.14318).
pub const WAITING_SHARE: f64 = 0.4;

/// Watts of a device while gradients travel and nothing is computed: `idle + 0.4 (computing - idle)`; what it draws while it
/// computes where idle power is not known.
#[must_use]
pub fn waiting_w(computing_w: f64, idle_w: Option<f64>) -> f64 {
    idle_w.map_or(computing_w, |idle| idle + WAITING_SHARE * (computing_w - idle).max(0.0))
}

/// What is not known of an exchange and of the wait for others: factors that all architectures share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Time inside machines over what it takes at the bandwidths above.
    pub links: f64,
    /// Speed between machines over the nominal.
    pub network: f64,
    /// Part that is hidden of what can be hidden behind the backward pass.
    pub hidden: f64,
    /// Difference between machines over the one above.
    pub machines: f64,
}

const NETWORK_SPEED: &str = "speed of the network";
const MACHINES: &str = "differences between machines";
/// Those of [`inputs`] that count where there are several machines.
pub const BETWEEN_MACHINES: [&str; 2] = [NETWORK_SPEED, MACHINES];

/// What is not known, in the order of [`Factors::of`].
#[must_use]
pub fn inputs() -> [Input; 4] {
    [
        Input::new(
            "exchange of gradients",
            Distribution::LogNormal(1.0, 1.25),
            "1",
            "time inside machines: bus bandwidths of nccl-tests and of PCI Express spread by this much",
        ),
        Input::new(
            NETWORK_SPEED,
            Distribution::LogNormal(0.71, 1.19),
            "1",
            "part of the nominal speed between machines: NCCL reaches 70 to 95 % over InfiniBand (nccl-tests: 20 of 25 GB/s a \
             device over 64 A100), less over Ethernet and TCP and where jobs share switches; range by judgement",
        ),
        Input::new(
            "exchange that overlaps",
            Distribution::Uniform(0.0, 1.0),
            "1",
            "part that is hidden of what can be hidden behind the backward pass: none where gradients are exchanged after it \
             (NVIDIA's BERT with `--allreduce_post_accumulation`), nearly all in PyTorch's DistributedDataParallel at its best \
             (Li et al. 2020, arXiv 2006.15704); range by judgement",
        ),
        Input::new(
            MACHINES,
            Distribution::LogNormal(1.0, 1.75),
            "1",
            "times 1 %: MLPerf's BERT on two nodes; 2 % between GPUs of a cluster (Sinha et al. 2022), 3 % between two DGX A100",
        ),
    ]
}

impl Factors {
    /// Every factor in the middle of its range.
    pub const MIDDLE: Self = Self { links: 1.0, network: 0.71, hidden: 0.5, machines: 1.0 };

    /// From values in the order of [`inputs`].
    #[must_use]
    pub fn of([links, network, hidden, machines]: [f64; 4]) -> Self {
        Self { links, network, hidden: hidden.clamp(0.0, 1.0), machines }
    }

    /// In the middle, but for input `i`, which is `z` standard deviations from it: for spreads, which are worked out without
    /// draws.
    #[must_use]
    pub fn moved(i: usize, z: f64) -> Self {
        let mut values = inputs().map(|input| input.distribution.centre());
        if let (Some(value), Some(input)) = (values.get_mut(i), inputs().get(i)) {
            *value = match input.distribution {
                Distribution::LogNormal(median, gsd) => median * gsd.powf(z),
                // The standard deviation of a uniform number is its width over the root of 12.
                Distribution::Uniform(low, high) => f64::midpoint(low, high) + z * (high - low) / 12f64.sqrt(),
                other => other.centre(),
            };
        }
        Self::of(values)
    }
}

/// How an exchange of gradients goes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Exchange {
    /// Seconds inside machines, without those of `latency_s`.
    pub local_s: f64,
    /// Seconds between machines at the nominal speed of the network, without those of `latency_s`.
    pub network_s: f64,
    /// Seconds that pass however fast the links are.
    pub latency_s: f64,
    /// Part that can travel before the backward pass ends: the gradient of the token embedding is complete only then.
    pub hideable: f64,
    /// Seconds of the backward pass that it can travel behind.
    pub backward_s: f64,
}

impl Exchange {
    /// Nothing to exchange.
    pub const NONE: Self = Self { local_s: 0.0, network_s: 0.0, latency_s: 0.0, hideable: 0.0, backward_s: 0.0 };

    /// Whether nothing is exchanged.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.local_s + self.network_s + self.latency_s <= 0.0
    }

    /// Seconds of the all-reduce: `links x local + network / speed + latency`.
    #[must_use]
    pub fn all_reduce_s(&self, factors: &Factors) -> f64 {
        factors.links * self.local_s + self.network_s / factors.network + self.latency_s
    }

    /// Seconds of it that lengthen the step: all but `hidden x min(hideable x all, backward pass)`, over any link.
    #[must_use]
    pub fn exposed_s(&self, factors: &Factors) -> f64 {
        let all = self.all_reduce_s(factors);
        all - factors.hidden * (self.hideable * all).min(self.backward_s)
    }
}

fn is_pcie(link: &Interconnect) -> bool {
    link.kind.to_ascii_lowercase().contains("pci")
}

fn is_torus(link: &Interconnect) -> bool {
    link.kind.eq_ignore_ascii_case("ici")
}

/// Seconds that an all-reduce of `bytes` of gradients takes over `devices`, as an [`Exchange`] of which nothing is hidden.
///
/// `2 (n - 1) / n S / B` (nccl-tests, PERFORMANCE.md) for `S` bytes at `B` bytes a second over the `n` devices of each machine,
/// then over the machines, each device with its own share of the gradients.
///
/// Each bucket has its latency: `base + 2 ((n - 1) hop + log2(machines) hop)` of NCCL's double binary tree, which is a chain
/// inside a machine and a tree between machines (NCCL, `src/graph/tuning.cc`; Jeaugey, NCCL 2.4, 2019), where a ring would have
/// as many hops as devices. A slice of TPUs is a torus: out and back over its diameter, which is `sqrt(n)` hops in two dimensions,
/// and fewer in three.
#[must_use]
pub fn all_reduce(bytes: f64, devices: u32, link: &Interconnect) -> Exchange {
    if devices < 2 {
        return Exchange::NONE;
    }
    let local = f64::from(devices.min(link.devices));
    let machines = f64::from(devices.div_ceil(link.devices));
    let share = if is_pcie(link) { PCIE_SHARE } else { LINK_SHARE };
    let ring = |n: f64, bytes: f64, bandwidth: f64| 2.0 * (n - 1.0) / n * bytes / bandwidth;
    let network = link.network.as_ref().map_or(link.bandwidth.base(), crate::catalog::Sourced::base);
    let inside_s = if is_torus(link) {
        if local > 1.0 { local.sqrt() * TORUS_HOP_S } else { 0.0 }
    } else {
        (local - 1.0) * if is_pcie(link) { PCIE_HOP_S } else { LINK_HOP_S }
    };
    let hops_s = 2.0 * (inside_s + machines.log2() * NETWORK_HOP_S);
    Exchange {
        local_s: ring(local, bytes, share * link.bandwidth.base()),
        network_s: ring(machines, bytes / local, network),
        latency_s: (bytes / BUCKET_BYTES).ceil() * (BASE_S + hops_s),
        hideable: 0.0,
        backward_s: 0.0,
    }
}

/// Seconds in which each of `devices` sends every other its part of `bytes`, as an [`Exchange`] of which nothing is hidden.
///
/// `(l - 1) / n S` bytes go to the `l` devices of the same machine, and `(n - l) / n S` over the network, which nothing that is added up on
/// the way makes less, as it does in an all-reduce (nccl-tests, PERFORMANCE.md: alltoall).
#[must_use]
pub fn all_to_all(bytes: f64, devices: u32, link: &Interconnect) -> Exchange {
    if devices < 2 {
        return Exchange::NONE;
    }
    let (n, local) = (f64::from(devices), f64::from(devices.min(link.devices)));
    let share = if is_pcie(link) { PCIE_SHARE } else { LINK_SHARE };
    let network = link.network.as_ref().map_or(link.bandwidth.base(), crate::catalog::Sourced::base);
    let hops_s = LINK_HOP_S + if n > local { NETWORK_HOP_S } else { 0.0 };
    Exchange {
        local_s: (local - 1.0) / n * bytes / (share * link.bandwidth.base()),
        network_s: (n - local) / n * bytes / network,
        latency_s: BASE_S + hops_s,
        hideable: 0.0,
        backward_s: 0.0,
    }
}

/// The exchange of f32 gradients of `n_params` parameters after a backward pass of `backward_s`.
///
/// Buckets travel while the backward pass goes on, over PCI Express as over NVLink, but the gradient of the token embedding is
/// complete only at its end; how much of the rest is hidden depends on the software ([`Factors::hidden`]).
#[must_use]
pub fn exchange(config: &Config, n_params: f64, backward_s: f64, devices: u32, link: &Interconnect) -> Exchange {
    let last = ((config.vocab_size * config.d_model) as f64 / n_params).min(1.0);
    Exchange { hideable: 1.0 - last, backward_s, ..all_reduce(4.0 * n_params, devices, link) }
}

/// How much longer the slowest of `devices` takes than the mean, for a relative scatter of `sd`: the expected
/// maximum of normal draws, `sd sqrt(2 ln n)`.
#[must_use]
pub fn straggler(sd: f64, devices: u32) -> f64 {
    1.0 + sd * (2.0 * f64::from(devices).ln()).sqrt()
}

/// Devices of a machine of which nothing is known.
const USUAL_DEVICES: u32 = 8;

/// How much longer a step of several devices takes than one of a device that waits for no other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stragglers {
    /// The slowest device over the mean one.
    pub devices: f64,
    /// What the slowest machine adds to that, in the middle of what is known.
    pub machines: f64,
    /// How many machines there are.
    pub n_machines: u32,
}

impl Stragglers {
    /// Nobody waits.
    pub const NONE: Self = Self { devices: 1.0, machines: 0.0, n_machines: 1 };

    /// Nobody waits, or what is waited for is in the step: so many devices, in machines of eight where their link does not say how many
    /// there are in each.
    #[must_use]
    pub fn known(devices: u32, link: Option<&Interconnect>) -> Self {
        let in_each = link.map_or(USUAL_DEVICES, |link| link.devices.max(1));
        Self { n_machines: devices.div_ceil(in_each).max(1), ..Self::NONE }
    }

    /// Of `devices` whose steps scatter by `sd`, on machines that differ as well: the slowest of each, `sqrt(2 ln n)` standard
    /// deviations from the mean.
    #[must_use]
    pub fn of(sd: f64, devices: u32, link: Option<&Interconnect>) -> Self {
        let n_machines = link.map_or(1, |link| devices.div_ceil(link.devices.max(1)).max(1));
        Self { devices: straggler(sd, devices.max(1)), machines: straggler(MACHINE_SD, n_machines) - 1.0, n_machines }
    }

    /// The factor on the passes of a step.
    #[must_use]
    pub fn factor(&self, factors: &Factors) -> f64 {
        self.devices + self.machines * factors.machines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Device};
    use crate::estimate::request::cluster::Cluster;
    use crate::model::{Details, Family};
    use crate::stats::Interval;

    const NOMINAL: Factors = Factors { links: 1.0, network: 1.0, hidden: 0.0, machines: 1.0 };

    fn device(name: &str) -> Device {
        Catalog::default().load(name).expect("in the catalog")
    }

    fn link(name: &str) -> Interconnect {
        device(name).interconnect.expect("given")
    }

    fn near(x: f64, expected: f64) {
        assert!((x / expected - 1.0).abs() < 1e-3, "{x}, expected {expected}");
    }

    #[test]
    fn bert_base_gradients_take_4_milliseconds_over_eight_a100() {
        // 440 MB at 0.77 x 300 = 231 GB/s: 7/4 x 0.44 / 231 = 3.333 ms; 18 buckets of 14 us + 14 x 1.2 us = 30.8 us.
        let exchange = all_reduce(440e6, 8, &link("a100-sxm4-80gb"));
        near(exchange.local_s, 3.3333e-3);
        near(exchange.latency_s, 554.4e-6);
        assert_eq!(exchange.network_s, 0.0);
    }

    #[test]
    fn eight_machines_add_the_network_on_an_eighth_of_the_gradients() {
        // 2 x 7/8 x 55 MB / 25 GB/s = 3.85 ms; 18 buckets of 14 + 16.8 + 2 x 3 x 8.5 us = 81.8 us.
        let exchange = all_reduce(440e6, 64, &link("a100-sxm4-80gb"));
        near(exchange.network_s, 3.85e-3);
        near(exchange.latency_s, 1472.4e-6);
        // At half the nominal speed: 3.333 + 7.7 + 1.472 ms.
        near(exchange.all_reduce_s(&Factors { network: 0.5, ..NOMINAL }), 12.506e-3);
    }

    #[test]
    fn a_slice_of_4096_tpus_is_no_ring_of_4096() {
        // A bucket: 14 us, and twice 64 hops of 1 us; a ring would take 8190 rounds.
        let one_bucket = all_reduce(20e6, 4096, &link("tpu-v4"));
        near(one_bucket.latency_s, 142e-6);
        // Four times the chips are twice as far across.
        let hops = |n| all_reduce(20e6, n, &link("tpu-v4")).latency_s - 14e-6;
        near(hops(1024) / hops(256), 2.0);
    }

    #[test]
    fn latency_between_machines_grows_with_the_logarithm_of_their_number() {
        // 17 us more for each doubling.
        let at = |machines: u32| all_reduce(20e6, 8 * machines, &link("a100-sxm4-80gb")).latency_s;
        near(at(2) - at(1), 17e-6);
        near(at(128) - at(64), 17e-6);
    }

    #[test]
    fn pci_express_hides_its_exchange_like_any_link() {
        let exchange = Exchange { hideable: 0.9, backward_s: 1.0, ..all_reduce(440e6, 2, &link("rtx-4090-24gb")) };
        // 440 MB at 0.22 x 31.5 = 6.93 GB/s are 63.49 ms, and 18 x 17.8 us = 0.32 ms; half of 0.9 of it is hidden.
        near(exchange.all_reduce_s(&NOMINAL), 63.812e-3);
        near(exchange.exposed_s(&Factors { hidden: 0.5, ..NOMINAL }), 35.097e-3);
    }

    #[test]
    fn no_more_is_hidden_than_the_backward_pass_lasts() {
        let exchange = Exchange { local_s: 0.5, network_s: 0.2, latency_s: 0.1, hideable: 0.75, backward_s: 0.3 };
        // At half the speed 0.5 + 0.4 + 0.1 = 1 s: 0.75 s could be hidden behind more than 0.3 s.
        let factors = |hidden| Factors { network: 0.5, hidden, ..NOMINAL };
        for (hidden, exposed) in [(0.0, 1.0), (0.5, 0.85), (1.0, 0.7)] {
            near(exchange.exposed_s(&factors(hidden)), exposed);
        }
    }

    #[test]
    fn one_device_exchanges_nothing_and_waits_for_nobody() {
        let link = link("t4-16gb");
        assert!(all_reduce(440e6, 1, &link).is_none());
        assert_eq!(straggler(0.02, 1), 1.0);
        assert_eq!(Stragglers::of(0.02, 1, Some(&link)), Stragglers::NONE);
    }

    #[test]
    fn the_slowest_of_more_machines_is_slower() {
        // sqrt(2 ln 64) = 2.884 of 2 %, and sqrt(2 ln 8) = 2.039 of 1 %.
        let slowest = Stragglers::of(0.02, 64, Some(&link("a100-sxm4-80gb")));
        near(slowest.factor(&NOMINAL), 1.07807);
        near(slowest.factor(&Factors { machines: 2.0, ..NOMINAL }), 1.09846);
    }

    #[test]
    fn a_device_that_waits_draws_four_tenths_of_the_way_from_idle_to_full() {
        near(waiting_w(350.0, Some(50.0)), 170.0);
        assert_eq!(waiting_w(350.0, None), 350.0, "idle power is not known");
        assert_eq!(waiting_w(40.0, Some(50.0)), 50.0);
    }

    #[test]
    fn the_middle_is_the_middle_of_the_inputs() {
        assert_eq!(Factors::of(inputs().map(|i| i.distribution.median())), Factors::MIDDLE);
        assert_eq!(Factors::moved(0, 0.0), Factors::MIDDLE);
        near(Factors::moved(1, 1.0).network, 0.8449);
        near(Factors::moved(2, -1.0).hidden, 0.21132);
        let range = inputs()[1].assumption().range.expect("uncertain");
        assert!((range.0 - 0.505).abs() < 5e-3 && (range.1 - 0.998).abs() < 5e-3, "{range:?}");
    }

    /// A published run at two sizes: tokens, or sequences, a second a device at the smaller and at the larger.
    struct Published {
        name: &'static str,
        device: &'static str,
        cluster: Cluster,
        config: Config,
        n_params: f64,
        /// Passes between two exchanges, and devices, at each size.
        sizes: [(f64, u32); 2],
        /// Work of a pass in what the rates count.
        work: f64,
        rates: [f64; 2],
        optimizer_s: f64,
        loss: f64,
    }

    impl Published {
        /// The loss of rate from the smaller to the larger: of each draw, the pass that explains the smaller gives the larger.
        fn predicted(&self) -> Interval {
            let link = self.cluster.link(&device(self.device)).expect("joined");
            let sd = crate::estimate::steps::model::Efficiency::embedded().straggler_sd();
            let draws: Vec<Vec<f64>> = inputs().iter().map(|input| input.draws(0, 4000)).collect();
            let losses = (0..4000).map(|t| {
                let factors = Factors::of(std::array::from_fn(|i| draws[i][t]));
                let once_s = |backward_s: f64, devices: u32| {
                    let exchange = exchange(&self.config, self.n_params, backward_s, devices, &link);
                    self.optimizer_s + exchange.exposed_s(&factors)
                };
                let slow = |devices| Stragglers::of(sd, devices, Some(&link)).factor(&factors);
                let [(n_small, devices), (n_large, more_devices)] = self.sizes;
                let step_s = n_small * self.work / self.rates[0];
                // Two thirds of a pass are backward.
                let backward_s = step_s / n_small * 2.0 / 3.0;
                let alone_s = (step_s - once_s(backward_s, devices)) / n_small / slow(devices);
                let larger_s = n_large * alone_s * slow(more_devices) + once_s(backward_s, more_devices);
                1.0 - step_s / n_small / (larger_s / n_large)
            });
            Interval::of_draws(losses.collect())
        }
    }

    fn config(family: Family, n_layers: usize, d_model: usize, d_ff: usize, vocab_size: usize) -> Config {
        Config {
            family,
            n_layers,
            d_model,
            n_heads: d_model / 64,
            d_ff,
            vocab_size,
            max_seq_len: 512,
            type_vocab_size: 2,
            gated_mlp: family == Family::Decoder,
            details: Details::default(),
        }
    }

    /// BERT-base on nodes of 8 V100 with one adapter of 100 Gbit/s, one pass a step, 20 predictions in 128 tokens: sequences
    /// a second a device on 1 and on 32 (github.com/Oneflow-Inc/DLPerf, tables of each framework).
    fn dlperf(name: &'static str, micro_batch: f64, rates: [f64; 2], loss: f64) -> Published {
        Published {
            name,
            device: "v100-sxm2-16gb",
            cluster: Cluster { network: "100".parse().ok(), devices_per_node: None },
            config: config(Family::Encoder, 12, 768, 3072, 30522),
            n_params: 110e6,
            sizes: [(1.0, 1), (1.0, 32)],
            work: micro_batch,
            rates,
            optimizer_s: 0.0,
            loss,
        }
    }

    #[test]
    fn published_losses_at_scale_lie_inside_the_intervals() {
        let internevo = Published {
            // Tokens a second a device, 4 micro-batches of 2 x 2048, ZeRO-1 (github.com/InternLM/InternEvo, documentation).
            name: "InternEvo 7B, 8 to 1024 A100",
            device: "a100-sxm4-80gb",
            cluster: Cluster::default(),
            config: config(Family::Decoder, 32, 4096, 11008, 103_168),
            n_params: 7.3e9,
            sizes: [(4.0, 8), (4.0, 1024)],
            work: 4096.0,
            rates: [4078.0, 3625.0],
            optimizer_s: 0.0,
            loss: 0.111,
        };
        let paddle = Published {
            // BERT-large, mixed precision, 128 tokens, 256 sequences a pass, 65 536 a step: 4990 sequences a second on 8 and
            // 142 087 on 256 (NVIDIA DeepLearningExamples, PaddlePaddle BERT, multi-node scaling). An update of 336 M
            // parameters moves 28 bytes of each at 1.57 TB/s.
            name: "PaddlePaddle BERT-large, 8 to 256 A100",
            device: "a100-sxm4-80gb",
            cluster: Cluster::default(),
            config: config(Family::Encoder, 24, 1024, 4096, 30522),
            n_params: 336e6,
            sizes: [(32.0, 8), (1.0, 256)],
            work: 256.0,
            rates: [623.75, 555.03],
            optimizer_s: 6e-3,
            loss: 0.110,
        };
        let runs = [
            internevo,
            paddle,
            dlperf("DLPerf PyTorch f32, 32 sequences", 32.0, [119.6, 90.182], 0.246),
            dlperf("DLPerf PyTorch f16, 64 sequences", 64.0, [444.51, 291.62], 0.344),
            dlperf("DLPerf TensorFlow XLA f16, 96 sequences", 96.0, [468.1, 364.06], 0.222),
        ];
        for run in runs {
            assert!((1.0 - run.rates[1] / run.rates[0] - run.loss).abs() < 1e-3, "{}: as published", run.name);
            let predicted = run.predicted();
            assert!(predicted.contains(run.loss), "{}: published {}, predicted {predicted:?}", run.name, run.loss);
            // An interval that holds anything says nothing.
            assert!(predicted.low > 0.0 && predicted.high < 3.0 * run.loss, "{}: {predicted:?}", run.name);
        }
    }
}
