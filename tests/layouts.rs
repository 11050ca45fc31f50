//! Layouts of many devices against what was measured and published.
//!
//! `../shared/data/vtrain_single_node.csv` (vTrain, Bang et al., MICRO 2024, arXiv 2312.12391; MIT licence) is not shipped: where it
//! does not lie, the fit is not made again, and the test says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use greenformers::catalog::{Catalog, Device};
use greenformers::estimate::Layout;
use greenformers::estimate::layout::{Constants, Iterations, LayoutTable, MeasuredIteration};
use greenformers::estimate::model::DeviceFigures;
use greenformers::model::{Config, Details, Family};
use greenformers::stats::median;
use greenformers::units::DType;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn gpt(d_model: usize, n_heads: usize, n_layers: usize, seq_len: usize) -> Config {
    Config {
        family: Family::Decoder,
        n_layers,
        d_model,
        n_heads,
        d_ff: 4 * d_model,
        vocab_size: 51200,
        max_seq_len: seq_len,
        type_vocab_size: 0,
        gated_mlp: false,
        details: Details::default(),
    }
}

/// The measured iterations of one node, where they lie.
fn measured() -> Option<Vec<MeasuredIteration>> {
    let text = fs::read_to_string(root().join("../shared/data/vtrain_single_node.csv")).ok()?;
    let rows = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let of = |line: &str| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let at = |i: usize| cells[i].parse::<usize>().unwrap();
        let along = |i: usize| cells[i].parse::<u32>().unwrap();
        let layout = Layout { tp: along(7), dp: along(8), pp: along(9), ..Layout::default() };
        MeasuredIteration {
            model: gpt(at(3), at(4), at(5), at(6)),
            seq_len: at(6),
            batch_size: at(1),
            micro_batch: at(2),
            layout,
            seconds: cells[10].parse::<f64>().unwrap() / 1000.0,
        }
    };
    Some(rows.map(of).collect())
}

/// A row of that table.
type Korthikanti = (usize, usize, usize, &'static str, usize, usize, f64, f64);

/// Iterations of Korthikanti et al. 2022 (arXiv 2205.05198, table 5): d_model, heads, layers, layout without what follows, batch,
/// micro-batch, seconds with full recomputation, and with sequence parallelism and selective recomputation.
const KORTHIKANTI: [Korthikanti; 4] = [
    (6144, 64, 48, "tp=8", 4, 4, 1.42, 1.10),
    (12288, 96, 96, "tp=8,pp=8,interleave=3", 64, 1, 18.13, 13.75),
    (20480, 128, 105, "tp=8,pp=35,interleave=3", 280, 1, 49.05, 37.83),
    (25600, 160, 128, "tp=8,pp=64", 512, 1, 94.42, 71.49),
];

fn wide() -> Vec<MeasuredIteration> {
    let of = |&(d, heads, layers, layout, batch_size, micro_batch, full, selective): &_| {
        [
            (format!("{layout},recompute=full"), full),
            (format!("{layout},recompute=selective,sequence_parallel=true"), selective),
        ]
        .map(|(layout, seconds)| MeasuredIteration {
            model: gpt(d, heads, layers, 2048),
            seq_len: 2048,
            batch_size,
            micro_batch,
            layout: layout.parse().unwrap(),
            seconds,
        })
    };
    KORTHIKANTI.iter().flat_map(of).collect()
}

/// A row of that table.
type Narayanan = (usize, usize, usize, u32, u32, u32, usize, f64);

/// Narayanan et al. 2021 (arXiv 2104.04473, table 1): d_model, heads, layers, tp, pp, devices, batch, TFLOP/s of a device, with
/// full recomputation. Micro-batches are not said.
const NARAYANAN: [Narayanan; 10] = [
    (2304, 24, 24, 1, 1, 32, 512, 137.0),
    (3072, 32, 30, 2, 1, 64, 512, 138.0),
    (4096, 32, 36, 4, 1, 128, 512, 142.0),
    (6144, 48, 40, 8, 1, 256, 1024, 135.0),
    (8192, 64, 48, 8, 2, 512, 1536, 138.0),
    (10240, 80, 60, 8, 4, 1024, 1792, 140.0),
    (12288, 96, 80, 8, 8, 1536, 2304, 148.0),
    (16384, 128, 96, 8, 16, 1920, 2160, 155.0),
    (20480, 128, 105, 8, 35, 2520, 2520, 163.0),
    (25600, 160, 128, 8, 64, 3072, 3072, 163.0),
];

/// The published runs with micro-batches of `micro_batch`, and the FLOPs of each device in a step, counted as the paper counts them
/// (its equation 3): `96 B s l d^2 (1 + s / 6 d + V / 16 l d)`.
fn narayanan(micro_batch: usize) -> Vec<(MeasuredIteration, f64)> {
    let of = |&(d, heads, layers, tp, pp, devices, batch_size, tflop_per_s): &_| {
        let dp = devices / tp / pp;
        let (s, h, l) = (2048.0, d as f64, layers as f64);
        let flop = 96.0 * batch_size as f64 * s * l * h * h * (1.0 + s / (6.0 * h) + 51200.0 / (16.0 * l * h));
        let layout: Layout = format!("dp={dp},tp={tp},pp={pp},recompute=full").parse().unwrap();
        layout.micro_batches(batch_size, micro_batch).ok()?;
        let model = gpt(d, heads, layers, 2048);
        let each = flop / f64::from(devices);
        let seconds = each / (tflop_per_s * 1e12);
        Some((MeasuredIteration { model, seq_len: 2048, batch_size, micro_batch, layout, seconds }, each))
    };
    NARAYANAN.iter().filter_map(of).collect()
}

fn kind(layout: &Layout) -> &'static str {
    match (layout.tp > 1, layout.dp > 1, layout.pp > 1) {
        (true, false, false) => "tensor alone",
        (false, true, false) => "data alone",
        (false, false, true) => "pipeline alone",
        _ => "mixed",
    }
}

