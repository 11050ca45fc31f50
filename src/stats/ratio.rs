//! How much one sample is above another.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::Interval;

/// The ratio of two geometric means with its 95 % interval: Welch's t interval (Welch 1947, Biometrika 34) on logarithms, with the
/// degrees of freedom of Satterthwaite (1946). A sample of one has the scatter of the other, or `usual_sd`, of logarithms, where
/// both are of one.
///
/// `None` if a sample is empty, or has a number that is not above 0.
///
/// ```
/// use greenformers::stats::ratio_of_means;
///
/// let ratio = ratio_of_means(&[10.0, 10.1, 9.9], &[11.0, 11.1, 10.9], 0.05).expect("numbers above 0");
/// assert!((ratio.mid - 1.1).abs() < 1e-3 && ratio.low > 1.05 && ratio.high < 1.15);
/// ```
#[must_use]
pub fn ratio_of_means(base: &[f64], new: &[f64], usual_sd: f64) -> Option<Interval> {
    let (base, new) = (Sample::of(base)?, Sample::of(new)?);
    let difference = new.mean - base.mean;
    let (a, b) = match (base.variance, new.variance) {
        (Some(a), Some(b)) => (a, b),
        (Some(one), None) | (None, Some(one)) => (one, one),
        (None, None) => (usual_sd.powi(2), usual_sd.powi(2)),
    };
    let (of_base, of_new) = (a / base.n, b / new.n);
    let error = (of_base + of_new).sqrt();
    // Of a scatter that is taken over there is as much known as where it was seen.
    let freedom = |n: f64, other: f64| if n > 1.0 { n - 1.0 } else { (other - 1.0).max(0.0) };
    let (free_base, free_new) = (freedom(base.n, new.n), freedom(new.n, base.n));
    let half = if error == 0.0 {
        0.0
    } else if free_base == 0.0 && free_new == 0.0 {
        1.96 * error
    } else {
        let part = |variance: f64, free: f64| if free > 0.0 { variance.powi(2) / free } else { 0.0 };
        let freedom = (of_base + of_new).powi(2) / (part(of_base, free_base) + part(of_new, free_new));
        let t = StudentsT::new(0.0, 1.0, freedom.max(1.0)).ok()?;
        t.inverse_cdf(0.975) * error
    };
    Some(Interval { mid: difference.exp(), low: (difference - half).exp(), high: (difference + half).exp() })
}

/// How many times the first of each pair the second is: the geometric mean over pairs, and its 95 % interval by Student's t on the
/// logarithms of the ratios. What the two of a pair share cancels. One pair has no scatter, and so no interval.
///
/// `None` if there is no pair, or one has a number that is not above 0.
///
/// ```
/// use greenformers::stats::ratio_of_pairs;
///
/// let (ratio, interval) = ratio_of_pairs(&[(1.0, 2.0), (10.0, 20.0)]).expect("numbers above 0");
/// assert!((ratio - 2.0).abs() < 1e-12 && interval.expect("two pairs").high < 2.000_001);
/// ```
#[must_use]
pub fn ratio_of_pairs(pairs: &[(f64, f64)]) -> Option<(f64, Option<Interval>)> {
    let usable = |x: f64| x.is_finite() && x > 0.0;
    if !pairs.iter().all(|(base, new)| usable(*base) && usable(*new)) {
        return None;
    }
    let ratios: Vec<f64> = pairs.iter().map(|(base, new)| new / base).collect();
    let Sample { n, mean, variance } = Sample::of(&ratios)?;
    let interval = variance.and_then(|variance| {
        let t = StudentsT::new(0.0, 1.0, n - 1.0).ok()?.inverse_cdf(0.975);
        let half = t * (variance / n).sqrt();
        Some(Interval { mid: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp() })
    });
    Some((mean.exp(), interval))
}

struct Sample {
    n: f64,
    mean: f64,
    /// Of one number none is known.
    variance: Option<f64>,
}

