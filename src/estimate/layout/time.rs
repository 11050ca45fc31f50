//! Seconds of an optimizer step of a layout.

use super::constants::Constants;
use super::memory::{DeviceParams, Held, Sizes};
use super::shard::{Parts, layers_of, operators_of, shard};
use super::traffic::{
    Collective, Links, all_reduces_of_a_layer, all_to_alls_of_a_layer, both, bytes_of_keys_and_values, hops_of_a_layer,
    repeated,
};
use crate::catalog::{AttentionUse, Software, SoftwareClass};
use crate::estimate::request::layout::{Layout, Recompute};
use crate::estimate::steps::model::{DeviceFigures, Efficiency, Exchange, Factors, ShardTime, Stragglers, execution};
use crate::model::{Arch, Family, Formats, StepShape};

/// What steps of layouts are worked out for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The model.
    pub held: Held<'a>,
    /// The device.
    pub figures: &'a DeviceFigures,
    /// How devices are joined.
    pub links: Links<'a>,
    /// The class of software.
    pub class: SoftwareClass,
    /// The fitted constants.
    pub constants: &'a Constants,
}

impl Setting<'_> {
    fn software(&self) -> Software {
        Software { class: self.class, attention: self.held.attention }
    }
}

/// What a micro-batch takes on the shards of a tensor group: worked out once for many layouts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MicroBatch {
    shape: StepShape,
    parts: Parts<ShardTime>,
    kernels_around: f64,
    /// Bytes of the keys and values of a layer that a device passes on, where several share a sequence.
    keys_and_values: f64,
}

impl MicroBatch {
    /// A micro-batch on groups of `tp` devices; `shape` is what a device sees of it where `cp` share each sequence.
    #[must_use]
    pub fn of(setting: &Setting<'_>, (tp, cp): (u32, u32), shape: StepShape) -> Self {
        let held = &setting.held;
        let shard = shard(held.model, tp);
        let formats = Formats { dtype: held.dtype, states: held.states };
        let operators = operators_of(&shard, held.arch, shape, (execution(setting.software(), formats), cp));
        let causal = held.model.family == Family::Decoder && setting.class != SoftwareClass::Eager;
        let fused = held.attention == AttentionUse::Fused || (shape.batch_size * shard.n_heads).is_multiple_of(4);
        let softmax = match (causal, fused) {
            // A softmax of its own works on scores, mask and copies of both in several kernels.
            (true, false) => 2.0,
            (true, true) => 0.5,
            (false, _) => 1.0,
        };
        let tuning = setting.constants.tuning();
        let of =
            |list: &[_]| Efficiency::embedded().shard(setting.figures, list, (setting.software(), softmax), &tuning);
        let mut layer = of(&operators.layer);
        if causal && !fused {
            layer.kernels += 3.0 * setting.constants.separate_softmax() * held.model.n_layers as f64;
        }
        Self {
            shape,
            parts: Parts { before: of(&operators.before), layer, after: of(&operators.after) },
            kernels_around: 3.0 * setting.constants.operators_around(),
            keys_and_values: bytes_of_keys_and_values(
                &shard,
                (shape.batch_size * shape.seq_len) as f64,
                held.dtype.bytes() as f64,
            ),
        }
    }

