//! Which readings are believed: those that the device can have made.
//!
//! The one rule of it. A counter is believed to have advanced by no more than twice the power of its device in the time
//! that has passed, and to have wrapped only if that holds as well. Counters begin anew when a machine wakes up, when a
//! driver is loaded again and when a virtual machine moves; drivers answer with 0 or with all bits set when they have
//! nothing to say.

use crate::units::{Joules, Seconds, Watts};

/// Devices draw more than their limit for moments, and limits are given for longer times than pass between readings.
const ABOVE_LIMIT: f64 = 2.0;
/// Readings are stamped a little after they are made: a thread may wait so long in between on a busy machine.
const LATE: Seconds = Seconds(0.05);
/// More than any processor or its memory draws: twice the 500 W of the largest (AMD EPYC 9965, data sheet, 2024).
pub(super) const MOST_OF_A_PACKAGE: Watts = Watts(1000.0);
/// More than any GPU or module draws: nearly twice the 2700 W of a module of two GPUs and a CPU (NVIDIA GB200, data sheet,
/// 2024).
pub(super) const MOST_OF_A_GPU: Watts = Watts(5000.0);

/// The most that is believed of a device: twice the limit or TDP that is known of it, but never more than `stated`.
pub(super) fn most_power(limit: Option<Watts>, stated: Watts) -> Watts {
    let known = limit.filter(|l| l.0.is_finite() && l.0 > 0.0);
    Watts(known.map_or(stated.0, |l| (ABOVE_LIMIT * l.0).min(stated.0)))
}

/// A reading of a counter: seconds and joules.
type Point = (f64, f64);

/// A counter, and how far it has come by what is believed of its readings.
#[derive(Debug, Clone)]
pub(super) struct Advance {
    most: Watts,
    /// How often it changes: what it shows may be that old.
    resolution: Seconds,
    /// Where it wraps, if it does.
    range: Option<Joules>,
    /// The last reading that was believed.
    last: Option<Point>,
    /// The first and the newest of the readings that may be those of a counter that has begun anew.
    anew: Option<(Point, Point)>,
    joules: f64,
    unread_s: f64,
}

impl Advance {
    pub(super) fn new(most: Watts, resolution: Seconds, range: Option<Joules>) -> Self {
        Self { most, resolution, range, last: None, anew: None, joules: 0.0, unread_s: 0.0 }
    }

    /// What a counter advances by from one reading to the next; `None` if the device cannot have drawn it.
    fn between(&self, from: Point, to: Point) -> Option<f64> {
        let most = self.most.0 * (to.0 - from.0 + self.resolution.0 + LATE.0);
        let forward = to.1 - from.1;
        let advance = if forward >= 0.0 { forward } else { self.range?.0 + forward };
        (0.0..=most).contains(&advance).then_some(advance)
    }

    /// Takes a reading: joules since the first one by all that was believed, or `None` while it is open whether to
    /// believe this one. A counter that goes on where it was has been misread meanwhile, and nothing is missing; one that
    /// goes on from the new place has begun anew there, and what it counted between the two places is not known.
    pub(super) fn take(&mut self, time: Seconds, shown: Joules) -> Option<f64> {
        let now = (time.0, shown.0);
        let last = *self.last.get_or_insert(now);
        if let Some(advance) = self.between(last, now) {
            return Some(self.go_on(advance, now));
        }
        let (first, newest) = self.anew.unwrap_or((now, now));
        match self.between(newest, now) {
            Some(advance) if advance > 0.0 => {
                self.unread_s += first.0 - last.0;
                let since = self.between(first, now).unwrap_or(advance);
                Some(self.go_on(since, now))
            }
            // A driver with nothing to say stands still: only a counter that moves is one.
            Some(_) => {
                self.anew = Some((first, now));
                None
            }
            None => {
                self.anew = Some((now, now));
                None
            }
        }
    }

    fn go_on(&mut self, advance: f64, now: Point) -> f64 {
        self.joules += advance;
        self.last = Some(now);
        self.anew = None;
        self.joules
    }

    /// Whether nothing has been read yet.
    pub(super) fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// Joules since the first reading by all that was believed.
    pub(super) fn joules(&self) -> f64 {
        self.joules
    }

    /// Seconds since the first reading of which it is not known what was counted: their energy is left out.
    pub(super) fn unread(&self) -> Seconds {
        Seconds(self.unread_s)
    }

