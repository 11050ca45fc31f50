//! Finding and reading entries: embedded files, a folder of the user's over them, or one file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use include_dir::{Dir, include_dir};
use serde::de::DeserializeOwned;

use super::device::{Device, DeviceKind};
use super::entry::{Entry, EntryKind};
use super::error::{CatalogError, Invalid};
use super::grid::{Grid, GridEntry, Location};
use super::identify::same_device_name;
use super::lookup::look_up;
use super::twice::second_place;
use crate::files::{FileError, read_text};

static HARDWARE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/hardware");
static PROFILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/profiles");

/// The text of `hardware/published_runs.csv`.
pub(super) fn published_runs_csv() -> &'static str {
    HARDWARE.get_file("published_runs.csv").and_then(|f| f.contents_utf8()).unwrap_or_default()
}

/// The text of `hardware/layouts.json`.
pub(super) fn layouts_json() -> &'static str {
    HARDWARE.get_file("layouts.json").and_then(|f| f.contents_utf8()).unwrap_or_default()
}

/// The text of `hardware/efficiency.json`.
pub(super) fn efficiency_json() -> &'static str {
    HARDWARE.get_file("efficiency.json").and_then(|f| f.contents_utf8()).unwrap_or_default()
}

/// No message of a parser is shown longer than this.
const MAX_MESSAGE: usize = 1500;
/// No profile is larger than this.
const MAX_BYTES: u64 = 1 << 18;
/// Nor has it more brackets: the time that YAML takes grows with the square of how deep they nest.
const MAX_BRACKETS: usize = 10_000;
/// No folder of the user's is searched deeper than this.
const MAX_DEPTH: usize = 4;
/// Nor one with more files.
const MAX_FILES: usize = 10_000;

/// The embedded entries, with a folder of the user's over them.
///
/// ```
/// use greenformers::catalog::{Catalog, Device, Site};
///
/// let catalog = Catalog::default();
/// let device: Device = catalog.load("a100-sxm4-80gb")?;
/// assert_eq!(device.vendor, "NVIDIA");
/// // A grid goes by a country's code too; a name that is not known is an error that says what is.
/// assert_eq!(catalog.grid("fr")?.name, catalog.grid("fra")?.name);
/// assert!(catalog.load::<Site>("nowhere").is_err());
/// # Ok::<(), greenformers::catalog::CatalogError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    folder: Option<PathBuf>,
}

/// Where an entry's text is.
#[derive(Debug, Clone)]
enum Place {
    Embedded(&'static str),
    File(PathBuf),
}

/// The entries of one sort, by id.
type Places = BTreeMap<Cow<'static, str>, Place>;

impl Catalog {
    /// The embedded entries, overridden and extended by the files of the same layout in `folder`.
    #[must_use]
    pub fn with_folder(folder: PathBuf) -> Self {
        Self { folder: Some(folder) }
    }

    /// The folder of the user's that is laid over the embedded entries.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The entry called `name`: a path to a YAML file, an id or a name in any case, a country's code of two or three
    /// letters, or the beginning of just one id.
    ///
    /// # Errors
    /// If there is no such entry, or if its file is not valid.
    pub fn load<E: Entry>(&self, name: &str) -> Result<E, CatalogError> {
        if looks_like_a_path(name) {
            return read_file(Path::new(name));
        }
        let places = self.places(E::KIND)?;
        // A file of the user's that is not valid is not what is looked for: its own error comes when it is asked for.
        let names = |of: &dyn Fn(&E) -> Vec<String>| -> Vec<(String, String)> {
            let read = places.iter().filter_map(|(id, place)| Some((id, read_place::<E>(id, place, E::KIND).ok()?)));
            read.flat_map(|(id, e)| of(&e).into_iter().map(|n| (n, id.to_string())).collect::<Vec<_>>()).collect()
        };
        let called = || names(&|e| e.called().into_iter().map(str::to_owned).collect());
        let also_called = || names(&|e| e.also_called());
        let ids: Vec<&str> = places.keys().map(AsRef::as_ref).collect();
        let found = look_up(E::KIND, name, &ids, called, also_called)?;
        read_place(&found, &places[found.as_str()], E::KIND)
    }

