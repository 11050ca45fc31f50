//! Estimates for hardware that is not there: from the command line, and as properties.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use greenformers::catalog::{Catalog, Device, DeviceKind, Phase, SoftwareSpec};
use greenformers::estimate::{ConditionsBuilder, Hardware, Quantity, Request, estimate};
use greenformers::meter::Coverage;
use greenformers::model::{Arch, Config, Details, Family};
use greenformers::record::Workload;
use greenformers::units::{DType, Optimizer, Weights};
use proptest::prelude::*;
use serde_json::Value;

fn run(args: &[&str], folder: &Path) -> Output {
    Command::cargo_bin("greenformers").unwrap().args(args).current_dir(folder).output().unwrap()
}

fn ok(args: &[&str], folder: &Path) -> String {
    let output = run(args, folder);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str], folder: &Path) -> Value {
    serde_json::from_str(&ok(&[args, &["--format", "json"]].concat(), folder)).unwrap()
}

fn fails(args: &[&str], folder: &Path, code: i32) -> String {
    let output = run(args, folder);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?} printed something");
    message
}

fn mid(value: &Value) -> f64 {
    value["mid"].as_f64().unwrap()
}

fn dense(result: &Value) -> &Value {
    &result["estimates"][0]
}

#[test]
fn bert_base_on_eight_a100_says_all_that_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["estimate", "--hardware", "a100-sxm4-40gb", "--devices", "8", "--grid", "aws-eu-north-1"];
    let result = json(&args, folder.path());
    let e = dense(&result);
    assert_eq!((e["basis"].as_str(), e["software"].as_str()), (Some("analytic"), Some("unknown")));
    assert_eq!(e["micro_batch"], serde_json::json!([32, 32]), "a device's whole share of 256 sequences fits");
    for name in ["wall_h", "facility_energy_kwh", "operational_kgco2e", "embodied_kgco2e", "cost_usd", "water_l", "mfu"]
    {
        let (low, middle, high) = (e[name]["low"].as_f64(), e[name]["mid"].as_f64(), e[name]["high"].as_f64());
        assert!(low > Some(0.0) && low < middle && middle < high, "{name}: {}", e[name]);
    }
    let names: Vec<&str> = e["assumptions"].as_array().unwrap().iter().filter_map(|a| a["name"].as_str()).collect();
    for name in ["software", "micro-batch", "network", "PUE", "grid intensity", "power of the host beside a device"] {
        assert!(names.contains(&name), "{name} among {names:?}");
    }
    let shares = e["variance"].as_array().unwrap();
    assert!(!shares.is_empty() && shares.iter().all(|s| (0.0..=1.0).contains(&s["wall_h"].as_f64().unwrap())));
    // 32 sequences fill a device less than 256 do, each kernel costs its launch, and the gradients travel.
    let one = json(&["estimate", "--hardware", "a100-sxm4-40gb", "--grid", "aws-eu-north-1"], folder.path());
    let speedup = mid(&dense(&one)["wall_h"]) / mid(&e["wall_h"]);
    assert!((4.0..7.5).contains(&speedup), "{speedup}");
    assert_eq!(result, json(&args, folder.path()), "the same seed gives the same output");
    let other = json(&[&args[..], &["--seed", "1"]].concat(), folder.path());
    assert_ne!(result, other);
}

#[test]
fn software_decides_the_time_and_what_is_not_known_of_it_makes_the_interval_wide() {
    let folder = tempfile::tempdir().unwrap();
    let of = |software: &[&str], printed: &str| {
        let args = ["estimate", "--hardware", "h100-sxm5", "--workload", "gpt2", "--arch", "dense"];
        let result = json(&[&args[..], software].concat(), folder.path());
        assert_eq!(dense(&result)["software"], printed);
        let hours = &dense(&result)["wall_h"];
        (mid(hours), hours["high"].as_f64().unwrap() / hours["low"].as_f64().unwrap())
    };
    let eager = of(&["--software", "eager", "--attention", "fused"], "eager, fused attention");
    let optimised = of(&["--software", "optimised/fused"], "optimised, fused attention");
    let unknown = of(&[], "unknown");
    assert!((1.1..3.0).contains(&(eager.0 / optimised.0)), "{eager:?} {optimised:?}");
    assert!(optimised.0 < unknown.0 && unknown.0 < eager.0 * 1.3, "{optimised:?} {unknown:?} {eager:?}");
    assert!(unknown.1 > 1.3 * optimised.1, "{unknown:?} is as narrow as {optimised:?}");
    // The old names are two of the new.
    assert_eq!(of(&["--efficiency", "tuned"], "optimised, fused attention"), optimised);
    let message = fails(&["estimate", "--hardware", "h100-sxm5", "--software", "best"], folder.path(), 2);
    assert!(message.contains("expected `eager`, `compiled`, `optimised` or `unknown`"), "{message}");
    let message = fails(&["estimate", "--hardware", "h100-sxm5", "--attention", "some"], folder.path(), 2);
    assert!(message.contains("expected `fused` or `composed`"), "{message}");
}