/// A fold: the iterations that are held out, and their ln errors.
struct Fold {
    name: &'static str,
    held_out: Vec<usize>,
    errors: Vec<f64>,
}

impl Fold {
    /// Number, median error, and part within a 95 % interval of `scatter`, of those that `keep` chooses.
    fn summary(&self, scatter: f64, keep: impl Fn(usize) -> bool) -> (usize, f64, f64) {
        let kept: Vec<f64> =
            self.held_out.iter().zip(&self.errors).filter(|(i, _)| keep(**i)).map(|(_, e)| *e).collect();
        let inside = kept.iter().filter(|e| e.abs() <= 1.96 * scatter).count();
        let errors: Vec<f64> = kept.iter().map(|e| (e.exp() - 1.0).abs()).collect();
        (kept.len(), median(&errors).unwrap_or(0.0), inside as f64 / kept.len().max(1) as f64)
    }
}

/// A shape is held out, whatever the layout.
type Choice = fn(&MeasuredIteration) -> bool;

/// Every other number of layers, changing with the width; and all of a width.
const FOLDS: [(&str, Choice); 3] = [
    ("half of the shapes", |one| (one.model.n_layers / 4 % 2 == 0) == (one.model.d_model == 1024)),
    ("width 1024", |one| one.model.d_model == 1024),
    ("width 2048", |one| one.model.d_model == 2048),
];

/// The folds, and the constants fitted to everything.
fn fitted(all: &[MeasuredIteration], device: &Device) -> (Vec<Fold>, LayoutTable) {
    let figures = DeviceFigures::of(device, DType::F16).unwrap();
    let iterations = Iterations::new(all, &figures, device.interconnect.as_ref());
    // What was measured on one node is held out by shape; the wide models stay in every fit.
    let of = |(name, choice): (&'static str, Choice)| {
        let is_out = |i: usize| all[i].seq_len == 1024 && choice(&all[i]);
        let fit = iterations.fit(|i| !is_out(i)).unwrap();
        let held_out: Vec<usize> = (0..all.len()).filter(|i| is_out(*i)).collect();
        let errors = iterations.ln_errors(&Constants::of_logarithms(&fit.values, 0.0), is_out);
        Fold { name, held_out, errors }
    };
    let folds: Vec<Fold> = FOLDS.map(of).into();
    let of_widths: Vec<f64> = folds[1..].iter().flat_map(|fold| fold.errors.iter().copied()).collect();
    let scatter = (of_widths.iter().map(|e| e * e).sum::<f64>() / of_widths.len() as f64).sqrt();
    let source = "fitted to 1440 iterations of Megatron on a node of 8 A100 (vTrain, arXiv 2312.12391) and 8 of wide models (arXiv \
                  2205.05198, table 5); made again by `cargo test --test integration the_constants_of_layouts -- --ignored`";
    let table = iterations.table(&iterations.fit(|_| true).unwrap(), scatter, source.to_owned());
    (folds, table)
}

