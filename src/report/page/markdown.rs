//! A document as Markdown that GitHub renders.

use std::fmt::Write as _;

use crate::report::document::{Block, CELL, Document, ITEM};
use crate::report::markup::{clean, markdown_line as line};
use crate::report::table::TextTable;

/// The whole document; charts are linked from `charts/`.
#[must_use]
pub(in crate::report) fn markdown_of(document: &Document<'_>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "# {}\n", line(&document.title));
    let _ = writeln!(text, "**{}**\n", line(&document.answer));
    if let Some(headline) = &document.headline {
        table(&mut text, headline);
    }
    for item in &document.decisive {
        let _ = writeln!(text, "- {}", line(&clean(item, ITEM)));
    }
    if !document.decisive.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{}\n", line(&document.found));
    let mut charts = document.charts.iter();
    for chart in charts.by_ref().take(1) {
        let _ = writeln!(text, "![{}](charts/{}.svg)\n", line(&chart.title), chart.name);
    }
    for section in document.sections.iter().filter(|s| !s.blocks.is_empty()) {
        let _ = writeln!(text, "## {}\n", section.title);
        for block in &section.blocks {
            match block {
                Block::Words(words) => {
                    let _ = writeln!(text, "{}\n", line(words));
                }
                Block::Quote(words) => {
                    let _ = writeln!(text, "> {}\n", line(words));
                }
                Block::List(items) => {
                    for item in items {
                        let _ = writeln!(text, "- {}", line(&clean(item, ITEM)));
                    }
                    text.push('\n');
                }
                Block::Table(rows) => table(&mut text, rows),
            }
        }
    }
    if charts.len() > 0 {
        text.push_str("## Charts\n\n");
    }
    for chart in charts {
        let _ = writeln!(text, "![{}](charts/{}.svg)\n\n{}\n", line(&chart.title), chart.name, line(&chart.about));
    }
    text
}

pub(in crate::report) fn table(text: &mut String, table: &TextTable) {
    let (header, rows) = table.parts();
    let mut row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|c| line(&clean(c, CELL))).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    row(header);
    row(&header.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
    for cells in rows {
        row(cells);
    }
    text.push('\n');
}
