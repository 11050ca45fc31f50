//! What a container may use of its host, from the files of its control groups (version 2, and version 1).

use std::fs;
use std::path::{Path, PathBuf};

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
}

/// The limits of this process.
#[must_use]
pub fn cgroup_limits() -> CgroupLimits {
    limits(Path::new(ROOT), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

/// The tightest limits from the group of the process up to the root. `own` is the text of `/proc/self/cgroup`: lines of
/// `number:controllers:path`, with no controllers in version 2.
fn limits(root: &Path, own: &str) -> CgroupLimits {
    let mut limits = CgroupLimits::default();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mount = |controller: &str| {
            let has = controllers.split(',').any(|c| c == controller);
            [controllers, controller].map(|c| root.join(c)).into_iter().find(|m| has && m.is_dir())
        };
        if controllers.is_empty() {
            up(root, path, |group| limits.version_2(group));
        }
        if let Some(mount) = mount("cpu") {
            up(&mount, path, |group| limits.quota_1(group));
        }
        if let Some(mount) = mount("memory") {
            up(&mount, path, |group| limits.less_memory(group, ["memory.limit_in_bytes", "memory.usage_in_bytes"]));
        }
    }
    limits
}

/// Calls `visit` with the group and all groups above it. Inside a container the group is often mounted as the root.
fn up(mount: &Path, path: &str, mut visit: impl FnMut(&Path)) {
    let group = mount.join(path.trim_start_matches('/'));
    let group = if group.starts_with(mount) && group.is_dir() { group } else { mount.to_owned() };
    for above in group.ancestors().take_while(|a| a.starts_with(mount)) {
        visit(above);
    }
}

impl CgroupLimits {
    fn version_2(&mut self, group: &Path) {
        let text = |file: &str| fs::read_to_string(group.join(file)).ok();
        let quota = text("cpu.max").and_then(|max| {
            let (quota, period) = max.trim().split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
        });
        let set = text("cpuset.cpus").and_then(|cpus| count(&cpus));
        let usage = UsageFile::Stat(group.join("cpu.stat"));
        for cpus in [quota, set].into_iter().flatten() {
            self.fewer_cpus(cpus, usage.clone(), group);
        }
        self.less_memory(group, ["memory.max", "memory.current"]);
    }

    fn quota_1(&mut self, group: &Path) {
        // Unlimited is -1, which is no number here.
        let quota = number(&group.join("cpu.cfs_quota_us"));
        if let (Some(quota), Some(period)) = (quota, number(&group.join("cpu.cfs_period_us"))) {
            let usage = UsageFile::Nanoseconds(group.join("cpuacct.usage"));
            self.fewer_cpus(quota as f64 / period as f64, usage, group);
        }
    }

    fn fewer_cpus(&mut self, cpus: f64, usage: UsageFile, group: &Path) {
        if cpus.is_finite() && cpus > 0.0 && self.cpus.is_none_or(|least| cpus < least) {
            self.cpus = Some(cpus);
            self.usage = Some(usage);
            self.statistics = Some(group.join("cpu.stat"));
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

/// CPUs in a list such as `0-3,8`.
fn count(list: &str) -> Option<f64> {
    let mut cpus = 0.0;
    for range in list.trim().split(',').filter(|r| !r.is_empty()) {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        cpus += f64::from(to.checked_sub(from)?) + 1.0;
    }
    (cpus > 0.0).then_some(cpus)
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
        let limits = limits(root.path(), "0::/pod/box\n");
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
        let limits = limits(root.path(), "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n");
        assert_eq!((limits.cpus, limits.memory_bytes), (Some(0.5), Some(4_000_000_000)));
        assert_eq!((limits.memory_left, limits.throttled_s()), (Some(1_200_000_001), Some(1.5)));
        assert_eq!(limits.usage.expect("counted").cpu_seconds(), Some(3.0));
    }

    #[test]
    fn a_group_mounted_as_the_root_of_a_container_is_found_there() {
        let root = tree(&[("cpu.max", "200000 100000"), ("memory.max", "1000000000")]);
        let limits = limits(root.path(), "0::/kubepods/unseen/from/here\n");
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
        assert_eq!(limits(root.path(), "1:cpu:/\n0::/\n"), CgroupLimits::default());
        assert_eq!(limits(Path::new("/nowhere"), ""), CgroupLimits::default());
        assert_eq!(limits(root.path(), "0::/../../etc\n"), CgroupLimits::default());
        assert_eq!([count("7"), count("0-1,4-5"), count("3-1"), count("a")], [Some(1.0), Some(4.0), None, None]);
    }
}
