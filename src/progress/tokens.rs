//! Numbers, times and dates of a frame, each with the words around it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A whole number.
    Int(u64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Hours, minutes and seconds (or minutes and seconds), in seconds.
    Time(f64),
    /// A day, counted from an arbitrary one.
    Day(i64),
}

/// One token of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// Digits that are written, without zeros in front.
    pub(super) digits: u8,
}

impl Token {
    /// The number, where the token is one.
    pub(super) fn number(&self) -> Option<f64> {
        match self.kind {
            Kind::Int(value) => Some(value as f64),
            Kind::Float(value) => Some(value),
            Kind::Time(_) | Kind::Day(_) => None,
        }
    }

    /// The whole number, where the token is one.
    pub(super) fn int(&self) -> Option<u64> {
        match self.kind {
            Kind::Int(value) => Some(value),
            _ => None,
        }
    }
}

/// Tokens that are read of one frame.
const MOST: usize = 160;

/// All tokens of a frame.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut found: Vec<Token> = Vec::new();
    let mut at = 0;
    while at < bytes.len() && found.len() < MOST {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        if at > 0 && glued(bytes, at) {
            // Digits of a name: `rank3`, `model_5000`, `0x1f`.
            at += run(bytes, at, |byte| byte.is_ascii_alphanumeric());
            continue;
        }
        let token = day(bytes, at).or_else(|| time(bytes, at)).unwrap_or_else(|| number(text, at));
        at = token.end;
        found.push(token);
    }
    found
}

/// Whether the digits at a place belong to a name. A counter may be written right behind its own name.
fn glued(bytes: &[u8], at: usize) -> bool {
    match bytes[at - 1] {
        b'_' | b'.' => true,
        // `2024-05-01T10:00:00`
        b'T' if at > 1 && bytes[at - 2].is_ascii_digit() => false,
        byte if byte.is_ascii_alphabetic() => {
            let word = bytes[..at].iter().rev().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
            let word = &bytes[at - word..at];
            !["step", "iter", "iteration", "epoch", "batch"]
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
        }
        _ => false,
    }
}

fn run(bytes: &[u8], at: usize, is: impl Fn(u8) -> bool) -> usize {
    bytes[at..].iter().take_while(|&&byte| is(byte)).count()
}

fn digits(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).map_or(0, |_| run(bytes, at, |byte| byte.is_ascii_digit()))
}

/// The value of up to eighteen digits.
fn value(bytes: &[u8]) -> Option<u64> {
    let start = bytes.iter().take_while(|&&byte| byte == b'0').count();
    let bytes = &bytes[start..];
    (bytes.len() <= 18).then(|| bytes.iter().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0')))
}

/// A date with a year of four digits, on either side.
fn day(bytes: &[u8], at: usize) -> Option<Token> {
    let first = digits(bytes, at);
    let mark = *bytes.get(at + first)?;
    if !matches!(mark, b'-' | b'/' | b'.') {
        return None;
    }
    let middle = digits(bytes, at + first + 1);
    let last_at = at + first + middle + 2;
    let last = if bytes.get(last_at - 1) == Some(&mark) { digits(bytes, last_at) } else { 0 };
    let part = |from: usize, len: usize| value(&bytes[from..from + len]).and_then(|part| i64::try_from(part).ok());
    let (year, month, day_of_month) = match (first, middle, last) {
        (4, 2, 2) => (part(at, 4)?, part(at + 5, 2)?, part(at + 8, 2)?),
        (2, 2, 4) => (part(last_at, 4)?, part(at, 2)?, part(at + 3, 2)?),
        _ => return None,
    };
    // Months of 31 days: only differences within a run count, and a gap at a month's end is seen as a pause.
    let kind = Kind::Day((year * 12 + month) * 31 + day_of_month);
    let end = last_at + last;
    // Some write a `T` between the date and the time.
    let end = if bytes.get(end) == Some(&b'T') && digits(bytes, end + 1) == 2 { end + 1 } else { end };
    Some(Token { start: at, end, kind, digits: 8 })
}

/// `mm:ss`, `h:mm:ss`, with or without a fraction.
fn time(bytes: &[u8], at: usize) -> Option<Token> {
    let pair = |at: usize| bytes.get(at) == Some(&b':') && digits(bytes, at + 1) == 2;
    let first = digits(bytes, at);
    if first > 4 || !pair(at + first) {
        return None;
    }
    let mut seconds = value(&bytes[at..at + first])? as f64;
    let mut end = at + first;
    let mut parts = 1;
    while parts < 3 && pair(end) {
        seconds = seconds * 60.0 + value(&bytes[end + 1..end + 3])? as f64;
        end += 3;
        parts += 1;
    }
    let mut shown = 0;
    if parts == 3 && matches!(bytes.get(end), Some(b'.' | b',')) {
        shown = digits(bytes, end + 1).min(9);
        if shown > 0 {
            let fraction = value(&bytes[end + 1..end + 1 + shown])? as f64;
            seconds += fraction / 10f64.powi(i32::try_from(shown).ok()?);
            end += 1 + digits(bytes, end + 1);
        }
    }
    // The number of digits tells how fine the clock is.
    Some(Token { start: at, end, kind: Kind::Time(seconds), digits: u8::try_from(shown).ok()? })
}

fn number(text: &str, at: usize) -> Token {
    let bytes = text.as_bytes();
    let mut end = at + digits(bytes, at);
    let lead = end - at;
    let mut grouped = false;
    while lead <= 3 && bytes.get(end) == Some(&b',') && digits(bytes, end + 1) == 3 {
        end += 4;
        grouped = true;
    }
    let mut float = false;
    if bytes.get(end) == Some(&b'.') && digits(bytes, end + 1) > 0 {
        end += 1 + digits(bytes, end + 1);
        float = true;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(bytes, end + 1 + sign);
        // `2epoch` is no exponent.
        if exponent > 0 {
            end += 1 + sign + exponent;
            float = true;
        }
    }
    let plain: String;
    let written = if grouped {
        plain = text[at..end].replace(',', "");
        plain.as_str()
    } else {
        &text[at..end]
    };
    let shown = written.bytes().skip_while(|&byte| matches!(byte, b'0' | b'.')).filter(u8::is_ascii_digit).count();
    let whole = if float { None } else { value(written.as_bytes()) };
    let kind = whole.map_or_else(|| Kind::Float(written.parse().unwrap_or(f64::MAX)), Kind::Int);
    Token { start: at, end, kind, digits: u8::try_from(shown).unwrap_or(u8::MAX) }
}

/// The words in front of a place, back to the last number or to a sign that parts fields.
pub(super) fn phrase(text: &str, at: usize) -> &str {
    let bytes = text.as_bytes();
    let mut end = at;
    while end > 0
        && matches!(bytes[end - 1], b' ' | b':' | b'=' | b'|' | b'"' | b'\'' | b'[' | b'(' | b'#' | b'.' | b'>' | b'-')
    {
        end -= 1;
    }
    let mut start = end;
    while start > 0 && end - start < 48 {
        let byte = bytes[start - 1];
        let in_word = byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'_' | b'/' | b'-' | b'.' | b'(' | b')');
        if !in_word || (byte == b' ' && start >= 2 && bytes[start - 2] == b' ' && start < end) {
            break;
        }
        start -= 1;
    }
    text[start..end].trim_matches(|sign: char| sign == ' ' || sign == '-')
}

