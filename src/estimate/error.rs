//! Why an estimate cannot be made.

use super::layout_error::LayoutError;
use crate::catalog::{CatalogError, HourlyError};
use crate::model::ArchError;
use crate::units::DType;

/// Why an estimate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// The architecture does not fit the workload.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// The catalog has no such entry, or cannot read it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The hours of a grid cannot be read.
    #[error(transparent)]
    Hourly(#[from] HourlyError),
    /// A start is looked for, and no hours of a grid were given.
    #[error("`--start-within` needs the hours of a grid\nhint: give `--grid FILE.csv` with a row an hour")]
    StartWithoutHours,
    /// A start is looked for of a run that has been.
    #[error(
        "`--start-within` finds the best start of a run that is still to come, and the hours of this one are known\nhint: `greenformers estimate --start-within 48h`"
    )]
    StartOfKnownHours,
    /// A calibration on top of another model.
    #[error(
        "the calibration is on top of a model of {model_runs} published runs, and this program has one of {expected}\nhint: `greenformers catalog calibrate` makes it again"
    )]
    Calibration {
        /// Runs behind the model of the file.
        model_runs: usize,
        /// Runs behind this program's.
        expected: usize,
    },
    /// A program that was forecast on one machine says nothing of another.
    #[error(
        "the forecast is not carried to other hardware: {why}\nhint: `greenformers estimate --workload config.json --hardware NAME` models it, with `--software` for what is known of the program"
    )]
    NotCarried {
        /// Why.
        why: String,
    },
    /// The devices cannot be laid out so.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// No factors in steps to an equal loss.
    #[error(
        "`{name}` says nothing of steps to an equal loss: {reason}\nhint: `greenformers quality TEXT -o DIR` measures them; `--quality published` takes what others found"
    )]
    NoQuality {
        /// What was read.
        name: String,
        /// Why.
        reason: String,
    },
    /// There is nothing to compute on.
    #[error("`--devices 0`: expected at least 1")]
    NoDevices,
    /// Some devices would have nothing to do.
    #[error(
        "a batch of {batch_size} sequences cannot be spread over {devices} devices: expected at most {batch_size} devices\nhint: fewer `--devices`, or a larger `batch_size` in the workload"
    )]
    BatchTooSmall {
        /// Sequences in a step.
        batch_size: usize,
        /// Devices.
        devices: u32,
    },
    /// Weights of 16 bits in a step that computes in others.
    #[error(
        "weights of 16 bits need a step in 16 bits, and this one is in {0}\nhint: `--dtype bf16`, or `--weights f32`"
    )]
    WeightsOfOtherFormat(DType),
    /// A micro-batch that no device can have.
    #[error(
        "`--micro-batch {micro_batch}` is more than the {share} sequences that a device gets: {batch_size} in a step over {devices} of them\nhint: give at most {share}, or leave it out for the largest that fits"
    )]
    MicroBatchTooLarge {
        /// What was asked for.
        micro_batch: usize,
        /// Sequences of a step on a device.
        share: usize,
        /// Sequences in a step.
        batch_size: usize,
        /// Devices.
        devices: u32,
    },
    /// The device does not compute in this format.
    #[error("the catalog gives `{device}` no peak for `{dtype}`: expected {}", list(allowed))]
    DType {
        /// The device.
        device: String,
        /// The format.
        dtype: DType,
        /// The formats it has.
        allowed: Vec<DType>,
    },
    /// Published runs are of GPUs.
    #[error(
        "the record is of `{0}`, which is no GPU of the catalog: published runs are of GPUs\nhint: profile with `--device cuda`, and with `--hardware FILE` where the catalog does not know the card"
    )]
    NotAGpu(String),
    /// The record holds no train step.
    #[error(
        "the record has no measured train step\nhint: profile with `--pass train`, or give `--hardware` for an estimate without a record"
    )]
    NothingMeasured,
    /// No offer of this basis is known.
    #[error("no price of `{device}` is known as `{basis}`: expected {}", if allowed.is_empty() { "`--usd-per-hour`, the catalog has no offer".to_owned() } else { allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ") })]
    Price {
        /// The device.
        device: String,
        /// What was asked for.
        basis: String,
        /// What there is.
        allowed: Vec<String>,
    },
    /// No offer of this year is known.
    #[error("no price of `{device}`{} is known of `{year}`: expected {}", provider.as_deref().map(|p| format!(" at {p}")).unwrap_or_default(), if known.is_empty() { "`--usd-per-hour`, the catalog has no offer".to_owned() } else { known.iter().map(|y| format!("`{y}`")).collect::<Vec<_>>().join(", ") })]
    PriceYear {
        /// The device.
        device: String,
        /// Who was to rent it out, if anyone was named.
        provider: Option<String>,
        /// What was asked for.
        year: i32,
        /// The years that there are.
        known: Vec<i32>,
    },
    /// No machine of this name is known.
    #[error("unknown instance `{name}`{}: expected {}", provider.as_deref().map(|p| format!(" of {p}")).unwrap_or_default(), if known.is_empty() { "`--hardware`, the catalog knows none of its machines".to_owned() } else { known.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ") })]
    Instance {
        /// What was typed.
        name: String,
        /// The provider, if one was named.
        provider: Option<String>,
        /// What there is.
        known: Vec<String>,
    },
    /// Another device than that of the machine.
    #[error(
        "`{instance}` is a machine with {of_instance}, not with `{hardware}`: leave out one of `--instance` and `--hardware`"
    )]
    InstanceOfOther {
        /// The machine.
        instance: String,
        /// What it has.
        of_instance: String,
        /// What was asked for.
        hardware: String,
    },
    /// A model alone is no run.
    #[error("`{model}` is a model, and how long it is trained is not said\nhint: add {}", missing.join(", "))]
    NoRecipe {
        /// The model.
        model: String,
        /// What is missing, as options.
        missing: Vec<&'static str>,
    },
    /// Neither a record nor a device was given.
    #[error("nothing to estimate from\nhint: give a record, `--hardware NAME` or `--step-time SECONDS`")]
    NoSource,
    /// The device has no figure that a model of it needs.
    #[error("the catalog gives `{device}` no {what}, which an estimate without a record needs")]
    MissingFigure {
        /// The device.
        device: String,
        /// The figure.
        what: &'static str,
    },
    /// Numbers so large or small that they cannot be computed with.
    #[error("the run of `{arch}` takes no finite time: expected a workload and a device of sensible size")]
    OutOfRange {
        /// The architecture.
        arch: String,
    },
    /// A PUE that cannot be.
    #[error("`--pue`: {0}")]
    Pue(
        /// What is wrong with it.
        String,
    ),
    /// A number that makes no sense.
    #[error("`{name}` is {value}: expected {allowed}")]
    Number {
        /// The option.
        name: &'static str,
        /// What it was.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
}

fn list(dtypes: &[DType]) -> String {
    if dtypes.is_empty() {
        return "another device, it has none".to_owned();
    }
    format!("one of {}", dtypes.iter().map(|d| format!("`{d}`")).collect::<Vec<_>>().join(", "))
}