fn a100() -> Device {
    Catalog::default().load("a100-sxm4-80gb").unwrap()
}

#[test]
#[ignore = "writes hardware/layouts.json and reports/validation/layouts.md"]
fn the_constants_of_layouts_are_written_again() {
    let mut all = measured().expect("../shared/data/vtrain_single_node.csv");
    all.extend(wide());
    let device = a100();
    let (folds, table) = fitted(&all, &device);
    // A fit that misses its aim is not written.
    check(&folds, &table);
    fs::write(root().join(TABLE), serde_json::to_string_pretty(&table).unwrap() + "\n").unwrap();
    fs::write(root().join(PAGE), page_of_folds(&all, &folds, &table) + &page_of_constants(&table, &device)).unwrap();
    // What was written is what was fitted.
    let written: LayoutTable = serde_json::from_str(&fs::read_to_string(root().join(TABLE)).unwrap()).unwrap();
    assert_eq!(written, table);
}

/// What a fit has to reach before it is the program's.
fn check(folds: &[Fold], table: &LayoutTable) {
    // vTrain, which profiles every operator on the device, errs by 8.4 %.
    let (n, error, inside) = folds[0].summary(table.scatter, |_| true);
    assert!(n == 720 && error < 0.08 && (0.90..=0.99).contains(&inside), "{n} iterations: {error}, {inside}");
    // A width that was never seen is harder.
    for fold in &folds[1..] {
        let (n, error, inside) = fold.summary(table.scatter, |_| true);
        assert!(n == 720 && error < 0.14 && inside > 0.88, "{}: {error}, {inside}", fold.name);
    }
}

fn constants(table: &LayoutTable) -> Constants {
    let ln: Vec<f64> = table.constants.iter().map(|c| c.value.ln()).collect();
    Constants::of_logarithms(&ln, table.scatter)
}

/// Where the constants stand, and the page that says how good they are.
const TABLE: &str = "hardware/layouts.json";
const PAGE: &str = "reports/validation/layouts.md";

/// The part of the page that needs the measured iterations.
fn page_of_folds(all: &[MeasuredIteration], folds: &[Fold], table: &LayoutTable) -> String {
    let mut text = "# Layouts of many devices\n\nMade by `cargo test --test integration the_constants_of_layouts -- --ignored`. \
                    Steps of 1440 layouts of GPT models on one node of 8 A100 (vTrain, arXiv 2312.12391), predicted by constants that \
                    are fitted without their shapes. Inside: within the 95 % interval.\n\n\
                    | held out | layouts | iterations | median error | inside |\n|---|---|---|---|---|\n"
        .to_owned();
    for fold in folds {
        for of in ["all", "tensor alone", "data alone", "pipeline alone", "mixed"] {
            let (n, error, inside) = fold.summary(table.scatter, |i| of == "all" || kind(&all[i].layout) == of);
            writeln!(text, "| {} | {of} | {n} | {:.1} % | {:.0} % |", fold.name, 100.0 * error, 100.0 * inside)
                .unwrap();
        }
    }
    text
}

