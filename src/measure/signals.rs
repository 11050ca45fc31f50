//! Signals that this program takes.

use std::fs;

use signal_hook::iterator::Signals;

/// Takes `wanted` signals from now on. Those that were ignored from the start (`nohup`) stay ignored.
pub(super) fn caught(wanted: &[i32]) -> std::io::Result<Signals> {
    let ignored = fs::read_to_string("/proc/self/status").ok().and_then(|s| ignored_signals(&s)).unwrap_or(0);
    Signals::new(wanted.iter().copied().filter(|n| ignored & (1 << (n - 1)) == 0))
}

/// The `SigIgn` line of `/proc/self/status`: bit n - 1 is signal n.
fn ignored_signals(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_nohup_ignores_is_bit_0() {
        assert_eq!(ignored_signals("SigBlk:\t0\nSigIgn:\t0000000000001001\n"), Some(0x1001));
        assert_eq!(ignored_signals("SigBlk:\t0\n"), None);
    }
}
