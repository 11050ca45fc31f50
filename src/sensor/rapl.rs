//! CPU and memory energy from RAPL, through the powercap files of Linux
//! (<https://docs.kernel.org/power/powercap/powercap.html>).
//!
//! Package and dram zones are added up. Core and uncore lie inside the package, and psys around it: they
//! are never added.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Coverage, EnergySource, Meter, MeterInfo, Reading, SensorError};
use crate::units::{Joules, Seconds};

/// Where the kernel shows its zones.
pub const DEFAULT_POWERCAP_ROOT: &str = "/sys/class/powercap";
/// Relative standard uncertainty given to RAPL (methods of the field: agreement with meters within 5 %).
const RAPL_UNCERTAINTY: f64 = 0.05;
/// The kernel's zones lie in folders of at most this depth.
const DEPTH: usize = 3;
/// Two counters that are never further apart than this are one: some processors show the same counter once for each of
/// their dies (Threadripper 1950X: 68 W and 68 W where 125 W are drawn at the wall, CodeCarbon documentation).
const SAME_COUNTER_UJ: u64 = 100_000;

/// One counter of the kernel.
struct Zone {
    file: PathBuf,
    range_uj: u64,
    last_uj: u64,
    total_uj: u64,
    /// The earlier zone that this one has shown the same numbers as, so far.
    same_as: Option<usize>,
}

/// The counters of one kind: all packages, or the memory of all of them.
pub struct RaplMeter {
    info: MeterInfo,
    root: PathBuf,
    zones: Vec<Zone>,
}

/// What RAPL measures here.
pub struct Rapl {
    /// The packages, and the memory where it has counters.
    pub meters: Vec<RaplMeter>,
    /// Why the memory's counters cannot be used, if it has some.
    pub unreadable: Option<SensorError>,
}

/// The package and dram zones below `root`.
///
/// # Errors
/// If there is no package, or if its counter may not be read.
pub fn open_rapl(root: &Path) -> Result<Rapl, SensorError> {
    let mut folders = BTreeMap::new();
    find_zones(root, DEPTH, &mut folders);
    let (mut packages, mut memories) = (Vec::new(), Vec::new());
    for (id, folder) in &folders {
        let name = read_text(root, &folder.join("name"))?;
        if name.starts_with("package") {
            packages.push((format!("{id} {name}"), folder));
        } else if name == "dram" {
            memories.push((format!("{id} {name}"), folder));
        }
    }
    if packages.is_empty() {
        return Err(SensorError::NoRapl(root.to_owned()));
    }
    let mut meters = vec![RaplMeter::open(root, &packages, Coverage::CpuPackage)?];
    let mut unreadable = None;
    if !memories.is_empty() {
        match RaplMeter::open(root, &memories, Coverage::Dram) {
            Ok(meter) => meters.push(meter),
            Err(error) => unreadable = Some(error),
        }
    }
    Ok(Rapl { meters, unreadable })
}

/// Zones by their id: the kernel shows each below its control type, below its parent and in the class folder. The
/// `intel-rapl-mmio` zones are the same counters a second time.
fn find_zones(folder: &Path, depth: usize, found: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|e| e.path()) {
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let zone = id.starts_with("intel-rapl:");
        if (zone || id == "intel-rapl") && path.is_dir() {
            if depth > 1 {
                find_zones(&path, depth - 1, found);
            }
            if zone && path.join("name").exists() {
                found.entry(id).or_insert(path);
            }
        }
    }
}

impl RaplMeter {
    fn open(root: &Path, zones: &[(String, &PathBuf)], coverage: Coverage) -> Result<Self, SensorError> {
        let domains: Vec<&str> = zones.iter().map(|(domain, _)| domain.as_str()).collect();
        let info = MeterInfo {
            source: EnergySource::Rapl,
            domain: domains.join(" + "),
            coverage,
            gain_uncertainty: RAPL_UNCERTAINTY,
            note: "measured by the processor's RAPL counter, standard uncertainty 5 %".to_owned(),
        };
        let mut opened: Vec<Zone> = Vec::new();
        for (_, folder) in zones {
            let file = folder.join("energy_uj");
            let range_uj = read_number(root, &folder.join("max_energy_range_uj"))?;
            let last_uj = read_number(root, &file)?;
            let same_as = opened.iter().position(|z| z.last_uj.abs_diff(last_uj) <= SAME_COUNTER_UJ);
            opened.push(Zone { file, range_uj, last_uj, total_uj: 0, same_as });
        }
        Ok(Self { info, root: root.to_owned(), zones: opened })
    }

