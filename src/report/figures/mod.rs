//! What a report shows, before it has a form.

mod answer;
mod document;
mod elsewhere;
mod lines;
mod rows;
mod run;
mod statement;
mod trace;

use crate::catalog::Grid;
use crate::estimate::{Axes, Comparison, Conditions, Estimate, Scenario, ThesisClaim, compare, thesis_claims};
use crate::meter::EnergySource;
use crate::record::{Cell, CellSummary, Record, Warning};
use crate::report::charts::{Chart, Palette};

pub(in crate::report) use answer::NAME;
pub(in crate::report) use document::date;
use lines::{Quantity, lines};

/// The same run in another grid.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of the zone.
    pub name: String,
    /// The run there, by architecture.
    pub estimates: Vec<Estimate>,
}

/// The same run on hardware of the catalog: modelled.
#[derive(Debug, Clone)]
pub struct Market {
    /// What the scenarios are made of.
    pub axes: Axes,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

/// What a report is made of, beside the record.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The whole run on the machine of the record, or why it is not estimated.
    pub estimates: Result<Vec<Estimate>, String>,
    /// What those estimates share.
    pub conditions: Option<Conditions>,
    /// The grid, if it was named.
    pub grid: Option<Grid>,
    /// Whether nobody said whose electricity it is.
    pub grid_is_assumed: bool,
    /// The same run in other grids.
    pub places: Vec<Place>,
    /// The same run on other hardware.
    pub market: Option<Market>,
    /// Seed of the draws.
    pub seed: u64,
}

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
    sorted.sort_by_key(|c| (c.pass, c.dtype, c.shape.seq_len, c.shape.batch_size, c.arch));
    let cells: Vec<CellSummary> = sorted.iter().map(|c| c.summary(&record.environment)).collect();
    let comparison = compare(record, inputs.seed);
    let archs = record.cells.iter().map(|c| c.arch).chain(estimates.iter().filter_map(|e| e.arch));
    let palette = Palette::of(archs.collect());
    let mut charts = vec![run::saving(&estimates, &comparison, &palette)];
    charts.extend(measured(&sorted, &cells, &comparison, &palette));
    let modelled_power = record.environment.meters.iter().any(|m| m.source == EnergySource::Model);
    charts.extend(run::charts(&estimates, modelled_power, &palette));
    charts.extend(elsewhere::places(&inputs.places, &palette));
    charts.extend(inputs.market.as_ref().and_then(|m| elsewhere::pareto(m, &estimates, &palette)));
    charts.extend(run::variance(&estimates));
    charts.retain(|chart| !chart.marks.is_empty());
    Report {
        claims: thesis_claims(&comparison, &estimates),
        answer: answer::answer(record, &estimates, &comparison),
        statements: statement::statements(record, &estimates),
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

/// The charts of what was measured.
fn measured(sorted: &[&Cell], cells: &[CellSummary], comparison: &Comparison, palette: &Palette) -> Vec<Chart> {
    let mut charts = Vec::new();
    // A chart of its own for each number format: lengths of one line are of one format.
    let groups: Vec<&[CellSummary]> = cells.chunk_by(|a, b| (a.pass, a.dtype) == (b.pass, b.dtype)).collect();
    let alone = |group: &[CellSummary]| groups.iter().filter(|g| g[0].pass == group[0].pass).count() == 1;
    for group in &groups {
        let suffix = if alone(group) { String::new() } else { format!("_{}", group[0].dtype) };
        for quantity in Quantity::of(group[0].pass) {
            charts.extend(lines(*quantity, group, comparison, palette, &suffix));
        }
    }
    for group in sorted.chunk_by(|a, b| (a.pass, a.dtype) == (b.pass, b.dtype)) {
        let summaries: Vec<&CellSummary> =
            cells.iter().filter(|c| (c.pass, c.dtype) == (group[0].pass, group[0].dtype)).collect();
        let owned: Vec<CellSummary> = summaries.into_iter().cloned().collect();
        let suffix = if alone(&owned) { String::new() } else { format!("_{}", group[0].dtype) };
        charts.extend(rows::energy(group, &owned, &suffix));
        charts.extend(rows::memory(&owned, palette, &suffix));
    }
    charts.push(rows::model_size(cells));
    charts.extend(trace::trace(sorted));
    charts
}

impl Report {
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
