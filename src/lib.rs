//! What training a transformer will cost in time, money and CO2e, **before** it is trained, and what a
//! low-rank (LRT) or Linformer variant would save.
//!
//! What the program does, a program of yours can do:
//!
//! ```
//! use greenformers::catalog::{Catalog, Device, SoftwareSpec};
//! use greenformers::estimate::{Cluster, ConditionsSpec, Hardware, Quantity, Request, estimate};
//! use greenformers::model::Arch;
//! use greenformers::units::DType;
//!
//! let catalog = Catalog::default();
//! let device: Device = catalog.load("a100-sxm4-80gb")?;
//! let hardware = Hardware::Catalog(device);
//! let spec = ConditionsSpec { grid: Some("fra".to_owned()), ..Default::default() };
//! let conditions = spec.on(&hardware, 1, &catalog)?;
//! let estimates = estimate(&Request {
//!     workload: &catalog.load("bert-base")?,
//!     archs: &[Arch::Dense, Arch::Lrt { rank: 256 }],
//!     hardware,
//!     devices: 8,
//!     cluster: Cluster::default(),
//!     dtype: DType::Bf16,
//!     software: SoftwareSpec::default(),
//!     own: None,
//!     micro_batch: None,
//!     layout: None,
//!     conditions: &conditions,
//!     seed: 0,
//! })?;
//! assert_eq!(estimates[1].arch, Some(Arch::Lrt { rank: 256 }));
//! // Every number is a 95 % interval; what is not known is `None`, and `missing` says why.
//! assert!(estimates[0].footprint.of(Quantity::Wall).is_some_and(|hours| hours.low < hours.mid && hours.mid < hours.high));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The folder `examples/` has three such programs: one loads a record, one estimates, one writes a report.
//!
//! The house has floors; a module imports from lower floors only, and neighbours do not see each other. A
//! test reads the sources and enforces it.
//!
//! | floor | modules | outside crates named there alone |
//! |---|---|---|
//! | 6 | the program: `main`, `cli` | clap, anyhow, indicatif; prints |
//! | 5 | [`campaign`]: a plan on many machines, as tasks and as jobs of Slurm | |
//! | 4 | [`report`]: records and estimates to bytes | polars, plotters |
//! | 3 | [`measure`]: runs a campaign; [`track`]: watches a command; [`train`]: factorises checkpoints; [`estimate`]: pure arithmetic on a record; [`total`]: adds accounts | candle (in `measure`), faer (in `train`) |
//! | 2 | [`nn`]: candle modules; [`record`]: what was measured, as a schema; [`machine`]: this machine's parts, each with its best meter | candle and libloading (in `nn`) |
//! | 1 | [`model`]: shapes, parameters, FLOPs; [`catalog`]: YAML; [`sensor`]: meters; [`stats`] | serde_yaml (in `catalog`), NVML (in `sensor`) |
//! | 0 | [`units`]: quantities as types; [`meter`]: the vocabulary of what a meter says; [`files`]: reading within limits, writing whole; `alloc`: the allocator; `ffi`: calls into C; [`progress`]: how far a program is, from what it prints | regex (in `progress` and `train`) |

mod alloc;
pub mod campaign;
pub mod catalog;
pub mod estimate;
mod ffi;
pub mod files;
pub mod machine;
pub mod measure;
pub mod meter;
pub mod model;
pub mod nn;
pub mod progress;
pub mod record;
pub mod report;
pub mod sensor;
pub mod stats;
pub mod total;
pub mod track;
pub mod train;
pub mod units;
