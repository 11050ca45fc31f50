//! What the model of a step needs to know of a device.

use crate::catalog::{Device, DeviceKind, Interconnect, Sourced};
use crate::estimate::error::EstimateError;
use crate::units::DType;

/// A device of this density in TFLOP/s per watt is where rates are compared: the A100 SXM4's.
const REFERENCE_DENSITY: f64 = 0.78;
/// A process of this feature size in nanometres is where power limits are compared: the A100's.
const REFERENCE_PROCESS_NM: f64 = 7.0;

/// The figures of a device for one dtype, in base units.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceFigures {
    /// The device.
    pub id: String,
    /// The maker's name of the design.
    pub architecture: Option<String>,
    /// FLOP/s of `dtype`.
    pub peak: f64,
    /// Bytes a second.
    pub bandwidth: f64,
    /// ln of the 16-bit peak over the power limit, against the reference; `None` where the law of power density does not hold:
    /// it is one of GPUs, whose clocks give way to the limit. What Google states of a TPU is the most that it draws.
    pub ln_density: Option<f64>,
    /// The maker, where it is not NVIDIA, of whose devices most published runs are.
    pub vendor: Option<String>,
    /// ln of the reference feature size over this one's.
    pub ln_shrink: f64,
    /// Whether kernels of fused attention are common on it.
    pub fuses_attention: bool,
    /// The number format.
    pub dtype: DType,
    /// How devices are joined.
    pub interconnect: Option<Interconnect>,
}

impl DeviceFigures {
    /// The figures of `device` for `dtype`.
    ///
    /// # Errors
    /// If it does not compute in `dtype`, or its bandwidth or power limit is not known.
    pub fn of(device: &Device, dtype: DType) -> Result<Self, EstimateError> {
        let peak = device.peak.get(&dtype).ok_or_else(|| EstimateError::DType {
            device: device.id.clone(),
            dtype,
            allowed: device.peak.keys().copied().collect(),
        })?;
        let missing = |what| EstimateError::MissingFigure { device: device.id.clone(), what };
        let bandwidth = device.memory_bandwidth.as_ref().ok_or_else(|| missing("memory bandwidth"))?.base();
        let tdp = device.tdp.as_ref().ok_or_else(|| missing("TDP"))?.base();
        let widest = device.peak.values().map(Sourced::base).fold(peak.base(), f64::max);
        let process = device.process.as_ref().map_or(REFERENCE_PROCESS_NM, Sourced::base);
        Ok(Self {
            id: device.id.clone(),
            architecture: device.architecture.clone(),
            peak: peak.base(),
            bandwidth,
            ln_density: (device.kind == DeviceKind::Gpu).then(|| (widest / 1e12 / tdp / REFERENCE_DENSITY).ln()),
            vendor: Some(device.vendor.clone()).filter(|v| v != "NVIDIA"),
            ln_shrink: (REFERENCE_PROCESS_NM / process).ln(),
            fuses_attention: device.fuses_attention(),
            dtype,
            interconnect: device.interconnect.clone(),
        })
    }
}
