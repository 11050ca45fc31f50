//! A pen that draws on the paper of a chart, and the measures that all who draw share.

use super::Ink;
use super::scene::{Anchor, SMALL, Scene, Shape, overlap, text_box};

/// Room at each side of the paper.
pub(super) const MARGIN: f64 = 14.0;
/// Height of a row, and of the heading of a group of rows.
pub(super) const ROW: f64 = 25.0;
pub(super) const HEADING: f64 = 24.0;
/// The widest label of a row.
pub(super) const ROW_LABEL: f64 = 210.0;
/// Height of the label of a row, where it stands above the row.
pub(super) const LABEL_ABOVE: f64 = 16.0;

/// A pen, and what it has drawn.
#[derive(Default)]
pub(super) struct Pen {
    pub(super) scene: Scene,
}

impl Pen {
    pub(super) fn text(&mut self, at: (f64, f64), text: impl Into<String>, ink: Ink, anchor: Anchor) {
        self.scene.shapes.push(Shape::Text { at, text: text.into(), size: SMALL, bold: false, ink, anchor });
    }

    pub(super) fn path(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64) {
        self.scene.shapes.push(Shape::Path { points, ink, width });
    }

    pub(super) fn rect(&mut self, area: [f64; 4], ink: Ink) {
        self.scene.shapes.push(Shape::Rect { area, ink });
    }

    /// Adds a text at the first of `places` where it meets no other and no marker; gives that place.
    pub(super) fn text_where_free(
        &mut self,
        text: &str,
        places: &[((f64, f64), Anchor)],
        bounds: [f64; 4],
        ink: Ink,
    ) -> Option<(f64, f64)> {
        for (at, anchor) in places {
            let shape = Shape::Text { at: *at, text: text.to_owned(), size: SMALL, bold: false, ink, anchor: *anchor };
            let Some(area) = text_box(&shape) else { continue };
            let inside = area[0] >= bounds[0] && area[1] >= bounds[1] && area[2] <= bounds[2] && area[3] <= bounds[3];
            let meets_marker = |s: &Shape| match s {
                Shape::Marker { at: (x, y), size, .. } => overlap(&[x - size, y - size, x + size, y + size], &area),
                _ => false,
            };
            let free = |s: &Shape| !text_box(s).is_some_and(|other| overlap(&other, &area)) && !meets_marker(s);
            if inside && self.scene.shapes.iter().all(free) {
                self.scene.shapes.push(shape);
                return Some(*at);
            }
        }
        None
    }
}
