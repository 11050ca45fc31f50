//! Rows added to a table that several processes write.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::lock::is_at;

/// A row is written in milliseconds: whoever holds a table for longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
/// The most tables beside the first that are tried.
const MOST_BESIDE: usize = 1000;

/// Why a row does not fit a table.
enum Unfit {
    /// It has other columns, or another process does not let go of it: the table beside it may do.
    Table,
    /// It cannot be written.
    Failed(Error),
}

impl From<Error> for Unfit {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Adds `row`, which ends its line, to the table at `path`, which begins with the line `header`. An empty or missing table
/// gets the header first, and a last line that does not end is ended: both are looked at under the lock that the row is
/// written under. A table of other columns is left alone, and the row goes into `NAME-2.csv` beside it, or a later
/// number. Returns the table that was written.
///
/// # Errors
/// If no table can be written. Nothing has been added then.
pub fn append_row(path: &Path, header: &str, row: &[u8]) -> Result<PathBuf> {
    for n in 1..=MOST_BESIDE {
        let table = if n == 1 { path.to_owned() } else { beside(path, n) };
        match append(&table, header, row) {
            Ok(()) => return Ok(table),
            Err(Unfit::Table) => {}
            Err(Unfit::Failed(error)) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::AlreadyExists, "it, and a thousand tables beside it, have other columns"))
}

/// Whether a file that begins with `head`, of two bytes more than the header if it has so many, has this header, or nothing
/// that a header could contradict.
#[must_use]
pub fn has_header(head: &[u8], header: &str) -> bool {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    head.is_empty() || line.strip_suffix(b"\r").unwrap_or(line) == header.as_bytes()
}

fn append(path: &Path, header: &str, row: &[u8]) -> std::result::Result<(), Unfit> {
    let mut file = open_locked(path)?;
    let mut head = Vec::new();
    (&mut file).take(header.len() as u64 + 2).read_to_end(&mut head)?;
    if !has_header(&head, header) {
        return Err(Unfit::Table);
    }
    let length = file.seek(SeekFrom::End(0))?;
    let mut bytes = Vec::new();
    if length == 0 {
        bytes.extend_from_slice(header.as_bytes());
        bytes.push(b'\n');
    } else {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            bytes.push(b'\n');
        }
    }
    bytes.extend_from_slice(row);
    // In one call: where a file system has no locks, rows of others come before or after it.
    file.write_all(&bytes).inspect_err(|_| {
        // What fails now has failed already.
        let _ = file.set_len(length);
    })?;
    Ok(())
}

/// The table, locked until it is dropped, and still the one at `path`: others may have put another in its place while its
/// lock was waited for.
fn open_locked(path: &Path) -> std::result::Result<File, Unfit> {
    let begun = Instant::now();
    loop {
        // Opening a pipe waits for its reader.
        if fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
            return Err(Unfit::Table);
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        match file.try_lock() {
            // The file that a link leads to is the one to be compared.
            Ok(()) if is_at(&file, &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())) => return Ok(file),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Err(Unfit::Table),
            Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
            // Some network file systems have no locks; a row without one is better than none.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// `emissions-2.csv` of `emissions.csv`.
fn beside(path: &Path, n: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{n}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_finds_its_table_as_it_is_now_whatever_it_was_before() {
        for (before, after, beside) in [
            (None, "a,b\n1,2\n", None),
            (Some(""), "a,b\n1,2\n", None),
            (Some("a,b\n"), "a,b\n1,2\n", None),
            (Some("a,b\n0,0\n"), "a,b\n0,0\n1,2\n", None),
            (Some("a,b\n0,0"), "a,b\n0,0\n1,2\n", None),
            (Some("a,b"), "a,b\n1,2\n", None),
            (Some("a,b\r\n0,0\r\n"), "a,b\r\n0,0\r\n1,2\n", None),
            (Some("a,b,c\n"), "a,b,c\n", Some("a,b\n1,2\n")),
            (Some("a\n1\n"), "a\n1\n", Some("a,b\n1,2\n")),
            (Some("\n"), "\n", Some("a,b\n1,2\n")),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let (table, other) = (folder.path().join("t.csv"), folder.path().join("t-2.csv"));
            if let Some(before) = before {
                fs::write(&table, before).expect("writable");
            }
            let written = append_row(&table, "a,b", b"1,2\n").expect("writable");
            assert_eq!(fs::read_to_string(&table).expect("there"), after, "{before:?}");
            assert_eq!(fs::read_to_string(&other).ok().as_deref(), beside, "{before:?}");
            assert_eq!(written, if beside.is_some() { other } else { table });
        }
    }

    #[test]
    fn many_that_begin_together_write_one_header_and_a_whole_row_each() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = folder.path().join("t.csv");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let table = &table;
                scope.spawn(move || {
                    for j in 0..20 {
                        append_row(table, "a,b", format!("{i},{j}\n").as_bytes()).expect("writable");
                    }
                });
            }
        });
        let text = fs::read_to_string(&table).expect("there");
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.remove(0), "a,b");
        let mut expected: Vec<String> = (0..8).flat_map(|i| (0..20).map(move |j| format!("{i},{j}"))).collect();
        expected.sort();
        lines.sort_unstable();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_second_and_a_third_table_of_other_columns_are_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["t.csv", "t-2.csv"] {
            fs::write(folder.path().join(name), "x\n").expect("writable");
        }
        let written = append_row(&folder.path().join("t.csv"), "a,b", b"1,2\n").expect("writable");
        assert_eq!(written, folder.path().join("t-3.csv"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_table_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real.csv"), folder.path().join("t.csv"));
        fs::write(&real, "a,b\n").expect("writable");
        std::os::unix::fs::symlink(&real, &link).expect("links exist");
        append_row(&link, "a,b", b"1,2\n").expect("writable");
        assert_eq!(fs::read_to_string(&real).expect("there"), "a,b\n1,2\n");
    }
}
