//! What a campaign measures.

use std::time::Duration;

use super::MeasureError;
use crate::model::{Arch, Config, LoraBase, StepShape};
use crate::record::{Pass, Settings, Warning, Workload};
use crate::units::DType;

/// Tokens of a step on a CPU, the same at every length: those of the longest sequence, but no fewer than fill its matrix
/// products, and no more than leave a step of BERT-base at seconds.
const CPU_TOKENS: (usize, usize) = (512, 2048);
/// No longer sequence is measured: the scores of a head would take 64 GB.
const LONGEST: usize = 131_072;

/// How well a step time has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// As well as the settings say: what an estimate of the whole run stands on.
    Run,
    /// Well enough for its ratio to dense: a point of a curve.
    Curve,
}

/// An architecture at a shape, in a number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The architecture.
    pub arch: Arch,
    /// Tokens in a sequence.
    pub seq_len: usize,
    /// Sequences in a step.
    pub batch_size: usize,
    /// Layers of the model: fewer than the workload's where it is cut.
    pub n_layers: usize,
    /// Number format.
    pub dtype: DType,
    /// Train steps or forward passes.
    pub pass: Pass,
    /// How well its step time has to be known.
    pub aim: Aim,
}

impl Point {
    /// The shape of its step.
    #[must_use]
    pub fn shape(self, settings: &Settings) -> StepShape {
        StepShape {
            batch_size: self.batch_size,
            seq_len: self.seq_len,
            masked_per_seq: losses_at(&settings.workload, self.seq_len),
        }
    }

    /// The model that it is measured with: the workload's, with as many positions as its sequences have tokens.
    #[must_use]
    pub fn config(self, settings: &Settings) -> Config {
        settings.workload.model.clone().with_layers(self.n_layers).with_room_for(self.seq_len)
    }
}

/// Positions with a loss at a length: those of the workload's phase of that length, if it has one.
fn losses_at(workload: &Workload, seq_len: usize) -> usize {
    let phase = workload.phases.iter().find(|p| p.seq_len == seq_len);
    phase.map_or_else(|| crate::catalog::Shape::default_losses(&workload.model, seq_len), |p| workload.losses(p))
}

/// How many sequences a step has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchSize {
    /// On a CPU the same number of tokens at every length; on a GPU the largest power of two that fits.
    Auto,
    /// So many.
    Given(usize),
}

/// A campaign to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What every cell shares.
    pub settings: Settings,
    /// The cells, those of one length and dtype together.
    pub points: Vec<Point>,
    /// Whether the batch of a point is only the largest that would be taken, and one that fits has to be found.
    pub fit_batches: bool,
    /// No cells are begun that would not be finished in this time.
    pub within: Option<Duration>,
}

impl Plan {
    /// Every architecture at every length in every dtype.
    ///
    /// # Errors
    /// If the workload cannot be profiled, or an architecture or length does not fit it.
    pub fn new(
        settings: Settings,
        archs: &[Arch],
        seq_lens: &[usize],
        batch_size: BatchSize,
        on_cpu: bool,
    ) -> Result<Self, MeasureError> {
        let Settings { workload, dtypes, .. } = &settings;
        if let Err(why) = workload.model.computed() {
            return Err(MeasureError::NotComputed { workload: workload.name.clone(), why });
        }
        let is_quantised = |arch: &&Arch| matches!(arch, Arch::Lora { base: LoraBase::FourBits, .. });
        if let Some(arch) = archs.iter().find(is_quantised) {
            return Err(MeasureError::FourBits(*arch));
        }
        if let Some(&seq_len) = seq_lens.iter().find(|s| !(1..=LONGEST).contains(*s)) {
            return Err(MeasureError::SeqLen { seq_len, max: LONGEST });
        }
        let longest = seq_lens.iter().copied().max().unwrap_or(0);
        let cpu_tokens = longest.clamp(CPU_TOKENS.0, CPU_TOKENS.1);
        let mut points: Vec<Point> = Vec::new();
        for &dtype in dtypes {
            for &seq_len in seq_lens {
                for &arch in archs {
                    let batch_size = match batch_size {
                        BatchSize::Given(n) => n,
                        BatchSize::Auto => {
                            power_of_two(if on_cpu { cpu_tokens } else { most_tokens(workload, seq_len) } / seq_len)
                        }
                    };
                    // What projects nothing is dense, and one model is not measured twice.
                    let same = arch.at_length(seq_len);
                    let arch = if archs.contains(&same) { same } else { arch };
                    let (n_layers, pass, aim) = (settings.n_layers, settings.pass, Aim::Run);
                    let point = Point { arch, seq_len, batch_size, n_layers, dtype, pass, aim };
                    arch.check(&point.config(&settings)).map_err(|e| MeasureError::Model(e.into()))?;
                    if !points.contains(&point) {
                        points.push(point);
                    }
                }
            }
        }
        Ok(Self { points, within: None, fit_batches: batch_size == BatchSize::Auto && !on_cpu, settings })
    }

    /// The same with lengths at which ratios are enough: all but `kept`.
    #[must_use]
    pub fn with_curve_beside(mut self, kept: &[usize]) -> Self {
        for point in self.points.iter_mut().filter(|p| !kept.contains(&p.seq_len)) {
            point.aim = Aim::Curve;
        }
        self
    }

    /// The same with every point at each of these depths instead: the time of a model of more layers follows from their difference.
    #[must_use]
    pub fn at_depths(mut self, depths: &[usize]) -> Self {
        let cut = |p: &Point| depths.iter().map(|&n_layers| Point { n_layers, ..*p }).collect::<Vec<_>>();
        self.points = self.points.iter().flat_map(cut).collect();
        self
    }

    /// The same, and after it forward passes of one sequence of each of these lengths, as a device computes them.
    #[must_use]
    pub fn with_inference(mut self, seq_lens: &[usize]) -> Self {
        let of_length = |p: &&Point| seq_lens.contains(&p.seq_len);
        let pass = |p: &Point| Point { batch_size: 1, pass: Pass::Infer, aim: Aim::Curve, ..*p };
        let passes: Vec<Point> = self.points.iter().filter(of_length).map(pass).collect();
        self.points.extend(passes);
        self
    }

    /// What is unusual about it.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let model = &self.settings.workload.model;
        let longer = self.points.iter().map(|p| p.seq_len).filter(|s| *s > model.max_seq_len).max();
        let beyond = longer.map(|seq_len| {
            Warning::new(
                format!(
                    "`{}` has {} positions and was measured with up to {seq_len}",
                    self.settings.workload.name, model.max_seq_len
                ),
                "beyond its own length it has more position embeddings, and a Linformer wider projections",
                "read those lengths as what such a model would cost, not as this one",
            )
        });
        beyond.into_iter().collect()
    }
}

/// Tokens of the largest batch that a GPU is tried with: the recipe's own at its lengths, and as many tokens as its
/// largest has at others. More would not be run by those who train by this recipe.
fn most_tokens(workload: &Workload, seq_len: usize) -> usize {
    let own = workload.phases.iter().filter(|p| p.seq_len == seq_len);
    let tokens = |p: &crate::catalog::Phase| p.batch_size * p.seq_len;
    own.map(tokens).max().or_else(|| workload.phases.iter().map(tokens).max()).unwrap_or(CPU_TOKENS.0)
}

/// The largest power of two up to `n`, and at least 1.
fn power_of_two(n: usize) -> usize {
    1 << n.max(1).ilog2()
}
