//! A chart as SVG and as PNG, both painted by plotters.

use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, Circle, Color, DrawingArea, DrawingBackend, IntoDrawingArea, PathElement, Polygon, RGBColor,
    Rectangle, SVGBackend, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, IntoFont};

use super::layout::{Paper, scene};
use super::palette::dark_rules;
use super::scene::{Anchor, SIZE_OF_A_FONT, Scene, Shape, corners, with_letters};
use super::{Chart, Ink, Look};
use crate::report::error::ReportError;
use crate::report::markup::{Markup, clean};

/// Places are whole numbers in plotters; this many of them are a point.
const FINE: f64 = 2.0;
/// How much of its colour an area has.
const PALE: f64 = 0.18;

/// The chart as an SVG element, with a title and a description for those who do not see it, and with what each mark says
/// when it is pointed at. Its colours are those on paper; see [`fallback_style`].
///
/// # Errors
/// If it cannot be drawn.
pub fn svg(chart: &Chart) -> Result<Markup, ReportError> {
    svg_on(chart, Paper::Page)
}

/// The same for a telephone and for print: narrower, with letters as large, and without what is said to a pointer.
///
/// # Errors
/// If it cannot be drawn.
pub fn small_svg(chart: &Chart) -> Result<Markup, ReportError> {
    svg_on(chart, Paper::Small)
}

fn svg_on(chart: &Chart, paper: Paper) -> Result<Markup, ReportError> {
    let scene = scene(chart, paper);
    let (width, height) = pixels(&scene);
    let mut drawn = String::new();
    {
        let area = SVGBackend::with_string(&mut drawn, (width, height)).into_drawing_area();
        paint(&area, &scene).map_err(|reason| ReportError::Chart { chart: chart.name.clone(), reason })?;
    }
    // What plotters drew stands between its own root element, which gives way to one with a name.
    let inside = drawn.split_once('>').map_or("", |(_, rest)| rest);
    // It says of every shape that it is opaque, which all are unless they say otherwise.
    let inside = inside.trim().strip_suffix("</svg>").unwrap_or(inside).replace(" opacity=\"1\"", "");
    let mut svg = Markup::new();
    let id = format!("chart-{}{}", chart.name, if paper == Paper::Small { "-small" } else { "" });
    let (size, view) = ((scene.width.to_string(), scene.height.to_string()), format!("0 0 {width} {height}"));
    let attributes = [
        ("xmlns", "http://www.w3.org/2000/svg"),
        ("class", "chart"),
        ("role", "img"),
        ("aria-labelledby", &id),
        ("width", &size.0),
        ("height", &size.1),
        ("viewBox", &view),
    ];
    svg.element("svg", &attributes, |svg| {
        svg.element("title", &[("id", &id)], |t| t.text(&chart.title));
        // No markup has a meaning here.
        let said = format!("{} {}", chart.about, described(chart)).replace('`', "");
        if paper == Paper::Page {
            svg.element("desc", &[], |d| d.text(&said));
        }
        svg.drawn(&inside);
        if paper == Paper::Small {
            return;
        }
        svg.element("g", &[("class", "spots")], |group| {
            for spot in &scene.spots {
                let [left, top, right, bottom] = spot.area.map(|x| (x * FINE).round());
                let number = |x: f64| format!("{x}");
                let attributes = [
                    ("x", &*number(left)),
                    ("y", &*number(top)),
                    ("width", &*number(right - left)),
                    ("height", &*number(bottom - top)),
                    ("fill-opacity", "0"),
                ];
                group.element("rect", &attributes, |rect| rect.element("title", &[], |t| t.text(&spot.tip)));
            }
        });
    });
    Ok(svg)
}

/// What stands behind the picture, in a sentence.
fn described(chart: &Chart) -> String {
    let (header, rows) = chart.table.parts();
    let row = |cells: &Vec<String>| {
        let named = cells.iter().zip(header).filter(|(c, _)| !c.is_empty()).map(|(c, h)| format!("{h} {c}"));
        named.collect::<Vec<_>>().join(", ")
    };
    rows.iter().take(60).map(row).collect::<Vec<_>>().join("; ")
}

