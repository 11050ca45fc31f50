//! A campaign on many machines: a plan becomes tasks, each of which measures its cells into a folder of its own, here or as a job of
//! Slurm; their records become one of each machine.
//!
//! | file | what it does |
//! |---|---|
//! | `plan` | the plan as it is written, with what it includes |
//! | `resolved` | the same with every default and name resolved, split into tasks |
//! | `limits` | how long a task may take |
//! | `slurm` | tasks as job arrays |
//! | `store` | the folder: which file is written by whom |
//! | `node` | whether a node is of the type that the plan says |
//! | `collect` | records of attempts as one of each machine |
//! | `status` | how far each task is |

mod collect;
mod error;
mod limits;
mod node;
mod plan;
mod resolved;
pub mod slurm;
mod status;
mod store;

pub use collect::{Collected, Here, Merged, Refused, collect, go_on_from_earlier, of_task};
pub use error::CampaignError;
pub use limits::Limit;
pub use node::device_of_plan;
pub use plan::{Conditions, Layers, MachineFile, PlanFile, SlurmOptions};
pub use resolved::{Campaign, Group, MAX_TASKS, Machine, Task};
pub use status::{State, TaskStatus, status};
pub use store::{Attempt, Failure, Store, Submission, leave_failure};

/// The file that a campaign is kept in.
pub const CAMPAIGN_FILE: &str = "campaign.json";
/// Version of that file.
const SCHEMA: u32 = 1;
