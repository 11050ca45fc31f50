//! What of a meter's readings is not believed, and what has to be said of it.

use super::readings::{MOST_UNREAD, Readings};
use super::{Cell, Warning};
use crate::meter::Doubt;

impl Readings<'_> {
    /// The part of the windows that its energy leaves out, because what was read then is not believed.
    #[must_use]
    pub fn unread(&self) -> f64 {
        let seconds = if self.counts() { self.unread_of_counter(self.windows) } else { self.refused() };
        if seconds > 0.0 { seconds / self.seconds() } else { 0.0 }
    }

    /// Whether its energy lacks a part in the windows, because a counter stood still.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.within().any(|doubt| doubt.partial) || self.windows.iter().any(|w| self.stopped_between(w.0, w.1))
    }

    fn within(&self) -> impl Iterator<Item = &Doubt> {
        let samples = &self.trace.samples;
        // The reading that ends a window comes a little after it.
        let of_window = move |(from, to): &(f64, f64)| {
            let first = samples.partition_point(|s| s.time_s < *from);
            let last = (samples.partition_point(|s| s.time_s < *to) + 1).min(samples.len());
            samples.get(first..last).unwrap_or_default().iter().filter_map(|s| s.doubt.as_deref())
        };
        self.windows.iter().flat_map(of_window)
    }

    /// What has to be said of its readings in the windows; whose they are is not.
    #[must_use]
    pub fn doubts(&self) -> Vec<Warning> {
        let mut found = Vec::new();
        let (windows, all) = (self.windows, self.seconds());
        let consequence = |seconds: f64| {
            if seconds <= MOST_UNREAD * all {
                return "that time is left out of its energy and of the time it is set against, and its interval is wider";
            }
            if windows.iter().all(|w| self.energy_between(w.0, w.1).is_some()) {
                return "its energy is the integral of its power";
            }
            "its energy is not known: more than 5 % of the time would be left out"
        };
        let counted = self.unread_of_counter(windows);
        if counted > 0.0 {
            let part = 100.0 * counted / all;
            found.push(Warning::new(
                format!("for {counted:.3} s ({part:.1} %) its counter went where its device cannot have taken it"),
                consequence(counted),
                "a machine that slept, a driver that was loaded again or a virtual machine that moved does this: measure \
                 again",
            ));
        }
        let refused: Vec<f64> = self.within().filter_map(|d| d.refused_w).collect();
        if !refused.is_empty() {
            let most = refused.iter().copied().fold(0.0, f64::max);
            let times = if refused.len() == 1 { "once".to_owned() } else { format!("{} times", refused.len()) };
            let seconds = self.refused();
            found.push(Warning::new(
                format!("power of up to {most:.0} W was read {times}, which it cannot draw"),
                if self.counts() || seconds <= MOST_UNREAD * all {
                    "these readings are not counted: those beside them stand for them"
                } else {
                    consequence(seconds)
                },
                "see whether there is a newer driver",
            ));
        }
        if windows.iter().any(|w| self.stalled_between(w.0, w.1)) {
            found.push(Warning::new(
                "its energy counter stood still for more than a second while it drew power",
                "its energy is the integral of its power",
                "see whether there is a newer driver",
            ));
        }
        if self.is_partial() {
            found.push(Warning::new(
                "a counter of it stood still, and no device draws nothing",
                "its energy is partial: what that counter should have counted is missing",
                "see `greenformers devices`, and load the driver `intel_rapl_msr` again",
            ));
        }
        found
    }
}

