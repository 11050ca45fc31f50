//! What others ask for in their own form: Hugging Face's model card, BoAmps.

use serde_json::{Map, Value as Json, json};

use super::campaign::{drawn, seconds, steps, uuid};
use crate::estimate::{Basis, Estimate, Quantity, Value};
use crate::meter::{Coverage, EnergySource};
use crate::model::Arch;
use crate::record::Pass;
use crate::report::figures::Report;
use crate::report::markup::clean;
use crate::report::names::TOOL;
use crate::report::names::name_of;
use crate::report::numbers::{interval, significant};
use crate::units::Joules;

/// `co2_eq_emissions` of a model card (Hugging Face Hub documentation, "Displaying carbon emissions for your model"):
/// grams of CO2e of the run of the architecture that the report answers with. `None` where no emissions are known.
pub(super) fn model_card(report: &Report) -> Option<String> {
    let known = || report.estimates.iter().filter(|e| e.footprint.of(Quantity::Operational).is_some());
    let clear = known().filter(|e| e.ratio(Quantity::Wall).is_some_and(|r| r.high < 1.0));
    let best = clear.min_by(|a, b| {
        let ratio = |e: &Estimate| e.ratio(Quantity::Wall).map_or(1.0, |r| r.mid);
        ratio(a).total_cmp(&ratio(b))
    });
    let chosen = best.or_else(|| known().find(|e| e.arch == Some(Arch::Dense))).or_else(|| known().next())?;
    let label = |e: &Estimate| name_of(e, &report.estimates);
    let mut text = format!(
        "# For the head of the README.md of a model. Grams of CO2e of training {} as {}: an estimate made before training.\n",
        clean(chosen.workload.as_deref().unwrap_or("the model"), 80),
        label(chosen)
    );
    for other in known().filter(|e| !std::ptr::eq(*e, chosen)) {
        text.push_str(&format!("# as {}: emissions: {}\n", label(other), grams(other)));
    }
    // A string of JSON is one of YAML.
    let quoted = |text: &str| Json::String(clean(text, 600)).to_string();
    text.push_str(&format!("co2_eq_emissions:\n  emissions: {}\n", grams(chosen)));
    text.push_str(&format!("  source: {}\n", quoted(&source(report, chosen))));
    text.push_str("  training_type: \"pre-training\"\n");
    if let Some(grid) = &report.grid {
        text.push_str(&format!("  geographical_location: {}\n", quoted(&grid.name)));
    }
    let hardware = format!("{} x {}", chosen.devices, report.record.environment.compute.name);
    text.push_str(&format!("  hardware_used: {}\n", quoted(&hardware)));
    Some(text)
}

/// Whole grams, three digits of them.
fn grams(estimate: &Estimate) -> String {
    let grams = estimate.footprint.of(Quantity::Operational).map_or(0.0, |kg| kg.mid * 1000.0);
    let unit = 10f64.powf((grams.max(1e-9).log10().floor() - 2.0).max(-6.0));
    let rounded = (grams / unit).round() * unit;
    if unit < 1.0 { format!("{rounded:.3}") } else { format!("{rounded:.0}") }
}

/// Tool, version, how it is known, and what the form has no field for.
pub(super) fn source(report: &Report, estimate: &Estimate) -> String {
    let from = match estimate.basis {
        Basis::Measured => "from measured train steps",
        Basis::Sliced => "from measured train steps of the model with fewer layers",
        Basis::Scaled => "from steps measured at another shape",
        Basis::Analytic => "from a model of the hardware",
        Basis::Forecast => "from a part of the run",
        Basis::Given => "from a step time that was given",
    };
    let mut parts = vec![format!("{TOOL}, estimated before training {from}")];
    if report.record.environment.meters.iter().any(|m| m.source == EnergySource::Model) {
        parts.push("power modelled, not measured".to_owned());
    }
    parts.extend(
        estimate
            .footprint
            .of(Quantity::Operational)
            .map(|kg| format!("{} kgCO2e of the electricity (95 %)", interval(kg))),
    );
    parts.extend(estimate.footprint.of(Quantity::FacilityEnergy).map(|kwh| format!("{} kWh", interval(kwh))));
    for (name, unit) in [("grid intensity", "gCO2e/kWh"), ("PUE", "")] {
        let found = estimate.assumptions.iter().find(|a| a.name == name);
        if let Some(Value::Number(x)) = found.map(|a| &a.value) {
            parts.push(format!("{name} {} {unit}", significant(*x)).trim_end().to_owned());
        }
    }
    if report.grid_is_assumed {
        parts.push("the grid is assumed".to_owned());
    }
    parts.join("; ")
}

