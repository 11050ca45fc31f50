//! Loops that are made up, and what who knows how they are made would say of them.

use super::super::forecast::remaining;
use super::super::level::{Noise, levels, noises, wander};
use super::super::pauses::LoopPause;
use super::super::scenarios::{Reach, pauses_to_come};
use super::super::spans::{Span, watched};
use crate::stats::{Component, Interval, Stream};

/// How a loop goes.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "Each is a trait of its own, and they occur together.")]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Steps that are slower at first: 1, 20 or 200, by 1.5 to 30 x; in every second loop the slowness fades.
    pub(super) warms: bool,
    /// Growth of the pace over the loop.
    pub(super) drift: f64,
    /// Every 500 steps a pause of 30 to 200 steps, give or take a tenth.
    pub(super) pauses: bool,
    /// A fifth of the batches takes three times as long.
    pub(super) bimodal: bool,
    /// Lag-1 correlation of 0.8 with a coefficient of variation of 0.1 to 0.3; else none, with 0.02.
    pub(super) correlated: bool,
    /// A Pareto part with a shape of 2.5.
    pub(super) heavy: bool,
    /// Marks are in whole seconds.
    pub(super) coarse: bool,
}

const CLEAN: Kind = Kind {
    name: "clean",
    warms: false,
    drift: 0.0,
    pauses: false,
    bimodal: false,
    correlated: false,
    heavy: false,
    coarse: false,
};

pub(super) const KINDS: [Kind; 9] = [
    CLEAN,
    Kind { name: "warm-up", warms: true, ..CLEAN },
    Kind { name: "drift of 20 %", drift: 0.2, ..CLEAN },
    Kind { name: "pauses", pauses: true, ..CLEAN },
    Kind { name: "bimodal", bimodal: true, ..CLEAN },
    Kind { name: "correlated", correlated: true, ..CLEAN },
    Kind { name: "heavy tails", heavy: true, ..CLEAN },
    Kind { name: "whole seconds", coarse: true, ..CLEAN },
    Kind {
        name: "all together",
        warms: true,
        drift: 0.2,
        pauses: true,
        bimodal: true,
        correlated: true,
        heavy: true,
        coarse: false,
    },
];

/// Shape of the Pareto part, and how large its scale is.
const SHAPE: f64 = 2.5;
const SCALE: f64 = 0.2;

/// A loop that has run to its end.
pub(super) struct Run {
    kind: Kind,
    cv: f64,
    warm: u64,
    watched: u64,
    stride: u64,
    /// When each step was done.
    times: Vec<f64>,
}

