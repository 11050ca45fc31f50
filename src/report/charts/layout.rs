//! A chart on paper: room for every label first, the plot in what is left.

use super::scene::{Anchor, LARGE, SMALL, Scene, Shape, Spot, overlap, shorten, strokes, text_box, text_width, wrap};
use super::{Axis, Band, Chart, Ink, Key, Mark, Scale, Swatch};
use crate::report::numbers::tick;
use crate::stats::Interval;

const WIDTH: f64 = 640.0;
const MARGIN: f64 = 14.0;
/// Height of a plot whose y axis is of numbers.
const HEIGHT: f64 = 290.0;
/// Height of a row, and of the heading of a group of rows.
const ROW: f64 = 25.0;
const HEADING: f64 = 24.0;
/// The widest label of a row.
const ROW_LABEL: f64 = 210.0;

/// Puts `chart` on paper.
#[must_use]
pub(super) fn scene(chart: &Chart) -> Scene {
    let mut pen = Pen::default();
    let top = pen.heading(chart);
    let plot = pen.frame(chart, top);
    for mark in &chart.marks {
        plot.shade(&mut pen, mark);
    }
    plot.grid(&mut pen, chart);
    for mark in &chart.marks {
        plot.mark(&mut pen, mark);
    }
    plot.labels(&mut pen, chart);
    pen.scene.width = WIDTH;
    pen.scene.height = (plot.bottom + 52.0).ceil();
    pen.scene
}

/// A pen, and what it has drawn.
#[derive(Default)]
struct Pen {
    scene: Scene,
}

impl Pen {
    fn text(&mut self, at: (f64, f64), text: impl Into<String>, ink: Ink, anchor: Anchor) {
        self.scene.shapes.push(Shape::Text { at, text: text.into(), size: SMALL, bold: false, ink, anchor });
    }

    fn path(&mut self, points: Vec<(f64, f64)>, ink: Ink, width: f64) {
        self.scene.shapes.push(Shape::Path { points, ink, width });
    }

    fn rect(&mut self, area: [f64; 4], ink: Ink) {
        self.scene.shapes.push(Shape::Rect { area, ink });
    }

    /// Adds a text at the first of `places` where it meets no other and no marker; gives that place.
    fn text_where_free(
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

    /// Title and legend; gives where they end.
    fn heading(&mut self, chart: &Chart) -> f64 {
        let mut y = MARGIN + LARGE * 0.6;
        for line in wrap(&chart.title, WIDTH - 2.0 * MARGIN, LARGE, true).into_iter().take(2) {
            let (ink, anchor) = (Ink::Text, Anchor::Start);
            self.scene.shapes.push(Shape::Text { at: (MARGIN, y), text: line, size: LARGE, bold: true, ink, anchor });
            y += LARGE * 1.35;
        }
        let mut x = MARGIN;
        y += 2.0;
        for key in &chart.legend {
            let label = shorten(&key.label, 300.0, SMALL, false);
            let width = 34.0 + text_width(&label, SMALL, false);
            if x + width > WIDTH - MARGIN && x > MARGIN {
                x = MARGIN;
                y += SMALL * 1.7;
            }
            self.swatch(key, (x, y));
            self.text((x + 30.0, y), label, Ink::Text, Anchor::Start);
            x += width + 18.0;
        }
        if chart.legend.is_empty() { y - 6.0 } else { y + SMALL }
    }

    fn swatch(&mut self, key: &Key, (x, y): (f64, f64)) {
        let line = [(x, y), (x + 24.0, y)];
        match key.swatch {
            Swatch::Fill(ink) => self.rect([x + 6.0, y - 6.0, x + 24.0, y + 6.0], ink),
            Swatch::Stroke(ink, dash) => {
                for stroke in strokes(&line, dash) {
                    self.path(stroke, ink, 2.0);
                }
            }
            Swatch::Line(look) => {
                for stroke in strokes(&line, look.dash) {
                    self.path(stroke, look.ink, 2.0);
                }
                self.scene.shapes.push(Shape::Marker { at: (x + 12.0, y), look, size: 4.0 });
            }
            Swatch::Marker(look) => {
                self.scene.shapes.push(Shape::Marker { at: (x + 16.0, y), look, size: 4.5 });
            }
        }
    }

    /// Where the plot lies, beside the labels of its axes.
    fn frame<'a>(&mut self, chart: &'a Chart, top: f64) -> Plot<'a> {
        let (left, height, top) = match &chart.y.scale {
            Scale::Rows(bands) => {
                let widest = bands.iter().map(|b| text_width(&b.label, SMALL, false)).fold(0.0, f64::max);
                let headings = bands.iter().filter(|b| b.heading.is_some()).count();
                let height = ROW * bands.len() as f64 + HEADING * headings as f64 + 6.0;
                (MARGIN + widest.min(ROW_LABEL) + 10.0, height, top + 12.0)
            }
            scale => {
                self.text((MARGIN, top + 12.0), chart.y.label.clone(), Ink::Soft, Anchor::Start);
                let widest = scale.ticks(6).iter().map(|t| text_width(&tick(*t), SMALL, false)).fold(0.0, f64::max);
                (MARGIN + widest + 10.0, HEIGHT, top + 30.0)
            }
        };
        // What is written behind a bar must have room where the longest bar ends.
        let behind = |m: &Mark| match m {
            Mark::Bar { label: Some(label), .. } => text_width(label, SMALL, false) + 8.0,
            Mark::Point { label: Some(label), .. } if chart.y.scale.is_rows() => text_width(label, SMALL, false) + 10.0,
            _ => 0.0,
        };
        let room = chart.marks.iter().map(behind).fold(10.0, f64::max);
        Plot { left, right: WIDTH - MARGIN - room, top, bottom: top + height, x: &chart.x, y: &chart.y }
    }
}