    /// Every entry of one sort, by id.
    ///
    /// # Errors
    /// If a file is not valid.
    pub fn all<E: Entry>(&self) -> Result<Vec<E>, CatalogError> {
        self.places(E::KIND)?.iter().map(|(id, place)| read_place(id, place, E::KIND)).collect()
    }

    /// The ids of one sort.
    ///
    /// # Errors
    /// If the user's folder cannot be read.
    pub fn ids(&self, kind: EntryKind) -> Result<Vec<String>, CatalogError> {
        Ok(self.places(kind)?.into_keys().map(Cow::into_owned).collect())
    }

    /// A grid with the intensity of the zone that feeds it, or that feeds that one.
    ///
    /// # Errors
    /// As [`Catalog::load`], also for the zones that the entry leads to, and if they lead in a circle.
    pub fn grid(&self, name: &str) -> Result<Grid, CatalogError> {
        let mut chain: Vec<GridEntry> = vec![self.load(name)?];
        while let Some(zone) = chain[chain.len() - 1].zone.clone() {
            let known = chain.iter().any(|e| e.intensity.is_some());
            let next = if chain.iter().any(|e| e.id == zone) {
                let ids = chain.iter().map(|e| e.id.clone()).chain([zone]).collect();
                Err(CatalogError::Circle(ids))
            } else {
                self.load::<GridEntry>(&zone)
            };
            match next {
                Ok(entry) => chain.push(entry),
                // Where the intensity is known already, the zone says no more than where that is.
                Err(_) if known => break,
                Err(error) => return Err(error),
            }
        }
        let location = Location::of(&chain, |id| self.load::<GridEntry>(id).ok().map(|country| country.name));
        let last = chain[chain.len() - 1].id.clone();
        let country = chain.iter().find_map(|e| e.country.clone());
        let mut grid = Grid::resolve(chain, location).ok_or(CatalogError::Circle(vec![last]))?;
        // A zone within a country without a price of its own has the country's; an unknown country has none.
        if let (None, Some(country)) = (&grid.electricity_price, country) {
            grid.electricity_price = self.load::<GridEntry>(&country).ok().and_then(|c| c.electricity_price);
        }
        Ok(grid)
    }

    /// The device of this kind that drivers or the operating system call `name`.
    ///
    /// # Errors
    /// If a file of the user's folder is not valid.
    pub fn identify(&self, kind: DeviceKind, name: &str) -> Result<Option<Device>, CatalogError> {
        let known = |device: &Device| device.kind == kind && device.names.iter().any(|n| same_device_name(n, name));
        Ok(self.all::<Device>()?.into_iter().find(known))
    }

    fn places(&self, kind: EntryKind) -> Result<Places, CatalogError> {
        let mut places = embedded(kind).clone();
        if let Some(folder) = &self.folder {
            let root = folder.join(kind.folder());
            if root.is_dir() {
                collect_files(&root, MAX_DEPTH, &mut { MAX_FILES }, &mut places)?;
            } else if !folder.is_dir() {
                let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                return Err(FileError::Read { path: folder.clone(), source }.into());
            }
        }
        Ok(places)
    }
}

/// The embedded entries of one sort: a sweep over all grids asks for them thousands of times.
fn embedded(kind: EntryKind) -> &'static Places {
    static FOUND: [OnceLock<Places>; 4] = [const { OnceLock::new() }; 4];
    FOUND[kind as usize].get_or_init(|| {
        let dir = match kind {
            EntryKind::Hardware => Some(&HARDWARE),
            EntryKind::Grid => PROFILES.get_dir("grid"),
            EntryKind::Site => PROFILES.get_dir("site"),
            EntryKind::Workload => PROFILES.get_dir("workload"),
        };
        let mut places = Places::new();
        if let Some(dir) = dir {
            collect_embedded(dir, &mut places);
        }
        places
    })
}

fn looks_like_a_path(name: &str) -> bool {
    let path = Path::new(name);
    path.components().count() > 1
        || path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|own| e.eq_ignore_ascii_case(own)))
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "yaml" || e == "yml")
}

fn stem(path: &Path) -> Cow<'_, str> {
    path.file_stem().unwrap_or_default().to_string_lossy()
}

fn collect_embedded(dir: &'static Dir<'static>, places: &mut Places) {
    for file in dir.files().filter(|f| is_yaml(f.path())) {
        if let Some(text) = file.contents_utf8() {
            places.insert(stem(file.path()), Place::Embedded(text));
        }
    }
    for sub in dir.dirs() {
        collect_embedded(sub, places);
    }
}

