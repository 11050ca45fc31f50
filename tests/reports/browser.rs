//! The page in a browser: it sorts, shows what is pointed at, complains of nothing, and asks for nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Campaign, file, reported};

/// Chromium, or a sentence on stderr: a machine without one cannot run these tests.
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path).flat_map(|f| names.map(|n| f.join(n))).find(|p| p.is_file());
    if found.is_none() {
        eprintln!("skipped: there is no Chromium on this machine");
    }
    found
}

/// The page of `file` after its scripts ran, and what the browser wrote to its console.
fn dumped(browser: &Path, file: &Path, window: &str) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--dump-dom"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000"])
        .arg(format!("--window-size={window}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let console = log.lines().filter(|l| l.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

/// What a script sees that runs in the page after its own.
const VISITOR: &str = include_str!("visitor.js");
/// What a script measures.
const MEASURES: &str = include_str!("measures.js");
/// A window as large as a laptop's.
const LAPTOP: &str = "1280,800";
/// One as narrow as a telephone's.
const TELEPHONE: &str = "400,3000";

/// What the visitor saw in a page.
fn visited(browser: &Path, page: &str, folder: &Path, (script, window): (&str, &str)) -> (Value, Vec<String>) {
    // The page lets no script run but its own: a visitor has to be let in.
    let start = page.find("<meta http-equiv").unwrap();
    let end = start + page[start..].find('>').unwrap();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let meta = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\"");
    let page = format!("{}{meta}{}", &page[..start], &page[end..]);
    let mut page = page.replace("</body>", &format!("<script>(() => {{{script}}})();</script></body>"));
    // No window of the browser is as narrow as a telephone: a frame in it is.
    if window == TELEPHONE {
        let inside = page.replace('&', "&amp;").replace('"', "&quot;");
        page =
            format!("<!DOCTYPE html><body><iframe width=\"400\" height=\"3000\" srcdoc=\"{inside}\"></iframe></body>");
    }
    let copy = folder.join("visited.html");
    fs::write(&copy, page).unwrap();
    let (dom, console) = dumped(browser, &copy, window);
    let html = scraper::Html::parse_document(&dom);
    let seen = html.select(&scraper::Selector::parse("#seen").unwrap()).next();
    let seen: String =
        seen.unwrap_or_else(|| panic!("the visitor did not come to its end: {console:?}")).text().collect();
    (serde_json::from_str(&seen).unwrap(), console)
}

#[test]
fn the_page_runs_its_own_script_without_a_complaint() {
    let Some(browser) = chromium() else { return };
    let folder = reported(&Campaign::small().record());
    let (dom, console) = dumped(&browser, &folder.path().join("out/report.html"), LAPTOP);
    assert!(console.is_empty(), "{console:?}");
    assert!(dom.contains("class=\"live\""), "the script did not run: is the policy's hash that of the script?");
}

#[test]
fn a_script_that_is_not_the_pages_own_does_not_run() {
    let Some(browser) = chromium() else { return };
    let folder = reported(&Campaign::small().record());
    let page = file(&folder, "report.html");
    let copy = folder.path().join("copy.html");
    let script = "<script>document.documentElement.dataset.broken = 'in'</script></body>";
    fs::write(&copy, page.replace("</body>", script)).unwrap();
    let (dom, console) = dumped(&browser, &copy, LAPTOP);
    assert!(!dom.contains("data-broken=\"in\""));
    assert!(!console.is_empty(), "the browser should complain of the script");
}

#[test]
fn tables_sort_marks_speak_and_nothing_is_asked_of_the_network() {
    let Some(browser) = chromium() else { return };
    // The chart that leads shows savings, or time per token where lengths lie far apart.
    for (campaign, said) in [(Campaign::small(), "saved"), (Campaign::large(), "a token")] {
        let folder = reported(&campaign.record());
        let (seen, console) = visited(&browser, &file(&folder, "report.html"), folder.path(), (VISITOR, LAPTOP));
        let numbers = |name: &str| -> Vec<f64> {
            let cells = seen[name].as_array().unwrap().iter();
            cells.map(|c| c.as_str().unwrap().replace([' ', '\u{a0}'], "").parse().unwrap()).collect()
        };
        assert!(numbers("ascending").is_sorted() && numbers("ascending").len() >= 6, "{seen}");
        assert!(numbers("descending").iter().rev().is_sorted(), "{seen}");
        assert_eq!((&seen["sort"], &seen["sorted"]), (&"ascending".into(), &"descending".into()));
        assert_eq!(seen["others"], 1, "one column is sorted by at a time");
        assert_eq!(seen["copies"], seen["tables"]);
        let copied = seen["copied"].as_str().unwrap();
        assert_eq!(copied.lines().count(), numbers("ascending").len() + 1);
        assert!(copied.starts_with("seq_len\tbatch\t"), "{copied}");
        assert_eq!(seen["hidden"], true);
        assert!(seen["tip"].as_str().is_some_and(|t| t.contains(said)), "{seen}");
        assert_eq!(seen["gone"], true);
        assert_eq!(seen["wide"], 0, "the page scrolls sideways");
        assert_eq!(seen["clashes"], Value::Array(Vec::new()));
        assert_eq!(seen["requests"], 0);
        assert_eq!(seen["violations"], serde_json::json!(["http://127.0.0.1:9/"]), "the policy lets a request out");
        let of_visitor = |line: &&String| line.contains("127.0.0.1:9");
        assert!(console.iter().all(|line| of_visitor(&line)), "{console:?}");
    }
}

/// The committed reports, of one machine without meters among them, and one of a made-up campaign.
fn pages() -> Vec<String> {
    let committed = ["xeon-2vcpu-128-to-2048", "h200-bert-base", "epyc-2vcpu-bert-base"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports");
    let page = |name: &str| fs::read_to_string(root.join(name).join("report.html")).unwrap();
    let mut pages: Vec<String> = committed.into_iter().map(page).collect();
    pages.push(file(&reported(&Campaign::small().record()), "report.html"));
    pages
}

#[test]
fn the_first_screen_holds_the_answer_its_numbers_and_what_changes_how_it_is_read() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    for page in pages() {
        let (seen, _) = visited(&browser, &page, folder.path(), (MEASURES, LAPTOP));
        let bottom = |part: &str| seen["bottoms"][part].as_f64();
        for part in [".answer", ".headline", "figure.lead svg.chart"] {
            assert!(bottom(part).is_some_and(|y| y <= 800.0), "{part}: {seen}");
        }
        let warned = page.contains("good to about a factor of two");
        assert_eq!(warned, bottom(".decisive").is_some_and(|y| y <= 800.0), "{seen}");
        assert_eq!(seen["headline_rolls"], Value::Array(Vec::new()), "{seen}");
    }
}

#[test]
fn on_a_telephone_nothing_is_wider_than_the_page_and_every_chart_can_be_read() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    for page in pages() {
        let (seen, _) = visited(&browser, &page, folder.path(), (MEASURES, TELEPHONE));
        assert!(seen["width"].as_f64().unwrap() <= 400.0, "{seen}");
        for what in ["wide", "rolls", "headline_rolls"] {
            assert_eq!(seen[what], Value::Array(Vec::new()), "{what}: {seen}");
        }
        assert_eq!(seen["charts"], seen["figures"], "each figure shows one chart");
        assert!(seen["smallest"].as_f64().unwrap() >= 10.0, "pixels of the smallest letters: {seen}");
    }
}

#[test]
fn in_print_no_letters_are_smaller_than_seven_points() {
    let Some(browser) = chromium() else { return };
    let folder = tempfile::tempdir().unwrap();
    for page in pages() {
        // As on paper: the rules of print, and no dark colours, in the 190 mm that a sheet of A4 has between its margins.
        assert!(page.contains("@media print {") && page.contains("@media screen and"));
        let printed = page.replace("@media print {", "@media all {").replace("@media screen and", "@media not all and");
        let (seen, _) = visited(&browser, &printed, folder.path(), (MEASURES, "718,1000"));
        // A point is 96/72 pixels.
        assert!(seen["smallest"].as_f64().unwrap() >= 7.0 * 96.0 / 72.0, "{seen}");
        for what in ["wide", "rolls"] {
            assert_eq!(seen[what], Value::Array(Vec::new()), "{what}: {seen}");
        }
        assert_eq!(seen["charts"], seen["figures"], "each figure shows one chart");
    }
}
