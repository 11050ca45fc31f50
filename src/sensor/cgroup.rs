//! What this program may use of its host: by its control groups (version 2, and version 1), and by the CPUs that it may
//! run on.

use std::fs;
use std::path::{Path, PathBuf};

use super::proc_stat::busy_of;

/// Where control groups are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Version 1 writes about 2^63 where there is no limit.
const NO_LIMIT: u64 = 1 << 60;

/// What this process may use, and the file that counts what it has used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CgroupLimits {
    /// CPUs, in whole or in part.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of memory that are left: what the kernel can take back from its caches counts as left.
    pub memory_left: Option<u64>,
    /// Where the CPU time of the group that is limited is counted.
    pub usage: Option<UsageFile>,
    /// `cpu.stat` of the group whose CPUs are limited.
    pub statistics: Option<PathBuf>,
}

/// A counter of CPU time.
#[derive(Debug, Clone, PartialEq)]
pub enum UsageFile {
    /// `cpu.stat` of version 2, whose `usage_usec` counts microseconds.
    Stat(PathBuf),
    /// `cpuacct.usage` of version 1, in nanoseconds.
    Nanoseconds(PathBuf),
    /// These CPUs of the machine.
    Cpus(Vec<u32>),
}

/// The limits of this process.
#[must_use]
pub fn cgroup_limits() -> CgroupLimits {
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let status = text("/proc/self/status");
    let allowed = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let cpus = Cpus { online: list(&text("/sys/devices/system/cpu/online")), allowed: list(allowed) };
    limits(Path::new(ROOT), &text("/proc/self/cgroup"), &cpus)
}

/// CPUs of the machine by number; what is not known is empty.
#[derive(Debug, Clone, Default)]
struct Cpus {
    online: Vec<u32>,
    /// Those that this process may run on (`taskset`, Slurm).
    allowed: Vec<u32>,
}

impl Cpus {
    /// A set of CPUs that leaves some out: `None` if it leaves none.
    fn part(&self, mut set: Vec<u32>) -> Option<Vec<u32>> {
        set.retain(|cpu| self.online.is_empty() || self.online.contains(cpu));
        (!set.is_empty() && (self.online.is_empty() || set.len() < self.online.len())).then_some(set)
    }
}

/// A hierarchy of control groups that one or more controllers share.
struct Hierarchy<'a> {
    controllers: &'a str,
    /// The group of the process.
    path: &'a str,
}

impl Hierarchy<'_> {
    fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|c| c == controller)
    }

    /// Where it is mounted, if it has this controller.
    fn mount(&self, root: &Path, controller: &str) -> Option<PathBuf> {
        let names = [self.controllers, controller];
        names.map(|c| root.join(c)).into_iter().find(|m| self.has(controller) && m.is_dir())
    }
}

/// The tightest limits from the group of the process up to the root. `own` is the text of `/proc/self/cgroup`: lines of
/// `number:controllers:path`, with no controllers in version 2.
fn limits(root: &Path, own: &str, cpus: &Cpus) -> CgroupLimits {
    let mut limits = CgroupLimits::default();
    let hierarchy = |line| {
        let mut parts = str::splitn(line, 3, ':').skip(1);
        Some(Hierarchy { controllers: parts.next()?, path: parts.next()? })
    };
    let all: Vec<Hierarchy> = own.lines().filter_map(hierarchy).collect();
    // Version 1 counts CPU time in a hierarchy that may not be the one that limits it.
    let usage = |limiting: &Path| {
        let (mount, path) = all.iter().find_map(|h| Some((h.mount(root, "cpuacct")?, h.path)))?;
        let group = mount.join(limiting);
        let group = if group.is_dir() { group } else { own_group(&mount, path) };
        Some(UsageFile::Nanoseconds(group.join("cpuacct.usage"))).filter(|u| u.cpu_seconds().is_some())
    };
    for hierarchy in &all {
        let path = hierarchy.path;
        if hierarchy.controllers.is_empty() {
            up(root, path, |group, _| limits.version_2(group, cpus));
        }
        if let Some(mount) = hierarchy.mount(root, "cpu") {
            up(&mount, path, |group, within| limits.quota_1(group, usage(within)));
        }
        if let Some(mount) = hierarchy.mount(root, "cpuset") {
            up(&mount, path, |group, within| {
                let set = set_of(group, ["cpuset.effective_cpus", "cpuset.cpus"]);
                if let Some(set) = cpus.part(set) {
                    limits.fewer_cpus(set.len() as f64, usage(within).unwrap_or(UsageFile::Cpus(set)), None);
                }
            });
        }
        if let Some(mount) = hierarchy.mount(root, "memory") {
            up(&mount, path, |group, _| limits.less_memory(group, ["memory.limit_in_bytes", "memory.usage_in_bytes"]));
        }
    }
    if let Some(set) = cpus.part(cpus.allowed.clone())
        && limits.cpus.is_none_or(|least| (set.len() as f64) < least)
    {
        limits.fewer_cpus(set.len() as f64, UsageFile::Cpus(set), None);
    }
    limits
}

