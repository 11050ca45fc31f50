//! What a run takes where each architecture trains until it has the loss of dense, instead of for the same number of steps.

use super::output::{EqualLoss, Estimate};
use crate::estimate::ledger::quantity::{Compared, Quantity};
use crate::estimate::request::steps_to_loss::StepsToLoss;
use crate::model::Config;
use crate::stats::Interval;

/// Says of every estimate that is compared with dense what it takes to an equal loss. Everything grows with the steps; the factor is
/// independent of what a step takes, so deviations of logarithms add up as squares (JCGM 100, §5.1.6).
pub fn to_equal_loss(estimates: &mut [Estimate], model: &Config, evidence: &StepsToLoss) {
    for estimate in estimates {
        let Some(factor) = estimate.arch.and_then(|arch| evidence.of(arch, model)) else { continue };
        if estimate.vs_dense.is_none() {
            continue;
        }
        let vs_dense = Compared::of_each(|quantity: Quantity| Some(product(estimate.ratio(quantity)?, factor.steps)));
        estimate.equal_loss = Some(EqualLoss { steps_vs_dense: factor.steps, vs_dense, source: factor.source });
    }
}

/// The product of two independent positive numbers.
fn product(a: Interval, b: Interval) -> Interval {
    let mid = a.mid * b.mid;
    let end = |of: fn(Interval) -> f64| (of(a) / a.mid).ln().hypot((of(b) / b.mid).ln());
    Interval { mid, low: mid * (-end(|i| i.low)).exp(), high: mid * end(|i| i.high).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_of_independent_factors_add_up_as_squares_of_logarithms() {
        // 1.2^(3/5) and 1.2^(4/5) in both directions make 1.2.
        let of =
            |mid: f64, share: f64| Interval { mid, low: mid / 1.2_f64.powf(share), high: mid * 1.2_f64.powf(share) };
        let found = product(of(0.8, 0.6), of(1.5, 0.8));
        assert!((found.mid - 1.2).abs() < 1e-12);
        assert!((found.low - 1.0).abs() < 1e-12 && (found.high - 1.44).abs() < 1e-12, "{found:?}");
    }
}