impl Cell {
    /// All that has to be said of it: what was seen while it ran, and what its readings say.
    #[must_use]
    pub fn caveats(&self) -> Vec<Warning> {
        let windows = self.windows();
        let doubts =
            self.meters.iter().flat_map(|m| m.over(&windows).doubts().into_iter().map(|w| w.of(&m.meter.domain)));
        self.warnings.iter().cloned().chain(doubts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Coverage, EnergySource, MeterInfo, MeterTrace, Sample};
    use crate::record::Step;

    /// A counter of 50 W read each 0.1 s for 10 s, and power beside it where `power` gives some.
    fn trace(power: fn(f64) -> Option<f64>, change: impl Fn(&mut Sample)) -> MeterTrace {
        let meter = MeterInfo {
            source: EnergySource::NvmlCounter,
            domain: "GPU".to_owned(),
            coverage: Coverage::Gpu,
            gain_uncertainty: 0.05,
            note: String::new(),
        };
        let samples = (0..=100).map(|i| {
            let time_s = f64::from(i) / 10.0;
            let mut sample =
                Sample { time_s, energy_j: Some(7.0 + 50.0 * time_s), power_w: power(time_s), doubt: None };
            change(&mut sample);
            sample
        });
        MeterTrace { meter, samples: samples.collect(), failure: None, timing: None, idle_w: None }
    }

    /// `seconds` of the counter are left out at 5 s.
    fn with_gap(seconds: f64) -> MeterTrace {
        trace(
            |_| None,
            move |sample| {
                // What the counter shows in the gap is open; the reading after it goes on from there.
                if seconds > 0.0 && sample.time_s > 5.0 && sample.time_s < 5.05 + seconds {
                    sample.energy_j = None;
                } else if seconds > 0.0 && sample.time_s > 5.0 {
                    sample.energy_j = sample.energy_j.map(|j| j - 50.0 * seconds);
                    sample.doubt = Some(Box::new(Doubt { unread_s: seconds, ..Doubt::default() }));
                }
            },
        )
    }

    fn facts(trace: &MeterTrace) -> String {
        trace.over(&[(0.0, 10.0)]).doubts().iter().map(|w| w.fact.clone()).collect::<Vec<_>>().join("; ")
    }

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|x| (x / expected - 1.0).abs() < 1e-9)
    }

    #[test]
    fn a_gap_is_left_out_of_energy_and_of_time_until_it_is_more_than_5_percent() {
        for (seconds, known) in [(0.1, true), (0.4, true), (0.6, false), (4.0, false)] {
            let trace = with_gap(seconds);
            // 500 J in 10 s, whatever is missing.
            assert_eq!(close(trace.counter_between(0.0, 10.0), 500.0), known, "{seconds} s");
            assert_eq!(trace.counter_between(0.0, 10.0).is_some(), known, "{seconds} s");
            assert!(facts(&trace).contains("where its device cannot have"), "{}", facts(&trace));
            assert!(close(trace.counter_between(0.0, 5.0), 250.0), "before it nothing is missing");
        }
        assert_eq!(facts(&with_gap(0.0)), "");
    }

    #[test]
    fn power_that_is_refused_once_is_bridged_and_for_long_it_is_null() {
        for (until, known) in [(3.05, true), (3.35, true), (3.85, false)] {
            let trace = trace(
                |_| Some(50.0),
                move |sample| {
                    sample.energy_j = None;
                    if sample.time_s > 2.95 && sample.time_s < until {
                        sample.power_w = None;
                        sample.doubt = Some(Box::new(Doubt { refused_w: Some(4_294_967.0), ..Doubt::default() }));
                    }
                },
            );
            assert_eq!(close(trace.integral_between(0.0, 10.0), 500.0), known, "until {until} s");
            assert_eq!(trace.energy_between(0.0, 10.0).is_some(), known, "until {until} s");
            assert!(facts(&trace).contains("power of up to 4294967 W"), "{}", facts(&trace));
        }
    }

    #[test]
    fn a_counter_that_stops_midway_gives_way_to_the_power_beside_it() {
        for (stops, given_way) in [(4.0, true), (8.9, true), (9.2, false), (11.0, false)] {
            let trace = trace(
                |_| Some(60.0),
                move |sample| {
                    sample.energy_j = sample.energy_j.map(|j| j.min(7.0 + 50.0 * stops));
                },
            );
            assert_eq!(trace.counter_between(0.0, 10.0).is_none(), given_way, "{stops} s");
            let expected = if given_way { 600.0 } else { 50.0 * f64::min(stops, 10.0) };
            assert!(close(trace.energy_between(0.0, 10.0), expected), "{stops} s");
            assert_eq!(facts(&trace).contains("stood still"), given_way, "{stops} s");
        }
    }

    #[test]
    fn a_cell_s_gaps_are_weighed_against_all_its_visits_and_said_in_its_summary() {
        let mut cell = crate::record::cell::tests::cell();
        let step = |visit, start_s| Step { visit, start_s, forward_s: 1.0, backward_s: 0.0, optimizer_s: 0.0 };
        cell.steps = (0..9u32).map(|i| step(i, 0.5 + f64::from(i))).collect();
        cell.meters = vec![with_gap(0.3)];
        let (watts, _) = cell.mean_power().expect("3 % are left out");
        assert!((watts - 50.0).abs() < 1e-6, "{watts} W");
        assert_eq!(cell.caveats().len(), 1);
        cell.meters = vec![with_gap(0.6)];
        assert_eq!(cell.mean_power(), None);
        assert!(!cell.counter_stood_still(), "that is not the reason");
        assert!(cell.caveats()[0].to_string().contains("its energy is not known"), "{}", cell.caveats()[0]);
    }

    #[test]
    fn energy_that_lacks_a_counter_says_so() {
        let partial =
            trace(|_| None, |sample| sample.doubt = Some(Box::new(Doubt { partial: true, ..Doubt::default() })));
        assert!(facts(&partial).contains("a counter of it stood still"));
        assert!(close(partial.counter_between(0.0, 10.0), 500.0));
        for (stops, is_partial) in [(-1.0, false), (4.0, true), (9.5, false), (11.0, false)] {
            let trace =
                trace(|_| None, move |sample| sample.energy_j = sample.energy_j.map(|j| j.min(7.0 + 50.0 * stops)));
            assert_eq!(trace.over(&[(0.0, 10.0)]).is_partial(), is_partial, "{stops} s");
        }
    }
}
