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

/// `W S = U s V^T`, and `E = U^T W`: of the first columns of U, `U E` is `U s V^T S^-1`, and no inverse is needed.
struct Apart {
    singular: Vec<f64>,
    /// As many columns as a rank is worth while.
    u: Mat<f64>,
    e: Mat<f64>,
}

impl Apart {
    fn new(w: &Mat<f64>, root: Option<&Mat<f64>>) -> Option<Self> {
        let svd = match root {
            Some(root) => (w * root).thin_svd(),
            None => w.thin_svd(),
        };
        let svd = svd.ok()?;
        let singular: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let u = svd.U().subcols(0, most((w.ncols(), w.nrows())).min(singular.len())).to_owned();
        let e = u.transpose() * w;
        Some(Self { singular, u, e })
    }
}

impl Solved {
    /// By singular values of `W`, or of `W S` with the root `S` of the second moments of its inputs. `None` if they are not found.
    pub(super) fn by_singular_values(w: &Mat<f64>, root: Option<&Mat<f64>>) -> Option<Self> {
        let size = (w.ncols(), w.nrows());
        let Apart { singular, u, e } = Apart::new(w, root)?;
        let rank = u.ncols();
        // A column of D and its row of E get the same norm, so that neither factor is much larger than the other.
        let shares: Vec<f64> = (0..rank).map(|r| e.row(r).norm_l2().sqrt()).collect();
        // A row of zeros stays one.
        let divided = |value: f64, share: f64| if share > 0.0 { narrowed(value / share) } else { 0.0 };
        let encode = (0..rank).flat_map(|r| (0..size.0).map(move |i| (r, i)));
        let decode = (0..size.1).flat_map(|o| (0..rank).map(move |r| (o, r)));
        let pair = Pair {
            encode: encode.map(|(r, i)| divided(e[(r, i)], shares[r])).collect(),
            decode: decode.map(|(o, r)| narrowed(u[(o, r)] * shares[r])).collect(),
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

/// The difference of `w` and the product of the factors.
pub(super) fn difference(w: &Mat<f64>, pair: &Pair) -> Mat<f64> {
    let (d_in, d_out) = pair.size;
    let wide = |values: &[f32], rows, columns| {
        let values = MatRef::from_row_major_slice(values, rows, columns);
        Mat::from_fn(rows, columns, |i, j| f64::from(values[(i, j)]))
    };
    w - wide(&pair.decode, d_out, pair.rank) * wide(&pair.encode, pair.rank, d_in)
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
    use faer::Side;

    use super::*;

    #[test]
    fn a_matrix_of_a_low_rank_comes_back_whole_and_of_a_lower_one_as_near_as_can_be() {
        // 3 u v^T + 2 x y^T with orthonormal u, x and v, y, and nothing else.
        let (u, x) = ([0.6, 0.8, 0.0, 0.0, 0.0], [-0.8, 0.6, 0.0, 0.0, 0.0]);
        let (v, y) = ([0.0, 1.0, 0.0, 0.0], [0.28, 0.0, 0.96, 0.0]);
        for is_wide in [false, true] {
            let entry = |o: usize, i: usize| 3.0 * u[o] * v[i] + 2.0 * x[o] * y[i];
            let w = if is_wide { Mat::from_fn(4, 5, |i, o| entry(o, i)) } else { Mat::from_fn(5, 4, entry) };
            let solved = Solved::by_singular_values(&w, None).expect("it converges");
            assert!((solved.singular[0] - 3.0).abs() < 1e-14 && (solved.singular[1] - 2.0).abs() < 1e-14);
            assert!(difference(&w, &solved.factors(2)).squared_norm_l2() < 1e-12);
            assert!((difference(&w, &solved.factors(1)).squared_norm_l2() - 4.0).abs() < 1e-6);
        }
    }

    fn transposed_product(x: &Mat<f64>) -> Mat<f64> {
        x.transpose() * x
    }

    #[test]
    fn the_whitened_product_is_that_of_torch() {
        // As `tests/goldens/factorize.py` prints it, which takes the inverse of S. Rank 2 would save no weights.
        let w = [[2.0, -1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, -2.0], [1.0, 1.0, 1.0]];
        let x = [[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, -1.0, 1.0], [0.0, 0.0, 5.0]];
        let theirs = [
            [0.049_202_520_695_066, 0.060_279_060_577_923, 0.108_591_219_039_967],
            [0.590_923_464_568_165, 0.723_952_976_685_449, 1.304_183_169_282_485],
            [-0.766_626_858_038_992, -0.939_210_962_438_131, -1.691_965_043_400_359],
            [0.499_419_076_967_597, 0.611_848_994_096_738, 1.102_230_650_251_324],
        ];
        let (w, x) = (Mat::from_fn(4, 3, |i, j| w[i][j]), Mat::from_fn(5, 3, |i, j| x[i][j]));
        let moments = transposed_product(&x);
        let root = moments.llt(Side::Lower).expect("it is definite").L().to_owned();
        let apart = Apart::new(&w, Some(&root)).expect("it converges");
        let near = &apart.u * &apart.e;
        let off = (near.clone() - Mat::from_fn(4, 3, |i, j| theirs[i][j])).norm_max();
        assert!(apart.u.ncols() == 1 && off < 1e-9, "{off:e}");
        let lost = ((&w - near) * &root).norm_l2() / (&w * &root).norm_l2();
        assert!((lost - 0.455_525_420_487_184_4).abs() < 1e-12, "{lost}");
        // What is lost is what the other singular values hold.
        let [first, second, third] = apart.singular[..] else { panic!("{:?}", apart.singular) };
        let rest = second * second + third * third;
        assert!((lost * lost - rest / (first * first + rest)).abs() < 1e-12);
    }

    #[test]
    fn no_other_matrix_of_the_rank_loses_less_on_the_inputs() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut draw = |rows, columns| Mat::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng));
        for (d_in, d_out, tokens) in [(12, 12, 40), (9, 20, 12), (20, 9, 25)] {
            let w: Mat<f64> = draw(d_out, d_in);
            // Inputs of very different sizes, and not independent.
            let x: Mat<f64> = draw(tokens, d_in) * Mat::from_fn(d_in, d_in, |i, j| 0.5f64.powf(0.5 * (i + j) as f64));
            let x = x + draw(tokens, d_in) * faer::Scale(0.1);
            let root = transposed_product(&x).llt(Side::Lower).expect("it is definite").L().to_owned();
            let lost = |near: &Mat<f64>| ((&w - near) * x.transpose()).norm_l2();
            let whitened = Solved::by_singular_values(&w, Some(&root)).expect("it converges");
            let plain = Solved::by_singular_values(&w, None).expect("it converges");
            for rank in 1..=most((d_in, d_out)) {
                let of = |solved: &Solved| &w - difference(&w, &solved.factors(rank));
                let (best, plain) = (lost(&of(&whitened)), lost(&of(&plain)));
                assert!(best < plain, "{rank}: {best} and {plain}");
                for _ in 0..20 {
                    // The nearest of a space that is drawn, any matrix, and one beside the best.
                    let space: Mat<f64> = draw(d_out, rank).qr().compute_thin_Q();
                    let near = of(&whitened) + draw(d_out, rank) * draw(rank, d_in) * faer::Scale(1e-3);
                    let beside = Solved::by_singular_values(&near, None).expect("it converges");
                    let beside = &near - difference(&near, &beside.factors(rank));
                    for other in [&space * (space.transpose() * &w), draw(d_out, rank) * draw(rank, d_in), beside] {
                        assert!(best <= lost(&other) * (1.0 + 1e-6), "{rank}: {best} and {}", lost(&other));
                    }
                }
            }
        }
    }

    #[test]
    fn draws_have_the_scale_of_the_matrix_and_their_seed() {
        let pair = drawn("a", 1, (200, 300), 16, 0.05);
        assert_eq!((pair.encode.len(), pair.decode.len()), (16 * 200, 300 * 16));
        let norm = difference(&Mat::zeros(300, 200), &pair).squared_norm_l2();
        assert!(((norm / 60_000.0).sqrt() / 0.05 - 1.0).abs() < 0.1, "{norm}");
        assert_eq!(pair, drawn("a", 1, (200, 300), 16, 0.05));
        assert_ne!(pair, drawn("b", 1, (200, 300), 16, 0.05));
        assert_ne!(pair, drawn("a", 2, (200, 300), 16, 0.05));
    }
}
