//! Where architectures change places on hardware that was not measured: by the model of a step.

use serde::Serialize;

use super::crossover::{Crossover, Curve, PerToken, crossover};
use crate::catalog::{AttentionUse, Catalog, Device, Software, SoftwareClass};
use crate::estimate::error::EstimateError;
use crate::estimate::steps::analytic::OTHER_ARCH_SD;
use crate::estimate::steps::model::{DeviceFigures, Efficiency, Work, busy_w};
use crate::model::{Arch, Config, Saving, StepShape, masked_per_seq, training_memory_with};
use crate::stats::{Distribution, Stream};

/// The devices that are modelled: what most clouds rent.
const DEVICES: [&str; 2] = ["a100-sxm4-80gb", "h100-sxm5-80gb"];
/// Software whose attention is one kernel: what long sequences are trained with.
const SOFTWARE: Software = Software { class: SoftwareClass::Optimised, attention: AttentionUse::Fused };
/// Lengths that are compared.
const LENGTHS: [usize; 9] = [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];
/// Tokens of a step, the same at every length.
const TOKENS: usize = 16_384;
/// Draws of the model's error for each architecture.
const TRIALS: usize = 2_000;

/// Crossovers on a device of the catalog: modelled, not measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelledCrossovers {
    /// Its name.
    pub hardware: String,
    /// Every pair of architectures in time, energy and memory, in the fastest number format of the device.
    pub crossovers: Vec<Crossover>,
}

/// Where `archs` change places along the lengths of a model like `config` on an A100 and an H100.
///
/// # Errors
/// If the catalog cannot be read, or lacks a figure of these devices.
pub fn modelled_crossovers(
    config: &Config,
    archs: &[Arch],
    catalog: &Catalog,
    seed: u64,
) -> Result<Vec<ModelledCrossovers>, EstimateError> {
    DEVICES.into_iter().map(|name| on_device(&catalog.load(name)?, config, archs, seed)).collect()
}

fn on_device(device: &Device, config: &Config, archs: &[Arch], seed: u64) -> Result<ModelledCrossovers, EstimateError> {
    let dtype = device.fastest_dtype();
    let figures = DeviceFigures::of(device, dtype)?;
    let mut crossovers = Vec::new();
    for of in PerToken::ALL {
        let curves: Vec<Curve> = archs.iter().map(|arch| curve((device, &figures), config, *arch, of, seed)).collect();
        for (i, a) in curves.iter().enumerate() {
            crossovers.extend(curves[i + 1..].iter().filter_map(|b| crossover(a, b, of, dtype)));
        }
    }
    Ok(ModelledCrossovers { hardware: device.name.clone(), crossovers })
}

fn curve((device, figures): (&Device, &DeviceFigures), config: &Config, arch: Arch, of: PerToken, seed: u64) -> Curve {
    let model = Efficiency::embedded();
    // What the model is off by for an architecture is the same at every length; memory is counted.
    let error = match of {
        PerToken::Memory => Distribution::Point(1.0),
        PerToken::Time | PerToken::Energy if arch == Arch::Dense => Distribution::Point(1.0),
        PerToken::Time | PerToken::Energy => Distribution::LogNormal(1.0, OTHER_ARCH_SD.exp()),
    };
    let errors = Stream::new(seed, &format!("model of {arch}")).draws(error, TRIALS);
    let at = |seq_len: usize| -> Option<f64> {
        let computed = arch.at_length(seq_len);
        let config = config.clone().with_room_for(seq_len);
        let batch_size = (TOKENS / seq_len).max(1);
        let shape = StepShape { batch_size, seq_len, masked_per_seq: masked_per_seq(seq_len) };
        let time = model.step(figures, &Work::new(&config, computed, shape, figures.dtype, SOFTWARE));
        let seconds = time.pass() + time.optimizer;
        let of_step = match of {
            PerToken::Time => seconds,
            PerToken::Energy => {
                let limit_w = device.tdp.as_ref()?.base();
                seconds * busy_w(device.idle()?.0, limit_w, time.busy(), model.busy_power().0)
            }
            PerToken::Memory => {
                let fused_attention = SOFTWARE.attention == AttentionUse::Fused;
                // Such programs have buffers of gradients.
                let saving = Saving { fused_attention, keeps_gradients: true, ..Saving::default() };
                training_memory_with(&config, computed, shape, figures.dtype, saving).total() as f64
            }
        };
        Some(of_step / (batch_size * seq_len) as f64)
    };
    let draws = |seq_len: usize, value: f64| {
        let own = |error: &f64| if arch.at_length(seq_len) == arch { value * error } else { value };
        errors.iter().map(own).collect()
    };
    let points = LENGTHS.into_iter().filter_map(|len| at(len).map(|value| (len, draws(len, value))));
    Curve { arch, points: points.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::answers::crossover::Change;

    #[test]
    fn a_linformer_overtakes_lrt_on_a_gpu_too_and_later_than_the_thesis_says() {
        let catalog = Catalog::default();
        let config = catalog.load::<crate::record::Workload>("bert-base").expect("in the catalog").model;
        let archs = Arch::usual(&config);
        let found = modelled_crossovers(&config, &archs, &catalog, 1).expect("figures are known");
        assert_eq!(found.len(), 2);
        for device in &found {
            let is_pair = |c: &&Crossover| c.of == PerToken::Time && c.below != Arch::Dense && c.above != Arch::Dense;
            let pair = device.crossovers.iter().find(is_pair).expect("both are compared");
            let Change::At { seq_len, .. } = pair.change else { panic!("{}: {pair:?}", device.hardware) };
            assert!((256.0..8192.0).contains(&seq_len), "{}: {seq_len}", device.hardware);
        }
    }
}
