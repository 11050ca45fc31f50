//! Loads a record and prints what was measured: `cargo run --example load_record -- reports/h200-bert-base`

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use std::error::Error;
use std::path::Path;

use greenformers::record::Record;
use greenformers::report::{interval, significant};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "reports/epyc-2vcpu-bert-base".to_owned());
    let record = Record::load(Path::new(&folder))?;
    println!("{} on {}", record.settings.workload.name, record.environment.compute.name);
    for cell in &record.cells {
        let summary = cell.summary(&record.environment);
        // What was not measured is `None`, never 0.
        let step = summary.step_s.map_or("not measured".to_owned(), |s| format!("{} s a step", interval(s)));
        let energy = summary.energy_j_per_step.map_or("no energy".to_owned(), |e| format!("{} J", significant(e.mid)));
        println!("{}: {step}, {energy}", cell.label());
    }
    Ok(())
}
