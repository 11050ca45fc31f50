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
    #[error("RAPL is not available: no zone `intel-rapl:*` or `intel-rapl-mmio:*` with `package` or `psys` in `{}`\nhint: virtual machines have none; on Linux hardware `sudo modprobe intel_rapl_msr` brings them", .0.display())]
    NoRapl(PathBuf),
    /// The zones are links that lead nowhere.
    #[error("RAPL is not available: the `intel-rapl` zones in `{}` are links that lead nowhere, as in a container that was given `/sys/class/powercap` alone\nhint: give it `/sys/devices/virtual/powercap` as well", .0.display())]
    RaplDangling(PathBuf),
    /// A counter shows what its device cannot have drawn, and it is not yet known why.
    #[error("the counter of `{zone}` went from {from_j:.0} J to {to_j:.0} J, which it cannot have drawn meanwhile")]
    NotBelieved {
        /// Which counter.
        zone: String,
        /// The last reading that was believed.
        from_j: f64,
        /// The newest.
        to_j: f64,
    },
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
