//! The one way in which a file that may come from anyone is read.

use std::fs::{self, File};
use std::io::{Error, Read};
use std::path::{Path, PathBuf};

/// Says nothing in UTF-8, which has one order of bytes.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says so.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Error,
    },
    /// A pipe or a device has no end that could be waited for.
    #[error("cannot read `{}`: it is {what}, expected a file\nhint: write it into a file first", path.display())]
    NoFile {
        /// What was given.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It is larger than anything of its kind.
    #[error("`{}` has {size} bytes: at most {limit} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, at least.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// It is no text.
    #[error("`{}` is no text: byte {at} is not UTF-8", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        at: usize,
    },
}

/// The first bytes of a file, at most `most`, and its size.
///
/// # Errors
/// If it cannot be read, or is no regular file.
pub fn read_head(path: &Path, most: usize) -> Result<(Vec<u8>, u64), FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe waits for its writer.
    let facts = fs::metadata(path).map_err(failed)?;
    if !facts.is_file() {
        let what = if facts.is_dir() { "a folder" } else { "a pipe or a device" };
        return Err(FileError::NoFile { path: path.to_owned(), what });
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes, facts.len()))
}

/// The bytes of a file of at most `limit` bytes. A file that grows meanwhile is held to the limit as well.
///
/// # Errors
/// If it cannot be read, is no regular file, or is larger.
pub fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let size = fs::metadata(path).map_or(0, |facts| if facts.is_file() { facts.len() } else { 0 });
    let too_large = |size| FileError::TooLarge { path: path.to_owned(), size, limit };
    if size > limit {
        return Err(too_large(size));
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let (bytes, _) = read_head(path, most)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// The text of a file of at most `limit` bytes, without the byte-order mark that editors of Windows begin it with.
///
/// # Errors
/// As [`read_bytes`], and if it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let mut text = String::from_utf8(read_bytes(path, limit)?)
        .map_err(|error| FileError::NoText { path: path.to_owned(), at: error.utf8_error().valid_up_to() + 1 })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_just_the_limit_is_read_and_one_byte_more_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        fs::write(&path, "12345").expect("writable");
        assert_eq!(read_text(&path, 5).expect("it fits"), "12345");
        let error = read_text(&path, 4).expect_err("too large").to_string();
        assert!(error.contains("has 5 bytes: at most 4 are read"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("text");
        for (bytes, text) in [(&b"\xef\xbb\xbfid: x"[..], "id: x"), (b"\xef\xbb\xbf", ""), (b"id: x", "id: x")] {
            fs::write(&path, bytes).expect("writable");
            assert_eq!(read_text(&path, 20).expect("text"), text);
        }
    }

    #[test]
    fn what_has_no_end_is_not_begun() {
        for (path, what) in [("/dev/zero", "a pipe or a device"), ("/", "a folder")] {
            let error = read_bytes(Path::new(path), 10).expect_err(path).to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_their_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bytes");
        fs::write(&path, [b'a', b'b', 0xff]).expect("writable");
        assert!(read_text(&path, 9).expect_err("no text").to_string().contains("byte 3 is not UTF-8"));
    }
}
