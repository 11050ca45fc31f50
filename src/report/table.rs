//! A table of text that fits a terminal.

use std::fmt::Write;

/// No column is made narrower than this, or than its longest word of at most so many letters, to make room.
const NARROW: usize = 8;
const WORD: usize = 24;

/// A table of text; numbers stand to the right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextTable {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these columns.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The header and rows, for other formats.
    #[must_use]
    pub fn parts(&self) -> (&[String], &[Vec<String>]) {
        (&self.header, &self.rows)
    }

    /// Takes out every column that says the same in all of at least two rows; gives `name: value` of each.
    pub fn take_constant(&mut self, keep: &[&str]) -> Vec<String> {
        let mut taken = Vec::new();
        if self.rows.len() < 2 {
            return taken;
        }
        for column in (0..self.header.len()).rev() {
            let value = self.rows[0].get(column).cloned();
            let constant = self.rows.iter().all(|r| r.get(column) == value.as_ref());
            if constant && !keep.contains(&self.header[column].as_str()) {
                taken.push(format!("{}: {}", self.header.remove(column), value.unwrap_or_default()));
                for row in &mut self.rows {
                    row.remove(column);
                }
            }
        }
        taken.reverse();
        taken
    }

    /// The table as aligned text, a line a row, or more where a cell has to go on below to keep within `width` columns.
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        let left: Vec<bool> = (0..self.header.len()).map(|c| self.rows.iter().any(|r| !is_number(r.get(c)))).collect();
        let widths = self.widths(width);
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let cells: Vec<Vec<String>> = row.iter().zip(&widths).map(|(cell, w)| wrap(cell, *w)).collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let mut out = String::new();
                for (column, (lines, width)) in cells.iter().zip(&widths).enumerate() {
                    let (gap, cell) = (if column == 0 { "" } else { "  " }, lines.get(line).map_or("", String::as_str));
                    let _ = if left[column] {
                        write!(out, "{gap}{cell:<width$}")
                    } else {
                        write!(out, "{gap}{cell:>width$}")
                    };
                }
                text.push_str(out.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// Columns that it takes where no cell goes on below.
    #[must_use]
    pub fn least_width(&self) -> usize {
        self.whole_widths().iter().sum::<usize>() + 2 * self.header.len().saturating_sub(1)
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &String> {
        self.rows.iter().filter_map(move |r| r.get(column)).chain(self.header.get(column))
    }

    /// The width of each column's widest cell.
    fn whole_widths(&self) -> Vec<usize> {
        let widest = |column| self.cells(column).map(|text| text.chars().count()).max().unwrap_or(0);
        (0..self.header.len()).map(widest).collect()
    }

    /// The width of each column: that of its widest cell, less where the table would be wider than `width`.
    fn widths(&self, width: usize) -> Vec<usize> {
        let cells = |column: usize| self.cells(column);
        let columns = self.header.len();
        let mut widths = self.whole_widths();
        let room = width.saturating_sub(2 * columns.saturating_sub(1));
        let longest_word = |column: usize| {
            let words = cells(column).flat_map(|t| t.split_whitespace());
            words.map(|w| w.chars().count()).filter(|n| *n <= WORD).max().unwrap_or(0)
        };
        let least: Vec<usize> = (0..columns).map(|c| longest_word(c).max(NARROW)).collect();
        while widths.iter().sum::<usize>() > room {
            // Between words first; within them where that is not enough.
            let spare = (0..columns).filter(|c| widths[*c] > least[*c]).max_by_key(|c| widths[*c]);
            let cut = || (0..columns).filter(|c| widths[*c] > NARROW).max_by_key(|c| widths[*c]);
            match spare.or_else(cut) {
                Some(column) => widths[column] -= 1,
                None => break,
            }
        }
        widths
    }
}

/// `cell` in lines of at most `width` characters, cut between words where that can be.
fn wrap(cell: &str, width: usize) -> Vec<String> {
    if cell.chars().count() <= width {
        return vec![cell.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in cell.split_whitespace() {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.extend(pieces(word, width)),
        }
    }
    lines
}

/// `text` in lines of at most `width` characters, all but the first with `indent` before them, each with its line's end.
#[must_use]
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    // No line ends within an interval.
    let text = &unbroken(text);
    let room = width.saturating_sub(indent.chars().count()).max(NARROW);
    let leading = text.len() - text.trim_start().len();
    let mut lines = wrap(text.trim_start(), room.saturating_sub(leading.saturating_sub(indent.len())));
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, &text[..leading]);
    }
    let mut all = String::new();
    for (i, line) in lines.iter().enumerate() {
        let _ = writeln!(all, "{}{}", if i == 0 { "" } else { indent }, line.replace(NO_BREAK, " "));
    }
    all
}

/// A blank at which no line ends.
const NO_BREAK: char = '\u{2060}';

/// `text` with such blanks within and before the brackets of intervals: `4.57 [4.50, 4.63]`.
fn unbroken(text: &str) -> String {
    let mut inside = false;
    let letters: Vec<char> = text.chars().collect();
    let is_number = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_digit() || *c == '-');
    let mut out = String::with_capacity(text.len());
    for (i, c) in letters.iter().enumerate() {
        inside = match c {
            '[' => is_number(letters.get(i + 1)),
            ']' => false,
            _ => inside,
        };
        let before = letters.get(i + 1) == Some(&'[') && is_number(letters.get(i + 2));
        out.push(if *c == ' ' && (inside || before) { NO_BREAK } else { *c });
    }
    out
}

/// A word that is longer than a line, in pieces.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect()
}

fn is_number(cell: Option<&String>) -> bool {
    cell.is_none_or(|c| {
        c.is_empty() || c == "-" || c.chars().next().is_some_and(|first| first.is_ascii_digit() || first == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_wide_goes_on_below() {
        let mut table = TextTable::new(&["name", "number", "source"]);
        table.row(vec!["a".to_owned(), "1.5".to_owned(), "word ".repeat(40)]);
        table.row(vec!["x".repeat(300), "-".to_owned(), "y".to_owned()]);
        let text = table.render(100);
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
        assert_eq!(text.matches("word").count(), 40);
        assert_eq!(text.matches('x').count(), 300);
    }

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = TextTable::new(&["what", "s"]);
        table.row(vec!["short".to_owned(), "10.0".to_owned()]);
        table.row(vec!["longer".to_owned(), "-".to_owned()]);
        assert_eq!(table.render(100), "what       s\nshort   10.0\nlonger     -\n");
    }

    #[test]
    fn a_column_that_says_the_same_everywhere_is_said_once() {
        let mut table = TextTable::new(&["a", "b", "c"]);
        for c in ["1", "2"] {
            table.row(vec!["same".to_owned(), "too".to_owned(), c.to_owned()]);
        }
        assert_eq!(table.take_constant(&["b"]), ["a: same"]);
        assert_eq!(table.parts().0, ["b", "c"]);
    }
}