#[test]
fn runs_of_ones_own_move_the_estimate_and_make_it_narrower() {
    let folder = tempfile::tempdir().unwrap();
    let header =
        "device,family,n_layers,d_model,n_heads,vocab_size,seq_len,micro_batch,dtype,tokens_per_s,software,attention";
    let run = |device: &str, speed: f64| format!("\n{device},decoder,24,2048,16,50304,2048,8,bf16,{speed},eager,fused");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("runs.csv", format!("{header}{}{}", run("h100-sxm5-80gb", 9000.0), run("a100-sxm4-80gb", 5000.0)));
    let said = ok(&["catalog", "calibrate", "runs.csv"], folder.path());
    assert!(said.contains("times as long as with eager software") && said.contains("run 2"), "{said}");
    let of = |more: &[&str]| {
        let args = ["estimate", "--hardware", "h100-sxm5", "--workload", "gpt2", "--arch", "dense"];
        let e = dense(&json(&[&args[..], more].concat(), folder.path()))["wall_h"].clone();
        (mid(&e), e["high"].as_f64().unwrap() / e["low"].as_f64().unwrap())
    };
    let (class, own) =
        (of(&["--software", "eager", "--attention", "fused"]), of(&["--calibration", "calibration.json"]));
    // Those runs are much slower than the class.
    assert!(own.0 > 1.2 * class.0 && own.1 < class.1, "{class:?} {own:?}");
    let again = fails(&["catalog", "calibrate", "runs.csv"], folder.path(), 1);
    assert!(again.contains("`calibration.json` is there already"), "{again}");
    for (name, text, expected) in [
        ("none.csv", header.to_owned(), "has no run"),
        (
            "two.csv",
            format!("{header}{}{}", run("t4", 1.0), run("t4", 1.0).replace("eager", "compiled")),
            "one program",
        ),
        ("typo.csv", header.replace("dtype", "type") + &run("t4", 1.0), "is not a table of runs"),
        ("zero.csv", format!("{header}{}", run("t4", 0.0)), "expected a number above 0"),
        ("card.csv", format!("{header}{}", run("nowhere", 1.0)), "nowhere"),
    ] {
        write(name, text);
        let message = fails(&["catalog", "calibrate", name, "-o", "out.json"], folder.path(), 1);
        assert!(message.contains(expected), "{name}: {message}");
        assert!(!folder.path().join("out.json").exists(), "{name}");
    }
    write("bad.json", "{}".to_owned());
    let message = fails(&["estimate", "--hardware", "t4", "--calibration", "bad.json"], folder.path(), 1);
    assert!(message.contains("`bad.json` is no calibration"), "{message}");
}

#[test]
fn a_wider_model_uses_its_device_better_at_the_same_level() {
    let folder = tempfile::tempdir().unwrap();
    let mfu = |d_model: usize, n_layers: usize| {
        let heads = d_model / 64;
        let text = format!(
            "name: wide\nsource: made up for a test\nmodel: {{family: decoder, n_layers: {n_layers}, d_model: {d_model}, \
             n_heads: {heads}, d_ff: {}, vocab_size: 32000, max_seq_len: 1024}}\noptimizer: adamw\nphases:\n  - {{steps: \
             1000, batch_size: 64, seq_len: 1024}}\n",
            4 * d_model
        );
        fs::write(folder.path().join("wide.yaml"), text).unwrap();
        let args = ["estimate", "--hardware", "h100-sxm5", "--workload", "wide.yaml", "--arch", "dense"];
        mid(&dense(&json(&args, folder.path()))["mfu"])
    };
    let (small, large) = (mfu(512, 8), mfu(2048, 24));
    assert!(large > 1.5 * small, "{small} and {large}");
}

#[test]
fn skinny_products_save_less_time_than_flops() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["estimate", "--hardware", "a100-sxm4-80gb", "--arch", "dense", "--arch", "lrt:rank=128"];
    let result = json(&args, folder.path());
    let e = &result["estimates"];
    let flops = e[1]["flop_total"].as_f64().unwrap() / e[0]["flop_total"].as_f64().unwrap();
    let time = mid(&e[1]["vs_dense"]["wall_h"]);
    assert!(time > flops + 0.05 && time < 1.0, "{time} of the time, {flops} of the FLOPs");
}

