//! Which layout is the fastest that fits.

use std::collections::HashMap;

use super::memory::{Held, Sizes, StageMemory, of_sizes};
use super::time::{LayoutStep, MicroBatch, Setting, step};
use crate::catalog::AttentionUse;
use crate::estimate::layout_error::LayoutError;
use crate::estimate::request::layout::{Layout, Recompute};
use crate::estimate::steps::model::Factors;
use crate::model::{Arch, StepShape};

/// Larger micro-batches than this make products no faster.
const LARGEST_MICRO_BATCH: usize = 64;
/// Pieces on a stage that are looked at.
const PIECES: [u32; 3] = [1, 2, 4];
/// Tokens of a sequence that a device has at least where several share it: shorter parts are not worth the exchange.
const LEAST_PART: usize = 4096;
/// Layouts that are kept beside the best, and that are said not to fit.
const OTHERS: usize = 3;

/// The batch of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Sequences.
    pub sequences: usize,
    /// Tokens of each.
    pub seq_len: usize,
    /// Positions of each that have a loss.
    pub losses: usize,
}

impl Batch {
    /// What a device of a layout sees of a micro-batch: its part of each sequence.
    fn shape(&self, micro_batch: usize, cp: usize) -> StepShape {
        StepShape { batch_size: micro_batch, seq_len: self.seq_len / cp, masked_per_seq: self.losses.div_ceil(cp) }
    }
}

/// A layout with its micro-batch, its step and its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The layout, with its micro-batch.
    pub layout: Layout,
    /// Its step.
    pub step: LayoutStep,
    /// Seconds of that, in the middle of what is known.
    pub step_s: f64,
    /// The stage that takes most memory.
    pub stage: usize,
    /// What a device of it takes.
    pub memory: StageMemory,
    /// Whether that is there, if the memory of the device is known.
    pub fits: Option<bool>,
}

impl Candidate {
    /// Why it does not fit: `92 of 79 GB on stage 1, activations 61 GB`.
    #[must_use]
    pub fn why_not(&self, usable_bytes: f64) -> String {
        let gb =
            |bytes: f64| if bytes < 9.95e9 { format!("{:.1}", bytes / 1e9) } else { format!("{:.0}", bytes / 1e9) };
        let stage = if self.layout.pp > 1 { format!(" on stage {}", self.stage + 1) } else { String::new() };
        let [(largest, bytes), ..] = self.memory.parts();
        format!(
            "does not fit: {} of {} GB that can be used{stage}, {largest} {} GB",
            gb(self.memory.total()),
            gb(usable_bytes),
            gb(bytes)
        )
    }
}

/// Layouts in the order of their steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// Those that fit, the fastest first: the best and the next three.
    pub fit: Vec<Candidate>,
    /// The fastest that do not; the smallest, where none fits.
    pub too_large: Vec<Candidate>,
}

/// Works layouts out; what several of them share is worked out once.
pub struct Search<'a> {
    setting: Setting<'a>,
    batch: Batch,
    usable_bytes: Option<f64>,
    micro_batches: HashMap<(u32, u32, usize), MicroBatch>,
    sizes: HashMap<(u32, u32, usize, bool, Recompute, bool), Sizes>,
}

impl<'a> Search<'a> {
    /// Of steps of `batch` on devices with `usable_bytes`.
    #[must_use]
    pub fn new(setting: Setting<'a>, batch: Batch, usable_bytes: Option<f64>) -> Self {
        Self { setting, batch, usable_bytes, micro_batches: HashMap::new(), sizes: HashMap::new() }
    }

    /// `layout` with micro-batches of `micro_batch`.
    ///
    /// # Errors
    /// If the batch is not shared evenly so.
    pub fn candidate(&mut self, layout: Layout, micro_batch: usize) -> Result<Candidate, LayoutError> {
        let count = layout.micro_batches(self.batch.sequences, micro_batch)?;
        let cp = layout.cp as usize;
        if !self.batch.seq_len.is_multiple_of(cp) {
            return Err(LayoutError::Context { cp: layout.cp, seq_len: self.batch.seq_len });
        }
        if cp > 1 && self.setting.held.attention == AttentionUse::Composed {
            return Err(LayoutError::ComposedContext(layout.cp));
        }
        let layout = Layout { micro_batch: Some(micro_batch), ..layout };
        let (shape, setting) = (self.batch.shape(micro_batch, cp), self.setting);
        let micro = *self
            .micro_batches
            .entry((layout.tp, layout.cp, micro_batch))
            .or_insert_with(|| MicroBatch::of(&setting, (layout.tp, layout.cp), shape));
        let key = (layout.tp, layout.cp, micro_batch, layout.sequence_parallel, layout.recompute, layout.pp > 1);
        let sizes = *self.sizes.entry(key).or_insert_with(|| Sizes::of(&setting.held, &layout, shape));
        let stages = of_sizes(&setting.held, &layout, shape, count, &sizes);
        let fullest = stages.iter().enumerate().max_by(|a, b| a.1.total().total_cmp(&b.1.total()));
        let (stage, memory) = fullest.map(|(i, memory)| (i, *memory)).unwrap_or_default();
        let step = step(&setting, &layout, &micro, &sizes, count);
        Ok(Candidate {
            layout,
            step_s: step.step_s(&Factors::MIDDLE),
            step,
            stage,
            memory,
            fits: self.usable_bytes.map(|usable| memory.total() <= usable),
        })
    }

