//! Where CUDA's libraries lie beside the places that the system's loader knows.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// The places, in words.
pub(super) const IN_WORDS: &str = "`LD_LIBRARY_PATH`, `lib64` of `$CUDA_HOME`, of `$CUDA_PATH` and of `/usr/local/cuda`, and the packages \
     `nvidia/*/lib` of the active Python environment";

/// Folders that may hold libraries, in the order in which they are tried: what is named for CUDA, the active Python
/// environment (where PyTorch's wheels bring them along), the usual place. `variable` reads the environment.
pub(super) fn folders(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let root = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut found: Vec<PathBuf> =
        ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(root).map(|root| root.join("lib64")).collect();
    for environment in ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(root) {
        found.extend(wheels(&environment));
    }
    // Conda has packages of its own for CUDA.
    found.extend(root("CONDA_PREFIX").map(|prefix| prefix.join("lib")));
    found.push("/usr/local/cuda/lib64".into());
    found
}

/// `lib/python3*/site-packages/nvidia/*/lib` of a Python environment.
fn wheels(environment: &Path) -> Vec<PathBuf> {
    let versions = entries(&environment.join("lib"))
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3")));
    let packages = versions.flat_map(|version| entries(&version.join("site-packages/nvidia")));
    packages.map(|package| package.join("lib")).filter(|lib| lib.is_dir()).collect()
}

/// What lies in a folder, by name; nothing if it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = read.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
    paths.sort();
    paths
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_comes_first_and_then_the_wheels_of_the_active_environment() {
        let environment = tempfile::tempdir().unwrap();
        let site = environment.path().join("lib/python3.12/site-packages");
        for folder in ["nvidia/curand/lib", "nvidia/cublas/lib", "nvidia/cublas/include", "nvidia/nothing", "torch/lib"]
        {
            fs::create_dir_all(site.join(folder)).unwrap();
        }
        fs::create_dir_all(environment.path().join("lib/node/site-packages/nvidia/other/lib")).unwrap();
        let variable = |name: &str| match name {
            "CUDA_HOME" => Some("/opt/toolkit".into()),
            "VIRTUAL_ENV" => Some(environment.path().into()),
            "CUDA_PATH" | "CONDA_PREFIX" => Some(OsString::new()),
            _ => panic!("{name}"),
        };
        let expected = [
            PathBuf::from("/opt/toolkit/lib64"),
            site.join("nvidia/cublas/lib"),
            site.join("nvidia/curand/lib"),
            PathBuf::from("/usr/local/cuda/lib64"),
        ];
        assert_eq!(folders(&variable), expected);
    }

    #[test]
    fn an_environment_of_conda_has_wheels_and_libraries_of_its_own() {
        let environment = tempfile::tempdir().unwrap();
        let wheel = environment.path().join("lib/python3.13/site-packages/nvidia/cu13/lib");
        fs::create_dir_all(&wheel).unwrap();
        let variable = |name: &str| (name == "CONDA_PREFIX").then(|| environment.path().into());
        assert_eq!(folders(&variable), [wheel, environment.path().join("lib"), "/usr/local/cuda/lib64".into()]);
    }
}
