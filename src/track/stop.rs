//! Ending a command that has done enough: as a person would, and without cutting off what it writes.

use super::forward::{Wish, wish};

/// Seconds that a command has after SIGINT to write what it wants to keep, before SIGTERM.
const AFTER_INTERRUPT_S: f64 = 30.0;
/// Seconds after SIGTERM until it is said that it goes on.
const AFTER_TERMINATE_S: f64 = 60.0;

/// How far the ending of a command has come.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    interrupted_s: Option<f64>,
    terminated_s: Option<f64>,
    said: bool,
}

impl Stopping {
    /// Takes the next step where it is time for it, and says what is to be said of it.
    pub(super) fn go_on(&mut self, pid: u32, at_s: f64) -> Option<&'static str> {
        match (self.interrupted_s, self.terminated_s) {
            (None, _) => {
                self.interrupted_s = Some(at_s);
                wish(pid, Wish::Interrupt);
                Some("forecast: enough was seen, the command is asked to end (SIGINT)")
            }
            (Some(then), None) if at_s - then >= AFTER_INTERRUPT_S => {
                self.terminated_s = Some(at_s);
                wish(pid, Wish::Terminate);
                Some("forecast: the command goes on after SIGINT, and is asked again (SIGTERM)")
            }
            (_, Some(then)) if at_s - then >= AFTER_TERMINATE_S && !self.said => {
                self.said = true;
                Some("forecast: the command ignores SIGINT and SIGTERM: end it yourself, or wait until it ends")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_asked_twice_and_then_left_alone() {
        // Nobody has this number.
        let mut stopping = Stopping::default();
        let said: Vec<bool> =
            [10.0, 11.0, 39.9, 40.0, 60.0, 100.0, 101.0].map(|at_s| stopping.go_on(u32::MAX, at_s).is_some()).to_vec();
        assert_eq!(said, [true, false, false, true, false, true, false]);
    }
}
