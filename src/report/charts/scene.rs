//! What a chart is on paper: shapes in points, before any file format.

use std::sync::Once;

use plotters::style::{FontStyle, IntoFont, register_font};

use super::{Dash, Ink, Look, Marker};

/// Which end of a text its place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// Something on paper; places are in points from the left and from the top.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A filled rectangle.
    Rect {
        /// Left, top, right, bottom.
        area: [f64; 4],
        /// Its colour.
        ink: Ink,
    },
    /// A filled shape that lets through what is behind it.
    Area {
        /// Its corners.
        points: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
    },
    /// A line.
    Path {
        /// Its points.
        points: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
        /// Its width.
        width: f64,
    },
    /// A marker.
    Marker {
        /// Its middle.
        at: (f64, f64),
        /// What it looks like.
        look: Look,
        /// Half its width.
        size: f64,
    },
    /// A line of text, its middle at the height of its place.
    Text {
        /// Where.
        at: (f64, f64),
        /// The words.
        text: String,
        /// Height of the letters.
        size: f64,
        /// Whether it is bold.
        bold: bool,
        /// Its colour.
        ink: Ink,
        /// Which of its ends is at the place.
        anchor: Anchor,
    },
}

/// A place that says something when it is pointed at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spot {
    /// Left, top, right, bottom.
    pub area: [f64; 4],
    /// What it says.
    pub tip: String,
}

/// A chart on paper.
#[derive(Debug, Clone, Default)]
pub(super) struct Scene {
    /// Width in points.
    pub width: f64,
    /// Height in points.
    pub height: f64,
    /// What is drawn, in this order.
    pub shapes: Vec<Shape>,
    /// What can be pointed at.
    pub spots: Vec<Spot>,
}

/// Size of the letters of labels.
pub(super) const SMALL: f64 = 12.0;
/// Size of the letters of the title.
pub(super) const LARGE: f64 = 15.0;

/// The box of a text: left, top, right, bottom.
#[must_use]
pub(super) fn text_box(shape: &Shape) -> Option<[f64; 4]> {
    let Shape::Text { at: (x, y), text, size, bold, anchor, .. } = shape else { return None };
    let width = text_width(text, *size, *bold);
    let left = match anchor {
        Anchor::Start => *x,
        Anchor::Middle => x - width / 2.0,
        Anchor::End => x - width,
    };
    Some([left, y - size * 0.6, left + width, y + size * 0.6])
}

/// Whether two boxes share a place.
#[must_use]
pub(super) fn overlap(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// How wide `text` is in DejaVu Sans, which is wider than most: it then has room in the letters of any browser.
#[must_use]
pub(super) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    with_letters();
    // Measured large, since pixels are whole.
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = ("sans-serif", 100.0, style).into_font();
    font.box_size(text).map_or(0.0, |(width, _)| f64::from(width) / 100.0 * size * SIZE_OF_A_FONT)
}

/// plotters' size of a font over the size of its letters.
pub(super) const SIZE_OF_A_FONT: f64 = 1.24;

/// Brings the letters that charts are measured and painted with.
pub(super) fn with_letters() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
            // Letters that cannot be read show in every test of a chart.
            let _ = register_font("sans-serif", style, bytes);
        }
    });
}

/// Words on lines no wider than `width`; a word that is too long is cut.
#[must_use]
pub(super) fn wrap(text: &str, width: f64, size: f64, bold: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match (longer, lines.last_mut()) {
            (Some(longer), Some(last)) if text_width(&longer, size, bold) <= width => *last = longer,
            _ => lines.push(shorten(word, width, size, bold)),
        }
    }
    lines
}

/// `text` if it has room in `width`, else its beginning and an ellipsis.
#[must_use]
pub(super) fn shorten(text: &str, width: f64, size: f64, bold: bool) -> String {
    if text.chars().count() < 400 && text_width(text, size, bold) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars().take(400) {
        kept.push(c);
        if text_width(&format!("{kept}…"), size, bold) > width {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

/// `points` cut into the strokes of `dash`; whole if that is empty.
#[must_use]
pub(super) fn strokes(points: &[(f64, f64)], dash: Dash) -> Vec<Vec<(f64, f64)>> {
    if dash.is_empty() {
        return vec![points.to_vec()];
    }
    let mut strokes = Vec::new();
    let (mut place, mut left) = (0, dash[0]);
    let mut stroke: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((mut x, mut y), (x1, y1)) = (pair[0], pair[1]);
        loop {
            let length = (x1 - x).hypot(y1 - y);
            if length <= left || length == 0.0 {
                left -= length;
                stroke.push((x1, y1));
                break;
            }
            (x, y) = (x + (x1 - x) * left / length, y + (y1 - y) * left / length);
            stroke.push((x, y));
            if place % 2 == 0 {
                strokes.push(stroke);
            }
            stroke = vec![(x, y)];
            place += 1;
            left = dash[place % dash.len()];
        }
    }
    if place % 2 == 0 && stroke.len() > 1 {
        strokes.push(stroke);
    }
    strokes
}

/// The corners of a marker; none of a disc.
#[must_use]
pub(super) fn corners(marker: Marker, (x, y): (f64, f64), r: f64) -> Vec<(f64, f64)> {
    match marker {
        Marker::Circle => Vec::new(),
        Marker::Square => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
        Marker::Triangle => vec![(x, y - 1.2 * r), (x + 1.15 * r, y + 0.9 * r), (x - 1.15 * r, y + 0.9 * r)],
        Marker::Diamond => vec![(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_points_in_strokes_of_three_and_gaps_of_two() {
        let strokes = strokes(&[(0.0, 0.0), (10.0, 0.0)], &[3.0, 2.0]);
        assert_eq!(strokes, [[(0.0, 0.0), (3.0, 0.0)], [(5.0, 0.0), (8.0, 0.0)]]);
    }

    #[test]
    fn a_line_that_ends_where_a_stroke_does_is_cut_once() {
        assert_eq!(strokes(&[(0.0, 0.0), (3.0, 0.0), (3.0, 0.0)], &[3.0, 2.0]), [[(0.0, 0.0), (3.0, 0.0), (3.0, 0.0)]]);
    }

    #[test]
    fn long_words_are_cut_and_short_ones_share_a_line() {
        let lines = wrap(&format!("one two {}", "w".repeat(20_000)), 120.0, SMALL, false);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0], "one two");
        assert!(lines[1].ends_with('…') && text_width(&lines[1], SMALL, false) <= 120.0);
    }
}