/// A style element for a chart that stands alone: it then is dark where the reader's system is.
#[must_use]
pub fn fallback_style(svg: &Markup) -> String {
    let style = format!("<style>@media (prefers-color-scheme:dark){{{}}}</style>", dark_rules(".chart "));
    match svg.as_str().find("</desc>") {
        Some(at) => {
            let (before, after) = svg.as_str().split_at(at + "</desc>".len());
            format!("{before}{style}{after}\n")
        }
        None => svg.as_str().to_owned(),
    }
}

/// The chart as the bytes of a PNG file, two pixels a point.
///
/// # Errors
/// If it cannot be drawn.
pub fn png(chart: &Chart) -> Result<Vec<u8>, ReportError> {
    let failed = |reason: String| ReportError::Chart { chart: chart.name.clone(), reason };
    let scene = scene(chart, Paper::Page);
    let (width, height) = pixels(&scene);
    let mut rgb = vec![0; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut rgb, (width, height)).into_drawing_area();
        paint(&area, &scene).map_err(failed)?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut w| w.write_image_data(&rgb).and_then(|()| w.finish()));
    written.map_err(|e| failed(e.to_string()))?;
    Ok(bytes)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels of a picture")]
fn pixels(scene: &Scene) -> (u32, u32) {
    ((scene.width * FINE) as u32, (scene.height * FINE) as u32)
}

#[expect(clippy::cast_possible_truncation, reason = "pixels of a picture")]
fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINE).round() as i32, (y * FINE).round() as i32)
}

fn colour(ink: Ink) -> RGBColor {
    let (red, green, blue) = ink.rgb();
    RGBColor(red, green, blue)
}

fn paint<B: DrawingBackend>(area: &DrawingArea<B, Shift>, scene: &Scene) -> Result<(), String> {
    with_letters();
    let failed = |e: &dyn std::fmt::Display| e.to_string();
    area.fill(&colour(Ink::Paper)).map_err(|e| failed(&e))?;
    for shape in &scene.shapes {
        match shape {
            Shape::Rect { area: [left, top, right, bottom], ink } => {
                let corners = [pixel((*left, *top)), pixel((*right, *bottom))];
                area.draw(&Rectangle::new(corners, colour(*ink).filled())).map_err(|e| failed(&e))?;
            }
            Shape::Area { points, ink } => {
                let points: Vec<_> = points.iter().copied().map(pixel).collect();
                let style = colour(*ink).mix(PALE).filled();
                area.draw(&Polygon::new(points, style)).map_err(|e| failed(&e))?;
            }
            Shape::Path { points, ink, width } => {
                let points: Vec<_> = points.iter().copied().map(pixel).collect();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels of a picture")]
                let style = colour(*ink).stroke_width((width * FINE).round() as u32);
                area.draw(&PathElement::new(points, style)).map_err(|e| failed(&e))?;
            }
            Shape::Marker { at, look, size } => marker(area, *at, *look, *size)?,
            Shape::Text { at, text, size, bold, ink, anchor } => {
                let weight = if *bold { FontStyle::Bold } else { FontStyle::Normal };
                let side = match anchor {
                    Anchor::Start => HPos::Left,
                    Anchor::Middle => HPos::Center,
                    Anchor::End => HPos::Right,
                };
                let font = ("sans-serif", size * FINE * SIZE_OF_A_FONT, weight).into_font();
                let colour = colour(*ink);
                let style = TextStyle::from(font).color(&colour).pos(Pos::new(side, VPos::Center));
                area.draw(&Text::new(clean(text, 400), pixel(*at), style)).map_err(|e| failed(&e))?;
            }
        }
    }
    area.present().map_err(|e| failed(&e))
}

/// A marker, with a rim of paper so that it stands out from what lies behind.
fn marker<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    at: (f64, f64),
    look: Look,
    size: f64,
) -> Result<(), String> {
    let layers: &[(f64, Ink)] = if look.hollow {
        &[(1.0, Ink::Paper), (0.0, look.ink), (-2.0, Ink::Paper)]
    } else {
        &[(1.0, Ink::Paper), (0.0, look.ink)]
    };
    for (wider, ink) in layers {
        let points: Vec<_> = corners(look.marker, at, size + wider).into_iter().map(pixel).collect();
        let style = colour(*ink).filled();
        let drawn = if points.is_empty() {
            area.draw(&Circle::new(pixel(at), ((size + wider) * FINE).round(), style))
        } else {
            area.draw(&Polygon::new(points, style))
        };
        drawn.map_err(|e| e.to_string())?;
    }
    Ok(())
}
