//! How long a task may take: what its job is given.

use super::{Campaign, CampaignError, Machine, Task};
use crate::catalog::{AttentionUse, Catalog, Device, Software, SoftwareClass};
use crate::estimate::model::{DeviceFigures, Efficiency, Work};
use crate::measure::{Longest, Point, longest};
use crate::model::Arch;
use crate::record::{Pass, Settings};

/// No job is given less.
const LEAST_S: u64 = 300;
/// Limits are whole multiples of this, so that tasks that take about as long are one job array.
const STEP_S: f64 = 300.0;
/// A job is given so much more than its cells should take: a modelled step time may be wrong, and a node may be busy.
const ALLOWANCE: f64 = 1.5;
/// Slurm counts in minutes, and tells a task to end up to two of them before its time is over.
const ENDING_S: f64 = 120.0;
/// Parts of a step that are its forward pass.
const FORWARD_SHARE: f64 = 1.0 / 3.0;

/// The time limit of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// What the job is given, in whole seconds.
    pub seconds: u64,
    /// What the cells should take at the most.
    pub longest: Longest,
    /// Where the step times come from.
    pub from: String,
}

impl Limit {
    /// The limit of a task, by the steps of its cells on the hardware that the plan names.
    ///
    /// # Errors
    /// If a name of the catalog is not known.
    pub fn of(campaign: &Campaign, task: &Task, catalog: &Catalog) -> Result<Self, CampaignError> {
        let machine = campaign.machine(&task.machine)?;
        let device: Option<Device> = machine.hardware.as_deref().map(|name| catalog.load(name)).transpose()?;
        let plan = campaign.plan_of_task(task, machine.is_cpu())?;
        let step_s = |point: &Point| device.as_ref().and_then(|device| modelled_s(device, &plan.settings, point));
        let longest = longest(&plan, machine.is_cpu(), step_s);
        let from = source(machine, device.as_ref(), &longest, plan.points.len());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a job")]
        let seconds = (((ALLOWANCE * longest.total_s() + ENDING_S) / STEP_S).ceil() * STEP_S) as u64;
        Ok(Self { seconds: seconds.max(LEAST_S), longest, from })
    }

    /// Where it comes from, for people.
    #[must_use]
    pub fn explained(&self) -> String {
        let Longest { beginning_s, measured_s, beside_s, .. } = self.longest;
        format!(
            "at most {measured_s:.0} s of steps, {beside_s:.0} s beside them and {beginning_s:.0} s before the first, times {ALLOWANCE}, \
             and {ENDING_S:.0} s to end in, in steps of {:.0} min; {}",
            STEP_S / 60.0,
            self.from
        )
    }

    /// As Slurm has it: `D-HH:MM:SS`.
    #[must_use]
    pub fn slurm(&self) -> String {
        let (s, m, h) = (self.seconds % 60, self.seconds / 60 % 60, self.seconds / 3600 % 24);
        match self.seconds / 86_400 {
            0 => format!("{h:02}:{m:02}:{s:02}"),
            days => format!("{days}-{h:02}:{m:02}:{s:02}"),
        }
    }
}

fn source(machine: &Machine, device: Option<&Device>, longest: &Longest, cells: usize) -> String {
    match (device, longest.unknown_steps) {
        (Some(device), 0) => format!("step times are modelled for {}", device.name),
        (Some(device), unknown) => format!(
            "of {unknown} of {cells} cells the step time on {} cannot be modelled, and they count with their `max_time`",
            device.name
        ),
        (None, _) => format!("`{}` names no `hardware`, and every cell counts with its `max_time`", machine.name),
    }
}

/// Seconds of a step by the model of `estimate`; `None` where it lacks a figure of the device. The slowest class of software is taken:
/// a limit that is too long costs less than one that is too short.
fn modelled_s(device: &Device, settings: &Settings, point: &Point) -> Option<f64> {
    let figures = DeviceFigures::of(device, point.dtype).ok()?;
    let software = Software { class: SoftwareClass::Eager, attention: AttentionUse::Composed };
    let of = |arch: Arch| Work::new(&point.config(settings), arch, point.shape(settings), point.dtype, software);
    let time = Efficiency::embedded().step(&figures, &of(point.arch.at_length(point.seq_len)));
    let seconds = match point.pass {
        Pass::Train => time.pass() + time.optimizer,
        Pass::Infer => time.pass() * FORWARD_SHARE,
    };
    (seconds.is_finite() && seconds > 0.0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::super::resolved::tests::{PLAN, resolved};
    use super::*;

    fn limit(text: &str, task: usize) -> Limit {
        let campaign = resolved(text).expect("valid");
        Limit::of(&campaign, &campaign.tasks[task], &Catalog::default()).expect("known")
    }

    #[test]
    fn where_nothing_is_known_cells_count_with_their_longest() {
        // The last task is of a CPU: 3 cells of 20 s and 10 s beside each; 30, 10, 20 and 20 s before them; times 1.5 is 255 s, with 120 s to end in.
        let cpu = limit(PLAN, 4);
        assert_eq!((cpu.longest.measured_s, cpu.longest.beside_s, cpu.longest.beginning_s), (60.0, 30.0, 80.0));
        assert_eq!((cpu.seconds, cpu.slurm()), (600, "00:10:00".to_owned()));
        assert_eq!(cpu.from, "`cpu` names no `hardware`, and every cell counts with its `max_time`");
        // 3 cells of 20 000 s are 25 h with what is beside them.
        let long = limit(&PLAN.replace("max_time: 20", "max_time: 20000"), 4);
        assert_eq!(long.slurm(), "1-09:25:00");
    }

    #[test]
    fn steps_that_were_asked_for_take_as_long_as_the_model_says() {
        let few = limit(&PLAN.replace("max_time: 20", "max_time: 20\nsteps: 10"), 0);
        let many = limit(&PLAN.replace("max_time: 20", "max_time: 20\nsteps: 100000"), 0);
        assert_eq!(few.longest.unknown_steps, 0);
        assert!(few.from.starts_with("step times are modelled for NVIDIA A100"), "{}", few.from);
        assert!((many.longest.measured_s / few.longest.measured_s - 10_000.0).abs() < 1e-6);
        // A step of BERT-base with 256 x 128 tokens takes the A100 between 0.1 and 10 s.
        let a_step = few.longest.measured_s / 10.0 / 5.0;
        assert!((0.1..10.0).contains(&a_step), "{a_step}");
    }
}
