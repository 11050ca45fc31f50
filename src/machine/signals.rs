//! Signals that this program takes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;
use signal_hook::iterator::Signals;

/// Takes `wanted` signals from now on. Those that were ignored from the start (`nohup`) stay ignored.
pub(crate) fn caught(wanted: &[i32]) -> std::io::Result<Signals> {
    let ignored = fs::read_to_string("/proc/self/status").ok().and_then(|s| ignored_signals(&s)).unwrap_or(0);
    Signals::new(wanted.iter().copied().filter(|n| ignored & (1 << (n - 1)) == 0))
}

/// Lets a write beyond a limit of file size fail with an error. Otherwise the system kills the program for it, which then
/// says nothing.
///
/// # Errors
/// If the system lets the signal not be caught.
pub fn survive_file_limits() -> std::io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
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