    /// `layout` with its own micro-batch, or the fastest that fits; if none does, the one that takes least.
    ///
    /// # Errors
    /// If no micro-batch shares the batch evenly.
    pub fn best_of(&mut self, layout: Layout) -> Result<Candidate, LayoutError> {
        if let Some(micro_batch) = layout.micro_batch {
            return self.candidate(layout, micro_batch);
        }
        let mut best = self.candidate(layout, 1)?;
        for micro_batch in 2..=LARGEST_MICRO_BATCH {
            let Ok(next) = self.candidate(layout, micro_batch) else { continue };
            if next.fits == Some(false) {
                break;
            }
            if next.step_s < best.step_s {
                best = next;
            }
        }
        Ok(best)
    }

    /// The fastest layouts of `devices` that fit, and the fastest that do not. Tensor groups stay within a machine; tokens are shared
    /// out by them, which costs nothing; gradients are not shared in a pipeline, whose stages keep them until the last micro-batch.
    #[must_use]
    pub fn all(&mut self, devices: u32, micro_batch: Option<usize>) -> Found {
        let mut found = Found::default();
        let Setting { held, links, .. } = self.setting;
        let in_a_machine = links.link().map_or(1, |link| link.devices);
        for tp in divisors(devices).filter(|tp| *tp <= in_a_machine && (*tp == 1 || held.arch == Arch::Dense)) {
            for pp in divisors(devices / tp) {
                for layout in self.variants(Layout { tp, pp, dp: devices / tp / pp, micro_batch, ..Layout::default() })
                {
                    if layout.check(held.model, devices).is_err() {
                        continue;
                    }
                    let Ok(candidate) = self.best_of(layout) else { continue };
                    let list = if candidate.fits == Some(false) { &mut found.too_large } else { &mut found.fit };
                    list.push(candidate);
                }
            }
        }
        for list in [&mut found.fit, &mut found.too_large] {
            list.sort_by(|a, b| a.step_s.total_cmp(&b.step_s));
        }
        match found.fit.first() {
            // Those that come nearest.
            None => found.too_large.sort_by(|a, b| a.memory.total().total_cmp(&b.memory.total())),
            // What would be slower anyway fails for no want of memory.
            Some(best) => found.too_large.retain(|candidate| candidate.step_s < best.step_s),
        }
        found.fit.truncate(1 + OTHERS);
        found.too_large.truncate(OTHERS);
        found
    }

    /// `layout` with each way to share out sequences and experts, and to keep less.
    fn variants(&self, layout: Layout) -> Vec<Layout> {
        let held = &self.setting.held;
        let mut all = Vec::new();
        for cp in divisors(layout.dp).filter(|cp| *cp == 1 || self.batch.seq_len / *cp as usize >= LEAST_PART) {
            let of_sequence = Layout { cp, dp: layout.dp / cp, ..layout };
            let experts = held.model.details.experts.as_ref().map_or(1, |experts| experts.count);
            for ep in divisors(of_sequence.replicas()).filter(|ep| experts.is_multiple_of(*ep as usize)) {
                all.extend(variants(held, Layout { ep, ..of_sequence }));
            }
        }
        all
    }

    /// Bytes that training can use of a device, if its memory is known.
    #[must_use]
    pub fn usable_bytes(&self) -> Option<f64> {
        self.usable_bytes
    }
}

/// Divisors of `n` in order.
fn divisors(n: u32) -> impl Iterator<Item = u32> {
    (1..=n).filter(move |i| n.is_multiple_of(*i))
}

/// `layout` with each way to keep less.
fn variants(held: &Held<'_>, layout: Layout) -> Vec<Layout> {
    let mut all = Vec::new();
    let shards: &[u8] = match (layout.replicas(), layout.pp) {
        (1, _) => &[0],
        (_, 1) => &[1, 2, 3],
        _ => &[1],
    };
    let is_fused = held.attention == AttentionUse::Fused;
    for recompute in Recompute::ALL.into_iter().filter(|r| !is_fused || *r != Recompute::Selective) {
        for &zero in shards {
            for interleave in PIECES.into_iter().filter(|v| *v == 1 || layout.pp > 1) {
                let sequence_parallel = layout.tp > 1;
                all.push(Layout { zero, sequence_parallel, recompute, interleave, ..layout });
            }
        }
    }
    all
}