#[test]
fn explanations_end_at_the_numbers_of_the_estimate() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["estimate", "--hardware", "t4", "--grid", "fra", "--arch", "dense", "--explain"];
    let text = ok(&args, folder.path());
    for part in ["micro-batch of", "products with weights", "wall time, h", "IT energy x PUE", "gCO2e/kWh / 1000"] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    let result = json(&args[..args.len() - 1], folder.path());
    let e = dense(&result);
    for (name, key) in
        [("wall time, h", "wall_h"), ("facility energy, kWh", "facility_energy_kwh"), ("cost, USD", "cost_usd")]
    {
        let lines = e["explanation"].as_array().unwrap();
        let line = lines.iter().find(|l| l["name"] == name).unwrap_or_else(|| panic!("{name}"));
        let ratio = line["value"].as_f64().unwrap() / mid(&e[key]);
        assert!((0.85..1.15).contains(&ratio), "{name}: {ratio}");
    }
}

#[test]
fn the_best_start_is_found_among_the_hours_of_a_grid() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("timestamp,gco2e_per_kwh\n");
    for hour in 0..72 {
        // Clean from the 30th to the 39th hour.
        let g = if (30..40).contains(&hour) { 50 } else { 400 };
        text.push_str(&format!("2026-03-{:02}T{:02}:00Z,{g}\n", 1 + hour / 24, hour % 24));
    }
    fs::write(folder.path().join("hours.csv"), text).unwrap();
    fs::write(
        folder.path().join("short.yaml"),
        "name: short\nsource: made up for a test\nmodel: {n_layers: 12, d_model: 768, n_heads: 12, d_ff: 3072, vocab_size: \
         30522, max_seq_len: 512}\noptimizer: adamw\nphases:\n  - {steps: 50000, batch_size: 256, seq_len: 128}\n",
    )
    .unwrap();
    let base =
        ["estimate", "--workload", "short.yaml", "--hardware", "h100-sxm5", "--arch", "dense", "--grid", "hours.csv"];
    let at_once = json(&base, folder.path());
    let args = [&base[..], &["--start-within", "48h"]].concat();
    let waited = json(&args, folder.path());
    let when = &dense(&waited)["schedule"];
    let hours = mid(&dense(&waited)["wall_h"]);
    assert!((1.0..9.0).contains(&hours), "{hours}");
    let start = when["start_after_h"].as_u64().unwrap();
    assert!((30..=39).contains(&start), "{when}");
    assert!((when["saves"].as_f64().unwrap() - 0.875).abs() < 1e-9, "400 to 50: {when}");
    let (now, later) = (mid(&dense(&at_once)["operational_kgco2e"]), mid(&dense(&waited)["operational_kgco2e"]));
    assert!((later / now - 0.125).abs() < 1e-6, "{later} and {now}");
    // The explanation knows the hours as well.
    let lines = dense(&waited)["explanation"].as_array().unwrap();
    let line = lines.iter().find(|l| l["name"] == "operational emissions, kgCO2e").unwrap();
    assert!((0.85..1.15).contains(&(line["value"].as_f64().unwrap() / later)), "{line}");
    assert!(ok(&args, folder.path()).contains("less than at once"));
    // A run that is longer than the file has no best start.
    let long = ["estimate", "--hardware", "t4", "--arch", "dense", "--grid", "hours.csv", "--start-within", "48h"];
    let result = json(&long, folder.path());
    assert!(dense(&result)["schedule"].is_null());
    assert!(ok(&long, folder.path()).contains("the hours of the grid end before a run of"));
}

#[test]
fn a_file_of_hours_is_said_to_be_what_it_was_taken_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "MTU (UTC),Area,Production Type,Generation (MW)\n".to_owned();
    for hour in 0..24 {
        let period = format!("01/03/2026 {hour:02}:00 - 01/03/2026 {hour:02}:59");
        text.push_str(&format!("{period},BZN|FR,Fossil Gas,1000\n{period},BZN|FR,Nuclear,3000\n"));
    }
    fs::write(folder.path().join("entsoe.csv"), text).unwrap();
    let args = ["estimate", "--hardware", "t4", "--arch", "dense", "--grid", "entsoe.csv"];
    let output = run(&args, folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = "`entsoe.csv`: 24 hours from 2026-03-01T00:00Z, read as ENTSO-E's generation by source";
    assert!(output.status.success() && said.contains(expected), "{said}");
    // (1000 x 490 + 3000 x 12) / 4000
    let inputs = json(&args, folder.path());
    let intensity = dense(&inputs)["assumptions"].as_array().unwrap().iter().find(|a| a["name"] == "grid intensity");
    assert!((intensity.unwrap()["value"].to_string().contains("131.5")), "{intensity:?}");
}

#[test]
fn a_sweep_that_is_given_twice_is_that_of_both_lists() {
    let folder = tempfile::tempdir().unwrap();
    let once = json(&["estimate", "--arch", "dense", "--sweep", "hardware=t4,p100,grid=fra,pol"], folder.path());
    let twice =
        json(&["estimate", "--arch", "dense", "--sweep", "hardware=t4,p100", "--sweep", "grid=fra,pol"], folder.path());
    assert!(once["scenarios"].as_array().is_some_and(|all| all.len() > 2), "{once}");
    assert_eq!(once, twice);
}

