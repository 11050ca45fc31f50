//! Files of text: what is learned from, and what is held out.

use std::fs;
use std::path::{Path, PathBuf};

use super::PretrainError;
use crate::files::{FileError, read_text};

/// No larger file is read.
pub(super) const MOST_TEXT: u64 = 1 << 30;
/// What files of text in a folder are called.
const EXTENSIONS: [&str; 2] = ["txt", "md"];
/// The share of the text that is held out, at its end.
const HELD_OUT: f64 = 0.05;

/// Documents by the part that they are of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) train: Vec<String>,
    pub(super) held_out: Vec<String>,
}

/// Reads files, and those of folders in the order of their names.
pub(super) fn read(paths: &[PathBuf]) -> Result<Texts, PretrainError> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            let text = read_text(&file, MOST_TEXT).map_err(|error| match error {
                FileError::NoText { path, at } => PretrainError::NoText { path, at },
                error => error.into(),
            })?;
            documents.push(text);
        }
    }
    Ok(parts(documents))
}

/// The files of text that a path names.
fn files(path: &Path) -> Result<Vec<PathBuf>, PretrainError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let none = || PretrainError::NoTexts { path: path.to_owned() };
    let entries = fs::read_dir(path).map_err(|_| none())?;
    let is_text = |path: &PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str());
        path.is_file() && extension.is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_text).collect();
    files.sort();
    if files.is_empty() { Err(none()) } else { Ok(files) }
}

/// The last part is held out, by place: what comes after a text is no repetition of it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
fn parts(documents: Vec<String>) -> Texts {
    let bytes: usize = documents.iter().map(String::len).sum();
    let mut left = (bytes as f64 * (1.0 - HELD_OUT)) as usize;
    let mut texts = Texts::default();
    for document in documents {
        let (train, held_out) = document.split_at(document.floor_char_boundary(left.min(document.len())));
        left -= left.min(document.len());
        let of = |text: &str, part: &mut Vec<String>| part.extend((!text.is_empty()).then(|| text.to_owned()));
        of(train, &mut texts.train);
        of(held_out, &mut texts.held_out);
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twentieth_is_held_out_and_no_letter_is_cut() {
        let texts = parts(vec!["a".repeat(30), "b".repeat(10)]);
        assert_eq!(texts.train, ["a".repeat(30), "b".repeat(8)]);
        assert_eq!(texts.held_out, ["bb"]);
        // 38 of 40 bytes end within the letter of bytes 37 and 38.
        let texts = parts(vec![format!("a{}b", "\u{e9}".repeat(19)), "c".to_owned()]);
        assert_eq!(texts.train[0], format!("a{}", "\u{e9}".repeat(18)));
        assert_eq!(texts.held_out, ["\u{e9}b", "c"]);
    }

    #[test]
    fn a_folder_is_its_texts_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.txt", "a.MD", "c.pdf"] {
            fs::write(folder.path().join(name), name).expect("writable");
        }
        let names: Vec<PathBuf> = ["a.MD", "b.txt"].map(|name| folder.path().join(name)).to_vec();
        assert_eq!(files(folder.path()).expect("two texts"), names);
        fs::remove_file(&names[0]).and_then(|()| fs::remove_file(&names[1])).expect("there");
        assert!(matches!(files(folder.path()), Err(PretrainError::NoTexts { .. })));
    }
}
