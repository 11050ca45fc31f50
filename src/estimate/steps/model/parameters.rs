//! The constants of the model of a step: what they mean, what is known before the fit, and where they lie.

use std::collections::BTreeMap;

use crate::catalog::SoftwareClass;
use crate::stats::Prior;

/// Positions of the constants that every device shares.
pub(super) mod at {
    pub(in crate::estimate::steps::model) const GEMM: usize = 0;
    pub(in crate::estimate::steps::model) const SIZE: usize = 1;
    pub(in crate::estimate::steps::model) const POWER: usize = 2;
    pub(in crate::estimate::steps::model) const SHRINK: usize = 3;
    pub(in crate::estimate::steps::model) const TF32: usize = 4;
    pub(in crate::estimate::steps::model) const VECTOR: usize = 5;
    pub(in crate::estimate::steps::model) const ATTENTION: usize = 6;
    pub(in crate::estimate::steps::model) const FUSED: usize = 7;
    pub(in crate::estimate::steps::model) const MEMORY: usize = 8;
    pub(in crate::estimate::steps::model) const SOFTMAX: usize = 9;
    /// The first of the classes of software, in the order of their enum.
    pub(in crate::estimate::steps::model) const PASS: usize = 10;
    pub(in crate::estimate::steps::model) const TRAFFIC: usize = 13;
    pub(in crate::estimate::steps::model) const LAUNCH: usize = 16;
    pub(in crate::estimate::steps::model) const MODERN: usize = 19;
    pub(in crate::estimate::steps::model) const STRAGGLER: usize = 20;
}

/// Name, mean and standard deviation before the fit (of the natural logarithm, but for `gemm_efficiency`, which is a log-odds,
/// and `process_exponent`), and meaning. The priors are weak: they keep what the published runs do not decide near what is
/// physically sensible.
pub const SHARED: [(&str, f64, f64, &str); 21] = [
    (
        "gemm_efficiency",
        1.5,
        0.7,
        "log-odds of the part of its peak that a large matrix product reaches without a power limit",
    ),
    (
        "size_dependence",
        -0.7,
        1.0,
        "time of a product per time of its traffic, which lowers the efficiency of small ones",
    ),
    ("power_limited_density", 0.0, 0.5, "TFLOP/s per watt, over the A100's 0.78, that halves what a 7 nm GPU reaches"),
    ("process_exponent", 0.8, 0.3, "exponent of the feature size in that density"),
    ("tf32_gain", 0.0, 0.2, "efficiency in TF32 over that in 16 bits"),
    ("vector_gain", 0.0, 0.5, "efficiency of f32 outside tensor cores over that in 16 bits"),
    ("attention_efficiency", -0.7, 0.5, "efficiency of attention's products over that of large products"),
    ("fused_attention_efficiency", -0.7, 0.5, "efficiency of fused attention over that of large products"),
    ("memory_efficiency", -0.22, 0.1, "part of its bandwidth that memory-bound work reaches"),
    ("softmax_traffic", 0.0, 0.3, "traffic of softmax over scores against the counted one"),
    (
        "eager_pass",
        0.0,
        0.1,
        "time of a pass of eager software over that of its parts, beyond what its operations move and take to queue",
    ),
    ("compiled_pass", 0.05, 0.15, "the same of compiled software"),
    ("optimised_pass", 0.0, 0.02, "the same of optimised software, by which the others are measured"),
    (
        "eager_traffic",
        0.0,
        0.2,
        "traffic between products in eager software against that of stock PyTorch's operations, which is counted exactly",
    ),
    ("compiled_traffic", 0.0, 0.3, "the same in compiled software"),
    ("optimised_traffic", 0.0, 0.3, "the same in optimised software"),
    (
        "eager_launch_s",
        -10.4,
        0.2,
        "seconds that queueing an operation takes eager software: BERT-base, of 960, takes PyTorch 2.11 about 24 to 35 ms a step on \
         an H200",
    ),
    ("compiled_launch_s", -11.0, 0.5, "the same in compiled software"),
    ("optimised_launch_s", -12.0, 0.5, "the same in optimised software"),
    (
        "modern_pass",
        -0.1,
        0.2,
        "time of a pass of decoders, and of encoders with fused attention, over that of its parts: programs for encoders with attention in \
         separate kernels, by which they are measured, are of 2018 to 2021, with masks, dropout and casts in kernels of their own",
    ),
    ("straggler", -4.2, 0.5, "relative scatter of step times between devices that wait for each other"),
];

