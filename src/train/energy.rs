//! Seconds and joules of a training, as those of a tracked command: of all that the machine draws meanwhile.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::catalog::Device;
use crate::machine::{MachineFacts, host_parts};
use crate::meter::{Coverage, EnergySource};
use crate::sensor::Sampler;

/// The machine whose joules are counted.
pub struct Machine<'a> {
    /// The folder of the kernel's energy counters.
    pub powercap: &'a Path,
    /// What it is.
    pub facts: &'a MachineFacts,
    /// The catalog's entry of its processor.
    pub cpu: Option<&'a Device>,
}

/// A meter, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metered {
    /// `cpu`, `memory`.
    pub part: String,
    /// Where its joules come from: a counter, or a model.
    pub source: EnergySource,
    /// What they are for.
    pub coverage: Coverage,
    /// Relative standard uncertainty of them all together.
    pub gain_uncertainty: f64,
    /// Joules since the training was begun or resumed.
    pub joules: Option<f64>,
}

/// A part without a meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMetered {
    /// Which.
    pub part: String,
    /// Why.
    pub reason: String,
}

/// What a stretch of time took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spent {
    pub(super) seconds: f64,
    pub(super) joules: Option<f64>,
}

impl Spent {
    pub(super) fn nothing() -> Self {
        Self { seconds: 0.0, joules: Some(0.0) }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.joules = self.joules.zip(other.joules).map(|(a, b)| a + b);
    }
}

/// The meters of the processors and the memory.
pub(super) struct Energy {
    sampler: Sampler,
    parts: Vec<String>,
    pub(super) without: Vec<NotMetered>,
    begun: Instant,
    /// When the stretch of time began, and what the meters said then.
    since: (f64, Option<f64>),
}

impl Energy {
    pub(super) fn start(machine: &Machine<'_>) -> Self {
        let Machine { powercap, facts, cpu } = *machine;
        let (mut parts, mut without, mut meters) = (Vec::new(), Vec::new(), Vec::new());
        for part in host_parts(powercap, facts, cpu) {
            match (part.meter, part.covered_by) {
                (Some(meter), _) => {
                    parts.push(part.device);
                    meters.push(meter);
                }
                (None, None) => without.push(NotMetered { part: part.device, reason: part.reason.unwrap_or_default() }),
                (None, Some(_)) => {}
            }
        }
        let begun = Instant::now();
        let sampler = Sampler::start(begun, meters);
        let mut energy = Self { sampler, parts, without, begun, since: (0.0, None) };
        energy.split();
        energy
    }

    /// Seconds since the start.
    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Seconds since the last split.
    pub(super) fn since_split(&self) -> f64 {
        self.seconds() - self.since.0
    }

    /// Whether every part that draws power has a meter.
    pub(super) fn is_whole(&self) -> bool {
        self.without.is_empty()
    }

    /// Joules since the last split; `None` where a part has no meter.
    pub(super) fn joules_since_split(&self) -> Option<f64> {
        self.sampler.read_now();
        Some(self.total()? - self.since.1?)
    }

    /// What it took since this was asked last.
    pub(super) fn split(&mut self) -> Spent {
        self.sampler.read_now();
        let now = (self.seconds(), self.total());
        // What has been counted is not kept.
        drop(self.sampler.take());
        let before = std::mem::replace(&mut self.since, now);
        Spent { seconds: now.0 - before.0, joules: now.1.zip(before.1).map(|(now, before)| now - before) }
    }

    /// Joules of all meters together; `None` where a part that draws power is not metered, or a meter has failed.
    fn total(&self) -> Option<f64> {
        if !self.is_whole() {
            return None;
        }
        self.sampler.meters().iter().map(|meter| meter.energy_j).sum()
    }

    /// What each meter said.
    pub(super) fn metered(&self) -> Vec<Metered> {
        let of = |(part, facts): (&String, crate::sensor::MeterFacts)| Metered {
            part: part.clone(),
            source: facts.info.source,
            coverage: facts.info.coverage,
            gain_uncertainty: facts.info.gain_uncertainty,
            joules: facts.energy_j,
        };
        self.parts.iter().zip(self.sampler.meters()).map(of).collect()
    }
}

/// Relative standard uncertainty of the sum of what meters said, of which each is off by itself.
pub(super) fn gain_uncertainty(metered: &[Metered]) -> f64 {
    let joules = |meter: &Metered| meter.joules.unwrap_or(0.0);
    let all: f64 = metered.iter().map(joules).sum();
    let squares: f64 = metered.iter().map(|meter| (meter.gain_uncertainty * joules(meter)).powi(2)).sum();
    if all > 0.0 { squares.sqrt() / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_that_are_off_each_by_itself_add_up_as_squares() {
        let meter = |joules, gain_uncertainty| Metered {
            part: "cpu".to_owned(),
            source: EnergySource::Model,
            coverage: Coverage::CpuPackage,
            gain_uncertainty,
            joules: Some(joules),
        };
        // 30 J and 40 J of uncertainty are 50 J, of 500 J.
        assert!((gain_uncertainty(&[meter(300.0, 0.1), meter(200.0, 0.2)]) - 0.1).abs() < 1e-12);
        assert_eq!(gain_uncertainty(&[]), 0.0);
    }

    #[test]
    fn what_is_not_known_of_one_stretch_is_not_known_of_all() {
        let mut spent = Spent::nothing();
        spent.add(Spent { seconds: 2.0, joules: Some(3.0) });
        assert_eq!(spent, Spent { seconds: 2.0, joules: Some(3.0) });
        spent.add(Spent { seconds: 1.0, joules: None });
        spent.add(Spent { seconds: 1.0, joules: Some(1.0) });
        assert_eq!(spent, Spent { seconds: 4.0, joules: None });
    }
}
