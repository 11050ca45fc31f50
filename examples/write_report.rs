//! Writes the report of a record: `cargo run --example write_report -- reports/h200-bert-base my-report`

#![expect(clippy::print_stdout, reason = "an example prints what it writes")]

use std::error::Error;
use std::path::Path;

use greenformers::catalog::Catalog;
use greenformers::estimate::ConditionsSpec;
use greenformers::record::Record;
use greenformers::report::{Inputs, figures, write_report};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let record = Record::load(Path::new(&args.next().unwrap_or_else(|| "reports/epyc-2vcpu-bert-base".to_owned())))?;
    let folder = args.next().unwrap_or_else(|| "my-report".to_owned());
    let spec = ConditionsSpec { grid: Some("fra".to_owned()), ..Default::default() };
    let inputs = Inputs::of(&record, &spec, &Catalog::default(), 0)?;
    for file in write_report(&figures(&record, inputs), Path::new(&folder), false)? {
        println!("{}", file.display());
    }
    Ok(())
}
