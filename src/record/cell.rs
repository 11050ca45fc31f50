//! One cell of a campaign: an architecture at a sequence length and batch size.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Warning;
use crate::meter::{GpuState, MeterTrace};
use crate::model::{Arch, StepShape};
use crate::units::DType;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pass {
    /// Forward, backward and optimizer.
    Train,
    /// Forward alone.
    Infer,
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Infer => "infer",
        })
    }
}

/// How a cell ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was measured.
    Ok,
    /// It did not fit.
    OutOfMemory,
    /// It failed for another reason.
    Failed,
}

impl Status {
    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::OutOfMemory => "out_of_memory",
            Self::Failed => "failed",
        }
    }
}

/// One measured step.
///
/// ```
/// use greenformers::record::Step;
///
/// let step = Step { visit: 0, start_s: 10.0, forward_s: 0.25, backward_s: 0.5, optimizer_s: 0.125 };
/// assert_eq!((step.total_s(), step.end_s()), (0.875, 10.875));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Steps of the same visit ran one after the other; between visits the other architectures ran.
    pub visit: u32,
    /// When it began, in seconds since the campaign did.
    pub start_s: f64,
    /// Forward pass with the loss, in seconds.
    pub forward_s: f64,
    /// Backward pass; 0 in inference.
    pub backward_s: f64,
    /// Optimizer update; 0 in inference.
    pub optimizer_s: f64,
}

impl Step {
    /// The whole step in seconds.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.forward_s + self.backward_s + self.optimizer_s
    }

    /// When it ended, in seconds since the campaign began.
    #[must_use]
    pub fn end_s(&self) -> f64 {
        self.start_s + self.total_s()
    }
}

/// What it takes to keep a GPU busy, over steps that begin and end with an idle GPU, as do each of their phases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// Steps that were run so.
    pub steps: usize,
    /// Median seconds until the work of a step was queued.
    pub enqueue_s: f64,
    /// Median seconds until it was done: with a wait at the end of each phase, as frameworks are usually timed.
    pub synchronized_s: f64,
}

/// What was measured of one architecture at one shape.
///
/// ```
/// # use std::path::Path;
/// # use greenformers::record::Record;
/// let record = Record::load(Path::new("reports/h200-bert-base"))?;
/// let cell = &record.cells[0];
/// let figures = cell.summary(&record.environment);
/// assert_eq!(figures.n_steps, cell.steps.len());
/// // What a meter did not measure is `None`, never 0.
/// assert!(figures.energy_j_per_step.is_some_and(|joules| joules.low > 0.0));
/// # Ok::<(), greenformers::record::RecordError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The architecture.
    pub arch: Arch,
    /// Sequences, tokens and masked positions of a step.
    pub shape: StepShape,
    /// Layers of the model that was built.
    pub n_layers: usize,
    /// Number format.
    pub dtype: DType,
    /// What a step does.
    pub pass: Pass,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// How it ended.
    pub status: Status,
    /// Why, if it did not end well.
    pub error: Option<String>,
    /// Parameters of the model.
    pub n_params: u64,
    /// FLOPs of one step.
    pub flop_per_step: f64,
    /// Steps that ran before the measured ones.
    pub warmup_steps: usize,
    /// Measured steps, in order.
    pub steps: Vec<Step>,
    /// What the meters read meanwhile.
    pub meters: Vec<MeterTrace>,
    /// Most bytes that the cell had allocated at a time.
    pub peak_memory_bytes: Option<u64>,
    /// Loss of the last step: shows that something real was computed.
    pub last_loss: Option<f64>,
    /// Caveats.
    pub warnings: Vec<Warning>,
    /// Unix time from which the times of its steps and readings count: to set them beside those of other meters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch_unix_s: Option<f64>,
    /// Seconds of warm-up, where it went on until the device was steady.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_s: Option<f64>,
    /// The GPU before the first measured step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_before: Option<GpuState>,
    /// The GPU after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_after: Option<GpuState>,
    /// How long the program takes to queue the work of a step on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    /// Whether other processes used the GPU meanwhile; unknown where the driver does not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contaminated: Option<bool>,
}

impl Cell {
    /// Whether two cells are the same point of a campaign.
    #[must_use]
    pub fn same_point(&self, other: &Self) -> bool {
        let key = |c: &Self| (c.arch, c.shape.seq_len, c.shape.batch_size, c.n_layers, c.dtype, c.pass);
        key(self) == key(other)
    }

    /// A short name for people: `LRT r=256, 8 x 128, f32`; a forward pass says that it is one.
    #[must_use]
    pub fn label(&self) -> String {
        let pass = if self.pass == Pass::Infer { " forward" } else { "" };
        format!("{}, {} x {}, {}{pass}", self.arch.label(), self.shape.batch_size, self.shape.seq_len, self.dtype)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A cell of which nothing has been measured.
    pub(crate) fn cell() -> Cell {
        Cell {
            arch: Arch::Dense,
            shape: StepShape { batch_size: 1, seq_len: 8, masked_per_seq: 2 },
            n_layers: 1,
            dtype: DType::F32,
            pass: Pass::Train,
            device: "cpu".to_owned(),
            status: Status::Ok,
            error: None,
            n_params: 1,
            flop_per_step: 1.0,
            warmup_steps: 0,
            steps: Vec::new(),
            meters: Vec::new(),
            peak_memory_bytes: None,
            last_loss: None,
            warnings: Vec::new(),
            epoch_unix_s: None,
            warmup_s: None,
            gpu_before: None,
            gpu_after: None,
            contaminated: None,
            launch: None,
        }
    }

    #[test]
    fn a_status_has_one_name_in_tables_and_in_records() {
        for status in [Status::Ok, Status::OutOfMemory, Status::Failed] {
            assert_eq!(serde_json::to_value(status).expect("a name"), status.name());
        }
    }
}
