//! Functions of f32 without branches, so that the compiler can compute several at once. Their errors are bounded
//! by tests against the exact functions.

/// `e^x` to a relative error of 2e-7 from -87 to 88; 0 below and capped above.
///
/// `x = n ln 2 + r` with |r| <= ln 2 / 2; `e^r` by its Taylor series to r^7; `2^n` by the exponent's bits.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "constants of f32 arithmetic")]
pub(super) fn exp(x: f32) -> f32 {
    // ln 2 in two parts, so that n ln 2 is subtracted without loss (Cody and Waite 1980).
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the last bits, from where it is read: a cast
    // to an integer saturates, which the compiler cannot do to several at once.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let scaled = p * f32::from_bits(exponent << 23);
    if x < -87.0 { 0.0 } else { scaled }
}

/// The error function to a relative error of 1e-6.
///
/// A rational approximation on [-4, 4], beyond which erf is 1 in f32 (coefficients as in Eigen's `erf`).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "coefficients as published")]
pub(super) fn erf(x: f32) -> f32 {
    const P: [f32; 7] = [
        -2.726_142_258e-10,
        2.770_681_425e-8,
        -2.101_024_024e-6,
        -5.692_506_395e-5,
        -7.349_906_303e-4,
        -2.954_599_809e-3,
        -1.609_603_333e-2,
    ];
    const Q: [f32; 5] = [-1.456_607_185e-5, -2.133_740_553e-4, -1.682_826_974e-3, -7.373_329_167e-3, -1.426_473_905e-2];
    let x = x.clamp(-4.0, 4.0);
    let x2 = x * x;
    let mut p = P[0];
    for c in &P[1..] {
        p = p * x2 + c;
    }
    let mut q = Q[0];
    for c in &Q[1..] {
        q = q * x2 + c;
    }
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(from: f32, to: f32, approximate: fn(f32) -> f32, exact: fn(f64) -> f64) -> (f64, f32) {
        let steps = 400_000;
        (0..=steps)
            .map(|i| from + (to - from) * (i as f32 / steps as f32))
            .filter(|x| *x != 0.0)
            .map(|x| {
                let exact = exact(f64::from(x));
                ((f64::from(approximate(x)) / exact - 1.0).abs(), x)
            })
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .expect("many points")
    }

    #[test]
    fn exp_is_exact_to_two_ten_millionths() {
        let (error, at) = worst(-87.0, 88.0, exp, f64::exp);
        assert!(error < 2e-7, "{error:e} at {at}");
        assert_eq!((exp(-200.0), exp(f32::NEG_INFINITY)), (0.0, 0.0));
        assert!(exp(1000.0).is_finite());
    }

    #[test]
    fn erf_is_exact_to_a_millionth() {
        let (error, at) = worst(-6.0, 6.0, erf, libm::erf);
        assert!(error < 1e-6, "{error:e} at {at}");
    }
}
