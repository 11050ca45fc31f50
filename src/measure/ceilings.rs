//! How fast the device is at its fastest: large matrix products and large copies, by the libraries that its steps use.
//!
//! A step cannot be faster than its products at this rate, nor than its bytes at that one; what it reaches of them says
//! what better software could still gain.

use std::time::{Duration, Instant};

use candle_core::Tensor;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::{ComputeDevice, MeasureError};
use crate::model::Ops;
use crate::nn::{NnError, PassConfig, Tape, tensor_dtype};
use crate::record::{Ceilings, MatmulCeiling, Warning};
use crate::units::DType;

/// Matrices are doubled from the first size on until a product takes this long, or they are of the last size.
const LONG: Duration = Duration::from_millis(30);
const SIZES: (usize, usize) = (512, 8192);
/// Time for each figure, and the least runs.
const ENOUGH: Duration = Duration::from_millis(600);
const RUNS: usize = 5;
/// Floats of a copy: far beyond any cache, 256 MB on a CPU and 1 GB on a GPU.
const COPY: (usize, usize) = (1 << 26, 1 << 28);

/// Memory that is needed for it, generously.
pub(super) const MOST_BYTES: u64 = 3 << 30;

/// What is said where it is not there.
pub(super) fn no_room() -> Warning {
    Warning::new(
        "less than 3 GiB of memory are free",
        "how fast the device is at its fastest was not measured",
        "give it more memory, or free some",
    )
}

/// Measures products in each of `dtypes`, and a copy: about a second each.
pub(super) fn measure(device: &ComputeDevice, dtypes: &[DType]) -> Result<Ceilings, MeasureError> {
    let matmul = dtypes.iter().map(|dtype| matmul(device, *dtype)).collect::<Result<_, _>>()?;
    device.release_kept();
    let copy_bytes_per_s = copy(device)?;
    device.release_kept();
    Ok(Ceilings { matmul, copy_bytes_per_s })
}

fn matmul(device: &ComputeDevice, dtype: DType) -> Result<MatmulCeiling, MeasureError> {
    device.compute_in(dtype);
    let pass = PassConfig { ops: Ops::Fused, ..PassConfig::deterministic(tensor_dtype(dtype)) };
    let tape = Tape::inference(pass, &device.device);
    let mut size = SIZES.0;
    loop {
        let (a, b) = (random(size * size, device)?, random(size * size, device)?);
        let shaped = |x: Tensor| x.reshape((size, size))?.to_dtype(pass.dtype);
        let (a, b) = (shaped(a).map_err(failed)?, shaped(b).map_err(failed)?);
        let product = || tape.linear(&a, &b, None).map(drop).map_err(failed);
        product()?; // what is done once: kernels are loaded, workspaces made
        let first = seconds_of(device, 1, &product)?;
        if first >= LONG.as_secs_f64() || size >= SIZES.1 {
            let seconds = fastest(device, first, &product)?;
            return Ok(MatmulCeiling { dtype, size, flop_per_s: 2.0 * (size as f64).powi(3) / seconds });
        }
        size *= 2;
    }
}

/// Bytes read and written in a second.
fn copy(device: &ComputeDevice) -> Result<f64, MeasureError> {
    let seconds = if device.is_cpu() {
        let from: Vec<f32> = (0..COPY.0).into_par_iter().map(|i| i as f32).collect();
        let mut to = vec![0.0f32; COPY.0];
        // A chunk of this size leaves no thread without work, and keeps none waiting for its next.
        let mut run = || {
            to.par_chunks_mut(1 << 18).zip(from.par_chunks(1 << 18)).for_each(|(to, from)| to.copy_from_slice(from));
            Ok(())
        };
        run()?;
        let first = seconds_of(device, 1, &mut run)?;
        let seconds = fastest(device, first, &mut run)?;
        std::hint::black_box(&to);
        seconds
    } else {
        let from = random(COPY.1, device)?;
        let mut run = || from.copy().map(drop).map_err(failed);
        run()?;
        let first = seconds_of(device, 1, &mut run)?;
        fastest(device, first, &mut run)?
    };
    let floats = if device.is_cpu() { COPY.0 } else { COPY.1 };
    Ok(2.0 * 4.0 * floats as f64 / seconds)
}

/// Seconds of the fastest of several runs, of which `first` is an idea. Short ones are timed several at once, so that
/// the time to start one does not count.
fn fastest(
    device: &ComputeDevice,
    first: f64,
    mut run: impl FnMut() -> Result<(), MeasureError>,
) -> Result<f64, MeasureError> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to a thousand")]
    let at_once = (LONG.as_secs_f64() / first.max(1e-9)).clamp(1.0, 1000.0).ceil() as usize;
    let began = Instant::now();
    let (mut best, mut runs) = (f64::INFINITY, 0);
    while runs < RUNS || began.elapsed() < ENOUGH {
        best = best.min(seconds_of(device, at_once, &mut run)?);
        runs += 1;
    }
    Ok(best)
}

/// Seconds of one of `times` runs.
fn seconds_of(
    device: &ComputeDevice,
    times: usize,
    mut run: impl FnMut() -> Result<(), MeasureError>,
) -> Result<f64, MeasureError> {
    device.synchronize()?;
    let began = Instant::now();
    for _ in 0..times {
        run()?;
    }
    device.synchronize()?;
    Ok(began.elapsed().as_secs_f64() / times as f64)
}

/// `n` numbers as they occur in a model: zeros would be faster and draw less.
fn random(n: usize, device: &ComputeDevice) -> Result<Tensor, MeasureError> {
    let mut rng = SmallRng::seed_from_u64(n as u64);
    let some: Vec<f32> = (0..1 << 16).map(|_| rng.random_range(-0.035..0.035)).collect();
    let values: Vec<f32> = some.iter().copied().cycle().take(n).collect();
    Tensor::from_vec(values, n, &device.device).map_err(failed)
}

fn failed(error: candle_core::Error) -> MeasureError {
    MeasureError::Model(NnError::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::DeviceChoice;

    #[test]
    fn a_cpu_is_neither_slower_than_a_calculator_nor_faster_than_any_that_was_built() {
        let cpu = ComputeDevice::open(DeviceChoice::Cpu, &[DType::F32]).expect("a CPU");
        let ceilings = measure(&cpu, &[DType::F32]).expect("it computes");
        let matmul = ceilings.matmul_flop_per_s(DType::F32).expect("asked for");
        assert!((1e8..1e14).contains(&matmul), "{matmul:e} FLOP/s");
        assert!((1e8..2e12).contains(&ceilings.copy_bytes_per_s), "{:e} B/s", ceilings.copy_bytes_per_s);
        assert_eq!(ceilings.matmul_flop_per_s(DType::Bf16), None, "not asked for");
    }
}
