//! The order in which a report says what it has to say.

use super::Report;
use super::answer::NAME;
use crate::record::Record;
use crate::report::document::{Block, Document, Section};
use crate::report::markup::clean;
use crate::report::table::TextTable;
use crate::report::terminal::{
    answer_table, assumptions_table, claims, crossovers_table, profile_table, side_table, use_table, variance_table,
};

/// Characters of a line of the table beside the answer, which has room beside a chart.
const HEADLINE: usize = 96;

impl Report {
    /// The report as a document.
    pub(in crate::report) fn document(&self) -> Document<'_> {
        let (workload, machine) = (&self.record.settings.workload.name, &self.record.environment.compute.name);
        Document {
            title: format!("{} on {}", clean(workload, NAME), clean(machine, NAME)),
            answer: self.answer.clone(),
            headline: (!self.estimates.is_empty()).then(|| answer_table(&self.estimates, HEADLINE)),
            decisive: self.decisive().iter().map(ToString::to_string).collect(),
            found: format!("Measured {} with {}.", date(&self.record.created), clean(&self.record.tool, NAME)),
            charts: &self.charts,
            sections: vec![
                self.run(),
                self.steps(),
                self.thesis(),
                self.statement(),
                self.assumptions(),
                self.caveats(),
                Section { id: "provenance", title: "Provenance", blocks: vec![Block::Table(provenance(&self.record))] },
            ],
        }
    }

    fn run(&self) -> Section {
        let mut blocks = Vec::new();
        if let Some(reason) = &self.no_estimates {
            blocks.push(Block::Words(format!("Not estimated: {reason}")));
        } else {
            blocks.push(Block::Table(side_table(&self.estimates)));
        }
        let missing = self.estimates.first().into_iter().flat_map(|e| &e.missing);
        let missing: Vec<String> = missing.map(|(name, reason)| format!("{name} is not known: {reason}")).collect();
        if !missing.is_empty() {
            blocks.push(Block::List(missing));
        }
        Section { id: "run", title: "The whole run on this machine", blocks }
    }

    fn steps(&self) -> Section {
        let mut blocks = vec![Block::Table(profile_table(&self.cells))];
        let used = use_table(&self.cells);
        if !used.parts().1.is_empty() {
            blocks.push(Block::Table(used));
        }
        Section { id: "steps", title: "Measured steps", blocks }
    }

    fn thesis(&self) -> Section {
        Section {
            id: "thesis",
            title: "The thesis and this machine",
            blocks: vec![
                Block::Table(claims(&self.claims)),
                Block::Words("Cahyawijaya 2021, arXiv 2108.10808, abstract.".to_owned()),
                Block::Table(crossovers_table(&self.comparison, &self.modelled)),
            ],
        }
    }

    fn statement(&self) -> Section {
        let quotes = self.statements.iter().cloned().map(Block::Quote);
        Section { id: "statement", title: "For a paper", blocks: quotes.collect() }
    }

    fn assumptions(&self) -> Section {
        let Some(first) = self.estimates.first() else {
            return Section { id: "assumptions", title: "Assumptions", blocks: Vec::new() };
        };
        let mut blocks = vec![Block::Table(assumptions_table(first))];
        if !first.variance.is_empty() {
            blocks.push(Block::Table(variance_table(first)));
        }
        Section { id: "assumptions", title: "Assumptions", blocks }
    }

    fn caveats(&self) -> Section {
        let decisive = self.decisive();
        let others = self.warnings().into_iter().filter(|(_, warning)| !decisive.contains(warning));
        let said = others.map(|(cells, warning)| match cells.as_slice() {
            [] => warning.to_string(),
            cells => format!("{warning} [{}]", cells.join("; ")),
        });
        let said: Vec<String> = said.collect();
        let blocks = if said.is_empty() { Vec::new() } else { vec![Block::List(said)] };
        Section { id: "warnings", title: "Warnings", blocks }
    }
}

/// `2026-11-24T23:16:18+00:00` as `2026-11-24 23:16:18 +00:00`; other texts as they are.
pub(in crate::report) fn date(rfc3339: &str) -> String {
    let text = clean(rfc3339, 40);
    match (text.get(..10), text.get(10..11), text.get(11..19), text.get(19..)) {
        (Some(day), Some("T"), Some(time), Some(zone)) => format!("{day} {time} {zone}"),
        _ => text,
    }
}

/// Where the numbers come from.
pub(in crate::report) fn provenance(record: &Record) -> TextTable {
    let (environment, settings) = (&record.environment, &record.settings);
    let mut table = TextTable::new(&["what", "which"]);
    let mut row = |what: &str, which: String| table.row(vec![what.to_owned(), which]);
    row("measured", date(&record.created));
    let revision = if record.tool.contains("(git ") { "" } else { "; git revision not recorded" };
    row("program", format!("{}{revision}; record schema {}", record.tool, record.schema));
    row("machine", format!("{}, {}", clean(&environment.host, NAME), environment.os));
    row(
        "CPU",
        format!("{}, {} logical CPUs, {} threads used", environment.cpu, environment.logical_cpus, environment.threads),
    );
    row("computed on", format!("{} ({})", environment.compute.name, environment.compute.device));
    let states = || record.cells.iter().filter_map(|c| c.gpu_before.as_ref());
    let distinct = |values: Vec<String>, none: &str| {
        let mut values = values;
        values.sort();
        values.dedup();
        if values.is_empty() { none.to_owned() } else { values.join(", ") }
    };
    let gpu = environment.compute.device != "cpu";
    let none = if gpu { "not known" } else { "none: computed on the CPU" };
    row("GPU driver", distinct(states().filter_map(|s| s.driver.clone()).collect(), none));
    row(
        "power limit",
        distinct(states().filter_map(|s| Some(format!("{:.0} W", s.power_limit_w?))).collect(), "not known"),
    );
    row(
        "catalog entry",
        environment
            .compute
            .hardware
            .as_ref()
            .map_or_else(|| "none: the catalog does not know it".to_owned(), |d| d.id.clone()),
    );
    row("memory", format!("{:.1} GB", environment.memory_bytes as f64 / 1e9));
    for meter in &environment.meters {
        row("meter", format!("{}: {}", meter.domain, meter.note));
    }
    for baseline in &environment.baselines {
        let how = if baseline.idle_s > 0.0 {
            format!("measured over {:.0} s", baseline.idle_s)
        } else {
            "modelled".to_owned()
        };
        let watts = baseline.idle_w.map_or_else(|| "not known".to_owned(), |w| format!("{w:.3} W, {how}"));
        row("power at rest", format!("{}: {watts}", baseline.domain));
    }
    for unmetered in &environment.unmetered {
        row("not metered", format!("{}: {}", unmetered.what, unmetered.reason));
    }
    row("workload", format!("{} ({})", settings.workload.name, settings.workload.source));
    let dtypes = settings.dtypes.iter().map(|d| d.name()).collect::<Vec<_>>().join(" and ");
    row(
        "step",
        format!(
            "{} layers, {}, {}, {} operations, dropout {}, seed {}",
            settings.n_layers, dtypes, settings.pass, settings.ops, settings.dropout, settings.seed
        ),
    );
    table
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_date_keeps_its_zone_and_what_is_no_date_stays() {
        assert_eq!(date("2026-11-24T23:16:18+01:00"), "2026-11-24 23:16:18 +01:00");
        assert_eq!(date("<yesterday>"), "<yesterday>");
    }
}