    /// How many of the counters are an earlier one shown again, as far as has been seen.
    #[must_use]
    pub fn mirrored(&self) -> usize {
        self.zones.iter().filter(|z| z.same_as.is_some()).count()
    }
}

impl Meter for RaplMeter {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    /// Energy since the meter was opened. A counter wraps at its `max_energy_range_uj`, which a reading each half
    /// second cannot miss (262 kJ take minutes). A zone that shows the numbers of another is not counted; once it has
    /// differed from it, all that it advanced by is.
    fn read(&mut self) -> Result<Reading, SensorError> {
        for zone in &mut self.zones {
            let now = read_number(&self.root, &zone.file)?;
            let advance = if now >= zone.last_uj {
                now - zone.last_uj
            } else {
                zone.range_uj.saturating_sub(zone.last_uj).saturating_add(now)
            };
            zone.last_uj = now;
            zone.total_uj = zone.total_uj.saturating_add(advance);
        }
        for i in 0..self.zones.len() {
            let apart = |other: usize| self.zones[i].total_uj.abs_diff(self.zones[other].total_uj);
            // Read one after the other, two views of one counter differ by what was drawn in between.
            self.zones[i].same_as = self.zones[i].same_as.filter(|other| apart(*other) <= SAME_COUNTER_UJ);
        }
        let counted = self.zones.iter().filter(|z| z.same_as.is_none());
        Ok(Reading::Cumulative(Joules(counted.map(|z| z.total_uj as f64 / 1e6).sum())))
    }

    fn period(&self) -> Seconds {
        Seconds(0.5)
    }

    fn resolution(&self) -> Seconds {
        // The counters advance each millisecond (Intel SDM volume 3, section 16.10).
        Seconds(0.001)
    }
}

fn read_text(root: &Path, path: &Path) -> Result<String, SensorError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(SensorError::RaplPermission { path: path.to_owned(), root: root.to_owned() })
        }
        Err(error) => Err(SensorError::RaplFile { path: path.to_owned(), reason: error.to_string() }),
    }
}

