//! Why a campaign cannot run.

use crate::catalog::CatalogError;
use crate::machine::{Stop, signal_name};
use crate::model::{Arch, NotComputed};
use crate::nn::NnError;
use crate::record::RecordError;
use crate::sensor::SensorError;
use crate::units::DType;

/// Why a campaign cannot run.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The text names no device.
    #[error("unknown device `{0}`: expected `auto`, `cpu`, `cuda` or `cuda:N`")]
    UnknownDevice(String),
    /// The program was built without CUDA.
    #[error(
        "`--device {0}` needs a build with CUDA, and this one has none\nhint: `cargo build --release --features cuda`, or `--device cpu`"
    )]
    NoCudaBuild(String),
    /// There is no such GPU, or what it needs is not there.
    #[error("cannot open `{device}`: {reason}")]
    NoCudaDevice {
        /// What was asked for.
        device: String,
        /// What the driver says or what is missing, with a hint.
        reason: String,
    },
    /// The device does not compute in this format.
    #[error("`{device}` does not compute in `{dtype}`: expected `f32`, `bf16` or `f16`")]
    DType {
        /// The device.
        device: String,
        /// The format.
        dtype: DType,
    },
    /// The text names no meter.
    #[error("unknown meter `{0}`: expected `auto`, `nvml`, `rapl`, `model` or `none`")]
    UnknownMeter(String),
    /// NVML was asked for while the CPU computes.
    #[error(
        "`--meter nvml` measures GPUs, and this campaign runs on the CPU\nhint: `--meter auto` takes what there is"
    )]
    NvmlOnCpu,
    /// A part of a card has no sensor.
    #[error(
        "this program computes on a MIG instance of `{0}`, and the sensor reads the whole board, which others may use: its energy is not given to one of them\nhint: measure on a card with MIG switched off"
    )]
    MigInstance(String),
    /// The load model needs figures that are not known.
    #[error(
        "`--meter model` needs the TDP of the CPU, and the catalog does not know `{0}`\nhint: `--hardware FILE` with its `tdp`, or `--meter none`"
    )]
    NoModel(String),
    /// The model is built as none that is computed.
    #[error("`{workload}` is estimated but not profiled: {why}\nhint: `greenformers estimate --workload {workload}`")]
    NotComputed {
        /// Its workload.
        workload: String,
        /// What it has that is not computed.
        why: NotComputed,
    },
    /// What is estimated in memory alone.
    #[error("`{0}` is estimated, not profiled\nhint: `lora:…` is profiled, whose step it is taken to have")]
    FourBits(Arch),
    /// A sequence is empty or absurdly long.
    #[error("`--seq-len {seq_len}`: expected 1 to {max}")]
    SeqLen {
        /// What was asked for.
        seq_len: usize,
        /// The longest that is measured.
        max: usize,
    },
    /// Two settings of a resumed campaign differ.
    #[error(
        "cannot resume: the record in this folder was made with other settings (`{0}`)\nhint: give another folder with `-o DIR`"
    )]
    Resume(&'static str),
    /// It was asked to stop.
    #[error("stopped by {}", signal_name(*signal))]
    Stopped {
        /// The signal that asked.
        signal: i32,
    },
    /// A thread pool or a file of the system failed.
    #[error(transparent)]
    Sensor(#[from] SensorError),
    /// The model could not be built or run.
    #[error(transparent)]
    Model(#[from] NnError),
    /// The record could not be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The catalog could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Fails if the end has been asked for.
pub(super) fn go_on(stop: &Stop) -> Result<(), MeasureError> {
    stop.asked().map_or(Ok(()), |signal| Err(MeasureError::Stopped { signal }))
}
