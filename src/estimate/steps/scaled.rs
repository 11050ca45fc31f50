//! A record carried to another shape, dtype, architecture or device: the model of a step, corrected class by class by
//! what was measured.

use super::analytic::Target;
use super::measured::{idle_of, machine_uncertainty};
use super::micro_batch::per_device;
use super::model::{Class, DeviceFigures, Efficiency, Loadings, StepTime, Work};
use super::step::{Basis, PhaseStep, RERUN_UNCERTAINTY, StepSource};
use crate::catalog::{AttentionUse, Software, SoftwareClass};
use crate::estimate::error::EstimateError;
use crate::meter::Coverage;
use crate::model::{Arch, Config};
use crate::record::{Cell, Pass, Record, Status};
use crate::stats::{Distribution, Fit, Prior, fit_robust, median};
use crate::units::DType;

/// Spread, before the record speaks, of a class's time around what all classes share (ln): the scatter of Habitat's
/// and vTrain's operators around their predictions (8 to 12 %), doubled for software that is no stock framework.
const CLASS_SD: f64 = 0.25;
/// Nothing is known beforehand of how far software is from the model altogether.
const COMMON_SD: f64 = 3.0;
/// DeviceFigures that stand for a device whose own are not known; the record corrects them.
const NOMINAL_PEAK: f64 = 1e11;
const NOMINAL_BANDWIDTH: f64 = 2e10;
/// What the software of a record is taken to be, for what is modelled beside it: on a GPU its attention is one kernel, but for f32,
/// and writes no scores to memory. The record corrects the rest.
pub(in crate::estimate) fn own_software(record: &Record, dtype: DType) -> Software {
    let is_fused = record.environment.compute.device != "cpu" && dtype != DType::F32;
    let attention = if is_fused { AttentionUse::Fused } else { AttentionUse::Composed };
    Software { class: SoftwareClass::Optimised, attention }
}
/// What one device is faster or slower with a program than the model says by what the program does on another. Of four published
/// programs that ran on 3 to 13 kinds of GPU, the model's errors on one kind scatter by 0.07 (ln) around those on all
/// (`reports/validation/published_runs.csv`), so that two kinds differ by 0.10. An H200's record is off by as much on an H100,
/// and an H100's on an H200.
const TRANSFER_UNCERTAINTY: f64 = 0.10;
/// Half of a 95 % interval in standard deviations of a normal distribution.
const NORMAL_95: f64 = 1.96;
/// Least relative scatter of a measured step around a corrected model.
const LEAST_SD: f64 = 0.02;
/// The optimizer's correction follows those of the classes.
const OPTIMIZER: usize = Class::ALL.len() + 1;

/// A model of a step corrected by a record.
pub(in crate::estimate) struct LocalModel {
    model: &'static Efficiency,
    figures: DeviceFigures,
    fit: Fit,
    /// Scatter of cells that were left out, around what the others predict.
    scatter: f64,
    /// What the steps of the cells leave open of their means: the median (ln).
    measured_sd: f64,
    n_cells: usize,
    /// Most tokens of a measured step.
    tokens: usize,
}

/// A measured cell in the terms of the model.
struct MeasuredCell {
    time: StepTime,
    pass_s: f64,
    optimizer_s: f64,
    /// What its own steps leave open of their mean (ln): few that scatter say little, and what is scaled from them no more.
    sd: f64,
}

impl LocalModel {
    /// Corrects the model by every train step of the record in `dtype`; by those in others if there is none.
    pub(in crate::estimate) fn of(record: &Record, dtype: DType) -> Option<Self> {
        let model = Efficiency::embedded();
        let usable = |c: &&Cell| c.pass == Pass::Train && c.status == Status::Ok;
        let mut cells: Vec<&Cell> = record.cells.iter().filter(usable).collect();
        if cells.iter().any(|c| c.dtype == dtype) {
            cells.retain(|c| c.dtype == dtype);
        }
        let figures = figures_of(record, cells.first()?.dtype);
        let measured = measure(record, model, &cells);
        let fit = correct(&measured, None)?;
        let left_out: Vec<f64> = (0..measured.len())
            .filter_map(|i| {
                let fit = correct(&measured, Some(i))?;
                let error = (corrected_pass(&fit.values, &measured[i].time) / measured[i].pass_s).ln();
                Some(error.powi(2))
            })
            .collect();
        // With fewer than three cells, what the others predict of one says nothing: the prior stands.
        let scatter = if left_out.len() < 3 {
            CLASS_SD / 2.0
        } else {
            (left_out.iter().sum::<f64>() / left_out.len() as f64).sqrt().max(LEAST_SD)
        };
        let measured_sd = median(&measured.iter().map(|c| c.sd).collect::<Vec<_>>()).unwrap_or(0.0);
        let tokens = cells.iter().map(|c| c.shape.batch_size * c.shape.seq_len).max()?;
        Some(Self { model, figures, fit, scatter, measured_sd, n_cells: measured.len(), tokens })
    }

