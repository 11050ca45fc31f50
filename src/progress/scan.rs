//! What one frame tells: counters, the epoch, times, and totals that stand in a program's head lines.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::tokens::{Kind, Token, last_word, phrase, tokens, unit};
pub(super) use super::words::Class;
use super::words::{class, epoch_name, foreign_rate, step_name, timely};

/// How a counter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// `n/total`, or `n of total`.
    Pair,
    /// `first-last`, a range of batches.
    Range,
    /// A number with a name.
    Named,
    /// `412it [`: a bar without a total.
    Endless,
    /// A number at the start of a line.
    Bare,
    /// A number in one of the first columns of a table.
    Column,
}

/// A number that may count steps.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    /// The same for all frames that differ only in their numbers.
    pub(super) key: u64,
    pub(super) form: Form,
    pub(super) class: Class,
    pub(super) bar: bool,
    pub(super) n: u64,
    pub(super) total: Option<u64>,
    /// How surely the name is one of steps.
    pub(super) named: u8,
    pub(super) name: String,
    /// What a bar says has passed, in seconds.
    pub(super) elapsed: Option<f64>,
    /// Whether it counts epochs.
    pub(super) epoch: bool,
    /// The epoch that is written into the counter itself.
    pub(super) own_epoch: Option<u64>,
    /// Whether it has no words at all, so that only the total tells one such counter from another.
    pub(super) wordless: bool,
    /// The text that it was read from.
    pub(super) shown: String,
}

/// A number that may be a time or a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) key: u64,
    pub(super) value: f64,
    pub(super) digits: u8,
}

/// What a line says beside its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    /// Steps of the whole run, and a hash of the words that say so.
    Steps(u64, u64),
    /// Epochs of the whole run.
    Epochs(u64),
    /// Batches of one optimizer step.
    Accumulation(u64),
    /// Samples of an epoch.
    Samples(u64),
    /// A number of steps that is told, whatever it says.
    Told(u64),
}

/// Which epoch it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) n: u64,
    pub(super) total: Option<u64>,
    /// Whether it stands in front of the counter, so that the counter may be one within the epoch.
    pub(super) before: bool,
    /// Whether it is a bar of epochs, whose total is their number and not the last one's name.
    pub(super) bar: bool,
}

/// All that one frame tells.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub(super) counters: Vec<Counter>,
    pub(super) epoch: Option<Epoch>,
    /// The line's own time in seconds from an arbitrary moment, and how fine it is.
    pub(super) stamp: Option<(f64, f64)>,
    pub(super) fields: Vec<Field>,
    pub(super) facts: Vec<Fact>,
}

/// Reads a frame.
pub(super) fn scan(text: &str) -> Frame {
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
        let used = counter(text, &all, at, body, bar, &mut frame);
        if used == 0 {
            plain_number(text, &all[at], &mut frame);
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
            // A line that follows a bar without a break has its time in the middle.
            let body = if named || text[..token.start].contains("%|") { 0 } else { token.end };
            return (Some((day.unwrap_or(0) as f64 * 86400.0 + seconds, fine)), body);
        }
    }
    (None, 0)
}

/// A hash of the text in front of a counter, in which all numbers are the same.
fn key(head: &str, form: Form) -> u64 {
    let mut hasher = DefaultHasher::new();
    form.hash(&mut hasher);
    // What a bar has drawn says nothing.
    let (front, back) = match head.rfind("%|") {
        Some(at) => (&head[..at], head[at + 2..].find('|').map_or("", |end| &head[at + 2 + end..])),
        None => (head, ""),
    };
    let mut last = 0;
    for byte in front.bytes().rev().take(160).chain(back.bytes()) {
        let byte = if byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-' | b'+') { b'#' } else { byte };
        if byte != b' ' && !(byte == b'#' && last == b'#') {
            hasher.write_u8(byte);
            last = byte;
        }
    }
    hasher.finish()
}

