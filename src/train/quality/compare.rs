//! What it takes to reach an equal loss, from loss curves alone: no clock, no file.

use serde::Serialize;

use crate::stats::{Interval, first_reached, ratio_of_pairs};
use crate::train::pretrain::Point;

/// The evaluations of a training.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// Of the weights and of the order of the text: two trainings of one seed are a pair.
    pub seed: u64,
    /// In the order of their steps.
    pub points: &'a [Point],
}

/// At which loss two architectures are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The lowest that dense reaches with every seed.
    Dense,
    /// The lowest that both reach with every seed, since the other does not reach that of dense.
    Both,
}

/// What an architecture takes to a loss, beside dense.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Factor {
    /// What dense takes, seed by seed.
    pub dense: Vec<f64>,
    /// What the architecture takes, of the same seeds.
    pub own: Vec<f64>,
    /// How many times as much: the geometric mean over seeds.
    pub ratio: f64,
    /// Its 95 % interval, by Student's t on the logarithms of the seeds' ratios; `None` of one seed.
    pub interval: Option<Interval>,
}

/// A loss that an architecture does not reach: what is known is a bound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotReached {
    /// With which seeds it does not.
    pub seeds: Vec<u64>,
    /// In so many steps.
    pub steps: u64,
    /// It takes more than so many times the steps of dense: the geometric mean over seeds, with all steps made of those that do not reach it.
    pub more_than_steps: Option<f64>,
    /// The same of seconds.
    pub more_than_seconds: Option<f64>,
    /// The same of joules.
    pub more_than_joules: Option<f64>,
}

/// An architecture beside dense.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The architecture.
    pub arch: String,
    /// The lowest held-out loss that dense reaches with every seed.
    pub dense_loss: f64,
    /// Where the architecture does not reach this loss: the bound.
    pub not_reached: Option<NotReached>,
    /// The loss at which the factors are.
    pub loss: f64,
    /// Which loss this is.
    pub basis: Basis,
    /// How many times the steps; `None` where nothing was learned.
    pub steps: Option<Factor>,
    /// How many times the tokens.
    pub tokens: Option<Factor>,
    /// How many times the seconds.
    pub seconds: Option<Factor>,
    /// How many times the joules; `None` where they are not metered.
    pub joules: Option<Factor>,
}

