//! Readings of one device, laid over each other: what each adds to the whole, so that every second counts once.

/// What one account says of a device: joules from one moment to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reading {
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    pub(super) joules: f64,
    /// Whether it is of a job.
    pub(super) of_job: bool,
}

/// Readings inside of readings inside of readings: deeper ones add nothing, and nothing of them is lost, as the outer ones
/// hold their joules.
const DEEPEST: u32 = 16;

/// The joules of each reading that count, in their order. Their sum is the energy of the device in the union of the times:
///
/// - A reading whose time lies within another's adds nothing to the sum, as that one's joules hold its own. Both share them
///   evenly, for totals by job; a reading of a job within one of none has them all.
/// - Where two lap over each other in part, each counts in the common time with an even share of its mean power there.
pub(super) fn counted(readings: &[Reading]) -> Vec<f64> {
    let all: Vec<usize> = (0..readings.len()).collect();
    let mut counted = vec![0.0; readings.len()];
    count(readings, all, 0, &mut counted);
    counted
}

fn count(readings: &[Reading], mut of: Vec<usize>, depth: u32, counted: &mut [f64]) {
    of.sort_by(|&a, &b| {
        let (a, b) = (&readings[a], &readings[b]);
        a.from_s.total_cmp(&b.from_s).then(b.to_s.total_cmp(&a.to_s))
    });
    // Those that lie in no other: their ends rise as their beginnings do.
    let mut outer: Vec<usize> = Vec::new();
    let mut inner: Vec<Vec<usize>> = Vec::new();
    for at in of {
        match (outer.last(), inner.last_mut()) {
            (Some(&last), Some(inside)) if readings[at].to_s <= readings[last].to_s => inside.push(at),
            _ => {
                outer.push(at);
                inner.push(Vec::new());
            }
        }
    }
    share_out(readings, &outer, counted);
    for (&around, inside) in outer.iter().zip(inner) {
        if inside.is_empty() || depth == DEEPEST {
            continue;
        }
        let whole = readings[around].joules;
        count(readings, inside.clone(), depth + 1, counted);
        let union: f64 = inside.iter().map(|&at| counted[at]).sum();
        // The inner ones cannot have more than what holds them, of which a part may count elsewhere.
        let scale = if union > 0.0 && whole > 0.0 { (whole / union).min(1.0) * counted[around] / whole } else { 0.0 };
        for at in inside {
            let part = if readings[at].of_job && !readings[around].of_job { 1.0 } else { 0.5 };
            counted[at] *= part * scale;
            counted[around] -= counted[at];
        }
        counted[around] = counted[around].max(0.0);
    }
}

/// Counts readings whose beginnings and ends rise: in each stretch between two of these moments, so many lap over each other.
fn share_out(readings: &[Reading], outer: &[usize], counted: &mut [f64]) {
    // The integral of 1 / readings up to now, and what it was at each beginning.
    let (mut integral, mut now, mut ended) = (0.0, f64::NEG_INFINITY, 0);
    let mut at_start = vec![0.0; outer.len()];
    let end = |integral: f64, which: usize, at_start: &[f64], counted: &mut [f64]| {
        let reading = &readings[outer[which]];
        let power_w = reading.joules / (reading.to_s - reading.from_s);
        counted[outer[which]] = power_w * (integral - at_start[which]);
    };
    for begun in 0..=outer.len() {
        let until = outer.get(begun).map_or(f64::INFINITY, |&at| readings[at].from_s);
        while ended < begun && readings[outer[ended]].to_s <= until {
            let to_s = readings[outer[ended]].to_s;
            integral += (to_s - now) / (begun - ended) as f64;
            now = to_s;
            end(integral, ended, &at_start, counted);
            ended += 1;
        }
        if let Some(start) = at_start.get_mut(begun) {
            if ended < begun {
                integral += (until - now) / (begun - ended) as f64;
            }
            now = until;
            *start = integral;
        }
    }
}

/// Stretches of time, from and to, apart and in order.
pub(super) fn union(mut spans: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut joined: Vec<(f64, f64)> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
            _ => joined.push(span),
        }
    }
    joined
}