    /// The steps of `arch` on a target of the record's machine, or on another device of its kind.
    pub(in crate::estimate) fn steps(
        &self,
        target: &Target<'_>,
        arch: Arch,
        (record, elsewhere): (&Record, bool),
    ) -> Result<StepSource, EstimateError> {
        let figures = if elsewhere {
            DeviceFigures::of(target.device, target.dtype)?
        } else {
            self.figures_in(record, target.dtype)
        };
        let mut phases = Vec::new();
        for (i, phase) in target.workload.phases.iter().enumerate() {
            let micro_batch = if elsewhere || target.micro_batch.is_some() {
                target.micro_batch_of(i, arch)
            } else {
                // As many tokens as were measured, so that little is carried over.
                (self.tokens / phase.seq_len).clamp(1, per_device(phase.batch_size, target.devices))
            };
            let work = target.work(i, arch, micro_batch, own_software(record, target.dtype));
            let time = self.corrected(&self.model.step(&figures, &work));
            let loadings = self.loadings(&figures, &work, elsewhere);
            let modelled = target.phase_step(i, arch, micro_batch, (self.model, time), loadings);
            phases.push(PhaseStep {
                scale: Distribution::LogNormal(1.0, 1.0 + RERUN_UNCERTAINTY),
                power_w: if elsewhere { modelled.power_w } else { measured_power(record, target.dtype) },
                ..modelled
            });
        }
        let coverage =
            if elsewhere { Some(target.coverage()) } else { record.environment.meters.first().map(|m| m.coverage) };
        Ok(StepSource {
            phases,
            basis: Basis::Scaled,
            own_scale: Distribution::LogNormal(1.0, self.scatter.hypot(self.measured_sd).exp()),
            straggler: target.stragglers(self.model),
            coverage: coverage
                .or(Some(Coverage::Gpu))
                .filter(|_| elsewhere || measured_power(record, target.dtype).is_some()),
            idle_w: if elsewhere {
                target.device.idle().map(|idle| idle.0)
            } else {
                record.cells.iter().find_map(idle_of)
            },
            gain_uncertainty: if elsewhere { 0.0 } else { gain_of(record) },
            machine_uncertainty: if elsewhere { TRANSFER_UNCERTAINTY } else { machine_uncertainty(record) },
            power_uncertainty: if elsewhere { super::model::OTHER_DESIGN_SD } else { 0.0 },
            description: format!(
                "{} measured cells on {} correct the operator model class by class; a cell that is left out is predicted \
                 to {:.1} % (root mean square){}",
                self.n_cells,
                record.environment.compute.name,
                100.0 * self.scatter,
                if elsewhere { "; carried to another device" } else { "" },
            ),
            peak_memory_bytes: None,
        })
    }

    /// The figures of the record's machine in a dtype that may be another than that of its cells; those of the cells where
    /// nothing is known of the other.
    fn figures_in(&self, record: &Record, dtype: DType) -> DeviceFigures {
        let compute = &record.environment.compute;
        let of_catalog = compute.hardware.as_ref().is_some_and(|d| d.peak.contains_key(&dtype));
        let measured = record.environment.ceilings.as_ref().is_some_and(|c| c.matmul_flop_per_s(dtype).is_some());
        if of_catalog || measured || compute.peak_flop_per_s(dtype).is_some() {
            figures_of(record, dtype)
        } else {
            DeviceFigures { dtype, ..self.figures.clone() }
        }
    }

    /// A modelled step, corrected.
    fn corrected(&self, time: &StepTime) -> StepTime {
        let values = &self.fit.values;
        let mut corrected = *time;
        for (seconds, ln) in corrected.by_class.iter_mut().zip(&values[1..]) {
            *seconds *= (values[0] + ln).exp();
        }
        corrected.optimizer *= (values[0] + values[OPTIMIZER]).exp();
        corrected
    }

