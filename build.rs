//! Compiles the GPU kernels, where the program is built for GPUs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    compile_kernels();
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
