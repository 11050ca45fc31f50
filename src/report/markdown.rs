//! The report as Markdown that GitHub renders.

use std::fmt::Write;

use super::Report;
use super::html::{answer, provenance, warnings};
use super::text::{TextTable, assumptions_table, estimates_table, profile_table};

/// The whole report; charts are linked from `charts/`.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let (settings, environment) = (&report.record.settings, &report.record.environment);
    let _ = writeln!(text, "# {} on {}\n", line(&settings.workload.name), line(&environment.compute.name));
    let _ = writeln!(text, "**{}**\n", line(&answer(report)));
    for chart in report.charts.iter().filter(|c| c.has_values()) {
        let _ = writeln!(text, "![{}](charts/{}.svg)\n", line(&chart.title), chart.name);
    }
    text.push_str("## Measured steps\n\n");
    table(&mut text, &profile_table(&report.cells));
    text.push_str("## The whole run on this machine\n\n");
    match &report.no_estimates {
        Some(reason) => {
            let _ = writeln!(text, "Not estimated: {}\n", line(reason));
        }
        None => table(&mut text, &estimates_table(&report.estimates)),
    }
    for (name, reason) in report.estimates.first().into_iter().flat_map(|e| &e.missing) {
        let _ = writeln!(text, "`{name}` is not known: {}\n", line(reason));
    }
    text.push_str("## The thesis and this machine\n\nCahyawijaya 2021, arXiv 2108.10808, abstract.\n\n");
    for claim in &report.claims {
        let verdict = match claim.agrees {
            Some(true) => "agrees",
            Some(false) => "does not agree",
            None => "open",
        };
        let _ = writeln!(text, "- Thesis: {}. Here: {} **({verdict})**", line(claim.claim), line(&claim.found));
    }
    if let Some(first) = report.estimates.first() {
        text.push_str("\n## Assumptions\n\n");
        table(&mut text, &assumptions_table(first));
    }
    text.push_str("\n## Warnings\n\n");
    for (whose, warning) in warnings(report) {
        let _ = writeln!(text, "- {}{}", line(&whose), line(&warning.to_string()));
    }
    text.push_str("\n## Provenance\n\n");
    table(&mut text, &provenance(report));
    text
}

/// Text without anything that Markdown or HTML would take for markup.
pub(super) fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => {
                safe.push('\\');
                safe.push(c);
            }
            '<' => safe.push_str("&lt;"),
            '\n' | '\r' => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

pub(super) fn table(text: &mut String, table: &TextTable) {
    let (header, rows) = table.parts();
    let mut row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|c| line(c)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    row(header);
    row(&header.iter().map(|_| "---".to_owned()).collect::<Vec<_>>());
    for cells in rows {
        row(cells);
    }
    text.push('\n');
}
