//! Totals of all records: of each device, host, job and project.

use std::collections::BTreeMap;

use serde::Serialize;

use super::parts::{Counted, DeviceTotal, Gap, devices, is_identified};
use super::read::Summand;
use crate::record::Warning;
use crate::stats::Interval;

/// Processes of one step start within minutes of each other: hosts whose clocks put them further apart disagree.
const MOST_BETWEEN_STARTS_S: f64 = 1800.0;
/// A clock is set by less than this while a machine runs.
const MOST_SET_S: f64 = 60.0;

/// What some records come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Total {
    /// What they have in common; `None` for those that do not say it.
    pub name: Option<String>,
    /// How many they are.
    pub records: usize,
    /// Joules of what was metered.
    pub energy_j: Option<Interval>,
    /// Kilowatt-hours at the wall.
    pub it_energy_kwh: Option<Interval>,
    /// Emissions of the electricity.
    pub operational_kgco2e: Option<Interval>,
    /// Rent, or the electricity bill.
    pub cost_usd: Option<Interval>,
}

/// Everything that was added.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sum {
    /// All of it.
    pub total: Total,
    /// By device.
    pub devices: Vec<DeviceTotal>,
    /// By host.
    pub hosts: Vec<Total>,
    /// By job.
    pub jobs: Vec<Total>,
    /// By project.
    pub projects: Vec<Total>,
    /// When a command ran and a part of its machine was not metered.
    pub gaps: Vec<Gap>,
    /// Joules that several records had, and that count once.
    pub counted_once_j: f64,
    /// Caveats.
    pub warnings: Vec<Warning>,
}

/// Ends and middles, added up.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    mid: f64,
    low: f64,
    high: f64,
}

impl Ends {
    fn add(&mut self, interval: Interval) {
        self.mid += interval.mid;
        self.low += interval.low;
        self.high += interval.high;
    }
}

#[derive(Debug, Clone, Default)]
struct Adding {
    records: usize,
    meters: BTreeMap<usize, Ends>,
    follows: [Option<Ends>; 3],
}

impl Adding {
    /// Meters are off independently of each other, and each by the same gain in all its records. What follows from the joules
    /// hangs on the same grid and the same building.
    fn total(self, name: Option<String>) -> Total {
        let energy_j = (!self.meters.is_empty()).then(|| {
            let (mut mid, mut below, mut above) = (0.0, 0.0_f64, 0.0_f64);
            for meter in self.meters.values() {
                mid += meter.mid;
                below = below.hypot(meter.mid - meter.low);
                above = above.hypot(meter.high - meter.mid);
            }
            Interval { mid, low: (mid - below).max(0.0), high: mid + above }
        });
        let [it_energy_kwh, operational_kgco2e, cost_usd] =
            self.follows.map(|ends| ends.map(|Ends { mid, low, high }| Interval { mid, low, high }));
        Total { name, records: self.records, energy_j, it_energy_kwh, operational_kgco2e, cost_usd }
    }
}

/// Totals by what `name` says of a record.
fn by<'a>(
    summands: &'a [Summand],
    counted: &[Counted],
    shares: &[f64],
    name: impl Fn(&'a Summand) -> Option<&'a str>,
) -> Vec<Total> {
    let mut groups: BTreeMap<Option<&str>, Adding> = BTreeMap::new();
    for (summand, share) in summands.iter().zip(shares) {
        let group = groups.entry(name(summand)).or_default();
        group.records += 1;
        for (sum, known) in group.follows.iter_mut().zip(summand.follows) {
            if let Some(known) = known.filter(|_| *share > 0.0) {
                sum.get_or_insert_default().add(known.scaled(*share));
            }
        }
    }
    for part in counted {
        let group = groups.entry(name(&summands[part.record])).or_default();
        group.meters.entry(part.meter).or_default().add(part.energy_j);
    }
    groups.into_iter().map(|(name, adding)| adding.total(name.map(str::to_owned))).collect()
}

