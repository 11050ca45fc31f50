//! A thread that reads meters and keeps what they said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::advance::Advance;
use super::{Meter, MeterInfo, Reading, SensorError, Watch};
use crate::units::{Seconds, Watts};

/// One raw reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Seconds since the campaign began.
    pub time_s: f64,
    /// Energy since a fixed moment, of a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_j: Option<f64>,
    /// Power, of a power sensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_w: Option<f64>,
    /// What is not believed, or not counted, of the meter's readings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

/// What is to be known beside a reading.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubt {
    /// Seconds so far that the energy leaves out: the counter showed in them what its device cannot have drawn.
    #[serde(default)]
    pub unread_s: f64,
    /// Power that was read now and is not believed, because the device cannot draw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_w: Option<f64>,
    /// Whether one of several counters stands still, so that the energy lacks its part.
    #[serde(default)]
    pub partial: bool,
}

/// What one meter said.
#[derive(Debug, Clone, PartialEq)]
pub struct MeterLog {
    /// Which meter.
    pub info: MeterInfo,
    /// Its readings, in order.
    pub samples: Vec<Sample>,
    /// Why the last reading failed, if it did.
    pub failure: Option<String>,
    /// What its energy lacks, if a part of what it covers is not counted.
    pub lacks: Option<String>,
}

/// What is known of a meter before it is measured.
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
}

struct Slot {
    meter: Box<dyn Meter>,
    samples: Vec<Sample>,
    failure: Option<String>,
    /// A meter that has panicked is not asked again.
    broken: bool,
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
    fn new(meter: Box<dyn Meter>) -> Self {
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
    fn take(&mut self, time_s: f64, reading: Reading) {
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
        let doubt = (doubt != Doubt::default()).then_some(doubt);
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

    fn latest(&self) -> Latest {
        let works = self.failure.is_none();
        let counted = self.last[1].zip(self.first).map(|(b, a)| b.1 - a.1);
        let rate = self.last[0].zip(self.last[1]).and_then(|(a, b)| {
            let seconds = b.0 - a.0;
            (seconds > 0.0).then_some((b.1 - a.1) / seconds)
        });
        Latest {
            info: self.meter.info().clone(),
            energy_j: counted.or(self.power.map(|_| self.integral_j)).filter(|_| works),
            power_w: self.power.map(|p| p.1).or(rate).filter(|_| works),
        }
    }

    fn log(&self, samples: Vec<Sample>) -> MeterLog {
        MeterLog { info: self.meter.info().clone(), samples, failure: self.failure.clone(), lacks: self.meter.lacks() }
    }
}

struct Shared {
    epoch: Instant,
    slots: Mutex<Vec<Slot>>,
    stop: Mutex<bool>,
    wake: Condvar,
}

/// Reads a set of meters until it is dropped.
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Whether a thread should be reading.
    threaded: bool,
}

impl Sampler {
    /// Starts to read `meters` as often as the quickest of them wants, with times counted from `epoch`.
    #[must_use]
    pub fn start(epoch: Instant, meters: Vec<Box<dyn Meter>>) -> Self {
        let period = meters.iter().map(|m| m.period().0).fold(f64::INFINITY, f64::min);
        Self::start_every(Seconds(period), epoch, meters)
    }

    /// Starts to read `meters` each `period`, or never if that is infinite.
    #[must_use]
    pub fn start_every(period: Seconds, epoch: Instant, meters: Vec<Box<dyn Meter>>) -> Self {
        let period = if meters.is_empty() { f64::INFINITY } else { period.0 };
        let slots = meters.into_iter().map(Slot::new).collect();
        let shared =
            Arc::new(Shared { epoch, slots: Mutex::new(slots), stop: Mutex::new(false), wake: Condvar::new() });
        let threaded = period.is_finite();
        // A system that gives no more threads leaves it without one, which `take` says.
        let thread = threaded.then(|| {
            let shared = Arc::clone(&shared);
            let sampling = move || sample_until_stopped(&shared, Duration::from_secs_f64(period));
            std::thread::Builder::new().name("sampler".to_owned()).spawn(sampling).ok()
        });
        Self { shared, thread: thread.flatten(), threaded }
    }

    /// Reads every meter now, so that a window begins or ends on a reading.
    pub fn read_now(&self) {
        read_all(&self.shared);
    }

    /// A view of the latest readings for other threads.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.shared))
    }

