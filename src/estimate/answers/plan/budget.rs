//! What may be spent, and why nothing can be planned with it.

use std::fmt;

use crate::estimate::error::EstimateError;
use crate::estimate::ledger::quantity::Quantity;

/// The most that a run may come to in one quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// What is limited.
    pub quantity: Quantity,
    /// How much of it, in the unit of the quantity.
    pub amount: f64,
    /// As it was typed.
    pub typed: String,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Why nothing can be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The run cannot be estimated.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
    /// Nothing limits the run.
    #[error("no budget was given\nhint: `--budget 500USD`, `72h`, `50kg`, `120kWh` or `1000GPUh`")]
    NoBudget,
    /// A budget of what is not known of the run.
    #[error("`--budget {budget}`: the {} of a run on `{device}` is not known: {why}\nhint: {}", quantity.words(), needed(*quantity))]
    NotKnown {
        /// The budget.
        budget: String,
        /// What is not known.
        quantity: Quantity,
        /// The device.
        device: String,
        /// Why.
        why: String,
    },
    /// The memory of a device does not hold the run.
    #[error(
        "the run needs {needed_gb:.1} GB on each of {devices} x `{device}`, which has not as much\nhint: `--layout auto`, more `--devices`, or leave out `--devices` for every number of them"
    )]
    DoesNotFit {
        /// The device.
        device: String,
        /// How many.
        devices: u32,
        /// Gigabytes that it takes on each.
        needed_gb: f64,
    },
    /// The budget is less than a step.
    #[error(
        "`--budget {budget}` buys no step: one of {workload} on {devices} x `{device}` comes to {step}\nhint: a larger budget, fewer `--devices`, or a smaller `--batch-tokens`"
    )]
    NoStep {
        /// The budget.
        budget: String,
        /// What is trained.
        workload: String,
        /// The device.
        device: String,
        /// How many.
        devices: u32,
        /// What a step comes to, with its unit.
        step: String,
    },
    /// Not even the smallest model is trained.
    #[error(
        "`--budget {budget}` trains no model: the smallest, {workload}, comes to {run} on {devices} x `{device}`\nhint: a larger budget, fewer `--devices`, or fewer `--tokens-per-param`"
    )]
    NoModel {
        /// The budget.
        budget: String,
        /// The smallest model.
        workload: String,
        /// The device.
        device: String,
        /// How many.
        devices: u32,
        /// What it comes to, with its unit.
        run: String,
    },
    /// No machine that was looked at can run it.
    #[error(
        "none of {machines} numbers and kinds of devices can run it\n{why}hint: other `--hardware`, a larger budget, or a smaller model"
    )]
    Nothing {
        /// How many were looked at.
        machines: usize,
        /// Why not, a line each.
        why: String,
    },
}

fn needed(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Cost => {
            "`--usd-per-hour 2.50`, another `--cloud`, or `--usd-per-kwh 0.20` for machines that are not rented"
        }
        _ => "other `--hardware`, or a budget of time (`72h`) or money (`500USD`)",
    }
}