/// Reads a counter that starts at a token, and says how many tokens it took.
fn counter(text: &str, all: &[Token], at: usize, body: usize, bar: bool, frame: &mut Frame) -> usize {
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
        end = next.end + 1;
        found = (n <= m && m > 0).then_some((Form::Pair, n, Some(m)));
    } else if let Some(next) = all.get(at + 1)
        && let Some(m) = next.int()
    {
        let between = text[token.end..next.start].trim();
        let clean = !text[..token.start].ends_with(['/', '.'])
            && !matches!(text.as_bytes().get(next.end), Some(b'/' | b'-'))
            && !(text[next.end..].starts_with(['.', ':'])
                && text[next.end + 1..].starts_with(|sign: char| sign.is_ascii_digit()));
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
        found = if unknown {
            Some((Form::Pair, n, None))
        } else if endless {
            Some((Form::Endless, n, None))
        } else if step_name(word) > 0 || epoch_name(word) && !word.to_ascii_lowercase().ends_with("epochs") {
            Some((Form::Named, n, None))
        } else if step_name(unit(text, token.end)) == 4 && rest.starts_with(|sign: char| sign.is_ascii_alphabetic())
            || epoch_name(unit(text, token.end)) && rest.starts_with(['e', 'E'])
        {
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
    let mut counter = Counter {
        key: key(head, form),
        form,
        class: class(head, drawn),
        bar: drawn,
        n,
        total,
        named: step_name(word).max(step_name(behind)),
        name: if step_name(word) > 0 { word.to_ascii_lowercase() } else { behind.to_ascii_lowercase() },
        elapsed: None,
        epoch: counts_epochs && form != Form::Range,
        own_epoch: None,
        wordless: form == Form::Pair && !head.bytes().any(|byte| byte.is_ascii_alphabetic()),
        shown: text[token.start.saturating_sub(24).max(body)..end.min(token.end + 24)].trim().to_owned(),
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
        plain_number(text, token, frame);
    }
    used
}

/// A bar's pair that is written in thousands or millions: `1.2k/100k`.
fn scaled_pair(text: &str, token: &Token, next: Option<&Token>) -> Option<(u64, u64)> {
    let scale = |at: usize| match text.as_bytes().get(at) {
        Some(b'k' | b'K') => Some(1e3),
        Some(b'M') => Some(1e6),
        _ => None,
    };
    let next = next?;
    let times = scale(token.end);
    let gap = text.get(token.end + usize::from(times.is_some())..next.start)?;
    let of = next.number()? * scale(next.end)?;
    let n = token.number()? * times.unwrap_or(1.0);
    let free = !matches!(text.as_bytes().get(next.end + 1), Some(byte) if byte.is_ascii_alphanumeric());
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
                let free = before.ends_with('[') || phrase(text, token.start).is_empty() && !before.ends_with('<');
                if free {
                    counter.elapsed = Some(seconds);
                }
            }
            _ if foreign_rate(unit(text, token.end)) => counter.class = Class::Preparation,
            _ => {}
        }
    }
}

/// A number that counts nothing: a time, a rate, or a setting.
fn plain_number(text: &str, token: &Token, frame: &mut Frame) {
    let Some(value) = token.number() else { return };
    let words = phrase(text, token.start);
    let behind = unit(text, token.end);
    if value > 0.0 && frame.fields.len() < 32 && timely(words, behind) {
        let mut hasher = DefaultHasher::new();
        words.hash(&mut hasher);
        behind.hash(&mut hasher);
        // `0.388 (0.395)`: the mean stands behind the last one, without a name.
        (text[..token.start].ends_with('(')).hash(&mut hasher);
        frame.fields.push(Field { key: hasher.finish(), value, digits: token.digits });
    }
    let whole = value.fract() == 0.0 && (1.0..1e10).contains(&value);
    if !whole || frame.facts.len() >= 16 {
        return;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "A whole number below 1e10.")]
    let n = value as u64;
    let lower = words.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let other = has(&[
        "warm", "per", "save", "eval", "log", "accum", "decay", "every", "freq", "skip", "nan", "size", "patience",
        "early", "interval", "print", "valid", "val_", "after", "loss", "token",
    ]);
    if has(&["accum"]) && has(&["step", "grad"]) {
        frame.facts.push(Fact::Accumulation(n));
    } else if has(&["step", "iter", "update", "batches", "duration"])
        && has(&["total", "max", "num", "train", "n_"])
        && !other
    {
        if matches!(behind, "" | "ba" | "steps" | "iterations")
            || !behind.is_empty() && text[token.end..].starts_with(' ')
        {
            let mut hasher = DefaultHasher::new();
            lower.hash(&mut hasher);
            frame.facts.push(Fact::Steps(n, hasher.finish()));
        }
    } else if (lower.contains("epochs") || behind == "epochs") && !other && !has(&["saving", "checkpoint"]) {
        frame.facts.push(Fact::Epochs(n));
    } else if behind == "samples" {
        frame.facts.push(Fact::Samples(n));
    }
    if has(&["step", "iter", "batch"]) || text[..token.start].ends_with(['_', '-']) {
        frame.facts.push(Fact::Told(n));
    }
}