    /// Watches a meter for its ticks: the power where it reads one, else the counter. `None` if there is no such
    /// meter.
    #[must_use]
    pub fn watch(&self, meter: usize) -> Option<MeterWatch<'_>> {
        (meter < lock(&self.shared.slots).len()).then_some(MeterWatch { sampler: self, meter })
    }

    /// What is known of each meter before it is measured.
    #[must_use]
    pub fn meters(&self) -> Vec<MeterFacts> {
        let slots = lock(&self.shared.slots);
        let facts = |slot: &Slot| MeterFacts {
            info: slot.meter.info().clone(),
            resolution: slot.meter.resolution(),
            idle_power: slot.meter.idle_power(),
            averages: slot.meter.averages(),
        };
        slots.iter().map(facts).collect()
    }

    /// The readings since the last call, and why a meter stopped. The newest reading stays behind as well,
    /// so that the next window begins with one.
    #[must_use]
    pub fn take(&self) -> Vec<MeterLog> {
        let unread = self.threaded && self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        lock(&self.shared.slots)
            .iter_mut()
            .map(|slot| {
                let keep = slot.samples.last().copied();
                let samples = std::mem::take(&mut slot.samples);
                slot.samples.extend(keep);
                let mut log = slot.log(samples);
                if unread {
                    log.failure = Some("the thread that reads it has ended".to_owned());
                }
                log
            })
            .collect()
    }
}

/// The latest readings of a sampler.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

/// What a meter last said.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// Which meter.
    pub info: MeterInfo,
    /// Joules since the sampler was started: by the counter, else by integrating power.
    pub energy_j: Option<f64>,
    /// Watts: as read, else over the last two readings of the counter.
    pub power_w: Option<f64>,
}

impl Reader {
    /// What each meter last said; nothing of one that has failed or not been read yet.
    #[must_use]
    pub fn latest(&self) -> Vec<Latest> {
        lock(&self.0.slots).iter().map(Slot::latest).collect()
    }
}

/// A meter of a sampler, watched for its ticks.
pub struct MeterWatch<'a> {
    sampler: &'a Sampler,
    meter: usize,
}

impl Watch for MeterWatch<'_> {
    fn now(&self) -> Seconds {
        Seconds(self.sampler.shared.epoch.elapsed().as_secs_f64())
    }

    fn wait(&mut self, time: Seconds) {
        std::thread::sleep(Duration::from_secs_f64(time.0.max(0.0)));
    }

    /// Reads this meter now; the reading is kept with the others.
    fn show(&mut self) -> Option<f64> {
        let shared = &self.sampler.shared;
        let mut slots = lock(&shared.slots);
        let slot = slots.get_mut(self.meter)?;
        read(slot, shared.epoch);
        let sample = slot.samples.last().filter(|_| slot.failure.is_none())?;
        sample.power_w.or(sample.energy_j)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        *lock(&self.shared.stop) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A sampler that panicked has already shown its message; its samples stand.
            let _ = thread.join();
        }
    }
}

fn sample_until_stopped(shared: &Shared, period: Duration) {
    let mut stop = lock(&shared.stop);
    while !*stop {
        drop(stop);
        read_all(shared);
        stop = lock(&shared.stop);
        if !*stop {
            let waited = shared.wake.wait_timeout(stop, period).unwrap_or_else(PoisonError::into_inner);
            stop = waited.0;
        }
    }
}

fn read_all(shared: &Shared) {
    for slot in lock(&shared.slots).iter_mut() {
        read(slot, shared.epoch);
    }
}

/// Reads a meter. One that fails leaves a gap, and is asked again the next time.
fn read(slot: &mut Slot, epoch: Instant) {
    if slot.broken {
        return;
    }
    // A bug of one meter ends neither the campaign nor the readings of the others.
    let now = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| slot.meter.read_at(now)));
    let Ok(read) = read else {
        (slot.broken, slot.failure) = (true, Some("its reading panicked".to_owned()));
        return;
    };
    match read {
        Ok(reading) => {
            // A model is of the moment that it was given; a sensor answers when it has read.
            let time = if slot.meter.idle_power().is_some() { now - epoch } else { epoch.elapsed() };
            slot.take(time.as_secs_f64(), reading);
        }
        Err(error) => slot.failure = Some(error.to_string()),
    }
}

