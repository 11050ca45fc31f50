//! The architectures that are compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Config, Family, Positions};

/// Which matrices a Linformer shares (Wang et al. 2020, §4 "Parameter sharing").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Share {
    /// One E for all layers, heads, keys and values (the paper's layer-wise sharing).
    Model,
    /// One E and one F in each layer, shared by its heads (the paper's head-wise sharing).
    Layer,
    /// E = F in each layer (the paper's key-value sharing).
    Kv,
    /// An E and an F for each head.
    None,
}

/// Whether a Linformer shortens its input before or after the key and value linears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Order {
    /// K = (E x) W: the linears see k rows (the authors' code).
    Input,
    /// K = E (x W): the linears see every row (the paper's equation 7).
    Projected,
}

/// An architecture and its parameter.
///
/// Written `dense`, `lrt:rank=256`, `linformer:k=128,share=model,order=input`, `lora:rank=16,targets=qv` or `qlora:…`.
///
/// ```
/// use greenformers::model::Arch;
///
/// let arch: Arch = "lrt:rank=256".parse()?;
/// assert_eq!(arch, Arch::Lrt { rank: 256 });
/// assert_eq!((arch.to_string(), arch.label()), ("lrt:rank=256".to_owned(), "LRT r=256".to_owned()));
/// assert!("lrt:width=256".parse::<Arch>().is_err());
/// # Ok::<(), greenformers::model::ArchError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// The transformer as published.
    Dense,
    /// Low-rank transformer (Winata et al. 2020): every linear of the encoder layers is D (E x) + b
    /// with inner width `rank`.
    Lrt {
        /// The inner width.
        rank: usize,
    },
    /// Linformer (Wang et al. 2020): keys and values have `k` rows, whatever the sequence length.
    Linformer {
        /// Rows of the shortened keys and values.
        k: usize,
        /// Which matrices are shared.
        share: Share,
        /// Where the input is shortened.
        order: Order,
    },
    /// Fine-tuning by LoRA (Hu et al. 2021, arXiv 2106.09685): the model stays as it is, and pairs of low-rank matrices beside some of
    /// its linears are trained.
    Lora {
        /// The inner width of the pairs.
        rank: usize,
        /// Which linears have one.
        targets: LoraTargets,
        /// How the model is held.
        base: LoraBase,
    },
}

/// How the weights that LoRA leaves as they are stand in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LoraBase {
    /// As those of a step.
    Whole,
    /// The linears of the layers in 4 bits (QLoRA, Dettmers et al. 2023, arXiv 2305.14314): estimated in memory alone. The step is
    /// taken to be LoRA's, without what unpacking the weights costs.
    FourBits,
}

/// Which linears get a pair of low-rank matrices beside them (LoRA, Hu et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LoraTargets {
    /// Queries and values; the one matrix of queries, keys and values where these are fused.
    QueryValue,
    /// All linears of attention and of feed-forward blocks, shared experts among them, but neither routed experts nor routers.
    AllLinear,
}

impl LoraTargets {
    fn name(self) -> &'static str {
        match self {
            Self::QueryValue => "qv",
            Self::AllLinear => "all",
        }
    }
}

impl Arch {
    /// The architectures that are compared unless others are named: for BERT-base, LRT of rank 256 and Linformer of k 128; for
    /// other models the same shares of their width and length. A decoder is no Linformer.
    #[must_use]
    pub fn usual(model: &Config) -> Vec<Self> {
        let rank = (model.d_model / 3).max(1);
        let k = (model.max_seq_len / 4).max(1);
        let linformer = Self::Linformer { k, share: Share::Model, order: Order::Input };
        let all = [Self::Dense, Self::Lrt { rank }, linformer];
        all.into_iter().filter(|arch| arch.check_causality(model).is_ok()).collect()
    }