/// The CPUs of a group: by the first of the files that holds some.
fn set_of(group: &Path, files: [&str; 2]) -> Vec<u32> {
    let sets = files.into_iter().map(|file| list(&fs::read_to_string(group.join(file)).unwrap_or_default()));
    sets.into_iter().find(|set| !set.is_empty()).unwrap_or_default()
}

/// The folder of a group. Inside a container it is often mounted as the root.
fn own_group(mount: &Path, path: &str) -> PathBuf {
    let group = mount.join(path.trim_start_matches('/'));
    if group.starts_with(mount) && group.is_dir() { group } else { mount.to_owned() }
}

/// Calls `visit` with the group and all groups above it, and where each lies below the mount.
fn up(mount: &Path, path: &str, mut visit: impl FnMut(&Path, &Path)) {
    let group = own_group(mount, path);
    for above in group.ancestors() {
        let Ok(within) = above.strip_prefix(mount) else { break };
        visit(above, within);
    }
}

impl CgroupLimits {
    fn version_2(&mut self, group: &Path, cpus: &Cpus) {
        let quota = fs::read_to_string(group.join("cpu.max")).ok().and_then(|max| {
            let (quota, period) = max.trim().split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        });
        let (usage, statistics) = (UsageFile::Stat(group.join("cpu.stat")), group.join("cpu.stat"));
        if let Some(quota) = quota {
            self.fewer_cpus(quota, usage.clone(), Some(statistics));
        }
        if let Some(set) = cpus.part(set_of(group, ["cpuset.cpus.effective", "cpuset.cpus"])) {
            let usage = if usage.cpu_seconds().is_some() { usage } else { UsageFile::Cpus(set.clone()) };
            self.fewer_cpus(set.len() as f64, usage, None);
        }
        self.less_memory(group, ["memory.max", "memory.current"]);
    }

    fn quota_1(&mut self, group: &Path, usage: Option<UsageFile>) {
        // Unlimited is -1, which is no number here.
        let quota = number(&group.join("cpu.cfs_quota_us"));
        if let (Some(quota), Some(period)) = (quota, number(&group.join("cpu.cfs_period_us"))) {
            let usage = usage.unwrap_or_else(|| UsageFile::Nanoseconds(group.join("cpuacct.usage")));
            self.fewer_cpus(quota as f64 / period as f64, usage, Some(group.join("cpu.stat")));
        }
    }

    /// Of limits that are alike the outermost holds: it is the one that others share. `statistics` of a quota say when it
    /// held the group back.
    fn fewer_cpus(&mut self, cpus: f64, usage: UsageFile, statistics: Option<PathBuf>) {
        if cpus.is_finite() && cpus > 0.0 && self.cpus.is_none_or(|least| cpus <= least) {
            self.cpus = Some(cpus);
            self.usage = Some(usage);
            self.statistics = statistics.or(self.statistics.take());
        }
    }

    fn less_memory(&mut self, group: &Path, [limit, usage]: [&str; 2]) {
        let Some(bytes) = number(&group.join(limit)).filter(|b| *b < NO_LIMIT) else { return };
        let used = number(&group.join(usage)).unwrap_or(0).saturating_sub(caches(group));
        self.memory_bytes = self.memory_bytes.into_iter().chain([bytes]).min();
        self.memory_left = self.memory_left.into_iter().chain([bytes.saturating_sub(used)]).min();
    }

    /// Seconds for which the group was held back by its limit of CPUs so far; `None` if it has none.
    #[must_use]
    pub fn throttled_s(&self) -> Option<f64> {
        let text = fs::read_to_string(self.statistics.as_ref()?).ok()?;
        let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse::<u64>().ok();
        // Version 2 counts microseconds, version 1 nanoseconds.
        of("throttled_usec ").map(|us| us as f64 / 1e6).or(of("throttled_time ").map(|ns| ns as f64 / 1e9))
    }
}

