//! Checkpoints in safetensors: one file, or a folder of Hugging Face's with one or several. The header of each file is checked against
//! its size before anything else of it is read.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use candle_core::safetensors::{BufferedSafetensors, Load as _};
use candle_core::{Device, Tensor};
use safetensors::tensor::{Metadata, TensorView};
use serde::Deserialize;
use serde_json::Value;

use super::NnError;
use crate::files::{read_bytes, read_head, read_text};

/// No larger checkpoint is read, all its files together: BERT-large takes 1.3 GB.
const MAX_BYTES: u64 = 8 << 30;
/// Nor a longer header: 400 tensors take 50 kB.
const MAX_HEADER: u64 = 1 << 20;
/// The header's length stands before it.
const LENGTH: usize = 8;
/// Nor a longer list of files, which has a line for each tensor, or description of a model.
const MAX_JSON: u64 = 4_000_000;

/// The one file of a folder.
const WHOLE: &str = "model.safetensors";
/// Which file of a folder has which tensor.
const INDEX: &str = "model.safetensors.index.json";
/// The description of the model.
const CONFIG: &str = "config.json";

/// What Hugging Face puts before the names of a model's body, where it has a head.
const BODIES: [&str; 3] = ["bert.", "transformer.", "model."];
/// How the first releases of BERT name the gain and the bias of a norm.
const OLD: [(&str, &str); 2] = [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")];

/// A checkpoint, held in memory: a mapped file could be cut short meanwhile by others.
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<BufferedSafetensors>,
    /// The file of each tensor.
    places: BTreeMap<String, usize>,
    config: Option<String>,
    /// The same as JSON; null if it is none, which says nothing here.
    said: Value,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// The key of `config.json` whose object says that linears are factorised, each with the rank that its matrices have.
    pub const FACTORIZED: &str = "factorized";

    /// Reads a safetensors file, or a folder with `model.safetensors` or with several files and their index. A `config.json` in the
    /// folder is read as well.
    ///
    /// # Errors
    /// If a file cannot be read, is missing, or is not what its header or the index says.
    pub fn open(path: &Path) -> Result<Self, NnError> {
        let config = Some(folder_of(path).join(CONFIG)).filter(|config| config.is_file());
        let config = config.map(|config| read_text(&config, MAX_JSON)).transpose()?;
        let said = config.as_deref().and_then(|config| serde_json::from_str(config).ok()).unwrap_or_default();
        let mut checkpoint = Self { path: path.to_owned(), files: Vec::new(), places: BTreeMap::new(), config, said };
        if !path.is_dir() {
            checkpoint.add(path)?;
        } else if path.join(WHOLE).is_file() {
            checkpoint.add(&path.join(WHOLE))?;
        } else if path.join(INDEX).is_file() {
            checkpoint.add_all(&path.join(INDEX))?;
        } else {
            return Err(NnError::NoCheckpoint { path: path.to_owned() });
        }
        Ok(checkpoint)
    }

    fn add(&mut self, path: &Path) -> Result<(), NnError> {
        let invalid = |reason| NnError::Checkpoint { path: path.to_owned(), reason };
        let (head, size) = read_head(path, LENGTH + usize::try_from(MAX_HEADER).unwrap_or(0))?;
        check_head(&head, size).map_err(invalid)?;
        let left = MAX_BYTES.saturating_sub(self.files.iter().map(bytes_of).sum());
        let file = BufferedSafetensors::new(read_bytes(path, left)?)?;
        for (name, _) in file.tensors() {
            if self.places.insert(name.clone(), self.files.len()).is_some() {
                return Err(invalid(format!("`{name}` is in another file of the checkpoint as well")));
            }
        }
        self.files.push(file);
        Ok(())
    }

    fn add_all(&mut self, index: &Path) -> Result<(), NnError> {
        let invalid = |reason| NnError::Checkpoint { path: index.to_owned(), reason };
        let text = read_text(index, MAX_JSON)?;
        let Index { weight_map } =
            serde_json::from_str(&text).map_err(|e| invalid(format!("it is no index of files: {e}")))?;
        let mut added: Vec<&String> = Vec::new();
        for file in weight_map.values() {
            if added.contains(&file) {
                continue;
            }
            let mut parts = Path::new(file).components();
            if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
                return Err(invalid(format!("`{file}` is no file of its folder")));
            }
            let path = index.with_file_name(file);
            if !path.is_file() {
                return Err(invalid(format!("its file `{file}` is missing")));
            }
            self.add(&path)?;
            added.push(file);
        }
        match weight_map.iter().find(|(name, _)| !self.places.contains_key(*name)) {
            Some((name, file)) => Err(invalid(format!("`{file}` has no tensor `{name}`"))),
            None => Ok(()),
        }
    }

    /// What was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that was opened, or that of the file.
    #[must_use]
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// The text of the `config.json` beside the weights.
    #[must_use]
    pub fn config(&self) -> Option<&str> {
        self.config.as_deref()
    }

    /// Whether the `config.json` says that linears are factorised.
    #[must_use]
    pub fn is_factorized(&self) -> bool {
        self.said.get(Self::FACTORIZED).is_some_and(Value::is_object)
    }

    /// What the `config.json` says of `name`, also among its rotary parameters, where newer releases of transformers write some.
    #[must_use]
    pub fn said(&self, name: &str) -> Option<&Value> {
        said(&self.said, name)
    }

    /// The names of all tensors, as they are stored, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// The tensor that is stored as `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<TensorView<'_>> {
        self.places.get(name).and_then(|at| self.files[*at].get(name).ok())
    }

    /// How the weight `name` of a model is stored: by that name, without the name of the body before it, or by the old name of a norm.
    #[must_use]
    pub fn stored_name(&self, name: &str) -> Option<String> {
        let bare = BODIES.iter().find_map(|body| name.strip_prefix(body));
        let old = |name: &str| OLD.iter().fold(name.to_owned(), |name, (new, old)| name.replace(new, old));
        let candidates = [Some(name), bare].into_iter().flatten().flat_map(|name| [name.to_owned(), old(name)]);
        candidates.into_iter().find(|name| self.places.contains_key(name))
    }

    /// The rank of the linear `name` of a model, if its checkpoint was factorised and has two matrices in the place of one.
    pub(super) fn rank(&self, name: &str) -> Option<usize> {
        let stored = self.stored_name(&format!("{name}.encode.weight")).filter(|_| self.is_factorized())?;
        self.get(&stored)?.shape().first().copied().filter(|rank| *rank > 0)
    }

    /// Whether the matrix `name` of a model was taken apart when its checkpoint was factorised.
    pub(super) fn is_apart(&self, name: &str) -> bool {
        self.is_factorized() && self.stored_name(&format!("{name}.weight")).is_none()
    }

    /// The weight `name` of a model.
    pub(super) fn load(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor, NnError> {
        let path = || self.path.clone();
        let missing = || NnError::MissingWeight { path: path(), name: name.to_owned() };
        let view = self.stored_name(name).and_then(|stored| self.get(&stored)).ok_or_else(missing)?;
        if view.shape() != shape {
            let (found, expected) = (view.shape().to_vec(), shape.to_vec());
            return Err(NnError::WeightShape { path: path(), name: name.to_owned(), found, expected });
        }
        Ok(view.load(device)?)
    }
}