fn read_number(root: &Path, path: &Path) -> Result<u64, SensorError> {
    let text = read_text(root, path)?;
    text.parse().map_err(|_| SensorError::RaplFile {
        path: path.to_owned(),
        reason: format!("expected a number of microjoules, got `{}`", text.chars().take(40).collect::<String>()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like the kernel's: one package with core and dram, and psys.
    fn tree() -> tempfile::TempDir {
        tree_of(&[
            ("intel-rapl:0", "package-0", "1000000"),
            ("intel-rapl:0:0", "core", "900000"),
            ("intel-rapl:0:1", "dram", "500000"),
            ("intel-rapl:0:2", "uncore", "90000"),
            ("intel-rapl:1", "psys", "2000000"),
            ("intel-rapl-mmio:0", "package-0", "1000000"),
        ])
    }

    fn tree_of(zones: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (zone, name, energy) in zones {
            let folder = root.path().join(zone);
            fs::create_dir_all(&folder).expect("new");
            for (file, text) in [("name", *name), ("energy_uj", *energy), ("max_energy_range_uj", "10000000")] {
                fs::write(folder.join(file), format!("{text}\n")).expect("writable");
            }
        }
        root
    }

    fn set(root: &tempfile::TempDir, zone: &str, energy: &str) {
        fs::write(root.path().join(zone).join("energy_uj"), energy).expect("writable");
    }

    fn open(root: &tempfile::TempDir) -> Vec<RaplMeter> {
        open_rapl(root.path()).expect("zones").meters
    }

    fn joules(meter: &mut RaplMeter) -> f64 {
        match meter.read().expect("readable") {
            Reading::Cumulative(energy) => energy.0,
            other => panic!("RAPL counts energy, not {other:?}"),
        }
    }

    #[test]
    fn package_and_dram_are_read_and_nothing_twice() {
        let root = tree();
        let domains: Vec<_> = open(&root).iter().map(|m| m.info.domain.clone()).collect();
        assert_eq!(domains, ["intel-rapl:0 package-0", "intel-rapl:0:1 dram"]);
    }

    #[test]
    fn zones_inside_their_parents_are_found_and_counted_once() {
        let root = tree_of(&[
            ("intel-rapl:0", "package-0", "0"),
            ("intel-rapl:0:0", "dram", "0"),
            ("intel-rapl:0/intel-rapl:0:0", "dram", "0"),
            ("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", "0"),
        ]);
        let domains: Vec<_> = open(&root).iter().map(|m| m.info.domain.clone()).collect();
        assert_eq!(domains, ["intel-rapl:0 package-0", "intel-rapl:0:0 dram"]);
    }

    #[test]
    fn energy_keeps_growing_across_a_counter_wrap() {
        let root = tree();
        let mut package = open(&root).remove(0);
        set(&root, "intel-rapl:0", "9000000");
        assert!((joules(&mut package) - 8.0).abs() < 1e-12);
        set(&root, "intel-rapl:0", "500000"); // 1 J to the end of the range, 0.5 J after it
        assert!((joules(&mut package) - 9.5).abs() < 1e-12);
    }

    #[test]
    fn two_packages_add_up_even_if_they_began_alike() {
        let root = tree_of(&[("intel-rapl:0", "package-0", "0"), ("intel-rapl:1", "package-1", "0")]);
        let mut packages = open(&root).remove(0);
        set(&root, "intel-rapl:0", "3000000");
        set(&root, "intel-rapl:1", "2000000");
        assert!((joules(&mut packages) - 5.0).abs() < 1e-12);
        set(&root, "intel-rapl:1", "3000000");
        assert!((joules(&mut packages) - 6.0).abs() < 1e-12, "what differed once are two counters for good");
    }

    #[test]
    fn a_counter_shown_once_for_each_die_is_counted_once() {
        let root = tree_of(&[("intel-rapl:0", "package-0-die-0", "100"), ("intel-rapl:1", "package-0-die-1", "140")]);
        let mut packages = open(&root).remove(0);
        for (first, second, expected) in
            [("4000100", "4000900", 4.0), ("9000100", "9000200", 9.0), ("100", "300", 10.0)]
        {
            set(&root, "intel-rapl:0", first);
            set(&root, "intel-rapl:1", second);
            assert!((joules(&mut packages) - expected).abs() < 1e-3, "{expected}");
        }
        assert_eq!(packages.mirrored(), 1);
    }

    #[test]
    fn a_counter_that_is_no_number_or_is_gone_is_an_error_and_not_a_zero() {
        let root = tree();
        let mut package = open(&root).remove(0);
        set(&root, "intel-rapl:0", "busy");
        let error = package.read().expect_err("no number").to_string();
        assert!(error.contains("expected a number of microjoules, got `busy`"), "{error}");
        fs::remove_file(root.path().join("intel-rapl:0/energy_uj")).expect("there");
        let error = package.read().expect_err("gone").to_string();
        assert!(error.contains("cannot read") && error.contains("intel-rapl:0/energy_uj"), "{error}");
    }

    #[test]
    fn memory_that_cannot_be_read_leaves_the_package_and_says_why() {
        let root = tree();
        set(&root, "intel-rapl:0:1", "-");
        let rapl = open_rapl(root.path()).expect("the package is there");
        assert_eq!(rapl.meters.len(), 1);
        assert!(rapl.unreadable.expect("dram").to_string().contains("got `-`"));
    }

    #[cfg(unix)]
    #[test]
    fn a_counter_that_may_not_be_read_says_what_to_run() {
        use std::os::unix::fs::PermissionsExt;
        let root = tree();
        let file = root.path().join("intel-rapl:0/energy_uj");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("own file");
        if fs::read(&file).is_ok() {
            return; // root may read everything
        }
        let Err(error) = open_rapl(root.path()) else { panic!("it may not be read") };
        assert!(error.to_string().contains("hint: `sudo chmod a+r"), "{error}");
    }

    #[test]
    fn the_message_for_a_forbidden_counter_holds_the_command_that_opens_it() {
        let error = SensorError::RaplPermission {
            path: "/sys/class/powercap/intel-rapl:0/energy_uj".into(),
            root: DEFAULT_POWERCAP_ROOT.into(),
        };
        let text = error.to_string();
        assert!(text.contains("`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`"), "{text}");
    }

    #[test]
    fn a_machine_without_zones_is_told_so() {
        let empty = tempfile::tempdir().expect("a temporary folder");
        let Err(error) = open_rapl(empty.path()) else { panic!("there is nothing to open") };
        assert!(error.to_string().contains("RAPL is not available"), "{error}");
    }
}
