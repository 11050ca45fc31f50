//! How a run is laid out over devices: what each of them holds, and of which sequences.

use std::fmt;
use std::str::FromStr;

use crate::estimate::layout_error::LayoutError;
use crate::model::Config;

/// No layout has more devices along one axis.
const MOST: u32 = 1_000_000;

/// What of the activations is computed again in the backward pass instead of being kept (Korthikanti et al. 2022, arXiv
/// 2205.05198, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Recompute {
    /// Nothing.
    #[default]
    None,
    /// Scores, softmax and values of attention, which are large and cheap.
    Selective,
    /// Each layer, from its input.
    Full,
}

impl Recompute {
    /// All of them, from the fastest to the one that keeps least.
    pub const ALL: [Self; 3] = [Self::None, Self::Selective, Self::Full];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Selective => "selective",
            Self::Full => "full",
        }
    }
}

/// A layout of `dp x cp x tp x pp` devices. Those that share the products of a layer are neighbours in a machine, then come those that
/// share a sequence, then the replicas of the data, and the stages of the pipeline are farthest apart (Megatron's order).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Replicas that see different sequences.
    pub dp: u32,
    /// Devices that share each product of a layer (Shoeybi et al. 2019, arXiv 1909.08053).
    pub tp: u32,
    /// Devices that share the tokens of each sequence: keys and values go around among them (Liu et al. 2023, arXiv 2310.01889).
    pub cp: u32,
    /// Devices that share the experts of a mixture: `ep` of the `dp x cp` that hold the same part of everything else, so that it takes
    /// no devices of its own (Lepikhin et al. 2020, arXiv 2006.16668).
    pub ep: u32,
    /// Stages of the pipeline, each with its own layers, run one forward, one backward (Narayanan et al. 2021, arXiv 2104.04473).
    pub pp: u32,
    /// What replicas share instead of each holding it (Rajbhandari et al. 2020, arXiv 1910.02054): 0 nothing, 1 optimizer states,
    /// 2 gradients too, 3 weights too.
    pub zero: u8,
    /// Whether norms, dropout and residuals are shared out over the tokens of a sequence by the devices of a tensor group.
    pub sequence_parallel: bool,
    /// What is computed again.
    pub recompute: Recompute,
    /// Sequences of a micro-batch; the fastest that fits if not given.
    pub micro_batch: Option<usize>,
    /// Pieces of the model on each stage: with more than one, the pipeline is interleaved.
    pub interleave: u32,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            dp: 1,
            tp: 1,
            cp: 1,
            ep: 1,
            pp: 1,
            zero: 0,
            sequence_parallel: false,
            recompute: Recompute::None,
            micro_batch: None,
            interleave: 1,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutSpec {
    /// The fastest that fits.
    Auto,
    /// This one.
    Of(Layout),
}

impl FromStr for LayoutSpec {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        if text.trim().eq_ignore_ascii_case("auto") { Ok(Self::Auto) } else { text.parse().map(Self::Of) }
    }
}

impl fmt::Display for LayoutSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(layout) => layout.fmt(f),
        }
    }
}

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let mut layout = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let unknown = || LayoutError::Unknown(part.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            let number = || value.parse::<u32>().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(unknown);
            if seen.contains(&key) {
                return Err(LayoutError::Twice(key.to_owned()));
            }
            seen.push(key);
            match key {
                "dp" => layout.dp = number()?,
                "tp" => layout.tp = number()?,
                "cp" => layout.cp = number()?,
                "ep" => layout.ep = number()?,
                "pp" => layout.pp = number()?,
                "interleave" => layout.interleave = number()?,
                "micro_batch" => layout.micro_batch = Some(number()? as usize),
                "zero" => layout.zero = value.parse().ok().filter(|stage| *stage <= 3).ok_or_else(unknown)?,
                "sequence_parallel" => layout.sequence_parallel = value.parse().map_err(|_| unknown())?,
                "recompute" => {
                    layout.recompute = Recompute::ALL.into_iter().find(|r| r.name() == value).ok_or_else(unknown)?;
                }
                _ => return Err(unknown()),
            }
        }
        Ok(layout)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dp={},tp={},pp={}", self.dp, self.tp, self.pp)?;
        for (key, n) in [("cp", self.cp), ("ep", self.ep)] {
            if n > 1 {
                write!(f, ",{key}={n}")?;
            }
        }
        write!(f, ",zero={}", self.zero)?;
        if self.sequence_parallel {
            f.write_str(",sequence_parallel=true")?;
        }
        write!(f, ",recompute={}", self.recompute.name())?;
        if let Some(micro_batch) = self.micro_batch {
            write!(f, ",micro_batch={micro_batch}")?;
        }
        if self.interleave > 1 {
            write!(f, ",interleave={}", self.interleave)?;
        }
        Ok(())
    }
}