/// The last word of a phrase, without the sign that ends an abbreviation.
pub(super) fn last_word(phrase: &str) -> &str {
    if phrase.is_empty() {
        return "";
    }
    let bare = |word: &'_ str| !word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let word = phrase.rsplit(' ').find(|word| !bare(word)).unwrap_or("");
    word.trim_matches(|sign: char| !sign.is_ascii_alphabetic())
}

/// The unit behind a place: `ms`, `s/it`, `examples/s`. At most one blank stands before it.
pub(super) fn unit(text: &str, at: usize) -> &str {
    let bytes = text.as_bytes();
    let start = at + usize::from(bytes.get(at) == Some(&b' '));
    let len = bytes.get(start..).map_or(0, |_| run(bytes, start, |byte| byte.is_ascii_alphabetic() || byte == b'/'));
    &text[start..start + len.min(16)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokens(text).iter().map(|token| token.kind).collect()
    }

    #[test]
    fn numbers_are_told_from_names_and_grouped_ones_are_whole() {
        assert_eq!(kinds("rank3: step 1,048 model_5.pt 1.5e-3"), [Kind::Int(1048), Kind::Float(0.0015)]);
        assert_eq!(kinds("00000013/00015000"), [Kind::Int(13), Kind::Int(15000)]);
        assert_eq!(kinds("2epoch"), [Kind::Int(2)]);
    }

    #[test]
    fn dates_and_times_are_no_counters() {
        assert_eq!(kinds("2021/08/16 14:12:05,250"), [Kind::Day((2021 * 12 + 8) * 31 + 16), Kind::Time(51_125.25)]);
        assert_eq!(kinds("[01:05<1:00:00]"), [Kind::Time(65.0), Kind::Time(3600.0)]);
    }

    #[test]
    fn a_phrase_ends_at_the_number_before_it() {
        let text = "iter 4 step 1 | elapsed time per iteration (ms): 198.5";
        let all = tokens(text);
        assert_eq!(phrase(text, all[1].start), "step");
        assert_eq!(phrase(text, all[2].start), "elapsed time per iteration (ms)");
        assert_eq!(last_word("Up."), "Up");
        assert_eq!(unit("3.5 s/it", 3), "s/it");
    }

    #[test]
    fn no_text_of_numbers_panics() {
        for text in ["9999999999999999999999", "1:2:3:4", "1e999", "1,", "1.", "0/", "12:345", "1-2-3", "2020-99-99T"] {
            let _ = tokens(text);
        }
    }
}
