//! How long a campaign may take: for those who have to say so before it begins.

use super::baseline::IDLE_S;
use super::runner::{LAUNCHES, LEAST_STEPS, WARMUP_STEPS, WarmUp};
use super::{Plan, Point};

/// Seconds to load the program, open the device and the meters, and write the record: from a shared folder that is slow.
const BEGINNING_S: f64 = 30.0;
/// Seconds for the fastest product in one format, and for the fastest copy: on a slow CPU.
const CEILING_S: f64 = 10.0;
/// Seconds to build a model and draw its weights and its tokens.
const BUILDING_S: f64 = 10.0;
/// Steps that are run to find the batch that fits a GPU.
const SEARCH_STEPS: f64 = 6.0;
/// Between visits a slow sensor is waited for; a GPU is measured for this part of the time at least.
const MEASURED_SHARE: f64 = 0.5;

/// The most seconds that a campaign takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Longest {
    /// Before its first cell: the program, the idle machine, the device at its fastest, and on a GPU the warm-up.
    pub beginning_s: f64,
    /// Steps of its cells that are measured: what the settings allow, or what the least number of steps takes.
    pub measured_s: f64,
    /// What the cells take beside that: building models, warming up, waiting for sensors.
    pub beside_s: f64,
    /// Cells whose step time nobody told.
    pub unknown_steps: usize,
}

impl Longest {
    /// All of it.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.beginning_s + self.measured_s + self.beside_s
    }
}

/// The most seconds that `plan` takes, where `step_s` knows how many a step takes: on a CPU, or on a GPU, which is warmed up.
#[must_use]
pub fn longest(plan: &Plan, on_cpu: bool, step_s: impl Fn(&Point) -> Option<f64>) -> Longest {
    let settings = &plan.settings;
    let most_s = settings.max_time_s;
    let ceilings_s = CEILING_S * (settings.dtypes.len() + 1) as f64;
    let warm_s = if on_cpu { 0.0 } else { WarmUp::COLD.most.0 };
    let mut all = Longest {
        // The idle machine is watched, and before it how often its meter changes.
        beginning_s: BEGINNING_S + IDLE_S.min(most_s) + most_s + ceilings_s + warm_s,
        measured_s: 0.0,
        beside_s: 0.0,
        unknown_steps: 0,
    };
    for point in &plan.points {
        let step_s = step_s(point);
        all.unknown_steps += usize::from(step_s.is_none());
        let step_s = step_s.unwrap_or(0.0);
        let measured_s = match settings.steps {
            // Nothing else bounds them; of those that are not known, what a cell may take is the best guess.
            Some(asked) => (asked as f64 * step_s).max(if step_s > 0.0 { 0.0 } else { most_s }),
            // The last visit ends with a step.
            None => (most_s + step_s).max(LEAST_STEPS.0 as f64 * step_s),
        };
        all.measured_s += measured_s;
        all.beside_s += BUILDING_S;
        all.beside_s += if on_cpu {
            WARMUP_STEPS.1 as f64 * step_s
        } else {
            let warm_s = WarmUp::WARM.most.0 + step_s;
            warm_s + (LAUNCHES as f64 + SEARCH_STEPS) * step_s + measured_s * (1.0 / MEASURED_SHARE - 1.0)
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::measure::BatchSize;
    use crate::model::{Arch, Ops};
    use crate::record::{Pass, Settings, Workload};
    use crate::units::DType;

    fn plan(steps: Option<u64>) -> Plan {
        let workload: Workload = Catalog::default().load("bert-base").expect("in the catalog");
        let settings = Settings {
            n_layers: 2,
            workload,
            pass: Pass::Train,
            dropout: 0.1,
            dtypes: vec![DType::F32],
            ops: Ops::Fused,
            precision: 0.01,
            min_time_s: 5.0,
            max_time_s: 20.0,
            steps,
            seed: 0,
        };
        let archs = [Arch::Dense, Arch::Lrt { rank: 64 }];
        Plan::new(settings, &archs, &[128], BatchSize::Given(1), true).expect("it fits")
    }

    #[test]
    fn cells_take_their_longest_and_what_is_beside_them() {
        // 30 to begin, 10 and 20 to watch the machine, 20 for a product and a copy; two cells of 20 and a step of 1; 10 and 3 steps beside.
        let all = longest(&plan(None), true, |_| Some(1.0));
        assert_eq!((all.beginning_s, all.measured_s, all.beside_s, all.unknown_steps), (80.0, 42.0, 26.0, 0));
        assert_eq!(all.total_s(), 148.0);
        // 5 steps of 10 s are more than 20 s.
        assert_eq!(longest(&plan(None), true, |_| Some(10.0)).measured_s, 100.0);
        // A GPU: 200 s of warm-up; for a cell 10, 31, 11 steps, and 21 in which a sensor is waited for.
        let gpu = longest(&plan(None), false, |_| Some(1.0));
        assert_eq!((gpu.beginning_s, gpu.beside_s), (280.0, 2.0 * 73.0));
    }

    #[test]
    fn steps_that_were_asked_for_are_multiplied_and_unknown_ones_take_what_a_cell_may() {
        assert_eq!(longest(&plan(Some(100)), true, |_| Some(0.5)).measured_s, 100.0);
        let unknown = longest(&plan(Some(100)), true, |_| None);
        assert_eq!((unknown.measured_s, unknown.unknown_steps), (40.0, 2));
    }
}