    /// What the record leaves open, and on another device, or in another dtype, what the two do not share.
    fn loadings(&self, figures: &DeviceFigures, work: &Work, elsewhere: bool) -> Loadings {
        let time = self.model.step(figures, work);
        let pass = corrected_pass(&self.fit.values, &time);
        let mut gradient = vec![0.0; self.fit.values.len()];
        gradient[0] = 1.0;
        for (i, seconds) in time.by_class.iter().enumerate() {
            gradient[i + 1] = seconds * (self.fit.values[0] + self.fit.values[i + 1]).exp() / pass;
        }
        let names = std::iter::once("all classes").chain(Class::ALL.iter().map(|c| c.name())).chain(["optimizer"]);
        let mut loadings: Loadings =
            names.zip(self.fit.precision.forward(&gradient)).map(|(name, x)| (format!("record {name}"), x)).collect();
        if elsewhere || figures.dtype != self.figures.dtype {
            let here = self.model.loadings(&self.figures, work, StepTime::pass);
            let there = self.model.loadings(figures, work, StepTime::pass);
            loadings.extend(difference(&there, &here));
        }
        loadings
    }
}

/// MeasuredCell cells in the terms of the model.
fn measure(record: &Record, model: &Efficiency, cells: &[&Cell]) -> Vec<MeasuredCell> {
    cells
        .iter()
        .filter_map(|cell| {
            let mean = cell.step_mean()?;
            let work = Work::new(
                &config_of(record, cell),
                cell.arch,
                cell.shape,
                cell.dtype,
                own_software(record, cell.dtype),
            );
            let time = model.step(&figures_of(record, cell.dtype), &work);
            let pass_s = mean.forward.mean + mean.backward.mean;
            let interval = mean.total.interval();
            let sd = (interval.high - interval.low) / (2.0 * NORMAL_95 * mean.total.mean);
            (pass_s > 0.0).then_some(MeasuredCell { time, pass_s, optimizer_s: mean.optimizer.mean, sd })
        })
        .collect()
}

/// `a - b`, name by name: what two devices share cancels.
fn difference(a: &Loadings, b: &Loadings) -> Loadings {
    let of = |list: &Loadings, name: &str| list.iter().find(|(n, _)| n == name).map_or(0.0, |(_, x)| *x);
    let mut result: Loadings = a.iter().map(|(name, x)| (name.clone(), x - of(b, name))).collect();
    result.extend(b.iter().filter(|(name, _)| !a.iter().any(|(n, _)| n == name)).map(|(n, x)| (n.clone(), -x)));
    result
}

fn corrected_pass(values: &[f64], time: &StepTime) -> f64 {
    time.by_class.iter().zip(&values[1..]).map(|(seconds, ln)| seconds * (values[0] + ln).exp()).sum()
}

/// Fits the corrections to all cells but one.
fn correct(cells: &[MeasuredCell], left_out: Option<usize>) -> Option<Fit> {
    let mut priors = vec![Prior { mean: 0.0, sd: COMMON_SD }];
    priors.extend([Prior { mean: 0.0, sd: CLASS_SD }; Class::ALL.len()]);
    priors.push(Prior { mean: 0.0, sd: COMMON_SD });
    let used: Vec<&MeasuredCell> =
        cells.iter().enumerate().filter(|(i, _)| Some(*i) != left_out).map(|(_, c)| c).collect();
    let first: Vec<f64> = used.iter().map(|c| (c.pass_s / c.time.pass()).ln()).collect();
    let mut start = vec![0.0; priors.len()];
    start[0] = median(&first)?;
    fit_robust(&priors, &start, |values| {
        used.iter()
            .flat_map(|c| {
                let pass = (corrected_pass(values, &c.time) / c.pass_s).ln() / LEAST_SD;
                let optimizer = if c.optimizer_s > 0.0 {
                    (c.time.optimizer / c.optimizer_s).ln() + values[0] + values[OPTIMIZER]
                } else {
                    0.0
                };
                [pass, optimizer / (3.0 * LEAST_SD)]
            })
            .collect()
    })
}

/// How well the model carries the cells of a record over to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferCheck {
    /// Cell by cell.
    pub cells: Vec<CellCheck>,
    /// Root mean square of the logarithms of `left_out`.
    pub left_out_rms: f64,
    /// Root mean square of the logarithms of `ratio_to_dense`.
    pub ratio_rms: f64,
}

