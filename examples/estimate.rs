//! Estimates BERT-base on hardware that nobody measured: `cargo run --example estimate -- h100-sxm5-80gb swe`

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use greenformers::catalog::{Catalog, SoftwareSpec};
use greenformers::estimate::{Cluster, ConditionsSpec, Hardware, Quantity, Request, estimate};
use greenformers::model::Arch;
use greenformers::report::{human_hours, percent_saved};
use greenformers::units::DType;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let catalog = Catalog::default();
    let hardware = Hardware::Catalog(catalog.load(&args.next().unwrap_or_else(|| "a100-sxm4-80gb".to_owned()))?);
    let spec = ConditionsSpec { grid: args.next().or_else(|| Some("fra".to_owned())), ..Default::default() };
    let conditions = spec.on(&hardware, 1, &catalog)?;
    let estimates = estimate(&Request {
        workload: &catalog.load("bert-base")?,
        archs: &[Arch::Dense, "lrt:rank=256".parse()?],
        hardware,
        devices: 8,
        cluster: Cluster::default(),
        dtype: DType::Bf16,
        software: SoftwareSpec::default(),
        own: None,
        micro_batch: None,
        layout: None,
        conditions: &conditions,
        seed: 0,
    })?;
    for run in &estimates {
        let (time, ratio) =
            (run.footprint.of(Quantity::Wall).map(human_hours), run.ratio(Quantity::Wall).map(percent_saved));
        let saved = ratio.map_or_else(String::new, |ratio| format!(", saved: {ratio} %"));
        println!("{}: {}{saved}", run.label(), time.unwrap_or_default());
    }
    Ok(())
}