/// The campaign as a report of BoAmps (Boavizta's data model of AI energy measurements, `report_schema.json`): what the
/// measured steps drew, not what a whole run would. `None` where no meter and no model gave joules.
pub(super) fn boamps(report: &Report) -> Option<Json> {
    let record = &report.record;
    let (environment, settings) = (&record.environment, &record.settings);
    let parts = drawn(record);
    if parts.is_empty() {
        return None;
    }
    let kwh: f64 = parts.iter().map(|p| Joules(p.joules.mid).kwh()).sum();
    let measured = parts.iter().all(super::campaign::Drawn::is_measured);
    let gpu = environment.compute.device != "cpu";
    let (name, date) = (|text: &str| clean(text, 200), record.created.replace('T', " "));
    let date: String = date.chars().take(19).collect();
    let mut measure = json!({
        "measurementMethod": if measured { TOOL.to_owned() } else { format!("{TOOL} (power modelled, not measured)") },
        "version": env!("CARGO_PKG_VERSION"),
        "powerConsumption": kwh,
        "measurementDuration": seconds(record),
        "measurementDateTime": date,
    });
    let mode = |of: &[Coverage]| parts.iter().find(|p| of.contains(&p.coverage)).map(|p| p.source.name());
    put(&mut measure, "cpuTrackingMode", mode(&[Coverage::CpuPackage, Coverage::NodeShare, Coverage::Module]));
    put(&mut measure, "gpuTrackingMode", mode(&[Coverage::Gpu, Coverage::Module]));
    // The idle machine is what the form calls a calibration.
    let idle: Vec<(f64, f64)> =
        environment.baselines.iter().filter(|b| b.idle_s > 0.0).filter_map(|b| Some((b.idle_w?, b.idle_s))).collect();
    if !idle.is_empty() {
        let joules: f64 = idle.iter().map(|(w, s)| w * s).sum();
        put(&mut measure, "powerCalibrationMeasurement", Some(Joules(joules).kwh()));
        put(&mut measure, "durationCalibrationMeasurement", idle.iter().map(|i| i.1).reduce(f64::max));
    }
    let mut components = vec![json!({
        "componentName": name(&environment.cpu), "componentType": "cpu", "nbComponent": 1,
    })];
    if gpu {
        let mut component = json!({
            "componentName": name(&environment.compute.name), "componentType": "gpu", "nbComponent": 1,
        });
        put(&mut component, "memorySize", environment.compute.memory_bytes.map(|b| b / 1_000_000_000));
        components.push(component);
    }
    components.push(json!({
        "componentType": "ram", "nbComponent": 1, "memorySize": environment.memory_bytes / 1_000_000_000,
    }));
    let mut archs: Vec<&crate::record::CellSummary> = Vec::new();
    for cell in &report.cells {
        if !archs.iter().any(|c| c.arch == cell.arch) {
            archs.push(cell);
        }
    }
    let algorithms: Vec<Json> = archs
        .iter()
        .map(|c| {
            json!({
                "trainingType": "selfSupervisedLearning",
                "algorithmType": "neural network",
                "algorithmName": format!("transformer, {}", c.arch.label()),
                // In thousands of millions, as the form wants it.
                "parametersNumber": c.n_params as f64 / 1e9,
                "framework": "candle",
                "layersNumber": settings.n_layers,
                "optimizer": "adamw",
                "quantization": c.dtype.name(),
            })
        })
        .collect();
    let tokens: usize = record.cells.iter().map(|c| c.steps.len() * c.shape.batch_size * c.shape.seq_len).sum();
    let stage = if settings.pass == Pass::Train { "training" } else { "inference" };
    let mut form = json!({
        "header": {
            "formatVersionSpecificationUri": "https://github.com/Boavizta/BoAmps/tree/main/model",
            "reportId": uuid(record),
            "reportDatetime": date,
            "reportStatus": "final",
        },
        "task": {
            "taskStage": stage,
            "taskFamily": "language modelling",
            "algorithms": algorithms,
            "dataset": [{"dataUsage": "input", "dataType": "token", "dataQuantity": tokens, "source": "private"}],
            "taskDescription": format!(
                "{} measured steps of {} with made-up tokens, to predict a run: not a whole run",
                steps(record),
                name(&settings.workload.name)
            ),
        },
        "measures": [measure],
        "system": {"os": name(&environment.os)},
        "software": {"language": "rust"},
        "infrastructure": {"infraType": "other", "components": components},
        "quality": if !measured { "low" } else if parts.iter().all(|p| p.joules.high <= 1.1 * p.joules.mid) { "high" } else { "medium" },
    });
    if let Some(grid) = &report.grid {
        let mut place = json!({ "country": name(&grid.name) });
        let intensity = report.conditions.as_ref().map(|c| c.intensity.distribution.centre());
        put(&mut place, "powerSourceCarbonIntensity", intensity);
        put(&mut form, "environment", Some(place));
    }
    Some(form)
}

/// Adds a field that is known.
fn put(object: &mut Json, name: &str, value: Option<impl Into<Json>>) {
    let fields: Option<&mut Map<String, Json>> = object.as_object_mut();
    if let (Some(fields), Some(value)) = (fields, value) {
        fields.insert(name.to_owned(), value.into());
    }
}
