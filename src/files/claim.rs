//! One of several processes of a machine does what all of them would: the one that holds the lock of a file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::lock::is_at;

/// A holder writes its note right after it has the lock: others look for it so often, with so much time between.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// No note is longer.
const MOST_NOTE_BYTES: u64 = 200;

/// A lock that this process holds until it is dropped or the process ends, however it ends: it is the kernel's, so that a
/// dead process holds none.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _file: File,
}

/// What came of asking for a claim.
#[derive(Debug)]
pub enum Claimed {
    /// This process has it.
    Here(Claim),
    /// Another one has it, which left this note.
    Elsewhere(String),
}

impl Claim {
    /// Asks for the lock of `path`, with a note for those who ask in vain.
    ///
    /// # Errors
    /// If the file cannot be had, or is not this user's: then nothing is agreed.
    pub fn ask(path: &Path, note: &str) -> Result<Claimed, Error> {
        // Whoever gives it up removes its file, perhaps between our opening and locking it: then once more.
        for _ in 0..100 {
            if fs::symlink_metadata(path).is_ok_and(|facts| facts.is_symlink()) {
                return Err(Error::new(ErrorKind::InvalidInput, "it is a symbolic link"));
            }
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            if !is_ours(&file) {
                return Err(Error::new(ErrorKind::PermissionDenied, "it is another user's"));
            }
            match file.try_lock() {
                Ok(()) if is_at(&file, path) => {
                    file.set_len(0)?;
                    file.write_all(note.as_bytes())?;
                    return Ok(Claimed::Here(Self { path: path.to_owned(), _file: file }));
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Claimed::Elsewhere(note_in(path))),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Claimed::Elsewhere(note_in(path)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // While it is still locked, so that nobody's but our own is removed.
        let _ = fs::remove_file(&self.path);
    }
}

fn note_in(path: &Path) -> String {
    let mut note = String::new();
    for _ in 0..LOOKS {
        note.clear();
        // A file that is gone meanwhile has no note.
        let _ = File::open(path).and_then(|file| file.take(MOST_NOTE_BYTES).read_to_string(&mut note));
        if !note.is_empty() {
            break;
        }
        sleep(BETWEEN_LOOKS);
    }
    note
}

/// Whether this user made the file: in a folder that all may write to, another one could keep everybody from measuring.
#[cfg(target_os = "linux")]
fn is_ours(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = fs::metadata("/proc/self").map(|facts| facts.uid());
    own.ok().zip(file.metadata().ok()).is_none_or(|(own, facts)| own == facts.uid())
}

#[cfg(not(target_os = "linux"))]
fn is_ours(_: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_the_others_read_who() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.lock");
        let Claimed::Here(first) = Claim::ask(&path, "process 7").expect("writable") else { panic!("it is free") };
        let Claimed::Elsewhere(note) = Claim::ask(&path, "process 8").expect("writable") else { panic!("it is held") };
        assert_eq!(note, "process 7");
        drop(first);
        assert!(!path.exists(), "no litter");
        assert!(matches!(Claim::ask(&path, "process 8").expect("writable"), Claimed::Here(_)));
    }

    #[test]
    fn a_file_that_a_dead_process_left_holds_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.lock");
        fs::write(&path, "process 4194304").expect("writable");
        assert!(matches!(Claim::ask(&path, "process 8").expect("writable"), Claimed::Here(_)));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_and_nothing_is_agreed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, victim) = (folder.path().join("node.lock"), folder.path().join("victim"));
        fs::write(&victim, "mine").expect("writable");
        std::os::unix::fs::symlink(&victim, &path).expect("links exist");
        assert!(Claim::ask(&path, "process 8").is_err());
        assert_eq!(fs::read(&victim).expect("there"), b"mine");
    }
}
