//! Wall time that trains nothing: evaluation, data, start-up, checkpoints, failures.

use super::input::Input;
use crate::stats::Distribution;

/// What is known of lost time.
#[derive(Debug, Clone, PartialEq)]
pub struct LostTime {
    /// Part of undisturbed time that trains.
    pub productive: Input,
    /// Failures and what they cost; `None` where the hours are known.
    pub failures: Option<Failures>,
}

/// Failures of devices, and checkpoints against them.
#[derive(Debug, Clone, PartialEq)]
pub struct Failures {
    /// Hours between failures of one device.
    pub between_h: Input,
    /// Hours from a failure to training again.
    pub restart_h: Input,
    /// Bytes a second that a checkpoint is written with.
    pub write_bytes_per_s: Input,
}

impl LostTime {
    /// Nothing is lost: the hours are known.
    #[must_use]
    pub fn none() -> Self {
        let productive = Input::new("productive time", Distribution::Point(1.0), "1", "the hours are known");
        Self { productive, failures: None }
    }

    /// What is assumed of a run.
    #[must_use]
    pub fn assumed() -> Self {
        Self {
            productive: Input::new(
                "productive time",
                Distribution::Triangular(0.90, 0.97, 1.0),
                "1",
                "share of undisturbed time that trains: evaluation, data and start-up take the rest (judgement; goodput \
                 above 0.9 is published for Llama 3)",
            ),
            failures: Some(Failures {
                between_h: Input::new(
                    "hours between failures of a device",
                    Distribution::LogNormal(50_700.0, 2.0),
                    "h",
                    "419 interruptions in 54 days on 16 384 H100 (Llama 3); spread by judgement",
                ),
                restart_h: Input::new(
                    "restart after a failure",
                    Distribution::Triangular(0.05, 0.25, 1.0),
                    "h",
                    "judgement: from an automatic restart to one by hand",
                ),
                write_bytes_per_s: Input::new(
                    "speed of writing checkpoints",
                    Distribution::Triangular(0.3e9, 1.0e9, 3.0e9),
                    "B/s",
                    "judgement: from network storage to a local drive",
                ),
            }),
        }
    }

    /// Every input.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        let failures = self.failures.iter().flat_map(|f| [&f.between_h, &f.restart_h, &f.write_bytes_per_s]);
        std::iter::once(&self.productive).chain(failures)
    }
}
