//! Colour, for terminals that show it, and bars of blocks.

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// Words that matter most: bold.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.wrapped("1", text)
    }

    /// Words that say something good: green.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.wrapped("32", text)
    }

    /// Words that warn: yellow.
    #[must_use]
    pub fn caution(self, text: &str) -> String {
        self.wrapped("33", text)
    }

    /// The first line, which is a table's header, bold, and each of `words` green.
    #[must_use]
    pub fn table(self, text: &str, words: &[&str]) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let (header, rows) = text.split_once('\n').unwrap_or((text, ""));
        let rows = words.iter().fold(rows.to_owned(), |rows, word| rows.replace(word, &self.good(word)));
        format!("{}\n{rows}", self.strong(header))
    }

    /// SGR sequences of ECMA-48, §8.3.117.
    fn wrapped(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A bar of `width` columns for the largest value, in eighths of a column.
#[must_use]
pub(super) fn bar(value: f64, largest: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = ['█', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let share = (value / largest).clamp(0.0, 1.0);
    if !share.is_finite() {
        return String::new();
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most eight times the width")]
    let eighths = (share * 8.0 * width as f64).round().max(1.0) as usize;
    let mut bar: String = std::iter::repeat_n('█', eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_bar_is_half_as_long_and_the_smallest_still_shows() {
        assert_eq!(bar(2.0, 2.0, 4), "████");
        assert_eq!(bar(1.0, 2.0, 3), "█▌");
        assert_eq!(bar(1e-9, 2.0, 3), "▏");
        assert_eq!(bar(f64::NAN, 2.0, 3), "");
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Paint(false).table("a  b\nfastest", &["fastest"]), "a  b\nfastest");
        assert_eq!(Paint(true).table("a\nfastest", &["fastest"]), "\u{1b}[1ma\u{1b}[0m\n\u{1b}[32mfastest\u{1b}[0m");
    }
}
