//! Tokens as batches: packed, shuffled, and masked where the model fills in.

use candle_core::{Device, Tensor};
use rand::rngs::SmallRng;
use rand::seq::{SliceRandom as _, index};
use rand::{RngExt, SeedableRng};

use super::PretrainError;
use super::vocabulary::Vocabulary;
use crate::model::{Family, masked_per_seq};
use crate::nn::{Batch, CausalBatch, Input, NnError};

/// Of ten tokens that are to be found, eight are masked and one is another (Devlin et al. 2018, §3.1).
const MASKED: u32 = 8;
const REPLACED: u32 = 9;
/// No more batches are held out at an evaluation.
const MOST_BATCHES: usize = 20;

/// What fills in does so in sequences like this.
#[derive(Debug, Clone, Copy)]
struct Masking {
    mask: u32,
    /// What stands first and last.
    frame: Option<(u32, u32)>,
    vocab_size: usize,
}

/// All tokens, in sequences of one length.
pub(super) struct Corpus {
    train: Vec<u32>,
    held_out: Vec<u32>,
    seq_len: usize,
    /// `None` where each token is to be found from those before it.
    masking: Option<Masking>,
    seed: u64,
}

/// Which tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Train,
    HeldOut,
}

impl Corpus {
    pub(super) fn new(
        [train, held_out]: [Vec<u32>; 2],
        vocabulary: &Vocabulary,
        (family, seq_len): (Family, usize),
        seed: u64,
    ) -> Result<Self, PretrainError> {
        let masking = Masking::of(vocabulary, family)?;
        let tokens = train.len() + held_out.len();
        let corpus = Self { train, held_out, seq_len, masking, seed };
        // Of 20 tokens one is held out, and two sequences and the token after them are needed.
        let least = 20 * (2 * seq_len + 1);
        if corpus.count(Part::Train) == 0 || corpus.count(Part::HeldOut) < 2 {
            return Err(PretrainError::TooShort { tokens, seq_len, least });
        }
        Ok(corpus)
    }