    /// `dense`, `lrt`, `linformer`, `lora` or `qlora`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lrt { .. } => "lrt",
            Self::Linformer { .. } => "linformer",
            Self::Lora { base: LoraBase::Whole, .. } => "lora",
            Self::Lora { base: LoraBase::FourBits, .. } => "qlora",
        }
    }

    /// The inner width of LRT.
    #[must_use]
    pub fn rank(self) -> Option<usize> {
        if let Self::Lrt { rank } = self { Some(rank) } else { None }
    }

    /// The inner width that LRT gives a linear of this model: its own, or the smaller side of a linear that is narrower than the
    /// model's layers and blocks, such as that of keys of few heads.
    #[must_use]
    pub fn rank_of(self, config: &Config, (d_in, d_out): (usize, usize)) -> Option<usize> {
        let (rank, side) = (self.rank()?, d_in.min(d_out));
        Some(if side < largest_rank(config) { rank.min(side) } else { rank })
    }

    /// The projected length of Linformer.
    #[must_use]
    pub fn k(self) -> Option<usize> {
        if let Self::Linformer { k, .. } = self { Some(k) } else { None }
    }

    /// A name for people: `LRT r=256`.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Dense => "dense".to_owned(),
            Self::Lrt { rank } => format!("LRT r={rank}"),
            Self::Lora { rank, targets, base } => {
                let name = if base == LoraBase::FourBits { "QLoRA" } else { "LoRA" };
                format!("{name} r={rank} {}", targets.name())
            }
            Self::Linformer { .. } => {
                let spec = self.to_string();
                let (_, options) = spec.split_once(':').unwrap_or_default();
                format!("Linformer {}", options.replace(',', " "))
            }
        }
    }

    /// What is computed of it at a length: a Linformer projects nothing of a sequence that is no longer than its k, and is then
    /// run as dense attention, as anybody would run it.
    #[must_use]
    pub fn at_length(self, seq_len: usize) -> Self {
        match self {
            Self::Linformer { k, .. } if k >= seq_len => Self::Dense,
            other => other,
        }
    }

    /// Checks the architecture against the model it is to be used in.
    ///
    /// # Errors
    /// As [`Self::check_sizes`], and if it cannot be causal where the model is.
    pub fn check(self, config: &Config) -> Result<(), ArchError> {
        self.check_causality(config)?;
        self.check_sizes(config)
    }

    /// A Linformer adds up all positions of a sequence before it attends to them, so that no mask can keep later ones out (Wang
    /// et al. 2020, arXiv 2006.04768, is of encoders alone).
    fn check_causality(self, config: &Config) -> Result<(), ArchError> {
        match (self, config.family) {
            (Self::Linformer { .. }, Family::Decoder) => Err(ArchError::NotCausal(self.to_string())),
            (Self::Linformer { .. }, Family::Encoder) if config.windowed().is_some() => {
                Err(ArchError::Windowed(self.to_string()))
            }
            (Self::Linformer { .. }, Family::Encoder) if config.details.latent.is_some() => {
                Err(ArchError::Latent(self.to_string()))
            }
            (Self::Linformer { .. }, Family::Encoder) if config.positions() == Positions::Rotary => {
                Err(ArchError::Turned(self.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Checks the parameter against the model, as in records that may be of models that no longer pass [`Self::check`].
    ///
    /// # Errors
    /// If the rank exceeds the smaller side of the smallest linear, or k the longest sequence.
    pub fn check_sizes(self, config: &Config) -> Result<(), ArchError> {
        let (name, value, max) = match self {
            Self::Dense => return Ok(()),
            Self::Lrt { rank } => ("rank", rank, largest_rank(config)),
            Self::Linformer { k, .. } => ("k", k, config.max_seq_len),
            Self::Lora { targets: LoraTargets::QueryValue, .. } if config.details.latent.is_some() => {
                return Err(ArchError::NoValueLinear(self.to_string()));
            }
            Self::Lora { rank, .. } => ("rank", rank, config.d_model),
        };
        if value > max {
            return Err(ArchError::TooLarge { arch: self.to_string(), name, max });
        }
        Ok(())
    }
}

/// The largest rank: the width of the model, or of the feed-forward blocks that it has; of a mixture in each layer, of an expert.
fn largest_rank(config: &Config) -> usize {
    let all_sparse = config.sparse().filter(|(layers, _)| *layers == config.n_layers);
    config.d_model.min(all_sparse.map_or(config.d_ff, |(_, experts)| experts.d_ff))
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dense => f.write_str("dense"),
            Self::Lrt { rank } => write!(f, "lrt:rank={rank}"),
            Self::Lora { rank, targets, .. } => write!(f, "{}:rank={rank},targets={}", self.kind(), targets.name()),
            Self::Linformer { k, share, order } => {
                write!(f, "linformer:k={k}")?;
                match share {
                    Share::Model => {}
                    Share::Layer => f.write_str(",share=layer")?,
                    Share::Kv => f.write_str(",share=kv")?,
                    Share::None => f.write_str(",share=none")?,
                }
                match order {
                    Order::Input => Ok(()),
                    Order::Projected => f.write_str(",order=projected"),
                }
            }
        }
    }
}

/// An architecture that cannot be understood or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchError {
    /// No such architecture.
    #[error(
        "unknown architecture `{0}`: expected `dense`, `lrt:rank=256`, \
         `linformer:k=128,share=model|layer|kv|none,order=input|projected` or `lora:rank=16,targets=qv|all` (or `qlora:…`)"
    )]
    Unknown(String),
    /// An option that the architecture does not have.
    #[error("`{arch}` has no option `{option}`: expected {allowed}")]
    Option {
        /// What was typed.
        arch: String,
        /// The part that is wrong.
        option: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A parameter above what the model allows.
    #[error("`{name}` of `{arch}` is larger than it can be: at most {max} in this model")]
    TooLarge {
        /// What was typed.
        arch: String,
        /// The parameter.
        name: &'static str,
        /// Its limit.
        max: usize,
    },
    /// A decoder would see what it is to predict.
    #[error(
        "`{0}` cannot be a causal decoder (`family: decoder`): it adds up the keys and values of all positions, later ones too, so that each token would see those it is to predict\nhint: give `dense` or `lrt:rank=N`, or a workload with `family: encoder`"
    )]
    NotCausal(String),
    /// What is added up over all positions has no window.
    #[error(
        "`{0}` adds up the keys and values of all positions, and some layers of this model see a window of them only\nhint: give `dense` or `lrt:rank=N`"
    )]
    Windowed(String),
    /// Keys that come from a latent are not those that a Linformer shortens.
    #[error(
        "`{0}` shortens keys and values, and those of this model come from a latent\nhint: give `dense` or `lrt:rank=N`"
    )]
    Latent(String),
    /// A mixture of keys stands at no position.
    #[error(
        "`{0}` adds up the keys of all positions, and rotary positions turn each key by the one that it has\nhint: give `dense` or `lrt:rank=N`"
    )]
    Turned(String),
    /// Attention without a linear of values.
    #[error("`{0}`: latent attention has no linear of values alone\nhint: give `targets=all`")]
    NoValueLinear(String),
    /// Separate matrices for each head cannot shorten the shared input.
    #[error("`{0}`: matrices of their own for each head need `order=projected`, since all heads share one input")]
    HeadwiseInput(String),
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> Result<Self, ArchError> {
        let (kind, options) = text.split_once(':').unwrap_or((text, ""));
        let options = options
            .split(',')
            .filter(|o| !o.is_empty())
            .map(|option| (option, option.split_once('=').unwrap_or((option, ""))));
        let unknown =
            |option: &str, allowed| ArchError::Option { arch: text.to_owned(), option: option.to_owned(), allowed };
        let positive = |option: &str, value: &str, allowed| {
            value.parse().ok().filter(|n| *n > 0).ok_or_else(|| unknown(option, allowed))
        };
        match kind {
            "dense" => match options.into_iter().next() {
                None => Ok(Self::Dense),
                Some((option, _)) => Err(unknown(option, "no option")),
            },
            "lrt" => {
                const ALLOWED: &str = "`rank=N` with N of at least 1";
                let mut rank = 256;
                for (option, (name, value)) in options {
                    match name {
                        "rank" | "r" => rank = positive(option, value, ALLOWED)?,
                        _ => return Err(unknown(option, ALLOWED)),
                    }
                }
                Ok(Self::Lrt { rank })
            }
            "lora" | "qlora" => {
                const ALLOWED: &str = "`rank=N` with N of at least 1, or `targets=qv|all`";
                let (mut rank, mut targets) = (16, LoraTargets::QueryValue);
                for (option, (name, value)) in options {
                    match (name, value) {
                        ("rank" | "r", _) => rank = positive(option, value, ALLOWED)?,
                        ("targets", "qv") => targets = LoraTargets::QueryValue,
                        ("targets", "all") => targets = LoraTargets::AllLinear,
                        _ => return Err(unknown(option, ALLOWED)),
                    }
                }
                let base = if kind == "qlora" { LoraBase::FourBits } else { LoraBase::Whole };
                Ok(Self::Lora { rank, targets, base })
            }
            "linformer" => {
                const ALLOWED: &str =
                    "`k=N` with N of at least 1, `share=model|layer|kv|none` or `order=input|projected`";
                let (mut k, mut share, mut order) = (128, Share::Model, None);
                for (option, (name, value)) in options {
                    match (name, value) {
                        ("k", _) => k = positive(option, value, ALLOWED)?,
                        ("share", "model") => share = Share::Model,
                        ("share", "layer") => share = Share::Layer,
                        ("share", "kv") => share = Share::Kv,
                        ("share", "none") => share = Share::None,
                        ("order", "input") => order = Some(Order::Input),
                        ("order", "projected") => order = Some(Order::Projected),
                        _ => return Err(unknown(option, ALLOWED)),
                    }
                }
                let order = match (share, order) {
                    (Share::None, Some(Order::Input)) => {
                        return Err(ArchError::HeadwiseInput(text.to_owned()));
                    }
                    (Share::None, None) => Order::Projected,
                    (_, order) => order.unwrap_or(Order::Input),
                };
                Ok(Self::Linformer { k, share, order })
            }
            _ => Err(ArchError::Unknown(text.to_owned())),
        }
    }
}

