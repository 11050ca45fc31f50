//! Several records side by side.

use std::fs;

use scraper::{Html, Selector};

use super::page::parsed;
use super::{Campaign, ok, program};
use greenformers::record::Record;
use greenformers::units::DType;
use tempfile::TempDir;

/// The page of these records laid side by side, and its folder.
fn laid(records: &[(&str, &Record)]) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut args = vec!["report"];
    for (name, record) in records {
        record.save(&folder.path().join(name)).unwrap();
        args.push(name);
    }
    args.extend(["-o", "out"]);
    assert_eq!(ok(&args, folder.path()), "out/report.html\n");
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    (folder, page)
}

fn text(page: &str, selector: &str) -> String {
    let html = parsed(page);
    let element = html.select(&Selector::parse(selector).unwrap()).next();
    element.map(|e| e.text().collect()).unwrap_or_default()
}

/// The rows of the table cell by cell that are of `record`.
fn rows(page: &str, record: &str) -> Vec<Vec<String>> {
    let html = Html::parse_document(page);
    let (row, cell) = (Selector::parse("#cells tbody tr").unwrap(), Selector::parse("td").unwrap());
    let all = html.select(&row).map(|r| r.select(&cell).map(|c| c.text().collect()).collect::<Vec<String>>());
    all.filter(|r| r[0].starts_with(record)).collect()
}

/// The same campaign in half the time.
fn twice_as_fast(record: &Record) -> Record {
    let mut fast = record.clone();
    for step in fast.cells.iter_mut().flat_map(|c| &mut c.steps) {
        step.forward_s /= 2.0;
        step.backward_s /= 2.0;
        step.optimizer_s /= 2.0;
    }
    fast
}

#[test]
fn a_machine_that_is_twice_as_fast_takes_half_the_time() {
    let record = Campaign::small().record();
    let (folder, page) = laid(&[("slow", &record), ("fast", &twice_as_fast(&record))]);
    assert!(text(&page, "#between").contains("Nothing is known that stands between these records"));
    let fast = rows(&page, "fast");
    assert_eq!(fast.len(), 6);
    assert!(fast.iter().all(|r| r[7].starts_with("50 % [")), "{fast:?}");
    assert!(rows(&page, "slow").iter().all(|r| r[7] == "-"), "the first is compared with nothing");
    let answer = text(&page, ".answer");
    assert!(
        answer.starts_with("Training bert-base: on slow LRT r=256 takes 33 % [31, 34] less time than dense; on fast")
    );
    for file in ["report.md", "comparison.csv", "charts/tokens_per_s.svg", "charts/saving.svg", "charts/energy.svg"] {
        assert!(folder.path().join("out").join(file).exists(), "{file}");
    }
    let csv = fs::read_to_string(folder.path().join("out/comparison.csv")).unwrap();
    assert_eq!(csv.lines().count(), 13);
}

#[test]
fn power_limits_and_drivers_are_marked_at_every_number() {
    let record = Campaign::small().record();
    let mut other = record.clone();
    for state in other.cells.iter_mut().filter_map(|c| c.gpu_before.as_mut()) {
        state.power_limit_w = Some(250.0);
        state.driver = Some("560.35.03".to_owned());
    }
    let (folder, page) = laid(&[("full", &record), ("limited", &other)]);
    let svg = fs::read_to_string(folder.path().join("out/charts/tokens_per_s.svg")).unwrap();
    assert_eq!(svg.matches("\nlimited [P, D], bf16\n").count(), 6);
    let between = text(&page, "#between");
    assert!(between.contains("[P] power limits differ: full 400 W, limited 250 W"), "{between}");
    assert!(between.contains("[D] drivers differ: full 550.54.15, limited 560.35.03"), "{between}");
    assert!(rows(&page, "limited").iter().all(|r| r[0] == "limited [P, D]"));
    assert!(rows(&page, "full").iter().all(|r| r[0] == "full"));
}