#[test]
fn bad_hours_units_and_sweeps_are_refused_and_strange_ones_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let hours = |text: &str| {
        fs::write(folder.path().join("bad.csv"), text).unwrap();
        fails(&["estimate", "--hardware", "t4", "--grid", "bad.csv"], folder.path(), 1)
    };
    let head = "time,gco2e_per_kwh\n2026-03-01T00:00Z,100\n";
    for (row, part) in [
        ("2026-03-01T00:00Z,100\n", "is there twice"),
        ("2026-03-01T03:00Z,100\n", "2 hours are missing"),
        ("2026-03-01T01:00Z,-5\n", "the intensity is -5"),
        ("2026-03-01T01:00Z,inf\n", "the intensity is inf"),
        ("2026-03-01T01:00Z,n/a\n", "the intensity `n/a` is no number"),
        ("tomorrow,5\n", "`tomorrow` is no time"),
    ] {
        let message = hours(&format!("{head}{row}"));
        assert!(message.contains(part) && message.contains("line 3"), "{part}: {message}");
    }
    for (args, code, part) in [
        (vec!["--grid", "nowhere.csv"], 1, "cannot read `nowhere.csv`"),
        (vec!["--start-within", "48h"], 1, "needs the hours of a grid"),
        (vec!["--start-within", "soon"], 2, "expected a whole number of hours"),
        (vec!["--grid-intensity=-1"], 2, "expected the emissions of a kilowatt-hour"),
        (vec!["--price", "cheap"], 1, "no price of `t4-16gb` is known as `cheap`: expected `list`, `on-demand`"),
        (vec!["--price-year", "2019"], 1, "no price of `t4-16gb` is known of `2019`: expected `2024`, `2026`"),
        (vec!["--price-year", "2024", "--usd-per-hour", "1"], 2, "cannot be used with"),
        (vec!["--devices", "0"], 1, "expected at least 1"),
        (vec!["--devices", "257"], 1, "at most 256 devices"),
        (vec!["--dtype", "bf16"], 1, "no peak for `bf16`: expected one of `f32`, `f16`"),
        (vec!["--micro-batch", "0"], 2, "0 is not in"),
        (vec!["--sweep", "colour=red"], 1, "has no list `colour`"),
        (vec!["--sweep", "1,2"], 1, "begins with no list"),
        (vec!["--sweep", "devices=0"], 1, "expected whole numbers of at least 1"),
        (vec!["--sweep", "dtype=f8"], 1, "unknown dtype `f8`"),
        (vec!["--sweep", "hardware=t5"], 1, "unknown hardware `t5`"),
        (vec!["--sweep", "grid=all", "--pareto", "beauty"], 2, "unknown goal `beauty`"),
        (vec!["--sweep", "grid=all", "--max-cost", "NaN"], 2, "expected a finite number"),
        (vec!["--sweep", "grid=all", "--out", "x.xlsx"], 1, "neither a .csv nor a .parquet"),
        (vec!["--sweep", "dtype=f16", "--grid", "hours.csv"], 1, "takes no hours of a grid"),
        (vec!["--pareto", "time"], 2, "--sweep"),
    ] {
        let message = fails(&[&["estimate", "--hardware", "t4"][..], &args].concat(), folder.path(), code);
        assert!(message.contains(part), "{args:?}: `{part}` in {message}");
    }
    for g in ["0.4", "900000"] {
        let text = ok(&["estimate", "--hardware", "t4", "--arch", "dense", "--grid-intensity", g], folder.path());
        assert!(text.contains("is outside what grids have"), "{g}");
    }
    assert!(!folder.path().join("x.xlsx").exists());
}

#[test]
fn prices_are_chosen_by_their_basis_and_all_offers_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let args = |basis: &'static str| ["estimate", "--hardware", "h100-sxm5", "--arch", "dense", "--price", basis];
    let (spot, list) = (json(&args("spot"), folder.path()), json(&args("list"), folder.path()));
    let per_hour = |r: &Value| mid(&dense(r)["cost_usd"]) / mid(&dense(r)["device_h"]);
    assert!((per_hour(&spot) - 1.25).abs() < 1e-6, "one offer: {}", per_hour(&spot));
    assert!((11.0..12.3).contains(&per_hour(&list)), "{}", per_hour(&list));
    let text = ok(&[&args("list")[..], &["--assumptions"]].concat(), folder.path());
    assert!(text.contains("price offer (list") && text.contains("a3-highgpu-1g"), "{text}");
    let of_year = |year: &'static str| ["estimate", "--hardware", "h100-sxm5", "--arch", "dense", "--price-year", year];
    let past = json(&of_year("2024"), folder.path());
    assert!(per_hour(&past) > 2.0 * per_hour(&json(&of_year("2026"), folder.path())), "{}", per_hour(&past));
    let text = ok(&[&of_year("2024")[..], &["--assumptions"]].concat(), folder.path());
    assert!(text.contains("2 dated offers of 2024 of any provider"), "{text}");
}

