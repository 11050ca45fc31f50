//! Memory that is left.

use sysinfo::System;

/// Memory that can still be had, in bytes: the machine's, or what a control group leaves.
pub(super) fn available_bytes() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.available_memory();
    system.cgroup_limits().map_or(machine, |limits| machine.min(limits.free_memory))
}
