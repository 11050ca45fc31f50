//! Why no GPU can be opened: what the program needs of a driver and of a GPU.

/// Why no GPU can be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CudaError {
    /// The machine has no NVIDIA driver, or it cannot be loaded.
    #[error(
        "the NVIDIA driver's `libcuda.so.1` cannot be loaded: {reason}\nhint: install the driver (`nvidia-smi` should list the GPU), in a container pass it through; `--device cpu` needs none"
    )]
    NoDriver {
        /// What the loader says.
        reason: String,
    },
    /// One of CUDA's libraries is not there, or cannot be loaded.
    #[error(
        "CUDA's `{file}` cannot be loaded: {reason}\nhint: CUDA {}'s toolkit brings it, and so does PyTorch for CUDA {0}; it is looked for in {places}",
        env!("GREENFORMERS_CUDA_MAJOR")
    )]
    NoLibrary {
        /// The library.
        file: &'static str,
        /// What the loader says.
        reason: String,
        /// Where it was looked for.
        places: &'static str,
    },
    /// A library is not the one that the program was built for.
    #[error("`{library}` has no `{name}`\nhint: this program was built with CUDA {}: take its libraries", built_with())]
    NoEntryPoint {
        /// The library.
        library: &'static str,
        /// What it lacks.
        name: &'static str,
    },
    /// The driver does not know kernels as new as those of the program.
    #[error(
        "the NVIDIA driver knows CUDA up to {driver}, and this program was built with CUDA {}\nhint: install a newer driver, or build with a toolkit of CUDA {driver}",
        built_with()
    )]
    OldDriver {
        /// The newest CUDA of the driver.
        driver: String,
    },
    /// The GPU does not run the program's kernels.
    #[error(
        "`{gpu}` is of compute capability {capability}, and this program's kernels need {}\nhint: build it with `CUDA_COMPUTE_CAP={}`; `--device cpu` always works",
        kernels_need(),
        capability.replace('.', "")
    )]
    Capability {
        /// Its name.
        gpu: String,
        /// Its compute capability.
        capability: String,
    },
    /// The driver cannot open the GPU.
    #[error("{0}\nhint: `nvidia-smi` should list the GPU; `--device cpu` always works")]
    Device(String),
}

impl CudaError {
    /// Whether the machine has an NVIDIA driver, so that a GPU may be expected to compute.
    #[must_use]
    pub fn has_driver(&self) -> bool {
        !matches!(self, Self::NoDriver { .. })
    }
}

/// The compute capability that the program was built for, as `nvcc` has it: `80`, or `90a` for one kind of GPU alone.
pub(super) const KERNELS_NEED: &str = env!("GREENFORMERS_COMPUTE_CAP");

/// The same in words.
fn kernels_need() -> String {
    let (major, minor, alone) = capability(KERNELS_NEED);
    format!("{major}.{minor}{}", if alone { " exactly" } else { " or higher" })
}

/// Major and minor number, and whether no other GPU runs what was built for it (CUDA Compiler Driver NVCC, "GPU Feature List":
/// targets that end in `a`; those that end in `f` run within a family).
fn capability(built_for: &str) -> (i32, i32, bool) {
    let digits = built_for.trim_end_matches(['a', 'f']);
    let (major, minor) = digits.split_at(digits.len().saturating_sub(1));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0), digits.len() < built_for.len())
}

/// Whether a GPU runs what was built for a compute capability: the driver compiles its assembly for every newer GPU.
pub(super) fn runs(built_for: &str, gpu: (i32, i32)) -> bool {
    let (major, minor, alone) = capability(built_for);
    if alone { gpu == (major, minor) } else { gpu >= (major, minor) }
}

/// The version of CUDA's toolkit that the program was built with.
fn built_with() -> &'static str {
    concat!(env!("GREENFORMERS_CUDA_MAJOR"), ".", env!("GREENFORMERS_CUDA_MINOR"))
}

/// Refuses a driver that the program's kernels are too new for.
///
/// # Errors
/// If a driver of this version, 1000 times the major and 10 times the minor, is older than the toolkit; 0 is not known.
#[cfg(late_binding)]
pub(super) fn check_driver(driver: i32) -> Result<(), CudaError> {
    if knows(driver, built_with()) {
        return Ok(());
    }
    let (major, minor) = version_of(driver);
    Err(CudaError::OldDriver { driver: format!("{major}.{minor}") })
}

/// Whether a driver compiles kernels of a toolkit: they are assembly in the version of the toolkit, which an older driver
/// does not know, though it be of the same major version (CUDA Compatibility, "Minor Version Compatibility"). What tells no
/// version is tried.
#[cfg(late_binding)]
fn knows(driver: i32, toolkit: &str) -> bool {
    let part = |text: &str| text.parse::<i32>().ok();
    let toolkit = toolkit.split_once('.').and_then(|(major, minor)| part(major).zip(part(minor)));
    driver <= 0 || toolkit.is_none_or(|toolkit| version_of(driver) >= toolkit)
}

/// Major and minor version.
#[cfg(late_binding)]
fn version_of(driver: i32) -> (i32, i32) {
    (driver / 1000, driver % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_runs_on_the_gpus_that_it_was_built_for_and_on_newer_ones() {
        let table = [
            ("80", (8, 0), true),
            ("80", (9, 0), true),
            ("80", (12, 0), true),
            ("80", (7, 5), false),
            ("86", (8, 0), false),
            ("120", (12, 1), true),
            ("120", (9, 0), false),
            ("90a", (9, 0), true),
            ("90a", (10, 0), false),
            ("100f", (10, 3), false),
        ];
        for (built_for, gpu, expected) in table {
            assert_eq!(runs(built_for, gpu), expected, "{built_for} on {gpu:?}");
        }
    }

    #[cfg(late_binding)]
    #[test]
    fn a_driver_knows_kernels_of_its_own_version_and_of_older_ones() {
        let table = [
            (12_080, "12.8", true),
            (12_080, "12.9", false),
            (12_100, "12.9", true),
            (12_090, "13.0", false),
            (13_000, "12.9", true),
            (11_080, "13.0", false),
            (0, "13.0", true),
        ];
        for (driver, toolkit, expected) in table {
            assert_eq!(knows(driver, toolkit), expected, "driver {driver}, toolkit {toolkit}");
        }
    }

    #[test]
    fn a_driver_older_than_the_toolkit_is_refused_with_both_versions() {
        let text = check_driver(11_080).expect_err("CUDA 12 is the oldest toolkit").to_string();
        assert!(text.contains("up to 11.8,") && text.contains(built_with()), "{text}");
    }
}
