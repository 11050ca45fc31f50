//! Compiles the GPU kernels and links CUDA's runtime, where the program is built for GPUs, and names the revision of a
//! program that measures.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(late_binding)");
    name_revision();
    #[cfg(feature = "cuda")]
    {
        compile_kernels();
        bind_late();
    }
}

/// Leaves the revision of these sources in `GREENFORMERS_REVISION`, with a `+` where they differ from it: in release builds,
/// which measure. A test build would have to be made again after every commit. A build that has no repository may be told it.
fn name_revision() {
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    println!("cargo:rerun-if-env-changed=GREENFORMERS_REVISION");
    if std::env::var_os("GREENFORMERS_REVISION").is_some() {
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
        if let Some(revision) = packed_revision() {
            println!("cargo:rustc-env=GREENFORMERS_REVISION={revision}");
        }
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

/// The revision that `cargo package` noted beside the sources that it packed.
fn packed_revision() -> Option<String> {
    let noted = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = noted.split_once("\"sha1\": \"")?;
    let revision: String = rest.chars().take_while(char::is_ascii_hexdigit).take(12).collect();
    let changed = if noted.contains("\"dirty\": true") { "+" } else { "" };
    (!revision.is_empty()).then(|| format!("{revision}{changed}"))
}

/// Leaves `all.ptx` in the output folder, for GPUs of compute capability 8.0, whose assembly the driver compiles for every
/// newer one, or of that which `CUDA_COMPUTE_CAP` names. What is in this machine does not matter: a program is carried to others.
#[cfg(feature = "cuda")]
fn compile_kernels() {
    let kernels = "src/nn/ops/cuda/kernels";
    println!("cargo:rerun-if-env-changed=CUDA_COMPUTE_CAP");
    let capability = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "80".to_owned());
    println!("cargo:rustc-env=GREENFORMERS_COMPUTE_CAP={capability}");
    println!("cargo:rerun-if-changed={kernels}");
    let built = cudaforge::KernelBuilder::new()
        .source_files([format!("{kernels}/all.cu")])
        .compute_cap_arch(&capability)
        .args(["-std=c++17", "-O3"])
        // It would look at the one file that includes the others, and cargo knows of all of them.
        .no_incremental()
        .build_ptx();
    if let Err(error) = built {
        panic!("the GPU kernels cannot be compiled: {error}");
    }
}

/// Names the toolkit's version, and on Linux has CUDA's libraries loaded when they are used (`late_binding`): all but the
/// runtime, which candle's kernels call before `main`. It is linked statically, as nvcc does, and whole.
///
/// The libraries that cudarc and candle's kernels ask the linker for are found empty in the output folder, which is searched
/// before the toolkit: an entry point that `late_binding` does not define is an error of the linker.
#[cfg(feature = "cuda")]
fn bind_late() {
    const RUNTIME: &str = "libcudart_static.a";
    for variable in ["CUDA_HOME", "CUDA_PATH", "NVCC"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let toolkit = cudaforge::CudaToolkit::detect().unwrap_or_else(|error| panic!("no CUDA toolkit: {error}"));
    let version = toolkit.version.unwrap_or_default();
    let Some((major, minor)) = version.split_once('.') else {
        panic!("`nvcc --version` names no release: `{version}`")
    };
    println!("cargo:rustc-env=GREENFORMERS_CUDA_MAJOR={major}");
    println!("cargo:rustc-env=GREENFORMERS_CUDA_MINOR={minor}");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    let arch = target("ARCH");
    if target("OS") != "linux" || !["x86_64", "aarch64"].contains(&arch.as_str()) {
        return;
    }
    println!("cargo:rustc-cfg=late_binding");
    // That of the compiler first: it is of the same version.
    let of_nvcc = toolkit.nvcc_path.canonicalize().ok().and_then(|nvcc| Some(nvcc.parent()?.parent()?.to_path_buf()));
    let named = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(Into::into);
    let roots: Vec<std::path::PathBuf> = of_nvcc.into_iter().chain(named).chain(["/usr/local/cuda".into()]).collect();
    let sbsa = if arch == "aarch64" { "targets/sbsa-linux/lib" } else { "targets/x86_64-linux/lib" };
    let below = ["lib64".to_owned(), "lib".to_owned(), sbsa.to_owned(), format!("lib/{arch}-linux-gnu")];
    let folders = roots.iter().flat_map(|root| below.iter().map(|folder| root.join(folder)));
    let Some(folder) = folders.clone().find(|folder| folder.join(RUNTIME).exists()) else {
        let folders: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        panic!("CUDA's `{RUNTIME}` is in none of {}: it is part of the toolkit's runtime package", folders.join(", "));
    };
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let empty = out.join("empty");
    for library in ["cuda", "cudart", "cublas", "cublasLt", "curand", "nvrtc"] {
        let written = std::fs::create_dir_all(&empty)
            .and_then(|()| std::fs::write(empty.join(format!("lib{library}.a")), "!<arch>\n"));
        written.unwrap_or_else(|error| panic!("cannot write to `{}`: {error}", empty.display()));
    }
    println!("cargo:rustc-link-search=native={}", empty.display());
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=static:+whole-archive=cudart_static");
}
