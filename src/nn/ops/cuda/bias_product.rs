//! A matrix product that adds a bias before it is rounded, by cuBLASLt: the bias by itself would be written to all rows
//! first and read again, which for BERT's linears takes as long as a tenth of their products.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cublas::sys as cublas;
use candle_core::cuda_backend::cudarc::cublaslt::{result, sys};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr};
use candle_core::cuda_backend::{CudaDevice, DeviceId, gemm_reduced_precision_f32};
use candle_core::{DType, Result, Tensor, bail};

use super::launch::{address, device};
use super::product::Matrix;

/// Memory that an algorithm may use while it runs: what NVIDIA recommends for Hopper, and enough for older GPUs.
const WORKSPACE_BYTES: usize = 32 << 20;
/// Addresses at multiples of this are as good as any.
const ALIGNMENT: u64 = 256;

/// What an algorithm is chosen for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    out: usize,
    rows: usize,
    columns: usize,
    /// Elements from a row of the result to the next.
    out_stride: usize,
    dtype: DType,
    tf32: bool,
    /// The largest power of two, up to `ALIGNMENT`, that divides all addresses.
    alignment: u64,
}

/// cuBLASLt on one device, with the algorithms that it has chosen; `None` where it has none.
struct Library {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    algorithms: HashMap<Shape, Option<sys::cublasLtMatmulAlgo_t>>,
}

thread_local! {
    /// For as long as the thread runs: making a handle takes longer than a step. It is not given back, since the driver may
    /// have gone before.
    static LIBRARIES: RefCell<HashMap<DeviceId, Library>> = RefCell::default();
}

/// `out = x w^T + bias` for x `(rows, columns)`, w `(out, columns)` and bias `(out)`, all of one dtype. `false` if cuBLASLt
/// has no algorithm for it: then nothing was done.
pub(super) fn product_with_bias(out: Matrix, [x, w]: [Matrix; 2], bias: &Tensor) -> Result<bool> {
    let (gpu, dtype) = (device(bias)?, x.dtype);
    if (w.columns, out.rows, out.columns) != (x.columns, x.rows, w.rows) || bias.elem_count() < w.rows {
        bail!("x {} x {}, w {} x {}, bias {:?}", x.rows, x.columns, w.rows, w.columns, bias.dims());
    }
    if [w.dtype, out.dtype, bias.dtype()] != [dtype; 3] {
        bail!("a product with a bias of {:?}, {:?}, {:?} into {:?}", dtype, w.dtype, bias.dtype(), out.dtype);
    }
    if x.rows == 0 || x.columns == 0 || w.rows == 0 {
        return Ok(false);
    }
    let addresses = [x.address, w.address, out.address, address(bias)?];
    let shape = Shape {
        out: w.rows,
        rows: x.rows,
        columns: x.columns,
        out_stride: out.row_stride,
        dtype,
        tf32: dtype == DType::F32 && gemm_reduced_precision_f32(),
        alignment: addresses.iter().fold(ALIGNMENT, |least, a| least.min(1 << a.trailing_zeros().min(8))),
    };
    LIBRARIES.with_borrow_mut(|libraries| {
        let library = match libraries.entry(gpu.id()) {
            std::collections::hash_map::Entry::Occupied(library) => library.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Library::new(gpu)?),
        };
        library.run(gpu, shape, addresses)
    })
}

impl Library {
    fn new(gpu: &CudaDevice) -> Result<Self> {
        let handle = result::create_handle().map_err(failed)?;
        // SAFETY: nobody reads what an algorithm leaves there.
        #[expect(unsafe_code, reason = "a workspace that is not cleared")]
        let workspace = unsafe { gpu.alloc::<u8>(WORKSPACE_BYTES) }?;
        Ok(Self { handle, workspace, algorithms: HashMap::new() })
    }

    fn run(&mut self, gpu: &CudaDevice, shape: Shape, [x, w, out, bias]: [u64; 4]) -> Result<bool> {
        let problem = Problem::new(shape, bias)?;
        let handle = self.handle;
        let chosen = self.algorithms.entry(shape).or_insert_with(|| problem.algorithm(handle, shape.alignment).ok());
        let Some(algorithm) = chosen else { return Ok(false) };
        let stream = gpu.cuda_stream();
        let (alpha, beta) = (1f32, 0f32);
        // Rows follow each other, where cuBLASLt has columns: it computes out^T = w x^T.
        // SAFETY: the addresses are those of live tensors of the shapes that the descriptors give; work on them, and on the
        // workspace, is queued on one stream.
        #[expect(unsafe_code, reason = "cuBLASLt takes pointers")]
        let status = unsafe {
            result::matmul(
                handle,
                problem.product,
                (&raw const alpha).cast::<c_void>(),
                (&raw const beta).cast::<c_void>(),
                w as *const c_void,
                problem.w,
                x as *const c_void,
                problem.x,
                out as *const c_void,
                problem.out,
                out as *mut c_void,
                problem.out,
                algorithm,
                self.workspace.device_ptr(&stream).0 as *mut c_void,
                WORKSPACE_BYTES,
                stream.cu_stream().cast(),
            )
        };
        // An algorithm that the library proposes and then refuses is not asked for again.
        if status.is_err() {
            *chosen = None;
        }
        Ok(status.is_ok())
    }
}