    /// Seconds that a device computes in forward and backward of `layers` of the model, those with all exchanges of its tensor
    /// group, and the least that any device could.
    fn on_stage(
        &self,
        setting: &Setting<'_>,
        layout: &Layout,
        layers: usize,
        (is_first, is_last): (bool, bool),
    ) -> Stage {
        let part = layers as f64 / setting.held.model.n_layers.max(1) as f64;
        let of = |number: fn(&ShardTime) -> f64| {
            let before = if is_first { number(&self.parts.before) } else { 0.0 };
            let after = if is_last { number(&self.parts.after) } else { 0.0 };
            before + part * number(&self.parts.layer) + after
        };
        let layer = &self.parts.layer;
        let (again, more_kernels) = match layout.recompute {
            Recompute::None => (0.0, 0.0),
            Recompute::Selective => (part * layer.scores, 0.0),
            Recompute::Full => (part * layer.forward, part * layer.kernels / 3.0),
        };
        let tp = f64::from(layout.tp);
        let spared = if layout.sequence_parallel { of(|t| t.whole) * (1.0 - 1.0 / tp) } else { 0.0 };
        let computing = of(|t| t.train) + again - spared;
        let constants = setting.constants;
        let kernels = of(|t| t.kernels) + more_kernels + self.kernels_around;
        let queued = kernels * constants.launch_s() * (1.0 + constants.jitter() * tp.ln());
        let power = constants.sharpness();
        let times = all_reduces_of_a_layer(layout.recompute) * layers as f64
            + f64::from(u8::from(is_first))
            + f64::from(u8::from(is_last));
        let one = setting.links.tensor(layout, self.bytes(setting)).all_reduce_s(&Factors::MIDDLE);
        let tensor = times * constants.tensor_exchange() * one;
        let experts = self.of_experts(setting, layout, part);
        let keys = self.of_keys(setting, layout, layers);
        // Keys and values come around while attention works on those before.
        let context = (keys.seconds - part * layer.fused).max(0.0);
        let computed = (computing.powf(power) + queued.powf(power)).powf(1.0 / power);
        Stage {
            computing,
            tensor,
            times,
            whole: computed + tensor + experts.seconds + context,
            least: of(|t| t.least),
            experts,
            keys,
            context,
        }
    }

    /// The exchanges of tokens with the experts of `part` of the layers.
    fn of_experts(&self, setting: &Setting<'_>, layout: &Layout, part: f64) -> Exchanges {
        let model = setting.held.model;
        let Some((sparse, experts)) = model.sparse().filter(|_| layout.ep > 1) else { return Exchanges::default() };
        let shared = if layout.sequence_parallel { f64::from(layout.tp) } else { 1.0 };
        let bytes = self.bytes(setting) * experts.active as f64 / shared;
        let times = all_to_alls_of_a_layer(layout.recompute) * part * sparse as f64;
        let one = setting.links.tokens_of_experts(layout, bytes);
        Exchanges::of(bytes, times, one)
    }

    /// The exchanges of keys and values of `layers`.
    fn of_keys(&self, setting: &Setting<'_>, layout: &Layout, layers: usize) -> Exchanges {
        if layout.cp < 2 {
            return Exchanges::default();
        }
        let one = setting.links.keys_and_values(layout, self.keys_and_values);
        Exchanges::of(self.keys_and_values, hops_of_a_layer(layout) * layers as f64, one)
    }

    /// Bytes of a micro-batch between two layers.
    fn bytes(&self, setting: &Setting<'_>) -> f64 {
        let tokens = (self.shape.batch_size * self.shape.seq_len) as f64;
        tokens * (setting.held.model.d_model as u64 * setting.held.dtype.bytes()) as f64
    }
}

/// A micro-batch on a stage.
#[derive(Debug, Clone, Copy, Default)]
struct Stage {
    computing: f64,
    tensor: f64,
    times: f64,
    whole: f64,
    least: f64,
    experts: Exchanges,
    keys: Exchanges,
    /// Of the exchanges of keys and values, what is not hidden.
    context: f64,
}

/// Exchanges of one kind in a micro-batch.
#[derive(Debug, Clone, Copy, Default)]
struct Exchanges {
    bytes: f64,
    times: f64,
    seconds: f64,
    between_machines: bool,
}

impl Exchanges {
    fn of(bytes: f64, times: f64, one: Exchange) -> Self {
        let seconds = times * one.all_reduce_s(&Factors::MIDDLE);
        Self { bytes, times, seconds, between_machines: one.network_s > 0.0 }
    }

    /// What is said of those of `micro_batches`, if there are any.
    fn collective(self, name: &'static str, micro_batches: f64) -> Option<Collective> {
        let Self { bytes, times, seconds, between_machines } = self;
        let (times, seconds) = (times * micro_batches, seconds * micro_batches);
        (times > 0.0).then_some(Collective { name, bytes, times, between_machines, seconds })
    }
}

