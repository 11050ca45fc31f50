//! How long CPUs have been busy, by `/proc/stat` (proc(5)).

use std::fs;

/// Ticks of a second in `/proc/stat` and `/proc/PID/stat`: 100 on every architecture that Linux serves (`USER_HZ`).
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Busy CPU-seconds of all CPUs of the machine.
pub(super) fn busy_of_machine() -> Option<f64> {
    busy_in(&fs::read_to_string("/proc/stat").ok()?, "cpu")
}

/// Busy CPU-seconds of some CPUs.
pub(super) fn busy_of(cpus: &[u32]) -> Option<f64> {
    busy_of_some(&fs::read_to_string("/proc/stat").ok()?, cpus)
}

fn busy_of_some(stat: &str, cpus: &[u32]) -> Option<f64> {
    cpus.iter().map(|cpu| busy_in(stat, &format!("cpu{cpu}"))).sum()
}

/// User, nice, system, interrupts. Not idle, not waiting for disks, and not what the hypervisor took; guests are
/// already counted as user.
fn busy_in(stat: &str, name: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    let fields: Vec<f64> = line.split_whitespace().map_while(|f| f.parse().ok()).collect();
    let ticks: f64 = [0, 1, 2, 5, 6].iter().filter_map(|i| fields.get(*i)).sum();
    (fields.len() >= 4).then_some(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_is_what_is_neither_idle_nor_stolen() {
        // user 100, nice 20, system 50, idle 4000, iowait 300, irq 5, softirq 25, steal 700, guest 90
        let stat = "cpu  100 20 50 4000 300 5 25 700 90 0\ncpu0 1 2 3 4\n";
        assert_eq!(busy_in(stat, "cpu"), Some(2.0));
        assert_eq!(busy_in("intr 5", "cpu"), None);
        assert_eq!(busy_in("cpu  what\n", "cpu"), None);
    }

    #[test]
    fn some_cpus_are_those_and_no_others() {
        let stat = "cpu  1 1 1 1\ncpu0 100 0 0 9\ncpu1 50 0 50 9\ncpu10 900 0 0 9\n";
        for (cpus, busy) in [(&[0][..], Some(1.0)), (&[0, 1], Some(2.0)), (&[10], Some(9.0)), (&[0, 7], None)] {
            assert_eq!(busy_of_some(stat, cpus), busy, "{cpus:?}");
        }
    }
}
