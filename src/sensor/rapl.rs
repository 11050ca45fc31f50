//! CPU and memory energy from RAPL, through the powercap files of Linux
//! (<https://docs.kernel.org/power/powercap/powercap.html>).
//!
//! Package and dram zones are added up. Core and uncore lie inside the package, and psys around it: they
//! are never added.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Coverage, EnergySource, Meter, MeterInfo, Reading, SensorError};
use crate::units::{Joules, Seconds};

/// Where the kernel shows its zones.
pub const DEFAULT_POWERCAP_ROOT: &str = "/sys/class/powercap";
/// Relative standard uncertainty given to RAPL (methods of the field: agreement with meters within 5 %).
const RAPL_UNCERTAINTY: f64 = 0.05;

/// One zone: a package or its memory.
pub struct RaplZone {
    info: MeterInfo,
    root: PathBuf,
    file: PathBuf,
    range_uj: u64,
    last_uj: u64,
    total: Joules,
}

/// The package and dram zones below `root`.
///
/// # Errors
/// If there are none, or if a counter may not be read.
pub fn open_rapl(root: &Path) -> Result<Vec<RaplZone>, SensorError> {
    let mut zones = Vec::new();
    let entries = fs::read_dir(root).map_err(|_| SensorError::NoRapl(root.to_owned()))?;
    let mut folders: Vec<_> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
    folders.sort();
    for folder in folders {
        let file_name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The MMIO tree shows the same counters a second time.
        if !file_name.starts_with("intel-rapl:") {
            continue;
        }
        let name = read_text(root, &folder.join("name"))?;
        let coverage = if name.starts_with("package") {
            Coverage::CpuPackage
        } else if name == "dram" {
            Coverage::Dram
        } else {
            continue;
        };
        zones.push(RaplZone::open(root, &folder, format!("{file_name} {name}"), coverage)?);
    }
    if zones.iter().any(|z| z.info.coverage == Coverage::CpuPackage) {
        Ok(zones)
    } else {
        Err(SensorError::NoRapl(root.to_owned()))
    }
}

impl RaplZone {
    fn open(root: &Path, folder: &Path, domain: String, coverage: Coverage) -> Result<Self, SensorError> {
        let file = folder.join("energy_uj");
        let range_uj = read_number(root, &folder.join("max_energy_range_uj"))?;
        let last_uj = read_number(root, &file)?;
        let info = MeterInfo {
            source: EnergySource::Rapl,
            domain,
            coverage,
            gain_uncertainty: RAPL_UNCERTAINTY,
            note: "measured by the processor's RAPL counter, standard uncertainty 5 %".to_owned(),
        };
        Ok(Self { info, root: root.to_owned(), file, range_uj, last_uj, total: Joules(0.0) })
    }
}

impl Meter for RaplZone {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    /// Energy since the zone was opened. The counter wraps at `max_energy_range_uj`, which a reading each
    /// half second cannot miss (262 kJ take minutes).
    fn read(&mut self) -> Result<Reading, SensorError> {
        let now = read_number(&self.root, &self.file)?;
        let advance = if now >= self.last_uj {
            now - self.last_uj
        } else {
            self.range_uj.saturating_sub(self.last_uj).saturating_add(now)
        };
        self.last_uj = now;
        self.total += Joules(advance as f64 / 1e6);
        Ok(Reading::Cumulative(self.total))
    }

    fn period(&self) -> Seconds {
        Seconds(0.5)
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
        let root = tempfile::tempdir().expect("a temporary folder");
        for (zone, name, energy) in [
            ("intel-rapl:0", "package-0", "1000000"),
            ("intel-rapl:0:0", "core", "900000"),
            ("intel-rapl:0:1", "dram", "500000"),
            ("intel-rapl:1", "psys", "2000000"),
            ("intel-rapl-mmio:0", "package-0", "1000000"),
        ] {
            let folder = root.path().join(zone);
            fs::create_dir(&folder).expect("new");
            for (file, text) in [("name", name), ("energy_uj", energy), ("max_energy_range_uj", "10000000")] {
                fs::write(folder.join(file), format!("{text}\n")).expect("writable");
            }
        }
        root
    }

    fn set(root: &Path, zone: &str, energy: &str) {
        fs::write(root.join(zone).join("energy_uj"), energy).expect("writable");
    }

    fn joules(zone: &mut RaplZone) -> f64 {
        match zone.read().expect("readable") {
            Reading::Cumulative(energy) => energy.0,
            Reading::Instant(_) => panic!("RAPL counts energy"),
        }
    }

    #[test]
    fn package_and_dram_are_read_and_nothing_twice() {
        let root = tree();
        let zones = open_rapl(root.path()).expect("zones");
        let domains: Vec<_> = zones.iter().map(|z| z.info.domain.as_str()).collect();
        assert_eq!(domains, ["intel-rapl:0 package-0", "intel-rapl:0:1 dram"]);
    }

    #[test]
    fn energy_keeps_growing_across_a_counter_wrap() {
        let root = tree();
        let mut package = open_rapl(root.path()).expect("zones").remove(0);
        set(root.path(), "intel-rapl:0", "9000000");
        assert!((joules(&mut package) - 8.0).abs() < 1e-12);
        set(root.path(), "intel-rapl:0", "500000"); // 1 J to the end of the range, 0.5 J after it
        assert!((joules(&mut package) - 9.5).abs() < 1e-12);
    }

    #[test]
    fn a_counter_that_is_no_number_is_an_error_and_not_a_zero() {
        let root = tree();
        let mut package = open_rapl(root.path()).expect("zones").remove(0);
        set(root.path(), "intel-rapl:0", "busy");
        let error = package.read().expect_err("no number").to_string();
        assert!(error.contains("expected a number of microjoules, got `busy`"), "{error}");
    }

    #[test]
    fn a_machine_without_zones_is_told_so() {
        let empty = tempfile::tempdir().expect("a temporary folder");
        let Err(error) = open_rapl(empty.path()) else { panic!("there is nothing to open") };
        assert!(error.to_string().contains("RAPL is not available"), "{error}");
    }
}
