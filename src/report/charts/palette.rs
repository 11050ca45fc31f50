//! Colours, markers and dashes: an architecture looks the same in every chart.

use std::fmt::Write as _;

use crate::model::Arch;

/// A colour by what it is for. Each is one value on white paper and another on dark; no two are the same on paper, so
/// that a style sheet can tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Lines and words.
    Text,
    /// Words that stand back.
    Soft,
    /// Lines of the grid.
    Grid,
    /// What is drawn on.
    Paper,
    /// Parts of a whole, from dark to light.
    Tone(usize),
    /// An architecture.
    Arch(usize),
}

/// On paper and on dark. The colours of architectures are those of Okabe and Ito (Color Universal Design, 2008), which
/// remain apart for the colour-blind; the third of LRT is a brown, for want of another warm one that shows on white.
const BASICS: [(u32, u32); 4] = [
    (0x0022_2222, 0x00e8_e8e4), // text
    (0x0066_6666, 0x00a8_a8a2), // soft
    (0x00dd_dddd, 0x003c_3d3a), // grid
    (0x00ff_ffff, 0x001b_1c1a), // paper
];
const TONES: [(u32, u32); 6] = [
    (0x0044_4444, 0x00d0_d0d0),
    (0x00a6_a6a6, 0x007a_7a7a),
    (0x0075_7575, 0x00a0_a0a1),
    (0x00c8_c8c8, 0x0055_5655),
    (0x00e6_e6e6, 0x0030_3130),
    (0x00f3_f3f3, 0x0025_2625),
];
const ARCHS: [(u32, u32); 7] = [
    (0x0000_72b2, 0x003d_9be0), // dense: blue
    (0x00e6_9f00, 0x00f5_b83d), // LRT: orange, vermilion, brown
    (0x00d5_5e00, 0x00f5_8a4b),
    (0x008a_5a00, 0x00c9_9a55),
    (0x0000_9e73, 0x003c_c99b), // Linformer: green, purple, sky
    (0x00cc_79a7, 0x00e0_a0c6),
    (0x0056_b4e9, 0x009a_dcff),
];

impl Ink {
    fn pair(self) -> (u32, u32) {
        match self {
            Self::Text => BASICS[0],
            Self::Soft => BASICS[1],
            Self::Grid => BASICS[2],
            Self::Paper => BASICS[3],
            Self::Tone(i) => TONES[i % TONES.len()],
            Self::Arch(i) => ARCHS[i % ARCHS.len()],
        }
    }

    /// Red, green and blue on white paper.
    #[must_use]
    pub fn rgb(self) -> (u8, u8, u8) {
        let [_, red, green, blue] = self.pair().0.to_be_bytes();
        (red, green, blue)
    }
}

/// What a point looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle.
    Triangle,
    /// A square on its corner.
    Diamond,
}

/// Lengths of strokes and gaps in points; empty is an unbroken line.
pub type Dash = &'static [f64];

/// What an architecture looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Its colour.
    pub ink: Ink,
    /// Its points.
    pub marker: Marker,
    /// Whether the points are hollow.
    pub hollow: bool,
    /// Its lines.
    pub dash: Dash,
}

const DASHES: [Dash; 4] = [&[], &[7.0, 4.0], &[2.0, 3.0], &[9.0, 3.0, 2.0, 3.0]];

/// The looks of all architectures of a report.
#[derive(Debug, Clone, Default)]
pub struct Palette(Vec<Arch>);

impl Palette {
    /// The looks of `archs`, whatever their order.
    #[must_use]
    pub fn of(mut archs: Vec<Arch>) -> Self {
        archs.sort_unstable();
        archs.dedup();
        Self(archs)
    }

    /// The look of `arch`: its kind gives the family of colours and the marker, its place among the others of the
    /// kind the shade and the dash.
    #[must_use]
    pub fn look(&self, arch: Arch) -> Look {
        let same_kind = self.0.iter().filter(|a| a.kind() == arch.kind());
        let place = same_kind.take_while(|a| **a != arch).count();
        let (first, marker) = match arch {
            Arch::Dense => (0, Marker::Circle),
            Arch::Lrt { .. } => (1, Marker::Square),
            Arch::Linformer { .. } => (4, Marker::Triangle),
            Arch::Lora { .. } => (4, Marker::Square),
        };
        let shade = if arch == Arch::Dense { 0 } else { place % 3 };
        Look { ink: Ink::Arch(first + shade), marker, hollow: place % 2 == 1, dash: DASHES[place % DASHES.len()] }
    }
}

/// Rules that give every colour of a chart its value on dark paper.
#[must_use]
pub fn dark_rules(scope: &str) -> String {
    let mut rules = String::new();
    for (paper, dark) in BASICS.iter().chain(&TONES).chain(&ARCHS) {
        for attribute in ["fill", "stroke"] {
            let _ = write!(rules, "{scope}[{attribute}=\"#{paper:06X}\"]{{{attribute}:#{dark:06x}}}");
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Order, Share};

    #[test]
    fn no_two_colours_are_the_same_on_paper() {
        let mut all: Vec<u32> = BASICS.iter().chain(&TONES).chain(&ARCHS).map(|c| c.0).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn six_architectures_differ_in_colour_and_in_dash_or_marker() {
        let linformer = |k| Arch::Linformer { k, share: Share::Model, order: Order::Input };
        let archs = [
            Arch::Dense,
            Arch::Lrt { rank: 64 },
            Arch::Lrt { rank: 128 },
            Arch::Lrt { rank: 256 },
            linformer(64),
            linformer(128),
        ];
        let palette = Palette::of(archs.iter().rev().copied().collect());
        let looks: Vec<Look> = archs.iter().map(|a| palette.look(*a)).collect();
        for (i, a) in looks.iter().enumerate() {
            for b in &looks[i + 1..] {
                assert_ne!(a.ink, b.ink);
                assert!(a.marker != b.marker || a.dash != b.dash, "{a:?} and {b:?} are alike in grey");
            }
        }
    }
}
