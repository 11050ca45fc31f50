//! Steps of a model whose cells were measured with fewer of its layers: the time of a layer is that by which a deeper one takes
//! longer, and what all depths share, embeddings, heads and losses among it, is the rest.

use super::measured::{idle_of, machine_uncertainty, step_of};
use super::micro_batch::per_device;
use super::model::Stragglers;
use super::step::{Basis, PhaseStep, RERUN_UNCERTAINTY, StepSource, student, sum};
use crate::model::Arch;
use crate::record::{Cell, Pass, Record, Status, Workload};
use crate::stats::{Distribution, Mean, on_the_line};
use crate::units::{DType, States};

/// Relative standard uncertainty of a layer's time where it is taken from a model of few layers, whose weights and gradients stay
/// longer in the caches: all layers took 0.7 to 2.3 % longer than two depths said (three steps on one machine, `docs/measuring.md`).
const LAYER_UNCERTAINTY: f64 = 0.02;

/// The steps of `arch` out of a record in which every phase was measured at its own length at two depths or more; `None` if it
/// was not.
pub(super) fn sliced_step(
    record: &Record,
    workload: &Workload,
    arch: Arch,
    dtype: DType,
    devices: u32,
) -> Option<StepSource> {
    if workload.grad_checkpointing
        || workload.states() != States::default()
        || record.settings.workload.model != workload.model
    {
        return None;
    }
    let n_layers = workload.model.n_layers;
    let slices = workload.phases.iter().map(|phase| {
        let computed = arch.at_length(phase.seq_len);
        let most = per_device(phase.batch_size, devices);
        let usable = |c: &&Cell| {
            c.pass == Pass::Train
                && c.status == Status::Ok
                && c.dtype == dtype
                && (c.arch, c.shape.seq_len) == (computed, phase.seq_len)
                && c.shape.batch_size <= most
                && c.n_layers <= n_layers
        };
        let cells: Vec<&Cell> = record.cells.iter().filter(usable).collect();
        let largest_first = {
            let mut sizes: Vec<usize> = cells.iter().map(|c| c.shape.batch_size).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes.dedup();
            sizes
        };
        largest_first.into_iter().find_map(|size| {
            let of_size = cells.iter().copied().filter(|c| c.shape.batch_size == size).collect();
            Slice::of(of_size, n_layers, most as f64 / size as f64)
        })
    });
    let slices: Vec<Slice<'_>> = slices.collect::<Option<_>>()?;
    let metered = slices.iter().rev().map(|s| s.deepest).find(|c| c.mean_power().is_some());
    let mut said: Vec<String> = slices.iter().map(Slice::said).collect();
    said.dedup();
    Some(StepSource {
        basis: Basis::Sliced,
        own_scale: Distribution::Point(1.0),
        straggler: Stragglers::NONE,
        coverage: metered.and_then(|c| c.meters.first()).map(|m| m.meter.coverage),
        idle_w: metered.and_then(idle_of),
        gain_uncertainty: metered.map_or(0.0, Cell::gain_uncertainty),
        machine_uncertainty: machine_uncertainty(record),
        power_uncertainty: 0.0,
        description: format!("{} on {}", said.join(" and "), record.environment.compute.name),
        peak_memory_bytes: slices.iter().map(|s| s.peak_memory_bytes).max().flatten(),
        phases: slices.into_iter().map(|s| s.step).collect(),
    })
}

/// One phase.
struct Slice<'a> {
    step: PhaseStep,
    deepest: &'a Cell,
    depths: Vec<usize>,
    n_layers: usize,
    peak_memory_bytes: Option<u64>,
}

impl<'a> Slice<'a> {
    /// Of cells of one shape, if they have two depths.
    fn of(mut cells: Vec<&'a Cell>, n_layers: usize, micro_steps: f64) -> Option<Self> {
        cells.sort_by_key(|c| c.n_layers);
        cells.dedup_by_key(|c| c.n_layers);
        let (shallowest, deepest) = (*cells.first()?, *cells.last()?);
        let means = cells.iter().map(|c| Some((c.n_layers as f64, c.step_mean()?))).collect::<Option<Vec<_>>>()?;
        let of_all = |part: &dyn Fn(&crate::record::StepMean) -> Mean| {
            let parts: Vec<(f64, Mean)> = means.iter().map(|(depth, mean)| (*depth, part(mean))).collect();
            on_the_line(&parts, n_layers as f64)
        };
        let pass = of_all(&|m| sum(m.forward, m.backward)).filter(|m| m.mean > 0.0)?;
        let optimizer = of_all(&|m| m.optimizer)?;
        let beyond = 1.0 - deepest.n_layers as f64 / n_layers as f64;
        let spread = RERUN_UNCERTAINTY.hypot(LAYER_UNCERTAINTY * beyond);
        let step = PhaseStep {
            pass_s: student(pass),
            optimizer_s: student(Mean { mean: optimizer.mean.max(0.0), ..optimizer }),
            scale: Distribution::LogNormal(1.0, 1.0 + spread),
            ..step_of(deepest, micro_steps)?
        };
        let bytes = |c: &Cell| c.peak_memory_bytes.map(|b| b as f64);
        let peak = bytes(shallowest).zip(bytes(deepest)).map(|(low, high)| {
            let per_layer = (high - low) / (deepest.n_layers - shallowest.n_layers) as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of a model")]
            let bytes = (high + per_layer * (n_layers - deepest.n_layers) as f64).max(0.0) as u64;
            bytes
        });
        let depths = cells.iter().map(|c| c.n_layers).collect();
        Some(Self { step, deepest, depths, n_layers, peak_memory_bytes: peak })
    }

    fn said(&self) -> String {
        let depths: Vec<String> = self.depths.iter().map(usize::to_string).collect();
        let shape = self.deepest.shape;
        let (depths, n) = (depths.join(", "), self.n_layers);
        format!("{} x {} with {depths} of {n} layers", shape.batch_size, shape.seq_len)
    }
}
