//! A table of text that fits a terminal.

use std::fmt::Write;

/// Columns of a terminal that tables fit.
pub const WIDTH: usize = 100;
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

    /// The table as aligned text, a line a row, or more where a cell has to go on below to keep within [`WIDTH`].
    #[must_use]
    pub fn render(&self) -> String {
        let left: Vec<bool> = (0..self.header.len()).map(|c| self.rows.iter().any(|r| !is_number(r.get(c)))).collect();
        let widths = self.widths();
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

    /// The width of each column: that of its widest cell, less where the table would be wider than [`WIDTH`].
    fn widths(&self) -> Vec<usize> {
        let cells = |column: usize| self.rows.iter().filter_map(move |r| r.get(column)).chain(self.header.get(column));
        let columns = self.header.len();
        let mut widths: Vec<usize> =
            (0..columns).map(|c| cells(c).map(|t| t.chars().count()).max().unwrap_or(0)).collect();
        let room = WIDTH.saturating_sub(2 * columns.saturating_sub(1));
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
        let text = table.render();
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.matches("word").count(), 40);
        assert_eq!(text.matches('x').count(), 300);
    }

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = TextTable::new(&["what", "s"]);
        table.row(vec!["short".to_owned(), "10.0".to_owned()]);
        table.row(vec!["longer".to_owned(), "-".to_owned()]);
        assert_eq!(table.render(), "what       s\nshort   10.0\nlonger     -\n");
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
