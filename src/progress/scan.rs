//! Reads a frame: its own time, and then each of its numbers.

use super::counters::{Line, columns, counter};
use super::epochs::epochs;
use super::frame::Frame;
use super::numbers::{Memo, plain_number};
use super::tokens::{Kind, Token, phrase, tokens};

/// Reads a frame.
pub(super) fn scan(text: &str, memo: &mut Memo) -> Frame {
    let all = tokens(text);
    let mut frame = Frame::default();
    if all.is_empty() {
        return frame;
    }
    let (stamp, body) = stamp(text, &all);
    frame.stamp = stamp;
    let bar = text.contains("%|") || text.contains("it/s") || text.contains("s/it") || text.contains("% ");
    let mut at = 0;
    while at < all.len() {
        let used = counter(text, &all, at, &Line { body, bar }, memo, &mut frame);
        if used == 0 {
            plain_number(text, &all[at], memo, &mut frame);
        }
        at += used.max(1);
    }
    epochs(text, &all, &mut frame);
    columns(text, &all, &mut frame);
    frame
}

/// The line's own time, and where the text after it starts.
fn stamp(text: &str, all: &[Token]) -> (Option<(f64, f64)>, usize) {
    for (index, token) in all.iter().enumerate().take(24) {
        let Kind::Time(seconds) = token.kind else { continue };
        let before = index.checked_sub(1).map(|index| &all[index]);
        let day = before.and_then(|before| match before.kind {
            Kind::Day(day) if token.start - before.end <= 2 => Some(day),
            _ => None,
        });
        // `03/04 10:00:00` and `I1127 10:23:48`: hours stand in front, and no bar's `<` or `]` follows.
        let long = token.end - token.start >= 8;
        let words = phrase(text, token.start);
        let named = words.eq_ignore_ascii_case("time");
        let first = token.start < 48 && words.is_empty() || token.start < 12;
        let plain = !matches!(text.as_bytes().get(token.end), Some(b'<')) && !text[..token.start].ends_with('<');
        if long && plain && (day.is_some() || named || first) {
            let fine = if token.digits == 0 { 1.0 } else { 10f64.powi(-i32::from(token.digits)).max(1e-4) };
            // Within an object, behind a bar, or far into the line, counters stand in front of the time as well.
            let before = &text[..token.start];
            let within = named || token.start > 96 || before.contains(['{', '"', '=']) || before.contains("%|");
            let body = if within { 0 } else { token.end };
            return (Some((day.unwrap_or(0) as f64 * 86400.0 + seconds, fine)), body);
        }
    }
    (None, 0)
}
