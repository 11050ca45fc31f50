//! `plan` against `estimate`, of which it is the inverse, and against published runs.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn run(args: &[String], folder: &Path, columns: u32) -> Output {
    let mut program = Command::cargo_bin("greenformers").unwrap();
    // Prices are old or not by this day.
    program.env("SOURCE_DATE_EPOCH", "1795651200").env("COLUMNS", columns.to_string());
    program.args(args).current_dir(folder).output().unwrap()
}

/// A folder with a model of which no recipe is known.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), r#"{"model_type": "gpt2", "n_layer": 12}"#).unwrap();
    folder
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn answer(line: &str, columns: u32) -> String {
    let folder = desk();
    let output = run(&words(line), folder.path(), columns);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(line: &str) -> Value {
    serde_json::from_str(&answer(&format!("{line} --format json"), 80)).unwrap()
}

/// How it is refused: the exit code, and what is said.
fn refused(line: &str) -> (i32, String) {
    let folder = desk();
    let output = run(&words(line), folder.path(), 80);
    assert!(!output.status.success() && output.stdout.is_empty(), "{line}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The estimate of the command that a plan ends with.
fn estimate_of(plan: &Value) -> Value {
    let next = plan["next"].as_str().unwrap().strip_prefix("greenformers ").unwrap();
    json(next)["estimates"][0].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn the_estimate_of_a_plan_comes_to_the_budget_less_at_most_one_step() {
    for (line, key, budget) in [
        ("plan gpt2 --budget 500USD --hardware h100-sxm5 --devices 8", "cost_usd", 500.0),
        ("plan gpt2 --budget 72h --hardware h100-sxm5", "wall_h", 72.0),
        (
            "plan --workload config.json --budget 50kg --hardware a100-sxm4-80gb --devices 4 --grid fra",
            "operational_kgco2e",
            50.0,
        ),
        ("plan gpt2 --budget 120kWh --hardware a100-sxm4-80gb --devices 1 --pue=1.2", "facility_energy_kwh", 120.0),
        (
            "plan llama-2-7b --budget 9000GPUh --hardware h100-sxm5 --devices 64 --software optimised",
            "device_h",
            9000.0,
        ),
        (
            "plan bert-base --budget 450EUR --eur-usd 2 --hardware a100-sxm4-80gb --devices 8 --usd-per-hour 1.5",
            "cost_usd",
            900.0,
        ),
        (
            "plan bert-large --budget 90h --hardware a100-sxm4-80gb --devices 1 --seq-len 256 --batch-size 128 --seed 3",
            "wall_h",
            90.0,
        ),
        ("plan gpt2 --budget 300kWh --hardware h100-sxm5 --devices 8 --arch lora:rank=8", "facility_energy_kwh", 300.0),
        ("plan --layers 4 --width 256 --decoder --budget 5USD --hardware t4 --devices 1", "cost_usd", 5.0),
        ("plan gpt2 --budget 2d --hardware h100-sxm5 --layout dp=4,tp=2", "wall_h", 48.0),
        ("plan --budget 300USD --hardware h100-sxm5 --devices 8 --scale chinchilla", "cost_usd", 300.0),
        (
            "plan --budget 40h --budget 100GPUh --hardware h100-sxm5 --max-devices 16 --scale chinchilla --seq-len 1024",
            "device_h",
            100.0,
        ),
    ] {
        let plan = json(line);
        let found = estimate_of(&plan);
        let steps = number(&plan["plan"]["steps"]);
        let mid = number(&found[key]["mid"]);
        let one_step = mid / steps;
        // Each of two phases can lack a step.
        assert!(
            mid <= budget * (1.0 + 1e-9) && mid + 2.0 * one_step > budget,
            "{line}: {mid} of {budget} in {steps} steps"
        );
        for quantity in ["wall_h", "cost_usd", "facility_energy_kwh", "operational_kgco2e"] {
            for end in ["low", "mid", "high"] {
                let (planned, estimated) = (&plan["plan"][quantity][end], &found[quantity][end]);
                assert!(
                    (number(planned) / number(estimated) - 1.0).abs() < 1e-3,
                    "{line}: {quantity} {planned} {estimated}"
                );
            }
        }
        assert_eq!(plan["plan"]["n_params"], found["n_params"], "{line}");
        assert_eq!(plan["plan"]["binds"], key, "{line}");
    }
}

#[test]
fn a_budget_that_holds_in_nine_of_ten_draws_is_smaller_than_the_middle() {
    let line = "plan gpt2 --budget 500USD --hardware h100-sxm5 --devices 8";
    let (middle, sure) = (json(line), json(&format!("{line} --confidence 90%")));
    let tokens = |plan: &Value| number(&plan["plan"]["tokens"]);
    assert!(tokens(&sure) < 0.95 * tokens(&middle));
    let cost = &estimate_of(&sure)["cost_usd"];
    // The 97.5 % end is above the budget, which is the 90 % quantile, and the middle below.
    assert!(number(&cost["mid"]) < 500.0 && number(&cost["high"]) > 500.0, "{cost}");
    assert_eq!(sure["confidence"], 0.9);
    // What the budget turns out to buy does not depend on how sure the plan is; at the middle it is the plan.
    assert_eq!(middle["plan"]["tokens_bought"], sure["plan"]["tokens_bought"]);
    let bought = number(&middle["plan"]["tokens_bought"]["mid"]);
    assert!((tokens(&middle) / bought - 1.0).abs() < 1e-3);
}

#[test]
fn of_several_budgets_the_tightest_binds_and_is_named() {
    let line = "plan gpt2 --hardware h100-sxm5 --devices 8";
    let tokens = |budgets: &str| number(&json(&format!("{line} {budgets}"))["plan"]["tokens"]);
    let (money, time) = (tokens("--budget 500USD"), tokens("--budget 10h"));
    assert_eq!(tokens("--budget 500USD --budget 10h"), money.min(time));
    let plan = json(&format!("{line} --budget 500USD --budget 10h --budget 20h"));
    let binds: Vec<bool> = plan["budgets"].as_array().unwrap().iter().map(|b| b["binds"].as_bool().unwrap()).collect();
    assert_eq!(binds, [money < time, time < money, false]);
    let text = answer(&format!("{line} --budget 500USD --budget 10h"), 80);
    assert!(
        text.replace('\n', " ").contains(if time < money {
            "; 10h is used up first"
        } else {
            "; 500USD is used up first"
        }),
        "{text}"
    );
}

#[test]
fn twice_the_budget_buys_twice_the_tokens_and_epochs_are_counted() {
    let of =
        |usd: u32| json(&format!("plan gpt2 --budget {usd}USD --hardware h100-sxm5 --devices 8 --dataset-tokens 9B"));
    let (one, two) = (of(500), of(1000));
    let ratio = number(&two["plan"]["tokens"]) / number(&one["plan"]["tokens"]);
    assert!((ratio - 2.0).abs() < 1e-3, "{ratio}");
    assert!((number(&one["plan"]["epochs"]) * 9e9 / number(&one["plan"]["tokens"]) - 1.0).abs() < 1e-9);
}

#[test]
fn the_largest_model_has_its_tokens_and_the_next_shape_has_not() {
    let line = "plan --budget 300USD --hardware h100-sxm5 --devices 8 --scale chinchilla";
    let plan = json(line);
    let (n_params, tokens) = (number(&plan["plan"]["n_params"]), number(&plan["plan"]["tokens"]));
    assert!((20.0..26.0).contains(&(tokens / n_params)), "{} a parameter", tokens / n_params);
    let shape = &plan["plan"]["shape"];
    let size = |key: &str| usize::try_from(shape[key].as_u64().unwrap()).unwrap();
    let (layers, width) = (size("layers"), size("width"));
    assert_eq!(
        (size("heads") * if width < 2048 { 64 } else { 128 }, size("ff"), size("vocab")),
        (width, 4 * width, 50_257)
    );
    let all = greenformers::estimate::shapes(50_257, 2048);
    let at = all.iter().position(|s| (s.layers, s.width) == (layers, width)).unwrap();
    let larger = all[at + 1];
    let needed = 20.0 * larger.params(2048) as f64;
    let next = format!(
        "estimate --layers {} --width {} --heads {} --decoder --tokens {needed:.0} --batch-tokens {:.0} --seq-len 2048 --arch dense \
         --hardware h100-sxm5 --devices 8 --layout auto",
        larger.layers,
        larger.width,
        larger.heads,
        number(&plan["plan"]["batch_tokens"])
    );
    assert!(number(&json(&next)["estimates"][0]["cost_usd"]["mid"]) > 300.0);
    let twice = json(&format!("{line} --tokens-per-param 40"));
    assert!(number(&twice["plan"]["n_params"]) < 0.8 * n_params);
}

#[test]
fn a_frontier_stays_inside_the_budget_and_nothing_on_it_is_beaten() {
    let plan = json("plan gpt2 --budget 1kUSD --budget 40h --hardware h100-sxm5,a100-sxm4-80gb --max-devices 64");
    let runs = plan["frontier"].as_array().unwrap();
    let of = |run: &Value| [number(&run["wall_h"]["mid"]), number(&run["cost_usd"]["mid"]), -number(&run["tokens"])];
    assert!(runs.len() > 2, "{runs:?}");
    for run in runs {
        let [hours, usd, _] = of(run);
        assert!(hours <= 40.0 + 1e-6 && usd <= 1000.0 + 1e-6, "{run}");
        let beats = |other: &&Value| of(other) != of(run) && of(other).iter().zip(of(run)).all(|(a, b)| *a <= b);
        assert!(!runs.iter().any(|other| beats(&other)), "{run}");
        assert!(number(&run["tokens"]) <= number(&plan["plan"]["tokens"]));
    }
    let hours: Vec<f64> = runs.iter().map(|run| of(run)[0]).collect();
    assert!(hours.is_sorted(), "{hours:?}");
}

#[test]
fn the_hours_that_llama_2_took_buy_about_its_tokens() {
    // Touvron et al. 2023 (arXiv 2307.09288), table 2: 184 320 hours of A100 80 GB for 2 trillion tokens of 7B.
    let plan = json("plan llama-2-7b --budget 184320GPUh --hardware a100-sxm4-80gb --devices 1024");
    let bought = &plan["plan"]["tokens_bought"];
    assert!(number(&bought["low"]) < 2e12 && number(&bought["high"]) > 2e12, "{bought}");
    assert!((1.4e12..3.0e12).contains(&number(&plan["plan"]["tokens"])), "{}", plan["plan"]["tokens"]);
}

#[test]
fn the_answer_fits_60_columns_and_repeats_itself() {
    for line in [
        "plan gpt2 --budget 500USD --budget 72h --hardware h100-sxm5 --devices 8",
        "plan --budget 2kUSD --budget 3d --hardware h100-sxm5,a100-sxm4-80gb --scale chinchilla --max-devices 64 --quiet",
    ] {
        let text = answer(line, 60);
        // A command is one word to copy.
        let too_wide = text.lines().filter(|l| l.chars().count() > 60 && !l.starts_with("next: "));
        assert_eq!(too_wide.count(), 0, "{text}");
        assert!(text.contains("next:    greenformers estimate "), "{text}");
        assert_eq!(text, answer(line, 60));
    }
}

#[test]
fn what_cannot_be_planned_is_refused_with_the_reason_and_a_hint() {
    let on = "--hardware h100-sxm5 --devices 8";
    for (line, code, said) in [
        (format!("plan gpt2 {on} --budget 500"), 2, "has no unit"),
        (format!("plan gpt2 {on} --budget 0USD"), 2, "more than 0"),
        (format!("plan gpt2 {on} --budget -5kg"), 2, "more than 0"),
        (format!("plan gpt2 {on} --budget 5GBP"), 2, "no unit that is known"),
        (format!("plan gpt2 {on}"), 2, "--budget"),
        (format!("plan {on} --budget 5USD"), 2, "nothing to train"),
        (format!("plan gpt2 {on} --budget 5USD --confidence 0.3"), 2, "from 0.5 to 0.999"),
        (format!("plan gpt2 {on} --budget 5USD --tokens-per-param 5"), 2, "--scale"),
        (format!("plan gpt2 {on} --budget 500EUR"), 1, "hint: give the rate"),
        (format!("plan gpt2 {on} --budget 5USD --tokens 5B"), 1, "hint: `--dataset-tokens"),
        (format!("plan gpt2 {on} --budget 5USD --scale chinchilla"), 1, "hint: without `--scale`"),
        (format!("plan gpt2 {on} --budget 0.0001USD"), 1, "buys no step"),
        (format!("plan {on} --budget 0.01USD --scale chinchilla"), 1, "trains no model"),
        ("plan llama-2-7b --hardware t4 --devices 1 --budget 5USD".to_owned(), 1, "needs"),
        ("plan gpt3-175b --hardware t4 --max-devices 8 --budget 5kUSD".to_owned(), 1, "none of 4 numbers and kinds"),
        ("plan gpt2 --hardware h100-sxm5 --budget 5USD --cloud oracle".to_owned(), 1, "hint: `--usd-per-hour"),
        ("plan gpt2 --hardware h100-sxm5 --devices 1 --budget 5USD --cloud lambda --price spot".to_owned(), 1, "spot"),
    ] {
        let (found, text) = refused(&line);
        assert_eq!(found, code, "{line}: {text}");
        assert!(text.contains(said), "{line}: {text}");
    }
    let (_, text) = refused("plan gpt2 --hardware h100-sxm5 --devices 8 --budget 0.0001USD");
    assert!(text.contains(" USD\nhint: "), "it says what a step costs: {text}");
}
