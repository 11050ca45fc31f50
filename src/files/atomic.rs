//! Files that are whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write};
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

/// Makes the folder `path` with what `fill` writes into the folder that it is given, so that nobody ever sees half of it: it is filled
/// beside `path` and then put there. An empty folder in that place is replaced.
///
/// # Errors
/// If `fill` fails, the folder cannot be made, or there is something at `path`. Nothing has been written then.
pub fn write_whole_folder<E: From<std::io::Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let beside = folder_of(path);
    fs::create_dir_all(beside)?;
    let new = tempfile::Builder::new().prefix(&prefix_of(path)).suffix(UNFINISHED).tempdir_in(beside)?;
    fill(new.path())?;
    is_free(path)?;
    #[cfg(unix)]
    fs::set_permissions(new.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    // Not every system puts a folder into the place of an empty one.
    if path.is_dir() {
        fs::remove_dir(path)?;
    }
    fs::rename(new.path(), path)?;
    // It has another name now.
    let _ = new.keep();
    Ok(sync_folder(beside)?)
}

/// Whether a folder can be made at `path`: nothing is there, or an empty folder.
///
/// # Errors
/// If something is there, or it cannot be seen.
pub fn is_free(path: &Path) -> Result<()> {
    let is_empty = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(error),
        Ok(facts) => facts.is_dir() && fs::read_dir(path)?.next().is_none(),
    };
    if is_empty { Ok(()) } else { Err(Error::new(ErrorKind::AlreadyExists, "it is there already, and is not empty")) }
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

    #[test]
    fn a_folder_is_there_with_all_its_files_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let fill = |into: &Path, fails: bool| {
            fs::write(into.join("a"), "1")?;
            if fails { Err(Error::other("the disk is full")) } else { Ok(()) }
        };
        let error = write_whole_folder(&path, |into| fill(into, true)).expect_err("it failed");
        assert_eq!(error.to_string(), "the disk is full");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
        fs::create_dir(&path).expect("writable");
        write_whole_folder(&path, |into| fill(into, false)).expect("writable");
        assert_eq!(fs::read_to_string(path.join("a")).expect("there"), "1");
        fs::write(path.join("a"), "mine").expect("writable");
        let error = write_whole_folder(&path, |into| fill(into, false)).expect_err("it is there");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path.join("a")).expect("there"), "mine");
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