/// The descriptors of a product, for as long as they are needed.
struct Problem {
    product: sys::cublasLtMatmulDesc_t,
    w: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
}

impl Problem {
    fn new(shape: Shape, bias: u64) -> Result<Self> {
        let data = data_type(shape.dtype)?;
        let compute = if shape.tf32 {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
        } else {
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
        };
        let layout = |rows: usize, columns: usize, between: usize| {
            let between =
                i64::try_from(between).map_err(|_| candle_core::Error::Msg(format!("a side of {between}")))?;
            result::create_matrix_layout(data, rows as u64, columns as u64, between).map_err(failed)
        };
        let problem = Self {
            product: result::create_matmul_desc(compute, sys::cudaDataType::CUDA_R_32F).map_err(failed)?,
            w: layout(shape.columns, shape.out, shape.columns)?,
            x: layout(shape.columns, shape.rows, shape.columns)?,
            out: layout(shape.out, shape.rows, shape.out_stride)?,
        };
        problem.set(
            sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA,
            &cublas::cublasOperation_t::CUBLAS_OP_T,
        )?;
        let epilogue = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
        problem.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        problem.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        Ok(problem)
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<()> {
        // SAFETY: each attribute is given a value of its type, whose size goes with it; it is copied.
        #[expect(unsafe_code, reason = "attributes are passed by address")]
        unsafe {
            result::set_matmul_desc_attribute(self.product, attribute, (&raw const *value).cast(), size_of::<T>())
        }
        .map_err(failed)
    }

    /// The algorithm that the library holds for the fastest.
    fn algorithm(&self, handle: sys::cublasLtHandle_t, alignment: u64) -> Result<sys::cublasLtMatmulAlgo_t> {
        use sys::cublasLtMatmulPreferenceAttributes_t as Attribute;
        let preference = result::create_matmul_pref().map_err(failed)?;
        let alignment = u32::try_from(alignment).unwrap_or(1);
        let alignments = [
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            Attribute::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ];
        // SAFETY: the descriptors live until the end of this function, or of `self`; the attributes are a number of 64 bits
        // and four of 32, as the library has them.
        #[expect(unsafe_code, reason = "attributes are passed by address")]
        let found = unsafe {
            let set = |attribute, value: *const c_void, bytes| {
                result::set_matmul_pref_attribute(preference, attribute, value, bytes)
            };
            let workspace = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            set(workspace, (&raw const WORKSPACE_LIMIT).cast(), size_of::<u64>())
                .and_then(|()| alignments.into_iter().try_for_each(|a| set(a, (&raw const alignment).cast(), 4)))
                .and_then(|()| {
                    let out = self.out;
                    result::get_matmul_algo_heuristic(handle, self.product, self.w, self.x, out, out, preference)
                })
        };
        // SAFETY: made above, and not used any more.
        #[expect(unsafe_code, reason = "giving back what the library made")]
        let _ = unsafe { result::destroy_matmul_pref(preference) };
        found.map(|heuristic| heuristic.algo).map_err(failed)
    }
}

static WORKSPACE_LIMIT: u64 = WORKSPACE_BYTES as u64;

impl Drop for Problem {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and used by calls that have returned: the library keeps no reference to descriptors.
        #[expect(unsafe_code, reason = "giving back what the library made")]
        unsafe {
            let _ = result::destroy_matmul_desc(self.product);
            for layout in [self.w, self.x, self.out] {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

fn failed(error: result::CublasError) -> candle_core::Error {
    candle_core::Error::Msg(format!("cuBLASLt: {error}"))
}

fn data_type(dtype: DType) -> Result<sys::cudaDataType> {
    match dtype {
        DType::F32 => Ok(sys::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(sys::cudaDataType::CUDA_R_16BF),
        DType::F16 => Ok(sys::cudaDataType::CUDA_R_16F),
        other => bail!("no matrix product of {other:?}"),
    }
}
