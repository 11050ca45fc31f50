//! Files in object storage that speaks S3: `s3://bucket/prefix`. Built with the feature `s3`; without it, addresses are understood and
//! refused.

#[cfg(feature = "s3")]
mod s3;
#[cfg(not(feature = "s3"))]
#[path = "s3_nowhere.rs"]
mod s3;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

pub use s3::Objects;

/// What an address begins with.
const SCHEME: &str = "s3://";

/// A bucket, and a key or the beginning of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectAddress {
    /// The bucket.
    pub bucket: String,
    /// A key, or what keys begin with: parts between slashes, without one at either end.
    pub key: String,
}

impl ObjectAddress {
    /// Whether a text is meant as an address, and not as a path.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

impl fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

impl FromStr for ObjectAddress {
    type Err = ObjectError;

    fn from_str(text: &str) -> Result<Self, ObjectError> {
        let unknown = || ObjectError::Address(text.to_owned());
        let rest = text.strip_prefix(SCHEME).ok_or_else(unknown)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        // As S3 names buckets; what a key may hold is wider than what a path may.
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        let key = key.trim_matches('/');
        if bucket.is_empty() || !bucket.chars().all(is_name) || !key.is_empty() && !is_plain(key) {
            return Err(unknown());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

/// Whether a key is a path below any folder, on every system: a mirror of the bucket has a file for it.
fn is_plain(key: &str) -> bool {
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', ':', '\0']);
    key.split('/').all(is_part)
}

/// Files that were brought from a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mirrored {
    /// The files of all objects that were asked for, by key.
    pub files: Vec<PathBuf>,
    /// How many of them had to be fetched; the others were there from before.
    pub fetched: usize,
    /// Objects that could not be had, with the reasons.
    pub left: Vec<(String, String)>,
}

/// Why object storage cannot be read or written. No credential is ever part of it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Not an address.
    #[error("expected `s3://BUCKET/KEY`, got `{0}`")]
    Address(String),
    /// The program has no client.
    #[error(
        "`{0}` is in object storage, which this program was built without\nhint: `cargo install greenformers --features s3`"
    )]
    NotBuilt(String),
    /// The environment says nothing of who asks.
    #[error(
        "no credentials for `{0}`: expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment (and AWS_SESSION_TOKEN where the key \
         has one)"
    )]
    NoCredentials(String),
    /// There is an object.
    #[error("`{0}` is there\nhint: give a new key, or `--force` to write over it")]
    Exists(String),
    /// More than can be meant.
    #[error("there are more than {most} objects below `{address}`\nhint: name a longer prefix")]
    TooMany {
        /// Where.
        address: String,
        /// The most that are listed.
        most: usize,
    },
    /// The server, or the way to it.
    #[error("cannot reach `{address}`")]
    Store {
        /// What was asked for.
        address: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This machine.
    #[error("cannot keep `{}`", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_bucket_and_a_key() {
        for (text, bucket, key) in [
            ("s3://lab", "lab", ""),
            ("s3://lab/", "lab", ""),
            ("s3://lab/runs/2026/", "lab", "runs/2026"),
            ("s3://my-lab.eu_1/a b/run.json", "my-lab.eu_1", "a b/run.json"),
        ] {
            let address: ObjectAddress = text.parse().expect(text);
            assert_eq!((address.bucket.as_str(), address.key.as_str()), (bucket, key), "{text}");
            assert!(ObjectAddress::is_meant(text));
        }
        for text in
            ["s3://", "s3:///runs", "runs/x.json", "s3://Lab/x", "s3://lab/../x", "s3://lab/a//b", "s3://lab/a\\b"]
        {
            assert!(text.parse::<ObjectAddress>().is_err(), "{text}");
        }
        assert!(!ObjectAddress::is_meant("runs/s3://x"));
    }
}
