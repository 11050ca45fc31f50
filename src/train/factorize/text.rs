//! A text as sequences of tokens.

use std::path::Path;

use tokenizers::{PostProcessor as _, Tokenizer, TruncationDirection};

use super::tensors::MOST_BESIDE;
use super::{Calibration, FactorizeError};
use crate::files::{FileError, read_bytes, read_text};
use crate::nn::NnError;

/// No larger text is read.
const MOST_TEXT: u64 = 1 << 30;
/// Bytes in which a token is found in nearly every text: English has four to five a token.
const BYTES_A_TOKEN: usize = 16;

/// What the model reads at once.
pub(super) struct Sequence {
    pub(super) ids: Vec<u32>,
    pub(super) segments: Vec<u32>,
}

/// Sequences of at most `length` tokens, with the special tokens that the tokenizer adds, from places that are spread evenly over the
/// text.
pub(super) fn sequences(file: &Path, asked: &Calibration, length: usize) -> Result<Vec<Sequence>, FactorizeError> {
    let text = read_text(&asked.text, MOST_TEXT).map_err(|error| match error {
        FileError::NoText { path, at } => FactorizeError::NoText { path, at },
        error => NnError::from(error).into(),
    })?;
    if !file.is_file() {
        return Err(FactorizeError::NoTokenizer { path: file.to_owned() });
    }
    let invalid = |reason: &dyn std::fmt::Display| FactorizeError::Tokenizer {
        path: file.to_owned(),
        reason: reason.to_string(),
    };
    let bytes = read_bytes(file, MOST_BESIDE).map_err(NnError::from)?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| invalid(&e))?;
    let added = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
    if added >= length {
        return Err(invalid(&format!("it adds {added} tokens to each text, and the model takes {length} in all")));
    }
    tokenizer.with_padding(None);
    // It would drop what is left of a text.
    tokenizer.with_truncation(None).map_err(|e| invalid(&e))?;
    let (pieces, of_each) = pieces(&text, asked.tokens.div_ceil(length), length * BYTES_A_TOKEN);
    let mut left = asked.tokens;
    let mut read = Vec::new();
    for piece in pieces {
        let mut whole = tokenizer.encode_fast(piece, false).map_err(|e| invalid(&e))?;
        whole.truncate(length - added, 0, TruncationDirection::Right);
        let whole = tokenizer.post_process(whole, None, true).map_err(|e| invalid(&e))?;
        for part in std::iter::once(&whole).chain(whole.get_overflowing()).take(of_each) {
            let n = part.get_ids().len().min(left);
            // What has no token but those that are added says nothing of the text.
            if part.get_ids().len() > added && n > 0 {
                let of = |values: &[u32]| values[..n].to_vec();
                read.push(Sequence { ids: of(part.get_ids()), segments: of(part.get_type_ids()) });
                left -= n;
            }
        }
    }
    Ok(read)
}

/// At most `most` pieces that begin at even distances, each of the bytes of as many sequences as are wanted of it, and that number.
fn pieces(text: &str, most: usize, bytes: usize) -> (Vec<&str>, usize) {
    let count = (text.len() / bytes).clamp(1, most.max(1));
    let (stride, of_each) = (text.len() / count, most.div_ceil(count));
    let piece = |i: usize| {
        let from = &text[text.floor_char_boundary(i * stride)..];
        let to = from.floor_char_boundary(stride.min(of_each.saturating_mul(bytes)));
        // The last piece has what is left by the division.
        let piece = if i + 1 == count && of_each.saturating_mul(bytes) >= from.len() { from } else { &from[..to] };
        // The first word of all but the first piece may be half a word.
        let after = piece.find(char::is_whitespace).filter(|at| i > 0 && *at < piece.len() / 2);
        &piece[after.unwrap_or(0)..]
    };
    ((0..count).map(piece).collect(), of_each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_sequences_with_the_tokens_that_are_added_and_what_pads_and_truncates_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, text) = (folder.path().join("tokenizer.json"), folder.path().join("text"));
        // As a saved tokenizer may have it: padded and truncated to 3.
        let json = serde_json::json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "decoder": null,
            "truncation": { "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 },
            "padding": { "strategy": { "Fixed": 3 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "[" },
            "pre_tokenizer": { "type": "WhitespaceSplit" },
            "post_processor": { "type": "BertProcessing", "cls": ["[", 0], "sep": ["]", 1] },
            "model": { "type": "WordLevel", "vocab": { "[": 0, "]": 1, "a": 2, "b": 3, "c": 4, "d": 5, "e": 6 }, "unk_token": "]" },
        });
        std::fs::write(&file, json.to_string()).expect("writable");
        std::fs::write(&text, "a b c d e a b c").expect("writable");
        let read = |tokens| {
            let asked = Calibration { text: text.clone(), tokens };
            let read = sequences(&file, &asked, 5).expect("it is read");
            assert!(read.iter().all(|sequence| sequence.segments == vec![0; sequence.ids.len()]));
            read.into_iter().map(|sequence| sequence.ids).collect::<Vec<_>>()
        };
        assert_eq!(read(100), [vec![0, 2, 3, 4, 1], vec![0, 5, 6, 2, 1], vec![0, 3, 4, 1]]);
        // No more than were asked for.
        assert_eq!(read(7), [vec![0, 2, 3, 4, 1], vec![0, 5]]);
        std::fs::write(&text, " \n").expect("writable");
        assert_eq!(read(100), Vec::<Vec<u32>>::new());
    }

    #[test]
    fn a_short_text_is_one_piece_and_of_a_long_one_pieces_are_spread_evenly() {
        assert_eq!(pieces("a b c", 3, 16), (vec!["a b c"], 3));
        assert_eq!(pieces("", 3, 16), (vec![""], 3));
        // Six pieces of 16 bytes would fit, and two are wanted: each begins with a whole word.
        let text = "0123456 89abcde 0123456 89abcde 0123456 89abcde 0123456 89abcde ";
        assert_eq!(pieces(text, 2, 16), (vec!["0123456 89abcde ", " 89abcde "], 1));
        // Of the bytes of two, four are wanted: two of each.
        assert_eq!(pieces(&text[..32], 4, 16), (vec!["0123456 89abcde ", " 89abcde "], 2));
        // Letters of several bytes are not cut.
        let text = "\u{e9}".repeat(33);
        assert_eq!(pieces(&text, 2, 16).0.concat().chars().count(), 8 + 8);
    }
}
