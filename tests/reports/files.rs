//! What other programs read of a report.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Campaign, file, ok, reported};
use greenformers::meter::EnergySource;
use greenformers::record::Record;
use greenformers::report::CODECARBON_HEADER;

/// The row of `emissions.csv` by the names of its columns.
fn emissions(text: &str) -> BTreeMap<String, String> {
    assert_eq!(text.lines().next().unwrap(), CODECARBON_HEADER);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    header.iter().map(str::to_owned).zip(row.iter().map(str::to_owned)).collect()
}

/// A campaign of one cell of 24 steps, all of whose parts were metered.
fn metered() -> Record {
    let mut campaign = Campaign::small();
    campaign.archs = vec!["dense"];
    campaign.lengths = vec![128];
    let mut record = campaign.record();
    record.environment.unmetered.clear();
    record
}

#[test]
fn emissions_csv_holds_what_was_measured() {
    let record = metered();
    let folder = reported(&record);
    ok(&["report", "out", "--grid", "fra", "--pue", "1.2"], folder.path());
    let row = emissions(&file(&folder, "emissions.csv"));
    let number = |name: &str| row[name].parse::<f64>().unwrap_or_else(|_| panic!("{name}: `{}`", row[name]));
    // 24 steps without the pauses between visits, at 310 and 95 W and a wave of 8 W.
    let seconds: f64 = record.cells[0].steps.iter().map(|s| s.forward_s + s.backward_s + s.optimizer_s).sum();
    assert!((number("duration") / seconds - 1.0).abs() < 1e-9);
    assert!((number("gpu_power") - 310.0).abs() < 8.0 && (number("cpu_power") - 95.0).abs() < 8.0);
    // Energies are of the facility, powers are not.
    assert!((number("gpu_energy") * 3.6e6 / seconds - number("gpu_power") * 1.2).abs() < 1e-6);
    let consumed = number("gpu_energy") + number("cpu_energy");
    assert!((number("energy_consumed") - consumed).abs() < 1e-15);
    assert!((number("pue") - 1.2).abs() < 1e-12);
    // France's intensity is about 40 g; whatever it is, PUE counts once.
    let intensity = number("emissions") / consumed * 1000.0;
    assert!((20.0..100.0).contains(&intensity), "{intensity}");
    assert_eq!((row["country_iso_code"].as_str(), row["timestamp"].as_str()), ("FRA", "2026-11-20T08:15:00"));
    assert!(row["codecarbon_version"].starts_with("compat/greenformers "));
    assert_eq!(row["run_id"].len(), 36);
}

#[test]
fn emissions_are_empty_where_the_grid_is_assumed_and_totals_where_a_part_is_missing() {
    let folder = reported(&metered());
    let row = emissions(&file(&folder, "emissions.csv"));
    assert_eq!((row["emissions"].as_str(), row["energy_consumed"].is_empty()), ("", false));
    let folder = reported(&Campaign::small().record());
    let row = emissions(&file(&folder, "emissions.csv"));
    assert_eq!((row["energy_consumed"].as_str(), row["gpu_energy"].is_empty()), ("", false));
}

#[test]
fn a_modelled_energy_is_no_measured_one() {
    let mut record = metered();
    record.environment.meters.iter_mut().for_each(|m| m.source = EnergySource::Model);
    record.cells.iter_mut().flat_map(|c| &mut c.meters).for_each(|m| m.meter.source = EnergySource::Model);
    let folder = reported(&record);
    ok(&["report", "out", "--grid", "fra"], folder.path());
    let row = emissions(&file(&folder, "emissions.csv"));
    for name in ["cpu_energy", "gpu_energy", "ram_energy", "energy_consumed", "emissions", "cpu_power", "gpu_power"] {
        assert_eq!(row[name], "", "{name}");
    }
    assert!(row["duration"].parse::<f64>().unwrap() > 0.0);
    let form: Value = serde_json::from_str(&file(&folder, "boamps.json")).unwrap();
    assert!(form["measures"][0]["measurementMethod"].as_str().unwrap().contains("modelled, not measured"));
    assert_eq!(form["quality"], "low");
}