/// Samples stay valid whatever another thread did while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensor::FakeMeter;
    use crate::units::Watts;

    #[test]
    fn windows_share_the_reading_between_them() {
        let sampler = Sampler::start(Instant::now(), vec![Box::new(FakeMeter::new(|_| Watts(5.0)))]);
        sampler.read_now();
        let first = sampler.take().remove(0);
        sampler.read_now();
        let second = sampler.take().remove(0);
        assert_eq!(first.samples.last(), second.samples.first());
        assert!(second.samples.len() >= 2);
        assert!(second.samples.iter().all(|s| s.power_w == Some(5.0)));
    }

    #[test]
    fn a_meter_that_panics_is_not_asked_again_and_the_others_go_on() {
        let broken = FakeMeter::new(|_| panic!("a bug, for a test"));
        let sampler = Sampler::start(Instant::now(), vec![Box::new(broken), Box::new(FakeMeter::new(|_| Watts(5.0)))]);
        sampler.read_now();
        sampler.read_now();
        let logs = sampler.take();
        assert_eq!((logs[0].failure.as_deref(), logs[0].samples.len()), (Some("its reading panicked"), 0));
        assert!(logs[1].failure.is_none() && logs[1].samples.len() >= 2);
    }

    #[test]
    fn when_its_thread_has_ended_every_meter_says_so() {
        let sampler = Sampler::start(Instant::now(), vec![Box::new(FakeMeter::new(|_| Watts(5.0)))]);
        assert_eq!(sampler.take().remove(0).failure, None);
        *lock(&sampler.shared.stop) = true;
        sampler.shared.wake.notify_all();
        while !sampler.thread.as_ref().expect("it was started").is_finished() {
            std::thread::yield_now();
        }
        sampler.read_now();
        assert_eq!(sampler.take().remove(0).failure.as_deref(), Some("the thread that reads it has ended"));
    }

    /// What three readings with these watts or joules leave behind.
    fn kept(reading: fn(f64) -> Reading, shown: &[f64]) -> (Vec<Sample>, Latest, Option<String>) {
        let meter = FakeMeter::new(|_| Watts(5.0)).at_most(Watts(100.0));
        let mut slot = Slot::new(Box::new(meter));
        for (i, x) in shown.iter().enumerate() {
            slot.take(i as f64, reading(*x));
        }
        (slot.samples.clone(), slot.latest(), slot.failure)
    }

    #[test]
    fn a_reading_of_4_megawatts_is_kept_as_refused_and_counts_nowhere() {
        let (samples, latest, _) = kept(|w| Reading::Instant(Watts(w)), &[50.0, 4_294_967.295, 50.0]);
        assert_eq!(samples.iter().map(|s| s.power_w).collect::<Vec<_>>(), [Some(50.0), None, Some(50.0)]);
        assert_eq!(samples[1].doubt.and_then(|d| d.refused_w), Some(4_294_967.295));
        assert_eq!((latest.energy_j, latest.power_w), (Some(100.0), Some(50.0)));
    }

    #[test]
    fn a_counter_that_jumps_goes_on_from_where_it_was_and_says_what_is_left_out() {
        let joules = |j: f64| Reading::Cumulative(crate::units::Joules(j));
        let (samples, latest, failure) = kept(joules, &[1000.0, 1050.0, 9e9, 9e9 + 50.0]);
        let read: Vec<_> = samples.iter().map(|s| s.energy_j).collect();
        assert_eq!(read, [Some(1000.0), Some(1050.0), None, Some(1100.0)]);
        assert_eq!(samples[3].doubt, Some(Doubt { unread_s: 1.0, ..Doubt::default() }));
        assert_eq!(latest.energy_j, Some(100.0));
        assert_eq!(failure, None, "it is read again");
        let (_, _, failure) = kept(joules, &[1000.0, 1050.0, 9e9]);
        assert!(failure.expect("what was read is open").contains("which it cannot have drawn"));
    }

    #[test]
    fn a_meter_that_fails_says_why_and_reads_no_zeros() {
        let sampler = Sampler::start(Instant::now(), vec![Box::new(FakeMeter::new(|_| Watts(5.0)).failing_after(1))]);
        sampler.read_now();
        sampler.read_now();
        let log = sampler.take().remove(0);
        assert_eq!(log.samples.len(), 1);
        assert!(log.failure.expect("it failed").contains("fails as it was told"));
    }
}
