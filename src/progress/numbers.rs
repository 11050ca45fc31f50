//! Numbers that count nothing: times, rates, and what head lines say about the run.

use std::collections::HashMap;

use super::frame::{Class, Fact, Field, Frame};
use super::tokens::{Kind, Token, phrase, unit};
use super::words::{class, timely};

/// Words whose meaning is kept. Beyond them all are forgotten.
const KEPT: usize = 4096;

/// What the words around a number say that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Steps,
    Epochs,
    Accumulation,
    Samples,
}

#[derive(Debug, Clone, Copy)]
struct Meaning {
    timely: bool,
    says: Says,
    told: bool,
}

/// Meanings of words that were seen: the same lines come a million times.
#[derive(Debug, Clone, Default)]
pub(super) struct Memo {
    meanings: HashMap<u64, Meaning>,
    classes: HashMap<u64, Class>,
}

impl Memo {
    /// The class of a counter with a key.
    pub(super) fn class(&mut self, key: u64, head: &str, bar: bool) -> Class {
        if self.classes.len() >= KEPT {
            self.classes.clear();
        }
        *self.classes.entry(key).or_insert_with(|| class(head, bar))
    }

    fn meaning(&mut self, key: u64, words: &str, behind: &str) -> Meaning {
        if self.meanings.len() >= KEPT {
            self.meanings.clear();
        }
        *self.meanings.entry(key).or_insert_with(|| meaning(words, behind))
    }
}

/// A hash of bytes, which is the same everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        text.bytes().for_each(|byte| self.byte(byte));
        self.byte(0);
        self
    }
}

/// A hash of the text in front of a counter, in which all numbers are the same.
pub(super) fn head_key(head: &str, form: u8) -> u64 {
    let mut hash = Hash::new();
    hash.byte(form);
    // What a bar has drawn says nothing.
    let (front, back) = match head.rfind("%|") {
        Some(at) => (&head[..at], head[at + 2..].find('|').map_or("", |end| &head[at + 2 + end..])),
        None => (head, ""),
    };
    let mut last = 0;
    for byte in front.bytes().rev().take(160).chain(back.bytes()) {
        let byte = if byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-' | b'+') { b'#' } else { byte };
        if byte != b' ' && !(byte == b'#' && last == b'#') {
            hash.byte(byte);
            last = byte;
        }
    }
    hash.0
}

/// Reads a number that counts nothing: a time, a rate, or a setting.
pub(super) fn plain_number(text: &str, token: &Token, memo: &mut Memo, frame: &mut Frame) {
    let Some(value) = token.number() else { return };
    let words = phrase(text, token.start);
    let behind = unit(text, token.end);
    let named = text[..token.start].ends_with(['_', '-']);
    if words == "epoch" && matches!(token.kind, Kind::Float(_)) && (0.0..1e6).contains(&value) {
        frame.epochs_done = Some(value);
    }
    if words.is_empty() && behind.is_empty() && !named {
        // The mean in `0.388 (0.395)` has no name of its own.
        if !text[..token.start].ends_with('(') {
            return;
        }
    }
    let key = Hash::new().text(words).text(behind).0;
    let meaning = memo.meaning(key, words, behind);
    let mean = words.is_empty() && behind.is_empty();
    if value > 0.0 && frame.fields.len() < 32 && (meaning.timely || mean) {
        // The mean is named as what stands before it.
        let key = match frame.fields.last() {
            Some(field) if mean => field.key ^ 1,
            _ if mean => return,
            _ => key & !1,
        };
        frame.fields.push(Field { key, value, digits: token.digits });
    }
    let whole = value.fract() == 0.0 && (1.0..1e10).contains(&value);
    if !whole || frame.facts.len() >= 16 {
        return;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "A whole number below 1e10.")]
    let n = value as u64;
    match meaning.says {
        Says::Steps => {
            if matches!(behind, "" | "ba" | "steps" | "iterations") || text[token.end..].starts_with(' ') {
                frame.facts.push(Fact::Steps(n, key));
            }
        }
        Says::Epochs => frame.facts.push(Fact::Epochs(n)),
        Says::Accumulation => frame.facts.push(Fact::Accumulation(n)),
        Says::Samples => frame.facts.push(Fact::Samples(n)),
        Says::Nothing => {}
    }
    if meaning.told || named {
        frame.facts.push(Fact::Told(n));
    }
}

fn meaning(words: &str, behind: &str) -> Meaning {
    let lower = words.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let other = has(&[
        "warm", "per", "save", "eval", "log", "accum", "decay", "every", "freq", "skip", "nan", "size", "patience",
        "early", "interval", "print", "valid", "val_", "after", "loss", "token",
    ]);
    let of_run =
        has(&["total", "max", "num", "n_"]) || has(&["train"]) && has(&["steps", "iters", "iterations", "updates"]);
    let says = if has(&["accum"]) && has(&["step", "grad"]) {
        Says::Accumulation
    } else if has(&["step", "iter", "update", "batches", "duration"]) && of_run && !other {
        Says::Steps
    } else if (lower.contains("epochs") || behind == "epochs") && !other && !has(&["saving", "checkpoint"]) {
        Says::Epochs
    } else if behind == "samples" {
        Says::Samples
    } else {
        Says::Nothing
    };
    Meaning { timely: timely(words, behind), says, told: has(&["step", "iter", "batch"]) }
}
