//! Wall time that trains nothing: evaluation, data, start-up, checkpoints, failures.

use super::input::Input;
use crate::stats::Distribution;

/// What is known of lost time.
#[derive(Debug, Clone, PartialEq)]
pub struct LostTime {
    /// Part of undisturbed time that trains, on one machine.
    pub productive: Input,
    /// The same on several.
    pub productive_on_several: Input,
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
    /// Bytes a second with which a machine writes its part of a checkpoint.
    pub write_bytes_per_s: Input,
}

impl LostTime {
    /// Nothing is lost: the hours are known.
    #[must_use]
    pub fn none() -> Self {
        let productive = Input::new("productive time", Distribution::Point(1.0), "1", "the hours are known");
        Self { productive_on_several: productive.clone(), productive, failures: None }
    }

    /// What is assumed of a run.
    #[must_use]
    pub fn assumed() -> Self {
        Self {
            productive: Input::new(
                "productive time",
                Distribution::Triangular(0.90, 0.97, 1.0),
                "1",
                "share of undisturbed time that trains: evaluation, data and start-up take the rest (judgement)",
            ),
            productive_on_several: Input::new(
                "productive time on several machines",
                Distribution::Triangular(0.60, 0.96, 1.0),
                "1",
                "share of the time between failures that trains: evaluation, data, start-up, and steps that are done again after an \
                 instability take the rest (0.9 of BLOOM's 1.08 million device hours are its steps of 105 s; above 0.9 is published for \
                 Llama 3; OPT-175B took 56 days for 33)",
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
                    Distribution::LogNormal(0.17, 2.5),
                    "h",
                    "10 minutes, from an automatic restart to one by hand; with 466 interruptions in 54 days, Llama 3 405B lost less than \
                     a tenth of its time (arXiv 2407.21783, section 3.3.4)",
                ),
                write_bytes_per_s: Input::new(
                    "speed of writing checkpoints",
                    Distribution::Triangular(0.3e9, 1.0e9, 3.0e9),
                    "B/s",
                    "of a machine, each of which writes its part: Llama 3's storage takes 2 TB/s for 3000 machines, 7 at most (arXiv \
                     2407.21783, section 3.3.1); range by judgement",
                ),
            }),
        }
    }

    /// The part of undisturbed time that trains, on so many machines.
    #[must_use]
    pub fn productive_on(&self, n_machines: u32) -> &Input {
        if n_machines > 1 { &self.productive_on_several } else { &self.productive }
    }

    /// Every input.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        let failures = self.failures.iter().flat_map(|f| [&f.between_h, &f.restart_h, &f.write_bytes_per_s]);
        [&self.productive, &self.productive_on_several].into_iter().chain(failures)
    }
}
