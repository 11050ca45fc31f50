//! What no measurement gives: a record may come from anyone, and every figure follows from its numbers.

use super::{Cell, Record};
use crate::catalog::Entry;

/// Seconds: 30 years.
const MOST_S: f64 = 1e9;
/// Watts: the world's largest power station has 2e10.
const MOST_W: f64 = 1e12;
/// Joules of a counter.
const MOST_J: f64 = 1e21;
/// FLOPs of a step, and FLOP/s of a device.
const MOST_FLOP: f64 = 1e30;
/// Units of a catalog entry.
const MOST_SHARE: f64 = 1e9;

/// The first fault: what it is of, and what is wrong with it.
pub(super) type Fault = (String, String);

/// Whether a number lies in a range that includes its ends.
fn within(x: f64, least: f64, most: f64) -> Result<(), String> {
    if x.is_finite() && (least..=most).contains(&x) {
        return Ok(());
    }
    Err(format!("is {x}: expected a finite number of at least {least}, and at most {most:e}"))
}

/// The faults of a record, the first alone.
pub(super) fn check(record: &Record) -> Result<(), Fault> {
    let of = |what: &'static str| move |message: String| (format!("`{what}`"), message);
    let settings = &record.settings;
    settings.workload.check().map_err(|(key, message)| (format!("`{key}` of its workload"), message))?;
    within(settings.dropout, 0.0, 1.0).map_err(of("dropout"))?;
    within(settings.precision, 0.0, 1.0).map_err(of("precision"))?;
    within(settings.min_time_s, 0.0, MOST_S).map_err(of("min_time_s"))?;
    within(settings.max_time_s, 0.0, MOST_S).map_err(of("max_time_s"))?;
    layers(settings.n_layers).map_err(of("n_layers"))?;
    let compute = &record.environment.compute;
    if let Some(device) = &compute.hardware {
        device.check().map_err(|(key, message)| (format!("`{key}` of its hardware"), message))?;
    }
    within(compute.hardware_share, f64::MIN_POSITIVE, MOST_SHARE).map_err(of("hardware_share"))?;
    if let Some(ceilings) = &record.environment.ceilings {
        let rates = ceilings.matmul.iter().map(|m| m.flop_per_s).chain([ceilings.copy_bytes_per_s]);
        rates.into_iter().try_for_each(|x| within(x, f64::MIN_POSITIVE, MOST_FLOP)).map_err(of("ceilings"))?;
    }
    for baseline in &record.environment.baselines {
        for (x, most) in [
            (baseline.idle_w, MOST_W),
            (Some(baseline.idle_s), MOST_S),
            (baseline.update_s, MOST_S),
            (baseline.update_jitter_s, MOST_S),
        ] {
            within(x.unwrap_or(0.0), 0.0, most).map_err(of("baselines"))?;
        }
    }
    record.cells.iter().try_for_each(|cell| {
        let whose = |what: String| (format!("a number of cell `{}`", cell.label()), what);
        check_cell(cell, record).map_err(whose)
    })
}

fn layers(n: usize) -> Result<(), String> {
    within(n as f64, 1.0, crate::model::MAX_LAYERS as f64)
}

fn check_cell(cell: &Cell, record: &Record) -> Result<(), String> {
    layers(cell.n_layers)?;
    within(cell.shape.seq_len as f64, 1.0, crate::model::MAX_ROWS as f64)?;
    let config = record.settings.workload.model.clone().with_layers(cell.n_layers).with_room_for(cell.shape.seq_len);
    cell.arch.check_sizes(&config).map_err(|e| e.to_string())?;
    let shape = cell.shape;
    within(shape.batch_size as f64, 1.0, 1e9)?;
    within(shape.masked_per_seq as f64, 0.0, shape.seq_len as f64)?;
    within(cell.flop_per_step, 0.0, MOST_FLOP)?;
    let launch = cell.launch.map_or([0.0; 2], |l| [l.enqueue_s, l.synchronized_s]);
    within(cell.epoch_unix_s.unwrap_or(0.0), 0.0, 100.0 * MOST_S)?;
    launch.into_iter().chain(cell.warmup_s).try_for_each(|x| within(x, 0.0, MOST_S))?;
    // Seconds since 1970, for three thousand years.
    within(cell.epoch_unix_s.unwrap_or(0.0), 0.0, 1e11)?;
    let mut last = (0, 0.0);
    for step in &cell.steps {
        for x in [step.start_s, step.forward_s, step.backward_s, step.optimizer_s] {
            within(x, 0.0, MOST_S)?;
        }
        in_order((step.visit, step.start_s), last)?;
        last = (step.visit, step.start_s);
    }
    for meter in &cell.meters {
        within(meter.meter.gain_uncertainty, 0.0, 1.0)?;
        within(meter.idle_w.unwrap_or(0.0), 0.0, MOST_W)?;
        let timing = meter.timing.map_or([0.0; 2], |t| [t.update_s, t.window_s]);
        timing.iter().try_for_each(|x| within(*x, 0.0, MOST_S))?;
        let mut before = 0.0;
        for sample in &meter.samples {
            within(sample.time_s, 0.0, MOST_S)?;
            within(sample.energy_j.unwrap_or(0.0), 0.0, MOST_J)?;
            within(sample.power_w.unwrap_or(0.0), 0.0, MOST_W)?;
            if let Some(doubt) = &sample.doubt {
                within(doubt.unread_s, 0.0, MOST_S)?;
                within(doubt.refused_w.unwrap_or(0.0), 0.0, MOST_W)?;
            }
            in_order((0, sample.time_s), (0, before))?;
            before = sample.time_s;
        }
    }
    Ok(())
}

/// Visits and times rise: they are read off a clock that does not run backwards.
fn in_order(this: (u32, f64), before: (u32, f64)) -> Result<(), String> {
    if this.0 >= before.0 && this.1 >= before.1 {
        return Ok(());
    }
    Err(format!("the time {} s after {} s is out of order: expected rising times", this.1, before.1))
}