/// The plot: its place, and from numbers to places in it.
struct Plot<'a> {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: &'a Axis,
    y: &'a Axis,
}

impl Plot<'_> {
    fn x(&self, value: f64) -> f64 {
        self.left + (self.right - self.left) * self.x.scale.place(value)
    }

    fn y(&self, value: f64) -> f64 {
        match &self.y.scale {
            Scale::Rows(bands) => {
                let row = value.round().max(0.0);
                let headings = bands.iter().take(row as usize + 1).filter(|b| b.heading.is_some()).count();
                self.top + 3.0 + HEADING * headings as f64 + ROW * (value + 0.5)
            }
            scale => self.bottom - (self.bottom - self.top) * scale.place(value),
        }
    }

    fn bounds(&self) -> [f64; 4] {
        [self.left, self.top, WIDTH - 4.0, self.bottom]
    }

    fn shade(&self, pen: &mut Pen, mark: &Mark) {
        let Mark::Shade { from, to, ink, tip } = mark else { return };
        let area = [self.x(*from), self.top, self.x(*to), self.bottom];
        pen.rect(area, *ink);
        pen.scene.spots.push(Spot { area, tip: tip.clone() });
    }

    fn grid(&self, pen: &mut Pen, chart: &Chart) {
        let count = if self.x.scale.is_rows() { 0 } else { 7 };
        let mut free_from = f64::NEG_INFINITY;
        for value in self.x.scale.ticks(count) {
            let (x, label) = (self.x(value), tick(value));
            let half = text_width(&label, SMALL, false) / 2.0;
            let drawn = x - half > free_from && x + half < WIDTH - 2.0;
            if drawn {
                free_from = x + half + 6.0;
                pen.text((x, self.bottom + 14.0), label, Ink::Text, Anchor::Middle);
                let grid = [(x, self.top), (x, self.bottom)].to_vec();
                pen.path(grid, Ink::Grid, 1.0);
            }
        }
        pen.text(
            (f64::midpoint(self.left, self.right), self.bottom + 34.0),
            chart.x.label.clone(),
            Ink::Soft,
            Anchor::Middle,
        );
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
                let text = shorten(heading, WIDTH - 2.0 * MARGIN, SMALL, true);
                let shape = Shape::Text {
                    at: (MARGIN, y - ROW / 2.0 - HEADING * 0.45),
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
            let label = shorten(&band.label, ROW_LABEL, SMALL, false);
            pen.text((self.left - 7.0, y), label, Ink::Text, Anchor::End);
        }
    }

    fn mark(&self, pen: &mut Pen, mark: &Mark) {
        match mark {
            Mark::Line { points, ink, dash } => {
                let points: Vec<_> = points.iter().map(|(x, y)| (self.x(*x), self.y(*y))).collect();
                for stroke in strokes(&points, dash) {
                    pen.path(stroke, *ink, 2.0);
                }
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
    fn labels(&self, pen: &mut Pen, chart: &Chart) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Arch;
    use crate::report::charts::{Look, Palette};
    use crate::report::terminal::TextTable;

    fn look() -> Look {
        Palette::of(vec![Arch::Dense]).look(Arch::Dense)
    }

    fn chart(y: Axis, marks: Vec<Mark>) -> Chart {
        Chart {
            name: "x".to_owned(),
            title: "A chart with a title that is rather long and has to go on to a second line of its own".to_owned(),
            about: String::new(),
            x: Axis::new("tokens", Scale::LogAt(vec![128.0, 256.0, 512.0, 1024.0, 2048.0])),
            y,
            marks,
            legend: (0..9).map(|i| Key { label: format!("architecture {i}"), swatch: Swatch::Line(look()) }).collect(),
            table: TextTable::new(&["x"]),
        }
    }

    fn nothing_is_clipped_and_no_words_overlap(scene: &Scene) {
        let boxes: Vec<(String, [f64; 4])> = scene
            .shapes
            .iter()
            .filter_map(|s| match s {
                Shape::Text { text, .. } => Some((text.clone(), text_box(s)?)),
                _ => None,
            })
            .collect();
        for (i, (text, area)) in boxes.iter().enumerate() {
            let inside = area[0] >= 0.0 && area[1] >= 0.0 && area[2] <= scene.width && area[3] <= scene.height;
            assert!(inside, "`{text}` is clipped: {area:?} in {} x {}", scene.width, scene.height);
            for (other, other_area) in &boxes[i + 1..] {
                assert!(!overlap(area, other_area), "`{text}` and `{other}` overlap");
            }
        }
    }

    #[test]
    fn crowded_points_keep_their_words_apart() {
        let point = |i: u32| Mark::Point {
            at: (128.0 + f64::from(i), 1.0 + f64::from(i) * 0.001),
            x: None,
            y: Some(Interval::around(1.0, 0.1)),
            look: look(),
            label: Some(format!("device number {i}")),
            tip: String::new(),
        };
        let rule = |i: u32| Mark::Rule { at: 600.0 + f64::from(i), label: format!("crossing {i} of some two") };
        let marks = (0..40).map(point).chain((0..5).map(rule)).collect();
        let y = Axis::new("seconds a step", Scale::log_over([0.9, 1.2]));
        nothing_is_clipped_and_no_words_overlap(&scene(&chart(y, marks)));
    }

    #[test]
    fn thirty_rows_with_long_names_have_room() {
        let long = "Linformer k=128 share=kv order=projected, and then some more of it".to_owned();
        let band = |i: usize| Band { label: long.clone(), heading: (i % 6 == 0).then(|| format!("{i} tokens")) };
        let bar = |i: u32| Mark::Bar {
            y: f64::from(i),
            thick: 0.7,
            from: 0.0,
            to: 2048.0,
            interval: Some(Interval { mid: 1000.0, low: 200.0, high: 4000.0 }),
            ink: Ink::Arch(0),
            label: Some("1 230 000 [1 100 000 to 1 400 000]".to_owned()),
            tip: String::new(),
        };
        let y = Axis::new("", Scale::Rows((0..30).map(band).collect()));
        let scene = scene(&chart(y, (0..30).map(bar).collect()));
        nothing_is_clipped_and_no_words_overlap(&scene);
        assert_eq!(scene.spots.len(), 30);
    }
}
