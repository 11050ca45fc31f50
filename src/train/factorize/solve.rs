//! Two factors of a matrix.

use faer::{Mat, MatRef};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

use super::kind::Kind;
use super::ranks::{Curve, Size, most};

/// E, `(rank, d_in)`, and D, `(d_out, rank)`, by rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub(super) encode: Vec<f32>,
    pub(super) decode: Vec<f32>,
    pub(super) rank: usize,
    pub(super) size: Size,
}

/// A matrix, taken apart as far as any rank of it that is worth while.
pub(super) struct Solved {
    /// Singular values, the largest first.
    singular: Vec<f64>,
    /// Of the largest rank that is worth while: as many numbers as the matrix has.
    pair: Pair,
    /// Standard deviation of the matrix about zero.
    deviation: f64,
}

impl Solved {
    /// By singular values: `W = U S V^T`, `D = U S^1/2` and `E = S^1/2 V^T`, so that neither factor is much larger than the other.
    /// `None` if they are not found.
    pub(super) fn svd(w: &Mat<f64>) -> Option<Self> {
        let size = (w.ncols(), w.nrows());
        let svd = w.thin_svd().ok()?;
        let singular: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let rank = most(size).min(singular.len());
        let roots: Vec<f64> = singular.iter().take(rank).map(|s| s.sqrt()).collect();
        let (u, v) = (svd.U(), svd.V());
        let encode = (0..rank).flat_map(|r| (0..size.0).map(move |i| (r, i)));
        let decode = (0..size.1).flat_map(|o| (0..rank).map(move |r| (o, r)));
        let pair = Pair {
            encode: encode.map(|(r, i)| narrowed(v[(i, r)] * roots[r])).collect(),
            decode: decode.map(|(o, r)| narrowed(u[(o, r)] * roots[r])).collect(),
            rank,
            size,
        };
        Some(Self { singular, pair, deviation: deviation(w) })
    }

    /// Nothing but the scale of the matrix.
    pub(super) fn random(w: &Mat<f64>) -> Self {
        let size = (w.ncols(), w.nrows());
        let pair = Pair { encode: Vec::new(), decode: Vec::new(), rank: 0, size };
        Self { singular: Vec::new(), pair, deviation: deviation(w) }
    }

    pub(super) fn curve(&self) -> Curve<'_> {
        Curve { size: self.pair.size, singular: &self.singular }
    }

    pub(super) fn deviation(&self) -> f64 {
        self.deviation
    }

    /// The first `rank` rows of E and columns of D.
    pub(super) fn factors(&self, rank: usize) -> Pair {
        let Pair { encode, decode, rank: all, size } = &self.pair;
        let decode = decode.chunks(*all).flat_map(|row| &row[..rank]).copied().collect();
        Pair { encode: encode[..rank * size.0].to_vec(), decode, rank, size: *size }
    }
}

/// Factors that are drawn, so that the entries of their product have the deviation that those of the matrix had.
pub(super) fn drawn(name: &str, seed: u64, size: Size, rank: usize, deviation: f64) -> Pair {
    let hash = name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut rng = SmallRng::seed_from_u64(hash);
    // The variance of a sum of `rank` products is rank times the product of the variances.
    let own = (deviation / (rank as f64).sqrt()).sqrt();
    let mut draw = |n: usize| {
        let one = |_| {
            let draw: f64 = StandardNormal.sample(&mut rng);
            narrowed(own * draw)
        };
        (0..n).map(one).collect::<Vec<f32>>()
    };
    let (encode, decode) = (draw(rank * size.0), draw(size.1 * rank));
    Pair { encode, decode, rank, size }
}

/// The squared Frobenius norm of the difference of `w` and the product of the factors.
pub(super) fn difference(w: &Mat<f64>, pair: &Pair) -> f64 {
    let (d_in, d_out) = pair.size;
    let wide = |values: &[f32], rows, columns| {
        let values = MatRef::from_row_major_slice(values, rows, columns);
        Mat::from_fn(rows, columns, |i, j| f64::from(values[(i, j)]))
    };
    let product = wide(&pair.decode, d_out, pair.rank) * wide(&pair.encode, pair.rank, d_in);
    (w - product).squared_norm_l2()
}

impl Pair {
    /// The factors as they are read back from a file of this number type.
    pub(super) fn as_read(&self, kind: Kind) -> Self {
        let round = |values: &[f32]| values.iter().map(|value| kind.rounded(*value)).collect();
        Self { encode: round(&self.encode), decode: round(&self.decode), ..*self }
    }
}

fn deviation(w: &Mat<f64>) -> f64 {
    (w.squared_norm_l2() / (w.nrows() * w.ncols()).max(1) as f64).sqrt()
}

#[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
fn narrowed(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_of_a_low_rank_comes_back_whole_and_of_a_lower_one_as_near_as_can_be() {
        // 3 u v^T + 2 x y^T with orthonormal u, x and v, y, and nothing else.
        let (u, x) = ([0.6, 0.8, 0.0, 0.0, 0.0], [-0.8, 0.6, 0.0, 0.0, 0.0]);
        let (v, y) = ([0.0, 1.0, 0.0, 0.0], [0.28, 0.0, 0.96, 0.0]);
        for is_wide in [false, true] {
            let entry = |o: usize, i: usize| 3.0 * u[o] * v[i] + 2.0 * x[o] * y[i];
            let w = if is_wide { Mat::from_fn(4, 5, |i, o| entry(o, i)) } else { Mat::from_fn(5, 4, entry) };
            let solved = Solved::svd(&w).expect("it converges");
            assert!((solved.singular[0] - 3.0).abs() < 1e-14 && (solved.singular[1] - 2.0).abs() < 1e-14);
            assert!(difference(&w, &solved.factors(2)) < 1e-12);
            assert!((difference(&w, &solved.factors(1)) - 4.0).abs() < 1e-6);
        }
    }

    #[test]
    fn draws_have_the_scale_of_the_matrix_and_their_seed() {
        let pair = drawn("a", 1, (200, 300), 16, 0.05);
        assert_eq!((pair.encode.len(), pair.decode.len()), (16 * 200, 300 * 16));
        let norm = difference(&Mat::zeros(300, 200), &pair);
        assert!(((norm / 60_000.0).sqrt() / 0.05 - 1.0).abs() < 0.1, "{norm}");
        assert_eq!(pair, drawn("a", 1, (200, 300), 16, 0.05));
        assert_ne!(pair, drawn("b", 1, (200, 300), 16, 0.05));
        assert_ne!(pair, drawn("a", 2, (200, 300), 16, 0.05));
    }
}
