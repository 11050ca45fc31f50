//! Which rank each linear gets.

/// Inputs and outputs.
pub(super) type Size = (usize, usize);

/// What a linear loses at each rank.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve<'a> {
    pub(super) size: Size,
    /// Singular values, the largest first.
    pub(super) singular: &'a [f64],
}

/// The largest rank at which two factors hold fewer weights than the matrix.
pub(super) fn most((d_in, d_out): Size) -> usize {
    (d_in * d_out).saturating_sub(1) / (d_in + d_out).max(1)
}

/// The rank at which factors hold this share of the weights, at least 1.
pub(super) fn of_even_share(size: Size, share: f64) -> Option<usize> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a rank")]
    let rank = (share * (size.0 * size.1) as f64 / (size.0 + size.1) as f64) as usize;
    let most = most(size);
    (most > 0 && rank <= most).then(|| rank.max(1))
}

/// The least rank whose relative error is at most `error`, if its factors hold fewer weights than the matrix.
pub(super) fn of_error(curve: &Curve, error: f64) -> Option<usize> {
    let lost = curve.lost();
    (1..=most(curve.size)).find(|rank| lost[*rank] <= error * error)
}

/// Ranks at which all linears together hold at most `share` of their weights, and the sum of their squared relative errors is as small
/// as single steps make it.
///
/// Of each linear the lower convex hull of loss over weights is walked along, the steepest step of all linears first: that is the least
/// sum for the weights that have been given out at any step. What is left at the end goes to the steps that still fit.
///
/// # Errors
/// The least share, if that is larger.
pub(super) fn of_share(curves: &[Curve], share: f64) -> Result<Vec<Option<usize>>, f64> {
    let whole: usize = curves.iter().map(Curve::dense).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a number of weights")]
    let budget = (share * whole as f64) as usize;
    let points: Vec<Vec<Point>> = curves.iter().map(Curve::points).collect();
    let least: usize = points.iter().map(|points| points[0].weights).sum();
    if least > budget {
        return Err(least as f64 / whole as f64);
    }
    let mut left = budget - least;
    // For each linear, the index of its point.
    let mut at = vec![0; curves.len()];
    let mut steps: Vec<Step> = Vec::new();
    for (linear, points) in points.iter().enumerate() {
        let hull = hull(points);
        steps.extend(hull.windows(2).map(|ends| Step::new(linear, points, ends[0], ends[1])));
    }
    // A stable order keeps the steps of a linear in theirs.
    steps.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    for step in steps {
        if at[step.linear] == step.from && step.weights <= left {
            (at[step.linear], left) = (step.to, left - step.weights);
        }
    }
    // The next rank of each, or the whole matrix.
    loop {
        let next = points.iter().enumerate().flat_map(|(linear, points)| {
            let from = at[linear];
            let ends = [from + 1, points.len() - 1];
            ends.into_iter()
                .filter(move |to| *to > from && *to < points.len())
                .map(move |to| Step::new(linear, points, from, to))
        });
        let best = next.filter(|step| step.weights <= left && step.gain > 0.0).max_by(|a, b| a.gain.total_cmp(&b.gain));
        let Some(step) = best else { break };
        (at[step.linear], left) = (step.to, left - step.weights);
    }
    Ok(points.iter().zip(at).map(|(points, at)| points[at].rank).collect())
}

/// A rank, or the whole matrix.
#[derive(Debug, Clone, Copy)]
struct Point {
    rank: Option<usize>,
    weights: usize,
    lost: f64,
}

/// From one point of a linear to a later one.
struct Step {
    linear: usize,
    from: usize,
    to: usize,
    weights: usize,
    /// Loss saved by a weight.
    gain: f64,
}

impl Step {
    fn new(linear: usize, points: &[Point], from: usize, to: usize) -> Self {
        let weights = points[to].weights - points[from].weights;
        Self { linear, from, to, weights, gain: slope(points, from, to) }
    }
}

/// Loss saved by a weight between two points, of which the later one has more weights.
fn slope(points: &[Point], from: usize, to: usize) -> f64 {
    (points[from].lost - points[to].lost) / (points[to].weights - points[from].weights) as f64
}

/// Indices of the points on the lower convex hull.
fn hull(points: &[Point]) -> Vec<usize> {
    let mut hull: Vec<usize> = Vec::new();
    for i in 0..points.len() {
        while let [.., a, b] = hull[..]
            && slope(points, a, b) <= slope(points, b, i)
        {
            hull.pop();
        }
        hull.push(i);
    }
    hull
}

