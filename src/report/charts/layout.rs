//! A chart on paper: room for every label first, the plot in what is left.

use super::pen::{HEADING, LABEL_ABOVE, MARGIN, Pen, ROW, ROW_LABEL};
use super::plot::Plot;
use super::scene::{Anchor, LARGE, SMALL, Scene, Shape, shorten, strokes, text_width, wrap};
use super::{Chart, Ink, Key, Mark, Scale, Swatch};
use crate::report::numbers::tick;

/// Width of a chart among others, and of one that leads.
const WIDTH: f64 = 640.0;
const NARROW: f64 = 460.0;
/// Width of a chart on a telephone, and of one in two columns of a printed page: its letters keep their size there.
const SMALL_WIDTH: f64 = 344.0;
/// Height of a plot whose y axis is of numbers.
const HEIGHT: f64 = 290.0;
const SMALL_HEIGHT: f64 = 240.0;

/// What a chart is put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paper {
    /// A page, where labels stand beside their rows.
    Page,
    /// A telephone or a column of print, where they stand above them.
    Small,
}

/// Puts `chart` on paper.
#[must_use]
pub(super) fn scene(chart: &Chart, paper: Paper) -> Scene {
    let mut pen = Pen::default();
    pen.scene.width = match paper {
        Paper::Small => SMALL_WIDTH,
        Paper::Page if chart.narrow => NARROW,
        Paper::Page => WIDTH,
    };
    let top = pen.heading(chart);
    let plot = pen.frame(chart, top, paper);
    for mark in &chart.marks {
        plot.shade(&mut pen, mark);
    }
    plot.grid(&mut pen, chart);
    for mark in &chart.marks {
        plot.mark(&mut pen, mark);
    }
    plot.labels(&mut pen, chart);
    pen.scene.height = (plot.bottom + 52.0).ceil();
    pen.scene
}

impl Pen {
    /// Title and legend; gives where they end.
    fn heading(&mut self, chart: &Chart) -> f64 {
        let mut y = MARGIN + LARGE * 0.6;
        for line in wrap(&chart.title, self.scene.width - 2.0 * MARGIN, LARGE, true).into_iter().take(3) {
            let (ink, anchor) = (Ink::Text, Anchor::Start);
            self.scene.shapes.push(Shape::Text { at: (MARGIN, y), text: line, size: LARGE, bold: true, ink, anchor });
            y += LARGE * 1.35;
        }
        let mut x = MARGIN;
        y += 2.0;
        for key in &chart.legend {
            let label = shorten(&key.label, (self.scene.width - 2.0 * MARGIN - 34.0).min(300.0), SMALL, false);
            let width = 34.0 + text_width(&label, SMALL, false);
            if x + width > self.scene.width - MARGIN && x > MARGIN {
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
    fn frame<'a>(&mut self, chart: &'a Chart, top: f64, paper: Paper) -> Plot<'a> {
        let above = if paper == Paper::Small { LABEL_ABOVE } else { 0.0 };
        let (left, height, top) = match &chart.y.scale {
            Scale::Rows(bands) => {
                let widest = bands.iter().map(|b| text_width(&b.label, SMALL, false)).fold(0.0, f64::max);
                let headings = bands.iter().filter(|b| b.heading.is_some()).count();
                let height = (ROW + above) * bands.len() as f64 + HEADING * headings as f64 + 6.0;
                let left = if paper == Paper::Small { MARGIN } else { MARGIN + widest.min(ROW_LABEL) + 10.0 };
                (left, height, top + 12.0)
            }
            scale => {
                self.text((MARGIN, top + 12.0), chart.y.label.clone(), Ink::Soft, Anchor::Start);
                let widest = scale.ticks(6).iter().map(|t| text_width(&tick(*t), SMALL, false)).fold(0.0, f64::max);
                let height = if paper == Paper::Small { SMALL_HEIGHT } else { HEIGHT };
                (MARGIN + widest + 10.0, height, top + 30.0)
            }
        };
        // What is written behind a bar must have room where the longest bar ends.
        let behind = |m: &Mark| match m {
            Mark::Bar { label: Some(label), .. } => text_width(label, SMALL, false) + 8.0,
            Mark::Point { label: Some(label), .. } if chart.y.scale.is_rows() => text_width(label, SMALL, false) + 10.0,
            _ => 0.0,
        };
        let room = chart.marks.iter().map(behind).fold(10.0, f64::max);
        let width = self.scene.width;
        Plot { left, right: width - MARGIN - room, top, bottom: top + height, width, above, x: &chart.x, y: &chart.y }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Arch;
    use crate::report::charts::scene::{overlap, text_box};
    use crate::report::charts::{Axis, Band};
    use crate::report::charts::{Look, Palette};
    use crate::report::table::TextTable;
    use crate::stats::Interval;

    fn look() -> Look {
        Palette::of(vec![Arch::Dense]).look(Arch::Dense)
    }

    fn chart(y: Axis, marks: Vec<Mark>) -> Chart {
        Chart {
            name: "x".to_owned(),
            narrow: false,
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
        let chart = chart(y, marks);
        for paper in [Paper::Page, Paper::Small] {
            nothing_is_clipped_and_no_words_overlap(&scene(&chart, paper));
        }
    }

    #[test]
    fn thirty_rows_with_long_names_have_room() {
        let long = "Linformer k=128 share=kv order=projected, and then some more of it".to_owned();
        let band = |i: usize| Band { label: long.clone(), heading: i.is_multiple_of(6).then(|| format!("{i} tokens")) };
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
        let chart = chart(y, (0..30).map(bar).collect());
        for paper in [Paper::Page, Paper::Small] {
            let scene = scene(&chart, paper);
            nothing_is_clipped_and_no_words_overlap(&scene);
            assert_eq!(scene.spots.len(), 30);
        }
    }
}