/// Compares an architecture with dense, seed by seed. `None` if they share no seed, or a curve is empty.
///
/// The loss is one for all seeds: the highest, over seeds, of the lowest that dense reaches. The mean over seeds would not do, since about
/// half of them never reach it.
#[must_use]
pub fn compare(arch: &str, dense: &[Curve<'_>], own: &[Curve<'_>]) -> Option<Comparison> {
    let other = |seed| own.iter().find(|curve| curve.seed == seed);
    let pairs: Vec<(Curve<'_>, Curve<'_>)> = dense.iter().filter_map(|d| Some((*d, *other(d.seed)?))).collect();
    let worst = |lowest: &mut dyn Iterator<Item = f64>| lowest.reduce(f64::max).filter(|loss| loss.is_finite());
    let dense_loss = worst(&mut pairs.iter().map(|(d, _)| d.lowest()))?;
    let own_loss = worst(&mut pairs.iter().map(|(_, o)| o.lowest()))?;
    let (loss, basis) = if own_loss <= dense_loss { (dense_loss, Basis::Dense) } else { (own_loss, Basis::Both) };
    let factor = |of: &dyn Fn(&Point) -> Option<f64>| {
        let taken = |curve: &Curve<'_>| curve.taken_to(loss, of);
        let all: Option<Vec<(f64, f64)>> = pairs.iter().map(|(d, o)| taken(d).zip(taken(o))).collect();
        let all = all?;
        let (ratio, interval) = ratio_of_pairs(&all)?;
        let (dense, own) = all.into_iter().unzip();
        Some(Factor { dense, own, ratio, interval })
    };
    Some(Comparison {
        arch: arch.to_owned(),
        dense_loss,
        not_reached: (basis == Basis::Both).then(|| bound(&pairs, dense_loss)),
        loss,
        basis,
        steps: factor(&steps),
        tokens: factor(&|point| Some(point.tokens as f64)),
        seconds: factor(&seconds),
        joules: factor(&|point| point.joules),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "joules may be unknown, and these are asked for as they are")]
fn steps(point: &Point) -> Option<f64> {
    Some(point.step as f64)
}

#[expect(clippy::unnecessary_wraps, reason = "joules may be unknown, and these are asked for as they are")]
fn seconds(point: &Point) -> Option<f64> {
    Some(point.seconds)
}

/// What is known of a loss that some seeds of the second of each pair do not reach.
fn bound(pairs: &[(Curve<'_>, Curve<'_>)], loss: f64) -> NotReached {
    let missed = || pairs.iter().filter(|(_, own)| own.lowest() > loss);
    let more_than = |of: &dyn Fn(&Point) -> Option<f64>| {
        let taken = |(dense, own): &(Curve<'_>, Curve<'_>)| {
            // Where it is not reached, it takes more than all of the steps.
            let made = || own.points.last().and_then(of);
            let own = if own.lowest() > loss { made() } else { own.taken_to(loss, of) };
            dense.taken_to(loss, of).zip(own)
        };
        let all: Option<Vec<(f64, f64)>> = pairs.iter().map(taken).collect();
        Some(ratio_of_pairs(&all?)?.0)
    };
    NotReached {
        seeds: missed().map(|(_, own)| own.seed).collect(),
        steps: missed().filter_map(|(_, own)| Some(own.points.last()?.step)).min().unwrap_or(0),
        more_than_steps: more_than(&steps),
        more_than_seconds: more_than(&seconds),
        more_than_joules: more_than(&|point| point.joules),
    }
}

impl<'a> Curve<'a> {
    /// The evaluations of the model that a checkpoint holds: while dense matrices guide its factors, a loss is theirs as well.
    fn own(&self) -> impl Iterator<Item = &'a Point> {
        self.points.iter().filter(|point| point.guide <= 0.0)
    }

    /// The lowest loss of all evaluations; infinite where there are none.
    fn lowest(&self) -> f64 {
        self.own().map(|point| point.held_out_loss.mid).fold(f64::INFINITY, f64::min)
    }

    /// What was taken when the loss was reached first: the step by [`first_reached`], and between two evaluations all else in a line
    /// against steps, since steps of one training take about as long as each other.
    fn taken_to(&self, loss: f64, of: &dyn Fn(&Point) -> Option<f64>) -> Option<f64> {
        let points: Vec<&Point> = self.own().collect();
        let curve: Vec<(f64, f64)> = points.iter().map(|p| (p.step as f64, p.held_out_loss.mid)).collect();
        let step = first_reached(&curve, loss)?;
        let after = points.iter().position(|point| point.step as f64 >= step)?;
        let next = points[after];
        let Some(before) = after.checked_sub(1).map(|before| points[before]) else { return of(next) };
        let share = (step - before.step as f64) / (next.step - before.step) as f64;
        let (from, to) = of(before).zip(of(next))?;
        Some(from + share * (to - from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evaluations after so many steps with so low a loss: a step is 10 tokens, and takes `seconds` and 2 J a second.
    fn curve(seconds: f64, points: &[(u64, f64)]) -> Vec<Point> {
        let point = |(step, loss): &(u64, f64)| Point {
            step: *step,
            tokens: 10 * step,
            seconds: seconds * *step as f64,
            joules: Some(2.0 * seconds * *step as f64),
            lr: 0.001,
            train_loss: None,
            held_out_loss: Interval::point(*loss),
            guide: 0.0,
        };
        points.iter().map(point).collect()
    }

    fn view(all: &[(u64, Vec<Point>)]) -> Vec<Curve<'_>> {
        all.iter().map(|(seed, points)| Curve { seed: *seed, points }).collect()
    }

    fn ratio(factor: Option<&Factor>, expected: f64) {
        let found = factor.expect("it is reached").ratio;
        assert!((found / expected - 1.0).abs() < 1e-9, "{found}, and {expected} was worked out");
    }

    #[test]
    fn curves_that_cross_are_compared_where_dense_ends() {
        // The other is behind until 200 and ahead at 400: it reaches 4.0 half of the way from 4.5 to 3.5, at sqrt(200 x 400) steps.
        let dense = curve(1.0, &[(0, 8.0), (100, 5.0), (200, 4.4), (400, 4.0)]);
        let own = curve(0.5, &[(0, 8.0), (100, 6.0), (200, 4.5), (400, 3.5)]);
        let of = |points| [Curve { seed: 0, points }];
        let found = compare("lrt:rank=4", &of(&dense), &of(&own)).expect("one seed of both");
        assert_eq!((found.loss, found.basis, &found.not_reached), (4.0, Basis::Dense, &None));
        let steps = (200.0_f64 * 400.0).sqrt();
        ratio(found.steps.as_ref(), steps / 400.0);
        ratio(found.tokens.as_ref(), steps / 400.0);
        ratio(found.seconds.as_ref(), 0.5 * steps / 400.0);
        ratio(found.joules.as_ref(), 0.5 * steps / 400.0);
        assert_eq!(found.steps.expect("reached").interval, None, "one seed has no scatter");
        // The other way round, it is not reached.
        let found = compare("dense", &of(&own), &of(&dense)).expect("one seed of both");
        assert_eq!((found.loss, found.basis), (4.0, Basis::Both));
    }

    #[test]
    fn a_loss_that_is_not_reached_is_a_bound_and_no_extrapolation() {
        let dense = curve(1.0, &[(0, 8.0), (100, 5.0), (200, 4.0)]);
        let own = curve(2.0, &[(0, 8.0), (100, 6.0), (200, 5.0)]);
        let of = |points| [Curve { seed: 3, points }];
        let found = compare("lrt:rank=1", &of(&dense), &of(&own)).expect("one seed of both");
        assert_eq!((found.dense_loss, found.loss, found.basis), (4.0, 5.0, Basis::Both));
        let bound = found.not_reached.expect("it is not reached");
        assert_eq!((bound.seeds, bound.steps), (vec![3], 200));
        // All 200 steps of 2 s, against 200 steps of 1 s.
        assert_eq!(bound.more_than_steps, Some(1.0));
        assert_eq!((bound.more_than_seconds, bound.more_than_joules), (Some(2.0), Some(2.0)));
        // To 5.0 dense takes 100 steps of 1 s, the other 200 of 2 s.
        ratio(found.steps.as_ref(), 2.0);
        ratio(found.seconds.as_ref(), 4.0);
    }

    #[test]
    fn seeds_are_pairs_and_the_loss_is_one_that_all_of_them_reach() {
        // Dense ends at 4.0 and at 4.2: at 4.2 both are there, the first at half of the way from 4.4 to 4.0.
        let dense = [curve(1.0, &[(0, 8.0), (100, 4.4), (400, 4.0)]), curve(1.0, &[(0, 8.0), (100, 5.0), (400, 4.2)])];
        // About twice the steps of each, less and more by a tenth of a logarithm.
        let own = [362, 884].map(|at| curve(1.0, &[(0, 8.0), (at, 4.2)]));
        let with_seeds = |all: &[Vec<Point>]| -> Vec<(u64, Vec<Point>)> { (0..).zip(all.iter().cloned()).collect() };
        let (dense, own) = (with_seeds(&dense), with_seeds(&own));
        // In another order, the pairs are the same.
        let own: Vec<(u64, Vec<Point>)> = own.into_iter().rev().collect();
        let found = compare("lrt:rank=4", &view(&dense), &view(&own)).expect("two seeds of both");
        assert_eq!((found.loss, found.basis), (4.2, Basis::Dense));
        let steps = found.steps.expect("reached");
        assert_eq!(steps.own, [362.0, 884.0]);
        assert!((steps.dense[0] - 200.0).abs() < 1e-9 && steps.dense[1] == 400.0, "{:?}", steps.dense);
        // Logarithms of 1.81 and 2.21: their half difference is 0.0998, the error the same, and t of one degree is 12.706205.
        let interval = steps.interval.expect("two seeds");
        let (mid, half) = ((1.81_f64 * 2.21).sqrt(), (2.21_f64 / 1.81).ln() / 2.0 * 12.706_205);
        assert!((steps.ratio - mid).abs() < 1e-9);
        assert!((interval.low - mid * (-half).exp()).abs() < 1e-5, "{interval:?}");
        assert!((interval.high - mid * half.exp()).abs() < 1e-4, "{interval:?}");
    }

    #[test]
    fn evaluations_that_dense_matrices_guide_reach_no_loss() {
        // Guided, it is below the 4.0 of dense at once; alone it is there at 300 steps.
        let dense = curve(1.0, &[(0, 8.0), (100, 5.0), (400, 4.0)]);
        let mut own = curve(1.0, &[(0, 8.0), (100, 3.0), (200, 5.0), (300, 4.0), (400, 3.5)]);
        (own[0].guide, own[1].guide) = (1.0, 0.5);
        let found = |dense: &[Point], own: &[Point]| {
            let of = |points| [Curve { seed: 0, points }];
            compare("lrt:rank=4", &of(dense), &of(own)).expect("one seed of both")
        };
        let both = found(&dense, &own);
        assert_eq!((both.loss, both.basis), (4.0, Basis::Dense));
        // The 300 s before it count, those of the guided steps among them.
        ratio(both.steps.as_ref(), 300.0 / 400.0);
        ratio(both.seconds.as_ref(), 300.0 / 400.0);
        // A loss that it has at the first evaluation of its own is reached there.
        let both = found(&curve(1.0, &[(0, 8.0), (400, 5.5)]), &own);
        ratio(both.steps.as_ref(), 200.0 / 400.0);
        // The lowest of all of them, guided, is none that it reaches.
        own.truncate(3);
        let both = found(&dense, &own);
        assert_eq!((both.loss, both.basis), (5.0, Basis::Both));
    }

    #[test]
    fn what_is_not_metered_or_not_learned_has_no_factor() {
        let mut dense = curve(1.0, &[(0, 8.0), (100, 5.0)]);
        let own = curve(1.0, &[(0, 8.0), (100, 4.0)]);
        dense[1].joules = None;
        let of = |points| [Curve { seed: 0, points }];
        let found = compare("lrt:rank=4", &of(&dense), &of(&own)).expect("one seed of both");
        assert!(found.joules.is_none() && found.steps.is_some());
        // A loss that only rises is lowest before the first step: there is nothing to compare.
        let worse = curve(1.0, &[(0, 8.0), (100, 9.0)]);
        let found = compare("lrt:rank=4", &of(&dense), &of(&worse)).expect("one seed of both");
        assert!(found.steps.is_none() && found.basis == Basis::Both);
        assert_eq!(compare("lrt:rank=4", &of(&dense), &[]), None);
        assert_eq!(compare("lrt:rank=4", &of(&dense), &of(&[])), None);
    }
}
