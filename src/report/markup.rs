//! The one place where text becomes HTML, SVG or Markdown: what is not a literal of the source is escaped.

/// Markup that is made of literals and of escaped text, and of nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    /// No markup yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds markup that stands in the source of the program.
    pub fn literal(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Adds text that stands for itself. No line breaks between the groups of three digits of a number.
    pub fn text(&mut self, text: &str) {
        for (i, c) in text.char_indices() {
            self.escaped(if c == ' ' && is_between_groups(text, i) { '\u{a0}' } else { c });
        }
    }

    fn escaped(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            c if is_unprintable(c) => self.0.push('\u{fffd}'),
            c => self.0.push(c),
        }
    }

    /// Adds sentences, in which what stands between two backticks is code.
    pub fn prose(&mut self, text: &str) {
        let parts: Vec<&str> = text.split('`').collect();
        // A backtick without a second is one.
        if parts.len().is_multiple_of(2) {
            return self.text(text);
        }
        for (i, part) in parts.into_iter().enumerate() {
            if i.is_multiple_of(2) { self.text(part) } else { self.words("code", part) }
        }
    }

    /// Adds an element with what `inside` puts into it. Values of attributes are escaped.
    pub fn element(&mut self, tag: &'static str, attributes: &[(&'static str, &str)], inside: impl FnOnce(&mut Self)) {
        self.open(tag, attributes);
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// Adds an element that holds text alone.
    pub fn words(&mut self, tag: &'static str, text: &str) {
        self.element(tag, &[], |inside| inside.text(text));
    }

    /// Adds the beginning of an element that has no end.
    pub fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            value.chars().for_each(|c| self.escaped(c));
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Adds other markup.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Adds what plotters drew, which escapes its texts by the same rules.
    pub(super) fn drawn(&mut self, svg: &str) {
        self.0.push_str(svg);
    }

    /// The markup so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The markup.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Whether the space at `i` stands between groups of digits: after one, and before three and no more.
fn is_between_groups(text: &str, i: usize) -> bool {
    let (before, after) = (&text.as_bytes()[..i], &text.as_bytes()[i + 1..]);
    let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits == 3 && before.last().is_some_and(u8::is_ascii_digit)
}

/// Whether a character has no place in a document: control characters, which no markup may hold, and those that turn
/// the direction of what follows.
fn is_unprintable(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

/// `text` in one line of at most `most` characters, without what has no place in a document.
#[must_use]
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut cleaned: String = text
        .chars()
        .take(most)
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if is_unprintable(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    if text.chars().nth(most).is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned
}

/// Text in one line of Markdown, without anything that Markdown or HTML would take for markup.
#[must_use]
pub(super) fn markdown_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean(text, usize::MAX).chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '~' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_values_of_attributes_cannot_become_markup() {
        let mut page = Markup::new();
        page.element("p", &[("title", "\" onclick='x'")], |p| p.text("<script>1 && 2\u{0}\u{202e}</script>"));
        let expected =
            "<p title=\"&quot; onclick=&#39;x&#39;\">&lt;script&gt;1 &amp;&amp; 2\u{fffd}\u{fffd}&lt;/script&gt;</p>";
        assert_eq!(page.as_str(), expected);
    }

    #[test]
    fn no_line_breaks_inside_a_number_and_paths_of_drawings_keep_their_spaces() {
        let mut page = Markup::new();
        page.element("p", &[("d", "M 10 200")], |p| p.text("3 773 169 USD, 12 3456, v 100"));
        assert_eq!(page.as_str(), "<p d=\"M 10 200\">3\u{a0}773\u{a0}169 USD, 12 3456, v 100</p>");
    }

    #[test]
    fn what_stands_between_backticks_is_code_and_cannot_become_markup() {
        let prose = |text: &str| {
            let mut page = Markup::new();
            page.prose(text);
            page.into_string()
        };
        assert_eq!(prose("give `--pue <X>`, or not"), "give <code>--pue &lt;X&gt;</code>, or not");
        assert_eq!(prose("one ` alone"), "one ` alone");
        assert_eq!(prose("none"), "none");
    }

    #[test]
    fn a_long_name_is_cut_and_a_line_break_is_a_space() {
        assert_eq!(clean("a\nb\u{7}", 9), "a b\u{fffd}");
        assert_eq!(clean(&"x".repeat(10_000), 4), "xxx…");
        assert_eq!(clean("four", 4), "four");
    }

    #[test]
    fn markdown_has_no_markup_in_a_name() {
        assert_eq!(markdown_line("a|b*c<d>\n$e"), "a\\|b\\*c&lt;d&gt; \\$e");
    }
}
