//! The bills of materials of a report, against what their standards ask: CycloneDX 1.6 (ECMA-424) and SPDX 3.0.1.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Campaign, file, ok, reported};
use greenformers::meter::EnergySource;

/// A bill of a report with this grid, and the estimates beside it.
fn bill(name: &str, options: &[&str], change: impl Fn(&mut greenformers::record::Record)) -> (Value, Value) {
    let mut record = Campaign::small().record();
    change(&mut record);
    let folder = reported(&record);
    ok(&[&["report", "out"], options].concat(), folder.path());
    let read = |name: &str| serde_json::from_str(&file(&folder, name)).unwrap();
    (read(name), read("estimates.json"))
}

/// Checks that an object has all of `required`, and of the rest only `allowed`.
fn fields(value: &Value, required: &[&str], allowed: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("an object is expected: {value}"));
    for name in required {
        assert!(object.contains_key(*name), "{name} is missing in {value}");
    }
    for name in object.keys() {
        assert!(
            required.contains(&name.as_str()) || allowed.contains(&name.as_str()),
            "{name} is no field of the form"
        );
    }
}

/// The value of one of our properties.
fn property<'a>(value: &'a Value, name: &str) -> &'a str {
    let found = value["properties"].as_array().unwrap().iter().find(|p| p["name"] == format!("greenformers:{name}"));
    found.unwrap_or_else(|| panic!("{name} is missing in {value}"))["value"].as_str().unwrap()
}

#[test]
fn the_bill_of_cyclonedx_has_the_fields_of_the_standard() {
    let (bill, _) = bill("bom.cdx.json", &["--grid", "swe"], |_| {});
    fields(&bill, &["bomFormat", "specVersion"], &["$schema", "serialNumber", "version", "metadata", "components"]);
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let serial = bill["serialNumber"].as_str().unwrap();
    assert!(serial.starts_with("urn:uuid:") && serial.len() == 45, "{serial}");
    assert_eq!(bill["metadata"]["timestamp"], "2026-11-20T08:15:00Z");
    let components = bill["components"].as_array().unwrap();
    assert!(components.len() >= 2, "{components:?}");
    let references: BTreeSet<&str> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(references.len(), components.len());
    for component in components {
        fields(component, &["type", "name"], &["bom-ref", "description", "modelCard"]);
        assert_eq!(component["type"], "machine-learning-model");
        let card = &component["modelCard"];
        fields(card, &[], &["modelParameters", "considerations", "properties"]);
        fields(
            &card["modelParameters"],
            &[],
            &["approach", "task", "architectureFamily", "modelArchitecture", "datasets", "inputs", "outputs"],
        );
        let consumptions = card["considerations"]["environmentalConsiderations"]["energyConsumptions"].as_array();
        for consumption in consumptions.unwrap() {
            let optional = ["co2CostEquivalent", "co2CostOffset", "properties"];
            fields(consumption, &["activity", "energyProviders", "activityEnergyCost"], &optional);
            assert!(["training", "other"].contains(&consumption["activity"].as_str().unwrap()));
            let cost = &consumption["activityEnergyCost"];
            fields(cost, &["value", "unit"], &[]);
            assert!(cost["unit"] == "kWh" && cost["value"].as_f64().unwrap() > 0.0, "{cost}");
            for provider in consumption["energyProviders"].as_array().unwrap() {
                fields(provider, &["organization", "energySource", "energyProvided"], &["description"]);
                assert_eq!((&provider["energySource"], &provider["energyProvided"]), (&"unknown".into(), cost));
            }
        }
    }
}

