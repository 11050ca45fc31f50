//! The constants of the model of a step: what they mean, what is known before the fit, and where they lie.

use std::collections::BTreeMap;

use crate::stats::Prior;

/// Positions of the constants that every device shares.
pub(super) mod at {
    pub(in crate::estimate::steps::model) const GEMM: usize = 0;
    pub(in crate::estimate::steps::model) const SIZE: usize = 1;
    pub(in crate::estimate::steps::model) const POWER: usize = 2;
    pub(in crate::estimate::steps::model) const SHRINK: usize = 3;
    pub(in crate::estimate::steps::model) const TUNED: usize = 4;
    pub(in crate::estimate::steps::model) const TF32: usize = 5;
    pub(in crate::estimate::steps::model) const VECTOR: usize = 6;
    pub(in crate::estimate::steps::model) const ATTENTION: usize = 7;
    pub(in crate::estimate::steps::model) const FUSED: usize = 8;
    pub(in crate::estimate::steps::model) const MEMORY: usize = 9;
    pub(in crate::estimate::steps::model) const SOFTMAX: usize = 10;
    pub(in crate::estimate::steps::model) const TYPICAL_TRAFFIC: usize = 11;
    pub(in crate::estimate::steps::model) const TUNED_TRAFFIC: usize = 12;
    pub(in crate::estimate::steps::model) const TYPICAL_LAUNCH: usize = 13;
    pub(in crate::estimate::steps::model) const TUNED_LAUNCH: usize = 14;
    pub(in crate::estimate::steps::model) const STRAGGLER: usize = 15;
}

/// Name, mean and standard deviation before the fit (of the natural logarithm, but for `process_exponent`), and
/// meaning. The priors are weak: they keep what the published runs do not decide near what is physically sensible.
pub const SHARED: [(&str, f64, f64, &str); 16] = [
    ("gemm_efficiency", -0.2, 0.5, "part of its peak that a large matrix product would reach without a power limit"),
    (
        "size_dependence",
        -0.7,
        1.0,
        "time of a product per time of its traffic, which lowers the efficiency of small ones",
    ),
    (
        "power_limited_density",
        0.0,
        0.5,
        "TFLOP/s per watt, over the A100's 0.78, that halves what a 7 nm device reaches",
    ),
    ("process_exponent", 0.8, 0.3, "exponent of the feature size in that density"),
    ("tuned_gain", 0.1, 0.3, "gain of tuned software in matrix products"),
    ("tf32_gain", 0.0, 0.2, "efficiency in TF32 over that in 16 bits"),
    ("vector_gain", 0.0, 0.5, "efficiency of f32 outside tensor cores over that in 16 bits"),
    ("attention_efficiency", -0.7, 0.5, "efficiency of attention's products over that of large products"),
    ("fused_attention_efficiency", -0.7, 0.5, "efficiency of fused attention over that of large products"),
    ("memory_efficiency", -0.22, 0.1, "part of its bandwidth that memory-bound work reaches"),
    ("softmax_traffic", 0.0, 0.3, "traffic of softmax over scores against the counted one"),
    ("typical_traffic", 0.0, 0.3, "traffic of element-wise work in stock frameworks against the counted one"),
    ("tuned_traffic", 0.0, 0.3, "the same in tuned software"),
    ("typical_launch_s", -11.0, 0.5, "seconds that each kernel of a stock framework costs on top"),
    ("tuned_launch_s", -12.0, 0.5, "the same in tuned software"),
    ("straggler", -4.2, 0.5, "relative scatter of step times between devices that wait for each other"),
];

/// Spread between designs, and between devices of one design, of the efficiency of large products (ln).
const DESIGN_SD: f64 = 0.12;
const DEVICE_SD: f64 = 0.10;
/// Spread between designs of the density at which power limits (ln).
const DESIGN_POWER_SD: f64 = 0.15;
/// Spread between designs of the efficiency of attention (ln).
const DESIGN_ATTENTION_SD: f64 = 0.2;
/// Spread between collections, that is between software stacks, of whole step times (ln).
pub(super) const COLLECTION_SD: f64 = 0.05;

/// Effects that designs, devices and collections have of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Effect {
    Design,
    DesignPower,
    DesignAttention,
    Device,
    Collection,
}

impl Effect {
    pub(super) const ALL: [Self; 5] =
        [Self::Design, Self::DesignPower, Self::DesignAttention, Self::Device, Self::Collection];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Design => "design",
            Self::DesignPower => "design_power",
            Self::DesignAttention => "design_attention",
            Self::Device => "device",
            Self::Collection => "collection",
        }
    }

    /// Its standard deviation where nothing was published.
    pub(super) fn sd(self) -> f64 {
        match self {
            Self::Design => DESIGN_SD,
            Self::DesignPower => DESIGN_POWER_SD,
            Self::DesignAttention => DESIGN_ATTENTION_SD,
            Self::Device => DEVICE_SD,
            Self::Collection => COLLECTION_SD,
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

    /// What is known before the fit.
    pub(super) fn priors(&self) -> Vec<Prior> {
        let shared = SHARED.iter().map(|(_, mean, sd, _)| Prior { mean: *mean, sd: *sd });
        let effects = self.names[SHARED.len()..].iter().map(|name| {
            let kind = Effect::ALL.into_iter().find(|e| name.split(':').next() == Some(e.name()));
            Prior { mean: 0.0, sd: kind.map_or(1.0, Effect::sd) }
        });
        shared.chain(effects).collect()
    }
}
