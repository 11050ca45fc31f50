//! What a report shows, before it has a form.

use super::charts::{Bar, Chart};
use crate::estimate::{Comparison, Estimate, ThesisClaim, compare, thesis_claims};
use crate::model::Arch;
use crate::record::{CellSummary, Record};
use crate::stats::Interval;

/// Everything that a report shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was measured.
    pub record: Record,
    /// Its cells, by length and architecture.
    pub cells: Vec<CellSummary>,
    /// The whole run on this machine, by architecture.
    pub estimates: Vec<Estimate>,
    /// Why there are no estimates, if there are none.
    pub no_estimates: Option<String>,
    /// Architectures side by side.
    pub comparison: Comparison,
    /// What the thesis says, and what was found.
    pub claims: Vec<ThesisClaim>,
    /// The pictures.
    pub charts: Vec<Chart>,
}

/// Works out what a report of `record` shows. `estimates` are those of the whole run on its machine, or the
/// reason why there are none.
#[must_use]
pub fn figures(record: &Record, estimates: Result<Vec<Estimate>, String>, seed: u64) -> Report {
    let (estimates, no_estimates) = match estimates {
        Ok(estimates) => (estimates, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let mut sorted: Vec<_> = record.cells.iter().collect();
    sorted.sort_by_key(|c| (c.pass, c.dtype, c.shape.seq_len, c.shape.batch_size, c.arch));
    let cells: Vec<CellSummary> = sorted.iter().map(|c| c.summary(&record.environment)).collect();
    let comparison = compare(record, seed);
    let claims = thesis_claims(&comparison, &estimates);
    let charts = charts(&cells, &estimates, &comparison);
    Report { record: record.clone(), cells, estimates, no_estimates, comparison, claims, charts }
}

fn label(spec: &str) -> String {
    spec.parse::<Arch>().map_or_else(|_| spec.to_owned(), Arch::label)
}

fn charts(cells: &[CellSummary], estimates: &[Estimate], comparison: &Comparison) -> Vec<Chart> {
    let by_length = |name, title: &str, y_label: &str, value: &dyn Fn(&CellSummary) -> Option<Interval>| Chart {
        name,
        title: title.to_owned(),
        y_label: y_label.to_owned(),
        x_label: "sequences x tokens in a step".to_owned(),
        groups: cells
            .chunk_by(|a, b| a.seq_len == b.seq_len && a.batch_size == b.batch_size)
            .map(|group| {
                let bars = group.iter().map(|c| Bar { label: label(&c.spec), value: value(c) }).collect();
                (format!("{} x {}", group[0].batch_size, group[0].seq_len), bars)
            })
            .collect(),
        reference: None,
    };
    let source = cells.iter().find_map(|c| c.energy_source).map_or("", |s| s.name());
    let energy_title = format!("Energy of the device by architecture (source: {source})");
    let per_1000_tokens =
        |c: &CellSummary| c.energy_j_per_step.map(|e| e.scaled(1000.0 / (c.batch_size * c.seq_len) as f64));
    let of_run = |name, title: &str, y_label: &str, value: &dyn Fn(&Estimate) -> Option<Interval>| Chart {
        name,
        title: title.to_owned(),
        y_label: y_label.to_owned(),
        x_label: String::new(),
        groups: vec![(
            estimates.first().and_then(|e| e.workload.clone()).unwrap_or_default(),
            estimates.iter().map(|e| Bar { label: e.label.clone().unwrap_or_default(), value: value(e) }).collect(),
        )],
        reference: None,
    };
    let ratio = Chart {
        name: "ratio_to_dense",
        title: "Step time as a ratio to dense (below 1: faster)".to_owned(),
        y_label: "step time / dense".to_owned(),
        x_label: "sequences x tokens in a step".to_owned(),
        groups: comparison
            .lengths
            .iter()
            .map(|l| {
                let mut rows: Vec<_> = l.rows.iter().filter(|r| r.time_vs_dense.is_some()).collect();
                rows.sort_by_key(|r| r.spec.parse::<Arch>().ok());
                let bars = rows.iter().map(|r| Bar { label: r.label.clone(), value: r.time_vs_dense }).collect();
                (format!("{} x {}", l.batch_size, l.seq_len), bars)
            })
            .collect(),
        reference: Some(1.0),
    };
    vec![
        by_length("step_time", "Step time by sequence length and architecture", "seconds a step", &|c| c.step_s),
        ratio,
        by_length("energy", &energy_title, "J per 1000 tokens", &per_1000_tokens),
        by_length("memory", "Peak memory by architecture", "GB", &|c| {
            c.peak_memory_bytes.map(|b| Interval::point(b as f64 / 1e9))
        }),
        of_run("run_time", "Wall time of the whole run", "days", &|e| e.wall_h.map(|h| h.scaled(1.0 / 24.0))),
        of_run("run_co2e", "Operational emissions of the whole run", "kgCO2e", &|e| e.operational_kgco2e),
        of_run("run_cost", "Cost of the whole run", "USD", &|e| e.cost_usd),
    ]
}
