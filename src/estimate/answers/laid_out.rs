//! What an estimate says of its layout.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::estimate::layout::{Candidate, Considered, whole_bytes};

/// The layout of an estimate, and the others that were considered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaidOut {
    /// As on the command line.
    pub layout: String,
    /// Micro-batches of each replica in a step.
    pub micro_batches: usize,
    /// The stage of the pipeline that takes most memory, from 1.
    pub fullest_stage: usize,
    /// Bytes of a device of it, by part.
    pub memory_bytes: BTreeMap<&'static str, u64>,
    /// Bytes of a device that can be used, where its memory is known.
    pub usable_bytes: Option<u64>,
    /// Seconds of a step by part, before the wait for slower machines: parts that run at the same time overlap.
    pub parts_s: BTreeMap<&'static str, f64>,
    /// What devices send each other in a step.
    pub traffic: Vec<Traffic>,
    /// The next best, and those that would be the fastest and do not fit.
    pub others: Vec<OtherLayout>,
}

/// One kind of exchange in a step, of a device of the busiest stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Traffic {
    /// What is exchanged.
    pub name: &'static str,
    /// Bytes of one.
    pub bytes: f64,
    /// How many there are.
    pub times: f64,
    /// Whether it goes over the network between machines.
    pub between_machines: bool,
    /// Seconds of all, whether or not they lengthen the step.
    pub seconds: f64,
}

/// A layout that is not the one of the estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherLayout {
    /// As on the command line.
    pub layout: String,
    /// Seconds of a step.
    pub step_s: f64,
    /// Bytes of the fullest device.
    pub memory_bytes: u64,
    /// The same by part.
    pub memory_parts_bytes: BTreeMap<&'static str, u64>,
    /// Why it cannot be.
    pub why_not: Option<String>,
}

fn parts_of(candidate: &Candidate) -> BTreeMap<&'static str, u64> {
    candidate.memory.parts().map(|(name, bytes)| (name, whole_bytes(bytes))).into()
}

/// What is said of the layouts that were considered.
pub(super) fn laid_out(considered: &Considered) -> Option<LaidOut> {
    let chosen = considered.chosen()?;
    let usable = considered.usable_bytes.unwrap_or(0.0);
    let other = |c: &Candidate| OtherLayout {
        layout: c.layout.to_string(),
        step_s: c.step_s,
        memory_bytes: whole_bytes(c.memory.total()),
        memory_parts_bytes: parts_of(c),
        why_not: (c.fits == Some(false)).then(|| c.why_not(usable)),
    };
    let step = &chosen.step;
    let parts = [
        ("passes", step.passes_s),
        ("computing", step.computing_s),
        ("exchanges of a tensor group", step.tensor_s),
        ("exchanges with experts", step.experts_s),
        ("keys and values that are waited for", step.context_s),
        ("sends between stages", step.pipeline_s),
        ("bubble of the pipeline", step.bubble_s),
        ("update", step.update_s),
    ];
    let traffic = step.traffic.iter().map(|t| Traffic {
        name: t.name,
        bytes: t.bytes,
        times: t.times,
        between_machines: t.between_machines,
        seconds: t.seconds,
    });
    Some(LaidOut {
        layout: chosen.layout.to_string(),
        micro_batches: step.micro_batches,
        fullest_stage: chosen.stage + 1,
        memory_bytes: parts_of(chosen),
        usable_bytes: considered.usable_bytes.map(whole_bytes),
        parts_s: parts.into(),
        traffic: traffic.collect(),
        others: considered.found.fit.iter().skip(1).chain(&considered.found.too_large).map(other).collect(),
    })
}
