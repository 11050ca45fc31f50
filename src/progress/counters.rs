//! Numbers of a frame that may count steps or epochs.

use super::frame::{Class, Counter, Fact, Form, Frame};
use super::numbers::{Memo, head_key, plain_number};
use super::tokens::{Kind, Token, last_word, phrase, unit};
use super::words::{epoch_name, foreign_rate, step_name};

/// What is known of the whole frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Where the text behind the line's own time starts.
    pub(super) body: usize,
    /// Whether something in it is drawn as a bar.
    pub(super) bar: bool,
}

/// Reads a counter that starts at a token, and says how many tokens it took.
pub(super) fn counter(text: &str, all: &[Token], at: usize, line: &Line, memo: &mut Memo, frame: &mut Frame) -> usize {
    let Line { body, bar } = *line;
    let token = &all[at];
    let rest = &text[token.end..];
    let scaled = if bar && token.start >= body { scaled_pair(text, token, all.get(at + 1)) } else { None };
    let plain = token.int().filter(|_| token.start >= body && !rest.starts_with('%'));
    let Some(n) = scaled.map(|(n, _)| n).or(plain) else { return 0 };
    let head = &text[body..token.start];
    let word = last_word(name_of(text, token.start));
    let mut found = None;
    let mut used = 1;
    let mut end = token.end;
    if let (Some((n, m)), Some(next)) = (scaled, all.get(at + 1)) {
        used = 2;
        end = next.end;
        found = (n <= m && m > 0).then_some((Form::Pair, n, Some(m)));
    } else if let Some(next) = all.get(at + 1)
        && let Some(m) = next.int()
    {
        let between = text[token.end..next.start].trim();
        let clean = !text[..token.start].ends_with(['/', '.'])
            && !matches!(text.as_bytes().get(next.end), Some(b'/' | b'-'))
            && (!text[next.end..].starts_with(['.', ':'])
                || !text[next.end + 1..].starts_with(|sign: char| sign.is_ascii_digit()));
        // A day and a month stand before a time.
        let dated = all.get(at + 2).is_some_and(|third| {
            matches!(third.kind, Kind::Time(_)) && third.start - next.end == 1 && third.end - third.start >= 8 && at < 2
        });
        if between == "/" && clean && !dated || matches!(between, "of" | "out of" | "] of" | "from") {
            used = 2;
            end = next.end;
            found = (n <= m && m > 0).then_some((Form::Pair, n, Some(m)));
        } else if between == "-"
            && text[token.end..].starts_with('-')
            && n < m
            && (step_name(word) > 0 || step_name(unit(text, next.end)) > 0)
        {
            used = 2;
            end = next.end;
            found = Some((Form::Range, m, None));
        }
    }
    if used == 1 {
        let unknown = rest.trim_start().strip_prefix('/').is_some_and(|rest| {
            let rest = rest.trim_start();
            ["?", "Unknown", "unknown", "None", "--", "inf"].iter().any(|word| rest.starts_with(word))
                // `Epoch 0/-2`: -1 epochs are as many as it takes, and the last of them is -2.
                || rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|sign: char| sign.is_ascii_digit()))
        });
        let endless = rest.starts_with("it [")
            || rest.starts_with(" it [")
            || rest.starts_with("batches [")
            || rest.starts_with(" steps [");
        let first = is_prefix(head);
        // `12 | loss`, `[190] loss=`, `12: loss`.
        let mut after = rest.trim_start_matches([']', ')']).trim_start_matches(' ');
        let set_off = rest.starts_with(']') || after.starts_with(['|', ':', ',', ';']);
        after = after.trim_start_matches(['|', ':', ',', ';', ' ']);
        // `2epoch`, `240batch`: a name may stand right behind.
        let behind = unit(text, token.end);
        let named = step_name(word) > 0
            || epoch_name(word) && !word.to_ascii_lowercase().ends_with("epochs")
            || step_name(behind) == 4 && rest.starts_with(|sign: char| sign.is_ascii_alphabetic())
            || epoch_name(behind) && rest.starts_with(['e', 'E']);
        found = if unknown {
            Some((Form::Pair, n, None))
        } else if endless {
            Some((Form::Endless, n, None))
        } else if named {
            Some((Form::Named, n, None))
        } else if first && set_off && after.starts_with(|sign: char| sign.is_ascii_alphabetic()) {
            Some((Form::Bare, n, None))
        } else {
            None
        };
    }
    let Some((form, n, total)) = found else { return if used == 2 { 2 } else { 0 } };
    // A word behind a number may be the name of the next one: `0/3 Epoch=1`.
    let behind = unit(text, end);
    let next = text[end..].trim_start().strip_prefix(behind).unwrap_or("");
    let behind = if next.starts_with(['=', ':', '[', ' '])
        && text[end..].starts_with(' ')
        && next.trim_start().starts_with(|sign: char| matches!(sign, '=' | ':' | '[') || sign.is_ascii_digit())
    {
        ""
    } else {
        behind
    };
    let drawn = bar && matches!(form, Form::Pair | Form::Endless);
    let counts_epochs = epoch_name(word) && !text[..token.start].ends_with("  ") || epoch_name(behind);
    let key = head_key(head, form as u8) & !1;
    let name = counted(if step_name(word) > 0 { word } else { behind });
    let mut counter = Counter {
        key,
        form,
        class: memo.class(key ^ u64::from(drawn), head, drawn),
        bar: drawn,
        n,
        total,
        named: step_name(word).max(step_name(behind)),
        name,
        elapsed: None,
        epoch: counts_epochs && form != Form::Range,
        own_epoch: None,
        wordless: form == Form::Pair && !head.bytes().any(|byte| byte.is_ascii_alphabetic()),
        shown: (token.start.saturating_sub(24).max(body), end.min(token.end + 24)),
    };
    if matches!(form, Form::Pair | Form::Endless) {
        pace_of_bar(text, &all[at + used..], &mut counter);
    }
    if counter.form == Form::Named && !counter.epoch {
        frame.facts.push(Fact::Told(n));
    }
    // `Batch 0/100`: some write the epoch, a slash and the batch. Which of both it is, only time tells.
    if let (Form::Pair, Some(m), true) = (form, total, counter.named > 0 && !drawn) {
        let key = counter.key ^ 1;
        frame.counters.push(Counter {
            form: Form::Named,
            key,
            n: m,
            total: None,
            own_epoch: Some(n),
            ..counter.clone()
        });
    }
    frame.counters.push(counter);
    if used == 1 {
        plain_number(text, token, memo, frame);
    }
    used
}