#[test]
fn a_run_that_does_not_fit_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["estimate", "--hardware", "t4", "--workload", "bert-large", "--arch", "dense", "--micro-batch", "256"];
    assert_eq!(dense(&json(&args, folder.path()))["fits"], false);
    let text = ok(&args, folder.path()).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "does not fit the memory of a device",
        "GB, of 16.1 GB that there are",
        "or `--gradient-checkpointing`, or `--optimizer",
    ] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    let again = ok(&[&args[..], &["--gradient-checkpointing"]].concat(), folder.path());
    assert!(!again.contains("or `--gradient-checkpointing`"), "{again}");
    let lora =
        ["estimate", "qwen3-8b", "--arch", "lora:rank=16", "--tokens", "1M", "--batch-size", "8", "--seq-len", "2048"];
    let lora = ok(&[&lora[..], &["--hardware", "4090", "--software", "eager"]].concat(), folder.path());
    assert!(lora.contains("qlora") && !lora.contains("adamw-8bit"), "{lora}");
    let error = fails(&["estimate", "--hardware", "t4", "--dtype", "f32", "--weights", "16bit"], folder.path(), 1);
    assert!(error.contains("weights of 16 bits need a step in 16 bits, and this one is in f32"), "{error}");
    let fitting = json(&args[..args.len() - 2], folder.path());
    assert_eq!(dense(&fitting)["fits"], true, "the default is the largest micro-batch that fits");
}

#[test]
fn devices_that_nothing_was_published_of_are_less_sure_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let of = |hardware: &str| {
        let result = json(&["estimate", "--hardware", hardware, "--arch", "dense"], folder.path());
        let e = dense(&result);
        let warned =
            e["warnings"].as_array().unwrap().iter().any(|w| w["fact"].as_str().unwrap().contains("no published run"));
        (warned, (e["wall_h"]["high"].as_f64().unwrap() / e["wall_h"]["low"].as_f64().unwrap()).ln())
    };
    let (a100, l4, mi300x) = (of("a100-sxm4-80gb"), of("l4-24gb"), of("mi300x"));
    assert!(!a100.0 && !l4.0 && mi300x.0);
    assert!(a100.1 < l4.1 && l4.1 < mi300x.1, "{} {} {}", a100.1, l4.1, mi300x.1);
}

#[test]
fn a_sweep_agrees_with_single_estimates_and_keeps_its_frontier() {
    let folder = tempfile::tempdir().unwrap();
    // Of one kind of software: with several, and a price that is skewed, the median of the cost is no product of medians.
    let sweep = "hardware=a100-sxm4-80gb,t4,grid=fra,pol,dtype=f16,devices=1,8,software=optimised/fused";
    let base = ["estimate", "--sweep", sweep];
    let text = ok(&[&base[..], &["--format", "csv"]].concat(), folder.path());
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect();
    let header = csv::Reader::from_reader(text.as_bytes()).headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    assert_eq!(rows.len(), 8, "2 devices x 2 grids x 1 dtype x 2 numbers");
    let number = |row: &csv::StringRecord, name: &str| row[column(name)].parse::<f64>().unwrap();
    for row in &rows {
        let (hardware, grid, devices) = (&row[column("hardware")], &row[column("grid")], &row[column("devices")]);
        let args = [
            "estimate",
            "--hardware",
            hardware,
            "--grid",
            grid,
            "--devices",
            devices,
            "--dtype",
            "f16",
            "--arch",
            "dense",
            "--software",
            "optimised/fused",
        ];
        let single = json(&args, folder.path());
        for name in ["wall_h", "facility_energy_kwh", "operational_kgco2e", "cost_usd"] {
            let e = &dense(&single)[name];
            let ratio = number(row, name) / mid(e);
            // The median of a product is not the product of medians where one of them is skewed, as prices are.
            let close = if name == "cost_usd" { 0.85..1.15 } else { 0.93..1.07 };
            assert!(close.contains(&ratio), "{hardware} {grid} {devices} {name}: {ratio}");
            let width = |low: f64, high: f64| (high / low).ln();
            let widths = width(number(row, &format!("{name}_low")), number(row, &format!("{name}_high")))
                / width(e["low"].as_f64().unwrap(), e["high"].as_f64().unwrap());
            assert!((0.6..1.6).contains(&widths), "{hardware} {grid} {name}: width {widths}");
        }
    }
    let limited = [&base[..], &["--format", "csv", "--pareto", "time,cost,co2e", "--max-hours", "100"]].concat();
    let kept = ok(&limited, folder.path());
    let kept: Vec<csv::StringRecord> =
        csv::Reader::from_reader(kept.as_bytes()).records().map(Result::unwrap).collect();
    assert!(!kept.is_empty() && kept.len() < 8);
    assert!(kept.iter().all(|r| &r[column("grid")] == "fra" && number(r, "wall_h") <= 100.0), "{kept:?}");
    for file in ["out.csv", "out.parquet"] {
        ok(&[&base[..], &["--out", file]].concat(), folder.path());
    }
    assert_eq!(fs::read_to_string(folder.path().join("out.csv")).unwrap(), text);
    assert_eq!(&fs::read(folder.path().join("out.parquet")).unwrap()[..4], b"PAR1");
    let sentence = ok(&[&base[..], &["--recommend"]].concat(), folder.path());
    assert!(sentence.contains("Choose dense in f16 on") && sentence.contains("smallest product of"), "{sentence}");
}

