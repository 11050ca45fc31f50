//! What each fuzz target does with its input; `cargo test` does the same with the seeds and with changes of them.

#![allow(dead_code, reason = "each target uses one of them")]

use std::path::Path;

use greenformers::catalog::{Device, GridEntry, Hourly, Site, parse};
use greenformers::estimate::compare;
use greenformers::measure::{DeviceChoice, MeterChoice};
use greenformers::model::{Arch, Ops, count_params, train_step_flop};
use greenformers::nn::check_head;
use greenformers::record::{Record, Workload, phase_shape};
use greenformers::units::DType;

/// A `record.json`: what is accepted is also written again, summed up and compared.
pub(super) fn record(text: &str) {
    let Ok(record) = Record::parse(Path::new("record.json"), text) else { return };
    let written = serde_json::to_string(&record).expect("a record is JSON");
    assert_eq!(Record::parse(Path::new("again.json"), &written).expect("what was written is read"), record);
    for cell in &record.cells {
        let summary = cell.summary(&record.environment);
        for interval in [summary.step_s, summary.energy_j_per_step, summary.power_w, summary.mfu].into_iter().flatten()
        {
            assert!(interval.high.is_finite() && interval.low >= 0.0, "{interval:?}");
            assert!(interval.low <= interval.mid && interval.mid <= interval.high, "{interval:?}");
        }
    }
    let _ = compare(&record, 0);
}

/// A YAML file of the catalog, of one of four kinds.
pub(super) fn catalog(kind: u8, text: &str) {
    match kind % 4 {
        0 => drop(parse::<Device>("fuzz.yaml", text).map(|d| d.usual_price().map(|offer| offer.price.base()))),
        1 => drop(parse::<GridEntry>("fuzz.yaml", text)),
        2 => drop(parse::<Site>("fuzz.yaml", text)),
        _ => {
            let Ok(workload) = parse::<Workload>("fuzz.yaml", text) else { return };
            assert!(workload.tokens().is_finite());
            assert!(count_params(&workload.model, Arch::Dense) > 0);
            for phase in &workload.phases {
                let shape = phase_shape(&workload, phase, phase.batch_size);
                assert!(train_step_flop(&workload.model, Arch::Dense, shape) > 0.0);
            }
        }
    }
}

/// A CSV file of hours.
pub(super) fn hourly(text: &str) {
    let Ok(hours) = Hourly::parse("hours.csv", text) else { return };
    let [low, high] = hours.range();
    assert!(low <= hours.mean() * (1.0 + 1e-9) && hours.mean() <= high * (1.0 + 1e-9));
    for length in [0.5, 1.0, hours.hours() as f64] {
        let mean = hours.mean_over(0, length);
        assert_eq!(mean.is_some(), length <= hours.hours() as f64);
        assert!(mean.is_none_or(|m| m.is_finite() && m >= 0.0));
    }
}

/// The header of a checkpoint, and how many bytes come after it.
pub(super) fn safetensors(data: u16, head: &[u8]) {
    let _ = check_head(head, head.len() as u64 + u64::from(data));
}

/// What is typed: architectures, dtypes, devices, meters. What is understood is read as it is written.
pub(super) fn specs(text: &str) {
    if let Ok(arch) = text.parse::<Arch>() {
        assert_eq!(arch.to_string().parse::<Arch>().expect("as it is written"), arch);
        assert!(!arch.label().is_empty());
    }
    if let Ok(device) = text.parse::<DeviceChoice>() {
        assert_eq!(device.to_string().parse::<DeviceChoice>().expect("as it is written"), device);
    }
    let _ = text.parse::<MeterChoice>();
    let _ = text.parse::<DType>();
    let _ = text.parse::<Ops>();
}
