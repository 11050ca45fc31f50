//! What the devices of a layout send each other, over which links, and how long it takes: by the same figures as an all-reduce
//! of gradients without a layout.

use crate::catalog::Interconnect;
use crate::estimate::request::layout::{Layout, Recompute};
use crate::estimate::steps::model::{Exchange, all_reduce, all_to_all};
use crate::model::Config;

/// The links of a layout: neighbours of a tensor group share a machine as far as they fit it, then replicas of the data, then
/// stages.
#[derive(Debug, Clone, Copy)]
pub struct Links<'a> {
    link: Option<&'a Interconnect>,
}

impl<'a> Links<'a> {
    /// Devices that are joined by `link`; nothing is known of how where it is `None`, and nothing is then charged.
    #[must_use]
    pub fn new(link: Option<&'a Interconnect>) -> Self {
        Self { link }
    }

    /// The link, if one is known.
    #[must_use]
    pub fn link(self) -> Option<&'a Interconnect> {
        self.link
    }

    fn among(self, bytes: f64, devices: u32, in_a_machine: impl Fn(u32) -> u32) -> Exchange {
        let Some(link) = self.link else { return Exchange::NONE };
        all_reduce(bytes, devices, &Interconnect { devices: in_a_machine(link.devices).max(1), ..link.clone() })
    }

    /// An all-reduce of `bytes` over the devices of a tensor group; a reduce-scatter and an all-gather, which sequence
    /// parallelism has in its place, move as much.
    #[must_use]
    pub fn tensor(self, layout: &Layout, bytes: f64) -> Exchange {
        self.among(bytes, layout.tp, |of_machine| of_machine)
    }

    /// An all-reduce of `bytes` over replicas, which are `tp` devices apart.
    #[must_use]
    pub fn data(self, layout: &Layout, bytes: f64) -> Exchange {
        self.among(bytes, layout.replicas(), |of_machine| of_machine / layout.tp)
    }

    /// An all-reduce of `bytes` over those that hold the same experts, which are `tp x ep` devices apart.
    #[must_use]
    pub fn experts(self, layout: &Layout, bytes: f64) -> Exchange {
        self.among(bytes, layout.replicas() / layout.ep, |of_machine| of_machine / layout.tp / layout.ep)
    }

    /// Tokens of `bytes` that go to their experts, or come back: each device sends every other of its expert group a part.
    #[must_use]
    pub fn tokens_of_experts(self, layout: &Layout, bytes: f64) -> Exchange {
        let Some(link) = self.link else { return Exchange::NONE };
        all_to_all(bytes, layout.ep, &Interconnect { devices: (link.devices / layout.tp).max(1), ..link.clone() })
    }

    /// Keys and values of `bytes` that go from a device to the next that shares the sequence.
    #[must_use]
    pub fn keys_and_values(self, layout: &Layout, bytes: f64) -> Exchange {
        if layout.cp < 2 {
            return Exchange::NONE;
        }
        // An all-reduce of two devices moves all bytes once. A ring is as fast as its slowest link.
        let is_apart = self.link.is_some_and(|link| layout.tp * layout.cp > link.devices);
        self.among(bytes, 2, |_| if is_apart { 1 } else { 2 })
    }

    /// Whether a stage and the next are in different machines: they are `tp x cp x dp` devices apart.
    #[must_use]
    pub fn stages_are_apart(self, layout: &Layout) -> bool {
        let apart = u64::from(layout.tp) * u64::from(layout.replicas());
        self.link.is_some_and(|link| apart >= u64::from(link.devices))
    }

    /// `bytes` from a stage to the next. Between machines each device of a tensor group sends its part, which is gathered over
    /// the links inside (Narayanan et al. 2021, section 4.1).
    #[must_use]
    pub fn pipeline(self, layout: &Layout, bytes: f64) -> Exchange {
        if layout.pp < 2 {
            return Exchange::NONE;
        }
        // An all-reduce of two devices moves all bytes once.
        if self.stages_are_apart(layout) {
            return self.among(bytes / f64::from(layout.tp), 2, |_| 1);
        }
        self.among(bytes, 2, |_| 2)
    }

    /// Between the first and the last stage, which both hold a tied embedding.
    #[must_use]
    pub fn embedding(self, layout: &Layout, bytes: f64) -> Exchange {
        if layout.pp < 2 {
            return Exchange::NONE;
        }
        let apart = u64::from(layout.tp) * u64::from(layout.replicas()) * u64::from(layout.pp - 1);
        let is_apart = self.link.is_some_and(|link| apart >= u64::from(link.devices));
        self.among(bytes, 2, |_| if is_apart { 1 } else { 2 })
    }
}

/// All-reduces of a tensor group in a layer and a micro-batch: two forward, two backward (Shoeybi et al. 2019, section 3), and the
/// two of forward once more where it is computed again.
#[must_use]
pub fn all_reduces_of_a_layer(recompute: Recompute) -> f64 {
    if recompute == Recompute::Full { 6.0 } else { 4.0 }
}

/// Times that tokens go to the experts of a layer or come back, in a micro-batch: both ways forward and both ways backward (Lepikhin
/// et al. 2020), and both once more where forward is computed again.
#[must_use]
pub fn all_to_alls_of_a_layer(recompute: Recompute) -> f64 {
    if recompute == Recompute::Full { 6.0 } else { 4.0 }
}

/// Times that a device passes on the keys and values of a layer, in a micro-batch: to each of the others forward; backward again, with
/// as many bytes of their gradients; and once more where forward is computed again (Liu et al. 2023, arXiv 2310.01889).
#[must_use]
pub fn hops_of_a_layer(layout: &Layout) -> f64 {
    let rounds = if layout.recompute == Recompute::Full { 4.0 } else { 3.0 };
    rounds * f64::from(layout.cp - 1)
}

/// Bytes of the keys and values of a layer that a device of a tensor group has, for `tokens`.
#[must_use]
pub fn bytes_of_keys_and_values(shard: &Config, tokens: f64, width: f64) -> f64 {
    tokens * (shard.n_kv_heads() * (shard.d_head() + shard.d_value())) as f64 * width
}

/// One kind of exchange of a step, on a device of the busiest stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Collective {
    /// What is exchanged.
    pub name: &'static str,
    /// Bytes of one.
    pub bytes: f64,
    /// How many there are in a step.
    pub times: f64,
    /// Whether it goes over the network between machines.
    pub between_machines: bool,
    /// Seconds of all of them, in the middle of what is known of links, whether or not they lengthen the step.
    pub seconds: f64,
}

/// `times` exchanges of one kind, as one.
pub(super) fn repeated(exchange: Exchange, times: f64) -> Exchange {
    Exchange {
        local_s: times * exchange.local_s,
        network_s: times * exchange.network_s,
        latency_s: times * exchange.latency_s,
        ..exchange
    }
}

/// Two exchanges, one after the other, of which as much can be hidden as of the first.
pub(super) fn both(first: Exchange, second: Exchange) -> Exchange {
    Exchange {
        local_s: first.local_s + second.local_s,
        network_s: first.network_s + second.network_s,
        latency_s: first.latency_s + second.latency_s,
        ..first
    }
}