/// Spread between designs, and between devices of one design, of the efficiency of large products (ln).
const DESIGN_SD: f64 = 0.12;
const DEVICE_SD: f64 = 0.10;
/// Spread between designs of the density at which power limits (ln).
const DESIGN_POWER_SD: f64 = 0.15;
/// Spread between designs of the efficiency of attention (ln).
const DESIGN_ATTENTION_SD: f64 = 0.2;
/// Spread between makers other than NVIDIA, whose software is younger and of whom little is published (ln).
const VENDOR_SD: f64 = 0.30;

/// Spread of whole step times between programs of one class, each on its own machines (ln), in the order of the classes. Fitted
/// with the constants.
pub type SoftwareSpread = [f64; 3];

/// That before the fit.
pub(super) const SOFTWARE_SD: SoftwareSpread = [0.30, 0.20, 0.15];

/// Effects that designs, devices, makers and programs have of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Effect {
    Design,
    DesignPower,
    DesignAttention,
    Device,
    Vendor,
    Software(SoftwareClass),
}

impl Effect {
    pub(super) const ALL: [Self; 8] = [
        Self::Design,
        Self::DesignPower,
        Self::DesignAttention,
        Self::Device,
        Self::Vendor,
        Self::Software(SoftwareClass::Eager),
        Self::Software(SoftwareClass::Compiled),
        Self::Software(SoftwareClass::Optimised),
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Design => "design",
            Self::DesignPower => "design_power",
            Self::DesignAttention => "design_attention",
            Self::Device => "device",
            Self::Vendor => "vendor",
            Self::Software(SoftwareClass::Eager) => "eager",
            Self::Software(SoftwareClass::Compiled) => "compiled",
            Self::Software(SoftwareClass::Optimised) => "optimised",
        }
    }

    /// Its standard deviation where nothing was published.
    pub(super) fn sd(self, software: &SoftwareSpread) -> f64 {
        match self {
            Self::Design => DESIGN_SD,
            Self::DesignPower => DESIGN_POWER_SD,
            Self::DesignAttention => DESIGN_ATTENTION_SD,
            Self::Device => DEVICE_SD,
            Self::Vendor => VENDOR_SD,
            Self::Software(class) => software[class as usize],
        }
    }
}

/// Which constant lies where: the shared ones first, then the effects of what was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    effects: BTreeMap<String, usize>,
    names: Vec<String>,
}

impl Layout {
    /// The layout for effects of these names, each `EFFECT:WHOSE`.
    pub(super) fn new(effects: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> = SHARED.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let mut map = BTreeMap::new();
        for effect in effects {
            if !map.contains_key(&effect) {
                map.insert(effect.clone(), names.len());
                names.push(effect);
            }
        }
        Self { effects: map, names }
    }

    /// The names in order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Where the effect of `whose` lies, if anything was published of it.
    pub(super) fn effect(&self, effect: Effect, whose: &str) -> Option<usize> {
        self.effects.get(&format!("{}:{whose}", effect.name())).copied()
    }

    /// Where all effects of one kind lie.
    pub(super) fn effects(&self, effect: Effect) -> Vec<usize> {
        let of_kind = |(name, _): &(&String, &usize)| name.split(':').next() == Some(effect.name());
        self.effects.iter().filter(of_kind).map(|(_, place)| *place).collect()
    }

    /// What is known before the fit, where programs of a class differ by `software`.
    pub(super) fn priors(&self, software: &SoftwareSpread) -> Vec<Prior> {
        let shared = SHARED.iter().map(|(_, mean, sd, _)| Prior { mean: *mean, sd: *sd });
        let effects = self.names[SHARED.len()..].iter().map(|name| {
            let kind = Effect::ALL.into_iter().find(|e| name.split(':').next() == Some(e.name()));
            Prior { mean: 0.0, sd: kind.map_or(1.0, |kind| kind.sd(software)) }
        });
        shared.chain(effects).collect()
    }
}
