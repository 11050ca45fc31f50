//! A power sensor over a simulated load, on virtual time, and the protocol run on it: the code under test is the
//! code that measures, only the sensor and the clock are made up.

use super::phase::{GROUPS, POLL, await_phase, measure_period};
use crate::meter::Timing;
use crate::record::{counter_j, integral_j};
use crate::sensor::Watch;
use crate::stats::{Distribution, Stream};
use crate::units::Seconds;

const IDLE_W: f64 = 100.0;
const BUSY_W: f64 = 300.0;
/// How often the sampler reads while a group runs.
const SAMPLE_S: f64 = 0.02;

#[derive(Clone, Copy, PartialEq)]
enum Shows {
    /// Watts, the mean of the last so many seconds.
    Power(f64),
    /// Joules since the start.
    Energy,
}

/// A device that idles unless it runs a step, and its sensor.
struct Simulated {
    shows: Shows,
    update_s: f64,
    first_tick_s: f64,
    /// Corners of the energy drawn so far: (time, joules).
    drawn: Vec<(f64, f64)>,
    noise: Stream,
    /// One noise value a tick, so that reading a value twice gives it twice.
    noise_of: Vec<f64>,
}

impl Simulated {
    fn new(shows: Shows, update_s: f64, first_tick_s: f64, seed: u64) -> Self {
        Self {
            shows,
            update_s,
            first_tick_s,
            drawn: vec![(0.0, 0.0)],
            noise: Stream::new(seed, "sensor"),
            noise_of: Vec::new(),
        }
    }

    fn now_s(&self) -> f64 {
        self.drawn[self.drawn.len() - 1].0
    }

    fn draw(&mut self, seconds: f64, watts: f64) {
        let (time, joules) = self.drawn[self.drawn.len() - 1];
        self.drawn.push((time + seconds, joules + watts * seconds));
    }

    /// Joules drawn until `time`, exactly.
    fn energy(&self, time: f64) -> f64 {
        let after = self.drawn.partition_point(|d| d.0 < time).clamp(1, self.drawn.len() - 1);
        let ((t0, e0), (t1, e1)) = (self.drawn[after - 1], self.drawn[after]);
        if t1 > t0 { e0 + (e1 - e0) * (time - t0) / (t1 - t0) } else { e0 }
    }

    /// What the sensor shows at a time that has passed.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a tick of a short simulation")]
    fn shown_at(&mut self, time: f64) -> f64 {
        let tick = ((time - self.first_tick_s) / self.update_s).floor().max(0.0);
        let at = self.first_tick_s + tick * self.update_s;
        while self.noise_of.len() <= tick as usize {
            let noise = self.noise.draw(Distribution::Normal(0.0, 0.2));
            self.noise_of.push(noise);
        }
        match self.shows {
            Shows::Power(window) => {
                (self.energy(at) - self.energy(at - window)) / window + self.noise_of[tick as usize]
            }
            Shows::Energy => self.energy(at),
        }
    }

    /// Readings of the sampler from `from_s` until now.
    fn sampled(&mut self, from_s: f64) -> Vec<(f64, f64)> {
        let mut readings = Vec::new();
        let mut time = from_s;
        while time <= self.now_s() {
            let value = self.shown_at(time);
            readings.push((time, value));
            time += SAMPLE_S;
        }
        readings
    }
}

impl Watch for Simulated {
    fn now(&self) -> Seconds {
        Seconds(self.now_s())
    }

    fn wait(&mut self, time: Seconds) {
        self.draw(time.0, IDLE_W);
    }

    fn show(&mut self) -> Option<f64> {
        let now = self.now_s();
        Some(self.shown_at(now))
    }
}

struct Trial {
    shows: Shows,
    update_s: f64,
    step_s: f64,
    /// Relative standard deviation of the time of a step.
    jitter: f64,
    groups: usize,
    locked: bool,
}

