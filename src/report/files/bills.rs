//! Bills of materials with the energy of a model: CycloneDX and SPDX.

use serde_json::{Value as Json, json};

use super::campaign::{Drawn, drawn_by, uuid_of};
use super::cards::source;
use crate::estimate::{Estimate, Quantity};
use crate::model::Arch;
use crate::record::Record;
use crate::report::figures::Report;
use crate::report::markup::clean;
use crate::report::names::{TOOL, name_of};
use crate::stats::Interval;
use crate::units::Joules;

/// What both say of a number that no meter has read.
const ESTIMATE: &str = "Energy and emissions of training are an estimate made before it, of machines and building.";

/// A model of the report: an architecture, its estimates of a whole run, and what its measured steps drew.
struct Model<'a> {
    arch: Arch,
    /// Several, where several number formats were measured.
    runs: Vec<&'a Estimate>,
    drawn: Vec<Drawn>,
}

impl Model<'_> {
    fn name(&self, record: &Record) -> String {
        format!("{} ({})", clean(&record.settings.workload.name, 80), self.arch.label())
    }
}

/// The architectures of which energy is known.
fn models(report: &Report) -> Vec<Model<'_>> {
    let mut archs: Vec<Arch> = Vec::new();
    let named = report.estimates.iter().filter_map(|e| e.arch).chain(report.cells.iter().map(|c| c.arch));
    for arch in named {
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    let model = |arch: Arch| Model {
        arch,
        runs: report.estimates.iter().filter(|e| e.arch == Some(arch) && energy(e).is_some()).collect(),
        drawn: drawn_by(&report.record, |cell| cell.arch == arch),
    };
    archs.into_iter().map(model).filter(|m| !m.runs.is_empty() || !m.drawn.is_empty()).collect()
}

fn energy(estimate: &Estimate) -> Option<Interval> {
    estimate.footprint.of(Quantity::FacilityEnergy)
}

/// The moment of the record as both forms want it: in whole seconds of universal time.
fn moment(record: &Record) -> String {
    record.created.chars().take(19).collect::<String>() + "Z"
}

/// A bill of machine learning in CycloneDX 1.6, with a component for each architecture. `None` where no energy is known.
pub(super) fn cyclonedx(report: &Report) -> Option<Json> {
    let record = &report.record;
    let models = models(report);
    if models.is_empty() {
        return None;
    }
    let components: Vec<Json> = models.iter().map(|m| component(report, m)).collect();
    let mut bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(record),
            "tools": {"components": [{
                "type": "application", "name": "greenformers", "version": env!("CARGO_PKG_VERSION"),
            }]},
        },
        "components": components,
    });
    // The same bill has the same number, and another one another.
    let serial = format!("urn:uuid:{}", uuid_of(&bill.to_string()));
    bill["serialNumber"] = serial.into();
    Some(bill)
}

fn component(report: &Report, model: &Model<'_>) -> Json {
    let record = &report.record;
    let mut consumptions: Vec<Json> = model.runs.iter().filter_map(|run| of_run(report, run)).collect();
    consumptions.extend(of_steps(&model.drawn));
    let parameters = record.cells.iter().filter(|c| c.arch == model.arch).max_by_key(|c| c.n_layers);
    let parameters = model.runs.iter().find_map(|e| e.n_params).or_else(|| parameters.map(|c| c.n_params));
    let mut properties = vec![property("device", &clean(&record.environment.compute.name, 200))];
    properties.extend(parameters.map(|n| property("parameters", &n.to_string())));
    json!({
        "type": "machine-learning-model",
        "bom-ref": format!("model {}", model.arch),
        "name": model.name(record),
        "description": ESTIMATE,
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "self-supervised"},
                "task": "language modelling",
                "architectureFamily": "transformer",
                "modelArchitecture": model.name(record),
            },
            "considerations": {"environmentalConsiderations": {"energyConsumptions": consumptions}},
            "properties": properties,
        },
    })
}

/// The whole run, estimated.
fn of_run(report: &Report, run: &Estimate) -> Option<Json> {
    let kwh = energy(run)?;
    let measure = json!({"value": kwh.mid, "unit": "kWh"});
    let mut properties = vec![
        property("status", "estimated before training, not measured"),
        property("run", &name_of(run, &report.estimates)),
        property("source", &source(report, run)),
        property("kwh_low", &kwh.low.to_string()),
        property("kwh_high", &kwh.high.to_string()),
    ];
    // Which sources feed a grid, and in which shares, the catalog does not say.
    let providers: Vec<Json> = report
        .grid
        .iter()
        .map(|grid| {
            json!({
                "description": format!("the grid of {}", clean(&grid.name, 200)),
                "organization": {},
                "energySource": "unknown",
                "energyProvided": measure,
            })
        })
        .collect();
    let mut consumption = json!({"activity": "training", "energyProviders": providers, "activityEnergyCost": measure});
    if let Some(kg) = run.footprint.of(Quantity::Operational) {
        consumption["co2CostEquivalent"] = json!({"value": kg.mid / 1000.0, "unit": "tCO2eq"});
        properties.push(property("tco2e_low", &(kg.low / 1000.0).to_string()));
        properties.push(property("tco2e_high", &(kg.high / 1000.0).to_string()));
    }
    consumption["properties"] = properties.into();
    Some(consumption)
}

