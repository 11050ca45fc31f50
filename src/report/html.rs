//! The report as one HTML file: no network, no scripts from elsewhere, every string escaped.

use std::fmt::Write;

use super::text::{TextTable, assumptions_table, estimates_table, profile_table};
use super::{Report, ReportError, percent_saved};
use crate::record::Warning;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc; --soft: #f4f4f1; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e4; --paper: #1b1c1a; --line: #444; --soft: #262724; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 62rem; padding: 1rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.answer { font-size: 1.15rem; background: var(--soft); border-left: 4px solid #0072b2; padding: .6rem 1rem; }
figure { margin: 1.5rem 0; } figure svg { width: 100%; height: auto; max-width: 45rem; border: 1px solid var(--line); border-radius: 4px; background: #fff; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { white-space: nowrap; } td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.note { color: #666; font-size: .9rem; } @media (prefers-color-scheme: dark) { .note { color: #aaa; } }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } }
";

/// Text that stands for itself in HTML and SVG.
#[must_use]
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The answer in a sentence.
#[must_use]
pub(super) fn answer(report: &Report) -> String {
    let workload = &report.record.settings.workload.name;
    let machine = &report.record.environment.compute.name;
    let saving = report.estimates.iter().filter_map(|e| Some((e, e.vs_dense?.wall_h)));
    match saving.min_by(|a, b| a.1.mid.total_cmp(&b.1.mid)) {
        None => format!("Steps of {workload} on {machine}."),
        Some((best, ratio)) if ratio.high < 1.0 => format!(
            "On {machine}, {} saves {} of the time of training {workload} against dense.",
            best.label.as_deref().unwrap_or("the fastest variant"),
            percent_saved(ratio)
        ),
        Some(_) => format!("On {machine}, no variant is seen to train {workload} faster than dense."),
    }
}

/// The whole page.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn html(report: &Report) -> Result<String, ReportError> {
    let environment = &report.record.environment;
    let settings = &report.record.settings;
    let mut page = String::new();
    let title = format!("{} on {}", settings.workload.name, environment.compute.name);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"answer\">{}</p>\n",
        escape(&answer(report)),
        title = escape(&title),
    );
    let drawn: Vec<_> = report.charts.iter().filter(|c| c.has_values()).collect();
    for (i, chart) in drawn.iter().enumerate() {
        let _ = writeln!(page, "<figure>{}</figure>", chart.svg()?);
        if i == 0 {
            page.push_str("<h2>Charts</h2>\n");
        }
    }
    page.push_str("<h2>Measured steps</h2>\n");
    table(&mut page, &profile_table(&report.cells));
    page.push_str("<h2>The whole run on this machine</h2>\n");
    match &report.no_estimates {
        Some(reason) => paragraph(&mut page, &format!("Not estimated: {reason}")),
        None => table(&mut page, &estimates_table(&report.estimates)),
    }
    missing(&mut page, report);
    page.push_str("<h2>The thesis and this machine</h2>\n<ul>\n");
    for claim in &report.claims {
        let verdict = match claim.agrees {
            Some(true) => "agrees",
            Some(false) => "does not agree",
            None => "open",
        };
        let _ = writeln!(
            page,
            "<li>Thesis: {}. Here: {} <b>({verdict})</b></li>",
            escape(claim.claim),
            escape(&claim.found)
        );
    }
    page.push_str("</ul>\n<p class=\"note\">Cahyawijaya 2021, arXiv 2108.10808, abstract.</p>\n");
    if let Some(first) = report.estimates.first() {
        page.push_str("<h2>Assumptions</h2>\n");
        table(&mut page, &assumptions_table(first));
    }
    page.push_str("<h2>Warnings</h2>\n<ul>\n");
    for (whose, warning) in warnings(report) {
        let _ = writeln!(page, "<li>{}{}</li>", escape(&whose), escape(&warning.to_string()));
    }
    page.push_str("</ul>\n<h2>Provenance</h2>\n");
    table(&mut page, &provenance(report));
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

/// Every caveat once, with the cell that it belongs to.
pub(super) fn warnings(report: &Report) -> Vec<(String, Warning)> {
    let mut all: Vec<(String, Warning)> = report.record.warnings.iter().map(|w| (String::new(), w.clone())).collect();
    all.extend(report.estimates.iter().flat_map(|e| &e.warnings).map(|w| (String::new(), w.clone())));
    let of_cells =
        report.record.cells.iter().flat_map(|c| c.warnings.iter().map(|w| (format!("{}: ", c.label()), w.clone())));
    all.extend(of_cells);
    let mut unique: Vec<(String, Warning)> = Vec::new();
    for warning in all {
        if !unique.contains(&warning) {
            unique.push(warning);
        }
    }
    unique
}

/// Where the numbers come from.
pub(super) fn provenance(report: &Report) -> TextTable {
    let (environment, settings) = (&report.record.environment, &report.record.settings);
    let mut table = TextTable::new(&["what", "which"]);
    let mut row = |what: &str, which: String| table.row(vec![what.to_owned(), which]);
    row("measured", report.record.created.clone());
    row("program", report.record.tool.clone());
    row("machine", format!("{}, {}", environment.host, environment.os));
    row(
        "CPU",
        format!("{}, {} logical CPUs, {} threads used", environment.cpu, environment.logical_cpus, environment.threads),
    );
    row("computed on", format!("{} ({})", environment.compute.name, environment.compute.device));
    row(
        "catalog entry",
        environment
            .compute
            .hardware
            .as_ref()
            .map_or_else(|| "none: the catalog does not know it".to_owned(), |d| d.id.clone()),
    );
    row("memory", format!("{:.1} GB", environment.memory_bytes as f64 / 1e9));
    for meter in &environment.meters {
        row("meter", format!("{}: {}", meter.domain, meter.note));
    }
    for unmetered in &environment.unmetered {
        row("not metered", format!("{}: {}", unmetered.what, unmetered.reason));
    }
    row("workload", format!("{} ({})", settings.workload.name, settings.workload.source));
    row(
        "step",
        format!(
            "{} layers, {}, {}, {} operations, dropout {}, seed {}",
            settings.n_layers,
            settings.dtypes.iter().map(|d| d.name()).collect::<Vec<_>>().join(" and "),
            settings.pass,
            settings.ops,
            settings.dropout,
            settings.seed
        ),
    );
    table
}

fn missing(page: &mut String, report: &Report) {
    let Some(first) = report.estimates.first() else { return };
    for (name, reason) in &first.missing {
        paragraph(page, &format!("{name} is not known: {reason}"));
    }
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(text));
}

fn table(page: &mut String, table: &TextTable) {
    let (header, rows) = table.parts();
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for cell in header {
        let _ = write!(page, "<th>{}</th>", escape(cell));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            let _ = write!(page, "<td{}>{}</td>", if number { " class=\"number\"" } else { "" }, escape(cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}