impl Sample {
    /// Of the logarithms.
    fn of(numbers: &[f64]) -> Option<Self> {
        if numbers.is_empty() || numbers.iter().any(|x| !x.is_finite() || *x <= 0.0) {
            return None;
        }
        let n = numbers.len() as f64;
        let mean = numbers.iter().map(|x| x.ln()).sum::<f64>() / n;
        let squares = numbers.iter().map(|x| (x.ln() - mean).powi(2)).sum::<f64>();
        Some(Self { n, mean, variance: (numbers.len() > 1).then(|| squares / (n - 1.0)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stream;

    #[test]
    fn two_samples_of_three_have_the_interval_worked_out_by_hand() {
        // Logarithms -s, 0, s and the same about ln 2: variances s², error s √(2/3), 4 degrees of freedom, t = 2.776445.
        let s: f64 = 0.1;
        let base = [(-s).exp(), 1.0, s.exp()];
        let ratio = ratio_of_means(&base, &base.map(|x| 2.0 * x), 0.0).expect("valid");
        let half = 2.776_445 * s * (2.0_f64 / 3.0).sqrt();
        assert!((ratio.mid - 2.0).abs() < 1e-12);
        assert!(
            (ratio.low - 2.0 * (-half).exp()).abs() < 1e-6 && (ratio.high - 2.0 * half.exp()).abs() < 1e-6,
            "{ratio:?}"
        );
    }

    #[test]
    fn pairs_share_what_cancels_and_one_pair_has_no_interval() {
        // Logarithms of the ratios -0.1, 0 and 0.1 about ln 2: a deviation of 0.1, an error of 0.1 / sqrt 3, t = 4.302653.
        let of = |base: f64, ln: f64| (base, 2.0 * base * ln.exp());
        let (ratio, interval) = ratio_of_pairs(&[of(1.0, -0.1), of(50.0, 0.0), of(7.0, 0.1)]).expect("valid");
        let interval = interval.expect("three pairs");
        assert!((ratio - 2.0).abs() < 1e-12, "{ratio}");
        assert!((interval.low - 1.560_074).abs() < 1e-5 && (interval.high - 2.563_981).abs() < 1e-5, "{interval:?}");
        assert_eq!(ratio_of_pairs(&[(4.0, 2.0)]), Some((0.5, None)));
        assert_eq!(ratio_of_pairs(&[]), None);
        assert_eq!(ratio_of_pairs(&[(1.0, 0.0)]), None);
        assert_eq!(ratio_of_pairs(&[(0.0, 1.0)]), None);
    }

    #[test]
    fn a_single_number_has_the_scatter_of_the_others_or_the_usual_one() {
        let one = ratio_of_means(&[1.0], &[1.1], 0.05).expect("valid");
        assert!((one.high / one.mid - (1.96 * 0.05 * 2.0_f64.sqrt()).exp()).abs() < 1e-9, "{one:?}");
        let taken = ratio_of_means(&[1.0], &[0.9, 1.0, 1.1], 0.0).expect("valid");
        assert!(taken.high > 1.2, "{taken:?}");
        assert_eq!(ratio_of_means(&[], &[1.0], 0.05), None);
        assert_eq!(ratio_of_means(&[0.0], &[1.0], 0.05), None);
        assert_eq!(ratio_of_means(&[2.0, 2.0], &[2.0, 2.0], 0.05), Some(Interval::point(1.0)));
    }

    #[test]
    fn of_a_thousand_pairs_alike_one_in_forty_seems_dearer() {
        let mut stream = Stream::new(7, "pairs");
        let mut of = |scale: f64| (0..5).map(|_| scale * (0.03 * stream.standard_normal()).exp()).collect::<Vec<f64>>();
        let (mut alarms, mut found) = (0, 0);
        for _ in 0..1000 {
            let (a, b, dearer) = (of(1.0), of(1.0), of(1.1));
            alarms += usize::from(ratio_of_means(&a, &b, 0.05).expect("valid").low > 1.0);
            found += usize::from(ratio_of_means(&a, &dearer, 0.05).expect("valid").low > 1.0);
        }
        assert!((10..=42).contains(&alarms), "{alarms} of 1000 pairs");
        assert!(found > 950, "{found} of 1000 were found");
    }
}
