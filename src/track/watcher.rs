//! Who sees what a command prints and tells, and may end it.

use crate::sensor::MeterFacts;

/// Sees what a command prints and tells, and may end it.
pub trait Watcher: Send {
    /// Bytes that it printed, to either stream, so many seconds after it started.
    fn printed(&mut self, bytes: &[u8], at_s: f64);
    /// Bytes that it told of its steps, by the descriptor that [`STEPS_FD`](super::STEPS_FD) names.
    fn told(&mut self, bytes: &[u8], at_s: f64);
    /// What to say of it now, and whether it is time to end it: asked some times a second, with what its meters have counted.
    fn look(&mut self, at_s: f64, meters: &[MeterFacts]) -> Look;
}

/// What a watcher wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// A line for people.
    pub line: Option<String>,
    /// JSON for the command itself, in the file that [`LIVE_PATH`](super::LIVE_PATH) names.
    pub live: Option<String>,
    /// Whether the command should end now.
    pub stop: bool,
}