/// Seconds of a step, and what they are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutStep {
    /// Micro-batches of a replica.
    pub micro_batches: usize,
    /// Forward and backward of all of them, with everything that is exchanged meanwhile and the bubble of the pipeline.
    pub passes_s: f64,
    /// Of these, what the slowest stage computes.
    pub computing_s: f64,
    /// Of these, exchanges of a tensor group on the slowest stage.
    pub tensor_s: f64,
    /// Of these, exchanges of tokens with experts on the slowest stage.
    pub experts_s: f64,
    /// Of these, exchanges of keys and values that attention does not hide, on the slowest stage.
    pub context_s: f64,
    /// Of these, sends between stages that are waited for.
    pub pipeline_s: f64,
    /// Of these, the time in which a pipeline fills and empties: `(pp - 1) / (v m)` of its passes (Narayanan et al. 2021,
    /// section 2.2).
    pub bubble_s: f64,
    /// AdamW, and what an iteration takes besides.
    pub update_s: f64,
    /// The exchange of gradients, and of weights where they are shared.
    pub exchange: Exchange,
    /// Seconds that no program could do without: the products at the peak of the device.
    pub least_s: f64,
    /// How much longer it takes with machines that differ.
    pub stragglers: Stragglers,
    /// What is exchanged.
    pub traffic: Vec<Collective>,
}

impl LayoutStep {
    /// Seconds of the step, in the middle of everything that is not known of links and machines but for `factors`.
    #[must_use]
    pub fn step_s(&self, factors: &Factors) -> f64 {
        self.passes_s * self.stragglers.factor(factors) + self.update_s + self.exchange.exposed_s(factors)
    }
}

/// A step of `micro_batches` a replica.
///
/// `m (slowest stage + sends) + (the other stages) / v + what the gradients show + update`: stages work one forward, one backward, the
/// slowest of them sets the pace, and the others are waited for once, while the pipeline fills and empties.
#[must_use]
pub fn step(
    setting: &Setting<'_>,
    layout: &Layout,
    micro: &MicroBatch,
    sizes: &Sizes,
    micro_batches: usize,
) -> LayoutStep {
    let layers = layers_of(setting.held.model.n_layers, layout.pp);
    let last = layers.len() - 1;
    let stage = |i: usize| micro.on_stage(setting, layout, layers[i], (i == 0, i == last));
    // Stages between the first and the last differ only by whether they have one layer more.
    let mut all = vec![stage(0)];
    if last > 0 {
        let mut known: Option<(usize, Stage)> = None;
        for (i, &n) in layers.iter().enumerate().take(last).skip(1) {
            let own = known.filter(|(of, _)| *of == n).map_or_else(|| stage(i), |(_, own)| own);
            known = Some((n, own));
            all.push(own);
        }
        all.push(stage(last));
    }
    let slowest = all.iter().copied().max_by(|a, b| a.whole.total_cmp(&b.whole)).unwrap_or_default();
    let (m, v) = (micro_batches as f64, f64::from(layout.interleave));
    let constants = setting.constants;
    let bytes = micro.bytes(setting) / if layout.sequence_parallel { f64::from(layout.tp) } else { 1.0 };
    let hop = setting.links.pipeline(layout, bytes);
    let send = constants.pipeline_exchange() * hop.all_reduce_s(&Factors::MIDDLE);
    // Forward and backward.
    let sends = 2.0 * v * m + 2.0 * f64::from(layout.pp - 1);
    let pipeline_s = if layout.pp > 1 { sends * send } else { 0.0 };
    let bubble_s = (all.iter().map(|s| s.whole).sum::<f64>() - slowest.whole) / v;
    let most = |of: fn(&Sizes, usize, usize, &Layout) -> DeviceParams| {
        let stages = (0..=last).map(|i| of(sizes, layers[i], i, layout));
        stages.max_by(|a, b| a.held().total_cmp(&b.held())).unwrap_or_default()
    };
    let (params, trained) = (most(Sizes::params), most(Sizes::trained));
    let (exchange, mut traffic) = gradients(setting, layout, (params, trained, m), slowest.computing);
    let held = if layout.zero > 0 { trained.sharded(layout) } else { trained.held() };
    let update = constants.update() * Efficiency::embedded().update_s(setting.figures, held, setting.software());
    if layout.tp > 1 {
        let link = setting.links.link();
        traffic.push(Collective {
            name: "activations of a tensor group",
            bytes: micro.bytes(setting),
            times: slowest.times * m,
            between_machines: link.is_some_and(|link| layout.tp > link.devices),
            seconds: slowest.tensor * m,
        });
    }
    traffic.extend(slowest.experts.collective("tokens to experts and back", m));
    traffic.extend(slowest.keys.collective("keys and values", m));
    if layout.pp > 1 {
        traffic.push(Collective {
            name: "activations between stages",
            bytes,
            times: sends,
            between_machines: setting.links.stages_are_apart(layout),
            seconds: pipeline_s,
        });
    }
    let devices = u32::try_from(layout.devices()).unwrap_or(u32::MAX);
    LayoutStep {
        micro_batches,
        passes_s: m * slowest.whole + bubble_s + pipeline_s,
        computing_s: m * slowest.computing,
        tensor_s: m * slowest.tensor,
        experts_s: m * slowest.experts.seconds,
        context_s: m * slowest.context,
        pipeline_s,
        bubble_s,
        update_s: update + constants.fixed_s(),
        exchange,
        least_s: m * slowest.least,
        // The wait for devices of one machine is in the constants.
        stragglers: Stragglers { devices: 1.0, ..Stragglers::of(0.0, devices, setting.links.link()) },
        traffic,
    }
}

