//! A CSV file of hours.
#![no_main]

use greenformers::catalog::Hourly;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(hours) = Hourly::parse("hours.csv", text) else { return };
    let [low, high] = hours.range();
    assert!(low <= hours.mean() * (1.0 + 1e-9) && hours.mean() <= high * (1.0 + 1e-9));
    for length in [0.5, 1.0, hours.hours() as f64] {
        let mean = hours.mean_over(0, length);
        assert_eq!(mean.is_some(), length <= hours.hours() as f64);
        assert!(mean.is_none_or(|m| m.is_finite() && m >= 0.0));
    }
});