#[test]
fn a_contaminated_cell_is_in_no_ratio_and_in_no_chart() {
    let record = Campaign::small().record();
    let mut dirty = twice_as_fast(&record);
    dirty.cells[1].contaminated = Some(true);
    let label = dirty.cells[1].label();
    let (folder, page) = laid(&[("clean", &record), ("dirty", &dirty)]);
    assert!(text(&page, "#between").contains(&format!("other processes used the GPU of dirty during {label}")));
    let refused: Vec<Vec<String>> = rows(&page, "dirty").into_iter().filter(|r| r[7] == "-").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0][6].as_str(), refused[0][8].as_str()), ("-", "-"));
    assert_eq!(refused[0][9], "not compared: other processes used the GPU");
    let csv = fs::read_to_string(folder.path().join("out/comparison.csv")).unwrap();
    let line = csv.lines().find(|l| l.contains(",true,")).unwrap();
    assert!(line.contains(",,,,,,,,,,,,"), "{line}");
    // And the other way round: nothing is compared with a contaminated cell.
    let (_folder, page) = laid(&[("dirty", &dirty), ("clean", &record)]);
    let refused = rows(&page, "clean").into_iter().filter(|r| r[7] == "-").count();
    assert_eq!(refused, 1);
}

#[test]
fn formats_are_compared_and_named() {
    let mut campaign = Campaign::small();
    let half = campaign.record();
    campaign.dtypes = vec![DType::F32];
    let single = campaign.record();
    let (_folder, page) = laid(&[("single", &single), ("half", &half)]);
    // Five times as fast.
    let rows = rows(&page, "half");
    assert!(rows.iter().all(|r| r[7].starts_with("80 % [") && r[9] == "bf16 against f32"), "{rows:?}");
}

#[test]
fn modelled_energies_are_not_set_against_measured_ones() {
    let record = Campaign::small().record();
    let mut modelled = record.clone();
    let source = greenformers::meter::EnergySource::Model;
    modelled.environment.meters.iter_mut().for_each(|m| m.source = source);
    modelled.cells.iter_mut().flat_map(|c| &mut c.meters).for_each(|m| m.meter.source = source);
    let (_folder, page) = laid(&[("measured", &record), ("modelled", &modelled)]);
    assert!(text(&page, "#between").contains("[E] energies come from different sources"));
    assert!(rows(&page, "modelled").iter().all(|r| r[7] != "-" && r[8] == "-"));
}

#[test]
fn other_models_are_refused_and_a_folder_is_asked_for() {
    let record = Campaign::small().record();
    let mut other = record.clone();
    other.settings.workload.model.d_ff = 1024;
    let folder = tempfile::tempdir().unwrap();
    record.save(&folder.path().join("a")).unwrap();
    other.save(&folder.path().join("b")).unwrap();
    let failed = |args: &[&str]| {
        let output = program(args, folder.path());
        assert_eq!(output.status.code(), Some(1));
        assert!(!folder.path().join("out").exists());
        String::from_utf8(output.stderr).unwrap()
    };
    let message = failed(&["report", "a", "b", "-o", "out"]);
    assert!(message.contains("bert-base of `a` and bert-base of `b`") && message.contains("hint: "), "{message}");
    let message = failed(&["report", "a", "a"]);
    assert!(message.contains("hint: give its folder with `-o DIR`"), "{message}");
}

#[test]
fn records_of_one_name_are_told_apart() {
    let record = Campaign::small().record();
    let folder = tempfile::tempdir().unwrap();
    for place in ["x/mine", "y/mine"] {
        record.save(&folder.path().join(place)).unwrap();
    }
    ok(&["report", "x/mine", "y/mine/record.json", "-o", "out"], folder.path());
    let page = fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert_eq!((rows(&page, "mine (2)").len(), rows(&page, "mine").len()), (6, 12));
}