/// The exchange of the gradients of what is trained on the fullest stage, in the format of the run: an all-reduce, or as much of reduce-scatter and
/// all-gather where optimizer states are shared. Gradients that are shared are scattered in each micro-batch, which is half of an
/// all-reduce, or in a pipeline after the last one alone; weights that are shared are gathered twice besides, which makes it 1.5 times one
/// (Rajbhandari et al. 2020, section 7).
fn gradients(
    setting: &Setting<'_>,
    layout: &Layout,
    (params, trained, m): (DeviceParams, DeviceParams, f64),
    pass_s: f64,
) -> (Exchange, Vec<Collective>) {
    let model = setting.held.model;
    let width = setting.held.dtype.bytes() as f64;
    // Weights that are shared are gathered whether they are trained or not.
    let exchanged = if layout.zero == 3 { params } else { trained };
    let bytes = width * exchanged.held();
    // Fewer devices hold the same experts than the same everything else.
    let of_experts = setting.links.experts(layout, width * exchanged.experts);
    let once = both(setting.links.data(layout, width * exchanged.replicated), of_experts);
    let (times, behind_s) = match layout.zero {
        3 => ((1.0 + 0.5 * trained.held() / params.held()) * m, m * pass_s),
        2 if layout.pp == 1 => (0.5 * m + 0.5, m * pass_s * 2.0 / 3.0),
        _ => (1.0, pass_s * 2.0 / 3.0),
    };
    // The token embedding's gradients are ready last; where it is not trained, it has none.
    let is_trained = !matches!(setting.held.arch, Arch::Lora { .. });
    let table = if is_trained { (model.vocab_size * model.d_model) as f64 / f64::from(layout.tp) } else { 0.0 };
    let hideable = if layout.replicas() > 1 { (1.0 - table / params.held()).max(0.0) } else { 0.0 };
    let of_data = Exchange { hideable, backward_s: behind_s, ..repeated(once, times) };
    let tied =
        if model.is_tied() && is_trained { setting.links.embedding(layout, width * table) } else { Exchange::NONE };
    let seconds = of_data.all_reduce_s(&Factors::MIDDLE);
    let mut traffic = Vec::new();
    if layout.replicas() > 1 {
        let name = if layout.zero == 3 { "weights and gradients" } else { "gradients" };
        traffic.push(Collective { name, bytes, times, between_machines: once.network_s > 0.0, seconds });
    }
    (both(of_data, tied), traffic)
}
