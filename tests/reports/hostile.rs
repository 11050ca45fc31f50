//! Records that want to break a report, or that hold next to nothing.

use std::collections::BTreeSet;

use scraper::{Html, Selector};

use super::charts::behind;
use super::page::parsed;
use super::{Campaign, file, reported};
use greenformers::record::{Pass, Status, Warning};

const EVIL: &str = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'&\u{202e}\u{0}]]>";

#[test]
fn names_stay_text_wherever_they_stand() {
    let mut record = Campaign::small().record();
    record.environment.host = EVIL.to_owned();
    record.environment.os = EVIL.to_owned();
    record.environment.cpu = EVIL.to_owned();
    record.environment.compute.name = EVIL.to_owned();
    record.environment.unmetered[0].reason = EVIL.to_owned();
    record.settings.workload.name = EVIL.to_owned();
    record.settings.workload.source = EVIL.to_owned();
    record.created = EVIL.to_owned();
    record.tool = EVIL.to_owned();
    record.warnings = vec![Warning::new(EVIL, EVIL, EVIL)];
    record.cells[0].warnings = vec![Warning::new(EVIL, EVIL, EVIL)];
    let hardware = record.environment.compute.hardware.as_mut().unwrap();
    (hardware.id, hardware.name) = (EVIL.to_owned(), EVIL.to_owned());
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    let html = parsed(&page);
    let count = |selector: &str| html.select(&Selector::parse(selector).unwrap()).count();
    assert_eq!((count("script"), count("img"), count("[onerror]")), (1, 0, 0));
    assert!(html.root_element().text().any(|t| t.contains("<script>alert(1)</script>")), "the name is there as text");
    assert!(!page.contains('\u{0}') && !page.contains('\u{202e}'));
    let markdown = file(&folder, "report.md");
    assert!(!markdown.contains("<script") && !markdown.contains("<img") && !markdown.contains('\u{202e}'));
    for chart in std::fs::read_dir(folder.path().join("out/charts")).unwrap() {
        let svg = std::fs::read_to_string(chart.unwrap().path()).unwrap();
        assert!(!svg.contains("<script") && !svg.contains("<img"), "{svg}");
    }
}

#[test]
fn a_name_of_ten_kilobytes_is_cut_and_clips_nothing() {
    let mut record = Campaign::small().record();
    let long = "x".repeat(10_000);
    record.environment.host.clone_from(&long);
    record.environment.compute.name.clone_from(&long);
    record.settings.workload.name.clone_from(&long);
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    parsed(&page);
    assert!(!page.contains(&"x".repeat(500)), "a long name stands there whole");
    assert!(!file(&folder, "report.md").contains(&"x".repeat(500)));
}

/// What the page answers.
fn answer(page: &str) -> String {
    let html = Html::parse_document(page);
    let element = html.select(&Selector::parse(".answer").unwrap()).next();
    element.map(|e| e.text().collect()).unwrap_or_default()
}

#[test]
fn a_record_with_one_cell_makes_a_report() {
    let mut record = Campaign::small().record();
    record.cells.truncate(1);
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    parsed(&page);
    assert!(answer(&page).contains("dense and a variant are needed"), "{}", answer(&page));
}

#[test]
fn a_record_in_which_nothing_fitted_says_so_and_draws_nothing() {
    let mut record = Campaign::small().record();
    for cell in &mut record.cells {
        cell.status = Status::OutOfMemory;
        cell.steps.clear();
        cell.meters.clear();
        cell.peak_memory_bytes = None;
    }
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    parsed(&page);
    assert!(answer(&page).contains("of 6 cells, 6 ran out of memory and 0 failed"), "{}", answer(&page));
    assert!(page.contains("Not estimated: "));
    // The size of the models is known all the same.
    assert!(page.contains("chart-model_size") && !page.contains("chart-time_per_token"));
}

#[test]
fn a_record_without_energies_has_no_energy_and_no_emissions_and_never_zero() {
    let mut record = Campaign::small().record();
    record.environment.meters.clear();
    record.cells.iter_mut().for_each(|c| c.meters.clear());
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    parsed(&page);
    for chart in ["chart-energy", "chart-co2e_by_grid", "chart-power"] {
        assert!(!page.contains(&format!("\"{chart}\"")), "{chart}");
    }
    let of_the_run: BTreeSet<String> = behind(&page, "run").into_iter().map(|row| row[0].clone()).collect();
    assert!(!of_the_run.iter().any(|what| what.contains("CO2e") || what.contains("energy")), "{of_the_run:?}");
    assert!(answer(&page).ends_with("less time and cost."), "{}", answer(&page));
    assert!(page.contains("facility_energy_kwh is not known"));
}

#[test]
fn a_record_of_forward_passes_alone_shows_latency() {
    let mut campaign = Campaign::small();
    campaign.passes = vec![Pass::Infer];
    let mut record = campaign.record();
    record.settings.pass = Pass::Infer;
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    parsed(&page);
    assert!(page.contains("\"chart-latency\"") && !page.contains("\"chart-time_per_token\""));
}

#[test]
fn a_variant_that_does_not_win_is_not_said_to() {
    let mut record = Campaign::small().record();
    for cell in record.cells.iter_mut().filter(|c| c.arch.kind() != "dense") {
        for step in &mut cell.steps {
            step.forward_s *= 3.0;
        }
    }
    let folder = reported(&record);
    let said = answer(&file(&folder, "report.html"));
    assert!(said.starts_with("No variant is seen to train bert-base"), "{said}");
    assert!(said.contains("LRT r=256 takes ") && said.contains(" more time"), "{said}");
}
