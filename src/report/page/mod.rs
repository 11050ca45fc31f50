//! A document as one HTML file: no network, no framework, its style and its script inside.

mod markdown;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::charts::{Chart, dark_rules, small_svg, svg};
use super::document::{Block, CELL, Document, ITEM};
use super::markup::{Markup, clean};
use super::table::TextTable;
use crate::report::error::ReportError;
use crate::report::figures::Report;

pub(super) use markdown::{markdown_of, table as markdown_table};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The report as one HTML file.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn html(report: &Report) -> Result<String, ReportError> {
    html_of(&report.document())
}

/// The report as Markdown that GitHub renders; charts are linked from `charts/`.
#[must_use]
pub fn markdown(report: &Report) -> String {
    markdown_of(&report.document())
}

/// A document as one HTML file.
///
/// # Errors
/// If a chart cannot be drawn.
pub(super) fn html_of(document: &Document<'_>) -> Result<String, ReportError> {
    let mut page = Markup::new();
    page.literal("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Nothing may be fetched, and no script but the page's own may run, whatever the page holds.
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src '{}'; base-uri 'none'; form-action 'none'",
        source_of(SCRIPT)
    );
    page.open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
    page.literal("\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.words("title", &document.title);
    page.literal("\n<style>\n");
    page.literal(STYLE);
    page.literal("@media screen and (prefers-color-scheme: dark) {\n");
    page.drawn(&dark_rules("svg.chart "));
    page.literal("\n}\n</style>\n</head>\n<body>\n<header>\n");
    page.words("h1", &document.title);
    page.literal("\n<div class=\"first\"><div>\n");
    page.element("p", &[("class", "answer")], |p| p.prose(&document.answer));
    if let Some(headline) = &document.headline {
        page.literal("\n<div class=\"headline\">");
        table(&mut page, headline);
        page.literal("</div>\n");
    }
    if !document.decisive.is_empty() {
        page.element("ul", &[("class", "decisive")], |ul| {
            document.decisive.iter().for_each(|item| ul.element("li", &[], |li| li.prose(&clean(item, ITEM))));
        });
    }
    page.element("p", &[("class", "found")], |p| p.text(&document.found));
    page.literal("\n</div>\n");
    if let Some(lead) = document.charts.first() {
        figure(&mut page, lead, "lead")?;
    }
    page.literal("</div>\n</header>\n<main>\n");
    contents(&mut page, document);
    if document.charts.len() > 1 {
        page.literal("<section id=\"charts\">\n<h2>Charts</h2>\n<div class=\"charts\">\n");
        for chart in &document.charts[1..] {
            figure(&mut page, chart, if chart.narrow { "more narrow" } else { "more" })?;
        }
        page.literal("</div>\n</section>\n");
    }
    for section in document.sections.iter().filter(|s| !s.blocks.is_empty()) {
        page.element("section", &[("id", section.id)], |page| {
            page.words("h2", section.title);
            for block in &section.blocks {
                page.literal("\n");
                put(page, block);
            }
        });
        page.literal("\n");
    }
    page.literal("</main>\n<script>");
    page.literal(SCRIPT);
    page.literal("</script>\n</body>\n</html>\n");
    Ok(page.into_string())
}

fn contents(page: &mut Markup, document: &Document<'_>) {
    page.literal("<nav aria-label=\"Contents\"><ul>");
    let charts = (document.charts.len() > 1).then_some(("charts", "Charts"));
    let sections = document.sections.iter().filter(|s| !s.blocks.is_empty()).map(|s| (s.id, s.title));
    for (id, title) in charts.into_iter().chain(sections) {
        page.element("li", &[], |li| li.element("a", &[("href", &format!("#{id}"))], |a| a.text(title)));
    }
    page.literal("</ul></nav>\n");
}

fn put(page: &mut Markup, block: &Block) {
    match block {
        Block::Words(words) => page.element("p", &[("class", "note")], |p| p.prose(words)),
        Block::Quote(words) => page.words("blockquote", words),
        Block::List(items) => {
            page.element("ul", &[], |ul| {
                items.iter().for_each(|item| ul.element("li", &[], |li| li.prose(&clean(item, ITEM))));
            });
        }
        Block::Table(rows) => table(page, rows),
    }
}

/// A chart with its words, and the table behind it.
fn figure(page: &mut Markup, chart: &Chart, class: &str) -> Result<(), ReportError> {
    let (large, small) = (svg(chart)?, small_svg(chart)?);
    page.element("figure", &[("class", class)], |figure| {
        figure.element("div", &[("class", "plot")], |plot| plot.append(&large));
        figure.element("div", &[("class", "small")], |plot| plot.append(&small));
        figure.element("figcaption", &[], |caption| caption.prose(&chart.about));
        figure.element("details", &[], |details| {
            details.words("summary", "Numbers");
            table(details, &chart.table);
        });
    });
    page.literal("\n");
    Ok(())
}

fn table(page: &mut Markup, table: &TextTable) {
    let (header, rows) = table.parts();
    page.literal("<div class=\"table\"><div class=\"scroll\"><table>\n<thead><tr>");
    for cell in header {
        page.element("th", &[("scope", "col")], |th| th.text(cell));
    }
    page.literal("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.element("tr", &[], |tr| {
            for cell in row {
                let number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') && cell.len() < 60;
                tr.element("td", if number { &[("class", "number")] } else { &[] }, |td| td.prose(&clean(cell, CELL)));
            }
        });
        page.literal("\n");
    }
    page.literal("</tbody></table></div></div>\n");
}

/// What a policy calls an inline script: its SHA-256 (Content Security Policy Level 3, §2.3.1).
fn source_of(script: &str) -> String {
    let mut source = "sha256-".to_owned();
    let digest = Sha256::digest(script.as_bytes());
    for three in digest.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place) & 63) as usize;
            let letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[six];
            let _ = write!(source, "{}", if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_script_is_the_one_of_the_specification() {
        // FIPS 180-2, appendix B.1, in base 64.
        assert_eq!(source_of("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }
}
