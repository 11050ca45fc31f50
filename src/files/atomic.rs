//! Files that are whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::Path;

/// What the name of a file that is being written ends in.
const UNFINISHED: &str = ".part";

/// Writes `bytes` into a new file beside `path`, flushes it, and puts it in the place of the old one, so
/// that no reader and no crash ever sees half a file. A symbolic link in that place is replaced, not followed.
///
/// # Errors
/// If the folder cannot be made or written. The old file is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let mut new = tempfile::Builder::new().prefix(&prefix_of(path)).suffix(UNFINISHED).tempfile_in(folder)?;
    new.write_all(bytes)?;
    readable_by_all(new.as_file())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|e| e.error)?;
    sync_folder(folder)
}

/// Removes what a writer of `path` left unfinished when it was killed. Only for who alone writes there.
pub(super) fn sweep(path: &Path) -> Result<()> {
    let prefix = prefix_of(path);
    let is_left = |name: &std::ffi::OsStr| {
        let (name, prefix) = (name.to_string_lossy(), prefix.to_string_lossy());
        name.starts_with(&*prefix) && name.ends_with(UNFINISHED)
    };
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        if is_left(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `.record.json.` of `record.json`.
fn prefix_of(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

/// The new name itself survives a loss of power. Where folders cannot be flushed there is nothing to do.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all().or_else(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported => Ok(()),
            _ => Err(error),
        })?;
    }
    Ok(())
}

/// Temporary files are private; what the program writes is for everyone.
#[cfg(unix)]
fn readable_by_all(file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_unfinished_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        for name in [".record.json.a1.part", "record.json", ".other.json.a1.part", "x.part"] {
            fs::write(file(name), name).expect("writable");
        }
        sweep(&file("record.json")).expect("readable");
        assert!(!file(".record.json.a1.part").exists());
        for name in ["record.json", ".other.json.a1.part", "x.part"] {
            assert!(file(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_torn_write_beside_a_file_leaves_it_as_it_was() {
        // A loss of power at any byte of the new file: it lies beside the old one, and the old one is read.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record.json");
        write_whole(&path, b"old").expect("writable");
        for torn in 0..4 {
            fs::write(folder.path().join(format!(".record.json.{torn}.part")), &b"newer"[..torn]).expect("writable");
            assert_eq!(fs::read(&path).expect("there"), b"old");
        }
        sweep(&path).expect("readable");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_a_file_is_replaced_and_its_target_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (victim, link) = (folder.path().join("victim"), folder.path().join("record.json"));
        fs::write(&victim, "mine").expect("writable");
        std::os::unix::fs::symlink(&victim, &link).expect("links exist");
        write_whole(&link, b"ours").expect("writable");
        assert_eq!(fs::read(&victim).expect("there"), b"mine");
        assert_eq!(fs::read(&link).expect("there"), b"ours");
    }
}
