//! What a report costs: in step with what was measured.

use std::fs;
use std::time::Instant;

use greenformers::meter::Sample;
use greenformers::record::{Record, Step};
use greenformers::report::{Inputs, figures, write_report};

use super::Campaign;

/// A campaign of one cell with so many visits of a step each, two readings of each of its meters a visit.
fn with_visits(visits: u32) -> Record {
    let mut campaign = Campaign::small();
    (campaign.archs, campaign.lengths) = (vec!["dense"], vec![128]);
    let mut record = campaign.record();
    let cell = &mut record.cells[0];
    let step = |i: u32| Step {
        visit: i + 1,
        start_s: 1.0 + 0.2 * f64::from(i),
        forward_s: 0.05,
        backward_s: 0.08,
        optimizer_s: 0.01,
    };
    cell.steps = (0..visits).map(step).collect();
    for (counts, meter) in [false, true].into_iter().zip(&mut cell.meters) {
        // Each way of reading, and a counter that stands still for 1.5 s again and again.
        let sample = |i: u32| {
            let time_s = 0.9 + 0.1 * f64::from(i);
            let energy_j = counts.then(|| 100.0 * f64::from(i / 15));
            Sample { time_s, energy_j, power_w: (!counts).then_some(300.0), doubt: None }
        };
        meter.samples = (0..2 * visits + 4).map(sample).collect();
    }
    record
}

/// Seconds that this thread computed to make the whole report of a record, at best of three.
fn seconds_of(record: &Record) -> f64 {
    let once = || {
        let folder = tempfile::tempdir().unwrap();
        let inputs = Inputs {
            estimates: Err("not asked for".to_owned()),
            conditions: None,
            grid: None,
            grid_is_assumed: true,
            zones: Vec::new(),
            modelled: Vec::new(),
            market: None,
            seed: 0,
        };
        let began = now_s();
        write_report(&figures(record, inputs), folder.path(), false).unwrap();
        now_s() - began
    };
    (0..3).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// Seconds that this thread has computed, so that others on the machine do not count; of the clock where the kernel does not
/// say.
fn now_s() -> f64 {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let computed = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = computed.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| BEGAN.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

#[test]
fn a_report_of_twice_the_visits_costs_at_most_about_twice_the_time() {
    let (half, whole) = (seconds_of(&with_visits(10_000)), seconds_of(&with_visits(20_000)));
    // Work that grows with the square of the visits costs four times as much; what is the same for both makes it less.
    assert!(whole < 2.8 * half, "{half:.3} s for 10 000 visits, {whole:.3} s for 20 000");
    let most = seconds_of(&with_visits(50_000));
    assert!(most < 2.8 * 2.5 * half, "{half:.3} s for 10 000 visits, {most:.3} s for 50 000");
}