    /// A text from which nothing is learned.
    pub(super) fn held_out_alone(
        held_out: Vec<u32>,
        vocabulary: &Vocabulary,
        (family, seq_len): (Family, usize),
        seed: u64,
    ) -> Result<Self, PretrainError> {
        let masking = Masking::of(vocabulary, family)?;
        let tokens = held_out.len();
        let corpus = Self { train: Vec::new(), held_out, seq_len, masking, seed };
        let least = 2 * seq_len + 1;
        if corpus.count(Part::HeldOut) < 2 {
            return Err(PretrainError::TooShortToRead { tokens, seq_len, least });
        }
        Ok(corpus)
    }

    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.train.len(), self.held_out.len())
    }

    /// A number that other tokens would not have (FNV-1a).
    pub(super) fn fingerprint(&self) -> String {
        let all = self.train.iter().chain(&[u32::MAX]).chain(&self.held_out);
        let hash = all.fold(0xcbf2_9ce4_8422_2325, |h: u64, t| (h ^ u64::from(*t)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// Tokens of the text in a sequence.
    fn content(&self) -> usize {
        let framed = self.masking.is_some_and(|masking| masking.frame.is_some());
        if framed { self.seq_len - 2 } else { self.seq_len }
    }

    fn tokens(&self, part: Part) -> &[u32] {
        if part == Part::Train { &self.train } else { &self.held_out }
    }

    /// Sequences of a part. The last token of one that is found from those before is the first of the next.
    fn count(&self, part: Part) -> usize {
        let tokens = self.tokens(part).len();
        if self.masking.is_some() { tokens / self.content() } else { tokens.saturating_sub(1) / self.seq_len }
    }

    /// The batch of a step, from 0: each epoch has an order of its own, and a batch may end one and begin the next.
    pub(super) fn batch(&self, step: u64, batch_size: usize) -> Result<Input, NnError> {
        let count = self.count(Part::Train) as u64;
        let mut order: (Option<u64>, Vec<usize>) = (None, Vec::new());
        let mut chosen = Vec::with_capacity(batch_size);
        for i in 0..batch_size as u64 {
            let at = step * batch_size as u64 + i;
            let (epoch, place) = (at / count, usize::try_from(at % count).unwrap_or(usize::MAX));
            if order.0 != Some(epoch) {
                let mut all: Vec<usize> = (0..self.count(Part::Train)).collect();
                all.shuffle(&mut self.rng("order", epoch));
                order = (Some(epoch), all);
            }
            chosen.push(order.1[place]);
        }
        self.input(Part::Train, &chosen, &mut self.rng("mask", step))
    }

    /// The batches that are held out, the same ones at each evaluation, from places spread evenly.
    pub(super) fn held_out(&self, batch_size: usize) -> Result<Vec<Input>, NnError> {
        let count = self.count(Part::HeldOut);
        let size = batch_size.min(count / 2);
        let batches = (count / size).min(MOST_BATCHES);
        let batch = |i: usize| {
            let first = i * (count / batches);
            let chosen: Vec<usize> = (first..first + size).collect();
            self.input(Part::HeldOut, &chosen, &mut self.rng("held out", i as u64))
        };
        (0..batches).map(batch).collect()
    }

    fn rng(&self, what: &str, of: u64) -> SmallRng {
        let hash = what.bytes().fold(self.seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        SmallRng::seed_from_u64(hash.wrapping_add(of.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn input(&self, part: Part, chosen: &[usize], rng: &mut SmallRng) -> Result<Input, NnError> {
        let (b, t, tokens) = (chosen.len(), self.seq_len, self.tokens(part));
        let device = &Device::Cpu;
        let Some(masking) = self.masking else {
            let of = |shift: usize| -> Vec<u32> {
                chosen.iter().flat_map(|i| &tokens[i * t + shift..(i + 1) * t + shift]).copied().collect()
            };
            return Ok(Input::Causal(CausalBatch {
                input_ids: Tensor::from_vec(of(0), (b, t), device)?,
                starts: None,
                rows: None,
                labels: Tensor::from_vec(of(1), b * t, device)?,
            }));
        };
        let (content, m) = (self.content(), masked_per_seq(self.content()));
        let (mut ids, mut positions, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for i in chosen {
            let text = &tokens[i * content..(i + 1) * content];
            let first = ids.len();
            ids.extend(masking.frame.map(|frame| frame.0));
            let begin = ids.len();
            ids.extend_from_slice(text);
            ids.extend(masking.frame.map(|frame| frame.1));
            for at in index::sample(rng, content, m) {
                labels.push(text[at]);
                positions.push(u32::try_from(begin - first + at).unwrap_or(u32::MAX));
                masking.hide(&mut ids[begin + at], rng);
            }
        }
        Ok(Input::Pretraining(Batch {
            input_ids: Tensor::from_vec(ids, (b, t), device)?,
            token_type_ids: Tensor::zeros((b, t), candle_core::DType::U32, device)?,
            attention_mask: None,
            masked_positions: Tensor::from_vec(positions, (b, m), device)?,
            masked_labels: Tensor::from_vec(labels, (b, m), device)?,
            next_sentence_labels: Tensor::zeros(b, candle_core::DType::U32, device)?,
        }))
    }
}

impl Masking {
    /// How a model of this family fills in, if it does.
    fn of(vocabulary: &Vocabulary, family: Family) -> Result<Option<Self>, PretrainError> {
        match family {
            Family::Decoder => Ok(None),
            Family::Encoder => {
                let mask = vocabulary.mask.ok_or(PretrainError::NoMask)?;
                Ok(Some(Self { mask, frame: vocabulary.frame, vocab_size: vocabulary.size }))
            }
        }
    }

    fn hide(self, id: &mut u32, rng: &mut SmallRng) {
        match rng.random_range(0..10_u32) {
            0..MASKED => *id = self.mask,
            MASKED..REPLACED => *id = rng.random_range(0..u32::try_from(self.vocab_size).unwrap_or(u32::MAX)),
            _ => {}
        }
    }
}