/// One cell of a [`TransferCheck`].
#[derive(Debug, Clone, PartialEq)]
pub struct CellCheck {
    /// What it is.
    pub label: String,
    /// Its pass as predicted from the other cells, over the measured one.
    pub left_out: f64,
    /// Its ratio to the dense cell of its shape as the uncorrected model has it, over the measured ratio.
    pub ratio_to_dense: Option<f64>,
}

/// Checks the model against a record; `None` if it has fewer than two measured cells.
#[must_use]
pub fn transfer_check(record: &Record) -> Option<TransferCheck> {
    let model = Efficiency::embedded();
    let pass = |cell: &Cell| cell.step_mean().map(|m| m.forward.mean + m.backward.mean);
    let usable = |c: &&Cell| c.pass == Pass::Train && c.status == Status::Ok && pass(c).is_some_and(|s| s > 0.0);
    let cells: Vec<&Cell> = record.cells.iter().filter(usable).collect();
    let measured = measure(record, model, &cells);
    let checks: Vec<CellCheck> = (0..cells.len())
        .filter_map(|i| {
            let fit = correct(&measured, Some(i))?;
            let same_shape = |j: &usize| {
                let of = |c: &Cell| (c.shape, c.dtype, c.n_layers);
                cells[*j].arch == Arch::Dense && of(cells[*j]) == of(cells[i])
            };
            let dense = (0..cells.len()).find(same_shape).filter(|j| *j != i);
            Some(CellCheck {
                label: cells[i].label(),
                left_out: corrected_pass(&fit.values, &measured[i].time) / measured[i].pass_s,
                ratio_to_dense: dense.map(|j| {
                    let (own, other) = (&measured[i], &measured[j]);
                    own.time.pass() / other.time.pass() / (own.pass_s / other.pass_s)
                }),
            })
        })
        .collect();
    let rms =
        |values: Vec<f64>| (values.iter().map(|x| x.ln().powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt();
    (checks.len() >= 2).then(|| TransferCheck {
        left_out_rms: rms(checks.iter().map(|c| c.left_out).collect()),
        ratio_rms: rms(checks.iter().filter_map(|c| c.ratio_to_dense).collect()),
        cells: checks,
    })
}

/// The figures of the machine of a record: the catalog's, else those that were measured, else nominal ones.
fn figures_of(record: &Record, dtype: DType) -> DeviceFigures {
    let compute = &record.environment.compute;
    let ceilings = record.environment.ceilings.as_ref();
    let measured = ceilings.and_then(|c| c.matmul_flop_per_s(dtype));
    let nominal = || DeviceFigures {
        id: compute.name.clone(),
        architecture: None,
        peak: compute.peak_flop_per_s(dtype).or(measured).unwrap_or(NOMINAL_PEAK),
        bandwidth: ceilings.map_or(NOMINAL_BANDWIDTH, |c| c.copy_bytes_per_s),
        ln_density: Some(0.0),
        vendor: None,
        fuses_attention: true,
        ln_shrink: 0.0,
        dtype,
        interconnect: None,
    };
    compute.hardware.as_ref().and_then(|d| DeviceFigures::of(d, dtype).ok()).unwrap_or_else(nominal)
}

/// The model that a cell was built of.
fn config_of(record: &Record, cell: &Cell) -> Config {
    record.settings.workload.model.clone().with_layers(cell.n_layers).with_room_for(cell.shape.seq_len)
}

/// The mean power of the cells of a record in `dtype`, or in any if there is none: steps of other shapes draw what
/// these drew.
fn measured_power(record: &Record, dtype: DType) -> Option<Distribution> {
    let same = record.cells.iter().any(|c| c.dtype == dtype && c.mean_power().is_some());
    let cells = record.cells.iter().filter(|c| !same || c.dtype == dtype);
    let powers: Vec<f64> = cells.filter_map(Cell::mean_power).map(|(power, _)| power).collect();
    let mean = powers.iter().sum::<f64>() / powers.len() as f64;
    let scatter = powers.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / powers.len() as f64;
    (mean.is_finite() && mean > 0.0).then(|| Distribution::LogNormal(mean, 1.0 + scatter.sqrt() / mean))
}

fn gain_of(record: &Record) -> f64 {
    record.cells.iter().map(Cell::gain_uncertainty).fold(0.0, f64::max)
}
