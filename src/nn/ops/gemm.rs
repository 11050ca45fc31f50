//! Matrix products of slices with strides: the one place that hands pointers to the `gemm` library.

use gemm::Parallelism;

use super::real::Real;

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
    assert_eq!(a.columns, b.rows, "inner lengths of a product");
    assert!(a.data.len() >= a.end() && b.data.len() >= b.end(), "factors of a product");
    assert!(out.len() >= a.rows * b.columns, "result of a product");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: gemm reads element (i, j) of each factor at `i * row_stride + j * column_stride` and writes element
    // (i, j) of the result at `i * columns + j`; the assertions above keep the largest of these offsets inside the
    // slices. `out` is borrowed mutably, so nothing else reads or writes it.
    #[expect(unsafe_code, reason = "the gemm library takes pointers")]
    #[expect(clippy::cast_possible_wrap, reason = "strides of slices fit isize")]
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
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
}
