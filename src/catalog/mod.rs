//! What is known of hardware, grids, sites and workloads: YAML files, each number with its source.
//!
//! The files under `hardware/` and `profiles/` are embedded in the program. A file of the user's is taken
//! by its path, or by its name from a folder laid over the embedded ones ([`Catalog::with_folder`]).

mod cloud;
mod date;
mod device;
mod entry;
mod error;
mod files;
mod grid;
mod hourly;
mod identify;
mod intensity_basis;
mod iso;
mod lookup;
mod offer;
mod own_runs;
mod published;
mod site;
mod software;
mod sourced;
mod twice;
mod workload;

pub use cloud::devices_of_instance;
pub use device::{Device, DeviceKind, Interconnect, MeasuredPeaks, Per, PowerSensor};
pub use entry::{Entry, EntryKind};
pub use error::CatalogError;
pub use files::{Catalog, parse, parse_yaml};
pub use grid::{Grid, GridEntry, Location};
pub use hourly::{Hourly, HourlyError};
pub use identify::same_device_name;
pub use intensity_basis::{IntensityBasis, UnknownIntensityBasis};
pub use offer::{Offer, median_offer, newest_of_each, offers_in, usual_of};
pub use own_runs::{OwnRunsError, own_runs};
pub use published::{PublishedRun, efficiency_table, layouts_table, published_runs};
pub use site::Site;
pub use software::{AttentionUse, Software, SoftwareClass, SoftwareSpec, UnknownAttention, UnknownSoftware};
pub use sourced::{CatalogQuantity, Sourced};
pub use workload::{Phase, Shape, Workload};
