//! What a report shows, before it has a form.

mod answer;
mod document;
mod elsewhere;
mod inputs;
mod lines;
mod rows;
mod run;
mod statement;
mod trace;

use crate::catalog::Grid;
use crate::estimate::{Comparison, Conditions, Estimate, ModelledCrossovers, ThesisClaim, compare, thesis_claims};
use crate::meter::EnergySource;
use crate::record::{Cell, CellSummary, Pass, Record, Warning};
use crate::report::charts::{Chart, Palette};

pub(in crate::report) use answer::NAME;
pub(in crate::report) use document::date;
pub(in crate::report) use inputs::run_of;
pub use inputs::{Inputs, Market, ZoneRun};
use lines::{CellQuantity, lines};
pub(in crate::report) use run::{variance, whole_run};
pub use statement::statement_of_past;

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
    /// Grid, site and prices.
    pub conditions: Option<Conditions>,
    /// The grid, if it was named.
    pub grid: Option<Grid>,
    /// Whether nobody said whose electricity it is.
    pub grid_is_assumed: bool,
    /// Architectures side by side.
    pub comparison: Comparison,
    /// What the thesis says, and what was found.
    pub claims: Vec<ThesisClaim>,
    /// Where architectures change places on GPUs that were not measured: modelled.
    pub modelled: Vec<ModelledCrossovers>,
    /// The question answered in a sentence.
    pub answer: String,
    /// What a paper can say of each run.
    pub statements: Vec<String>,
    /// The pictures, the one that answers the question first.
    pub charts: Vec<Chart>,
}

/// Works out what a report of `record` shows.
#[must_use]
pub fn figures(record: &Record, inputs: Inputs) -> Report {
    let (estimates, no_estimates) = match inputs.estimates {
        Ok(estimates) => (estimates, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    let mut sorted: Vec<&Cell> = record.cells.iter().collect();
    sorted.sort_by_key(|c| (c.pass, c.dtype, c.shape.seq_len, c.shape.batch_size, c.arch, c.n_layers));
    let summary = |c: &&Cell| c.summary(&record.environment);
    let cells: Vec<CellSummary> = sorted.iter().map(summary).collect();
    // The table has every depth, and charts the deepest.
    sorted.retain(|c| c.n_layers == record.deepest());
    let deepest: Vec<CellSummary> = sorted.iter().map(summary).collect();
    let comparison = compare(record, inputs.seed);
    let archs = record.cells.iter().map(|c| c.arch).chain(estimates.iter().filter_map(|e| e.arch));
    let palette = Palette::of(archs.collect());
    let mut charts = vec![run::saving(&estimates, &comparison, &palette)];
    charts.extend(measured(&sorted, &deepest, &comparison, &palette));
    // Along several lengths, the curve answers more than the run alone.
    let curve = charts.iter().position(|c| c.name.starts_with(CellQuantity::TimePerToken.name()));
    if let Some(curve) = curve.filter(|_| lengths_of(&comparison) > 2) {
        charts[..=curve].rotate_right(1);
    }
    let modelled_power = record.environment.meters.iter().any(|m| m.source == EnergySource::Model);
    charts.extend(run::whole_run(&estimates, modelled_power, &palette));
    charts.extend(elsewhere::zones(&inputs.zones, &palette));
    charts.extend(inputs.market.as_ref().and_then(|m| elsewhere::pareto(m, &estimates, &palette)));
    charts.extend(run::variance(&estimates));
    charts.retain(|chart| !chart.marks.is_empty());
    Report {
        claims: thesis_claims(&comparison, &estimates),
        answer: answer::answer(record, &estimates, &comparison, inputs.market.as_ref()),
        statements: statement::statements(record, &estimates),
        modelled: inputs.modelled,
        record: record.clone(),
        cells,
        estimates,
        no_estimates,
        conditions: inputs.conditions,
        grid: inputs.grid,
        grid_is_assumed: inputs.grid_is_assumed,
        comparison,
        charts,
    }
}

/// Lengths at which several architectures were measured.
fn lengths_of(comparison: &Comparison) -> usize {
    let mut lengths: Vec<usize> = comparison.lengths.iter().filter(|l| l.rows.len() > 1).map(|l| l.seq_len).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths.len()
}

/// The charts of what was measured.
fn measured(sorted: &[&Cell], cells: &[CellSummary], comparison: &Comparison, palette: &Palette) -> Vec<Chart> {
    let mut charts = Vec::new();
    // A chart of its own for each number format: lengths of one line are of one format.
    let groups: Vec<&[CellSummary]> = cells.chunk_by(|a, b| (a.pass, a.dtype) == (b.pass, b.dtype)).collect();
    let alone = |group: &[CellSummary]| groups.iter().filter(|g| g[0].pass == group[0].pass).count() == 1;
    for group in &groups {
        let suffix = if alone(group) { String::new() } else { format!("_{}", group[0].dtype) };
        for quantity in CellQuantity::of(group[0].pass) {
            charts.extend(lines(*quantity, group, comparison, palette, &suffix));
        }
    }
    for group in sorted.chunk_by(|a, b| (a.pass, a.dtype) == (b.pass, b.dtype)) {
        let summaries: Vec<&CellSummary> =
            cells.iter().filter(|c| (c.pass, c.dtype) == (group[0].pass, group[0].dtype)).collect();
        let owned: Vec<CellSummary> = summaries.into_iter().cloned().collect();
        let suffix = if alone(&owned) { String::new() } else { format!("_{}", group[0].dtype) };
        charts.extend(rows::energy(group, &owned, &suffix));
        // Bars of what a curve shows already would say it twice.
        if group[0].pass == Pass::Infer || lengths_of(comparison) < 2 {
            charts.extend(rows::memory(&owned, palette, &suffix));
        }
    }
    charts.push(rows::model_size(cells));
    charts.extend(trace::trace(sorted));
    charts
}

impl Report {
    /// What changes how the answer is read: the caveats of the whole run, each once. Those of single cells are not among them.
    #[must_use]
    pub fn decisive(&self) -> Vec<Warning> {
        let mut all: Vec<Warning> = Vec::new();
        for warning in self.estimates.iter().flat_map(|e| &e.warnings) {
            if !all.contains(warning) {
                all.push(warning.clone());
            }
        }
        all
    }

    /// Every caveat once, with the cells that it belongs to.
    #[must_use]
    pub fn warnings(&self) -> Vec<(Vec<String>, Warning)> {
        let of_all = self.record.warnings.iter().chain(self.estimates.iter().flat_map(|e| &e.warnings));
        let mut all: Vec<(Option<String>, Warning)> = of_all.map(|w| (None, w.clone())).collect();
        all.extend(self.record.cells.iter().flat_map(|c| c.caveats().into_iter().map(|w| (Some(c.label()), w))));
        let mut unique: Vec<(Vec<String>, Warning)> = Vec::new();
        for (cell, warning) in all {
            match unique.iter_mut().find(|(_, known)| *known == warning) {
                Some((cells, _)) => cells.extend(cell.filter(|c| !cells.contains(c))),
                None => unique.push((cell.into_iter().collect(), warning)),
            }
        }
        unique
    }
}