#[test]
fn the_model_card_is_yaml_in_grams_that_says_it_is_an_estimate() {
    let folder = reported(&Campaign::small().record());
    ok(&["report", "out", "--grid", "swe"], folder.path());
    let text = file(&folder, "model_card.yaml");
    let card: Value = serde_yaml::from_str(&text).unwrap();
    let card = &card["co2_eq_emissions"];
    let keys: Vec<&String> = card.as_object().unwrap().keys().collect();
    let expected = ["emissions", "source", "training_type", "geographical_location", "hardware_used"];
    assert!(keys.len() == expected.len() && expected.iter().all(|e| keys.iter().any(|k| k == e)), "{keys:?}");
    let estimates: Value = serde_json::from_str(&file(&folder, "estimates.json")).unwrap();
    let kg = estimates["estimates"][1]["operational_kgco2e"]["mid"].as_f64().unwrap();
    assert_eq!(estimates["estimates"][1]["arch"], "lrt");
    assert!((card["emissions"].as_f64().unwrap() / (kg * 1000.0) - 1.0).abs() < 0.01, "{card} and {kg} kg");
    let source = card["source"].as_str().unwrap();
    assert!(source.starts_with("greenformers 0.2.0, estimated before training from measured train steps"), "{source}");
    assert_eq!(card["geographical_location"], "Sweden");
    assert_eq!(card["hardware_used"], "1 x NVIDIA A100-SXM4-80GB");
    assert!(text.contains("# as dense: emissions: "), "{text}");
}

/// Checks `value` against what BoAmps' schemas ask: names of fields, those that must be there, and closed lists.
fn boamps_fields(value: &Value, required: &[&str], allowed: &[&str]) {
    let object = value.as_object().unwrap();
    for name in required {
        assert!(object.contains_key(*name), "{name} is missing in {value}");
    }
    for name in object.keys() {
        assert!(allowed.contains(&name.as_str()), "{name} is no field of the form");
    }
}

#[test]
fn boamps_json_has_the_fields_of_the_form() {
    let folder = reported(&metered());
    ok(&["report", "out", "--grid", "deu"], folder.path());
    let form: Value = serde_json::from_str(&file(&folder, "boamps.json")).unwrap();
    let top = ["header", "task", "measures", "system", "software", "infrastructure", "environment", "quality", "$hash"];
    boamps_fields(&form, &["task", "measures", "infrastructure"], &top);
    let header = [
        "licensing",
        "formatVersion",
        "formatVersionSpecificationUri",
        "reportId",
        "reportDatetime",
        "reportStatus",
        "publisher",
    ];
    boamps_fields(&form["header"], &["reportDatetime"], &header);
    assert_eq!(form["header"]["reportDatetime"], "2026-11-20 08:15:00");
    let task = [
        "taskStage",
        "taskFamily",
        "nbRequest",
        "algorithms",
        "dataset",
        "measuredAccuracy",
        "estimatedAccuracy",
        "taskDescription",
    ];
    boamps_fields(&form["task"], &["taskStage", "taskFamily", "algorithms", "dataset"], &task);
    let algorithm = [
        "trainingType",
        "algorithmType",
        "algorithmName",
        "algorithmUri",
        "foundationModelName",
        "foundationModelUri",
        "parametersNumber",
        "framework",
        "frameworkVersion",
        "classPath",
        "layersNumber",
        "epochsNumber",
        "optimizer",
        "quantization",
    ];
    boamps_fields(&form["task"]["algorithms"][0], &[], &algorithm);
    // 110 million are 0.11 thousand million.
    assert!((form["task"]["algorithms"][0]["parametersNumber"].as_f64().unwrap() - 0.1101).abs() < 1e-4);
    let dataset =
        ["dataUsage", "dataType", "dataFormat", "dataSize", "dataQuantity", "shape", "source", "sourceUri", "owner"];
    boamps_fields(&form["task"]["dataset"][0], &["dataUsage", "dataType"], &dataset);
    assert_eq!(form["task"]["dataset"][0]["dataQuantity"], 24 * 8192);
    let measure = [
        "measurementMethod",
        "manufacturer",
        "version",
        "cpuTrackingMode",
        "gpuTrackingMode",
        "averageUtilizationCpu",
        "averageUtilizationGpu",
        "powerCalibrationMeasurement",
        "durationCalibrationMeasurement",
        "powerConsumption",
        "measurementDuration",
        "measurementDateTime",
    ];
    boamps_fields(&form["measures"][0], &["measurementMethod", "powerConsumption"], &measure);
    assert_eq!(
        (&form["measures"][0]["gpuTrackingMode"], &form["measures"][0]["cpuTrackingMode"]),
        (&"nvml-power".into(), &"rapl".into())
    );
    let infrastructure = ["infraType", "cloudProvider", "cloudInstance", "cloudService", "components"];
    boamps_fields(&form["infrastructure"], &["infraType", "components"], &infrastructure);
    let kinds = ["publicCloud", "privateCloud", "onPremise", "other"];
    assert!(kinds.contains(&form["infrastructure"]["infraType"].as_str().unwrap()));
    let component =
        ["componentName", "componentType", "nbComponent", "memorySize", "manufacturer", "family", "series", "share"];
    for part in form["infrastructure"]["components"].as_array().unwrap() {
        boamps_fields(part, &["componentType", "nbComponent"], &component);
        assert!(part["nbComponent"].is_u64());
    }
    assert_eq!(form["environment"]["country"], "Germany");
}

