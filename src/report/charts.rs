//! Bar charts with error bars, as SVG.

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color, DrawingArea, IntoDrawingArea, IntoFont, IntoSegmentedCoord, PathElement, RGBColor, Rectangle,
    SVGBackend, SegmentValue, Text, TextStyle, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ReportError;
use super::numbers::significant;
use crate::stats::Interval;

const SIZE: (u32, u32) = (720, 400);
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// Okabe and Ito's colour-blind-safe palette; each architecture keeps its colour in every chart.
const DENSE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const LRT: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
const LINFORMER: RGBColor = RGBColor(0x00, 0x9e, 0x73);

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// The architecture.
    pub label: String,
    /// Its value; `None` draws no bar and says so.
    pub value: Option<Interval>,
}

/// Groups of bars over a common scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Name of the file, without ending.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// What the bars count, with the unit.
    pub y_label: String,
    /// What the groups are; empty if there is one group.
    pub x_label: String,
    /// Groups of bars, each with its label.
    pub groups: Vec<(String, Vec<Bar>)>,
    /// A line to compare with.
    pub reference: Option<f64>,
}

impl Chart {
    /// Whether there is anything to draw.
    #[must_use]
    pub fn has_values(&self) -> bool {
        self.bars().any(|b| b.value.is_some())
    }

    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.groups.iter().flat_map(|(_, bars)| bars)
    }

    /// The architectures, in order of appearance.
    fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = Vec::new();
        for bar in self.bars() {
            if !labels.contains(&bar.label.as_str()) {
                labels.push(&bar.label);
            }
        }
        labels
    }

    /// The chart as SVG, with a title and a description for readers that cannot see it.
    ///
    /// # Errors
    /// If it cannot be drawn.
    pub fn svg(&self) -> Result<String, ReportError> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            self.draw(&area).map_err(|reason| ReportError::Chart { chart: self.name.to_owned(), reason })?;
        }
        let described = self.bars().filter_map(|b| Some(format!("{} {}", b.label, super::interval(b.value?))));
        let title = format!(
            "<title>{}</title><desc>{}: {}</desc>",
            super::html::escape(&self.title),
            super::html::escape(&self.y_label),
            super::html::escape(&described.collect::<Vec<_>>().join("; "))
        );
        // Scales with the page; the drawing keeps its proportions.
        let start = svg.find('>').map_or(0, |i| i + 1);
        let head = svg[..start].replacen("<svg ", "<svg role=\"img\" ", 1);
        Ok(format!("{head}{title}{}", &svg[start..]))
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String> {
        let failed = |e: &dyn std::fmt::Display| e.to_string();
        area.fill(&WHITE).map_err(|e| failed(&e))?;
        let labels = self.labels();
        let highest = self.bars().filter_map(|b| b.value).map(|v| v.high).fold(0.0, f64::max);
        let top = highest.max(self.reference.unwrap_or(0.0)) * 1.12;
        let top = if top > 0.0 { top } else { 1.0 };
        let n_groups = i32::try_from(self.groups.len()).unwrap_or(i32::MAX).max(1);
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .margin_top(64)
            .x_label_area_size(if self.x_label.is_empty() { 28 } else { 46 })
            .y_label_area_size(74)
            .build_cartesian_2d((0..n_groups - 1).into_segmented(), 0.0..top)
            .map_err(|e| failed(&e))?;
        let small = || ("sans-serif", 13).into_font().color(&INK);
        let name_of = |x: &SegmentValue<i32>| match x {
            SegmentValue::CenterOf(i) => {
                usize::try_from(*i).ok().and_then(|i| self.groups.get(i)).map_or(String::new(), |g| g.0.clone())
            }
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(small())
            .y_labels(6)
            .x_labels(self.groups.len())
            .y_label_formatter(&|y| significant(*y))
            .x_label_formatter(&name_of)
            .y_desc(self.y_label.as_str())
            .x_desc(self.x_label.as_str())
            .axis_desc_style(small())
            .draw()
            .map_err(|e| failed(&e))?;

        // Bars are placed in pixels: the coordinates of groups have no fractions.
        let plot = chart.plotting_area();
        let (x_range, y_range) = plot.get_pixel_range();
        let left = f64::from(x_range.start);
        let group_width = f64::from(x_range.end - x_range.start) / f64::from(n_groups);
        let bar_width = (group_width * 0.8 / labels.len().max(1) as f64).min(90.0);
        let height = f64::from(y_range.end - y_range.start);
        #[expect(clippy::cast_possible_truncation, reason = "pixels of a small picture")]
        let pixel = |x: f64| x.round() as i32;
        let y_of = |v: f64| pixel(f64::from(y_range.end) - v / top * height);
        for (g, (_, bars)) in self.groups.iter().enumerate() {
            let centre = left + (g as f64 + 0.5) * group_width;
            let first = centre - bar_width * bars.len() as f64 / 2.0;
            for (i, bar) in bars.iter().enumerate() {
                let (x0, x1) = (first + i as f64 * bar_width, first + (i as f64 + 0.9) * bar_width);
                let middle = pixel(f64::midpoint(x0, x1));
                let anchored = |size: u32| {
                    TextStyle::from(("sans-serif", size).into_font())
                        .color(&INK)
                        .pos(Pos::new(HPos::Center, VPos::Bottom))
                };
                let Some(value) = bar.value else {
                    let text = Text::new("not known", (middle, y_of(0.0) - 4), anchored(11));
                    area.draw(&text).map_err(|e| failed(&e))?;
                    continue;
                };
                let colour = colour(&bar.label, &labels);
                let corners = [(pixel(x0), y_of(value.mid)), (pixel(x1), y_of(0.0))];
                area.draw(&Rectangle::new(corners, colour.filled())).map_err(|e| failed(&e))?;
                if value.low < value.high {
                    let (low, high) = (y_of(value.low), y_of(value.high));
                    for line in [
                        vec![(middle, low), (middle, high)],
                        vec![(middle - 4, low), (middle + 4, low)],
                        vec![(middle - 4, high), (middle + 4, high)],
                    ] {
                        area.draw(&PathElement::new(line, INK.stroke_width(1))).map_err(|e| failed(&e))?;
                    }
                }
                let above = y_of(value.high) - 3;
                area.draw(&Text::new(significant(value.mid), (middle, above), anchored(12))).map_err(|e| failed(&e))?;
            }
        }
        if let Some(reference) = self.reference {
            let y = y_of(reference);
            let line = PathElement::new(vec![(x_range.start, y), (x_range.end, y)], INK.stroke_width(1));
            area.draw(&line).map_err(|e| failed(&e))?;
        }
        self.draw_heading(area, &labels).map_err(|e| failed(&e))
    }

    /// Title and legend above the plot.
    fn draw_heading(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, labels: &[&str]) -> Result<(), String> {
        let failed = |e: &dyn std::fmt::Display| e.to_string();
        let title = TextStyle::from(("sans-serif", 17).into_font()).color(&INK);
        area.draw(&Text::new(self.title.clone(), (14, 12), title)).map_err(|e| failed(&e))?;
        let small = TextStyle::from(("sans-serif", 13).into_font()).color(&INK);
        let mut x = 14;
        for label in labels {
            area.draw(&Rectangle::new([(x, 42), (x + 12, 54)], colour(label, labels).filled()))
                .map_err(|e| failed(&e))?;
            area.draw(&Text::new((*label).to_owned(), (x + 18, 41), small.clone())).map_err(|e| failed(&e))?;
            x += 46 + 7 * i32::try_from(label.chars().count()).unwrap_or(40);
        }
        Ok(())
    }
}

