//! Work that is asked to stop: Ctrl-C, `kill`, a terminal that closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// Whether a signal has asked for the end.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    signal: Arc<AtomicI32>,
}

impl Stop {
    /// Never asks.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// Asks from the first SIGINT, SIGTERM or SIGHUP on, and so for the rest of the program, and calls `at_first` with it. A second
    /// one, or work that has not ended after `patience`, calls `at_once` with the signal and ends the program.
    ///
    /// # Errors
    /// If the system lets no signal be caught.
    #[cfg(unix)]
    pub fn on_signals(
        patience: Duration,
        at_first: impl FnOnce(i32) + Send + 'static,
        at_once: impl FnOnce(i32) + Send + 'static,
    ) -> std::io::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let stop = Self::default();
        let mut signals = super::caught(&[SIGINT, SIGTERM, SIGHUP])?;
        let asked = stop.signal.clone();
        let waiting = std::thread::Builder::new().name("stop".to_owned()).spawn(move || {
            let Some(signal) = signals.forever().next() else { return };
            asked.store(signal, Ordering::SeqCst);
            at_first(signal);
            let asked_at = Instant::now();
            while asked_at.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(50));
                if signals.pending().next().is_some() {
                    break;
                }
            }
            at_once(signal);
            std::process::exit(exit_code(signal));
        });
        waiting.map(|_| stop)
    }

    /// Asks for the end, as a signal would.
    pub fn ask(&self, signal: i32) {
        self.signal.store(signal, Ordering::SeqCst);
    }

    /// The signal that has asked for the end, if one has.
    #[must_use]
    pub fn asked(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

/// What a shell says of a command that a signal ended.
#[must_use]
pub fn exit_code(signal: i32) -> i32 {
    128 + signal
}

/// The name of a signal that asks for the end.
#[must_use]
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP",
        2 => "Ctrl-C",
        15 => "SIGTERM",
        _ => "a signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_on_until_it_is_asked_to_stop() {
        let stop = Stop::never();
        assert_eq!(stop.asked(), None);
        stop.clone().ask(15);
        assert_eq!((stop.asked(), signal_name(15), exit_code(2)), (Some(15), "SIGTERM", 130));
    }
}
