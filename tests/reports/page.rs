//! The page as a parser of HTML sees it.

use scraper::{Html, Selector};

use super::{Campaign, file, reported};

/// The page, which must be free of errors that browsers forgive.
pub(crate) fn parsed(page: &str) -> Html {
    let html = Html::parse_document(page);
    assert!(html.errors.is_empty(), "{:?}", html.errors);
    html
}

fn count(html: &Html, selector: &str) -> usize {
    html.select(&Selector::parse(selector).unwrap()).count()
}

fn text(html: &Html, selector: &str) -> String {
    let element = html.select(&Selector::parse(selector).unwrap()).next();
    element.map(|e| e.text().collect()).unwrap_or_default()
}

#[test]
fn the_first_screen_answers_with_money_time_and_an_interval() {
    let folder = reported(&Campaign::small().record());
    let html = parsed(&file(&folder, "report.html"));
    insta::assert_snapshot!(text(&html, ".answer"), @"LRT r=256 trains bert-base on NVIDIA A100-SXM4-80GB for 794 [737, 1370] USD and in 11.4 [11.0, 11.9] days instead of 1180 USD and 16.9 days: 33 % [31, 34] less time and cost, 32 % [31, 34] less energy and CO2e.");
    assert_eq!(count(&html, "header figure.lead .plot svg"), 1);
    assert!(text(&html, ".headline").contains("16.9 [16.2, 17.7]"));
}

#[test]
fn a_large_campaign_is_one_valid_page_below_two_megabytes() {
    let folder = reported(&Campaign::large().record());
    let page = file(&folder, "report.html");
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    let html = parsed(&page);
    let charts = count(&html, ".plot svg.chart");
    assert_eq!(count(&html, ".small svg.chart"), charts, "each has a smaller form");
    assert!(charts >= 20, "{charts} charts");
    // Each has a title, a description, and a table behind it.
    for selector in [".plot svg.chart > title", "svg.chart > desc", "figure details table", "figcaption"] {
        assert_eq!(count(&html, selector), charts, "{selector}");
    }
    let mut ids: Vec<String> =
        html.select(&Selector::parse("[id]").unwrap()).filter_map(|e| e.value().id().map(str::to_owned)).collect();
    let number = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), number, "an id stands twice");
    for name in ["time_per_token_f32", "time_per_token_tf32", "time_per_token_bf16", "latency_f32", "energy_bf16"] {
        assert!(ids.contains(&format!("chart-{name}")), "{name} in {ids:?}");
    }
}

#[test]
fn no_sign_of_markup_is_left_in_a_page() {
    let folder = reported(&Campaign::small().record());
    let html = parsed(&file(&folder, "report.html"));
    let script = text(&html, "script");
    let said: String = html.root_element().text().collect();
    assert!(said.contains("greenformers catalog list grid"));
    assert!(!said.replace(&script, "").contains('`'));
}

#[test]
fn nothing_in_the_page_names_another_place() {
    let folder = reported(&Campaign::small().record());
    let page = file(&folder, "report.html");
    let html = parsed(&page);
    for selector in ["[src]", "link", "iframe", "object", "embed", "[style]", "[onclick]", "a[href^=http]"] {
        assert_eq!(count(&html, selector), 0, "{selector}");
    }
    for word in ["url(", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(word), "{word}");
    }
    let policy = html.select(&Selector::parse("meta[http-equiv]").unwrap()).next().unwrap();
    assert!(policy.attr("content").unwrap().starts_with("default-src 'none'"));
}

#[test]
fn assumptions_warnings_and_provenance_stand_below() {
    let folder = reported(&Campaign::small().record());
    let html = parsed(&file(&folder, "report.html"));
    let provenance = text(&html, "#provenance");
    for part in ["2026-11-20 08:15:00 +01:00", "made-up", "550.54.15", "400 W", "seed 7", "greenformers 0.1.0"] {
        assert!(provenance.contains(part), "{part} in {provenance}");
    }
    assert!(text(&html, "#warnings").contains("this campaign is made up"));
    assert!(text(&html, "#assumptions").contains("grid intensity"));
    assert!(text(&html, "#statement").contains("Estimated before training with greenformers"));
}

#[test]
fn markdown_says_the_same() {
    let folder = reported(&Campaign::small().record());
    let markdown = file(&folder, "report.md");
    for part in ["# bert-base on NVIDIA A100", "![", "](charts/saving.svg)", "## Provenance", "| architecture |"] {
        assert!(markdown.contains(part), "{part} in {markdown}");
    }
    for line in markdown.lines().filter(|l| l.starts_with("![")) {
        let name = line.rsplit_once('(').unwrap().1.trim_end_matches(')');
        assert!(folder.path().join("out").join(name).exists(), "{name}");
    }
}