/// The steps of the campaign, which trained nothing that is kept.
fn of_steps(drawn: &[Drawn]) -> Option<Json> {
    let kwh = |pick: fn(&Interval) -> f64| drawn.iter().map(|d| Joules(pick(&d.joules)).kwh()).sum::<f64>();
    let read = if drawn.iter().all(Drawn::is_measured) { "measured" } else { "power modelled, not measured" };
    let sources: Vec<String> = drawn.iter().map(|d| format!("{}: {}", d.coverage.words(), d.source.name())).collect();
    let properties = [
        property("status", &format!("{read}: steps with made-up tokens, to predict a run")),
        property("source", &sources.join("; ")),
        property("kwh_low", &kwh(|j| j.low).to_string()),
        property("kwh_high", &kwh(|j| j.high).to_string()),
    ];
    (!drawn.is_empty()).then(|| {
        json!({
            "activity": "other",
            "energyProviders": [],
            "activityEnergyCost": {"value": kwh(|j| j.mid), "unit": "kWh"},
            "properties": properties,
        })
    })
}

/// A property under our name, as CycloneDX has it for what it has no field for.
fn property(name: &str, value: &str) -> Json {
    json!({"name": format!("greenformers:{name}"), "value": value})
}

/// A document of SPDX 3.0.1 with an AI package for each architecture. `None` where no estimate has energy: what the form has
/// fields for is the training of the model, and measured steps are not that.
pub(super) fn spdx(report: &Report) -> Option<Json> {
    let record = &report.record;
    let models: Vec<Model<'_>> = models(report).into_iter().filter(|m| !m.runs.is_empty()).collect();
    if models.is_empty() {
        return None;
    }
    let said: Vec<String> = models.iter().flat_map(|m| &m.runs).map(|run| source(report, run)).collect();
    let name = |part: &str| format!("urn:uuid:{}#{part}", uuid_of(&format!("{}\n{}", moment(record), said.join("\n"))));
    let packages: Vec<Json> = models
        .iter()
        .enumerate()
        .map(|(place, model)| {
            // Several number formats are several ways to train one model, and never a sum.
            let run = model.runs[0];
            let kwh = energy(run).map_or(0.0, |kwh| kwh.mid);
            let entry = |key: &str, value: String| json!({"type": "DictionaryEntry", "key": key, "value": value});
            let mut entries = vec![
                entry("architecture", model.arch.to_string()),
                entry("layers", record.settings.workload.model.n_layers.to_string()),
            ];
            entries.extend(run.dtype.map(|dtype| entry("number format", dtype.to_string())));
            entries.extend(run.n_params.map(|n| entry("parameters", n.to_string())));
            json!({
                "type": "ai_AIPackage",
                "spdxId": name(&format!("model-{}", place + 1)),
                "creationInfo": "_:creation",
                "name": model.name(record),
                "comment": format!(
                    "{ESTIMATE} What the publisher of a model knows is not said here: supplier, version, time of release, \
                     place of download and licences."
                ),
                "software_primaryPurpose": "model",
                "ai_typeOfModel": ["transformer"],
                "ai_informationAboutTraining": source(report, run),
                "ai_hyperparameter": entries,
                "ai_energyConsumption": {
                    "type": "ai_EnergyConsumption",
                    "ai_trainingEnergyConsumption": [{
                        "type": "ai_EnergyConsumptionDescription",
                        "ai_energyQuantity": kwh,
                        "ai_energyUnit": "kilowattHour",
                    }],
                },
            })
        })
        .collect();
    let roots: Vec<&Json> = packages.iter().map(|p| &p["spdxId"]).collect();
    let mut graph = vec![
        json!({
            "type": "CreationInfo",
            "@id": "_:creation",
            "specVersion": "3.0.1",
            "created": moment(record),
            "createdBy": [name("program")],
        }),
        json!({
            "type": "SoftwareAgent", "spdxId": name("program"), "creationInfo": "_:creation", "name": TOOL,
        }),
        json!({
            "type": "SpdxDocument",
            "spdxId": name("document"),
            "creationInfo": "_:creation",
            // The AI profile itself asks for the licences of each package.
            "profileConformance": ["core", "software"],
            "rootElement": roots,
        }),
    ];
    graph.extend(packages);
    Some(json!({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph}))
}