impl Serialize for Arch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Arch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_architecture_is_read_as_it_is_written() {
        for spec in [
            "dense",
            "lrt:rank=64",
            "lora:rank=8,targets=qv",
            "lora:rank=16,targets=all",
            "linformer:k=128",
            "linformer:k=64,share=layer",
            "linformer:k=64,share=kv,order=projected",
            "linformer:k=64,share=none,order=projected",
        ] {
            assert_eq!(spec.parse::<Arch>().expect("valid").to_string(), spec);
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_what_is_allowed() {
        for (spec, part) in [
            ("lowrank", "unknown architecture `lowrank`"),
            ("lrt:rank=0", "has no option `rank=0`"),
            ("lrt:k=3", "has no option `k=3`"),
            ("linformer:share=all", "has no option `share=all`"),
            ("linformer:share=none,order=input", "order=projected"),
            ("dense:rank=3", "has no option `rank=3`"),
        ] {
            let error = spec.parse::<Arch>().expect_err(spec).to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn rank_and_k_have_limits() {
        let config = crate::model::config::tests::bert_base();
        let check = |spec: &str| spec.parse::<Arch>().expect("valid").check(&config);
        assert!(check("lrt:rank=768").is_ok());
        assert!(check("lrt:rank=769").is_err());
        assert!(check("linformer:k=512").is_ok());
        assert!(check("linformer:k=513").is_err());
    }

    #[test]
    fn what_adds_up_all_positions_is_neither_causal_nor_has_it_windows_latents_or_turned_keys() {
        use crate::model::{Details, Latent, Window};
        let bert = crate::model::config::tests::bert_base();
        let linformer = |config: &Config| "linformer:k=64".parse::<Arch>().expect("valid").check(config);
        assert_eq!(linformer(&bert), Ok(()));
        let decoder = Config { family: Family::Decoder, ..bert.clone() };
        assert!(matches!(linformer(&decoder), Err(ArchError::NotCausal(_))));
        let details =
            Details { sliding_window: Some(Window { length: 9, layers: 1, global_every: None }), ..Details::default() };
        assert!(matches!(linformer(&Config { details, ..bert.clone() }), Err(ArchError::Windowed(_))));
        let latent = Latent { q_rank: None, kv_rank: 5, nope: 4, rope: 2, value: 1 };
        let details = Details { latent: Some(latent), ..Details::default() };
        assert!(matches!(linformer(&Config { details, ..bert.clone() }), Err(ArchError::Latent(_))));
        let details = Details { positions: Some(Positions::Rotary), ..Details::default() };
        assert!(matches!(linformer(&Config { details, ..bert }), Err(ArchError::Turned(_))));
    }

    #[test]
    fn the_rank_is_at_most_the_width_of_experts_where_all_layers_have_them() {
        use crate::model::{Details, Experts};
        let of = |layers| {
            let experts =
                Experts { count: 4, active: 2, d_ff: 100, layers, shared_d_ff: 0, shared_gate: false, bias: false };
            let details = Details { experts: Some(experts), ..Details::default() };
            let config = Config { details, ..crate::model::config::tests::bert_base() };
            "lrt:rank=101".parse::<Arch>().expect("valid").check(&config).is_ok()
        };
        assert_eq!([of(None), of(Some(12)), of(Some(11))], [false, false, true]);
    }

    #[test]
    fn an_architecture_says_what_it_is_and_what_is_left_out_is_the_usual() {
        for (spec, written, label, kind, rank, k) in [
            ("dense", "dense", "dense", "dense", None, None),
            ("lrt", "lrt:rank=256", "LRT r=256", "lrt", Some(256), None),
            ("lrt:r=8,", "lrt:rank=8", "LRT r=8", "lrt", Some(8), None),
            ("linformer", "linformer:k=128", "Linformer k=128", "linformer", None, Some(128)),
            (
                "linformer:share=none,k=3",
                "linformer:k=3,share=none,order=projected",
                "Linformer k=3 share=none order=projected",
                "linformer",
                None,
                Some(3),
            ),
            (
                "linformer:share=kv,share=model,order=projected,order=input",
                "linformer:k=128",
                "Linformer k=128",
                "linformer",
                None,
                Some(128),
            ),
        ] {
            let arch: Arch = spec.parse().expect(spec);
            assert_eq!((arch.kind(), arch.rank(), arch.k(), arch.label().as_str()), (kind, rank, k, label));
            let json = format!("\"{written}\"");
            assert_eq!(serde_json::to_string(&arch).expect("text"), json);
            assert_eq!(serde_json::from_str::<Arch>(&json).expect("text"), arch);
        }
    }
}
