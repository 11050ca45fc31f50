//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::Path;

/// Writes `bytes` into a new file beside `path`, flushes it, and puts it in the place of the old one, so
/// that no reader and no crash ever sees half a file.
///
/// # Errors
/// If the folder cannot be made or written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    readable_by_all(new.as_file())?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|e| e.error)?;
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