/// What a `config.json` says of `name`, also among its rotary parameters, where newer releases of transformers write some.
#[must_use]
pub fn said<'a>(config: &'a Value, name: &str) -> Option<&'a Value> {
    let rotary = config.get("rope_parameters");
    config.get(name).or_else(|| rotary?.get(name)).filter(|value| !value.is_null())
}

fn folder_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }
}

/// Bytes of the tensors of a file.
fn bytes_of(file: &BufferedSafetensors) -> u64 {
    file.tensors().iter().map(|(_, view)| view.data().len() as u64).sum()
}

/// Checks the first bytes of a file of `size` bytes: the length of the header, and that the tensors it names fill the
/// rest of the file and no more.
///
/// # Errors
/// What is wrong with it.
pub fn check_head(head: &[u8], size: u64) -> Result<(), String> {
    let length = head.first_chunk::<LENGTH>().ok_or("it is shorter than the length of its header")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!("its header has {length} bytes: at most {MAX_HEADER} are read"));
    }
    let end = LENGTH + usize::try_from(length).unwrap_or(usize::MAX - LENGTH);
    let header = head.get(LENGTH..end).ok_or("it ends within its header")?;
    let metadata: Metadata = serde_json::from_slice(header).map_err(|e| format!("its header is not valid: {e}"))?;
    let said = (end as u64).checked_add(metadata.data_len() as u64);
    if said == Some(size) {
        return Ok(());
    }
    let said = said.map_or_else(|| "more than there can be".to_owned(), |bytes| bytes.to_string());
    Err(format!("it has {size} bytes, and its header says {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    }

    fn check(bytes: &[u8]) -> Result<(), String> {
        check_head(bytes, bytes.len() as u64)
    }

    #[test]
    fn a_header_is_held_to_the_file() {
        let header = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        assert_eq!(check(&file(header, 24)), Ok(()));
        for (bytes, part) in [
            (file(header, 23), "its header says"),
            (file(header, 25), "its header says"),
            (file("{", 0), "its header is not valid"),
            (file(&header.replace("24]", "23]"), 23), "its header is not valid"),
            (file(&header.replace("[2,3]", "[4294967295,4294967295,9]"), 24), "its header is not valid"),
            (file(&header.replace("[0,24]", "[0,18446744073709551615]"), 24), "its header is not valid"),
            (u64::MAX.to_le_bytes().to_vec(), "at most 1048576 are read"),
            (500_u64.to_le_bytes().to_vec(), "ends within its header"),
            (vec![0; 3], "shorter than the length of its header"),
        ] {
            let error = check(&bytes).expect_err(part);
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    /// A folder of files, of which `index` lists the tensors.
    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).expect("writable");
        }
        folder
    }

    /// A file with one tensor of one f32.
    fn one(name: &str, value: f32) -> Vec<u8> {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &value.to_le_bytes()].concat()
    }

    fn open(folder: &tempfile::TempDir) -> Result<Checkpoint, String> {
        Checkpoint::open(folder.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_folder_is_read_whether_it_has_one_file_or_several() {
        let index = br#"{"metadata":{},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}"#;
        let several = [("1.safetensors", &*one("a", 1.5)), ("2.safetensors", &one("b", 2.5)), (INDEX, index)];
        let checkpoint = open(&folder(&several)).expect("it is whole");
        assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b"]);
        let value = |name| checkpoint.load(name, &[1], &Device::Cpu).expect("there").to_vec1::<f32>().expect("f32");
        assert_eq!((value("a"), value("b")), (vec![1.5], vec![2.5]));
        assert!(checkpoint.config().is_none() && !checkpoint.is_factorized());
        let whole = open(&folder(&[(WHOLE, &one("a", 1.5)), (CONFIG, br#"{"factorized":{}}"#)])).expect("it is whole");
        assert_eq!(whole.names().collect::<Vec<_>>(), ["a"]);
        assert!(whole.is_factorized());
    }

    #[test]
    fn a_folder_that_is_not_whole_says_what_is_wrong_with_it() {
        let (a, index) = (one("a", 1.0), |map: &str| format!(r#"{{"weight_map":{map}}}"#).into_bytes());
        let two = |map: &str| folder(&[("1.safetensors", &a), ("2.safetensors", &a), (INDEX, &index(map))]);
        for (folder, part) in [
            (folder(&[]), "has no `model.safetensors` and no `model.safetensors.index.json`"),
            (two(r#"{"a":"1.safetensors","b":"3.safetensors"}"#), "its file `3.safetensors` is missing"),
            (two(r#"{"a":"1.safetensors","b":"1.safetensors"}"#), "`1.safetensors` has no tensor `b`"),
            (two(r#"{"a":"1.safetensors","b":"2.safetensors"}"#), "`a` is in another file"),
            (two(r#"{"a":"../1.safetensors"}"#), "`../1.safetensors` is no file of its folder"),
            (two(r#"{"a":"/etc/passwd"}"#), "`/etc/passwd` is no file of its folder"),
            (two("[]"), "it is no index of files"),
            (
                folder(&[("1.safetensors", &a[..a.len() - 1]), (INDEX, &index(r#"{"a":"1.safetensors"}"#))]),
                "its header says",
            ),
        ] {
            let error = open(&folder).err().expect(part);
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn names_are_found_with_or_without_that_of_the_body_and_by_their_old_ones() {
        for (stored, asked) in [
            ("a.weight", "bert.a.weight"),
            ("h.0.a.weight", "transformer.h.0.a.weight"),
            ("layers.0.a.weight", "model.layers.0.a.weight"),
            ("bert.a.LayerNorm.gamma", "bert.a.LayerNorm.weight"),
            ("a.LayerNorm.beta", "bert.a.LayerNorm.bias"),
            ("bert.a.weight", "bert.a.weight"),
        ] {
            let checkpoint = open(&folder(&[(WHOLE, &one(stored, 1.0))])).expect("it is whole");
            assert_eq!(checkpoint.stored_name(asked).as_deref(), Some(stored));
            assert_eq!(checkpoint.stored_name("bert.b.weight"), None);
        }
    }
}
