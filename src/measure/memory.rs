//! Memory that is left.

use std::fs;

use sysinfo::System;

use crate::sensor::cgroup_limits;

/// Memory that can still be had, and what sets its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Available {
    pub(super) bytes: u64,
    /// `the machine has`, `its control group leaves`, ...
    pub(super) whose: &'static str,
}

/// The least of what the machine has, what the control group leaves, and what the process may map.
pub(super) fn available() -> Available {
    let mut system = System::new();
    system.refresh_memory();
    let mapped = fs::read_to_string("/proc/self/limits").ok().zip(fs::read_to_string("/proc/self/status").ok());
    [
        (Some(system.available_memory()), "the machine has"),
        (cgroup_limits().memory_left, "its control group leaves"),
        (mapped.and_then(|(limits, status)| mappable(&limits, &status)), "its address space has room for"),
    ]
    .into_iter()
    .filter_map(|(bytes, whose)| Some(Available { bytes: bytes?, whose }))
    .min_by_key(|a| a.bytes)
    .unwrap_or(Available { bytes: u64::MAX, whose: "the machine has" })
}

/// What is left of the address space (`ulimit -v`), from the files `limits` and `status` of the process; `None` if it is
/// not limited.
fn mappable(limits: &str, status: &str) -> Option<u64> {
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = limit.split_whitespace().next()?.parse().ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = size.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(kib.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_space_that_is_left_is_its_limit_less_its_size() {
        let status = "Name:\tx\nVmSize:\t    1000 kB\n";
        let limits = |limit: &str| format!("Limit   Soft Limit\nMax address space         {limit}     bytes\n");
        assert_eq!(mappable(&limits("2048000              unlimited"), status), Some(1_024_000));
        assert_eq!(mappable(&limits("1000              unlimited"), status), Some(0));
        assert_eq!(mappable(&limits("unlimited            unlimited"), status), None);
    }
}
