//! What is kept of a meter's readings, and what of them is believed.

use super::advance::Advance;
use super::{Meter, Reading, SensorError};
use crate::meter::{Doubt, MeterInfo, MeterTrace, Sample};
use crate::units::{Seconds, Watts};

/// What is known of a meter beside its readings.
#[derive(Debug, Clone, PartialEq)]
pub struct MeterFacts {
    /// What it is.
    pub info: MeterInfo,
    /// How often its value changes, as far as is known.
    pub resolution: Seconds,
    /// What a model says of the idle machine.
    pub idle_power: Option<Watts>,
    /// Whether its power is the mean of a longer time.
    pub averages: bool,
    /// What its energy lacks, if a part of what it covers is not counted.
    pub lacks: Option<String>,
    /// Joules since the sampler was started: by the counter, else by integrating power. `None` of a meter that has failed
    /// or has not been read yet.
    pub energy_j: Option<f64>,
    /// Watts: as read last, else over the last two readings of the counter; `None` as for the joules.
    pub power_w: Option<f64>,
}

/// A meter, what of its readings is believed, and what has to be kept of them.
pub(super) struct Slot {
    pub(super) meter: Box<dyn Meter>,
    pub(super) samples: Vec<Sample>,
    pub(super) failure: Option<String>,
    /// A meter that has panicked is not asked again.
    pub(super) broken: bool,
    /// How far its counter has come by what is believed, from its first reading; `None` if it sorts that out by itself.
    counter: Option<(Advance, f64)>,
    /// The first and the last two readings of the counter, the last of power, and its integral: kept when samples are
    /// taken away.
    first: Option<(f64, f64)>,
    last: [Option<(f64, f64)>; 2],
    power: Option<(f64, f64)>,
    integral_j: f64,
}

impl Slot {
    pub(super) fn new(meter: Box<dyn Meter>) -> Self {
        let counter = meter.most_power().map(|most| (Advance::new(most, meter.resolution(), None), 0.0));
        Self {
            meter,
            samples: Vec::new(),
            failure: None,
            broken: false,
            counter,
            first: None,
            last: [None; 2],
            power: None,
            integral_j: 0.0,
        }
    }

    /// Keeps what is believed of a reading.
    pub(super) fn take(&mut self, time_s: f64, reading: Reading) {
        self.failure = None;
        let (energy, power) = match reading {
            Reading::Cumulative(energy) => (Some(energy), None),
            Reading::Instant(power) => (None, Some(power)),
            Reading::Both(energy, power) => (Some(energy), Some(power)),
        };
        let most = self.meter.most_power();
        let can_be = |power: &Watts| power.0.is_finite() && power.0 >= 0.0 && most.is_none_or(|most| *power <= most);
        let (power_w, refused_w) = match power {
            Some(power) if can_be(&power) => (Some(power.0), None),
            Some(power) => (None, Some(power.0).filter(|w| (0.0..=1e12).contains(w))),
            None => (None, None),
        };
        let mut unread_s = self.meter.unread().0;
        let energy_j = match (&mut self.counter, energy) {
            (Some((counter, first)), Some(energy)) => {
                if counter.is_new() {
                    *first = energy.0;
                }
                let advanced = counter.take(Seconds(time_s), energy);
                unread_s += counter.unread().0;
                advanced.map(|joules| *first + joules)
            }
            (_, energy) => energy.map(|e| e.0),
        };
        let doubt = Doubt { unread_s, refused_w, partial: self.meter.lacks().is_some() };
        let doubt = (doubt != Doubt::default()).then(|| Box::new(doubt));
        if let Some(doubted) = self.counter.as_ref().filter(|_| energy_j.is_none() && power_w.is_none())
            && let Some((from, to)) = doubted.0.in_doubt()
        {
            let zone = self.meter.info().domain.clone();
            self.failure = Some(SensorError::NotBelieved { zone, from_j: from.0, to_j: to.0 }.to_string());
        }
        self.push(Sample { time_s, energy_j, power_w, doubt });
    }

