use proptest::prelude::*;

use super::loops::{KINDS, Run};
use crate::stats::{LoopForecast, LoopPause, loop_forecast};

/// Marks of `steps` steps, each of which takes what `seconds` says of it.
fn marks(steps: u64, seconds: impl Fn(u64) -> f64) -> Vec<(u64, f64)> {
    let mut now = 0.0;
    let mut all = vec![(0, now)];
    for step in 1..=steps {
        now += seconds(step);
        all.push((step, now));
    }
    all
}

fn forecast(marks: &[(u64, f64)], total_steps: u64) -> LoopForecast {
    loop_forecast(marks, total_steps).expect("a forecast")
}

#[test]
fn fewer_than_five_marks_that_rise_say_nothing() {
    for few in [
        &[][..],
        &[(0, 0.0)],
        &[(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)],
        &[(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (3, 4.0), (2, 5.0)],
        &[(0, 7.0), (1, 7.0), (2, 7.0), (3, 7.0), (4, 7.0), (5, 7.0)],
        &[(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, f64::NAN), (5, f64::INFINITY)],
    ] {
        assert_eq!(loop_forecast(few, 100), None, "{few:?}");
    }
    assert!(loop_forecast(&[(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)], 100).is_some());
}

#[test]
fn a_loop_that_is_done_has_nothing_left() {
    for total in [0, 5, 100] {
        let done = forecast(&marks(100, |_| 0.5), total);
        assert_eq!((done.remaining_s.mid, done.remaining_s.high, done.total_s.mid), (0.0, 0.0, 50.0));
    }
}

#[test]
fn steps_before_the_first_mark_cost_no_time() {
    let shifted: Vec<(u64, f64)> = marks(100, |_| 0.5).iter().map(|(step, s)| (step + 900, s + 1e6)).collect();
    let found = forecast(&shifted, 1100);
    assert!((found.remaining_s.mid / 50.0 - 1.0).abs() < 0.03, "{found:?}");
    assert_eq!(found.total_s.mid, 50.0 + found.remaining_s.mid);
}

#[test]
fn a_clock_that_is_set_back_costs_one_span() {
    let set: Vec<(u64, f64)> =
        marks(200, |_| 2.0).iter().map(|&(n, s)| (n, if n > 90 { s - 3600.0 } else { s })).collect();
    let (set, plain) = (forecast(&set, 1000), forecast(&marks(200, |_| 2.0), 1000));
    assert!((set.step_s.mid - 2.0).abs() < 1e-9 && !set.drifts, "{set:?}");
    assert!((set.total_s.mid / plain.total_s.mid - 1.0).abs() < 1e-3, "{set:?}");
}

#[test]
fn a_clock_of_whole_seconds_tells_the_pace_of_shorter_steps() {
    let coarse: Vec<(u64, f64)> = marks(2000, |_| 0.3).iter().map(|&(n, s)| (n, s.floor())).collect();
    let found = forecast(&coarse, 20_000);
    assert!((found.step_s.mid - 0.3).abs() < 0.002 && found.pauses.is_empty(), "{found:?}");
    assert!(found.total_s.contains(6000.0), "{found:?}");
}

#[test]
fn two_pauses_recur_and_one_may_or_may_not() {
    // A second a step, and 100 s after every 500 steps: 19 pauses in 10 000 steps.
    let every = |step: u64| if step > 1 && step % 500 == 1 { 101.0 } else { 1.0 };
    let two = forecast(&marks(1200, every), 10_000);
    let pause =
        LoopPause { after_step: 1000, every_steps: Some(500.0), seconds: 100.0, spread_s: 200f64.sqrt(), seen: 2 };
    assert_eq!(two.pauses.len(), 1);
    assert!((two.pauses[0].spread_s - pause.spread_s).abs() < 1e-6, "{two:?}");
    assert_eq!(LoopPause { spread_s: pause.spread_s, ..two.pauses[0] }, pause);
    assert!((two.step_s.mid - 1.0).abs() < 1e-9 && (two.total_s.mid / 11_900.0 - 1.0).abs() < 0.01, "{two:?}");
    let once = forecast(&marks(700, every), 10_000);
    assert_eq!((once.pauses[0].every_steps, once.pauses[0].seen), (None, 1));
    assert!(once.total_s.contains(10_100.0) && once.total_s.contains(11_900.0), "{once:?}");
}

#[test]
fn two_rhythms_beside_each_other_are_both_found() {
    // 60 s after every 300 steps, 200 s after every 700.
    let both = |step: u64| {
        let after = |every: u64, s: f64| if step > 1 && step % every == 1 { s } else { 0.0 };
        1.0 + after(300, 60.0) + after(700, 200.0)
    };
    let mut rhythms: Vec<f64> =
        forecast(&marks(2900, both), 50_000).pauses.iter().filter_map(|p| p.every_steps).collect();
    rhythms.sort_by(f64::total_cmp);
    assert_eq!(rhythms, [300.0, 700.0]);
}

#[test]
fn warm_up_is_left_out_of_the_pace_and_counted_in_the_total() {
    // 20 steps of 10 s, 500 of 1 s.
    let found = forecast(&marks(520, |step| if step <= 20 { 10.0 } else { 1.0 }), 1000);
    assert_eq!((found.warm_up_steps, found.warm_up_s.round()), (20, 180.0));
    assert!((found.step_s.mid - 1.0).abs() < 1e-9 && found.total_s.contains(1180.0), "{found:?}");
}

#[test]
fn slow_batches_and_slow_steps_are_no_pauses() {
    for kind in KINDS.iter().filter(|kind| kind.bimodal && !kind.pauses) {
        for seed in 0..40 {
            let run = Run::new(*kind, 0.05, seed);
            assert_eq!(forecast(&run.marks(), run.steps()).pauses, [], "{seed}");
        }
    }
}

#[test]
fn a_pace_that_changed_may_change_again() {
    let noise = |step: u64| 1.0 + 0.02 * ((step * 7919 % 101) as f64 / 50.0 - 1.0);
    let plain = forecast(&marks(2000, noise), 10_000);
    let later = forecast(&marks(2000, |step| noise(step) * if step > 1000 { 1.3 } else { 1.0 }), 10_000);
    assert!(later.drifts && !plain.drifts);
    let width = |found: &LoopForecast| (found.total_s.high - found.total_s.low) / found.total_s.mid;
    assert!(width(&later) > 3.0 * width(&plain), "{later:?} {plain:?}");
    // As it is now, and as it was on average.
    assert!(later.remaining_s.contains(8000.0 * 1.3) && later.total_s.contains(11_500.0), "{later:?}");
}

#[test]
fn very_many_marks_say_what_fewer_of_them_say() {
    let noise =
        |step: u64| 1.0 + 0.2 * ((step * 7919 % 101) as f64 / 50.0 - 1.0) + f64::from(u8::from(step == 1)) * 900.0;
    let all = marks(1_000_000, noise);
    let tenth: Vec<(u64, f64)> = all.iter().copied().step_by(10).collect();
    let (all, tenth) = (forecast(&all, 5_000_000), forecast(&tenth, 5_000_000));
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.005;
    assert!(
        near(all.total_s.mid, tenth.total_s.mid) && near(all.total_s.high, tenth.total_s.high),
        "{all:?} {tenth:?}"
    );
    assert!((all.warm_up_s / 900.0 - 1.0).abs() < 0.01, "{all:?}");
}

proptest! {
    #[test]
    fn no_marks_make_it_panic_or_say_what_is_no_number(
        marks in prop::collection::vec((any::<u64>(), any::<f64>()), 0..40),
        steps in prop::collection::vec((0u64..3, prop_oneof![Just(0.0), Just(1.0), 0.0..5.0, -5.0..500.0]), 0..80),
        total in prop_oneof![any::<u64>(), 0u64..500],
    ) {
        let mut now = (0, 0.0);
        let walk: Vec<(u64, f64)> = steps.iter().map(|&(n, s)| { now = (now.0 + n, now.1 + s); now }).collect();
        for found in [&marks, &walk].into_iter().filter_map(|marks| loop_forecast(marks, total)) {
            let intervals = [found.step_s, found.total_s, found.remaining_s];
            prop_assert!(intervals.iter().all(|x| x.is_valid() && x.low >= 0.0), "{found:?}");
            prop_assert!(found.warm_up_s.is_finite() && found.pauses.iter().all(|p| p.seconds.is_finite()), "{found:?}");
        }
    }
}
