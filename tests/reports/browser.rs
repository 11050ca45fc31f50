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
fn dumped(browser: &Path, file: &Path) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--dump-dom"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1280,900"])
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

/// What the visitor saw in a page.
fn visited(browser: &Path, page: &str, folder: &Path) -> (Value, Vec<String>) {
    // The page lets no script run but its own: a visitor has to be let in.
    let start = page.find("<meta http-equiv").unwrap();
    let end = start + page[start..].find('>').unwrap();
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let meta = format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\"");
    let page = format!("{}{meta}{}", &page[..start], &page[end..]);
    let page = page.replace("</body>", &format!("<script>(() => {{{VISITOR}}})();</script></body>"));
    let copy = folder.join("visited.html");
    fs::write(&copy, page).unwrap();
    let (dom, console) = dumped(browser, &copy);
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
    let (dom, console) = dumped(&browser, &folder.path().join("out/report.html"));
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
    let (dom, console) = dumped(&browser, &copy);
    assert!(!dom.contains("data-broken=\"in\""));
    assert!(!console.is_empty(), "the browser should complain of the script");
}

#[test]
fn tables_sort_marks_speak_and_nothing_is_asked_of_the_network() {
    let Some(browser) = chromium() else { return };
    // The chart that leads shows savings, or time per token where lengths lie far apart.
    for (campaign, said) in [(Campaign::small(), "saved"), (Campaign::large(), "a token")] {
        let folder = reported(&campaign.record());
        let (seen, console) = visited(&browser, &file(&folder, "report.html"), folder.path());
        let numbers = |name: &str| -> Vec<f64> {
            let cells = seen[name].as_array().unwrap().iter();
            cells.map(|c| c.as_str().unwrap().replace(' ', "").parse().unwrap()).collect()
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
