//! CPU and memory energy from RAPL, through the powercap files of Linux
//! (<https://docs.kernel.org/power/powercap/powercap.html>).
//!
//! Package and dram zones are added up. Core and uncore lie inside the package, and psys around it: they
//! are never added. Where nothing but psys is there, it is read alone.

#[cfg(test)]
mod tests;
mod zones;

use std::path::{Path, PathBuf};
use std::time::Instant;

use self::zones::{Found, power_limit, read_number};
use super::advance::{Advance, MOST_OF_A_PACKAGE, most_power};
use super::{Meter, Reading, SensorError};
use crate::meter::{Coverage, EnergySource, MeterInfo};
use crate::units::{Joules, Seconds, Watts};

/// Where the kernel shows its zones.
pub const DEFAULT_POWERCAP_ROOT: &str = "/sys/class/powercap";
/// Relative standard uncertainty given to RAPL (methods of the field: agreement with meters within 5 %).
const RAPL_UNCERTAINTY: f64 = 0.05;
/// The counters advance each millisecond (Intel SDM volume 3, section 16.10).
const RESOLUTION: Seconds = Seconds(0.001);
/// Some processors show the same counter once for each of their dies (Threadripper 1950X: 68 W and 68 W where 125 W are
/// drawn at the wall, CodeCarbon documentation). Two dies of one socket whose counters advance alike to this part are one
/// counter ...
const ALIKE: f64 = 0.01;
/// ... where they are read so long one after the other at most, which a busy machine takes now and then ...
const LATE_LOOK: Seconds = Seconds(0.1);
/// ... and up to this many joules in any case.
const ALIKE_J: f64 = 0.1;
/// A counter that has not moved for so long stands still: a processor that does nothing still draws watts.
const STILL: Seconds = Seconds(1.0);
/// The same of one that has never moved while others have.
const NEVER_MOVED: Seconds = Seconds(0.2);

/// One counter of the kernel.
struct Zone {
    /// `intel-rapl:0 package-0`.
    domain: String,
    socket: String,
    file: PathBuf,
    counter: Advance,
    /// What it showed first.
    first_j: f64,
    /// When it last moved.
    moved: Seconds,
    /// The earlier zone that shows the same counter, as far as has been seen.
    same_as: Option<usize>,
}

/// The counters of one kind: all packages, or the memory of all of them.
pub struct RaplMeter {
    info: MeterInfo,
    root: PathBuf,
    opened: Instant,
    zones: Vec<Zone>,
}

/// What RAPL measures here.
pub struct Rapl {
    /// The packages, and the memory where it has counters; or the platform alone.
    pub meters: Vec<RaplMeter>,
    /// Why the memory's counters cannot be used, if it has some.
    pub unreadable: Option<SensorError>,
}

/// The package and dram zones below `root`, of packages that draw about `tdp` each.
///
/// # Errors
/// If there is no package, or if its counter may not be read.
pub fn open_rapl(root: &Path, tdp: Option<Watts>) -> Result<Rapl, SensorError> {
    let found = zones::find(root)?;
    if let Some(platform) = &found.platform {
        let meter = RaplMeter::open(root, std::slice::from_ref(platform), Coverage::Module, None)?;
        return Ok(Rapl { meters: vec![meter], unreadable: None });
    }
    let mut meters = vec![RaplMeter::open(root, &found.packages, Coverage::CpuPackage, tdp)?];
    let mut unreadable = None;
    if !found.memories.is_empty() {
        match RaplMeter::open(root, &found.memories, Coverage::Dram, None) {
            Ok(meter) => meters.push(meter),
            Err(error) => unreadable = Some(error),
        }
    }
    Ok(Rapl { meters, unreadable })
}

