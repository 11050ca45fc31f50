//! Matrix products by cuBLAS, in batches, with sums in f32.

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::cuda_backend::{WrapErr, gemm_reduced_precision_f32};
use candle_core::{DType, Result, Tensor, bail};

use super::launch::{address, device, empty, rows_of, too_large};
use crate::nn::ops::Gradients;

/// A matrix, or the first of a batch, in device memory: rows follow each other at a distance.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) address: u64,
    pub(super) dtype: DType,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Elements from a stored row to the next.
    pub(super) row_stride: usize,
    /// Elements from a matrix of the batch to the next; 0 where all are the same.
    batch_stride: usize,
    transposed: bool,
}

impl Matrix {
    /// The elements of a contiguous tensor as matrices of `rows` x `columns`, one after the other.
    pub(super) fn new(x: &Tensor, rows: usize, columns: usize) -> Result<Self> {
        Ok(Self {
            address: address(x)?,
            dtype: x.dtype(),
            rows,
            columns,
            row_stride: columns,
            batch_stride: rows * columns,
            transposed: false,
        })
    }

    /// The same of a matrix alone, whose rows may be longer than it is wide.
    pub(super) fn of_rows(x: &Tensor, rows: usize, columns: usize) -> Result<Self> {
        let (address, row_stride) = rows_of(x, columns)?;
        let batch_stride = rows * row_stride;
        Ok(Self { address, dtype: x.dtype(), rows, columns, row_stride, batch_stride, transposed: false })
    }

    /// The first `columns` columns of a matrix, the same for a whole batch.
    pub(super) fn first_columns(self, columns: usize) -> Self {
        Self { columns, batch_stride: 0, ..self }
    }

    /// The first `rows` rows of a matrix.
    fn first_rows(self, rows: usize) -> Self {
        Self { rows, ..self }
    }

    /// `rows` rows of each matrix from the `first` on, in the batch from matrix `skip` on.
    pub(super) fn part(self, skip: usize, first: usize, rows: usize) -> Self {
        let elements = skip * self.batch_stride + first * self.row_stride;
        Self { address: self.address + (elements * self.dtype.size_in_bytes()) as u64, rows, ..self }
    }

    /// The matrices of a batch from number `skip` on.
    pub(super) fn from(self, skip: usize) -> Self {
        self.part(skip, 0, self.rows)
    }

    /// The transposed matrix, without moving anything.
    pub(super) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }
}

/// `out = a b * scale` for each of a batch, or `out += a b * scale` with `add`. The type of `out` is that of both
/// factors, or f32.
pub(super) fn product(
    on: &Tensor,
    out: Matrix,
    [a, b]: [Matrix; 2],
    batch: usize,
    scale: f64,
    add: bool,
) -> Result<()> {
    if a.columns != b.rows || (a.rows, b.columns) != (out.rows, out.columns) || a.dtype != b.dtype || out.transposed {
        bail!(
            "a product of {} x {} {:?} and {} x {} {:?} into {} x {}",
            a.rows,
            a.columns,
            a.dtype,
            b.rows,
            b.columns,
            b.dtype,
            out.rows,
            out.columns
        );
    }
    if out.rows == 0 || out.columns == 0 || batch == 0 {
        return Ok(());
    }
    let int = |n: usize| i32::try_from(n).map_err(|_| too_large(&format!("a product with a side of {n}")));
    let compute = if a.dtype == DType::F32 && gemm_reduced_precision_f32() {
        sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
    } else {
        sys::cublasComputeType_t::CUBLAS_COMPUTE_32F
    };
    #[expect(clippy::cast_possible_truncation, reason = "cuBLAS takes the factors of sums in f32")]
    let (alpha, beta) = (scale as f32, if add { 1f32 } else { 0.0 });
    let blas = device(on)?.cublas_handle();
    // cuBLAS stores columns one after the other, so it sees each matrix transposed: out^T = b^T a^T.
    #[expect(clippy::cast_possible_wrap, reason = "strides of tensors fit i64")]
    // SAFETY: the addresses are those of live tensors of the shapes given; work on them is queued on one stream.
    #[expect(unsafe_code, reason = "cuBLAS takes pointers")]
    unsafe {
        result::gemm_strided_batched_ex(
            *blas.handle(),
            operation(b),
            operation(a),
            int(out.columns)?,
            int(out.rows)?,
            int(a.columns)?,
            (&raw const alpha).cast::<c_void>(),
            b.address as *const c_void,
            data_type(b.dtype)?,
            int(b.row_stride)?,
            b.batch_stride as i64,
            a.address as *const c_void,
            data_type(a.dtype)?,
            int(a.row_stride)?,
            a.batch_stride as i64,
            (&raw const beta).cast::<c_void>(),
            out.address as *mut c_void,
            data_type(out.dtype)?,
            int(out.row_stride)?,
            out.batch_stride as i64,
            int(batch)?,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
        )
    }
    .w()
}

fn operation(m: Matrix) -> sys::cublasOperation_t {
    if m.transposed { sys::cublasOperation_t::CUBLAS_OP_T } else { sys::cublasOperation_t::CUBLAS_OP_N }
}

fn data_type(dtype: DType) -> Result<sys::cudaDataType> {
    match dtype {
        DType::F32 => Ok(sys::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(sys::cudaDataType::CUDA_R_16BF),
        DType::F16 => Ok(sys::cudaDataType::CUDA_R_16F),
        other => bail!("no matrix product of {other:?}"),
    }
}

impl Gradients {
    /// Adds the product `a b`, for each of a batch, to the gradient for `x`. The product may have more rows than x: they are
    /// computed the first time, and not looked at.
    pub(super) fn product_on_cuda(&mut self, x: &Tensor, [a, b]: [Matrix; 2], batch: usize) -> Result<()> {
        if !self.wants(x) {
            return Ok(());
        }
        let rows = x.elem_count() / (batch * b.columns).max(1);
        if let Some(sum) = self.get(x) {
            return product(x, Matrix::new(sum, rows, b.columns)?, [a.first_rows(rows), b], batch, 1.0, true);
        }
        let sum = if a.rows == rows {
            empty(x.shape(), x.dtype(), x)?
        } else {
            empty((batch * a.rows, b.columns), x.dtype(), x)?.narrow(0, 0, batch * rows)?.reshape(x.shape())?
        };
        product(x, Matrix::new(&sum, a.rows, b.columns)?, [a, b], batch, 1.0, false)?;
        self.set(x.id(), sum);
        Ok(())
    }
}
