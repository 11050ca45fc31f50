//! Why something cannot be metered.

use std::path::PathBuf;

/// Why a meter cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SensorError {
    /// The NVIDIA driver's library is not there, or refuses.
    #[error("NVML is not available: {0}\nhint: it comes with the NVIDIA driver; `nvidia-smi` should list the GPU")]
    Nvml(String),
    /// The GPU has neither an energy counter nor a power reading.
    #[error("GPU `{gpu}` gives no power reading: {reason}")]
    NoGpuPower {
        /// Which GPU.
        gpu: String,
        /// What the driver says.
        reason: String,
    },
    /// There are no powercap zones.
    #[error("RAPL is not available: no `intel-rapl:*` zone with `package` in `{}`\nhint: virtual machines have none; on Linux hardware `sudo modprobe intel_rapl_msr` brings them", .0.display())]
    NoRapl(PathBuf),
    /// A zone may not be read.
    #[error("RAPL may not be read: permission denied for `{}`\nhint: `sudo chmod a+r {}/intel-rapl:*/energy_uj` until the next boot, or run as root", path.display(), root.display())]
    RaplPermission {
        /// The file.
        path: PathBuf,
        /// The folder to open up.
        root: PathBuf,
    },
    /// A zone's file holds no number, or is gone.
    #[error("cannot read `{}`: {reason}", path.display())]
    RaplFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A fake meter that was told to fail.
    #[error("the fake meter fails as it was told to")]
    Fake,
}
