//! Where a machine stands: one file a site under `profiles/site/`.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryKind};
use super::sourced::Sourced;
use crate::units::{LitresPerKwh, Ratio, pue_fault};

/// A data centre, or a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// The name on the command line.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// Power usage effectiveness: facility energy over IT energy, at least 1.
    pub pue: Sourced<Ratio>,
    /// Water used on site for a kilowatt-hour of computing.
    pub wue: Option<Sourced<LitresPerKwh>>,
    /// A caveat.
    pub notes: Option<String>,
}

impl Entry for Site {
    const KIND: EntryKind = EntryKind::Site;

    fn id(&self) -> &str {
        &self.id
    }

    fn called(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        check_pue(Some(&self.pue))
    }
}

/// What is wrong with the PUE of a file, all of its range.
pub(super) fn check_pue(pue: Option<&Sourced<Ratio>>) -> Result<(), (&'static str, String)> {
    let (low, mid, high) = pue.map_or((1.0, 1.0, 1.0), Sourced::low_mid_high);
    match [mid, low, high].into_iter().find_map(pue_fault) {
        Some(fault) => Err(("pue", fault)),
        None => Ok(()),
    }
}