/// Adds records, of which none is there twice.
#[must_use]
pub fn sum(summands: &[Summand]) -> Sum {
    let (devices, gaps, counted) = devices(summands);
    // What counts of a record's joules counts of all that follows from them.
    let (mut recorded, mut kept) = (vec![0.0; summands.len()], vec![0.0; summands.len()]);
    for part in &counted {
        recorded[part.record] += part.recorded_j;
        kept[part.record] += part.energy_j.mid;
    }
    let share = |(kept, recorded): (&f64, &f64)| if *recorded > 0.0 { kept / recorded } else { 0.0 };
    let shares: Vec<f64> = kept.iter().zip(&recorded).map(share).collect();
    let total = by(summands, &counted, &shares, |_| None).pop();
    Sum {
        total: total.unwrap_or_else(|| Adding::default().total(None)),
        hosts: by(summands, &counted, &shares, |s| s.host.as_deref()),
        jobs: by(summands, &counted, &shares, |s| s.job.as_deref()),
        projects: by(summands, &counted, &shares, |s| s.project.as_deref()),
        counted_once_j: (recorded.iter().sum::<f64>() - kept.iter().sum::<f64>()).max(0.0),
        warnings: warnings(summands, &devices, &shares),
        devices,
        gaps,
    }
}

fn warnings(summands: &[Summand], devices: &[DeviceTotal], shares: &[f64]) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |fact: String, consequence: &str, remedy: &str| found.push(Warning::new(fact, consequence, remedy));
    let old = summands.iter().filter(|s| !is_identified(s)).count();
    if old > 0 {
        warn(
            format!(
                "{old} of {} records do not say on which machine they were written, as older versions did not",
                summands.len()
            ),
            "overlaps cannot be seen in them: all their joules count",
            "leave out records whose times overlap on one machine",
        );
    }
    for (what, index) in [("energy at the wall", 0), ("emissions", 1), ("cost", 2)] {
        let lacking = |(summand, share): &(&Summand, &f64)| **share > 0.0 && summand.follows[index].is_none();
        let missing = summands.iter().zip(shares).filter(lacking).count();
        if missing > 0 && missing < shares.iter().filter(|s| **s > 0.0).count() {
            warn(
                format!("the {what} of {missing} records is not known"),
                "the total lacks it",
                "`greenformers footprint` works it out from the energy",
            );
        }
    }
    for device in devices.iter().filter(|d| d.gap_s > 0.0) {
        let host = device.host.as_deref().unwrap_or("an unknown host");
        let fact = match device.energy_j {
            Some(_) => {
                format!("{host}: nobody metered {} for {:.1} s in which a command ran", device.device, device.gap_s)
            }
            None => format!("{host}: no record has the energy of {} ({:.1} s)", device.device, device.gap_s),
        };
        warn(fact, "the totals lack it", "add the record of the process that metered it, if there is one");
    }
    clocks(summands, &mut warn);
    found
}

/// Clocks that were set, and clocks of hosts that disagree.
fn clocks(summands: &[Summand], warn: &mut impl FnMut(String, &str, &str)) {
    let mut starts: BTreeMap<&str, (f64, f64, &str)> = BTreeMap::new();
    let mut steps: BTreeMap<(&str, &str), BTreeMap<&str, f64>> = BTreeMap::new();
    for summand in summands {
        let host = summand.host.as_deref().unwrap_or_default();
        if let (Some(boot), Some(since_s)) = (&summand.boot, summand.since_boot_s) {
            let zero = summand.started_s - since_s;
            let seen = starts.entry(boot).or_insert((zero, zero, host));
            *seen = (seen.0.min(zero), seen.1.max(zero), seen.2);
        }
        if let Some(job) = &summand.job {
            let hosts = steps.entry((job, summand.step.as_deref().unwrap_or_default())).or_default();
            let first = hosts.entry(host).or_insert(summand.started_s);
            *first = first.min(summand.started_s);
        }
    }
    for (low, high, host) in starts.into_values().filter(|(low, high, _)| high - low > MOST_SET_S) {
        warn(
            format!("{host}: its clock was set by {} while it ran", time(high - low)),
            "nothing: overlaps are by the clock that nobody sets",
            "keep the clocks of hosts by NTP, so that times of records mean what they say",
        );
    }
    for ((job, _), hosts) in steps {
        let by_time = |a: &(&&str, &f64), b: &(&&str, &f64)| a.1.total_cmp(b.1);
        let (Some(first), Some(last)) = (hosts.iter().min_by(by_time), hosts.iter().max_by(by_time)) else { continue };
        if last.1 - first.1 > MOST_BETWEEN_STARTS_S {
            warn(
                format!(
                    "job {job}: the clocks of `{}` and `{}` disagree by {}, or its processes began so far apart",
                    first.0,
                    last.0,
                    time(last.1 - first.1)
                ),
                "the joules are right, as no device is on two hosts; the times of records are not",
                "keep the clocks of hosts by NTP",
            );
        }
    }
}

