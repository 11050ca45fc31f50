//! The client.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ClientOptions, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutPayload, RetryConfig};
use tokio::runtime::{Builder, Runtime};

use super::{Mirrored, ObjectAddress, ObjectError, is_plain};
use crate::files::write_whole;

/// Objects that are fetched at a time.
const AT_A_TIME: usize = 32;
/// No more objects are listed.
const MOST_OBJECTS: usize = 1_000_000;
/// How often and how long a request is tried again, and how long one may take.
const RETRIES: usize = 5;
const RETRY_TIME: Duration = Duration::from_mins(1);
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// A bucket, and what below it is asked for.
#[derive(Debug)]
pub struct Objects {
    store: AmazonS3,
    runtime: Runtime,
    address: ObjectAddress,
}

impl Objects {
    /// Opens `address` with what the environment says: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, and
    /// `AWS_ENDPOINT_URL` for a server other than Amazon's. Nothing is asked of the network yet.
    ///
    /// # Errors
    /// If the environment names no credentials, or nothing that a client could be made of.
    pub fn open(address: &ObjectAddress) -> Result<Self, ObjectError> {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        // Without them the client would ask the address at which clouds tell their machines who they are.
        if !["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].into_iter().all(is_set) {
            return Err(ObjectError::NoCredentials(address.to_string()));
        }
        let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap_or_default();
        let is_here =
            ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|here| endpoint.starts_with(here));
        let options =
            ClientOptions::new().with_timeout(REQUEST_TIME).with_allow_http(is_here || is_set("AWS_ALLOW_HTTP"));
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIME, ..RetryConfig::default() };
        let built = AmazonS3Builder::from_env()
            .with_bucket_name(&address.bucket)
            .with_client_options(options)
            .with_retry(retry)
            .build();
        let store = built.map_err(|error| failed(address.to_string(), error))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(address.to_string(), error))?;
        Ok(Self { store, runtime, address: address.clone() })
    }

    /// Brings every object below the address whose key ends in `suffix` into `folder`, in files by their keys. Those that are there
    /// already, of the same size and time, are not fetched again, so that what was cut short goes on where it ended. An object of more
    /// than `limit` bytes, or that cannot be had, is left out. `tell` is told how many there are of how many.
    ///
    /// # Errors
    /// If the objects cannot be listed, are too many, or a file cannot be written.
    pub fn mirror(
        &self,
        suffix: &str,
        folder: &Path,
        limit: u64,
        mut tell: impl FnMut(usize, usize),
    ) -> Result<Mirrored, ObjectError> {
        self.runtime.block_on(async {
            let mut mirrored = Mirrored::default();
            let mut wanted: Vec<(ObjectMeta, PathBuf)> = Vec::new();
            for object in self.list(suffix).await? {
                let key = object.location.to_string();
                if !is_plain(&key) {
                    mirrored.left.push((key, "its key is no path".to_owned()));
                } else if object.size > limit {
                    mirrored.left.push((key, format!("it has {} bytes: at most {limit} are read", object.size)));
                } else {
                    let file = folder.join(&key);
                    if is_same(&file, &object) {
                        mirrored.files.push(file);
                    } else {
                        wanted.push((object, file));
                    }
                }
            }
            let mut there = mirrored.files.len();
            let all = there + wanted.len();
            tell(there, all);
            let mut fetched = stream::iter(wanted)
                .map(|(object, file)| async move {
                    let bytes = async { self.store.get(&object.location).await?.bytes().await }.await;
                    (object, file, bytes)
                })
                .buffer_unordered(AT_A_TIME);
            while let Some((object, file, bytes)) = fetched.next().await {
                match bytes {
                    Ok(bytes) => {
                        let kept = keep(&file, &bytes, &object);
                        kept.map_err(|source| ObjectError::Local { path: file.clone(), source })?;
                        mirrored.files.push(file);
                        mirrored.fetched += 1;
                    }
                    Err(error) => mirrored.left.push((object.location.to_string(), with_causes(&error))),
                }
                there += 1;
                tell(there, all);
            }
            mirrored.files.sort();
            Ok(mirrored)
        })
    }

    async fn list(&self, suffix: &str) -> Result<Vec<ObjectMeta>, ObjectError> {
        let (store, address) = (&self.store, self.address.to_string());
        let key = Key::from(self.address.key.as_str());
        // The address of one object, or of what lies below it.
        if self.address.key.ends_with(suffix)
            && let Ok(object) = store.head(&key).await
        {
            return Ok(vec![object]);
        }
        let found = store.list(Some(&key)).take(MOST_OBJECTS + 1).try_collect::<Vec<_>>().await;
        let mut found = found.map_err(|error| failed(address.clone(), error))?;
        if found.len() > MOST_OBJECTS {
            return Err(ObjectError::TooMany { address, most: MOST_OBJECTS });
        }
        found.retain(|object| object.location.as_ref().ends_with(suffix));
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Finds out whether the object can be written, by writing an empty one; `over` one that is there, only where that is wanted.
    ///
    /// # Errors
    /// If it cannot be written, or is there.
    pub fn reserve(&self, over: bool) -> Result<(), ObjectError> {
        let key = Key::from(self.address.key.as_str());
        let is_there = self.runtime.block_on(self.store.head(&key)).is_ok_and(|object| object.size > 0);
        match (is_there, over) {
            (true, false) => Err(ObjectError::Exists(self.address.to_string())),
            // What is there stays until there is something to put in its place.
            (true, true) => Ok(()),
            (false, _) => self.put(&[]),
        }
    }

    /// Writes the object whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<(), ObjectError> {
        let (key, payload) = (Key::from(self.address.key.as_str()), PutPayload::from(bytes.to_vec()));
        let done = self.runtime.block_on(self.store.put(&key, payload));
        done.map(drop).map_err(|error| failed(self.address.to_string(), error))
    }
}

fn failed(address: String, error: impl std::error::Error + Send + Sync + 'static) -> ObjectError {
    ObjectError::Store { address, source: Box::new(error) }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |said, cause| format!("{said}: {cause}")).replace('\n', " ")
}

/// When an object was written.
fn written(object: &ObjectMeta) -> SystemTime {
    SystemTime::from(object.last_modified)
}

/// Whether a file is what an object is, by size and time.
fn is_same(file: &Path, object: &ObjectMeta) -> bool {
    fs::metadata(file).is_ok_and(|facts| {
        facts.is_file() && facts.len() == object.size && facts.modified().is_ok_and(|time| time == written(object))
    })
}

/// Writes a file whole, and gives it the time of its object.
fn keep(file: &Path, bytes: &[u8], object: &ObjectMeta) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    write_whole(file, bytes)?;
    File::options().write(true).open(file)?.set_modified(written(object))
}
