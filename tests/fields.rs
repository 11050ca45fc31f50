//! The tables of `docs/fields.md` against the files that they describe: every field that occurs is in its table with its type,
//! and every field of a table occurs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use greenformers::record::Record;
use serde_json::{Value, json};

use crate::reliability::{program, text};

/// A field of a table.
struct Field {
    types: String,
    optional: bool,
}

/// Tables by their heading, fields by their name.
type Tables = BTreeMap<String, BTreeMap<String, Field>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tables(page: &str) -> Tables {
    let mut tables = Tables::new();
    let mut heading = String::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
            name.clone_into(&mut heading);
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [name, types, _unit, meaning] = cells[..] else { panic!("{heading}: {line}: four columns are expected") };
        assert!(!meaning.is_empty(), "{heading}: {line}: what does it mean?");
        let (name, rest) = name.split_once('`').unwrap();
        let field = Field { types: types.to_owned(), optional: rest.trim() == "?" };
        let before = tables.entry(heading.clone()).or_default().insert(name.to_owned(), field);
        assert!(before.is_none(), "{heading}: `{name}` is there twice");
    }
    tables
}

/// What the tables say of a value.
struct Walk<'a> {
    tables: &'a Tables,
    seen: BTreeSet<(String, String)>,
    faults: BTreeSet<String>,
}

impl<'a> Walk<'a> {
    fn new(tables: &'a Tables) -> Self {
        Self { tables, seen: BTreeSet::new(), faults: BTreeSet::new() }
    }

    fn object(&mut self, value: &Value, name: &str) {
        let Some(table) = self.tables.get(name) else {
            self.faults.insert(format!("there is no table `{name}`"));
            return;
        };
        let object = value.as_object().unwrap();
        for (key, value) in object {
            match table.get(key) {
                None => _ = self.faults.insert(format!("{name}: `{key}` is not in the table")),
                Some(field) => {
                    self.seen.insert((name.to_owned(), key.clone()));
                    self.value(value, &field.types, &format!("{name}.{key}"));
                }
            }
        }
        for (key, field) in table {
            if !field.optional && !object.contains_key(key) {
                self.faults.insert(format!("{name}: `{key}` can be absent, and has no `?`"));
            }
        }
    }

    fn value(&mut self, value: &Value, types: &str, place: &str) {
        let object = |name: &str| name.starts_with(char::is_uppercase);
        let fits = |kind: &&str| match value {
            Value::Null => *kind == "null",
            Value::Bool(_) => *kind == "boolean",
            Value::Number(number) => *kind == "number" || (*kind == "integer" && number.is_u64()),
            Value::String(_) => *kind == "string",
            Value::Array(_) => kind.starts_with('['),
            Value::Object(_) => kind.starts_with("map of ") || object(kind),
        };
        let Some(kind) = types.split(" or ").find(fits) else {
            self.faults.insert(format!("{place}: {types} is expected, there is {value:.60}"));
            return;
        };
        match value {
            Value::Array(all) => {
                let kind = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')).unwrap_or(kind);
                all.iter().for_each(|value| self.value(value, kind, place));
            }
            Value::Object(all) => match kind.strip_prefix("map of ") {
                Some(kind) => all.values().for_each(|value| self.value(value, kind, place)),
                None => self.object(value, kind),
            },
            _ => {}
        }
    }
}

/// Every file of this name below `reports/`.
fn committed(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("reports")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|n| n == name) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A committed record with what none of them has, as the program writes it: what it does not know it refuses.
fn with_rare_fields() -> Value {
    let mut record = read(&root().join("reports/h200-bert-base/record.json"));
    let bandwidth = record["environment"]["compute"]["hardware"]["memory_bandwidth"].clone();
    let mut rate = record["environment"]["compute"]["hardware"]["peak"]["bf16"].clone();
    rate["value"] = json!(1e12);
    let mut offer = bandwidth.clone();
    offer.as_object_mut().unwrap().extend(
        json!({"value": 2.0, "unit": "USD/h", "provider": "made up", "instance": "h.8", "devices": 8})
            .as_object()
            .unwrap()
            .clone(),
    );
    record["environment"]["compute"]["hardware"]["prices"] = json!([offer]);
    record["environment"]["compute"]["hardware"]["measured"] = json!({"matmul": {"bf16": rate}, "copy": bandwidth});
    record["settings"]["workload"]["grad_checkpointing"] = json!(true);
    record["settings"]["workload"]["weights"] = json!("16bit");
    record["settings"]["workload"]["grad_accumulation"] = json!(2);
    record["settings"]["workload"]["model"]["gated_mlp"] = json!(true);
    record["cells"][0]["gpu_before"]["unanswered"] = json!(["made up for a test"]);
    record["cells"][0]["meters"][0]["samples"][0]["doubt"] =
        json!({"unread_s": 0.0, "refused_w": 5e4, "partial": true});
    let record = Record::parse(Path::new("record.json"), &record.to_string()).unwrap();
    serde_json::to_value(&record).unwrap()
}