#[test]
fn the_bill_of_cyclonedx_has_the_numbers_of_the_estimates_and_says_that_they_are_estimates() {
    let (bill, estimates) = bill("bom.cdx.json", &["--grid", "swe"], |_| {});
    let (component, estimate) = (&bill["components"][0], &estimates["estimates"][0]);
    assert_eq!((&component["name"], &estimate["arch"]), (&"bert-base (dense)".into(), &"dense".into()));
    let consumptions = &component["modelCard"]["considerations"]["environmentalConsiderations"]["energyConsumptions"];
    let run = &consumptions[0];
    assert_eq!(run["activity"], "training");
    assert_eq!(run["activityEnergyCost"]["value"], estimate["facility_energy_kwh"]["mid"]);
    let tonnes = run["co2CostEquivalent"]["value"].as_f64().unwrap();
    let kilograms = estimate["operational_kgco2e"]["mid"].as_f64().unwrap();
    assert!((tonnes * 1000.0 / kilograms - 1.0).abs() < 1e-12 && run["co2CostEquivalent"]["unit"] == "tCO2eq");
    assert_eq!(property(run, "status"), "estimated before training, not measured");
    assert_eq!(
        property(run, "kwh_low").parse::<f64>().unwrap(),
        estimate["facility_energy_kwh"]["low"].as_f64().unwrap()
    );
    assert_eq!(run["energyProviders"][0]["description"], "the grid of Sweden");
    // What was measured stands apart: it trained nothing that is kept.
    assert_eq!(consumptions[1]["activity"], "other");
    assert_eq!(property(&consumptions[1], "status"), "measured: steps with made-up tokens, to predict a run");
}

#[test]
fn the_bills_say_where_power_was_modelled_and_where_the_grid_is_assumed() {
    let modelled = |record: &mut greenformers::record::Record| {
        record.environment.meters.iter_mut().for_each(|m| m.source = EnergySource::Model);
        record.cells.iter_mut().flat_map(|c| &mut c.meters).for_each(|m| m.meter.source = EnergySource::Model);
    };
    let (bill, _) = bill("bom.cdx.json", &[], modelled);
    let consumptions =
        &bill["components"][0]["modelCard"]["considerations"]["environmentalConsiderations"]["energyConsumptions"];
    assert_eq!(consumptions[0]["energyProviders"], Value::Array(Vec::new()));
    let source = property(&consumptions[0], "source");
    assert!(source.contains("power modelled, not measured") && source.ends_with("the grid is assumed"), "{source}");
    assert!(property(&consumptions[1], "status").starts_with("power modelled, not measured"));
}

#[test]
fn the_document_of_spdx_has_the_fields_of_the_standard_and_the_numbers_of_the_estimates() {
    let (document, estimates) = bill("spdx.json", &["--grid", "swe"], |_| {});
    fields(&document, &["@context", "@graph"], &[]);
    assert_eq!(document["@context"], "https://spdx.org/rdf/3.0.1/spdx-context.jsonld");
    let graph = document["@graph"].as_array().unwrap();
    let of = |kind: &str| graph.iter().filter(|e| e["type"] == kind).collect::<Vec<_>>();
    let creation = of("CreationInfo")[0];
    fields(creation, &["type", "@id", "specVersion", "created", "createdBy"], &[]);
    assert_eq!((&creation["specVersion"], &creation["created"]), (&"3.0.1".into(), &"2026-11-20T08:15:00Z".into()));
    let agent = of("SoftwareAgent")[0];
    assert_eq!(creation["createdBy"][0], agent["spdxId"]);
    let elements = graph.iter().filter(|e| e["type"] != "CreationInfo").collect::<Vec<_>>();
    let names: BTreeSet<&str> = elements.iter().map(|e| e["spdxId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), elements.len());
    assert!(elements.iter().all(|e| e["creationInfo"] == creation["@id"]));
    let packages = of("ai_AIPackage");
    let roots: Vec<&Value> = packages.iter().map(|p| &p["spdxId"]).collect();
    assert_eq!(of("SpdxDocument")[0]["rootElement"].as_array().unwrap().iter().collect::<Vec<_>>(), roots);
    let estimates = estimates["estimates"].as_array().unwrap();
    assert_eq!(packages.len(), estimates.len());
    for (package, estimate) in packages.iter().zip(estimates) {
        let energy = &package["ai_energyConsumption"];
        fields(energy, &["type", "ai_trainingEnergyConsumption"], &[]);
        let described = &energy["ai_trainingEnergyConsumption"][0];
        fields(described, &["type", "ai_energyQuantity", "ai_energyUnit"], &[]);
        assert_eq!(described["ai_energyUnit"], "kilowattHour");
        assert_eq!(described["ai_energyQuantity"], estimate["facility_energy_kwh"]["mid"]);
        assert!(package["ai_informationAboutTraining"].as_str().unwrap().contains("estimated before training"));
        assert!(package["comment"].as_str().unwrap().starts_with("Energy and emissions of training are an estimate"));
    }
}
