//! What makes tokens of texts: given, or trained on the text.

use std::path::Path;

use rayon::prelude::*;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::PretrainError;
use crate::files::read_bytes;
use crate::model::Family;

/// No larger tokenizer is read.
const MOST_BYTES: u64 = 100_000_000;
/// Each byte has a token, so that every text has tokens.
const BYTES: usize = 256;
/// So much text at a time is made tokens of.
const PIECE: usize = 1 << 16;

/// Special tokens of a vocabulary that is trained.
const OF_ENCODERS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const OF_DECODERS: [&str; 1] = ["<|endoftext|>"];
/// What others call them.
const ENDS: [&str; 5] = ["<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "</s>", "[SEP]"];
const FIRSTS: [&str; 2] = ["[CLS]", "<s>"];
const LASTS: [&str; 2] = ["[SEP]", "</s>"];
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// A tokenizer and the tokens that mean more than text.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    /// The file that it is written to.
    pub(super) json: String,
    /// What stands after a document.
    pub(super) end: Option<u32>,
    /// What stands first and last in a sequence of an encoder.
    pub(super) frame: Option<(u32, u32)>,
    /// What stands for a token that is to be found.
    pub(super) mask: Option<u32>,
    /// One more than the largest id.
    pub(super) size: usize,
}

impl Vocabulary {
    /// The one of a file.
    pub(super) fn read(path: &Path) -> Result<Self, PretrainError> {
        let invalid = |reason: &dyn std::fmt::Display| PretrainError::Tokenizer {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let bytes = read_bytes(path, MOST_BYTES)?;
        let tokenizer = Tokenizer::from_bytes(&bytes).map_err(|e| invalid(&e))?;
        let json = String::from_utf8(bytes).map_err(|e| invalid(&e))?;
        Self::new(tokenizer, json).map_err(|e| invalid(&e))
    }

    /// One of byte pairs (Sennrich et al. 2016) with at most `most` tokens, fewer where the texts give no more.
    pub(super) fn train(texts: &[String], most: usize, family: Family) -> Result<Self, PretrainError> {
        let special: &[&str] = if family == Family::Encoder { &OF_ENCODERS } else { &OF_DECODERS };
        let least = BYTES + special.len();
        if most < least {
            return Err(PretrainError::SmallVocabulary { vocab: most, least });
        }
        let trainer = BpeTrainer::builder()
            .vocab_size(most)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(special.iter().map(|token| AddedToken::from(*token, true)).collect())
            .build();
        let failed = |e: tokenizers::Error| PretrainError::NoVocabulary(e.to_string());
        let mut tokenizer = Tokenizer::new(BPE::default());
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        let lines = texts.iter().flat_map(|text| text.split_inclusive('\n'));
        tokenizer.train(&mut TrainerWrapper::from(trainer), lines).map_err(failed)?;
        let json = tokenizer.to_string(true).map_err(failed)?;
        Self::new(tokenizer, json).map_err(failed)
    }

    fn new(mut tokenizer: Tokenizer, json: String) -> Result<Self, tokenizers::Error> {
        // Either would change what a text is.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None)?;
        let id = |names: &[&str]| names.iter().find_map(|name| tokenizer.token_to_id(name));
        let (end, frame, mask) = (id(&ENDS), id(&FIRSTS).zip(id(&LASTS)), id(&MASKS));
        let most = tokenizer.get_vocab(true).values().copied().max().unwrap_or(0);
        Ok(Self { tokenizer, json, end, frame, mask, size: most as usize + 1 })
    }

    /// The tokens of documents, with what ends one after each.
    pub(super) fn tokens(&self, documents: &[String]) -> Result<Vec<u32>, PretrainError> {
        let failed = |e: tokenizers::Error| PretrainError::NoVocabulary(e.to_string());
        let mut all = Vec::new();
        for document in documents {
            let tokens = pieces(document).into_par_iter().map(|piece| {
                let encoded = self.tokenizer.encode_fast(piece, false).map_err(failed)?;
                Ok(encoded.get_ids().to_vec())
            });
            all.extend(tokens.collect::<Result<Vec<Vec<u32>>, PretrainError>>()?.concat());
            all.extend(self.end);
        }
        Ok(all)
    }
}

/// Whole lines, of so many bytes at least.
fn pieces(mut text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let from = text.ceil_char_boundary(PIECE.min(text.len()));
        let end = text[from..].find('\n').map_or(text.len(), |at| from + at + 1);
        let (piece, rest) = text.split_at(end);
        pieces.push(piece);
        text = rest;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_that_is_trained_has_a_token_for_each_byte_and_gives_every_text_back() {
        let texts = ["the cat sat on the mat\n".repeat(8)];
        let trained = Vocabulary::train(&texts, 300, Family::Decoder).expect("trained");
        // 256 bytes, the end, and what is found twice or more.
        assert!((258..=300).contains(&trained.size), "{}", trained.size);
        assert_eq!((trained.end, trained.mask), (Some(0), None));
        let text = "caf\u{e9} \u{1f600} the".to_owned();
        let tokens = trained.tokens(std::slice::from_ref(&text)).expect("tokens");
        assert_eq!(tokens.last(), Some(&0));
        assert_eq!(trained.tokenizer.decode(&tokens, true).expect("text"), text);
        let again = Vocabulary::train(&texts, 300, Family::Decoder).expect("trained");
        assert_eq!(again.json, trained.json);
        let encoder = Vocabulary::train(&texts, 300, Family::Encoder).expect("trained");
        assert_eq!((encoder.frame, encoder.mask, encoder.end), (Some((2, 3)), Some(4), Some(3)));
        assert!(matches!(
            Vocabulary::train(&texts, 256, Family::Decoder),
            Err(PretrainError::SmallVocabulary { vocab: 256, least: 257 })
        ));
    }

    #[test]
    fn pieces_are_whole_lines_and_all_of_the_text() {
        let text = "\u{e9}\n".repeat(50_000);
        let found = pieces(&text);
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|piece| piece.ends_with('\n')));
        assert_eq!(found.concat(), text);
    }
}
