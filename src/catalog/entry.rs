//! What an entry of the catalog is, whichever sort it is of.

use std::fmt;

use serde::de::DeserializeOwned;

/// The four sorts of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// `hardware/`
    Hardware,
    /// `profiles/grid/`
    Grid,
    /// `profiles/site/`
    Site,
    /// `profiles/workload/`
    Workload,
}

impl EntryKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hardware, Self::Grid, Self::Site, Self::Workload];

    /// The word for one on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Grid => "grid",
            Self::Site => "site",
            Self::Workload => "workload",
        }
    }

    /// The folder its files lie in.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Grid => "profiles/grid",
            Self::Site => "profiles/site",
            Self::Workload => "profiles/workload",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that is read from one YAML file.
pub trait Entry: DeserializeOwned {
    /// Which sort it is.
    const KIND: EntryKind;
    /// Its name on the command line.
    fn id(&self) -> &str;
    /// What people, drivers and operating systems call it.
    fn called(&self) -> Vec<&str> {
        Vec::new()
    }
    /// What they call it where nothing has that name itself: a state, or the city of a region.
    fn also_called(&self) -> Vec<String> {
        Vec::new()
    }
    /// What a file with these keys is instead, if it is plainly something else.
    #[must_use]
    fn mistaken(_keys: &[String]) -> Option<&'static str> {
        None
    }
    /// What types cannot say: the key at fault and what is wrong with it.
    ///
    /// # Errors
    /// If the entry contradicts itself.
    fn check(&self) -> Result<(), (&'static str, String)>;
}
