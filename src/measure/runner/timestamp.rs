//! Moments in the work of a device: on a CPU by the clock of the machine, on a GPU by events in its queue, which need
//! no waiting and so leave no gap between steps (resolution about 0.5 us).

use std::time::Instant;

#[cfg(feature = "cuda")]
use candle_core::cuda_backend::{WrapErr, cudarc::driver::CudaEvent};

use crate::measure::{ComputeDevice, MeasureError};

/// A moment in the work of a device.
pub(super) enum Timestamp {
    /// The work was done when it returned.
    Passed(Instant),
    /// The GPU passes it when everything that was queued before has been computed.
    #[cfg(feature = "cuda")]
    Queued(CudaEvent),
}

#[cfg_attr(not(feature = "cuda"), expect(clippy::unnecessary_wraps, reason = "the clock of a GPU can fail"))]
impl Timestamp {
    /// After all that `device` was told to do so far.
    pub(super) fn after_all_of(device: &ComputeDevice) -> Result<Self, MeasureError> {
        match &device.device {
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(cuda) => crate::measure::cuda::event(cuda).map(Self::Queued).map_err(failed),
            _ => Ok(Self::Passed(Instant::now())),
        }
    }

    /// Waits until the device has passed it.
    pub(super) fn wait(&self) -> Result<(), MeasureError> {
        match self {
            Self::Passed(_) => Ok(()),
            #[cfg(feature = "cuda")]
            Self::Queued(event) => event.synchronize().w().map_err(failed),
        }
    }

    /// Seconds from `earlier` to here; waits for both.
    pub(super) fn since(&self, earlier: &Self) -> Result<f64, MeasureError> {
        match (earlier, self) {
            (Self::Passed(a), Self::Passed(b)) => Ok((*b - *a).as_secs_f64()),
            #[cfg(feature = "cuda")]
            (Self::Queued(a), Self::Queued(b)) => a.elapsed_ms(b).w().map(|ms| f64::from(ms) / 1e3).map_err(failed),
            #[cfg(feature = "cuda")]
            _ => unreachable!("the timestamps of a runner are all of its one device"),
        }
    }
}

#[cfg(feature = "cuda")]
fn failed(error: candle_core::Error) -> MeasureError {
    MeasureError::Model(error.into())
}
