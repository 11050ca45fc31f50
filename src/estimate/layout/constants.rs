//! The constants of layouts: what they mean, what is known before the fit, and their fitted values (`hardware/layouts.json`).

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::catalog::layouts_table;
use crate::estimate::steps::model::Tuning;
use crate::stats::Prior;

/// How many there are.
pub(super) const N: usize = 13;

/// Name, middle and spread (of the natural logarithm) before the fit, and meaning. The middles are what the model of one device and
/// nccl's own figures say; the spreads are about the standard errors that these have, and judgement where they have none.
pub const CONSTANTS: [(&str, f64, f64, &str); N] = [
    (
        "size_dependence",
        1.0,
        0.7,
        "on how much less efficient narrow products are than wide ones, over the model of one device",
    ),
    ("products", 1.0, 0.4, "on seconds of products, over the model of one device"),
    ("shared_traffic", 1.0, 0.7, "on seconds of softmax, activations and losses, over the model of one device"),
    ("whole_traffic", 1.0, 0.3, "on seconds of norms, residuals and embeddings, over the model of one device"),
    (
        "launch_s",
        80e-6,
        0.7,
        "seconds that the host takes for an operator's kernel and what is done around it in Python",
    ),
    ("operators_around", 12.0, 0.7, "operators of a micro-batch around its layers"),
    (
        "operators_of_separate_softmax",
        3.0,
        0.5,
        "operators that a softmax takes more where it is not fused: Megatron's kernel takes multiples of 4 heads x sequences on a \
         device (megatron/fused_kernels, batch_per_block)",
    ),
    (
        "jitter",
        0.05,
        0.7,
        "how much longer hosts take per unit of ln(tp), as those of a tensor group wait for each other",
    ),
    (
        "sharpness",
        3.0,
        0.4,
        "power of the sum of what host and device take: 1 one after the other, infinite the longer of both",
    ),
    ("tensor_exchange", 1.0, 0.22, "on seconds of all-reduces of a tensor group, over nccl's figures"),
    ("pipeline_exchange", 1.0, 0.5, "on seconds of sends between stages, over nccl's figures"),
    ("update", 1.0, 0.5, "on seconds of AdamW, over 28 bytes a parameter at the bandwidth that is reached"),
    ("fixed_s", 5e-3, 0.7, "seconds of an iteration for everything else"),
];

/// A constant as it stands in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutConstant {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Standard error of the natural logarithm of it.
    pub ln_standard_error: f64,
    /// What it means.
    pub meaning: String,
}

/// What `hardware/layouts.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutTable {
    /// What it was fitted to, and how it is made again.
    pub source: String,
    /// Measured iterations in the fit.
    pub n_iterations: usize,
    /// Root mean square of the ln error where a width of the model was held out.
    pub scatter: f64,
    /// The constants.
    pub constants: Vec<LayoutConstant>,
}

/// The constants, in the order of [`CONSTANTS`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constants {
    values: [f64; N],
    scatter: f64,
}

impl Constants {
    /// The constants that the program carries.
    ///
    /// # Panics
    /// If the embedded table is damaged, which a test rules out.
    #[must_use]
    pub fn embedded() -> &'static Self {
        static EMBEDDED: OnceLock<Constants> = OnceLock::new();
        EMBEDDED.get_or_init(|| {
            let table: LayoutTable =
                serde_json::from_str(layouts_table()).expect("the embedded table is read by a test");
            let mut values = CONSTANTS.map(|c| c.1);
            for (value, (name, ..)) in values.iter_mut().zip(CONSTANTS) {
                if let Some(constant) = table.constants.iter().find(|c| c.name == name) {
                    *value = constant.value;
                }
            }
            Self { values, scatter: table.scatter }
        })
    }

    /// Constants whose logarithms are `ln`, with an error of `scatter`.
    #[must_use]
    pub fn of_logarithms(ln: &[f64], scatter: f64) -> Self {
        Self { values: std::array::from_fn(|i| ln.get(i).copied().unwrap_or(0.0).exp()), scatter }
    }

    /// Their logarithms.
    #[must_use]
    pub fn logarithms(&self) -> [f64; N] {
        self.values.map(f64::ln)
    }

    /// Standard deviation of the logarithm of a step of the same programs on the same devices.
    #[must_use]
    pub fn scatter(&self) -> f64 {
        self.scatter
    }

    /// What is known before the fit.
    #[must_use]
    pub fn priors() -> [Prior; N] {
        CONSTANTS.map(|(_, middle, sd, _)| Prior { mean: middle.ln(), sd })
    }

    pub(super) fn tuning(&self) -> Tuning {
        let [size, products, shared, whole, ..] = self.values;
        Tuning { size, products, shared, whole }
    }

    pub(super) fn launch_s(&self) -> f64 {
        self.values[4]
    }

    pub(super) fn operators_around(&self) -> f64 {
        self.values[5]
    }

    pub(super) fn separate_softmax(&self) -> f64 {
        self.values[6]
    }

    pub(super) fn jitter(&self) -> f64 {
        self.values[7]
    }

    pub(super) fn sharpness(&self) -> f64 {
        self.values[8]
    }

    pub(super) fn tensor_exchange(&self) -> f64 {
        self.values[9]
    }

    pub(super) fn pipeline_exchange(&self) -> f64 {
        self.values[10]
    }

    pub(super) fn update(&self) -> f64 {
        self.values[11]
    }

    pub(super) fn fixed_s(&self) -> f64 {
        self.values[12]
    }
}