/// The colour of an architecture; further ranks and lengths of one kind are lighter.
fn colour(label: &str, labels: &[&str]) -> RGBColor {
    let kind = |l: &str| l.split(' ').next().unwrap_or_default().to_owned();
    let base = match kind(label).as_str() {
        "dense" => DENSE,
        "LRT" => LRT,
        _ => LINFORMER,
    };
    let of_kind: Vec<_> = labels.iter().filter(|l| kind(l) == kind(label)).collect();
    let position = of_kind.iter().position(|l| **l == label).unwrap_or(0) as f64;
    let lighten = position / of_kind.len().max(1) as f64 * 0.7;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a colour channel")]
    let mix = |c: u8| (f64::from(c) + (255.0 - f64::from(c)) * lighten) as u8;
    RGBColor(mix(base.0), mix(base.1), mix(base.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_its_axes_and_describes_itself() {
        let bars = vec![
            Bar { label: "dense".to_owned(), value: Some(Interval { mid: 2.0, low: 1.5, high: 2.5 }) },
            Bar { label: "LRT r=<4>".to_owned(), value: None },
        ];
        let chart = Chart {
            name: "x",
            title: "Step & time".to_owned(),
            y_label: "seconds".to_owned(),
            x_label: "tokens".to_owned(),
            groups: vec![("128".to_owned(), bars)],
            reference: None,
        };
        let svg = chart.svg().expect("drawn");
        for part in [
            "<title>Step &amp; time</title>",
            "dense 2.00 [1.50 to 2.50]",
            "tokens",
            "128",
            "not known",
            "LRT r=&lt;4&gt;",
        ] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert!(!svg.contains("<4>"));
    }
}
