//! A report as headings, words, tables and charts, before it is HTML or Markdown.

use super::charts::Chart;
use super::table::TextTable;

/// The longest text of a cell, and of an item of a list.
pub(super) const CELL: usize = 400;
pub(super) const ITEM: usize = 1200;

/// A report in order.
#[derive(Debug, Clone)]
pub(super) struct Document<'a> {
    /// What it is of.
    pub(super) title: String,
    /// The question answered.
    pub(super) answer: String,
    /// The numbers of the answer.
    pub(super) headline: Option<TextTable>,
    /// What changes how the answer is read: said beside it.
    pub(super) decisive: Vec<String>,
    /// Where and when that was found.
    pub(super) found: String,
    /// The chart that shows the answer, and the others.
    pub(super) charts: &'a [Chart],
    /// What follows.
    pub(super) sections: Vec<Section>,
}

/// A heading and what stands under it.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Its name in addresses.
    pub(super) id: &'static str,
    /// The heading.
    pub(super) title: &'static str,
    /// What stands under it.
    pub(super) blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone)]
pub(super) enum Block {
    /// A paragraph.
    Words(String),
    /// A list.
    List(Vec<String>),
    /// A table.
    Table(TextTable),
    /// Words for someone else's text.
    Quote(String),
}
