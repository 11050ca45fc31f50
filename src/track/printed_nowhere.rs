//! What stands for reading a command's output on systems where this program cannot: the command has its own streams.

use std::convert::Infallible;
use std::io;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::watcher::Watcher;

/// There is nothing to read from.
pub(super) struct Source(Infallible);

/// The streams of this program.
#[derive(Default)]
pub(super) struct Streams;

impl Streams {
    pub(super) fn give(&self, _: &mut Command) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn open(_: bool) -> io::Result<(Self, Vec<Source>)> {
        let message = "what a command prints can be read on Unix systems only";
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }
}

/// Nothing is shown.
pub(super) struct Screen;

impl Screen {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn say(&mut self, _: &str, _: f64) {}

    pub(super) fn insist(&mut self, _: &str) {}

    pub(super) fn end(&mut self) {}
}

pub(super) fn pass_on(source: Source, _: (&Mutex<Screen>, &Mutex<&mut dyn Watcher>), _: Instant, _: &AtomicBool) {
    match source.0 {}
}