impl Curve<'_> {
    fn dense(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// Of each rank from 0, the squared relative error.
    fn lost(&self) -> Vec<f64> {
        let mut lost = vec![0.0; self.singular.len() + 1];
        for (i, value) in self.singular.iter().enumerate().rev() {
            // From the smallest: nothing is lost in a large sum.
            lost[i] = lost[i + 1] + value * value;
        }
        let whole = lost[0];
        lost.iter().map(|lost| if whole > 0.0 { lost / whole } else { 0.0 }).collect()
    }

    /// Every rank that is worth while, and the whole matrix.
    fn points(&self) -> Vec<Point> {
        let (d_in, d_out) = self.size;
        let lost = self.lost();
        let of_rank = |rank: usize| Point { rank: Some(rank), weights: rank * (d_in + d_out), lost: lost[rank] };
        let dense = Point { rank: None, weights: self.dense(), lost: 0.0 };
        (1..=most(self.size)).map(of_rank).chain([dense]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_never_hold_as_many_weights_as_the_matrix() {
        assert_eq!([(768, 768), (768, 3072), (1, 9), (12, 12)].map(most), [383, 614, 0, 5]);
        for d_in in 1..40 {
            for d_out in 1..40 {
                let most = most((d_in, d_out));
                assert!(most * (d_in + d_out) < d_in * d_out, "{d_in} {d_out}");
                assert!((most + 1) * (d_in + d_out) >= d_in * d_out, "{d_in} {d_out}");
            }
        }
    }

    #[test]
    fn the_least_rank_within_an_error_is_found() {
        // Squares 64, 16, 9, 1 of 90: what is lost is 26/90, 10/90, 1/90.
        let curve = Curve { size: (8, 8), singular: &[8.0, 4.0, 3.0, 1.0, 0.0, 0.0, 0.0, 0.0] };
        assert_eq!([0.6, 0.4, 0.2].map(|error| of_error(&curve, error)), [Some(1), Some(2), Some(3)]);
        // Rank 4 would hold 64 weights, as the matrix does.
        assert_eq!(of_error(&curve, 0.01), None);
    }

    #[test]
    fn the_budget_goes_where_a_weight_saves_most() {
        let steep = Curve { size: (8, 8), singular: &[10.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1] };
        let flat = Curve { size: (8, 8), singular: &[4.0, 4.0, 4.0, 0.1, 0.1, 0.1, 0.1, 0.1] };
        // Of 128 weights 64 are four ranks of 16: one for the steep, three for the flat.
        assert_eq!(of_share(&[steep, flat], 0.5), Ok(vec![Some(1), Some(3)]));
        assert_eq!(of_share(&[steep, flat], 1.0), Ok(vec![None, None]));
        assert_eq!(of_share(&[steep, flat], 0.25), Ok(vec![Some(1), Some(1)]));
        assert_eq!(of_share(&[steep, flat], 0.2), Err(0.25));
    }

    #[test]
    fn no_other_ranks_within_the_budget_lose_less() {
        let curves = [
            Curve { size: (6, 7), singular: &[5.0, 3.0, 2.0, 1.5, 1.0, 0.5] },
            Curve { size: (7, 7), singular: &[4.0, 3.9, 3.8, 1.0, 0.9, 0.2, 0.1] },
            Curve { size: (6, 8), singular: &[2.0, 1.9, 1.8, 1.7, 1.6, 1.5] },
        ];
        let points: Vec<Vec<Point>> = curves.iter().map(Curve::points).collect();
        let whole: usize = curves.iter().map(Curve::dense).sum();
        let find = |i: usize, rank: Option<usize>| *points[i].iter().find(|p| p.rank == rank).expect("a point");
        for percent in 40..=100 {
            let share = f64::from(percent) / 100.0;
            let budget = share * whole as f64;
            let ranks = of_share(&curves, share).expect("enough");
            let taken: Vec<Point> = ranks.iter().enumerate().map(|(i, rank)| find(i, *rank)).collect();
            assert!(taken.iter().map(|p| p.weights).sum::<usize>() as f64 <= budget + 1e-9, "{share}");
            let lost: f64 = taken.iter().map(|p| p.lost).sum();
            // Whole steps do not fill every budget: no worse than the best with the largest single step less.
            let room =
                points.iter().flat_map(|p| p.windows(2)).map(|p| p[1].weights - p[0].weights).max().expect("a step");
            let mut best = f64::INFINITY;
            for a in &points[0] {
                for b in &points[1] {
                    for c in &points[2] {
                        if (a.weights + b.weights + c.weights) as f64 <= budget - room as f64 {
                            best = best.min(a.lost + b.lost + c.lost);
                        }
                    }
                }
            }
            assert!(lost <= best + 1e-12, "{share}: {lost} and {best}");
        }
    }

    #[test]
    fn draws_keep_the_same_share_of_each_linear() {
        assert_eq!(of_even_share((768, 768), 0.5), Some(192));
        assert_eq!(of_even_share((768, 3072), 0.5), Some(307));
        assert_eq!(of_even_share((768, 768), 1.0), None);
        assert_eq!((of_even_share((12, 12), 0.01), of_even_share((1, 9), 0.5)), (Some(1), None));
    }
}
