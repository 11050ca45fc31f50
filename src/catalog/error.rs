//! What can be wrong with a catalog file or a name.

use std::fmt;
use std::path::PathBuf;

use crate::files::FileError;

/// Why an entry could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No entry has this name.
    #[error("unknown {what} `{name}`{}", suggestions(near, what))]
    Unknown {
        /// `device`, `grid`, `site` or `workload`.
        what: &'static str,
        /// What was typed.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// Several entries begin with this text.
    #[error("`{name}` could be several entries: {}", list(among))]
    Ambiguous {
        /// What was typed.
        name: String,
        /// The entries that begin with it.
        among: Vec<String>,
    },
    /// No provider of the catalog has this name.
    #[error("unknown cloud `{name}`: expected {}", list(known))]
    UnknownProvider {
        /// What was typed.
        name: String,
        /// Those that have regions or offers.
        known: Vec<String>,
    },
    /// The provider has no such region.
    #[error("{} `{name}`\nhint: {}", cloud.as_deref().map_or_else(|| "no cloud has a region".to_owned(), |cloud| format!("{cloud} has no region")), if known.is_empty() { "the catalog knows none of its regions: name its zone with `--grid`".to_owned() } else { format!("it may be one of {}", if cloud.is_some() { list(known) } else { few(known) }) })]
    UnknownRegion {
        /// What was typed.
        name: String,
        /// The provider, if one was named.
        cloud: Option<String>,
        /// The regions that the catalog knows.
        known: Vec<String>,
    },
    /// A zone is fed by itself.
    #[error("`zone` leads in a circle: {}: expected a zone that has an `intensity` at its end", arrows(.0))]
    Circle(
        /// The zones.
        Vec<String>,
    ),
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder holds more than a catalog.
    #[error("`{}` holds more than {limit} files: not a catalog", folder.display())]
    TooMany {
        /// The folder.
        folder: PathBuf,
        /// The most that are looked at.
        limit: usize,
    },
    /// The file is not what it should be.
    #[error("{0}")]
    Invalid(Box<Invalid>),
}

/// A fault in a file, with the place and the line itself.
#[derive(Debug)]
pub struct Invalid {
    /// The file, as the user knows it.
    pub file: String,
    /// Line and column, both from 1, where known.
    pub place: Option<(usize, usize)>,
    /// The text of that line.
    pub line: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hint comes last, after the line.
        let (message, hint) = self.message.split_once("\nhint: ").unwrap_or((&self.message, ""));
        let Some((line, column)) = self.place else {
            write!(f, "`{}` is not valid: {message}", self.file)?;
            return write_hint(f, hint);
        };
        writeln!(f, "`{}` is not valid: line {line} column {column}: {message}", self.file)?;
        writeln!(f, "{line:5} | {}", self.line)?;
        write!(f, "      | {:>column$}", "^")?;
        write_hint(f, hint)
    }
}

fn write_hint(f: &mut fmt::Formatter<'_>, hint: &str) -> fmt::Result {
    if hint.is_empty() { Ok(()) } else { write!(f, "\nhint: {hint}") }
}

fn suggestions(near: &[String], what: &str) -> String {
    let all = format!("\nhint: `greenformers catalog list {what}` shows all of them");
    if near.is_empty() { all } else { format!(": did you mean {}?{all}", list(near)) }
}

/// The first of many, and where the others are.
fn few(names: &[String]) -> String {
    const FEW: usize = 12;
    if names.len() <= FEW {
        return list(names);
    }
    format!("{}, and {} more: `greenformers catalog list grid`", list(&names[..FEW]), names.len() - FEW)
}

fn list(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn arrows(ids: &[String]) -> String {
    ids.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" -> ")
}