/// What of `spans` is in none of `others`; both as [`union`] gives them.
pub(super) fn without(spans: &[(f64, f64)], others: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut left = Vec::new();
    let mut first = 0;
    for &(mut from, to) in spans {
        while others.get(first).is_some_and(|other| other.1 <= from) {
            first += 1;
        }
        for other in others[first..].iter().take_while(|other| other.0 < to) {
            if other.0 > from {
                left.push((from, other.0));
            }
            from = from.max(other.1);
        }
        if from < to {
            left.push((from, to));
        }
    }
    left
}

/// Seconds of stretches that are apart.
pub(super) fn length(spans: &[(f64, f64)]) -> f64 {
    // The sum of nothing is -0 otherwise.
    spans.iter().fold(0.0, |sum, (from, to)| sum + (to - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(spans: &[(f64, f64, f64)]) -> Vec<f64> {
        let reading = |&(from_s, to_s, joules): &(f64, f64, f64)| Reading { from_s, to_s, joules, of_job: true };
        let readings: Vec<Reading> = spans.iter().map(reading).collect();
        counted(&readings).into_iter().map(|joules| (joules * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn readings_apart_count_whole() {
        assert_eq!(of(&[(0.0, 10.0, 100.0), (10.0, 20.0, 50.0), (30.0, 31.0, 7.0)]), [100.0, 50.0, 7.0]);
        assert_eq!(of(&[]), Vec::<f64>::new());
    }

    #[test]
    fn the_common_time_of_two_counts_once_and_half_for_each() {
        // 10 W from 0 to 10, 10 W from 5 to 15: 150 J. Five common seconds, of which each has 25 J.
        assert_eq!(of(&[(0.0, 10.0, 100.0), (5.0, 15.0, 100.0)]), [75.0, 75.0]);
        // In any order, and with powers that differ: (10 W + 20 W) / 2 for 5 s between 50 J and 100 J.
        assert_eq!(of(&[(5.0, 15.0, 200.0), (0.0, 10.0, 100.0)]), [150.0, 75.0]);
        // Three: 0-6, 2-8, 4-10 of 6 W are 60 J; stretches of 1, 2, 3, 2, 1 readings.
        assert_eq!(of(&[(0.0, 6.0, 36.0), (2.0, 8.0, 36.0), (4.0, 10.0, 36.0)]), [22.0, 16.0, 22.0]);
    }

    #[test]
    fn a_reading_within_another_adds_nothing_however_its_power_differs() {
        // A burst of 90 J in 10 s is in the 100 J of the whole 100 s.
        assert_eq!(of(&[(0.0, 100.0, 100.0), (40.0, 50.0, 90.0)]), [55.0, 45.0]);
        assert_eq!(of(&[(0.0, 10.0, 50.0), (0.0, 10.0, 50.0)]), [25.0, 25.0]);
        // More than what holds it is less than the whole, never more.
        assert_eq!(of(&[(0.0, 10.0, 50.0), (1.0, 9.0, 80.0)]), [25.0, 25.0]);
        assert_eq!(of(&[(0.0, 10.0, 0.0), (1.0, 9.0, 80.0)]), [0.0, 0.0]);
    }

    #[test]
    fn a_job_within_a_watch_of_no_job_has_its_joules_alone() {
        let watch = Reading { from_s: 0.0, to_s: 100.0, joules: 100.0, of_job: false };
        let job = Reading { from_s: 40.0, to_s: 50.0, joules: 90.0, of_job: true };
        assert_eq!(counted(&[watch, job]), [10.0, 90.0]);
    }

    #[test]
    fn a_thousand_readings_inside_each_other_are_the_outermost_one() {
        let nested: Vec<(f64, f64, f64)> = (0..1000).map(|n| (f64::from(n), f64::from(4000 - n), 500.0)).collect();
        let sum: f64 = of(&nested).iter().sum();
        assert!((sum - 500.0).abs() < 1e-3, "{sum}");
    }

    #[test]
    fn stretches_are_joined_and_taken_away() {
        assert_eq!(union(vec![(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (6.0, 6.5)]), [(0.0, 3.0), (5.0, 7.0)]);
        let rest = without(&[(0.0, 10.0), (20.0, 30.0)], &[(-1.0, 1.0), (4.0, 5.0), (9.0, 22.0), (40.0, 50.0)]);
        assert_eq!(rest, [(1.0, 4.0), (5.0, 9.0), (22.0, 30.0)]);
        assert_eq!(without(&[(0.0, 1.0)], &[(0.0, 1.0)]), []);
        assert_eq!(length(&rest), 15.0);
        assert_eq!(length(&[]).to_string(), "0");
    }
}
