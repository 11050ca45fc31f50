//! A thread that reads meters and keeps what they said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::slot::{MeterFacts, Slot};
use super::{Meter, Watch};
use crate::meter::MeterTrace;
use crate::units::Seconds;

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

    /// What is known of each meter.
    #[must_use]
    pub fn meters(&self) -> Vec<MeterFacts> {
        self.reader().meters()
    }

    /// The readings since the last call, and why a meter stopped. The newest reading stays behind as well,
    /// so that the next window begins with one.
    #[must_use]
    pub fn take(&self) -> Vec<MeterTrace> {
        let unread = self.threaded && self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        lock(&self.shared.slots)
            .iter_mut()
            .map(|slot| {
                let keep = slot.samples.last().cloned();
                let samples = std::mem::take(&mut slot.samples);
                slot.samples.extend(keep);
                let mut trace = slot.trace(samples);
                if unread {
                    trace.failure = Some("the thread that reads it has ended".to_owned());
                }
                trace
            })
            .collect()
    }
}

/// A view of a sampler for other threads.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

impl Reader {
    /// What is known of each meter.
    #[must_use]
    pub fn meters(&self) -> Vec<MeterFacts> {
        lock(&self.0.slots).iter().map(Slot::facts).collect()
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