/// Every interval of an estimate: JSON writes a number that is not finite as null.
fn assert_finite(value: &Value, path: &str) {
    match value {
        Value::Object(map) => {
            if map.contains_key("mid") {
                for end in ["low", "mid", "high"] {
                    assert!(map[end].as_f64().is_some_and(f64::is_finite), "{path}.{end}: {value}");
                }
            }
            map.iter().for_each(|(k, v)| assert_finite(v, &format!("{path}.{k}")));
        }
        Value::Array(list) => list.iter().for_each(|v| assert_finite(v, path)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_estimate_has_a_number_that_is_not_finite(
        (heads, d_head, layers) in (1usize..24, 1usize..200, 1usize..100),
        (d_ff, vocab) in (1usize..20_000, 1usize..300_000),
        (seq_len, batch, steps) in (1usize..20_000, 1usize..5_000, 1u64..2_000_000_000),
        (devices, which, dtype) in (1u32..3_000, 0usize..1_000, 0usize..4),
        (decoder, gated, checkpoint, tuned) in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let all: Vec<Device> = Catalog::default().all().unwrap();
        let device = all[which % all.len()].clone();
        let workload = Workload {
            name: "any".to_owned(),
            source: "made up".to_owned(),
            model: Config {
                family: if decoder { Family::Decoder } else { Family::Encoder },
                n_layers: layers,
                d_model: heads * d_head,
                n_heads: heads,
                d_ff,
                vocab_size: vocab,
                max_seq_len: seq_len,
                type_vocab_size: 2,
                gated_mlp: gated,
                details: Details::default(),
            },
            optimizer: Optimizer::AdamW,
            weights: Weights::default(),
            phases: vec![Phase { steps, batch_size: batch, seq_len, masked_per_seq: None }],
            grad_checkpointing: checkpoint,
            grad_accumulation: None,
        };
        let coverage = if device.kind == DeviceKind::Cpu { Coverage::CpuPackage } else { Coverage::Gpu };
        let conditions = ConditionsBuilder {
            grid: Some(Catalog::default().grid("fra").unwrap()),
            device: Some(device.clone()),
            coverage: Some(coverage),
            share: 1.0,
            ..ConditionsBuilder::default()
        };
        let conditions = conditions.build().unwrap();
        let archs = [Arch::Dense, Arch::Lrt { rank: 1 }];
        let request = Request {
            devices,
            software: if tuned { "optimised/fused".parse().unwrap() } else { SoftwareSpec::default() },
            seed: 7,
            ..Request::new(&workload, &archs, Hardware::Catalog(device), DType::ALL[dtype], &conditions)
        };
        if let Ok(estimates) = estimate(&request) {
            for e in &estimates {
                assert_finite(&serde_json::to_value(e).unwrap(), "");
                prop_assert!(e.footprint.of(Quantity::Wall).unwrap().low > 0.0);
            }
        }
    }
}

/// A folder with the record of a quick campaign on a tiny model, in micro-batches of 8.
fn profiled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tiny = "name: tiny\nsource: made up for a test\nmodel: {n_layers: 2, d_model: 24, n_heads: 3, d_ff: 40, vocab_size: \
                101, max_seq_len: 64}\noptimizer: adamw\nphases:\n  - {steps: 1000, batch_size: 16, seq_len: 8}\n  - \
                {steps: 100, batch_size: 16, seq_len: 32}\n";
    fs::write(folder.path().join("tiny.yaml"), tiny).unwrap();
    fs::write(folder.path().join("longer.yaml"), tiny.replace("seq_len: 32}", "seq_len: 64}")).unwrap();
    let args = ["profile", "--workload", "tiny.yaml", "--meter", "none", "--device", "cpu", "--batch-size", "8"];
    ok(&[&args[..], &["--max-time", "1.5", "-o", "out"]].concat(), folder.path());
    folder
}

#[test]
fn a_record_is_measured_where_it_was_made_and_scaled_elsewhere() {
    let folder = profiled();
    let basis = |args: &[&str]| {
        let result = json(&[&["estimate", "out"][..], args].concat(), folder.path());
        let e = dense(&result);
        (
            e["basis"].as_str().unwrap().to_owned(),
            (e["wall_h"]["high"].as_f64().unwrap() / e["wall_h"]["low"].as_f64().unwrap()).ln(),
        )
    };
    let (measured, narrow) = basis(&[]);
    assert_eq!(measured, "measured");
    // Another length, another rank, another micro-batch: carried over by class, and less sure.
    for args in
        [&["--workload", "longer.yaml"][..], &["--arch", "lrt:rank=5"], &["--micro-batch", "4"], &["--devices", "2"]]
    {
        let (scaled, width) = basis(args);
        assert_eq!(scaled, "scaled", "{args:?}");
        // Where the measured steps scatter so much that nothing else counts, both are as wide, but for what 10 000 draws leave open.
        assert!(width > 0.0 && (args[0] == "--devices" || width > 0.98 * narrow), "{args:?}: {width} and {narrow}");
    }
    // A CPU says nothing of what software reaches on a GPU.
    let text = ok(&["estimate", "out", "--hardware", "t4"], folder.path());
    assert!(text.contains("modelled, not measured") && text.contains("it is not used"), "{text}");
}

#[test]
fn a_record_of_one_gpu_is_carried_to_another() {
    let record = concat!(env!("CARGO_MANIFEST_DIR"), "/reports/h200-bert-base");
    let folder = tempfile::tempdir().unwrap();
    let of = |hardware: &str| dense(&json(&["estimate", record, "--hardware", hardware], folder.path())).clone();
    let (same, h100, a100) = (of("h200"), of("h100-sxm5"), of("a100-sxm4-80gb"));
    assert_eq!([&same, &h100, &a100].map(|e| e["basis"].as_str().unwrap()), ["measured", "scaled", "scaled"]);
    assert_eq!(h100["hardware"], "h100-sxm5-80gb");
    // An H100 computes as fast and has less bandwidth; the peak of an A100 is 3.2 times lower.
    let slower = |other: &Value| mid(&other["wall_h"]) / mid(&same["wall_h"]);
    assert!((0.9..1.4).contains(&slower(&h100)), "{}", slower(&h100));
    assert!((1.3..3.2).contains(&slower(&a100)), "{}", slower(&a100));
}

/// The assumptions of an estimate by name: value and source.
fn assumption(estimate: &Value, name: &str) -> Option<(Value, String)> {
    let list = estimate["assumptions"].as_array().unwrap();
    let found = list.iter().find(|a| a["name"] == name)?;
    Some((found["value"].clone(), found["source"].as_str().unwrap().to_owned()))
}

const ON_32_V100: [&str; 9] =
    ["estimate", "--hardware", "v100-sxm2-16gb", "--devices", "32", "--arch", "dense", "--grid", "fra"];

#[test]
fn a_network_that_is_given_replaces_the_catalogs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let with = |extra: &[&str]| json(&[&ON_32_V100[..], extra].concat(), folder.path());
    let (usual, slow, named) =
        (with(&[]), with(&["--network", "10"]), with(&["--network", "ethernet-10", "--devices-per-node", "8"]));
    let hours = |result: &Value| mid(&dense(result)["wall_h"]);
    assert!(hours(&slow) > 1.3 * hours(&usual), "{} and {}", hours(&slow), hours(&usual));
    assert_eq!(hours(&slow), hours(&named), "a name is a speed");
    let between = assumption(dense(&slow), "network between machines").unwrap();
    assert_eq!(between, ("10 Gbit/s a machine".into(), "given with `--network`".to_owned()));
    let (value, _) = assumption(dense(&slow), "network").unwrap();
    assert_eq!(value, "NVLink 2 at 150 GB/s one way, 0.15625 GB/s a device between machines of 8");
    assert!(assumption(dense(&usual), "network between machines").is_none());
    let (value, source) = assumption(dense(&named), "network between machines").unwrap();
    assert!(value == "ethernet-10, 10 Gbit/s a machine" && source.contains("IEEE 802.3ae"), "{value}: {source}");
    assert_eq!(assumption(dense(&named), "devices in a machine").unwrap().1, "given with `--devices-per-node`");
    // In one machine of 32 nothing goes over the network.
    let one = with(&["--network", "10", "--devices-per-node", "32"]);
    assert!(hours(&one) < hours(&usual), "{} and {}", hours(&one), hours(&usual));
}