impl Layout {
    /// Devices of it.
    #[must_use]
    pub fn devices(&self) -> u64 {
        u64::from(self.replicas()) * u64::from(self.tp) * u64::from(self.pp)
    }

    /// Devices that hold the same part of the model, but for experts: those that add up their gradients.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        self.dp.saturating_mul(self.cp)
    }

    /// Whether `devices` of them can hold `model` so. Heads of keys and values that are fewer than a tensor group has devices
    /// are held by several of them, as Megatron does.
    ///
    /// # Errors
    /// If they cannot, and why.
    pub fn check(&self, model: &Config, devices: u32) -> Result<(), LayoutError> {
        if self.devices() != u64::from(devices) {
            return Err(LayoutError::Devices { layout: self.to_string(), product: self.devices(), devices });
        }
        let tp = self.tp as usize;
        if !model.n_heads.is_multiple_of(tp) {
            return Err(LayoutError::Heads { tp: self.tp, heads: model.n_heads, of: "heads" });
        }
        let groups = model.n_kv_heads();
        if model.details.latent.is_none() && !groups.is_multiple_of(tp) && !tp.is_multiple_of(groups.max(1)) {
            return Err(LayoutError::Heads { tp: self.tp, heads: groups, of: "heads of keys and values" });
        }
        if self.ep > 1 {
            let experts = model.details.experts.as_ref().map_or(0, |experts| experts.count);
            if experts == 0 || !experts.is_multiple_of(self.ep as usize) {
                return Err(LayoutError::Experts { ep: self.ep, experts });
            }
            if !self.replicas().is_multiple_of(self.ep) {
                return Err(LayoutError::ExpertGroups { ep: self.ep, replicas: self.replicas() });
            }
        }
        // Of many pieces the first may be the embedding alone, and the last the head.
        let ends = if self.interleave > 1 { 2 } else { 0 };
        let needed = (u64::from(self.pp) * u64::from(self.interleave)).saturating_sub(ends);
        if needed > model.n_layers as u64 {
            let (pp, interleave) = (self.pp, self.interleave);
            return Err(LayoutError::Stages { pp, interleave, needed, layers: model.n_layers });
        }
        if self.zero == 3 && self.pp > 1 {
            return Err(LayoutError::ShardedPipeline(self.pp));
        }
        if self.interleave > 1 && self.pp == 1 {
            return Err(LayoutError::Interleave(self.interleave));
        }
        Ok(())
    }

    /// Micro-batches of `micro_batch` sequences that each replica sees in a step of `batch_size`. Fewer of them than stages are
    /// allowed: the bubble is then most of the step.
    ///
    /// # Errors
    /// If the batch is not shared evenly, or an interleaved pipeline cannot take so many.
    pub fn micro_batches(&self, batch_size: usize, micro_batch: usize) -> Result<usize, LayoutError> {
        let at_once = (self.dp as usize).saturating_mul(micro_batch);
        if at_once == 0 || !batch_size.is_multiple_of(at_once) || batch_size == 0 {
            return Err(LayoutError::Batch { batch_size, dp: self.dp, micro_batch });
        }
        let micro_batches = batch_size / at_once;
        if self.interleave > 1 && !micro_batches.is_multiple_of(self.pp as usize) {
            return Err(LayoutError::Rounds { micro_batches, pp: self.pp });
        }
        Ok(micro_batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Details, Family};

    fn gpt3(details: Details) -> Config {
        Config {
            family: Family::Decoder,
            n_layers: 96,
            d_model: 12288,
            n_heads: 96,
            d_ff: 49152,
            vocab_size: 51200,
            max_seq_len: 2048,
            type_vocab_size: 0,
            gated_mlp: false,
            details,
        }
    }

    fn layout(text: &str) -> Layout {
        text.parse().expect(text)
    }

    #[test]
    fn a_layout_is_read_as_it_is_written() {
        for text in [
            "dp=8,tp=4,pp=2,zero=1,recompute=selective",
            "dp=1,tp=8,pp=8,zero=0,sequence_parallel=true,recompute=full,micro_batch=2,interleave=3",
            "dp=8,tp=2,pp=1,cp=4,ep=16,zero=1,recompute=none",
        ] {
            assert_eq!(layout(text).to_string(), text);
        }
        assert_eq!(layout("tp=8"), Layout { tp: 8, ..Layout::default() });
        assert_eq!("AUTO".parse(), Ok(LayoutSpec::Auto));
        assert_eq!(LayoutSpec::Auto.to_string(), "auto");
        assert_eq!(layout("pp=2, dp=3").devices(), 6);
        // Experts are shared by devices that are there already.
        assert_eq!(layout("dp=8,tp=2,cp=4,ep=16").devices(), 64);
    }

    #[test]
    fn what_is_no_layout_is_refused_with_what_was_typed() {
        for text in
            ["", "tp", "tp=0", "tp=x", "zero=4", "recompute=some", "xp=2", "ep=0", "sequence_parallel=2", "dp=-1"]
        {
            let message = text.parse::<LayoutSpec>().expect_err(text).to_string();
            assert!(message.starts_with(&format!("`{text}` in `--layout`")) && message.contains("hint: "), "{message}");
        }
        assert_eq!("tp=2,tp=2".parse::<Layout>(), Err(LayoutError::Twice("tp".to_owned())));
    }

    #[test]
    fn a_layout_that_the_model_or_the_devices_do_not_allow_is_refused_with_the_reason() {
        let experts = crate::model::Experts {
            count: 8,
            active: 2,
            d_ff: 9,
            layers: None,
            shared_d_ff: 0,
            shared_gate: false,
            bias: false,
        };
        let mixture = gpt3(Details { experts: Some(experts), ..Details::default() });
        let grouped = |n| gpt3(Details { n_kv_heads: Some(n), ..Details::default() });
        let dense = gpt3(Details::default());
        for (text, model, devices, said) in [
            ("dp=8,tp=4,pp=2", &dense, 32, "is of 64 devices, and the run has 32"),
            ("tp=64", &dense, 64, "does not divide the 96 heads"),
            ("tp=6", &grouped(8), 6, "does not divide the 8 heads of keys and values"),
            ("pp=97", &dense, 97, "needs 97 layers, and the model has 96"),
            ("pp=64,interleave=2", &dense, 64, "needs 126 layers"),
            ("pp=2,zero=3", &dense, 2, "`zero=3` with `pp=2`"),
            ("dp=2,interleave=2", &dense, 2, "needs a pipeline"),
            ("dp=2,cp=2", &dense, 2, "is of 4 devices, and the run has 2"),
            ("dp=8,ep=8", &dense, 8, "and the model has none"),
            ("dp=16,ep=16", &mixture, 16, "does not divide the 8 experts"),
            ("dp=2,tp=4,ep=8", &mixture, 8, "`ep=8` is shared by 2 devices"),
        ] {
            let message = layout(text).check(model, devices).expect_err(text).to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
        // Two devices of a tensor group hold each head of keys and values.
        assert_eq!(layout("tp=16").check(&grouped(8), 16), Ok(()));
    }

    #[test]
    fn a_batch_is_shared_evenly_or_refused_and_may_have_fewer_micro_batches_than_stages() {
        assert_eq!(layout("dp=4,pp=8").micro_batches(64, 8), Ok(2));
        assert!(matches!(layout("dp=4").micro_batches(66, 1), Err(LayoutError::Batch { .. })));
        assert!(matches!(layout("dp=4").micro_batches(64, 32), Err(LayoutError::Batch { .. })));
        let rounds = LayoutError::Rounds { micro_batches: 6, pp: 4 };
        assert_eq!(layout("pp=4,interleave=2").micro_batches(12, 2), Err(rounds));
    }
}
