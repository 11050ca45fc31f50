//! An account of a comparison, as `quality.json` has it.

use std::path::PathBuf;

use serde::Serialize;

use super::{Comparison, Curve, Machine, Plan, Point, Training, compare};
use crate::files::JSON_SCHEMA;
use crate::meter::EnergySource;
use crate::model::Arch;
use crate::train::pretrain::Init;

/// Its name in the folder of a comparison.
pub const RECORD_FILE: &str = "quality.json";

/// Where joules come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meter {
    /// `cpu`, `memory`.
    pub part: String,
    /// A counter, or a model.
    pub source: EnergySource,
}

/// A training of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The architecture.
    pub arch: String,
    /// Of the weights and of the order of the text.
    pub seed: u64,
    /// Where it lies, from the folder of the comparison.
    pub folder: PathBuf,
    /// How the factors began.
    pub init: Init,
    /// The first steps, in which dense matrices guided the factors; `None` where none did.
    pub guided_steps: Option<u64>,
    /// Its weights.
    pub n_params: u64,
    /// Seconds in all, evaluations among them.
    pub total_seconds: f64,
    /// All evaluations.
    pub points: Vec<Point>,
}

/// Trainings of several architectures on the same text, and what each takes to an equal loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    /// The version of this form.
    pub schema: u32,
    /// The name of what is trained.
    pub model: String,
    /// Its width.
    pub d_model: usize,
    /// Its layers.
    pub n_layers: usize,
    /// The architectures as they were asked for.
    pub archs: Vec<String>,
    /// Seeds of each.
    pub seeds: u64,
    /// Steps of each training.
    pub steps: u64,
    /// Tokens of a sequence.
    pub seq_len: usize,
    /// Sequences of a step.
    pub batch_size: usize,
    /// The largest learning rate.
    pub lr: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// The step at which a tenth of it is left.
    pub decay_steps: Option<u64>,
    /// Rows of the table of tokens.
    pub vocab_size: usize,
    /// Tokens of the text that is learned from.
    pub train_tokens: usize,
    /// Tokens that are held out.
    pub held_out_tokens: usize,
    /// Name of the processor.
    pub cpu: String,
    /// Threads that computed.
    pub threads: usize,
    /// Where joules come from.
    pub meters: Vec<Meter>,
    /// Whether any of them are modelled.
    pub joules_are_modelled: bool,
    /// Each training, in the order in which they were made.
    pub runs: Vec<Run>,
    /// Each architecture but dense beside it.
    pub comparisons: Vec<Comparison>,
}

impl Quality {
    /// `None` where nothing can be compared.
    pub(super) fn of(plan: &Plan, machine: &Machine<'_>, trained: Vec<(Arch, PathBuf, Training)>) -> Option<Self> {
        let mut meters: Vec<Meter> = Vec::new();
        for metered in trained.iter().flat_map(|(_, _, training)| &training.meters) {
            let meter = Meter { part: metered.part.clone(), source: metered.source };
            if !meters.contains(&meter) {
                meters.push(meter);
            }
        }
        let curves = |of: Arch| -> Vec<Curve<'_>> {
            let own = trained.iter().filter(|(arch, ..)| *arch == of);
            own.map(|(_, _, training)| Curve { seed: training.seed, points: &training.points }).collect()
        };
        let dense = curves(Arch::Dense);
        let others = plan.archs.iter().filter(|arch| **arch != Arch::Dense);
        let comparisons: Option<Vec<Comparison>> =
            others.map(|arch| compare(&arch.to_string(), &dense, &curves(*arch))).collect();
        let comparisons = comparisons?;
        let shape = plan.shared.model().ok()?;
        let (_, _, first) = trained.first()?;
        let first = first.clone();
        let run = |(arch, folder, training): (Arch, PathBuf, Training)| Run {
            arch: arch.to_string(),
            seed: training.seed,
            folder,
            init: training.init,
            guided_steps: training.guided_steps,
            n_params: training.n_params,
            total_seconds: training.total_seconds,
            points: training.points,
        };
        Some(Self {
            schema: JSON_SCHEMA,
            model: first.model,
            d_model: shape.d_model,
            n_layers: shape.n_layers,
            archs: plan.archs.iter().map(Arch::to_string).collect(),
            seeds: plan.seeds,
            steps: plan.steps,
            seq_len: first.seq_len,
            batch_size: first.batch_size,
            lr: first.lr,
            warmup_steps: first.warmup_steps,
            decay_steps: first.decay_steps,
            vocab_size: first.vocab_size,
            train_tokens: first.train_tokens,
            held_out_tokens: first.held_out_tokens,
            cpu: machine.facts.cpu.clone(),
            threads: first.threads,
            joules_are_modelled: meters.iter().any(|meter| meter.source == EnergySource::Model),
            meters,
            runs: trained.into_iter().map(run).collect(),
            comparisons,
        })
    }
}
