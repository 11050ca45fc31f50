//! Writes the report of a record: `cargo run --example write_report -- reports/h200-bert-base my-report`

#![expect(clippy::print_stdout, reason = "an example prints what it writes")]

use std::error::Error;
use std::path::Path;

use greenformers::catalog::{Catalog, Level};
use greenformers::estimate::{ConditionsBuilder, Hardware, Request, estimate};
use greenformers::model::Arch;
use greenformers::record::Record;
use greenformers::report::{Inputs, figures, write_report};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let record = Record::load(Path::new(&args.next().unwrap_or_else(|| "reports/epyc-2vcpu-bert-base".to_owned())))?;
    let folder = args.next().unwrap_or_else(|| "my-report".to_owned());
    let grid = Some(Catalog::default().grid("fra")?);
    let conditions = ConditionsBuilder { grid: grid.clone(), share: 1.0, ..Default::default() }.build()?;
    let request = Request {
        workload: &record.settings.workload,
        archs: &[Arch::Dense, Arch::Lrt { rank: 256 }],
        hardware: Hardware::Measured(&record),
        devices: 1,
        dtype: record.settings.dtype(),
        level: Level::default(),
        micro_batch: None,
        conditions: &conditions,
        seed: 0,
    };
    let estimates = estimate(&request).map_err(|error| error.to_string());
    let conditions = Some(conditions.clone());
    let inputs = Inputs { estimates, conditions, grid, grid_is_assumed: false, places: vec![], market: None, seed: 0 };
    for file in write_report(&figures(&record, inputs), Path::new(&folder), false)? {
        println!("{}", file.display());
    }
    Ok(())
}
