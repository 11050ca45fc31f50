//! Opening the device that computes.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use super::MeasureError;
use super::gpu_facts::GpuFacts;
use super::memory::Available;
use crate::alloc;
use crate::units::DType;

/// Which device was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if this build and machine have one, the CPU otherwise.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its ordinal.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = MeasureError;

    fn from_str(text: &str) -> Result<Self, MeasureError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|n| n.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| MeasureError::UnknownDevice(text.to_owned())),
        }
    }
}

/// An open device.
pub struct ComputeDevice {
    pub(super) device: Device,
    /// `cpu` or `cuda:0`.
    pub name: String,
    /// Why the CPU computes in place of the GPU that one would expect to: `auto` fell back on a machine with a driver.
    pub fallback: Option<String>,
}

impl ComputeDevice {
    /// Opens what was asked for; `auto` falls back to the CPU.
    ///
    /// # Errors
    /// If an explicit choice cannot be had, or does not compute in one of `dtypes`.
    pub fn open(choice: DeviceChoice, dtypes: &[DType]) -> Result<Self, MeasureError> {
        let opened = match choice {
            DeviceChoice::Cpu => Self::cpu(),
            DeviceChoice::Cuda(ordinal) => open_cuda(ordinal).map_err(|no_gpu| no_gpu.error)?,
            DeviceChoice::Auto => match open_cuda(0) {
                Ok(gpu) => gpu,
                // The CPU has no TF32: what is wrong with the GPU is all there is to say.
                Err(no_gpu) if no_gpu.is_surprising && dtypes.contains(&DType::Tf32) => {
                    return Err(no_gpu.error);
                }
                Err(no_gpu) => Self { fallback: no_gpu.is_surprising.then(|| no_gpu.error.to_string()), ..Self::cpu() },
            },
        };
        if opened.is_cpu() && dtypes.contains(&DType::Tf32) {
            return Err(MeasureError::DType { device: opened.name, dtype: DType::Tf32 });
        }
        Ok(opened)
    }

    /// From here on, matrix products are those of `dtype`: a GPU computes f32 in two ways.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unused_self, reason = "a CPU has one way"))]
    pub(super) fn compute_in(&self, dtype: DType) {
        #[cfg(feature = "cuda")]
        if !self.is_cpu() {
            super::cuda::compute_in(dtype);
        }
        #[cfg(not(feature = "cuda"))]
        let _ = dtype;
    }

    /// Memory that can still be had on the device.
    pub(super) fn available_memory(&self) -> Available {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => {
                self.release_kept();
                Available { bytes: super::cuda::free_memory().unwrap_or(0), whose: "the device has" }
            }
            _ => super::memory::available(),
        }
    }

    /// Whether the CPU computes.
    #[must_use]
    pub fn is_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// What CUDA says of the GPU; nothing of a CPU.
    pub(super) fn gpu_facts(&self) -> GpuFacts {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => super::cuda::facts(cuda),
            _ => GpuFacts::default(),
        }
    }

    /// Waits until everything that was queued has been computed.
    pub(super) fn synchronize(&self) -> Result<(), MeasureError> {
        self.device.synchronize().map_err(|e| MeasureError::Model(e.into()))
    }

    /// Bytes that tensors use now, and a new maximum from here on; `None` if nobody counts.
    pub(super) fn mark_memory(&self) -> Option<u64> {
        match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => super::cuda::mark_memory(cuda).ok(),
            _ => {
                alloc::reset_peak();
                alloc::in_use()
            }
        }
    }

    /// The most bytes in use since the last mark beyond those in use then: what else is held is not of this cell.
    pub(super) fn peak_memory_since(&self, mark: Option<u64>) -> Option<u64> {
        let peak = match &self.device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => super::cuda::peak_memory(cuda).ok()?,
            _ => alloc::peak(),
        };
        Some(peak.saturating_sub(mark?))
    }

    /// Gives memory that is kept for reuse back to the system.
    pub(super) fn release_kept(&self) {
        match &self.device {
            // What cannot be given back stays with the program, where later cells can use it.
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => _ = super::cuda::release_unused(cuda),
            _ => alloc::release_kept(),
        }
    }

    fn cpu() -> Self {
        Self { device: Device::Cpu, name: "cpu".to_owned(), fallback: None }
    }
}

/// Why GPUs cannot compute, with a hint: this build has no CUDA, or CUDA's libraries cannot be loaded. `None` if they can.
#[must_use]
pub fn cuda_problem() -> Option<String> {
    #[cfg(feature = "cuda")]
    return crate::nn::load_cuda().err().map(|error| error.to_string());
    #[cfg(not(feature = "cuda"))]
    return Some("this build does not compute on it\nhint: `cargo build --release --features cuda`".to_owned());
}

/// Why no GPU was opened, and whether a GPU could be expected.
struct NoGpu {
    error: MeasureError,
    is_surprising: bool,
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<ComputeDevice, NoGpu> {
    let name = format!("cuda:{ordinal}");
    match super::cuda::open(ordinal) {
        Ok(device) => Ok(ComputeDevice { device, name, fallback: None }),
        Err(error) => Err(NoGpu {
            is_surprising: error.has_driver(),
            error: MeasureError::NoCudaDevice { device: name, reason: error.to_string() },
        }),
    }
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> Result<ComputeDevice, NoGpu> {
    Err(NoGpu { error: MeasureError::NoCudaBuild(format!("cuda:{ordinal}")), is_surprising: false })
}
