//! One writer a folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::atomic::sweep;

/// Name of the file whose lock is the folder's.
const LOCK_FILE: &str = ".lock";
/// How often one that is held is asked for again, and after which time.
const LOOKS: u32 = 3;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Why a folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process writes there.
    #[error(
        "another run{} writes into `{}`\nhint: wait for it to end, or give another folder with `-o DIR`",
        if holder.is_empty() { String::new() } else { format!(" (process {holder})") },
        folder.display()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The number of the process, where it is known.
        holder: String,
    },
    /// A link would lead out of the folder.
    #[error("`{}` is a symbolic link: expected a file of this program\nhint: remove it", path.display())]
    Link {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder cannot be made or written.
    #[error("cannot write into `{}`\nhint: give another folder with `-o DIR`", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: Error,
    },
}

/// The right to write into a folder, until it is dropped or the process ends, however it ends: the lock is the
/// kernel's, so that a dead process holds none.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// Open for as long as it is held; `None` where the file system has no locks.
    file: Option<File>,
}

impl FolderLock {
    /// Makes the folder if needed, takes it, and removes what an earlier writer of `written` left unfinished there.
    ///
    /// # Errors
    /// If another process has it, or it cannot be written.
    pub fn take(folder: &Path, written: &str) -> Result<Self, LockError> {
        let failed = |source| LockError::Write { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let path = folder.join(LOCK_FILE);
        let mut looks = LOOKS;
        // Whoever gives the lock up removes its file, perhaps between our opening and locking it: then once more.
        for _ in 0..100 {
            if fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_symlink()) {
                return Err(LockError::Link { path });
            }
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = opened.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                // Whoever only looks whether it is held has it for an instant.
                Err(TryLockError::WouldBlock) if looks > 0 => {
                    looks -= 1;
                    std::thread::sleep(BETWEEN_LOOKS);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.take(20).read_to_string(&mut holder);
                    return Err(LockError::Held { folder: folder.to_owned(), holder: holder.trim().to_owned() });
                }
                // Some network file systems have no locks; a campaign there is better than none.
                Err(TryLockError::Error(_)) => return Ok(Self { path, file: None }),
            }
            if is_at(&file, &path) {
                let number = std::process::id().to_string();
                let written_down = file.set_len(0).and_then(|()| file.write_all(number.as_bytes()));
                let lock = Self { path, file: Some(file) };
                written_down.map_err(failed)?;
                sweep(&folder.join(written)).map_err(failed)?;
                return Ok(lock);
            }
        }
        Err(LockError::Held { folder: folder.to_owned(), holder: String::new() })
    }

    /// Whether a process writes into `folder` now; `None` where that cannot be known, as on a file system without locks.
    #[must_use]
    pub fn is_held(folder: &Path) -> Option<bool> {
        // A folder whose writer lives has the file.
        let file = match File::open(folder.join(LOCK_FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
            Err(_) => return None,
        };
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }

    /// Whether the folder is really kept from others.
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        if self.file.is_some() {
            // While it is still locked, so that nobody's but our own is removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` still is the file that is open.
#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().ok().zip(fs::symlink_metadata(path).ok()).is_some_and(|(a, b)| same(&a, &b))
}

#[cfg(not(unix))]
pub(super) fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_and_is_free_again_when_it_lets_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = FolderLock::take(folder.path(), "record.json").expect("it is free");
        let error = FolderLock::take(folder.path(), "record.json").expect_err("it is held").to_string();
        assert!(error.contains(&format!("another run (process {})", std::process::id())), "{error}");
        assert_eq!(FolderLock::is_held(folder.path()), Some(true));
        drop(first);
        assert_eq!(FolderLock::is_held(folder.path()), Some(false));
        assert!(FolderLock::take(folder.path(), "record.json").is_ok());
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0, "no litter");
    }

    #[test]
    fn a_lock_file_that_a_dead_process_left_holds_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(LOCK_FILE), "4194304").expect("writable");
        assert_eq!(FolderLock::is_held(folder.path()), Some(false));
        assert!(FolderLock::take(folder.path(), "record.json").is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").expect("writable");
        std::os::unix::fs::symlink(&victim, folder.path().join(LOCK_FILE)).expect("links exist");
        assert!(matches!(FolderLock::take(folder.path(), "record.json"), Err(LockError::Link { .. })));
        assert_eq!(fs::read(&victim).expect("there"), b"mine");
    }
}