impl Trial {
    /// The energy of 10 s of steps as measured, over what they drew, less 1.
    fn error(&self, seed: u64) -> f64 {
        let mut random = Stream::new(seed, "load");
        let mut device = Simulated::new(self.shows, self.update_s, random.uniform() * self.update_s, seed);
        device.draw(2.0 + random.uniform() * self.update_s, IDLE_W);
        // The period that a calibration of 2 s gives stands for the one of 10 s.
        let period = measure_period(&mut device, POLL, 20, Seconds(5.0)).expect("it ticks");
        let window_s = if let Shows::Power(window) = self.shows { window } else { period.mean };
        let timing = Timing { update_s: period.mean, window_s };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 500 steps")]
        let steps = (10.0 / self.step_s) as usize / self.groups;
        // The calibration ends on a tick; the steps begin when they happen to.
        device.draw(random.uniform() * self.update_s, IDLE_W);
        let (mut measured, mut drawn) = (0.0, 0.0);
        for group in 0..self.groups {
            let watched_s = device.now_s() - timing.settling_s();
            if self.locked {
                assert!(await_phase(&mut device, timing, group), "the sensor ticks");
            }
            let start = device.now_s();
            for _ in 0..steps {
                let step = self.step_s * (1.0 + self.jitter * random.standard_normal());
                device.draw(step / 2.0, BUSY_W);
                device.draw(step / 2.0, IDLE_W);
            }
            let end = device.now_s();
            device.wait(Seconds(timing.settling_s()));
            let readings = device.sampled(watched_s);
            let energy = match self.shows {
                Shows::Power(_) => integral_j(&readings, (start, end), timing, SAMPLE_S, Some(IDLE_W)),
                Shows::Energy => counter_j(&crate::stats::ticks(&readings), (start, end), Some(IDLE_W)),
            };
            measured += energy.expect("the readings cover the group");
            drawn += device.energy(end) - device.energy(start);
        }
        measured / drawn - 1.0
    }

    /// Mean and standard deviation of the error over trials that differ in phase.
    fn bias_and_deviation(&self) -> (f64, f64) {
        let errors: Vec<f64> = (0..40).map(|seed| self.error(seed)).collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        let variance = errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (errors.len() - 1) as f64;
        (mean, variance.sqrt())
    }
}

/// Step times of 20 to 200 ms, the simple fractions and multiples of 100 ms among them.
fn step_times() -> impl Iterator<Item = f64> {
    let even = (20..=200).step_by(9).map(f64::from);
    even.chain([25.0, 33.3, 50.0, 66.7, 75.0, 98.0, 100.0, 101.0, 125.0, 150.0, 200.0]).map(|ms| ms / 1000.0)
}

const BOXCAR: Shows = Shows::Power(0.025);

#[test]
fn groups_locked_to_the_tick_measure_steps_of_every_length_to_3_percent() {
    for shows in [BOXCAR, Shows::Power(1.0), Shows::Energy] {
        for (update_s, jitter) in [(0.1, 0.0), (0.101, 0.003)] {
            for step_s in step_times() {
                let trial = Trial { shows, update_s, step_s, jitter, groups: GROUPS, locked: true };
                let (bias, deviation) = trial.bias_and_deviation();
                assert!(deviation <= 0.03, "{step_s} s, sensor {update_s} s: standard deviation {deviation:.3}");
                assert!(bias.abs() <= 0.03, "{step_s} s, sensor {update_s} s: bias {bias:.3}");
            }
        }
    }
}

#[test]
fn one_long_run_that_ignores_the_tick_is_off_by_30_percent_where_the_step_is_as_long_as_the_period() {
    let naive = Trial { shows: BOXCAR, update_s: 0.1, step_s: 0.1, jitter: 0.0, groups: 1, locked: false };
    let (_, deviation) = naive.bias_and_deviation();
    assert!(deviation >= 0.30, "{deviation}");
}

#[test]
fn the_period_of_a_sensor_is_measured_to_a_thousandth() {
    for update_s in [0.02, 0.1, 0.1003, 0.101] {
        let mut device = Simulated::new(Shows::Energy, update_s, 0.013, 1);
        device.draw(1.0, IDLE_W);
        let period = measure_period(&mut device, POLL, 100, Seconds(20.0)).expect("it ticks");
        assert!((period.mean / update_s - 1.0).abs() < 1e-3, "{update_s}: {period:?}");
    }
}

#[test]
fn a_sensor_that_never_changes_has_no_period_and_is_not_waited_for_for_long() {
    struct Stuck(f64);
    impl Watch for Stuck {
        fn now(&self) -> Seconds {
            Seconds(self.0)
        }
        fn wait(&mut self, time: Seconds) {
            self.0 += time.0;
        }
        fn show(&mut self) -> Option<f64> {
            Some(7.0)
        }
    }
    let mut stuck = Stuck(0.0);
    assert_eq!(measure_period(&mut stuck, POLL, 100, Seconds(1.0)), None);
    assert!(!await_phase(&mut stuck, Timing { update_s: 0.1, window_s: 0.025 }, 0));
    assert!(stuck.0 < 1.6, "waited {} s", stuck.0);
}
