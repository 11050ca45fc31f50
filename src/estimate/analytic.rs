//! The step of hardware that was not measured: a roofline, calibrated on published runs.
//!
//! Ideal time of an operator = max(FLOP / peak, bytes / bandwidth) (Williams et al. 2009). Published
//! throughputs take longer by a factor; its median and its spread are fitted to them, never typed in.

use super::step::{PhaseStep, SCALING_UNCERTAINTY};
use super::{Basis, EstimateError, StepSource};
use crate::catalog::{Catalog, Device, PublishedRun, published_runs};
use crate::model::{Arch, Config, Family, OperatorKind, StepShape, count_params, forward_operators};
use crate::record::{Workload, phase_shape};
use crate::sensor::Coverage;
use crate::stats::{Distribution, median};
use crate::units::DType;

/// How much longer published runs take than the roofline.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Median factor.
    pub factor: f64,
    /// Geometric standard deviation of a run that was left out of the fit.
    pub gsd: f64,
    /// Each run and its own factor.
    pub runs: Vec<(PublishedRun, f64)>,
}

/// Fits the factor to the published runs of stock frameworks on single devices.
///
/// # Panics
/// If the embedded catalog lacks a device of the table, which a test rules out.
#[must_use]
pub fn calibrate() -> Calibration {
    let catalog = Catalog::default();
    let runs: Vec<(PublishedRun, f64)> = published_runs()
        .into_iter()
        .filter(|run| run.efficiency == "typical" && run.devices == 1)
        .filter_map(|run| {
            let device: Device = catalog.load(&run.device).expect("a test loads every device of the table");
            let factor = factor_of(&run, &device)?;
            Some((run, factor))
        })
        .collect();
    let logs: Vec<f64> = runs.iter().map(|(_, factor)| factor.ln()).collect();
    let n = logs.len() as f64;
    let centre = median(&logs).unwrap_or(0.0);
    // Leaving one out: its distance to the mean of the others.
    let sum: f64 = logs.iter().sum();
    let left_out = logs.iter().map(|x| (x - (sum - x) / (n - 1.0)).powi(2)).sum::<f64>() / n;
    Calibration { factor: centre.exp(), gsd: left_out.sqrt().exp(), runs }
}

fn factor_of(run: &PublishedRun, device: &Device) -> Option<f64> {
    let config = Config {
        family: if run.family == "decoder" { Family::Decoder } else { Family::Encoder },
        n_layers: run.n_layers,
        d_model: run.d_model,
        n_heads: run.n_heads,
        d_ff: run.d_ff,
        vocab_size: run.vocab_size,
        max_seq_len: run.seq_len.max(512),
        type_vocab_size: 2,
    };
    let batch_size = run.micro_batch?;
    let masked_per_seq = match config.family {
        Family::Encoder => crate::model::masked_per_seq(run.seq_len),
        Family::Decoder => run.seq_len,
    };
    let shape = StepShape { batch_size, seq_len: run.seq_len, masked_per_seq };
    // Published throughputs spread the optimizer over many micro-batches.
    let (pass, _) = roofline(&config, Arch::Dense, shape, device, run.dtype)?;
    let measured = (batch_size * run.seq_len) as f64 / (run.tokens_per_s / f64::from(run.devices));
    Some(measured / pass)
}

/// Ideal seconds of forward and backward, and of the optimizer.
fn roofline(config: &Config, arch: Arch, shape: StepShape, device: &Device, dtype: DType) -> Option<(f64, f64)> {
    let peak = device.peak.get(&dtype)?.base();
    let bandwidth = device.memory_bandwidth.as_ref()?.base();
    let width = dtype.bytes() as f64;
    let forward: f64 = forward_operators(config, arch, shape)
        .iter()
        .map(|operator| {
            let memory = operator.elements as f64 * operator.count as f64 * width / bandwidth;
            match operator.kind {
                OperatorKind::ElementWise => memory,
                OperatorKind::Gemm | OperatorKind::Attention => (operator.flop() as f64 / peak).max(memory),
            }
        })
        .sum();
    // AdamW reads weight, gradient and two moments and writes all but the gradient, in f32.
    let optimizer = 28.0 * count_params(config, arch) as f64 / bandwidth;
    Some((3.0 * forward, optimizer))
}

/// The steps of `arch` on a device of the catalog.
///
/// # Errors
/// If the device lacks a peak for `dtype`, a bandwidth or a TDP.
pub(super) fn analytic_step(
    workload: &Workload,
    arch: Arch,
    device: &Device,
    dtype: DType,
    devices: u32,
    micro_batch: usize,
) -> Result<StepSource, EstimateError> {
    if !device.peak.contains_key(&dtype) {
        return Err(EstimateError::DType {
            device: device.id.clone(),
            dtype,
            allowed: device.peak.keys().copied().collect(),
        });
    }
    let missing = |what| EstimateError::MissingFigure { device: device.id.clone(), what };
    let tdp = device.tdp.as_ref().ok_or_else(|| missing("TDP"))?.base();
    let calibration = calibrate();
    let mut phases = Vec::new();
    for phase in &workload.phases {
        let per_device = phase.batch_size as f64 / f64::from(devices);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a batch size")]
        let batch_size = micro_batch.min(per_device.ceil() as usize).max(1);
        let shape = phase_shape(workload, phase, batch_size);
        let (pass, optimizer) =
            roofline(&workload.model, arch, shape, device, dtype).ok_or_else(|| missing("memory bandwidth"))?;
        phases.push(PhaseStep {
            micro_steps: per_device / batch_size as f64,
            pass_s: Distribution::Point(pass),
            optimizer_s: Distribution::Point(optimizer),
            scale: Distribution::LogNormal(calibration.factor, calibration.gsd),
            power_w: Some(Distribution::Triangular(0.7 * tdp, 0.9 * tdp, tdp)),
        });
    }
    Ok(StepSource {
        phases,
        basis: Basis::Analytic,
        own_scale: Distribution::LogNormal(1.0, 1.0 + SCALING_UNCERTAINTY),
        coverage: Some(Coverage::Gpu),
        gain_uncertainty: 0.0,
        description: format!(
            "roofline of {} times {:.2}, the median over {} published runs of stock frameworks (geometric standard \
             deviation {:.2}); power 70 to 100 % of TDP, most likely 90 % (BERT-base on V100 and A40, Zeus traces)",
            device.name,
            calibration.factor,
            calibration.runs.len(),
            calibration.gsd
        ),
        peak_memory_bytes: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_runs_take_longer_than_the_roofline_but_not_absurdly() {
        let calibration = calibrate();
        assert!(calibration.runs.len() >= 10, "{}", calibration.runs.len());
        assert!((1.2..4.0).contains(&calibration.factor), "{}", calibration.factor);
        assert!((1.05..2.0).contains(&calibration.gsd), "{}", calibration.gsd);
        for (run, factor) in &calibration.runs {
            assert!((1.0..6.0).contains(factor), "{}: {factor}", run.id);
        }
    }
}