impl UsageFile {
    /// Seconds of CPU time used by the group so far.
    #[must_use]
    pub fn cpu_seconds(&self) -> Option<f64> {
        match self {
            Self::Stat(file) => {
                let text = fs::read_to_string(file).ok()?;
                let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                Some(used.trim().parse::<u64>().ok()? as f64 / 1e6)
            }
            Self::Nanoseconds(file) => Some(number(file)? as f64 / 1e9),
            Self::Cpus(cpus) => busy_of(cpus),
        }
    }
}

/// Bytes of files that the kernel keeps in memory for a group and all below it: version 2 adds up by itself.
fn caches(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let of = |keys: [&str; 2]| {
        let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        keys.into_iter().filter_map(line).sum::<u64>()
    };
    let all = of(["total_inactive_file ", "total_active_file "]);
    if all > 0 { all } else { of(["inactive_file ", "active_file "]) }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The CPUs of a list such as `0-3,8`; none of one that is not understood.
fn list(text: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        // No machine has more, and a file may hold anything.
        (from <= to && to < 1 << 16).then_some(from..=to)
    };
    let ranges: Option<Vec<_>> = text.trim().split(',').filter(|r| !r.is_empty()).map(range).collect();
    let mut cpus: Vec<u32> = ranges.into_iter().flatten().flatten().collect();
    cpus.sort_unstable();
    cpus.dedup();
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("below the root")).expect("new");
            fs::write(path, text).expect("writable");
        }
        root
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_holds() {
        let root = tree(&[
            ("pod/cpu.max", "150000 100000\n"),
            ("pod/cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nthrottled_usec 250000\n"),
            ("pod/memory.max", "max\n"),
            ("pod/box/cpu.max", "max 100000\n"),
            ("pod/box/cpuset.cpus", "0-3,8\n"),
            ("pod/box/memory.max", "8000000000\n"),
            ("pod/box/memory.current", "5000000000\n"),
            ("pod/box/memory.stat", "anon 2\ninactive_file 1000000000\nactive_file 500000000\n"),
            ("other/cpu.max", "1000 100000\n"),
        ]);
        let limits = limits(root.path(), "0::/pod/box\n", &Cpus::default());
        assert_eq!(limits.cpus, Some(1.5));
        assert_eq!((limits.memory_bytes, limits.memory_left), (Some(8_000_000_000), Some(4_500_000_000)));
        assert_eq!(limits.throttled_s(), Some(0.25));
        assert_eq!(limits.usage.expect("counted").cpu_seconds(), Some(2.5));
    }

    #[test]
    fn version_1_is_read_from_its_own_folders() {
        let root = tree(&[
            ("cpu,cpuacct/docker/x/cpu.cfs_quota_us", "50000\n"),
            ("cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n"),
            ("cpu,cpuacct/docker/x/cpuacct.usage", "3000000000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/docker/x/memory.limit_in_bytes", "4000000000\n"),
            ("memory/docker/x/memory.usage_in_bytes", "3000000000\n"),
            ("memory/docker/x/memory.stat", "inactive_file 1\ntotal_inactive_file 200000000\ntotal_active_file 1\n"),
            ("cpu,cpuacct/docker/x/cpu.stat", "nr_throttled 3\nthrottled_time 1500000000\n"),
        ]);
        let limits = limits(root.path(), "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n", &Cpus::default());
        assert_eq!((limits.cpus, limits.memory_bytes), (Some(0.5), Some(4_000_000_000)));
        assert_eq!((limits.memory_left, limits.throttled_s()), (Some(1_200_000_001), Some(1.5)));
        assert_eq!(limits.usage.expect("counted").cpu_seconds(), Some(3.0));
    }

    #[test]
    fn a_group_mounted_as_the_root_of_a_container_is_found_there() {
        let root = tree(&[("cpu.max", "200000 100000"), ("memory.max", "1000000000")]);
        let limits = limits(root.path(), "0::/kubepods/unseen/from/here\n", &Cpus::default());
        assert_eq!((limits.cpus, limits.memory_bytes), (Some(2.0), Some(1_000_000_000)));
    }

    #[test]
    fn without_limits_there_are_none() {
        let root = tree(&[
            ("cpu.max", "max 100000"),
            ("cpu/cpu.cfs_quota_us", "-1"),
            ("cpu/cpu.cfs_period_us", "100000"),
            ("memory.max", "max"),
        ]);
        assert_eq!(limits(root.path(), "1:cpu:/\n0::/\n", &Cpus::default()), CgroupLimits::default());
        assert_eq!(limits(Path::new("/nowhere"), "", &Cpus::default()), CgroupLimits::default());
        assert_eq!(limits(root.path(), "0::/../../etc\n", &Cpus::default()), CgroupLimits::default());
        for (text, cpus) in
            [("7", &[7][..]), ("0-1,4-5\n", &[0, 1, 4, 5]), ("0,0-1", &[0, 1]), ("3-1", &[]), ("a", &[]), ("", &[])]
        {
            assert_eq!(list(text), cpus, "{text}");
        }
    }

    fn machine(online: &str, allowed: &str) -> Cpus {
        Cpus { online: list(online), allowed: list(allowed) }
    }

    #[test]
    fn a_set_of_cpus_is_a_limit_whoever_sets_it_and_only_if_it_leaves_some_out() {
        let version_1 = "3:cpuset:/job\n2:cpuacct:/job\n";
        for (what, files, own, allowed, cpus) in [
            ("v1", &[("cpuset/job/cpuset.cpus", "0-2")][..], version_1, "0-7", Some(3.0)),
            (
                "v1, effective",
                &[("cpuset/job/cpuset.cpus", "0-2"), ("cpuset/job/cpuset.effective_cpus", "1")],
                version_1,
                "0-7",
                Some(1.0),
            ),
            (
                "v1, above",
                &[("cpuset/cpuset.cpus", "0,4"), ("cpuset/job/cpuset.cpus", "")],
                version_1,
                "0-7",
                Some(2.0),
            ),
            ("v1, all", &[("cpuset/job/cpuset.cpus", "0-7")], version_1, "0-7", None),
            ("v1, more than are online", &[("cpuset/job/cpuset.cpus", "0-127")], version_1, "0-7", None),
            ("v2", &[("job/cpuset.cpus", "2-3")], "0::/job", "0-7", Some(2.0)),
            (
                "v2, effective",
                &[("job/cpuset.cpus", ""), ("job/cpuset.cpus.effective", "2-6")],
                "0::/job",
                "0-7",
                Some(5.0),
            ),
            ("affinity", &[], "0::/", "5", Some(1.0)),
            ("affinity to all", &[], "0::/", "0-7", None),
            ("affinity within a set", &[("job/cpuset.cpus", "2-4")], "0::/job", "3", Some(1.0)),
            ("affinity not known", &[], "", "", None),
        ] {
            let root = tree(files);
            assert_eq!(limits(root.path(), own, &machine("0-7", allowed)).cpus, cpus, "{what}");
        }
    }

    #[test]
    fn cpu_time_is_that_of_what_is_limited_wherever_it_is_counted() {
        let quota = [("cpu/job/cpu.cfs_quota_us", "50000"), ("cpu/job/cpu.cfs_period_us", "100000")];
        let apart = "4:cpu:/job\n5:cpuacct:/job\n";
        for (what, count, own, seconds) in [
            ("apart, the same group", Some("cpuacct/job/cpuacct.usage"), apart, Some(3.0)),
            ("apart, mounted as the root", Some("cpuacct/cpuacct.usage"), apart, Some(3.0)),
            ("in the same folder", Some("cpu/job/cpuacct.usage"), "4:cpu:/job", Some(3.0)),
            ("nowhere", None, apart, None),
        ] {
            let mut files = quota.to_vec();
            files.extend(count.map(|file| (file, "3000000000")));
            let root = tree(&files);
            let limits = limits(root.path(), own, &machine("0-7", "0-7"));
            assert_eq!(limits.cpus, Some(0.5), "{what}");
            assert_eq!(limits.usage.expect("a file").cpu_seconds(), seconds, "{what}");
        }
        let root = tree(&[("cpuset/cpuset.cpus", "4-5")]);
        let limits = limits(root.path(), "3:cpuset:/\n", &machine("0-7", "0-7"));
        assert_eq!(limits.usage, Some(UsageFile::Cpus(vec![4, 5])));
    }
}