    /// What the device cannot have drawn, while it is open whether to believe it: the last reading that was believed, and
    /// the newest.
    pub(super) fn in_doubt(&self) -> Option<(Joules, Joules)> {
        self.last.zip(self.anew).map(|(last, (_, newest))| (Joules(last.1), Joules(newest.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a counter of at most 100 W with a range of 10 kJ has come to after readings a second apart, and its gaps.
    fn read(shown: &[f64]) -> (Vec<Option<f64>>, f64) {
        let mut counter = Advance::new(Watts(100.0), Seconds(0.0), Some(Joules(10_000.0)));
        let mut time = 0.0;
        let taken = shown.iter().map(|x| {
            time += 1.0;
            counter.take(Seconds(time), Joules(*x))
        });
        (taken.collect(), counter.unread().0)
    }

    #[test]
    fn what_the_device_can_have_drawn_is_believed_and_nothing_else() {
        for (what, shown, expected, unread) in [
            ("50 W", &[1000.0, 1050.0, 1100.0][..], &[Some(0.0), Some(50.0), Some(100.0)][..], 0.0),
            ("stands still", &[1000.0, 1000.0, 1050.0], &[Some(0.0), Some(0.0), Some(50.0)], 0.0),
            ("wraps", &[9980.0, 30.0, 80.0], &[Some(0.0), Some(50.0), Some(100.0)], 0.0),
            ("begins anew", &[1000.0, 1050.0, 20.0, 70.0], &[Some(0.0), Some(50.0), None, Some(100.0)], 1.0),
            ("steps back", &[1000.0, 1050.0, 900.0, 950.0], &[Some(0.0), Some(50.0), None, Some(100.0)], 1.0),
            ("jumps ahead", &[1000.0, 1050.0, 5000.0, 5050.0], &[Some(0.0), Some(50.0), None, Some(100.0)], 1.0),
            ("one 0", &[1000.0, 1050.0, 0.0, 1150.0], &[Some(0.0), Some(50.0), None, Some(150.0)], 0.0),
            ("three 0", &[1000.0, 0.0, 0.0, 0.0, 1200.0], &[Some(0.0), None, None, None, Some(200.0)], 0.0),
            ("one 1e9", &[1000.0, 1e9, 1100.0], &[Some(0.0), None, Some(100.0)], 0.0),
            ("two of noise", &[1000.0, 1e9, 5e5, 1150.0], &[Some(0.0), None, None, Some(150.0)], 0.0),
            ("0 for good", &[1000.0, 0.0, 0.0, 0.0], &[Some(0.0), None, None, None], 0.0),
        ] {
            let (taken, left_out) = read(shown);
            assert_eq!((taken.as_slice(), left_out), (expected, unread), "{what}");
        }
    }

    #[test]
    fn the_most_that_is_believed_is_twice_the_limit_and_never_more_than_any_device_draws() {
        let stated = MOST_OF_A_PACKAGE;
        for (limit, most) in [(None, 1000.0), (Some(200.0), 400.0), (Some(4095.0), 1000.0), (Some(0.0), 1000.0)] {
            assert_eq!(most_power(limit.map(Watts), stated), Watts(most), "{limit:?}");
        }
        assert_eq!(most_power(Some(Watts(f64::NAN)), stated), stated);
    }

    proptest! {
        #[test]
        fn no_readings_whatever_come_to_more_than_the_device_can_have_drawn(
            shown in prop::collection::vec(prop_oneof![0.0f64..2e4, 0.0f64..50.0, Just(0.0), Just(f64::NAN)], 1..60),
        ) {
            let (taken, unread) = read(&shown);
            let most = 100.0 * 1.05 * shown.len() as f64;
            let mut before = 0.0;
            for joules in taken.into_iter().flatten() {
                prop_assert!(joules >= before && joules <= most, "{joules} J of {most} J");
                before = joules;
            }
            prop_assert!(unread >= 0.0 && unread <= shown.len() as f64);
        }

        #[test]
        fn a_counter_that_begins_anew_anywhere_loses_one_reading_and_no_more(at in 1usize..19) {
            let shown: Vec<f64> = (0..20u32)
                .map(|i| 50.0 * f64::from(i) + if (i as usize) < at { 4000.0 } else { 0.0 })
                .collect();
            let (taken, unread) = read(&shown);
            // The counter goes on from 50 J x `at`: 19 advances of 50 J less the one across the gap.
            prop_assert_eq!(taken.last().copied().flatten(), Some(18.0 * 50.0));
            prop_assert_eq!(unread, 1.0);
        }
    }
}