/// The part that follows from the constants alone.
fn page_of_constants(table: &LayoutTable, device: &Device) -> String {
    let figures = DeviceFigures::of(device, DType::F16).unwrap();
    let constants = constants(table);
    let mut text = String::new();
    text.push_str(
        "\nWide models, which are in the fit (Korthikanti et al. 2022, table 5):\n\n| model | layout | published, s | predicted, s \
         |\n|---|---|---|---|\n",
    );
    let anchors = wide();
    let errors = Iterations::new(&anchors, &figures, device.interconnect.as_ref()).ln_errors(&constants, |_| true);
    for (one, error) in anchors.iter().zip(errors) {
        let seconds = one.seconds * error.exp();
        writeln!(text, "| {} wide | `{}` | {} | {seconds:.2} |", one.model.d_model, one.layout, one.seconds).unwrap();
    }
    text.push_str(
        "\nRuns on several nodes, which are not in the fit (Narayanan et al. 2021, table 1; TFLOP/s of a device as the paper counts \
         them). Micro-batches are not published: predictions are of those of 1, 2, 4 and 8 that divide the batch, in \
         brackets, whether or not they fit.\n\n\
         | model | devices | published | predicted |\n|---|---|---|---|\n",
    );
    for (d, list) in tflop_per_s(&constants, device) {
        let published = NARAYANAN.iter().find(|row| row.0 == d).unwrap();
        let list: Vec<String> = list.iter().map(|(micro, x)| format!("{x:.0} ({micro})")).collect();
        writeln!(text, "| {d} wide | {} | {:.0} | {} |", published.5, published.7, list.join(", ")).unwrap();
    }
    text.push_str("\n| constant | value | standard error of its logarithm | what it is |\n|---|---|---|---|\n");
    for c in &table.constants {
        writeln!(text, "| {} | {} | {:.2} | {} |", c.name, c.value, c.ln_standard_error, c.meaning).unwrap();
    }
    text
}