/// Finds the epoch among the counters, and leaves it out of them.
fn epochs(text: &str, all: &[Token], frame: &mut Frame) {
    let pairs: Vec<usize> =
        (0..frame.counters.len()).filter(|&index| frame.counters[index].form == Form::Pair).collect();
    if let [first, second, ..] = pairs[..] {
        let brackets = text.contains("][");
        let (a, b) = (&frame.counters[first], &frame.counters[second]);
        if !a.epoch
            && a.named == 0
            && !b.epoch
            && (brackets
                || b.bar && text.trim_start().starts_with(|sign: char| sign.is_ascii_digit())
                || b.elapsed.is_some() && a.elapsed.is_none())
        {
            frame.counters[first].epoch = true;
        }
    }
    if frame.counters.iter().any(|counter| counter.epoch) {
        let best = (0..frame.counters.len())
            .filter(|&at| frame.counters[at].epoch)
            .max_by_key(|&at| (frame.counters[at].total.is_some(), std::cmp::Reverse(at)));
        let before = best.is_some_and(|at| frame.counters[at..].iter().any(|counter| !counter.epoch));
        frame.epoch = best.map(|at| &frame.counters[at]).map(|counter| Epoch {
            n: counter.n,
            total: counter.total,
            before,
            bar: counter.bar && counter.elapsed.is_some(),
        });
        return;
    }
    let Some(&pair) = pairs.first() else { return };
    let n = frame.counters[pair].n;
    for (index, token) in all.iter().enumerate() {
        let Some(value) = token.int() else { continue };
        let rest = text[token.end..].trim_start();
        // `Train: 1 [ 250/740`: the number in front of a bracket with a pair.
        let word = last_word(phrase(text, token.start)).to_ascii_lowercase();
        if rest.starts_with('[') && matches!(word.as_str(), "train" | "training") {
            frame.epoch = Some(Epoch { n: value, total: None, before: true, bar: false });
            return;
        }
        // `1|95|Loss: ..`: the second number is the bar's own.
        if index == 0
            && rest.starts_with('|')
            && all.get(1).is_some_and(|next| next.int() == Some(n) && next.start == token.end + 1)
            && all.len() > 3
        {
            frame.epoch = Some(Epoch { n: value, total: None, before: true, bar: false });
            return;
        }
    }
}

/// Rows of a table: numbers alone, of which one of the first two may be the step.
fn columns(text: &str, all: &[Token], frame: &mut Frame) {
    if all.len() < 4 || !frame.counters.is_empty() || text.bytes().filter(u8::is_ascii_alphabetic).count() > all.len() {
        return;
    }
    let numbers = text.bytes().all(|byte| byte.is_ascii_digit() || b" .-+|eEnaif".contains(&byte));
    if !numbers {
        return;
    }
    for (at, token) in all.iter().enumerate().take(2) {
        let Some(n) = token.int() else { continue };
        frame.counters.push(Counter {
            key: 2 + 2 * at as u64 + 64 * all.len() as u64,
            form: Form::Column,
            class: Class::Training,
            bar: false,
            n,
            total: None,
            named: 0,
            name: String::new(),
            elapsed: None,
            epoch: false,
            own_epoch: None,
            wordless: false,
            shown: text.trim().chars().take(32).collect(),
        });
    }
}