impl Run {
    /// The loop of `seed`, of which `part` is watched, but at least 60 steady steps.
    pub(super) fn new(kind: Kind, part: f64, seed: u64) -> Self {
        let mut draw = Stream::new(seed, kind.name);
        let between = |low: f64, high: f64, u: f64| low * (high / low).powf(u);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 50 000")]
        let steps = between(2000.0, 50_000.0, draw.uniform()) as u64;
        let usual_s = between(if kind.coarse { 0.2 } else { 0.02 }, 20.0, draw.uniform());
        let warm = if kind.warms { [1, 20, 200][(seed % 3) as usize] } else { 0 };
        let slow = between(1.5, 30.0, draw.uniform());
        let fades = seed % 2 == 1;
        let pause_s = usual_s * (30.0 + 170.0 * draw.uniform()) * if kind.bimodal { 1.4 } else { 1.0 };
        let (r, cv) = if kind.correlated { (0.8f64, 0.1 + 0.2 * draw.uniform()) } else { (0.0, 0.02) };
        let (mut state, mut now, mut times) = (draw.standard_normal(), 0.0, vec![0.0]);
        for step in 0..steps {
            state = r * state + (1.0 - r * r).sqrt() * draw.standard_normal();
            let mut this = (1.0 + cv * state).max(0.05) * (1.0 + kind.drift * step as f64 / steps as f64);
            if kind.bimodal && draw.uniform() < 0.2 {
                this *= 3.0;
            }
            if kind.heavy {
                this *= 1.0 - SCALE + SCALE * (1.0 - draw.uniform()).powf(-1.0 / SHAPE);
            }
            if step < warm {
                let left = if fades { 1.0 - step as f64 / warm as f64 } else { 1.0 };
                this *= 1.0 + (slow - 1.0) * left;
            }
            now += this * usual_s;
            if kind.pauses && step > 0 && step.is_multiple_of(500) {
                now += pause_s * (1.0 + 0.1 * draw.standard_normal());
            }
            times.push(now);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 50 000")]
        let watched = ((steps as f64 * part) as u64).max(warm + 60);
        Self { kind, cv, warm, watched, stride: 1 + 9 * (seed / 6 % 2), times }
    }

    pub(super) fn steps(&self) -> u64 {
        self.times.len() as u64 - 1
    }

    pub(super) fn truth(&self) -> f64 {
        self.times[self.times.len() - 1]
    }

    /// The marks of what is watched, each step or each ten steps.
    pub(super) fn marks(&self) -> Vec<(u64, f64)> {
        let told = |s: f64| if self.kind.coarse { s.floor() } else { s };
        let stride = usize::try_from(self.stride).expect("1 or 10");
        let times = self.times.iter().map(|s| told(*s)).step_by(stride);
        (0..=self.watched).filter(|step| step.is_multiple_of(self.stride)).zip(times).collect()
    }

    /// Whether a span holds a pause.
    fn pauses_in(&self, span: &Span) -> bool {
        let after = |step: u64| step > 0 && step.is_multiple_of(500);
        self.kind.pauses && (span.from..span.from + self.stride).any(after)
    }

    /// The spans that are neither warm-up nor hold a pause, and where the loop is.
    fn steady(&self) -> (Vec<Span>, Reach) {
        let seen = watched(&self.marks());
        let steady =
            seen.spans.iter().copied().filter(|span| span.from >= self.warm && !self.pauses_in(span)).collect();
        (steady, Reach { first: 0.0, done: seen.done as f64, total: self.steps() as f64, tick_s: seen.tick_s })
    }

    /// Seconds of the whole loop for one who knows how it is made: which steps are warm-up, where pauses are and how they
    /// scatter, how steps scatter and resemble each other, and that drift is a line. Only what nobody can know is left:
    /// how long a step and a pause are on average, which has to be read from the marks; how the pace drifts; chance in
    /// the steps to come; and the rhythm of pauses of which fewer than two have been seen. For drift and for such pauses
    /// the prior is the estimator's.
    pub(super) fn oracle(&self) -> Interval {
        let (steady, reach) = self.steady();
        let pace = mean_pace(&steady);
        let levels = levels(&steady, reach, &[self.noise(pace)], &[(0.0, 1.0)]);
        let excess = |span: &Span| span.seconds - pace * span.steps;
        let spans = watched(&self.marks()).spans;
        let seen: Vec<f64> = spans.iter().filter(|span| self.pauses_in(span)).map(excess).collect();
        let pauses = match seen[..] {
            [] => pauses_to_come(&[], reach, pace),
            [seconds] => {
                let spread_s = 0.2 * seconds;
                let once = LoopPause { after_step: 500, every_steps: None, seconds, spread_s, seen: 1 };
                pauses_to_come(&[once], reach, pace)
            }
            _ => {
                let (n, count) = (seen.len() as f64, ((self.steps() - 1) / 500) as f64 - seen.len() as f64);
                let mean = seen.iter().sum::<f64>() / n;
                vec![Component { weight: 1.0, mean: count * mean, sd: 0.1 * mean * (count + count * count / n).sqrt() }]
            }
        };
        self.whole(&levels, &pauses, reach)
    }

    /// What the estimator says of the steady spans as if there were no pauses, and what the oracle says.
    pub(super) fn of_pace_alone(&self) -> (Interval, Interval) {
        let (steady, reach) = self.steady();
        let none = [Component { weight: 1.0, mean: 0.0, sd: 0.0 }];
        let levels = |noises: &[Noise], walks: &[(f64, f64)]| levels(&steady, reach, noises, walks);
        let oracle = levels(&[self.noise(mean_pace(&steady))], &[(0.0, 1.0)]);
        (self.whole(&levels(&noises(&steady, reach.tick_s), wander()), &none, reach), self.whole(&oracle, &none, reach))
    }

    fn whole(&self, levels: &[Component], pauses: &[Component], reach: Reach) -> Interval {
        let left = remaining(levels, pauses, reach.total - reach.done).expect("a forecast");
        let watched = self.watched - self.watched % self.stride;
        let past_s = self.times[usize::try_from(watched).expect("at most 50 000")];
        Interval { mid: past_s + left.mid, low: past_s + left.low, high: past_s + left.high }
    }

    /// The scatter of spans about `pace`, by the variances of products of independent factors.
    fn noise(&self, pace: f64) -> Noise {
        let m = self.stride as f64;
        let r: f64 = if self.kind.correlated { 0.8 } else { 0.0 };
        // Second moments over squared means.
        let modes: f64 = if self.kind.bimodal { (0.8 + 0.2 * 9.0) / 1.96 } else { 1.0 };
        let tail: f64 = if self.kind.heavy {
            let mean = SHAPE / (SHAPE - 1.0);
            let variance = SHAPE / ((SHAPE - 1.0).powi(2) * (SHAPE - 2.0));
            1.0 + SCALE * SCALE * variance / (1.0 - SCALE + SCALE * mean).powi(2)
        } else {
            1.0
        };
        let smooth = self.cv * self.cv;
        let rough = (1.0 + smooth) * modes * tail - 1.0 - smooth;
        let of_mean = ((1.0 + r) / (1.0 - r) - 2.0 * r * (1.0 - r.powf(m)) / (m * (1.0 - r).powi(2))) / m;
        let span = rough / m + smooth * of_mean;
        // The autoregression of spans that has the same variance in the long run.
        let ratio = (rough + smooth * (1.0 + r) / (1.0 - r)) / m / span;
        Noise { weight: 1.0, sd: pace * span.sqrt(), lag1: ((ratio - 1.0) / (ratio + 1.0)).max(0.0) }
    }
}

fn mean_pace(spans: &[Span]) -> f64 {
    spans.iter().map(|span| span.seconds).sum::<f64>() / spans.iter().map(|span| span.steps).sum::<f64>()
}
