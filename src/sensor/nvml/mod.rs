//! GPU energy through NVML, which is opened at run time: no library is needed to build or to start.
//!
//! Every query can fail by itself and takes nothing else with it. NVML numbers GPUs in PCI order and knows nothing of
//! `CUDA_VISIBLE_DEVICES`: a GPU is known by its UUID or its place on the PCI bus, never by its number.

mod driver;
#[cfg(test)]
mod fake;
mod gpu;
mod library;
mod meter;
mod state;
mod visible;

use library::Answer;

pub use driver::Driver;
#[cfg(test)]
pub(crate) use fake::FakeNvml;
pub use gpu::{CudaIdentity, GpuInfo, find_gpu, list_gpus};
pub use library::{MigInstance, NoAnswer, NvmlDevice, NvmlLibrary, Query};
pub use meter::NvmlMeter;
pub use state::GpuWatch;
pub use visible::{Selected, Visible, visible_gpus};