#[test]
fn the_speed_of_the_network_is_uncertain_in_estimates_and_in_sweeps() {
    let folder = tempfile::tempdir().unwrap();
    let slow = json(&[&ON_32_V100[..], &["--network", "10"]].concat(), folder.path());
    let e = dense(&slow);
    let list = e["assumptions"].as_array().unwrap();
    let speed = list.iter().find(|a| a["name"] == "speed of the network").unwrap();
    let range = |i: usize| speed["range"][i].as_f64().unwrap();
    assert!((range(0) - 0.5).abs() < 0.02 && (range(1) - 1.0).abs() < 0.02, "{speed}");
    let shares = e["variance"].as_array().unwrap();
    assert!(shares.iter().any(|s| s["input"] == "speed of the network"), "{shares:?}");
    let spread = |extra: &[&str]| {
        let base =
            ["estimate", "--sweep", "hardware=v100-sxm2-16gb,devices=32", "--grid", "fra", "--software", "optimised"];
        let result = json(&[&base[..], extra].concat(), folder.path());
        let hours = result["scenarios"][0]["wall_h"].clone();
        (hours["mid"].as_f64().unwrap(), hours["high"].as_f64().unwrap() / hours["mid"].as_f64().unwrap())
    };
    let ((fast_h, fast), (slow_h, slow)) = (spread(&["--network", "3200"]), spread(&["--network", "10"]));
    // Beside what is lost on several machines.
    assert!(slow_h > 1.3 * fast_h && slow > 1.005 * fast, "{fast_h}, {fast}; {slow_h}, {slow}");
}

