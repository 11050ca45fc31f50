//! The plot itself: grid, rows, marks and the words beside them.

use super::pen::{HEADING, MARGIN, Pen, ROW, ROW_LABEL};
use super::scene::{Anchor, SMALL, Shape, Spot, shorten, strokes, text_box, text_width};
use super::{Axis, Band, Chart, Ink, Mark, Scale};
use crate::report::numbers::tick;
use crate::stats::Interval;

/// The plot: its place, and from numbers to places in it.
pub(super) struct Plot<'a> {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// That of the paper.
    pub(super) width: f64,
    /// Height of the label above each row; 0 where labels stand beside.
    pub(super) above: f64,
    pub(super) x: &'a Axis,
    pub(super) y: &'a Axis,
}

impl Plot<'_> {
    fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.scale.place(value)
    }

    fn y(&self, value: f64) -> f64 {
        match &self.y.scale {
            Scale::Rows(bands) => {
                // A place on rows is nearest to the row that it belongs to.
                let before = bands.iter().enumerate().take_while(|(i, _)| *i as f64 <= value + 0.5);
                let headings = before.filter(|(_, b)| b.heading.is_some()).count();
                let row = (value + 0.5).floor();
                let labels = self.above * (row + 1.0);
                self.top + 3.0 + HEADING * headings as f64 + ROW * (value + 0.5) + labels
            }
            scale => self.bottom - (self.bottom - self.top) * scale.place(value),
        }
    }

    fn bounds(&self) -> [f64; 4] {
        [self.left, self.top, self.width - 4.0, self.bottom]
    }

    pub(super) fn shade(&self, pen: &mut Pen, mark: &Mark) {
        let Mark::Shade { from, to, ink, tip } = mark else { return };
        let area = [self.x(*from), self.top, self.x(*to), self.bottom];
        pen.rect(area, *ink);
        pen.scene.spots.push(Spot { area, tip: tip.clone() });
    }

    pub(super) fn grid(&self, pen: &mut Pen, chart: &Chart) {
        let count = if self.x.scale.is_rows() { 0 } else { 7 };
        let mut free_from = f64::NEG_INFINITY;
        for value in self.x.scale.ticks(count) {
            // Lengths are names as much as numbers: 2048 stays 2048.
            let exact = matches!(self.x.scale, Scale::LogAt(_)) && value.fract() == 0.0;
            let (x, label) = (self.x(value), if exact { format!("{value}") } else { tick(value) });
            let half = text_width(&label, SMALL, false) / 2.0;
            let drawn = x - half > free_from && x + half < self.width - 2.0;
            if drawn {
                free_from = x + half + 6.0;
                pen.text((x, self.bottom + 14.0), label, Ink::Text, Anchor::Middle);
                let grid = [(x, self.top), (x, self.bottom)].to_vec();
                pen.path(grid, Ink::Grid, 1.0);
            }
        }
        let label = shorten(&chart.x.label, self.width - 2.0 * MARGIN, SMALL, false);
        // In the middle of the plot, as far as the paper has room.
        let half = text_width(&label, SMALL, false) / 2.0 + 4.0;
        let middle = f64::midpoint(self.left, self.right).max(half).min(self.width - half);
        pen.text((middle, self.bottom + 34.0), label, Ink::Soft, Anchor::Middle);
        if let Scale::Rows(bands) = &self.y.scale {
            pen.path(vec![(self.left, self.top), (self.left, self.bottom)], Ink::Text, 1.0);
            self.rows(pen, bands);
            return;
        }
        for value in self.y.scale.ticks(6) {
            let y = self.y(value);
            pen.text((self.left - 7.0, y), tick(value), Ink::Text, Anchor::End);
            pen.path(vec![(self.left, y), (self.right, y)], Ink::Grid, 1.0);
        }
        pen.path(vec![(self.left, self.top), (self.left, self.bottom), (self.right, self.bottom)], Ink::Text, 1.0);
    }

    fn rows(&self, pen: &mut Pen, bands: &[Band]) {
        for (i, band) in bands.iter().enumerate() {
            let y = self.y(i as f64);
            if let Some(heading) = &band.heading {
                let text = shorten(heading, self.width - 2.0 * MARGIN, SMALL, true);
                let shape = Shape::Text {
                    at: (MARGIN, y - ROW / 2.0 - self.above - HEADING * 0.45),
                    text,
                    size: SMALL,
                    bold: true,
                    ink: Ink::Text,
                    anchor: Anchor::Start,
                };
                // Over the axis and the grid, which would strike it through.
                if let Some(area) = text_box(&shape) {
                    pen.rect([area[0], area[1], area[2] + 4.0, area[3]], Ink::Paper);
                }
                pen.scene.shapes.push(shape);
            }
            if self.above > 0.0 {
                let label = shorten(&band.label, self.width - self.left - 2.0 * MARGIN, SMALL, false);
                let at = (self.left + 4.0, y - ROW / 2.0 - self.above / 2.0 + 3.0);
                // Over the grid, which would strike it through.
                let width = text_width(&label, SMALL, false);
                pen.rect([at.0, at.1 - SMALL * 0.6, at.0 + width + 4.0, at.1 + SMALL * 0.6], Ink::Paper);
                pen.text(at, label, Ink::Text, Anchor::Start);
            } else {
                let label = shorten(&band.label, ROW_LABEL, SMALL, false);
                pen.text((self.left - 7.0, y), label, Ink::Text, Anchor::End);
            }
        }
    }

    pub(super) fn mark(&self, pen: &mut Pen, mark: &Mark) {
        match mark {
            Mark::Line { points, ink, dash } => {
                let points: Vec<_> = points.iter().map(|(x, y)| (self.x(*x), self.y(*y))).collect();
                for stroke in strokes(&points, dash) {
                    pen.path(stroke, *ink, 2.0);
                }
            }
            Mark::Area { low, high, ink } => {
                let around = low.iter().chain(high.iter().rev());
                let points = around.map(|(x, y)| (self.x(*x), self.y(*y))).collect();
                pen.scene.shapes.push(Shape::Area { points, ink: *ink });
            }
            Mark::Point { at, x, y, look, tip, .. } => {
                let at = (self.x(at.0), self.y(at.1));
                if let Some(interval) = x {
                    self.whisker(pen, *interval, at.1, look.ink);
                }
                if let Some(interval) = y.filter(|i| i.low < i.high) {
                    let (low, high) = (self.y(interval.low), self.y(interval.high));
                    pen.path(vec![(at.0, low), (at.0, high)], look.ink, 1.5);
                    for end in [low, high] {
                        pen.path(vec![(at.0 - 4.0, end), (at.0 + 4.0, end)], look.ink, 1.5);
                    }
                }
                pen.scene.shapes.push(Shape::Marker { at, look: *look, size: 4.5 });
                let area = [at.0 - 9.0, at.1 - 9.0, at.0 + 9.0, at.1 + 9.0];
                pen.scene.spots.push(Spot { area, tip: tip.clone() });
            }
            Mark::Bar { y, thick, from, to, interval, ink, tip, .. } => {
                let (x0, x1, half) = (self.x(*from), self.x(*to), thick * ROW / 2.0);
                let y = self.y(*y);
                pen.rect([x0, y - half, x1.max(x0 + 0.5), y + half], *ink);
                if let Some(interval) = interval {
                    self.whisker(pen, *interval, y, Ink::Text);
                }
                let area = [x0, y - half.max(5.0), x1.max(x0 + 8.0), y + half.max(5.0)];
                pen.scene.spots.push(Spot { area, tip: tip.clone() });
            }
            Mark::Note { y, text } => {
                let text = shorten(text, self.right - self.left, SMALL, false);
                pen.text((self.left + 6.0, self.y(*y)), text, Ink::Soft, Anchor::Start);
            }
            Mark::Rule { at, .. } => {
                let x = self.x(*at);
                for stroke in strokes(&[(x, self.top), (x, self.bottom)], &[4.0, 3.0]) {
                    pen.path(stroke, Ink::Soft, 1.0);
                }
            }
            Mark::Shade { .. } => {}
        }
    }

    /// An interval along x.
    fn whisker(&self, pen: &mut Pen, interval: Interval, y: f64, ink: Ink) {
        if interval.low >= interval.high {
            return;
        }
        let (low, high) = (self.x(interval.low), self.x(interval.high));
        pen.path(vec![(low, y), (high, y)], ink, 1.5);
        for end in [low, high] {
            pen.path(vec![(end, y - 4.0), (end, y + 4.0)], ink, 1.5);
        }
    }

    /// Words beside marks, once every mark has its place.
    pub(super) fn labels(&self, pen: &mut Pen, chart: &Chart) {
        for mark in &chart.marks {
            match mark {
                Mark::Bar { y, to, interval, label: Some(label), .. } => {
                    let end = interval.map_or(*to, |i| i.high.max(*to));
                    pen.text((self.x(end) + 7.0, self.y(*y)), label.clone(), Ink::Text, Anchor::Start);
                }
                Mark::Point { at, x, label: Some(label), .. } if self.y.scale.is_rows() => {
                    let end = x.map_or(at.0, |i| i.high.max(at.0));
                    pen.text((self.x(end) + 9.0, self.y(at.1)), label.clone(), Ink::Text, Anchor::Start);
                }
                Mark::Point { at, label: Some(label), .. } => {
                    let (x, y) = (self.x(at.0), self.y(at.1));
                    let around = |r: f64| {
                        [
                            ((x - r, y + r), Anchor::End),
                            ((x + r, y + r), Anchor::Start),
                            ((x - r, y), Anchor::End),
                            ((x + r, y), Anchor::Start),
                            ((x, y + r + 5.0), Anchor::Middle),
                            ((x - r, y - r), Anchor::End),
                            ((x + r, y - r), Anchor::Start),
                            ((x, y - r - 5.0), Anchor::Middle),
                        ]
                    };
                    let places: Vec<_> = [9.0, 22.0, 36.0, 52.0, 70.0].into_iter().flat_map(around).collect();
                    let found = pen.text_where_free(label, &places, self.bounds(), Ink::Text);
                    // Words that lie apart from their point are joined to it.
                    if let Some(at) = found.filter(|at| (at.0 - x).hypot(at.1 - y) > 18.0) {
                        pen.path(vec![(x, y), at], Ink::Soft, 0.5);
                    }
                }
                Mark::Rule { at, label } => {
                    let x = self.x(*at);
                    let places: Vec<_> = (0..8)
                        .flat_map(|row| {
                            let y = self.top + 9.0 + 16.0 * f64::from(row);
                            [((x + 5.0, y), Anchor::Start), ((x - 5.0, y), Anchor::End)]
                        })
                        .collect();
                    pen.text_where_free(label, &places, self.bounds(), Ink::Soft);
                }
                _ => {}
            }
        }
    }
}
