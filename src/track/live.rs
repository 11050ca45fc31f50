//! What is said of a command while it runs, where the command itself can read it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The environment variable that names the file: one JSON object, replaced as a whole about once a second.
pub const LIVE_PATH: &str = "GREENFORMERS_LIVE_PATH";

/// A file in a folder of its own, which goes when the command has ended.
pub(super) struct Live {
    folder: TempDir,
    path: PathBuf,
}

impl Live {
    /// A place for it; there is no file yet.
    pub(super) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("greenformers-").tempdir()?;
        Ok(Self { path: folder.path().join("live.json"), folder })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says `text` from now on. Nothing is flushed to the disk: after a crash there is nobody who reads it.
    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        let new = self.folder.path().join("new.json");
        fs::write(&new, text)?;
        fs::rename(new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_stands_there_whole_and_goes_with_the_command() {
        let live = Live::new().expect("a folder");
        let path = live.path().to_owned();
        assert!(!path.exists());
        for text in ["{\"energy_j\": 1}", "{}"] {
            live.say(text).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
        drop(live);
        assert!(!path.exists() && !path.parent().is_some_and(Path::exists));
    }
}
