//! What is known of hardware, grids, sites and workloads: YAML files, each number with its source.
//!
//! The files under `hardware/` and `profiles/` are embedded in the program. A file of the user's is taken
//! by its path, or by its name from a folder laid over the embedded ones ([`Catalog::with_folder`]).

mod date;
mod device;
mod entry;
mod error;
mod files;
mod grid;
mod hourly;
mod identify;
mod iso;
mod lookup;
mod own_runs;
mod published;
mod site;
mod software;
mod sourced;
mod twice;
mod workload;

pub use device::{Device, DeviceKind, Interconnect, MeasuredPeaks, Per, PowerSensor};
pub use entry::{Entry, EntryKind};
pub use error::CatalogError;
pub use files::{Catalog, parse};
pub use grid::{Grid, GridEntry, Location};
pub use hourly::{Hourly, HourlyBasis, HourlyError};
pub use identify::same_device_name;
pub use own_runs::{OwnRunsError, own_runs};
pub use published::{PublishedRun, efficiency_table, published_runs};
pub use site::Site;
pub use software::{AttentionUse, Software, SoftwareClass, SoftwareSpec, UnknownAttention, UnknownSoftware};
pub use sourced::{CatalogQuantity, Sourced};
pub use workload::{Optimizer, Phase, Shape, Workload};