#[test]
fn without_joules_there_is_no_card_and_no_form() {
    let mut record = metered();
    record.environment.meters.clear();
    record.cells.iter_mut().for_each(|c| c.meters.clear());
    let folder = reported(&record);
    for name in ["model_card.yaml", "boamps.json", "bom.cdx.json", "spdx.json"] {
        assert!(!folder.path().join("out").join(name).exists(), "{name}");
    }
    assert!(file(&folder, "statement.txt").contains("its energy is not known"));
}

#[test]
fn the_statement_names_range_boundary_and_tool() {
    let folder = reported(&Campaign::small().record());
    ok(&["report", "out", "--grid", "fra", "--pue", "1.1"], folder.path());
    let statement = file(&folder, "statement.txt");
    insta::assert_snapshot!(statement.lines().next().unwrap(), @"Training bert-base (dense) on NVIDIA A100-SXM4-80GB in bf16 is estimated to take 16.9 [16.2, 17.7] days, 236 [209, 268] kWh, and to emit 12.6 [10.0, 14.8] kgCO2e (95 % intervals; emissions of the electricity, location-based; 56.0 [44.2, 56.0] gCO2e/kWh; PUE 1.10; the making of the hardware adds 3.79 [1.89, 8.85] kgCO2e; one run: failed attempts, searches and evaluation beyond the run are not counted). Estimated before training with greenformers 0.2.0 from steps measured on that machine.");
}

#[test]
fn a_report_lists_its_files_for_programs() {
    let folder = reported(&Campaign::small().record());
    let listed: Value = serde_json::from_str(&ok(&["report", "out", "--format", "json"], folder.path())).unwrap();
    let files = listed["files"].as_array().unwrap();
    assert_eq!(files[0], "out/report.html");
    for name in files {
        assert!(folder.path().join(name.as_str().unwrap()).exists(), "{name}");
    }
    for name in ["summary.csv", "summary.parquet", "estimates.json", "report.md", "emissions.csv", "model_card.yaml"] {
        assert!(files.iter().any(|f| *f == format!("out/{name}")), "{name}");
    }
    let csv = ok(&["report", "out", "--format", "csv"], folder.path());
    assert_eq!(csv.lines().count(), files.len() + 1);
}