fn time(seconds: f64) -> String {
    if seconds < 3600.0 { format!("{:.0} min", seconds / 60.0) } else { format!("{:.1} h", seconds / 3600.0) }
}

#[cfg(test)]
mod tests {
    use super::super::read::SummandPart;
    use super::*;

    /// A record of one CPU: host, seconds from its start to that of the command, duration, joules plus or minus a tenth.
    fn record(host: &str, from_s: f64, duration_s: f64, joules: Option<f64>) -> Summand {
        let part = SummandPart {
            device: "cpu".to_owned(),
            id: Some("intel-rapl:0 package-0".to_owned()),
            is_gpu: false,
            is_modelled: false,
            energy_j: joules.map(|j| Interval { mid: j, low: 0.9 * j, high: 1.1 * j }),
            is_elsewhere: joules.is_none(),
        };
        Summand {
            host: Some(host.to_owned()),
            boot: Some(format!("boot of {host}")),
            since_boot_s: Some(from_s),
            started_s: 1000.0 + from_s,
            duration_s,
            job: Some("7".to_owned()),
            project: Some("bert".to_owned()),
            parts: vec![part],
            follows: [joules.map(|j| Interval::point(j / 3.6e6)), None, None],
            ..Summand::default()
        }
    }

    fn round(interval: Option<Interval>) -> (f64, f64, f64) {
        let Interval { mid, low, high } = interval.expect("known");
        let round = |x: f64| (x * 1000.0).round() / 1000.0;
        (round(mid), round(low), round(high))
    }

    #[test]
    fn a_meter_s_gain_is_common_to_its_records_and_meters_are_independent() {
        let records = [
            record("a", 0.0, 10.0, Some(300.0)),
            record("a", 20.0, 10.0, Some(100.0)),
            record("b", 0.0, 10.0, Some(300.0)),
        ];
        let sum = sum(&records);
        assert_eq!(round(sum.hosts[0].energy_j), (400.0, 360.0, 440.0), "one meter: ends add up");
        // 40 and 30 to either side are 50.
        assert_eq!(round(sum.total.energy_j), (700.0, 650.0, 750.0));
        assert_eq!(sum.devices[0].between_s, 10.0);
        assert_eq!((sum.gaps.len(), sum.warnings.len(), sum.counted_once_j), (0, 0, 0.0));
    }

    #[test]
    fn models_are_wrong_together() {
        let mut records = [record("a", 0.0, 10.0, Some(300.0)), record("b", 0.0, 10.0, Some(300.0))];
        for record in &mut records {
            record.parts[0].is_modelled = true;
        }
        assert_eq!(round(sum(&records).total.energy_j), (600.0, 540.0, 660.0));
    }

    #[test]
    fn what_follows_is_counted_by_the_joules_that_count() {
        let records = [record("a", 0.0, 10.0, Some(3.6e6)), record("a", 5.0, 10.0, Some(3.6e6))];
        let sum = sum(&records);
        assert_eq!(round(sum.total.energy_j).0, 5.4e6);
        assert_eq!(round(sum.total.it_energy_kwh).0, 1.5);
        assert_eq!(sum.counted_once_j, 1.8e6);
        assert_eq!(sum.total.cost_usd, None, "not known is not 0");
    }

    /// The joules of a device whose power swings by 30 % about 200 W with a period of 50 s, from one moment to another.
    fn swinging(from_s: f64, to_s: f64) -> f64 {
        let rate = std::f64::consts::TAU / 50.0;
        200.0 * (to_s - from_s) - 60.0 / rate * ((rate * to_s).cos() - (rate * from_s).cos())
    }