/// TFLOP/s of a device in the runs of Narayanan et al. by width, with each micro-batch.
fn tflop_per_s(constants: &Constants, device: &Device) -> BTreeMap<usize, Vec<(usize, f64)>> {
    let figures = DeviceFigures::of(device, DType::F16).unwrap();
    let mut found: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for micro_batch in [1, 2, 4, 8] {
        let (runs, flop): (Vec<MeasuredIteration>, Vec<f64>) = narayanan(micro_batch).into_iter().unzip();
        let errors = Iterations::new(&runs, &figures, device.interconnect.as_ref()).ln_errors(constants, |_| true);
        for ((run, flop), error) in runs.iter().zip(flop).zip(errors) {
            let rate = flop / (run.seconds * error.exp()) / 1e12;
            found.entry(run.model.d_model).or_default().push((micro_batch, rate));
        }
    }
    found
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn layouts_whose_shapes_are_held_out_take_the_time_that_was_measured() {
    let Some(mut all) = measured() else {
        eprintln!("skipped: ../shared/data/vtrain_single_node.csv is not here");
        return;
    };
    assert_eq!(all.len(), 1440);
    all.extend(wide());
    let device = a100();
    let (folds, table) = fitted(&all, &device);
    check(&folds, &table);
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    assert!(page.starts_with(&page_of_folds(&all, &folds, &table)), "the page says something else");
    // What the program carries is what comes out.
    let embedded = Constants::embedded().logarithms();
    for (constant, ln) in table.constants.iter().zip(embedded) {
        assert!((constant.value.ln() - ln).abs() < 1e-2, "{}: {} and {}", constant.name, constant.value, ln.exp());
    }
}

/// Needs no measured iteration, so that it looks everywhere.
#[test]
fn the_page_says_what_the_constants_of_the_program_give() {
    let table: LayoutTable = serde_json::from_str(&fs::read_to_string(root().join(TABLE)).unwrap()).unwrap();
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let rest = page_of_constants(&table, &a100());
    assert!(page.ends_with(&rest), "the page ends otherwise than\n{rest}");
    let embedded = Constants::embedded().logarithms();
    assert!(table.constants.iter().zip(embedded).all(|(constant, ln)| (constant.value.ln() - ln).abs() < 1e-12));
}

#[test]
fn runs_on_up_to_3072_devices_reach_what_was_published() {
    // Narayanan et al. do not say their micro-batches: the best is compared. None of these runs is in the fit.
    for (d, rates) in tflop_per_s(Constants::embedded(), &a100()) {
        let published = NARAYANAN.iter().find(|row| row.0 == d).unwrap().7;
        let best = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        assert!((0.80..1.15).contains(&(best / published)), "{d} wide: {best} of {published}");
    }
}

#[test]
fn a_report_of_an_estimate_shows_what_fills_a_device_and_what_other_numbers_of_devices_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        crate::reliability::program().current_dir(folder.path()).args(line.split_whitespace()).output().unwrap()
    };
    let text = crate::reliability::text;
    let line = "estimate llama-2-7b --arch dense --hardware a100-sxm4-80gb --devices 16 --layout auto";
    let output = run(&format!("{line} --report page --png"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let page = fs::read_to_string(folder.path().join("page/report.md")).unwrap().replace('\\', "");
    // The page answers as the terminal does, and has what the terminal has no room for.
    let sentence = said.split("\n\n").next().unwrap().replace('\n', " ");
    assert!(page.contains(&sentence), "{sentence}\n{page}");
    let layout = said.split("layout: ").nth(1).unwrap().lines().next().unwrap();
    assert!(page.contains(layout) && page.contains("it is taken"), "{layout}\n{page}");
    let charts = ["run", "layout_memory", "layout_time", "layout_frontier", "variance"];
    for chart in charts {
        let path = folder.path().join(format!("page/charts/{chart}.svg"));
        assert!(path.exists() && path.with_extension("png").exists(), "{chart}");
    }
    let memory = fs::read_to_string(folder.path().join("page/charts/layout_memory.svg")).unwrap();
    for part in ["optimizer states", "GB can be used", "taken", "next"] {
        assert!(memory.contains(part), "{part}");
    }
    // More devices take less time: every number that fits is a point.
    let frontier = fs::read_to_string(folder.path().join("page/charts/layout_frontier.svg")).unwrap();
    for devices in ["8 devices", "16 devices", "32 devices", "64 devices", "128 devices"] {
        assert!(frontier.contains(devices), "{devices}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("page/estimates.json")).unwrap()).unwrap();
    let layout = &json["estimates"][0]["layout"];
    let whole: u64 = layout["memory_bytes"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert!(whole <= layout["usable_bytes"].as_u64().unwrap(), "{layout}");
    // Without a layout there is a page too, and a sweep has none.
    let plain = run("estimate bert-large --hardware a100-sxm4-80gb,h100-sxm5 --report plain");
    assert!(plain.status.success(), "{}", text(&plain.stderr));
    let page = fs::read_to_string(folder.path().join("plain/report.md")).unwrap();
    assert!(page.contains("is the fastest") && !page.contains("layout_memory"), "{page}");
    let sweep = run("estimate --sweep devices=1,8 --hardware a100-sxm4-80gb --report other");
    assert!(text(&sweep.stderr).contains("cannot be used with"), "{}", text(&sweep.stderr));
}

#[test]
fn adapters_of_a_model_of_70_billion_weights_fit_where_training_all_of_it_does_not() {
    let run = |arch: &str, layout: &str| {
        let line = format!(
            "estimate llama-2-70b --arch {arch} --hardware a100-sxm4-80gb --devices 8 --batch-tokens 262144 --tokens 100M --layout \
             {layout} --format json"
        );
        crate::reliability::program().args(line.split_whitespace()).output().unwrap()
    };
    let text = crate::reliability::text;
    let all = run("dense", "auto");
    assert!(text(&all.stderr).contains("does not fit"), "{}", text(&all.stderr));
    let of = |layout: &str| -> serde_json::Value {
        let output = run("lora:rank=16,targets=qv", layout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["estimates"][0]["layout"].clone()
    };
    // 69.0e9 weights of two bytes over 8 devices; the pairs of 80 layers are (8192 + 8192) x 16 and (8192 + 1024) x 16 weights
    // each, 16 bytes of state but for the weights' own 2 and the gradients' 2, and all of it is shared.
    let shards = of("dp=8,zero=3,recompute=full,micro_batch=1");
    let gb = |name: &str| shards["memory_bytes"][name].as_f64().unwrap() / 1e9;
    assert!((gb("weights") - 2.0 * 69.0 / 8.0).abs() < 0.2, "{shards}");
    let pairs = 80.0 * 16.0 * (16_384.0 + 9_216.0);
    assert!((gb("gradients") * 1e9 - 2.0 * pairs / 8.0).abs() < 1e6, "{shards}");
    assert!((gb("optimizer states") * 1e9 - 12.0 * pairs / 8.0).abs() < 1e6, "{shards}");
    // Weights are gathered twice in each micro-batch, and hardly any gradients are scattered.
    let traffic = &shards["traffic"][0];
    let micro_batches = shards["micro_batches"].as_f64().unwrap();
    assert!((traffic["times"].as_f64().unwrap() / micro_batches - 1.0).abs() < 0.01, "{shards}");
    // Left to itself, it finds one that fits.
    let chosen = of("auto");
    let whole: f64 = chosen["memory_bytes"].as_object().unwrap().values().map(|b| b.as_f64().unwrap()).sum();
    assert!(whole < chosen["usable_bytes"].as_f64().unwrap(), "{chosen}");
    let four_bits = run("qlora:rank=16", "auto");
    assert!(text(&four_bits.stderr).contains("weights of 16 bits and more"), "{}", text(&four_bits.stderr));
}

#[test]
fn a_model_that_no_device_holds_is_laid_out_without_being_asked() {
    let answer = |line: &str| {
        let args = line.split_whitespace().chain(["--format", "json"]);
        let output = crate::reliability::program().args(args).output().unwrap();
        assert!(output.status.success(), "{line}: {}", crate::reliability::text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let on = "llama-2-70b --hardware a100-sxm4-80gb --devices 64";
    let unasked = answer(&format!("estimate {on}"));
    let asked = answer(&format!("estimate {on} --layout auto"));
    let (unasked, asked) = (unasked["estimates"].as_array().unwrap(), asked["estimates"].as_array().unwrap());
    // How low-rank layers are shared over a tensor group is not known, so that dense alone is answered.
    assert_eq!((unasked.len(), &unasked[0]["arch"]), (1, &"dense".into()));
    assert_eq!(unasked[0]["layout"], asked[0]["layout"]);
    assert_eq!(unasked[0]["wall_h"], asked[0]["wall_h"]);
    assert_eq!(unasked[0]["fits"], true);
    let said = |estimate: &serde_json::Value| estimate["warnings"].to_string().contains("no room for the whole model");
    assert!(said(&unasked[0]) && !said(&asked[0]));
    // A micro-batch that is too large is no reason: a smaller one fits.
    let crowded = answer(
        "estimate gpt2 --hardware t4 --devices 8 --arch dense --micro-batch 64 --seq-len 1024 --tokens 1B --batch-size 512",
    );
    let crowded = &crowded["estimates"][0];
    assert_eq!((&crowded["layout"], &crowded["fits"]), (&serde_json::Value::Null, &false.into()));
    // A model that fits stays as it is, and so does one that fits nowhere.
    let small = answer("estimate gpt2 --hardware a100-sxm4-80gb --devices 8 --arch dense");
    assert_eq!(small["estimates"][0]["layout"], serde_json::Value::Null);
    let large = answer("estimate llama-2-70b --hardware t4 --devices 2 --arch dense");
    assert_eq!(
        (&large["estimates"][0]["layout"], &large["estimates"][0]["fits"]),
        (&serde_json::Value::Null, &false.into())
    );
    // A sweep has the same numbers, by the same layouts.
    for layout in ["", ",layout=auto"] {
        let swept = answer(&format!("estimate llama-2-70b --sweep hardware=a100-sxm4-80gb,devices=64{layout}"));
        let scenario = &swept["scenarios"][0];
        assert_eq!(scenario["layout"], unasked[0]["layout"]["layout"]);
        let (one, other) = (&scenario["wall_h"]["mid"], &unasked[0]["wall_h"]["mid"]);
        assert!((one.as_f64().unwrap() / other.as_f64().unwrap() - 1.0).abs() < 1e-9, "{one}, {other}");
    }
    let given = "dp=8,tp=8,pp=1,zero=1,recompute=full";
    let swept =
        answer(&format!("estimate llama-2-70b --sweep hardware=a100-sxm4-80gb,devices=64,layout={given},layout=auto"));
    let layouts: Vec<_> =
        swept["scenarios"].as_array().unwrap().iter().map(|s| s["layout"].as_str().unwrap()).collect();
    assert_eq!(layouts.len(), 2, "{layouts:?}");
    assert!(layouts[0].starts_with(given) && layouts[1] == unasked[0]["layout"]["layout"], "{layouts:?}");
}
