//! Compiles the GPU kernels, where the program is built for GPUs, and names the revision of a program that measures.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    name_revision();
    #[cfg(feature = "cuda")]
    compile_kernels();
}

/// Leaves the revision of these sources in `GREENFORMERS_REVISION`, with a `+` where they differ from it: in release builds,
/// which measure. A test build would have to be made again after every commit.
fn name_revision() {
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    println!("cargo:rerun-if-changed=src");
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Sources that lie in someone else's repository have not its revision.
    let here = std::env::var("CARGO_MANIFEST_DIR").ok();
    if here.is_none() || git(&["rev-parse", "--show-toplevel"]) != here {
        return;
    }
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    if let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) {
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|s| !s.is_empty());
        println!("cargo:rustc-env=GREENFORMERS_REVISION={revision}{}", if changed { "+" } else { "" });
    }
}

/// Leaves `all.ptx` in the output folder, for the GPU that `CUDA_COMPUTE_CAP` names or that is in this machine.
#[cfg(feature = "cuda")]
fn compile_kernels() {
    let kernels = "src/nn/ops/cuda/kernels";
    println!("cargo:rerun-if-changed={kernels}");
    let built = cudaforge::KernelBuilder::new()
        .source_files([format!("{kernels}/all.cu")])
        .watch([kernels])
        .args(["-std=c++17", "-O3"])
        .build_ptx();
    if let Err(error) = built {
        panic!("the GPU kernels cannot be compiled: {error}");
    }
}
