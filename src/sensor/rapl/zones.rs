//! The zones of the kernel: which there are, and what stands in their files.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::sensor::SensorError;
use crate::units::Watts;

/// The kernel's zones lie in folders of at most this depth.
const DEPTH: usize = 3;
/// Control types that show the counters of processors, the first that has some: the others are the same counters again.
const TYPES: [&str; 2] = ["intel-rapl", "intel-rapl-mmio"];
/// A zone has at most so many limits of power: long term, short term, and peak.
const LIMITS: usize = 3;

/// A counter of the kernel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// `intel-rapl:0`.
    pub(super) id: String,
    /// `package-0-die-1`, `dram`.
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// The socket it belongs to: the name of its package, without the die.
    pub(super) socket: String,
}

/// The counters to read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Zones {
    pub(super) packages: Vec<Found>,
    pub(super) memories: Vec<Found>,
    /// The whole platform, where no package has a counter.
    pub(super) platform: Option<Found>,
}

/// The zones below `root`: packages and their memory of one control type, else the platform's.
///
/// # Errors
/// If there are none, or their names cannot be read.
pub(super) fn find(root: &Path) -> Result<Zones, SensorError> {
    let mut platform = None;
    let mut dangling = false;
    for control in TYPES {
        let mut folders = BTreeMap::new();
        dangling |= collect(root, control, DEPTH, &mut folders);
        let mut names = BTreeMap::new();
        for (id, folder) in &folders {
            names.insert(id.as_str(), read_text(root, &folder.join("name"))?);
        }
        let mut zones = Zones::default();
        for (id, folder) in &folders {
            let found = Found {
                id: id.clone(),
                name: names[id.as_str()].clone(),
                folder: folder.clone(),
                socket: socket(id, &names),
            };
            if found.name.starts_with("package") {
                zones.packages.push(found);
            } else if found.name == "dram" {
                zones.memories.push(found);
            } else if found.name == "psys" {
                platform = platform.or(Some(found));
            }
        }
        if !zones.packages.is_empty() {
            return Ok(zones);
        }
    }
    match platform {
        Some(_) => Ok(Zones { platform, ..Zones::default() }),
        None if dangling => Err(SensorError::RaplDangling(root.to_owned())),
        None => Err(SensorError::NoRapl(root.to_owned())),
    }
}

/// `package-0` of `package-0-die-1` and of what lies in it; the id where its package has no name.
fn socket(id: &str, names: &BTreeMap<&str, String>) -> String {
    let package: Vec<&str> = id.splitn(3, ':').take(2).collect();
    let name = names.get(package.join(":").as_str()).filter(|n| n.starts_with("package"));
    let name = name.map_or(id, String::as_str);
    name.split("-die-").next().unwrap_or(name).to_owned()
}

/// Zones by their id: the kernel shows each below its control type, below its parent and in the class folder. Whether
/// some are links that lead nowhere.
fn collect(folder: &Path, control: &str, depth: usize, found: &mut BTreeMap<String, PathBuf>) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut dangling = false;
    for path in entries.filter_map(Result::ok).map(|e| e.path()) {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let zone = id.strip_prefix(control).is_some_and(|rest| rest.starts_with(':'));
        if !zone && id != control {
            continue;
        }
        dangling |= path.is_symlink() && !path.exists();
        if path.is_dir() {
            if depth > 1 {
                dangling |= collect(&path, control, depth - 1, found);
            }
            if zone && path.join("name").exists() {
                found.entry(id).or_insert(path);
            }
        }
    }
    dangling
}

/// The largest limit of power that the kernel gives a zone.
pub(super) fn power_limit(folder: &Path) -> Option<Watts> {
    let limit = |i: usize| fs::read_to_string(folder.join(format!("constraint_{i}_power_limit_uw"))).ok();
    let microwatts = (0..LIMITS).filter_map(|i| limit(i)?.trim().parse::<u64>().ok()).max()?;
    Some(Watts(microwatts as f64 / 1e6))
}

pub(super) fn read_text(root: &Path, path: &Path) -> Result<String, SensorError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(SensorError::RaplPermission { path: path.to_owned(), root: root.to_owned() })
        }
        Err(error) => Err(SensorError::RaplFile { path: path.to_owned(), reason: error.to_string() }),
    }
}

pub(super) fn read_number(root: &Path, path: &Path) -> Result<u64, SensorError> {
    let text = read_text(root, path)?;
    text.parse().map_err(|_| SensorError::RaplFile {
        path: path.to_owned(),
        reason: format!("expected a number of microjoules, got `{}`", text.chars().take(40).collect::<String>()),
    })
}
