//! Charts as values: what is drawn and the table behind it. `layout` puts one on paper, `paint` makes SVG and PNG of it.

mod layout;
mod paint;
mod palette;
mod pen;
mod plot;
mod scale;
mod scene;

pub use paint::{fallback_style, png, small_svg, svg};
pub use palette::{Dash, Ink, Look, Marker, Palette, dark_rules};
pub use scale::Scale;

use super::table::TextTable;
use crate::stats::Interval;

/// A picture of numbers.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Name of the file, without ending.
    pub name: String,
    /// Whether it has to be readable on a small screen, as the chart that leads has.
    pub narrow: bool,
    /// What it shows.
    pub title: String,
    /// What to see in it, and what the numbers are.
    pub about: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top; rows go from top to bottom.
    pub y: Axis,
    /// What is drawn, in this order.
    pub marks: Vec<Mark>,
    /// What the marks stand for.
    pub legend: Vec<Key>,
    /// The numbers.
    pub table: TextTable,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it counts, with the unit.
    pub label: String,
    /// How numbers become places.
    pub scale: Scale,
}

impl Axis {
    /// An axis of `label` by `scale`.
    #[must_use]
    pub fn new(label: impl Into<String>, scale: Scale) -> Self {
        Self { label: label.into(), scale }
    }
}

/// A row of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Band {
    /// What it is of.
    pub label: String,
    /// A line above it that begins a group.
    pub heading: Option<String>,
}

impl Band {
    /// A row without a heading.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), heading: None }
    }
}

/// Something drawn, in the coordinates of the axes. A place on rows is the row's number; fractions lie between rows.
#[derive(Debug, Clone)]
pub enum Mark {
    /// A line from point to point.
    Line {
        /// Its points.
        points: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
        /// Its dashes.
        dash: Dash,
    },
    /// What lies between two lines with points at the same places, pale, so that what else is there shows through.
    Area {
        /// Its lower line.
        low: Vec<(f64, f64)>,
        /// Its upper line.
        high: Vec<(f64, f64)>,
        /// Its colour.
        ink: Ink,
    },
    /// A point with intervals.
    Point {
        /// Where.
        at: (f64, f64),
        /// Its interval along x.
        x: Option<Interval>,
        /// Its interval along y.
        y: Option<Interval>,
        /// What it looks like.
        look: Look,
        /// What is written beside it.
        label: Option<String>,
        /// What it says when pointed at.
        tip: String,
    },
    /// A bar along x.
    Bar {
        /// Its row.
        y: f64,
        /// Its width in rows.
        thick: f64,
        /// From here.
        from: f64,
        /// To here.
        to: f64,
        /// The interval of its end.
        interval: Option<Interval>,
        /// Its colour.
        ink: Ink,
        /// What is written behind it.
        label: Option<String>,
        /// What it says when pointed at.
        tip: String,
    },
    /// Words in a row that has no number.
    Note {
        /// The row.
        y: f64,
        /// The words.
        text: String,
    },
    /// A stretch of x, over the whole height.
    Shade {
        /// From here.
        from: f64,
        /// To here.
        to: f64,
        /// Its colour.
        ink: Ink,
        /// What it says when pointed at.
        tip: String,
    },
    /// A line across the whole height, with words at its top.
    Rule {
        /// Where.
        at: f64,
        /// The words.
        label: String,
    },
}

/// An entry of the legend.
#[derive(Debug, Clone)]
pub struct Key {
    /// The words.
    pub label: String,
    /// What they are for.
    pub swatch: Swatch,
}

/// What stands beside the words of a legend.
#[derive(Debug, Clone, Copy)]
pub enum Swatch {
    /// A line with a marker.
    Line(Look),
    /// A marker.
    Marker(Look),
    /// A filled square.
    Fill(Ink),
    /// A line without a marker.
    Stroke(Ink, Dash),
}
