//! The entry points of CUDA's libraries that the program calls, defined here: each jumps to where its slot points.
//!
//! The linker is given empty libraries in the place of CUDA's (`build.rs`): a name that is missing here is one that it
//! does not find. `tests/gpu_emulation/build.py` reads the list.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::AtomicPtr;

/// Names that older and newer versions of CUDA write differently: a library may lack one of a pair. The older ones are
/// called by a program built with CUDA 12, `cuEventElapsedTime` up to 12.6.
pub(super) const OF_SOME_VERSIONS: [&str; 4] =
    ["cuDeviceGetUuid", "cuDeviceGetUuid_v2", "cuEventElapsedTime", "cuEventElapsedTime_v2"];

/// Code that jumps to where slot 3 points, at first to 2, which gives the name at 4 to `unbound`. Arguments stay where they
/// are: the library's function finds the registers and the stack of the call.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    () => {
        "jmp qword ptr [rip + 3f]\n2: lea rdi, [rip + 4f]\njmp {unbound}\n"
    };
}

/// The same for 64-bit ARM, where x16 is free between a call and its function. Assembled, but not run yet.
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    () => {
        "adrp x16, 3f\nldr x16, [x16, :lo12:3f]\nbr x16\n2: adrp x0, 4f\nadd x0, x0, :lo12:4f\nb {unbound}\n"
    };
}

macro_rules! entry_points {
    ($($library:expr => { $($name:ident)* })*) => {
        // Hidden: the libraries themselves, once loaded, call each other and not these.
        #[expect(unsafe_code, reason = "functions whose arguments only the caller and the library know")]
        mod functions {
            std::arch::global_asm!(
                ".pushsection .data.greenformers_cuda, \"aw\", @progbits\n.balign 8",
                ".globl greenformers_cuda_slots\n.hidden greenformers_cuda_slots\ngreenformers_cuda_slots:",
                ".popsection\n.pushsection .text.greenformers_cuda, \"ax\", @progbits\n.balign 8",
                $($(concat!(
                    ".globl ", stringify!($name), "\n",
                    ".hidden ", stringify!($name), "\n",
                    ".type ", stringify!($name), ", @function\n",
                    stringify!($name), ":\n",
                    jump!(),
                    ".size ", stringify!($name), ", . - ", stringify!($name), "\n",
                    ".pushsection .data.greenformers_cuda\n",
                    "3: .quad 2b\n",
                    ".popsection\n",
                    ".pushsection .rodata.greenformers_cuda, \"a\", @progbits\n",
                    "4: .asciz \"", stringify!($name), "\"\n",
                    ".popsection",
                ),)*)*
                ".popsection",
                unbound = sym super::unbound,
            );
        }

        /// The libraries in the order in which they are opened, and their entry points in the order of the slots.
        pub(super) const LIBRARIES: &[(&str, &[&str])] = &[$(($library, &[$(stringify!($name)),*])),*];

        /// Entry points in all.
        pub(super) const COUNT: usize = [$($(stringify!($name)),*),*].len();
    };
}

entry_points! {
    "libcuda.so.1" => {
        cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent
        cuDeviceGet cuDeviceGetAttribute cuDeviceGetDefaultMemPool cuDeviceGetName cuDeviceGetUuid cuDeviceGetUuid_v2
        cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain cuDeviceTotalMem_v2
        cuEventCreate cuEventDestroy_v2 cuEventElapsedTime cuEventElapsedTime_v2 cuEventRecord cuEventSynchronize
        cuFuncSetAttribute cuGetErrorString cuInit cuLaunchKernel
        cuMemAllocAsync cuMemAlloc_v2 cuMemFreeAsync cuMemFree_v2 cuMemGetInfo_v2
        cuMemPoolGetAttribute cuMemPoolSetAttribute cuMemPoolTrimTo
        cuMemcpyDtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync cuMemsetD8Async
        cuModuleGetFunction cuModuleLoad cuModuleLoadData cuModuleUnload
        cuStreamDestroy_v2 cuStreamIsCapturing cuStreamSynchronize cuStreamWaitEvent
    }
    concat!("libcublasLt.so.", env!("GREENFORMERS_CUDA_MAJOR")) => {
        cublasLtCreate cublasLtMatmul cublasLtMatmulAlgoGetHeuristic
        cublasLtMatmulDescCreate cublasLtMatmulDescDestroy cublasLtMatmulDescSetAttribute
        cublasLtMatmulPreferenceCreate cublasLtMatmulPreferenceDestroy cublasLtMatmulPreferenceSetAttribute
        cublasLtMatrixLayoutCreate cublasLtMatrixLayoutDestroy
    }
    concat!("libcublas.so.", env!("GREENFORMERS_CUDA_MAJOR")) => {
        cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasGemmStridedBatchedEx cublasSetStream_v2
    }
    "libcurand.so.10" => {
        curandCreateGenerator curandDestroyGenerator curandGenerateNormal curandGenerateNormalDouble
        curandGenerateUniform curandGenerateUniformDouble
        curandSetPseudoRandomGeneratorSeed curandSetStream
    }
}

#[expect(unsafe_code, reason = "laid out by the assembler")]
// SAFETY: the assembler lays out one slot of the size of a pointer for each name above, and nothing else refers to them.
unsafe extern "C" {
    /// Where each entry point jumps to, in the order of [`LIBRARIES`].
    #[link_name = "greenformers_cuda_slots"]
    safe static SLOTS: [AtomicPtr<c_void>; COUNT];
}

/// The slots, in the order of [`LIBRARIES`].
pub(super) fn slots() -> &'static [AtomicPtr<c_void>] {
    &SLOTS
}

/// What an entry point comes to before its slot was filled. A panic cannot leave it: the program ends.
extern "C" fn unbound(name: *const c_char) -> ! {
    // SAFETY: the code above calls this with the text of a name, which ends with a zero and lies in the program.
    #[expect(unsafe_code, reason = "a text of the assembler")]
    let name = unsafe { CStr::from_ptr(name) };
    panic!("`{}` was called, and CUDA's libraries have not been loaded or lack it", name.to_string_lossy());
}
