//! The numbers behind charts, and the files of charts.

use std::fs;

use scraper::{Html, Selector};

use super::{Campaign, file, ok, reported};
use greenformers::record::Status;

/// The table behind a chart of a page.
pub(super) fn behind(page: &str, name: &str) -> Vec<Vec<String>> {
    let html = Html::parse_document(page);
    let figures = Selector::parse("figure").unwrap();
    let title = Selector::parse(&format!("[id=chart-{name}]")).unwrap();
    let figure = html.select(&figures).find(|f| f.select(&title).next().is_some()).unwrap();
    let (row, cell) = (Selector::parse("tr").unwrap(), Selector::parse("th, td").unwrap());
    let words = |r: scraper::ElementRef<'_>| r.select(&cell).map(|c| c.text().collect::<String>()).collect();
    figure.select(&row).map(words).collect()
}

fn shown(page: &str, name: &str) -> String {
    // No line breaks inside a number; here its groups are told apart by a space that can be seen in this file.
    behind(page, name).into_iter().map(|row| row.join(" | ").replace('\u{a0}', " ") + "\n").collect()
}

#[test]
fn the_numbers_behind_each_chart() {
    let folder = reported(&Campaign::small().record());
    let page = file(&folder, "report.html");
    insta::assert_snapshot!(shown(&page, "saving"), @r"
    architecture | of | saved
    LRT r=256 | time, cost | 33 % [31, 34]
    LRT r=256 | energy, CO2e | 32 % [31, 34]
    Linformer k=128 | time, energy, CO2e, cost | 0 % [-1, 1]
    ");
    insta::assert_snapshot!(shown(&page, "time_per_token"), @r"
    tokens | sequences | architecture | microseconds a token
    128 | 64 | dense | 31.8 [31.7, 32.0]
    128 | 64 | LRT r=256 | 20.7 [20.6, 20.8]
    128 | 64 | Linformer k=128 | 39.2 [39.0, 39.3]
    512 | 16 | dense | 39.4 [39.2, 39.5]
    512 | 16 | LRT r=256 | 28.2 [28.1, 28.3]
    512 | 16 | Linformer k=128 | 39.2 [39.0, 39.3]
    ");
    insta::assert_snapshot!(shown(&page, "energy"), @r"
    tokens | sequences | architecture | J per 1000 tokens | of which
    128 | 64 | dense | 12.9 [11.7, 14.2] | GPU board, at rest 1.75, GPU board, above rest 8.10, CPU package, at rest 1.27, CPU package, above rest 1.74
    128 | 64 | LRT r=256 | 8.43 [7.65, 9.29] | GPU board, at rest 1.14, GPU board, above rest 5.30, CPU package, at rest 0.829, CPU package, above rest 1.16
    128 | 64 | Linformer k=128 | 15.8 [14.4, 17.4] | GPU board, at rest 2.15, GPU board, above rest 9.97, CPU package, at rest 1.57, CPU package, above rest 2.14
    512 | 16 | dense | 16.0 [14.5, 17.6] | GPU board, at rest 2.16, GPU board, above rest 10.0, CPU package, at rest 1.57, CPU package, above rest 2.17
    512 | 16 | LRT r=256 | 11.4 [10.4, 12.6] | GPU board, at rest 1.55, GPU board, above rest 7.20, CPU package, at rest 1.13, CPU package, above rest 1.56
    512 | 16 | Linformer k=128 | 15.8 [14.4, 17.4] | GPU board, at rest 2.15, GPU board, above rest 9.97, CPU package, at rest 1.57, CPU package, above rest 2.14
    ");
    insta::assert_snapshot!(shown(&page, "model_size"), @r"
    architecture | parameters | MB in f32, tf32 | MB in bf16, f16 | latency ms
    dense | 110 000 000 | 440 | 220 | not measured
    LRT r=256 | 67 600 000 | 271 | 135 | not measured
    Linformer k=128 | 110 000 000 | 441 | 220 | not measured
    ");
    insta::assert_snapshot!(shown(&page, "run"), @r"
    of | architecture | value
    wall time, days | dense | 16.9 [16.2, 17.7]
    wall time, days | LRT r=256 | 11.4 [11.0, 11.9]
    wall time, days | Linformer k=128 | 16.8 [16.2, 17.7]
    facility energy, kWh | dense | 330 [292, 376]
    facility energy, kWh | LRT r=256 | 223 [197, 254]
    facility energy, kWh | Linformer k=128 | 329 [291, 375]
    operational emissions, kgCO2e | dense | 152 [20.7, 241]
    operational emissions, kgCO2e | LRT r=256 | 103 [14.0, 163]
    operational emissions, kgCO2e | Linformer k=128 | 152 [20.7, 241]
    cost, USD | dense | 1180 [1090, 2040]
    cost, USD | LRT r=256 | 794 [737, 1370]
    cost, USD | Linformer k=128 | 1170 [1090, 2030]
    ");
}

#[test]
fn where_lines_cross_the_chart_says_so() {
    let mut campaign = Campaign::small();
    campaign.lengths = vec![128, 256, 1024];
    campaign.archs = vec!["dense", "linformer:k=128"];
    let folder = reported(&campaign.record());
    let svg = file(&folder, "charts/time_per_token.svg");
    // Dense takes 1 + s/1500, Linformer 1.3353: at 256 tokens 1.1707 and at 1024 tokens 1.6827. Between them nothing was measured.
    // The logarithm of the ratio goes from 0.1316 to -0.2312 and is 0 after 0.363 of the way, at 256 x 4^0.363 = 423 tokens; the
    // difference goes from 0.1646 to -0.3474 and is 0 after 0.3215 of the way, at 503 tokens, which is the truth here.
    assert!(svg.contains("dense takes less time up to about 460 tokens [420, 510], Linformer k=128 above"), "{svg}");
    assert!(svg.contains(">\ndense | Linformer k=128\n<"), "{svg}");
}

#[test]
fn every_axis_has_a_unit_and_every_mark_says_what_it_is() {
    let folder = reported(&Campaign::large().record());
    for (name, unit) in [
        ("time_per_token_f32", "microseconds a token"),
        ("latency_bf16", "milliseconds a pass"),
        ("energy_f32", "J per 1000 tokens"),
        ("memory_by_length_f32", "GB"),
        ("model_size", "MB of weights"),
        ("power", "W"),
        ("run", "% of dense, f32"),
        ("co2e_by_grid", "kgCO2e of the electricity"),
        ("pareto", "hours"),
        ("variance", "% of the variance"),
        ("saving", "% less than dense"),
    ] {
        let svg = file(&folder, &format!("charts/{name}.svg"));
        assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(svg.contains(&format!("\n{unit}\n")), "{name} has no axis in {unit}");
        assert!(svg.contains("<rect") && svg.contains("<title>"), "{name}");
        assert!(svg.contains("prefers-color-scheme:dark"), "{name}");
    }
}

#[test]
fn an_architecture_has_one_colour_in_all_charts() {
    let folder = reported(&Campaign::large().record());
    // Orange, of the smallest rank.
    for name in ["time_per_token_f32", "time_per_token_bf16", "memory_by_length_f32", "run"] {
        assert!(file(&folder, &format!("charts/{name}.svg")).contains("#E69F00"), "{name}");
    }
}

#[test]
fn a_cell_that_ran_out_of_memory_says_so_in_place_of_a_number() {
    let mut record = Campaign::small().record();
    let last = record.cells.last_mut().unwrap();
    last.status = Status::OutOfMemory;
    last.steps.clear();
    last.peak_memory_bytes = None;
    let folder = reported(&record);
    let page = file(&folder, "report.html");
    let rows = behind(&page, "memory_by_length");
    assert_eq!(rows.last().unwrap().last().unwrap(), "out of memory");
    assert!(page.contains("Without a number: Linformer k=128 at 16 x 512 out of memory."));
}

#[test]
fn a_visit_of_one_step_is_not_called_steps() {
    let mut record = Campaign::small().record();
    for cell in &mut record.cells {
        (1..).zip(&mut cell.steps).for_each(|(visit, step)| step.visit = visit);
    }
    let svg = file(&reported(&record), "charts/power.svg");
    assert!(svg.contains("Power during one step of ") && svg.contains("seconds since the step began"), "{svg}");
}

#[test]
fn png_comes_on_request_and_is_a_picture() {
    let folder = reported(&Campaign::small().record());
    let charts = folder.path().join("out/charts");
    let with = |ending: &str| {
        let entries = fs::read_dir(&charts).unwrap().filter_map(Result::ok);
        entries.filter(|e| e.path().extension().is_some_and(|x| x == ending)).count()
    };
    assert_eq!(with("png"), 0);
    ok(&["report", "out", "--png"], folder.path());
    assert_eq!(with("png"), with("svg"));
    let file = std::io::BufReader::new(fs::File::open(charts.join("time_per_token.png")).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.width, 1280);
    // Orange is LRT's alone; the letters are darker than anything else.
    let has = |rgb: [u8; 3]| pixels.chunks(3).filter(|p| *p == rgb).count();
    assert!(has([0xe6, 0x9f, 0x00]) > 100 && has([0x22, 0x22, 0x22]) > 1000);
}
