//! CUDA's libraries, loaded when a GPU is first asked for: a program that is linked to them does not start on a machine
//! that lacks one, and the CPU computes there just as well.
//!
//! The crates that call CUDA would link to it. So its entry points are defined here ([`entry_points`]), and jump to the
//! libraries' own, whose addresses [`bind`] fills in. The runtime, with which the kernels of one of those crates register
//! themselves before `main`, is linked statically (`build.rs`).

mod entry_points;
mod places;

use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use libloading::Library;

use super::error::{CudaError, check_driver};
use entry_points::{LIBRARIES, OF_SOME_VERSIONS, slots};

/// The library of the driver.
const DRIVER: &str = "libcuda.so.1";

/// Loads the libraries, once; what went wrong the first time is what is wrong ever after.
pub(super) fn bind() -> Result<(), CudaError> {
    static BOUND: OnceLock<Result<(), CudaError>> = OnceLock::new();
    BOUND.get_or_init(load_all).clone()
}

fn load_all() -> Result<(), CudaError> {
    let folders = places::folders(&|name| std::env::var_os(name));
    let mut slots = slots().iter();
    for (file, names) in LIBRARIES {
        let library = open(file, &folders).map_err(|reason| missing(file, reason))?;
        if *file == DRIVER {
            check_driver(version(&library))?;
        }
        for (name, slot) in names.iter().zip(&mut slots) {
            match find(&library, name) {
                // The lock in `bind` shows it to whoever calls the entry point after.
                Some(address) => slot.store(address, Ordering::Relaxed),
                None if OF_SOME_VERSIONS.contains(name) => {}
                None => return Err(CudaError::NoEntryPoint { library: file, name }),
            }
        }
        // It stays until the program ends: the slots point into it.
        std::mem::forget(library);
    }
    Ok(())
}

fn missing(file: &'static str, reason: String) -> CudaError {
    if file == DRIVER {
        CudaError::NoDriver { reason }
    } else {
        CudaError::NoLibrary { file, reason, places: places::IN_WORDS }
    }
}

/// Opens a library by its name, as the system's loader finds it, or else in one of the folders.
///
/// # Errors
/// What the loader says: of the first file of that name, if there is one.
fn open(file: &str, folders: &[PathBuf]) -> Result<Library, String> {
    let by_name = match load(Path::new(file)) {
        Ok(library) => return Ok(library),
        Err(reason) => reason,
    };
    let mut of_a_file = None;
    for path in folders.iter().map(|folder| folder.join(file)).filter(|path| path.exists()) {
        match load(&path) {
            Ok(library) => return Ok(library),
            Err(reason) => _ = of_a_file.get_or_insert(reason),
        }
    }
    let reason = of_a_file.unwrap_or(by_name);
    Err(reason.strip_prefix(&format!("{file}: ")).unwrap_or(&reason).to_owned())
}

fn load(path: &Path) -> Result<Library, String> {
    // SAFETY: what a library does when it is loaded is its own affair; CUDA's ask nothing of the program that loads them.
    #[expect(unsafe_code, reason = "code of a library runs")]
    unsafe { Library::new(path) }.map_err(|error| error.to_string())
}

/// The address of a function.
fn find(library: &Library, name: &str) -> Option<*mut c_void> {
    // SAFETY: the address is not called here; the crates that call it declare its type.
    #[expect(unsafe_code, reason = "a symbol whose type its callers know")]
    unsafe { library.get::<*mut c_void>(name.as_bytes()) }.ok().map(|symbol| *symbol)
}

/// The newest CUDA that a driver knows, as 1000 times the major version and 10 times the minor; 0 if it does not say.
fn version(driver: &Library) -> i32 {
    let mut version = 0;
    // SAFETY: this is the type that `cuda.h` gives the function, and the driver may be asked before it is initialised.
    #[expect(unsafe_code, reason = "a call of the driver")]
    unsafe {
        if let Ok(ask) = driver.get::<unsafe extern "C" fn(*mut i32) -> i32>(b"cuDriverGetVersion") {
            ask(&raw mut version);
        }
    }
    version
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]
mod tests {
    use std::collections::HashSet;
    use std::process::Command;

    use super::*;

    #[test]
    fn each_entry_point_has_one_slot() {
        let names: Vec<&str> = LIBRARIES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), slots().len());
        assert!(names.contains(&"cuInit") && OF_SOME_VERSIONS.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn a_library_is_found_by_the_loader_or_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let c = open("libc.so.6", &[]).unwrap();
        assert!(find(&c, "strlen").is_some() && find(&c, "cuInit").is_none());
        let known = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib"]
            .map(|lib| format!("{lib}/libc.so.6"));
        let path = known.iter().find(|path| Path::new(path).exists()).unwrap();
        std::os::unix::fs::symlink(path, folder.path().join("libelsewhere.so.1")).unwrap();
        let places = [folder.path().join("absent"), folder.path().to_path_buf()];
        assert!(find(&open("libelsewhere.so.1", &places).unwrap(), "strlen").is_some());
    }

    #[test]
    fn what_keeps_a_library_from_being_loaded_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let absent = open("libabsent.so.7", &[folder.path().to_path_buf()]).unwrap_err();
        assert_eq!(absent, "cannot open shared object file: No such file or directory");
        std::fs::write(folder.path().join("libbroken.so.7"), [b'x'; 4096]).unwrap();
        let broken = open("libbroken.so.7", &[folder.path().to_path_buf()]).unwrap_err();
        assert!(broken.contains("libbroken.so.7: ") && broken.contains("header"), "{broken}");
    }

    #[test]
    fn a_call_before_the_libraries_are_loaded_ends_the_program_and_says_which() {
        const CHILD: &str = "GREENFORMERS_TEST_UNBOUND_CALL";
        if std::env::var_os(CHILD).is_some() {
            let _ = candle_core::Device::new_cuda(0);
            return;
        }
        let name = "nn::ops::cuda::late_binding::tests::a_call_before_the_libraries_are_loaded_ends_the_program_and_says_which";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("`cuInit` was called"), "{said}");
    }
}
