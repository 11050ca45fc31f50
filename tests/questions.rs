//! Questions as people ask them: whole command lines, on terminals of several widths.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn run(args: &[&str], folder: &Path, columns: u32) -> Output {
    let mut program = Command::cargo_bin("greenformers").unwrap();
    // Prices are old or not by this day.
    program.env("SOURCE_DATE_EPOCH", "1795651200").env("COLUMNS", columns.to_string());
    program.args(args).current_dir(folder).output().unwrap()
}

fn answer(line: &str, columns: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = run(&args, folder.path(), columns);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn estimates(line: &str) -> Vec<Value> {
    let text = answer(&format!("{line} --format json"), 80);
    let all: Value = serde_json::from_str(&text).unwrap();
    all["estimates"].as_array().cloned().unwrap_or_else(|| vec![all])
}

fn refused(line: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = run(&args, folder.path(), 80);
    assert!(!output.status.success() && output.stdout.is_empty(), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

fn value<'a>(estimate: &'a Value, assumption: &str) -> &'a Value {
    let all = estimate["assumptions"].as_array().unwrap();
    &all.iter().find(|a| a["name"] == assumption).unwrap_or_else(|| panic!("no {assumption}"))["value"]
}

const JOBS: [&str; 12] = [
    "estimate bert-large --hardware a100 --devices 8 --cloud aws --region eu-west-1",
    "estimate --step-time 0.42s --steps 100k --grid poland",
    "estimate --step-time 0.42s --steps 100k --grid Sweden --hardware h100-sxm5",
    "estimate gpt2 --hardware a100-sxm4-80gb,h100-sxm5 --arch dense --cloud aws",
    "estimate gpt2 --instance p4d.24xlarge --tokens 10B --batch-tokens 0.5M",
    "estimate --hardware 4090 --dtype bfloat16 --arch dense --usd-per-kwh 0.30EUR/kWh --eur-usd 1.08 --grid deu",
    "footprint --hours 11h40m --devices 8 --hardware a100-sxm4-80gb --cloud aws --region Ireland",
    "footprint --energy-kwh 120 --grid swe --pue 1.1",
    "estimate --hardware h100-sxm5 --grid california --arch dense --basis direct",
    "estimate bert-large --sweep hardware=a100-sxm4-40gb,h100-sxm5,devices=1,8,grid=fra,pol,dtype=bf16,f16",
    "estimate --sweep hardware=a100-sxm4-80gb,devices=8,arch=dense,lrt:rank=256",
    "estimate --sweep hardware=h100-sxm5,a100-sxm4-80gb,grid=fra,pol,devices=8 --recommend",
];

#[test]
fn every_answer_fits_its_terminal_and_is_short() {
    for line in JOBS {
        for columns in [60, 80, 120] {
            let text = answer(line, columns);
            // A command to copy is not broken.
            let shown: Vec<&str> = text.lines().filter(|l| !l.starts_with("next: ")).collect();
            let wide: Vec<&&str> = shown.iter().filter(|l| l.chars().count() > columns as usize).collect();
            assert!(wide.is_empty(), "{line} at {columns}: {wide:#?}");
            let most = if line.starts_with("footprint") { 34 } else { 22 };
            assert!(shown.len() <= most, "{line} at {columns}: {} lines\n{text}", shown.len());
            assert!(text.contains("\nassumed: ") || line.contains("energy-kwh"), "{line}: {text}");
            assert!(text.contains("next:    greenformers "), "{line}: {text}");
        }
    }
}

#[test]
fn the_answer_is_a_sentence_a_table_three_assumptions_and_the_next_command() {
    insta::assert_snapshot!(answer(JOBS[0], 80), @r"
    bert-large (dense) on 8 x a100-sxm4-40gb, AWS eu-west-1 (Ireland):
    31.4 [16.9, 69.2] h, 745 [400, 1640] USD, 127 [65.5, 289] kWh and
    36.5 [18.9, 83.2] kgCO2e (life-cycle); modelled, not measured.

    architecture                time h  kWh  kgCO2e  USD  / dense
    dense            31.4 [16.9, 69.2]  127    36.5  745        -
    LRT r=341        29.6 [12.8, 79.6]  120    34.5  701     0.90
    Linformer k=128  30.0 [16.1, 62.9]  121    34.7  711     0.95

    assumed: software: unknown (`--software eager`, `compiled` or
             `optimised`)
             efficiency of this hardware (a profile would tell, or `--calibration
             FILE`)
             power of the device (a profile would tell)
    next:    greenformers estimate bert-large --hardware a100 --devices 8 --cloud aws --region eu-west-1 --assumptions
    ");
    insta::assert_snapshot!(answer(JOBS[3], 120), @r"
    1 x h100-sxm5-80gb is the fastest, 2.01 x faster than 1 x a100-sxm4-80gb, though that is not certain. 1 x h100-sxm5-80gb
    and 1 x a100-sxm4-80gb cost the same. 1 x h100-sxm5-80gb is the cleanest, 1.16 x less CO2e than 1 x a100-sxm4-80gb,
    though that is not certain.

    hardware                time days             kWh           kgCO2e                USD
    a100-sxm4-80gb  23.2 [15.0, 48.9]  308 [189, 653]  135 [19.0, 348]  1910 [1230, 4030]
    h100-sxm5-80gb  11.5 [7.24, 25.8]  267 [160, 603]  116 [16.4, 317]  1910 [1200, 4270]

    assumed: software: unknown (`--software eager`, `compiled` or `optimised`)
             site: AWS, average (`--site NAME` or `--pue X`)
             grid: World (world), life-cycle (`--grid NAME`, or `--cloud NAME --region NAME`)
    next:    greenformers estimate gpt2 --hardware a100-sxm4-80gb,h100-sxm5 --arch dense --cloud aws --assumptions
    ");
    insta::assert_snapshot!(answer(JOBS[1], 60), @r"
    100000 steps, Poland (pol): 12.2 [11.8, 12.8] h.

    architecture             time h  kWh  kgCO2e  USD
    run           12.2 [11.8, 12.8]    -       -    -

    it_energy_kwh: no power was given: add `--power WATTS`, or
      `--hardware` for a modelled one
    assumed: site: Workstation or laboratory machine
             (`--site NAME` or `--pue X`)
    next:    greenformers estimate --step-time 0.42s --steps 100k --grid poland --assumptions
    ");
}

#[test]
fn a_sweep_ends_as_an_estimate_does() {
    insta::assert_snapshot!(answer(JOBS[10], 80), @r"
    The fastest of the 2 scenarios that fit: bert-base (LRT r=256) on 8 x
    a100-sxm4-80gb, World (world): 10.3 [4.72, 19.1] h, 258 [112, 589] USD,
    59.2 [26.1, 115] kWh and 22.7 [3.22, 61.7] kgCO2e (life-cycle); modelled, not
    measured.

    All: devices: 8, dtype: bf16, software: unknown, grid: world, fits: yes
    hardware        architecture  time h   kWh  kgCO2e  USD
    a100-sxm4-80gb  dense           10.5  60.7    25.4  270
    a100-sxm4-80gb  LRT r=256       10.3  59.2    22.7  258

    assumed: software: unknown (`--software eager`, `compiled` or
             `optimised`)
             site: Data-centre industry average, 2025 (`--site NAME` or `--pue X`)
             grid: World (world), life-cycle (`--grid NAME`, or `--cloud NAME
             --region NAME`)
    next:    greenformers estimate --sweep hardware=a100-sxm4-80gb,devices=8,arch=dense,lrt:rank=256 --recommend
    ");
    insta::assert_snapshot!(answer(JOBS[9], 60), @r"
    The fastest of the 16 scenarios that fit: bert-large (dense)
    on 8 x h100-sxm5-80gb, France (fra): 17.5 [8.55, 35.4] h,
    603 [149, 2310] USD, 137 [64.7, 295] kWh and
    7.22 [3.38, 15.7] kgCO2e (life-cycle); modelled, not
    measured.

    All: dtype: bf16, f16, software: unknown, architecture:
      dense, grid: fra, fits: yes
    hardware        devices  time h  kWh  kgCO2e  USD
    h100-sxm5-80gb        8    17.5  137    7.22  603
    a100-sxm4-40gb        8    31.4  176    9.35  598
    h100-sxm5-80gb        1    84.1  110    5.83  381
    6 of 16, beaten by none in all of time, cost, CO2e;
    `--format csv` or `--out FILE` has all.

    assumed: software: unknown (`--software eager`,
             `compiled` or `optimised`)
             site: Data-centre industry average, 2025 (`--site
             NAME` or `--pue X`)
             price of a device: 3.99 [1.25, 12.3] USD/h
             (`--cloud NAME` or `--usd-per-hour X`)
    next:    greenformers estimate bert-large --sweep hardware=a100-sxm4-40gb,h100-sxm5,devices=1,8,grid=fra,pol,dtype=bf16,f16 --recommend
    ");
    insta::assert_snapshot!(answer(JOBS[11], 100), @r"
    Choose dense in bf16 on 8 x NVIDIA H100 SXM5 80 GB, France: 7.35 [2.98, 15.3] h, 244 USD, 2.64
    kgCO2e. Of 4 scenarios that fit, it has the smallest product of time, cost and CO2e. None takes less
    time, cost or CO2e. 3 others may be as fast: a measured step of each would tell.

    All: devices: 8, dtype: bf16, software: unknown, architecture: dense, fits: yes
    hardware        grid             time h               kWh             kgCO2e              USD
    h100-sxm5-80gb  fra   7.35 [2.98, 15.3]  50.0 [20.2, 111]  2.64 [1.05, 5.94]  244 [52.2, 997]
    h100-sxm5-80gb  pol   7.35 [2.98, 15.3]  50.0 [20.2, 111]  32.5 [13.2, 72.1]  244 [52.2, 997]
    a100-sxm4-80gb  fra   10.5 [6.27, 19.3]  60.7 [34.1, 116]  3.20 [1.77, 6.20]   270 [147, 589]
    a100-sxm4-80gb  pol   10.5 [6.27, 19.3]  60.7 [34.1, 116]  39.4 [22.0, 75.9]   270 [147, 589]

    assumed: software: unknown (`--software eager`, `compiled` or `optimised`)
             site: Data-centre industry average, 2025 (`--site NAME` or `--pue X`)
             price of a device: 3.99 [1.25, 12.3] USD/h (`--cloud NAME` or `--usd-per-hour X`)
    next:    greenformers estimate --sweep hardware=h100-sxm5,a100-sxm4-80gb,grid=fra,pol,devices=8 --recommend --format csv
    ");
}

#[test]
fn a_sweep_says_the_numbers_of_a_single_estimate() {
    let sweep = "estimate --sweep hardware=a100-sxm4-80gb,devices=8,grid=fra,aws-us-west-2,arch=dense,lrt:rank=256";
    let all: Value = serde_json::from_str(&answer(&format!("{sweep} --format json"), 80)).unwrap();
    let scenarios = all["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.len(), 4);
    for s in scenarios {
        let (grid, arch) = (s["grid"].as_str().unwrap(), s["spec"].as_str().unwrap());
        let single = format!("estimate --hardware a100-sxm4-80gb --devices 8 --grid {grid} --arch {arch}");
        let single = &estimates(&single)[0];
        for quantity in ["wall_h", "facility_energy_kwh", "operational_kgco2e", "cost_usd"] {
            for end in ["low", "mid", "high"] {
                let of = |value: &Value| value[quantity][end].as_f64().unwrap();
                let (swept, alone) = (of(s), of(single));
                assert!((swept / alone - 1.0).abs() < 1e-9, "{grid} {arch} {quantity} {end}: {swept}, {alone}");
            }
        }
    }
}

#[test]
fn the_best_of_many_scenarios_have_the_numbers_of_a_single_estimate() {
    let sweep = "estimate --sweep hardware=all,grid=fra,pol,dtype=bf16,f16,devices=1,8,16 --pareto time,cost,co2e";
    let all: Value = serde_json::from_str(&answer(&format!("{sweep} --format json"), 80)).unwrap();
    assert!(all["total"].as_u64().unwrap() > 300, "{}", all["total"]);
    let best = all["scenarios"].as_array().unwrap();
    assert!(best.len() > 3, "{}", best.len());
    for s in best.iter().take(3) {
        let of = |name: &str| s[name].as_str().unwrap();
        let (hardware, grid, dtype, devices) = (of("hardware"), of("grid"), of("dtype"), &s["devices"]);
        let single = format!(
            "estimate --hardware {hardware} --devices {devices} --grid {grid} --dtype {dtype} --arch dense --software unknown"
        );
        let single = &estimates(&single)[0];
        for quantity in ["wall_h", "facility_energy_kwh", "operational_kgco2e", "cost_usd"] {
            for end in ["low", "mid", "high"] {
                let of = |value: &Value| value[quantity][end].as_f64().unwrap();
                let (swept, alone) = (of(s), of(single));
                assert!((swept / alone - 1.0).abs() < 1e-9, "{hardware} {grid} {quantity} {end}: {swept}, {alone}");
            }
        }
    }
    let text = answer(&format!("{sweep} --recommend"), 100);
    assert!(text.replace('\n', " ").contains("Those that no other beats have the numbers of `estimate`"), "{text}");
}

#[test]
fn a_machine_without_the_memory_is_named_and_does_not_win() {
    let run = "estimate qwen3-8b --arch lora:rank=16,targets=all --tokens 50M --batch-tokens 65536 --seq-len 2048";
    let text = answer(&format!("{run} --hardware h100-sxm5,4090"), 500);
    let verdict = text.lines().next().unwrap();
    // 8.19e9 weights in 16 bits are 16.4 GB, and activations of 2048 tokens as much again.
    assert!(
        verdict.starts_with("1 x h100-sxm5-80gb alone can run it. 1 x rtx-4090-24gb has not the memory"),
        "{verdict}"
    );
    assert!(verdict.ends_with(" GB)."), "{verdict}");
}

#[test]
fn a_file_of_a_workload_is_taken_where_its_name_is() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/llama_12x768.yaml");
    let first = |line: String| answer(&line, 100).lines().next().map(str::to_owned);
    let named = first(format!("estimate {file} --hardware h100-sxm5 --arch dense"));
    assert_eq!(named, first(format!("estimate --workload {file} --hardware h100-sxm5 --arch dense")));
    assert!(named.unwrap().starts_with("llama-12x768 (dense) on 1 x h100-sxm5-80gb"));
}

#[test]
fn an_equal_loss_stands_beside_an_equal_number_of_steps() {
    let text = answer("estimate --hardware h100-sxm5 --quality published", 200);
    let row = text.lines().find(|line| line.starts_with("LRT r=256")).unwrap();
    // 0.92 of dense's time for as many steps, and 1.47 times as many steps to its loss.
    assert!(row.contains("0.92 [") && row.contains("1.35 ["), "{row}");
    assert!(
        text.contains("LRT r=256 needs 1.47 [0.899, 2.39] times the steps of dense (published: Wei et al. 2024"),
        "{text}"
    );
    for (args, said) in [
        (["--arch", "dense", "--quality", "published"], "says nothing of these architectures beside dense"),
        (["--arch", "lrt:rank=256", "--quality", "published"], "hint: `--arch dense --arch lrt:rank=256`"),
        (["--arch", "dense", "--quality", "README.md"], "`README.md` says nothing of steps to an equal loss: "),
    ] {
        let mut program = Command::cargo_bin("greenformers").unwrap();
        program.current_dir(env!("CARGO_MANIFEST_DIR")).args(["estimate", "--hardware", "h100-sxm5"]).args(args);
        let output = program.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains(said), "{args:?}: {error}");
    }
}

#[test]
fn machines_are_compared_by_one_architecture() {
    let text = answer("estimate bert-base --hardware a100-sxm4-80gb,h100-sxm5 --devices 8 --cloud aws", 500);
    let verdict = text.lines().next().unwrap();
    assert!(verdict.starts_with("With dense, 8 x h100-sxm5-80gb is the fastest, "), "{verdict}");
    assert!(!verdict.contains("Linformer") && !verdict.contains("LRT"), "{verdict}");
}

#[test]
fn in_the_locale_of_ascii_every_letter_is_one_of_it() {
    let folder = tempfile::tempdir().unwrap();
    // Its bars are of blocks.
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("reports/h200-bert-base");
    let args = ["compare", record.to_str().unwrap()];
    for (locale, is_ascii) in [("C", true), ("C.UTF-8", false)] {
        let mut program = Command::cargo_bin("greenformers").unwrap();
        let output = program.args(args).env("LC_ALL", locale).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success() && output.stdout.is_ascii() == is_ascii, "{locale}");
    }
}

#[test]
fn a_cloud_and_its_region_fix_grid_pue_and_price() {
    let by_region =
        estimates("estimate bert-large --hardware a100-sxm4-40gb --devices 8 --cloud aws --region eu-west-1");
    let by_grid = estimates("estimate bert-large --hardware a100-sxm4-40gb --devices 8 --grid aws-eu-west-1");
    let by_instance = estimates("estimate bert-large --instance p4d.24xlarge --region Ireland");
    for e in [&by_region[0], &by_grid[0], &by_instance[0]] {
        assert_eq!((value(e, "price of a device").as_f64(), value(e, "PUE").as_f64()), (Some(2.964), Some(1.11)));
        assert_eq!((e["devices"].as_u64(), e["hardware"].as_str()), (Some(8), Some("a100-sxm4-40gb")));
        assert!(value(e, "grid").as_str().unwrap().starts_with("AWS eu-west-1 (Ireland)"));
    }
    // Nobody's price is taken for another's.
    let none = &estimates("estimate --hardware rtx-4090-24gb --arch dense --cloud azure")[0];
    assert!(none["cost_usd"].is_null());
    assert!(none["missing"]["cost_usd"].as_str().unwrap().contains("no offer of azure for rtx-4090-24gb"));
    // A site beside a region keeps what is published of the region.
    let both = &estimates("estimate --hardware h100-sxm5 --arch dense --grid aws-eu-west-1 --site industry-2020")[0];
    assert_eq!(value(both, "PUE").as_f64(), None, "the first of that name is the choice: {both}");
}

#[test]
fn a_sweep_pairs_hardware_with_clouds_that_rent_it() {
    let text = answer(
        "estimate --sweep hardware=tpu-v4,a100-sxm4-40gb,grid=aws-eu-west-1,gcp-europe-north1,fra --dtype bf16 --format csv",
        80,
    );
    let has = |hardware: &str, grid: &str| text.lines().any(|l| l.contains(hardware) && l.contains(grid));
    assert!(has("tpu-v4", "gcp-europe-north1") && has("tpu-v4", "fra") && has("a100-sxm4-40gb", "aws-eu-west-1"));
    assert!(!has("tpu-v4", "aws-eu-west-1"), "{text}");
}

#[test]
fn grids_are_ranked_on_one_basis() {
    let of = |line: &str| {
        let e = estimates(&format!("estimate --hardware h100-sxm5 --arch dense {line}")).remove(0);
        (value(&e, "grid intensity").as_f64().unwrap(), e["intensity_basis"].as_str().unwrap().to_owned())
    };
    // Quebec: 1.15 x 1.5 + 24 x (1 - 1.5 / 900) g.
    let (quebec, basis) = of("--grid canada-qc");
    assert!((quebec - 25.685).abs() < 1e-6 && basis == "life-cycle", "{quebec}, {basis}");
    assert_eq!(of("--grid canada-qc --basis direct"), (1.5, "direct".to_owned()));
    assert_eq!(of("--grid swe"), (40.7, "life-cycle".to_owned()));
    // (40.7 - 24) / (1.15 - 24 / 900)
    let (sweden, basis) = of("--grid swe --basis direct");
    assert!((sweden - 14.866).abs() < 1e-3 && basis == "direct", "{sweden}, {basis}");
}

#[test]
fn a_step_time_alone_is_no_run() {
    let message = refused("estimate --step-time 0.42");
    assert!(message.contains("how many steps there are\nhint: `--step-time 0.42 --steps 100k`"), "{message}");
    let run = &estimates("estimate --step-time 0.42 --steps 100k --grid swe")[0];
    assert!(run["n_params"].is_null() && run["missing"]["n_params"].as_str().unwrap().contains("--workload"));
    // 42 000 s, and what is lost to restarts and the rest.
    let hours = run["wall_h"]["mid"].as_f64().unwrap();
    assert!((11.67..13.0).contains(&hours), "{hours}");
}

#[test]
fn numbers_have_units_and_doubtful_ones_are_asked_about() {
    let kwh = |line: &str| estimates(line)[0]["it_energy_kwh"]["mid"].as_f64().unwrap();
    assert!((kwh("footprint --hours 2d --power 300W") - 14.4).abs() < 1e-9);
    assert!((kwh("footprint --hours 48 --power 0.3kW") - 14.4).abs() < 1e-9);
    let usd = |line: &str| estimates(line)[0]["cost_usd"]["mid"].as_f64().unwrap();
    let euros = usd("footprint --energy-kwh 100 --usd-per-kwh 0.30EUR/kWh --eur-usd 1.1 --pue 1 --grid fra");
    assert!((euros - 33.0).abs() < 1e-9, "{euros}");
    for (line, part) in [
        ("footprint --energy-kwh 1 --usd-per-kwh 0.30EUR --grid fra", "give the rate, such as `--eur-usd 1.08`"),
        ("footprint --energy-kwh 1 --usd-per-kwh 30", "cents? write `0.3`"),
        ("footprint --energy-kwh 1 --pue 58", "58"),
        ("estimate --hardware A100", "`a100-sxm4-40gb`, `a100-sxm4-80gb`"),
        ("estimate --hardware h100-sxm5 --grid frx", "unknown grid `frx`"),
        ("estimate --hardware h100-sxm5 --cloud nimbus", "unknown cloud `nimbus`: expected"),
        ("estimate --hardware h100-sxm5 --cloud aws --region mars", "aws has no region `mars`"),
        ("estimate --hardware h100-sxm5 --region mars", "more: `greenformers catalog list grid`"),
        ("estimate --instance p9.huge", "unknown instance `p9.huge`: expected"),
        ("estimate --instance p4d.24xlarge --hardware h100-sxm5", "is a machine with a100-sxm4-40gb, not with"),
        ("estimate brt --hardware h100-sxm5", "`brt` is no record that is there, and no workload"),
    ] {
        let message = refused(line);
        assert!(message.contains(part), "{line}: `{part}` in {message}");
    }
    assert_eq!(estimates("estimate --hardware 4090 --dtype BFloat16 --arch dense")[0]["dtype"], "bf16");
}

#[test]
fn cards_for_desks_stand_at_desks_unless_there_are_many() {
    let site = |line: &str| {
        let e = estimates(&format!("estimate --arch dense {line}")).remove(0);
        value(&e, "site").as_str().unwrap().to_owned()
    };
    assert_eq!(site("--hardware rtx-4090-24gb"), "Workstation or laboratory machine");
    assert_eq!(site("--hardware rtx-4090-24gb --devices 64"), "Data-centre industry average, 2025");
    assert_eq!(site("--hardware h100-sxm5"), "Data-centre industry average, 2025");
}

#[test]
fn what_is_written_to_is_tried_before_the_command_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.json"), "{\"learning_rate\": 1}").unwrap();
    let args = |force: bool| {
        let mut args = vec!["track", "--quiet", "-o", "mine.json"];
        args.extend(force.then_some("--force"));
        args.extend(["--", "touch", "ran"]);
        args
    };
    let output = run(&args(false), folder.path(), 80);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("is no account of a command"), "{message}");
    assert!(!folder.path().join("ran").exists(), "the command has run");
    for _ in 0..2 {
        assert!(run(&args(true), folder.path(), 80).status.success());
    }
    assert!(folder.path().join("ran").exists());
    // Its own account it writes over.
    assert!(run(&args(false), folder.path(), 80).status.success());
}

#[test]
fn a_footprint_without_a_power_takes_the_devices_modelled_one_and_says_so() {
    let line = "footprint --hours 24 --devices 8 --hardware a100-sxm4-80gb --grid fra";
    let run = &estimates(line)[0];
    // 8 x 24 h of 171 to 359 W, a host of 15 to 45 % and a power supply: 30 to 105 kWh.
    let kwh = &run["it_energy_kwh"];
    assert!(kwh["low"].as_f64().unwrap() > 30.0 && kwh["high"].as_f64().unwrap() < 105.0, "{kwh}");
    let text = answer(line, 100);
    assert!(text.contains("power modelled, not measured") && text.contains("for a paper: The run on 8 x"), "{text}");
}

#[test]
fn machines_are_compared_as_a_report_compares_them() {
    let root = env!("CARGO_MANIFEST_DIR");
    let (a, b) = (format!("{root}/reports/epyc-2vcpu-bert-base"), format!("{root}/reports/xeon-2vcpu-128-to-2048"));
    let text = answer(&format!("compare {a} {b}"), 120);
    assert!(text.contains("epyc-2vcpu-bert-base") && text.contains("xeon-2vcpu-128-to-2048"), "{text}");
    assert!(text.contains("next:    greenformers report "), "{text}");
    let json: Value = serde_json::from_str(&answer(&format!("compare {a} {b} --format json"), 120)).unwrap();
    assert_eq!(json["machines"].as_array().unwrap().len(), 2);
    assert!(json["machines"][1]["estimates"][0]["wall_h"]["mid"].as_f64().unwrap() > 1000.0);
}