/// Adds the YAML files of a folder. Links to folders are not followed: they can lead round in circles.
fn collect_files(dir: &Path, depth: usize, left: &mut usize, places: &mut Places) -> Result<(), CatalogError> {
    let failed = |source| FileError::Read { path: dir.to_owned(), source };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        *left =
            left.checked_sub(1).ok_or_else(|| CatalogError::TooMany { folder: dir.to_owned(), limit: MAX_FILES })?;
        let path = entry.path();
        // What editors and archivers put beside a file (`.#x.yaml`, `._x.yaml`) is no entry.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            if depth > 0 {
                collect_files(&path, depth - 1, left, places)?;
            }
        } else if is_yaml(&path) {
            let id = stem(&path).into_owned();
            places.insert(Cow::Owned(id), Place::File(path));
        }
    }
    Ok(())
}

/// Reads an entry and holds it to the name of its file.
fn read_place<E: Entry>(id: &str, place: &Place, kind: EntryKind) -> Result<E, CatalogError> {
    let (file, entry): (String, E) = match place {
        Place::Embedded(text) => {
            let file = format!("{}/{id}.yaml", kind.folder());
            (file.clone(), parse(&file, text)?)
        }
        Place::File(path) => (path.display().to_string(), read_file(path)?),
    };
    if entry.id() == id {
        return Ok(entry);
    }
    Err(invalid(&file, "", None, format!("it is called `{}`: expected the name of its file, `{id}`", entry.id())))
}

fn read_file<E: Entry>(path: &Path) -> Result<E, CatalogError> {
    parse(&path.display().to_string(), &read_text(path, MAX_BYTES)?)
}

/// Reads an entry from `text`; `file` is what messages call it.
///
/// # Errors
/// If it is not valid.
pub fn parse<E: Entry>(file: &str, text: &str) -> Result<E, CatalogError> {
    let entry: E = read_yaml(file, text, E::mistaken)?;
    match entry.check() {
        Ok(()) => Ok(entry),
        Err((key, message)) => Err(invalid(file, text, place_of(text, key), message)),
    }
}

/// Reads a map from the YAML in `text`; `file` is what messages call it. A fault is shown with its place and its line.
///
/// # Errors
/// If it is not valid.
pub fn parse_yaml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, CatalogError> {
    read_yaml(file, text, |_| None)
}

/// The same, where `mistaken` says by the keys of another sort of file what it is.
fn read_yaml<T: DeserializeOwned>(
    file: &str,
    text: &str,
    mistaken: impl Fn(&[String]) -> Option<&'static str>,
) -> Result<T, CatalogError> {
    if text.bytes().filter(|b| matches!(b, b'[' | b'{')).count() > MAX_BRACKETS {
        return Err(invalid(file, text, None, format!("more than {MAX_BRACKETS} brackets: not a profile")));
    }
    serde_yaml::from_str(text).map_err(|error| {
        let message: String = without_place(&error.to_string()).chars().take(MAX_MESSAGE).collect();
        let place = error.location().map(|l| (l.line(), l.column()));
        if let Some(instead) = keys_of(text).and_then(|keys| mistaken(&keys)) {
            return invalid(file, "", None, instead.to_owned());
        }
        let place = place.and_then(|at| second_place(text, at, &message)).or(place);
        invalid(file, text, place, message)
    })
}

fn invalid(file: &str, text: &str, place: Option<(usize, usize)>, message: String) -> CatalogError {
    let line = place.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    CatalogError::Invalid(Box::new(Invalid {
        file: file.to_owned(),
        place,
        line: line.chars().take(200).collect(),
        message,
    }))
}

/// The keys of the outermost map, as far as it is one.
fn keys_of(text: &str) -> Option<Vec<String>> {
    let map: BTreeMap<String, Option<serde::de::IgnoredAny>> = serde_yaml::from_str(text).ok()?;
    Some(map.into_keys().collect())
}

/// The message without the place that the parser appends, since the place is shown by itself.
fn without_place(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

/// Where `key:` stands, from 1.
fn place_of(text: &str, key: &str) -> Option<(usize, usize)> {
    let key = format!("{key}:");
    text.lines().enumerate().find_map(|(i, line)| line.find(&key).map(|column| (i + 1, column + 1)))
}
