//! A program built for GPUs starts on every machine, and says what is missing where a GPU is asked for. No GPU is needed
//! here: a driver and libraries that refuse every call are built with the C compiler.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use greenformers::nn::{CudaError, load_cuda};
use tempfile::TempDir;

use crate::reliability::{campaign, cannot, folder, program, text};

const ENTRY_POINTS: &str = include_str!("../src/nn/ops/cuda/late_binding/entry_points.rs");
/// CUDA's number for: no GPU is there.
const NO_DEVICE: u32 = 100;

/// The entry points whose names begin with `prefix`, and not with one of `other`.
fn entry_points(prefix: &str, other: &[&str]) -> Vec<&'static str> {
    let (_, lists) = ENTRY_POINTS.split_once("\nentry_points! {").unwrap();
    let names = lists.split_once("\n}").unwrap().0.split_whitespace();
    names.filter(|n| n.starts_with(prefix) && !other.iter().any(|other| n.starts_with(other))).collect()
}

/// Compiles a library whose functions all answer that there is no GPU; a driver tells its version beside.
fn library(folder: &Path, file: &str, functions: &[&str], driver: Option<u32>) {
    let answer = |code: String, function: &&str| code + &format!("int {function}(void) {{ return {NO_DEVICE}; }}\n");
    let mut code = functions.iter().fold(String::new(), answer);
    if let Some(version) = driver {
        code += &format!("int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}\n");
    }
    let source = folder.join("library.c");
    fs::write(&source, code).unwrap();
    let mut compiler = Command::new("cc");
    let done = compiler.args(["-shared", "-fPIC", "-w", "-o"]).arg(folder.join(file)).arg(&source).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
}

/// A folder with the tiny workload and a driver of this version.
fn with_driver(version: u32) -> TempDir {
    let folder = folder();
    library(folder.path(), "libcuda.so.1", &entry_points("cu", &["cublas", "curand"]), Some(version));
    folder
}

/// Runs a small campaign with the libraries of its folder and with none of a toolkit or a Python environment.
fn run(folder: &TempDir, device: &str) -> Output {
    let mut program = campaign(folder.path(), &["--device", device, "--seq-len", "4"]);
    ["CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"].iter().for_each(|name| _ = program.env_remove(name));
    program.env("LD_LIBRARY_PATH", folder.path()).output().unwrap()
}

/// Runs what must fail, and gives its message.
fn fails(folder: &TempDir, device: &str) -> String {
    let output = run(folder, device);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!folder.path().join("out").exists() && output.stdout.is_empty(), "{said}");
    said
}

/// Runs a campaign that the CPU must have computed, and gives what was said.
fn falls_back(folder: &TempDir) -> String {
    let output = run(folder, "auto");
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let record = fs::read_to_string(folder.path().join("out/record.json")).unwrap();
    assert!(record.contains(r#""name": "cpu""#) || record.contains(r#""device": "cpu""#), "{record}");
    said
}

/// The file of a library that goes with the toolkit.
fn of_toolkit(name: &str) -> String {
    format!("{name}.so.{}", env!("GREENFORMERS_CUDA_MAJOR"))
}

#[test]
fn no_program_is_linked_to_a_library_of_cuda() {
    for program in [env!("CARGO_BIN_EXE_greenformers").into(), std::env::current_exe().unwrap()] {
        // The loader lists what it would load, and runs nothing.
        let listed = Command::new(&program).env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
        let listed = text(&listed.stdout);
        assert!(listed.contains("libc.so"), "{}: {listed}", program.display());
        for library in ["libcuda.", "libcudart.", "libcublas", "libcurand.", "libnvrtc."] {
            assert!(!listed.contains(library), "{} is linked to {library}so\n{listed}", program.display());
        }
    }
}

#[test]
fn without_a_driver_the_cpu_computes_and_asking_for_a_gpu_says_what_is_missing() {
    if !matches!(load_cuda(), Err(CudaError::NoDriver { .. })) {
        cannot("a machine without a driver", "this one has one");
        return;
    }
    let folder = folder();
    let said = fails(&folder, "cuda");
    assert!(said.contains("`cuda:0`") && said.contains("`libcuda.so.1` cannot be loaded: "), "{said}");
    assert!(said.contains("\nhint: install the driver"), "{said}");
    assert!(!falls_back(&folder).contains("warning: the CPU computes"));
    assert!(program().arg("devices").output().unwrap().status.success());
}

#[test]
fn a_driver_without_the_other_libraries_is_worth_a_warning() {
    let (folder, file) = (with_driver(99_990), of_toolkit("libcublasLt"));
    let said = fails(&folder, "cuda:1");
    if !said.contains("cannot be loaded") {
        cannot("a driver alone", format_args!("this machine has `{file}` in a usual place"));
        return;
    }
    assert!(said.contains(&format!("cannot open `cuda:1`: CUDA's `{file}` cannot be loaded: cannot open")), "{said}");
    assert!(said.contains("\nhint: ") && said.contains("`LD_LIBRARY_PATH`"), "{said}");
    let said = falls_back(&folder);
    assert!(said.contains(&format!("warning: the CPU computes: cannot open `cuda:0`: CUDA's `{file}`")), "{said}");
}

#[test]
fn a_driver_that_is_too_old_for_the_program_is_named_with_its_version() {
    let folder = with_driver(11_080);
    let said = fails(&folder, "cuda");
    assert!(said.contains("driver knows CUDA up to 11.8, and this program was built with CUDA 1"), "{said}");
    assert!(falls_back(&folder).contains("warning: the CPU computes: cannot open `cuda:0`: the NVIDIA driver knows"));
}

#[test]
fn a_library_that_lacks_an_entry_point_is_named_with_it() {
    let (folder, file) = (with_driver(99_990), of_toolkit("libcublasLt"));
    library(folder.path(), &file, &["cublasLtCreate"], None);
    let said = fails(&folder, "cuda");
    assert!(said.contains(&format!("`{file}` has no `cublasLtMatmul`")), "{said}");
}

#[test]
fn libraries_of_a_python_environment_are_found_and_their_calls_answered() {
    let folder = with_driver(99_990);
    let wheels = folder.path().join("venv/lib/python3.12/site-packages/nvidia");
    for (package, name) in [("cublas", "cublasLt"), ("cublas", "cublas"), ("curand", "curand")] {
        let lib = wheels.join(package).join("lib");
        fs::create_dir_all(&lib).unwrap();
        let file = if name == "curand" { "libcurand.so.10".to_owned() } else { of_toolkit(&format!("lib{name}")) };
        let other: &[&str] = if name == "cublas" { &["cublasLt"] } else { &[] };
        library(&lib, &file, &entry_points(name, other), None);
    }
    let mut program = campaign(folder.path(), &["--device", "cuda", "--seq-len", "4"]);
    ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"].iter().for_each(|name| _ = program.env_remove(name));
    program.env("VIRTUAL_ENV", folder.path().join("venv"));
    let output = program.env("LD_LIBRARY_PATH", folder.path()).output().unwrap();
    let said = text(&output.stderr);
    // All are loaded, and the driver's own answer comes through.
    assert!(said.contains("CUDA_ERROR_NO_DEVICE") && said.contains("hint: `nvidia-smi`"), "{said}");
}
