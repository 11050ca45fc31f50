//! Memory of this process and of the machine.

use std::fs;

use sysinfo::System;

/// Starts a new maximum of the resident memory of this process (Linux: `/proc/self/clear_refs`, value 5).
/// False where the system has no such thing.
pub(super) fn reset_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The most memory that this process has had resident since the last reset, in bytes.
pub(super) fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// The memory that this process has resident, in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// Memory that can still be had, in bytes: the machine's, or what a control group leaves.
pub(super) fn available_bytes() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.available_memory();
    system.cgroup_limits().map_or(machine, |limits| machine.min(limits.free_memory))
}

fn status(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