/// A bar's pair that is written in thousands or millions: `1.2k/100k`.
fn scaled_pair(text: &str, token: &Token, next: Option<&Token>) -> Option<(u64, u64)> {
    // The scale, and how long it is written: `k`, `M`, `it`, `kit`.
    let suffix = |at: usize| {
        let rest = text.get(at..).unwrap_or("");
        let scale = match rest.bytes().next() {
            Some(b'k' | b'K') => 1e3,
            Some(b'M') => 1e6,
            _ => 1.0,
        };
        let len = usize::from(scale > 1.0);
        (scale, len + if rest[len..].starts_with("it") { 2 } else { 0 })
    };
    let next = next?;
    let (times, len) = suffix(token.end);
    let (of_times, of_len) = suffix(next.end);
    let gap = text.get(token.end + len..next.start)?;
    let of = next.number()? * of_times;
    let n = token.number()? * times;
    let free =
        !matches!(text.as_bytes().get(next.end + of_len), Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'/');
    let free = free && of_len > 0 && (len > 0 || of_times > 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "Rounded, and below 1e15.")]
    (gap == "/" && free && of < 1e15 && n < 1e15).then(|| (n.round() as u64, of.round() as u64))
}

/// The words that name a counter. The name of a bar stands before what it has drawn: `Epoch:  33%|###   | 1/3`.
fn name_of(text: &str, at: usize) -> &str {
    let near = phrase(text, at);
    match text[..at].rfind("%|") {
        Some(drawn) if near.is_empty() => {
            let digits = text[..drawn].bytes().rev().take_while(u8::is_ascii_digit).count();
            phrase(text, drawn - digits)
        }
        _ => near,
    }
}

/// Whether a text is only what launchers and loggers put in front of a line: `[rank0]: `, `3: `, `(pid=7) `.
fn is_prefix(head: &str) -> bool {
    let mut rest = head.trim_start_matches(|sign: char| {
        !sign.is_ascii_digit() && !sign.is_ascii_alphabetic() && !"[(<".contains(sign)
    });
    for _ in 0..8 {
        rest = rest.trim_start_matches([' ', '|', '-', ':', '#', 'Z', ']', ')']);
        let close = match rest.bytes().next() {
            None => return true,
            Some(b'[') => ']',
            Some(b'(') => ')',
            Some(b'<') => '>',
            Some(_) => {
                let word =
                    rest.bytes().take_while(|&byte| byte.is_ascii_alphanumeric() || b"_.,-/".contains(&byte)).count();
                let after = rest[word..].trim_start();
                if word == 0 || !after.starts_with([':', '|', '-', '<']) {
                    return false;
                }
                rest = after;
                continue;
            }
        };
        match rest.find(close) {
            Some(end) => rest = &rest[end + 1..],
            // `[190] loss`: the bracket is the counter's own.
            None => return rest.len() == 1,
        }
    }
    false
}

/// What stands behind a bar's counter: the time that has passed, and the unit of its rate.
fn pace_of_bar(text: &str, rest: &[Token], counter: &mut Counter) {
    for token in rest.iter().take(12) {
        match token.kind {
            // Another pair begins: the times behind it are its own.
            Kind::Int(_) if text[token.end..].trim_start().starts_with('/') => break,
            Kind::Time(seconds) if counter.elapsed.is_none() => {
                let before = &text[..token.start];
                let free = before.ends_with('[')
                    || phrase(text, token.start).to_ascii_lowercase().contains("elapsed")
                    || phrase(text, token.start).is_empty() && !before.ends_with('<');
                if free {
                    counter.elapsed = Some(seconds);
                }
            }
            _ if foreign_rate(unit(text, token.end)) => counter.class = Class::Preparation,
            _ => {}
        }
    }
}

/// Rows of a table: numbers alone, of which one of the first two may be the step.
pub(super) fn columns(text: &str, all: &[Token], frame: &mut Frame) {
    if all.len() < 4 || !frame.counters.is_empty() || text.bytes().filter(u8::is_ascii_alphabetic).count() > all.len() {
        return;
    }
    let numbers = text.bytes().all(|byte| byte.is_ascii_digit() || b" .-+|eEnaif".contains(&byte));
    if !numbers {
        return;
    }
    for (at, token) in all.iter().enumerate().take(2) {
        let Some(n) = token.int() else { continue };
        let key = 2 + 2 * at as u64 + 64 * all.len() as u64;
        frame.counters.push(Counter::of_steps(key, Form::Column, n, (0, text.len().min(32))));
    }
}

/// What a name counts, in the singular.
fn counted(name: &str) -> &'static str {
    let lower = name.to_ascii_lowercase();
    let is = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if is(&["batch"]) || lower == "ba" {
        "batch"
    } else if is(&["iter"]) {
        "iteration"
    } else if is(&["update"]) || lower == "up" || lower == "upd" {
        "update"
    } else {
        "step"
    }
}