    #[test]
    fn two_nodes_of_two_ranks_that_all_meter_come_to_what_one_meter_reads() {
        // Ranks start and end some seconds apart, and each reads the whole node.
        let spans = [("a", 0.0, 600.0), ("a", 2.0, 603.0), ("b", 1.0, 598.0), ("b", 4.0, 604.5)];
        let records: Vec<Summand> =
            spans.iter().map(|&(host, from, to)| record(host, from, to - from, Some(swinging(from, to)))).collect();
        let sum = sum(&records);
        for (host, from, to) in [(0, 0.0, 603.0), (1, 1.0, 604.5)] {
            let (summed, one) = (round(sum.hosts[host].energy_j).0, swinging(from, to));
            assert!((summed / one - 1.0).abs() < 1e-3, "{host}: {summed} against {one}");
        }
        let job = round(sum.jobs[0].energy_j).0;
        assert!((job / (swinging(0.0, 603.0) + swinging(1.0, 604.5)) - 1.0).abs() < 1e-3, "{job}");
        assert_eq!(sum.jobs[0].records, 4);
    }

    #[test]
    fn ranks_that_left_the_meter_to_another_add_nothing_and_what_nobody_metered_is_said() {
        let all = [record("a", 0.0, 10.0, Some(500.0)), record("a", 0.5, 10.0, None), record("a", 0.1, 20.0, None)];
        let sum = sum(&all);
        assert_eq!(round(sum.total.energy_j).0, 500.0);
        assert_eq!(sum.gaps[0].stretches_s.len(), 1);
        assert!((sum.devices[0].gap_s - 10.1).abs() < 1e-9, "{:?}", sum.devices);
        assert!(sum.warnings[0].fact.contains("a: nobody metered cpu for 10.1 s"), "{:?}", sum.warnings);
        let alone = super::sum(&all[1..]);
        assert_eq!(alone.total.energy_j, None);
        assert!(alone.warnings[0].fact.contains("no record has the energy of cpu"), "{:?}", alone.warnings);
    }

    #[test]
    fn clocks_that_were_set_or_disagree_are_said_and_change_no_joule() {
        let mut records = [
            record("a", 0.0, 10.0, Some(100.0)),
            record("a", 5.0, 10.0, Some(100.0)),
            record("b", 0.0, 10.0, Some(1.0)),
        ];
        records[1].started_s += 7200.0;
        records[2].started_s -= 3.0 * 3600.0;
        let sum = sum(&records);
        assert_eq!(round(sum.hosts[0].energy_j).0, 150.0, "by the clock that nobody sets");
        let facts: Vec<&str> = sum.warnings.iter().map(|w| w.fact.as_str()).collect();
        assert_eq!(
            facts,
            [
                "a: its clock was set by 2.0 h while it ran",
                "job 7: the clocks of `b` and `a` disagree by 3.0 h, or its processes began so far apart"
            ]
        );
    }

    #[test]
    fn older_records_count_whole_and_their_gpus_by_the_clock_of_the_host() {
        let mut records = [record("a", 0.0, 10.0, Some(100.0)), record("a", 5.0, 10.0, Some(100.0))];
        for record in &mut records {
            (record.host, record.boot, record.since_boot_s) = (None, None, None);
        }
        let blind = sum(&records);
        assert_eq!(round(blind.total.energy_j).0, 200.0);
        assert!(
            blind.warnings[0].fact.starts_with("2 of 2 records do not say on which machine"),
            "{:?}",
            blind.warnings
        );
        for record in &mut records {
            (record.parts[0].is_gpu, record.parts[0].id) = (true, Some("GPU-1".to_owned()));
        }
        let seen = sum(&records);
        assert_eq!((round(seen.total.energy_j).0, seen.warnings.len()), (150.0, 0));
    }

    #[test]
    fn shares_of_commands_add_up_beside_each_other_and_are_in_a_reading_of_the_whole() {
        let mut records = [
            record("a", 0.0, 10.0, Some(30.0)),
            record("a", 0.0, 10.0, Some(40.0)),
            record("a", 5.0, 10.0, Some(200.0)),
        ];
        for record in &mut records[..2] {
            record.is_share = true;
        }
        assert_eq!(round(sum(&records[..2]).total.energy_j).0, 70.0);
        assert_eq!(round(sum(&records).total.energy_j).0, 235.0, "half of each, and the whole of the machine");
    }
}