impl RaplMeter {
    fn open(root: &Path, found: &[Found], coverage: Coverage, tdp: Option<Watts>) -> Result<Self, SensorError> {
        let domain = |zone: &Found| format!("{} {}", zone.id, zone.name);
        let mut note = "measured by the processor's RAPL counter, standard uncertainty 5 %".to_owned();
        if coverage == Coverage::Module {
            note.push_str("; covers the whole platform, as no package has a counter of its own");
        }
        let info = MeterInfo {
            source: EnergySource::Rapl,
            domain: found.iter().map(domain).collect::<Vec<_>>().join(" + "),
            coverage,
            gain_uncertainty: RAPL_UNCERTAINTY,
            note,
        };
        let opened = Instant::now();
        let mut zones: Vec<Zone> = Vec::new();
        for zone in found {
            let file = zone.folder.join("energy_uj");
            let range = Joules(read_number(root, &zone.folder.join("max_energy_range_uj"))? as f64 / 1e6);
            let limit = [power_limit(&zone.folder), tdp].into_iter().flatten().max_by(|a, b| a.0.total_cmp(&b.0));
            let most = most_power(limit, MOST_OF_A_PACKAGE);
            let mut counter = Advance::new(most, RESOLUTION, Some(range));
            let first_j = read_number(root, &file)? as f64 / 1e6;
            let moved = Seconds(opened.elapsed().as_secs_f64());
            counter.take(moved, Joules(first_j));
            let near = |other: &Zone| (other.first_j - first_j).abs() <= (most * LATE_LOOK).0;
            let same_as = zones.iter().position(|other| other.socket == zone.socket && near(other));
            let (domain, socket) = (domain(zone), zone.socket.clone());
            zones.push(Zone { domain, socket, file, counter, first_j, moved, same_as });
        }
        Ok(Self { info, root: root.to_owned(), opened, zones })
    }

    /// How many of the counters are an earlier one shown again, as far as has been seen.
    #[must_use]
    pub fn mirrored(&self) -> usize {
        self.zones.iter().filter(|z| z.same_as.is_some()).count()
    }

    fn counted(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().filter(|z| z.same_as.is_none())
    }

    /// Seconds since it was opened.
    fn now(&self) -> Seconds {
        Seconds(self.opened.elapsed().as_secs_f64())
    }

    /// Two dies that show one counter advance alike over the whole run, whatever a single look says; what does not is
    /// two counters for good.
    fn tell_apart(&mut self) {
        let elapsed = self.now();
        let alike = ALIKE.max(LATE_LOOK.0 / elapsed.0);
        for i in 0..self.zones.len() {
            let own = self.zones[i].counter.joules();
            let other = |other: usize| self.zones[other].counter.joules();
            let same = |j: &usize| (other(*j) - own).abs() <= ALIKE_J.max(alike * own.max(other(*j)));
            self.zones[i].same_as = self.zones[i].same_as.filter(same);
        }
    }
}

impl Meter for RaplMeter {
    fn info(&self) -> &MeterInfo {
        &self.info
    }

    /// Energy since the meter was opened, of what is believed. A counter wraps at its `max_energy_range_uj`, which a
    /// reading each half second cannot miss (262 kJ take minutes).
    fn read(&mut self) -> Result<Reading, SensorError> {
        for zone in &mut self.zones {
            let shown = Joules(read_number(&self.root, &zone.file)? as f64 / 1e6);
            let now = Seconds(self.opened.elapsed().as_secs_f64());
            let before = zone.counter.joules();
            if zone.counter.take(now, shown).is_some_and(|joules| joules > before) {
                zone.moved = now;
            }
        }
        self.tell_apart();
        for zone in self.counted() {
            if let Some((from, to)) = zone.counter.in_doubt() {
                return Err(SensorError::NotBelieved { zone: zone.domain.clone(), from_j: from.0, to_j: to.0 });
            }
        }
        Ok(Reading::Cumulative(Joules(self.counted().map(|z| z.counter.joules()).sum())))
    }

    fn period(&self) -> Seconds {
        Seconds(0.5)
    }

    fn resolution(&self) -> Seconds {
        RESOLUTION
    }

    fn unread(&self) -> Seconds {
        Seconds(self.counted().map(|z| z.counter.unread().0).fold(0.0, f64::max))
    }

    /// The counters that stand still, unless none has ever moved: then there is no energy at all.
    fn lacks(&self) -> Option<String> {
        let now = self.now();
        let moves = |zone: &Zone| zone.counter.joules() > 0.0;
        let still = |zone: &&Zone| now - zone.moved >= if moves(zone) { STILL } else { NEVER_MOVED };
        let domains: Vec<&str> = self.counted().filter(still).map(|z| z.domain.as_str()).collect();
        (!domains.is_empty() && self.counted().any(moves)).then(|| {
            let count = self.counted().count();
            format!(
                "partial: of its {count} counters `{}` stands still, and no device draws nothing",
                domains.join("`, `")
            )
        })
    }
}
