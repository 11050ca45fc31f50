//! Matrix products of slices with strides: the one place that hands pointers to the `gemm` library.

use gemm::Parallelism;
use rayon::prelude::*;

use super::real::Real;

/// Columns come in multiples of the widest kernel.
const COLUMNS: usize = 16;
/// With fewer columns than this for each thread, the library divides the product.
const LEAST_COLUMNS: usize = 128;

/// A matrix in a slice: element (i, j) lies at `i * row_stride + j * column_stride`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    pub(super) data: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows that follow each other.
    pub(super) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows `row_stride` apart.
    pub(super) fn strided(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix, without moving anything.
    pub(super) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// One past the last element.
    fn end(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// How many threads a product may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The calling one: for products inside parallel loops.
    One,
    /// All of rayon's.
    All,
}

/// `out = a b * scale`, or `out += a b * scale` with `add`; out has rows that follow each other.
///
/// # Panics
/// If the shapes do not fit or a slice is too short.
pub(super) fn product<T: Real>(
    out: &mut [T],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: f64,
    add: bool,
    threads: Threads,
) {
    assert!(out.len() >= a.rows * b.columns, "result of a product");
    // SAFETY: the assertion above gives room for the result, and `out` is borrowed mutably.
    #[expect(unsafe_code, reason = "the gemm library takes pointers")]
    unsafe {
        product_at(out.as_mut_ptr(), a, b, scale, add, threads);
    }
}

/// `a b`, row by row.
///
/// # Panics
/// As [`product`].
pub(super) fn new_product<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>, threads: Threads) -> Vec<T> {
    let n = a.rows * b.columns;
    let mut out = Vec::with_capacity(n);
    // SAFETY: the vector has room for `n` elements, all of which the product writes without reading them.
    #[expect(unsafe_code, reason = "zeros that would be overwritten cost time")]
    unsafe {
        product_at(out.as_mut_ptr(), a, b, 1.0, false, threads);
        out.set_len(n);
    }
    out
}

/// Where a product is written, for the threads that share it.
#[derive(Clone, Copy)]
struct Out<T>(*mut T);

// SAFETY: each thread writes columns of its own.
#[expect(unsafe_code, reason = "disjoint parts of one result")]
unsafe impl<T: Send> Send for Out<T> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "disjoint parts of one result")]
unsafe impl<T: Send> Sync for Out<T> {}

impl<T> Out<T> {
    /// The element `n` further on.
    fn skip(self, n: usize) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

/// The product at a pointer.
///
/// All threads together each compute some columns: gemm's own division has every thread wait for panels that others
/// pack, which costs a quarter where b is transposed and long (768 outputs of 3072 inputs on two cores: 145 GFLOP/s
/// so, 185 by columns).
///
/// # Safety
/// `out` must have room for `a.rows * b.columns` elements that nobody else uses; with `add` they must be initialised.
#[expect(unsafe_code, reason = "the gemm library takes pointers")]
unsafe fn product_at<T: Real>(
    out: *mut T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: f64,
    add: bool,
    threads: Threads,
) {
    assert_eq!(a.columns, b.rows, "inner lengths of a product");
    assert!(a.data.len() >= a.end() && b.data.len() >= b.end(), "factors of a product");
    let (out, columns) = (Out(out), b.columns);
    let parts = if threads == Threads::All { rayon::current_num_threads() } else { 1 };
    let width = columns.div_ceil(parts).next_multiple_of(COLUMNS);
    // SAFETY: the caller gives room for the result; the assertions above check the factors.
    #[expect(unsafe_code, reason = "the gemm library takes pointers")]
    let some_columns = |first: usize, n: usize, parallelism| unsafe {
        let b = Matrix { data: &b.data[first * b.column_stride..], columns: n, ..b };
        gemm_at(out.skip(first), columns, a, b, scale, add, parallelism);
    };
    if parts == 1 || columns == 0 {
        some_columns(0, columns, Parallelism::None);
    } else if width < LEAST_COLUMNS {
        some_columns(0, columns, Parallelism::Rayon(0));
    } else {
        (0..columns.div_ceil(width)).into_par_iter().for_each(|part| {
            let first = part * width;
            some_columns(first, width.min(columns - first), Parallelism::None);
        });
    }
}

/// The product as the library computes it; the rows of `out` lie `row_stride` apart.
///
/// # Safety
/// The factors must have their elements, and `out` room for the result that nobody else uses.
#[expect(unsafe_code, reason = "the gemm library takes pointers")]
unsafe fn gemm_at<T: Real>(
    out: Out<T>,
    row_stride: usize,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    scale: f64,
    add: bool,
    parallelism: Parallelism,
) {
    // SAFETY: gemm reads element (i, j) of each factor at `i * row_stride + j * column_stride` and writes all of the
    // result, also where the inner length is 0; the rest is the caller's promise.
    #[expect(clippy::cast_possible_wrap, reason = "strides of slices fit isize")]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.0,
            1,
            row_stride as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            T::one(),
            T::of(scale),
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_with_strides_scale_and_addition_agree_with_loops() {
        let a: Vec<f64> = (0..21).map(|i| f64::from(i).sin()).collect(); // 3 x 7, of which 5 columns are used
        let b: Vec<f64> = (0..10).map(|i| f64::from(i).cos()).collect(); // 2 x 5, used transposed
        for (add, threads) in [(false, Threads::One), (true, Threads::All)] {
            let mut out = vec![1.0; 6];
            product(&mut out, Matrix::strided(&a, 3, 5, 7), Matrix::new(&b, 2, 5).t(), 0.5, add, threads);
            for i in 0..3 {
                for j in 0..2 {
                    let dot: f64 = (0..5).map(|k| a[i * 7 + k] * b[j * 5 + k]).sum();
                    let expected = 0.5 * dot + if add { 1.0 } else { 0.0 };
                    assert!((out[i * 2 + j] - expected).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn products_that_threads_share_agree_with_one_threads() {
        let a: Vec<f64> = (0..5 * 3).map(|i| f64::from(i).sin()).collect();
        let b: Vec<f64> = (0..3 * 1001).map(|i| f64::from(i).cos()).collect();
        let (a, b) = (Matrix::new(&a, 5, 3), Matrix::new(&b, 1001, 3).t());
        let (one, all) = (new_product(a, b, Threads::One), new_product(a, b, Threads::All));
        assert!(one.iter().zip(&all).all(|(x, y)| (x - y).abs() < 1e-14));
    }

    #[test]
    fn a_product_over_nothing_is_zero() {
        let nothing: [f32; 0] = [];
        assert_eq!(new_product(Matrix::new(&nothing, 2, 0), Matrix::new(&nothing, 0, 3), Threads::All), [0.0; 6]);
    }
}
