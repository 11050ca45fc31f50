//! Power of a device that was not metered: between idle and its limit, by the part of the time that it computes.

use super::efficiency::Efficiency;
use super::figures::DeviceFigures;
use super::step_time::Work;
use crate::catalog::{Catalog, Device, PublishedRun};
use crate::model::{Arch, Config, Details, Family, StepShape};
use crate::stats::median;

/// Relative standard deviation of the power of another design or another workload than the metered ones: the error of
/// a node model calibrated on FLOPs (arXiv 2506.14551: 11.4 %).
pub const OTHER_DESIGN_SD: f64 = 0.114;

/// Watts of a device that computes for the part `busy` of the time.
#[must_use]
pub fn busy_w(idle_w: f64, limit_w: f64, busy: f64, busy_power: f64) -> f64 {
    idle_w + (limit_w - idle_w).max(0.0) * (busy_power * busy).clamp(0.0, 1.0)
}

/// Fits the part of the way from idle power to the limit that a device goes when it never waits, to every published
/// power whose sequence length is known: the median, and the scatter of the rest around it.
#[must_use]
pub(super) fn fit_busy_power(model: &Efficiency, catalog: &Catalog, runs: &[PublishedRun]) -> (f64, f64) {
    let shares: Vec<f64> = runs.iter().filter_map(|run| busy_share(model, catalog, run)).collect();
    let Some(centre) = median(&shares) else { return (1.0, OTHER_DESIGN_SD) };
    let scatter = shares.iter().map(|x| (x - centre).powi(2)).sum::<f64>() / shares.len().max(1) as f64;
    (centre, scatter.sqrt())
}

/// A published power beside the model's.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerCheck {
    /// The run.
    pub id: String,
    /// Watts as published.
    pub published_w: f64,
    /// Watts by the model, from the powers of the other devices alone.
    pub predicted_w: f64,
}

/// Every published power of known sequence length, predicted from those of other devices.
#[must_use]
pub fn power_checks(catalog: &Catalog, runs: &[PublishedRun]) -> Vec<PowerCheck> {
    let model = Efficiency::embedded();
    runs.iter()
        .filter_map(|run| {
            let metered = metered(model, catalog, run)?;
            let others: Vec<PublishedRun> = runs.iter().filter(|r| r.device != run.device).cloned().collect();
            let (share, _) = fit_busy_power(model, catalog, &others);
            Some(PowerCheck {
                id: run.id.clone(),
                published_w: metered.watts,
                predicted_w: busy_w(metered.idle_w, metered.limit_w, metered.busy, share),
            })
        })
        .collect()
}

/// A published power and what the model makes of its run.
struct PublishedPower {
    watts: f64,
    idle_w: f64,
    limit_w: f64,
    busy: f64,
}

/// How far from idle to its limit a metered device would have been, had it never waited.
fn busy_share(model: &Efficiency, catalog: &Catalog, run: &PublishedRun) -> Option<f64> {
    let m = metered(model, catalog, run)?;
    Some((m.watts - m.idle_w) / (m.limit_w - m.idle_w) / m.busy)
}

fn metered(model: &Efficiency, catalog: &Catalog, run: &PublishedRun) -> Option<PublishedPower> {
    let (watts, limit_w, seq_len) = (run.power_w?, run.power_limit_w?, run.seq_len?);
    let device: Device = catalog.load(&run.device).ok()?;
    let figures = DeviceFigures::of(&device, run.dtype).ok()?;
    let config = Config {
        family: Family::Encoder,
        n_layers: run.n_layers,
        d_model: run.d_model,
        n_heads: run.n_heads,
        d_ff: run.d_ff,
        vocab_size: run.vocab_size,
        max_seq_len: seq_len,
        type_vocab_size: 2,
        gated_mlp: false,
        details: Details::default(),
    };
    let shape = StepShape { batch_size: run.micro_batch, seq_len, masked_per_seq: run.losses_per_seq };
    let work = Work::new(&config, Arch::Dense, shape, run.dtype, run.software());
    Some(PublishedPower { watts, idle_w: device.idle()?.0, limit_w, busy: model.step(&figures, &work).busy() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_at_half_load_is_halfway_between_idle_and_what_it_draws_busy() {
        assert_eq!(busy_w(50.0, 250.0, 0.5, 0.8), 130.0);
        assert_eq!(busy_w(50.0, 250.0, 1.0, 1.5), 250.0, "never above the limit");
    }
}
