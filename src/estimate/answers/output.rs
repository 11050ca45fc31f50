//! What an estimate says.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::laid_out::LaidOut;
use super::schedule::Schedule;
use super::variance::VarianceShare;
use crate::catalog::IntensityBasis;
use crate::estimate::ledger::quantity::{Compared, Footprint, Quantity};
use crate::estimate::ledger::traced::Derivation;
use crate::estimate::request::input::Assumption;
use crate::estimate::steps::step::Basis;
use crate::model::Arch;
use crate::record::Warning;
use crate::stats::Interval;
use crate::units::DType;

/// One training run of one architecture. Every number is a 95 % interval; `missing` says why a number is
/// not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The architecture; `None` where only hours are known.
    #[serde(flatten, serialize_with = "flat")]
    pub arch: Option<Arch>,
    /// The run.
    pub workload: Option<String>,
    /// The hardware.
    pub hardware: Option<String>,
    /// How many devices.
    pub devices: u32,
    /// Number format.
    pub dtype: Option<DType>,
    /// What the estimate stands on.
    pub basis: Basis,
    /// What the software is taken to be, where that is modelled.
    pub software: Option<String>,
    /// Sequences on a device at a time, by phase.
    pub micro_batch: Vec<usize>,
    /// Parameters of the model.
    pub n_params: Option<u64>,
    /// Of these, the parameters that a token visits: all but the experts that it does not go to.
    pub n_params_active: Option<u64>,
    /// Of these, the parameters that training changes.
    pub n_params_trained: Option<u64>,
    /// FLOPs of the whole run.
    pub flop_total: Option<f64>,
    /// Seconds of an optimizer step, by phase.
    pub step_s: Vec<Interval>,
    /// Tokens a second while it trains, as frameworks report it: lost time is in `wall_h` alone.
    pub tokens_per_s: Option<Interval>,
    /// FLOP/s reached over the peak, while it trains.
    pub mfu: Option<Interval>,
    /// What the intensity behind the emissions counts, where that is known.
    pub intensity_basis: Option<IntensityBasis>,
    /// What the run comes to.
    #[serde(flatten)]
    pub footprint: Footprint<Interval>,
    /// Memory that training takes on a device.
    pub memory_per_device_bytes: Option<u64>,
    /// Whether that is there.
    pub fits: Option<bool>,
    /// How the run is laid out over the devices, where a layout was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<LaidOut>,
    /// Ratios to the dense architecture under the same conditions: 0.7 saves 30 %.
    pub vs_dense: Option<Compared<Interval>>,
    /// The same to an equal loss, where it was asked for: an architecture may need more steps than dense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equal_loss: Option<EqualLoss>,
    /// Why numbers are missing, by name.
    pub missing: BTreeMap<&'static str, String>,
    /// When to start, where the hours of the grid are known.
    pub schedule: Option<Schedule>,
    /// What makes it uncertain, the most first.
    pub variance: Vec<VarianceShare>,
    /// The arithmetic of each number.
    pub explanation: Vec<Derivation>,
    /// What was taken for granted.
    pub assumptions: Vec<Assumption>,
    /// Caveats.
    pub warnings: Vec<Warning>,
}

/// An architecture beside dense, to an equal loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EqualLoss {
    /// Steps over those of dense.
    pub steps_vs_dense: Interval,
    /// Ratios to dense, as `vs_dense` has them for the same number of steps.
    pub vs_dense: Compared<Interval>,
    /// What the factor in steps stands on.
    pub source: String,
}

/// An architecture as files have it: its kind, its specification as on the command line, its name for people, and what it has
/// of the inner width of LRT and the rows of a Linformer's keys.
#[expect(clippy::ref_option, reason = "the form in which serde hands over a field")]
fn flat<S: Serializer>(arch: &Option<Arch>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Flat {
        arch: Option<&'static str>,
        spec: Option<String>,
        label: Option<String>,
        rank: Option<usize>,
        k: Option<usize>,
    }
    let flat = Flat {
        arch: arch.map(Arch::kind),
        spec: arch.map(|a| a.to_string()),
        label: arch.map(Arch::label),
        rank: arch.and_then(Arch::rank),
        k: arch.and_then(Arch::k),
    };
    flat.serialize(serializer)
}

impl Estimate {
    /// What people call its architecture, or a run of which none is known.
    #[must_use]
    pub fn label(&self) -> String {
        self.arch.map_or_else(|| "run".to_owned(), Arch::label)
    }

    /// Ratio to the dense architecture under the same conditions.
    #[must_use]
    pub fn ratio(&self, quantity: Quantity) -> Option<Interval> {
        self.vs_dense.as_ref()?.of(quantity)
    }

    /// An estimate of which nothing is known yet.
    #[must_use]
    pub fn empty(devices: u32, basis: Basis) -> Self {
        Self {
            arch: None,
            workload: None,
            hardware: None,
            devices,
            dtype: None,
            basis,
            software: None,
            micro_batch: Vec::new(),
            n_params: None,
            n_params_active: None,
            n_params_trained: None,
            flop_total: None,
            step_s: Vec::new(),
            tokens_per_s: None,
            mfu: None,
            intensity_basis: None,
            footprint: Footprint::default(),
            memory_per_device_bytes: None,
            fits: None,
            layout: None,
            vs_dense: None,
            equal_loss: None,
            missing: BTreeMap::new(),
            schedule: None,
            variance: Vec::new(),
            explanation: Vec::new(),
            assumptions: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