#[test]
fn networks_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (args, parts) in [
        (["--network", "0"], ["a network of `0`", "0.001 to 100000 Gbit/s", "hint:"]),
        (["--network", "-100"], ["a network of `-100`", "0.001 to 100000 Gbit/s", "hint:"]),
        (["--network", "fast"], ["`fast` is no network", "`infiniband-hdr`", "hint:"]),
        (["--devices-per-node", "0"], ["a machine of `0` devices", "from 1 to 65536", "hint:"]),
        (["--devices-per-node", "-8"], ["a machine of `-8` devices", "from 1 to 65536", "hint:"]),
        (["--devices-per-node", "eight"], ["a machine of `eight` devices", "from 1 to 65536", "hint:"]),
    ] {
        let message = fails(&[&ON_32_V100[..], &args].concat(), folder.path(), 2);
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
    }
    let one = ["estimate", "--hardware", "t4", "--arch", "dense", "--network", "100"];
    assert!(ok(&one, folder.path()).contains("one device exchanges nothing"));
}

#[test]
fn explanations_say_what_a_device_draws_while_it_waits_for_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let result = json(&[&ON_32_V100[..], &["--network", "10"]].concat(), folder.path());
    let lines = dense(&result)["explanation"].as_array().unwrap();
    let line = |name: &str| lines.iter().find(|l| l["name"] == name).unwrap_or_else(|| panic!("{name}"));
    let value = |name: &str| line(name)["value"].as_f64().unwrap();
    let (all, shown) = (value("all-reduce of phase 1, s"), value("exchange of gradients that shows in phase 1, s"));
    assert!(0.0 < shown && shown < all, "{shown} of {all}");
    let energy = line("energy of a step of phase 1 on a device, J");
    let text = energy["arithmetic"].as_str().unwrap();
    assert!(text.contains("s of exchange (idle") && text.contains("+ 0.4 x ("), "{text}");
    let full = value("power of a device in phase 1, W") * value("step of phase 1, s");
    let joules = energy["value"].as_f64().unwrap();
    assert!(joules < 0.9 * full && joules > 0.4 * full, "{joules} and {full}");
    // The whole ends at the number of the estimate, waiting included.
    let kwh = value("facility energy, kWh") / mid(&dense(&result)["facility_energy_kwh"]);
    assert!((0.85..1.15).contains(&kwh), "{kwh}");
}

#[test]
fn a_linformer_is_no_causal_decoder() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["estimate", "--hardware", "h100-sxm5", "--workload", "gpt2"];
    for extra in [&["--arch", "linformer:k=128"][..], &["--sweep", "hardware=h100-sxm5,arch=linformer:k=128"]] {
        let message = fails(&[&base[..], extra].concat(), folder.path(), 1);
        for part in ["`linformer:k=128` cannot be a causal decoder", "those it is to predict", "hint: give `dense`"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let result = json(&base, folder.path());
    let archs: Vec<&str> = result["estimates"].as_array().unwrap().iter().filter_map(|e| e["arch"].as_str()).collect();
    assert_eq!(archs, ["dense", "lrt"], "what is compared where nothing is named");
}

#[test]
fn more_sequences_or_devices_than_a_batch_has_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = ["estimate", "--hardware", "t4", "--arch", "dense"];
    let message = fails(&[&base[..], &["--devices", "8", "--micro-batch", "64"]].concat(), folder.path(), 1);
    for part in ["`--micro-batch 64` is more than the 32 sequences", "256 in a step over 8", "hint: give at most 32"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    ok(&[&base[..], &["--devices", "8", "--micro-batch", "32"]].concat(), folder.path());
    let message = fails(&[&base[..], &["--devices", "257"]].concat(), folder.path(), 1);
    let part = "a batch of 256 sequences cannot be spread over 257 devices: expected at most 256 devices\nhint: fewer";
    assert!(message.contains(part), "{message}");
    let args = ["estimate", "--sweep", "hardware=t4,devices=1,8", "--micro-batch", "64"];
    assert_eq!(json(&args, folder.path())["scenarios"].as_array().unwrap().len(), 1);
}