    fn push(&mut self, sample: Sample) {
        if let Some(watts) = sample.power_w {
            let before = self.power.replace((sample.time_s, watts));
            self.integral_j += before.map_or(0.0, |(t, w)| f64::midpoint(w, watts) * (sample.time_s - t));
        }
        if let Some(joules) = sample.energy_j {
            let now = Some((sample.time_s, joules));
            self.first = self.first.or(now);
            self.last = [self.last[1], now];
        }
        self.samples.push(sample);
    }

    pub(super) fn facts(&self) -> MeterFacts {
        let works = self.failure.is_none();
        let counted = self.last[1].zip(self.first).map(|(b, a)| b.1 - a.1);
        let rate = self.last[0].zip(self.last[1]).and_then(|(a, b)| {
            let seconds = b.0 - a.0;
            (seconds > 0.0).then_some((b.1 - a.1) / seconds)
        });
        MeterFacts {
            info: self.meter.info().clone(),
            resolution: self.meter.resolution(),
            idle_power: self.meter.idle_power(),
            averages: self.meter.averages(),
            lacks: self.meter.lacks(),
            energy_j: counted.or(self.power.map(|_| self.integral_j)).filter(|_| works),
            power_w: self.power.map(|p| p.1).or(rate).filter(|_| works),
        }
    }

    /// `samples` as a trace; how the sensor shows them is found out elsewhere.
    pub(super) fn trace(&self, samples: Vec<Sample>) -> MeterTrace {
        MeterTrace {
            meter: self.meter.info().clone(),
            samples,
            failure: self.failure.clone(),
            timing: None,
            idle_w: self.meter.idle_power().map(|w| w.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::FakeMeter;

    /// What three readings with these watts or joules leave behind.
    fn kept(reading: fn(f64) -> Reading, shown: &[f64]) -> (Vec<Sample>, MeterFacts, Option<String>) {
        let meter = FakeMeter::new(|_| Watts(5.0)).at_most(Watts(100.0));
        let mut slot = Slot::new(Box::new(meter));
        for (i, x) in shown.iter().enumerate() {
            slot.take(i as f64, reading(*x));
        }
        (slot.samples.clone(), slot.facts(), slot.failure)
    }

    #[test]
    fn a_reading_of_4_megawatts_is_kept_as_refused_and_counts_nowhere() {
        let (samples, latest, _) = kept(|w| Reading::Instant(Watts(w)), &[50.0, 4_294_967.295, 50.0]);
        assert_eq!(samples.iter().map(|s| s.power_w).collect::<Vec<_>>(), [Some(50.0), None, Some(50.0)]);
        assert_eq!(samples[1].doubt.as_ref().and_then(|d| d.refused_w), Some(4_294_967.295));
        assert_eq!((latest.energy_j, latest.power_w), (Some(100.0), Some(50.0)));
    }

    #[test]
    fn a_counter_that_jumps_goes_on_from_where_it_was_and_says_what_is_left_out() {
        let joules = |j: f64| Reading::Cumulative(crate::units::Joules(j));
        let (samples, latest, failure) = kept(joules, &[1000.0, 1050.0, 9e9, 9e9 + 50.0]);
        let read: Vec<_> = samples.iter().map(|s| s.energy_j).collect();
        assert_eq!(read, [Some(1000.0), Some(1050.0), None, Some(1100.0)]);
        assert_eq!(samples[3].doubt, Some(Box::new(Doubt { unread_s: 1.0, ..Doubt::default() })));
        assert_eq!(latest.energy_j, Some(100.0));
        assert_eq!(failure, None, "it is read again");
        let (_, _, failure) = kept(joules, &[1000.0, 1050.0, 9e9]);
        assert!(failure.expect("what was read is open").contains("which it cannot have drawn"));
    }
}