/// Estimates with a best start, which no committed report has.
fn with_a_schedule() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let hour = |hour: u32| format!("2026-03-{:02}T{:02}:00Z,{}\n", 1 + hour / 24, hour % 24, 100 + hour);
    let hours = (0..72).map(hour).collect::<String>();
    fs::write(folder.path().join("hours.csv"), format!("timestamp,gco2e_per_kwh\n{hours}")).unwrap();
    let workload = "name: short\nsource: made up for a test\nmodel: {n_layers: 2, d_model: 64, n_heads: 2, d_ff: 128, \
                    vocab_size: 100, max_seq_len: 128}\noptimizer: adamw\nphases:\n  - {steps: 1000, batch_size: 256, \
                    seq_len: 128}\n";
    fs::write(folder.path().join("short.yaml"), workload).unwrap();
    let args =
        "estimate --workload short.yaml --step-time 14.4 --power 500 --grid hours.csv --start-within 24h --format json";
    let output = program().args(args.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Estimates with a layout, which no committed report has.
fn with_a_layout() -> Value {
    let args = "estimate bert-large --hardware a100-sxm4-80gb --devices 16 --layout auto --format json";
    let output = program().args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Estimates to an equal loss, which no committed report has.
fn to_an_equal_loss() -> Value {
    let args = "estimate --hardware h100-sxm5 --quality published --format json";
    let output = program().args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a budget buys: of a workload on one machine, as the largest model, and on several machines of which one is left out.
fn plans() -> [Value; 3] {
    let fixed =
        "plan gpt2 --budget 500USD --budget 72h --hardware h100-sxm5 --devices 8 --dataset-tokens 9B --confidence 0.9";
    let largest = "plan --budget 20USD --budget 24h --hardware h100-sxm5 --scale chinchilla --max-devices 2";
    // One device has not the memory.
    let some = "plan llama-2-7b --budget 5kUSD --hardware h100-sxm5 --max-devices 2";
    [fixed, largest, some].map(|args| {
        let output = program().args(args.split(' ')).args(["--format", "json"]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

/// The account of a rank whose node another rank meters.
fn account_of_a_rank() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let track = |output: &str, rank: &str, command: &[&str]| {
        let mut program = program();
        program
            .current_dir(folder.path())
            .env("TMPDIR", folder.path())
            .env("SLURM_JOB_ID", "7")
            .env("SLURM_PROCID", rank);
        program.args(["--quiet", "track", "-o", output, "--powercap-root", "none", "--"]).args(command);
        program
    };
    let mut first = track("first.json", "0", &["sh", "-c", "touch begun; until test -e done; do sleep 0.05; done"])
        .spawn()
        .unwrap();
    while !folder.path().join("begun").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(track("second.json", "1", &["sleep", "0.1"]).status().unwrap().success());
    fs::write(folder.path().join("done"), "").unwrap();
    assert!(first.wait().unwrap().success());
    read(&folder.path().join("second.json"))
}

#[test]
fn every_field_of_records_and_estimates_is_in_its_table_and_every_field_of_a_table_occurs() {
    let page = fs::read_to_string(root().join("docs/fields.md")).unwrap();
    let tables = tables(&page);
    let mut walk = Walk::new(&tables);
    let (records, estimates) = (committed("record.json"), committed("estimates.json"));
    assert!(records.len() >= 4 && estimates.len() >= 2, "{records:?} {estimates:?}");
    records.iter().for_each(|path| walk.object(&read(path), "record.json"));
    estimates.iter().for_each(|path| walk.object(&read(path), "estimates.json"));
    walk.object(&with_rare_fields(), "record.json");
    walk.object(&with_a_schedule(), "estimates.json");
    walk.object(&with_a_layout(), "estimates.json");
    walk.object(&to_an_equal_loss(), "estimates.json");
    plans().iter().for_each(|plan| walk.object(plan, "plan"));
    crate::campaign::printed().iter().for_each(|(table, value)| walk.object(value, table));
    walk.object(&account_of_a_rank(), "accounts");
    walk.object(&crate::forecast::one_with_a_pause(), "accounts");
    let desk = crate::training::folder();
    for cpu in ["my-cpu", "unknown-cpu"] {
        let args = format!("text.txt -o {cpu} --workload decoder.json --vocab 300 --steps 2 --hardware {cpu}.yaml");
        walk.object(&crate::training::record(desk.path(), &args, cpu), "train.json");
    }
    walk.object(&crate::quality::one_that_is_not_reached(), "quality.json");
    walk.object(&crate::shares::swept(), "sweep.json");
    walk.object(&crate::sum::with_a_gap(), "sum");
    let listed =
        tables.iter().flat_map(|(table, fields)| fields.keys().map(move |field| (table.clone(), field.clone())));
    let unseen: Vec<String> = listed.filter(|f| !walk.seen.contains(f)).map(|(t, f)| format!("{t}: `{f}`")).collect();
    assert!(walk.faults.is_empty(), "{:#?}", walk.faults);
    assert!(unseen.is_empty(), "in the table alone: {unseen:#?}");
}

#[test]
fn a_wrong_table_would_be_seen() {
    let tables = tables(
        "## file\n| `a` | integer | | one |\n| `b` ? | [Other] | | some |\n| `m` ? | map of number or null | | more |\n\
         ### Other\n| `c` | string or null | | two |\n",
    );
    let faults = |value: Value| {
        let mut walk = Walk::new(&tables);
        walk.object(&value, "file");
        walk.faults.into_iter().collect::<Vec<String>>()
    };
    assert_eq!(faults(json!({"a": 1, "b": [{"c": null}, {"c": "x"}]})), Vec::<String>::new());
    assert_eq!(faults(json!({"a": 1, "d": 2})), ["file: `d` is not in the table"]);
    assert_eq!(faults(json!({})), ["file: `a` can be absent, and has no `?`"]);
    assert_eq!(faults(json!({"a": 1.5})), ["file.a: integer is expected, there is 1.5"]);
    assert_eq!(faults(json!({"a": 1, "b": [{"c": 3}]})), ["Other.c: string or null is expected, there is 3"]);
    assert_eq!(faults(json!({"a": 1, "m": null})), Vec::<String>::new());
    assert_eq!(faults(json!({"a": null})), ["file.a: integer is expected, there is null"]);
}
