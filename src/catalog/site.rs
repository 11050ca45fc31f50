//! Where a machine stands: one file a site under `profiles/site/`.

use serde::{Deserialize, Serialize};

use super::files::{Entry, EntryKind};
use super::sourced::Sourced;
use crate::units::{LitresPerKwh, Ratio};

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

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.pue.low_mid_high().0 < 1.0 {
            return Err((
                "pue",
                format!("{} is below 1: expected facility energy over IT energy", self.pue.low_mid_high().0),
            ));
        }
        Ok(())
    }
}
