//! A `record.json`: what is accepted is also estimated from, compared and written again.
#![no_main]

use std::path::Path;

use greenformers::estimate::compare;
use greenformers::record::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(record) = Record::parse(Path::new("record.json"), text) else { return };
    let written = serde_json::to_string(&record).expect("a record is JSON");
    assert_eq!(Record::parse(Path::new("again.json"), &written).expect("what was written is read"), record);
    for cell in &record.cells {
        let summary = cell.summary(&record.environment);
        for interval in [summary.step_s, summary.energy_j_per_step, summary.power_w, summary.mfu].into_iter().flatten() {
            assert!(interval.low.is_finite() && interval.low >= 0.0, "{interval:?}");
            assert!(interval.low <= interval.mid && interval.mid <= interval.high, "{interval:?}");
        }
    }
    let _ = compare(&record, 0);
});
