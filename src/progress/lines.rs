//! Cuts what a program writes into frames: lines, and the states of a line that is drawn again.

/// Bytes of one frame that are kept. What a line holds beyond them is left out.
const LONGEST: usize = 4096;

/// Where the reader of bytes stands within a terminal's control sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Escape {
    #[default]
    None,
    Started,
    Csi,
    Osc,
    OscEnd,
}

/// Frames from bytes, which may be split anywhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    escape: Escape,
    frame: Vec<u8>,
    digits: bool,
    at_s: f64,
}

impl Lines {
    /// Takes bytes that arrived at a time, and calls `each` with every frame that ends in them.
    pub(super) fn push(&mut self, bytes: &[u8], at_s: f64, mut each: impl FnMut(&str, f64)) {
        for &byte in bytes {
            if self.escape != Escape::None {
                if self.in_escape(byte) {
                    self.end(&mut each);
                }
                continue;
            }
            match byte {
                0x1b => self.escape = Escape::Started,
                b'\n' | b'\r' | 0x08 => self.end(&mut each),
                _ => {
                    if self.frame.len() < LONGEST && (byte >= 0x20 || byte == b'\t') {
                        self.digits |= byte.is_ascii_digit();
                        self.frame.push(byte);
                    }
                    self.at_s = at_s;
                }
            }
        }
    }

    /// Takes a byte of a control sequence, and says whether the sequence moves the cursor to another line.
    fn in_escape(&mut self, byte: u8) -> bool {
        let (next, moves) = match (self.escape, byte) {
            // A broken sequence ends where the line ends.
            (_, b'\n' | b'\r') | (Escape::Csi, b'A' | b'B' | b'E'..=b'H' | b'f' | b'J' | b'K') => (Escape::None, true),
            (Escape::Started, 0x20..=0x2f) => (Escape::Started, false),
            (Escape::Started, b'[') | (Escape::Csi, ..=0x3f | 0x7f..=0xff) => (Escape::Csi, false),
            (Escape::Osc, 0x1b) => (Escape::OscEnd, false),
            (Escape::Osc, 0x07) => (Escape::None, false),
            (Escape::Started, b']') | (Escape::Osc, _) => (Escape::Osc, false),
            _ => (Escape::None, false),
        };
        self.escape = next;
        moves
    }

    /// The frame that has not ended yet, and when its last byte came. None where it may be cut within a number.
    pub(super) fn open(&self) -> Option<(String, f64)> {
        let whole = self.digits && self.frame.last().is_some_and(|byte| !byte.is_ascii_alphanumeric());
        whole.then(|| (plain(&self.frame), self.at_s))
    }

    /// Ends the open frame.
    pub(super) fn end(&mut self, each: &mut impl FnMut(&str, f64)) {
        if !self.frame.is_empty() {
            // A frame without a digit tells no more than that time has passed.
            let simple = if self.digits { std::str::from_utf8(&self.frame) } else { Ok("") };
            match simple.ok().filter(|text| text.is_ascii() && !text.contains('\t')) {
                Some(text) => each(text, self.at_s),
                None => each(&plain(&self.frame), self.at_s),
            }
            self.frame.clear();
        }
        self.digits = false;
    }
}

/// Plain ASCII of a frame: the blocks that bars are drawn of are left out, and a bullet between two times is told as
/// the sign that other bars have there.
fn plain(frame: &[u8]) -> String {
    let mut text = String::with_capacity(frame.len());
    let mut at = 0;
    while let Some(&byte) = frame.get(at) {
        if byte == b'\t' {
            text.push(' ');
        } else if byte.is_ascii() {
            text.push(char::from(byte));
        } else if frame[at..].starts_with("•".as_bytes()) {
            text.push('<');
            at += 2;
        }
        at += 1;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8], piece: usize) -> Vec<(String, f64)> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        let mut each = |frame: &str, at_s: f64| all.push((frame.to_owned(), at_s));
        for part in bytes.chunks(piece) {
            lines.push(part, 1.0, &mut each);
        }
        lines.end(&mut each);
        all
    }

    #[test]
    fn frames_do_not_depend_on_how_the_bytes_are_split() {
        let bytes = "a 1\r\x1b[37m2/2\x1b[0m 0:01 • 0:02\x1b[2K\u{8}\u{8}x\x1b]0;title\x07y\n\x1b[Az".as_bytes();
        let expected = vec!["a 1", "2/2 0:01 < 0:02", "", ""];
        for piece in 1..7 {
            let got: Vec<_> = frames(bytes, piece).into_iter().map(|(frame, _)| frame).collect();
            assert_eq!(got, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let got = frames(&vec![b'7'; 1 << 20], 1000);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].0.len(), LONGEST);
    }
}
